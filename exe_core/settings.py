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


class Part(BaseModel):
    """A part of the settings: unknown keys are refused, values can't be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class World(Part):
    """What the synthetic world holds, and how noisy its keywords are."""

    n_films: int = Field(12, ge=1, le=200)
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
    """Which photos are searched for, and when a query stops."""

    sources: tuple[Literal["pexels", "pixabay"], ...] = ("pexels", "pixabay")
    designs: tuple[Design, ...] = ("v1", "v2")
    max_pages: dict[str, int] = {"pexels": 10, "pixabay": 4}
    per_page: dict[str, int] = {"pexels": 80, "pixabay": 200}
    max_per_query: int | None = Field(None, ge=1)
    stop_below_new: float = Field(0.10, ge=0, le=1)
    slow_below_quota: int = Field(20, ge=0)
    timeout_s: float = Field(30.0, gt=0)
    retries: int = Field(4, ge=0, le=20)

    @field_validator("max_pages", "per_page")
    @classmethod
    def _other_sources_keep_theirs(cls, given: dict[str, int], info: ValidationInfo) -> dict:
        return {**cls.model_fields[str(info.field_name)].default, **given}


class Set(Part):
    """A named collection of faces."""

    kind: Literal["photos", "folder", "fer2013", "rafdb"]
    source: str | None = Field(None, description="photos: pexels or pixabay")
    design: Design | None = Field(None, description="photos: v1 or v2")
    path: str | None = Field(None, description="other kinds: below the data folder of the study")
    gray: bool = False
    crop: Literal["detector", "as shipped"] = "detector"
    role: Literal["train", "test"] = Field("train", description="test sets are never trained on")

    @model_validator(mode="after")
    def _complete(self) -> Set:
        if self.kind == "photos" and not (self.source and self.design):
            raise ValueError("a set of photos needs `source` and `design`")
        if self.kind != "photos" and not self.path:
            raise ValueError(f"a set of kind {self.kind} needs `path`")
        return self


class Crop(Part):
    """How faces are found and cut out."""

    min_score: float = Field(0.5, ge=0, le=1)
    margin: float = Field(0.1, ge=0, le=1, description="added on each side, in box widths")
    size: int = Field(128, ge=32, description="stored crops are square, this many pixels")
    primary_only: bool = True
    retry_border: float = Field(
        0.0,
        ge=0,
        le=1,
        description="an image without a face is tried again with a border of this many longer "
        "sides: the detector misses faces that fill the picture",
    )


class Train(Part):
    """A training recipe; the defaults are the published one."""

    model: str = "resnet18"
    weights: Literal["imagenet", "none"] = "imagenet"
    size: int = Field(224, ge=16, le=512)
    trainable: Literal["all", "layer3+layer4+fc"] = "layer3+layer4+fc"
    augmentation: Literal["none", "light", "medium", "heavy"] = "light"
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    scheduler: Literal["none", "step", "cosine", "plateau"] = "none"
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    epochs: int = Field(30, ge=1)
    batch_size: int = Field(32, ge=1)
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of the passes in training; weights and scores stay fp32"
    )
    val_share: float = Field(0.2, gt=0, lt=1)
    class_weights: bool = False
    max_faces: int | None = Field(None, ge=1, description="at most this many training faces")
    keep: Literal["best", "last"] = Field("best", description="which epoch is saved and reported")
    seed: int = 42


class Run(Part):
    """One trained model: the sets it learns from, and what differs from the study's recipe."""

    sets: tuple[str, ...] = Field(min_length=1)
    gray: bool = Field(False, description="faces are shown in gray, in training and in use")
    train: dict[str, object] = {}


class Films(Part):
    """Which frames of a film are looked at."""

    path: str | None = Field(None, description="below the data folder of the study")
    every: int = Field(100, ge=1)
    event_window_s: float = Field(20.0, gt=0)


class Statistics(Part):
    """How intervals and p-values are made."""

    level: float = Field(0.95, gt=0.5, lt=1)
    n_bootstrap: int = Field(1000, ge=50)
    n_permutations: int = Field(2000, ge=50)
