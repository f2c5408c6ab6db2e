"""A study that is stopped as by a power cut, or by its machine; started again; and compared."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd
import psutil
from conftest import Project
from fault_trials import small_disk

TOKEN = "EXE_TRIAL"
"""The environment variable that tells the processes of a build, whoever their parent is now."""
LONGEST_S = 3600.0
"""A build that takes longer hangs."""
COMMAND = ("python", "-m", "exe_core.cli", "build")
LATE = ("benchmarks", "films", "claims", "sentiment")
"""Stages that are undone so that a fault of the machine meets something to do."""

_TIMES = re.compile(
    r"(^|[_.])(seconds|minutes|cpu_s|ms_per_face|retrieved_at|requested_at|reported_at|requests)$"
)
"""Columns and keys that say when something was done, how long it took, or what it asked a site."""
_OF_A_RUN = ("*.provenance.json", "ledgers/*", "notebooks/*", "log.jsonl", "requests.parquet")
"""Files that tell of the run: digests of tables with times in them, outputs of cells, requests."""
_IN_NO_ORDER = "*.pdf"
"""The dictionaries of a PDF come in another order each time; the SVG beside it does not."""


@dataclass(frozen=True)
class Build:
    """The build of a study in a copy of the project; its output is added to a log.

    Attributes
    ----------
    command
        What builds it, the study's name at its end.
    """

    project: Project
    study: str
    log: Path
    command: tuple[str, ...] = COMMAND

    def start(self) -> subprocess.Popen[bytes]:
        """Start it, or go on with it."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*self.command, self.study],
                cwd=self.project.root,
                env=self.project.environment | {TOKEN: str(self.log)},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def finish(self) -> None:
        """Run it to its end; that it fails is a fault of what is tried."""
        code = self.start().wait(LONGEST_S)
        assert code == 0, f"exit {code}: {self.said()[-3000:]}"

    def said(self) -> str:
        """Give what it said so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def processes(self) -> list[psutil.Process]:
        """List its processes: kernels and workers lead sessions of their own."""
        return [
            one for one in psutil.process_iter() if _environment(one).get(TOKEN) == str(self.log)
        ]

    def power_cut(self) -> str:
        """Kill all its processes; give the stage that was under way."""
        stage = "between stages"
        while found := self.processes():
            stage = next(filter(None, map(_stage, found)), stage)
            for process in found:
                with _gone():
                    process.kill()
            time.sleep(0.02)
        return stage

    def killed(self, n_kills: int, rng: random.Random, *, longest_s: float) -> list[str]:
        """Kill it so often, each time after up to so many seconds; then run it to its end.

        Returns
        -------
        list of str
            The stages in which it was killed: fewer than `n_kills` if it ended before.
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
            assert code == 0, f"exit {code}: {self.said()[-3000:]}"
            return stages
        self.finish()
        return stages

    def fails(self) -> str:
        """Run it against a fault; give what it said of it."""
        before = len(self.said())
        code = self.start().wait(LONGEST_S)
        assert code, "it ended well in spite of the fault"
        return self.said()[before:]

    def undo_late_stages(self) -> None:
        """Have the build something to do."""
        results = self.project.root / "data" / "results" / self.study
        for name in LATE:
            for path in [*results.glob(f"ledgers/{name}*"), *results.glob(f"notebooks/*-{name}*")]:
                path.unlink()


def _environment(process: psutil.Process) -> dict[str, str]:
    with _gone():
        return process.environ()
    return {}


def _stage(process: psutil.Process) -> str | None:
    """Name the stage that a process executes, as "train", or the book."""
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
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return


Mount = Callable[..., None]


def disk_full(build: Build, mount: Mount, rng: random.Random) -> None:
    data = build.project.root / "data"
    ballast = data / "ballast"
    ballast.write_bytes(bytes(shutil.disk_usage(data).free - rng.randrange(400_000)))
    said = build.fails()
    assert "No space left on device" in said, said
    ballast.unlink()


