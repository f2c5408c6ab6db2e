"""One keyword or several: known gains, an honest null, and both sources or none."""

import numpy as np
import pandas as pd
import pytest
from published_files import RUNS
from scipy import stats

from exe_core import published
from exe_core.published import recall_gain, smallest_gain
from exe_core.resampling import Statistics


def test_gain_is_that_of_the_mean_recall():
    found = recall_gain(RUNS, "pixabay", statistics=Statistics())
    assert found.value == pytest.approx(0.2)
    assert found.low > 0
    assert found.p_value < 0.001


def test_one_source_that_loses_is_what_decides():
    least, alone = (
        smallest_gain(RUNS, statistics=Statistics()),
        recall_gain(RUNS, "pexels", statistics=Statistics()),
    )
    assert least.value == alone.value < 0
    assert least.high < 0
    assert least.p_value == pytest.approx(2 * alone.p_value)
    assert least.high - least.low > alone.high - alone.low


def test_recall_that_is_always_or_never_right_still_has_a_variance():
    found = recall_gain(RUNS.assign(recall=1.0), "pexels", statistics=Statistics())
    assert found.low < 0 < found.high
    assert found.p_value == pytest.approx(1)


def test_missing_search_is_not_decided():
    only = RUNS[RUNS["design"] == "v1"]
    assert np.isnan(recall_gain(only, "pexels", statistics=Statistics()).value)
    assert np.isnan(smallest_gain(only, statistics=Statistics()).value)


def test_table_without_recalls_is_refused():
    with pytest.raises(ValueError, match="lack the columns recall"):
        recall_gain(RUNS.drop(columns="recall"), "pexels", statistics=Statistics())


def test_chance_is_uniform_where_the_searches_are_alike():
    rng = np.random.default_rng(0)
    held_out = np.resize([97, 101, 103, 107, 109, 113, 89], len(RUNS))  # so that few p are tied
    drawn = [
        RUNS.assign(n_faces=5 * held_out, recall=rng.binomial(held_out, 0.6) / held_out)
        for _ in range(500)
    ]
    p = [recall_gain(runs, "pexels", statistics=Statistics()).p_value for runs in drawn]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_what_is_frozen_is_what_was_published():
    frozen = pd.read_csv(published.TABLE)
    assert frozen.groupby("run")["n_faces"].sum().to_dict() == {
        "pexels-light-v1": 2242,
        "pexels-light-v2": 4517,
        "pixabay-light-v1": 1553,
        "pixabay-light-v2": 2132,
    }
    accuracy = (frozen["n_faces"] * frozen["recall"]).groupby(frozen["run"]).sum() / frozen.groupby(
        "run"
    )["n_faces"].sum()
    assert (accuracy.min(), accuracy.max()) == pytest.approx((0.48, 0.71), abs=0.006)
