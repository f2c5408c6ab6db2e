"""What all readers of labelled images share, and the reader of plain folders.

Each reader gives a table with a row an image: name (unique in the set), path, label, person (or
None) and split_given (or None).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from exe_core.schema import SchemaError, canonical

COLUMNS = ["name", "path", "label", "person", "split_given"]


class DatasetError(ValueError):
    """A data set is not as its form asks."""


def read_folder(root: Path) -> pd.DataFrame:
    """Read a folder with labels.csv (file, emotion and, if known, person), or a folder an emotion.

    Raises
    ------
    DatasetError
        If there is neither, a column or an image is missing, or a label is unknown.
    """
    if (root / "labels.csv").is_file():
        listed = read_csv(root / "labels.csv", needs=["file", "emotion"])
        persons = listed["person"] if "person" in listed else [None] * len(listed)
        rows = [
            (file, root / file, label_of(emotion, "names", f"labels.csv: {file}"), person, None)
            for file, emotion, person in zip(
                listed["file"], listed["emotion"], persons, strict=True
            )
        ]
    else:
        rows = [
            (f"{folder.name}/{path.name}", path, label, None, None)
            for folder in visible(root)
            if folder.is_dir()
            for label in [label_of(folder.name, "names", f"folder {root.name}")]
            for path in visible(folder)
        ]
    return image_table(rows, root)


def read_texts(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV table as texts, by `pandas.read_csv` with further options."""
    try:
        table = pd.read_csv(path, dtype=str, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DatasetError(f"{path.name} is no table: {fault}") from None
    if not isinstance(table.index, pd.RangeIndex):  # the first columns became an index
        raise DatasetError(f"{path.name} is no table: its rows have more fields than its header")
    return table


def read_csv(path: Path, *, needs: list[str]) -> pd.DataFrame:
    """Read a table of texts that has the columns `needs`."""
    if not path.is_file():
        raise DatasetError(f"{path.name} is not in folder {path.parent.name}")
    table = read_texts(path)
    missing = [column for column in needs if column not in table]
    if missing:
        raise DatasetError(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    return table


def label_of(label: object, family: str, where: str) -> str:
    """Translate a label; `where` it stands goes into the error."""
    try:
        return canonical(label, family=family)
    except SchemaError as fault:
        raise DatasetError(f"{where}: {fault}") from None


def visible(folder: Path) -> list[Path]:
    """List what a folder holds, by name, hidden files left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def leading_out(paths: Iterable[Path], folder: Path) -> list[str]:
    """List the files that lie outside of a folder, by a link or by `..`: it may be somebody's."""
    within = folder.resolve()
    return [str(path) for path in paths if not path.resolve().is_relative_to(within)]


def image_table(rows: list[tuple], root: Path) -> pd.DataFrame:
    """Make a reader's table; every image must be there, in the folder of the set, and once."""
    table = pd.DataFrame(rows, columns=COLUMNS)
    if outside := leading_out(table.path, root):
        raise DatasetError(
            f"{root.name}: {len(outside)} images lie outside of its folder, such as {outside[0]}: "
            "put the files there in place of links and .."
        )
    missing = [
        name for name, path in zip(table.name, table.path, strict=True) if not path.is_file()
    ]
    if missing:
        raise DatasetError(
            f"{root.name}: {len(missing)} of {len(table)} images are not there, such as "
            f"{', '.join(missing[:5])}"
        )
    twice = table.name[table.name.duplicated()]
    if len(twice):
        raise DatasetError(
            f"{root.name}: {len(twice)} images are listed twice, such as {twice.iloc[0]}"
        )
    return table
