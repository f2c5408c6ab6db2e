"""Shares over films: denominators, known answers, and tests that find what is there only."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from shares_one_by_one import one_by_one

from exe_core import films, resampling, tables
from exe_core.resampling import Statistics

LABELS = ("angry", "happy", "sad")


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
    table = pd.DataFrame(0.1 + 0.7 * guess.reshape(-1, 3), columns=tables.prob_columns(LABELS))
    return table.assign(
        item_id=[f"{film_id}:{position * 100:06d}" for position in answers],
        set_name="films",
        split="test",
        group_id=film_id,
        run_id=run_id,
        label=None,
        predicted=list(answers.values()),
    )


@pytest.fixture
def two_films():
    """One film with a face in three of its ten frames, one without any."""
    frames = pd.concat([frames_of("some", 10, [1, 4, 5]), frames_of("none", 4, [])])
    return frames, faces_of("some", {1: "sad", 4: "sad", 5: "happy"})


def summary_of(shares, *, run_id="run"):
    """Make a summary from {film: shares of LABELS}."""
    return pd.DataFrame(
        [
            {
                "film_id": film_id,
                "run_id": run_id,
                "label": label,
                "n_frames": 100,
                "n_faces": 50,
                "share_of_faces": share,
                "mean_prob": share,
            }
            for film_id, row in shares.items()
            for label, share in zip(LABELS, row, strict=True)
        ]
    )


def genre_table(genres):
    return pd.DataFrame({"film_id": list(genres), "genre": list(genres.values())})


def random_films(rng, n=17, n_comedies=10, shift=0.0):
    """Films of random shares, more happy by `shift` in comedies."""
    shares = rng.dirichlet([8, 4, 8], size=n)
    shares[:n_comedies, 1] += shift
    shares /= shares.sum(axis=1, keepdims=True)
    summary = summary_of({f"film{i:02d}": row for i, row in enumerate(shares)})
    genre = ["Comedy"] * n_comedies + ["Crime"] * (n - n_comedies)
    return summary, genre_table({f"film{i:02d}": g for i, g in enumerate(genre)})


def separation(summary, table, *, n=50):
    return films.genre_separation(
        summary, table, statistics=Statistics(n_permutations=n, seed=0)
    ).iloc[0]


def contrast(summary, table, *, seed=0, n=199):
    return films.genre_contrast(
        summary,
        table,
        genres=("Comedy", "Crime"),
        labels={"happy": ["happy"], "negative": ["angry", "sad"]},
        statistics=Statistics(n_bootstrap=n, n_permutations=n, seed=seed),
    ).set_index("contrast")


def test_shares_are_over_faces_and_faceless_frames_are_counted(two_films):
    summary = films.summarise(*two_films, labels=LABELS).set_index(["film_id", "label"])
    assert summary.loc[("some", "sad"), "share_of_faces"] == pytest.approx(2 / 3)
    assert summary.loc[("some", "happy"), "mean_prob"] == pytest.approx((0.1 + 0.1 + 0.8) / 3)
    assert (summary.loc["some", "n_frames"] == 10).all()
    assert (summary.loc["some", "n_faces"] == 3).all()


def test_film_without_a_face_has_rows_and_no_shares(two_films):
    summary = films.summarise(*two_films, labels=LABELS).set_index("film_id")
    assert (summary.loc["none", "n_frames"] == 4).all()
    assert (summary.loc["none", "n_faces"] == 0).all()
    assert summary.loc["none", ["share_of_faces", "mean_prob"]].isna().all(axis=None)


def test_inputs_are_left_unchanged(two_films):
    before = [table.copy() for table in two_films]
    films.summarise(*two_films, labels=LABELS)
    for table, copy in zip(two_films, before, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_bounds_hold_whatever_the_faceless_frames_showed(two_films):
    table = films.coverage(films.summarise(*two_films, labels=LABELS))
    sad = table.set_index(["film_id", "label"]).loc[("some", "sad")]
    assert sad["coverage"] == pytest.approx(0.3)
    assert sad[["share_low", "share_high"]].tolist() == pytest.approx([0.2, 0.9])
    nothing = table[table["film_id"] == "none"]
    assert (nothing["share_low"] == 0).all()
    assert (nothing["share_high"] == 1).all()


def test_over_films_the_share_lies_within_its_bounds(two_films):
    summary = films.summarise(*two_films, labels=LABELS)
    found = films.overall(summary, statistics=Statistics(n_bootstrap=99, seed=0)).set_index("label")
    sad = found.loc["sad"]
    assert sad["value"] == pytest.approx(2 / 3)  # of the film that has faces
    assert sad[["share_low", "share_high"]].tolist() == pytest.approx([0.1, 0.95])
    assert np.isnan(sad["low"])
    assert sad["coverage"] == pytest.approx(0.15)


@pytest.mark.parametrize(
    ("shares", "entropy", "top"),
    [((1, 0, 0), 0, "angry"), ((1 / 3, 1 / 3, 1 / 3), 1, None), ((0, 0.5, 0.5), 0.631, None)],
)
def test_diversity_by_hand(shares, entropy, top):
    found = films.diversity(summary_of({"film": shares})).iloc[0]
    assert found["entropy"] == pytest.approx(entropy, abs=1e-3)
    assert found["top_share"] == pytest.approx(max(shares))
    assert top is None or found["top_label"] == top


def test_diversity_of_a_film_without_faces_is_undefined(two_films):
    found = films.diversity(films.summarise(*two_films, labels=LABELS)).set_index("film_id")
    assert np.isnan(found.loc["none", "entropy"])
    assert found.loc["none", "n_faces"] == 0
    assert found.loc["some", "top_label"] == "sad"


def test_genres_that_share_nothing_explain_everything():
    shares = {f"a{i}": (1, 0, 0) for i in range(5)} | {f"b{i}": (0, 0, 1) for i in range(5)}
    table = genre_table({film: film[0] for film in shares})
    found = separation(summary_of(shares), table, n=199)
    assert found["r2"] == pytest.approx(1)
    assert found["p_value"] <= 0.02
    assert found["null_mean"] == pytest.approx(1 / 9, abs=0.04)


def test_films_all_alike_have_no_separation():
    shares = {f"f{i}": (0.2, 0.3, 0.5) for i in range(6)}
    table = genre_table({film: "ab"[i % 2] for i, film in enumerate(shares)})
    found = separation(summary_of(shares), table)
    assert np.isnan(found["r2"])
    assert np.isnan(found["p_value"])


def test_one_film_a_genre_says_nothing():
    """Genres would explain all of the variance, whatever the films."""
    summary, table = random_films(np.random.default_rng(0), n=4, n_comedies=2)
    own = table.assign(genre=["a", "b", "c", "d"])
    found = separation(summary, own)
    assert np.isnan(found["r2"])
    assert np.isnan(found["p_value"])


def test_separation_is_no_more_than_chance_on_average_where_genres_say_nothing():
    found = [separation(*random_films(np.random.default_rng(seed)), n=50) for seed in range(200)]
    table = pd.DataFrame(found)
    assert table["r2"].mean() == pytest.approx(1 / 16, abs=0.02)
    assert abs(table["epsilon2"].mean()) < 0.02
    covered = (table["low"] <= 0) & (table["high"] >= 0)
    assert covered.mean() >= 0.93


def test_epsilon_squared_is_r_squared_adjusted_for_the_number_of_genres():
    found = separation(*random_films(np.random.default_rng(3), shift=0.3))
    adjusted = 1 - (1 - found["r2"]) * 16 / 15
    assert found["epsilon2"] == pytest.approx(adjusted)
    assert found["low"] < adjusted < found["high"]


def test_a_genre_of_one_film_has_an_interval_none_if_all_are_such():
    summary, table = random_films(np.random.default_rng(0), n=6, n_comedies=3)
    one = table.assign(genre=["a", "a", "a", "b", "b", "c"])
    assert np.isfinite(separation(summary, one)[["low", "high"]].astype(float)).all()
    lone = separation(summary, table.assign(genre=list("abcdef")))
    assert np.isnan(lone["epsilon2"])
    assert np.isnan(lone["low"])


def test_films_without_a_genre_are_left_out():
    summary, table = random_films(np.random.default_rng(0))
    table.loc[0, "genre"] = None
    found = separation(summary, table)
    assert found["n_films"] == 16


def test_contrast_is_the_difference_of_genre_means():
    shares = {
        "a": (0.2, 0.6, 0.2),
        "b": (0.2, 0.4, 0.4),
        "c": (0.4, 0.1, 0.5),
        "d": (0.6, 0.3, 0.1),
    }
    table = genre_table({"a": "Comedy", "b": "Comedy", "c": "Crime", "d": "Crime"})
    found = contrast(summary_of(shares), table)
    assert found.loc["happy", "difference"] == pytest.approx(0.3)
    assert found.loc["negative", "difference"] == pytest.approx(-0.3)


def test_contrast_finds_a_shift():
    found = contrast(*random_films(np.random.default_rng(1), shift=0.4)).loc["happy"]
    assert found["p_value"] <= 0.01
    assert found["low"] > 0


def test_contrast_needs_films_of_both_genres():
    summary, table = random_films(np.random.default_rng(0))
    with pytest.raises(ValueError, match="both genres"):
        contrast(summary, table.assign(genre="Comedy"))


def test_null_is_uniform_and_the_interval_covers():
    """No difference between genres, 150 times over."""
    found = pd.concat(
        [
            contrast(*random_films(np.random.default_rng(seed)), seed=seed, n=99).loc[["happy"]]
            for seed in range(150)
        ]
    )
    assert stats.kstest(found["p_value"], "uniform").pvalue > 0.01
    covered = (found["low"] <= 0) & (found["high"] >= 0)
    assert 0.89 <= covered.mean() <= 0.99


def test_p_is_never_zero():
    shares = {f"a{i}": (1, 0, 0) for i in range(30)} | {f"b{i}": (0, 0, 1) for i in range(30)}
    table = genre_table({film: film[0] for film in shares})
    found = separation(summary_of(shares), table, n=99)
    assert found["p_value"] == resampling.p_value(1.0, np.zeros(99))


def test_shares_over_films_at_once_are_those_one_by_one():
    """Also where films are without a face, in one run only, or in no order."""
    rng = np.random.default_rng(5)
    summaries = [
        summary_of(
            {f"film{k:02d}": rng.dirichlet([8, 4, 8]) for k in rng.permutation(n)}, run_id=run_id
        )
        for run_id, n in (("b", 9), ("a", 9), ("c", 7))
    ]
    summary = pd.concat(summaries, ignore_index=True)
    faceless = summary["film_id"].isin(["film02", "film05"]) & (summary["run_id"] != "a")
    columns = ["share_of_faces", "mean_prob"]
    summary[columns] = summary[columns].mask(faceless)
    summary["n_faces"] = summary["n_faces"].mask(faceless, 0)
    summary = summary.sample(frac=1, random_state=1).sort_values("film_id", kind="stable")
    chance = {"statistics": Statistics(n_bootstrap=200, seed=3)}
    found = films.overall(summary, **chance)
    pd.testing.assert_frame_equal(found, one_by_one(summary, **chance), atol=1e-12)


def test_tables_are_summarised_as_what_they_hold(tmp_path, two_films):
    frames, faces = two_films
    runs = [faces, faces.assign(run_id="other", predicted="angry")]
    for table in runs:
        tables.write(table, tmp_path / f"{table['run_id'].iloc[0]}.parquet", name="predictions")
    found = films.summarise_tables(frames, sorted(tmp_path.iterdir()), labels=LABELS)
    pd.testing.assert_frame_equal(found, films.summarise(frames, pd.concat(runs), labels=LABELS))


def test_a_frame_that_a_run_reads_twice_is_refused(two_films):
    frames, faces = two_films
    with pytest.raises(ValueError, match="2 predictions are of a frame that the run read already"):
        films.summarise(frames, pd.concat([faces, faces.iloc[:2]]), labels=LABELS)


def test_where_nothing_was_read_nothing_is_said(two_films):
    frames, faces = two_films
    assert films.summarise(frames, faces.iloc[:0], labels=LABELS).empty
