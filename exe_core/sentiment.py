"""From emotions to five and three levels of sentiment.

Each emotion has a level from -2 (very negative) to 2 (very positive), or none: then faces that
show it are left out. Three levels are the sign of the five. The expected level of a face, by the
probabilities of its emotions, is its valence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Literal, get_args

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, balanced_accuracy_score, cohen_kappa_score

from exe_core import metrics, resampling
from exe_core import tables as schema
from exe_core.resampling import Statistics

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


ORDERED = ("quadratic_kappa", "valence_correlation", "valence_concordance")
"""Scores that know the order of the levels; the last two are of the valence.

quadratic_kappa
    Agreement beyond chance, an error weighing the square of its distance (Cohen 1968).
valence_correlation
    Pearson's, of the valence and the level of the label.
valence_concordance
    Lin's (1989): the correlation, less what a shift or another spread takes from it.
"""


def score_scales(
    predictions: pd.DataFrame, levels: Levels, *, statistics: Statistics
) -> pd.DataFrame:
    """Score each run on each set and split, at 7 classes, 5 levels and 3 levels.

    Parameters
    ----------
    predictions
        Table "predictions".
    levels
        A level, or None, for each of its labels.
    statistics
        How intervals are made.

    Returns
    -------
    pd.DataFrame
        Table "metrics", and `scale`: "7 classes", "5 levels" or "3 levels". A set is named with
        its scale. To the scores of `exe_core.metrics` come those of `ORDERED`.
    """
    tables = []
    for scale, names, rows in _scales(predictions, levels):
        found = metrics.score(
            rows,
            labels=names,
            statistics=statistics,
        )
        tables.append(found.assign(scale=scale))
        if names in LEVELS.values():
            tables.append(_score_order(rows, names, statistics).assign(scale=scale))
    return schema.check(pd.concat(tables, ignore_index=True), "metrics")


def compare_scales(
    first: pd.DataFrame,
    others: pd.DataFrame,
    levels: Levels,
    *,
    statistics: Statistics,
) -> pd.DataFrame:
    """Compare one run with others at 7 classes, 5 levels and 3 levels, on the same faces.

    Parameters
    ----------
    first, others
        Tables "predictions", as for `exe_core.metrics.compare`.
    levels
        A level, or None, for each of their labels.
    statistics
        How intervals and p-values are made.

    Returns
    -------
    pd.DataFrame
        Table "comparisons", and `scale`.
    """
    tables = [
        metrics.compare(
            ours,
            theirs,
            labels=names,
            statistics=statistics,
        ).assign(scale=scale)
        for (scale, names, ours), (_, _, theirs) in zip(
            _scales(first, levels), _scales(others, levels), strict=True
        )
    ]
    return schema.check(pd.concat(tables, ignore_index=True), "comparisons")


def scale_sensitivity(predictions: pd.DataFrame, ways: Sequence[Levels]) -> pd.DataFrame:
    """Score each run under every way to give emotions their levels, without intervals.

    Parameters
    ----------
    predictions
        Table "predictions".
    ways
        From `choices`; the first is the study's.

    Returns
    -------
    pd.DataFrame
        Table "metrics" of accuracy, balanced_accuracy and quadratic_kappa, and `scale`, `rule`,
        `choice` (in words) and `surprise`, its level in words. At 3 levels, ways of equal signs
        count once. A set is named with its scale, rule and choice.
    """
    tables = []
    for n_levels, rule in product(LEVELS, RULES):
        for way in ways if n_levels == 5 else _of_different_signs(ways):
            choice = describe(way, chosen=ways[0])
            points = _points(at_levels(predictions, way, n_levels=n_levels, rule=rule), n_levels)
            tables.append(
                points.assign(
                    set_name=points["set_name"] + f", {n_levels} levels, {rule}, {choice}",
                    scale=f"{n_levels} levels",
                    rule=rule,
                    choice=choice,
                    surprise=level_name(way["surprise"]) if "surprise" in way else None,
                )
            )
    return schema.check(pd.concat(tables, ignore_index=True), "metrics")


def _scales(
    predictions: pd.DataFrame, levels: Levels
) -> list[tuple[str, Sequence[str], pd.DataFrame]]:
    """Give the predictions at each scale, with its names; sets are named with their scale."""
    labels = schema.labels_of(predictions)
    found: list[tuple[str, Sequence[str], pd.DataFrame]] = [
        (f"{len(labels)} classes", labels, predictions)
    ]
    for n, names in LEVELS.items():
        found.append((f"{n} levels", names, at_levels(predictions, levels, n_levels=n)))
    return [
        (scale, names, table.assign(set_name=table["set_name"] + f", {scale}"))
        for scale, names, table in found
    ]


def _of_different_signs(ways: Sequence[Levels]) -> list[Levels]:
    first: dict[tuple, Levels] = {}
    for way in ways:
        signs = tuple(level if level is None else int(np.sign(level)) for level in way.values())
        first.setdefault(signs, way)
    return list(first.values())


def _points(predictions: pd.DataFrame, n_levels: int) -> pd.DataFrame:
    """Make the rows of the table "metrics" for the scores of `sensitivity`, without intervals."""
    rows = []
    known = predictions[predictions["label"].notna()]
    for keys, table in known.groupby(["run_id", "set_name", "split"]):
        true, said = table["label"], table["predicted"]
        kappa = cohen_kappa_score(true, said, labels=LEVELS[n_levels], weights="quadratic")
        rows += [
            (*keys, "accuracy", accuracy_score(true, said)),
            (*keys, "balanced_accuracy", balanced_accuracy_score(true, said)),
            (*keys, "quadratic_kappa", kappa),
        ]
    found = pd.DataFrame(rows, columns=["run_id", "set_name", "split", "metric", "value"])
    sizes = known.groupby(["run_id", "set_name", "split"])["group_id"].agg(["size", "nunique"])
    sizes = sizes.set_axis(["n", "n_groups"], axis=1).reset_index()
    absent = dict.fromkeys(["label", "low", "high", "level", "method", "seed"])
    return found.merge(sizes).assign(**absent)


def _score_order(
    predictions: pd.DataFrame, names: Sequence[str], statistics: Statistics
) -> pd.DataFrame:
    """Make the rows of the table "metrics" for the scores that know the order of levels."""
    tables = []
    for keys, rows in predictions.groupby(["run_id", "set_name", "split"]):
        known = rows[rows["label"].notna()]
        sums = resampling.sum_by_group(_terms(known, names), known["group_id"])
        found = statistics.interval(
            sums,
            _ordered,
        )
        table = pd.DataFrame(found.columns()).assign(
            metric=ORDERED, n=len(known), n_groups=len(sums)
        )
        table[["run_id", "set_name", "split"]] = keys
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    return whole.assign(
        label=None, level=statistics.level, method=resampling.METHOD, seed=statistics.seed
    )


def _terms(rows: pd.DataFrame, names: Sequence[str]) -> np.ndarray:
    """Lay out what the ordered scores add up: confusion cells, then moments of the valence."""
    code = {name: k for k, name in enumerate(names)}
    cell = rows["label"].map(code) * len(names) + rows["predicted"].map(code)
    x, y = rows["valence"].to_numpy(), rows["valence_true"].to_numpy()
    return np.column_stack(
        [np.eye(len(names) ** 2)[cell.to_numpy(dtype=int)], x, y, x * x, y * y, x * y]
    )


def _ordered(totals: np.ndarray) -> np.ndarray:
    """Compute `ORDERED` (n, 3) from sums of `_terms` (n, C * C + 5)."""
    side = math.isqrt(totals.shape[1] - 5)
    cells = totals[:, :-5].reshape(-1, side, side)
    n = cells.sum(axis=(1, 2))
    distance = np.subtract.outer(np.arange(side), np.arange(side)) ** 2
    true, said = cells.sum(axis=2), cells.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # what has no spread is undefined
        by_chance = np.einsum("ni,ij,nj->n", true, distance, said) / n
        kappa = 1 - (cells * distance).sum(axis=(1, 2)) / by_chance
        x, y, xx, yy, xy = totals[:, -5:].T / n
        covariance, of_x, of_y = xy - x * y, xx - x * x, yy - y * y
        correlation = covariance / np.sqrt(of_x * of_y)
        concordance = 2 * covariance / (of_x + of_y + (x - y) ** 2)
    scores = np.column_stack([kappa, correlation, concordance])
    return np.where(np.isfinite(scores), scores, np.nan)
