"""The frozen tables of the published predictions: whole, in their schema, and of all three runs."""

import pandas as pd
import pytest
from published_films_table import STATISTICS, TARGET

from exe_core import criteria, tables
from exe_core.published import RUNS


@pytest.fixture(params=["agreement", "sampling", "film_criteria"])
def frozen(request):
    name = request.param.removeprefix("film_")
    return tables.check(pd.read_csv(TARGET / f"{name}.csv"), request.param)


def test_estimates_lie_in_their_intervals(frozen):
    value = frozen["value"] if "value" in frozen else frozen["difference"]
    assert ((frozen["low"] <= value) & (value <= frozen["high"])).all()
    assert (frozen["level"] == STATISTICS.level).all()


def test_every_run_and_every_pair_is_there():
    agreed = pd.read_csv(TARGET / "agreement.csv")
    pairs = agreed[agreed["measure"] == criteria.PAIR]
    assert set(zip(pairs["run_id"], pairs["other_run_id"], strict=True)) == {
        (RUNS[0], RUNS[1]),
        (RUNS[0], RUNS[2]),
        (RUNS[1], RUNS[2]),
    }
    tested = pd.read_csv(TARGET / "criteria.csv")
    assert set(tested["run_id"]) == set(RUNS)
    kept = {criteria.DIVERSITY, criteria.SEPARATION, criteria.LIKENESS, criteria.CHANGE}
    assert kept < set(tested["criterion"])


def test_shares_lie_within_their_bounds():
    shares = pd.read_csv(TARGET / "shares.csv")
    totals = shares.groupby("run_id")["value"].sum()
    assert totals.to_numpy() == pytest.approx(1, abs=1e-4)
    assert (shares["share_low"] <= shares["share_high"]).all()
    assert shares["coverage"].between(0, 1).all()
