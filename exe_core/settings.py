"""The settings of a study: what each part may hold, its defaults, and what they mean.

The defaults are those of the published study.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from exe_core.labels import EMOTIONS
from exe_core.sources import SOURCES


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
    film_size: tuple[int, int] = Field((640, 360), description="width, height, px")
    photos_per_query: dict[Design, int] = Field({"v1": 60, "v2": 30}, description="by design")
    photo_size: tuple[int, int] = Field((640, 480), description="width, height, px")
    keyword_noise: dict[str, dict[str, float]] = Field(
        {}, description="query -> other emotion -> share of its photos that show it instead"
    )
    benchmark_faces: int = Field(150, ge=4, description="training faces a class and benchmark set")
    benchmark_test_faces: int = Field(40, ge=2, description="test faces a class")

    @field_validator("keyword_noise")
    @classmethod
    def _noise_is_known(cls, given: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        named = [pair for design in KEYWORDS.values() for pair in design.items()]
        for query, shares in given.items():
            others = {*EMOTIONS} - {emotion for emotion, queries in named if query in queries}
            if others == {*EMOTIONS}:
                raise ValueError(f"{query!r} is no query of the designs v1 and v2")
            if not shares.keys() <= others or min(shares.values()) < 0 or sum(shares.values()) >= 1:
                raise ValueError(f"{query!r}: needed are shares of other emotions, below 1 in all")
        return given


class Pull(SettingsModel):
    """Which photos are searched for, and when a query stops.

    A query ends at the source's last page, with `max_per_query` photos, or after a page of which
    less than `stop_below_new` was new to its source and design. A limit that is raised later lets
    the next pull continue; no photo is fetched twice.
    """

    sources: tuple[str, ...] = Field(("pexels", "pixabay"), description="photo sites")
    designs: tuple[Design, ...] = Field(("v1", "v2"), description="queries: `KEYWORDS`")
    per_page: dict[str, int] = Field({}, description="source -> photos; else the most it gives")
    max_per_query: int | None = Field(None, ge=1, description="photos of a query that are enough")
    stop_below_new: float = Field(0.10, ge=0, le=1, description="least share of new photos a page")
    wait_for_quota_s: float = Field(0.0, ge=0, description="wait so long at most for a new quota")
    filters: dict[str, dict[str, str]] = Field({}, description="source -> its filter -> value")

    @model_validator(mode="after")
    def _known_to_the_sources(self) -> Pull:
        for name in (*self.sources, *self.per_page, *self.filters):
            _refuse_unknown_source(name)
        if len({*self.sources}) < len(self.sources):
            raise ValueError(f"sources: one is named twice among {', '.join(self.sources)}")
        for name, number in self.per_page.items():
            if not 1 <= number <= (most := SOURCES[name].per_page):
                raise ValueError(f"{name}: {number} is not from 1 to {most}")
        for name, chosen in self.filters.items():
            known = SOURCES[name].filters
            for unknown in chosen.keys() - known.keys():
                raise ValueError(f"{name} has no filter {unknown!r}; it has {', '.join(known)}")
        return self


def _refuse_unknown_source(name: str) -> None:
    if name not in SOURCES:
        raise ValueError(
            f"no source {name!r}; sources are {', '.join(SOURCES)}. Photos of your own need no "
            "pull: `sets: {mine: {kind: folder, path: my-photos}}`"
        )


class Set(SettingsModel):
    """A named collection of faces."""

    kind: Literal["photos", "folder", "fer2013", "rafdb", "imfdb", "keywords", "sfew"] = Field(
        description="the form of its files: data/README.md"
    )
    source: str | None = Field(None, description="photos: a source of the pull")
    design: Design | None = Field(None, description="photos: of the pull")
    path: str | None = Field(None, description="other kinds: below the data folder of the study")
    votes: tuple[str, ...] = Field((), description="fer2013: file of FER+'s votes, or others of it")
    persons: tuple[str, ...] = Field((), description="imfdb: only these actors")
    without_persons: tuple[str, ...] = Field((), description="imfdb: all actors but these")
    gray: bool = Field(False, description="its faces have no colour")
    crop: Literal["detector", "as shipped"] = Field(
        "detector", description="cut out anew as film faces are, or taken as they come"
    )
    role: Literal["train", "test"] = Field("train", description="test sets are never trained on")

    @model_validator(mode="after")
    def _complete(self) -> Set:
        if self.source is not None:
            _refuse_unknown_source(self.source)
        if self.kind == "photos" and not (self.source and self.design):
            raise ValueError("a set of photos needs `source` and `design`")
        of_kind = {"votes": "fer2013", "persons": "imfdb", "without_persons": "imfdb"}
        for name, kind in of_kind.items():
            if getattr(self, name) and self.kind != kind:
                raise ValueError(f"{name} are of sets of kind {kind}, not {self.kind}")
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
    primary_only: bool = Field(True, description="only the largest face of an image is kept")
    retry_border: float = Field(0.0, ge=0, le=1, description="border to retry without a face")


class Train(SettingsModel):
    """A training recipe; the defaults are the published one, and what goes beyond it is off."""

    model: str = Field("resnet18", description="of exe_core.models, or timm:<name>")
    weights: Literal["imagenet", "msceleb", "none"] = Field("imagenet", description="none: random")
    size: int = Field(224, ge=16, le=512, description="side of the network's input, px")
    trainable: Literal["all", "layer3+layer4+fc", "upper+fc"] = Field(
        "layer3+layer4+fc", description="layers that learn"
    )
    frozen_copies: int = Field(0, ge=0, description="of a face, kept after frozen layers; 0: none")
    augmentation: Literal["none", "light", "medium", "heavy", "ddamfn"] = Field(
        "light", description="of training faces: exe_core.augmentation"
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="as in PyTorch")
    sam_rho: float = Field(0.0, ge=0, description="radius of SAM (Foret et al. 2021); 0: off")
    scheduler: Literal["none", "cosine", "exponential"] = Field(
        "none", description="how the learning rate falls"
    )
    warmup_epochs: int = Field(0, ge=0, description="the learning rate rises linearly so long")
    learning_rate: float = Field(3e-4, gt=0, description="at its greatest")
    weight_decay: float = Field(0.0, ge=0, description="of the optimizer")
    clip_norm: float | None = Field(None, gt=0, description="greatest norm of a batch's gradient")
    ema_decay: float = Field(0.0, ge=0, lt=1, description="of averaged weights; 0: off")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="share spread over all labels")
    diversity_weight: float = Field(0.1, ge=0, description="that keeps DDAMFN's heads apart")
    epochs: int = Field(30, ge=1, description="passes over the training faces")
    steps: int | None = Field(None, ge=1, description="batches an epoch; else each face once")
    batch_size: int = Field(32, ge=1, description="faces at a time")
    precision: Literal["fp32", "bf16"] = Field("fp32", description="of the passes in training")
    val_share: float = Field(0.2, gt=0, lt=1, description="of the faces, for choosing the epoch")
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled", description="balanced: with replacement, all classes equally often"
    )
    max_faces: int | None = Field(None, ge=1, description="at most this many training faces")
    flip_average: bool = Field(False, description="average a face's and its mirror's logits")
    seed: int = Field(42, description="of weights, order and augmentation")

    @model_validator(mode="after")
    def _fitting(self) -> Train:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs}: fewer than epochs {self.epochs}")
        if self.frozen_copies and self.trainable == "all":
            raise ValueError("frozen_copies: only where layers are frozen, not with trainable all")
        return self


class Run(SettingsModel):
    """One trained model: the sets it learns from, and what differs from the study's recipe."""

    sets: tuple[str, ...] = Field(min_length=1, description="of the study, that it learns from")
    gray: bool = Field(False, description="faces are shown in gray, in training and in use")
    reduced: int | None = Field(None, ge=8, description="and reduced to this side first, px")
    collections: tuple[str, ...] = Field((), description="keywords: only of these repositories")
    match: str | None = Field(None, description="as many faces of each label as this set has")
    labels: Literal["given", "votes"] = Field(
        "given", description="learned from: those of the sets, or the shares of their `votes`"
    )
    doubtful: Literal["kept", "dropped"] = Field(
        "kept", description="faces whose label confident learning doubts (Northcutt et al. 2021)"
    )
    train: dict[str, object] = Field(default={}, description="what differs from the study's recipe")


class Films(SettingsModel):
    """Which frames of a film are looked at."""

    path: str | None = Field(None, description="below the data folder of the study")
    every: int = Field(100, ge=1, description="every n-th frame")
    event_window_s: float = Field(20.0, gt=0, description="compared before and after a plot event")


class Scoring(SettingsModel):
    """Which film faces are scored in the film study, and what their intervals resample."""

    labels: tuple[str, ...] = Field((), description="faces scored; default: those of the study")
    min_side: int = Field(32, ge=1, description="least shorter side of a face's picture, px")
    unit: Literal["actor and film", "actor", "film"] = Field(
        "actor and film", description="what intervals resample"
    )


class Sentiment(SettingsModel):
    """Faces read as sentiment, on the levels of `exe_core.sentiment`."""

    set_name: str = Field("rafdb", description="the set on whose test faces it is judged")
