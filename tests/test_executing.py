"""One process writes a page; a page that no process holds is of a stage that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from exe_core.stages import StageError, execute, is_held, running_page

EXECUTE = (
    "import sys; from pathlib import Path; from exe_core.commands.executing import execute;"
    "execute(Path(sys.argv[1]), Path(sys.argv[2]), parameters={'study': 'smoke'})"
)


def notebook(path: Path, *sources: str) -> Path:
    cells = [nbformat.v4.new_code_cell(source) for source in ("study = 'demo'", *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)
    return path


def test_a_page_that_is_not_there_is_held_by_nobody(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "none")


def test_a_killed_stage_leaves_a_page_that_nobody_holds(tmp_path: Path) -> None:
    source = notebook(tmp_path / "09-x.ipynb", "import time; time.sleep(600)")
    page = tmp_path / "page.ipynb"
    process = subprocess.Popen(
        [sys.executable, "-c", EXECUTE, str(source), str(page)], start_new_session=True
    )
    try:
        working = running_page(page)
        deadline = time.monotonic() + 120
        while not is_held(working) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert is_held(working)
        with pytest.raises(StageError, match="is being written"):
            execute(source, page, parameters={"study": "smoke"})
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert working.exists()
    assert not is_held(working)


def test_a_kernel_that_dies_is_told_and_its_page_kept(tmp_path: Path) -> None:
    source = notebook(tmp_path / "09-x.ipynb", "import os; os._exit(9)")
    page = tmp_path / "page.ipynb"
    with pytest.raises(StageError, match=r"its kernel died \(study=smoke\)"):
        execute(source, page, parameters={"study": "smoke"})
    assert [path.name for path in tmp_path.glob("page*")] == ["page.failed.ipynb"]


def test_a_kernel_is_spoken_to_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """Two that draw one port would hinder each other; others on the machine could knock."""
    source = notebook(
        tmp_path / "09-x.ipynb",
        """
from pathlib import Path
from ipykernel.connect import get_connection_info
found = get_connection_info(unpack=True)
assert found["transport"] == "ipc"
assert Path(found["ip"]).parent.stat().st_mode & 0o077 == 0
print(Path(found["ip"]).parent)
""",
    )
    page = tmp_path / "page.ipynb"
    execute(source, page, parameters={"study": "smoke"})
    (output,) = nbformat.read(page, as_version=4).cells[-1].outputs
    assert not Path(output.text.strip()).exists()
