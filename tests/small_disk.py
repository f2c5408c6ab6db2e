"""A small disk, to fill up or to make read-only."""

import errno
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def small_disk(folder: Path, *, size: str = "2m") -> Iterator[Callable[..., None]]:
    """Mount a small file system at a folder, if this process may; give what mounts it anew.

    Raises
    ------
    PermissionError
        If it may not.
    """

    def mount(*options: str) -> None:
        chosen = ",".join([f"size={size}", *options])
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", chosen, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode:
            raise PermissionError(errno.EPERM, done.stderr.decode())

    mount()
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
