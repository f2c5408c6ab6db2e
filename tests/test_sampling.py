"""Sampling: fewer frames, or the largest face alone, against all there are."""

import numpy as np
import pandas as pd
import pytest

from exe_core import films
from exe_core.resampling import Statistics

LABELS = ("angry", "happy", "sad")
OPTIONS = {"labels": LABELS, "statistics": Statistics(n_bootstrap=199, seed=0)}


def films_of(rng, *, n_films=8, n_frames=400, every=10, seen=0.8):
    """Films of random answers, of shares of their own."""
    tables = []
    for film in range(n_films):
        shares = rng.dirichlet([4, 4, 4])
        answers = rng.choice(LABELS, n_frames, p=shares).astype(object)
        answers[rng.random(n_frames) > seen] = None
        frame = np.arange(n_frames) * every
        tables.append(
            pd.DataFrame({"film_id": f"film{film}", "frame": frame, "predicted": answers})
        )
    return pd.concat(tables, ignore_index=True).assign(run_id="run")


def sparser(rows, **options):
    return films.sampling_sensitivity(rows, **{**OPTIONS, **options})


def test_differences_by_hand():
    rows = pd.DataFrame(
        {
            "film_id": "film",
            "frame": [0, 10, 20, 30],
            "predicted": ["happy", "sad", None, "sad"],
            "run_id": "run",
        }
    )
    found = sparser(rows, steps=(20,)).set_index("label")
    # every 20th, from the first: happy alone; from the second: sad twice; of all: a third happy
    assert found.loc["happy", "difference"] == pytest.approx(2 / 3)
    assert found.loc["happy", "typical"] == pytest.approx(
        np.sqrt(((2 / 3) ** 2 + (1 / 3) ** 2) / 2)
    )
    assert found.loc["sad", "difference"] == pytest.approx(-2 / 3)
    assert found["same_top"].tolist() == [0, 0, 0]
    assert found["low"].isna().all()


def test_the_sparser_the_sampling_the_farther_off():
    found = sparser(films_of(np.random.default_rng(0)), steps=(20, 50, 100, 400))
    typical = found.groupby("every")["typical"].mean()
    assert typical.is_monotonic_increasing
    assert found.groupby("every")["same_top"].first()[20] >= found["same_top"].min()
    assert ((found["low"] <= found["difference"]) & (found["difference"] <= found["high"])).all()


def test_differences_of_all_labels_cancel():
    found = sparser(films_of(np.random.default_rng(1)))
    assert found.groupby("every")["difference"].sum().to_numpy() == pytest.approx(0, abs=1e-9)


def test_only_steps_that_the_frames_hold_are_tried():
    rows = films_of(np.random.default_rng(2), every=100, n_frames=40)
    found = sparser(rows)
    assert sorted(found["every"].unique()) == [200, 400]
    assert (found["than_every"] == 100).all()
    assert sparser(rows, steps=(10, 150)).empty


def test_a_film_without_a_face_in_what_is_left_is_left_out():
    rows = films_of(np.random.default_rng(3), n_films=3, n_frames=8, seen=1.0)
    rows.loc[(rows["film_id"] == "film1") & (rows["frame"] % 40 == 0), "predicted"] = None
    found = sparser(rows, steps=(40,))
    assert found["n_films"].tolist() == [2] * 3
    assert found["difference"].notna().all()


def test_the_interval_of_the_difference_covers():
    rng = np.random.default_rng(4)
    hits = []
    for seed in range(100):
        rows = films_of(rng, n_films=12, n_frames=60)
        row = sparser(rows, steps=(50,), statistics=Statistics(n_bootstrap=199, seed=seed)).iloc[0]
        hits.append(row["low"] <= 0 <= row["high"])
    assert 0.89 <= np.mean(hits) <= 0.99


def faces_table():
    """Two frames: one of a face, one of three."""
    k = [0, 0, 1, 2]
    items = ["film:000000", *["film:000100"] * 3]
    return pd.DataFrame(
        {
            "face_id": [f"films/{item}/{place}" for item, place in zip(items, k, strict=True)],
            "item_id": items,
            "is_primary": [True, True, False, False],
        }
    )


def test_each_face_is_an_item_of_its_own():
    faces = faces_table()
    items = films.each_face(faces)
    assert items["item_id"].tolist() == [
        "film:000000:0",
        "film:000100:0",
        "film:000100:1",
        "film:000100:2",
    ]
    assert items["is_primary"].all()
    assert faces["item_id"].nunique() == 2
    assert films.each_face(faces[:0]).empty


def test_all_faces_against_the_largest():
    predictions = films.each_face(faces_table())[["item_id"]].assign(
        run_id="run", group_id="film", predicted=["happy", "happy", "sad", "sad"]
    )
    found = films.largest_or_all(predictions, **OPTIONS).set_index("label")
    assert found.loc["happy", ["largest", "every_face"]].tolist() == [1, 0.5]
    assert found.loc["sad", "difference"] == 0.5
    assert found[["n_faces", "n_largest"]].iloc[0].tolist() == [4, 2]
