"""Train one network on faces in memory: the same seed gives the same weights, also after a kill.

`train` is the whole loop; its parts follow in the order of their use. On a CPU the weights of two
trainings are equal to the bit if both use as many threads.
"""

from __future__ import annotations

import hashlib
import logging
import math
import pickle
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from exe_core import augmentation, inference, models, record, tables
from exe_core.labels import SchemaError
from exe_core.models import Preprocessing
from exe_core.settings import Train
from exe_core.staleness import code_digest

HISTORY_FILE, CHECKPOINT_FILE = "history.parquet", "checkpoint.pt"
CHECKPOINT_SHARE = 0.05
"""Checkpoints are written after every epoch, unless that took a larger share of the time."""

log = logging.getLogger(__name__)


class TrainingError(ValueError):
    """The input can't train a network, or the loss is no longer finite."""


def train(
    faces: np.ndarray,
    labels: np.ndarray,
    splits: np.ndarray,
    *,
    recipe: Train,
    classes: Sequence[str],
    run_id: str,
    folder: Path,
    gray: bool = False,
    reduced: int | None = None,
    provenance: Mapping[str, object] | None = None,
    cache: Path | None = None,
    keep_last: bool = False,
) -> pd.DataFrame:
    """Train a network and leave it in `folder`: model.safetensors, card.json, history.parquet.

    The best device that there is does it. A finished model of the same recipe, data and code is
    kept; a killed training goes on from its checkpoint. A `TrainingError` is raised if arrays do
    not fit, a class or a split has no face, or the loss is not finite.

    Parameters
    ----------
    faces
        (N, S, S, 3) uint8 RGB, S as in the recipe.
    labels
        (N,) index into `classes`, or (N, C) float, rows that sum to 1: how probable each class is.
    splits
        (N,) "train" or "val"; faces with another value are not used.
    gray, reduced
        Take the colours away, and reduce faces to this side, px, now and in use.
    provenance
        Goes into the card, with device and seed; see `exe_core.record.provenance`.
    cache
        Folder for the outputs of frozen layers, which trainings on the same faces share.
    keep_last
        Save the last epoch. By default it is that with the highest macro-F1 on "val", of equal ones
        that with the lowest loss.

    Returns
    -------
    pd.DataFrame
        Table "history". Rows of "train" are of the augmented faces during the epoch, with the loss
        that was minimised; those of "val" are measured after it on faces as they are, with the
        cross-entropy in nats.
    """
    # Data: at most `max_faces` training faces, drawn by the seed
    labels, splits = np.asarray(labels), np.array(splits, dtype="U6")
    if recipe.max_faces is not None:
        rows = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(splits == "train"))
        splits[rows[recipe.max_faces :]] = "unused"
    _check(faces, labels, splits, size=recipe.size, classes=classes)

    # What the model will be; a finished one with this digest is kept
    preprocessing = replace(
        models.find(recipe.model).preprocessing,
        size=recipe.size,
        gray=gray,
        reduced=reduced,
        flip_average=recipe.flip_average,
    )
    data = hashlib.sha256(np.ascontiguousarray(faces).data)
    data.update(record.digest_of([labels.tolist(), splits.tolist()]).encode())
    card: dict[str, Any] = {
        "model": recipe.model,
        "labels": list(classes),
        "preprocessing": asdict(preprocessing),
        "recipe": recipe.model_dump(mode="json"),
        "keep_last": keep_last,
        "data_sha256": data.hexdigest(),
        "code_sha256": code_digest("exe_core.training.train"),
    }
    card["digest"], checkpoint = record.digest_of(card), folder / CHECKPOINT_FILE
    with suppress(models.ModelError, FileNotFoundError, SchemaError):
        if models.load(folder).card.get("digest") == card["digest"]:
            return tables.read(folder / HISTORY_FILE, name="history")

    device = str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    parts, n_faces = {}, {}
    with torch.random.fork_rng():  # the caller's random numbers stay as they were
        # Network: with `frozen_copies` only what learns is passed from here on
        network = models.build(
            recipe.model, n_classes=len(classes), weights=recipe.weights, seed=recipe.seed
        )
        frozen = freeze(network, recipe.trainable)
        network = network.to(device).to(memory_format=torch.channels_last)
        learner, shown = network, faces
        if recipe.frozen_copies:  # frozen layers come first
            if not isinstance(network, nn.Sequential):
                raise TrainingError(f"frozen_copies: {recipe.model} is no sequence: set it to 0")
            n_first = [layer in frozen for layer in network].index(False)
            front, learner = network[:n_first], network[n_first:]
            shown = frozen_outputs(front, faces, preprocessing, recipe, cache=cache)
        average = average_of(learner, decay=recipe.ema_decay) if recipe.ema_decay else None
        evaluated = learner if average is None else average.module  # what is measured and saved

        # Tensors: images, and the probability of each class
        for split in ("train", "val"):
            images, targets = shown[splits == split], labels[splits == split]
            targets = targets if targets.ndim == 2 else np.eye(len(classes))[targets]
            counts = np.bincount(targets.argmax(axis=1), minlength=len(classes)).tolist()
            n_faces[split] = dict(zip(classes, counts, strict=True))
            targets = torch.from_numpy(targets.astype(np.float32)).to(device)
            parts[split] = torch.from_numpy(images).to(device), targets

        # Optimiser, schedule
        optimizer = optimizer_of(learner, recipe)
        scheduler = scheduler_of(optimizer, recipe)

        # All that changes from epoch to epoch, and what a killed training left of it
        stateful: dict[str, Any] = {"network": learner, "optimizer": optimizer}
        stateful |= {"scheduler": scheduler} | ({} if average is None else {"average": average})
        done: dict[str, Any] = {"epoch": 0, "history": [], "best": (-math.inf, -math.inf)}
        if saved := _read_checkpoint(checkpoint, digest=card["digest"], device=device):
            done = saved["done"]
            for name, state in stateful.items():
                state.load_state_dict(saved[name])

        due = -math.inf
        left = range(done["epoch"] + 1, recipe.epochs + 1)
        for epoch in tqdm(left, desc=run_id, unit="epoch", disable=None):
            rate = optimizer.param_groups[0]["lr"]
            for split, part in parts.items():
                start = time.perf_counter()
                if split == "train":
                    learner.train()
                    for layer in frozen:
                        layer.eval()  # else its batch norms follow the batches
                    loss, predicted, true = train_epoch(
                        learner, *part, recipe, preprocessing, optimizer, average, epoch=epoch
                    )
                else:
                    loss, predicted, true = evaluate(evaluated, *part, preprocessing)
                if not math.isfinite(loss):
                    raise TrainingError(
                        f"the {split} loss of epoch {epoch} is {loss}: lower learning_rate "
                        f"({recipe.learning_rate}), or set `precision: fp32`"
                    )
                row = {"epoch": epoch, "split": split, "learning_rate": rate, "loss": loss}
                row["accuracy"] = float((predicted == true).mean())
                row["macro_f1"] = float(f1_score(true, predicted, average="macro"))
                done["history"].append({**row, "seconds": time.perf_counter() - start})
            scheduler.step()
            done["epoch"] = epoch
            reached = (row["macro_f1"], -loss)  # on "val"
            if keep_last or reached > done["best"]:
                weights = {name: w.detach().clone() for name, w in evaluated.state_dict().items()}
                done |= {"best": reached, "kept_epoch": epoch, "kept_weights": weights}
            if (now := time.monotonic()) >= due:
                states = {name: state.state_dict() for name, state in stateful.items()}
                with record.replacing(checkpoint) as new:
                    torch.save({"digest": card["digest"], "done": done, **states}, new)
                due = time.monotonic() + (time.monotonic() - now) / CHECKPOINT_SHARE

    # History, weights and card
    history = pd.DataFrame(done["history"]).assign(run_id=run_id)
    history["kept"] = history["epoch"] == done["kept_epoch"]
    tables.write(history, folder / HISTORY_FILE, name="history")
    best = history[history["kept"] & (history["split"] == "val")].iloc[0]
    card |= {
        "n_faces": n_faces,
        "epoch": done["kept_epoch"],
        "val": {name: float(best[name]) for name in ("loss", "accuracy", "macro_f1")},
        "seconds": float(history["seconds"].sum()),
        "threads": torch.get_num_threads(),
        "device": device,
        "run_id": run_id,
        "provenance": provenance and {**provenance, "device": device, "seed": recipe.seed},
    }
    network.load_state_dict({**network.state_dict(), **done["kept_weights"]})
    models.save(network, folder, card=card)
    checkpoint.unlink()
    return tables.read(folder / HISTORY_FILE, name="history")


