"""Results of studies, and what puts them into the prose: numbers, and text for some books."""

from __future__ import annotations

import html
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.writers.html5 import HTML5Translator

from exe_core.record import digest
from exe_core.stages import FILM_ANALYSES
from exe_core.study import ConfigError, Study, load_study, studies

EXECUTED = "book/executed/"
EVERYWHERE = ("film", "published")
"""The studies whose analyses each book executes, from predictions that are committed."""

UNDEFINED = "n/a"
ACTORS = "bootstrap over actors and films, and over seeds where there are several (Methods)"
INTERVALS = {
    **dict.fromkeys(("film-faces", "film-labels", "film-limits"), ACTORS),
    "film-shares": "bootstrap over films; of rank correlations by a formula (Methods)",
}
TRAITS = ("world", "real", "photos", "films", "claims", "sentiment")
SYNTHETIC = (
    "The faces, photos and films behind the results on this page are synthetic: a program drew "
    "them. They support statements about the method, and none about real faces or people."
)


class ResultError(Exception):
    """A page cites a result that is not there."""


@dataclass(frozen=True)
class Results:
    """Results of one name, read on behalf of the page that is being built.

    Those of the book's study lie in `data/results`, those of another name in `data/frozen/<name>`,
    the scores of a ready model in `data/models/<name>`. Of the studies `EVERYWHERE` each book
    computes anew what it can, and the rest is frozen.
    """

    env: BuildEnvironment
    name: str
    study: Study | None

    @classmethod
    def cited(cls, env: BuildEnvironment, name: str = "", *, settings: bool = False) -> Results:
        """Find results by name, or those of the book's study, and note that the page shows them.

        Settings of a study are none of its results: a page that shows only these isn't noted.
        """
        name = name or env.config.paper_study
        try:
            results = cls(env, name, load_study(name) if name in studies() else None)
        except ConfigError as fault:
            raise ResultError(str(fault)) from None
        if results.study is None and not results.folder.is_dir():
            raise ResultError(
                f"{name!r} is no study ({', '.join(studies())}), not in data/frozen, and no model"
            )
        kind = results.study.kind if results.study else results._frozen().get("kind")
        # an instrument shows neither drawn nor real faces
        if not settings and (results.study or kind == "real"):
            env.temp_data.setdefault("paper_studies", {})[results.name] = kind
        return results

    @property
    def _of_this_book(self) -> bool:
        return self.name == self.env.config.paper_study

    @property
    def folder(self) -> Path:
        """The folder that holds values, figures and, where frozen, tables."""
        if self.study is not None and self._of_this_book:
            return self.study.results
        kept = [Path(self.env.srcdir) / "data" / part / self.name for part in ("frozen", "models")]
        kept += [self.study.results] if self.name in EVERYWHERE else []
        return next((folder for folder in kept if folder.is_dir()), kept[-1])

    def _place(self, name: str) -> Path:
        """Find a file: of what each book computes, in the results, if it is there."""
        if self.name in EVERYWHERE:
            computed = self.study.results / name
            return computed if computed.is_file() else self.folder / name
        return self.folder / name

    def entry(self, key: str) -> dict[str, Any]:
        """Look up ``stage.key`` in the values of its stage."""
        stage = key.partition(".")[0]
        values = json.loads(self.read(self._place(f"values/{stage}.json")))
        if key not in values:
            raise ResultError(f"no value {key!r} in {self.name}; {stage} has {', '.join(values)}")
        return values[key]

    def about(self, key: str) -> str:
        """Say, a fact a line, what a cited number is, where it comes from, what makes it again."""
        entry, frozen = self.entry(key), self._frozen()
        stage, _, what = key.partition(".")
        facts = {
            name.replace("_", " "): f"{value:.4g}" if isinstance(value, float) else value
            for name, value in entry.items()
        }
        value = UNDEFINED if entry["value"] is None else facts["value"]
        _, low, high = (facts.pop(name, None) for name in ("value", "low", "high"))
        method = INTERVALS.get(stage, "by the method in the chapter Methods")
        name = what.replace(".", ", ").replace("_", " ")
        name = f"{facts.pop('contrast')} ({name})" if "contrast" in facts else name
        rest = [f", {of} {fact}" for of, fact in facts.items() if fact is not None]
        made = [page for page in FILM_ANALYSES if page[3:] == stage]
        command = f"exe stage {made[0]} --study {self.name}" if made else self.command(frozen)
        lines = [f"{name}: {value}"]
        lines += [f"Interval: {low} to {high}, {method}"] * (low is not None)
        lines += [f"Row: {self.name}/{key}{''.join(rest)}"]
        lines += [f"Made from: {self.origin(frozen)}"] * bool(frozen)
        return "\n".join([*lines, f"Make it again: {command or 'no command is known'}"])

    def provenance(self, figure: str) -> dict[str, Any]:
        """Read the provenance of a figure, and see that each of its files is there."""
        about = json.loads(self.read(self.figure_file(figure, "provenance.json")))
        for suffix in about["files"]:
            self.read(self.figure_file(figure, suffix))
        return about

    def figure_file(self, figure: str, suffix: str) -> Path:
        """Return the path of a file of a figure."""
        return self._place(f"figures/{figure}.{suffix}")

    def table(self, name: str) -> pd.DataFrame:
        """Read a table: parquet of a study, CSV of an instrument."""
        path = self._table_file(name)
        content = io.BytesIO(self.read(path))
        return pd.read_csv(content) if path.suffix == ".csv" else pd.read_parquet(content)

    def _table_file(self, name: str) -> Path:
        if self.study is None or (self.folder / f"{name}.csv").is_file():
            return self.folder / f"{name}.csv"
        return self.study.table(name) if self._of_this_book else self._place(f"{name}.parquet")

    def origin(self, about: dict[str, Any]) -> str:
        """Say in a line where a result comes from, by its provenance."""
        commit = str(about.get("commit") or "unknown")
        parts = [f"study {about['study']}"] if "study" in about else []
        parts += [f"commit {commit[:8]}{'+' * commit.endswith('+')}"]
        parts += [f"seed {about['seed']}"] if "seed" in about else []
        parts += [str(about[part]) for part in ("device", "machine") if part in about]
        return ", ".join(parts)

    def table_origin(self, name: str) -> str:
        """Say in a line where a table comes from, and which one it is to the byte."""
        path, frozen = self._table_file(name), self._frozen()
        is_kept = frozen and path.is_relative_to(self.folder)
        origin = self.origin(frozen) if is_kept else f"study {self.name}"
        return f"{origin}, {path.name}, SHA-256 {digest(path)[:12]}"

    def command(self, about: dict[str, Any]) -> str:
        """Say which command makes a result again; nothing where it is not known."""
        made = about.get("command") or self._frozen().get("command")
        if made or self.study is None:
            return str(made or "")
        return f"make book STUDY={self.study.name}" + " DATA=<folder>" * (self.study.kind == "real")

    def _frozen(self) -> dict[str, Any]:
        """Read the provenance that lies with what is frozen."""
        path = self.folder / "provenance.json"
        return json.loads(self.read(path)) if path.is_file() else {}

    def read(self, path: Path) -> bytes:
        """Read a file on which the page then depends."""
        self.env.note_dependency(str(path))
        if not path.is_file():
            raise ResultError(f"{self.name} has no {path.name}: run what makes it first")
        return path.read_bytes()


