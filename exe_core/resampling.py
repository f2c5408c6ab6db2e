"""Intervals and p-values by resampling whole groups: persons, photos, films.

Rows of one group are not independent, so groups are what is drawn, swapped and shuffled. Whatever
can be computed from sums over groups (accuracy, F1, a calibration error, a share) is resampled
without a loop: a bootstrap sample is a vector of group weights, and weights times sums are the
sums of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

Statistic = Callable[[np.ndarray], np.ndarray]
"""Sums of many samples (n, k) -> their statistics (n,) or (n, m)."""

METHOD = "group bootstrap, expanded percentile"
MAX_UNDEFINED = 0.1
"""Share of samples in which a statistic may be undefined before its interval is too."""

_CHUNK = 2_000_000  # weights held at once


class Interval(NamedTuple):
    """An estimate with its interval; arrays where the statistic has several values."""

    value: np.ndarray | float
    low: np.ndarray | float
    high: np.ndarray | float


class NullTest(NamedTuple):
    """An observed statistic, its two-sided p-value, and the statistic under the null."""

    value: float
    p_value: float
    null: np.ndarray


def sum_by_group(rows: np.ndarray, groups: ArrayLike) -> np.ndarray:
    """Add up rows by group.

    Parameters
    ----------
    rows
        (n, k) numbers.
    groups
        (n,) group of each row.

    Returns
    -------
    np.ndarray
        (n_groups, k), groups in sorted order.
    """
    names, index = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, index, rows)
    return sums


def bootstrap(
    groups: np.ndarray,
    statistic: Statistic,
    *,
    n: int,
    level: float,
    rng: np.random.Generator,
    strata: ArrayLike | None = None,
    n_effective: ArrayLike | None = None,
) -> Interval:
    """Estimate a statistic of group sums, with a bootstrap interval over groups.

    The interval is the percentile interval, its quantiles moved outward for few groups
    (Hesterberg 2015, What Teachers Should Know About the Bootstrap, section 3.3): the plain
    percentile interval is too narrow by about the ratio of the normal to the t distribution. In
    simulation it covers better at 5 to 30 groups than BCa, which corrects skew but not this.

    Parameters
    ----------
    groups
        (n_groups, k) sums, a row a group.
    statistic
        Takes sums of samples (n, k), gives (n,) or (n, m).
    n
        Bootstrap samples.
    level
        Of the interval, e.g. 0.95.
    rng
        Source of randomness.
    strata
        (n_groups,) as many groups are drawn from each as it has; all groups are one by default.
    n_effective
        (m,) how many groups each value of the statistic rests on, where these are few of them all:
        the quantiles are moved outward for so many.

    Returns
    -------
    Interval
        Bounds are NaN with one group, and where the statistic is undefined in more than
        `MAX_UNDEFINED` of the samples.
    """
    groups = np.asarray(groups, dtype=float)
    if groups.ndim != 2:
        raise ValueError(f"groups must be (n_groups, k) sums, got shape {groups.shape}")
    value = statistic(groups.sum(axis=0, keepdims=True))[0]
    members = _members(strata, len(groups))
    if min(map(len, members), default=0) < 2:
        return Interval(value, np.full_like(value, np.nan)[()], np.full_like(value, np.nan)[()])
    samples = statistic(_resampled_sums(groups, members, n=n, rng=rng))
    n_groups = min(map(len, members)) if n_effective is None else n_effective
    low, high = _quantiles(samples, _expanded_tail(n_groups, level=level))
    return Interval(value, low, high)


def _members(strata: ArrayLike | None, n_groups: int) -> list[np.ndarray]:
    if strata is None:
        return [np.arange(n_groups)]
    names = np.asarray(strata).astype(str)
    if len(names) != n_groups:
        raise ValueError(f"{len(names)} strata for {n_groups} groups")
    return [np.flatnonzero(names == name) for name in np.unique(names)]


def _resampled_sums(
    groups: np.ndarray, members: list[np.ndarray], *, n: int, rng: np.random.Generator
) -> np.ndarray:
    sums = np.zeros((n, groups.shape[1]))
    for index in members:
        size = len(index)
        step = max(1, _CHUNK // size)
        for start in range(0, n, step):
            count = min(step, n - start)
            weights = rng.multinomial(size, np.full(size, 1 / size), size=count)
            sums[start : start + count] += weights.astype(float) @ groups[index]
    return sums


def _expanded_tail(n_groups: ArrayLike, *, level: float) -> np.ndarray:
    n = np.maximum(np.asarray(n_groups, dtype=float), 1 + 1e-6)  # of one group: the extremes
    t = stats.t.ppf((1 + level) / 2, df=n - 1)
    return np.asarray(stats.norm.cdf(-np.sqrt(n / (n - 1)) * t))


def _quantiles(samples: np.ndarray, tail: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the quantiles `tail` and 1 - `tail` of each column; one tail for all, or one each."""
    undefined = np.isnan(samples).mean(axis=0) > MAX_UNDEFINED
    filled = np.where(undefined, 0.0, samples)  # an all-NaN column would warn
    if tail.ndim == 0:
        low, high = np.nanquantile(filled, (tail, 1 - tail), axis=0)
    else:
        ordered = np.sort(filled, axis=0)  # NaN last
        last = np.count_nonzero(~np.isnan(filled), axis=0) - 1
        low, high = (_at(ordered, share * last) for share in (tail, 1 - tail))
    low, high = (np.where(undefined, np.nan, side)[()] for side in (low, high))
    return low, high


