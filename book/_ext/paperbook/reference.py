"""Appendix pages made from the code: every setting, every table's columns, every command.

``{reference} settings``, ``tables``, ``commands`` or ``api <module> ...``. Each is written as
Markdown, which the page then reads as if it stood there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from inspect import cleandoc, getfile
from pathlib import Path
from typing import Any

import pandera.pandas as pa
import typer
import typer.cli
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from exe_core import cli, study, tables
from exe_core.study import ROOT, Study
from paperbook.docstrings import api

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
TYPES = {"int64": "integer", "Int64": "integer", "float64": "number", "bool": "true or false"}
CODE = re.compile(r"(`[^`]*`)")


class Reference(SphinxDirective):
    """Sections that say what the code says of itself."""

    required_arguments = 1
    optional_arguments = 30

    def run(self) -> list[nodes.Node]:
        """Write and read the sections; a changed module makes the page anew."""
        kind, *modules = self.arguments
        if kind not in KINDS:
            raise self.error(f"reference: {kind} is none of {', '.join(KINDS)}")
        text, sources = KINDS[kind](modules)
        for source in sources:
            self.env.note_dependency(str(source))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def written_settings(modules: Sequence[str] = ()) -> tuple[str, list[Path]]:
    """Write every setting: its type, its default, what is allowed, what it means."""
    whole = Study.model_json_schema()
    parts = {"Study": whole, **whole["$defs"]}
    lines = []
    for name, part in parts.items():
        about = cleandoc(part["description"])
        rows = [
            (
                f"`{key}`",
                ", ".join(filter(None, [_type(field), _allowed(field)])),
                _default(field, required=key in part.get("required", ())),
                field.get("description") or _first_line(parts[_part(field)]),
            )
            for key, field in part["properties"].items()
        ]
        lines += [f"(settings-{name.lower()})=", f"## {name}", "", escaped(about), ""]
        lines += [*table(["key", "may be", "default", "meaning"], rows), ""]
    return "\n".join(lines), _modules(study)


def _part(field: dict[str, Any]) -> str:
    """Name the part of the settings that a field holds."""
    return field["$ref"].rpartition("/")[2]


def _first_line(part: dict[str, Any]) -> str:
    return cleandoc(part["description"]).partition("\n")[0]


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return f"[{_part(field)}](#settings-{_part(field).lower()})"
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    kind = {"null": "nothing", "boolean": "true or false", "string": "text"}.get(
        field.get("type", ""), field.get("type", "any")
    )
    if kind == "array":
        return "list" if "prefixItems" in field else f"list of {_type(field['items'])}"
    if kind == "object":
        values = field.get("additionalProperties", True)
        return "keys and values" if values is True else f"name → {_type(values)}"
    return kind


def _default(field: dict[str, Any], *, required: bool) -> str:
    if required:
        return "required"
    if "$ref" in field or "default" not in field:
        return "as below"
    return f"`{json.dumps(field['default'], ensure_ascii=False)}`"


def _allowed(field: dict[str, Any]) -> str:
    options = [field, *field.get("anyOf", [])]
    inner = field.get("items", field.get("additionalProperties"))
    options += [inner] if isinstance(inner, dict) else []
    found = [", ".join(f"`{value}`" for value in part.get("enum", ())) for part in options]
    found += [
        f"{sign} {part[key]:g}" for part in options for key, sign in BOUNDS.items() if key in part
    ]
    found += [f"`{part['pattern']}`" for part in options if "pattern" in part]
    found += [f"{part['minItems']} or more" for part in options if part.get("minItems") == 1]
    return ", ".join(filter(None, found))


def written_tables(modules: Sequence[str] = ()) -> tuple[str, list[Path]]:
    """Write the columns of every table: type, range, what it means, and which tell rows apart."""
    lines = []
    for name, frame in tables.TABLES.items():
        keys = ", ".join(f"`{key}`" for key in frame.unique or ())
        told_apart = f"No two rows agree in all of {keys}." if keys else "Rows may be alike."
        rows = [
            (f"`{column}`", _kind(definition), definition.description)
            for column, definition in frame.columns.items()
        ]
        lines += [
            f"(table-{name.replace('_', '-')})=",
            f"## `{name}`",
            "",
            escaped(frame.description),
        ]
        lines += [told_apart, ""]
        lines += [*table(["column", "may be", "meaning"], rows), ""]
    return "\n".join(lines), _modules(tables)


def _kind(column: pa.Column) -> str:
    name = str(column.dtype)
    found = ["time, UTC" if name.startswith("datetime") else TYPES.get(name, "text")]
    for check in column.checks:
        about = check.statistics
        values = about.get("allowed_values", ())
        found += ["an emotion"] if values == tables.EMOTIONS else [f"`{value}`" for value in values]
        found += [f"≥ {about['min_value']:g}"] if "min_value" in about else []
        found += [f"≤ {about['max_value']:g}"] if "max_value" in about else []
    return ", ".join(found + ["null"] * bool(column.nullable))


def written_commands(modules: Sequence[str] = ()) -> tuple[str, list[Path]]:
    """Write every command of `exe`, its arguments and options, as typer tells them."""
    command = typer.main.get_command(cli.app)
    context = typer.Context(command, info_name="exe")
    text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="exe")
    text = text.partition("\n")[2].replace(f"{ROOT}/", "")
    # `--help` stands everywhere; the overview cuts its sentences off, and the sections have them
    text = re.sub(r"\n\* `--help`[^\n]*", "", text)
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* [^\n]*\n)+", "", text)
    text = re.sub(r"\*\*Options\*\*:\n\n(?!\*)", "", text)
    fenced = re.split(r"(```.*?```)", text, flags=re.DOTALL)
    text = "".join(part if k % 2 else escaped(part) for k, part in enumerate(fenced))
    return text, _modules(cli, *(command.callback for command in cli.app.registered_commands))


def written_api(modules: Sequence[str]) -> tuple[str, list[Path]]:
    """Write the public functions and classes of modules of `exe_core`."""
    paths = [ROOT / "exe_core" / f"{module}.py" for module in modules]
    return "\n".join(api(path) for path in paths), paths


KINDS: dict[str, Callable[[Sequence[str]], tuple[str, list[Path]]]] = {
    "settings": written_settings,
    "tables": written_tables,
    "commands": written_commands,
    "api": written_api,
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Write a table in Markdown."""
    head = list(head)
    cells = [[escaped(cell).replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells]]
    return [":::{table}", ":class: paper-table", "", *lines, ":::"]


def escaped(text: str) -> str:
    """Keep `<name>` from being read as HTML; in code it is not."""
    parts = CODE.split(text)
    return "".join(part if k % 2 else part.replace("<", r"\<") for k, part in enumerate(parts))


def _modules(*things: Any) -> list[Path]:
    """Name the files of modules and of what is defined in them; of a package, all."""
    files = {Path(getfile(thing)) for thing in things if thing is not None}
    packages = [path.parent for path in files if path.name == "__init__.py"]
    return sorted(files | {path for folder in packages for path in folder.glob("*.py")})
