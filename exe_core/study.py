"""A study: its settings, validated, the place of every file, and its tables.

Settings are defaults < `configs/<study>.yml` < the parameters of a notebook. An unknown key is
refused, so that a mistyped one can't silently leave a default in force. Settings that depart from
the file make a trial, which has a place of its own and leaves the study as it is.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import yaml
from pydantic import Field, PrivateAttr, ValidationError, model_validator

from exe_core import settings, tables
from exe_core.labels import EMOTIONS, FIVE
from exe_core.record import READY, ROOT, digest_of, write_json
from exe_core.resampling import Statistics
from exe_core.sources import SOURCES

log = logging.getLogger(__name__)

RAW = ("hits", "photos", "requests", "truth", "events")
PROCESSED = ("images", "faces", "splits", "attributes", "films", "frames", "film_faces")
"""Tables that lie beside what they describe; all others are results."""


class ConfigError(ValueError):
    """A study's settings are not as they must be."""


class Study(settings.SettingsModel):
    """A study, whole. `kind` says whose faces it is about; the two are never mixed."""

    _trial: str | None = PrivateAttr(None)
    _changes: dict[str, Any] = PrivateAttr(default_factory=dict)
    _is_named: bool = PrivateAttr(default=False)  # on the page of its notebook
    _inputs: list[Path] = PrivateAttr(default_factory=list)
    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$", description="that of its file in configs/")
    kind: Literal["world", "real"] = Field(description="drawn faces, or those of people")
    title: str = Field(description="as the book calls the study")
    labels: tuple[str, ...] = Field(FIVE, description="classes, in the order of the schema")
    seed: int = Field(42, description="of splits and of the world")
    world: settings.World = settings.World()
    pull: settings.Pull = settings.Pull()
    crop: settings.Crop = settings.Crop()
    train: settings.Train = settings.Train()
    films: settings.Films = settings.Films()
    statistics: Statistics = Statistics()
    scoring: settings.Scoring = settings.Scoring()
    sets: dict[str, settings.Set] = Field({}, description="collections of faces, by name")
    runs: dict[str, settings.Run] = Field({}, description="models that are trained, by name")
    ensembles: dict[str, tuple[str, ...]] = Field({}, description="name -> runs that it combines")
    methods: dict[str, Literal["mean", "stack"]] = Field({}, description="of ensembles; else mean")
    guests: dict[str, str] = Field({}, description="name -> a model of data/models, or a folder")
    audit: tuple[str, ...] = Field((), description="sets searched for copies and wrong labels")
    sentiment: settings.Sentiment | None = Field(None, description="its levels, if it is asked")

    @model_validator(mode="after")
    def _consistent(self) -> Study:
        in_order = [label for label in EMOTIONS if label in self.labels]
        if len(in_order) < 2 or list(self.labels) != in_order:
            raise ValueError(f"labels: two or more of {', '.join(EMOTIONS)}, in this order")
        if bool(self.sets) != bool(self.runs or self.guests):
            raise ValueError("sets and runs (or guests): one is given without the other")
        for name, run in self.runs.items():
            matched = [run.match] if run.match else []
            _refuse_unknown(f"run {name}", "set", [*run.sets, *matched], self.sets)
            for member in run.sets:
                if self.sets[member].role == "test":
                    raise ValueError(f"run {name}: {member} is a test set and is never trained on")
                if run.collections and self.sets[member].kind != "keywords":
                    raise ValueError(f"run {name}: collections are of kind keywords, not {member}")
                if run.labels != "given" and not self.sets[member].votes:
                    raise ValueError(f"run {name}: labels {run.labels}, but {member} has no votes")
            if run.labels == "votes" and run.doubtful == "dropped":
                raise ValueError(f"run {name}: doubtful: only of one label a face, not of votes")
            self.recipe(name)
        for name, members in self.ensembles.items():
            _refuse_unknown(f"ensemble {name}", "run", members or ("",), self.runs)
        _refuse_unknown("audit", "set", self.audit, self.sets)
        if self.sentiment:
            _refuse_unknown("sentiment", "set", [self.sentiment.set_name], self.sets)
        _refuse_unknown("methods", "ensemble", self.methods, self.ensembles)
        if "films" in self.traits and set(self.methods.values()) - {"mean"}:
            raise ValueError("methods: an ensemble reads films by its mean only; leave it out")
        names = [*self.runs, *self.ensembles, *self.guests, *self.variants]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"{twice[0]}: two of one name among runs, ensembles and guests")
        return self

    @property
    def variants(self) -> dict[str, tuple[str, ...]]:
        """The runs `<variant>-<number>` that differ in their seed only, by variant two or more."""
        members: dict[str, dict[str, tuple[int, dict[str, Any]]]] = defaultdict(dict)
        for name, run in self.runs.items():
            if numbered := re.fullmatch(r"(.+)-\d+", name):
                recipe = self.recipe(name).model_dump() | run.model_dump(exclude={"train"})
                members[numbered[1]][name] = (recipe.pop("seed"), recipe)
        found = {}
        for variant, runs in members.items():
            seeds, recipes = zip(*runs.values(), strict=True)
            if 1 < len(runs) == len({*seeds}) and all(one == recipes[0] for one in recipes):
                found[variant] = tuple(runs)
        return found

    def learned_from(self, name: str) -> frozenset[str]:
        """The sets from whose images a run or an ensemble learned; of a guest, none.

        A set of the same images in another crop counts, too.
        """
        if name in self.guests:
            return frozenset()
        runs = self.ensembles.get(name) or (name,)
        origins = {self.sets[member].origin for run in runs for member in self._run(run).sets}
        return frozenset(member for member, entry in self.sets.items() if entry.origin in origins)

    def calibrated_on(self, run: str) -> frozenset[str]:
        """The sets of whose validation faces a run predicts: of it, and of its ensembles."""
        ensembles = [name for name, members in self.ensembles.items() if run in members]
        return frozenset[str]().union(*map(self.learned_from, [run, *ensembles]))

    def recipe(self, run: str) -> settings.Train:
        """The training recipe of a run: the study's, with what the run changes."""
        return settings.Train.model_validate({**self.train.model_dump(), **self._run(run).train})

    def _run(self, run: str) -> settings.Run:
        if run not in self.runs:
            known = ", ".join(self.runs)
            raise ConfigError(f"study {self.name} has no run {run!r}; its runs are {known}")
        return self.runs[run]

    @cached_property
    def data_dir(self) -> Path:
        """The folder that the study's input lies in.

        The world makes its own; a real study is given one by the environment variable `EXE_DATA`,
        or a `ConfigError` is raised.
        """
        if self.kind == "world":
            return self._found("raw", "benchmarks").parent
        given = os.environ.get("EXE_DATA")
        if not given:
            raise ConfigError(
                f"study {self.name} reads real data: say where it lies, DATA=<folder> with make, "
                "EXE_DATA=<folder> otherwise. data/README.md says what it must hold and who has "
                "it; `exe data get` fetches what is open"
            )
        if not Path(given).is_dir():
            raise ConfigError(f"DATA is {given!r}, which is not a folder")
        return Path(given).resolve()

    @property
    def traits(self) -> frozenset[str]:
        """Name what the study is and has (kind, name, photos, films, claims and so on).

        Stages run, and passages of the book are shown, by these.
        """
        kinds = {entry.kind for entry in self.sets.values()}
        made = self.kind == "world" and self.world.n_films > 0
        of_both_sides = not self.runs and {"keyword", "fer2013"} <= {*self.guests}
        has = {
            "photos": "photos" in kinds,
            "films": made or self.films.path,
            "claims": made,
            "sentiment": self.sentiment,
            "audit": self.audit,
            "confirmation": of_both_sides and kinds & {"imfdb", "sfew"},
        }
        return frozenset({self.kind, self.name, *(name for name, there in has.items() if there)})

    def missing(self) -> list[str]:
        """List what a study reads from outside and does not find."""
        places = {f"guest {name}": self.model(name) for name in self.guests}
        sources = set[str]()
        if self.kind == "real":
            needed = {name: entry.path for name, entry in self.sets.items()}
            needed["films"] = self.films.path
            places |= {name: self.data_dir / path for name, path in needed.items() if path}
            with_votes = [name for name, entry in self.sets.items() if entry.votes]
            places |= {f"{name}, votes": self.votes(name) for name in with_votes}
            sources = {entry.source for entry in self.sets.values() if entry.source}
        lacking = [f"{what}: {path}" for what, path in places.items() if not path.exists()]
        for name in sorted(sources):
            variable = SOURCES[name].key_variable
            if variable and SOURCES[name].key_needed and not os.environ.get(variable):
                lacking.append(f"{name}: its API key in the variable {variable}")
        return lacking

    def votes(self, set_name: str) -> Path:
        """Say where the votes on a set lie: under the first of their names that is there."""
        paths = [self.data_dir / name for name in self.sets[set_name].votes]
        return next((path for path in paths if path.exists()), paths[0])

    @property
    def home(self) -> Path:
        """The folder of everything that is computed, `EXE_HOME`, or `data/` of the checkout."""
        return Path(os.environ.get("EXE_HOME", ROOT / "data"))

    def _place(self, part: str, *names: str) -> Path:
        """Where this study, or this trial of it, keeps what it makes."""
        trial = () if self._trial is None else ("trials", self._trial)
        return self.home.joinpath(part, self.name, *trial, *names)

    def _found(self, part: str, *names: str) -> Path:
        """Where something is read from: the trial's place, or else the study's."""
        mine = self._place(part, *names)
        return mine if mine.exists() else self.home.joinpath(part, self.name, *names)

    @property
    def trial(self) -> str | None:
        """The name of the trial, if settings depart from the study's file; else None."""
        return self._trial

    @property
    def raw(self) -> Path:
        """Where photos, films and benchmark files that are pulled or drawn go."""
        return self._place("raw")

    @property
    def processed(self) -> Path:
        """Where crops and the tables of images, faces and splits go."""
        return self._place("processed")

    @property
    def results(self) -> Path:
        """Where models, predictions, estimates and figures go, which the book shows."""
        return self._place("results")

    @property
    def labelled(self) -> Path:
        """The photos of this study that a person labelled, if one did (see data/README.md)."""
        return self.home / "labels" / f"{self.name}.csv"

    def table(self, name: str, *, run: str | None = None) -> Path:
        """Where a table, or that of a run, is read from: the trial's, or else the study's."""
        return self._found(*_parts(name, run))

    def read(self, name: str, *, run: str | None = None) -> pd.DataFrame:
        """Read and check a table of the study, or of one of its runs.

        Examples
        --------
        >>> load_study("demo").read("predictions", run="rafdb")  # doctest: +SKIP
        """
        path = self.table(name, run=run)
        table = tables.read(path, name=name)
        self._inputs.append(path)
        return table

    def write(self, table: pd.DataFrame, name: str, *, run: str | None = None) -> pd.DataFrame:
        """Check a table and write it, whole or not at all.

        A trial writes into its own place, and is compared with the study.
        """
        self.keep_trial()
        self._inputs.append(tables.write(table, self._place(*_parts(name, run)), name=name))
        part, *names = _parts(name, run)
        of_study = self.home.joinpath(part, self.name, *names)
        if self._trial and of_study.exists():
            apart = _compare(table, tables.read(of_study, name=name))
            log.warning("%s, compared with the study: %s", name, apart)
        return table

    def keep_trial(self) -> None:
        """Note what a trial changes in its place, so that later stages can go on with it."""
        if self._trial is not None:
            if not self._is_named:
                log.warning("%s", self._repr_markdown_().replace("*", ""))
            self._is_named = True
            write_json(self._changes, self.results / "trial.json")

    @property
    def inputs(self) -> list[Path]:
        """The tables that were read or written through this object, which its figures rest on."""
        return sorted(set(self._inputs))

    def model(self, run: str) -> Path:
        """The folder that the weights and the card of a run, or of a guest, are read from."""
        if run in self.guests:
            is_name = re.fullmatch(r"[\w-][\w.-]*", self.guests[run])
            return (READY if is_name else ROOT).joinpath(Path(self.guests[run]).expanduser())
        return self._found("results", "models", run, "card.json").parent

    def new_model(self, run: str) -> Path:
        """The folder that a training of `run` writes its weights and card into."""
        return self.results / "models" / run

    def _repr_markdown_(self) -> str:
        if self._trial is None:
            return f"Study `{self.name}`: {self.title}."
        place = self.results.relative_to(self.home)
        return f"**Trial `{self._trial}` of study `{self.name}`**, which stays as it is: `{place}`."


