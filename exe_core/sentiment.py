"""From emotions to five and three levels of sentiment.

Each emotion has a level from -2 (very negative) to 2 (very positive), or none: then faces that
show it are left out. Three levels are the sign of the five.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd

from exe_core.labels import labels_of, prob_columns

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


def scales(
    predictions: pd.DataFrame, levels: Levels
) -> Iterator[tuple[str, Sequence[str], pd.DataFrame]]:
    """Give predictions at all classes, 5 levels and 3 levels.

    Takes table "predictions", and a level or None for each of its labels. Gives each scale ("7
    classes", "5 levels", "3 levels"), its names, and the predictions on it; sets are named with it.
    """
    labels = labels_of(predictions)
    at: list[tuple[str, Sequence[str], pd.DataFrame]] = [
        (f"{len(labels)} classes", labels, predictions)
    ]
    for n, known in LEVELS.items():
        at.append((f"{n} levels", known, at_levels(predictions, levels, n_levels=n)))
    for scale, names, rows in at:
        yield scale, names, rows.assign(set_name=rows["set_name"] + f", {scale}")
