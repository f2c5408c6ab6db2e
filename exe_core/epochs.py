"""The epochs of a run: learn, measure, keep the best; and a checkpoint to go on from.

The order of the faces and their augmentation depend on the seed and the epoch only, so a run that
goes on from a checkpoint does what it would have done.
"""

from __future__ import annotations

import logging
import math
import os
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import lr_scheduler

from exe_core import augmentation, models
from exe_core.settings import Train

log = logging.getLogger(__name__)

_STATEFUL = ("network", "optimizer", "scheduler")
_PLAIN = ("epoch", "history", "kept", "kept_epoch")
_EVALUATION_BATCH = 256


class TrainingError(ValueError):
    """A network can't be trained on what was given, or its training came to nothing."""


class Part(NamedTuple):
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
        self.network = network.to(device).to(memory_format=torch.channels_last)
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
            loss, answers = self._learn(part, epoch=epoch) if learning else self._evaluate(part)
            if not math.isfinite(loss):
                raise TrainingError(
                    f"the {split} loss of epoch {epoch} is {loss}: lower learning_rate "
                    f"({self.recipe.learning_rate}), or set `precision: fp32`"
                )
            row = {"epoch": epoch, "split": split, "learning_rate": rate, "loss": loss}
            row |= _agreement(answers, part.labels)
            self.history.append({**row, "seconds": time.perf_counter() - start})
        if isinstance(self.scheduler, lr_scheduler.ReduceLROnPlateau):
            self.scheduler.step(loss)  # of "val", the last of the two
        else:
            self.scheduler.step()
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

    def _learn(self, part: Part, *, epoch: int) -> tuple[float, torch.Tensor]:
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
    def _evaluate(self, part: Part) -> tuple[float, torch.Tensor]:
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
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        states = {name: getattr(self, name).state_dict() for name in _STATEFUL}
        plain = {name: getattr(self, name) for name in _PLAIN}
        torch.save({"digest": digest, "states": states, "plain": plain}, unfinished)
        unfinished.replace(path)

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


def optimizer_of(network: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """Make the optimiser of the weights that learn."""
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    match recipe.optimizer:
        case "adam":
            return torch.optim.Adam(learning, lr=rate, weight_decay=decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(learning, lr=rate, weight_decay=decay, fused=True)
        case "sgd":
            return torch.optim.SGD(learning, lr=rate, weight_decay=decay, momentum=0.9, fused=True)
        case "rmsprop":
            return torch.optim.RMSprop(learning, lr=rate, weight_decay=decay)


def scheduler_of(
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
