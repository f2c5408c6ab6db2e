"""Shares over films, a run and label at a time: slow, and what all at once must equal."""

from __future__ import annotations

import numpy as np
import pandas as pd

from exe_core import films
from exe_core.resampling import Statistics


def one_by_one(summary: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
    """Average shares a run and label at a time, as `films.overall` does all at once."""
    found = []
    for (run_id, label), own in films.coverage(summary).groupby(["run_id", "label"], sort=False):
        share = own["share_of_faces"].dropna()
        interval = statistics.interval(
            np.column_stack([share, np.ones(len(share))]),
            lambda sums: sums[:, 0] / sums[:, 1],
        )
        bounds = own[["share_low", "share_high", "coverage"]].mean().to_dict()
        found.append({"run_id": run_id, "label": label, **interval.columns(), **bounds})
    return pd.DataFrame(found)
