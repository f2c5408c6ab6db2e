from collections import Counter
from itertools import pairwise

import av
import numpy as np
import pytest
from sample_worlds import tiny_study

from exe_core.study import ROOT
from exe_core.tables import read
from exe_world.films import make_films
from exe_world.scripts import EVENT_REACH, act, frames_per_tick, framing, truth, write_script

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


class TestFiles:
    def test_are_h264_of_the_said_length(self, study):
        films = read(study.raw / "films.parquet", name="films")
        assert set(films["genre"]) == {"comedy", "crime", "drama", "horror"}
        assert films["title"].is_unique
        for film in films.itertuples():
            with av.open(str(ROOT / film.path)) as opened:
                stream = opened.streams.video[0]
                assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
                assert (stream.average_rate, stream.frames) == (24, film.n_frames)
                assert (stream.width, stream.height) == study.world.film_size
            assert film.duration_s == pytest.approx(20)

    def test_a_picture_is_held_and_times_are_even(self, study):
        path = study.raw / "films" / "comedy-01.mp4"
        with av.open(str(path)) as film:
            times = [frame.time for frame in film.decode(video=0)]
        np.testing.assert_allclose(times, np.arange(480) / 24, atol=1e-6)
        frames = np.array(decode(path), int)
        moved = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2, 3))
        at_ticks = np.arange(1, 480) % frames_per_tick(study.world) == 0
        assert moved[~at_ticks].max() < np.median(moved[at_ticks])

    def test_frames_are_equal_between_runs_and_numbers_of_processes(self, study):
        path = study.raw / "films" / "drama-01.mp4"
        before = decode(path)
        path.unlink()
        make_films(study, progress=False, jobs=1)
        np.testing.assert_array_equal(decode(path), before)

    def test_only_what_is_not_whole_is_made_again(self, study):
        folder = study.raw / "films"
        whole = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}
        (folder / "crime-01.mp4").write_bytes(b"cut off")
        make_films(study, progress=False)
        now = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}
        assert {name for name in whole if now[name] != whole[name]} == {"crime-01.mp4"}
        assert not list(folder.glob("*.part"))

    def test_only_people_move_within_a_shot(self, study):
        script, hold = write_script(study, 3), frames_per_tick(study.world)
        # The last frame of each picture: by then the encoder has made it sharp.
        pictures = np.array(decode(study.raw / "films" / "horror-01.mp4"), int)[hold - 1 :: hold]
        for shot in script.shots:
            moved = np.abs(np.diff(pictures[shot.start : shot.stop], axis=0)).mean(axis=(1, 2, 3))
            if moved.size:
                assert (np.median(moved) > 0.5) == (shot.person is not None)
        assert {shot.person is None for shot in script.shots} == {True, False}


class TestTruth:
    def test_every_frame_has_a_row(self, study):
        rows = read(study.table("truth"), name="truth")
        films = read(study.raw / "films.parquet", name="films")
        assert set(rows["set_name"]) == {"films"}
        ids = {
            f"{film.film_id}:{n:06d}" for film in films.itertuples() for n in range(film.n_frames)
        }
        assert set(rows["item_id"]) == ids
        faces = rows[rows["n_faces"] == 1]
        assert set(faces["label_true"]) <= set(FIVE)
        assert faces["intensity"].between(0.35, 0.75).all()
        assert faces["yaw_deg"].abs().max() < 60
        assert rows[rows["n_faces"] == 0]["label_true"].isna().all()

    def test_events_are_at_cuts_and_within_the_film(self, study):
        events = read(study.table("events"), name="events")
        assert len(events) == 8
        assert events["time_s"].between(4, 16).all()
        for place in range(4):
            script = write_script(study, place)
            starts = {shot.start for shot in script.shots}
            assert {tick for tick, _ in script.events} <= starts


@pytest.fixture(scope="module")
def world():
    """Scripts are cheap: what must hold on average is tried on many films."""
    return tiny_study(labels=FIVE, n_films=60, film_seconds=180, film_size=(640, 360))


@pytest.fixture(scope="module")
def scripts(world):
    return [write_script(world, place) for place in range(60)]


class TestScripts:
    def test_shots_follow_each_other(self, scripts):
        for script in scripts:
            assert script.shots[0].start == 0
            assert script.shots[-1].stop == 180
            assert all(a.stop == b.start for a, b in pairwise(script.shots))
            assert 3 <= len(script.cast) <= 5

    def test_titles_and_ids_differ(self, scripts):
        assert len({script.title for script in scripts}) == len(scripts)
        assert len({script.film_id for script in scripts}) == len(scripts)

    def test_some_shots_show_no_one(self, scripts):
        shots = [shot for script in scripts for shot in script.shots]
        assert np.mean([shot.person is None for shot in shots]) == pytest.approx(0.15, abs=0.03)

    @pytest.mark.parametrize(
        ("genre", "emotion"),
        [("comedy", "happy"), ("crime", "angry"), ("drama", "sad"), ("horror", "fear")],
    )
    def test_a_genre_has_its_emotion(self, world, scripts, genre, emotion):
        shares = {name: Counter() for name in ("comedy", "crime", "drama", "horror")}
        for script in scripts:
            for shot in script.shots:
                shares[script.genre][shot.emotions[0]] += shot.stop - shot.start
        of_genre = {name: count[emotion] / count.total() for name, count in shares.items()}
        assert max(of_genre, key=of_genre.get) == genre
        assert of_genre[genre] > 0.3

    def test_an_emotion_rises_after_its_event(self, world, scripts):
        rises = []
        for script in scripts:
            labels = [row.get("label_true") for row in truth(world, script)][::24]
            for tick, label in script.events:
                reach = round(EVENT_REACH * 180)
                after, before = labels[tick : tick + reach], labels[tick - reach : tick]
                rises.append(after.count(label) / reach - before.count(label) / reach)
        assert np.mean(np.array(rises) > 0) > 0.95
        assert np.mean(rises) > 0.4

    def test_a_turn_goes_over_in_steps_that_are_flagged(self, world, scripts):
        shots = [
            (script, shot)
            for script in scripts
            for shot in script.shots
            if shot.person is not None and len(set(shot.emotions)) == 2
        ]
        assert shots
        for script, shot in shots:
            moments = act(world, script, shot)
            first, last = moments[0], moments[-1]
            assert (first.label, last.label) == shot.emotions
            assert any(moment.is_blend for moment in moments)
            assert not first.is_blend
            assert not last.is_blend
        share = np.mean([row["is_blend"] for row in truth(world, scripts[0])])
        assert 0 < share < 0.2

    def test_faces_span_a_sixth_of_the_frame_and_fit(self, world, scripts):
        for script in scripts:
            for shot in script.shots:
                (x, y), scale = framing(world, script, shot)
                assert 1.38 * scale >= 0.16 * 640
                assert x - 0.7 * scale > 0
                assert x + 0.7 * scale < 640
                assert y - 1.1 * scale > 0
                assert y + 1.06 * scale < 360

    def test_labels_outside_the_study_are_not_shown(self):
        study = tiny_study(labels=("happy", "neutral"))
        script = write_script(study, 3)
        assert {name for shot in script.shots for name in shot.emotions} <= {"happy", "neutral"}
