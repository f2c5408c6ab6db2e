"""Appendix pages made from the code: settings, tables and commands.

``{reference} settings``, ``tables`` or ``commands``, written as Markdown, which the page then
reads as if it stood there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from inspect import cleandoc, formatannotation
from pathlib import Path

import pandera.pandas as pa
import typer
import typer.cli
from docutils import nodes
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from exe_core import cli, study, tables
from exe_core.labels import EMOTIONS
from exe_core.record import ROOT

BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
TYPES = {"int64": "integer", "Int64": "integer", "float64": "number", "bool": "true or false"}
CODE = re.compile(r"(```.*?```|`[^`]*`)", flags=re.DOTALL)


class Reference(SphinxDirective):
    """Sections written from the code."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write and read the sections; a changed module makes the page again."""
        write, module = KINDS[self.arguments[0]]
        self.env.note_dependency(str(Path(module.__file__)))
        return self.parse_text_to_nodes("\n".join(write()), allow_section_headings=True)


def settings() -> list[str]:
    """Write every setting: its type, its default, what is allowed, what it means."""
    parts = {
        name: part
        for name, part in {**vars(study.settings), **vars(study)}.items()
        if isinstance(part, type) and issubclass(part, BaseModel) and part.model_fields
    }
    lines = []
    for name in sorted(parts, key=lambda name: name != "Study"):
        lines += [f"(settings-{name.lower()})=", f"## {name}", ""]
        lines += [escaped(cleandoc(parts[name].__doc__ or "").partition("\n\n")[0]), ""]
        rows = []
        for key, field in parts[name].model_fields.items():
            meaning = field.description or parts[field.annotation.__name__].__doc__ or ""
            kind, default = _allowed(field, parts), _default(field)
            rows.append((f"`{key}`", kind, default, meaning.partition("\n")[0]))
        lines += [*table(["key", "may be", "default", "meaning"], rows), ""]
    return lines


def _allowed(field: FieldInfo, parts: Iterable[str]) -> str:
    """Write a type as Python does, links to its parts, and its bounds."""
    written = re.sub(r"\b[a-z_]+(\.[a-z_]+)*\.", "", formatannotation(field.annotation))
    inner = next((part for part in parts if re.search(rf"\b{part}\b", written)), None)
    kind = f"[{written}](#settings-{inner.lower()})" if inner else f"`{written}`"
    bounds = re.findall(r"\b([gl][et])=([\d.-]+)", repr(field.metadata))
    return ", ".join([kind, *(f"{BOUNDS[name]} {bound}" for name, bound in bounds)])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "as below"
    return f"`{json.dumps(default, ensure_ascii=False, default=str)}`"


def columns() -> list[str]:
    """Write the columns of every table: type, range, what it means, and which identify a row."""
    lines = []
    for name, frame in tables.TABLES.items():
        keys = ", ".join(f"`{key}`" for key in frame.unique or ())
        rows = [
            (f"`{column}`", _kind(definition), definition.description or "")
            for column, definition in frame.columns.items()
        ]
        lines += [f"(table-{name.replace('_', '-')})=", f"## `{name}`", ""]
        lines += [escaped(frame.description), ""]
        lines += [f"A row is identified by {keys}." if keys else "Rows may repeat.", ""]
        lines += [*table(["column", "may be", "meaning"], rows), ""]
    return lines


def _kind(column: pa.Column) -> str:
    name = str(column.dtype)
    kinds = ["time, UTC" if name.startswith("datetime") else TYPES.get(name, "text")]
    for check in column.checks:
        about = check.statistics
        values = about.get("allowed_values", ())
        kinds += ["an emotion"] if values == EMOTIONS else [f"`{value}`" for value in values]
        kinds += [f"≥ {about['min_value']:g}"] if "min_value" in about else []
        kinds += [f"≤ {about['max_value']:g}"] if "max_value" in about else []
    return ", ".join(kinds + ["null"] * bool(column.nullable))


def commands() -> list[str]:
    """Write every command of `exe`, its arguments and options, as typer documents them."""
    command = typer.main.get_command(cli.app)
    context = typer.Context(command, info_name="exe")
    text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="exe")
    text = text.partition("\n")[2].replace(f"{ROOT}/", "")
    return [escaped(text)]


KINDS = {"settings": (settings, study), "tables": (columns, tables), "commands": (commands, cli)}


def table(head: list[str], rows: Iterable[Iterable[str]], *, caption: str = "") -> list[str]:
    """Write a table in Markdown."""
    cells = [[escaped(cell).replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells]]
    return [f":::{{table}} {caption}", ":class: paper-table", "", *lines, ":::"]


def escaped(text: str) -> str:
    """Keep `<name>` from being read as HTML; in code it is not."""
    parts = CODE.split(text)
    return "".join(part if k % 2 else part.replace("<", r"\<") for k, part in enumerate(parts))


def register(app: Sphinx) -> None:
    """Add the reference pages to the book."""
    app.add_directive("reference", Reference)
