"""What several test modules need: a project of its own in which the smoke study has run."""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from exe_core.record import ROOT

pytest_plugins = ["browser", "ratios"]


def pytest_addoption(parser):
    parser.addoption(
        "--write-trials",
        action="store_true",
        help="write the table of tests/test_criterion_trials.py to data/frozen/tests",
    )


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The folder of a reader's data; what is computed goes beside it."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where the tests of a module keep what they compute once."""
    return tmp_path_factory.mktemp("home")


@dataclass(frozen=True)
class Project:
    """A copy of the project, so that a test leaves the reader's book and results alone."""

    root: Path

    @property
    def environment(self):
        """The environment of its commands: its own exe_core, the tools of this Python."""
        bins = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PYTHONPATH": str(self.root), "PATH": bins}
        return {k: v for k, v in os.environ.items() if k not in ("EXE_HOME", "EXE_DATA")} | own

    def run(self, *command, **environment):
        """Run a command at its root; the result has stdout and stderr in `output`."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        done.output = done.stdout
        return done

    def build(self, study="smoke", **environment):
        """Compute what is missing of a study, and its book."""
        return self.run("python", "-m", "exe_core.cli", "build", study, **environment)


def copy_project(root):
    """Copy what git tracks or would track, and link the detector's model."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        check=True,
    ).stdout.decode()
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, root / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    (ROOT / ".cache").mkdir(exist_ok=True)
    (root / ".cache").symlink_to(ROOT / ".cache")
    return Project(root)


@pytest.fixture(scope="session")
def smoke(tmp_path_factory):
    """The smoke study, run from nothing to its book in a copy of the project."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    done = project.build()
    assert done.returncode == 0, done.output[-4000:]
    return project


@contextmanager
def small_disk(folder, *, size="2m"):
    """Mount a small file system at a folder, and yield what mounts it anew with other options."""

    def mount(*options):
        chosen = ",".join([f"size={size}", *options])
        command = ["mount", "-t", "tmpfs", "-o", chosen, "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")

    mount()
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
