"""Q2: what undoing each fault of the published pipeline is worth, alone and with the others.

The published baselines learned from benchmark faces as they were shipped, were shown the colour of
films though they had learned from gray, and answered by the shares of the labels that they had
learned from. Each fault is a factor of two levels, the fault first; each network reads the same
faces in all eight cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from exe_core import calibration, metrics, resampling, schema, variants
from exe_core.config import Study
from exe_core.settings import Factorial, Statistics

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


def cells(study: Study, shown: Mapping[str, pd.DataFrame], *, known: pd.DataFrame) -> pd.DataFrame:
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
        calibration.adapt(rows, validation, method=method) for _, rows in read.groupby("set_name")
    )


def estimate(
    laid_out: pd.DataFrame, *, labels: Sequence[str], statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Score each cell, and estimate what each fault and each pair of them is worth.

    A main effect is the mean score with the fault undone minus that with it, over all cells. An
    interaction is what undoing one gains more where the other is undone, too: a difference of
    differences. `TOGETHER` is the last cell minus the first. All are means over the replicates.

    Parameters
    ----------
    laid_out
        As `cells` gives it.
    labels, statistics, seed
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "factorial". Each estimate stands twice: with the interval of other groups (`over`
        "groups": persons, films), and with that of other faces of the same groups ("faces"), which
        says nothing of other persons and is undefined where many of them have few faces. Both cover
        the replicates (`variants.over_seeds`), and take the estimated shares of labels as given.

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
            found = variants.over_seeds(
                [resampling.sum_by_group(part, groups) if by_group else part for part in terms],
                lambda totals: _cells_and_effects(totals, len(labels)),
                n=statistics.n_bootstrap,
                level=statistics.level,
                rng=np.random.default_rng(seed),
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
    whole[is_cell] = variants.within_range(whole[is_cell])
    return schema.check(whole, "factorial")


def at_home(
    study: Study,
    known: pd.DataFrame,
    laid_out: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Score the runs that learned from faces as shipped on test faces of the sets they know.

    What is left between this and the cells is a gap that undoing the faults does not close.

    Parameters
    ----------
    known
        As for `cells`.
    laid_out
        As `cells` gives it; of each of its sets, the labels that it holds are what is scored.
    labels, statistics, seed
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
        found = variants.score(
            shown,
            {HOME: design.as_shipped},
            labels=labels,
            statistics=statistics,
            seed=seed,
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
