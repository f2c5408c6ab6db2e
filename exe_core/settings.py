"""The parts of a study's settings: what each may be, and what it is if nothing is said.

The defaults are the published design wherever it has one.
"""

from __future__ import annotations

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from exe_core.photo_sites import SOURCES, Source, WebSource
from exe_core.schema import EMOTIONS

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


class Part(BaseModel):
    """A part of the settings: unknown keys are refused, values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class World(Part):
    """What the synthetic world holds, and how noisy its keywords are."""

    n_films: int = Field(12, ge=0, le=200, description="0 for a study of faces alone")
    film_seconds: float = Field(180.0, ge=5)
    fps: int = Field(24, ge=1, le=60)
    renders_per_second: float = Field(1.0, gt=0)
    film_size: tuple[int, int] = (640, 360)
    photos_per_query: dict[Design, int] = {"v1": 60, "v2": 30}
    photo_size: tuple[int, int] = (640, 480)
    keyword_noise: dict[str, dict[str, float]] = Field(
        default={},
        description="query -> emotion -> share of its photos that show that emotion instead of "
        "the one asked for; shares of a query sum to less than 1",
    )
    faces_per_photo: tuple[float, float, float] = (0.10, 0.65, 0.25)
    duplicate_share: float = Field(
        0.1, ge=0, le=1, description="share of a query's photos that another query gives too"
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


class Pull(Part):
    """Which photos are searched for, and when a query stops.

    A query ends where its source does, at `max_pages`, when `max_per_query` of its photos are
    known, or after a page of which less than `stop_below_new` was new to its source and design.
    Raised later, either limit lets the next pull go on: from the page that was cut, which is asked
    for again, to those after it; no photo is fetched twice.
    """

    sources: tuple[str, ...] = ("pexels", "pixabay")
    designs: tuple[Design, ...] = ("v1", "v2")
    max_pages: dict[str, int] = Field({}, validate_default=True)
    per_page: dict[str, int] = Field(
        {}, validate_default=True, description="as many as a source gives, if nothing is said"
    )
    max_per_query: int | None = Field(None, ge=1)
    stop_below_new: float = Field(0.10, ge=0, le=1)
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
    timeout_s: float = Field(30.0, gt=0)
    retries: int = Field(4, ge=0, le=20)
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


class Set(Part):
    """A named collection of faces."""

    kind: Literal["photos", "folder", "fer2013", "rafdb"]
    source: str | None = Field(None, description="photos: a source of the pull")
    design: Design | Literal["given"] | None = Field(
        None, description="photos: v1 or v2; those of source local have the labels they are given"
    )
    path: str | None = Field(None, description="other kinds: below the data folder of the study")
    votes: str | None = Field(
        None, description="fer2013: the votes of FER+, below the data folder of the study"
    )
    two_labels: Literal["drop", "first", "vote"] = Field(
        "drop",
        description="photos: one that was found under several labels is left out, takes the label "
        "of its earliest hit, or that of most of its hits",
    )
    gray: bool = False
    crop: Literal["detector", "as shipped"] = "detector"
    role: Literal["train", "test"] = Field("train", description="test sets are never trained on")
    counts: Literal["published", "any"] = Field(
        "published",
        description="rafdb, in a study of real faces: other numbers of images than the published "
        "ones are refused",
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


class Crop(Part):
    """How faces are found and cut out."""

    min_score: float = Field(0.5, ge=0, le=1)
    margin: float = Field(0.1, ge=0, le=1, description="added on each side, in box widths")
    size: int = Field(128, ge=32, description="longer side of a stored crop, px")
    square: bool = Field(True, description="else crops keep the proportions of their boxes")
    align: bool = Field(False, description="turn each crop until its eyes are level")
    primary_only: bool = True
    tiles: int = Field(
        0,
        ge=0,
        le=4,
        description="levels of overlapping tiles that are searched for faces besides the whole "
        "image, each for faces of half the size: the detector misses those under 15 % of its width",
    )
    retry_border: float = Field(
        0.0,
        ge=0,
        le=1,
        description="an image without a face is tried again with a border of this many longer "
        "sides: the detector misses faces that fill the picture",
    )


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
    weights: Literal["imagenet", "msceleb", "none"] = "imagenet"
    size: int = Field(224, ge=16, le=512)
    trainable: Literal["all", "layer3+layer4+fc"] = "layer3+layer4+fc"
    batch_norm: Literal["frozen", "drifting"] = Field(
        "frozen",
        description="of layers that do not learn; drifting is the published fault: their running "
        "mean and variance follow the batches, away from the weights that they belong to",
    )
    augmentation: Literal["none", "light", "medium", "heavy", "ddamfn"] = "light"
    mixup: float = Field(
        0.0, ge=0, description="alpha of mixup (Zhang et al. 2018); 0 turns it off"
    )
    cutmix: float = Field(
        0.0, ge=0, description="alpha of CutMix (Yun et al. 2019); with mixup, each batch draws one"
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    sam_rho: float = Field(
        0.0,
        ge=0,
        description="radius of sharpness-aware minimisation (Foret et al. 2021), which "
        "passes each batch twice; 0 turns it off",
    )
    scheduler: Literal["none", "step", "cosine", "plateau", "exponential"] = "none"
    warmup_epochs: int = Field(0, ge=0, description="the learning rate rises linearly so long")
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
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
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    diversity_weight: float = Field(
        0.1,
        ge=0,
        description="of the loss that keeps the attention heads of DDAMFN apart, beside the "
        "cross-entropy; other networks have none",
    )
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=1)
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of the passes in training; weights and scores stay fp32"
    )
    compiled: bool = Field(False, description="pass batches through torch.compile")
    val_share: float = Field(0.2, gt=0, lt=1)
    split: Literal["grouped", "modulo"] = Field(
        "grouped",
        description="modulo is the published fault: the val faces are every so-manieth row, so "
        "faces of one photo lie on both sides; test faces stay those of the grouped split",
    )
    sampling: Literal["shuffled", "balanced"] = Field(
        "shuffled",
        description="balanced draws each face with replacement, all classes equally often",
    )
    class_weights: bool = False
    max_faces: int | None = Field(None, ge=1, description="at most this many training faces")
    keep: Literal["best", "last"] = Field(
        "best",
        description="which epoch is saved and reported; the published code saved the last and "
        "reported the best",
    )
    flip_average: bool = Field(
        False, description="answer with the mean of a face and its mirror image, now and in use"
    )
    seed: int = 42

    @model_validator(mode="after")
    def _fitting(self) -> Train:
        if self.warmup_epochs >= self.epochs and self.warmup_epochs:
            raise ValueError(f"warmup_epochs {self.warmup_epochs}: fewer than epochs {self.epochs}")
        if self.warmup_epochs and self.scheduler == "plateau":
            raise ValueError("warmup_epochs: scheduler plateau has none; take another, or 0")
        return self


class Run(Part):
    """One trained model: the sets it learns from, and what differs from the study's recipe."""

    sets: tuple[str, ...] = Field(min_length=1)
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
    train: dict[str, object] = {}


class Films(Part):
    """Which frames of a film are looked at."""

    path: str | None = Field(None, description="below the data folder of the study")
    every: int = Field(100, ge=1)
    event_window_s: float = Field(20.0, gt=0)


Valence = Literal[-2, -1, 0, 1, 2]


class Sentiment(Part):
    """How pleasant each emotion is taken to be, on a scale of five levels; three are their sign.

    An emotion for which more than one level can be defended lists them all: the first is the
    study's choice, the others show what hangs on it. None drops the emotion.
    """

    set_name: str = Field("rafdb", description="the set on whose test faces it is judged")
    valence: dict[str, tuple[Valence | None, ...]] = Field({}, validate_default=True)
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


class Statistics(Part):
    """How intervals and p-values are made."""

    level: float = Field(0.95, gt=0.5, lt=1)
    n_bootstrap: int = Field(1000, ge=50)
    n_permutations: int = Field(2000, ge=50)
