"""Recipes compared: over seeds, over training and test sets, and the faults undone one by one.

The score of one run is that of one network. What a recipe is worth is the mean over networks that
it could have given, on faces that it could have been shown: an interval has to cover both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from exe_core import calibration, metrics, tables
from exe_core.resampling import METHOD, Estimate, Statistic, Statistics, sum_by_group
from exe_core.study import Study

METHOD_OVER_SEEDS = f"{METHOD}, with the spread over seeds"


def mean_over_seeds(
    seeds: Sequence[np.ndarray],
    statistic: Statistic,
    *,
    statistics: Statistics,
    strata: ArrayLike | None = None,
    crossed: Sequence[ArrayLike] | None = None,
) -> Estimate:
    """Average a statistic over seeds, with an interval that covers groups and seeds.

    Groups: the bootstrap interval of the mean over seeds; a sample holds the same groups for every
    seed. Seeds: mean -+ t(S - 1) s / sqrt(S). Their distances from the mean are added in squares,
    as for two independent parts of one error (Zou and Donner 2008, Statistics in Medicine 27:1693).
    With one seed the interval covers groups only.

    Parameters
    ----------
    seeds
        For each seed the sums of the same groups, (n_groups, k), in one order.
    statistic, strata, crossed
        As for `Statistics.interval`; the statistic gives (n, m).

    Returns
    -------
    Estimate
        Of (m,) values, with their spread, which is NaN with one seed.
    """
    from scipy.special import stdtrit

    n_seeds = len(seeds)
    found = statistics.interval(
        np.hstack(seeds),
        lambda totals: np.mean([statistic(part) for part in np.hsplit(totals, n_seeds)], axis=0),
        strata=strata,
        crossed=crossed,
    )
    low, high, spread = found.low, found.high, np.full_like(found.value, np.nan)
    if n_seeds > 1:
        by_seed = [statistic(sums.sum(axis=0, keepdims=True))[0] for sums in seeds]
        spread = np.std(by_seed, axis=0, ddof=1)
        reach = stdtrit(n_seeds - 1, (1 + statistics.level) / 2) * spread / np.sqrt(n_seeds)
        low = found.value - np.hypot(found.value - found.low, reach)
        high = found.value + np.hypot(found.high - found.value, reach)
    return replace(found, low=low, high=high, method=METHOD_OVER_SEEDS, spread=spread)


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
        Table "predictions" of all runs; others than those of `variants` are left out. A
        `ValueError` is raised if the runs of a variant have not seen the same items.
    variants
        Name -> its runs, one a seed, as `Study.variants` gives them.
    labels, statistics
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "metrics" whose run_id is the variant, with `n_seeds` and `spread`, the standard
        deviation over seeds. Intervals are those of `mean_over_seeds`.
    """
    scored = [
        within_range(table.assign(run_id=variant))
        for variant, runs in variants.items()
        for table in _mean_scores(predictions, [runs], labels, statistics)
    ]
    return tables.check(_stacked("metrics", scored), "metrics")


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
        As for `score_variants`; one split a set. A `ValueError` is raised if a variant has more or
        fewer runs than the reference.
    reference
        One of `variants`.

    Returns
    -------
    pd.DataFrame
        Table "comparisons", a row for each other variant, set and metric of `metrics.SCORES`: it
        minus the reference, with `n_seeds` and `spread`, the standard deviation of the differences
        over seeds; no p-value.
    """
    others, compared = dict(variants), []
    theirs = others.pop(reference)
    for variant, ours in others.items():
        if len(ours) != len(theirs):
            raise ValueError(
                f"{variant} has {len(ours)} runs, {reference} {len(theirs)}: pair them"
            )
        for table in _mean_scores(predictions, [ours, theirs], labels, statistics):
            of_all = table[table["label"].isna()]
            compared.append(of_all.assign(run_id=variant, other_run_id=reference))
    whole = _stacked("comparisons", compared).rename(columns={"value": "difference"})
    undefined = dict.fromkeys(("p_value", "p_adjusted", "mcnemar_p"), np.nan)
    unused = ["split", "label", "method", "seed"]
    whole = whole.drop(columns=unused, errors="ignore").assign(**undefined)
    return tables.check(whole, "comparisons")


def _mean_scores(
    predictions: pd.DataFrame,
    sides: Sequence[Sequence[str]],
    labels: Sequence[str],
    statistics: Statistics,
) -> Iterator[pd.DataFrame]:
    """Score the runs of one variant, or subtract those of a second one, on each set and split."""
    runs = [run for side in sides for run in side]

    def scores(totals: np.ndarray) -> np.ndarray:
        first, *second = (metrics.scores_of(x, len(labels)) for x in np.hsplit(totals, len(sides)))
        return first - second[0] if second else first

    of_runs = predictions[predictions["run_id"].isin(runs)]
    for (set_name, split), rows in of_runs.groupby(["set_name", "split"]):
        terms, groups = _item_terms({run: rows[rows["run_id"] == run] for run in runs}, labels)
        if groups.empty:
            continue
        sums = [sum_by_group(part, groups) for part in terms]
        n_seeds = len(sides[0])
        seeds = [np.hstack(sums[k::n_seeds]) for k in range(n_seeds)]
        found = mean_over_seeds(seeds, scores, statistics=statistics)
        yield metrics.score_rows(found, labels, statistics).assign(
            spread=found.spread, set_name=set_name, split=split, n=len(groups), n_seeds=n_seeds
        )


def _item_terms(
    sides: Mapping[str, pd.DataFrame], labels: Sequence[str]
) -> tuple[list[np.ndarray], pd.Series]:
    """Compute the terms of each side, all of the same items; and give the groups of the items."""
    first, *others = sides
    known = {
        name: metrics.labelled(rows, labels).sort_values("item_id") for name, rows in sides.items()
    }
    for name in others:
        if known[name]["item_id"].tolist() != known[first]["item_id"].tolist():
            raise ValueError(
                f"{name} has not seen the same items as {first}: predict one split of each set "
                "with every run"
            )
    terms = [metrics.item_terms(rows, labels) for rows in known.values()]
    return terms, known[first]["group_id"]


def _stacked(name: str, parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Put the parts of a table below each other; without any, a table of no rows."""
    filled = [part for part in parts if len(part)]
    if filled:
        return pd.concat(filled, ignore_index=True)
    return tables.empty(name).assign(n_seeds=0, spread=0.0)


