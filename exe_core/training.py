"""Train one network on faces in memory: same seed, same weights, also after a kill.

On a CPU the weights of two runs are equal to the bit if both use as many threads: the order of
the faces and their augmentation depend on the seed and the epoch only.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import pickle
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedGroupKFold
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel
from tqdm import TqdmWarning, tqdm

from exe_core import augmentation, inference, models, record, tables, training
from exe_core.record import replacing
from exe_core.settings import Train

Kind = Literal["cross-entropy", "generalised-cross-entropy"]
_Q = 0.7


def loss_of(
    logits: torch.Tensor,
    targets: torch.Tensor,
    *,
    kind: Kind = "cross-entropy",
    label_smoothing: float = 0.0,
    weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Compute the mean loss of a batch.

    Parameters
    ----------
    logits
        (N, C).
    targets
        (N, C) probabilities of the classes; rows sum to 1.
    kind
        "generalised-cross-entropy" lies between cross-entropy, which wrong labels mislead, and the
        mean absolute error, which learns slowly: (1 - p^q) / q with q = .7 (Zhang and Sabuncu
        2018, Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels).
    label_smoothing
        Share (0..1) of each target that is spread over all classes.
    weight
        (C,) of each class; the mean is weighted by that of the targets.

    Returns
    -------
    torch.Tensor
        A number; of cross-entropy in nats.
    """
    if kind == "cross-entropy":
        losses = cross_entropy(
            logits, targets, weight=weight, label_smoothing=label_smoothing, reduction="none"
        )
    else:
        smooth = targets * (1 - label_smoothing) + label_smoothing / targets.shape[1]
        share = smooth if weight is None else smooth * weight
        losses = (share * (1 - logits.softmax(dim=1) ** _Q) / _Q).sum(dim=1)
    return losses.mean() if weight is None else losses.sum() / (targets @ weight).sum()


_EXPONENTIAL = 0.9  # an epoch, as DDAMFN was trained


def optimizer_of(network: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """Make the optimiser of the weights that learn.

    With `sam_rho`, its `step` needs a closure that passes the batch again.
    """
    kinds: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
        "adam": (torch.optim.Adam, {"fused": True}),
        "adamw": (torch.optim.AdamW, {"fused": True}),
        "sgd": (torch.optim.SGD, {"fused": True, "momentum": 0.9}),
        "rmsprop": (torch.optim.RMSprop, {}),
    }
    kind, options = kinds[recipe.optimizer]
    options |= {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    if recipe.sam_rho == 0:
        return kind(learning, **options)
    from pytorch_optimizer import SAM  # here: importing it takes seconds

    return SAM(learning, kind, rho=recipe.sam_rho, **options)


def scheduler_of(
    optimizer: torch.optim.Optimizer, recipe: Train
) -> lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau:
    """Make what sets the learning rate from epoch to epoch."""
    rising, falling = recipe.warmup_epochs, recipe.epochs - recipe.warmup_epochs
    after: lr_scheduler.LRScheduler
    match recipe.scheduler:
        case "plateau":
            return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2)
        case "none":
            after = lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "step":
            after = lr_scheduler.StepLR(optimizer, max(1, falling // 3), gamma=0.1)
        case "cosine":
            after = lr_scheduler.CosineAnnealingLR(optimizer, T_max=falling)
        case "exponential":
            after = lr_scheduler.ExponentialLR(optimizer, gamma=_EXPONENTIAL)
    if not rising:
        return after
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    return lr_scheduler.SequentialLR(optimizer, [warmup, after], milestones=[rising])


def average_of(network: nn.Module, *, decay: float) -> AveragedModel:
    """Make a moving average of weights and batch-norm statistics.

    Its first steps weigh the newest weights more, 1 - (1 + n) / (10 + n) at step n, so that the
    random start is soon forgotten: as tf.train.ExponentialMovingAverage does with `num_updates`.
    """

    def follow(
        averages: Sequence[torch.Tensor], newest: Sequence[torch.Tensor], n: torch.Tensor | int
    ) -> None:
        if averages[0].is_floating_point():
            share = max(1 - decay, 9 / (10 + float(n)))
            torch._foreach_lerp_(list(averages), list(newest), share)
        else:  # how many batches a batch norm has seen
            torch._foreach_copy_(list(averages), list(newest))

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)


@contextmanager
def still_batch_norm(network: nn.Module) -> Iterator[None]:
    """Keep the running statistics as they are, while batches are normalised by their own.

    The second pass of sharpness-aware minimisation is made with weights that are not kept.
    """
    tracking = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True


log = logging.getLogger(__name__)

ADDRESS = "MLFLOW_TRACKING_URI"
_SHOWN = ("loss", "accuracy", "macro_f1")
_AT_ONCE = 1000  # as many metrics as MLflow takes in one call


def log_run(history: pd.DataFrame, *, card: Mapping[str, Any], experiment: str) -> str | None:
    """Show a trained model in MLflow, if `MLFLOW_TRACKING_URI` is set; once for the same model.

    Parameters
    ----------
    history
        Table "history" of the run.
    card
        Its card: run_id, digest, recipe, model; see `exe_core.models.read_card`.
    experiment
        Name of the experiment, made if it is not there; the study's.

    Returns
    -------
    str or None
        MLflow's id of the run; None if no address is set or mlflow is not installed.
    """
    if not os.environ.get(ADDRESS):
        return None
    try:
        from mlflow import MlflowClient  # here: an optional extra
    except ImportError:
        log.warning("%s is set, but mlflow is not there: pip install '.[tracking]'", ADDRESS)
        return None
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    same = client.search_runs([place], filter_string=f"tags.digest = '{card['digest']}'")
    if same:
        return same[0].info.run_id
    tags = {"digest": card["digest"], "model": card["model"], "data_sha256": card["data_sha256"]}
    run = client.create_run(place, run_name=card["run_id"], tags=tags).info.run_id
    _log(client, run, history=history, recipe=card["recipe"])
    client.set_terminated(run)
    return run


def _log(client: Any, run: str, *, history: pd.DataFrame, recipe: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(run, params=[Param(name, str(value)) for name, value in recipe.items()])
    now = int(1000 * time.time())
    metrics = [
        Metric(f"{row.split}_{name}", getattr(row, name), now, row.epoch)
        for row in history.itertuples()
        for name in _SHOWN
    ]
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])


