"""Files that appear whole: written beside their place, and moved there when all is on the disk."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name to write a file under; at the end it takes the place of `path`.

    Whoever reads `path` finds the file of before or the whole new one, also after a power cut. A
    write that fails leaves nothing; what one that was killed has left goes with the next.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, replacing(Path(folder) / "new" / "a.txt") as partial:
    ...     partial.write_text("whole", encoding="utf-8")
    5
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _sweep(path: Path) -> None:
    """Remove what killed processes began to write of a file."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*"):
        writer = left.name.removeprefix(f".{path.name}.")
        if writer.isdecimal() and not _is_alive(int(writer)):
            left.unlink(missing_ok=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # it is somebody else's
        return True
    return True
