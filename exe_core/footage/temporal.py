"""Structure in time: are neighbouring frames alike, and does anything change for good?

Both are judged against a film whose faces come in any order. Frames of a shot are alike by
themselves, so where a change is asked about, shots are what is put in order, not frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.footage import shots
from exe_core.settings import Statistics

MIN_FACES = 5
"""Faces that a stretch between two changes has at least."""

_ROUNDING = 1e-12
"""A variance below this is that of rounding."""

_AT_ONCE = 2_000_000  # numbers in memory


def autocorrelation(rows: pd.DataFrame, *, statistics: Statistics, seed: int) -> pd.DataFrame:
    """Measure how alike the probabilities of neighbouring sampled frames are.

    Lag-1 autocorrelation summed over the labels, over pairs of neighbours that both have a face;
    the null permutes the faces of a film in time.

    Parameters
    ----------
    rows
        As given by `timelines.timeline`.

    Returns
    -------
    pd.DataFrame
        run_id, film_id, autocorrelation, null_mean, p_value, n_pairs; NaN with fewer than three
        pairs.
    """
    return pd.DataFrame(
        [
            {
                "run_id": run_id,
                "film_id": film_id,
                "autocorrelation": test.value,
                "null_mean": float(np.mean(test.null)) if len(test.null) else float("nan"),
                "p_value": test.p_value,
                "n_pairs": n_pairs,
            }
            for run_id, film_id, test, n_pairs in _each_structure(
                rows, statistics.n_permutations, seed
            )
        ]
    )


def autocorrelation_combined(
    rows: pd.DataFrame, *, statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Test for each run whether neighbouring frames are alike, over all films.

    Parameters
    ----------
    rows
        As for `autocorrelation`; films that it leaves undefined are left out.

    Returns
    -------
    pd.DataFrame
        run_id, autocorrelation (mean over films), low, high (bootstrap over films), null_mean,
        p_value (independent permutations in each film), n_films.
    """
    tests = (
        (run, test) for run, _, test, _ in _each_structure(rows, statistics.n_permutations, seed)
    )
    return _combined(tests, statistics=statistics, seed=seed).rename(
        columns={"value": "autocorrelation"}
    )


