"""The tests of what makes a model's output plausible, tested: uniform p, power, coverage.

Each trial makes up the films of one test. Under the null its p must be uniform; with an effect it
must be found, and the interval must cover the truth. The slow ones try each test on hundreds of
made-up sets of films; ``pytest tests/test_criterion_trials.py --write-trials`` writes the table.
"""

import time
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from sample_timelines import STEP_S, event_at, rows_of, smooth_noise
from scipy import stats

from exe_core import criteria, films
from exe_core.record import ROOT, provenance, write_json
from exe_core.resampling import Estimate, Statistics
from exe_core.study import load_study

TABLE = ROOT / "data" / "frozen" / "tests"
N_NULL, N_EFFECT, SEED = 300, 150, 2000
N, LEVEL = 199, 0.95  # permutations and bootstrap samples of each try, and its intervals' level
LABELS = ("angry", "happy", "sad")


class Trial(NamedTuple):
    """A test, and how films are made up for it."""

    null: str
    effect: str
    try_once: Callable[[np.random.Generator, Statistics, bool], Estimate]
    truth: Callable[[], float] | None = None
    """What the interval should cover with the effect; by default the mean of the estimates."""


def _shares(rng: np.random.Generator, n_each: int, *, apart: bool) -> np.ndarray:
    """Draw the shares of films of four genres, apart by one label each or not."""
    alphas = 4.0 + 4.0 * apart * np.eye(3)[np.arange(4) % 3]
    return np.concatenate([rng.dirichlet(alpha, n_each) for alpha in alphas])


def separation(rng, statistics, effect):
    shares = _shares(rng, 8, apart=effect)
    film_ids = [f"film{k:03d}" for k in range(len(shares))]
    about = {"film_id": np.repeat(film_ids, 3), "label": list(LABELS) * len(shares)}
    summary = pd.DataFrame({**about, "run_id": "run", "share_of_faces": shares.ravel()})
    listed = pd.DataFrame({"film_id": film_ids, "genre": np.repeat(list("abcd"), 8)})
    return criteria.genre_separation(summary, listed, statistics=statistics)["run"]


@cache
def true_separation() -> float:
    points = np.sqrt(_shares(np.random.default_rng(0), 50_000, apart=True)).reshape(4, -1, 3)
    total = ((points - points.mean(axis=(0, 1))) ** 2).sum(axis=2).mean()
    return 1 - ((points - points.mean(axis=1, keepdims=True)) ** 2).sum(axis=2).mean() / total


def contrast(rng, statistics, effect):
    shares = rng.dirichlet([8, 4, 8], size=17)
    shares[:10, 1] += 0.15 * effect
    shares /= shares.sum(axis=1, keepdims=True)
    return statistics.group_difference(shares[:, 1], np.arange(17) < 10)


def _wander(rng: np.random.Generator, n: int, likeness: float) -> np.ndarray:
    """Draw a series of values from 0 to 1 whose neighbours are alike (first-order, Gaussian)."""
    steps, x = rng.normal(size=n), np.empty(n)
    x[0] = steps[0]
    for k in range(1, n):
        x[k] = likeness * x[k - 1] + np.sqrt(1 - likeness**2) * steps[k]
    return stats.norm.cdf(0.5 * x)


def neighbours(rng, statistics, effect):
    series = [_wander(rng, 30, 0.25 * effect) for _ in range(6)]
    rows = pd.concat([rows_of(x, film_id=f"film{k}") for k, x in enumerate(series)])
    return criteria.autocorrelation(rows, statistics=statistics)["run"]


def event(rng, statistics, effect, *, is_open=False):
    """Test one event of one film by its shifts, as the claims on published timelines do."""
    series = _wander(rng, 151, 0.8) if is_open else smooth_noise(rng)
    series[60:70] += 0.5 * effect
    rise = criteria.rise(STEP_S * np.arange(len(series)), 60 * STEP_S, 10 * STEP_S)
    return statistics.shift_test([series], [rise])


def events_of_films(rng, statistics, effect):
    tables, events = [], []
    for k in range(6):
        series = smooth_noise(rng)
        series[60:70] += 0.2 * effect
        tables.append(rows_of(series, film_id=f"film{k}"))
        events.append(event_at(60, film_id=f"film{k}"))
    made = pd.concat(tables), pd.concat(events)
    found = criteria.event_rise(*made, window_s=10 * STEP_S, statistics=statistics)
    return found["run"]


def two_runs(rng, statistics, effect):
    """Two runs whose answers come in spells; with an effect, one has three in ten of the other."""
    tables = []
    for film_id in [f"film{k}" for k in range(8)]:
        spells = rng.integers(0, 3, (12, 2))[np.repeat(np.arange(12), 4)]
        shifted = np.roll(spells[:, 1], rng.integers(4))
        copied = (rng.random(len(spells)) < 0.3) & effect
        second = np.where(copied, spells[:, 0], shifted)
        items = {"item_id": [f"{film_id}:{k:06d}" for k in range(48)], "group_id": film_id}
        for run, codes in (("one", spells[:, 0]), ("other", second)):
            predicted = np.array(LABELS)[codes]
            tables.append(pd.DataFrame({**items, "run_id": run, "predicted": predicted}))
    table = pd.concat(tables, ignore_index=True)
    row = criteria.agreement(table, labels=LABELS, statistics=statistics).iloc[0]
    return Estimate(row["value"], row["low"], row["high"], p_value=row["p_value"])


