"""A study: its settings, validated, the place of every file, and its tables.

Settings are defaults < `configs/<study>.yml` < the parameters of a notebook. An unknown key is
refused, so that a mistyped one can't silently leave a default in force. Settings that depart from
the file make a trial, which has a place of its own and leaves the study as it is.
"""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from exe_core import tables
from exe_core.record import ROOT, digest_of, write_json
from exe_core.resampling import Statistics
from exe_core.sources import SOURCES, Source, WebSource
from exe_core.tables import EMOTIONS, FIVE


class SettingsModel(BaseModel):
    """A part of the settings: unknown keys are refused, values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Design = Literal["v1", "v2"]

KEYWORDS: dict[str, dict[str, tuple[str, ...]]] = {
    "v1": {
        "angry": ("angry face",),
        "disgust": ("disgust face",),
        "fear": ("fear face",),
        "happy": ("happy face",),
        "sad": ("sad face",),
        "surprise": ("surprised face",),
        "neutral": ("neutral face",),
    },
    "v2": {
        "angry": ("angry", "mad", "irate"),
        "disgust": ("disgusted", "gross", "repulsed"),
        "fear": ("fear", "afraid", "scared"),
        "happy": ("happy", "smiling", "joyful"),
        "sad": ("sad", "crying", "unhappy"),
        "surprise": ("surprised", "shocked", "astonished"),
        "neutral": ("neutral", "calm", "expressionless"),
    },
}
"""The two published search designs: design -> emotion -> queries."""


class World(SettingsModel):
    """What the synthetic world holds, and how noisy its keywords are."""

    n_films: int = Field(12, ge=0, le=200, description="0 for a study of faces alone")
    film_seconds: float = Field(180.0, ge=5, description="length of a film")
    fps: int = Field(24, ge=1, le=60, description="frames a second in the film's file")
    renders_per_second: float = Field(
        1.0, gt=0, description="distinct pictures; others repeat them"
    )
    film_size: tuple[int, int] = Field((640, 360), description="width, height, px")
    photos_per_query: dict[Design, int] = Field(
        default={"v1": 60, "v2": 30}, description="design -> photos that match each query"
    )
    photo_size: tuple[int, int] = Field((640, 480), description="width, height, px")
    keyword_noise: dict[str, dict[str, float]] = Field(
        default={}, description="query -> other emotion -> share of its photos that show it instead"
    )
    faces_per_photo: tuple[float, float, float] = Field(
        (0.10, 0.65, 0.25), description="shares of photos with no face, one and two"
    )
    duplicate_share: float = Field(
        0.1, ge=0, le=1, description="share of a query's photos that another query returns, too"
    )
    benchmark_faces: int = Field(150, ge=4, description="training faces a class and benchmark set")
    benchmark_test_faces: int = Field(40, ge=2, description="test faces a class")

    @model_validator(mode="after")
    def _noise_is_known(self) -> World:
        asked = {
            query: emotion
            for design in KEYWORDS.values()
            for emotion, queries in design.items()
            for query in queries
        }
        for query, shares in self.keyword_noise.items():
            if query not in asked:
                raise ValueError(f"keyword_noise: {query!r} is no query of the designs v1 and v2")
            wrong = [name for name in shares if name not in EMOTIONS or name == asked[query]]
            if wrong or min(shares.values()) < 0 or sum(shares.values()) >= 1:
                raise ValueError(
                    f"keyword_noise: {query!r}: {shares} must be shares of emotions other than "
                    f"{asked[query]}, summing to less than 1"
                )
        return self


class Pull(SettingsModel):
    """Which photos are searched for, and when a query stops.

    A query ends at the source's last page, at `max_pages`, with `max_per_query` photos, or after a
    page of which less than `stop_below_new` was new to its source and design. A limit that is
    raised later lets the next pull continue; no photo is fetched twice.
    """

    sources: tuple[str, ...] = Field(("pexels", "pixabay"), description="photo sites, or local")
    designs: tuple[Design, ...] = Field(
        ("v1", "v2"), description="v1 asks once for each emotion, v2 by several adjectives"
    )
    max_pages: dict[str, int] = Field(
        {}, validate_default=True, description="source -> pages of a query, if not all it allows"
    )
    per_page: dict[str, int] = Field(
        {}, validate_default=True, description="source -> photos a page, if not all it allows"
    )
    max_per_query: int | None = Field(None, ge=1, description="photos of a query that are enough")
    stop_below_new: float = Field(
        0.10, ge=0, le=1, description="a query ends after a page of which a smaller share is new"
    )
    slow_below_quota: int = Field(
        20, ge=0, description="with fewer requests left, they are spread over the time till more"
    )
    wait_for_quota_s: float = Field(
        0.0,
        ge=0,
        description="a spent quota is waited for if there is more within so many seconds; else its "
        "source is left to the next pull",
    )
    filters: dict[str, dict[str, str]] = Field(
        default={},
        description="source -> what its searches are narrowed by, as the source names it",
    )
    local: str | None = Field(
        None, description="of source local: a folder or CSV below the data folder of the study"
    )
    downloads: int = Field(8, ge=1, le=64, description="photos of a source fetched at a time")
    timeout_s: float = Field(30.0, gt=0, description="of silence, before a request is tried again")
    retries: int = Field(4, ge=0, le=20, description="of a request that failed and may succeed")
    photo_timeout_s: float = Field(
        120.0, gt=0, description="for a whole photo, over all its tries; timeout_s is for silence"
    )
    allow_private_addresses: bool = Field(
        False, description="photos may lie on this machine or in its network, e.g. a lab's server"
    )

    @field_validator("sources")
    @classmethod
    def _sources_are_known(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        for name in given:
            _known_source(name)
        return tuple(dict.fromkeys(given))

    @field_validator("max_pages", "per_page")
    @classmethod
    def _other_sources_keep_theirs(cls, given: dict[str, int], info: ValidationInfo) -> dict:
        usual = {name: getattr(source, str(info.field_name)) for name, source in SOURCES.items()}
        for name, number in given.items():
            most = _known_source(name).per_page if info.field_name == "per_page" else number
            if not 1 <= number <= most:
                raise ValueError(f"{name}: {number} is not from 1 to {max(most, 1)}")
        return usual | given

    @field_validator("filters")
    @classmethod
    def _filters_are_known(cls, given: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        for name, chosen in given.items():
            source = _known_source(name)
            known = source.filters if isinstance(source, WebSource) else {}
            for unknown in chosen.keys() - known.keys():
                raise ValueError(f"{name} has no filter {unknown!r}; it has {', '.join(known)}")
        return given


def _known_source(name: str) -> Source:
    if name not in SOURCES:
        raise ValueError(f"no source {name!r}; sources are {', '.join(SOURCES)}")
    return SOURCES[name]


class Set(SettingsModel):
    """A named collection of faces."""

    kind: Literal["photos", "folder", "fer2013", "rafdb"] = Field(
        description="the form of its files: data/README.md"
    )
    source: str | None = Field(None, description="photos: a source of the pull")
    design: Design | Literal["given"] | None = Field(
        None, description="photos: v1 or v2; given for those of source local"
    )
    path: str | None = Field(None, description="other kinds: below the data folder of the study")
    votes: tuple[str, ...] = Field(
        default=(), description="fer2013: names of the file of FER+'s votes; the first that exists"
    )
    two_labels: Literal["drop", "first", "vote"] = Field(
        "drop", description="photos found under several labels: drop, or by first hit, or most hits"
    )
    gray: bool = Field(False, description="its faces have no colour")
    crop: Literal["detector", "as shipped"] = Field(
        "detector", description="cut out anew as film faces are, or taken as they come"
    )
    role: Literal["train", "test"] = Field("train", description="test sets are never trained on")
    counts: Literal["published", "any"] = Field(
        "published", description="rafdb, real: refuse other numbers of images than the published"
    )

    @model_validator(mode="after")
    def _complete(self) -> Set:
        if self.source is not None:
            _known_source(self.source)
        if self.kind == "photos" and not (self.source and self.design):
            raise ValueError("a set of photos needs `source` and `design`")
        if self.kind == "photos" and (self.source == "local") != (self.design == "given"):
            raise ValueError("photos of source local, and no others, are of design given")
        if self.votes and self.kind != "fer2013":
            raise ValueError("votes are those of FER+, which are on the images of kind fer2013")
        if self.kind != "photos" and not self.path:
            raise ValueError(f"a set of kind {self.kind} needs `path`")
        return self

    @property
    def origin(self) -> tuple[str | None, ...]:
        """Say which images these are, however they are cropped and shown."""
        return (self.kind, self.source, self.design, self.path)


class Crop(SettingsModel):
    """How faces are found and cut out."""

    min_score: float = Field(0.5, ge=0, le=1, description="of the detector, for a find to count")
    margin: float = Field(0.1, ge=0, le=1, description="added on each side, in box widths")
    size: int = Field(128, ge=32, description="side of a stored crop, px")
    align: bool = Field(False, description="turn each crop until its eyes are level")
    primary_only: bool = Field(True, description="only the largest face of an image is kept")
    tiles: int = Field(
        0, ge=0, le=4, description="levels of overlapping tiles, each for faces half as wide"
    )
    retry_border: float = Field(
        0.0, ge=0, le=1, description="border, in longer sides, to retry an image without a face"
    )


class Train(SettingsModel):
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
        description="of frozen layers; drifting is the published fault: they follow batches",
    )
    augmentation: Literal["none", "light", "medium", "heavy", "ddamfn"] = Field(
        "light", description="of training faces: exe_core.augmentation"
    )
    mixup: float = Field(0.0, ge=0, description="alpha of mixup (Zhang et al. 2018); 0: off")
    cutmix: float = Field(0.0, ge=0, description="alpha of CutMix (Yun et al. 2019); 0: off")
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field(
        "adam", description="as in PyTorch"
    )
    sam_rho: float = Field(
        0.0, ge=0, description="radius of sharpness-aware minimisation (Foret et al. 2021); 0: off"
    )
    scheduler: Literal["none", "step", "cosine", "plateau", "exponential"] = Field(
        "none", description="how the learning rate falls"
    )
    warmup_epochs: int = Field(0, ge=0, description="the learning rate rises linearly so long")
    learning_rate: float = Field(3e-4, gt=0, description="at its greatest")
    weight_decay: float = Field(0.0, ge=0, description="of the optimizer")
    clip_norm: float | None = Field(None, gt=0, description="greatest norm of a batch's gradient")
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="of the averaged weights that are saved instead; 0: off"
    )
    loss: Literal["cross-entropy", "generalised-cross-entropy"] = Field(
        "cross-entropy", description="the second is robust to wrong labels"
    )
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="share of a label that is spread over all"
    )
    diversity_weight: float = Field(
        0.1, ge=0, description="of the loss that keeps DDAMFN's attention heads apart"
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
        "grouped", description="modulo is the published fault: every n-th row, whatever its photo"
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled", description="balanced draws with replacement, all classes equally often"
    )
    class_weights: bool = Field(False, description="rare classes weigh more in the loss")
    max_faces: int | None = Field(None, ge=1, description="at most this many training faces")
    keep: Literal["best", "last"] = Field(
        "best", description="epoch that is saved; the published code saved the last"
    )
    flip_average: bool = Field(False, description="average a face's and its mirror's logits")
    seed: int = Field(42, description="of weights, order and augmentation")

    @model_validator(mode="after")
    def _fitting(self) -> Train:
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs}: fewer than epochs {self.epochs}")
        if self.warmup_epochs and self.scheduler == "plateau":
            raise ValueError("warmup_epochs: scheduler plateau has none; take another, or 0")
        return self


class Run(SettingsModel):
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


FILM_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")
"""What the file of a film ends in."""

VALENCE: dict[str, tuple[int | None, ...]] = {
    "angry": (-2, -1),
    "disgust": (-2, -1),
    "fear": (-1, -2),
    "happy": (2,),
    "sad": (-1, -2),
    "surprise": (1, 0, None),
    "neutral": (0,),
}
"""Emotion -> its levels of sentiment, from -2 to 2, that can be defended; the first is used."""


class ExternalModel(SettingsModel):
    """A model that the study did not train and shows its test faces to; its name is enough."""

    model: str = Field(
        pattern=r"^((~|\.{1,2})?/.+|[\w.-]+(/[\w.-]+)?)$",
        description="of data/models by its name; <study>/<run>, a run of another study; or a "
        "folder, from / or ./ on",
    )
    sets: tuple[str, ...] = Field(
        default=(),
        description="sets of this study that it learned from other faces of; known of a run",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_is_enough(cls, given: object) -> object:
        return {"model": given} if isinstance(given, str) else given

    @property
    def is_folder(self) -> bool:
        """Tell a folder from the name of a model."""
        return self.model.startswith(("/", "./", "../", "~/"))


class Factorial(SettingsModel):
    """What undoing each fault of the published pipeline is worth: crop x colour x calibration.

    The runs learned from gray faces. Those of the same place in both lists differ in the crop of
    the faces that they learned from, and in nothing else.
    """

    as_shipped: tuple[str, ...] = Field(
        min_length=1, description="runs that learned from faces as they are shipped, one a seed"
    )
    recropped: tuple[str, ...] = Field(
        min_length=1, description="runs that learned from them as the detector crops them"
    )
    sets: tuple[str, ...] = Field(
        min_length=1, description="sets whose test faces are read; `films`, those of the world"
    )
    correction: Literal["em", "bbse"] = Field(
        "em",
        description="how the shares of the labels are estimated, after calibration by class",
    )
    least_faces: int = Field(
        20, ge=1, description="labels of which a set has fewer faces are left out of its scores"
    )

    def check(self, runs: Mapping[str, Run], sets: Mapping[str, Set]) -> None:
        """Raise a ValueError if the runs are not there or are not what their lists say."""
        if len(self.as_shipped) != len(self.recropped):
            raise ValueError("factorial: as many runs as_shipped as recropped, in the same order")
        listed = [(name, "as shipped") for name in self.as_shipped]
        listed += [(name, "detector") for name in self.recropped]
        for name, crop in listed:
            if name not in runs:
                raise ValueError(f"factorial: no run {name!r}; runs: {', '.join(runs)}")
            run = runs[name]
            if not run.gray or {sets[member].crop for member in run.sets} != {crop}:
                raise ValueError(
                    f"factorial: run {name} must be gray, and learn from sets of crop {crop!r}"
                )


class Films(SettingsModel):
    """Which frames of a film are looked at."""

    path: str | None = Field(None, description="below the data folder of the study")
    every: int = Field(100, ge=1, description="every n-th frame")
    apart: bool = Field(False, description="decode each film in a job of its own, on a cluster")
    event_window_s: float = Field(20.0, gt=0, description="compared before and after a plot event")


Valence = Literal[-2, -1, 0, 1, 2]


class Sentiment(SettingsModel):
    """How pleasant each emotion is taken to be, on a scale of five levels; three are their sign.

    An emotion for which more than one level can be defended lists them all: the first is the
    study's choice, the others show what hangs on it. None drops the emotion.
    """

    set_name: str = Field("rafdb", description="the set on whose test faces it is judged")
    valence: dict[str, tuple[Valence | None, ...]] = Field(
        {},
        validate_default=True,
        description="emotion -> its levels, the study's choice first; others keep theirs",
    )
    faces: int = Field(
        1, ge=1, description="faces of each class, rightly and wrongly read, that are explained"
    )

    @field_validator("valence")
    @classmethod
    def _other_emotions_keep_theirs(cls, given: dict[str, tuple]) -> dict[str, tuple]:
        unknown = [name for name in given if name not in EMOTIONS]
        if unknown or not all(given.values()):
            raise ValueError(f"{given}: one level or more for each of {', '.join(EMOTIONS)}")
        return VALENCE | given


RAW = ("hits", "photos", "requests", "truth", "events")
PROCESSED = ("images", "faces", "splits", "films", "frames")
"""Tables that lie beside what they describe; all others are results."""

READY = ROOT / "data" / "models"
"""Where the models lie that are ready to use, each in a folder of its name."""


class ConfigError(ValueError):
    """A study's settings are not as they must be."""


