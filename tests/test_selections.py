"""Selections of films: shares as the study reports them, differences that have one cause."""

import numpy as np
import pandas as pd
import pytest
import sample_tables

from exe_core import films as film_measures
from exe_core.films import selection_differences, selection_shares
from exe_core.resampling import Statistics

CHANCE = {"statistics": Statistics(n_bootstrap=200, seed=1)}
RUNS = ("exe", "rafdb", "fer2013")
ESTIMATE = ["value", "low", "high"]


@pytest.fixture(scope="module")
def films():
    return sample_tables.films(8)


@pytest.fixture(scope="module")
def summary():
    return sample_tables.film_summary(8, RUNS)


def one(table, **wanted):
    """Give the rows of a selection by label; None is all films."""
    for column, value in wanted.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    return table.set_index("label")


def test_shares_over_all_films_are_those_that_the_study_reports(summary, films):
    found = selection_shares(summary, films, **CHANCE)
    reported = film_measures.overall(summary, **CHANCE)
    for run in RUNS:
        own = one(found, run_id=run, genre=None)[ESTIMATE]
        pd.testing.assert_frame_equal(own, one(reported, run_id=run)[ESTIMATE], check_like=True)


def test_shares_of_a_genre_are_means_over_its_films(summary, films):
    found = one(selection_shares(summary, films, **CHANCE), run_id="exe", genre="crime")
    crime = films.loc[films["genre"] == "crime", "film_id"]
    own = summary[summary["film_id"].isin(crime) & (summary["run_id"] == "exe")]
    expected = own.groupby("label")["share_of_faces"].mean()
    assert found["value"].to_dict() == pytest.approx(expected.to_dict())
    assert (found["n_films"] == 2).all()


def test_a_difference_is_that_of_the_shares_and_lies_in_its_interval(summary, films):
    shares = selection_shares(summary, films, **CHANCE).fillna({"genre": ""})
    value = shares.set_index(["run_id", "genre", "label"])["value"].to_dict()
    found = selection_differences(summary, films, **CHANCE).fillna({"genre": "", "other_genre": ""})
    for row in found.itertuples():
        first = value[row.run_id, row.genre, row.label]
        second = value[row.other_run_id, row.other_genre, row.label]
        assert row.difference == pytest.approx(first - second)
        assert row.low <= row.difference <= row.high


def test_selections_that_are_compared_differ_in_run_or_in_genre(summary, films):
    found = selection_differences(summary, films, **CHANCE).fillna({"genre": "", "other_genre": ""})
    same_run, same_genre = (found[name] == found[f"other_{name}"] for name in ("run_id", "genre"))
    assert (same_run != same_genre).all()
    genres = films["genre"].nunique() + 1
    pairs = genres * 3 + 3 * genres * (genres - 1) // 2
    assert len(found) == pairs * summary["label"].nunique()


def test_runs_are_compared_film_by_film(films):
    """What one run always reads more by the same share is sure, however much films vary."""
    summary = sample_tables.film_summary(8, ("exe",))
    both = pd.concat(
        [summary, summary.assign(run_id="rafdb", share_of_faces=summary["share_of_faces"] - 0.001)]
    )
    found = one(selection_differences(both, films, **CHANCE), genre=None, other_genre=None)
    assert np.allclose(found[["difference", "low", "high"]], 0.001)


def test_a_film_without_a_face_counts_for_nothing_and_a_genre_of_them_is_left_out(summary, films):
    lost = films["film_id"].isin(films.loc[films["genre"] == "drama", "film_id"])
    blank = summary["film_id"].isin(films.loc[lost, "film_id"])
    summary = summary.assign(
        n_faces=summary["n_faces"].mask(blank, 0),
        share_of_faces=summary["share_of_faces"].mask(blank),
    )
    shares = selection_shares(summary, films, **CHANCE)
    assert "drama" not in set(shares["genre"])
    assert (one(shares, run_id="exe", genre=None)["n_films"] == 6).all()
    assert "drama" not in set(selection_differences(summary, films, **CHANCE)["other_genre"])


def test_a_single_film_of_a_genre_has_no_interval(films):
    found = selection_shares(sample_tables.film_summary(4, RUNS), films.head(4), **CHANCE)
    crime = one(found, run_id="exe", genre="crime")
    assert crime["value"].notna().all()
    assert crime[["low", "high"]].isna().all(axis=None)


def test_a_study_of_one_run_and_no_genre_has_nothing_to_compare(films):
    summary = sample_tables.film_summary(8, ("exe",))
    assert selection_differences(summary, films.assign(genre=None), **CHANCE).empty