def band(rng, statistics, _):
    """The middle of a course over shots, around a level that rises; its error and its band."""
    shot = np.repeat(np.arange(40), rng.integers(1, 4, 40))
    level = 0.4 + 0.2 * np.linspace(-1, 1, len(shot))
    happy = level + 0.12 * rng.normal(size=40)[shot] + 0.03 * rng.normal(size=len(shot))
    rows = rows_of(happy).assign(shot=shot, predicted="happy")
    found = films.course(rows, smooth_s=20.0, statistics=statistics)
    happy = found[(found["measure"] == "probability") & (found["label"] == "happy")]
    middle = happy.iloc[len(happy) // 2]
    near = np.exp(-0.5 * ((rows["time_s"] - middle["time_s"]) / 20.0) ** 2)
    near = near * ((rows["time_s"] - middle["time_s"]).abs() <= 60.0)
    truth = float(np.average(level, weights=near))
    return Estimate(*(float(middle[name]) - truth for name in ("value", "low", "high")))


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
    "event, one film": Trial(
        "151 faces, alike over 8, ends that meet", "a rise of .5", event, lambda: 0.5
    ),
    "event, series with open ends": Trial(
        "151 faces, correlated by .8", "a rise of .5", partial(event, is_open=True), lambda: 0.5
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
}


def run(name):
    """Try a test on films of chance and on films with its effect, and count."""
    trial, started = TRIALS[name], time.process_time()
    p = _tries(trial, N_NULL, SEED, effect=False)["p_value"].dropna()
    with_effect = _tries(trial, N_EFFECT, SEED + N_NULL, effect=True)
    row = {"test": name, "null": trial.null, "n_null": N_NULL}
    row |= _share("false_positives", p <= 1 - LEVEL)
    # p is uniform on its steps 1/(n + 1), ..., 1; lots within a step fill the gaps
    lots = np.random.default_rng(0).uniform(0, 1 / (N + 1), len(p))
    row["uniform_p"] = stats.kstest(p - lots, "uniform").pvalue
    row |= {"effect": trial.effect, "n_effect": N_EFFECT}
    found = with_effect.dropna(subset="p_value")
    row |= _share("power", found["p_value"] <= 1 - LEVEL)
    truth = trial.truth() if trial.truth else with_effect["value"].mean()
    covered = (with_effect["low"] <= truth) & (truth <= with_effect["high"])
    row |= _share("coverage", covered[with_effect["low"].notna()])
    return row | {"seconds": round(time.process_time() - started, 1)}


def _tries(trial, n, seed, *, effect):
    found = []
    for k in range(seed, seed + n):
        statistics = Statistics(level=LEVEL, n_bootstrap=N, n_permutations=N, seed=k)
        test = trial.try_once(np.random.default_rng(k), statistics, effect)
        found.append({**test.columns(), "p_value": test.p_value})
    return pd.DataFrame(found, columns=["value", "low", "high", "p_value"], dtype=float)


def _share(name, hits):
    """Give a share with its Wilson interval."""
    found = Statistics(level=LEVEL).share(float(hits.mean()), len(hits))
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


@pytest.fixture(scope="session")
def table(request):
    """Gather the rows, and write them if that was asked for."""
    rows = []
    yield rows
    if request.config.getoption("--write-trials") and len(rows) == len(TRIALS):
        pd.DataFrame(rows).round(4).to_csv(TABLE / "trials.csv", index=False)
        how = {"command": "pytest tests/test_criterion_trials.py --write-trials"}
        write_json(
            {**provenance(load_study("demo")), "seed": SEED, **how}, TABLE / "provenance.json"
        )


def is_sound(row):
    """Whether the false positives are those promised, p uniform, and the interval covers.

    Seven rows are judged, so each may err once in a thousand.
    """
    few = 3.3 * np.sqrt(0.05 * 0.95 / row["n_null"])
    promised = abs(row["false_positives"] - 0.05) < few and row["uniform_p"] > 0.001
    least = 0.95 - 0.02 - 3.3 * np.sqrt(0.05 * 0.95 / row["n_effect"])
    return promised and row["coverage"] > least


@pytest.mark.slow
@pytest.mark.parametrize("name", TRIALS)
def test_p_is_uniform_the_effect_is_found_and_the_interval_covers(name, table):
    row = run(name)
    table.append(row)
    assert is_sound(row), row
    assert row["power"] > 0.5, row


@pytest.mark.slow
def test_the_band_of_a_course_covers():
    found = _tries(Trial("", "", band), N_EFFECT, SEED, effect=True)
    assert ((found["low"] <= 0) & (found["high"] >= 0)).mean() > 0.88


def test_the_frozen_table_is_of_these_trials_and_sound():
    rows = pd.read_csv(TABLE / "trials.csv").to_dict("records")
    assert [row["test"] for row in rows] == list(TRIALS), "run with --write-trials"
    assert all(map(is_sound, rows))
    for wrong in ({"false_positives": 0.2}, {"uniform_p": 1e-6}, {"coverage": 0.8}):
        assert not is_sound(rows[0] | wrong)
