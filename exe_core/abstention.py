"""What a run gains by not answering: its risk among the answers that it is surest of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.settings import Statistics

COVERAGES = np.arange(1, 21) / 20
"""Shares of the items that are answered."""


def risk_coverage(
    predictions: pd.DataFrame, *, labels: Sequence[str], statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Trace the share of wrong answers as the least sure ones are withheld.

    The threshold of confidence that answers a share of the items is fixed on all of them; the
    interval is that of the risk at this threshold (El-Yaniv and Wiener 2010 name the curve).

    Parameters
    ----------
    predictions, labels, statistics, seed
        As for `metrics.score`.

    Returns
    -------
    pd.DataFrame
        Table "risk_coverage", a row for each of `COVERAGES`. Items of equal confidence are
        answered together, so `coverage` may lie above the share that was asked for, and shares
        that end at one threshold are one row.
    """
    tables = []
    for (run_id, set_name), rows in predictions.groupby(["run_id", "set_name"]):
        known = rows[rows["label"].isin(labels)]
        if known.empty:
            continue
        confidence = known[schema.prob_columns(labels)].max(axis=1).to_numpy()
        wrong = (known["predicted"] != known["label"]).to_numpy()
        threshold = np.unique(_thresholds(confidence))[::-1]
        answered = confidence[:, None] >= threshold
        terms = np.hstack([answered, answered & wrong[:, None]]).astype(float)
        found = resampling.bootstrap(
            resampling.sum_by_group(terms, known["group_id"]),
            _risk,
            n=statistics.n_bootstrap,
            level=statistics.level,
            rng=np.random.default_rng(seed),
        )
        table = pd.DataFrame({"risk": found.value, "low": found.low, "high": found.high})
        tables.append(
            table.assign(
                run_id=run_id,
                set_name=set_name,
                coverage=answered.mean(axis=0),
                threshold=threshold,
                n=answered.sum(axis=0),
                level=statistics.level,
            )
        )
    whole = pd.concat(tables, ignore_index=True) if tables else schema.empty("risk_coverage")
    return schema.check(whole, "risk_coverage")


def _thresholds(confidence: np.ndarray) -> np.ndarray:
    """Find the confidence that the surest share of the items reach, for each of `COVERAGES`."""
    surest = np.sort(confidence)[::-1]
    return surest[np.ceil(COVERAGES * len(surest)).astype(int) - 1]


def _risk(totals: np.ndarray) -> np.ndarray:
    answered, wrong = np.hsplit(totals, 2)
    with np.errstate(invalid="ignore"):  # no answer at all: the risk is undefined
        return wrong / answered
