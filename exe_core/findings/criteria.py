"""Do the "ecological" criteria of a film set measure accuracy? Asked over models, with the truth.

Each criterion is computed for each model on the same films, beside its accuracy on the film faces
whose truth is known; the question is whether their ranks agree.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import films as film_measures
from exe_core import metrics, resampling
from exe_core.claims import Estimate, Finding
from exe_core.config import Study
from exe_core.footage import temporal, timelines

MIN_MODELS = 4
"""Fewer have no interval: its width goes with 1 / sqrt(n - 3)."""

MANY_MODELS = 24
"""Below this a correlation over models is only a first look, and says so."""

CRITERIA = {
    "diversity": ("more varied answers", "mean normalised entropy of a film's shares"),
    "genre": ("more difference between genres", "R2 between genres"),
    "temporal": ("more structure in time", "mean lag-1 autocorrelation"),
    "events": ("more rise at plot events", "mean rise at plot events"),
}
"""The "ecological" criteria: name -> what a model has more of, what is computed for it."""


def measure(
    study: Study,
    known: pd.DataFrame,
    *,
    frames: pd.DataFrame,
    films: pd.DataFrame,
    events: pd.DataFrame,
) -> pd.DataFrame:
    """Compute the criteria and the accuracy of each run.

    Parameters
    ----------
    known
        Table "predictions" of the film faces, with the truth as label. Ensembles are left out:
        they are made of the runs.
    frames, films, events
        Tables of those names.

    Returns
    -------
    pd.DataFrame
        A row a run: run_id, the names of `CRITERIA`, and balanced_accuracy with low and high.
    """
    runs = known[known["run_id"].isin(study.runs)]
    rows = timelines.timeline(frames, runs, labels=study.labels)
    summary = film_measures.summarise(frames, runs, labels=study.labels)
    few = {"n_permutations": 1, "seed": study.seed}  # the measure is wanted here, not its p
    level = study.statistics.level
    separation = film_measures.genre_separation(summary, films, level=level, **few)
    autocorrelation = temporal.autocorrelation(rows, **few)
    rises = timelines.events_combined(
        rows,
        events,
        window_s=study.films.event_window_s,
        level=level,
        n_bootstrap=2,
        **few,
    )
    scores = metrics.score(
        runs,
        labels=study.labels,
        level=level,
        n_bootstrap=study.statistics.n_bootstrap,
        seed=study.seed,
    )
    accuracy = scores[scores["metric"] == "balanced_accuracy"].set_index("run_id")
    table = accuracy[["value", "low", "high"]].rename(columns={"value": "balanced_accuracy"})
    return table.assign(
        diversity=film_measures.diversity(summary).groupby("run_id")["entropy"].mean(),
        genre=separation.set_index("run_id")["r2"],
        temporal=autocorrelation.groupby("run_id")["autocorrelation"].mean(),
        events=rises.set_index("run_id")["difference"],
    ).reset_index()


def findings(study: Study, measured: pd.DataFrame) -> list[Finding]:
    """Correlate each criterion with accuracy over models.

    Parameters
    ----------
    measured
        As given by `measure`.
    """
    found = []
    for name, (more, what) in CRITERIA.items():
        both = measured[[name, "balanced_accuracy"]].dropna()
        n = len(both)
        testable = n >= MIN_MODELS and both.nunique().min() > 1
        reason = f"over {n} models only: a first look" if n < MANY_MODELS else None
        if not testable:
            reason = f"{n} models have both; {MIN_MODELS} or more that differ are needed"
        found.append(
            Finding(
                f"q3-{name}",
                f"Models with {more} read films more accurately.",
                f"Spearman correlation over models of {what} with balanced accuracy",
                found=_rank_correlation(both, study) if testable else Estimate(),
                reason=reason,
            )
        )
    return found


def _rank_correlation(pairs: pd.DataFrame, study: Study) -> Estimate:
    """Correlate the ranks of two columns; interval of Bonett & Wright (2000), p by permutation."""
    n, level = len(pairs), study.statistics.level
    x, y = pairs.rank().to_numpy().T
    test = resampling.permutation_test(
        x,
        lambda ranks: float(np.corrcoef(ranks, y)[0, 1]),
        n=study.statistics.n_permutations,
        rng=np.random.default_rng(study.seed),
    )
    # half a step below perfect agreement of n ranks: at 1 itself the interval would have no width
    most = 1 - 6 / (n**3 - n)
    r = float(np.clip(test.value, -most, most))
    margin = stats.norm.ppf((1 + level) / 2) * math.sqrt((1 + r**2 / 2) / (n - 3))
    low, high = math.tanh(math.atanh(r) - margin), math.tanh(math.atanh(r) + margin)
    return Estimate(test.value, low, high, test.p_value)
