"""Read RAF-DB basic in the forms that people hold it, and hold it to its published numbers."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import pandas as pd

from exe_core.sets.readers import COLUMNS, DatasetError, image_table, label_of, read_csv, visible

log = logging.getLogger(__name__)

PUBLISHED = {
    "train": {
        "angry": 705,
        "disgust": 717,
        "fear": 281,
        "happy": 4772,
        "sad": 1982,
        "surprise": 1290,
        "neutral": 2524,
    },
    "test": {
        "angry": 162,
        "disgust": 160,
        "fear": 74,
        "happy": 1185,
        "sad": 478,
        "surprise": 329,
        "neutral": 680,
    },
}
"""Images of the basic set: 12,271 to train and 3,068 to test."""
LISTS = ("list_patition_label.txt", "list_partition_label.txt")
"""The first is spelled so by its authors; some copies mend it."""


def read_rafdb(source: Path, *, published: bool = False) -> pd.DataFrame:
    """Read RAF-DB basic.

    Parameters
    ----------
    source
        A folder as its authors give it (EmoLabel/list_patition_label.txt with Image/aligned), or
        with DATASET/{train,test}/{1..7} and train_labels.csv, test_labels.csv; or, in a folder of
        either form or one below it, a list of test images under a challenging condition (occluded,
        turned by 30 or 45 degrees: Wang et al. 2020, doi:10.1109/TIP.2019.2956143). Of such a list
        only the names count: its labels are numbered in an order of its own.
    published
        Refuse other numbers of images a side and label than the `PUBLISHED` ones.

    Returns
    -------
    pandas.DataFrame
        As every reader of `exe_core.sets.readers`; split_given is train or test.

    Raises
    ------
    DatasetError
        If it is none of these, a label is not 1 to 7, an image is missing, not listed, listed
        twice or in two classes, or the numbers are not the published ones.
    """
    if source.is_file():
        return _challenge(source, published=published)
    listed = next((path for name in LISTS if (path := source / "EmoLabel" / name).is_file()), None)
    rows = _official_rows(source, listed) if listed else _folder_rows(source)
    table = image_table(rows, source)
    if published:
        _check_numbers(table)
    return table


def _official_rows(root: Path, listed: Path) -> list[tuple]:
    words = [line.split() for line in listed.read_text().splitlines() if line.strip()]
    bad = next((line for line in words if len(line) != 2), None)
    if bad:
        raise DatasetError(f"{listed.name}: a line is '<image> <label>', not {' '.join(bad)!r}")
    aligned = root / "Image" / "aligned"
    rows = [
        _row(aligned / f"{Path(image).stem}_aligned.jpg", label, where=listed.name)
        for image, label in words
    ]
    _check_listed(rows, visible(aligned) if aligned.is_dir() else [], listed.name, "Image/aligned")
    return rows


def _folder_rows(root: Path) -> list[tuple]:
    rows = []
    for side in ("train", "test"):
        listed = f"{side}_labels.csv"
        labels = read_csv(root / listed, needs=["image", "label"])
        folder = root / "DATASET" / side
        part = [
            _row(folder / label / image, label, where=listed)
            for image, label in zip(labels["image"], labels["label"], strict=True)
        ]
        there = [path for path in folder.glob("*/[!.]*") if path.is_file()]
        _check_listed(part, there, listed, f"DATASET/{side}")
        rows += part
    return rows


def _row(path: Path, label: str, *, where: str) -> tuple:
    name = path.stem.removesuffix("_aligned")
    side = name.partition("_")[0]
    if side not in ("train", "test"):
        raise DatasetError(f"{where}: {path.name} is called neither train_.. nor test_..")
    return name, path, label_of(label, "rafdb", where), None, side


def _check_listed(rows: list[tuple], there: list[Path], listed: str, folder: str) -> None:
    """Hold a list and the images that are there against each other; none may be lost or twice."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    for name, labels in table.groupby("name")["label"]:
        if len(labels) > 1:
            raise DatasetError(f"{listed}: {name} is listed twice, as {' and as '.join(labels)}")
    times = Counter(path.name for path in there)
    twice = next((name for name, n in times.items() if n > 1), None)
    if twice:
        classes = sorted(path.parent.name for path in there if path.name == twice)
        raise DatasetError(f"{folder}: {twice} lies in the classes {' and '.join(classes)}")
    unlisted = sorted(set(times) - {path.name for path in table["path"]})
    if unlisted:
        raise DatasetError(
            f"{listed} lists {len(table)} images, {folder} holds {len(there)}; not listed are "
            f"{', '.join(unlisted[:5])}"
        )


def _challenge(listed: Path, *, published: bool) -> pd.DataFrame:
    homes = [
        folder
        for folder in (listed.parent, listed.parent.parent)
        if (folder / "EmoLabel").is_dir() or (folder / "DATASET").is_dir()
    ]
    if not homes:
        raise DatasetError(
            f"{listed.name} lists images of RAF-DB, but no EmoLabel or DATASET lies beside it"
        )
    table = read_rafdb(homes[0], published=published)
    lines = [line.split() for line in listed.read_text().splitlines() if line.strip()]
    names = pd.Series([Path(line[0]).stem.removesuffix("_aligned") for line in lines], dtype=str)
    if names.duplicated().any():  # the published list of occluded images has one so
        log.warning("%s names %d images twice", listed.name, names.duplicated().sum())
    tests = table[table["split_given"] == "test"]
    unknown = sorted(set(names) - set(tests["name"]))
    if unknown or not len(names):
        raise DatasetError(
            f"{listed.name}: {len(unknown)} of {len(names)} lines name no test image of RAF-DB, "
            f"such as {', '.join(unknown[:5])}"
        )
    return tests[tests["name"].isin(names)].reset_index(drop=True)


def _check_numbers(table: pd.DataFrame) -> None:
    found = table.groupby(["split_given", "label"]).size()
    wrong = [
        f"{side} {label} {found.get((side, label), 0)} instead of {number}"
        for side, numbers in PUBLISHED.items()
        for label, number in numbers.items()
        if found.get((side, label), 0) != number
    ]
    if wrong:
        totals = {side: sum(numbers.values()) for side, numbers in PUBLISHED.items()}
        raise DatasetError(
            f"this is not RAF-DB as published, {totals['train']:,} images to train and "
            f"{totals['test']:,} to test: {'; '.join(wrong[:3])}"
            f"{' and more' if len(wrong) > 3 else ''}. If that is meant, say `counts: any` in the "
            "study's set"
        )
