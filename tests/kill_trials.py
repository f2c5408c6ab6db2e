"""A study that is stopped as by a power cut, started again, and compared with one left in peace."""

from __future__ import annotations

import json
import random
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import psutil
from conftest import Project

TOKEN = "EXE_TRIAL"
"""The environment variable that tells the processes of a build, whoever their parent is now."""
LONGEST_START_S = 3600.0
"""A build that takes longer from one start hangs."""
STUDY = """\
kind: world
title: A study that is killed
labels: [angry, happy, sad]
world:
  benchmark_faces: 2
  benchmark_test_faces: 1
  n_films: 1
  film_seconds: 20
  film_size: [160, 90]
  photo_size: [160, 120]
  photos_per_query: {v1: 4, v2: 2}
pull: {designs: [v1]}
crop: {size: 48}
train: {model: tiny, weights: none, trainable: all, size: 48, epochs: 4}
films: {every: 50}
sets:
  pexels-v1: {kind: photos, source: pexels, design: v1}
runs:
  pexels-v1: {sets: [pexels-v1]}
"""
_MADE_AT = re.compile(r"(^|_)(seconds|retrieved_at|requested_at|reported_at)$")
"""Columns and keys that say when something was done or how long it took."""
_OF_ONE_RUN = ("*.provenance.json", "ledgers/*", "notebooks/*", "requests.parquet")
"""Files that tell of the run: digests of tables with times in them, outputs of cells, requests."""


@dataclass(frozen=True)
class Build:
    """The build of a study in a copy of the project.

    Attributes
    ----------
    project
        The copy.
    study
        Its name.
    log
        Where its output goes.
    command
        What builds it, the study's name at its end.
    """

    project: Project
    study: str
    log: Path
    command: tuple[str, ...] = ("python", "-m", "exe_core.cli", "build")

    @property
    def token(self) -> str:
        """Give what tells the processes of this build from all others."""
        return str(self.log)

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, or go on with it."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self.command, self.study],
                cwd=self.project.root,
                env=self.project.environment | {TOKEN: self.token, "OMP_NUM_THREADS": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self) -> None:
        """Run it to its end.

        Raises
        ------
        AssertionError
            With the end of its output, if it fails.
        """
        process = self.start()
        code = process.wait(LONGEST_START_S)
        assert code == 0, f"exit {code}: {self.log.read_text(errors='replace')[-3000:]}"

    def processes(self) -> list[psutil.Process]:
        """List its processes: kernels and workers lead sessions of their own."""
        return [found for found in psutil.process_iter() if _token(found) == self.token]

    def power_cut(self) -> str:
        """Kill all its processes, and say in which stage."""
        stage = "between stages"
        while found := self.processes():
            for process in found:
                stage = _stage(process) or stage
                with _gone():
                    process.kill()
            psutil.wait_procs(found, timeout=10)
        return stage

    def killed(self, n_kills: int, rng: random.Random, *, longest_s: float) -> list[str]:
        """Kill it so often, each time after up to so many seconds; then run it to its end.

        Returns
        -------
        list of str
            The stages in which it was killed; fewer than `n_kills` if it ended before.
        """
        stages: list[str] = []
        while len(stages) < n_kills:
            process = self.start()
            try:
                code = process.wait(rng.uniform(0, longest_s))
            except subprocess.TimeoutExpired:
                stages.append(self.power_cut())
                process.wait()
                continue
            assert code == 0, f"exit {code}: {self.log.read_text(errors='replace')[-3000:]}"
            return stages
        self.finish()
        return stages


def _token(process: psutil.Process) -> str | None:
    with _gone():
        return process.environ().get(TOKEN)
    return None


def _stage(process: psutil.Process) -> str | None:
    """Name the stage that a process runs, as `pull`, or the book."""
    with _gone():
        words = process.cmdline()
        if "stage" in words[:-1]:
            return words[words.index("stage") + 1].partition("-")[2]
        if any(word.endswith("jupyter-book") for word in words):
            return "book"
    return None


@contextmanager
def _gone() -> Iterator[None]:
    """Pass over a process that ended meanwhile, or is another user's."""
    try:
        yield
    except (psutil.NoSuchProcess, psutil.AccessDenied, ProcessLookupError):
        return


def write_study(project: Project, name: str) -> None:
    """Add the smallest study to a copy of the project."""
    (project.root / "configs" / f"{name}.yml").write_text(STUDY, encoding="utf-8")


def stray(root: Path) -> list[Path]:
    """List the files that somebody began to write and nobody ended."""
    found = (path for path in (root / "data").rglob(".*") if path.is_file())
    kept = (".lock", ".journal", ".sha256", ".made_from")
    return [path for path in found if not path.name.endswith(kept)]


def differences(expected: Path, found: Path, study: str) -> list[str]:
    """List the files of a study that are missing, too many, or not the same in content."""
    names = {root: set(_results(root, study)) for root in (expected, found)}
    told = [f"{name} is in one only" for name in sorted(names[expected] ^ names[found])]
    shared = sorted(names[expected] & names[found])
    return told + [
        f"{name} differs" for name in shared if not _is_same(expected / name, found / name)
    ]


def _results(root: Path, study: str) -> Iterator[str]:
    for part in ("raw", "processed", "results"):
        for path in (root / "data" / part / study).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                yield str(path.relative_to(root))


def _is_same(expected: Path, found: Path) -> bool:
    if expected.read_bytes() == found.read_bytes():
        return True
    if any(expected.match(pattern) for pattern in _OF_ONE_RUN):
        return True
    if expected.suffix == ".parquet":
        first, second = (_without_times(pd.read_parquet(path)) for path in (expected, found))
        return bool(first.equals(second))
    if expected.suffix == ".json":
        first, second = (_untimed(json.loads(path.read_text())) for path in (expected, found))
        return first == second
    return False


def _without_times(table: pd.DataFrame) -> pd.DataFrame:
    return table[[name for name in table if not _MADE_AT.search(name)]]


def _untimed(content: object) -> object:
    if isinstance(content, dict):
        return {k: _untimed(v) for k, v in content.items() if not _MADE_AT.search(k)}
    return content