def _check(
    faces: np.ndarray, labels: np.ndarray, splits: np.ndarray, *, size: int, classes: Sequence[str]
) -> None:
    if faces.dtype != np.uint8 or faces.shape[1:] != (size, size, 3):
        needed = f"uint8 (N, {size}, {size}, 3)"
        raise TrainingError(f"faces are {faces.dtype} {faces.shape}; needed is {needed}")
    if not len(faces) == len(labels) == len(splits):
        raise TrainingError(f"{len(faces)} faces, {len(labels)} labels and {len(splits)} splits")
    if labels.ndim == 2:
        used = labels[np.isin(splits, ["train", "val"])]
        if not (np.allclose(used.sum(axis=1), 1) and (used >= 0).all()):
            raise TrainingError("labels that are shares must be 0 or more, and each row sum to 1")
        labels = labels.argmax(axis=1)
    learnt = labels[splits == "train"]
    if absent := ", ".join(name for k, name in enumerate(classes) if k not in learnt):
        raise TrainingError(f"no training face of {absent}: add some, or leave the label out")
    if not (splits == "val").any():
        raise TrainingError("no face of split 'val', which the epochs are compared on: add some")


def freeze(network: nn.Module, trainable: str) -> list[nn.Module]:
    """Keep the layers that are not named in "a+b+c" from learning, and return them."""
    if trainable == "all":
        return []
    layers, learning = dict(network.named_children()), trainable.split("+")
    if not layers.keys() >= set(learning):
        known = ", ".join(layers)
        raise TrainingError(f"trainable {trainable!r}: the network has the layers {known}: set all")
    frozen = [layer for name, layer in layers.items() if name not in learning]
    for layer in frozen:
        layer.requires_grad_(False)
    return frozen


