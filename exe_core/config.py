"""A study: its settings, validated, and the place of every file.

Settings are defaults < `configs/<study>.yml` < the parameters of a notebook. A key that is not
known here is refused, so a mistyped one can't silently leave a default in force.
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from exe_core.schema import EMOTIONS, FIVE

ROOT = Path(__file__).resolve().parents[1]
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


class ConfigError(ValueError):
    """A study's settings are not as they must be."""


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


class Study(Part):
    """A study, whole. `kind` says whose faces it is about; the two are never mixed."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    kind: Literal["world", "real"]
    title: str
    labels: tuple[str, ...] = FIVE
    seed: int = 42
    world: World = World()
    pull: Pull = Pull()
    crop: Crop = Crop()
    train: Train = Train()
    films: Films = Films()
    statistics: Statistics = Statistics()
    sets: dict[str, Set] = Field(min_length=1)
    runs: dict[str, Run] = Field(min_length=1)
    ensembles: dict[str, tuple[str, ...]] = {}
    published: str | None = Field(
        None, description="published predictions of films, below the data folder"
    )

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
            self.recipe(name)
        for name, members in self.ensembles.items():
            missing = [member for member in members if member not in self.runs]
            if missing or not members:
                raise ValueError(f"ensemble {name}: no run {missing}; runs: {', '.join(self.runs)}")
        clash = set(self.ensembles) & set(self.runs)
        if clash:
            raise ValueError(f"{', '.join(sorted(clash))}: a run and an ensemble of one name")
        return self

    def recipe(self, run: str) -> Train:
        """Give the training recipe of a run: the study's, with the run's own differences."""
        return Train.model_validate({**self.train.model_dump(), **self._run(run).train})

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
            return self.raw
        given = os.environ.get("EXE_DATA")
        if not given:
            raise ConfigError(
                f"study {self.name} reads real data: say where it lies, DATA=<folder> with make, "
                "EXE_DATA=<folder> otherwise; data/README.md says what it must hold and who has it"
            )
        if not Path(given).is_dir():
            raise ConfigError(f"DATA is {given!r}, which is not a folder")
        return Path(given).resolve()

    def missing(self) -> list[str]:
        """List what a study reads from outside and does not find.

        Raises
        ------
        ConfigError
            If a real study was given no data folder.
        """
        if self.kind == "world":
            return []
        lacking = [
            f"{name}: {self.data_dir / entry.path}"
            for name, entry in self.sets.items()
            if entry.path and not (self.data_dir / entry.path).exists()
        ]
        for name, path in (("films", self.films.path), ("published", self.published)):
            if path and not (self.data_dir / path).exists():
                lacking.append(f"{name}: {self.data_dir / path}")
        sources = {entry.source for entry in self.sets.values() if entry.kind == "photos"}
        for source in sorted(sources):
            if not os.environ.get(f"{source.upper()}_API_KEY"):
                lacking.append(f"{source}: its API key in the variable {source.upper()}_API_KEY")
        return lacking

    @property
    def _base(self) -> Path:
        return Path(os.environ.get("EXE_HOME", ROOT / "data"))

    @property
    def raw(self) -> Path:
        """What was pulled or made: photos, films, benchmark files."""
        return self._base / "raw" / self.name

    @property
    def processed(self) -> Path:
        """Crops and the tables of images, faces and splits."""
        return self._base / "processed" / self.name

    @property
    def results(self) -> Path:
        """Models, predictions, estimates, figures: what the book shows."""
        return self._base / "results" / self.name

    def table(self, name: str, *, run: str | None = None) -> Path:
        """Say where a table lies; per-run tables are named by their run.

        Parameters
        ----------
        name
            A key of `exe_core.schema.TABLES`.
        run
            For history and predictions: the run or ensemble.
        """
        raw = ("hits", "photos", "requests", "truth", "events")
        processed = ("images", "faces", "splits", "films", "frames")
        folder = self.raw if name in raw else self.processed if name in processed else self.results
        return folder / name / f"{run}.parquet" if run else folder / f"{name}.parquet"

    def model(self, run: str) -> Path:
        """Say in which folder the weights and the card of a run lie."""
        return self.results / "models" / run


def studies() -> list[str]:
    """List the studies that `configs/` holds."""
    return sorted(path.stem for path in (ROOT / "configs").glob("*.yml"))


def load_study(name: str, **parts: dict[str, object]) -> Study:
    """Read and validate a study.

    Parameters
    ----------
    name
        `configs/<name>.yml`.
    **parts
        Parts of the settings that override the file's, e.g. ``train={"epochs": 2}``; keys whose
        value is None are left as they are, so a notebook can pass its parameters through.

    Raises
    ------
    ConfigError
        With the key at fault and what is allowed.
    """
    path = ROOT / "configs" / f"{name}.yml"
    if not path.is_file():
        raise ConfigError(f"no study {name!r}; there are {', '.join(studies())}")
    try:
        settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as fault:
        raise ConfigError(f"{path.name} is not YAML: {fault}") from None
    if not isinstance(settings, dict):
        raise ConfigError(f"{path.name} holds {type(settings).__name__}, not keys and values")
    for part, changes in parts.items():
        kept = {key: value for key, value in changes.items() if value is not None}
        settings[part] = {**(settings.get(part) or {}), **kept}
    return parse_study({"name": name, **settings}, origin=path.name)


def parse_study(settings: dict[str, object], *, origin: str = "settings") -> Study:
    """Validate the settings of a study; `origin` names them in an error."""
    try:
        return Study.model_validate(settings)
    except ValidationError as faults:
        lines = [_explain(fault) for fault in faults.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from None


def _explain(fault: dict) -> str:
    where = ".".join(str(step) for step in fault["loc"]) or "study"
    if fault["type"] == "extra_forbidden":
        return f"{where}: no such key ({_known_keys(fault['loc'][:-1])})"
    return f"{where}: {fault['msg']} (given: {str(fault['input'])[:80]})"


def _known_keys(where: tuple) -> str:
    model: type[BaseModel] | None = Study
    for step in where:
        field = model.model_fields.get(step) if model else None
        entry = {"sets": Set, "runs": Run}.get(step) if model is Study else None
        annotation = field.annotation if field else None
        if entry:
            model = entry
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
    return "known: " + ", ".join(model.model_fields) if model else "see exe_core/config.py"
