"""Films of the world: files that any player reads, with the truth of each frame."""

from collections import Counter
from itertools import pairwise

import av
import numpy as np
import pytest
from sample_worlds import tiny_study

from exe_core.record import ROOT
from exe_core.tables import read
from exe_world.films import EVENT_REACH, act, make_films, truth, write_script

FIVE = ("angry", "fear", "happy", "sad", "surprise")


@pytest.fixture(autouse=True)
def _home(home, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(home))


@pytest.fixture(scope="module")
def study(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home))
        made = tiny_study(labels=FIVE)
        make_films(made, progress=False)
    return made


def decode(path):
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


def test_files_are_h264_of_the_stated_length(study):
    films = read(study.raw / "films.parquet", name="films")
    assert set(films["genre"]) == {"comedy", "crime", "drama", "horror"}
    for film in films.itertuples():
        with av.open(str(ROOT / film.path)) as opened:
            stream = opened.streams.video[0]
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
            assert (stream.average_rate, stream.frames) == (24, film.n_frames)
            assert (stream.width, stream.height) == study.world.film_size
            times = [frame.time for frame in opened.decode(video=0)]
        assert film.duration_s == pytest.approx(20)
        np.testing.assert_allclose(times, np.arange(480) / 24, atol=1e-6)


def test_frames_are_equal_between_runs_and_numbers_of_processes(study):
    path = study.raw / "films" / "drama-01.mp4"
    before = decode(path)
    path.unlink()
    make_films(study, progress=False, jobs=1)
    np.testing.assert_array_equal(decode(path), before)


def test_only_what_is_not_whole_is_made_again(study):
    folder = study.raw / "films"
    whole = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}
    (folder / "crime-01.mp4").write_bytes(b"cut off")
    make_films(study, progress=False)
    now = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert now.keys() == whole.keys()
    assert {name for name in whole if now[name] != whole[name]} == {"crime-01.mp4"}


def test_every_frame_has_its_truth_and_events_are_at_cuts(study):
    rows = study.read("truth")
    films = read(study.raw / "films.parquet", name="films")
    assert set(rows["set_name"]) == {"films"}
    assert set(rows["item_id"]) == {
        f"{film.film_id}:{n:06d}" for film in films.itertuples() for n in range(film.n_frames)
    }
    faces = rows[rows["n_faces"] == 1]
    assert set(faces["label_true"]) <= set(FIVE)
    assert faces["intensity"].between(0.35, 0.75).all()
    assert faces["yaw_deg"].abs().max() < 60
    assert rows[rows["n_faces"] == 0]["label_true"].isna().all()
    events = study.read("events")
    assert (len(events), events["time_s"].between(4, 16).all()) == (8, True)
    for place in range(4):
        script = write_script(study, place)
        assert {tick for tick, _ in script.events} <= {shot.start for shot in script.shots}


@pytest.fixture(scope="module")
def world():
    """Scripts are cheap: what must hold on average is tried on many films."""
    return tiny_study(labels=FIVE, n_films=60, film_seconds=180, film_size=(640, 360))


@pytest.fixture(scope="module")
def scripts(world):
    return [write_script(world, place) for place in range(60)]


def test_shots_follow_each_other_and_films_differ(scripts):
    for script in scripts:
        assert (script.shots[0].start, script.shots[-1].stop) == (0, 180)
        assert all(a.stop == b.start for a, b in pairwise(script.shots))
    assert len({script.title for script in scripts}) == len(scripts)
    assert len({script.film_id for script in scripts}) == len(scripts)
    empty = [shot.person is None for script in scripts for shot in script.shots]
    assert np.mean(empty) == pytest.approx(0.15, abs=0.03)


def test_a_genre_has_its_emotion(scripts):
    shares = {script.genre: Counter() for script in scripts}
    for script in scripts:
        for shot in script.shots:
            shares[script.genre][shot.emotions[0]] += shot.stop - shot.start
    most = {genre: max(count, key=count.get) for genre, count in shares.items()}
    assert most == {"comedy": "happy", "crime": "angry", "drama": "sad", "horror": "fear"}


def test_an_emotion_rises_after_its_event(world, scripts):
    rises, reach = [], round(EVENT_REACH * 180)
    for script in scripts:
        labels = [row.get("label_true") for row in truth(world, script)][::24]
        for tick, label in script.events:
            after, before = labels[tick : tick + reach], labels[tick - reach : tick]
            rises.append(after.count(label) / reach - before.count(label) / reach)
    assert np.mean(np.array(rises) > 0) > 0.95
    assert np.mean(rises) > 0.4


def test_a_turn_passes_through_flagged_steps_and_every_face_fits(world, scripts):
    turns = 0
    for script in scripts:
        for shot in script.shots:
            if shot.person is None:
                continue
            moments = act(world, script, shot)
            if len(set(shot.emotions)) == 2:
                turns += 1
                assert (moments[0].label, moments[-1].label) == shot.emotions
                assert not moments[0].is_blend
                assert any(moment.is_blend for moment in moments)
                assert not moments[-1].is_blend
            (x, y), scale = moments[0].person.centre, moments[0].person.px_per_unit
            assert 1.38 * scale >= 0.16 * 640
            assert 0.7 * scale < x < 640 - 0.7 * scale
            assert 1.1 * scale < y < 360 - 1.06 * scale
    assert turns
    assert 0 < np.mean([row["is_blend"] for row in truth(world, scripts[0])]) < 0.2
