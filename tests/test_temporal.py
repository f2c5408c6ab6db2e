"""Structure in time: what is there is found, gaps stay gaps, and a shot is not a change."""

import numpy as np
import pandas as pd
import pytest
from sample_timelines import STEP_S, rows_of, smooth_noise
from scipy import stats

from exe_core import criteria
from exe_core.resampling import Statistics


def alike(happy):
    return criteria.lag_autocorrelation(
        rows_of(happy), statistics=Statistics(n_permutations=199, seed=0)
    ).iloc[0]


def test_smooth_series_has_temporal_structure():
    found = alike(smooth_noise(np.random.default_rng(3)))
    assert found["autocorrelation"] > 0.6
    assert found["p_value"] <= 0.01
    assert abs(found["null_mean"]) < 0.05


def test_alternating_series_has_negative_autocorrelation():
    assert alike(np.tile([0.2, 0.8], 30))["autocorrelation"] == pytest.approx(-1, abs=0.05)


@pytest.mark.parametrize(
    "happy", [np.full(30, 0.5), np.full(30, np.nan), np.tile([0.4, np.nan], 20), [0.1, 0.2]]
)
def test_no_structure_to_measure_is_undefined(happy):
    found = alike(happy)
    assert np.isnan(found["autocorrelation"])
    assert np.isnan(found["p_value"])


def test_gaps_are_not_bridged():
    happy = np.r_[np.linspace(0.1, 0.4, 10), np.nan, np.linspace(0.9, 0.5, 10)]
    assert alike(happy)["n_pairs"] == 18


def test_independent_frames_have_uniform_p():
    rng = np.random.default_rng(4)
    p = [alike(rng.uniform(size=40))["p_value"] for _ in range(150)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def combined(films, *, seed=0):
    rows = pd.concat([rows_of(happy, film_id=f"film{i}") for i, happy in enumerate(films)])
    statistics = Statistics(n_bootstrap=199, n_permutations=199, seed=seed)
    return criteria.autocorrelation_combined(rows, statistics=statistics)


def test_over_films_the_mean_is_tested():
    rng = np.random.default_rng(5)
    films = [smooth_noise(rng, n=41) for _ in range(6)] + [np.full(30, np.nan)]
    found = combined(films).iloc[0]
    alone = [alike(happy)["autocorrelation"] for happy in films[:-1]]
    assert found["autocorrelation"] == pytest.approx(np.mean(alone))
    assert found["low"] < found["autocorrelation"] < found["high"]
    assert found["p_value"] == 1 / 200
    assert found["n_films"] == 6


def test_over_films_p_is_uniform_in_independent_frames():
    rng = np.random.default_rng(6)
    p = [combined(rng.uniform(size=(3, 30)), seed=k)["p_value"][0] for k in range(120)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_films_of_nobody_leave_nothing_to_test():
    assert combined([np.full(30, np.nan)]).empty


def changes(happy, *, shot=None, n=199, level=0.95, seed=0):
    rows = rows_of(happy)
    rows = rows if shot is None else rows.assign(shot=shot)
    return criteria.change_points(
        rows, statistics=Statistics(n_permutations=n, level=level, seed=seed)
    ).iloc[0]


def noisy(levels, rng, *, n=25):
    return np.concatenate([np.clip(rng.normal(level, 0.05, n), 0, 1) for level in levels])


def test_changes_are_found_where_they_are():
    happy = noisy([0.2, 0.6, 0.3], np.random.default_rng(0))
    found = changes(happy, shot=np.arange(75), level=0.99)
    assert found["times_s"] == pytest.approx((25 * STEP_S, 50 * STEP_S), abs=2 * STEP_S)
    assert found["n_changes"] == 2
    assert found["p_value"] == 1 / 200
    assert found["explained"] > found["null_mean"]


def test_faceless_frames_lie_before_the_change_they_lead_to():
    happy = noisy([0.2, 0.8], np.random.default_rng(1))
    happy[20:30] = np.nan
    assert changes(happy, shot=np.arange(50))["times_s"] == (30 * STEP_S,)


def test_frames_of_a_shot_stay_together_under_the_null():
    """Twelve shots of ten frames each, alike within: p is uniform only if shots are shuffled."""
    rng = np.random.default_rng(2)
    shot = np.repeat(np.arange(12), 10)
    films = [rng.uniform(size=12)[shot] + rng.normal(0, 0.01, 120) for _ in range(150)]
    by_shot, by_frame = (
        [changes(x, shot=own, n=99, level=0.999, seed=k)["p_value"] for k, x in enumerate(films)]
        for own in (shot, np.arange(120))
    )
    assert stats.kstest(by_shot, "uniform").pvalue > 0.01
    assert np.mean(np.array(by_frame) <= 0.05) > 0.5


def test_few_permutations_at_once_are_as_good_as_all(monkeypatch):
    probs, block = np.random.default_rng(4).uniform(size=(40, 3)), np.arange(40)
    found = []
    for at_once in (10**9, 500):
        monkeypatch.setattr(criteria, "_AT_ONCE", at_once)
        test, place = criteria.best_split(probs, block, n=50, rng=np.random.default_rng(0))
        found.append((test.value, test.null.tolist(), place))
    assert found[0] == found[1]


@pytest.mark.parametrize("happy", [np.full(30, np.nan), np.full(30, 0.5), np.linspace(0, 1, 9)])
def test_where_nothing_can_change_nothing_is_said(happy):
    found = changes(happy)
    assert found["n_changes"] == 0
    assert found[["explained", "p_value"]].isna().all()
