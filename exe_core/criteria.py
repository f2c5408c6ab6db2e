"""How models are judged without labels, and how far runs agree.

The published study judged models by whether their output looks plausible: varied, different between
genres, alike in neighbouring frames, changing at plot events. Each of these is a number here, with
an interval over films and a test against what chance gives.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import resampling, tables
from exe_core.films import share_table
from exe_core.labels import labels_of, prob_columns
from exe_core.resampling import Estimate, Statistics

DIVERSITY = "diversity (normalised entropy)"
SEPARATION = "genre separation (epsilon squared)"
LIKENESS = "lag-1 autocorrelation"
RISE = "rise at plot events"

_ROUNDING = 1e-12  # a variance below this is that of rounding


def describe_criteria(
    rows: pd.DataFrame,
    summary: pd.DataFrame,
    *,
    films: pd.DataFrame,
    events: pd.DataFrame,
    window_s: float,
    statistics: Statistics,
) -> pd.DataFrame:
    """Test each criterion for each run; none of them needs true labels.

    Takes what `films.timeline` and `films.summarise` give; tables "films" and "events", of which
    genres and events are needed for their criteria; and the length of a window (s) before and after
    an event. Gives table "film_criteria"; p and mean under the null where a criterion has one.
    """
    tests = {
        DIVERSITY: diversity(summary, statistics=statistics),
        SEPARATION: genre_separation(summary, films, statistics=statistics),
        LIKENESS: autocorrelation(rows, statistics=statistics),
        RISE: event_rise(rows, events, window_s=window_s, statistics=statistics),
    }
    found = []
    for criterion, by_run in tests.items():
        for run_id, test in by_run.items():
            mean = test.null.mean() if test.null.size else math.nan
            row = {"run_id": run_id, "criterion": criterion, **test.columns(), "null_mean": mean}
            row |= {"p_value": test.p_value, "n_films": test.n, "level": statistics.level}
            found.append(row)
    table = pd.DataFrame(found, columns=list(tables.TABLES["film_criteria"].columns))
    table = table.sort_values("run_id", kind="stable", ignore_index=True)
    return tables.check(table, "film_criteria")


def diversity(summary: pd.DataFrame, *, statistics: Statistics) -> dict[str, Estimate]:
    """Measure how varied the answers of each run are: 0 one label only, 1 all equally often.

    It is the entropy of a film's shares over the logarithm of the number of labels, mean over the
    films with a face; there is no null.
    """
    found = {}
    for run_id, shares in share_table(summary).dropna().groupby("run_id"):
        entropy = stats.entropy(shares, axis=1) / np.log(shares.shape[1])
        terms = np.column_stack([entropy, np.ones(len(entropy))])
        found[run_id] = statistics.interval(terms, resampling.ratio)
    return found


def genre_separation(
    summary: pd.DataFrame, films: pd.DataFrame, *, statistics: Statistics
) -> dict[str, Estimate]:
    """Measure how much of the variance between films lies between genres.

    Shares are Hellinger-transformed (square root), so that rare labels count and distances are
    those between distributions (Legendre & Gallagher 2001). R2 is that of a permutational analysis
    of variance (Anderson 2001), and grows with the number of genres by chance alone; epsilon
    squared is R2 without that bias, 0 on average where genres say nothing (Kelley 1935). Its
    interval is a jackknife, as one by bootstrap would lie off the truth (`Statistics.jackknife`);
    p is by shuffling genres over films. NaN where no genre has two films; films without a genre
    are left out.
    """
    genre_of = films.dropna(subset="genre").set_index("film_id")["genre"]
    found = {}
    for run_id, shares in share_table(summary).dropna().groupby("run_id"):
        shares = shares[shares.index.isin(genre_of.index, level="film_id")]
        genres = genre_of[shares.index.get_level_values("film_id")].to_numpy(str)
        points, n_genres = np.sqrt(shares.to_numpy()), len(np.unique(genres))
        if n_genres < 2:
            continue
        whole = statistics.jackknife(_genre_terms(points, genres), partial(_epsilon2, points))
        null = statistics.permutation_test(genres, partial(_epsilon2_of, points)).null
        least = (n_genres - 1) / max(len(points) - n_genres, 1)  # as low as it can be, negated
        p_value = resampling.p_value(whole.value + least, null + least)
        found[run_id] = replace(whole, p_value=float(p_value), null=null)
    return found


def _genre_terms(points: np.ndarray, genres: np.ndarray) -> np.ndarray:
    """Per film, in the columns of its genre: 1, squared norm, coordinates; 0 in the others."""
    member = (genres[:, None] == np.unique(genres)[None, :]).astype(float)
    terms = np.column_stack([np.ones(len(points)), (points**2).sum(axis=1), points])
    return (member[:, :, None] * terms[:, None, :]).reshape(len(points), -1)


def _epsilon2_of(points: np.ndarray, genres: np.ndarray) -> float:
    return float(_epsilon2(points, _genre_terms(points, genres).sum(axis=0, keepdims=True))[0])


def _epsilon2(points: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Share of variance between genres, each variance by its degrees of freedom."""
    by_genre = sums.reshape(len(sums), -1, points.shape[1] + 2)
    n, squares, totals = by_genre[..., 0], by_genre[..., 1], by_genre[..., 2:]
    n_films, n_genres = n.sum(axis=1), (n > 0.5).sum(axis=1)
    of_genres = (totals**2).sum(axis=2) / np.where(n > 0.5, n, np.inf)
    within = squares.sum(axis=1) - of_genres.sum(axis=1)
    total = squares.sum(axis=1) - (totals.sum(axis=1) ** 2).sum(axis=1) / n_films
    defined = (total > _ROUNDING) & (n_films > n_genres)
    ratio = np.divide(within, total, where=defined, out=np.full(len(sums), np.nan))
    return 1 - ratio * (n_films - 1) / np.where(defined, n_films - n_genres, 1)