@torch.inference_mode()
def frozen_outputs(
    front: nn.Module, faces: np.ndarray, shown: Preprocessing, recipe: Train, *, cache: Path | None
) -> np.ndarray:
    """Compute what frozen layers make of copies of faces (N, S, S, 3) uint8.

    The first copy is the face as it is; the others are augmented. Their draws do not depend on the
    recipe's seed, so that trainings share them: from `cache`, where they are kept for the same
    faces, weights and augmentation. Returns (N, copies, C, H, W) float16.
    """
    device = next(front.eval().parameters()).device
    content = hashlib.sha256(np.ascontiguousarray(faces).data)
    for weights in front.state_dict().values():
        content.update(np.ascontiguousarray(weights.cpu().numpy()).data)
    settings = [replace(shown, flip_average=False), recipe.augmentation]
    content.update(repr([*settings, recipe.frozen_copies]).encode())
    path = cache and cache / f"{content.hexdigest()[:20]}.npy"
    if path and path.is_file():
        return np.load(path, mmap_mode="r")
    generator, preset = torch.Generator().manual_seed(0), augmentation.PRESETS[recipe.augmentation]
    outputs = []
    for batch in tqdm(torch.from_numpy(faces).split(128), desc="frozen layers", disable=None):
        plain, copies = shown.to_float(batch.to(device)), []
        for k in range(recipe.frozen_copies):
            copy = augmentation.augment(plain, preset, generator=generator) if k else plain
            image = shown.normalise(copy).contiguous(memory_format=torch.channels_last)
            copies.append(front(image).half())
        outputs.append(torch.stack(copies, dim=1).cpu().numpy())
    whole = np.concatenate(outputs)
    if path:
        with record.replacing(path) as new, new.open("wb") as file:
            np.save(file, whole)
    return whole