def _parts(table: str, run: str | None) -> list[str]:
    """Where a table lies: the part of the data, and names below the study's folder in it."""
    if table not in tables.TABLES:
        raise ConfigError(f"no table {table!r}; tables are {', '.join(tables.TABLES)}")
    part = "raw" if table in RAW else "processed" if table in PROCESSED else "results"
    return [part, table, f"{run}.parquet"] if run else [part, f"{table}.parquet"]


def studies() -> list[str]:
    """List the studies that `configs/` holds."""
    return sorted(path.stem for path in (ROOT / "configs").glob("*.yml"))


def load_study(name: str, *, trial: str | None = None, **parts: dict[str, object]) -> Study:
    """Read and validate a study, or a trial of it.

    A trial reads the tables of the study where it has none of its own, and writes into
    `.../<study>/trials/<trial>` only.

    `parts` of the settings override those of `configs/<name>.yml`, e.g. ``train={"epochs": 2}``;
    keys whose value is None are left as they are, so a notebook can pass its parameters through.
    `trial` names the trial; by default the name is made of what departs, such as "epochs-2". A
    trial of this name that is there goes on with the settings that it began with. A `ConfigError`
    names the key at fault and what is allowed.

    Examples
    --------
    >>> load_study("smoke", train={"epochs": 2}).train.epochs
    2
    >>> load_study("smoke", train={"epochs": 2}).trial
    'epochs-2'
    """
    _refuse_unknown_parameters()
    path = ROOT / "configs" / f"{name}.yml"
    if not path.is_file():
        raise ConfigError(f"no study {name!r}; there are {', '.join(studies())}")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as fault:  # bytes, dates, depth
        raise ConfigError(f"{path.name} is not YAML: {fault}") from None
    if not isinstance(given, dict):
        raise ConfigError(f"{path.name} holds {type(given).__name__}, not keys and values")
    study = parse_study({"name": name, **given}, origin=path.name)
    if trial is not None and not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,80}", trial):
        raise ConfigError(f"trial {trial!r}: letters, digits, '.', '_' and '-', at most 81")
    changes: dict[str, Any] = {
        part: {key: value for key, value in change.items() if value is not None}
        for part, change in parts.items()
    }
    begun = study.results / "trials" / str(trial) / "trial.json"
    if trial and begun.exists():
        changes = _merged(json.loads(begun.read_text(encoding="utf-8")), changes)
    changed, recipe = _merged(given, changes), changes.get("train", {})
    for run in changed.get("runs", {}).values():  # a run's own recipe gives way, too
        own = run.get("train", {})
        own.update({key: recipe[key] for key in own.keys() & recipe.keys()})
    other = parse_study({"name": name, **changed}, origin=path.name)
    if trial is None and other == study:
        return study
    other._trial = trial or trial_name(changes)
    other._changes = changes
    return other


