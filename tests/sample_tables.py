"""Small tables as the stages write them, made from a seed, for the tests of figures and book."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd

from exe_core import published, tables
from exe_core.labels import FIVE
from exe_core.resampling import Estimate, Statistics

RUNS = ("pexels-v1", "pexels-v2", "pixabay-v1", "pixabay-v2", "exe", "fer2013", "rafdb")
GENRES = ("comedy", "crime", "drama", "family")


def films(n: int = 12) -> pd.DataFrame:
    long = ["The Long Film Number" if k % 5 == 0 else "Film" for k in range(n)]
    rows = pd.DataFrame({"film_id": [f"film{k:02d}" for k in range(n)]}).assign(
        title=[f"{name} {k}" for k, name in enumerate(long)],
        genre=[GENRES[k % len(GENRES)] for k in range(n)],
        duration_s=180.0,
        fps=24.0,
        n_frames=4320,
        path=None,
        status="ok",
        error=None,
    )
    return tables.check(rows, "films")


def film_summary(n: int = 12, runs: tuple[str, ...] = RUNS, *, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for film, run in product(films(n)["film_id"], runs):
        shares = rng.dirichlet(np.ones(len(FIVE)))
        rows += [(film, run, label, share) for label, share in zip(FIVE, shares, strict=True)]
    table = pd.DataFrame(rows, columns=["film_id", "run_id", "label", "share_of_faces"])
    table = table.assign(n_frames=43, n_faces=38, coverage=38 / 43)
    share = table["share_of_faces"]
    bounds = {"share_low": share * 38 / 43, "share_high": (share * 38 + 5) / 43}
    return tables.check(table.assign(mean_prob=share, **bounds), "film_summary")


def film_course(n: int = 44) -> pd.DataFrame:
    """Make a course of a film: waves, a stretch without faces, bands around them."""
    times_s = np.linspace(0, 180, n)
    rows = []
    for measure in ("probability", "share"):
        for k, label in enumerate(FIVE):
            value = 0.2 + 0.15 * np.sin(times_s / 30 + k)
            value[n // 2 : n // 2 + 3] = np.nan
            band = {"value": value, "low": value - 0.1, "high": value + 0.1}
            rows.append(
                pd.DataFrame({"measure": measure, "label": label, "time_s": times_s, **band})
            )
    return pd.concat(rows, ignore_index=True)


def events() -> pd.DataFrame:
    rows = [
        ("film00", 36.0, "the threat", "fear"),
        ("film00", 80.0, "a reunion", "happy"),
        ("film00", 110.0, "the loss", "sad"),
        ("film00", 150.0, "the turn", "surprise"),
    ]
    return tables.check(
        pd.DataFrame(rows, columns=["film_id", "time_s", "event", "label"]), "events"
    )


def metrics(sets: tuple[str, ...] = ("films",), *, seed: int = 3) -> pd.DataFrame:
    overall = [(name, None) for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece")]
    measures = [*overall, *(("recall", label) for label in FIVE)]
    rows = [(run, name, *one) for run, name, one in product(RUNS, sets, measures)]
    value = np.random.default_rng(seed).uniform(0.2, 0.9, len(rows))
    table = pd.DataFrame(rows, columns=["run_id", "set_name", "metric", "label"]).assign(
        split="test", value=value, low=value - 0.06, high=value + 0.05,
        level=0.95, method="bootstrap", n=412, n_groups=12, seed=42,
    )  # fmt: skip
    return tables.check(table, "metrics")


def estimates(**columns: tuple) -> pd.DataFrame:
    """Make an estimate with its interval for every combination of the values of columns."""
    table = pd.DataFrame(product(*columns.values()), columns=list(columns))
    value = np.linspace(0.2, 0.7, len(table))
    return table.assign(value=value, low=value - 0.05, high=value + 0.05, n=40)


CLAIMED = {
    "c1": (0.10, 0.20, 0.300),
    "c2": (0.40, 0.07, 0.001),
    "c3": (0.54, 0.13, 0.600),
    "c4": (0.52, 0.13, 0.800),
    "c5": (0.05, 0.10, 0.500),
    "c6": (-0.12, 0.07, 0.010),
    "c7": (0.15, 0.20, 0.100),
}
"""Published claim -> an estimate, half the width of its interval, its p-value."""


def claims() -> pd.DataFrame:
    found = {
        name: Estimate(value, value - half, value + half, 59, p_value=p)
        for name, (value, half, p) in CLAIMED.items()
    }
    return published.judge_claims(found, films_of=films(), statistics=Statistics())[0]


def ways() -> pd.DataFrame:
    """Make all ways to count: as planned, but claim 4 by mean probability in some films."""
    judged, rows = claims().set_index("claim_id"), []
    choices = list(published.OPEN_CHOICES)
    for claim, level, *chosen in product(
        list(CLAIMED)[:5], published.LEVELS, *published.OPEN_CHOICES.values()
    ):
        row = {"claim_id": claim, **dict(zip(choices, chosen, strict=True)), "level": level}
        usual = "mean probability" if claim == "c5" else "share of faces"
        row["planned"] = (level, *chosen) == (0.95, 0.0, usual, "all", 10)
        (value, half, p), about = CLAIMED[claim], judged.loc[claim]
        row |= about[["reference", "tolerance", "verdict"]].to_dict() | {"p_value": p}
        if claim == "c4" and chosen[1:3] == ["mean probability", "without Animation"]:
            value, row["verdict"] = 0.65, "not supported"
        row["films"] = None if claim in ("c1", "c5") else row["films"]
        row["window_min"] = row["window_min"] if claim == "c5" else None
        rows.append({**row, "value": value, "low": value - half, "high": value + half})
    keys = ["claim_id", "level", *choices]
    return pd.DataFrame(rows).sort_values("planned").drop_duplicates(keys, keep="last")
