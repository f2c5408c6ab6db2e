"""Runs that differ in nothing but their seed, taken together: their mean score, and its interval.

The score of one run is that of one network. What a recipe is worth is the mean over networks that
it could have given, on faces that it could have been shown: an interval has to cover both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from exe_core import metrics, resampling, schema
from exe_core.config import Study
from exe_core.settings import Statistics

METHOD = f"{resampling.METHOD}, with the spread over seeds"


class Averaged(NamedTuple):
    """Means over seeds with their intervals, and the standard deviation over seeds."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray


def over_seeds(
    seeds: Sequence[np.ndarray],
    statistic: resampling.Statistic,
    *,
    n: int,
    level: float,
    rng: np.random.Generator,
    strata: ArrayLike | None = None,
) -> Averaged:
    """Average a statistic over seeds, with an interval that covers groups and seeds.

    Groups: the bootstrap interval of the mean over seeds; a sample holds the same groups for every
    seed. Seeds: mean -+ t(S - 1) s / sqrt(S). Their distances from the mean are added in squares,
    as for two independent parts of one error (Zou and Donner 2008, Statistics in Medicine 27:1693).
    With one seed the interval covers groups only.

    Parameters
    ----------
    seeds
        For each seed the sums of the same groups, (n_groups, k), in one order.
    statistic, n, level, rng, strata
        As for `resampling.bootstrap`; the statistic gives (n, m).

    Returns
    -------
    Averaged
        Each (m,); the spread of one seed is NaN.

    Raises
    ------
    ValueError
        If there is no seed, or they are not of the same groups.
    """
    if not seeds or len({sums.shape for sums in seeds}) > 1:
        raise ValueError(f"sums of the same groups are needed of each seed, got {len(seeds)} seeds")
    n_seeds = len(seeds)
    by_seed = np.stack([statistic(sums.sum(axis=0, keepdims=True))[0] for sums in seeds])
    interval = resampling.bootstrap(
        np.hstack(seeds),
        lambda totals: np.mean([statistic(part) for part in np.hsplit(totals, n_seeds)], axis=0),
        n=n,
        level=level,
        rng=rng,
        strata=strata,
    )
    value, low, high = map(np.asarray, interval)
    if n_seeds == 1:
        return Averaged(value, low, high, np.full_like(value, np.nan))
    spread = by_seed.std(axis=0, ddof=1)
    reach = stats.t.ppf((1 + level) / 2, df=n_seeds - 1) * spread / np.sqrt(n_seeds)
    return Averaged(
        value, value - np.hypot(value - low, reach), value + np.hypot(high - value, reach), spread
    )


def within_range(scores: pd.DataFrame) -> pd.DataFrame:
    """Cut intervals of `metrics.SCORES` where no score can be: few seeds reach far beyond."""
    top = scores["metric"].map({"nll": np.inf, "brier": 2.0}).fillna(1.0)
    low, high = scores["low"].clip(lower=0), scores["high"].clip(upper=top)
    return scores.assign(low=low, high=high)


