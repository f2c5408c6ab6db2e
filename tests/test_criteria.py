"""Criteria without labels find what is there only; agreement has published answers."""

import numpy as np
import pandas as pd
import pytest
from sample_timelines import STEP_S, event_at, rows_of, smooth_noise
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from exe_core import criteria
from exe_core.resampling import Statistics

LABELS = ("angry", "happy", "sad")
QUICK = Statistics(n_bootstrap=199, n_permutations=199)


def summary_of(shares, *, run_id="run"):
    """Make a summary from {film: shares of LABELS}."""
    rows = [
        (film, run_id, label, share)
        for film, row in shares.items()
        for label, share in zip(LABELS, row, strict=True)
    ]
    return pd.DataFrame(rows, columns=["film_id", "run_id", "label", "share_of_faces"])


def random_films(rng, n=17, n_comedies=10, shift=0.0):
    """Films of random shares, more happy by `shift` in comedies."""
    shares = rng.dirichlet([8, 4, 8], size=n)
    shares[:n_comedies, 1] += shift
    shares /= shares.sum(axis=1, keepdims=True)
    genre = ["comedy"] * n_comedies + ["crime"] * (n - n_comedies)
    names = [f"film{i:02d}" for i in range(n)]
    table = pd.DataFrame({"film_id": names, "genre": genre})
    return summary_of(dict(zip(names, shares, strict=True))), table


def separation(summary, table, *, n=50):
    statistics = Statistics(n_permutations=n)
    return criteria.genre_separation(summary, table, statistics=statistics)["run"]


@pytest.mark.parametrize(
    ("shares", "entropy"),
    [((1, 0, 0), 0), ((1 / 3, 1 / 3, 1 / 3), 1), ((0, 0.5, 0.5), 0.631), ((np.nan,) * 3, None)],
)
def test_diversity_by_hand(shares, entropy):
    found = criteria.diversity(summary_of({"film": shares}), statistics=QUICK)
    values = [run.value for run in found.values()]
    assert values == pytest.approx([] if entropy is None else [entropy], abs=1e-3)


def test_equal_films_and_genres_of_one_film_say_nothing():
    summary, table = random_films(np.random.default_rng(0), n=6, n_comedies=3)
    equal = separation(summary_of(dict.fromkeys(table["film_id"], (0.2, 0.3, 0.5))), table)
    lone = separation(summary, table.assign(genre=list("abcdef")))
    for found in (equal, lone):
        assert np.isnan([found.value, found.low, found.p_value]).all()
    one = separation(summary, table.assign(genre=["a", "a", "a", "b", "b", "c"]))
    assert np.isfinite([one.low, one.high]).all()
    assert not criteria.genre_separation(summary, table.assign(genre="a"), statistics=QUICK)


def test_separation_is_r_squared_less_what_chance_gives():
    """Against the squared distances between all films (Anderson 2001, equations 1 and 2)."""
    summary, table = random_films(np.random.default_rng(3), shift=0.3)
    table.loc[0, "genre"] = None  # left out
    found = separation(summary, table)
    points = np.sqrt(summary.pivot_table("share_of_faces", "film_id", "label").to_numpy()[1:])
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    within = distances[:9, :9].sum() / (2 * 9) + distances[9:, 9:].sum() / (2 * 7)
    r2 = 1 - within / (distances.sum() / (2 * 16))
    assert found.value == pytest.approx(1 - (1 - r2) * 15 / 14)
    assert found.low < found.value < found.high
    assert found.n == 16


def in_films(series, **columns):
    return pd.concat([rows_of(x, film_id=f"film{k}", **columns) for k, x in enumerate(series)])


def alike(*series, **options):
    statistics = QUICK.model_copy(update=options)
    return criteria.autocorrelation(in_films(series), statistics=statistics).get("run")


def test_smooth_series_are_alike_and_alternating_ones_are_not():
    found = alike(smooth_noise(np.random.default_rng(3)))
    assert found.value > 0.6
    assert found.p_value == 1 / 200
    assert abs(found.null.mean()) < 0.05
    assert alike(np.tile([0.2, 0.8], 30)).value == pytest.approx(-1, abs=0.05)
    rng = np.random.default_rng(5)
    films = [smooth_noise(rng, n=41) for _ in range(6)]
    whole = alike(*films, np.full(30, np.nan))
    assert whole.value == pytest.approx(np.mean([alike(film).value for film in films]))
    assert whole.low < whole.value < whole.high
    assert whole.n == 6


@pytest.mark.parametrize(
    "happy", [np.full(30, 0.5), np.full(30, np.nan), np.tile([0.4, np.nan], 20), [0.1, 0.2]]
)
def test_no_structure_to_measure_is_undefined(happy):
    assert alike(happy) is None


def test_gaps_are_not_bridged():
    """Neighbours are equal, and both sides of each gap are opposite."""
    happy = np.concatenate([[level, level, np.nan] for level in np.tile([0.2, 0.8], 10)])
    assert alike(happy).value == pytest.approx(1)


