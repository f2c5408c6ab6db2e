"""The course of a film: shares and probabilities over its time, smoothed, with their bands.

A band is a block bootstrap: shots are drawn, not frames, as those of a shot are not independent.
It says how far the curve hangs on the shots that happen to stand there; it is pointwise, and knows
nothing of how wrong a model is.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.footage import shots
from exe_core.settings import Statistics

MOST_SMOOTH_S = 60.0
LEAST_SMOOTH = 12
"""The kernel's width (s), and how many of them a film has at least: short films have narrower."""

CONFIDENT = 0.5
"""The published timelines count faces of this confidence or more."""

MAX_TIMES = 200
"""A course is computed at the sampled times or, of a long film, at so many."""

_REACH = 3.0  # kernel widths

MEASURES = ("probability", "share")


def smoothing_s(rows: pd.DataFrame) -> float:
    """Choose the width of the kernel for a film (s): a minute, less in films under 12 minutes."""
    length_s = float(rows["time_s"].max() - rows["time_s"].min())
    return min(MOST_SMOOTH_S, length_s / LEAST_SMOOTH) if length_s > 0 else MOST_SMOOTH_S


def course(
    rows: pd.DataFrame,
    *,
    smooth_s: float,
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Smooth what a run says of a film over time, with block-bootstrap bands.

    Parameters
    ----------
    rows
        Of one run and film, as given by `timelines.timeline`; blocks are those of `shots.blocks`.
    smooth_s
        Standard deviation of the Gaussian kernel, which ends at three of them (s).
    statistics
        How the bands are made, at each time.

    Returns
    -------
    pd.DataFrame
        measure ("probability": mean of the label's; "share": of faces read as it), label, time_s,
        value, low, high, n_blocks (Kish's effective number of blocks under the kernel). NaN where
        no face is under the kernel; bounds are NaN, too, where fewer than about three blocks are.

    Raises
    ------
    ValueError
        If the rows are of several runs or films.
    """
    if rows[["run_id", "film_id"]].drop_duplicates().shape[0] > 1:
        raise ValueError("a course is of one run and one film: choose the rows of one")
    labels = schema.labels_of(rows)
    seen = rows.dropna(subset=schema.prob_columns(labels))
    times_s = _times(rows["time_s"].to_numpy())
    # relative to the width, so that films of a single frame need no exception
    far = np.abs(times_s[:, None] - seen["time_s"].to_numpy()[None, :]) / smooth_s
    kernel = np.where(far <= _REACH, np.exp(-0.5 * far**2), 0.0)
    is_label = seen["predicted"].to_numpy()[:, None] == np.array(labels, dtype=object)
    values = np.hstack([seen[schema.prob_columns(labels)].to_numpy(float), is_label, _ones(seen)])
    sums = _by_block(kernel, values, shots.blocks(seen).to_numpy())
    n_blocks = _effective(sums[..., -1])
    shape = (len(times_s), len(MEASURES) * len(labels))
    found = resampling.bootstrap(
        sums.reshape(len(sums), shape[0] * (shape[1] + 1)),
        lambda drawn: _ratios(drawn, shape),
        n=statistics.n_bootstrap,
        level=statistics.level,
        rng=np.random.default_rng(seed),
        n_effective=np.repeat(n_blocks, shape[1]),
    )
    index = pd.MultiIndex.from_product(
        [times_s, MEASURES, labels], names=["time_s", "measure", "label"]
    )
    table = pd.DataFrame(found._asdict(), index=index).reset_index()
    table = table.assign(n_blocks=np.repeat(n_blocks, shape[1]))
    return table[["measure", "label", "time_s", "value", "low", "high", "n_blocks"]]


def cumulative(rows: pd.DataFrame, *, confident: float = CONFIDENT) -> pd.DataFrame:
    """Count the faces of each label up to each time, as the published timelines do.

    Parameters
    ----------
    rows
        As for `course`.
    confident
        Faces whose most probable label has less are not counted.

    Returns
    -------
    pd.DataFrame
        label, time_s, n (faces so far).
    """
    labels = schema.labels_of(rows)
    sure = rows[rows[schema.prob_columns(labels)].max(axis=1) >= confident]
    times_s = _times(rows["time_s"].to_numpy())
    tables = [
        pd.DataFrame(
            {
                "label": label,
                "time_s": times_s,
                "n": np.searchsorted(
                    np.sort(sure.loc[sure["predicted"] == label, "time_s"]), times_s, side="right"
                ),
            }
        )
        for label in labels
    ]
    return pd.concat(tables, ignore_index=True)


def _times(times_s: np.ndarray) -> np.ndarray:
    """Give the sampled times or, of a long film, as many as a chart can show."""
    times_s = np.unique(times_s)
    if len(times_s) <= MAX_TIMES:
        return times_s
    return np.linspace(times_s[0], times_s[-1], MAX_TIMES)


def _ones(seen: pd.DataFrame) -> np.ndarray:
    return np.ones((len(seen), 1))


def _by_block(kernel: np.ndarray, values: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Add up kernel times values by block: (blocks, times, values)."""
    parts = [np.flatnonzero(block == name) for name in np.unique(block)]
    sums = [kernel[:, own] @ values[own] for own in parts]
    return np.stack(sums) if sums else np.zeros((0, len(kernel), values.shape[1]))


def _effective(weights: np.ndarray) -> np.ndarray:
    """Compute Kish's effective number of blocks at each time; weights are (blocks, times)."""
    with np.errstate(invalid="ignore"):
        return weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)


def _ratios(sums: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    by_time = sums.reshape(len(sums), shape[0], shape[1] + 1)
    with np.errstate(invalid="ignore"):
        return (by_time[..., :-1] / by_time[..., -1:]).reshape(len(sums), -1)
