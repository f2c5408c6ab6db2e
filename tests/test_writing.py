"""A file appears whole or not at all, and all that is written goes this way."""

import ast
import os
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from exe_core.record import replacing
from exe_core.study import ROOT

WRITERS = {
    "to_csv",
    "to_parquet",
    "write_text",
    "write_bytes",
    "save_file",
    "copyfile",
    "copyfileobj",
}
SAVERS = {"torch", "Image", "picture", "small", "resized"}
"""What is saved by a method `save`; other things of that name are saved by functions of ours."""

IN_A_FOLDER_THAT_APPEARS_WHOLE = {
    "exe_core/footage/screening.py:_screen",
    "exe_core/sets/fer2013.py:_once",
    "exe_core/sets/fer2013.py:_extract",
    "exe_core/sets/fer2013.py:_write_fer_csv",
    "exe_world/sets.py:_write_rafdb",
    "exe_world/sets.py:_save_rafdb_image",
}
MOVED_BY_ONE_WHO_HOLDS_A_LOCK = {
    "exe_core/pull/photo_lists.py:fetch",
    "exe_core/web/fetching.py:_download",
    "exe_world/site.py:_draw",
    "exe_world/films.py:_encode",
}
"""Many files in a folder: theirs is a fixed name, so that nobody lists the folder for each."""

READ_ONLY_AFTER_ITS_STAGE = {
    "exe_core/detection.py:find_faces",  # crops: a stage that was stopped cuts all out again
    "exe_core/cli.py:freeze",  # into git, which shows what is not whole
}
TO_MEMORY = {
    "exe_core/commands/film_page.py:_picture",
    "exe_core/figures/bundle.py:_encoded",
    "exe_core/figures/bundle.py:_csv",
    "exe_core/sets/open_sets.py:_labels",
}
LOCKS = {
    "exe_core/cli.py:_lock",
    "exe_core/commands/executing.py:_alone",
    "exe_core/commands/film_command.py:_alone",
    "exe_core/sources.py:_alone",
    "exe_world/making.py:write_truth",
}
LINE_BY_LINE = {"exe_core/commands/stage_log.py:append"}
NOWHERE = {"exe_core/detection.py:_quiet"}
SCRATCH = {"exe_core/commands/pdf_command.py:pdf"}
OTHERS = (
    IN_A_FOLDER_THAT_APPEARS_WHOLE
    | MOVED_BY_ONE_WHO_HOLDS_A_LOCK
    | READ_ONLY_AFTER_ITS_STAGE
    | TO_MEMORY
    | LOCKS
    | LINE_BY_LINE
    | NOWHERE
    | SCRATCH
)


def writes(node):
    """Say whether a call writes a file, by its looks."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute | ast.Name):
        return False
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
    if name == "open":
        given = [*node.args, *(keyword.value for keyword in node.keywords)]
        return any(isinstance(x, ast.Constant) and x.value in ("w", "wb", "a", "ab") for x in given)
    if name == "save":
        text = ast.unparse(node.func)
        return any(text.startswith(saver) for saver in SAVERS)
    return name in WRITERS


def bare_writes(tree, where=""):
    """List the functions that write other than in `with replacing(..)`."""
    found = set()
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.With) and any(
            ast.unparse(item.context_expr).startswith("replacing(") for item in child.items
        ):
            continue
        if writes(child):
            found.add(where)
        inside = child.name if isinstance(child, ast.FunctionDef) else where
        found |= bare_writes(child, inside)
    return found


def test_every_file_is_written_whole():
    found = set()
    for path in sorted((ROOT / "exe_core").rglob("*.py")):
        name = path.relative_to(ROOT)
        found |= {f"{name}:{place}" for place in bare_writes(ast.parse(path.read_text()))}
    assert found - OTHERS == set(), "write it by exe_core.writing.replacing"
    assert OTHERS - found == set(), "these write no more, or do so by `replacing` now"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_every_file_of_a_notebook_is_written_whole(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "code":
            assert not bare_writes(ast.parse(cell.source)), cell.source


def test_a_write_in_the_open_is_found():
    assert bare_writes(ast.parse("def f(t, p):\n    t.to_csv(p)")) == {"f"}
    assert bare_writes(ast.parse("def f(p):\n    with p.open('wb') as o:\n        o.x()")) == {"f"}
    inside = "def f(t, p):\n    with replacing(p) as q:\n        t.to_csv(q)"
    assert bare_writes(ast.parse(inside)) == set()


def test_a_reader_sees_the_file_of_before_till_the_new_one_is_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with replacing(path) as partial:
        partial.write_text("af")
        assert path.read_text() == "before"
        partial.write_text("after")
    assert path.read_text() == "after"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_a_write_that_fails_leaves_what_was(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:  # noqa: PT012
        partial.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_write_left_goes_with_the_next_and_what_others_write_stays(tmp_path):
    path = tmp_path / "a[1].txt"
    probe = (
        "import sys, time; from pathlib import Path; from exe_core.writing import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); time.sleep(60)"
    )
    for n_left in (1, 0):
        with subprocess.Popen([sys.executable, "-c", probe, str(path)]) as other:
            own = path.with_name(f".{path.name}.{other.pid}")
            while not own.exists():
                time.sleep(0.01)
            if n_left:
                os.kill(other.pid, signal.SIGKILL)
                other.wait()
            else:
                with replacing(path) as partial:
                    partial.write_text("whole")
                assert own.exists(), "it is being written"
                other.kill()
    assert path.read_text() == "whole"
    others = path.with_name(f".{path.name}.lock")
    others.touch()
    with replacing(path) as partial:
        partial.write_text("again")
    assert sorted(found.name for found in tmp_path.iterdir()) == [others.name, path.name]