def _refuse_unknown_parameters() -> None:
    """Refuse what papermill gives a notebook that has no such parameter; it only warns of it."""
    cells = getattr(sys.modules["__main__"], "In", [])  # as the kernel has run them
    names = [re.findall(r"^(\w+)(?::[^=\n]+)? = ", cell, flags=re.MULTILINE) for cell in cells]
    for known, cell, given in zip(names, cells[1:], names[1:], strict=False):
        if cell.startswith("# Parameters\n") and (unknown := set(given) - set(known)):
            what = ", ".join(sorted(unknown))
            raise ConfigError(f"no parameter {what}; this notebook takes {', '.join(known)}")


def _compare(trial: pd.DataFrame, study: pd.DataFrame) -> str:
    """Say how far the numbers of a trial's table are from the study's, row by row."""
    if len(trial) != len(study):
        return f"{len(trial)} rows in place of {len(study)}"
    apart = {
        name: (trial[name].astype(float).array - study[name].astype(float).array)
        for name in trial.select_dtypes("number").columns.intersection(study.columns)
    }
    most = {name: np.nanmax(np.abs(values), initial=0.0) for name, values in apart.items()}
    differing = [f"{name} by up to {value:.3g}" for name, value in most.items() if value > 0]
    return ", ".join(differing) or "no number differs"


