"""Structure in time: are neighbouring frames alike, and does anything change for good?

Both are judged against a film whose faces come in any order. Frames of a shot are alike by
themselves, so where a change is asked about, shots are what is put in order, not frames.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import films as film_measures
from exe_core import metrics, resampling, screening
from exe_core import tables as schema
from exe_core.claims import Finding
from exe_core.films import event_rises_combined, timeline
from exe_core.resampling import Estimate, Statistics
from exe_core.study import Study

MIN_FACES = 5
"""Faces that a stretch between two changes has at least."""

_ROUNDING = 1e-12
"""A variance below this is that of rounding."""

_AT_ONCE = 2_000_000  # numbers in memory


def lag_autocorrelation(rows: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
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
            for run_id, film_id, test, n_pairs in _each_structure(rows, statistics)
        ]
    )


def autocorrelation_combined(rows: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
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
    tests = ((run, test) for run, _, test, _ in _each_structure(rows, statistics))
    return _combined(tests, statistics=statistics).rename(columns={"value": "autocorrelation"})


def _combined(tests: Iterable[tuple[str, Estimate]], *, statistics: Statistics) -> pd.DataFrame:
    """Test for each run the mean of a statistic over films; the nulls are drawn independently."""
    tried: dict[str, list[Estimate]] = {}
    for run_id, test in tests:
        tried.setdefault(run_id, []).extend([test] if len(test.null) else [])
    found = []
    for run_id, of_films in tried.items():
        if not of_films:
            continue
        null = np.mean([test.null for test in of_films], axis=0)
        interval = statistics.interval(
            np.array([[test.value, 1.0] for test in of_films]),
            lambda sums: sums[:, 0] / sums[:, 1],
        )
        found.append(
            {
                "run_id": run_id,
                **interval.columns(),
                "null_mean": null.mean(),
                "p_value": float(resampling.p_value(interval.value, null)),
                "n_films": len(of_films),
            }
        )
    return pd.DataFrame(found)


def _each_structure(
    rows: pd.DataFrame, statistics: Statistics
) -> Iterator[tuple[str, str, Estimate, int]]:
    """Give run, film, the test of its neighbours, and how many pairs of them there are."""
    columns = schema.prob_columns(schema.labels_of(rows))
    n, rng = statistics.n_permutations, statistics.rng()
    for (run_id, film_id), film in rows.groupby(["run_id", "film_id"]):
        yield run_id, film_id, *_lag_one(film[columns].to_numpy(dtype=float), n, rng)


def _lag_one(probs: np.ndarray, n: int, rng: np.random.Generator) -> tuple[Estimate, int]:
    seen = ~np.isnan(probs).any(axis=1)
    faces = probs[seen] - probs[seen].mean(axis=0) if seen.any() else probs[seen]
    position = np.cumsum(seen) - 1
    first = position[:-1][seen[:-1] & seen[1:]]
    variance = (faces**2).sum(axis=1).mean() if len(faces) else 0.0
    if len(first) < 3 or variance < _ROUNDING:
        return Estimate(), len(first)

    def likeness(order: np.ndarray) -> np.ndarray:
        ordered = faces[order]
        return np.einsum("nfl,nfl->n", ordered[:, first], ordered[:, first + 1]) / (
            len(first) * variance
        )

    value = float(likeness(np.arange(len(faces))[None])[0])
    orders = np.tile(np.arange(len(faces)), (n, 1))
    parts = np.array_split(rng.permuted(orders, axis=1), max(1, n * faces.size // _AT_ONCE))
    null = np.concatenate([likeness(part) for part in parts])
    return resampling.tested(value, null, n=1), len(first)


def change_points(rows: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
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
        probs, block = seen[columns].to_numpy(float), screening.shot_blocks(seen).to_numpy()
        first, _ = best_split(probs, block, n=statistics.n_permutations, rng=statistics.rng())
        changes = sorted(_segment(probs, block, 0, statistics))
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


def change_combined(rows: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
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
    rng = statistics.rng()
    tests = []
    for (run_id, _), film in rows.groupby(["run_id", "film_id"]):
        seen = film.dropna(subset=columns)
        block = screening.shot_blocks(seen).to_numpy()
        test, _ = best_split(
            seen[columns].to_numpy(float), block, n=statistics.n_permutations, rng=rng
        )
        tests.append((run_id, test))
    return _combined(tests, statistics=statistics).rename(columns={"value": "explained"})


def best_split(
    probs: np.ndarray, block: np.ndarray, *, n: int, rng: np.random.Generator
) -> tuple[Estimate, int]:
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
        return Estimate(), 0
    places = np.unique(block, return_inverse=True)[1]
    explained = _explained(centred[None]) / total
    keys = np.array_split(rng.random((n, places.max() + 1)), 1 + n * centred.size // _AT_ONCE)
    orders = (np.argsort(part[:, places], axis=1, kind="stable") for part in keys if len(part))
    null = np.concatenate([_explained(centred[order]).max(axis=1) for order in orders]) / total
    value = float(explained.max())
    place = int(explained[0].argmax()) + MIN_FACES
    return resampling.tested(value, null, n=1), place


def _explained(series: np.ndarray) -> np.ndarray:
    """Compute the squares between the sides of each split; series are (n, t, labels), centred."""
    n_faces = series.shape[1]
    before = np.arange(MIN_FACES, n_faces - MIN_FACES + 1)
    sums = series.cumsum(axis=1)[:, before - 1]
    return (sums**2).sum(axis=2) * (1 / before + 1 / (n_faces - before))


def _segment(
    probs: np.ndarray, block: np.ndarray, start: int, statistics: Statistics
) -> Iterator[int]:
    test, place = best_split(probs, block, n=statistics.n_permutations, rng=statistics.rng())
    if test.p_value < 1 - statistics.level:  # NaN is not
        yield start + place
        yield from _segment(probs[:place], block[:place], start, statistics)
        yield from _segment(probs[place:], block[place:], start + place, statistics)


PAIR, ALL_SAME, ALL = "Cohen's kappa", "Fleiss' kappa", "Krippendorff's alpha"
"""Coefficients: of two runs; of all runs; of all runs, for few items and missing answers, too."""


def agreement(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Measure how far runs agree on the faces that all of them have read.

    Parameters
    ----------
    predictions
        Table "predictions" of two runs or more; items of a group in the order of time.

    Returns
    -------
    pd.DataFrame
        Table "agreement": each pair of runs by `PAIR`, and all runs by `ALL_SAME` and `ALL`; 1 is
        agreement, 0 what is left to chance. Intervals are over groups; no row if there is one run.
    """
    wide = predictions.set_index(["group_id", "item_id", "run_id"])["predicted"].unstack()  # noqa: PD010
    wide = wide.dropna()[list(dict.fromkeys(predictions["run_id"]))]
    if wide.shape[1] < 2:
        return schema.empty("agreement")
    groups = wide.index.get_level_values("group_id").to_numpy(str)
    codes = np.column_stack([pd.Index(labels).get_indexer(wide[run]) for run in wide])
    null = _Shifts(codes, groups, n=statistics.n_permutations, rng=statistics.rng())
    rows = []
    for about, terms, among in _tried(codes, list(wide), n_labels=len(labels)):
        sums = resampling.sum_by_group(terms, groups)
        statistic = STATISTICS[about["measure"]]
        found = statistics.interval(sums, statistic)
        p_value, null_mean = null.test(among, value=float(found.value))
        of_null = {"level": statistics.level, "null_mean": null_mean, "p_value": p_value}
        of_faces = {"n": len(wide), "n_groups": len(sums)}
        rows.append({**about, **found.columns(), **of_null, **of_faces})
    return schema.check(pd.DataFrame(rows), "agreement")


