"""From emotions to five and three levels of sentiment.

Each emotion has a level from -2 (very negative) to 2 (very positive), or none: then faces that
show it are left out. Three levels are the sign of the five.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from exe_core import metrics, tables
from exe_core.labels import labels_of, prob_columns
from exe_core.resampling import Statistics, sum_by_group

LEVELS = {
    5: ("very negative", "negative", "neutral", "positive", "very positive"),
    3: ("negative", "neutral", "positive"),
}
"""Number of levels -> their names, from the least pleasant."""

VALENCE: dict[str, tuple[int | None, ...]] = {
    "angry": (-2, -1),
    "disgust": (-2, -1),
    "fear": (-1, -2),
    "happy": (2,),
    "sad": (-1, -2),
    "surprise": (1, 0, None),
    "neutral": (0,),
}
"""Emotion -> its levels that can be defended; the first is used, the others show what hangs on
it. None drops the emotion.
"""

Levels = Mapping[str, int | None]
"""Emotion -> level from -2 to 2, or None where it is dropped."""


def choices(labels: Sequence[str]) -> list[Levels]:
    """List all ways to give each label one of its levels in `VALENCE`, the first of each first.

    Examples
    --------
    >>> choices(["happy", "sad"])
    [{'happy': 2, 'sad': -1}, {'happy': 2, 'sad': -2}]
    """
    ways = product(*(VALENCE[label] for label in labels))
    return [dict(zip(labels, way, strict=True)) for way in ways]


def at_levels(predictions: pd.DataFrame, levels: Levels, *, n_levels: int) -> pd.DataFrame:
    """Turn predictions of emotions into predictions of levels.

    Predicted is the level whose emotions have the highest probability in all; emotions that are
    dropped are never predicted.

    Takes table "predictions", a level or None for each of its labels, and 5 or 3 levels. Gives the
    same, less the rows whose emotion is dropped; label and predicted are levels, with a
    prob_<level> column each.
    """
    names, labels, half = LEVELS[n_levels], labels_of(predictions), n_levels // 2
    given = {label: level for label in labels if (level := levels[label]) is not None}
    step = np.array(list(given.values()))
    step = step if half == 2 else np.sign(step)
    kept = predictions[predictions["label"].isin(given) | predictions["label"].isna()]
    # probabilities that are all 0 without the dropped emotions say nothing: all are as probable
    probs = kept[prob_columns(list(given))].to_numpy()
    totals = probs.sum(axis=1, keepdims=True)
    probs = np.where(totals > 0, probs, 1) / np.where(totals > 0, totals, probs.shape[1])
    by_level = probs @ np.eye(n_levels)[step + half]
    level_of = dict(zip(given, [names[level + half] for level in step], strict=True))
    return kept.drop(columns=prob_columns(labels)).assign(
        label=kept["label"].map(level_of),
        predicted=np.array(names, dtype=object)[by_level.argmax(axis=1)],
        **dict(zip(prob_columns(names), by_level.T, strict=True)),
    )


def _scales(
    predictions: pd.DataFrame, levels: Levels
) -> Iterator[tuple[str, Sequence[str], pd.DataFrame]]:
    """Give each scale, its names and the predictions on it; sets are named with their scale."""
    labels = labels_of(predictions)
    yield (
        f"{len(labels)} classes",
        labels,
        predictions.assign(set_name=predictions["set_name"] + f", {len(labels)} classes"),
    )
    for n, names in LEVELS.items():
        rows, scale = at_levels(predictions, levels, n_levels=n), f"{n} levels"
        yield scale, names, rows.assign(set_name=rows["set_name"] + f", {scale}")


def score_scales(
    predictions: pd.DataFrame, levels: Levels, *, statistics: Statistics
) -> pd.DataFrame:
    """Score each run on each set and split, at all classes, 5 levels and 3 levels.

    Takes table "predictions", and a level or None for each of its labels. Gives table "metrics" and
    `scale`: "7 classes", "5 levels" or "3 levels"; a set is named with its scale. To the scores of
    `exe_core.metrics` comes, for levels, quadratic_kappa: agreement beyond chance, an error
    weighing the square of its distance (Cohen 1968).
    """
    scored = []
    for scale, names, rows in _scales(predictions, levels):
        parts = [metrics.score(rows, labels=names, statistics=statistics)]
        if scale.endswith("levels"):
            parts.append(_score_kappa(rows, names, statistics))
        scored += [part.assign(scale=scale) for part in parts]
    return tables.check(pd.concat(scored, ignore_index=True), "metrics")


def compare_scales(
    first: pd.DataFrame, others: pd.DataFrame, levels: Levels, *, statistics: Statistics
) -> pd.DataFrame:
    """Compare one run with others at all classes, 5 levels and 3 levels, on the same faces.

    As `exe_core.metrics.compare`, of predictions whose labels `levels` gives a level, or None; the
    table "comparisons" gets a column `scale`.
    """
    pairs = zip(_scales(first, levels), _scales(others, levels), strict=True)
    compared = [
        metrics.compare(ours, theirs, labels=names, statistics=statistics).assign(scale=scale)
        for (scale, names, ours), (_, _, theirs) in pairs
    ]
    return tables.check(pd.concat(compared, ignore_index=True), "comparisons")


def _score_kappa(
    predictions: pd.DataFrame, names: Sequence[str], statistics: Statistics
) -> pd.DataFrame:
    """Make the rows of the table "metrics" for quadratic_kappa."""
    scored = []
    for (run_id, set_name, split), rows in predictions.groupby(["run_id", "set_name", "split"]):
        known = rows[rows["label"].notna()]
        label, predicted = (pd.Index(names).get_indexer(known[c]) for c in ("label", "predicted"))
        cells = np.eye(len(names) ** 2)[label * len(names) + predicted]
        found = statistics.interval(sum_by_group(cells, known["group_id"]), _quadratic_kappa)
        about = {"run_id": run_id, "set_name": set_name, "split": split}
        about |= {"n": len(known), "n_groups": found.n, "method": found.method}
        scored.append({**about, **found.columns()})
    whole = pd.DataFrame(scored).assign(metric="quadratic_kappa", label=None)
    return whole.assign(level=statistics.level, seed=statistics.seed)


def _quadratic_kappa(totals: np.ndarray) -> np.ndarray:
    """Compute the kappa (n,) from sums of the cells (n, C * C)."""
    side = math.isqrt(totals.shape[1])
    cells = totals.reshape(-1, side, side)
    distance = np.subtract.outer(np.arange(side), np.arange(side)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):  # where there is one level only
        true, predicted = cells.sum(axis=2), cells.sum(axis=1)
        by_chance = np.einsum("ni,ij,nj->n", true, distance, predicted) / cells.sum(axis=(1, 2))
        kappa = 1 - (cells * distance).sum(axis=(1, 2)) / by_chance
    return np.where(np.isfinite(kappa), kappa, np.nan)
