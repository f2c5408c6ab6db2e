"""The epochs of a run: learn, measure, keep the best; and a checkpoint to go on from.

The order of the faces and their augmentation depend on the seed and the epoch only, so a run that
goes on from a checkpoint does what it would have done.
"""

from __future__ import annotations

import logging
import math
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.metrics import f1_score
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils import clip_grad_norm_
from torch.optim import lr_scheduler

from exe_core import models
from exe_core.learning import augmentation
from exe_core.learning.losses import loss_of
from exe_core.learning.optimisation import average_of, optimizer_of, scheduler_of, still_batch_norm
from exe_core.settings import Train
from exe_core.writing import replacing

log = logging.getLogger(__name__)

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
