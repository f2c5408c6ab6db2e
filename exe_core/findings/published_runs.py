"""One keyword or several, by the recalls that were published for each search.

The predictions of films hold the ensemble only. What was published of its members is the recall
of each emotion, measured on the fifth of the faces that was held out of each search's own.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from exe_core.claims import Estimate
from exe_core.config import ROOT

TABLE = ROOT / "data" / "frozen" / "published" / "runs.csv"
SOURCE = "published, recalls of the four searches"

HELD_OUT = 0.2
"""The published split: every fifth face."""

COLUMNS = ("source", "design", "label", "n_faces", "recall")


def recall_gain(runs: pd.DataFrame, source: str, *, level: float) -> Estimate:
    """Compare the mean recall of several keywords with that of one.

    Each face counts as independent, which those of one photo are not: the interval is at its
    narrowest. The null hypothesis is that the two mean recalls are one; the normal law stands
    for the binomial of each recall, eased for small numbers (Agresti & Caffo 2000).

    Parameters
    ----------
    runs
        source, design (v1 one keyword, v2 several), label, n_faces (a label of all that were
        found) and recall.
    source
        "pexels" or "pixabay".

    Returns
    -------
    Estimate
        v2 minus v1; undefined if a design is missing.
    """
    absent = [name for name in COLUMNS if name not in runs]
    if absent:
        raise ValueError(f"runs lack the columns {', '.join(absent)}")
    sides = []
    for design in ("v2", "v1"):
        rows = runs[(runs["source"] == source) & (runs["design"] == design)]
        if rows.empty:
            return Estimate()
        recall = rows["recall"].to_numpy()
        # one face right and one wrong are added, so that 0 and 1 have a variance, too
        n = np.floor(HELD_OUT * rows["n_faces"].to_numpy())
        eased = (recall * n + 1) / (n + 2)
        variance = float((eased * (1 - eased) / (n + 2)).sum()) / len(rows) ** 2
        sides.append((float(recall.mean()), variance))
    gain = sides[0][0] - sides[1][0]
    error = math.sqrt(sides[0][1] + sides[1][1])
    margin = stats.norm.ppf((1 + level) / 2) * error
    return Estimate(gain, gain - margin, gain + margin, 2 * float(stats.norm.sf(abs(gain) / error)))


def smallest_gain(runs: pd.DataFrame, *, level: float) -> Estimate:
    """Take the source that gains least: several keywords are better on both only if it gains.

    Interval and p-value allow for the choice among the sources (Bonferroni).

    Parameters
    ----------
    runs, level
        As for `recall_gain`.

    Returns
    -------
    Estimate
        Undefined if a source lacks a design.
    """
    sources = list(runs["source"].unique())
    stricter = 1 - (1 - level) / len(sources)
    gains = [recall_gain(runs, source, level=stricter) for source in sources]
    if any(math.isnan(gain.value) for gain in gains):
        return Estimate()
    least = min(gains)
    return least._replace(p_value=min(1.0, len(sources) * least.p_value))
