"""The tree shows the architecture: imports go downward, modules are readable, notebooks thin."""

import ast
import re
import subprocess
import sys

import nbformat
import papermill
import pytest

from exe_core.study import ROOT

PACKAGE = ROOT / "exe_core"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LAYERS = [
    {"schema", "photo_sites", "settings", "config", "writing"},
    {"record", "ledger", "resampling"},
    {"faces", "web", "detection", "sets", "pull", "sources"},
    {"datasets", "backbones", "ddamfn", "models", "ensemble", "calibration"},
    {"metrics", "abstention", "variants"},
    {"sentiment", "figures"},
    {"learning", "training", "confident", "inference", "explain", "costs"},
    {"footage", "video", "films"},
    {"claims", "findings"},
    {"commands", "cli"},
]


def layer(module):
    """Give the layer of a module; the package itself has none."""
    if module.count(".") == 0 or module == "exe_core.__init__":
        return None
    return next(i for i, names in enumerate(LAYERS) if module.split(".")[1] in names)


def imports(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return found


def code_cells(path):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_downward_only(module):
    imported = imports(MODULES[module]) & set(MODULES)
    if module.startswith("exe_world"):
        others = {name for name in imported if not name.startswith("exe_world")}
        assert others <= {
            f"exe_core.{name}" for name in ("schema", "settings", "config", "writing")
        }
        return
    assert not any(name.startswith("exe_world") for name in imported)
    for name in imported:
        above, below = layer(module), layer(name)
        assert below is None or below <= above, f"{module} imports {name}, which stands above it"


def test_importing_the_package_is_light():
    heavy = "torch mediapipe altair papermill cv2"
    probe = f"import exe_core, sys; print([m for m in '{heavy}'.split() if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_training_and_inference_run_where_only_pytorch_is():
    absent = "mediapipe altair papermill vl_convert av"
    probe = (
        "import exe_core.training, exe_core.inference, sys;"
        f"print([m for m in '{absent}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", MODULES)
def test_a_module_is_read_in_a_sitting(module):
    lines = MODULES[module].read_text().splitlines()
    assert len(lines) <= 400, f"{module} has {len(lines)} lines: is it one room?"
    assert ast.get_docstring(ast.parse("\n".join(lines))), f"{module} does not say what it is"


def test_every_module_has_its_tests():
    tested = {path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")}
    own = {"world", "figures", "schema", "settings"}  # tested as wholes
    rooms = {name.split(".")[-1] for name in MODULES if name.split(".")[1] not in own}
    assert rooms - {"__init__"} <= tested


def test_a_path_that_is_named_is_there():
    own = r"\b(exe_core|configs|tests)(/\w[\w-]*)+\.(py|yml)\b"
    listed = ["git", "-C", str(ROOT), "grep", "-hoIP", own, "--", ".", ":!data", ":!CHANGELOG.md"]
    named = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()
    assert not [name for name in sorted(set(named)) if not (ROOT / name).is_file()]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestNotebook:
    def test_is_stored_without_outputs(self, path):
        for cell in code_cells(path):
            assert not cell.outputs
            assert cell.execution_count is None

    def test_is_thin(self, path):
        cells = code_cells(path)
        assert len(cells) <= 12
        for cell in cells:
            tree = ast.parse(cell.source)
            bad = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef, ast.Lambda)
            assert not any(isinstance(node, bad) for node in ast.walk(tree))
            assert not re.search(r"sys\.path|\.\./|^[!%]", cell.source, flags=re.MULTILINE)

    def test_says_what_it_asks_reads_and_writes(self, path):
        first = nbformat.read(path, as_version=4).cells[0]
        assert first.cell_type == "markdown"
        assert re.match(r"# .+\n\n.+\?", first.source)
        assert "*Reads*" in first.source
        assert "*Writes*" in first.source or "*Shows*" in first.source

    def test_explains_its_few_parameters(self, path):
        found = papermill.inspect_notebook(str(path))
        assert "study" in found
        assert len(found) <= 4
        assert all(
            entry["help"] and entry["inferred_type_name"] != "None" for entry in found.values()
        )


def test_no_machine_and_no_workplace_is_named():
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "grep", "-nIE", r"/(home|root|Users)/[a-z]", "--", "."],
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [x for x in tracked.stdout.splitlines() if not x.startswith("tests/test_structure.py")]
    assert not lines
