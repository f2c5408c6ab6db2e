"""Agreement: published and independent answers to compare with, and a null that keeps its own."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from exe_core import criteria
from exe_core.resampling import Statistics

LABELS = ("angry", "happy", "sad")
NA = None

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C: four observers,
# twelve units, nominal alpha .743
OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NA, NA, NA],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NA, 3],
    [NA, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NA],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NA],
]

# Fleiss (1971), Measuring nominal scale agreement among many raters, as it is usually shown:
# fourteen raters, ten subjects, kappa .210
RATERS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def total(counts):
    return criteria.unit_terms(np.array(counts, dtype=float)).sum(axis=0, keepdims=True)


def answers(codes, *, film_of=None):
    """Make predictions of runs a, b, ... from (items, runs) codes."""
    codes = np.asarray(codes)
    film_of = np.repeat(["film0"], len(codes)) if film_of is None else film_of
    items = [f"{film}:{100 * k:06d}" for k, film in enumerate(film_of)]
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "item_id": items,
                    "group_id": film_of,
                    "run_id": "abcdefgh"[j],
                    "predicted": np.array(LABELS)[codes[:, j]],
                }
            )
            for j in range(codes.shape[1])
        ],
        ignore_index=True,
    )


def found(predictions, *, n=199, seed=0):
    options = {"statistics": Statistics(n_bootstrap=n, n_permutations=n, seed=seed)}
    return criteria.agreement(predictions, labels=LABELS, **options)


def test_alpha_of_the_published_example():
    counts = [
        [column.count(value) for value in range(1, 6)] for column in zip(*OBSERVERS, strict=True)
    ]
    assert criteria.krippendorff_alpha(total(counts))[0] == pytest.approx(0.743, abs=5e-4)


def test_kappa_of_the_published_example():
    assert criteria.fleiss_kappa(total(RATERS))[0] == pytest.approx(0.210, abs=5e-4)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000))
def test_kappa_of_two_runs_is_that_of_scikit_learn(seed):
    codes = np.random.default_rng(seed).integers(0, 3, (40, 2))
    row = found(answers(codes), n=50).iloc[0]
    assert row["measure"] == criteria.PAIR
    assert row["value"] == pytest.approx(cohen_kappa_score(*codes.T))


def test_runs_that_agree_and_runs_that_answer_by_lot():
    rng = np.random.default_rng(0)
    same = rng.integers(0, 3, 300)
    codes = np.column_stack([same, same, rng.integers(0, 3, 300)])
    table = found(answers(codes, film_of=np.repeat([f"film{k}" for k in range(6)], 50)))
    pairs = table[table["measure"] == criteria.PAIR].set_index(["run_id", "other_run_id"])
    assert pairs.loc[("a", "b"), "value"] == 1
    assert pairs.loc[("a", "b"), "p_value"] == 1 / 200
    assert abs(pairs.loc[("a", "c"), "value"]) < 0.1
    assert pairs.loc[("a", "c"), "low"] < 0 < pairs.loc[("a", "c"), "high"]
    assert set(table["measure"]) == {criteria.PAIR, criteria.ALL_SAME, criteria.ALL}


def test_one_answer_always_says_nothing():
    row = found(answers(np.zeros((20, 2), int))).iloc[0]
    assert np.isnan(row["value"])


def test_agreeing_on_films_only_is_not_agreeing_on_faces():
    """Both runs answer happy in one film and sad in the other, each face by its own lot."""
    rng = np.random.default_rng(1)
    film_of = np.repeat(["one", "two"], 200)
    liked = np.where(film_of == "one", 1, 2)[:, None]
    codes = np.where(rng.random((400, 2)) < 0.8, liked, rng.integers(0, 3, (400, 2)))
    row = found(answers(codes, film_of=film_of)).iloc[0]
    assert row["value"] > 0.4
    assert row["null_mean"] == pytest.approx(row["value"], abs=0.08)
    assert row["p_value"] > 0.05


def test_p_is_uniform_for_runs_that_hold_on_to_their_answers():
    """Answers come in spells of eight faces, of each run by itself."""
    rng = np.random.default_rng(2)
    p = []
    for seed in range(150):
        spells = rng.integers(0, 3, (12, 2))[np.repeat(np.arange(12), 8)]
        codes = np.column_stack([spells[:, 0], np.roll(spells[:, 1], rng.integers(8))])
        p.append(found(answers(codes), n=199, seed=seed)["p_value"][0])
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_faces_that_one_run_has_not_read_are_left_out():
    codes = np.random.default_rng(3).integers(0, 3, (30, 2))
    table = answers(codes)
    assert found(table.drop(index=[3, 40]))["n"].tolist() == [28] * 3


def test_one_run_has_nobody_to_agree_with():
    assert found(answers(np.zeros((5, 1), int))).empty