def read_only(build: Build, mount: Mount, rng: random.Random) -> None:
    mount("remount", "ro")
    said = build.fails()
    assert "make the folder writable" in said, said
    mount("remount", "rw")


def out_of_memory(build: Build, mount: Mount, rng: random.Random) -> None:
    """A kernel is killed as the system does when memory is short."""
    before = len(build.said())
    process = build.start()
    kernels: list[psutil.Process] = []
    while not kernels and process.poll() is None:
        time.sleep(0.05)
        kernels = [one for one in build.processes() if _is_kernel(one)]
    time.sleep(rng.uniform(0, 3))
    for kernel in kernels:
        with _gone():
            kernel.kill()
    assert process.wait(LONGEST_S), "it ended well without its kernel"
    assert "its kernel died" in build.said()[before:], build.said()[before:]


def _is_kernel(process: psutil.Process) -> bool:
    with _gone():
        return "ipykernel_launcher" in process.cmdline()
    return False


def two_at_once(build: Build, mount: Mount, rng: random.Random) -> None:
    first = build.start()
    lock = build.project.root / ".snakemake" / "build.lock"
    while not any("snakemake" in " ".join(_words(one)) for one in build.processes()):
        assert first.poll() is None, build.said()
        time.sleep(0.05)
    assert lock.exists()
    second = build.project.run(*build.command, build.study)
    assert second.returncode == 1
    assert "another build is under way in this folder" in second.output
    assert first.wait(LONGEST_S) == 0, build.said()[-3000:]


def _words(process: psutil.Process) -> list[str]:
    with _gone():
        return process.cmdline()
    return []


MACHINE: dict[str, Callable[[Build, Mount, random.Random], None]] = {
    "disk full": disk_full,
    "folder read-only": read_only,
    "no memory for a kernel": out_of_memory,
    "two builds at once": two_at_once,
}
"""Faults of the machine, met by a build that has something to do; each ends by itself."""


def met(name: str, reference: Build, folder: Path, *, seed: int) -> list[str]:
    """Have a copy of a finished build meet a fault of the machine, and go on; compare.

    Returns
    -------
    list of str
        What is not as in the reference.
    """
    root, rng = folder / "project", random.Random(seed)
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(reference.project.root, root, symlinks=True, ignore=_but_data)
    (root / "data").mkdir(exist_ok=True)
    with small_disk(root / "data", size="600m") as mount:
        data = reference.project.root / "data"
        shutil.copytree(data, root / "data", dirs_exist_ok=True)
        build = Build(Project(root), reference.study, folder / "log.txt", reference.command)
        build.undo_late_stages()
        MACHINE[name](build, mount, rng)
        build.finish()
        return differences(reference.project.root, root, reference.study)


def _but_data(folder: str, names: list[str]) -> set[str]:
    return {"data"} & set(names) if (Path(folder) / "Snakefile").exists() else set()


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
            if path.is_file() and not path.name.endswith((".lock", ".journal")):
                yield str(path.relative_to(root))


def _is_same(expected: Path, found: Path) -> bool:
    if any(expected.match(pattern) for pattern in (*_OF_A_RUN, _IN_NO_ORDER)):
        return True
    if expected.read_bytes() == found.read_bytes():
        return True
    if expected.suffix in _READERS:
        first, second = (_READERS[expected.suffix](path) for path in (expected, found))
        untimed = [name for name in first if not _TIMES.search(name)]
        return list(first) == list(second) and bool(first[untimed].equals(second[untimed]))
    if expected.suffix == ".json":
        first, second = (_untimed(json.loads(path.read_text())) for path in (expected, found))
        return bool(first == second)
    return False


_READERS = {".parquet": pd.read_parquet, ".csv": partial(pd.read_csv, dtype=str)}


def _untimed(content: object) -> object:
    if isinstance(content, dict):
        return {k: _untimed(v) for k, v in content.items() if not _TIMES.search(k)}
    return content
