"""How much faster shares over films are resampled all at once than a run and label at a time.

pytest tests/benchmarks/test_bench_shares.py --benchmark-enable
"""

import time

import pandas as pd
import pytest
import sample_tables
from shares_one_by_one import one_by_one

from exe_core import films
from exe_core.resampling import Statistics

RUNS = tuple(f"run{k:02d}" for k in range(10))
CHANCE = {"statistics": Statistics(seed=42)}


@pytest.mark.slow
def test_shares_over_films(benchmark, ratio):
    summary = sample_tables.film_summary(12, RUNS)
    start = time.process_time()
    expected = one_by_one(summary, **CHANCE)
    theirs = time.process_time() - start
    start = time.process_time()
    found = benchmark.pedantic(films.overall, args=(summary,), kwargs=CHANCE, rounds=1)
    ours = time.process_time() - start
    pd.testing.assert_frame_equal(found, expected, atol=1e-12)
    ratio("shares of 50 runs and labels over films", theirs / ours, aim=5)
