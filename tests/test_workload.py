"""Costs grow with what there is to do, and time shrinks with cores as far as there are jobs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exe_core import figures
from exe_core.findings.workload import FACTORS, Workload, against, hours_on, steps

RATES = {"film": 100_000.0, "read": 20.0, "learn": 50.0}
WORK = Workload(films=60, models=4, faces=10_000)
PRICES = {"dear": 0.04, "cheap": 0.01}
CORES = (1, 8, 64)


def test_a_known_study() -> None:
    found = steps(WORK, RATES).set_index("step")
    assert WORK.frames == 60 * 1728
    assert found["n"].to_dict() == {"film": 120, "read": 60 * 1728 * 4, "learn": 300_000}
    assert found.loc["film", "processor_h"] == pytest.approx(120 * 100 / 3600)
    assert found.loc["read", "processor_h"] == pytest.approx(60 * 1728 * 4 * 0.02 / 3600)


def test_a_thousand_times_larger_is_a_thousand_times_the_work() -> None:
    small, large = (steps(work, RATES)["processor_h"].sum() for work in (WORK, WORK.times(1000)))
    assert large == pytest.approx(1000 * small)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 5000), st.integers(1, 5000))
def test_more_cores_never_take_longer(few: int, more: int) -> None:
    hours = [hours_on(WORK, RATES, cores=n) for n in (few, few + more)]
    assert hours[1] <= hours[0]
    assert hours_on(WORK, RATES, cores=1) == pytest.approx(steps(WORK, RATES)["processor_h"].sum())


def test_cores_without_a_job_save_nothing() -> None:
    assert hours_on(WORK, RATES, cores=60) == hours_on(WORK, RATES, cores=6000)


def test_each_size_is_varied_alone() -> None:
    found = against({"one": WORK}, RATES, prices=PRICES, cores=CORES)
    assert set(found["factor"]) == {*FACTORS, "cores"}
    spent = steps(WORK, RATES)["processor_h"].sum()
    for factor in FACTORS:
        own = found[found["factor"] == factor]
        here = own[np.isclose(own["at"], getattr(WORK, factor))].iloc[0]
        assert here["value"] == here["high"] == pytest.approx(0.04 * spent)
        assert here["low"] == pytest.approx(0.01 * spent)
        assert own["value"].is_monotonic_increasing
    assert found[found["factor"] == "cores"]["at"].tolist() == [1, 8, 64]


def test_the_chart_has_a_panel_a_size_and_a_line_a_study() -> None:
    studies = {"one": WORK, "larger": WORK.times(1000)}
    spec = figures.size_chart(against(studies, RATES, prices=PRICES, cores=CORES)).to_dict()
    titles = [panel["layer"][1]["encoding"]["x"]["title"] for panel in spec["concat"]]
    assert titles == ["films", "models", "faces", "cores"]
    assert spec["concat"][0]["layer"][1]["encoding"]["y"]["title"] == "US dollars"
    assert spec["concat"][3]["layer"][1]["encoding"]["y"]["title"] == "hours"
    with pytest.raises(figures.ChartError, match="no column"):
        figures.size_chart(against(studies, RATES, prices=PRICES, cores=CORES)[["study"]])