_STATEFUL = ("network", "average", "optimizer", "scheduler")
_PLAIN = ("epoch", "history", "kept", "kept_epoch")
_EVALUATION_BATCH = 256


class TrainingError(ValueError):
    """A network can't be trained on what was given, or its training came to nothing."""


class Part(NamedTuple):
    """The faces (N, S, S, 3) uint8 of a split and their labels, on the device.

    Labels are (N,) classes, or (N, C) float: the probability of each class.
    """

    faces: torch.Tensor
    labels: torch.Tensor

    @property
    def classes(self) -> torch.Tensor:
        """Give the class (N,) of each face, of soft labels the most probable one."""
        return self.labels.argmax(dim=1) if self.labels.ndim == 2 else self.labels

    def targets(self, n_classes: int) -> torch.Tensor:
        """Give the probability of each class for each face, (N, C)."""
        if self.labels.ndim == 2:
            return self.labels.float()
        return one_hot(self.labels, n_classes).float()

    def counts(self, n_classes: int) -> list[int]:
        """Count the faces of each class."""
        return torch.bincount(self.classes, minlength=n_classes).tolist()

    def class_weights(self, n_classes: int) -> torch.Tensor:
        """Weigh each class by the inverse of its share; 1 where all are equal."""
        counts = torch.bincount(self.classes, minlength=n_classes)
        return len(self.labels) / (n_classes * counts.float())