def autocorrelation(rows: pd.DataFrame, *, statistics: Statistics) -> dict[str, Estimate]:
    """Measure how alike the probabilities of neighbouring sampled frames are.

    Lag-1 autocorrelation summed over the labels, over pairs of neighbours that both have a face,
    mean over films; the null permutes the faces of each film in time. Films with fewer than three
    pairs are left out.
    """
    found = {}
    for run_id, of_run in rows.groupby("run_id"):
        rng = statistics.rng()  # each run starts anew from the seed, so none depends on others
        tests = [_lag_one(film, statistics, rng) for _, film in of_run.groupby("film_id")]
        tests = [test for test in tests if not math.isnan(test.value)]
        if tests:
            terms = np.array([[test.value, 1.0] for test in tests])
            mean = statistics.interval(terms, resampling.ratio)
            null = np.mean([test.null for test in tests], axis=0)
            p = float(resampling.p_value(mean.value, null))
            found[run_id] = replace(mean, null=null, p_value=p)
    return found


def _lag_one(film: pd.DataFrame, statistics: Statistics, rng: np.random.Generator) -> Estimate:
    probs = film[prob_columns(labels_of(film))].to_numpy(float)
    seen = ~np.isnan(probs).any(axis=1)
    first = (np.cumsum(seen) - 1)[:-1][seen[:-1] & seen[1:]]
    if len(first) < 3:
        return Estimate()
    faces = probs[seen] - probs[seen].mean(axis=0)
    variance = (faces**2).sum(axis=1).mean()
    if variance < _ROUNDING:
        return Estimate()

    def likeness(order: np.ndarray) -> float:
        return (faces[order[first]] * faces[order[first + 1]]).sum() / (len(first) * variance)

    return statistics.permutation_test(np.arange(len(faces)), likeness, rng=rng)


def rise(times_s: np.ndarray, at_s: float, window_s: float) -> resampling.Statistic:
    """Make the statistic of an event: the mean in a window after it less that in one before.

    Takes times of the steps (t,), the event and the length of each window, all in s. The statistic
    takes series (s, t), NaN where there is no face; it gives (s,), NaN where a window has none.
    """
    after = (times_s >= at_s) & (times_s < at_s + window_s)
    before = (times_s < at_s) & (times_s >= at_s - window_s)
    mean = resampling.mean_of_known
    return lambda series: mean(series[:, after]) - mean(series[:, before])