def test_no_run_depends_on_the_others():
    rng = np.random.default_rng(7)
    series = {run: [rng.uniform(size=30) for _ in range(3)] for run in ("a", "b")}
    rows = {run: in_films(films, run_id=run) for run, films in series.items()}
    both = criteria.autocorrelation(pd.concat(rows.values()), statistics=QUICK)
    for run, of_run in rows.items():
        alone = criteria.autocorrelation(of_run, statistics=QUICK)[run]
        np.testing.assert_equal(vars(both[run]), vars(alone))


def rises(rows, events, *, window_s=10 * STEP_S, **options):
    statistics = QUICK.model_copy(update=options)
    return criteria.event_rise(rows, events, window_s=window_s, statistics=statistics).get("run")


@pytest.mark.parametrize(
    ("happy", "window_s", "expected"),
    [
        (np.r_[np.full(50, 0.2), np.full(11, 0.8), np.full(40, 0.2)], 40, 0.6),
        (np.r_[np.full(50, 0.2), np.full(3, 0.8)], np.inf, 0.6),
        (np.r_[np.full(50, 0.2), np.full(5, 0.6), np.full(45, np.nan)], 40, 0.4),
        (np.r_[np.full(45, np.nan), np.full(5, 0.2), np.full(50, 0.6)], 40, 0.4),
    ],
)
def test_a_rise_is_the_mean_after_less_that_before(happy, window_s, expected):
    found = rises(rows_of(happy), event_at(50), window_s=window_s)
    assert found.value == pytest.approx(expected)
    assert np.isnan(found.p_value) or found.p_value < 0.1


def test_events_that_cannot_be_tried_are_left_out():
    rows = in_films([np.full(40, 0.5), np.full(40, np.nan)])
    events = [event_at(20, film_id="film0"), event_at(30, film_id="film0", label="sad")]
    unknown = [event_at(20, film_id="film1"), event_at(20, film_id="film0", label="disgust")]
    found = rises(rows, pd.concat([*events, *unknown]))
    assert (found.n, found.value) == (1, 0)
    assert np.isnan(found.low)
    assert rises(rows, pd.concat(unknown)) is None


def test_events_of_one_film_are_not_taken_for_independent():
    """Two events of a film, a step apart: were they shifted apart, p would be small too often."""
    rng = np.random.default_rng(7)
    at = [(f"film{k}", rng.integers(20, 130)) for k in range(3)]
    twice = pd.concat([event_at(step + k, film_id=name) for name, step in at for k in (0, 1)])
    p_values = []
    for k in range(200):
        rows = in_films([smooth_noise(rng) for _ in at])
        p_values.append(rises(rows, twice, seed=k).p_value)
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) < 0.1


def answers(codes, *, film_of=None):
    """Make predictions of runs a, b, ... from (items, runs) codes."""
    codes = np.asarray(codes)
    film_of = np.repeat(["film0"], len(codes)) if film_of is None else film_of
    items = [f"{film}:{100 * k:06d}" for k, film in enumerate(film_of)]
    shown = pd.DataFrame({"item_id": items, "group_id": film_of})
    parts = [
        shown.assign(predicted=np.array(LABELS)[column], run_id=run)
        for run, column in zip("abc", codes.T, strict=False)
    ]
    return pd.concat(parts, ignore_index=True)


def agreed(predictions, **options):
    statistics = QUICK.model_copy(update=options)
    return criteria.agreement(predictions, labels=LABELS, statistics=statistics)


@pytest.mark.parametrize("seed", range(5))
def test_kappa_of_two_runs_is_that_of_scikit_learn(seed):
    codes = np.random.default_rng(seed).integers(0, 3, (40, 2))
    row = agreed(answers(codes), n_bootstrap=50).iloc[0]
    assert row["value"] == pytest.approx(cohen_kappa_score(*codes.T))


def test_runs_that_agree_and_runs_that_answer_at_random():
    rng = np.random.default_rng(0)
    same = rng.integers(0, 3, 300)
    codes = np.column_stack([same, same, rng.integers(0, 3, 300)])
    table = agreed(answers(codes, film_of=np.repeat([f"film{k}" for k in range(6)], 50)))
    pairs = table.set_index(["run_id", "other_run_id"])
    assert pairs.loc[("a", "b"), ["value", "p_value"]].tolist() == [1, 1 / 200]
    assert pairs.loc[("a", "c"), "low"] < 0 < pairs.loc[("a", "c"), "high"]
    assert len(pairs) == 3


def test_only_faces_that_all_runs_have_read_count():
    table = answers(np.random.default_rng(3).integers(0, 3, (30, 2)))
    assert agreed(table.drop(index=[3, 40]))["n"].tolist() == [28]
    assert np.isnan(agreed(answers(np.zeros((20, 2), int)))["value"]).all()  # one answer always
    assert agreed(answers(np.zeros((5, 1), int))).empty  # one run