def formatted(value: object, spec: str) -> str:
    """Write a number by a format specification, with a true minus; what is undefined is n/a."""
    if value is None or value is pd.NA or value != value:
        return UNDEFINED
    try:
        text = format(round(value, 9) if isinstance(value, float) else value, spec)
    except (ValueError, TypeError) as fault:
        raise ResultError(f"cannot write {value!r} as {spec!r}: {fault}") from None
    return text if isinstance(value, str) else text.replace("-", "\N{MINUS SIGN}")


def interval(entry: dict[str, Any], spec: str) -> str:
    """Write an estimate with its interval, never broken over lines: 0.61 [0.55, 0.67]."""
    if not {"low", "high"} <= set(entry):
        raise ResultError(f"has no interval, only {', '.join(entry)}: cite it with val")
    value, low, high = (formatted(entry[name], spec) for name in ("value", "low", "high"))
    if value == UNDEFINED:
        return value
    return f"{value}\N{NO-BREAK SPACE}[{low},\N{NO-BREAK SPACE}{high}]"


def word(entry: dict[str, Any], spec: str) -> str:
    """Choose of "above | below | neither" by where the interval lies, seen from 0."""
    words = [part.strip() for part in spec.split("|")]
    if len(words) != 3 or not {"low", "high"} <= set(entry):
        raise ResultError("an interval chooses among three words, as in above | below | neither")
    if entry["low"] is None:
        return UNDEFINED
    return words[0] if entry["low"] > 0 else words[1] if entry["high"] < 0 else words[2]


