"""Benchmark sets of drawn faces, in the very files that FER2013 and RAF-DB come in.

Each face is another person, so no one is on both sides of a split.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core.labels import ALIASES
from exe_core.record import replacing
from exe_core.study import Study
from exe_world.camera import STYLES
from exe_world.face import Identity, sample_identity
from exe_world.making import encode, generator, workers, write_truth
from exe_world.render import render_face

_FORMATS = {"fer2013": (48, "lab"), "rafdb": (160, "selfie")}  # side drawn at, px; style
_PARTS = {"fer2013": ("Training", "PublicTest", "PrivateTest"), "rafdb": ("train", "test")}


@dataclass(frozen=True)
class BenchmarkFace:
    """A face of a benchmark set, before it is drawn."""

    set_name: str
    part: str  # of its set's split
    number: int  # FER2013: its line, from 0; RAF-DB: from 1 in its part
    emotion: str
    seed: int  # of the study

    @property
    def stem(self) -> str:
        """Its name in RAF-DB."""
        return f"{self.part}_{self.number:05d}"

    @property
    def code(self) -> int:
        """Its emotion as the set writes it."""
        codes = ALIASES[self.set_name]
        return next(code for code, emotion in codes.items() if emotion == self.emotion)

    def cast(self) -> tuple[np.random.Generator, Identity, float]:
        """Draw who it is and the intensity; the generator goes on from there."""
        rng = generator(self.seed, self.set_name, self.part, self.number)
        ranges = STYLES[_FORMATS[self.set_name][1]]
        return rng, sample_identity(rng), rng.uniform(*ranges.intensity)

    def draw(self) -> np.ndarray:
        """Draw it: uint8 RGB, (48, 48, 3) for FER2013 and (100, 100, 3) for RAF-DB."""
        rng, identity, intensity = self.cast()
        size, style = _FORMATS[self.set_name]
        image = render_face(
            rng, self.emotion, size=size, style=style, identity=identity, intensity=intensity
        )
        # RAF-DB's aligned images are cut close around the face.
        return image[45:145, 30:130] if self.set_name == "rafdb" else image

    def truth(self) -> dict[str, object]:
        """Give what it shows, as a row of the table `truth`."""
        name = self.stem if self.set_name == "rafdb" else f"{self.number:06d}"
        return {
            "item_id": f"{self.set_name}:{name}",
            "label_true": self.emotion,
            "n_faces": 1,
            "is_blend": False,
        }


def make_benchmarks(study: Study, *, jobs: int = 2, progress: bool = True) -> None:
    """Make fer2013.csv and RAF-DB's folder below ``study.raw / "benchmarks"``, with their truth.

    Both hold the study's labels, `benchmark_faces` a label to train and `benchmark_test_faces`
    to test; FER2013's tests are PublicTest and PrivateTest in turn.
    """
    folder = study.raw / "benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    with workers(jobs) as pool:
        for name, write in (("fer2013", _write_fer2013), ("rafdb", _write_rafdb)):
            faces = list_faces(study, name)
            write(tqdm(faces, desc=name, disable=not progress), folder, pool)
            write_truth(study, name, [face.truth() for face in faces])


def list_faces(study: Study, set_name: str) -> list[BenchmarkFace]:
    """List the faces of a benchmark set in the order of its file."""
    counts = (study.world.benchmark_faces, study.world.benchmark_test_faces)
    train, *tests = _PARTS[set_name]
    rng = generator(study.seed, set_name)
    faces: list[BenchmarkFace] = []
    for parts, n_each in (((train,), counts[0]), (tests, counts[1])):
        emotions = rng.permutation(np.repeat(study.labels, n_each))
        for place, emotion in enumerate(emotions):
            number = place + 1 if set_name == "rafdb" else len(faces)
            part = parts[place % len(parts)]
            faces.append(BenchmarkFace(set_name, part, number, str(emotion), seed=study.seed))
    return faces


def _write_fer2013(faces: Iterable[BenchmarkFace], folder: Path, pool: Executor) -> None:
    rows = pool.map(_fer2013_row, faces, chunksize=16)
    table = pd.DataFrame(rows, columns=["emotion", "pixels", "Usage"])
    with replacing(folder / "fer2013.csv") as partial:
        table.to_csv(partial, index=False)


def _fer2013_row(face: BenchmarkFace) -> tuple[int, str, str]:
    return face.code, " ".join(map(str, face.draw()[..., 0].ravel())), face.part


def _write_rafdb(faces: Iterable[BenchmarkFace], folder: Path, pool: Executor) -> None:
    partial, final = folder / ".rafdb.part", folder / "rafdb"
    shutil.rmtree(partial, ignore_errors=True)
    images, labels = partial / "Image" / "aligned", partial / "EmoLabel"
    images.mkdir(parents=True)
    labels.mkdir()
    lines = pool.map(_save_rafdb_image, faces, repeat(images), chunksize=16)
    (labels / "list_patition_label.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
    shutil.rmtree(final, ignore_errors=True)
    partial.replace(final)


def _save_rafdb_image(face: BenchmarkFace, folder: Path) -> str:
    (folder / f"{face.stem}_aligned.jpg").write_bytes(encode(face.draw()))
    return f"{face.stem}.jpg {face.code}"
