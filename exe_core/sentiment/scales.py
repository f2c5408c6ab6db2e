"""From emotions to five and three levels of sentiment.

Each emotion has a level from -2 (very negative) to 2 (very positive), or none: then faces that
show it are left out. Three levels are the sign of the five. The expected level of a face, by the
probabilities of its emotions, is its valence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal, get_args

import numpy as np
import pandas as pd

from exe_core import schema

LEVELS = {
    5: ("very negative", "negative", "neutral", "positive", "very positive"),
    3: ("negative", "neutral", "positive"),
}
"""Number of levels -> their names, from the least pleasant."""

Levels = Mapping[str, int | None]
"""Emotion -> level from -2 to 2, or None where it is dropped."""

Rule = Literal["sum", "top"]
RULES: tuple[Rule, ...] = get_args(Rule)


class SentimentError(ValueError):
    """Levels and predictions do not fit each other."""


def choices(valence: Mapping[str, Sequence[int | None]], *, labels: Sequence[str]) -> list[Levels]:
    """List all ways to give each label one of its levels; the study's own comes first.

    Parameters
    ----------
    valence
        Emotion -> levels that can be defended, the chosen one first; see
        `exe_core.settings.Sentiment`.
    labels
        Emotions that are answered.

    Examples
    --------
    >>> choices({"sad": (-1, -2), "happy": (2,)}, labels=["happy", "sad"])
    [{'happy': 2, 'sad': -1}, {'happy': 2, 'sad': -2}]
    """
    ways = product(*(valence[label] for label in labels))
    return [dict(zip(labels, way, strict=True)) for way in ways]


def describe(levels: Levels, *, chosen: Levels) -> str:
    """Say in words how levels differ from those chosen; "as chosen" if they do not.

    >>> describe({"sad": -2, "surprise": None}, chosen={"sad": -1, "surprise": 1})
    'sad −2, surprise dropped'
    """
    differing = [name for name in levels if levels[name] != chosen[name]]
    return ", ".join(f"{name} {level_name(levels[name])}" for name in differing) or "as chosen"


def level_name(level: int | None) -> str:
    """Write a level as a signed number, with a true minus."""
    return "dropped" if level is None else f"{level:+d}".replace("+0", "0").replace("-", "−")


def at_levels(
    predictions: pd.DataFrame, levels: Levels, *, n_levels: int, rule: Rule = "sum"
) -> pd.DataFrame:
    """Turn predictions of emotions into predictions of levels.

    Parameters
    ----------
    predictions
        Table "predictions".
    levels
        A level, or None, for each of its labels.
    n_levels
        5 or 3.
    rule
        "sum" answers the level whose emotions are most probable together, "top" that of the most
        probable emotion; emotions that are dropped are no answers.

    Returns
    -------
    pd.DataFrame
        As `predictions`, less the rows whose emotion is dropped; label and predicted are levels,
        with a prob_<level> column each. `valence` is the expected level, `valence_true` that of
        the label, both from -2 to 2 or, at 3 levels, from -1 to 1.

    Raises
    ------
    SentimentError
        If a label has no level, all are dropped, or there are other than 5 or 3 levels.
    """
    if n_levels not in LEVELS:
        raise SentimentError(f"{n_levels} levels: allowed are 5 and 3")
    names, labels = LEVELS[n_levels], schema.labels_of(predictions)
    steps = _steps(levels, labels, half=n_levels // 2)
    kept = predictions[predictions["label"].isin(steps) | predictions["label"].isna()]
    probabilities = _renormalised(kept[schema.prob_columns(list(steps))].to_numpy())
    step = np.array(list(steps.values()))
    places = step + n_levels // 2
    together = probabilities @ np.eye(n_levels)[places]
    answers = together.argmax(axis=1) if rule == "sum" else places[probabilities.argmax(axis=1)]
    true = kept["label"].map(steps).astype(float)
    return kept.drop(columns=schema.prob_columns(labels)).assign(
        label=true.map({k - n_levels // 2: name for k, name in enumerate(names)}),
        predicted=np.array(names, dtype=object)[answers],
        valence=probabilities @ step,
        valence_true=true,
        **dict(zip(schema.prob_columns(names), together.T, strict=True)),
    )


def _steps(levels: Levels, labels: Sequence[str], *, half: int) -> dict[str, int]:
    """Give each label that is not dropped its step from the neutral level, at most `half`."""
    absent = [label for label in labels if label not in levels]
    if absent:
        raise SentimentError(
            f"no level for {', '.join(absent)}: give one from -2 to 2, or None to drop it"
        )
    wanted = {label: levels[label] for label in labels}
    steps = {
        label: step if half == 2 else int(np.sign(step))
        for label, step in wanted.items()
        if step is not None
    }
    if not steps:
        raise SentimentError(f"every one of {', '.join(labels)} is dropped: give one a level")
    return steps


def _renormalised(probabilities: np.ndarray) -> np.ndarray:
    """Make rows sum to 1; one that is 0 everywhere says nothing, so all are as probable."""
    totals = probabilities.sum(axis=1, keepdims=True)
    return np.where(totals > 0, probabilities, 1) / np.where(
        totals > 0, totals, probabilities.shape[1]
    )
