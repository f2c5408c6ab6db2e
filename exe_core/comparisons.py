"""Runs that differ in nothing but their seed, taken together: their mean score, and its interval.

The score of one run is that of one network. What a recipe is worth is the mean over networks that
it could have given, on faces that it could have been shown: an interval has to cover both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from exe_core import calibration, metrics, resampling
from exe_core import tables as schema
from exe_core.resampling import Statistics
from exe_core.settings import Factorial
from exe_core.study import Study

METHOD = f"{resampling.METHOD}, with the spread over seeds"


class Averaged(NamedTuple):
    """Means over seeds with their intervals, and the standard deviation over seeds."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray
    spread: np.ndarray


def mean_over_seeds(
    seeds: Sequence[np.ndarray],
    statistic: resampling.Statistic,
    *,
    statistics: Statistics,
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
    statistic, statistics, strata
        As for `Statistics.interval`; the statistic gives (n, m).

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
    interval = statistics.interval(
        np.hstack(seeds),
        lambda totals: np.mean([statistic(part) for part in np.hsplit(totals, n_seeds)], axis=0),
        strata=strata,
    )
    value, low, high = map(np.asarray, interval.columns().values())
    if n_seeds == 1:
        return Averaged(value, low, high, np.full_like(value, np.nan))
    spread = by_seed.std(axis=0, ddof=1)
    reach = stats.t.ppf((1 + statistics.level) / 2, df=n_seeds - 1) * spread / np.sqrt(n_seeds)
    return Averaged(
        value, value - np.hypot(value - low, reach), value + np.hypot(high - value, reach), spread
    )


def within_range(scores: pd.DataFrame) -> pd.DataFrame:
    """Cut intervals of `metrics.SCORES` where no score can be: few seeds reach far beyond."""
    top = scores["metric"].map({"nll": np.inf, "brier": 2.0}).fillna(1.0)
    low, high = scores["low"].clip(lower=0), scores["high"].clip(upper=top)
    return scores.assign(low=low, high=high)


def score_variants(
    predictions: pd.DataFrame,
    variants: Mapping[str, Sequence[str]],
    *,
    labels: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Score each variant on each set and split: the mean over its seeds.

    Parameters
    ----------
    predictions
        Table "predictions" of all runs; others than those of `variants` are not looked at.
    variants
        Name -> its runs, one a seed, as `Study.variants` gives them.
    labels, statistics
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "metrics" whose run_id is the variant, with `n_seeds` and `spread`, the standard
        deviation over seeds. Intervals are those of `mean_over_seeds`.

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
            found = mean_over_seeds(
                seeds,
                lambda totals: metrics.scores_of(totals, len(labels)),
                statistics=statistics,
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
            table = table.assign(level=statistics.level, method=METHOD, seed=statistics.seed)
            tables.append(within_range(table))
    return schema.check(_joined(tables), "metrics")


def compare_variants(
    predictions: pd.DataFrame,
    variants: Mapping[str, Sequence[str]],
    *,
    reference: str,
    labels: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Compare each variant with the reference: the mean difference over pairs of seeds.

    Differences are paired twice: by group, as both sides have seen the same faces, and by seed, as
    the k-th run of a variant is compared with the k-th of the reference.

    Parameters
    ----------
    predictions, variants, labels, statistics
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
            found = mean_over_seeds(
                pairs,
                lambda totals: np.subtract(
                    *(metrics.scores_of(side, len(labels)) for side in np.hsplit(totals, 2))
                ),
                statistics=statistics,
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


def train_test_matrix(
    study: Study, scores: pd.DataFrame, of_variants: pd.DataFrame
) -> pd.DataFrame:
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


FACTORS = {
    "crop": ("as shipped", "detector"),
    "colour": ("in colour", "as learned"),
    "calibration": ("none", "corrected"),
}
"""Factor -> its levels: the published fault, and the fault undone."""

CELLS = list(product(*FACTORS.values()))
MEASURES = ("accuracy", "balanced_accuracy", "nll", "ece")
TOGETHER = "all three"
HOME = "own test faces"
FEW_FACES, MAX_SHARE = 5, 0.1
"""Groups of fewer faces can't be drawn from alone; and which share of the faces may be theirs."""


def factorial_cells(
    study: Study, shown: Mapping[str, pd.DataFrame], *, known: pd.DataFrame
) -> pd.DataFrame:
    """Lay out what each run says of each face in each cell.

    Parameters
    ----------
    study
        One with a `factorial`.
    shown
        Level of the factor colour -> table "predictions" of the runs of the factorial on its sets.
    known
        Table "predictions" of the same runs on the faces that they did not learn from: each is
        calibrated on the val faces of its own sets.

    Returns
    -------
    pd.DataFrame
        Table "predictions" with the columns of `FACTORS` and `replicate`, the place of a run in
        its list; of labels that a set has too few faces of (`least_faces`), no row.
    """
    design, tables = _design(study), []
    lists = dict(zip(FACTORS["crop"], (design.as_shipped, design.recropped), strict=True))
    for crop, colour in product(FACTORS["crop"], FACTORS["colour"]):
        for replicate, run in enumerate(lists[crop]):
            read = shown[colour][shown[colour]["run_id"] == run]
            both = (read, _corrected(study, run, read, known=known))
            tables += [
                table.assign(crop=crop, colour=colour, calibration=level, replicate=replicate)
                for level, table in zip(FACTORS["calibration"], both, strict=True)
            ]
    whole = pd.concat(tables, ignore_index=True)
    one = whole.drop_duplicates(["set_name", "item_id"])
    counts = one.groupby(["set_name", "label"]).size()
    frequent = counts[counts >= design.least_faces].index
    kept = pd.MultiIndex.from_frame(whole[["set_name", "label"]]).isin(frequent)
    return whole[kept].reset_index(drop=True)


def _corrected(study: Study, run: str, read: pd.DataFrame, *, known: pd.DataFrame) -> pd.DataFrame:
    """Calibrate a run and move it to the label shares of each set."""
    is_own = (known["run_id"] == run) & known["set_name"].isin(study.runs[run].sets)
    validation = known[is_own & (known["split"] == "val")]
    method = _design(study).correction
    return pd.concat(
        calibration.adapt_to_shift(rows, validation, method=method)
        for _, rows in read.groupby("set_name")
    )


def factorial_effects(
    laid_out: pd.DataFrame, *, labels: Sequence[str], statistics: Statistics
) -> pd.DataFrame:
    """Score each cell, and estimate what each fault and each pair of them is worth.

    A main effect is the mean score with the fault undone minus that with it, over all cells. An
    interaction is what undoing one gains more where the other is undone, too: a difference of
    differences. `TOGETHER` is the last cell minus the first. All are means over the replicates.

    Parameters
    ----------
    laid_out
        As `cells` gives it.
    labels, statistics
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "factorial". Each estimate stands twice: with the interval of other groups (`over`
        "groups": persons, films), and with that of other faces of the same groups ("faces"), which
        says nothing of other persons and is undefined where many of them have few faces. Both cover
        the replicates (`mean_over_seeds`), and take the estimated shares of labels as given.

    Raises
    ------
    ValueError
        If a cell lacks an item that another one has.
    """
    tables = [schema.empty("factorial")]
    for set_name, rows in laid_out.groupby("set_name"):
        terms, groups = _terms(rows, list(labels))
        for over in ("groups", "faces"):
            by_group = over == "groups"
            found = mean_over_seeds(
                [resampling.sum_by_group(part, groups) if by_group else part for part in terms],
                lambda totals: _cells_and_effects(totals, len(labels)),
                statistics=statistics,
                strata=None if by_group else _strata(groups),
            )
            tables.append(
                _rows().assign(
                    **found._asdict(),
                    set_name=set_name,
                    over=over,
                    level=statistics.level,
                    n=len(groups),
                    n_groups=groups.nunique(),
                    n_seeds=len(terms),
                )
            )
    whole = pd.concat(tables[1:] or tables, ignore_index=True)
    is_cell = whole["kind"] == "cell"
    whole[is_cell] = within_range(whole[is_cell])
    return schema.check(whole, "factorial")


def at_home(
    study: Study,
    known: pd.DataFrame,
    laid_out: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Score the runs that learned from faces as shipped on test faces of the sets they know.

    What is left between this and the cells is a gap that undoing the faults does not close.

    Parameters
    ----------
    known
        As for `cells`.
    laid_out
        As `cells` gives it; of each of its sets, the labels that it holds are what is scored.
    labels, statistics
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "factorial", a row of kind "home" for each set and measure.
    """
    design, tables = _design(study), [schema.empty("factorial")]
    sets = {name for run in design.as_shipped for name in study.runs[run].sets}
    own = known[(known["split"] == "test") & known["set_name"].isin(sets)]
    for set_name, rows in laid_out.groupby("set_name"):
        # one set, though the runs may have learned from several
        shown = own[own["label"].isin(rows["label"])].assign(set_name=set_name)
        found = score_variants(
            shown,
            {HOME: design.as_shipped},
            labels=labels,
            statistics=statistics,
        )
        kept = found[found["metric"].isin(MEASURES)].rename(columns={"run_id": "term"})
        tables.append(kept.assign(kind="home", over="groups", **dict.fromkeys(FACTORS)))
    filled = [table for table in tables if len(table)] or tables
    columns = list(schema.TABLES["factorial"].columns)
    return schema.check(pd.concat(filled, ignore_index=True)[columns], "factorial")


def _design(study: Study) -> Factorial:
    if study.factorial is None:
        raise ValueError(f"study {study.name} has no `factorial`: see exe_core/settings")
    return study.factorial


def _terms(rows: pd.DataFrame, labels: list[str]) -> tuple[list[np.ndarray], pd.Series]:
    """Lay the terms of all cells side by side, a replicate each; and give the items' groups."""
    ordered = rows.sort_values("item_id")
    sides = dict(list(ordered.groupby([*FACTORS, "replicate"])))
    replicates = sorted(ordered["replicate"].unique())
    first = sides[(*CELLS[0], replicates[0])]
    for cell, replicate in product(CELLS, replicates):
        if sides[(*cell, replicate)]["item_id"].tolist() != first["item_id"].tolist():
            raise ValueError(f"cell {', '.join(cell)} does not hold the items of the first cell")
    terms = [
        np.hstack([metrics.item_terms(sides[(*cell, replicate)], labels) for cell in CELLS])
        for replicate in replicates
    ]
    return terms, first["group_id"]


def _strata(groups: pd.Series) -> pd.Series:
    """Say which faces are drawn among each other: those of a group, few ones with the largest."""
    few = groups.map(groups.value_counts()) < FEW_FACES
    if few.mean() > MAX_SHARE:  # each face alone, which has no interval
        return pd.Series(range(len(groups)))
    return groups.mask(few, groups.mode()[0])


def _cells_and_effects(totals: np.ndarray, n_labels: int) -> np.ndarray:
    """Compute `MEASURES` of cells, then of effects: (n, (cells + effects) x measures)."""
    places = [metrics.SCORES.index(name) for name in MEASURES]
    scores = np.stack(
        [metrics.scores_of(cell, n_labels)[:, places] for cell in np.hsplit(totals, len(CELLS))],
        axis=1,
    )
    effects = np.einsum("ec,ncm->nem", np.array(list(_contrasts().values())), scores)
    return np.concatenate([scores, effects], axis=1).reshape(len(totals), -1)


def _contrasts() -> dict[str, np.ndarray]:
    """Give the weights of the cells in each effect."""
    undone = {
        name: np.array([1 if cell[k] == levels[1] else -1 for cell in CELLS])
        for k, (name, levels) in enumerate(FACTORS.items())
    }
    half = len(CELLS) / 2
    main = {name: signs / half for name, signs in undone.items()}
    pairs = {
        f"{one} x {other}": undone[one] * undone[other] * 2 / half
        for one, other in combinations(FACTORS, 2)
    }
    together = np.eye(len(CELLS))[-1] - np.eye(len(CELLS))[0]
    return main | pairs | {TOGETHER: together}


def _rows() -> pd.DataFrame:
    """Name what `_cells_and_effects` gives, in its order."""
    of_cells = pd.DataFrame(CELLS, columns=list(FACTORS)).assign(
        kind="cell", term=[", ".join(cell) for cell in CELLS]
    )
    of_effects = pd.DataFrame({"kind": "effect", "term": list(_contrasts())})
    whole = pd.concat([of_cells, of_effects], ignore_index=True)
    return whole.merge(pd.DataFrame({"metric": MEASURES}), how="cross")
