"""How the world's files are made: by named generators, in worker processes, with their truth."""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
from collections.abc import Collection, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from exe_core.study import Study
from exe_core.tables import empty, read, write

MAKERS = ("photos", "answers", "site", "sets", "scripts", "films")
"""The modules that make files; the others of this package draw for them."""

SETS = ("fer2013", "rafdb", "films", "photos")
"""What the table `truth` tells of, in its order."""

FACE_WIDTH = 1.38
"""The width of a face in the drawing's units."""


def generator(*names: object) -> np.random.Generator:
    """Give the generator of a thing by its names, alike in every process and on every run.

    >>> int(generator(42, "pexels:1").integers(100)) == int(generator(42, "pexels:1").integers(100))
    True
    """
    named = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(named[:16], "big"))


def digest(settings: object, *, makers: Collection[str]) -> str:
    """Compute the SHA-256 of settings and of the code that draws by them.

    Parameters
    ----------
    makers
        Those of `MAKERS` at work: a change of the others leaves their files as they are.
    """
    total = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    for module in sorted(Path(__file__).parent.glob("*.py")):
        if module.stem in makers or module.stem not in MAKERS:
            total.update(module.read_bytes())
    return total.hexdigest()


def workers(jobs: int) -> ProcessPoolExecutor:
    """Start `jobs` processes that draw.

    They are not forked from this one: a fork of a process with threads (a server, a notebook's
    kernel) may hang.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.{maker}" for maker in MAKERS])
    return ProcessPoolExecutor(
        jobs, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    )


def encode(image: np.ndarray, *, quality: int = 90) -> bytes:
    """Encode uint8 RGB as JPEG."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def write_truth(study: Study, set_name: str, rows: Iterable[dict[str, object]]) -> Path:
    """Replace the truth of one set; the other sets' rows stay, also if written at the same time.

    Parameters
    ----------
    rows
        The columns of the table `truth`, less set_name.
    """
    path = study.table("truth")
    path.parent.mkdir(parents=True, exist_ok=True)
    own = pd.DataFrame(list(rows)).assign(set_name=set_name)
    with path.with_name(".truth.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = read(path, name="truth") if path.exists() else empty("truth")
        rows = pd.concat([known[known["set_name"] != set_name], own], ignore_index=True)
        # The films and the photos are made side by side: their order must not be who came first.
        order = rows["set_name"].map(SETS.index)
        return write(rows.iloc[order.argsort(kind="stable")], path, name="truth")
