"""Shares of films: denominators, bounds, courses over time, selections of films."""

import numpy as np
import pandas as pd
import pytest
import sample_tables
from sample_timelines import STEP_S, rows_of

from exe_core import films
from exe_core.labels import prob_columns
from exe_core.resampling import Statistics

LABELS = ("angry", "happy", "sad")
QUICK = Statistics(n_bootstrap=199, seed=1)


def frames_of(film_id, n_frames, with_face):
    return pd.DataFrame(
        {
            "film_id": film_id,
            "frame": np.arange(n_frames) * 100,
            "time_s": np.arange(n_frames) * 100 / 24,
            "n_faces": np.isin(np.arange(n_frames), with_face).astype(int),
        }
    )


def faces_of(film_id, answers, *, run_id="run"):
    """Predict `answers`, {position of the frame: label}, with probability .8 each."""
    guess = np.array([[label == answer for label in LABELS] for answer in answers.values()])
    table = pd.DataFrame(0.1 + 0.7 * guess.reshape(-1, 3), columns=prob_columns(LABELS))
    return table.assign(
        item_id=[f"{film_id}:{position * 100:06d}" for position in answers],
        group_id=film_id,
        run_id=run_id,
        predicted=list(answers.values()),
    )


@pytest.fixture
def two_films():
    """One film with a face in three of its ten frames, one without any."""
    frames = pd.concat([frames_of("some", 10, [1, 4, 5]), frames_of("none", 4, [])])
    return frames, faces_of("some", {1: "sad", 4: "sad", 5: "happy"})


