"""The public functions and classes of a module, as its source says, without importing it.

Importing all that a reader may call takes Sphinx seconds and a gigabyte (torch is among it), and
the source holds the same words.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from exe_core.study import ROOT

HEADING = re.compile(r"^(?P<title>[A-Z][\w ]+)\n-{3,}\n", flags=re.MULTILINE)
EXAMPLE = re.compile(r"^(>>> (?:.+\n?)+)", flags=re.MULTILINE)
PLAIN = ("Notes", "Examples", "References")

Definition = ast.FunctionDef | ast.ClassDef


def api(path: Path) -> str:
    """Write the section of a module, e.g. `exe_core/models.py`, in Markdown.

    Raises
    ------
    ValueError
        If something public has no docstring.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    lines = [f"(api-{path.stem.replace('_', '-')})=", f"## {module}", "", *_prose(tree, module), ""]
    for node in _public(tree):
        lines += [*_described(node, module), ""]
    return "\n".join(lines)


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
    else:
        properties = {ast.unparse(decorator) for decorator in node.decorator_list}
        kind = "method" if within else "function"
        written = f"{name}{_signature(node, method=bool(within))}"
        if properties & {"property", "cached_property"}:
            kind, written = "property", name
    fence = ":" * (4 if within else 6)
    body = _prose(node, f"{module}.{name}")
    return [f"{fence}{{py:{kind}}} {written}", f":module: {module}", "", *body, *inner, fence]


def _signature(node: ast.FunctionDef, *, method: bool) -> str:
    arguments = node.args
    if method and arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments = ast.arguments(**{**vars(arguments), "args": arguments.args[1:]})
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"({ast.unparse(arguments)}){returns}"


def _prose(node: ast.Module | Definition, name: str) -> list[str]:
    """Write a docstring: its text, then its sections as lists of terms."""
    text = ast.get_docstring(node)
    if not text:
        raise ValueError(f"{name} has no docstring")
    before, *sections = HEADING.split(f"{text}\n")
    lines = [_paragraphs(before)]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        listed = _paragraphs(cleandoc(body)) if title in PLAIN else _terms(body)
        lines += ["", f"**{title}**", "", listed]
    return lines


def _paragraphs(text: str) -> str:
    """Fence the examples off, and take the meaning of markup from what is none."""
    shown = EXAMPLE.sub(r"```python\n\1```\n", text.rstrip() + "\n")
    parts = re.split(r"(```.*?```|`[^`]*`)", shown, flags=re.DOTALL)
    return "".join(
        part if k % 2 else re.sub(r"([<*_])", r"\\\1", part) for k, part in enumerate(parts)
    )


def _terms(body: str) -> str:
    """Write the entries of a section: a line that names, and indented ones that say what it is."""
    lines: list[str] = []
    for entry in re.split(r"\n(?=\S)", body.strip("\n")):
        term, _, said = entry.partition("\n")
        indented = "\n".join(f"  {line}" for line in _paragraphs(cleandoc(said)).splitlines())
        lines += [f"`{term}`", f": {indented.strip()}" if said.strip() else ": ", ""]
    return "\n".join(lines)