def optimizer_of(network: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """Make the optimiser of the weights that learn; with `sam_rho`, its `step` needs a closure."""
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[recipe.optimizer]
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    options: dict[str, Any] = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    options["fused"] = True
    if recipe.sam_rho == 0:
        return kind(learning, **options)
    from pytorch_optimizer import SAM  # here: importing it takes seconds

    return SAM(learning, kind, rho=recipe.sam_rho, **options)


def scheduler_of(optimizer: torch.optim.Optimizer, recipe: Train) -> lr_scheduler.LRScheduler:
    """Make what sets the learning rate from epoch to epoch: a linear warm-up, then the schedule."""
    warmup = recipe.warmup_epochs
    after: lr_scheduler.LRScheduler
    match recipe.scheduler:
        case "none":
            after = lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "cosine":
            after = lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.epochs - warmup)
        case "exponential":  # by a tenth an epoch, as DDAMFN was trained
            after = lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    if not warmup:
        return after
    rising = lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    return lr_scheduler.SequentialLR(optimizer, [rising, after], milestones=[warmup])


def average_of(network: nn.Module, *, decay: float) -> AveragedModel:
    """Make an exponential moving average of weights and batch-norm statistics.

    Its first steps weigh the newest weights more, 1 - (1 + n) / (10 + n) at step n, so that the
    random start is soon forgotten, as in tf.train.ExponentialMovingAverage with `num_updates`.
    """

    def update(average: torch.Tensor, newest: torch.Tensor, n: torch.Tensor | int) -> torch.Tensor:
        if not average.is_floating_point():  # how many batches a batch norm has seen
            return newest
        return torch.lerp(average, newest, max(1 - decay, 9 / (10 + float(n))))

    return AveragedModel(network, avg_fn=update, use_buffers=True)


def train_epoch(
    network: nn.Module,
    images: torch.Tensor,
    targets: torch.Tensor,
    recipe: Train,
    preprocessing: Preprocessing,
    optimizer: torch.optim.Optimizer,
    average: AveragedModel | None = None,
    *,
    epoch: int,
) -> tuple[float, np.ndarray, np.ndarray]:
    """Pass the faces of an epoch; give the mean loss, and predicted and true classes (N,).

    `images` are (N, S, S, 3) uint8, or as `frozen_outputs` gives them; `targets` (N, C) are the
    probabilities of the classes.
    """
    n_faces, device, classes = len(images), images.device, targets.argmax(dim=1)
    n = recipe.steps * recipe.batch_size if recipe.steps else n_faces
    # One seed an epoch: a resumed training draws what an uninterrupted one draws.
    seed = int(np.random.SeedSequence([recipe.seed, epoch]).generate_state(1)[0])
    generator = torch.manual_seed(seed)
    preset = augmentation.PRESETS[recipe.augmentation]
    extra_loss = getattr(network, "extra_loss", None)
    if recipe.sampling == "balanced":  # with replacement, all classes equally often
        counts = torch.bincount(classes, minlength=targets.shape[1])
        chances = (n_faces / (len(counts) * counts.float()))[classes].cpu()
        order = torch.multinomial(chances, n, replacement=True, generator=generator).to(device)
    else:
        passes = range(math.ceil(n / n_faces))
        orders = [torch.randperm(n_faces, generator=generator) for _ in passes]
        order = torch.cat(orders)[:n].to(device)

    def forward_backward(shown: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, ...]:
        optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = network(shown).float()  # (B, C)
        loss = cross_entropy(logits, wanted, label_smoothing=recipe.label_smoothing)
        if extra_loss is not None:
            loss = loss + recipe.diversity_weight * extra_loss()
        loss.backward()
        if recipe.clip_norm is not None:
            clip_grad_norm_(network.parameters(), recipe.clip_norm)
        return loss.detach(), logits.detach()

    predicted, total = [], torch.zeros((), device=device)
    # Batches of nearly one size: batch norm fails on a last one of a single face.
    for batch in torch.tensor_split(order, math.ceil(n / recipe.batch_size)):
        if images.is_floating_point():
            copies = torch.randint(images.shape[1], (len(batch),), generator=generator)
            shown = images[batch, copies.to(device)].float()
        else:
            faces = preprocessing.to_float(images[batch])  # (B, 3, S, S) in [0, 1]
            faces = augmentation.augment(faces, preset, generator=generator)
            shown = preprocessing.normalise(faces)
        shown = shown.contiguous(memory_format=torch.channels_last)
        again = partial(forward_backward, shown, targets[batch])
        loss, logits = again()
        if recipe.sam_rho:  # Foret et al. 2021: step by the gradient at the worst point nearby
            from pytorch_optimizer.optimizer import utils

            # the second pass is made with weights that are not kept: no batch norm follows it
            utils.disable_running_stats(network)
            optimizer.step(again)  # type: ignore[arg-type]
            utils.enable_running_stats(network)
        else:
            optimizer.step()
        if average is not None:
            average.update_parameters(network)
        total += loss * len(batch)
        predicted.append(logits.argmax(dim=1))
    return float(total) / n, torch.cat(predicted).cpu().numpy(), classes[order].cpu().numpy()


