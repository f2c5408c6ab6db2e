"""Near-duplicates among many images: how the time grows with their number.

OMP_NUM_THREADS=1 pytest tests/benchmarks/test_bench_grouping.py --benchmark-enable
"""

import time

import numpy as np
import pytest

from exe_core.datasets import near_duplicates

pytestmark = pytest.mark.slow

FEW, MANY = 2000, 8000


def hashes(n):
    """Hashes of n pictures, the last tenth copies of the first with other rounding errors."""
    rng = np.random.default_rng(n)
    levels = rng.normal(0, 30, (n, 256))
    levels[-n // 10 :] = levels[: n // 10] + rng.normal(0, 3, (n // 10, 256))
    levels[:, 0] = 0
    return [row.tobytes().hex() for row in levels.clip(-127, 127).astype(np.int8)]


def test_four_times_as_many_images_take_far_less_than_sixteen_times_as_long(benchmark, ratio):
    few, many = hashes(FEW), hashes(MANY)
    started = time.process_time()
    near_duplicates(few)
    of_few = time.process_time() - started
    started = time.process_time()
    groups = benchmark.pedantic(near_duplicates, args=(many,), rounds=1)
    of_many = time.process_time() - started
    assert np.mean(groups[-MANY // 10 :] == np.arange(MANY // 10)) > 0.99
    growth = (MANY / FEW) ** 2 / (of_many / of_few)
    ratio(f"near-duplicates of {MANY} for {FEW} images, against all pairs", growth, aim=2)
