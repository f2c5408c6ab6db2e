"""How the world's files are made: by named generators, in worker processes, with their truth."""

from __future__ import annotations

import fcntl
import hashlib
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor

import cv2
import numpy as np
import pandas as pd

from exe_core.study import Study
from exe_core.tables import empty

SETS = ("fer2013", "rafdb", "films", "photos")
"""The parts of the world, in the order of their rows in the table `truth`."""

FACE_WIDTH = 1.38
"""The width of a face in the drawing's units."""


def generator(*names: object) -> np.random.Generator:
    """Seed a generator with the names of a thing: the same in every process and run.

    Examples
    --------
    >>> int(generator(42, "pexels:1").integers(100)) == int(generator(42, "pexels:1").integers(100))
    True
    """
    named = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(named[:16], "big"))


def workers(jobs: int) -> ProcessPoolExecutor:
    """Start `jobs` processes that draw.

    They are not forked from this one: a fork of a process with threads (a server, a notebook's
    kernel) may hang.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [f"{__package__}.{maker}" for maker in ("films", "sets", "site")]
    )
    return ProcessPoolExecutor(
        jobs, mp_context=context, initializer=cv2.setNumThreads, initargs=(1,)
    )


def encode(image: np.ndarray) -> bytes:
    """Encode uint8 RGB as JPEG."""
    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
    return data.tobytes()


def write_truth(study: Study, set_name: str, rows: Iterable[dict[str, object]]) -> None:
    """Replace the truth of one of `SETS`; rows of the others stay.

    Parameters
    ----------
    study, set_name
        Whose table `truth`, and which of its parts.
    rows
        The columns of the table, less set_name.
    """
    study.raw.mkdir(parents=True, exist_ok=True)
    new = pd.DataFrame(list(rows)).assign(set_name=set_name)
    # Films and photos are made side by side: a lock, and an order that is not who came first.
    with (study.raw / ".truth.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = study.read("truth") if study.table("truth").exists() else empty("truth")
        table = pd.concat([known[known["set_name"] != set_name], new], ignore_index=True)
        order = table["set_name"].map(SETS.index).argsort(kind="stable")
        study.write(table.iloc[order], "truth")