class Value(nodes.inline):
    """A computed number, which says on hover, focus and tap what it is."""


class Number(SphinxRole):
    """``{val}`stage.key:.2f` `` a value, ``est`` with its interval, ``n`` the items behind it.

    ``{val}`real/stage.key` `` is a value of another study. ``{word}`stage.key: higher | lower |
    no different` `` is the word that follows from the interval.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Write the number, or report why it cannot be."""
        cited, _, spec = self.text.partition(":")
        study, _, key = cited.rpartition("/")
        try:
            results = Results.cited(self.env, study, settings=key.startswith("study."))
            entry = results.entry(key)
            if write := {"est": interval, "word": word}.get(self.name):
                text = write(entry, spec)
            elif self.name == "val":
                text = formatted(entry["value"], spec)
            elif "n" in entry:
                text = formatted(entry["n"], spec or ",")
            else:
                raise ResultError(f"has no n, only {', '.join(entry)}")
            about = results.about(key)
        except ResultError as fault:
            message = self.inliner.reporter.error(f"{cited}: {fault}", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]
        classes = ["paper-value"] + [nodes.make_id(text)] * isinstance(entry["value"], str)
        return [Value(self.rawtext, text, classes=classes, about=about)], []


def visit_value(writer: HTML5Translator, node: Value) -> None:
    """Write a number that the keyboard reaches, with what it is."""
    tag = writer.starttag(node, "span", "", role="note", tabindex="0")
    about = html.escape(node["about"]).replace("\n", "&#10;")  # docutils would join the lines
    writer.body.append(f'{tag[:-1]} data-about="{about}" aria-description="{about}">')


class When(SphinxDirective):
    """Text for some books only: ``{when} world``, names of studies, or other `Study.traits`."""

    required_arguments = 1
    optional_arguments = 9
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse the content where the book's study is one of those named."""
        unknown = sorted({*self.arguments} - {*TRAITS, *studies()})
        if unknown:
            known = ", ".join([*TRAITS, *studies()])
            raise self.error(f"when: {', '.join(unknown)} is none of {known}")
        study = load_study(self.config.paper_study)
        if study.traits.isdisjoint(self.arguments):
            return []
        return self.parse_content_to_nodes(allow_section_headings=True)


def note_synthetic(app: Sphinx, doctree: nodes.document) -> None:
    """Put a note under the title of a page that shows results of a world only."""
    kinds = dict(app.env.temp_data.get("paper_studies", {}))
    if app.env.docname.startswith(EXECUTED):
        page = json.loads(Path(app.env.doc2path(app.env.docname)).read_text(encoding="utf-8"))
        executed = page["metadata"].get("papermill", {}).get("parameters", {})
        study = load_study(executed.get("study", app.config.paper_study))
        kinds[study.name] = study.kind
    if {*kinds.values()} != {"world"}:  # a chapter that shows both says which is which
        return
    paragraphs = nodes.title("", "Synthetic"), nodes.paragraph("", SYNTHETIC)
    note = nodes.admonition("", *paragraphs, classes=["note", "synthetic"])
    title = next(doctree.findall(nodes.title))
    title.parent.insert(title.parent.index(title) + 1, note)


def register(app: Sphinx) -> None:
    """Add the roles, the directive and the note to the book."""
    for name in ("val", "est", "n", "word"):
        app.add_role(name, Number())
    app.add_node(Value, html=(visit_value, lambda writer, _: writer.body.append("</span>")))
    app.add_directive("when", When)
    app.connect("doctree-read", note_synthetic)