def _at(ordered: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Read each column at its own place between two rows."""
    below = np.floor(np.nan_to_num(place)).astype(int)
    above = np.minimum(below + 1, len(ordered) - 1)
    first, second = (np.take_along_axis(ordered, row[None], axis=0)[0] for row in (below, above))
    part = place - below
    return np.where(part > 0, first + part * (second - first), first)


def jackknife(groups: np.ndarray, statistic: Statistic, *, level: float) -> Interval:
    """Estimate a statistic of group sums, with a jackknife interval over groups.

    For ratios of variances, such as a share of variance between classes: a bootstrap sample holds
    groups twice, whose variance is 0, and so lies off the truth; leaving one out does not. The
    interval is value -+ t(n - 1) times the standard error of the pseudo-values (Tukey 1958).

    Parameters
    ----------
    groups, statistic, level
        As for `bootstrap`.

    Returns
    -------
    Interval
        Bounds are NaN with one group, and where the statistic is undefined without one of them.
    """
    groups = np.asarray(groups, dtype=float)
    n, total = len(groups), groups.sum(axis=0, keepdims=True)
    value = statistic(total)[0]
    if n < 2:
        return Interval(value, np.full_like(value, np.nan)[()], np.full_like(value, np.nan)[()])
    pseudo = n * value - (n - 1) * statistic(total - groups)
    margin = stats.t.ppf((1 + level) / 2, df=n - 1) * pseudo.std(axis=0, ddof=1) / np.sqrt(n)
    return Interval(value, value - margin, value + margin)


def paired_difference(
    first: np.ndarray,
    second: np.ndarray,
    statistic: Statistic,
    *,
    n_bootstrap: int,
    n_permutations: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[Interval, np.ndarray | float]:
    """Estimate and test a difference between two sides of the same groups.

    The interval is that of `bootstrap`. The null swaps the two sides of random groups; with means
    as the statistic this is the sign-flip test.

    Parameters
    ----------
    first, second
        (n_groups, k) sums of the two sides, groups in one order.
    statistic, level, rng
        As for `bootstrap`.
    n_bootstrap, n_permutations
        Samples of the interval and of the null.

    Returns
    -------
    difference, p_value
        Of statistic(first) - statistic(second); p is two-sided and never 0. Bounds and p are NaN
        with one group.
    """
    if first.shape != second.shape:
        raise ValueError(f"sides must pair up, got shapes {first.shape} and {second.shape}")
    difference = bootstrap(
        np.hstack([first, second]),
        lambda sums: np.subtract(*(statistic(side) for side in np.hsplit(sums, 2))),
        n=n_bootstrap,
        level=level,
        rng=rng,
    )
    if len(first) < 2:
        return difference, np.full_like(difference.value, np.nan)[()]
    swapped = rng.integers(0, 2, size=(n_permutations, len(first))).astype(float)
    sums = first.sum(axis=0) + swapped @ (second - first)
    null = statistic(sums) - statistic(first.sum(axis=0) + second.sum(axis=0) - sums)
    return difference, p_value(difference.value, null)


def group_difference(
    values: np.ndarray,
    is_first: np.ndarray,
    *,
    n_bootstrap: int,
    n_permutations: int,
    level: float,
    rng: np.random.Generator,
) -> tuple[Interval, float]:
    """Estimate and test the difference in mean between two kinds of groups.

    Parameters
    ----------
    values
        (n_groups,) one a group, e.g. a film.
    is_first
        (n_groups,) bool; the first kind less the other. Each is resampled by itself.
    n_bootstrap, n_permutations, level, rng
        As for `paired_difference`; the null shuffles the kinds.

    Raises
    ------
    ValueError
        If there are no groups of both kinds.
    """
    if not 0 < is_first.sum() < len(is_first):
        raise ValueError(f"{is_first.sum()} of {len(is_first)} groups are of the first kind")
    difference = bootstrap(
        np.column_stack([values * is_first, is_first, values * ~is_first, ~is_first]),
        lambda sums: sums[:, 0] / sums[:, 1] - sums[:, 2] / sums[:, 3],
        n=n_bootstrap,
        level=level,
        rng=rng,
        strata=is_first,
    )
    test = permutation_test(
        is_first,
        lambda first: float(values[first].mean() - values[~first].mean()),
        n=n_permutations,
        rng=rng,
    )
    return difference, test.p_value


def permutation_test(
    labels: ArrayLike,
    statistic: Callable[[np.ndarray], float],
    *,
    n: int,
    rng: np.random.Generator,
) -> NullTest:
    """NullTest whether a statistic depends on how labels lie over groups, by shuffling the labels.

    Parameters
    ----------
    labels
        (n_groups,) label of each group, e.g. the genre of each film.
    statistic
        Takes labels in the order of the groups, gives a number; 0 or small under the null.
    """
    given = np.asarray(labels)
    value = float(statistic(given))
    null = np.array([statistic(rng.permutation(given)) for _ in range(n)], dtype=float)
    return NullTest(value, float(p_value(value, null)), null)


def p_value(observed: np.ndarray | float, null: np.ndarray) -> np.ndarray:
    """Compute the two-sided p of a statistic that is 0 or least under the null: (b + 1) / (n + 1).

    The observed arrangement counts as one of the null's, so p is never 0 (Phipson & Smyth 2010).
    NaN where the observed statistic, or a tenth of the null, is undefined.

    Examples
    --------
    >>> float(p_value(2.0, np.array([-3.0, 0.0, 1.0])))
    0.5
    """
    defined = ~np.isnan(null)
    # equal arrangements must count as equal, whatever the order in which they were summed
    as_extreme = np.abs(null) >= np.abs(observed) * (1 - 1e-9) - 1e-12
    p = ((as_extreme & defined).sum(axis=0) + 1) / (defined.sum(axis=0) + 1)
    return np.where(np.isnan(observed) | (defined.mean(axis=0) < 1 - MAX_UNDEFINED), np.nan, p)


def rotations(series: np.ndarray) -> np.ndarray:
    """Stack all circular shifts of a series, the series itself first.

    A shift keeps the autocorrelation and breaks only the tie to the clock.

    Parameters
    ----------
    series
        (t,) numbers.

    Returns
    -------
    np.ndarray
        (t, t), a read-only view; row k is the series moved k steps later.

    Examples
    --------
    >>> rotations(np.array([1, 2, 3])).tolist()
    [[1, 2, 3], [3, 1, 2], [2, 3, 1]]
    """
    twice = np.concatenate([series, series])
    return np.lib.stride_tricks.sliding_window_view(twice, len(series))[:0:-1]


def circular_shift_test(
    series: Sequence[np.ndarray],
    statistics: Sequence[Statistic],
    *,
    n: int,
    rng: np.random.Generator,
    groups: Sequence[object] | None = None,
) -> NullTest:
    """Test the mean of one statistic a series against circular shifts of the series.

    Series of one group are shifted by the same steps, as they are not independent. With one group
    all of its shifts are tried, else `n` random combinations of shifts.

    Parameters
    ----------
    series
        Each (t_i,), in time steps; NaN where nothing was seen. Shifts that leave a statistic
        undefined are not drawn.
    statistics
        One a series: takes shifted series (s, t_i), gives (s,); 0 on average under the null.
    groups
        Whose series they are, of one length in a group; by default each is a group of its own.
    """
    by_group: dict[object, np.ndarray] = {}
    for group, of, x in zip(groups or range(len(series)), statistics, series, strict=True):
        by_group[group] = by_group.get(group, 0) + np.asarray(of(rotations(x))) / len(series)
    first, *others = by_group.values()
    value, null = float(sum(shifts[0] for shifts in by_group.values())), first[1:]
    if others:
        drawn = [rng.choice(shifts[~np.isnan(shifts)], size=n) for shifts in by_group.values()]
        null = np.sum(drawn, axis=0)
    return NullTest(value, float(p_value(value, null)) if len(null) else float("nan"), null)


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjust p-values for their number (Holm 1979); NaN stays NaN and is not counted.

    Examples
    --------
    >>> holm([0.01, 0.04, float("nan"), 0.03]).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]
    adjusted = np.full(len(p), np.nan)
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return adjusted
