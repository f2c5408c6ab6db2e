"""Scores of predictions, with intervals over groups; and paired comparisons of runs.

Every score here is a function of sums over items (confusion counts, losses, confidence bins), so
one bootstrap of group sums gives the intervals of all of them at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import ndtri

from exe_core import resampling, tables
from exe_core.labels import prob_columns
from exe_core.resampling import Estimate, Statistics

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "nll", "brier", "ece")
"""Scores of a run; those of `BY_LABEL` come on top, for each label.

balanced_accuracy
    Mean recall of the labels that occur.
macro_f1
    Mean F1 of the labels that occur or are predicted.
nll
    Mean negative log-likelihood of the label, in nats.
brier
    Mean squared error summed over the classes, 0 to 2 (Brier 1950).
ece
    Expected calibration error of the predicted class, in `N_BINS` bins of equal width
    (Naeini et al. 2015).
"""

BY_LABEL = ("recall", "precision", "f1")  # scores of a label against the others
N_BINS = 15


def score(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
    ordered: bool = False,
) -> pd.DataFrame:
    """Score each run on each set and split.

    Parameters
    ----------
    predictions
        Table "predictions". Rows whose label is null or not one of `labels` are left out.
    labels
        The classes of the runs.
    statistics
        How intervals are made, over `group_id`; each run starts from the seed, so no result
        depends on its neighbours.
    ordered
        Whether the labels are levels, in their order: then quadratic_kappa comes on top, agreement
        beyond chance, an error weighing the square of its distance (Cohen 1968).

    Returns
    -------
    pd.DataFrame
        Table "metrics", and `n_excluded`: rows left out. `SCORES` have a null label, those of
        `BY_LABEL` one row a label. What is undefined is NaN.
    """

    def statistic(totals: np.ndarray) -> np.ndarray:
        kappa = [quadratic_kappa(totals, len(labels))] if ordered else []
        return np.column_stack([scores_of(totals, len(labels)), *kappa])

    scored = []
    for keys, rows in predictions.groupby(["run_id", "set_name", "split"]):
        known = labelled(rows, labels)
        sums = resampling.sum_by_group(item_terms(known, labels), known["group_id"])
        found = statistics.interval(sums, statistic)
        counts = {"n": len(known), "n_groups": found.n, "n_excluded": len(rows) - len(known)}
        how = {"level": statistics.level, "method": found.method, "seed": statistics.seed}
        table = by_name(found, labels).assign(**counts, **how)
        table[["run_id", "set_name", "split"]] = keys
        scored.append(table)
    return tables.check(pd.concat(scored, ignore_index=True), "metrics")


def by_name(found: Estimate, labels: Sequence[str]) -> pd.DataFrame:
    """Name the estimates of `scores_of`, and of `quadratic_kappa` if it comes last.

    Gives metric, label, value, low, high.
    """
    metric = [*SCORES, *np.repeat(BY_LABEL, len(labels)), "quadratic_kappa"]
    label = [*[None] * len(SCORES), *[*labels] * len(BY_LABEL), None]
    n = np.size(found.value)
    return pd.DataFrame({"metric": metric[:n], "label": label[:n], **found.columns()})


def compare(
    first: pd.DataFrame,
    others: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Compare one run with others on the items that both have seen.

    Intervals are bootstrapped over groups; p-values come from swapping the two runs within random
    groups, and are Holm-adjusted over the others of a set and metric.

    Takes tables "predictions" of one run, and of one or more others; one split a set. Gives table
    "comparisons", a row for each other run, set and metric of `SCORES`: first minus other. For nll,
    brier and ece less is better.
    """
    scored = []
    for (other_id, set_name), theirs in others.groupby(["run_id", "set_name"]):
        of_set = first[first["set_name"] == set_name]
        both = [labelled(side, labels).set_index("item_id") for side in (of_set, theirs)]
        common = both[0].index.intersection(both[1].index, sort=True)
        ours, theirs = (side.loc[common] for side in both)
        first_sums, other_sums = (
            resampling.sum_by_group(item_terms(x, labels), ours["group_id"]) for x in (ours, theirs)
        )
        found = statistics.difference(
            first_sums, other_sums, lambda totals: scores_of(totals, len(labels))
        )
        table = pd.DataFrame({**found.columns(), "p_value": found.p_value})[: len(SCORES)]
        about = {"metric": SCORES, "other_run_id": other_id, "set_name": set_name, "n": len(ours)}
        table = table.rename(columns={"value": "difference"})
        scored.append(table.assign(**about, n_groups=found.n))
    if not scored:
        return tables.empty("comparisons")
    whole = pd.concat(scored, ignore_index=True).assign(
        run_id=first["run_id"].iloc[0], level=statistics.level
    )
    families = whole.groupby(["set_name", "metric"])["p_value"]
    return tables.check(whole.assign(p_adjusted=families.transform(resampling.holm)), "comparisons")


