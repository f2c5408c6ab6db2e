"""Trials of the tests themselves: films of chance, films with a known effect, and what is found.

Each trial makes up the films of one test. Under the null its p must be uniform; with an effect it
must be found, and the interval must cover the truth.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from sample_timelines import STEP_S, event_at, rows_of, smooth_noise
from scipy import stats

from exe_core import criteria, films
from exe_core.resampling import Statistics

N, LEVEL = 199, 0.95
"""Permutations and bootstrap samples of each try, and the level of its intervals."""

LABELS = ("angry", "happy", "sad")


class Found(NamedTuple):
    """What a test says of one set of films."""

    p_value: float = np.nan
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan


@dataclass(frozen=True)
class Trial:
    """A test, and how films are made up for it."""

    null: str
    effect: str
    try_once: Callable[[np.random.Generator, int, bool], Found]
    """Takes a generator, the seed of the test, and whether there is an effect."""
    truth: Callable[[], float] | None = None
    """What the interval should cover with the effect; by default the mean of the estimates."""
    has_p: bool = True
    """Whether there is a test to try under the null, or an interval only."""


def _found(row: pd.Series, value: str) -> Found:
    return Found(*(float(row.get(name, np.nan)) for name in ("p_value", value, "low", "high")))


def _shares(rng: np.random.Generator, n_each: int, *, apart: bool) -> np.ndarray:
    """Draw the shares of films of four genres, apart by one label each or not."""
    alphas = 4.0 + 4.0 * apart * np.eye(3)[np.arange(4) % 3]
    return np.concatenate([rng.dirichlet(alpha, n_each) for alpha in alphas])


def seeded(seed: int) -> Statistics:
    return Statistics(level=LEVEL, n_bootstrap=N, n_permutations=N, seed=seed)


def _summary(shares: np.ndarray) -> pd.DataFrame:
    film_ids = np.repeat([f"film{k:03d}" for k in range(len(shares))], len(LABELS))
    about = {"run_id": "run", "film_id": film_ids, "label": list(LABELS) * len(shares)}
    counts = {"n_frames": 100, "n_faces": 50}
    return pd.DataFrame({**about, **counts, "share_of_faces": shares.ravel()})


def _genres(names: list[str]) -> pd.DataFrame:
    return pd.DataFrame({"film_id": [f"film{k:03d}" for k in range(len(names))], "genre": names})


def separation(rng, seed, effect):
    table = _genres([name for name in "abcd" for _ in range(8)])
    found = films.genre_separation(
        _summary(_shares(rng, 8, apart=effect)), table, statistics=seeded(seed)
    )
    return _found(found.iloc[0], "epsilon2")


@cache
def true_separation() -> float:
    points = np.sqrt(_shares(np.random.default_rng(0), 50_000, apart=True)).reshape(4, -1, 3)
    total = ((points - points.mean(axis=(0, 1))) ** 2).sum(axis=2).mean()
    return 1 - ((points - points.mean(axis=1, keepdims=True)) ** 2).sum(axis=2).mean() / total


def contrast(rng, seed, effect):
    shares = rng.dirichlet([8, 4, 8], size=17)
    shares[:10, 1] += 0.15 * effect
    shares /= shares.sum(axis=1, keepdims=True)
    found = films.genre_contrast(
        _summary(shares),
        _genres(["Comedy"] * 10 + ["Crime"] * 7),
        genres=("Comedy", "Crime"),
        labels={"happy": ["happy"]},
        statistics=seeded(seed),
    )
    return _found(found.iloc[0], "difference")


def _wander(rng: np.random.Generator, n: int, likeness: float) -> np.ndarray:
    """Draw a series of values from 0 to 1 whose neighbours are alike (first-order, Gaussian)."""
    steps, x = rng.normal(size=n), np.empty(n)
    x[0] = steps[0]
    for k in range(1, n):
        x[k] = likeness * x[k - 1] + np.sqrt(1 - likeness**2) * steps[k]
    return stats.norm.cdf(0.5 * x)


def neighbours(rng, seed, effect):
    series = [_wander(rng, 30, 0.25 * effect) for _ in range(6)]
    rows = pd.concat([rows_of(x, film_id=f"film{k}") for k, x in enumerate(series)])
    found = criteria.autocorrelation_combined(rows, statistics=seeded(seed))
    return _found(found.iloc[0], "autocorrelation")


def change(rng, seed, effect):
    tables = []
    for k in range(12):
        shot = np.repeat(np.arange(14), rng.integers(1, 4, 14))
        happy = 0.5 + 0.15 * rng.normal(size=14)[shot] + 0.02 * rng.normal(size=len(shot))
        happy[len(shot) // 2 :] += 0.15 * effect
        tables.append(rows_of(happy, film_id=f"film{k}").assign(shot=shot))
    found = criteria.change_combined(pd.concat(tables), statistics=seeded(seed))
    return _found(found.iloc[0], "explained")


def _event(series: np.ndarray, seed: int, lift: float) -> Found:
    series[60:70] += lift
    window_s = 10 * STEP_S
    found = films.event_rises(
        rows_of(series), event_at(60), window_s=window_s, statistics=seeded(seed)
    )
    return _found(found.iloc[0], "difference")


def event(rng, seed, effect):
    return _event(smooth_noise(rng), seed, 0.5 * effect)


def event_of_an_open_series(rng, seed, effect):
    return _event(_wander(rng, 151, 0.8), seed, 0.5 * effect)


def events_of_films(rng, seed, effect):
    tables, events = [], []
    for k in range(6):
        series = smooth_noise(rng)
        series[60:70] += 0.2 * effect
        tables.append(rows_of(series, film_id=f"film{k}"))
        events.append(event_at(60, film_id=f"film{k}"))
    found = films.event_rises_combined(
        pd.concat(tables), pd.concat(events), window_s=10 * STEP_S, statistics=seeded(seed)
    )
    return _found(found.iloc[0], "difference")


def two_runs(rng, seed, effect):
    """Two runs whose answers come in spells; with an effect, one has three in ten of the other."""
    codes = []
    for _ in range(8):
        spells = rng.integers(0, 3, (12, 2))[np.repeat(np.arange(12), 4)]
        shifted = np.roll(spells[:, 1], rng.integers(4))
        copied = (rng.random(len(spells)) < 0.3) & effect
        codes.append(np.column_stack([spells[:, 0], np.where(copied, spells[:, 0], shifted)]))
    film = np.repeat([f"film{k}" for k in range(8)], 48)
    items = [f"{name}:{k:06d}" for k, name in enumerate(film)]
    answers = np.array(LABELS)[np.concatenate(codes)]
    table = pd.concat(
        [
            pd.DataFrame(
                {"item_id": items, "group_id": film, "run_id": run, "predicted": answers[:, j]}
            )
            for j, run in enumerate(("one", "other"))
        ]
    )
    found = criteria.agreement(table, labels=LABELS, statistics=seeded(seed))
    return _found(found.iloc[0], "value")


def band(rng, seed, _):
    """The middle of a course over shots, around a level that rises; its error and its band."""
    shot = np.repeat(np.arange(40), rng.integers(1, 4, 40))
    level = 0.4 + 0.2 * np.linspace(-1, 1, len(shot))
    happy = level + 0.12 * rng.normal(size=40)[shot] + 0.03 * rng.normal(size=len(shot))
    rows = rows_of(happy).assign(shot=shot, predicted="happy")
    found = films.course(rows, smooth_s=20.0, statistics=seeded(seed))
    own = found[(found["measure"] == "probability") & (found["label"] == "happy")]
    middle = own.iloc[len(own) // 2]
    near = np.exp(-0.5 * ((rows["time_s"] - middle["time_s"]) / 20.0) ** 2)
    near = near * ((rows["time_s"] - middle["time_s"]).abs() <= 60.0)
    truth = float(np.average(level, weights=near))
    return Found(np.nan, *(float(middle[name]) - truth for name in ("value", "low", "high")))


def sparser(rng, seed, _):
    """Every 20th against every 10th frame; faces are alike over five frames."""
    tables, spells = [], np.arange(60) // 5 * 5
    for k in range(12):
        answers = rng.choice(LABELS, 60, p=rng.dirichlet([4, 4, 4]))
        tables.append(
            pd.DataFrame(
                {
                    "run_id": "run",
                    "film_id": f"film{k:02d}",
                    "frame": 10 * np.arange(60),
                    "predicted": answers[spells],
                }
            )
        )
    found = films.sampling_sensitivity(
        pd.concat(tables), labels=LABELS, steps=(20,), statistics=seeded(seed)
    )
    return _found(found.iloc[1], "difference")


TRIALS = {
    "genre separation": Trial(
        "32 films of four genres that differ by chance",
        "a label more frequent in each genre",
        separation,
        true_separation,
    ),
    "contrast of two genres": Trial(
        "17 films of two genres that differ by chance",
        "happy more frequent by .10 in one",
        contrast,
        lambda: (0.2 + 0.15) / 1.15 - 0.2,
    ),
    "lag-1 autocorrelation": Trial(
        "6 films of 30 independent faces", "neighbours correlated by .25", neighbours
    ),
    "change point": Trial(
        "12 films of 14 shots, alike within, in any order", "a step of one sd half-way", change
    ),
    "event, one film": Trial(
        "151 faces, alike over 8, ends that meet", "a rise of .5", event, lambda: 0.5
    ),
    "event, series with open ends": Trial(
        "151 faces, correlated by .8", "a rise of .5", event_of_an_open_series, lambda: 0.5
    ),
    "events of several films": Trial(
        "6 films, one event each", "rises of .2", events_of_films, lambda: 0.2
    ),
    "agreement of two runs": Trial(
        "8 films, answers in spells of each run's own",
        "three in ten answers copied",
        two_runs,
        lambda: 0.3,
    ),
    "band of a course": Trial(
        "none", "40 shots around a level that rises", band, lambda: 0.0, has_p=False
    ),
    "sparser sampling": Trial(
        "none", "12 films, faces alike over five frames", sparser, lambda: 0.0, has_p=False
    ),
}


def run(name: str, *, n_null: int, n_effect: int, seed: int) -> dict[str, object]:
    """Try a test on films of chance and on films with its effect, and count."""
    trial, started = TRIALS[name], time.process_time()
    n_null = n_null if trial.has_p else 0
    p = _tries(trial, n_null, seed, effect=False)["p_value"].dropna()
    with_effect = _tries(trial, n_effect, seed + n_null, effect=True)
    row = {"test": name, "null": trial.null, "n_null": n_null}
    row |= _share("false_positives", p <= 1 - LEVEL)
    row["uniform_p"] = _uniformity(p)
    row |= {"effect": trial.effect, "n_effect": n_effect}
    row |= _share("power", (with_effect["p_value"] <= 1 - LEVEL)[with_effect["p_value"].notna()])
    truth = trial.truth() if trial.truth else with_effect["value"].mean()
    covered = (with_effect["low"] <= truth) & (truth <= with_effect["high"])
    row |= _share("coverage", covered[with_effect["low"].notna()])
    return row | {"seconds": round(time.process_time() - started, 1)}


def _tries(trial: Trial, n: int, seed: int, *, effect: bool) -> pd.DataFrame:
    tries = range(seed, seed + n)
    found = [trial.try_once(np.random.default_rng(k), k, effect) for k in tries]
    return pd.DataFrame(found, columns=Found._fields, dtype=float)


def _uniformity(p: pd.Series) -> float:
    """Test that p is uniform on its steps 1/(n + 1), ..., 1; lots within a step fill the gaps."""
    if p.empty:
        return float("nan")
    lots = np.random.default_rng(0).uniform(0, 1 / (N + 1), len(p))
    return round(float(stats.kstest(p - lots, "uniform").pvalue), 4)


def _share(name: str, hits: pd.Series) -> dict[str, float]:
    """Give a share with its Wilson interval."""
    if hits.empty:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
    interval = stats.binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, method="wilson")
    values = (float(hits.mean()), interval.low, interval.high)
    names = (name, f"{name}_low", f"{name}_high")
    return {key: round(value, 4) for key, value in zip(names, values, strict=True)}