def score(
    predictions: pd.DataFrame,
    variants: Mapping[str, Sequence[str]],
    *,
    labels: Sequence[str],
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Score each variant on each set and split: the mean over its seeds.

    Parameters
    ----------
    predictions
        Table "predictions" of all runs; others than those of `variants` are not looked at.
    variants
        Name -> its runs, one a seed, as `Study.variants` gives them.
    labels, statistics, seed
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "metrics" whose run_id is the variant, with `n_seeds` and `spread`, the standard
        deviation over seeds. Intervals are those of `over_seeds`.

    Raises
    ------
    ValueError
        If the runs of a variant have not seen the same items.
    """
    labels, tables = list(labels), [schema.empty("metrics").assign(n_seeds=0, spread=0.0)]
    for variant, runs in variants.items():
        for keys, rows in predictions.groupby(["set_name", "split"]):
            seeds, n_items = _sums(rows, runs, labels)
            if n_items == 0:
                continue
            found = over_seeds(
                seeds,
                lambda totals: metrics.scores_of(totals, len(labels)),
                n=statistics.n_bootstrap,
                level=statistics.level,
                rng=np.random.default_rng(seed),
            )
            table = pd.DataFrame(found._asdict()).assign(
                metric=[*metrics.SCORES, *np.repeat(metrics.BY_LABEL, len(labels))],
                label=[*[None] * len(metrics.SCORES), *labels * len(metrics.BY_LABEL)],
                run_id=variant,
                n=n_items,
                n_groups=len(seeds[0]),
                n_seeds=len(runs),
            )
            table[["set_name", "split"]] = keys
            table = table.assign(level=statistics.level, method=METHOD, seed=seed)
            tables.append(within_range(table))
    return schema.check(_joined(tables), "metrics")


def compare(
    predictions: pd.DataFrame,
    variants: Mapping[str, Sequence[str]],
    *,
    reference: str,
    labels: Sequence[str],
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Compare each variant with the reference: the mean difference over pairs of seeds.

    Differences are paired twice: by group, as both sides have seen the same faces, and by seed, as
    the k-th run of a variant is compared with the k-th of the reference.

    Parameters
    ----------
    predictions, variants, labels, statistics, seed
        As for `score`; one split a set.
    reference
        One of `variants`.

    Returns
    -------
    pd.DataFrame
        Table "comparisons", a row for each other variant, set and metric of `metrics.SCORES`: it
        minus the reference, with `n_seeds` and `spread`, the standard deviation of the differences
        over seeds; no p-value.

    Raises
    ------
    ValueError
        If there is no such reference, a variant has more or fewer runs than it, or they have not
        seen the same items.
    """
    if reference not in variants:
        raise ValueError(f"no variant {reference!r}; there are {', '.join(variants)}")
    labels, tables = list(labels), [schema.empty("comparisons").assign(n_seeds=0, spread=0.0)]
    own = variants[reference]
    for variant, runs in variants.items():
        if variant == reference:
            continue
        if len(runs) != len(own):
            raise ValueError(f"{variant} has {len(runs)} runs, {reference} {len(own)}: pair them")
        for set_name, rows in predictions.groupby("set_name"):
            sums, n_items = _sums(rows, [*runs, *own], labels)
            if n_items == 0:
                continue
            pairs = [
                np.hstack(pair) for pair in zip(sums[: len(runs)], sums[len(runs) :], strict=True)
            ]
            found = over_seeds(
                pairs,
                lambda totals: np.subtract(
                    *(metrics.scores_of(side, len(labels)) for side in np.hsplit(totals, 2))
                ),
                n=statistics.n_bootstrap,
                level=statistics.level,
                rng=np.random.default_rng(seed),
            )
            table = pd.DataFrame(found._asdict())[: len(metrics.SCORES)]
            tables.append(
                table.rename(columns={"value": "difference"}).assign(
                    metric=metrics.SCORES,
                    run_id=variant,
                    other_run_id=reference,
                    set_name=set_name,
                    level=statistics.level,
                    n=n_items,
                    n_groups=len(pairs[0]),
                    n_seeds=len(runs),
                    **dict.fromkeys(("p_value", "p_adjusted", "mcnemar_p"), np.nan),
                )
            )
    return schema.check(_joined(tables), "comparisons")


def lay_out(study: Study, scores: pd.DataFrame, of_variants: pd.DataFrame) -> pd.DataFrame:
    """Lay out scores as a matrix of what was trained and what it was tested on.

    Parameters
    ----------
    study
        Says which runs are seeds of one variant, and what each learned from.
    scores
        Table "metrics" of runs, ensembles and guests.
    of_variants
        From `score`.

    Returns
    -------
    pd.DataFrame
        Table "metrics", the seeds of a variant as one; ensembles first, then runs, then guests.
        `own`: whether the model learned from other faces of the set that it is tested on.
    """
    variant_of = {run: name for name, runs in study.variants.items() for run in runs}
    rows = [*study.ensembles, *(variant_of.get(run, run) for run in study.runs), *study.guests]
    place = {name: k for k, name in enumerate(dict.fromkeys(rows))}
    whole = _joined([scores[~scores["run_id"].isin(variant_of)], of_variants])
    whole = whole.sort_values("run_id", key=lambda column: column.map(place), kind="stable")
    learned = {name: study.learned_from(name) for name in whole["run_id"].unique()}
    # parts of a set are named by it: "fer2013 without duplicates"
    own = [
        any(set_name == known or set_name.startswith(f"{known} ") for known in learned[run])
        for run, set_name in zip(whole["run_id"], whole["set_name"], strict=True)
    ]
    return whole.assign(own=own).reset_index(drop=True)


def _sums(
    rows: pd.DataFrame, runs: Sequence[str], labels: Sequence[str]
) -> tuple[list[np.ndarray], int]:
    """Sum the terms of each run by group; and count the items, which are the same for all."""
    sides = [
        metrics.labelled(rows[rows["run_id"] == run], labels).sort_values("item_id") for run in runs
    ]
    items = sides[0]["item_id"].tolist()
    for run, side in zip(runs, sides, strict=True):
        if side["item_id"].tolist() != items:
            raise ValueError(
                f"{run} has not seen the same items as {runs[0]}: predict one split of each set "
                "with every run"
            )
    groups = sides[0]["group_id"]
    return [
        resampling.sum_by_group(metrics.item_terms(side, labels), groups) for side in sides
    ], len(items)


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below each other; an empty one gives its columns only."""
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]
