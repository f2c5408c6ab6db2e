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
from collections.abc import Iterable
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


class Code(NamedTuple):
    """A piece of code: its syntax, and the names and attributes in it."""

    syntax: str
    names: set[str]
    attributes: set[str]


class Module(NamedTuple):
    """A module: the code of what it defines, and where the names that it imports are defined."""

    definitions: dict[str, list[Code]]
    imports: dict[str, Definition]  # the name is "" for a whole module


def code_digest(*names: str) -> str:
    """Digest the code that is reached from definitions such as "exe_core.training.train".

    Examples
    --------
    >>> code_digest("exe_core.record.digest") == code_digest("exe_core.record.digest")
    True
    """
    first = [(module, name) for module, _, name in (path.rpartition(".") for path in names)]
    for module, name in first:
        if not _path(module) or name not in _module(module).definitions:
            raise ValueError(f"there is no {name!r} in {module}")
    return digest_of(_reached(first)[0])


def stage_digest(study: Study, notebook: str, *, run: str | None = None) -> str:
    """Digest what a stage is computed by: notebook, code, and settings that the code reads.

    Takes the name of a notebook, such as "03-train", and the run, or external model, that the stage
    is about, if it is about one: settings of others do not count.
    """
    code, attributes = _reached([(notebook, "")])
    settings = study.model_dump(mode="json")
    if run is not None:
        if run in study.runs:
            settings["train"] = study.recipe(run).model_dump(mode="json")
        for part in ("runs", "guests"):
            settings[part] = {name: one for name, one in settings[part].items() if name == run}
        settings["ensembles"] = settings["methods"] = {}
    read = {key: settings[key] for key in settings if key in ALWAYS or key in attributes}
    for key, value in read.items():
        if isinstance(getattr(study, key), SettingsModel):
            read[key] = {name: value[name] for name in value if name in attributes}
    return digest_of([_cells(notebook), code, read])


def _reached(first: Iterable[Definition]) -> tuple[dict[str, list[str]], set[str]]:
    """Follow definitions to all that they name; give their syntax, and the attributes in it."""
    found: dict[Definition, list[Code]] = {}
    attributes: set[str] = set()
    todo = list(first)
    while todo:
        module, name = todo.pop()
        definitions, imports = _module(module)
        if name in imports:
            todo.append(imports[name])
        elif name in definitions and (module, name) not in found:
            found[module, name] = definitions[name]
            modules = [target for target, inner in imports.values() if not inner]
            for code in definitions[name]:
                attributes |= code.attributes
                todo += [(module, word) for word in code.names]
                todo += [(target, word) for target in modules for word in code.attributes]
        todo = todo or [
            (module, method)
            for module, name in found
            for method in _module(module).definitions
            if method.startswith(f"{name}.") and method.rpartition(".")[2] in attributes
            if (module, method) not in found
        ]
    syntax = {" ".join(entry): [one.syntax for one in code] for entry, code in found.items()}
    return syntax, attributes


@cache
def _module(name: str) -> Module:
    """Read a module or a notebook, whose code is one definition of the name ""."""
    path = _path(name)
    if path is None:
        code = "\n".join(text for kind, text in _cells(name) if kind == "code")
    else:
        code = path.read_text(encoding="utf-8")
    tree = ast.parse(code)
    for part in ast.walk(tree):  # docstrings do not count
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part) is not None:
            part.body = part.body[1:] or [ast.Pass()]
    definitions: dict[str, list[Code]] = defaultdict(list)
    if path is None:
        definitions[""].append(_code(tree))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            definitions[node.name].append(_code(node))
        elif isinstance(node, ast.ClassDef):
            for member in [*node.bases, *node.decorator_list, *node.body]:
                definitions[_place(member, node)].append(_code(member))
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            for part in ast.walk(node):
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                    definitions[part.id].append(_code(node))
    imports = {}
    for part in ast.walk(tree):
        if isinstance(part, ast.ImportFrom) and part.module and part.module.startswith(PACKAGES):
            for alias in part.names:
                inner = f"{part.module}.{alias.name}"
                target = (inner, "") if _path(inner) else (part.module, alias.name)
                imports[alias.asname or alias.name] = target
    return Module({**definitions}, imports)


def _place(part: ast.AST, of: ast.ClassDef) -> str:
    """Say to which definition a part of a class belongs: its method, or the class at large.

    What Python or pydantic calls belongs to the class. Words, and fields of settings, which are
    judged by their values, have a place that nothing names.
    """
    bases = [ast.unparse(base) for base in of.bases]
    is_settings = any(base.endswith(("BaseModel", "SettingsModel")) for base in bases)
    if isinstance(part, ast.Expr) or (is_settings and isinstance(part, ast.AnnAssign)):
        return f"{of.name}: no code"
    if not isinstance(part, ast.FunctionDef) or part.name.startswith("__"):
        return of.name
    is_validator = any("validator" in ast.dump(decorator) for decorator in part.decorator_list)
    return of.name if is_validator else f"{of.name}.{part.name}"


def _code(node: ast.AST) -> Code:
    parts = list(ast.walk(node))
    names = {part.id for part in parts if isinstance(part, ast.Name)}
    attributes = {part.attr for part in parts if isinstance(part, ast.Attribute)}
    return Code(ast.dump(node), names, attributes)


@cache
def _path(module: str) -> Path | None:
    place = ROOT.joinpath(*module.split("."))
    paths = (place.with_suffix(".py"), place / "__init__.py")
    return next((path for path in paths if path.is_file()), None)


def _cells(notebook: str) -> list[tuple[str, str]]:
    """Give the kind and the text of each cell."""
    text = (ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8")
    return [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(text)["cells"]]
