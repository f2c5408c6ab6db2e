"""The synthetic world: same seed, same bytes; sets and sites have their published form."""

import hashlib
import math
from collections import Counter
from itertools import pairwise

import cv2
import numpy as np
import pytest
from film_samples import plain_decode
from sample_worlds import tiny_study

from exe_core.labels import EMOTIONS, FIVE
from exe_core.pull import pull
from exe_core.readers import READERS
from exe_core.record import ROOT
from exe_core.tables import read
from exe_world import photos
from exe_world.camera import STYLES
from exe_world.face import AUS, EXPRESSIONS, sample_expression
from exe_world.films import EVENT_REACH, act, make_films, truth, write_script
from exe_world.making import workers
from exe_world.render import render_face
from exe_world.sets import make_benchmarks
from exe_world.site import endpoints


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_expression_has_the_action_units_of_its_emotion(emotion):
    samples = [sample_expression(rng(k), emotion, intensity=1) for k in range(40)]
    mean = {unit: np.mean([sample[unit] for sample in samples]) for unit in AUS}
    strong = {mean[unit] for unit, value in EXPRESSIONS[emotion].items() if value >= 0.5}
    idle = {mean[unit] for unit in AUS if unit not in EXPRESSIONS[emotion]}
    assert min(strong, default=1) > 0.35 > max(idle)


@pytest.mark.parametrize("style", STYLES)
def test_a_portrait_has_its_size_and_is_gray_in_the_lab(style):
    image = render_face(rng(5), "fear", size=64, style=style)
    assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
    assert (np.ptp(image, axis=2).max() == 0) == (style == "lab")


@pytest.fixture(autouse=True)
def _home(home, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(home))


