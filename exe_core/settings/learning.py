"""Settings of training: a recipe, and the runs that follow it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from exe_core.settings.part import Part


class Train(Part):
    """A training recipe; the defaults are the published one, and what goes beyond it is off.

    Of the faults of the published code, those of training are switches, so that each can be
    measured: `batch_norm: drifting`, `keep: last`, `split: modulo`. Two more lie elsewhere:
    benchmark faces as they are shipped (`crop` of a set), and a network that learned from gray
    faces and is shown colours (`gray` of exe_core.inference.predict).
    """

    model: str = Field(
        "resnet18", description="a name of exe_core.models, or timm:<name> of a timm backbone"
    )
    weights: Literal["imagenet", "msceleb", "none"] = Field(
        "imagenet", description="to begin with; none are random ones"
    )
    size: int = Field(224, ge=16, le=512, description="side of the network's input, px")
    trainable: Literal["all", "layer3+layer4+fc"] = Field(
        "layer3+layer4+fc", description="layers that learn"
    )
    batch_norm: Literal["frozen", "drifting"] = Field(
        "frozen",
        description="of layers that do not learn; drifting is the published fault: their running "
        "mean and variance follow the batches, away from the weights that they belong to",
    )
    augmentation: Literal["none", "light", "medium", "heavy", "ddamfn"] = Field(
        "light", description="how training faces are altered: exe_core.learning.augmentation"
    )
    mixup: float = Field(
        0.0, ge=0, description="alpha of mixup (Zhang et al. 2018); 0 turns it off"
    )
    cutmix: float = Field(
        0.0, ge=0, description="alpha of CutMix (Yun et al. 2019); with mixup, each batch draws one"
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field(
        "adam", description="by which weights are moved"
    )
    sam_rho: float = Field(
        0.0,
        ge=0,
        description="radius of sharpness-aware minimisation (Foret et al. 2021), which "
        "passes each batch twice; 0 turns it off",
    )
    scheduler: Literal["none", "step", "cosine", "plateau", "exponential"] = Field(
        "none", description="how the learning rate falls"
    )
    warmup_epochs: int = Field(0, ge=0, description="the learning rate rises linearly so long")
    learning_rate: float = Field(3e-4, gt=0, description="at its greatest")
    weight_decay: float = Field(0.0, ge=0, description="of the optimizer")
    clip_norm: float | None = Field(None, gt=0, description="greatest norm of a batch's gradient")
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="of a moving average of the weights, which is measured and "
        "saved in their place; 0 turns it off",
    )
    loss: Literal["cross-entropy", "generalised-cross-entropy"] = Field(
        "cross-entropy", description="the second is robust to wrong labels"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a label that is spread over all"
    )
    diversity_weight: float = Field(
        0.1,
        ge=0,
        description="of the loss that keeps the attention heads of DDAMFN apart, beside the "
        "cross-entropy; other networks have none",
    )
    epochs: int = Field(30, ge=1, description="passes over the training faces")
    batch_size: int = Field(32, ge=1, description="faces at a time")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of the passes in training; weights and scores stay fp32"
    )
    compiled: bool = Field(False, description="pass batches through torch.compile")
    val_share: float = Field(
        0.2, gt=0, lt=1, description="of the training faces, kept for choosing the epoch"
    )
    split: Literal["grouped", "modulo"] = Field(
        "grouped",
        description="modulo is the published fault: the val faces are every so-manieth row, so "
        "faces of one photo lie on both sides; test faces stay those of the grouped split",
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled",
        description="balanced draws each face with replacement, all classes equally often",
    )
    class_weights: bool = Field(False, description="rare classes weigh more in the loss")
    max_faces: int | None = Field(None, ge=1, description="at most this many training faces")
    keep: Literal["best", "last"] = Field(
        "best",
        description="which epoch is saved and reported; the published code saved the last and "
        "reported the best",
    )
    flip_average: bool = Field(
        False, description="answer with the mean of a face and its mirror image, now and in use"
    )
    seed: int = Field(42, description="of weights, order and augmentation")

    @model_validator(mode="after")
    def _fitting(self) -> Train:
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs}: fewer than epochs {self.epochs}")
        if self.warmup_epochs and self.scheduler == "plateau":
            raise ValueError("warmup_epochs: scheduler plateau has none; take another, or 0")
        return self


class Run(Part):
    """One trained model: the sets it learns from, and what differs from the study's recipe."""

    sets: tuple[str, ...] = Field(min_length=1, description="of the study, that it learns from")
    gray: bool = Field(False, description="faces are shown in gray, in training and in use")
    labels: Literal["given", "majority", "votes"] = Field(
        "given",
        description="learned from: those of the sets; the emotion that most annotators of their "
        "`votes` named; or the shares of the votes",
    )
    doubtful: Literal["kept", "dropped"] = Field(
        "kept",
        description="training faces whose label confident learning doubts (Northcutt et al. 2021)",
    )
    train: dict[str, object] = Field(default={}, description="what differs from the study's recipe")


def recipe_of(run: Run, train: Train) -> Train:
    """Give the recipe of a run: that of its study, with the run's own differences."""
    return Train.model_validate({**train.model_dump(), **run.train})


def seeds_of_one(runs: Mapping[str, Run], train: Train) -> dict[str, tuple[str, ...]]:
    """Find the runs that differ in nothing but their seed, and are named `<variant>-<number>`.

    Returns
    -------
    dict
        variant -> two runs or more; what is alone of its kind is left out.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in runs:
        if numbered := re.fullmatch(r"(.+)-\d+", name):
            alike[numbered[1]].append(name)
    return {
        variant: tuple(names)
        for variant, names in alike.items()
        if _differ_in_seed([runs[name] for name in names], train)
    }


def _differ_in_seed(runs: list[Run], train: Train) -> bool:
    recipes = [recipe_of(run, train).model_dump() for run in runs]
    n_seeds = len({recipe.pop("seed") for recipe in recipes})
    rest = [
        run.model_dump(exclude={"train"}) | recipe
        for run, recipe in zip(runs, recipes, strict=True)
    ]
    return 1 < len(runs) == n_seeds and all(part == rest[0] for part in rest)
