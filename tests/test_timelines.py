"""Time: events that are there are found, autocorrelation alone is not one, gaps stay gaps."""

import numpy as np
import pandas as pd
import pytest
from sample_timelines import LABELS, STEP_S, event_at, rows_of, smooth_noise
from scipy import stats

from exe_core import films
from exe_core import tables as schema
from exe_core.resampling import Statistics

QUICK = Statistics(n_bootstrap=199, n_permutations=199, seed=0)
OTHERS = {"set_name": "films", "split": "test", "group_id": "film", "label": None}


def tried(rows, events, **options):
    return films.event_rises(
        rows, events, **{"window_s": 10 * STEP_S, "statistics": QUICK, **options}
    )


def combined(rows, events, **options):
    settings = {"window_s": 10 * STEP_S, "statistics": QUICK}
    return films.event_rises_combined(rows, events, **{**settings, **options}).iloc[0]


def predictions(item_ids):
    table = pd.DataFrame(0.5, index=range(len(item_ids)), columns=schema.prob_columns(LABELS))
    return table.assign(item_id=item_ids, run_id="run", predicted="happy")


def frames():
    return rows_of([0.5, np.nan, 0.5])[["film_id", "frame", "time_s", "n_faces"]]


def test_timeline_keeps_frames_without_a_face():
    rows = films.timeline(frames(), predictions(["film:000200", "film:000000"]), labels=LABELS)
    assert rows["frame"].tolist() == [0, 100, 200]
    assert rows["predicted"].isna().tolist() == [False, True, False]
    assert np.isnan(rows["prob_sad"][1])


def test_timeline_keeps_what_else_is_known_of_a_frame():
    rows = films.timeline(
        frames().assign(shot=[0, 0, 1]), predictions(["film:000000"]), labels=LABELS
    )
    assert rows["shot"].tolist() == [0, 0, 1]
    assert list(rows)[-1] == "shot"


def test_film_names_may_hold_a_colon():
    own = frames().assign(film_id="films:one")
    rows = films.timeline(own, predictions(["films:one:000100"]), labels=LABELS)
    assert rows["predicted"].notna().tolist() == [False, True, False]


def test_prediction_of_a_frame_that_was_not_sampled_is_refused():
    with pytest.raises(ValueError, match=r"1 predictions .* 'film:000300'"):
        films.timeline(frames(), predictions(["film:000100", "film:000300"]), labels=LABELS)


def test_two_predictions_of_a_frame_are_refused():
    with pytest.raises(pd.errors.MergeError):
        films.timeline(frames(), predictions(["film:000100"] * 2), labels=LABELS)


def test_step_up_is_found():
    happy = np.r_[np.full(50, 0.2), np.full(11, 0.8), np.full(40, 0.2)]
    found = tried(rows_of(happy), event_at(50)).iloc[0]
    assert found["difference"] == pytest.approx(0.6)
    assert found["p_value"] < 0.05
    assert found["low"] > 0


def test_window_is_in_seconds_and_ends_with_the_film():
    happy = np.r_[np.full(50, 0.2), np.full(3, 0.8)]
    found = tried(rows_of(happy), event_at(50), window_s=np.inf).iloc[0]
    assert found["difference"] == pytest.approx(0.6)


def test_faceless_frames_are_left_out_of_the_means():
    happy = np.r_[np.full(50, 0.2), np.full(50, 0.6)]
    happy[55:100] = np.nan
    assert tried(rows_of(happy), event_at(50))["difference"][0] == pytest.approx(0.4)


def test_event_with_no_face_after_it_is_undefined():
    happy = np.r_[np.full(50, 0.2), np.full(50, np.nan)]
    found = tried(rows_of(happy), event_at(50)).iloc[0]
    assert found[["difference", "low", "high", "p_value"]].isna().all()


def test_label_that_the_runs_do_not_know_is_left_out():
    assert tried(rows_of(np.full(50, 0.5)), event_at(20, label="disgust")).empty


def test_short_film_has_no_interval():
    found = tried(rows_of(np.linspace(0, 1, 12)), event_at(6)).iloc[0]
    assert np.isfinite(found["difference"])
    assert np.isnan(found["low"])


def test_p_of_an_event_is_uniform_in_smooth_noise_and_its_interval_covers():
    rng = np.random.default_rng(0)
    found = pd.concat([tried(rows_of(smooth_noise(rng)), event_at(60)) for _ in range(300)])
    assert stats.kstest(found["p_value"], "uniform").pvalue > 0.01
    covered = (found["low"] <= 0) & (found["high"] >= 0)
    assert 0.90 <= covered.mean() <= 0.99


def films_with_events(rng, n, lift):
    """Films of smooth noise in which happy is lifted after an event."""
    tables, events = [], []
    for i in range(n):
        happy = smooth_noise(rng)
        happy[60:70] = np.clip(happy[60:70] + lift, 0, 1)
        tables.append(rows_of(happy, film_id=f"film{i}"))
        events.append(event_at(60, film_id=f"film{i}"))
    return pd.concat(tables), pd.concat(events)


def test_combined_events_are_uniform_under_the_null():
    rng = np.random.default_rng(1)
    p = [combined(*films_with_events(rng, 4, 0.0))["p_value"] for _ in range(120)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def test_many_films_find_what_one_cannot():
    rng = np.random.default_rng(2)
    one = [combined(*films_with_events(rng, 1, 0.15))["p_value"] for _ in range(25)]
    many = [combined(*films_with_events(rng, 12, 0.15))["p_value"] for _ in range(25)]
    assert np.mean(np.array(many) <= 0.05) > 0.8
    assert np.mean(np.array(one) <= 0.05) < 0.6


def test_combined_counts_the_events_that_could_be_tried():
    rows = pd.concat([rows_of(np.full(40, 0.5)), rows_of(np.full(40, np.nan), film_id="dark")])
    events = pd.concat([event_at(20), event_at(30, label="sad"), event_at(20, film_id="dark")])
    found = combined(rows, events)
    assert (found["n_films"], found["n_events"]) == (1, 2)
    assert found["difference"] == 0
    assert np.isnan(found["low"])


def test_a_film_that_nothing_was_read_in_has_no_rows():
    kept = schema.check(predictions(["film:000000"]).assign(**OTHERS), "predictions")
    rows = films.timeline(frames(), kept.iloc[:0], labels=LABELS)
    assert rows.empty
    assert {"run_id", "film_id", "time_s", "predicted", "prob_sad"} <= set(rows)


def test_events_of_one_film_are_not_taken_for_independent():
    """Two events of a film, a step apart: were they shifted apart, p would be small too often."""
    rng, names = np.random.default_rng(7), ("a", "b", "c")
    at = {name: rng.integers(20, 130) for name in names}
    twice = [event_at(at[name] + k, film_id=name) for name in names for k in (0, 1)]
    p_values = []
    for k in range(200):
        rows = pd.concat([rows_of(smooth_noise(rng), film_id=name) for name in names])
        seeded = QUICK.model_copy(update={"seed": k})
        p_values.append(combined(rows, pd.concat(twice), statistics=seeded)["p_value"])
    assert stats.kstest(p_values, "uniform").pvalue > 0.01
    assert np.mean(np.array(p_values) <= 0.05) < 0.1
