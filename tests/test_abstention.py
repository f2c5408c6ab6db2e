"""Abstention: the curve by hand, its end at the error rate, and nothing where nothing is known."""

import numpy as np
import pandas as pd
import pytest

from exe_core import calibration, tables
from exe_core.study import Statistics

LABELS = ("happy", "sad")
OPTIONS = {"labels": LABELS, "statistics": Statistics(n_bootstrap=200), "seed": 0}


def make(confidence, right, *, run_id="a"):
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    n = len(confidence)
    return pd.DataFrame(
        {
            "item_id": [f"item:{i}" for i in range(n)],
            "set_name": "photos",
            "split": "test",
            "group_id": [f"g{i}" for i in range(n)],
            "run_id": run_id,
            "label": np.where(right, "happy", "sad"),
            "predicted": "happy",
            "prob_happy": confidence,
            "prob_sad": 1 - confidence,
        }
    )


def test_curve_by_hand():
    """Ten answers, the three least sure wrong: no risk up to 70 %, .3 at the end."""
    table = calibration.risk_coverage(
        make(np.linspace(0.99, 0.6, 10), [True] * 7 + [False] * 3), **OPTIONS
    )
    risk = table.set_index("coverage")["risk"]
    assert list(risk.index) == pytest.approx(np.arange(1, 11) / 10)
    assert (risk[:7] == 0).all()
    assert list(risk[7:]) == pytest.approx([1 / 8, 2 / 9, 3 / 10])


def test_whole_coverage_has_the_error_rate_and_an_interval_round_it():
    rng = np.random.default_rng(3)
    rows = make(rng.uniform(0.5, 1, 300), rng.random(300) < 0.7)
    last = calibration.risk_coverage(rows, **OPTIONS).iloc[-1]
    assert last["coverage"] == 1
    assert last["risk"] == pytest.approx((rows["label"] != rows["predicted"]).mean())
    assert last["low"] < last["risk"] < last["high"]


def test_equal_confidence_is_answered_together():
    table = calibration.risk_coverage(make([0.9] * 6, [True] * 3 + [False] * 3), **OPTIONS)
    assert list(table["coverage"]) == [1]
    assert list(table["risk"]) == [0.5]


def test_a_run_that_knows_what_it_knows_has_less_risk_when_it_abstains():
    rng = np.random.default_rng(5)
    confidence = rng.uniform(0.5, 1, 2000)
    table = calibration.risk_coverage(
        make(confidence, rng.random(2000) < confidence), **OPTIONS
    ).set_index("coverage")["risk"]
    assert table.iloc[0] < table.iloc[len(table) // 2] < table.iloc[-1]


def test_runs_are_apart_and_what_has_no_label_is_left_out():
    rows = pd.concat([make([0.9, 0.8], [1, 0]), make([0.7, 0.6], [0, 1], run_id="b")])
    unknown = rows.assign(label=None, item_id=rows["item_id"] + "x")
    table = calibration.risk_coverage(pd.concat([rows, unknown]), **OPTIONS)
    pd.testing.assert_frame_equal(table, calibration.risk_coverage(rows, **OPTIONS))
    assert set(table["run_id"]) == {"a", "b"}


@pytest.mark.parametrize("rows", [make([], []), make([0.9], [1]).assign(label=None)])
def test_nothing_labelled_gives_an_empty_table(rows):
    table = calibration.risk_coverage(rows, **OPTIONS)
    assert table.empty
    assert set(tables.empty("risk_coverage")) <= set(table)
