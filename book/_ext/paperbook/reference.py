"""Appendix pages made from the code: settings, tables, commands and the package.

``{reference} settings``, ``tables``, ``commands`` or ``api <module> ...``. Each is written as
Markdown, which the page then reads as if it stood there.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
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
HEADING = re.compile(r"^(?P<title>[A-Z][\w ]+)\n-{3,}\n", flags=re.MULTILINE)
EXAMPLE = re.compile(r"^(>>> (?:.+\n?)+)", flags=re.MULTILINE)
PROSE = ("Notes", "Examples", "References")

Definition = ast.FunctionDef | ast.ClassDef


class Reference(SphinxDirective):
    """Sections written from the code."""

    required_arguments = 1
    optional_arguments = 30

    def run(self) -> list[nodes.Node]:
        """Write and read the sections; a changed module makes the page again."""
        kind, *modules = self.arguments
        if kind not in KINDS:
            raise self.error(f"reference: {kind} is none of {', '.join(KINDS)}")
        lines, sources = KINDS[kind](modules)
        for source in sources:
            self.env.note_dependency(str(source))
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def settings(modules: Sequence[str] = ()) -> tuple[list[str], list[Path]]:
    """Write every setting: its type, its default, what is allowed, what it means."""
    parts = {
        name: part
        for name, part in vars(study).items()
        if isinstance(part, type) and issubclass(part, BaseModel) and part.model_fields
    }
    lines = []
    for name in sorted(parts, key=lambda name: name != "Study"):
        lines += [f"(settings-{name.lower()})=", f"## {name}", ""]
        lines += [escaped(HEADING.split(cleandoc(parts[name].__doc__ or ""))[0]), ""]
        rows = []
        for key, field in parts[name].model_fields.items():
            meaning = field.description or parts[field.annotation.__name__].__doc__ or ""
            kind, default = _allowed(field, parts), _default(field)
            rows.append((f"`{key}`", kind, default, meaning.partition("\n")[0]))
        lines += [*table(["key", "may be", "default", "meaning"], rows), ""]
    return lines, [Path(study.__file__)]


def _allowed(field: FieldInfo, parts: Iterable[str]) -> str:
    """Write a type as Python does, links to its parts, and its bounds."""
    written = re.sub(r"\b[a-z_]+(\.[a-z_]+)*\.", "", formatannotation(field.annotation))
    inner = next((part for part in parts if re.search(rf"\b{part}\b", written)), None)
    kind = f"[{written}](#settings-{inner.lower()})" if inner else f"`{written}`"
    bounds = [
        f"{sign} {getattr(bound, name):g}"
        for bound in field.metadata
        for name, sign in BOUNDS.items()
        if hasattr(bound, name)
    ]
    return ", ".join([kind, *bounds])


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "as below"
    return f"`{json.dumps(default, ensure_ascii=False, default=str)}`"


def columns(modules: Sequence[str] = ()) -> tuple[list[str], list[Path]]:
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
    return lines, [Path(tables.__file__)]


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


def commands(modules: Sequence[str] = ()) -> tuple[list[str], list[Path]]:
    """Write every command of `exe`, its arguments and options, as typer documents them."""
    command = typer.main.get_command(cli.app)
    context = typer.Context(command, info_name="exe")
    text = typer.cli.get_docs_for_click(obj=command, ctx=context, name="exe")
    text = text.partition("\n")[2].replace(f"{ROOT}/", "")
    # `--help` stands everywhere; the overview cuts its sentences off, and the sections have them
    text = re.sub(r"\n\* `--help`[^\n]*", "", text)
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* [^\n]*\n)+", "", text)
    text = re.sub(r"\*\*Options\*\*:\n\n(?!\*)", "", text)
    return [escaped(text)], [Path(cli.__file__)]


def api(modules: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Write the public functions and classes of modules of `exe_core`, as their source has them.

    Nothing is imported: that would take seconds and a gigabyte, since torch is among it.
    """
    paths = [ROOT / "exe_core" / f"{module}.py" for module in modules]
    lines = []
    for path in paths:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        lines += [f"(api-{path.stem.replace('_', '-')})=", f"## exe_core.{path.stem}", ""]
        lines += [*_docstring(tree, path.stem), ""]
        for node in _public(tree):
            lines += [*_described(node, f"exe_core.{path.stem}"), ""]
    return lines, paths


def _public(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    for node in tree.body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield node


def _described(node: Definition, module: str, *, within: str = "") -> list[str]:
    """Describe a function, or a class with its methods, by a directive of Sphinx."""
    name = f"{within}.{node.name}" if within else node.name
    inner: list[str] = []
    if isinstance(node, ast.ClassDef):
        kind, written = "class", name
        for method in _public(node):
            inner += ["", *_described(method, module, within=name)]
    elif {"property", "cached_property"} & {ast.unparse(one) for one in node.decorator_list}:
        kind, written = "property", name
    else:
        kind = "method" if within else "function"
        arguments = node.args
        if arguments.args and arguments.args[0].arg in ("self", "cls"):
            arguments = ast.arguments(**{**vars(arguments), "args": arguments.args[1:]})
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        written = f"{name}({ast.unparse(arguments)}){returns}"
    fence = ":" * (4 if within else 6)
    head = [f"{fence}{{py:{kind}}} {written}", f":module: {module}", ""]
    return [*head, *_docstring(node, f"{module}.{name}"), *inner, fence]


def _docstring(node: ast.Module | Definition, name: str) -> list[str]:
    """Write a docstring: its text, then its sections as lists of terms."""
    text = ast.get_docstring(node)
    if not text:
        raise ValueError(f"{name} has no docstring")
    before, *sections = HEADING.split(f"{text}\n")
    lines = [_paragraphs(before)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        lines += ["", f"**{title}**", ""]
        if title in PROSE:
            lines.append(_paragraphs(cleandoc(body)))
            continue
        for entry in re.split(r"\n(?=\S)", body.strip("\n")):
            term, _, meaning = entry.partition("\n")
            meaning = _paragraphs(cleandoc(meaning)).replace("\n", "\n  ")
            lines += [f"`{term}`", f": {meaning.strip()}", ""]
    return lines


def _paragraphs(text: str) -> str:
    """Fence the examples off, and take the meaning of markup from what is none."""
    return escaped(EXAMPLE.sub(r"```python\n\1```\n", text.rstrip() + "\n"), marks="<*_")


KINDS: dict[str, Callable[[Sequence[str]], tuple[list[str], list[Path]]]] = {
    "settings": settings,
    "tables": columns,
    "commands": commands,
    "api": api,
}


def table(head: list[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Write a table in Markdown."""
    cells = [[escaped(cell).replace("|", r"\|").replace("\n", " ") for cell in row] for row in rows]
    lines = [f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *cells]]
    return [":::{table}", ":class: paper-table", "", *lines, ":::"]


def escaped(text: str, marks: str = "<") -> str:
    """Keep `<name>` from being read as HTML; in code it is not."""
    parts = CODE.split(text)
    special = re.compile(f"([{marks}])")
    return "".join(part if k % 2 else special.sub(r"\\\1", part) for k, part in enumerate(parts))


def register(app: Sphinx) -> None:
    """Add the reference pages to the book."""
    app.add_directive("reference", Reference)
