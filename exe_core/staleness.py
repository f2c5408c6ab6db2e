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
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from exe_core.record import ROOT, digest_of
from exe_core.settings import SettingsModel
from exe_core.study import Study

PACKAGES = ("exe_core", "exe_world")
ALWAYS = ("name", "kind", "labels", "seed")
"""Settings that belong to every stage."""

Definition = tuple[str, str]
"""A module and what it defines at its top level, or a method: ("exe_core.study", "Study.read")."""


class Module(NamedTuple):
    """A module, read: the code of its definitions, and what its imports stand for."""

    definitions: dict[str, list[ast.AST]]
    imports: dict[str, tuple[str, str | None]]  # alias -> module, name in it (None: the module)


def code_digest(*names: str) -> str:
    """Digest the code that is reached from definitions such as "exe_core.training.train".

    Examples
    --------
    >>> code_digest("exe_core.record.digest") == code_digest("exe_core.record.digest")
    True
    """
    first = []
    for path in names:
        module, _, name = path.rpartition(".")
        if name not in _module(module).definitions:
            raise ValueError(f"{module} has no definition {name!r}")
        first.append((module, name))
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
    code, attributes = _reached(_named([tree], dict(_imports(tree))), _attributes([tree]))
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
    first: Iterable[Definition], attributes: set[str]
) -> tuple[dict[str, list[str]], set[str]]:
    """Follow definitions to all that they name; give their code, and the attributes in it."""
    found: dict[Definition, list[str]] = {}
    attributes, todo = set(attributes), list(first)
    while todo:
        entry = todo.pop()
        if entry not in found:
            found[entry], named_attributes, named = _definition(entry)
            attributes |= named_attributes
            todo += named
        todo = todo or [
            (module, method)
            for module, name in found
            for method in _module(module).definitions
            if method.startswith(f"{name}.") and method.rpartition(".")[2] in attributes
            if (module, method) not in found
        ]
    return {" ".join(entry): code for entry, code in found.items()}, attributes


@cache
def _definition(entry: Definition) -> tuple[list[str], set[str], list[Definition]]:
    """The code of a definition, the attributes that it names, and the definitions."""
    module, name = entry
    nodes = _module(module).definitions[name]
    named = list(_named(nodes, _module(module).imports, module))
    return [ast.dump(node) for node in nodes], _attributes(nodes), named


def _named(
    nodes: Iterable[ast.AST], imports: dict[str, tuple[str, str | None]], module: str = ""
) -> Iterator[Definition]:
    """The definitions of our packages that a piece of code names."""
    for part in (part for node in nodes for part in ast.walk(node)):
        where, name = "", None
        if isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name):
            where, inner = imports.get(part.value.id, ("", ""))
            name = part.attr if inner is None else None
        elif isinstance(part, ast.Name):
            where, name = imports.get(part.id, (module, part.id))
        while name and _path(where):  # to the module that defines it
            if name in _module(where).definitions:
                yield where, name
                break
            where, name = _module(where).imports.get(name, ("", None))


@cache
def _module(name: str) -> Module:
    path = _path(name)
    if path is None:
        raise ValueError(f"{name} is no module of {' or '.join(PACKAGES)}")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for part in ast.walk(tree):  # words do not count
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
        if isinstance(part, ast.Call):
            words = ("description", "help")
            part.keywords = [word for word in part.keywords if word.arg not in words]
    definitions: dict[str, list[ast.AST]] = defaultdict(list)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            definitions[node.name].append(node)
        elif isinstance(node, ast.ClassDef):
            definitions[node.name] += [*node.bases, *node.decorator_list]
            for part in node.body:
                definitions[_place(part, node)].append(part)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    definitions[part.id].append(node)
    return Module({**definitions}, dict(_imports(tree)))


def _place(part: ast.stmt, of: ast.ClassDef) -> str:
    """Say to which definition a part of a class belongs: its method, or the class at large.

    What Python or pydantic calls belongs to the class. Words, and fields of settings, which are
    judged by their values, have a place that nothing names.
    """
    is_settings = {"BaseModel", "SettingsModel"} & {getattr(base, "id", "") for base in of.bases}
    if isinstance(part, ast.Expr) or (is_settings and isinstance(part, ast.AnnAssign)):
        return f"{of.name}: no code"
    if not isinstance(part, ast.FunctionDef) or part.name.startswith("__"):
        return of.name
    is_validator = any("validator" in ast.dump(decorator) for decorator in part.decorator_list)
    return of.name if is_validator else f"{of.name}.{part.name}"


def _imports(tree: ast.AST) -> Iterator[tuple[str, tuple[str, str | None]]]:
    """Give what imports of our packages bind: alias, and the module or the name in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(PACKAGES):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                target = (inner, None) if _path(inner) else (node.module, alias.name)
                yield alias.asname or alias.name, target


@cache
def _path(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    paths = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in paths if path.is_file()), None)


def _attributes(nodes: Iterable[ast.AST]) -> set[str]:
    parts = (part for node in nodes for part in ast.walk(node))
    return {part.attr for part in parts if isinstance(part, ast.Attribute)}
