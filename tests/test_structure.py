"""The tree shows the architecture: imports go downward, files appear whole, notebooks are thin."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import nbformat
import papermill
import pytest

from exe_core.record import ROOT
from exe_core.study import load_study, trial_name

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("exe_core", "exe_world")
    for path in sorted((ROOT / package).rglob("*.py"))
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MOST_LEVELS = 7

WRITERS = {"to_csv", "to_parquet", "write_text", "write_bytes", "save_file", "copyfile", "savez"}
NOT_ATOMIC = {
    # files of a folder that appears whole, or that a lock guards
    "exe_core.screening",
    "exe_core.readers",
    "exe_core.pull",
    "exe_core.fetching",
    "exe_core.open_data",
    "exe_world",
    # crops, which a stage that was stopped cuts again; git shows what is not whole
    "exe_core.faces",
    "exe_core.stages:freeze",
    "exe_core.record:locked",  # a lock holds nothing
}


def imports(path):
    found = set()
    tree = ast.parse(path.read_text())
    for_types = [n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n)]
    unused = {node for block in for_types for node in ast.walk(block)}
    for node in ast.walk(tree):
        if node in unused:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found & MODULES.keys()


def test_imports_go_downward_on_few_levels():
    """A module that imports none of ours is on level 1; a circle is an error of the sorter."""
    imported, level = {name: imports(path) for name, path in MODULES.items()}, {}
    for name in TopologicalSorter(imported).static_order():
        level[name] = 1 + max((level[one] for one in imported[name]), default=0)
    core = {name for name in level if name.startswith("exe_core")}
    assert not {name: level[name] for name in core if level[name] > MOST_LEVELS}
    of_the_world = {name: imported[name] - core for name in core if imported[name] - core}
    assert not of_the_world, "the package knows nothing of the synthetic world"


@pytest.mark.parametrize(
    ("imported", "absent"),
    [
        ("exe_core", "torch mediapipe altair papermill cv2 pandas"),
        ("exe_core.study", "torch mediapipe altair papermill cv2 scipy sklearn"),
        ("exe_core.photos, exe_core.film_report", "sklearn torchvision timm mediapipe papermill"),
        ("exe_core.training, exe_core.inference", "mediapipe altair papermill vl_convert av"),
    ],
)
def test_heavy_libraries_are_loaded_by_those_who_need_them(imported, absent):
    probe = f"import {imported}, sys; print([m for m in '{absent}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def bare_writes(tree, where=""):
    """List the functions that write a file other than in `with replacing(..)`."""
    found = set()
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.With) and any(
            "replacing(" in ast.unparse(item.context_expr) for item in child.items
        ):
            continue
        if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
            opened = child.func.attr == "open" and re.search(r"'[wa]b?'", ast.unparse(child))
            into_memory = child.func.attr == "to_csv" and not child.args
            if opened or (child.func.attr in WRITERS and not into_memory):
                found.add(where)
        inside = child.name if isinstance(child, ast.FunctionDef) else where
        found |= bare_writes(child, inside)
    return found


def test_every_file_appears_whole():
    found = {
        f"{module}:{place}"
        for module, path in MODULES.items()
        for place in bare_writes(ast.parse(path.read_text()))
    }
    allowed = tuple(NOT_ATOMIC)
    assert not {place for place in found if not place.startswith(allowed)}, "use record.replacing"
    assert bare_writes(ast.parse("def f(t, p):\n    t.to_csv(p)")) == {"f"}
    assert bare_writes(ast.parse("def f(p):\n    with p.open('wb') as o:\n        o.x()")) == {"f"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_bare_and_thin_says_what_it_asks_and_offers_a_trial(path):
    about, *cells = nbformat.read(path, as_version=4).cells
    assert re.match(r"# .+\n\n[^\n].*?\?.*\*Reads\*.*\*(Writes|Shows)\*", about.source, re.DOTALL)
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert len(code) <= 10
    for cell in code:
        assert (cell.outputs, cell.execution_count) == ([], None)
        assert not re.search(r"sys\.path|\.\./|^[!%]", cell.source, flags=re.MULTILINE)
        assert not bare_writes(ast.parse(cell.source)), cell.source
    parameters = papermill.inspect_notebook(str(path))
    assert {"study", "trial"} <= set(parameters)
    assert all(entry["help"] for entry in parameters.values())


OTHER = {"unit": "actor", "labels": "happy,sad", "model": "fer5", "path": "x"}
OTHER |= dict.fromkeys(("level", "min_score", "learning_rate"), 0.6)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_whatever_departs_from_the_study_is_a_trial(path):
    """Parameters that choose what is read, and not how, do not."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    load = next(cell.source for cell in cells if "study = load_study(" in cell.source)
    steps = list(map(ast.unparse, ast.parse(load).body))
    steps = steps[: next(k for k, step in enumerate(steps) if "= load_study(" in step) + 1]
    names = papermill.inspect_notebook(str(path)).keys() - {"study", "trial", "run"}
    for name in names - {"predictions", "events"}:
        known = {"load_study": load_study, "trial_name": trial_name}
        departs = f"{name} = {OTHER.get(name, 60)!r}"
        exec("\n".join([cells[0].source, departs, *steps]), known)
        assert known["study"].trial, name


def test_no_machine_is_named():
    words = ["git", "-C", str(ROOT), "grep", "-nIE", r"/(home|root|Users)/[a-z]", "--"]
    done = subprocess.run([*words, ":!tests/test_structure.py"], capture_output=True, text=True)
    assert not done.stdout


def test_help_of_the_package_names_every_module():
    about = ast.get_docstring(ast.parse((ROOT / "exe_core" / "__init__.py").read_text()))
    modules = {Path(path).stem for path in (ROOT / "exe_core").glob("*.py")} - {"__init__"}
    assert not {name for name in modules if not re.search(rf"\b{name}\b", about)}
