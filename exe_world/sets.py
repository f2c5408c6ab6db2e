"""Benchmark sets of drawn faces, in the very files that FER2013 and RAF-DB come in.

Each face is a person of its own, so no one is on both sides of a split.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core.record import replacing
from exe_core.study import Study
from exe_core.tables import ALIASES
from exe_world import face, render
from exe_world.making import digest, encode, generator, workers, write_truth

SIZES = {"fer2013": 48, "rafdb": 160}
STYLES = {"fer2013": "lab", "rafdb": "selfie"}
PARTS = {"fer2013": ("Training", "PublicTest", "PrivateTest"), "rafdb": ("train", "test")}
"""Each set's own words for the sides of its split."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BenchmarkFace:
    """A face of a benchmark set, before it is drawn."""

    set_name: str
    part: str  # one of PARTS
    number: int  # FER2013: its line, from 0; RAF-DB: from 1 in its part
    emotion: str
    seed: int

    @property
    def item_id(self) -> str:
        """Its id in the tables of the study."""
        return f"rafdb:{self.stem}" if self.set_name == "rafdb" else f"fer2013:{self.number:06d}"

    @property
    def stem(self) -> str:
        """Its name in RAF-DB."""
        return f"{self.part}_{self.number:05d}"

    @property
    def code(self) -> int:
        """Its emotion as the set writes it."""
        codes = ALIASES[self.set_name]
        return next(code for code, emotion in codes.items() if emotion == self.emotion)

    def cast(self) -> tuple[np.random.Generator, face.Identity, float]:
        """Draw who it is and the intensity; the generator goes on from there."""
        rng = generator(self.seed, self.set_name, self.part, self.number)
        low, high = render.STYLES[STYLES[self.set_name]].intensity
        return rng, face.sample_identity(rng), rng.uniform(low, high)

    def draw(self) -> np.ndarray:
        """Draw it: uint8 RGB, (48, 48, 3) for FER2013 and (100, 100, 3) for RAF-DB."""
        rng, identity, intensity = self.cast()
        size, style = SIZES[self.set_name], STYLES[self.set_name]
        image = render.render_face(
            rng, self.emotion, size=size, style=style, identity=identity, intensity=intensity
        )
        # RAF-DB's aligned images are cut close around the face.
        return image[45:145, 30:130] if self.set_name == "rafdb" else image

    def truth(self) -> dict[str, object]:
        """Say what it shows, as a row of the table `truth`."""
        _, identity, intensity = self.cast()
        shown = {"label_true": self.emotion, "intensity": intensity, "n_faces": 1}
        return {"item_id": self.item_id, "skin_tone": identity.skin_tone, "is_blend": False} | shown


def make_benchmarks(study: Study, *, jobs: int = 2, progress: bool = True) -> None:
    """Make fer2013.csv and RAF-DB's folder below ``study.raw / "benchmarks"``, with their truth.

    Both hold the study's labels, `benchmark_faces` a label to train and `benchmark_test_faces`
    to test; FER2013's tests are PublicTest and PrivateTest in turn. A set that was made by the
    same settings and code is left as it is.
    """
    folder = study.raw / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    for name, write in (("fer2013", _write_fer2013), ("rafdb", _write_rafdb)):
        entries = list_faces(study, name)
        marker, made_by = folder / f".{name}.sha256", digest(entries, makers=("sets",))
        if marker.exists() and marker.read_text() == made_by:
            _log.info("%s is made already", name)
            continue
        with workers(jobs) as pool:
            write(tqdm(entries, desc=name, disable=not progress), folder, pool)
        write_truth(study, name, [entry.truth() for entry in entries])
        with replacing(marker) as partial:
            partial.write_text(made_by)


def list_faces(study: Study, set_name: str) -> list[BenchmarkFace]:
    """List the faces of a benchmark set in the order of its file."""
    counts = (study.world.benchmark_faces, study.world.benchmark_test_faces)
    train, *tests = PARTS[set_name]
    rng = generator(study.seed, set_name)
    faces: list[BenchmarkFace] = []
    for parts, n_each in (((train,), counts[0]), (tests, counts[1])):
        emotions = rng.permutation(np.repeat(study.labels, n_each))
        for place, emotion in enumerate(emotions):
            number = place + 1 if set_name == "rafdb" else len(faces)
            part = parts[place % len(parts)]
            faces.append(BenchmarkFace(set_name, part, number, str(emotion), seed=study.seed))
    return faces


def _write_fer2013(entries: Iterable[BenchmarkFace], folder: Path, pool: Executor) -> None:
    rows = pool.map(_fer2013_row, entries, chunksize=16)
    table = pd.DataFrame(rows, columns=["emotion", "pixels", "Usage"])
    with replacing(folder / "fer2013.csv") as partial:
        table.to_csv(partial, index=False)


def _fer2013_row(entry: BenchmarkFace) -> tuple[int, str, str]:
    return entry.code, " ".join(map(str, entry.draw()[..., 0].ravel())), entry.part


def _write_rafdb(entries: Iterable[BenchmarkFace], folder: Path, pool: Executor) -> None:
    partial, final = folder / ".rafdb.part", folder / "rafdb"
    for old in (partial, final):
        if old.exists():
            shutil.rmtree(old)
    images, labels = partial / "Image" / "aligned", partial / "EmoLabel"
    for new in (images, labels):
        new.mkdir(parents=True)
    lines = pool.map(_save_rafdb_image, entries, repeat(images), chunksize=16)
    (labels / "list_patition_label.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    partial.replace(final)


def _save_rafdb_image(entry: BenchmarkFace, folder: Path) -> str:
    (folder / f"{entry.stem}_aligned.jpg").write_bytes(encode(entry.draw()))
    return f"{entry.stem}.jpg {entry.code}"
