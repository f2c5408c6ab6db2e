"""Train one network on faces in memory: same seed, same weights, also after a kill.

On a CPU the weights of two runs are equal to the bit if both use as many threads: the order of
the faces and their augmentation depend on the seed and the epoch only.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from exe_core import models, record, schema
from exe_core.learning import epochs
from exe_core.learning.epochs import TrainingError
from exe_core.settings import Train

log = logging.getLogger(__name__)

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
        run = epochs.Run(recipe, preprocessing, n_classes=len(classes), device=device)
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
    return schema.read(folder / HISTORY_FILE, name="history")


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
            return schema.read(folder / HISTORY_FILE, name="history")
    except (models.ModelError, FileNotFoundError, schema.SchemaError) as fault:
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
) -> dict[str, epochs.Part]:
    """Bring the faces of both splits to the device."""
    exact = labels.astype(np.int64 if labels.ndim == 1 else np.float32)
    return {
        split: epochs.Part(
            torch.from_numpy(faces[splits == split]).to(device),
            torch.from_numpy(exact[splits == split]).to(device),
        )
        for split in ("train", "val")
    }


def _finish(
    run: epochs.Run,
    parts: Mapping[str, epochs.Part],
    folder: Path,
    *,
    card: Mapping[str, Any],
) -> None:
    """Save history, weights and card; the checkpoint has served."""
    history = pd.DataFrame(run.history).assign(run_id=card["run_id"])
    history["kept"] = history["epoch"] == run.kept_epoch
    schema.write(history, folder / HISTORY_FILE, name="history")
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