def train_test_matrix(
    study: Study, scores: pd.DataFrame, of_variants: pd.DataFrame
) -> pd.DataFrame:
    """Order scores as a matrix of what was trained and what it was tested on.

    `scores` is the table "metrics" of runs, ensembles and guests, `of_variants` is what
    `score_variants` gives. Returns the table "metrics" with the seeds of a variant as one row;
    ensembles first, then runs, then guests; and `own`, whether the model learned from other faces
    of the set that it is tested on.
    """
    variant_of = {run: name for name, runs in study.variants.items() for run in runs}
    rows = [*study.ensembles, *(variant_of.get(run, run) for run in study.runs), *study.guests]
    place = {name: k for k, name in enumerate(dict.fromkeys(rows))}
    whole = _stacked("metrics", [scores[~scores["run_id"].isin(variant_of)], of_variants])
    whole = whole.sort_values("run_id", key=lambda column: column.map(place), kind="stable")
    learned = {name: study.learned_from(name) for name in whole["run_id"].unique()}
    # parts of a set are named by it: "fer2013 without duplicates"
    own = [
        any(set_name == known or set_name.startswith(f"{known} ") for known in learned[run])
        for run, set_name in zip(whole["run_id"], whole["set_name"], strict=True)
    ]
    return whole.assign(own=own).reset_index(drop=True)


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
    design, parts = study.factorial, []
    assert design is not None
    validation = known[known["split"] == "val"]
    for crop, runs in zip(FACTORS["crop"], (design.as_shipped, design.recropped), strict=True):
        for (replicate, run), colour in product(enumerate(runs), FACTORS["colour"]):
            raw = shown[colour][shown[colour]["run_id"] == run]
            of_sets = validation["set_name"].isin(study.runs[run].sets)
            unseen = validation[of_sets & (validation["run_id"] == run)]
            corrected = [
                calibration.adapt_to_shift(rows, unseen) for _, rows in raw.groupby("set_name")
            ]
            for level, table in zip(
                FACTORS["calibration"], (raw, pd.concat(corrected)), strict=True
            ):
                cell = {"crop": crop, "colour": colour, "calibration": level}
                parts.append(table.assign(**cell, replicate=replicate))
    whole = pd.concat(parts, ignore_index=True)
    n_faces = whole.groupby(["set_name", "label"])["item_id"].transform("nunique")
    return whole[n_faces >= design.least_faces].reset_index(drop=True)


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
        From `factorial_cells`; a `ValueError` is raised if a cell lacks an item of another one.
    labels, statistics
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "factorial". Each estimate stands twice: with the interval of other groups (`over`
        "groups": persons, films), and with that of other faces of the same groups ("faces"), which
        says nothing of other persons and is undefined where many of them have few faces. Both cover
        the replicates (`mean_over_seeds`), and take the estimated shares of labels as given.
    """
    effects, estimated = _contrasts(), []
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
        by_side = dict(list(rows.groupby([*FACTORS, "replicate"])))
        sides = {
            f"{', '.join(cell)}, replicate {k}": by_side[(*cell, k)]
            for k, cell in product(sorted(rows["replicate"].unique()), CELLS)
        }
        terms, groups = _item_terms(sides, labels)
        # the cells of a replicate side by side
        terms = [np.hstack(terms[k : k + len(CELLS)]) for k in range(0, len(terms), len(CELLS))]
        sums = [sum_by_group(part, groups) for part in terms]
        for over, parts, strata in (("groups", sums, None), ("faces", terms, _strata(groups))):
            found = mean_over_seeds(parts, cells_and_effects, statistics=statistics, strata=strata)
            estimated.append(
                names.assign(
                    **found.columns(),
                    spread=found.spread,
                    set_name=set_name,
                    over=over,
                    level=statistics.level,
                    n=len(groups),
                    n_groups=groups.nunique(),
                    n_seeds=len(terms),
                )
            )
    whole = _stacked("factorial", estimated)
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
    `known` is as for `factorial_cells`, and of each set of its `cells` the labels that it holds are
    scored. Returns the table "factorial", a row of kind "home" for each set and measure.
    """
    of_runs = cells[cells["crop"] == FACTORS["crop"][0]].drop_duplicates("replicate")
    runs, scored = of_runs.sort_values("replicate")["run_id"].tolist(), []
    sets = {name for run in runs for name in study.runs[run].sets}
    of_sets = known[(known["split"] == "test") & known["set_name"].isin(sets)]
    for set_name, rows in cells.groupby("set_name"):
        # one set, though the runs may have learned from several
        shown = of_sets[of_sets["label"].isin(rows["label"])].assign(set_name=set_name)
        found = score_variants(shown, {HOME: runs}, labels=labels, statistics=statistics)
        scored.append(found[found["metric"].isin(MEASURES)].rename(columns={"run_id": "term"}))
    whole = _stacked("factorial", scored).assign(
        kind="home", over="groups", **dict.fromkeys(FACTORS)
    )
    return tables.check(whole[list(tables.TABLES["factorial"].columns)], "factorial")


def _strata(groups: pd.Series) -> pd.Series:
    """Name the faces that are drawn among each other: a group's; few ones with the largest."""
    few = groups.map(groups.value_counts()) < FEW_FACES
    if few.mean() > MAX_SHARE:  # each face alone, which has no interval
        return pd.Series(range(len(groups)))
    return groups.mask(few, groups.mode()[0])


def _contrasts() -> dict[str, np.ndarray]:
    """Give the weights of the cells in each effect."""
    half, signs = len(CELLS) / 2, np.array(list(product([-1, 1], repeat=len(FACTORS)))).T
    undone = dict(zip(FACTORS, signs, strict=True))
    main = {name: sign / half for name, sign in undone.items()}
    pairs = {
        f"{one} x {other}": undone[one] * undone[other] * 2 / half
        for one, other in combinations(FACTORS, 2)
    }
    return main | pairs | {ALL_UNDONE: np.eye(len(CELLS))[-1] - np.eye(len(CELLS))[0]}