class Study(SettingsModel):
    """A study, whole. `kind` says whose faces it is about; the two are never mixed."""

    _trial: str | None = PrivateAttr(None)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)
    _inputs: list[Path] = PrivateAttr(default_factory=list)
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="that of its file in configs/")
    kind: Literal["world", "real"] = Field(description="drawn faces, or those of people")
    title: str = Field(description="as the book calls the study")
    labels: tuple[str, ...] = Field(FIVE, description="classes, in the order of the schema")
    seed: int = Field(42, description="of splits, intervals and permutations")
    world: World = World()
    pull: Pull = Pull()
    crop: Crop = Crop()
    train: Train = Train()
    films: Films = Films()
    statistics: Statistics = Statistics()
    sets: dict[str, Set] = Field(min_length=1, description="collections of faces, by name")
    runs: dict[str, Run] = Field(min_length=1, description="models that are trained, by name")
    ensembles: dict[str, tuple[str, ...]] = Field(
        default={}, description="name -> the runs whose answers are combined"
    )
    methods: dict[str, Literal["mean", "weighted", "stack"]] = Field(
        default={}, description="how an ensemble combines its runs; their mean if nothing is said"
    )
    guests: dict[str, ExternalModel] = Field(
        default={}, description="models trained elsewhere that are shown the test faces, too"
    )
    audit: tuple[str, ...] = Field(
        default=(), description="sets that are searched for copies and, with votes, wrong labels"
    )
    factorial: Factorial | None = Field(None, description="the faults of the pipeline, undone")
    sentiment: Sentiment | None = Field(None, description="levels of sentiment, if it is asked")
    published: str | None = Field(
        None, description="published predictions of films, below the data folder"
    )

    @model_validator(mode="before")
    @classmethod
    def _share_seed(cls, given: Any) -> Any:
        """Intervals and permutations start from the study's seed, unless they have another."""
        if not isinstance(given, Mapping) or "seed" not in given:
            return given
        statistics = given.get("statistics") or {}
        if not isinstance(statistics, Mapping):
            return given
        return {**given, "statistics": {"seed": given["seed"], **statistics}}

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        unknown = [label for label in self.labels if label not in EMOTIONS]
        if unknown or len(set(self.labels)) < 2:
            raise ValueError(f"labels {self.labels}: two or more of {', '.join(EMOTIONS)}")
        if list(self.labels) != [label for label in EMOTIONS if label in self.labels]:
            raise ValueError(f"labels must stand in the order {', '.join(EMOTIONS)}")
        for name, run in self.runs.items():
            for member in run.sets:
                if member not in self.sets:
                    raise ValueError(f"run {name}: no set {member!r}; sets: {', '.join(self.sets)}")
                if self.sets[member].role == "test":
                    raise ValueError(f"run {name}: {member} is a test set and is never trained on")
                if run.labels != "given" and not self.sets[member].votes:
                    raise ValueError(f"run {name}: labels {run.labels}, but {member} has no votes")
            if run.labels == "votes" and run.doubtful == "dropped":
                raise ValueError(f"run {name}: doubtful: only of one label a face, not of votes")
            self.recipe(name)
        chosen = {*self.pull.sources, *(entry.source for entry in self.sets.values())}
        if "local" in chosen and not self.pull.local:
            raise ValueError("source local: `pull.local` must say which folder or CSV it is")
        for name, members in self.ensembles.items():
            missing = [member for member in members if member not in self.runs]
            if missing or not members:
                raise ValueError(f"ensemble {name}: no run {missing}; runs: {', '.join(self.runs)}")
        self._check_names()
        for name, guest in self.guests.items():
            self._check_sets(f"guest {name}", guest.sets)
        if self.factorial:
            filmed = self.kind == "world" and self.world.n_films > 0
            faces = [name for name in self.factorial.sets if not (filmed and name == "films")]
            self._check_sets("factorial", faces)
            self.factorial.check(self.runs, self.sets)
        if unaudited := [name for name in self.audit if name not in self.sets]:
            raise ValueError(f"audit: no set {unaudited[0]!r}; sets: {', '.join(self.sets)}")
        if self.sentiment and self.sentiment.set_name not in self.sets:
            raise ValueError(
                f"sentiment: no set {self.sentiment.set_name!r}; sets: {', '.join(self.sets)}"
            )
        stray = set(self.methods) - set(self.ensembles)
        if stray:
            raise ValueError(f"methods: no ensemble {', '.join(sorted(stray))}")
        if "films" in self.traits and set(self.methods.values()) - {"mean"}:
            raise ValueError("methods: an ensemble reads films by its mean only; leave it out")
        return self

    def _check_names(self) -> None:
        kinds: dict[str, Iterable[str]] = {
            "a run": self.runs,
            "an ensemble": self.ensembles,
            "a guest": self.guests,
            "runs of several seeds": self.variants,
        }
        for (one, first), (other, second) in combinations(kinds.items(), 2):
            clash = set(first) & set(second)
            if clash:
                raise ValueError(f"{', '.join(sorted(clash))}: {one} and {other} of one name")

    def _check_sets(self, whose: str, names: Iterable[str]) -> None:
        unknown = [name for name in names if name not in self.sets]
        if unknown:
            raise ValueError(
                f"{whose}: no set {', '.join(sorted(unknown))}; sets: {', '.join(self.sets)}"
            )

    @property
    def variants(self) -> dict[str, tuple[str, ...]]:
        """Name the runs that differ in nothing but their seed: variant -> two runs or more."""
        return seeds_of_one(self.runs, self.train)

    def learned_from(self, name: str) -> frozenset[str]:
        """Say of which sets a run, a variant, an ensemble or a guest learned from other faces.

        A set of the same images in another crop counts, too.
        """
        if name in self.guests:
            origins = self._origins_of_guest(self.guests[name])
        else:
            runs = self.variants.get(name) or self.ensembles.get(name) or (name,)
            origins = {self.sets[member].origin for run in runs for member in self._run(run).sets}
        return frozenset(member for member, entry in self.sets.items() if entry.origin in origins)

    def _origins_of_guest(self, guest: ExternalModel) -> set[tuple[str | None, ...]]:
        origins = {self.sets[member].origin for member in guest.sets}
        if other := _run_of_another(guest):
            study, run = other
            if study.kind == self.kind:
                origins |= {study.sets[member].origin for member in study.runs[run].sets}
        return origins

    def recipe(self, run: str) -> Train:
        """Give the training recipe of a run: the study's, with the run's own differences."""
        return recipe_of(self._run(run), self.train)

    def _run(self, run: str) -> Run:
        if run not in self.runs:
            raise ConfigError(
                f"study {self.name} has no run {run!r}; its runs are {', '.join(self.runs)}"
            )
        return self.runs[run]

    @cached_property
    def data_dir(self) -> Path:
        """The folder that the study's input lies in.

        The world makes its own; a real study is given one by the environment variable `EXE_DATA`.

        Raises
        ------
        ConfigError
            If a real study has none, or it is not there.
        """
        if self.kind == "world":
            mine = (self.raw / "benchmarks").exists() or (self.raw / "films").exists()
            return self.raw if mine else self._folder("raw", of_study=True)
        given = os.environ.get("EXE_DATA")
        if not given:
            raise ConfigError(
                f"study {self.name} reads real data: say where it lies, DATA=<folder> with make, "
                "EXE_DATA=<folder> otherwise; data/README.md says what it must hold and who has it"
            )
        if not Path(given).is_dir():
            raise ConfigError(f"DATA is {given!r}, which is not a folder")
        return Path(given).resolve()

    @property
    def traits(self) -> frozenset[str]:
        """Say what the study is and has: its kind and name; photos, films, claims and so on.

        Stages run, and passages of the book are shown, by these.
        """
        photos = any(entry.kind == "photos" for entry in self.sets.values())
        made = self.kind == "world" and self.world.n_films > 0
        films, claims = made or self.films.path is not None, made or self.published is not None
        has = {"photos": photos, "films": films, "claims": claims}
        has["sentiment"] = self.sentiment is not None
        has["published"] = self.published is not None
        has["audit"] = bool(self.audit)
        has["factorial"] = self.factorial is not None
        return frozenset({self.kind, self.name, *(name for name, there in has.items() if there)})

    def missing(self) -> list[str]:
        """List what a study reads from outside and does not find.

        Raises
        ------
        ConfigError
            If a real study was given no data folder.
        """
        lacking = self._absent_guests()
        if self.kind == "world":
            return lacking
        lacking += [
            f"{name}: {self.data_dir / entry.path}"
            for name, entry in self.sets.items()
            if entry.path and not (self.data_dir / entry.path).exists()
        ]
        lacking += [
            f"{name}, votes: {self.votes(name)}"
            for name, entry in self.sets.items()
            if entry.votes and not self.votes(name).exists()
        ]
        others = {"films": self.films.path, "published": self.published, "local": self.pull.local}
        for name, path in others.items():
            if path and not (self.data_dir / path).exists():
                lacking.append(f"{name}: {self.data_dir / path}")
        sources = {entry.source for entry in self.sets.values() if entry.source}
        for name in sorted(sources):
            variable = SOURCES[name].key_variable
            if variable and SOURCES[name].key_needed and not os.environ.get(variable):
                lacking.append(f"{name}: its API key in the variable {variable}")
        return lacking

    def _absent_guests(self) -> list[str]:
        lacking = []
        for name, guest in self.guests.items():
            if not self.model(name).is_dir():
                other = _run_of_another(guest)
                remedy = f" (make book STUDY={other[0].name} trains it)" if other else ""
                lacking.append(f"guest {name}: {self.model(name)}{remedy}")
        return lacking

    def votes(self, set_name: str) -> Path:
        """Say where the votes on a set lie: under the first of their names that is there."""
        paths = [self.data_dir / name for name in self.sets[set_name].votes]
        return next((path for path in paths if path.exists()), paths[0])

    @property
    def home(self) -> Path:
        """The folder of everything that is computed: `EXE_HOME`, or `data/` of the checkout."""
        return Path(os.environ.get("EXE_HOME", ROOT / "data"))

    def _folder(self, part: str, *, of_study: bool = False) -> Path:
        """The folder `part` of this study, or of this trial of it."""
        folder = self.home / part / self.name
        return folder if of_study or self._trial is None else folder / "trials" / self._trial

    @property
    def trial(self) -> str | None:
        """The name of the trial, if settings depart from the study's file; else None."""
        return self._trial

    @property
    def raw(self) -> Path:
        """Where photos, films and benchmark files that are pulled or drawn go."""
        return self._folder("raw")

    @property
    def processed(self) -> Path:
        """Where crops and the tables of images, faces and splits go."""
        return self._folder("processed")

    @property
    def results(self) -> Path:
        """Where models, predictions, estimates and figures go: what the book shows."""
        return self._folder("results")

    @property
    def labelled(self) -> Path:
        """The photos of this study that a person labelled, if one did: data/README.md."""
        return self.home / "labels" / f"{self.name}.csv"

    def table(self, name: str, *, run: str | None = None) -> Path:
        """Where a table is read from: the trial's if it has one, else the study's.

        Parameters
        ----------
        name
            A key of `exe_core.tables.TABLES`.
        run
            For history and predictions: the run or ensemble.
        """
        mine = self._table(name, run)
        return mine if mine.exists() else self._table(name, run, of_study=True)

    def _table(self, name: str, run: str | None, *, of_study: bool = False) -> Path:
        part = "raw" if name in RAW else "processed" if name in PROCESSED else "results"
        folder = self._folder(part, of_study=of_study)
        return folder / name / f"{run}.parquet" if run else folder / f"{name}.parquet"

    def read(
        self,
        name: str,
        *,
        run: str | None = None,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Collection[object]] | None = None,
    ) -> pd.DataFrame:
        """Read and check a table of the study; see `exe_core.tables.read`.

        Examples
        --------
        >>> load_study("demo").read("predictions", run="rafdb")  # doctest: +SKIP
        """
        path = self.table(name, run=run)
        table = tables.read(path, name=name, columns=columns, where=where)
        self._inputs.append(path)
        return table

    def write(self, table: pd.DataFrame, name: str, *, run: str | None = None) -> pd.DataFrame:
        """Check a table and write it, whole or not at all; a trial writes into its own place."""
        self.keep_trial()
        tables.write(table, self._table(name, run), name=name)
        self._inputs.append(self._table(name, run))
        return table

    def keep_trial(self) -> None:
        """Note what a trial changes in its place, so that later stages can go on with it."""
        if self._trial is not None:
            write_json(self._changes, self.results / "trial.json")

    @property
    def inputs(self) -> list[Path]:
        """The tables that were read or written through this object: what its figures rest on."""
        return sorted(set(self._inputs))

    def model(self, run: str) -> Path:
        """The folder that the weights and the card of a run, or of a guest, are read from.

        Raises
        ------
        ConfigError
            If it is a guest from a study, or a run of one, that is not there.
        """
        if run not in self.guests:
            mine = self.new_model(run)
            is_there = (mine / "card.json").exists()
            return mine if is_there else self._folder("results", of_study=True) / "models" / run
        guest = self.guests[run]
        if other := _run_of_another(guest):
            return other[0].model(other[1])
        folder = Path(guest.model).expanduser()
        return (ROOT / folder).resolve() if guest.is_folder else READY / folder

    def new_model(self, run: str) -> Path:
        """The folder that a training of `run` writes its weights and card into."""
        return self.results / "models" / run

    def _repr_markdown_(self) -> str:
        if self._trial is None:
            return f"Study `{self.name}`: {self.title}."
        return (
            f"**Trial `{self._trial}` of the study `{self.name}`.** It reads the study's tables "
            "where it has none of its own and writes into "
            f"`{self.results.relative_to(self.home)}`; the study stays as it is."
        )


