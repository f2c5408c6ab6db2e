"""Measures on the published predictions: their denominators, their nulls, their known answers."""

import numpy as np
import pandas as pd
import pytest
from published_files import LONG, write_files

from exe_core import published
from exe_core.published import CONFIDENT, Event, Measures, counted, minus, probability
from exe_core.resampling import Statistics

STATISTICS = Statistics(n_bootstrap=200, n_permutations=500, seed=0)
REUNION = Event(LONG[0], 84)


def measured(folder):
    return Measures(published.read_published(folder), STATISTICS)


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    return measured(write_files(tmp_path_factory.mktemp("null")))


def of_run(measures, run="FER"):
    rows = measures.published.predictions
    return rows[rows["run_id"] == run]


def test_share_is_of_faces_and_a_doubled_row_counts_once(null):
    rows = of_run(null, "RAFDB")
    found = null.share("RAFDB", ["happy", "sad"], claimed=0.4)
    assert found.value == pytest.approx(rows["predicted"].isin(["happy", "sad"]).mean())
    assert found.low < found.value < found.high


def test_claimed_share_is_what_p_is_against(null):
    near = null.share("FER", ["angry"], claimed=0.98)
    far = null.share("FER", ["angry"], claimed=0.9)
    assert (near.value, near.low) == pytest.approx((far.value, far.low))
    assert near.p_value > 0.01 > far.p_value


def test_bound_counts_each_faceless_frame_as_if_it_were_of_the_label(null):
    frames, angry = null.published.frames, (of_run(null)["predicted"] == "angry").sum()
    faceless = (frames["n_faces"] == 0).sum()
    found = null.most_of_frames("FER", ["angry"], claimed=0.98)
    assert found.value == pytest.approx((angry + faceless) / len(frames))


def test_confident_faces_are_those_that_the_timelines_count(null):
    rows = of_run(null, "ExE")
    rows = rows[rows["confidence"] >= CONFIDENT]
    found = null.confident.share("ExE", ["sad"], claimed=0.2)
    assert found.value == pytest.approx((rows["predicted"] == "sad").mean())


def test_film_is_led_by_the_label_of_most_of_its_faces(null):
    assert null.films_led_by("FER", "angry", claimed=0.9).value == pytest.approx(1)
    rows = of_run(null, "ExE")
    leads = pd.crosstab(rows["group_id"], rows["predicted"]).idxmax(axis=1) == "sad"
    assert null.films_led_by("ExE", "sad", claimed=0.5).value == pytest.approx(leads.mean())


def test_genres_are_apart_only_where_they_are(null, tmp_path):
    found = null.genre_gap(null.shares("ExE", ["happy"]))
    assert found.low < 0 < found.high
    apart = measured(write_files(tmp_path, happy_in_comedies=1.0))
    assert apart.genre_gap(apart.shares("ExE", ["happy"])).low > 0
    assert apart.separation["ExE"].low > 0 > apart.separation["RAFDB"].low
    assert apart.more_than("ExE", "RAFDB", ["happy"]).low > 0


@pytest.fixture(scope="module")
def rising(tmp_path_factory):
    return measured(write_files(tmp_path_factory.mktemp("rises"), rises=True))


def test_event_is_found_where_it_is_and_by_the_run_that_shows_it(rising):
    assert rising.rise([REUNION], probability("ExE")).low > 0
    assert rising.rise([REUNION, Event(LONG[1], 92)], probability("ExE")).low > 0
    beside = rising.rise([Event(LONG[0], 30)], probability("ExE"))
    assert beside.low < 0 < beside.high
    other = rising.rise([REUNION], probability("RAFDB"))
    assert other.low < 0 < other.high
    difference = rising.rise([REUNION], minus(probability("ExE"), probability("RAFDB")))
    assert difference.value == pytest.approx(
        rising.rise([REUNION], probability("ExE")).value - other.value
    )


def test_counted_faces_are_of_all_faces_or_of_those_counted(rising):
    rows = of_run(rising, "ExE")
    rows = rows[rows["group_id"] == LONG[0]]
    after, sure = rows["time_s"] >= 84 * 60, rows["confidence"] >= CONFIDENT
    happy = (rows["predicted"] == "happy") & sure

    def gap(kept):
        return happy[kept & after].mean() - happy[kept & ~after].mean()

    of_faces = rising.rise([REUNION], counted("ExE"), window_s=np.inf)
    of_counted = rising.rise([REUNION], counted("ExE", of="counted"), window_s=np.inf)
    assert of_faces.value == pytest.approx(gap(sure | ~sure))
    assert of_counted.value == pytest.approx(gap(sure))