def _tried(
    codes: np.ndarray, runs: Sequence[str], *, n_labels: int
) -> Iterator[tuple[dict[str, Any], np.ndarray, list[tuple[int, int]]]]:
    """Give each coefficient: what it is of, its terms by item, and the pairs of runs in it."""
    pairs = list(combinations(range(len(runs)), 2))
    for i, j in pairs:
        about = {"measure": PAIR, "run_id": runs[i], "other_run_id": runs[j]}
        yield about, np.eye(n_labels**2)[codes[:, i] * n_labels + codes[:, j]], [(i, j)]
    terms = unit_terms(np.eye(n_labels)[codes].sum(axis=1))
    for measure in (ALL_SAME, ALL):
        yield {"measure": measure, "run_id": "all", "other_run_id": None}, terms, pairs


def unit_terms(counts: np.ndarray) -> np.ndarray:
    """Lay out by item what the coefficients of several runs add up.

    Parameters
    ----------
    counts
        (items, labels) how many runs answer each label; items with one answer or none say nothing.

    Returns
    -------
    np.ndarray
        (items, 1 + labels): the coincidences of equal answers, and the answers by label.
    """
    answers = counts.sum(axis=1, keepdims=True)
    pairs = (counts * (counts - 1)).sum(axis=1, keepdims=True)
    equal = np.divide(pairs, answers - 1, where=answers > 1, out=np.zeros_like(pairs, dtype=float))
    return np.hstack([equal, np.where(answers > 1, counts, 0)])


