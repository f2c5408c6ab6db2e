"""However a study is stopped, the same command goes on and ends with the very same results."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
from conftest import Project, small_disk
from typer.testing import CliRunner

from exe_core import cli, stages

TOKEN = "EXE_TRIAL"
"""The environment variable by which all processes of a build are found, whoever their parent is."""
LONGEST_S = 3600.0
AGAIN = re.compile("pull|crop|rafdb|benchmarks|sentiment")
"""Stages that are computed anew."""
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}

TIMES = re.compile(
    r"(^|[_.])(seconds|minutes|cpu_s|ms_per_face|retrieved_at|requested_at|requests)$"
)
OF_A_RUN = ("*.provenance.json", "ledgers/*", "notebooks/*", "requests.parquet", "*.pdf")
"""Files that hold times or digests of tables with times; a PDF's dictionaries have no order."""
READERS = {".parquet": pd.read_parquet, ".csv": partial(pd.read_csv, dtype=str)}


class Build:
    """The build of the smoke study in a copy of the project; its output is added to a log."""

    def __init__(self, project: Project, log: Path) -> None:
        self.project, self.log = project, log

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["python", "-m", "exe_core.cli", "build", "smoke"],
                cwd=self.project.root,
                env=self.project.environment | {TOKEN: str(self.log)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def ends_well(self) -> bool:
        return self.start().wait(LONGEST_S) == 0

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def processes(self) -> list[psutil.Process]:
        """Find its processes, also kernels and workers, which lead sessions of their own."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get(TOKEN) == str(self.log):
                    found.append(process)
        return found

    def kill(self, word: str = "") -> bool:
        """Kill all of its processes in whose command a word stands."""
        killed = False
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                if word in " ".join(process.cmdline()):
                    process.kill()
                    killed = True
        return killed


def differences(expected: Path, found: Path) -> list[str]:
    """List the files of the study that are missing, too many, or of other content."""
    names = {root: set(results(root)) for root in (expected, found)}
    odd = [f"{name} is in one only" for name in sorted(names[expected] ^ names[found])]
    shared = sorted(names[expected] & names[found])
    return odd + [f"{name} differs" for name in shared if not same(expected / name, found / name)]


def results(root):
    for part in ("raw", "processed", "results"):
        for path in (root / "data" / part / "smoke").rglob("*"):
            if path.is_file() and not path.name.endswith((".lock", ".journal")):
                yield str(path.relative_to(root))


def same(expected: Path, found: Path) -> bool:
    if any(expected.match(pattern) for pattern in OF_A_RUN):
        return True
    if expected.read_bytes() == found.read_bytes():
        return True
    if expected.suffix in READERS:
        first, second = (READERS[expected.suffix](path) for path in (expected, found))
        untimed = [name for name in first if not TIMES.search(name)]
        return list(first) == list(second) and first[untimed].equals(second[untimed])
    if expected.suffix == ".json":
        first, second = (without_times(json.loads(path.read_text())) for path in (expected, found))
        return first == second
    return False


def without_times(content):
    if isinstance(content, dict):
        return {k: without_times(v) for k, v in content.items() if not TIMES.search(k)}
    return content


@pytest.mark.slow
def test_a_build_that_is_stopped_ends_with_the_same_results(smoke, tmp_path):
    """By a full disk, by a kill of all its processes and by one of a kernel, one after another."""
    root = tmp_path / "project"
    shutil.copytree(smoke.root, root, symlinks=True, ignore=shutil.ignore_patterns("data"))
    data = root / "data"
    data.mkdir()
    with small_disk(data, size="600m"):
        shutil.copytree(smoke.root / "data", data, dirs_exist_ok=True)
        build = Build(Project(root), tmp_path / "log.txt")
        for path in data.glob("results/smoke/*/*"):
            if path.parent.name in ("ledgers", "notebooks") and AGAIN.search(path.stem):
                path.unlink()
        shutil.rmtree(data / "results" / "smoke" / "models" / "rafdb")
        shutil.rmtree(data / "processed" / "smoke" / "crops")
        ballast = data / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(data).free - 100_000))
        assert not build.ends_well()
        assert "No space left on device" in build.output()
        ballast.unlink()

        process = build.start()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(random.Random(99).uniform(5, 30))
        while build.kill():
            time.sleep(0.02)
        process.wait()

        process = build.start()
        while process.poll() is None and not build.kill("ipykernel_launcher"):
            time.sleep(0.05)
        assert process.wait(LONGEST_S) != 0
        assert "its kernel died" in build.output(), build.output()
        assert build.ends_well(), build.output()
        assert not differences(smoke.root, root)


class TestDisk:
    """What a stage and a build say of a disk at fault; no notebook gets to run."""

    @pytest.fixture
    def mount(self, tmp_path, monkeypatch):
        (tmp_path / "notebooks").mkdir()
        cells = [nbformat.v4.new_code_cell("study = 'smoke'")]
        cells[0].metadata["tags"] = ["parameters"]
        page = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
        nbformat.write(page, tmp_path / "notebooks" / "09-x.ipynb")
        monkeypatch.setattr(stages, "NOTEBOOKS", tmp_path / "notebooks")
        home = tmp_path / "home"
        home.mkdir()
        monkeypatch.setenv("EXE_HOME", str(home))
        with small_disk(home, size="256k") as mount:
            yield mount

    @pytest.mark.parametrize(
        ("command", "fault"),
        [
            ("stage 09-x --study smoke", "No space left on device"),
            ("stage 09-x --study smoke", "Read-only file system"),
            ("build smoke", "Read-only file system"),
        ],
    )
    def test_is_one_message(self, mount, tmp_path, command, fault):
        if fault.startswith("Read"):
            mount("remount", "ro")
        else:
            free = shutil.disk_usage(tmp_path / "home").free
            (tmp_path / "home" / "ballast").write_bytes(bytes(free))
        done = CliRunner().invoke(cli.app, command.split())
        assert done.exit_code == 1
        assert f"{fault}): mend that and run the same again" in done.output
        assert "Traceback" not in done.output
