"""Where the results of a study lie, and how a number is written."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sphinx.environment import BuildEnvironment

from exe_core.record import digest
from exe_core.study import ConfigError, Study, load_study, studies

UNDEFINED = "n/a"
DOT = " \N{MIDDLE DOT} "


class ResultError(Exception):
    """A page cites a result that is not there."""


@dataclass(frozen=True)
class Results:
    """Results of one name, read on behalf of the page that is being built.

    Those of the book's own study lie in `data/results`. What is cited by another name, as
    ``real/stage.key`` or ``faults/faults``, lies frozen in `data/frozen/<name>`: of a study, or
    measured on the paper's instruments; the scores of a ready model lie beside it, in
    `data/models/<name>`.
    """

    env: BuildEnvironment
    name: str
    study: Study | None

    @classmethod
    def cited(cls, env: BuildEnvironment, name: str = "") -> Results:
        """Find results by name, or the book's own, and mark the page as showing them."""
        name = name or env.config.paper_study
        try:
            results = cls(env, name, load_study(name) if name in studies() else None)
        except ConfigError as fault:
            raise ResultError(str(fault)) from None
        if results.study is None and not results.folder.is_dir():
            raise ResultError(
                f"{name!r} is no study ({', '.join(studies())}), not in data/frozen, and no model"
            )
        kind = results.study.kind if results.study else results._kept().get("kind")
        if results.study or kind == "real":  # an instrument shows neither drawn nor real faces
            env.temp_data.setdefault("paper_studies", {})[results.name] = kind
        return results

    @property
    def folder(self) -> Path:
        """The folder that holds values, figures and, where frozen, tables."""
        if self.study is not None and self._own:
            return self.study.results
        kept = [Path(self.env.srcdir) / "data" / part / self.name for part in ("frozen", "models")]
        return next((folder for folder in kept if folder.is_dir()), kept[0])

    @property
    def _own(self) -> bool:
        return self.name == self.env.config.paper_study

    def entry(self, key: str) -> dict[str, object]:
        """Look up ``stage.key`` in the values of its stage."""
        stage = key.partition(".")[0]
        values = json.loads(self._read(self.folder / "values" / f"{stage}.json"))
        if key not in values:
            raise ResultError(f"no value {key!r} in {self.name}; {stage} has {', '.join(values)}")
        return values[key]

    def provenance(self, figure: str) -> dict[str, object]:
        """Read the provenance of a figure, and see that each of its files is there."""
        about = json.loads(self._read(self.figure_file(figure, "provenance.json")))
        for suffix in about["files"]:
            self._read(self.figure_file(figure, suffix))
        return about

    def figure_file(self, figure: str, suffix: str) -> Path:
        """Give the path of a file of a figure."""
        return self.folder / "figures" / f"{figure}.{suffix}"

    def table(self, name: str) -> pd.DataFrame:
        """Read a table: parquet of a study, CSV of an instrument."""
        content = io.BytesIO(self._read(self._table_file(name)))
        return pd.read_csv(content) if self.study is None else pd.read_parquet(content)

    def _table_file(self, name: str) -> Path:
        if self.study is None:
            return self.folder / f"{name}.csv"
        return self.study.table(name) if self._own else self.folder / f"{name}.parquet"

    def origin(self, about: dict[str, object]) -> str:
        """Say in a line where a result comes from, by its provenance."""
        commit = str(about.get("commit") or "unknown")
        parts = [f"study {about['study']}"] if "study" in about else []
        parts += [f"commit {commit[:8]}{'+' * commit.endswith('+')}"]
        parts += [f"seed {about['seed']}"] if "seed" in about else []
        parts += [str(about[part]) for part in ("device", "machine") if part in about]
        return DOT.join(parts)

    def table_origin(self, name: str) -> str:
        """Say in a line where a table comes from, and which one it is to the byte."""
        path = self._table_file(name)
        about = self._kept()
        if about:
            origin = self.origin(about)
        elif self.study is not None:
            origin = f"study {self.name}{DOT}seed {self.study.seed}"
        else:
            origin = self.name
        return f"{origin}{DOT}{path.name}, SHA-256 {digest(path)[:12]}"

    def command(self, about: dict[str, object]) -> str:
        """Say which command makes a result again; nothing where it is not known."""
        made = about.get("command") or self._kept().get("command")
        if made or self.study is None:
            return str(made or "")
        return make_book(self.study)

    def _kept(self) -> dict[str, object]:
        """Read the provenance that lies with what is frozen."""
        path = self.folder / "provenance.json"
        return json.loads(self._read(path)) if path.is_file() else {}

    def _read(self, path: Path) -> bytes:
        self.env.note_dependency(str(path))
        if not path.is_file():
            raise ResultError(f"{self.name} has no {path.name}: run what makes it first")
        return path.read_bytes()


def make_book(study: Study) -> str:
    """Say which command computes a study and its book."""
    return f"make book STUDY={study.name}" + " DATA=<folder>" * (study.kind == "real")


def formatted(value: object, spec: str) -> str:
    """Write a number by a format specification, with a true minus; what is undefined is n/a."""
    if value is None or value is pd.NA or value != value:
        return UNDEFINED
    try:
        text = format(value, spec)
    except (ValueError, TypeError) as fault:
        raise ResultError(f"cannot write {value!r} as {spec!r}: {fault}") from None
    return text if isinstance(value, str) else text.replace("-", "\N{MINUS SIGN}")


def interval(entry: dict[str, object], spec: str) -> str:
    """Write an estimate with its interval, never broken over lines: 0.61 [0.55, 0.67].

    Raises
    ------
    ResultError
        If the entry has no low and high.
    """
    if not {"low", "high"} <= set(entry):
        raise ResultError(f"has no interval, only {', '.join(entry)}: cite it with val")
    value, low, high = (formatted(entry[name], spec) for name in ("value", "low", "high"))
    return (
        value
        if value == UNDEFINED
        else f"{value}\N{NO-BREAK SPACE}[{low},\N{NO-BREAK SPACE}{high}]"
    )