def krippendorff_alpha(sums: np.ndarray) -> np.ndarray:
    """Compute nominal alpha from sums of `unit_terms` (Krippendorff 2011); (n, k) -> (n,)."""
    equal, answers = sums[:, 0], sums[:, 1:]
    n = answers.sum(axis=1)
    by_chance = (answers * (answers - 1)).sum(axis=1) / (n - 1)
    return _beyond_chance(equal, by_chance, n)


def fleiss_kappa(sums: np.ndarray) -> np.ndarray:
    """Compute kappa of several runs from sums of `unit_terms` (Fleiss 1971); (n, k) -> (n,)."""
    equal, answers = sums[:, 0], sums[:, 1:]
    n = answers.sum(axis=1)
    return _beyond_chance(equal, (answers**2).sum(axis=1) / n, n)


def cohen_kappa(sums: np.ndarray) -> np.ndarray:
    """Compute kappa of two runs from sums of their flattened confusions; (n, k * k) -> (n,)."""
    size = round(sums.shape[1] ** 0.5)
    tables = sums.reshape(len(sums), size, size)
    n = tables.sum(axis=(1, 2))
    by_chance = (tables.sum(axis=1) * tables.sum(axis=2)).sum(axis=1) / n
    return _beyond_chance(np.trace(tables, axis1=1, axis2=2), by_chance, n)


STATISTICS = {PAIR: cohen_kappa, ALL_SAME: fleiss_kappa, ALL: krippendorff_alpha}


