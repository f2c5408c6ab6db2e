"""A disk that is full or can't be written: said in one clear line, with what is to be done."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REMEDIES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EROFS: "make the folder writable",
    errno.EACCES: "make the folder writable",
    errno.EPERM: "make the folder writable",
    errno.EIO: "see to the disk",
}
"""Faults of the disk that the next photo would meet as well, and what is to be done."""


class StorageError(RuntimeError):
    """The disk takes no more files; what was written before is whole."""


@contextmanager
def storage_told(folder: Path) -> Iterator[None]:
    """Say what is to be done where the disk, and not a single file, is at fault."""
    try:
        yield
    except OSError as fault:
        if fault.errno not in REMEDIES:
            raise
        raise StorageError(
            f"{folder} can't be written ({fault.strerror or fault}): {REMEDIES[fault.errno]} and "
            "run the same again; what was written before is kept"
        ) from None