class Run:
    """The network and all that changes with it from epoch to epoch."""

    def __init__(
        self, recipe: Train, shown: models.Preprocessing, *, n_classes: int, device: str
    ) -> None:
        self.recipe, self.shown, self.n_classes, self.device = recipe, shown, n_classes, device
        network = models.build(
            recipe.model, n_classes=n_classes, weights=recipe.weights, seed=recipe.seed
        )
        self.frozen = freeze(network, recipe.trainable)
        self.extra_loss = models.find(recipe.model).extra_loss
        self.network = network.to(device).to(memory_format=torch.channels_last)
        self.passing = torch.compile(self.network) if recipe.compiled else self.network
        decay = recipe.ema_decay
        self.average = average_of(self.network, decay=decay) if decay else None
        self.optimizer = optimizer_of(self.network, recipe)
        self.scheduler = scheduler_of(self.optimizer, recipe)
        self.epoch = 0
        self.history: list[dict[str, Any]] = []
        self.kept: dict[str, torch.Tensor] = {}
        self.kept_epoch = 0

    def step(self, epoch: int, parts: Mapping[str, Part]) -> None:
        """Train for one epoch, measure, and keep the weights if they are to be kept."""
        rate = self.optimizer.param_groups[0]["lr"]
        for split in ("train", "val"):
            part, start = parts[split], time.perf_counter()
            learning = split == "train"
            loss, *answers = self._learn(part, epoch=epoch) if learning else self._evaluate(part)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the {split} loss of epoch {epoch} is {loss}: lower learning_rate "
                    f"({self.recipe.learning_rate}), or set `precision: fp32`"
                )
            row = {"epoch": epoch, "split": split, "learning_rate": rate, "loss": loss}
            row |= _agreement(*answers)
            self.history.append({**row, "seconds": time.perf_counter() - start})
        if isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(loss)  # of "val", the last of the two
        else:
            self.scheduler.step()
        self.epoch = epoch
        if self.recipe.keep == "last" or self._rank(epoch) > self._rank(self.kept_epoch):
            state = self.answering.state_dict()
            self.kept = {name: value.detach().clone() for name, value in state.items()}
            self.kept_epoch = epoch

    def _rank(self, epoch: int) -> tuple[float, float]:
        """Order epochs: by macro-F1, of equal ones by loss; 0 stands for none yet."""
        if epoch == 0:
            return -math.inf, -math.inf
        reached = self.score(epoch)
        return reached["macro_f1"], -reached["loss"]

    @property
    def answering(self) -> nn.Module:
        """Give the network that is measured and saved: the average over steps, if there is one."""
        return self.network if self.average is None else self.average.module

    def _learn(self, part: Part, *, epoch: int) -> tuple[float, torch.Tensor, torch.Tensor]:
        """Pass every face once; give the mean loss, the answers and the classes, as they passed."""
        recipe = self.recipe
        self.network.train()
        if recipe.batch_norm == "frozen":
            for layer in self.frozen:
                layer.eval()
        generator = torch.manual_seed(_seed(recipe.seed, epoch))
        order = self._order(part, generator).to(self.device)
        preset = augmentation.PRESETS[recipe.augmentation]
        targets = part.targets(self.n_classes)
        weight = part.class_weights(self.n_classes) if recipe.class_weights else None
        said, true, total = [], [], torch.zeros((), device=self.device)
        # Batches of nearly one size: batch norm fails on a last one of a single face.
        for batch in torch.tensor_split(order, math.ceil(len(order) / recipe.batch_size)):
            faces = self.shown.to_float(part.faces[batch])
            faces = augmentation.augment(faces, preset, generator=generator)
            faces, wanted = augmentation.mix(
                faces, targets[batch], mixup=recipe.mixup, cutmix=recipe.cutmix
            )
            loss, logits = self._update(faces, wanted, weight=weight)
            total += loss * len(batch)
            said.append(logits.argmax(dim=1))
            true.append(wanted.argmax(dim=1))
        return float(total) / len(order), torch.cat(said), torch.cat(true)

    def _order(self, part: Part, generator: torch.Generator) -> torch.Tensor:
        """Draw which faces pass in an epoch, as many as there are, and in which order."""
        n = len(part.labels)
        if self.recipe.sampling == "shuffled":
            return torch.randperm(n, generator=generator)
        chances = part.class_weights(self.n_classes)[part.classes].cpu()
        return torch.multinomial(chances, n, replacement=True, generator=generator)

    def _update(
        self, faces: torch.Tensor, targets: torch.Tensor, *, weight: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Learn from a batch; give its loss and its logits, both from before the step."""
        recipe = self.recipe

        def climb() -> tuple[torch.Tensor, torch.Tensor]:
            self.optimizer.zero_grad()
            logits = self._forward(faces)
            loss = loss_of(
                logits,
                targets,
                kind=recipe.loss,
                label_smoothing=recipe.label_smoothing,
                weight=weight,
            )
            if self.extra_loss is not None:
                loss = loss + recipe.diversity_weight * self.extra_loss(self.network)
            loss.backward()
            if recipe.clip_norm is not None:
                clip_grad_norm_(self.network.parameters(), recipe.clip_norm)
            return loss.detach(), logits.detach()

        found = climb()
        if recipe.sam_rho:
            with still_batch_norm(self.network):
                self.optimizer.step(lambda: float(climb()[0]))
        else:
            self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.network)
        return found

    def _forward(self, faces: torch.Tensor) -> torch.Tensor:
        kind, half = torch.device(self.device).type, self.recipe.precision == "bf16"
        shown = self.shown.normalise(faces).contiguous(memory_format=torch.channels_last)
        autocast = torch.autocast(kind, torch.bfloat16, enabled=half)
        with autocast:
            return self.passing(shown).float()

    @torch.inference_mode()
    def _evaluate(self, part: Part) -> tuple[float, torch.Tensor, torch.Tensor]:
        network = self.answering.eval()
        batches = part.faces.split(_EVALUATION_BATCH)
        logits = torch.cat([models.logits_of(network, x, shown=self.shown) for x in batches])
        return float(cross_entropy(logits, part.labels)), logits.argmax(dim=1), part.classes

    def score(self, epoch: int) -> dict[str, float]:
        """Look up what an epoch reached on "val"."""
        row = next(r for r in self.history if (r["epoch"], r["split"]) == (epoch, "val"))
        return {key: row[key] for key in ("loss", "accuracy", "macro_f1")}

    def checkpoint(self, path: Path, *, digest: str) -> None:
        """Write all that changes, whole or not at all."""
        changing = {name: getattr(self, name) for name in _STATEFUL}
        states = {name: part.state_dict() for name, part in changing.items() if part is not None}
        plain = {name: getattr(self, name) for name in _PLAIN}
        with replacing(path) as partial:
            torch.save({"digest": digest, "states": states, "plain": plain}, partial)

    def resume(self, path: Path, *, digest: str) -> None:
        """Take over what a killed run of the same recipe, data and code left."""
        if not path.is_file():
            return
        try:
            saved = torch.load(path, map_location=self.device, weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, EOFError) as fault:
            log.warning("%s can't be read (%s): training starts anew", path.name, fault)
            return
        if saved["digest"] != digest:
            log.info("%s is of another recipe, data or code: training starts anew", path.name)
            return
        for name, state in saved["states"].items():
            getattr(self, name).load_state_dict(state)
        for name in _PLAIN:
            setattr(self, name, saved["plain"][name])


def freeze(network: nn.Module, trainable: str) -> list[nn.Module]:
    """Stop the layers that are not named in "a+b+c" from learning; give them back."""
    if trainable == "all":
        return []
    layers, names = dict(network.named_children()), trainable.split("+")
    unknown = [name for name in names if name not in layers]
    if unknown:
        raise TrainingError(
            f"trainable {trainable!r}: the network has no {', '.join(unknown)}; it has "
            f"{', '.join(layers)}; or set `trainable: all`"
        )
    frozen = [layer for name, layer in layers.items() if name not in names]
    for layer in frozen:
        layer.requires_grad_(False)
    return frozen


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _agreement(answers: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    said, true = answers.cpu().numpy(), labels.cpu().numpy()
    return {
        "accuracy": float((said == true).mean()),
        "macro_f1": float(f1_score(true, said, average="macro")),
    }


HISTORY_FILE, CHECKPOINT_FILE = "history.parquet", "checkpoint.pt"
_CHECKPOINT_SHARE = 0.05
_CODE = [
    Path(__file__).parent / f"{name}.py"
    for name in ("networks", "ddamfn", "models", "augmentation", "training")
]


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
    provenance: Mapping[str, object] | None = None,
    device: str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train a network and leave it in `folder`, with its card and its history.

    A checkpoint lets a run that was killed go on from there: after every epoch, unless epochs are
    so short that this would take more than a twentieth of the time. If `folder` holds
    the finished model of the same recipe, data and code, that one is kept.

    Parameters
    ----------
    faces
        (N, S, S, 3) uint8 RGB, S as in the recipe.
    labels
        (N,) index into `classes`, or (N, C) float, rows that sum to 1: how probable each class is.
    splits
        (N,) "train" or "val"; faces on no or another side are never looked at.
    recipe
        With ``keep="best"`` the epoch with the highest macro-F1 on "val" is saved, of equal ones
        that with the lowest loss.
    classes
        Their names, in order.
    run_id
        Names the run in the history.
    folder
        Gets model.safetensors, card.json and history.parquet.
    gray
        Take the colours away, now and whenever the model is used.
    provenance
        Goes into the card, with the device and the seed of this run; see
        `exe_core.record.provenance`.
    device
        "cpu", "cuda" or "mps"; by default the best there is.
    progress
        Show a bar.

    Returns
    -------
    pd.DataFrame
        Table "history", and `kept`: whether the epoch is the one saved. The rows of "train" count
        the epoch's augmented faces as they passed, with the loss that was minimised; those of
        "val" are measured after it, in fp32, on faces as they are, with the cross-entropy in nats.

    Raises
    ------
    TrainingError
        If arrays do not fit, a class or a split has no face, or the loss is not finite.
    """
    labels, splits = np.asarray(labels), _limited(splits, recipe=recipe)
    _check(faces, labels, splits, recipe=recipe, classes=classes)
    preprocessing = replace(
        models.find(recipe.model).preprocessing,
        size=recipe.size,
        gray=gray,
        flip_average=recipe.flip_average,
    )
    card: dict[str, Any] = {
        "model": recipe.model,
        "labels": list(classes),
        "preprocessing": asdict(preprocessing),
        "recipe": recipe.model_dump(mode="json"),
        "data_sha256": _data_digest(faces, labels, splits),
        "code_sha256": record.digest(*_CODE),
    }
    card["digest"] = digest = record.digest_of(card)
    if (history := _finished(folder, digest)) is not None:
        log.info("%s: %s holds the model of this recipe, data and code", run_id, folder.name)
        return history
    device = device or str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    parts = _select(faces, labels, splits, device=device)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / CHECKPOINT_FILE
    with torch.random.fork_rng():
        run = Run(recipe, preprocessing, n_classes=len(classes), device=device)
        run.resume(checkpoint, digest=digest)
        left, due = range(run.epoch + 1, recipe.epochs + 1), -math.inf
        for epoch in tqdm(left, desc=run_id, unit="epoch", disable=not progress):
            run.step(epoch, parts)
            if (now := time.monotonic()) >= due:
                run.checkpoint(checkpoint, digest=digest)
                written = time.monotonic()
                due = written + (written - now) / _CHECKPOINT_SHARE
    about = provenance and {**provenance, "device": device, "seed": recipe.seed}
    _finish(run, parts, folder, card=card | {"run_id": run_id, "provenance": about})
    return tables.read(folder / HISTORY_FILE, name="history")


def _check(
    faces: np.ndarray,
    labels: np.ndarray,
    splits: np.ndarray,
    *,
    recipe: Train,
    classes: Sequence[str],
) -> None:
    size = recipe.size
    if faces.dtype != np.uint8 or faces.ndim != 4 or faces.shape[1:] != (size, size, 3):
        raise TrainingError(
            f"faces are {faces.dtype} {faces.shape}; needed is uint8 (N, {size}, {size}, 3): "
            "load them at the size of the recipe"
        )
    if not len(faces) == len(labels) == len(splits):
        raise TrainingError(
            f"{len(faces)} faces, {len(labels)} labels, {len(splits)} splits: one of each a face"
        )
    used = np.isin(splits, ["train", "val"])
    hard = _hard(labels[used], classes=classes)
    counts = np.bincount(hard[splits[used] == "train"], minlength=len(classes))
    if not counts.all():
        lacking = ", ".join(name for name, n in zip(classes, counts, strict=True) if n == 0)
        raise TrainingError(f"no training face of {lacking}: add some, or leave the label out")
    if not (splits == "val").any():
        raise TrainingError("no face of split 'val', which the epochs are compared on: add some")


def _hard(labels: np.ndarray, *, classes: Sequence[str]) -> np.ndarray:
    """Give the class of each label, of soft ones the most probable."""
    if labels.ndim == 2 and labels.shape[1] == len(classes):
        sums = labels.sum(axis=1)
        if not (np.isfinite(labels).all() and (labels >= 0).all() and np.allclose(sums, 1)):
            raise TrainingError("soft labels must be shares: none negative, each row summing to 1")
        return labels.argmax(axis=1)
    if labels.ndim != 1 or not np.isin(labels, range(len(classes))).all():
        raise TrainingError(
            f"labels must be 0 to {len(classes) - 1}, places in {tuple(classes)}, or shares of "
            f"these (N, {len(classes)}); they are {labels.dtype} {labels.shape}"
        )
    return labels.astype(int)


def _data_digest(faces: np.ndarray, labels: np.ndarray, splits: np.ndarray) -> str:
    found = hashlib.sha256(np.ascontiguousarray(faces).data)
    found.update(record.digest_of([labels.tolist(), splits.tolist()]).encode())
    return found.hexdigest()


def _finished(folder: Path, digest: str) -> pd.DataFrame | None:
    """Give the history of a whole model of this digest."""
    try:
        card = models.load(folder).card
        if card.get("digest") == digest:
            return tables.read(folder / HISTORY_FILE, name="history")
    except (models.ModelError, FileNotFoundError, tables.SchemaError) as fault:
        log.debug("nothing finished in %s: %s", folder.name, fault)
    return None


def _limited(splits: np.ndarray, *, recipe: Train) -> np.ndarray:
    """Put all training faces but `max_faces`, drawn by the seed, on no side."""
    splits = np.array(splits, dtype="U6")
    train_rows = np.flatnonzero(splits == "train")
    if recipe.max_faces is not None:
        drawn = np.random.default_rng(recipe.seed).permutation(train_rows)
        splits[drawn[recipe.max_faces :]] = "unused"
    return splits


def _select(
    faces: np.ndarray, labels: np.ndarray, splits: np.ndarray, *, device: str
) -> dict[str, Part]:
    """Bring the faces of both splits to the device."""
    exact = labels.astype(np.int64 if labels.ndim == 1 else np.float32)
    return {
        split: Part(
            torch.from_numpy(faces[splits == split]).to(device),
            torch.from_numpy(exact[splits == split]).to(device),
        )
        for split in ("train", "val")
    }


def _finish(
    run: Run,
    parts: Mapping[str, Part],
    folder: Path,
    *,
    card: Mapping[str, Any],
) -> None:
    """Save history, weights and card; the checkpoint has served."""
    history = pd.DataFrame(run.history).assign(run_id=card["run_id"])
    history["kept"] = history["epoch"] == run.kept_epoch
    tables.write(history, folder / HISTORY_FILE, name="history")
    found = {
        "n_faces": {
            split: dict(zip(card["labels"], part.counts(run.n_classes), strict=True))
            for split, part in parts.items()
        },
        "epoch": run.kept_epoch,
        "val": run.score(run.kept_epoch),
        "device": run.device,
        "threads": torch.get_num_threads(),
        "seconds": float(history["seconds"].sum()),
    }
    run.network.load_state_dict(run.kept)
    models.save(run.network, folder, card={**card, **found})
    (folder / CHECKPOINT_FILE).unlink()


def find_label_errors(
    faces: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    recipe: Train,
    classes: Sequence[str],
    folder: Path,
    gray: bool = False,
    folds: int = 2,
    progress: bool = True,
) -> np.ndarray:
    """Find the labels that are probably wrong (Northcutt et al. 2021, Confident Learning).

    Each part of the faces is read by a network that learned from the others. A label is doubted
    if the network is surer of another class than it is, on average, where that class is the label;
    of each pair of label and class, as many are doubted as the counts of such faces estimate
    ("prune by noise rate").

    Parameters
    ----------
    faces
        (N, S, S, 3) uint8 RGB, S as in the recipe.
    labels
        (N,) index into `classes`.
    groups
        (N,); faces of one group are never on both sides.
    recipe
        Of the networks; the last epoch is taken, as there are no other faces to choose one by.
    classes
        Their names, in order.
    folder
        Gets the networks, one in a folder of its own, so that a killed run goes on.
    gray
        As the run has it.
    folds
        How many parts.
    progress
        Show bars.

    Returns
    -------
    numpy.ndarray
        bool, shape (N,).

    Raises
    ------
    exe_core.training.TrainingError
        If a class is in none of the faces that a part is learned from.
    """
    with warnings.catch_warnings():
        # it asks for a progress bar of notebooks that nothing here needs
        warnings.simplefilter("ignore", TqdmWarning)
        from cleanlab.filter import find_label_issues

    said = np.empty((len(faces), len(classes)))
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=recipe.seed)
    for fold, (_, held_out) in enumerate(parts.split(faces, labels, groups), start=1):
        splits = np.full(len(faces), "train")
        splits[held_out] = "val"
        training.train(
            faces,
            labels,
            splits,
            recipe=recipe.model_copy(update={"keep": "last"}),
            classes=classes,
            run_id=f"{folder.name}, part {fold} of {folds}",
            folder=folder / f"part-{fold}",
            gray=gray,
            progress=progress,
        )
        network = models.load(folder / f"part-{fold}", labels=classes)
        said[held_out] = inference.predict(network, faces[held_out])
    return find_label_issues(labels, said, filter_by="prune_by_noise_rate", n_jobs=1)
