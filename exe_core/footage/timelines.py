"""Predictions over the time of a film, and what happens in them at plot events.

Neighbouring frames are alike, so time is never shuffled where a change is asked about: a series
is shifted against the clock, as a whole, with its gaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.settings import Statistics

_KEYS = ["run_id", "film_id", "frame"]


def timeline(
    frames: pd.DataFrame, predictions: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Lay the predictions of each run on the sampled frames of each film.

    Parameters
    ----------
    frames
        Table "frames".
    predictions
        Table "predictions" of film faces, one a frame; `item_id` is "<film_id>:<frame>".
    labels
        The classes of the runs.

    Returns
    -------
    pd.DataFrame
        A row a run, film and sampled frame, in the order of time: run_id, film_id, frame, time_s,
        n_faces, predicted and prob_<label>, which are null where there is no face, and whatever
        else `frames` holds.

    Raises
    ------
    ValueError
        If a prediction belongs to no sampled frame.
    """
    faces = placed(frames, predictions, labels=labels)
    runs = faces[["run_id"]].drop_duplicates().sort_values("run_id")
    grid = runs.merge(frames, how="cross")
    whole = grid.merge(faces, on=_KEYS, how="left", validate="1:1")
    first = ["run_id", "film_id", "frame", "time_s", "n_faces", *faces.columns.drop(_KEYS)]
    whole = whole[[*first, *whole.columns.drop(first)]]
    return whole.sort_values(_KEYS, ignore_index=True)


def placed(
    frames: pd.DataFrame, predictions: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Say of which film and frame each prediction is.

    Parameters
    ----------
    frames, predictions, labels
        As for `timeline`.

    Returns
    -------
    pd.DataFrame
        run_id, predicted, prob_<label>, film_id and frame, in the order of `predictions`.

    Raises
    ------
    ValueError
        If a prediction belongs to no sampled frame.
    """
    place = predictions["item_id"].str.rsplit(":", n=1, expand=True).reindex(columns=[0, 1])
    faces = predictions[["run_id", "predicted", *schema.prob_columns(labels)]].assign(
        film_id=place[0].astype(frames["film_id"].dtype), frame=place[1].astype(int)
    )
    known = pd.MultiIndex.from_frame(frames[["film_id", "frame"]])
    stray = ~pd.MultiIndex.from_frame(faces[["film_id", "frame"]]).isin(known)
    if stray.any():
        raise ValueError(
            f"{stray.sum()} predictions belong to no sampled frame, first "
            f"{predictions['item_id'][stray].iloc[0]!r}: frames and predictions are of two runs"
        )
    return faces


def rise(times_s: np.ndarray, at_s: float, window_s: float) -> resampling.Statistic:
    """Make the statistic of an event: the mean in a window after it less that in one before.

    Parameters
    ----------
    times_s
        (t,) time of each step of the series.
    at_s
        When the event is.
    window_s
        Length of each window; infinite for all of the film.

    Returns
    -------
    resampling.Statistic
        Takes series (s, t), NaN where nothing was seen; gives (s,), NaN where either window has
        nothing.
    """
    after = (times_s >= at_s) & (times_s < at_s + window_s)
    before = (times_s < at_s) & (times_s >= at_s - window_s)
    return lambda series: _mean(series[:, after]) - _mean(series[:, before])


def _mean(values: np.ndarray) -> np.ndarray:
    """Average what is defined in each row."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=1) / np.count_nonzero(~np.isnan(values), axis=1)


def null_interval(test: resampling.NullTest, *, level: float) -> tuple[float, float]:
    """Give the interval of effects that a shift test would not reject, in one series.

    The null's quantiles are taken off the estimate; NaN where the null is too short to have them.
    """
    null = test.null[~np.isnan(test.null)]
    if len(null) < 2 / (1 - level):
        return float("nan"), float("nan")
    low, high = np.quantile(null, [(1 - level) / 2, (1 + level) / 2])
    return test.value - float(high), test.value - float(low)


def events(
    rows: pd.DataFrame, events: pd.DataFrame, *, window_s: float, level: float, seed: int
) -> pd.DataFrame:
    """Test at each event whether its label's mean probability differs after it from before.

    Parameters
    ----------
    rows
        As given by `timeline`.
    events
        Table "events"; those of other films and of labels that the runs do not know are left out.
    window_s
        Seconds before and after.

    Returns
    -------
    pd.DataFrame
        run_id, film_id, time_s, event, label, difference (after minus before), low, high, p_value
        (all circular shifts of the film's frames); NaN where a window has no face.
    """
    found = []
    for run_id, event, series, statistic in _each_event(rows, events, window_s):
        test = resampling.circular_shift_test(
            [series], [statistic], n=1, rng=np.random.default_rng(seed)
        )
        low, high = null_interval(test, level=level)
        found.append(
            {
                "run_id": run_id,
                **event,
                "difference": test.value,
                "low": low,
                "high": high,
                "p_value": test.p_value,
            }
        )
    return pd.DataFrame(found)


def events_combined(
    rows: pd.DataFrame,
    events: pd.DataFrame,
    *,
    window_s: float,
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Test for each run whether the labels of events rise at them, over all events.

    Parameters
    ----------
    rows, events, window_s
        As for `events`; an event with no face in a window is left out.

    Returns
    -------
    pd.DataFrame
        run_id, difference (mean over events), low, high (bootstrap over films), p_value
        (circular shifts, those of a film by the same steps), n_films, n_events.
    """
    tried: dict[str, list[tuple]] = {}
    for run_id, event, series, statistic in _each_event(rows, events, window_s):
        difference = statistic(series[None])[0]
        if not np.isnan(difference):
            entry = (event["film_id"], difference, series, statistic)
            tried.setdefault(run_id, []).append(entry)
    found = []
    for run_id, entries in tried.items():
        film_ids, differences, of_events, of_each = zip(*entries, strict=True)
        rng = np.random.default_rng(seed)
        test = resampling.circular_shift_test(
            of_events, of_each, groups=film_ids, n=statistics.n_permutations, rng=rng
        )
        terms = np.column_stack([differences, np.ones(len(differences))])
        by_film = resampling.sum_by_group(terms, film_ids)
        interval = resampling.bootstrap(
            by_film,
            lambda sums: sums[:, 0] / sums[:, 1],
            n=statistics.n_bootstrap,
            level=statistics.level,
            rng=rng,
        )
        found.append(
            {
                "run_id": run_id,
                "difference": interval.value,
                "low": interval.low,
                "high": interval.high,
                "p_value": test.p_value,
                "n_films": len(by_film),
                "n_events": len(entries),
            }
        )
    return pd.DataFrame(found)


def _each_event(
    rows: pd.DataFrame, events: pd.DataFrame, window_s: float
) -> Iterator[tuple[str, dict, np.ndarray, resampling.Statistic]]:
    """Give run, event, the series of its label in its film, and the statistic."""
    known = events[events["label"].isin(schema.labels_of(rows))]
    for (run_id, film_id), film in rows.groupby(["run_id", "film_id"]):
        for event in known[known["film_id"] == film_id].to_dict("records"):
            series = film[f"prob_{event['label']}"].to_numpy(dtype=float)
            times_s = film["time_s"].to_numpy(dtype=float)
            yield run_id, event, series, rise(times_s, event["time_s"], window_s)