def _beyond_chance(equal: np.ndarray, by_chance: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Scale agreement to 0 by chance and 1 in full; NaN where there is one answer only."""
    varied = by_chance < n * (1 - 1e-12)
    return np.divide(equal - by_chance, n - by_chance, where=varied, out=np.full(len(n), np.nan))


class _Shifts:
    """How often runs agree when the answers of each are shifted within the groups."""

    def __init__(
        self, codes: np.ndarray, groups: np.ndarray, *, n: int, rng: np.random.Generator
    ) -> None:
        self._codes, self._n = codes, n
        self._of_groups = [np.flatnonzero(groups == name) for name in np.unique(groups)]
        sizes = np.array([len(own) for own in self._of_groups])
        self._moved = rng.integers(0, sizes[:, None, None], (len(sizes), n, codes.shape[1]))

    def test(self, among: Sequence[tuple[int, int]], *, value: float) -> tuple[float, float]:
        """Test pairs of runs whose coefficient is `value`.

        Returns
        -------
        p_value, null_mean
            One-sided; the coefficient's mean under the null: shifts leave each run its answers, so
            the coefficient is a line in the share of items that a pair agrees on, mean over pairs.
        """
        agreed = [(self._codes[:, i] == self._codes[:, j]).mean() for i, j in among]
        observed = float(np.mean(agreed))
        null = np.mean([self._shifted(i, j) for i, j in among], axis=0)
        p_value = (np.count_nonzero(null >= observed - 1e-12) + 1) / (self._n + 1)
        slope = (1 - value) / (1 - observed) if observed < 1 else float("nan")
        return p_value, 1 - (1 - float(null.mean())) * slope

    def _shifted(self, i: int, j: int) -> np.ndarray:
        agreed = np.zeros(self._n)
        for own, moved in zip(self._of_groups, self._moved, strict=True):
            first, second = self._codes[own, i], resampling.rotations(self._codes[own, j])
            by_shift = (first == second).sum(axis=1)
            agreed += by_shift[(moved[:, j] - moved[:, i]) % len(own)]
        return agreed / len(self._codes)


MIN_MODELS = 4
"""Fewer have no interval: its width goes with 1 / sqrt(n - 3)."""

MANY_MODELS = 24
"""Below this a correlation over models is only a first look, and says so."""
FEW = {"n_bootstrap": 50, "n_permutations": 50}
"""The least there can be: where a measure is wanted, and neither its interval nor its p."""

CRITERIA = {
    "diversity": ("more varied answers", "mean normalised entropy of a film's shares"),
    "genre": ("more difference between genres", "R2 between genres"),
    "temporal": ("more structure in time", "mean lag-1 autocorrelation"),
    "events": ("more rise at plot events", "mean rise at plot events"),
}
"""The "ecological" criteria: name -> what a model has more of, what is computed for it."""


DIVERSITY = "diversity (normalised entropy)"
SEPARATION = "genre separation (epsilon squared)"
LIKENESS = "lag-1 autocorrelation"
CHANGE = "variance explained by one change"
RISE = "rise at plot events"
CONTRASTED, NEGATIVE = ("comedy", "crime"), ("angry", "fear", "sad")
"""What `describe` gives: the names of its criteria, and its planned contrasts."""


def measure_criterion(
    study: Study,
    known: pd.DataFrame,
    *,
    frames: pd.DataFrame,
    films: pd.DataFrame,
    events: pd.DataFrame,
) -> pd.DataFrame:
    """Compute the criteria and the accuracy of each run.

    Parameters
    ----------
    known
        Table "predictions" of the film faces, with the truth as label. Ensembles are left out:
        they are made of the runs.
    frames, films, events
        Tables of those names.

    Returns
    -------
    pd.DataFrame
        A row a run: run_id, the names of `CRITERIA`, and balanced_accuracy with low and high.
    """
    runs = known[known["run_id"].isin(study.runs)]
    rows = timeline(frames, runs, labels=study.labels)
    summary = film_measures.summarise(frames, runs, labels=study.labels)
    few = study.statistics.model_copy(update=FEW)
    separation = film_measures.genre_separation(summary, films, statistics=few)
    autocorrelation = lag_autocorrelation(rows, statistics=few)
    rises = event_rises_combined(rows, events, window_s=study.films.event_window_s, statistics=few)
    scores = metrics.score(runs, labels=study.labels, statistics=study.statistics)
    accuracy = scores[scores["metric"] == "balanced_accuracy"].set_index("run_id")
    table = accuracy[["value", "low", "high"]].rename(columns={"value": "balanced_accuracy"})
    return table.assign(
        diversity=film_measures.diversity(summary).groupby("run_id")["entropy"].mean(),
        genre=separation.set_index("run_id")["r2"],
        temporal=autocorrelation.groupby("run_id")["autocorrelation"].mean(),
        events=rises.set_index("run_id")["difference"],
    ).reset_index()


def describe_criteria(
    study: Study,
    predictions: pd.DataFrame,
    *,
    frames: pd.DataFrame,
    films: pd.DataFrame,
    events: pd.DataFrame,
) -> pd.DataFrame:
    """Test each criterion for each run, by itself: none of them needs the truth.

    Parameters
    ----------
    predictions
        Table "predictions" of film faces, also of ensembles.
    frames, films, events
        Tables of those names; criteria of genres and events need films that have them.

    Returns
    -------
    pd.DataFrame
        Table "film_criteria": each with its interval over films, and its p and mean under its null
        where it has one.
    """
    rows = timeline(frames, predictions, labels=study.labels)
    summary = film_measures.summarise(frames, predictions, labels=study.labels)
    statistics = study.statistics
    parts = [
        _diversity(summary, study),
        *_genres(summary, films, study),
        autocorrelation_combined(rows, statistics=statistics).assign(criterion=LIKENESS),
        change_combined(rows, statistics=statistics).assign(criterion=CHANGE),
        event_rises_combined(
            rows, events, window_s=study.films.event_window_s, statistics=statistics
        ).assign(criterion=RISE, null_mean=0.0),
    ]
    named = dict.fromkeys(("difference", "autocorrelation", "explained"), "value")
    tested = [part.rename(columns=named) for part in parts if len(part)]
    if not tested:
        return schema.empty("film_criteria")
    table = pd.concat(tested, ignore_index=True)
    order = list(dict.fromkeys(predictions["run_id"]))
    table = table.sort_values("run_id", key=lambda runs: runs.map(order.index), kind="stable")
    columns = [*schema.TABLES["film_criteria"].columns]
    return schema.check(
        table.assign(level=study.statistics.level)[columns].reset_index(drop=True), "film_criteria"
    )


def _diversity(summary: pd.DataFrame, study: Study) -> pd.DataFrame:
    found = []
    entropy = film_measures.diversity(summary).dropna(subset="entropy")
    for run_id, own in entropy.groupby("run_id"):
        interval = study.statistics.interval(
            np.column_stack([own["entropy"], np.ones(len(own))]),
            lambda sums: sums[:, 0] / sums[:, 1],
        )
        found.append({"run_id": run_id, **interval.columns(), "n_films": len(own)})
    no_null = {"null_mean": math.nan, "p_value": math.nan}
    return pd.DataFrame(found).assign(criterion=DIVERSITY, **no_null)


def _genres(summary: pd.DataFrame, films: pd.DataFrame, study: Study) -> list[pd.DataFrame]:
    """Separate all genres, and contrast the two that are planned, where films have them."""
    if films["genre"].nunique() < 2:
        return []
    statistics = study.statistics
    separation = film_measures.genre_separation(summary, films, statistics=statistics)
    free = (separation["n_films"] - 1) / (separation["n_films"] - separation["n_genres"])
    found = [
        separation.assign(
            criterion=SEPARATION,
            value=separation["epsilon2"],
            null_mean=1 - (1 - separation["null_mean"]) * free,
        )
    ]
    if set(CONTRASTED) <= set(films["genre"]):
        contrasts = film_measures.genre_contrast(
            summary,
            films,
            genres=CONTRASTED,
            labels={"happy": ["happy"], "negative": [x for x in NEGATIVE if x in study.labels]},
            statistics=statistics,
        )
        between = f"{CONTRASTED[0]} minus {CONTRASTED[1]}"
        named = [f"share of {name}, {between}" for name in contrasts["contrast"]]
        found.append(contrasts.assign(criterion=named, null_mean=0.0))
    return found


def findings(study: Study, measured: pd.DataFrame) -> list[Finding]:
    """Correlate each criterion with accuracy over models.

    Parameters
    ----------
    measured
        As given by `measure`.
    """
    found = []
    for name, (more, what) in CRITERIA.items():
        correlation, n = _rank_correlation(study, measured, name)
        reason = f"over {n} models only: a first look" if n < MANY_MODELS else None
        if math.isnan(correlation.value):
            reason = f"{n} models have both; {MIN_MODELS} or more that differ are needed"
        found.append(
            Finding(
                f"q3-{name}",
                f"Models with {more} read films more accurately.",
                f"Spearman correlation over models of {what} with balanced accuracy",
                found=correlation,
                reason=reason,
            )
        )
    return found


def among_the_better(study: Study, measured: pd.DataFrame) -> dict[str, object]:
    """Correlate anew over the better half of the models: poor ones are easily told from good ones.

    Returns
    -------
    dict
        n_models, n_better, and for each criterion its correlation (value, low, high) over these.
    """
    better = measured.nlargest(len(measured) // 2, "balanced_accuracy")
    values: dict[str, object] = {"n_models": len(measured), "n_better": len(better)}
    for name in CRITERIA:
        correlation, _ = _rank_correlation(study, better, name)
        values[f"better.{name}"] = correlation.columns()
    return values


def _rank_correlation(study: Study, measured: pd.DataFrame, name: str) -> tuple[Estimate, int]:
    """Correlate the ranks of a criterion and of accuracy, over so many models.

    The interval is that of Bonett & Wright (2000), the p by permutation; NaN where models are too
    few, or equal.
    """
    pairs = measured[[name, "balanced_accuracy"]].dropna()
    n, level = len(pairs), study.statistics.level
    if n < MIN_MODELS or pairs.nunique().min() == 1:
        return Estimate(), n
    x, y = pairs.rank().to_numpy().T
    test = study.statistics.permutation_test(x, lambda ranks: float(np.corrcoef(ranks, y)[0, 1]))
    # half a step below perfect agreement of n ranks: at 1 itself the interval would have no width
    most = 1 - 6 / (n**3 - n)
    r = float(np.clip(test.value, -most, most))
    margin = stats.norm.ppf((1 + level) / 2) * math.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = math.tanh(math.atanh(r) - margin), math.tanh(math.atanh(r) + margin)
    return Estimate(test.value, low, high, n, "Bonett & Wright 2000", test.p_value), n