def _merged(given: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with the parts of `changes` put over theirs."""
    return {**given, **{key: {**(given.get(key) or {}), **one} for key, one in changes.items()}}


def trial_name(changes: Mapping[str, Any]) -> str:
    """Name a trial by what it changes; a long name is cut, and a digest makes it unique.

    >>> trial_name({"train": {"epochs": 2}, "scoring": {"labels": ["happy", "sad"]}})
    'epochs-2-labels-happy_sad'
    """
    named = sorted((item for part in changes.values() for item in part.items()), key=itemgetter(0))
    values = [(key, "_".join(x) if isinstance(x, list | tuple) else x) for key, x in named]
    text = "-".join(f"{key}-{value}" for key, value in values)
    plain = re.sub(r"[^\w.-]+", "_", text)
    return plain if len(plain) <= 60 else f"{plain[:50]}-{digest_of(text)[:8]}"


def parse_study(given: dict[str, object], *, origin: str = "settings") -> Study:
    """Validate the settings of a study; `origin` names them in an error."""
    try:
        return Study.model_validate(given)
    except ValidationError as faults:
        raise ConfigError(f"{origin}: " + "; ".join(map(_explain, faults.errors()))) from None


def _explain(fault: Mapping[str, Any]) -> str:
    where = ".".join(map(str, fault["loc"])) or "study"
    if fault["type"] == "extra_forbidden":
        return f"{where}: no such key"
    message = fault["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(fault["input"], Mapping) else f" (given: {str(fault['input'])[:80]})"
    return f"{where}: {message}{shown}"


def _refuse_unknown(
    whose: str, what: str, names: Iterable[str], known: Mapping[str, object]
) -> None:
    unknown = sorted(name for name in names if name not in known)
    if unknown:
        raise ValueError(f"{whose}: no {what} {unknown[0]!r}; {what}s: {', '.join(known)}")