@torch.inference_mode()
def evaluate(
    network: nn.Module, images: torch.Tensor, targets: torch.Tensor, preprocessing: Preprocessing
) -> tuple[float, np.ndarray, np.ndarray]:
    """Give the mean cross-entropy in nats, and predicted and true classes (N,), in fp32."""
    network.eval()
    batches = images.split(256)
    if images.is_floating_point():  # of frozen layers; the first copy is not augmented
        logits = torch.cat([network(x[:, 0].float()) for x in batches])
    else:
        logits = torch.cat([models.logits_of(network, x, shown=preprocessing) for x in batches])
    predicted, true = (each.argmax(dim=1).cpu().numpy() for each in (logits, targets))
    return float(cross_entropy(logits, targets)), predicted, true


def _read_checkpoint(path: Path, *, digest: str, device: str) -> dict[str, Any] | None:
    """Read what a killed training of the same recipe, data and code left, if anything."""
    if not path.is_file():
        return None
    try:
        saved = torch.load(path, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as fault:
        log.warning("%s can't be read (%s): training starts anew", path.name, fault)
        return None
    return saved if saved["digest"] == digest else None


def log_to_mlflow(history: pd.DataFrame, recipe: Train, *, experiment: str) -> None:
    """Log a training, table "history" of one run, in MLflow (extra `tracking`): a metric a score.

    Where to, the environment variable `MLFLOW_TRACKING_URI` says.
    """
    import mlflow

    mlflow.set_experiment(experiment)
    with mlflow.start_run(run_name=history["run_id"].iloc[0]):
        mlflow.log_params(recipe.model_dump(mode="json"))
        for row in history.to_dict("records"):
            scores = {f"{row['split']}_{key}": row[key] for key in ("loss", "accuracy", "macro_f1")}
            mlflow.log_metrics(scores, step=row["epoch"])


def cross_fit(
    faces: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    n_folds: int,
    folder: Path,
    recipe: Train,
    classes: Sequence[str],
    shared: np.ndarray | None = None,
    **options: Any,
) -> np.ndarray:
    """Predict each face by a network that learned from the other folds: (N, C) probabilities.

    Parameters, `options` and errors are those of `train`, with labels (N,), of which -1 is not used
    and gets NaN, and groups (N,) that are never in two folds. The last epoch is taken, as there are
    no other faces to choose one by. `folder` gets the networks, so that a killed run goes on. Of
    `shared` (N,), such as films, what the held-out faces have too is not learned from.
    """
    probabilities = np.full((len(faces), len(classes)), np.nan)
    used = np.flatnonzero(labels >= 0)
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=recipe.seed)
    parts = folds.split(used, labels[used], groups[used])
    options |= {"recipe": recipe, "classes": classes, "keep_last": True}
    for fold, (learnt, held_out) in enumerate((used[a], used[b]) for a, b in parts):
        if shared is not None:
            learnt = learnt[~np.isin(shared[learnt], shared[held_out])]
        splits = np.full(len(faces), "unused")
        splits[learnt], splits[held_out] = "train", "val"
        part, run_id = folder / f"part-{fold + 1}", f"{folder.name}, part {fold + 1} of {n_folds}"
        train(faces, labels, splits, run_id=run_id, folder=part, **options)
        probabilities[held_out] = inference.predict(models.load(part), faces[held_out])
    return probabilities
