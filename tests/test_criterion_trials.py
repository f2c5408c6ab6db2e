"""The tests of what makes a model's output plausible, tested: uniform p, power, coverage.

The slow ones try each test on hundreds of made-up sets of films; the table of them all is made
by ``pytest tests/test_criterion_trials.py --write-trials``.
"""

import criterion_trials
import numpy as np
import pandas as pd
import pytest

from exe_core.record import ROOT, provenance, write_json
from exe_core.study import load_study

TABLE = ROOT / "data" / "frozen" / "tests"
N_NULL, N_EFFECT, SEED = 300, 150, 2000
ALL = list(criterion_trials.TRIALS)
CODE = (
    "exe_core/criteria.py",
    "exe_core/films.py",
    "exe_core/resampling.py",
    "tests/criterion_trials.py",
    "tests/sample_timelines.py",
)


@pytest.fixture(scope="session")
def table(request):
    """Gather the rows, and write them if that was asked for; those not tried anew are kept."""
    rows = []
    yield rows
    if request.config.getoption("--write-trials") and rows:
        TABLE.mkdir(parents=True, exist_ok=True)
        keep(pd.DataFrame(rows), TABLE / "trials.csv")
        inputs = [ROOT / name for name in CODE]
        how = {"command": "pytest tests/test_criterion_trials.py --write-trials"}
        origin = provenance(load_study("demo"), inputs=inputs, seed=SEED)
        write_json({**origin, **how}, TABLE / "provenance.json")


def keep(found, path):
    """Replace the rows of the tests that were tried."""
    if path.exists():
        before = pd.read_csv(path)
        found = pd.concat([before[~before["test"].isin(found["test"])], found])
    found.sort_values("test", key=lambda names: names.map(ALL.index)).to_csv(path, index=False)


def is_sound(row):
    """Whether the false positives are those promised, p uniform, and the interval covers.

    Nine rows are judged, so each may err once in a thousand.
    """
    has_p = np.isfinite(row["false_positives"])
    n, n_effect = max(row["n_null"], 1), row["n_effect"]
    few = 3.3 * np.sqrt(0.05 * 0.95 / n)
    promised = not has_p or (abs(row["false_positives"] - 0.05) < few and row["uniform_p"] > 0.001)
    covers = row["coverage"] > 0.95 - 0.02 - 3.3 * np.sqrt(0.05 * 0.95 / n_effect)
    return promised and covers


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_p_is_uniform_the_effect_is_found_and_the_interval_covers(name, table):
    row = criterion_trials.run(name, n_null=N_NULL, n_effect=N_EFFECT, seed=SEED)
    table.append(row)
    assert is_sound(row), row
    assert np.isnan(row["power"]) or row["power"] > 0.5, row


def test_the_frozen_table_is_of_these_trials_and_sound():
    rows = pd.read_csv(TABLE / "trials.csv").to_dict("records")
    assert [row["test"] for row in rows] == ALL, "run with --write-trials"
    for row in rows:
        has_p = criterion_trials.TRIALS[row["test"]].has_p
        assert (row["n_null"], row["n_effect"]) == (N_NULL * has_p, N_EFFECT)
        assert is_sound(row), row


def test_a_test_that_finds_too_much_is_not_sound():
    row = {"n_null": 600, "n_effect": 300, "uniform_p": 0.4, "coverage": 0.95}
    assert is_sound(row | {"false_positives": 0.05})
    assert not is_sound(row | {"false_positives": 0.1})
    assert not is_sound(row | {"false_positives": 0.05, "uniform_p": 1e-6})
    assert not is_sound(row | {"false_positives": 0.05, "coverage": 0.8})
