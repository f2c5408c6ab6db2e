"""Recipes compared: over seeds, over training and test sets, and the faults undone one by one.

The score of one run is that of one network. What a recipe is worth is the mean over networks that
it could have given, on faces that it could have been shown: an interval has to cover both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from exe_core import calibration, metrics, tables
from exe_core.resampling import METHOD, Estimate, Statistic, Statistics, sum_by_group
from exe_core.study import Factorial, Study

METHOD_OVER_SEEDS = f"{METHOD}, with the spread over seeds"


@dataclass(frozen=True, eq=False)
class MeanOverSeeds(Estimate):
    """A mean over seeds with its interval, and the standard deviation over seeds."""

    spread: np.ndarray | float = np.nan

    def columns(self) -> dict[str, np.ndarray | float]:
        """Give value, low, high and spread by name, as tables hold them."""
        return {**super().columns(), "spread": self.spread}


def mean_over_seeds(
    seeds: Sequence[np.ndarray],
    statistic: Statistic,
    *,
    statistics: Statistics,
    strata: ArrayLike | None = None,
) -> MeanOverSeeds:
    """Average a statistic over seeds, with an interval that covers groups and seeds.

    Groups: the bootstrap interval of the mean over seeds; a sample holds the same groups for every
    seed. Seeds: mean -+ t(S - 1) s / sqrt(S). Their distances from the mean are added in squares,
    as for two independent parts of one error (Zou and Donner 2008, Statistics in Medicine 27:1693).
    With one seed the interval covers groups only.

    Parameters
    ----------
    seeds
        For each seed the sums of the same groups, (n_groups, k), in one order.
    statistic, strata
        As for `Statistics.interval`; the statistic gives (n, m).

    Returns
    -------
    MeanOverSeeds
        Each (m,); the spread of one seed is NaN.

    Raises
    ------
    ValueError
        If there is no seed, or they are not of the same groups.
    """
    from scipy.special import stdtrit

    if not seeds or len({sums.shape for sums in seeds}) > 1:
        raise ValueError(f"sums of the same groups are needed of each seed, got {len(seeds)} seeds")
    n_seeds = len(seeds)
    found = statistics.interval(
        np.hstack(seeds),
        lambda totals: np.mean([statistic(part) for part in np.hsplit(totals, n_seeds)], axis=0),
        strata=strata,
    )
    low, high, spread = found.low, found.high, np.full_like(found.value, np.nan)
    if n_seeds > 1:
        by_seed = [statistic(sums.sum(axis=0, keepdims=True))[0] for sums in seeds]
        spread = np.std(by_seed, axis=0, ddof=1)
        reach = stdtrit(n_seeds - 1, (1 + statistics.level) / 2) * spread / np.sqrt(n_seeds)
        low = found.value - np.hypot(found.value - found.low, reach)
        high = found.value + np.hypot(found.high - found.value, reach)
    return MeanOverSeeds(found.value, low, high, found.n, METHOD_OVER_SEEDS, spread=spread)


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
        Table "predictions" of all runs; others than those of `variants` are left out.
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
    labels, scored = list(labels), [tables.empty("metrics").assign(n_seeds=0, spread=0.0)]
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
            table = pd.DataFrame(found.columns()).assign(
                metric=[*metrics.SCORES, *np.repeat(metrics.BY_LABEL, len(labels))],
                label=[*[None] * len(metrics.SCORES), *labels * len(metrics.BY_LABEL)],
                run_id=variant,
                n=n_items,
                n_groups=found.n,
                n_seeds=len(runs),
                level=statistics.level,
                method=found.method,
                seed=statistics.seed,
            )
            table[["set_name", "split"]] = keys
            scored.append(within_range(table))
    return tables.check(_stacked(scored), "metrics")


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
        As for `score_variants`; one split a set.
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
    labels, compared = list(labels), [tables.empty("comparisons").assign(n_seeds=0, spread=0.0)]
    others = {name: runs for name, runs in variants.items() if name != reference}
    for (variant, runs), (set_name, rows) in product(
        others.items(), predictions.groupby("set_name")
    ):
        n_seeds = len(variants[reference])
        if len(runs) != n_seeds:
            raise ValueError(f"{variant} has {len(runs)} runs, {reference} {n_seeds}: pair them")
        sums, n_items = _sums(rows, [*runs, *variants[reference]], labels)
        if n_items == 0:
            continue
        found = mean_over_seeds(
            [np.hstack(pair) for pair in zip(sums[:n_seeds], sums[n_seeds:], strict=True)],
            lambda totals: np.subtract(
                *(metrics.scores_of(side, len(labels)) for side in np.hsplit(totals, 2))
            ),
            statistics=statistics,
        )
        table = pd.DataFrame(found.columns())[: len(metrics.SCORES)]
        compared.append(
            table.rename(columns={"value": "difference"}).assign(
                metric=metrics.SCORES,
                run_id=variant,
                other_run_id=reference,
                set_name=set_name,
                level=statistics.level,
                n=n_items,
                n_groups=found.n,
                n_seeds=n_seeds,
                **dict.fromkeys(("p_value", "p_adjusted", "mcnemar_p"), np.nan),
            )
        )
    return tables.check(_stacked(compared), "comparisons")


def train_test_matrix(
    study: Study, scores: pd.DataFrame, of_variants: pd.DataFrame
) -> pd.DataFrame:
    """Order scores as a matrix of what was trained and what it was tested on.

    Parameters
    ----------
    scores
        Table "metrics" of runs, ensembles and guests.
    of_variants
        From `score_variants`.

    Returns
    -------
    pd.DataFrame
        Table "metrics", the seeds of a variant as one; ensembles first, then runs, then guests.
        `own`: whether the model learned from other faces of the set that it is tested on.
    """
    variant_of = {run: name for name, runs in study.variants.items() for run in runs}
    rows = [*study.ensembles, *(variant_of.get(run, run) for run in study.runs), *study.guests]
    place = {name: k for k, name in enumerate(dict.fromkeys(rows))}
    whole = _stacked([scores[~scores["run_id"].isin(variant_of)], of_variants])
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
    for run, side in zip(runs, sides, strict=True):
        if side["item_id"].tolist() != sides[0]["item_id"].tolist():
            raise ValueError(
                f"{run} has not seen the same items as {runs[0]}: predict one split of each set "
                "with every run"
            )
    groups = sides[0]["group_id"]
    return [sum_by_group(metrics.item_terms(side, labels), groups) for side in sides], len(groups)


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put tables below each other; an empty one gives its columns only."""
    filled = [table for table in parts if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else parts[0]


FACTORS = {
    "crop": ("as shipped", "detector"),
    "colour": ("in colour", "as learned"),
    "calibration": ("none", "corrected"),
}
"""Factor -> its levels: the published fault, and the fault undone."""

CELLS = list(product(*FACTORS.values()))
MEASURES = ("accuracy", "balanced_accuracy", "nll", "ece")
ALL_UNDONE = "all three"
HOME = "own test faces"
FEW_FACES, MAX_SHARE = 5, 0.1
"""Groups of fewer faces can't be drawn from alone; and which share of the faces may be theirs."""


def factorial_cells(
    study: Study, shown: Mapping[str, pd.DataFrame], *, known: pd.DataFrame
) -> pd.DataFrame:
    """Gather what each run predicts for each face in each cell of the factorial.

    Parameters
    ----------
    study
        One with a `factorial`.
    shown
        Level of the factor colour -> table "predictions" of the runs of the factorial on its sets.
    known
        Table "predictions" of the same runs on the faces that they did not learn from: each is
        calibrated on the val faces of the sets that it learned from, and moved to the label
        shares of each set.

    Returns
    -------
    pd.DataFrame
        Table "predictions" with the columns of `FACTORS` and `replicate`, the place of a run in
        its list; of labels that a set has too few faces of (`least_faces`), no row.
    """
    design, parts = _design(study), []
    lists = dict(zip(FACTORS["crop"], (design.as_shipped, design.recropped), strict=True))
    for crop, colour in product(FACTORS["crop"], FACTORS["colour"]):
        for replicate, run in enumerate(lists[crop]):
            read = shown[colour][shown[colour]["run_id"] == run]
            is_own = (known["run_id"] == run) & known["set_name"].isin(study.runs[run].sets)
            validation = known[is_own & (known["split"] == "val")]
            corrected = [
                calibration.adapt_to_shift(rows, validation, method=design.correction)
                for _, rows in read.groupby("set_name")
            ]
            parts += [
                table.assign(crop=crop, colour=colour, calibration=level, replicate=replicate)
                for level, table in zip(
                    FACTORS["calibration"], (read, pd.concat(corrected)), strict=True
                )
            ]
    whole = pd.concat(parts, ignore_index=True)
    counts = whole.drop_duplicates(["set_name", "item_id"]).groupby(["set_name", "label"]).size()
    frequent = counts[counts >= design.least_faces].index
    kept = pd.MultiIndex.from_frame(whole[["set_name", "label"]]).isin(frequent)
    return whole[kept].reset_index(drop=True)


def factorial_effects(
    cells: pd.DataFrame, *, labels: Sequence[str], statistics: Statistics
) -> pd.DataFrame:
    """Score each cell, and estimate what each fault and each pair of them is worth.

    A main effect is the mean score with the fault undone minus that with it, over all cells. An
    interaction is what undoing one gains more where the other is undone, too: a difference of
    differences. `ALL_UNDONE` is the last cell minus the first. All are means over the replicates.

    Parameters
    ----------
    cells
        From `factorial_cells`.
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
    estimated = [tables.empty("factorial")]
    effects = _contrasts()
    names = pd.DataFrame(CELLS, columns=list(FACTORS)).assign(
        kind="cell", term=[", ".join(cell) for cell in CELLS]
    )
    names = pd.concat([names, pd.DataFrame({"kind": "effect", "term": list(effects)})])
    names = names.merge(pd.DataFrame({"metric": MEASURES}), how="cross")
    places = [metrics.SCORES.index(name) for name in MEASURES]

    def cells_and_effects(totals: np.ndarray) -> np.ndarray:
        """`MEASURES` of cells, then of effects: (n, (cells + effects) x measures)."""
        sides = np.hsplit(totals, len(CELLS))
        scores = [metrics.scores_of(side, len(labels))[:, places] for side in sides]
        of_cells = np.stack(scores, axis=1)
        of_effects = np.einsum("ec,ncm->nem", np.array(list(effects.values())), of_cells)
        return np.concatenate([of_cells, of_effects], axis=1).reshape(len(totals), -1)

    for set_name, rows in cells.groupby("set_name"):
        terms, groups = _cell_terms(rows, list(labels))
        sums = [sum_by_group(part, groups) for part in terms]
        for over, parts, strata in (("groups", sums, None), ("faces", terms, _strata(groups))):
            found = mean_over_seeds(parts, cells_and_effects, statistics=statistics, strata=strata)
            estimated.append(
                names.assign(
                    **found.columns(),
                    set_name=set_name,
                    over=over,
                    level=statistics.level,
                    n=len(groups),
                    n_groups=groups.nunique(),
                    n_seeds=len(terms),
                )
            )
    whole = _stacked(estimated)
    is_cell = whole["kind"] == "cell"
    whole[is_cell] = within_range(whole[is_cell])
    return tables.check(whole, "factorial")


def score_at_home(
    study: Study,
    known: pd.DataFrame,
    cells: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Score the runs that learned from faces as shipped on test faces of the sets they know.

    What is left between this and the cells is a gap that undoing the faults does not close.

    Parameters
    ----------
    known
        As for `factorial_cells`.
    cells
        From `factorial_cells`; of each of its sets, the labels that it holds are what is scored.
    labels, statistics
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "factorial", a row of kind "home" for each set and measure.
    """
    runs, scored = _design(study).as_shipped, [tables.empty("factorial")]
    sets = {name for run in runs for name in study.runs[run].sets}
    of_sets = known[(known["split"] == "test") & known["set_name"].isin(sets)]
    for set_name, rows in cells.groupby("set_name"):
        # one set, though the runs may have learned from several
        shown = of_sets[of_sets["label"].isin(rows["label"])].assign(set_name=set_name)
        found = score_variants(shown, {HOME: runs}, labels=labels, statistics=statistics)
        kept = found[found["metric"].isin(MEASURES)].rename(columns={"run_id": "term"})
        scored.append(kept.assign(kind="home", over="groups", **dict.fromkeys(FACTORS)))
    return tables.check(_stacked(scored)[list(scored[0])], "factorial")


def _design(study: Study) -> Factorial:
    if study.factorial is None:
        raise ValueError(f"study {study.name} has no `factorial`: give it one in its configs/ file")
    return study.factorial


def _cell_terms(rows: pd.DataFrame, labels: list[str]) -> tuple[list[np.ndarray], pd.Series]:
    """Set the terms of all cells side by side, a replicate each; and give the items' groups."""
    sides = dict(list(rows.sort_values("item_id").groupby([*FACTORS, "replicate"])))
    replicates = sorted(rows["replicate"].unique())
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
    """Name the faces that are drawn among each other: a group's; few ones with the largest."""
    few = groups.map(groups.value_counts()) < FEW_FACES
    if few.mean() > MAX_SHARE:  # each face alone, which has no interval
        return pd.Series(range(len(groups)))
    return groups.mask(few, groups.mode()[0])


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
    return main | pairs | {ALL_UNDONE: np.eye(len(CELLS))[-1] - np.eye(len(CELLS))[0]}