def _run_of_another(guest: ExternalModel) -> tuple[Study, str] | None:
    """Find the study and the run that a guest names; None if it is no run."""
    name, _, run = guest.model.partition("/")
    if guest.is_folder or not run:
        return None
    study = load_study(name)
    study.recipe(run)  # an unknown one is refused
    return study, run


def studies() -> list[str]:
    """List the studies that `configs/` holds."""
    return sorted(path.stem for path in (ROOT / "configs").glob("*.yml"))


def load_study(name: str, *, trial: str | None = None, **parts: dict[str, object]) -> Study:
    """Read and validate a study, or a trial of it.

    A study whose settings depart from its file is a trial: it reads the tables of the study where
    it has none of its own, and writes into `.../<study>/trials/<trial>` only.

    Parameters
    ----------
    name
        `configs/<name>.yml`.
    trial
        A name for the trial; by default it is made of what departs, such as "epochs-2". A trial
        of this name that is there goes on with the settings that it began with.
    **parts
        Parts of the settings that override the file's, e.g. ``train={"epochs": 2}``; keys whose
        value is None are left as they are, so a notebook can pass its parameters through.

    Raises
    ------
    ConfigError
        With the key at fault and what is allowed.

    Examples
    --------
    >>> load_study("smoke", train={"epochs": 2}).train.epochs
    2
    >>> load_study("smoke", train={"epochs": 2}).trial
    'epochs-2'
    """
    path = ROOT / "configs" / f"{name}.yml"
    if not path.is_file():
        raise ConfigError(f"no study {name!r}; there are {', '.join(studies())}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as fault:  # bytes, dates, depth
        raise ConfigError(f"{path.name} is not YAML: {fault}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{path.name} holds {type(settings).__name__}, not keys and values")
    study = parse_study({"name": name, **settings}, origin=path.name)
    kept = {
        part: changes if not isinstance(changes, Mapping) else _given(changes)
        for part, changes in parts.items()
        if changes is not None
    }
    if trial is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,80}", trial):
        raise ConfigError(f"trial {trial!r}: letters, digits, '.', '_' and '-', at most 81")
    begun = _begun(study, trial)
    changed = _merged(_merged(settings, begun), kept)
    other = parse_study({"name": name, **changed}, origin=path.name)
    departs = _departures(study.model_dump(mode="json"), other.model_dump(mode="json"))
    if trial is None and not departs:
        return study
    other._trial = trial or _name_of(departs)
    other._changes = _merged(begun, kept)
    return other


