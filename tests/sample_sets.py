"""Studies and small image sets for the tests, in the files that real ones come in."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from exe_core import datasets
from exe_core.labels import EMOTIONS
from exe_core.study import Study, parse_study


def make_study(labels: tuple[str, ...] = EMOTIONS, **sets: dict[str, object]) -> Study:
    sets = sets or {"photos": {"kind": "photos", "source": "pexels", "design": "v2"}}
    learnt = [name for name, one in sets.items() if one.get("role") != "test"]
    sets = sets if learnt else {**sets, "other": {"kind": "folder", "path": "other"}}
    about = {"name": "sets", "kind": "real", "title": "For the tests of the sets"}
    runs = {"one": {"sets": learnt or ["other"]}}
    return parse_study({**about, "labels": labels, "sets": sets, "runs": runs})


def folder_study(path: str = "set", **more: object) -> Study:
    return make_study(one={"kind": "folder", "path": path, **more})


def items(study: Study, name: str) -> pd.DataFrame:
    """The images of a set that have a label of the study."""
    table = datasets.read_set(study, name)
    return table[table["label"].isin(study.labels)].reset_index(drop=True)


def picture(seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
    """A smooth gray picture, another for each seed."""
    coarse = np.random.default_rng(seed).integers(40, 200, (6, 6), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


def write_listed(root: Path, rows: list[tuple[str, ...]], header: str = "file,emotion,person"):
    for k, (file, *_) in enumerate(rows):
        save(picture(k), root / file)
    lines = [header, *(",".join(row) for row in rows)]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


def fer_images() -> list[tuple[str, str, np.ndarray]]:
    """Usage, emotion, pixels; the last but one repeats the first."""
    usages = ["Training"] * 7 + ["PublicTest"] * 2 + ["PrivateTest"]
    pixels = [np.asarray(picture(seed)) for seed in (0, 1, 2, 3, 4, 5, 6, 7, 0, 9)]
    emotions = [EMOTIONS[k % 7] for k in range(10)]
    return list(zip(usages, emotions, pixels, strict=True))


def write_fer_csv(path: Path, *, spaces: bool = False) -> None:
    usages, emotions, pixels = zip(*fer_images(), strict=True)
    table = pd.DataFrame({"emotion": [EMOTIONS.index(emotion) for emotion in emotions]})
    table["pixels"] = [" ".join(map(str, image.ravel())) for image in pixels]
    table["Usage"] = usages
    if spaces:
        table = table.rename(columns={"pixels": " pixels", "Usage": " Usage"}).iloc[:, [0, 2, 1]]
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def write_fer_tree(root: Path, *, public: str = "test") -> None:
    sides = {"Training": "train", "PublicTest": public, "PrivateTest": "test"}
    for number, (usage, emotion, pixels) in enumerate(fer_images()):
        save(Image.fromarray(pixels), root / sides[usage] / emotion / f"{usage}_{number}.png")


def archived(write: Callable[[Path], Any], inside: str, suffix: str = "xz"):
    """Write an archive of what `write` writes, at a place in it."""

    def pack(path: Path) -> None:
        made = path.parent / "made" / inside
        made.parent.mkdir(parents=True, exist_ok=True)
        write(made)
        with tarfile.open(path, f"w:{suffix}") as archive:
            archive.add(path.parent / "made", ".")

    return pack


def fer_study(path: str, **more: object) -> Study:
    return make_study(fer={"kind": "fer2013", "path": path, **more})


def write_ferplus(path: Path, items: pd.DataFrame, *, published: bool = True) -> Path:
    """FER+ of items in line order: every 15th is no face, and every 4th of these is not counted."""
    columns = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"]
    ours = ["neutral", "happy", "surprise", "sad", "angry", "disgust", "fear"]
    usages = {"train": "Training", "public": "PublicTest", "private": "PrivateTest"}
    rows, number = [], 0
    for line, (label, side) in enumerate(zip(items["label"], items["split_given"], strict=True)):
        faceless = line % 15 == 14
        name = "" if faceless else f"fer{number:07d}.png"
        votes = [0] * 7 if faceless else [9 if one == label else 0 for one in ours]
        rest = {"contempt": 0, "unknown": int(not faceless), "NF": 10 * faceless}
        row = {"Usage": usages[side]} | dict(zip(columns, votes, strict=True)) | rest
        if published:
            rows.append({"Usage": usages[side], "Image name": name} | row)
        elif not faceless:
            rows.append({"image": number} | row)
        number += not (faceless and line % 60 == 14)
    pd.DataFrame(rows).to_csv(path, index=False)
    return path
