"""How often keywords are wrong: by the eyes of a person, or by the truth of a synthetic world.

A person fills `label_true` in a CSV; from it the noise of each query and label is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from exe_core.pull.accounting import LEVEL, wilson, with_interval
from exe_core.pull.photo_labels import RULES, decide_labels, found_by
from exe_core.schema import EMOTIONS
from exe_core.sets.readers import DatasetError, read_texts
from exe_core.settings import Set
from exe_core.writing import replacing

UNCLEAR = "unclear"
"""What a person writes where a face shows none of the emotions, or more than one."""

TO_LABEL = ["face_id", "set_name", "label", "query", "n_faces", "path", "label_true"]


class LabellingError(ValueError):
    """A table that was labelled by hand is not as it must be."""


def faces_of_photos(
    sets: Mapping[str, Set],
    *,
    faces: pd.DataFrame,
    hits: pd.DataFrame,
    requests: pd.DataFrame,
) -> pd.DataFrame:
    """Give the largest face of each photo that is used, with the query that found it.

    Parameters
    ----------
    sets
        Name -> settings; those that are of photos.
    faces, hits, requests
        Tables of those names.

    Returns
    -------
    pandas.DataFrame
        The rows of `faces` with `query`, that of the earliest hit under the label that the photo
        got, and `n_faces`, how many the set has of the query.
    """
    tables = [
        faces[(faces["set_name"] == name) & faces["is_primary"]].merge(
            decide_labels(found_by(hits, chosen), chosen.two_labels, requests=requests)[
                ["photo_id", "query"]
            ],
            left_on="item_id",
            right_on="photo_id",
        )
        for name, chosen in sets.items()
        if chosen.kind == "photos"
    ]
    found = pd.concat(tables, ignore_index=True).drop(columns="photo_id")
    n_faces = found.groupby(["set_name", "query"])["face_id"].transform("size")
    return found.assign(n_faces=n_faces)


def spread(faces: pd.DataFrame, n: int, *, by: Sequence[str], seed: int) -> pd.DataFrame:
    """Draw faces at random, as many of each kind as can be.

    Parameters
    ----------
    faces
        face_id, and the columns of `by`.
    n
        How many; a kind with fewer than its part gives all it has.
    by
        The columns that say what a face's kind is.
    seed
        Of the drawing.

    Returns
    -------
    pandas.DataFrame
        Their rows, ordered by kind and face_id.
    """
    if n < 1:
        raise ValueError(f"{n} faces can't be drawn: ask for 1 or more")
    rng = np.random.default_rng(seed)
    shuffled = faces.sort_values("face_id").iloc[rng.permutation(len(faces))]
    # the first of each kind, then the second of each, and so on
    place = shuffled.groupby(list(by)).cumcount()
    drawn = shuffled.iloc[np.argsort(place, kind="stable")].head(n)
    return drawn.sort_values([*by, "face_id"], ignore_index=True)


def sample_to_label(faces: pd.DataFrame, n: int, *, seed: int, path: Path) -> pd.DataFrame:
    """Write a CSV of faces for a person to label, as many of each set and query as can be.

    Parameters
    ----------
    faces
        As `faces_of_photos` gives them.
    n, seed
        How many, and the seed of the drawing.
    path
        Where the CSV goes.

    Returns
    -------
    pandas.DataFrame
        What was written: face_id, set_name, label, query, n_faces (that the set has of the query),
        path (of the crop, relative to the project's root), and label_true, empty: for one of the
        emotions, or "unclear".
    """
    drawn = spread(faces, n, by=["set_name", "label", "query"], seed=seed)
    table = drawn.assign(label_true=None)[TO_LABEL]
    with replacing(path) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
    return table


def label_by_truth(sample: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Fill `label_true` by the truth of the synthetic world, in the place of a person.

    Parameters
    ----------
    sample
        As `sample_to_label` or `faces_of_photos` gives it.
    truth
        Table "truth"; a photo of which it names no emotion is "unclear".
    """
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    item_id = sample["face_id"].str.split("/").str[1]
    return sample.assign(label_true=item_id.map(shown).fillna(UNCLEAR))


def read_labelled(path: Path) -> pd.DataFrame:
    """Read a CSV whose column `label_true` a person filled.

    Rows that are not filled yet are left out. Empty and upper-case letters do not matter.

    Raises
    ------
    LabellingError
        Naming the line and what is wrong there: a label that is none, a face given twice, a label
        or a number of faces that is none.
    """
    try:
        table = read_texts(path, keep_default_na=False)
    except DatasetError as fault:
        raise LabellingError(str(fault)) from None
    absent = [name for name in TO_LABEL if name not in table]
    if absent:
        raise LabellingError(f"{path.name} has no column {', '.join(absent)}")
    table = table.apply(lambda column: column.str.strip())
    table["label_true"] = table["label_true"].str.lower()
    allowed = (*EMOTIONS, UNCLEAR)
    faults = {
        "label_true": ~table["label_true"].isin(["", *allowed]),
        "label": ~table["label"].isin(EMOTIONS),
        "n_faces": ~table["n_faces"].str.fullmatch("[1-9][0-9]*"),
        "face_id": table["face_id"].duplicated() | (table["face_id"] == ""),
    }
    for column, is_wrong in faults.items():
        for place in np.flatnonzero(is_wrong):
            needed = {"n_faces": "a number", "face_id": "given once"}.get(
                column, ", ".join(allowed)
            )
            raise LabellingError(
                f"{path.name}, line {place + 2}: {column} is {table[column][place]!r}; it must be "
                f"{needed}"
            )
    table["n_faces"] = table["n_faces"].astype(int)
    return table.loc[table["label_true"] != "", TO_LABEL].reset_index(drop=True)


def keyword_noise(labelled: pd.DataFrame, *, level: float = LEVEL) -> pd.DataFrame:
    """Estimate how often keywords are wrong, from faces that were labelled by hand.

    Each set and query is a stratum. What is said of several is weighted by how many faces each
    has; its interval is Wilson's with the effective number of labelled faces, 1 / sum(w^2 / n)
    (Kish 1965, Survey Sampling, section 11.7; Dean & Pagano 2015). The sample is small beside the
    whole, and no correction is made for that.

    Parameters
    ----------
    labelled
        As `read_labelled` gives it.

    Returns
    -------
    pandas.DataFrame
        by ("query", "label", "set" or "all"), set_name, label, query (null if over several), n
        (labelled), n_wrong (those that do not show their label), n_unclear (of which unclear), and
        value, low, high, level of the share that is wrong.

    Raises
    ------
    LabellingError
        If no face is labelled.
    """
    if labelled.empty:
        raise LabellingError("no face is labelled yet: fill the column label_true")
    strata = labelled.assign(
        n_wrong=labelled["label_true"] != labelled["label"],
        n_unclear=labelled["label_true"] == UNCLEAR,
    )
    strata = strata.groupby(["set_name", "label", "query"], as_index=False).agg(
        n=("face_id", "size"),
        n_wrong=("n_wrong", "sum"),
        n_unclear=("n_unclear", "sum"),
        n_faces=("n_faces", "first"),
    )
    groups = {
        "query": strata.groupby(["label", "query"]),
        "label": strata.groupby(["label"]),
        "set": strata.groupby(["set_name"]),
        "all": strata.groupby(lambda _: "all"),
    }
    rows = [
        {"by": by, **_estimate(members, level=level), **_shared(members, by)}
        for by, group in groups.items()
        for _, members in group
    ]
    counts = ["n", "n_wrong", "n_unclear", "value", "low", "high", "level"]
    return pd.DataFrame(rows)[["by", "set_name", "label", "query", *counts]]


def _shared(strata: pd.DataFrame, by: str) -> dict[str, str | None]:
    """Name what an estimate is of: null for what it is over."""
    named = {"query": ("label", "query"), "label": ("label",), "set": ("set_name",), "all": ()}[by]
    first = strata.iloc[0]
    return {name: first[name] if name in named else None for name in ("set_name", "label", "query")}


def _estimate(strata: pd.DataFrame, *, level: float) -> dict[str, float]:
    weight = strata["n_faces"] / strata["n_faces"].sum()
    value = float((weight * strata["n_wrong"] / strata["n"]).sum())
    low, high = wilson(value, 1 / (weight**2 / strata["n"]).sum(), level=level)
    counts = strata[["n", "n_wrong", "n_unclear"]].sum().to_dict()
    return {**counts, "value": value, "low": float(low), "high": float(high), "level": level}


def with_known(
    noise: pd.DataFrame, *, faces: pd.DataFrame, truth: pd.DataFrame | None
) -> pd.DataFrame:
    """Add to estimates what they estimate, where it is known: the share among all faces.

    Parameters
    ----------
    noise
        As `keyword_noise` gives it.
    faces
        All faces, as `faces_of_photos` gives them.
    truth
        Table "truth"; None where nobody knows it.

    Returns
    -------
    pandas.DataFrame
        `noise` with the column known, null where it is not.
    """
    if truth is None:
        return noise.assign(known=np.nan)
    whole = keyword_noise(label_by_truth(faces, truth)).rename(columns={"value": "known"})
    keys = ["by", "set_name", "label", "query"]
    return noise.merge(whole[[*keys, "known"]], on=keys, how="left")


def compare_rules(
    sets: Mapping[str, Set],
    *,
    hits: pd.DataFrame,
    requests: pd.DataFrame,
    truth: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Compare the rules for photos that were found under several labels.

    Parameters
    ----------
    sets
        Name -> settings; those that are of photos.
    hits, requests
        Tables of those names.
    truth
        Table "truth", where there is one; photos of which it names no emotion are not counted.

    Returns
    -------
    pandas.DataFrame
        A row a set and rule, those of all sets together last: set_name, rule, n_photos (found),
        n_two_labels (under several), n_kept, among ("all kept" or "under two labels"), n (kept ones
        whose truth is known), n_right, and value, low, high, level of the share that is right.
    """
    shown = pd.Series(dtype=object)
    if truth is not None:
        shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"].dropna()
    rows = []
    for name, chosen in sets.items():
        if chosen.kind != "photos":
            continue
        found = found_by(hits, chosen)
        several = found.groupby("photo_id")["label"].nunique().gt(1).sum()
        for rule in RULES:
            kept = decide_labels(found, rule, requests=requests)
            known = kept[kept["photo_id"].isin(shown.index)]
            is_right = known["label"] == known["photo_id"].map(shown)
            counts = {"n_photos": found["photo_id"].nunique(), "n_two_labels": several}
            for among, part in (
                ("all kept", slice(None)),
                ("under two labels", known["n_labels"] > 1),
            ):
                right = {
                    "n_kept": len(kept),
                    "n": len(is_right[part]),
                    "n_right": is_right[part].sum(),
                }
                rows.append({"set_name": name, "rule": rule, "among": among, **counts, **right})
    return _with_total(pd.DataFrame(rows))


def _with_total(rules: pd.DataFrame) -> pd.DataFrame:
    total = rules.groupby(["rule", "among"], as_index=False, sort=False).sum(numeric_only=True)
    both = pd.concat([rules, total.assign(set_name="all sets")], ignore_index=True)
    return with_interval(both, of="n_right", among="n")
