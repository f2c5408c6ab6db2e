"""How well faces are to be seen, and how sure models are of them: size, pose, and those missed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.settings import Statistics

SIZES = ("smallest", "smaller", "larger", "largest")
"""Quarters of the faces by the share of the picture that they take."""

TURNS = {
    "bins": [-np.inf, 10, 20, 30, np.inf],
    "labels": ["under 10°", "10° to 20°", "20° to 30°", "over 30°"],
}
"""How `pandas.cut` makes strata of how far a head is turned, to either side (degrees)."""


def traits(faces: pd.DataFrame, truth: pd.DataFrame) -> dict[str, pd.Series]:
    """Put faces into strata of their size and, where the truth is known, of their pose.

    Parameters
    ----------
    faces
        Table "faces".
    truth
        Table "truth"; may be empty.

    Returns
    -------
    dict
        Trait -> the stratum of each item.
    """
    largest = faces[faces["is_primary"]].set_index("item_id")["area_share"]
    place = largest.rank(method="first", pct=True)
    quarter = pd.cut(place, np.linspace(0, 1, len(SIZES) + 1), labels=list(SIZES))
    found = {"quarter of faces by size": quarter}
    shown = truth.drop_duplicates("item_id").set_index("item_id")["yaw_deg"].abs()
    if len(shown):
        found["head turned"] = pd.cut(shown, **TURNS)
    return found


def confidence(
    predictions: pd.DataFrame,
    strata: Mapping[str, pd.Series],
    *,
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Measure how sure runs are of faces, and how often right, by how they are to be seen.

    Parameters
    ----------
    predictions
        Table "predictions"; the label is the truth, or null where it is not known.
    strata
        As given by `traits`.

    Returns
    -------
    pd.DataFrame
        run_id, trait, stratum, measure ("confidence": mean probability of the answer; "accuracy":
        over faces with a label), value, low, high (bootstrap over groups), n; no row for a stratum
        without faces.
    """
    probs = predictions[schema.prob_columns(schema.labels_of(predictions))].max(axis=1)
    right = (predictions["predicted"] == predictions["label"]).where(predictions["label"].notna())
    values = {"confidence": probs, "accuracy": right.astype(float)}
    found = []
    for trait, of_items in strata.items():
        stratum = predictions["item_id"].map(of_items.astype(object))
        for measure, value in values.items():
            rows = predictions[["run_id", "group_id"]].assign(stratum=stratum, value=value)
            for (run_id, name), own in rows.dropna().groupby(["run_id", "stratum"], sort=False):
                about = {"run_id": run_id, "trait": trait, "stratum": name, "measure": measure}
                found.append(about | _mean(own, statistics=statistics, seed=seed))
    table = pd.DataFrame(found)
    order = [name for of_items in strata.values() for name in of_items.cat.categories]
    return table.sort_values("stratum", key=lambda column: column.map(order.index), kind="stable")


def found_by_label(
    frames: pd.DataFrame, truth: pd.DataFrame, *, statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Measure how often a face is found where one is shown, by what it shows.

    Were these shares equal, faces would be missing at random with regard to the emotion.

    Parameters
    ----------
    frames
        Table "frames".
    truth
        Table "truth" of these films.

    Returns
    -------
    pd.DataFrame
        label, value (share of frames with a face of that emotion in which one was found), low,
        high (bootstrap over films), n.
    """
    item_id = frames["film_id"] + ":" + frames["frame"].astype(str).str.zfill(6)
    shown = frames.assign(item_id=item_id).merge(
        truth[["item_id", "label_true"]].dropna(), on="item_id", how="inner"
    )
    rows = shown.assign(group_id=shown["film_id"], value=(shown["n_faces"] > 0).astype(float))
    found = [
        {"label": label, **_mean(own, statistics=statistics, seed=seed)}
        for label, own in rows.groupby("label_true")
    ]
    return pd.DataFrame(found).sort_values("label", key=lambda names: names.map(_RANK))


_RANK = {label: k for k, label in enumerate(schema.EMOTIONS)}


def _mean(rows: pd.DataFrame, *, statistics: Statistics, seed: int) -> dict[str, object]:
    """Average `value` with an interval over groups."""
    terms = np.column_stack([rows["value"], np.ones(len(rows))])
    found = resampling.bootstrap(
        resampling.sum_by_group(terms, rows["group_id"]),
        lambda sums: sums[:, 0] / sums[:, 1],
        n=statistics.n_bootstrap,
        level=statistics.level,
        rng=np.random.default_rng(seed),
    )
    return {"value": found.value, "low": found.low, "high": found.high, "n": len(rows)}
