"""However a study is stopped, the same command goes on and ends with the very same results."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from conftest import Project, small_disk

TOKEN = "EXE_TRIAL"
"""The environment variable by which all processes of a build are found, whoever their parent is."""
LONGEST_S = 3600.0
AGAIN = re.compile("pull|crop|rafdb|benchmarks|sentiment")
"""Stages that are computed anew."""
UNNAMED = (".lock", ".journal")
"""Files that a stage may or may not leave."""


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

    def output(self) -> str:
        return self.log.read_text(errors="replace")[-3000:]

    def kill(self, word: str = "") -> bool:
        """Kill its processes, also kernels, which lead sessions, in whose command a word stands."""
        killed = False
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                is_mine = process.environ().get(TOKEN) == str(self.log)
                if is_mine and word in " ".join(process.cmdline()):
                    process.kill()
                    killed = True
        return killed


def outcome(root: Path) -> tuple[set[str], dict[tuple[str, str], str]]:
    """The names of all files, and what each stage wrote, by digest, but what holds times."""
    parts = (root / "data" / part / "smoke" for part in ("raw", "processed", "results"))
    files = [path for part in parts for path in part.rglob("*") if path.is_file()]
    names = {str(path.relative_to(root)) for path in files if path.suffix not in UNNAMED}
    ledgers = root / "data" / "results" / "smoke" / "ledgers"
    digests = {
        (path.stem, name): digest
        for path in ledgers.iterdir()
        for name, digest in json.loads(path.read_text()).items()
        if not path.stem.startswith("train") or name == "model.safetensors"
    }
    return names, digests


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
        assert build.start().wait(LONGEST_S) != 0
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
        assert build.start().wait(LONGEST_S) == 0, build.output()
        assert outcome(root) == outcome(smoke.root)
