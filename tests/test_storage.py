"""A disk that takes no more is told from a file that can't be written, with what is to be done."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from exe_core.fetching import REMEDIES, StorageError, explain_disk_errors


@pytest.mark.parametrize("code", sorted(REMEDIES))
def test_a_fault_of_the_disk_says_where_what_and_what_to_do(code: int, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught, explain_disk_errors(tmp_path):
        raise OSError(code, os.strerror(code))
    said = str(caught.value)
    assert str(tmp_path) in said
    assert os.strerror(code) in said
    assert f"{REMEDIES[code]} and run the same again" in said


@pytest.mark.parametrize("code", [errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG])
def test_a_fault_of_one_file_is_left_as_it_is(code: int, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=os.strerror(code)), explain_disk_errors(tmp_path):
        raise OSError(code, os.strerror(code))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="make the folder writable"), explain_disk_errors(tmp_path):
        (tmp_path / "1.jpg").write_bytes(b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_is_full_is_told() -> None:
    with (
        pytest.raises(StorageError, match=r"No space left .* free some space"),
        explain_disk_errors(Path("/dev")),
        Path("/dev/full").open("wb", buffering=0) as file,
    ):
        file.write(b"1")