def test_shares_are_over_faces_and_bounds_over_all_frames(two_films):
    before = [table.copy() for table in two_films]
    summary = films.summarise(*two_films, labels=LABELS).set_index(["film_id", "label"])
    sad = summary.loc[("some", "sad")]
    assert sad["share_of_faces"] == pytest.approx(2 / 3)
    assert sad[["n_frames", "n_faces", "coverage"]].tolist() == [10, 3, 0.3]
    assert sad[["share_low", "share_high"]].tolist() == pytest.approx([0.2, 0.9])
    assert summary.loc[("some", "happy"), "mean_prob"] == pytest.approx((0.1 + 0.1 + 0.8) / 3)
    faceless = summary.loc["none"]
    assert (faceless["n_frames"] == 4).all()
    assert faceless[["share_of_faces", "mean_prob"]].isna().all(axis=None)
    assert (faceless["share_low"] == 0).all()
    assert (faceless["share_high"] == 1).all()
    for table, copy in zip(two_films, before, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_predictions_and_frames_must_fit(two_films):
    frames, faces = two_films
    twice = pd.concat([faces, faces.iloc[:2]])
    stray = faces.assign(item_id=["some:000100", "some:000400", "some:009900"])
    for function in (films.summarise, films.timeline):
        with pytest.raises(ValueError, match=r"2 predictions, .* that the run read already"):
            function(frames, twice, labels=LABELS)
        with pytest.raises(ValueError, match=r"1 predictions, first 'some:009900', .* no sampled"):
            function(frames, stray, labels=LABELS)
        assert function(frames, faces.iloc[:0], labels=LABELS).empty


def test_a_timeline_keeps_frames_without_a_face_and_what_is_known_of_them(two_films):
    frames, faces = two_films
    colon = {"film_id": "films:" + frames["film_id"], "shot": 7}
    faces = faces.assign(item_id="films:" + faces["item_id"]).iloc[::-1]
    rows = films.timeline(frames.assign(**colon), faces, labels=LABELS)
    some = rows[rows["film_id"] == "films:some"]
    assert some["frame"].tolist() == list(range(0, 1000, 100))
    assert np.flatnonzero(some["predicted"].notna()).tolist() == [1, 4, 5]
    assert some["prob_sad"].isna().sum() == 7
    assert (rows["shot"] == 7).all()


def film_of(happy, **columns):
    rows = rows_of(happy)
    predicted = np.where(rows["prob_happy"] > 0.5, "happy", "sad").astype(object)
    predicted[rows["prob_happy"].isna()] = None
    return rows.assign(predicted=predicted, shot=np.arange(len(rows))).assign(**columns)


def course(rows, *, smooth_s=12.0, seed=0):
    statistics = Statistics(n_bootstrap=199, seed=seed)
    found = films.course(rows, smooth_s=smooth_s, statistics=statistics)
    return found.set_index(["measure", "label", "time_s"]).sort_index()


def test_the_curve_is_the_kernel_mean_by_hand():
    found = course(film_of([0.1, 0.5, np.nan, 0.9]), smooth_s=8.0).loc[("probability", "happy")]
    weights = np.exp(-0.5 * (np.array([1, 0, 2]) * STEP_S / 8.0) ** 2)
    assert found["value"].iloc[1] == pytest.approx(np.average([0.1, 0.5, 0.9], weights=weights))


def test_a_constant_film_has_no_band_and_labels_add_up_to_one():
    happy = course(film_of(np.full(40, 0.7))).loc[("probability", "happy")]
    assert happy[["value", "low", "high"]].to_numpy() == pytest.approx(np.full((40, 3), 0.7))
    found = course(film_of(np.random.default_rng(0).uniform(size=60)))
    totals = found.groupby(["measure", "time_s"])["value"].sum()
    assert totals.to_numpy() == pytest.approx(1)
    assert found["n_blocks"].between(1, 60).all()


def test_where_nothing_is_seen_a_course_is_undefined():
    happy = np.full(80, 0.4)
    happy[20:60] = np.nan
    found = course(film_of(happy)).loc[("share", "sad")]
    assert found["value"].iloc[40:41].isna().all()
    assert found["value"].iloc[[0, 79]].tolist() == pytest.approx([1, 1])
    assert course(film_of(np.full(10, np.nan)))[["value", "low"]].isna().all(axis=None)
    one_shot = course(film_of(np.linspace(0, 1, 30), shot=0))
    assert one_shot["value"].notna().all()
    assert one_shot[["low", "high"]].isna().all(axis=None)


def test_a_course_is_of_one_run_and_fits_a_chart():
    rows = film_of(np.full(5, 0.5))
    with pytest.raises(ValueError, match="one run and one film"):
        course(pd.concat([rows, rows.assign(run_id="other")]))
    rows = film_of(np.random.default_rng(0).uniform(size=3000))
    assert len(course(rows, smooth_s=60)) == films.MAX_TIMES * 4
    single = film_of([0.8])
    assert course(single, smooth_s=films.smoothing_s(single))["value"].tolist()[0] == 0.8


def test_the_kernel_is_a_minute_wide_or_a_twelfth_of_a_short_film():
    for minutes, width in ((120, 60), (12, 60), (3, 15)):
        rows = pd.DataFrame({"time_s": [0.0, minutes * 60]})
        assert films.smoothing_s(rows) == pytest.approx(width)


RUNS = ("exe", "rafdb", "fer2013")


@pytest.fixture(scope="module")
def listed():
    return sample_tables.films(8)


@pytest.fixture(scope="module")
def summary():
    return sample_tables.film_summary(8, RUNS)


def one(table, **wanted):
    """Select rows of a selection by label; None is all films."""
    for column, value in wanted.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    return table.set_index("label")


def test_shares_of_selections_are_means_over_their_films(summary, listed):
    found = films.selection_shares(summary, listed, statistics=QUICK)
    crime = listed.loc[listed["genre"] == "crime", "film_id"]
    of_crime = summary[summary["film_id"].isin(crime) & (summary["run_id"] == "exe")]
    expected = of_crime.groupby("label")["share_of_faces"].mean()
    assert one(found, run_id="exe", genre="crime")["value"].to_dict() == pytest.approx(
        expected.to_dict()
    )
    whole = one(found, run_id="exe", genre=None)
    assert (whole["n_films"] == 8).all()
    assert ((whole["low"] <= whole["value"]) & (whole["value"] <= whole["high"])).all()
    few = films.selection_shares(summary, listed.head(4), statistics=QUICK)
    assert one(few, run_id="exe", genre="crime")[["low", "high"]].isna().all(axis=None)


def test_differences_are_those_of_the_shares_and_have_one_cause(summary, listed):
    shares = films.selection_shares(summary, listed, statistics=QUICK).fillna({"genre": ""})
    value = shares.set_index(["run_id", "genre", "label"])["value"]
    found = films.selection_differences(summary, listed, statistics=QUICK)
    found = found.fillna({"genre": "", "other_genre": ""})
    for row in found.itertuples():
        first = value[row.run_id, row.genre, row.label]
        second = value[row.other_run_id, row.other_genre, row.label]
        assert row.difference == pytest.approx(first - second)
        assert row.low <= row.difference <= row.high
    same_run, same_genre = (found[name] == found[f"other_{name}"] for name in ("run_id", "genre"))
    assert (same_run != same_genre).all()
    n = listed["genre"].nunique() + 1
    assert len(found) == (n * 3 + 3 * n * (n - 1) // 2) * summary["label"].nunique()


def test_shares_do_not_depend_on_other_runs_nor_on_order(listed, summary):
    lost = summary["film_id"].isin(["film02", "film05"]) & (summary["run_id"] == "exe")
    summary = summary.assign(
        share_of_faces=summary["share_of_faces"].mask(lost),
        n_faces=summary["n_faces"].mask(lost, 0),
    )
    shuffled = summary.sample(frac=1, random_state=1)
    found = films.selection_shares(shuffled, listed, statistics=QUICK)
    for run, n in (("exe", 6), ("rafdb", 8)):
        of_run = summary[summary["run_id"] == run]
        alone = one(films.selection_shares(of_run, listed, statistics=QUICK), genre=None)
        pd.testing.assert_frame_equal(one(found, run_id=run, genre=None), alone)
        assert (alone["n_films"] == n).all()


def test_runs_are_compared_film_by_film(listed):
    """A difference that is the same in each film is sure, however much films vary."""
    summary = sample_tables.film_summary(8, ("exe",))
    less = summary.assign(run_id="rafdb", share_of_faces=summary["share_of_faces"] - 0.001)
    found = films.selection_differences(pd.concat([summary, less]), listed, statistics=QUICK)
    found = one(found, genre=None, other_genre=None)
    assert np.allclose(found[["difference", "low", "high"]], 0.001)


def test_a_genre_without_a_face_is_left_out(summary, listed):
    lost = listed.loc[listed["genre"] == "drama", "film_id"]
    blank = summary["film_id"].isin(lost)
    summary = summary.assign(
        n_faces=summary["n_faces"].mask(blank, 0),
        share_of_faces=summary["share_of_faces"].mask(blank),
    )
    shares = films.selection_shares(summary, listed, statistics=QUICK)
    assert "drama" not in set(shares["genre"])
    assert (one(shares, run_id="exe", genre=None)["n_films"] == 6).all()
    compared = films.selection_differences(summary, listed, statistics=QUICK)
    assert "drama" not in set(compared["other_genre"])
    single = summary[summary["run_id"] == "exe"]
    no_genre = listed.assign(genre=None)
    assert films.selection_differences(single, no_genre, statistics=QUICK).empty
