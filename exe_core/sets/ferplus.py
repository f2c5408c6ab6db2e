"""FER+: what ten annotators saw in each image of FER2013, joined to it, as soft or majority labels.

An image has votes for seven emotions and contempt, for "unknown", and for "no face".
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from exe_core.schema import EMOTIONS
from exe_core.sets.fer2013 import USAGES
from exe_core.sets.readers import DatasetError, label_of, read_csv

log = logging.getLogger(__name__)

OTHERS = {"contempt": "contempt", "unknown": "unknown", "NF": "no_face"}
"""FER+'s columns that are no emotion of this project -> their names here."""
COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", *OTHERS)
VOTES = [f"votes_{name}" for name in (*EMOTIONS, *OTHERS.values())]
LEAST_AGREEMENT = 0.4
"""Half-way between what a join by the right key gives, .64 of FER2013's labels, and chance, .18."""


def read_votes(path: Path) -> pd.DataFrame:
    """Read FER+: the published fer2013new.csv, or a table with the column image.

    Parameters
    ----------
    path
        Has the columns Usage, neutral, happiness, surprise, sadness, anger, disgust, fear,
        contempt, unknown and NF; and "Image name" as published, where line i belongs to line i of
        fer2013.csv and the name counts only some of the images, or image, that number itself.

    Returns
    -------
    pandas.DataFrame
        A row an image: line (from 0; NA unless published), image (the number in its name; NA if it
        has none), split_given (train, public, private), and `VOTES`.

    Raises
    ------
    DatasetError
        If a column is missing, or a row has another usage, no whole numbers, or no votes at all.
    """
    table = read_csv(path, needs=["Usage", *COLUMNS])
    if not len(table):
        raise DatasetError(f"{path.name} has no rows")
    unknown = set(table["Usage"]) - set(USAGES)
    if unknown:
        raise DatasetError(f"{path.name}: Usage {unknown} must be of {', '.join(USAGES)}")
    counts = table[list(COLUMNS)].apply(pd.to_numeric, errors="coerce")
    bad = ~((counts >= 0) & (counts % 1 == 0)).all(axis=1) | (counts.sum(axis=1) == 0)
    if bad.any():
        raise DatasetError(
            f"{path.name}, row {bad.idxmax()}: votes are whole numbers, one or more in all; it has "
            f"{', '.join(map(str, table.loc[bad.idxmax(), list(COLUMNS)]))}"
        )
    names = {
        column: OTHERS.get(column) or label_of(column, "names", path.name) for column in COLUMNS
    }
    votes = counts.astype(int).rename(columns={old: f"votes_{new}" for old, new in names.items()})
    line = pd.Series(pd.NA, index=table.index, dtype="Int64")
    if "image" in table:
        image = table["image"]
    else:
        line[:] = range(len(table))
        named = table.get("Image name", pd.Series(None, index=table.index, dtype=object))
        image = named.str.extract(r"(\d+)", expand=False)
    return votes[VOTES].assign(
        line=line,
        image=pd.to_numeric(image).astype("Int64"),
        split_given=table["Usage"].map(USAGES),
    )[["line", "image", "split_given", *VOTES]]


def join_votes(
    items: pd.DataFrame, votes: pd.DataFrame, *, by: Literal["line", "image"] | None = None
) -> pd.DataFrame:
    """Give each image of FER2013 its votes.

    Parameters
    ----------
    items
        item_id (ending in the image's number), label, and split_given, as
        `exe_core.datasets.items` gives them for FER2013.
    votes
        As `read_votes` gives them.
    by
        What the number in item_id is: the line of fer2013.csv, as this project numbers what it
        reads from that file, or FER+'s image number, by which some folder copies are named. If
        None, whichever agrees more.

    Returns
    -------
    pandas.DataFrame
        item_id, label and `VOTES` of the images that have votes, in the order of `items`.

    Raises
    ------
    DatasetError
        If nothing joins, or the majority of the votes is FER2013's label no more often than
        `LEAST_AGREEMENT`: then the numbers are of another count.
    """
    keys = [by] if by else [key for key in ("line", "image") if votes[key].notna().any()]
    joined = {key: _joined(items, votes, key) for key in keys}
    agreements = {key: agreement(table) for key, table in joined.items() if len(table)}
    if not agreements:
        raise DatasetError(f"no image of {len(items)} has votes by the number in its item_id")
    key = max(agreements, key=lambda one: agreements[one])
    if not agreements[key] >= LEAST_AGREEMENT:  # nor where all votes are tied
        raise DatasetError(
            f"FER+ joined by {key} agrees with {agreements[key]:.2f} of the labels of FER2013, "
            f"where the right join agrees with .64 and chance with .18: the numbers of these "
            "images are not those of the votes. Folder copies number images in several ways; "
            "fer2013.csv joins fer2013new.csv line by line"
        )
    log.info(
        "FER+ joined by %s: %d of %d images have votes, %.3f of the labels agree",
        key,
        len(joined[key]),
        len(items),
        agreements[key],
    )
    return joined[key]


