"""Files that appear whole, digests, and the provenance that each result carries."""

from __future__ import annotations

import errno
import fcntl
import glob
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    import pandas as pd

    from exe_core.study import Study

ROOT = Path(__file__).resolve().parents[1]
"""The root of the checkout; paths in tables are relative to it."""

_SHIPPED = Path(__file__).with_name("ready")  # in an installed package
READY = _SHIPPED if _SHIPPED.is_dir() else ROOT / "data" / "models"
"""Where the models lie that are ready to use, each in a folder of its name."""

COMMAND = "EXE_COMMAND"
"""The environment variable that holds the command by which a stage was started."""

PACKAGES = ("numpy", "pandas", "scipy", "scikit-learn", "torch", "torchvision", "mediapipe")


class StorageError(RuntimeError):
    """The disk takes no more files; what was written before is complete."""


class BusyError(RuntimeError):
    """Another process does what one process does at a time."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a name to write a file under; at the end it takes the place of `path`.

    Readers of `path` find the old file or the complete new one, also after a power cut. What a
    killed write left is removed by the next.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        writer = left.name.removeprefix(f".{path.name}.")
        if writer.isdecimal() and not psutil.pid_exists(int(writer)):
            left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, by: str = "another process") -> Iterator[IO[bytes]]:
    """Hold a file that only one process holds at a time; the lock ends with the process.

    A `BusyError` is raised if `by`, as its message says, is running.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"{by} is running: wait for it, or stop it") from None
        yield handle


@contextmanager
def explain_disk_errors(folder: Path) -> Iterator[None]:
    """Turn faults of the disk, not of a single file, into a `StorageError`."""
    try:
        yield
    except OSError as fault:
        lasting = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO)
        if fault.errno not in (*lasting, errno.EACCES, errno.EPERM):
            raise
        raise StorageError(
            f"{folder} can't be written ({fault.strerror or fault}): mend that and run the same "
            "again; what was written before is kept"
        ) from None


def digest(*paths: Path) -> str:
    """Compute the SHA-256 of files, or of all files below folders, names included.

    A `FileNotFoundError` is raised if a path does not exist: a digest of nothing would look like
    one of something.
    """
    total = hashlib.sha256()
    for path in paths:
        if not path.exists():
            raise FileNotFoundError(f"no file or folder to digest at {path}")
        members = sorted(path.rglob("*")) if path.is_dir() else [path]
        for member in members:
            if member.is_file():
                name = member.relative_to(path) if path.is_dir() else member.name
                total.update(os.fsencode(name))
                with member.open("rb") as stream:
                    total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


def digest_of(content: object) -> str:
    """Compute the SHA-256 of plain data, by its canonical JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def commit() -> str | None:
    """Return the git commit of this code, with "+" if tracked files differ; None outside git."""
    words = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def provenance(study: Study, *, inputs: Iterable[Path] = ()) -> dict[str, object]:
    """Gather what it takes to reproduce a result.

    Gives commit, study, kind, the merged settings in full, inputs, packages, python, device (a
    training puts its own in), seed, and command (of the stage that runs; None outside one).
    `inputs` are files or folders that the result was computed from: kept as digests, without the
    paths of a machine.
    """
    return {
        "commit": commit(),
        "study": study.name,
        "kind": study.kind,
        "settings": study.model_dump(mode="json"),
        "inputs": {
            str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name: digest(path)
            for path in inputs
        },
        "packages": {name: version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "device": "cpu",
        "seed": study.seed,
        "command": os.environ.get(COMMAND),
    }


def write_json(content: object, path: Path) -> Path:
    """Write plain data as JSON, completely or not at all; NaN becomes null."""
    plain = json.loads(json.dumps(content, default=_plain), parse_constant=lambda _: None)
    with replacing(path) as partial:
        text = json.dumps(plain, indent=1, ensure_ascii=False)
        partial.write_text(text + "\n", encoding="utf-8")
    return path


def _plain(value: Any) -> object:
    return value.item() if hasattr(value, "item") else str(value)  # of numpy, or a path


def write_values(
    study: Study,
    stage: str,
    *,
    values: Mapping[str, object] | None = None,
    table: pd.DataFrame | None = None,
    keys: Sequence[str] = (),
) -> Path:
    """Write the numbers of a stage that the prose cites as ``{val}`stage.key```.

    Parameters
    ----------
    values
        key -> a number or text, or an estimate as {"value": .., "low": .., "high": ..}.
    table, keys
        Estimates, a row each: value, low, high and, where there are any, n and p_value; and the
        columns that name the rows, joined by dots, of which null ones are left out.
    """
    named = dict(values or {})
    if table is not None:
        shown = [name for name in ("value", "low", "high", "n", "p_value") if name in table]
        for row in table.to_dict("records"):
            parts = [str(row[key]) for key in keys if row[key] is not None and row[key] == row[key]]
            named[".".join(parts)] = {name: row[name] for name in shown}
    entries = {
        f"{stage}.{key}": value if isinstance(value, Mapping) else {"value": value}
        for key, value in named.items()
    }
    study.keep_trial()
    return write_json(entries, study.results / "values" / f"{stage}.json")