def _combined(
    tests: Iterable[tuple[str, resampling.NullTest]], *, statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Test for each run the mean of a statistic over films; the nulls are drawn independently."""
    tried: dict[str, list[resampling.NullTest]] = {}
    for run_id, test in tests:
        tried.setdefault(run_id, []).extend([test] if len(test.null) else [])
    found = []
    for run_id, of_films in tried.items():
        if not of_films:
            continue
        null = np.mean([test.null for test in of_films], axis=0)
        interval = resampling.bootstrap(
            np.array([[test.value, 1.0] for test in of_films]),
            lambda sums: sums[:, 0] / sums[:, 1],
            n=statistics.n_bootstrap,
            level=statistics.level,
            rng=np.random.default_rng(seed),
        )
        found.append(
            {
                "run_id": run_id,
                **interval._asdict(),
                "null_mean": null.mean(),
                "p_value": float(resampling.p_value(interval.value, null)),
                "n_films": len(of_films),
            }
        )
    return pd.DataFrame(found)


def _each_structure(
    rows: pd.DataFrame, n: int, seed: int
) -> Iterator[tuple[str, str, resampling.NullTest, int]]:
    """Give run, film, the test of its neighbours, and how many pairs of them there are."""
    columns = schema.prob_columns(schema.labels_of(rows))
    rng = np.random.default_rng(seed)
    for (run_id, film_id), film in rows.groupby(["run_id", "film_id"]):
        yield run_id, film_id, *_lag_one(film[columns].to_numpy(dtype=float), n, rng)


def _lag_one(
    probs: np.ndarray, n: int, rng: np.random.Generator
) -> tuple[resampling.NullTest, int]:
    seen = ~np.isnan(probs).any(axis=1)
    faces = probs[seen] - probs[seen].mean(axis=0) if seen.any() else probs[seen]
    position = np.cumsum(seen) - 1
    first = position[:-1][seen[:-1] & seen[1:]]
    variance = (faces**2).sum(axis=1).mean() if len(faces) else 0.0
    if len(first) < 3 or variance < _ROUNDING:
        return resampling.NullTest(float("nan"), float("nan"), np.array([])), len(first)

    def likeness(order: np.ndarray) -> np.ndarray:
        ordered = faces[order]
        return np.einsum("nfl,nfl->n", ordered[:, first], ordered[:, first + 1]) / (
            len(first) * variance
        )

    value = float(likeness(np.arange(len(faces))[None])[0])
    orders = np.tile(np.arange(len(faces)), (n, 1))
    parts = np.array_split(rng.permuted(orders, axis=1), max(1, n * faces.size // _AT_ONCE))
    null = np.concatenate([likeness(part) for part in parts])
    return resampling.NullTest(value, float(resampling.p_value(value, null)), null), len(first)


def change_points(rows: pd.DataFrame, *, statistics: Statistics, seed: int) -> pd.DataFrame:
    """Find when the mean of the probabilities changes, by splitting stretches in two.

    The split that explains most of a stretch's variance is kept if it explains more than chance
    would, and both sides are searched on (binary segmentation, each split tested by permutation as
    by Matteson & James 2014). Chance puts the shots in any order and leaves their frames together.

    Parameters
    ----------
    rows
        As given by `timelines.timeline`.
    statistics
        A change is kept if its p is below 1 - level.

    Returns
    -------
    pd.DataFrame
        A row a run and film: run_id, film_id, n_changes, times_s (of the first face after each),
        explained (share of the variance, by the first split), null_mean and p_value (of it); NaN,
        and no change, in films of fewer than twice `MIN_FACES` faces or of one constant answer.
    """
    columns = schema.prob_columns(schema.labels_of(rows))
    found = []
    for (run_id, film_id), film in rows.groupby(["run_id", "film_id"]):
        seen = film.dropna(subset=columns)
        probs, block = seen[columns].to_numpy(float), shots.blocks(seen).to_numpy()
        rng = np.random.default_rng(seed)
        first, _ = best_split(probs, block, n=statistics.n_permutations, rng=rng)
        changes = sorted(
            _segment(probs, block, 0, statistics.n_permutations, 1 - statistics.level, seed)
        )
        found.append(
            {
                "run_id": run_id,
                "film_id": film_id,
                "n_changes": len(changes),
                "times_s": tuple(seen["time_s"].iloc[changes]),
                "explained": first.value,
                "null_mean": float(np.mean(first.null)) if len(first.null) else float("nan"),
                "p_value": first.p_value,
            }
        )
    return pd.DataFrame(found)


def change_combined(rows: pd.DataFrame, *, statistics: Statistics, seed: int) -> pd.DataFrame:
    """Test for each run whether films change at all, over all films.

    Parameters
    ----------
    rows
        As for `change_points`; films without a first split are left out.

    Returns
    -------
    pd.DataFrame
        run_id, explained (by the best split, mean over films), low, high (bootstrap over films),
        null_mean, p_value (shots of each film in any order), n_films.
    """
    columns = schema.prob_columns(schema.labels_of(rows))
    rng = np.random.default_rng(seed)
    tests = []
    for (run_id, _), film in rows.groupby(["run_id", "film_id"]):
        seen = film.dropna(subset=columns)
        block = shots.blocks(seen).to_numpy()
        test, _ = best_split(
            seen[columns].to_numpy(float), block, n=statistics.n_permutations, rng=rng
        )
        tests.append((run_id, test))
    return _combined(tests, statistics=statistics, seed=seed).rename(columns={"value": "explained"})


def best_split(
    probs: np.ndarray, block: np.ndarray, *, n: int, rng: np.random.Generator
) -> tuple[resampling.NullTest, int]:
    """Split a series where that explains most of its variance, and test it.

    Parameters
    ----------
    probs
        (t, labels), in the order of time.
    block
        (t,) what stays together under the null, neighbours only.
    n
        Permutations.

    Returns
    -------
    test, place
        Share of the variance explained, and the first step after the split.
    """
    n_faces = len(probs)
    centred = probs - probs.mean(axis=0) if n_faces else probs
    total = float((centred**2).sum())
    if n_faces < 2 * MIN_FACES or total < _ROUNDING:
        return resampling.NullTest(float("nan"), float("nan"), np.array([])), 0
    places = np.unique(block, return_inverse=True)[1]
    explained = _explained(centred[None]) / total
    keys = np.array_split(rng.random((n, places.max() + 1)), 1 + n * centred.size // _AT_ONCE)
    orders = (np.argsort(part[:, places], axis=1, kind="stable") for part in keys if len(part))
    null = np.concatenate([_explained(centred[order]).max(axis=1) for order in orders]) / total
    value = float(explained.max())
    place = int(explained[0].argmax()) + MIN_FACES
    return resampling.NullTest(value, float(resampling.p_value(value, null)), null), place


def _explained(series: np.ndarray) -> np.ndarray:
    """Compute the squares between the sides of each split; series are (n, t, labels), centred."""
    n_faces = series.shape[1]
    before = np.arange(MIN_FACES, n_faces - MIN_FACES + 1)
    sums = series.cumsum(axis=1)[:, before - 1]
    return (sums**2).sum(axis=2) * (1 / before + 1 / (n_faces - before))


def _segment(
    probs: np.ndarray, block: np.ndarray, start: int, n: int, alpha: float, seed: int
) -> Iterator[int]:
    test, place = best_split(probs, block, n=n, rng=np.random.default_rng(seed))
    if test.p_value < alpha:  # NaN is not
        yield start + place
        yield from _segment(probs[:place], block[:place], start, n, alpha, seed)
        yield from _segment(probs[place:], block[place:], start + place, n, alpha, seed)