def _joined(items: pd.DataFrame, votes: pd.DataFrame, key: str) -> pd.DataFrame:
    number = items["item_id"].str.extract(r"(\d+)$", expand=False)
    numbered = items[["item_id", "label", "split_given"]].assign(number=number.astype("Int64"))
    known = votes.dropna(subset=key).rename(columns={key: "number"})
    table = numbered.dropna(subset="number").merge(
        known[["number", "split_given", *VOTES]], on=["number", "split_given"], validate="m:1"
    )
    return table[["item_id", "label", *VOTES]]


def agreement(joined: pd.DataFrame) -> float:
    """Give the share of images whose most frequent vote is their label.

    Ties are left out; NaN if there is nothing else.
    """
    voted = majority(soft_labels(joined), labels=EMOTIONS)
    clear = pd.notna(voted)
    return float((voted == joined["label"].to_numpy())[clear].mean()) if clear.any() else np.nan


def soft_labels(
    votes: pd.DataFrame,
    *,
    labels: Sequence[str] = EMOTIONS,
    contempt: str = "drop",
    unknown: Literal["drop", "spread"] = "drop",
) -> np.ndarray:
    """Turn votes into probabilities of the labels.

    Parameters
    ----------
    votes
        Has the columns `VOTES`.
    labels
        The classes, in order; votes for other emotions are left out.
    contempt
        "drop" leaves its votes out; a label takes them.
    unknown
        "drop" leaves these votes out; "spread" divides them evenly among the labels.

    Returns
    -------
    numpy.ndarray
        float, shape (N, len(labels)); rows sum to 1, and are NaN where no vote is left or half of
        the annotators or more saw no face.

    Raises
    ------
    DatasetError
        If contempt is to go to something that is no label.
    """
    counts = votes[[f"votes_{label}" for label in labels]].to_numpy(float, copy=True)
    if contempt in labels:
        counts[:, list(labels).index(contempt)] += votes["votes_contempt"]
    elif contempt != "drop":
        raise DatasetError(f"contempt: {contempt!r} must be drop or of {', '.join(labels)}")
    if unknown == "spread":
        counts += votes["votes_unknown"].to_numpy(float)[:, None] / len(labels)
    total = counts.sum(axis=1, keepdims=True)
    no_face = (votes["votes_no_face"] * 2 >= votes[VOTES].sum(axis=1)).to_numpy()
    defined = (total > 0) & ~no_face[:, None]
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=defined)


def majority(soft: np.ndarray, *, labels: Sequence[str] = EMOTIONS) -> np.ndarray:
    """Name the most probable label of each row; None if it is undefined or tied.

    >>> majority(np.array([[0.7, 0.3], [0.5, 0.5]]), labels=["happy", "sad"]).tolist()
    ['happy', None]
    """
    most = np.nan_to_num(soft, nan=-1.0).max(axis=1, keepdims=True)
    winners = np.isclose(soft, most)
    named = np.array(labels, dtype=object)[winners.argmax(axis=1)]
    named[winners.sum(axis=1) != 1] = None
    return named


def vote_entropy(soft: np.ndarray) -> np.ndarray:
    """Compute how divided the annotators were: entropy of each row, bits; NaN where undefined."""
    return stats.entropy(soft, base=2, axis=1)
