"""Do models agree on faces, and by more than chance?

Chance is asked about twice. The coefficients take off what runs with these overall shares would
agree on; the null also leaves each run its shares in each film, and how alike its neighbouring
answers are: it shifts the answers of each run in a film against those of the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.settings import Statistics

PAIR, ALL_SAME, ALL = "Cohen's kappa", "Fleiss' kappa", "Krippendorff's alpha"
"""Coefficients: of two runs; of all runs; of all runs, for few items and missing answers, too."""


def agreement(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
    seed: int,
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
    null = _Shifts(codes, groups, n=statistics.n_permutations, rng=np.random.default_rng(seed))
    rows = []
    for about, terms, among in _tried(codes, list(wide), n_labels=len(labels)):
        sums = resampling.sum_by_group(terms, groups)
        statistic = STATISTICS[about["measure"]]
        rng = np.random.default_rng(seed)
        found = resampling.bootstrap(
            sums, statistic, n=statistics.n_bootstrap, level=statistics.level, rng=rng
        )
        p_value, null_mean = null.test(among, value=float(found.value))
        of_null = {"level": statistics.level, "null_mean": null_mean, "p_value": p_value}
        of_faces = {"n": len(wide), "n_groups": len(sums)}
        rows.append({**about, **found._asdict(), **of_null, **of_faces})
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