def _given(changes: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in changes.items() if value is not None}


def _merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with `changes` put over them, one level deep."""
    merged = dict(settings)
    for part, change in changes.items():
        is_part = isinstance(change, Mapping)
        merged[part] = {**(settings.get(part) or {}), **change} if is_part else change
    return merged


def _begun(study: Study, trial: str | None) -> dict[str, Any]:
    """What a trial of this name that is there already changed."""
    path = study.results / "trials" / str(trial) / "trial.json"
    return json.loads(path.read_text(encoding="utf-8")) if trial and path.exists() else {}


def _departures(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, object]:
    """The settings that differ: {"epochs": 2}, by the last part of their name."""
    changed: dict[str, object] = {}
    for key, value in after.items():
        if isinstance(value, Mapping) and isinstance(before.get(key), Mapping):
            changed |= _departures(before[key], value)
        elif value != before.get(key):
            changed[key] = value
    return changed


def _name_of(departures: Mapping[str, object]) -> str:
    """Name a trial by what departs; a long name is cut and told apart by its digest."""
    text = "-".join(f"{key}-{value}" for key, value in sorted(departures.items()))
    plain = re.sub(r"[^\w.-]+", "_", text)
    return plain if len(plain) <= 60 else f"{plain[:50]}-{digest_of(text)[:8]}"


def parse_study(settings: dict[str, object], *, origin: str = "settings") -> Study:
    """Validate the settings of a study; `origin` names them in an error."""
    try:
        return Study.model_validate(settings)
    except ValidationError as faults:
        lines = [_explain(fault) for fault in faults.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from None


def _explain(fault: Mapping[str, Any]) -> str:
    where = ".".join(str(step) for step in fault["loc"]) or "study"
    if fault["type"] == "extra_forbidden":
        return f"{where}: no such key ({_known_keys(fault['loc'][:-1])})"
    return f"{where}: {fault['msg']} (given: {str(fault['input'])[:80]})"


def _known_keys(where: tuple) -> str:
    """List the keys of a part of the settings, found by its path: ("sets", "fer2013")."""
    part: Any = Study
    for step in where:
        field = part.model_fields.get(step) if part is not None else None
        within = (
            {"sets": Set, "runs": Run, "guests": ExternalModel}.get(step) if part is Study else None
        )
        annotation = within or (
            field.annotation if field else part if part in (Set, Run, ExternalModel) else None
        )
        part = annotation if hasattr(annotation, "model_fields") else None
    return "known: " + ", ".join(part.model_fields) if part else "see exe_core/settings"