def confusion(predictions: pd.DataFrame, *, labels: Sequence[str]) -> pd.DataFrame:
    """Count predicted labels by true label, run and set: table "confusion" with every pair."""
    pairs = pd.MultiIndex.from_product([labels, labels], names=["label", "predicted"])
    scored = []
    for keys, rows in predictions.groupby(["run_id", "set_name"]):
        counts = labelled(rows, labels).groupby(["label", "predicted"]).size()
        table = counts.reindex(pairs, fill_value=0).rename("n").reset_index()
        of_label = table.groupby("label")["n"].transform("sum")
        table["share_of_label"] = table["n"] / of_label.where(of_label > 0)
        table[["run_id", "set_name"]] = keys
        scored.append(table)
    return tables.check(pd.concat(scored, ignore_index=True), "confusion")


def labelled(predictions: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Keep the rows whose label is one of `labels`."""
    return predictions[predictions["label"].isin(labels)]


def with_truth(predictions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Replace each label by what the item shows; null between two expressions, as a mixture."""
    shown = truth.drop_duplicates("item_id").set_index("item_id")
    label = shown["label_true"].mask(shown["is_blend"])
    return predictions.assign(label=predictions["item_id"].map(label))


def item_terms(rows: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Per-item terms whose sums give the scores: confusion cell, nll, brier, confidence bin.

    Each item has a 1 in one of the C x C cells (label, predicted), its two losses, and in its
    bin of confidence a count, its confidence, and whether it is right.

    Takes rows of a table "predictions", each labelled as one of `labels`. Gives
    (n, C x C + 2 + 3 `N_BINS`); sums of its rows are what `scores_of` takes.
    """
    n, n_labels = len(rows), len(labels)
    probs = rows[prob_columns(labels)].to_numpy(dtype=float)
    label, predicted = (pd.Index(labels).get_indexer(rows[x]) for x in ("label", "predicted"))
    if (predicted < 0).any():
        raise ValueError(f"answers other than {', '.join(labels)}: restrict the run to these")
    item = np.arange(n)
    cells = np.zeros((n, n_labels**2))
    cells[item, label * n_labels + predicted] = 1
    tiny = np.finfo(float).eps  # as scikit-learn clips: a certain mistake costs 36 nats
    nll = -np.log(np.clip(probs[item, label], tiny, 1))
    brier = ((probs - np.eye(n_labels)[label]) ** 2).sum(axis=1)
    confidence = probs[item, predicted]
    bins = np.zeros((n, 3, N_BINS))
    index = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    bins[item, :, index] = np.column_stack([np.ones(n), confidence, label == predicted])
    return np.hstack([cells, nll[:, None], brier[:, None], bins.reshape(n, 3 * N_BINS)])


def scores_of(totals: np.ndarray, n_labels: int) -> np.ndarray:
    """Compute `SCORES` and those of `BY_LABEL` (n, 6 + 3 C) from sums of `item_terms` (n, k)."""
    cells, (nll, brier), bins = (
        totals[:, : n_labels**2].reshape(-1, n_labels, n_labels),
        totals[:, n_labels**2 : n_labels**2 + 2].T,
        totals[:, -3 * N_BINS :].reshape(-1, 3, N_BINS),
    )
    right, mean = np.diagonal(cells, axis1=1, axis2=2), resampling.mean_of_known
    labelled, predicted = cells.sum(axis=2), cells.sum(axis=1)
    n = labelled.sum(axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is undefined, and NaN says so
        recall, precision = right / labelled, right / predicted
        f1 = 2 * right / (labelled + predicted)
        ece = np.abs(bins[:, 1] - bins[:, 2]).sum(axis=1) / n
        scores = [right.sum(axis=1) / n, mean(recall), mean(f1), nll / n, brier / n, ece]
    return np.column_stack([*scores, recall, precision, f1])


def quadratic_kappa(totals: np.ndarray, n_labels: int) -> np.ndarray:
    """Compute the quadratic kappa (n,) of ordered labels from sums of `item_terms` (n, k)."""
    cells = totals[:, : n_labels**2].reshape(-1, n_labels, n_labels)
    distance = np.subtract.outer(np.arange(n_labels), np.arange(n_labels)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):  # where there is one level only
        true, predicted = cells.sum(axis=2), cells.sum(axis=1)
        by_chance = np.einsum("ni,ij,nj->n", true, distance, predicted) / cells.sum(axis=(1, 2))
        kappa = 1 - (cells * distance).sum(axis=(1, 2)) / by_chance
    return np.where(np.isfinite(kappa), kappa, np.nan)


def rank_correlation(x: pd.Series, y: pd.Series, *, statistics: Statistics) -> Estimate:
    """Correlate ranks (Spearman), such as those of a criterion and of accuracy over models.

    The interval is that of Bonett & Wright (2000), p is by permutation; NaN where pairs are fewer
    than 4, or equal.
    """
    pairs = pd.DataFrame({"x": x, "y": y}).dropna()
    n = len(pairs)
    if n < 4 or pairs.nunique().min() == 1:
        return Estimate(n=n)
    first, second = pairs.rank().to_numpy().T
    test = statistics.permutation_test(first, lambda ranks: float(np.corrcoef(ranks, second)[0, 1]))
    # half a step below perfect agreement of n ranks: at 1 itself the interval would have no width
    most = 1 - 6 / (n**3 - n)
    r = float(np.clip(test.value, -most, most))
    margin = ndtri((1 + statistics.level) / 2) * math.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = (math.tanh(math.atanh(r) + side) for side in (-margin, margin))
    return Estimate(test.value, low, high, n, "Bonett & Wright 2000", test.p_value)
