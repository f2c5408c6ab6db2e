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
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler
from tqdm.auto import tqdm

from exe_core import augmentation, models, record, schema
from exe_core.config import Train

log = logging.getLogger(__name__)

HISTORY_FILE, CHECKPOINT_FILE = "history.parquet", "checkpoint.pt"
_EVALUATION_BATCH = 256


class TrainingError(ValueError):
    """A network can't be trained on what was given, or its training came to nothing."""


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

    A checkpoint after every epoch lets a run that was killed go on from there. If `folder` holds
    the finished model of the same recipe, data and code, that one is kept.

    Parameters
    ----------
    faces
        (N, S, S, 3) uint8 RGB, S as in the recipe.
    labels
        (N,) index into `classes`.
    splits
        (N,) "train" or "val"; rows of other splits are never looked at.
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
        Goes into the card; see `exe_core.record.provenance`.
    device
        "cpu", "cuda" or "mps"; by default the best there is.
    progress
        Show a bar.

    Returns
    -------
    pd.DataFrame
        Table "history". The rows of "train" count the epoch's augmented faces as they passed, with
        the loss that was minimised; those of "val" are measured after it, in fp32, on faces as
        they are, with the plain cross-entropy in nats.

    Raises
    ------
    TrainingError
        If arrays do not fit, a class or a split has no face, or the loss is not finite.
    """
    _check(faces, labels, splits, recipe=recipe, classes=classes)
    what = _describe(faces, labels, splits, recipe=recipe, classes=classes, gray=gray)
    if (history := _finished(folder, what["digest"])) is not None:
        log.info("%s: %s holds the model of this recipe, data and code", run_id, folder.name)
        return history
    device = device or str(torch.accelerator.current_accelerator(check_available=True) or "cpu")
    preprocessing = replace(models.find(recipe.model).preprocessing, size=recipe.size, gray=gray)
    parts = _select(faces, labels, splits, recipe=recipe, device=device)
    folder.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng():
        run = _Run(recipe, preprocessing, n_classes=len(classes), device=device)
        run.resume(folder / CHECKPOINT_FILE, digest=what["digest"])
        epochs = range(1, recipe.epochs + 1)
        for epoch in tqdm(epochs[run.epoch :], desc=run_id, unit="epoch", disable=not progress):
            run.step(epoch, parts)
            run.checkpoint(folder / CHECKPOINT_FILE, digest=what["digest"])
    card = {
        "model": recipe.model,
        "labels": list(classes),
        "preprocessing": preprocessing,
        "run_id": run_id,
        **what,
        "provenance": provenance or {},
    }
    return _finish(run, parts, folder=folder, card=card)


class _Part(NamedTuple):
    """The faces (N, S, S, 3) uint8 of a split and their classes (N,), on the device."""

    faces: torch.Tensor
    labels: torch.Tensor

    def counts(self, n_classes: int) -> list[int]:
        """Count the faces of each class."""
        return torch.bincount(self.labels, minlength=n_classes).tolist()

    def class_weights(self, n_classes: int) -> torch.Tensor:
        """Weigh each class by the inverse of its share; 1 where all are equal."""
        counts = torch.bincount(self.labels, minlength=n_classes)
        return len(self.labels) / (n_classes * counts.float())


class _Run:
    """The network and all that changes with it from epoch to epoch."""

    def __init__(
        self, recipe: Train, shown: models.Preprocessing, *, n_classes: int, device: str
    ) -> None:
        self.recipe, self.shown, self.n_classes, self.device = recipe, shown, n_classes, device
        network = models.build(
            recipe.model, n_classes=n_classes, weights=recipe.weights, seed=recipe.seed
        )
        self.frozen = _freeze(network, recipe.trainable)
        self.network = network.to(device, memory_format=torch.channels_last)
        self.optimizer = _optimizer(self.network, recipe)
        self.scheduler = _scheduler(self.optimizer, recipe)
        self.epoch = 0
        self.history: list[dict[str, object]] = []
        self.kept: dict[str, torch.Tensor] = {}
        self.kept_epoch = 0

    def step(self, epoch: int, parts: Mapping[str, _Part]) -> None:
        """Train for one epoch, measure, and keep the weights if they are to be kept."""
        rate = self.optimizer.param_groups[0]["lr"]
        for split, go in (("train", self._learn), ("val", self._evaluate)):
            start = time.perf_counter()
            loss, answers = go(parts[split], epoch)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the {split} loss of epoch {epoch} is {loss}: lower learning_rate "
                    f"({self.recipe.learning_rate}), or set `precision: fp32`"
                )
            row = {"epoch": epoch, "split": split, "learning_rate": rate, "loss": loss}
            row |= _agreement(answers, parts[split].labels)
            self.history.append({**row, "seconds": time.perf_counter() - start})
        plateau = isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau)
        self.scheduler.step(*[loss] if plateau else [])
        self.epoch = epoch
        if self.recipe.keep == "last" or self._rank(epoch) > self._rank(self.kept_epoch):
            state = self.network.state_dict()
            self.kept = {name: value.detach().clone() for name, value in state.items()}
            self.kept_epoch = epoch

    def _rank(self, epoch: int) -> tuple[float, float]:
        """Order epochs: by macro-F1, of equal ones by loss; 0 stands for none yet."""
        if epoch == 0:
            return -math.inf, -math.inf
        reached = self.score(epoch)
        return reached["macro_f1"], -reached["loss"]

    def _learn(self, part: _Part, epoch: int) -> tuple[float, torch.Tensor]:
        """Pass every face once; give the mean loss and the answers, in the order of `part`."""
        recipe = self.recipe
        self.network.train()
        for layer in self.frozen:  # else their batch norm would drift with the batches
            layer.eval()
        generator = torch.manual_seed(_seed(recipe.seed, epoch))
        order = torch.randperm(len(part.labels), generator=generator).to(self.device)
        preset = augmentation.PRESETS[recipe.augmentation]
        weight = part.class_weights(self.n_classes) if recipe.class_weights else None
        answers, total = torch.empty_like(part.labels), torch.zeros((), device=self.device)
        # Batches of nearly one size: batch norm fails on a last one of a single face.
        for batch in torch.tensor_split(order, math.ceil(len(order) / recipe.batch_size)):
            faces = self.shown.to_float(part.faces[batch])
            logits = self._forward(augmentation.augment(faces, preset, generator=generator))
            loss = cross_entropy(
                logits, part.labels[batch], weight=weight, label_smoothing=recipe.label_smoothing
            )
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(batch)
            answers[batch] = logits.detach().argmax(dim=1)
        return float(total) / len(order), answers

    def _forward(self, faces: torch.Tensor) -> torch.Tensor:
        kind, half = torch.device(self.device).type, self.recipe.precision == "bf16"
        with torch.autocast(kind, torch.bfloat16, enabled=half):
            return self.network(self.shown.normalise(faces)).float()

    @torch.inference_mode()
    def _evaluate(self, part: _Part, epoch: int) -> tuple[float, torch.Tensor]:
        self.network.eval()
        faces = (self.shown.to_float(batch) for batch in part.faces.split(_EVALUATION_BATCH))
        logits = torch.cat([self.network(self.shown.normalise(batch)) for batch in faces])
        return float(cross_entropy(logits, part.labels)), logits.argmax(dim=1)

    def score(self, epoch: int) -> dict[str, float]:
        """Look up what an epoch reached on "val"."""
        row = next(r for r in self.history if (r["epoch"], r["split"]) == (epoch, "val"))
        return {key: row[key] for key in ("loss", "accuracy", "macro_f1")}

    def checkpoint(self, path: Path, *, digest: str) -> None:
        """Write all that changes, whole or not at all."""
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        states = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        plain = {name: getattr(self, name) for name in _PLAIN}
        torch.save({"digest": digest, "states": states, "plain": plain}, partial)
        partial.replace(path)

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
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(saved["states"][name])
        for name in _PLAIN:
            setattr(self, name, saved["plain"][name])


_STATEFUL = ("network", "optimizer", "scheduler")
_PLAIN = ("epoch", "history", "kept", "kept_epoch")


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
    if not np.isin(labels[used], range(len(classes))).all():
        raise TrainingError(f"labels must be 0 to {len(classes) - 1}, places in {tuple(classes)}")
    counts = np.bincount(labels[splits == "train"], minlength=len(classes))
    if not counts.all():
        lacking = ", ".join(name for name, n in zip(classes, counts, strict=True) if n == 0)
        raise TrainingError(f"no training face of {lacking}: add some, or leave the label out")
    if not (splits == "val").any():
        raise TrainingError("no face of split 'val', which the epochs are compared on: add some")


def _describe(
    faces: np.ndarray,
    labels: np.ndarray,
    splits: np.ndarray,
    *,
    recipe: Train,
    classes: Sequence[str],
    gray: bool,
) -> dict[str, object]:
    """Digest all that the weights depend on."""
    data = hashlib.sha256(np.ascontiguousarray(faces))
    for column in (labels, splits):
        data.update(record.digest_of(np.asarray(column).tolist()).encode())
    settings = recipe.model_dump(mode="json")
    code = record.digest(*(Path(m.__file__) for m in (models, augmentation)), Path(__file__))
    found = {"data_sha256": data.hexdigest(), "code_sha256": code}
    return found | {
        "recipe": settings,
        "digest": record.digest_of([found, settings, list(classes), gray]),
    }


def _finished(folder: Path, digest: str) -> pd.DataFrame | None:
    """Give the history of a whole model of this digest."""
    try:
        card = models.load(folder).card
        if card.get("digest") == digest:
            return schema.read(folder / HISTORY_FILE, name="history")
    except (models.ModelError, FileNotFoundError, schema.SchemaError) as fault:
        log.debug("nothing finished in %s: %s", folder.name, fault)
    return None


def _select(
    faces: np.ndarray, labels: np.ndarray, splits: np.ndarray, *, recipe: Train, device: str
) -> dict[str, _Part]:
    """Bring the faces to the device, of "train" at most as many as the recipe says."""
    rows = {split: np.flatnonzero(splits == split) for split in ("train", "val")}
    if recipe.max_faces and recipe.max_faces < len(rows["train"]):
        rng = np.random.default_rng(recipe.seed)
        rows["train"] = np.sort(rng.choice(rows["train"], recipe.max_faces, replace=False))
    return {
        split: _Part(
            torch.from_numpy(faces[chosen]).to(device),
            torch.from_numpy(labels[chosen].astype(np.int64)).to(device),
        )
        for split, chosen in rows.items()
    }


def _freeze(network: nn.Module, trainable: str) -> list[nn.Module]:
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


def _optimizer(network: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    common = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    match recipe.optimizer:
        case "adam":
            return torch.optim.Adam(learning, **common, fused=True)
        case "adamw":
            return torch.optim.AdamW(learning, **common, fused=True)
        case "sgd":
            return torch.optim.SGD(learning, **common, momentum=0.9, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(learning, **common)


def _scheduler(
    optimizer: torch.optim.Optimizer, recipe: Train
) -> lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau:
    """Make what sets the learning rate from epoch to epoch."""
    match recipe.scheduler:
        case "none":
            return lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "step":
            return lr_scheduler.StepLR(optimizer, max(1, recipe.epochs // 3), gamma=0.1)
        case "cosine":
            return lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.epochs)
        case "plateau":
            return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2)


def _seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _agreement(answers: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    said, true = answers.cpu().numpy(), labels.cpu().numpy()
    return {
        "accuracy": float((said == true).mean()),
        "macro_f1": float(f1_score(true, said, average="macro")),
    }


def _finish(
    run: _Run, parts: Mapping[str, _Part], *, folder: Path, card: Mapping[str, object]
) -> pd.DataFrame:
    """Save the kept weights, the history and the card; the checkpoint has served."""
    history = pd.DataFrame(run.history).assign(run_id=card["run_id"])
    schema.write(history, folder / HISTORY_FILE, name="history")
    run.network.load_state_dict(run.kept)
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
    models.save(run.network, folder, card={**card, **found})
    (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    return schema.read(folder / HISTORY_FILE, name="history")