@pytest.fixture(scope="module")
def study(home):
    """A world with its films and benchmark sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home))
        made = tiny_study(labels=FIVE)
        make_films(made, progress=False)
        make_benchmarks(made, progress=False)
    return made


class TestSets:
    def test_are_in_the_published_forms_with_their_true_labels(self, study, tmp_path):
        folder, truth = study.data_dir / "benchmarks", study.read("truth").set_index("item_id")
        published = {
            "fer2013": ("fer2013.csv", 48, {"train": 20, "public": 5, "private": 5}),
            "rafdb": ("rafdb", 100, {"train": 20, "test": 10}),
        }
        for name, (path, side, parts) in published.items():
            table = READERS[name](folder / path, unpacked=tmp_path / name)
            assert table["split_given"].value_counts().to_dict() == parts
            training = table["label"][table["split_given"] == "train"]
            assert training.value_counts().to_dict() == dict.fromkeys(FIVE, 4)
            shown = truth.loc[f"{name}:" + table["name"], "label_true"]
            assert table["label"].tolist() == shown.tolist()
            pixels = np.stack([cv2.imread(str(path)) for path in table["path"]])
            assert pixels.shape == (30, side, side, 3)
            assert pixels.std(axis=(1, 2, 3)).min() > 10

    def test_files_are_the_same_for_any_number_of_processes_and_differ_by_the_seed(self, study):
        def digests():
            files = (path for path in (study.data_dir / "benchmarks").rglob("*") if path.is_file())
            return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

        before = digests()
        make_benchmarks(study, progress=False, jobs=1)
        assert digests() == before
        make_benchmarks(tiny_study(labels=FIVE, seed=1), progress=False)
        changed = digests()
        assert changed.keys() == before.keys()
        for name in ("fer2013.csv", "train_00001_aligned.jpg"):
            assert changed[name] != before[name]


def decode(path):
    return [picture for _, picture in plain_decode(path)]


class TestFilms:
    def test_files_are_h264_of_the_stated_length_and_every_frame_has_its_truth(self, study):
        films = read(study.raw / "films.parquet", name="films")
        assert set(films["genre"]) == {"comedy", "crime", "drama", "horror"}
        rows = study.read("truth").query("set_name == 'films'")
        assert set(rows.loc[rows["n_faces"] == 1, "label_true"]) <= set(FIVE)
        assert rows[rows["n_faces"] == 0]["label_true"].isna().all()
        for film in films.itertuples():
            items = {f"{film.film_id}:{n:06d}" for n in range(film.n_frames)}
            assert items <= set(rows["item_id"])
            times, pictures = zip(*plain_decode(ROOT / film.path), strict=True)
            assert times == pytest.approx(np.arange(film.n_frames) / 24)
            assert film.n_frames == 24 * film.duration_s == 480
            assert pictures[0].shape == (*study.world.film_size[::-1], 3)

    def test_only_what_is_not_whole_is_made_again_and_the_frames_are_equal(self, study):
        folder = study.raw / "films"
        whole = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.mp4")}
        before = decode(folder / "crime-01.mp4")
        (folder / "crime-01.mp4").write_bytes(b"cut off")
        make_films(study, progress=False, jobs=1)
        now = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        assert now.keys() == whole.keys()
        assert {name for name in whole if now[name] != whole[name]} == {"crime-01.mp4"}
        np.testing.assert_array_equal(decode(folder / "crime-01.mp4"), before)


@pytest.fixture(scope="module")
def world():
    return tiny_study(labels=FIVE, n_films=60, film_seconds=180, film_size=(640, 360))


@pytest.fixture(scope="module")
def scripts(world):
    """What must hold on average is tried on many films: scripts are cheap."""
    return [write_script(world, place) for place in range(60)]


def test_shots_follow_each_other_and_a_genre_has_its_emotion(scripts):
    shares = {script.genre: Counter() for script in scripts}
    for script in scripts:
        assert (script.shots[0].start, script.shots[-1].stop) == (0, 180)
        assert all(a.stop == b.start for a, b in pairwise(script.shots))
        assert {tick for tick, _ in script.events} <= {shot.start for shot in script.shots}
        for shot in script.shots:
            shares[script.genre][shot.emotions[0]] += shot.stop - shot.start
    assert len({script.film_id for script in scripts}) == len(scripts)
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
    acted = [(shot, act(world, script, shot)) for script in scripts for shot in script.shots]
    for shot, moments in acted:
        if shot.person is None:
            assert not moments
            continue
        if len(set(shot.emotions)) == 2:
            assert (moments[0].label, moments[-1].label) == shot.emotions
            blends = [moment.is_blend for moment in moments]
            assert (blends[0], any(blends), blends[-1]) == (False, True, False)
        (x, y), scale = moments[0].person.centre, moments[0].person.px_per_unit
        assert 1.38 * scale >= 0.16 * 640
        assert 0.7 * scale < x < 640 - 0.7 * scale
        assert 1.1 * scale < y < 360 - 1.06 * scale
    assert any(len(set(shot.emotions)) == 2 for shot, _ in acted)


NOISE = {"angry face": {"disgust": 0.3, "neutral": 0.2}}


def test_photos_of_every_site_are_pulled_and_have_their_truth(monkeypatch, tmp_path):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    world = tiny_study(keyword_noise=NOISE, pull={"sources": ("pexels", "pixabay", "openverse")})
    with endpoints(world) as where:
        pull(world, **where)
    assert world.read("hits").groupby(["source", "query"]).size().tolist() == [8] * 9
    photos = world.read("photos")
    assert (photos["status"] == "ok").all()
    assert photos["author"].notna().all()
    shown = world.read("truth").set_index("item_id").loc[photos["photo_id"]]
    assert ((shown["n_faces"] == 0) == shown["label_true"].isna()).all()


def test_photos_are_equal_between_processes_and_differ_by_the_seed():
    study = tiny_study()
    chosen = [photo for photo, _ in photos.sample(study, 3)]
    here = [photos.draw(study, photo) for photo in chosen]
    with workers(1) as pool:
        there = list(pool.map(photos.draw, [study] * 3, chosen))
    np.testing.assert_array_equal(here, there)
    assert (photos.draw(tiny_study(seed=1), chosen[0]) != here[0]).any()


def test_labels_duplicates_and_numbers_of_faces_are_as_set():
    study = tiny_study(keyword_noise=NOISE, photos_per_query={"v1": 600, "v2": 1})
    hits = photos.catalogue(study, "pexels")
    shown = [photo.emotion for photo in hits["angry face"] if photo.query == "angry face"]
    for emotion, share in {"angry": 0.5, "disgust": 0.3, "neutral": 0.2}.items():
        spread = 4 * math.sqrt(share * (1 - share) / len(shown))
        assert shown.count(emotion) / len(shown) == pytest.approx(share, abs=spread)
    given = [photo.photo_id for of_query in hits.values() for photo in of_query]
    shared = sum(given.count(photo_id) > 1 for photo_id in given) / len(given)
    assert shared == pytest.approx(photos.DUPLICATE_SHARE, abs=0.05)
    counts = [photos.truth(study, photo)["n_faces"] for photo in hits["happy face"][:200]]
    for n_faces, share in enumerate(photos.FACES_PER_PHOTO):
        assert counts.count(n_faces) / 200 == pytest.approx(share, abs=0.13)
