"""What makes a stage stale: the code that it calls and the settings that this code reads.

Code is followed by definition, not by file: from a notebook or function to the functions, classes
and constants that it names, and so on. Comments, docstrings, formatting and descriptions of
settings do not count, so a changed word computes nothing anew, and a changed colour trains no
network. Where syntax leaves open what is called, more is followed rather than less: a method counts
as called if any code that is reached names an attribute of its name.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from exe_core.record import ROOT, digest_of
from exe_core.settings import SettingsModel
from exe_core.study import Study

PACKAGES = ("exe_core", "exe_world")
ALWAYS = ("name", "kind", "labels", "seed")
"""Settings that belong to every stage."""

_SETTINGS = {"BaseModel", "SettingsModel"}
"""Base classes whose fields are settings, which are judged by their values."""


class Definition(NamedTuple):
    """A top-level name of a module, or a method of a class: "exe_core.films", "course"."""

    module: str
    name: str
    method: str | None = None


class Module(NamedTuple):
    """A module, read: its definitions, and what its imports stand for."""

    definitions: dict[str, list[ast.stmt]]
    imports: dict[str, tuple[str, str | None]]  # alias -> module, name in it (None: the module)


def code_digest(*names: str) -> str:
    """Digest the code that is reached from definitions such as "exe_core.training.train".

    Examples
    --------
    >>> code_digest("exe_core.record.digest") == code_digest("exe_core.record.digest")
    True
    """
    first = [Definition(*name.rpartition(".")[::2]) for name in names]
    for entry in first:
        if entry.name not in _module(entry.module).definitions:
            raise ValueError(f"{entry.module} has no definition {entry.name!r}")
    return digest_of(_reached(first, set())[0])


def stage_digest(study: Study, notebook: str, *, run: str | None = None) -> str:
    """Digest what a stage is computed by: notebook, code, and settings that the code reads.

    Parameters
    ----------
    study, notebook
        The study, and the name of a notebook, such as "03-train".
    run
        The run, or external model, that the stage is about: settings of others do not count.
    """
    code, attributes = _notebook_code(notebook)
    return digest_of([code, _settings_read(study, attributes, run)])


@cache
def _notebook_code(notebook: str) -> tuple[str, set[str]]:
    """The digest of a notebook and the code that it reaches, and the attributes named there."""
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))
    sources = [(cell["cell_type"], "".join(cell["source"])) for cell in cells["cells"]]
    tree = ast.parse("\n".join(text for kind, text in sources if kind == "code"))
    code, attributes = _reached(_named(tree, dict(_imports(tree)), {}), _attributes(tree))
    return digest_of([sources, code]), attributes


def _settings_read(study: Study, attributes: set[str], run: str | None) -> dict[str, object]:
    """Pick the settings whose names the code uses as attributes."""
    merged = study.model_dump(mode="json")
    if run is not None:
        if run in study.runs:
            merged["train"] = study.recipe(run).model_dump(mode="json")
        for part in ("runs", "guests"):
            merged[part] = {name: entry for name, entry in merged[part].items() if name == run}
        merged["ensembles"] = merged["methods"] = {}
    read = {key: merged[key] for key in merged if key in ALWAYS or key in attributes}
    for key, value in read.items():
        if isinstance(getattr(study, key), SettingsModel):
            read[key] = {name: value[name] for name in value if name in attributes}
    return read


def _reached(
    first: list[Definition], attributes: set[str]
) -> tuple[dict[str, list[str]], set[str]]:
    """Follow definitions to all that they name; give their code, and the attributes in it."""
    found: dict[Definition, list[str]] = {}
    attributes = set(attributes)
    todo = list(dict.fromkeys(first))
    while todo:
        while todo:
            entry = todo.pop()
            if entry not in found:
                found[entry], named_attributes, named = _definition_code(entry)
                attributes |= named_attributes
                todo += named
        todo = [
            method
            for entry in list(found)
            if entry.method is None
            for method in _methods(entry)
            if method.method in attributes and method not in found
        ]
    by_name = sorted(found.items(), key=lambda item: tuple(map(str, item[0])))
    return {" ".join(filter(None, entry)): code for entry, code in by_name}, attributes


@cache
def _definition_code(entry: Definition) -> tuple[list[str], set[str], list[Definition]]:
    """The code of a definition, the attributes that it names, and the definitions."""
    nodes, module = list(_nodes(entry)), _module(entry.module)
    named = [
        definition
        for node in nodes
        for definition in _named(
            node, module.imports | dict(_imports(node)), module.definitions, entry.module
        )
    ]
    attributes = set().union(*map(_attributes, nodes))
    return [ast.dump(_bare(node)) for node in nodes], attributes, named


def _nodes(entry: Definition) -> Iterator[ast.AST]:
    """The statements of a definition; of a class, those that run whenever it is used."""
    for node in _module(entry.module).definitions.get(entry.name, ()):
        if not isinstance(node, ast.ClassDef):
            yield node
        elif entry.method is not None:
            yield from (part for part in node.body if getattr(part, "name", None) == entry.method)
        else:
            settings = any(getattr(base, "id", None) in _SETTINGS for base in node.bases)
            yield from (*node.bases, *node.decorator_list)
            for part in node.body:
                is_field = settings and isinstance(part, ast.AnnAssign)
                is_text = isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant)
                if not (is_field or is_text or _is_method(part)):
                    yield part


def _is_method(part: ast.stmt) -> bool:
    """Tell methods that count only if they are named from those that Python or pydantic calls."""
    return isinstance(part, ast.FunctionDef) and not (
        part.name.startswith("__") or any("validator" in ast.dump(d) for d in part.decorator_list)
    )


@cache
def _methods(entry: Definition) -> list[Definition]:
    return [
        Definition(entry.module, entry.name, part.name)
        for node in _module(entry.module).definitions.get(entry.name, ())
        if isinstance(node, ast.ClassDef)
        for part in node.body
        if isinstance(part, ast.FunctionDef) and _is_method(part)
    ]


def _named(
    node: ast.AST,
    imports: Mapping[str, tuple[str, str | None]],
    definitions: Mapping[str, object],
    module: str = "",
) -> list[Definition]:
    """The definitions of our packages that a piece of code names."""
    named = []
    whole = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            target = imports.get(part.value.id)
            if target is not None and target[1] is None:
                named.append((target[0], part.attr))
                whole.add(part.value)
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part not in whole:
            if part.id in imports:
                target = imports[part.id]
                names = [target[1]] if target[1] else _module(target[0]).definitions
                named += [(target[0], name) for name in names]
            elif part.id in definitions:
                named.append((module, part.id))
    return [found for where, name in named if (found := _resolved(where, name))]


def _resolved(module: str, name: str) -> Definition | None:
    """Follow a name to the module that defines it; None if that is not ours."""
    if _path(module) is None:
        return None
    read = _module(module)
    if name in read.definitions:
        return Definition(module, name)
    where, inner = read.imports.get(name, ("", None))
    return _resolved(where, inner) if inner else None


@cache
def _module(name: str) -> Module:
    path = _path(name)
    if path is None:
        raise ValueError(f"{name} is no module of {' or '.join(PACKAGES)}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    definitions: dict[str, list[ast.stmt]] = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions.setdefault(node.name, []).append(node)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    definitions.setdefault(part.id, []).append(node)
    return Module(definitions, dict(_imports(tree)))


def _imports(tree: ast.AST) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Give what imports of our packages bind: alias, and the module or the name in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGES):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                is_module = _path(inner) is not None
                target = (inner, None) if is_module else (node.module, alias.name)
                yield alias.asname or alias.name, target


@cache
def _path(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    return next(
        (path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()),
        None,
    )


def _attributes(node: ast.AST) -> set[str]:
    return {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}


def _bare(node: ast.AST) -> ast.AST:
    """Take docstrings and descriptions out of a copy of a piece of code."""
    copy = ast.parse(ast.unparse(node)) if isinstance(node, ast.stmt) else node
    for part in ast.walk(copy):
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
        if isinstance(part, ast.Call):
            part.keywords = [
                word for word in part.keywords if word.arg not in ("description", "help")
            ]
    return copy
