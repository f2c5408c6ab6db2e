"""The course of a film: a smoothed curve whose band covers what it is a band of."""

import numpy as np
import pandas as pd
import pytest
from sample_timelines import STEP_S, rows_of
from scipy import stats

from exe_core import films
from exe_core.resampling import Statistics


def film_of(happy, **columns):
    rows = rows_of(happy)
    predicted = np.where(rows["prob_happy"] > 0.5, "happy", "sad").astype(object)
    predicted[rows["prob_happy"].isna()] = None
    return rows.assign(predicted=predicted, shot=np.arange(len(rows)), **columns)


def course(rows, *, smooth_s=12.0, n=199, seed=0, level=0.95):
    found = films.course(
        rows, smooth_s=smooth_s, statistics=Statistics(level=level, n_bootstrap=n, seed=seed)
    )
    return found.set_index(["measure", "label", "time_s"]).sort_index()


def test_a_constant_film_has_a_constant_course_and_no_band():
    happy = course(film_of(np.full(40, 0.7))).loc[("probability", "happy")]
    assert happy[["value", "low", "high"]].to_numpy() == pytest.approx(np.full((40, 3), 0.7))


def test_probabilities_and_shares_add_up_to_one():
    found = course(film_of(np.random.default_rng(0).uniform(size=60)))
    totals = found.groupby(["measure", "time_s"])["value"].sum()
    assert totals.to_numpy() == pytest.approx(1)


def test_the_curve_is_the_kernel_mean_by_hand():
    happy = np.array([0.1, 0.5, np.nan, 0.9])
    found = course(film_of(happy), smooth_s=8.0).loc[("probability", "happy")]
    weights = np.exp(-0.5 * (np.array([1, 0, 2]) * STEP_S / 8.0) ** 2)
    assert found["value"].iloc[1] == pytest.approx(np.average([0.1, 0.5, 0.9], weights=weights))


def test_no_face_near_is_undefined_and_not_zero():
    happy = np.full(80, 0.4)
    happy[20:60] = np.nan
    found = course(film_of(happy)).loc[("share", "sad")]
    assert found["value"].iloc[40:41].isna().all()
    assert found["value"].iloc[[0, 79]].tolist() == pytest.approx([1, 1])


def test_one_shot_has_no_band():
    rows = film_of(np.random.default_rng(0).uniform(size=30)).assign(shot=0)
    found = course(rows)
    assert found["value"].notna().all()
    assert found[["low", "high"]].isna().all(axis=None)


def test_a_film_without_faces_has_no_course():
    found = course(film_of(np.full(10, np.nan)))
    assert found[["value", "low", "high"]].isna().all(axis=None)


def test_a_film_of_one_frame():
    rows = film_of([0.8])
    assert course(rows, smooth_s=films.smoothing_s(rows))["value"].tolist()[0] == 0.8


def test_several_runs_are_refused():
    rows = film_of(np.full(5, 0.5))
    with pytest.raises(ValueError, match="one run and one film"):
        course(pd.concat([rows, rows.assign(run_id="other")]))


def test_a_long_film_has_as_many_times_as_a_chart_can_show():
    rows = film_of(np.random.default_rng(0).uniform(size=3000))
    found = course(rows, smooth_s=60, n=50)
    assert len(found) == films.MAX_TIMES * 4
    assert len(films.cumulative(rows)) == films.MAX_TIMES * 2


@pytest.mark.parametrize(("minutes", "width"), [(120, 60), (12, 60), (3, 15)])
def test_the_kernel_is_a_minute_wide_or_a_twelfth_of_a_short_film(minutes, width):
    rows = pd.DataFrame({"time_s": [0.0, minutes * 60]})
    assert films.smoothing_s(rows) == pytest.approx(width)


def shots_of(rng, n):
    """Shots of two frames on average, alike within, around a wave; with the wave."""
    shot = np.cumsum(rng.random(n) < 0.5)
    wave = 0.35 + 0.25 * np.sin(2 * np.pi * np.arange(n) / n)
    first = np.searchsorted(shot, shot)
    own = rng.beta(4 * wave, 4 * (1 - wave))
    happy = 0.8 * own[first] + 0.2 * rng.beta(4 * wave, 4 * (1 - wave))
    happy[rng.random(n) < 0.15] = np.nan
    return film_of(happy).assign(shot=shot), wave


def test_the_band_covers_and_one_of_frames_would_not():
    rng = np.random.default_rng(1)
    covered = {"shots": [], "frames": []}
    for seed in range(40):
        rows, wave = shots_of(rng, 80)
        seen = rows["prob_happy"].notna().to_numpy()
        far = (rows["time_s"].to_numpy()[:, None] - rows["time_s"].to_numpy()) / 20
        kernel = np.exp(-0.5 * far**2) * (np.abs(far) <= 3) * seen
        truth = (kernel * wave).sum(axis=1) / kernel.sum(axis=1)
        for name, shot in (("shots", rows["shot"]), ("frames", np.arange(80))):
            own = course(rows.assign(shot=shot), smooth_s=20.0, seed=seed)
            band = own.loc[("probability", "happy")]
            covered[name].append((band["low"] <= truth) & (truth <= band["high"]))
    shots, frames = (np.mean(covered[name]) for name in ("shots", "frames"))
    assert 0.91 <= shots <= 0.98
    assert frames < shots - 0.03


def test_faces_are_counted_as_the_published_timelines_do():
    rows = film_of([0.9, 0.45, np.nan, 0.2, 0.7])
    found = films.cumulative(rows, confident=0.6).set_index(["label", "time_s"])["n"]
    assert found["happy"].tolist() == [1, 1, 1, 1, 2]
    assert found["sad"].tolist() == [0, 0, 0, 1, 1]


def test_no_more_shots_under_the_kernel_than_there_are():
    found = course(film_of(stats.uniform.rvs(size=50, random_state=0)), smooth_s=16.0)
    assert found["n_blocks"].between(1, 50).all()
