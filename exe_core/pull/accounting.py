"""What became of every photo: what each query gave, what was new in it, and where photos were lost.

All of it is counted from the tables that the stages leave; shares carry Wilson intervals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from exe_core.pull.photo_labels import decide_labels, found_by
from exe_core.settings import Set

LEVEL = 0.95
PULLED = ("hits", "photos", "requests")
"""The tables of a pull."""
MAX_REASONS = 8
"""Reasons of failed downloads that are listed one by one; the rest are counted together."""


def wilson(
    share: ArrayLike, n: ArrayLike, *, level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray]:
    """Give the interval of shares (Wilson 1927); NaN where nothing was counted.

    Parameters
    ----------
    share
        Observed, 0..1.
    n
        Number of cases, or their effective number, which need not be whole.
    level
        Of the interval.

    Returns
    -------
    low, high

    Examples
    --------
    >>> [round(float(bound), 3) for bound in wilson(0.1, 50)]
    [0.043, 0.214]
    """
    p, size = np.asarray(share, dtype=float), np.asarray(n, dtype=float)
    z2 = stats.norm.ppf((1 + level) / 2) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = (p + z2 / (2 * size)) / (1 + z2 / size)
        half = np.sqrt(z2 * p * (1 - p) / size + (z2 / (2 * size)) ** 2) / (1 + z2 / size)
    return np.clip(middle - half, 0, 1), np.clip(middle + half, 0, 1)


def with_interval(counts: pd.DataFrame, *, of: str, among: str) -> pd.DataFrame:
    """Add value, low, high and level of the share that column `of` has of column `among`."""
    value = counts[of] / counts[among].where(counts[among] > 0)
    low, high = wilson(value, counts[among])
    return counts.assign(value=value, low=low, high=high, level=LEVEL)


def yields(
    hits: pd.DataFrame, photos: pd.DataFrame, images: pd.DataFrame, *, by: Sequence[str]
) -> pd.DataFrame:
    """Count what searches gave, and in how many of their photos a face was found.

    Parameters
    ----------
    hits, photos, images
        Tables of those names.
    by
        Columns of hits: ["source", "label"], ["source", "query"], ["source", "query", "page"].

    Returns
    -------
    pandas.DataFrame
        A row a combination: the columns of `by`, n_hits, n_photos (different ones), n_downloaded,
        n_looked_at (for faces), n_with_face, and value, low, high, level of their share.
    """
    status = images.drop_duplicates("item_id").set_index("item_id")["n_faces"]
    downloaded = photos.loc[photos["status"] == "ok", "photo_id"]
    found = hits.drop_duplicates([*by, "photo_id"])
    faces = found["photo_id"].map(status)
    found = found.assign(
        n_photos=1,
        n_downloaded=found["photo_id"].isin(downloaded).astype(int),
        n_looked_at=found["photo_id"].isin(status.index).astype(int),
        n_with_face=faces.fillna(0).gt(0).astype(int),
    )
    counted = ["n_photos", "n_downloaded", "n_looked_at", "n_with_face"]
    table = found.groupby(list(by), sort=False)[counted].sum()
    table.insert(0, "n_hits", hits.groupby(list(by), sort=False).size())
    return with_interval(table.reset_index(), of="n_with_face", among="n_looked_at")


def novelty(
    requests: pd.DataFrame, hits: pd.DataFrame, *, by: Sequence[str] = ("query",)
) -> pd.DataFrame:
    """Count how much of each page was new to its source and design, page by page.

    Parameters
    ----------
    requests, hits
        Tables of those names.
    by
        "query", or "label" to count the pages of all queries of a label together.

    Returns
    -------
    pandas.DataFrame
        source, design, the columns of `by`, page, n_returned, n_new, and value, low, high, level of
        the share that was new, by the first answer of each page.
    """
    page = ["source", "design", "query", "page"]
    answered = requests[requests["error"].isna() & (requests["n_returned"] > 0)]
    # a page that is asked for again holds nothing new: what it first gave is what counts
    first = answered.sort_values("requested_at").drop_duplicates(page)
    labels = hits.drop_duplicates(page[:3])[[*page[:3], "label"]]
    kinds = ["source", "design", *by, "page"]
    table = first.merge(labels, on=page[:3]).groupby(kinds)[["n_returned", "n_new"]]
    return with_interval(table.sum().reset_index(), of="n_new", among="n_returned")


def whereabouts(
    sets: Mapping[str, Set],
    *,
    hits: pd.DataFrame,
    photos: pd.DataFrame,
    requests: pd.DataFrame,
    images: pd.DataFrame,
    faces: pd.DataFrame,
    splits: pd.DataFrame,
) -> pd.DataFrame:
    """Follow the photos of each set from the hits to the faces that are learnt from.

    Parameters
    ----------
    sets
        Name -> settings; those that are of photos are followed.
    hits, photos, requests, images, faces, splits
        Tables of those names.

    Returns
    -------
    pandas.DataFrame
        A row a step: set_name, step ("returned", "downloaded", ..), kind ("left": so many are left;
        "lost": so many were lost at this step; "of which": a part of what is left) and n. What was
        returned less all that was lost is what is used.
    """
    tables = [
        _of_set(
            name,
            found=found_by(hits, chosen),
            photos=photos,
            requests=requests,
            images=images[images["set_name"] == name],
            faces=faces[faces["set_name"] == name].merge(
                splits[["face_id", "split"]], on="face_id", how="left"
            ),
            rule=chosen.two_labels,
        )
        for name, chosen in sets.items()
        if chosen.kind == "photos"
    ]
    columns = ["set_name", "step", "kind", "n"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def _of_set(
    name: str,
    *,
    found: pd.DataFrame,
    photos: pd.DataFrame,
    requests: pd.DataFrame,
    images: pd.DataFrame,
    faces: pd.DataFrame,
    rule: str,
) -> pd.DataFrame:
    """Follow one set; `found` are its hits, `images` and `faces` its own."""
    tried = photos[photos["photo_id"].isin(found["photo_id"])]
    is_ok = tried["status"] == "ok"
    decided = decide_labels(
        found[found["photo_id"].isin(tried.loc[is_ok, "photo_id"])], rule, requests=requests
    )
    unused = images.loc[images["status"] != "ok", "status"]
    used = faces[faces["is_primary"]]
    n_found, n_ok = found["photo_id"].nunique(), is_ok.sum()
    steps = [
        ("returned", "left", len(found)),
        ("found again by another query", "lost", len(found) - n_found),
        ("different photos", "left", n_found),
        *failures(tried.loc[~is_ok, "error"]),
        ("not tried yet", "lost", n_found - len(tried)),
        ("downloaded", "left", n_ok),
        ("under two labels", "lost", n_ok - len(decided)),
        ("of a label that the study has not", "lost", len(decided) - len(images)),
        ("looked at for faces", "left", len(images)),
        *((status, "lost", n) for status, n in unused.value_counts().items()),
        ("no crop kept", "lost", len(images) - len(unused) - len(used)),
        ("faces used", "left", len(used)),
        *((side, "of which", (used["split"] == side).sum()) for side in ("train", "val", "test")),
        ("copies of another", "of which", len(used) - used["group_id"].nunique()),
    ]
    table = pd.DataFrame(steps, columns=["step", "kind", "n"])
    table.insert(0, "set_name", name)
    return table[(table["kind"] != "lost") | (table["n"] != 0)].reset_index(drop=True)


def failures(errors: pd.Series) -> list[tuple[str, str, int]]:
    """Count failed downloads by reason: the text up to its particulars, numbers left out.

    Returns
    -------
    list
        As rows of `whereabouts`: step, kind "lost", n.
    """
    reasons = errors.fillna("not said").str.replace(r"[:(].*", "", regex=True)
    reasons = reasons.str.replace(r"\d{4,}", "..", regex=True).str.strip()
    counts = reasons.value_counts()
    rows = [(f"failed: {why}", "lost", int(n)) for why, n in counts.head(MAX_REASONS).items()]
    others = int(counts.iloc[MAX_REASONS:].sum())
    return [*rows, *([("failed: other reasons", "lost", others)] if others else [])]
