"""Settings of the faces: the world that makes them, their pull, their sets, their crops."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from exe_core.photo_sites import SOURCES, Source, WebSource
from exe_core.schema import EMOTIONS
from exe_core.settings.part import Part

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


class World(Part):
    """What the synthetic world holds, and how noisy its keywords are."""

    n_films: int = Field(12, ge=0, le=200, description="0 for a study of faces alone")
    film_seconds: float = Field(180.0, ge=5, description="length of a film")
    fps: int = Field(24, ge=1, le=60, description="frames a second in the film's file")
    renders_per_second: float = Field(
        1.0, gt=0, description="pictures that are drawn; the frames between repeat them"
    )
    film_size: tuple[int, int] = Field((640, 360), description="width, height, px")
    photos_per_query: dict[Design, int] = Field(
        default={"v1": 60, "v2": 30}, description="design -> photos that its site has of each query"
    )
    photo_size: tuple[int, int] = Field((640, 480), description="width, height, px")
    keyword_noise: dict[str, dict[str, float]] = Field(
        default={},
        description="query -> emotion -> share of its photos that show that emotion instead of "
        "the one asked for; shares of a query sum to less than 1",
    )
    faces_per_photo: tuple[float, float, float] = Field(
        (0.10, 0.65, 0.25), description="shares of photos with no face, one and two"
    )
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

    sources: tuple[str, ...] = Field(("pexels", "pixabay"), description="photo sites, or local")
    designs: tuple[Design, ...] = Field(
        ("v1", "v2"), description="v1 asks once for each emotion, v2 by several adjectives"
    )
    max_pages: dict[str, int] = Field(
        {},
        validate_default=True,
        description="source -> pages of a query; its own if nothing is said",
    )
    per_page: dict[str, int] = Field(
        {}, validate_default=True, description="as many as a source gives, if nothing is said"
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


class Set(Part):
    """A named collection of faces."""

    kind: Literal["photos", "folder", "fer2013", "rafdb"] = Field(
        description="the form of its files: data/README.md"
    )
    source: str | None = Field(None, description="photos: a source of the pull")
    design: Design | Literal["given"] | None = Field(
        None, description="photos: v1 or v2; those of source local have the labels they are given"
    )
    path: str | None = Field(None, description="other kinds: below the data folder of the study")
    votes: tuple[str, ...] = Field(
        default=(),
        description="fer2013: the votes of FER+, below the data folder of the study; of several "
        "names the first that is there",
    )
    two_labels: Literal["drop", "first", "vote"] = Field(
        "drop",
        description="photos: one that was found under several labels is left out, takes the label "
        "of its earliest hit, or that of most of its hits",
    )
    gray: bool = Field(False, description="its faces have no colour")
    crop: Literal["detector", "as shipped"] = Field(
        "detector", description="cut out anew as film faces are, or taken as they come"
    )
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

    min_score: float = Field(0.5, ge=0, le=1, description="of the detector, for a find to count")
    margin: float = Field(0.1, ge=0, le=1, description="added on each side, in box widths")
    size: int = Field(128, ge=32, description="longer side of a stored crop, px")
    square: bool = Field(True, description="else crops keep the proportions of their boxes")
    align: bool = Field(False, description="turn each crop until its eyes are level")
    primary_only: bool = Field(True, description="only the largest face of an image is kept")
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
