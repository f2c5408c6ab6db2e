"""Do the "ecological" criteria of a film set measure accuracy? Asked over models, with the truth.

Each criterion is computed for each model on the same films, beside its accuracy on the film faces
whose truth is known; the question is whether their ranks agree.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import films as film_measures
from exe_core import metrics, resampling, schema
from exe_core.claims import Estimate, Finding
from exe_core.config import Study
from exe_core.footage import temporal, timelines
from exe_core.settings import Statistics

MIN_MODELS = 4
"""Fewer have no interval: its width goes with 1 / sqrt(n - 3)."""

MANY_MODELS = 24
"""Below this a correlation over models is only a first look, and says so."""
FEW = Statistics(n_bootstrap=50, n_permutations=50)
"""The least there can be: where a measure is wanted, and neither its interval nor its p."""

CRITERIA = {
    "diversity": ("more varied answers", "mean normalised entropy of a film's shares"),
    "genre": ("more difference between genres", "R2 between genres"),
    "temporal": ("more structure in time", "mean lag-1 autocorrelation"),
    "events": ("more rise at plot events", "mean rise at plot events"),
}
"""The "ecological" criteria: name -> what a model has more of, what is computed for it."""


DIVERSITY = "diversity (normalised entropy)"
SEPARATION = "genre separation (epsilon squared)"
LIKENESS = "lag-1 autocorrelation"
CHANGE = "variance explained by one change"
RISE = "rise at plot events"
CONTRASTED, NEGATIVE = ("comedy", "crime"), ("angry", "fear", "sad")
"""What `describe` gives: the names of its criteria, and its planned contrasts."""


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
    few: dict[str, Any] = {"statistics": FEW, "seed": study.seed}
    separation = film_measures.genre_separation(summary, films, **few)
    autocorrelation = temporal.autocorrelation(rows, **few)
    rises = timelines.events_combined(rows, events, window_s=study.films.event_window_s, **few)
    scores = metrics.score(runs, labels=study.labels, statistics=study.statistics, seed=study.seed)
    accuracy = scores[scores["metric"] == "balanced_accuracy"].set_index("run_id")
    table = accuracy[["value", "low", "high"]].rename(columns={"value": "balanced_accuracy"})
    return table.assign(
        diversity=film_measures.diversity(summary).groupby("run_id")["entropy"].mean(),
        genre=separation.set_index("run_id")["r2"],
        temporal=autocorrelation.groupby("run_id")["autocorrelation"].mean(),
        events=rises.set_index("run_id")["difference"],
    ).reset_index()


def describe(
    study: Study,
    predictions: pd.DataFrame,
    *,
    frames: pd.DataFrame,
    films: pd.DataFrame,
    events: pd.DataFrame,
) -> pd.DataFrame:
    """Test each criterion for each run, by itself: none of them needs the truth.

    Parameters
    ----------
    predictions
        Table "predictions" of film faces, also of ensembles.
    frames, films, events
        Tables of those names; criteria of genres and events need films that have them.

    Returns
    -------
    pd.DataFrame
        Table "film_criteria": each with its interval over films, and its p and mean under its null
        where it has one.
    """
    rows = timelines.timeline(frames, predictions, labels=study.labels)
    summary = film_measures.summarise(frames, predictions, labels=study.labels)
    chance: dict[str, Any] = {"statistics": study.statistics, "seed": study.seed}
    parts = [
        _diversity(summary, study),
        *_genres(summary, films, study),
        temporal.autocorrelation_combined(rows, **chance).assign(criterion=LIKENESS),
        temporal.change_combined(rows, **chance).assign(criterion=CHANGE),
        timelines.events_combined(
            rows, events, window_s=study.films.event_window_s, **chance
        ).assign(criterion=RISE, null_mean=0.0),
    ]
    named = dict.fromkeys(("difference", "autocorrelation", "explained"), "value")
    tested = [part.rename(columns=named) for part in parts if len(part)]
    if not tested:
        return schema.empty("film_criteria")
    table = pd.concat(tested, ignore_index=True)
    order = list(dict.fromkeys(predictions["run_id"]))
    table = table.sort_values("run_id", key=lambda runs: runs.map(order.index), kind="stable")
    columns = [*schema.TABLES["film_criteria"].columns]
    return schema.check(
        table.assign(level=study.statistics.level)[columns].reset_index(drop=True), "film_criteria"
    )


def _diversity(summary: pd.DataFrame, study: Study) -> pd.DataFrame:
    found = []
    entropy = film_measures.diversity(summary).dropna(subset="entropy")
    for run_id, own in entropy.groupby("run_id"):
        interval = resampling.bootstrap(
            np.column_stack([own["entropy"], np.ones(len(own))]),
            lambda sums: sums[:, 0] / sums[:, 1],
            n=study.statistics.n_bootstrap,
            level=study.statistics.level,
            rng=np.random.default_rng(study.seed),
        )
        found.append({"run_id": run_id, **interval._asdict(), "n_films": len(own)})
    no_null = {"null_mean": math.nan, "p_value": math.nan}
    return pd.DataFrame(found).assign(criterion=DIVERSITY, **no_null)


def _genres(summary: pd.DataFrame, films: pd.DataFrame, study: Study) -> list[pd.DataFrame]:
    """Separate all genres, and contrast the two that are planned, where films have them."""
    if films["genre"].nunique() < 2:
        return []
    chance: dict[str, Any] = {"statistics": study.statistics, "seed": study.seed}
    separation = film_measures.genre_separation(summary, films, **chance)
    free = (separation["n_films"] - 1) / (separation["n_films"] - separation["n_genres"])
    found = [
        separation.assign(
            criterion=SEPARATION,
            value=separation["epsilon2"],
            null_mean=1 - (1 - separation["null_mean"]) * free,
        )
    ]
    if set(CONTRASTED) <= set(films["genre"]):
        contrasts = film_measures.genre_contrast(
            summary,
            films,
            genres=CONTRASTED,
            labels={"happy": ["happy"], "negative": [x for x in NEGATIVE if x in study.labels]},
            **chance,
        )
        between = f"{CONTRASTED[0]} minus {CONTRASTED[1]}"
        named = [f"share of {name}, {between}" for name in contrasts["contrast"]]
        found.append(contrasts.assign(criterion=named, null_mean=0.0))
    return found


def findings(study: Study, measured: pd.DataFrame) -> list[Finding]:
    """Correlate each criterion with accuracy over models.

    Parameters
    ----------
    measured
        As given by `measure`.
    """
    found = []
    for name, (more, what) in CRITERIA.items():
        correlation, n = _rank_correlation(study, measured, name)
        reason = f"over {n} models only: a first look" if n < MANY_MODELS else None
        if math.isnan(correlation.value):
            reason = f"{n} models have both; {MIN_MODELS} or more that differ are needed"
        found.append(
            Finding(
                f"q3-{name}",
                f"Models with {more} read films more accurately.",
                f"Spearman correlation over models of {what} with balanced accuracy",
                found=correlation,
                reason=reason,
            )
        )
    return found


def among_the_better(study: Study, measured: pd.DataFrame) -> dict[str, object]:
    """Correlate anew over the better half of the models: poor ones are easily told from good ones.

    Returns
    -------
    dict
        n_models, n_better, and for each criterion its correlation (value, low, high) over these.
    """
    better = measured.nlargest(len(measured) // 2, "balanced_accuracy")
    values: dict[str, object] = {"n_models": len(measured), "n_better": len(better)}
    for name in CRITERIA:
        correlation, _ = _rank_correlation(study, better, name)
        value, low, high, _ = correlation
        values[f"better.{name}"] = {"value": value, "low": low, "high": high}
    return values


def _rank_correlation(study: Study, measured: pd.DataFrame, name: str) -> tuple[Estimate, int]:
    """Correlate the ranks of a criterion and of accuracy, over so many models.

    The interval is that of Bonett & Wright (2000), the p by permutation; NaN where models are too
    few, or equal.
    """
    pairs = measured[[name, "balanced_accuracy"]].dropna()
    n, level = len(pairs), study.statistics.level
    if n < MIN_MODELS or pairs.nunique().min() == 1:
        return Estimate(), n
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
    return Estimate(test.value, low, high, test.p_value), n