def event_rise(
    rows: pd.DataFrame, events: pd.DataFrame, *, window_s: float, statistics: Statistics
) -> dict[str, Estimate]:
    """Test for each run whether the mean probability of an event's label rises at it.

    The null shifts the series of a film, all by the same steps, against the clock. Left out are
    events of labels that the runs do not know, and those with no face in a window.
    """
    known = events[events["label"].isin(labels_of(rows))]
    found = {}
    for run_id, of_run in rows.groupby("run_id"):
        tried = []
        for film_id, film in of_run.groupby("film_id"):
            for event in known[known["film_id"] == film_id].itertuples():
                series = film[f"prob_{event.label}"].to_numpy(float)
                statistic = rise(film["time_s"].to_numpy(float), event.time_s, window_s)
                value = statistic(series[None])[0]
                if not math.isnan(value):
                    tried.append((film_id, [value, 1.0], series, statistic))
        if tried:
            film_ids, terms, of_events, each = zip(*tried, strict=True)
            rng = statistics.rng()
            test = statistics.shift_test(of_events, each, groups=film_ids, rng=rng)
            by_film = resampling.sum_by_group(np.array(terms), film_ids)
            mean = statistics.interval(by_film, resampling.ratio, rng=rng)
            found[run_id] = replace(mean, p_value=test.p_value, null=np.zeros(1))
    return found


def agreement(
    predictions: pd.DataFrame, *, labels: Sequence[str], statistics: Statistics
) -> pd.DataFrame:
    """Measure how far each pair of runs agrees on the faces that all have read: Cohen's kappa.

    The null shifts the answers of each run in time within each film, which keeps their shares and
    their order. It then keeps what is expected by chance, too, so that kappa is linear in the share
    of faces that the pair agrees on.

    Takes table "predictions", items of a group in the order of time. Gives table "agreement", a row
    a pair; 1 is full agreement, 0 that of chance. Intervals are over groups.
    """
    wide = predictions.set_index(["group_id", "item_id", "run_id"])["predicted"].unstack()  # noqa: PD010
    wide = wide.dropna()[list(dict.fromkeys(predictions["run_id"]))]
    groups = wide.index.get_level_values("group_id").to_numpy(str)
    codes = np.column_stack([pd.Index(labels).get_indexer(wide[run]) for run in wide])
    one_hot = np.eye(len(labels))[codes]
    of_groups = [np.flatnonzero(groups == name) for name in np.unique(groups)]
    sizes = np.array([len(items) for items in of_groups])[:, None, None]
    size = (len(of_groups), statistics.n_permutations, codes.shape[1])
    steps = statistics.rng().integers(0, sizes, size)
    found = []
    for i, j in combinations(range(codes.shape[1]), 2):
        equal = codes[:, i] == codes[:, j]
        terms = np.hstack([equal[:, None], one_hot[:, i], one_hot[:, j]])
        kappa = statistics.interval(resampling.sum_by_group(terms, groups), _kappa)
        null = np.zeros(statistics.n_permutations)
        for items, step in zip(of_groups, steps, strict=True):
            by_shift = (codes[items, i] == resampling.rotations(codes[items, j])).sum(axis=1)
            null += by_shift[(step[:, j] - step[:, i]) % len(items)] / len(codes)
        agreed = float(equal.mean())
        slope = (1 - kappa.value) / (1 - agreed) if agreed < 1 else math.nan
        p = (np.count_nonzero(null >= agreed - _ROUNDING) + 1) / (len(null) + 1)
        row = {"run_id": wide.columns[i], "other_run_id": wide.columns[j], **kappa.columns()}
        row |= {"level": statistics.level, "null_mean": 1 - (1 - float(null.mean())) * slope}
        found.append({**row, "p_value": p, "n": len(wide), "n_groups": kappa.n})
    return tables.check(pd.DataFrame(found), "agreement") if found else tables.empty("agreement")


def _kappa(sums: np.ndarray) -> np.ndarray:
    """Cohen's kappa from sums: equal answers, answers by label of each run; NaN if all are one."""
    first, second = np.hsplit(sums[:, 1:], 2)
    n = first.sum(axis=1)
    by_chance = (first * second).sum(axis=1) / n
    varied, above = by_chance < n * (1 - _ROUNDING), sums[:, 0] - by_chance
    return np.divide(above, n - by_chance, where=varied, out=np.full(len(n), np.nan))
