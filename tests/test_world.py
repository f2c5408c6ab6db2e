"""The synthetic world: same seed, same bytes; sets and sites have their published form."""

import dataclasses
import hashlib
import math
import subprocess
import sys
import uuid
from collections import Counter
from itertools import pairwise

import av
import cv2
import httpx
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_worlds import tiny_study

from exe_core.labels import ALIASES, EMOTIONS, FIVE
from exe_core.record import ROOT
from exe_core.tables import read
from exe_world import photos
from exe_world.camera import STYLES, sample_light
from exe_world.face import AUS, EXPRESSIONS, sample_expression, sample_identity
from exe_world.films import EVENT_REACH, act, make_films, truth, write_script
from exe_world.making import workers
from exe_world.render import Person, draw_person, render_face
from exe_world.sets import make_benchmarks
from exe_world.site import PhotoSite

PROBE = (
    "import numpy as np, sys; from exe_world.render import render_face;"
    "sys.stdout.buffer.write(b''.join(render_face(np.random.default_rng(5), 'fear', size=64,"
    " style=style).tobytes() for style in ('lab', 'selfie', 'stock', 'film')))"
)


def rng(seed=0):
    return np.random.default_rng(seed)


def drawn(*, seed=3, centre=(80.0, 74.0), px_per_unit=40.0, **placed):
    plain = {"glasses": "none", "beard": 0.0, "hair_style": "short", "fringe": False}
    who = dataclasses.replace(sample_identity(rng(seed), skin_tone=2), **plain)
    picture = np.full((160, 160, 3), 0.25, np.float32)
    person = Person(who, {}, centre=centre, px_per_unit=px_per_unit, **placed)
    return picture, draw_person(picture, person, sample_light(rng(1), style="lab"))


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_expression_has_the_action_units_of_its_emotion(emotion):
    samples = [sample_expression(rng(k), emotion, intensity=1) for k in range(40)]
    mean = {unit: np.mean([sample[unit] for sample in samples]) for unit in AUS}
    strong = {mean[unit] for unit, value in EXPRESSIONS[emotion].items() if value >= 0.5}
    idle = {mean[unit] for unit in AUS if unit not in EXPRESSIONS[emotion]}
    assert min(strong, default=1) > 0.35 > max(idle)


def test_a_portrait_has_its_size_is_gray_in_the_lab_and_the_same_in_another_process():
    here = [render_face(rng(5), "fear", size=64, style=style) for style in STYLES]
    for style, image in zip(STYLES, here, strict=True):
        assert (image.shape, image.dtype) == ((64, 64, 3), np.uint8)
        assert (np.ptp(image, axis=2).max() == 0) == (style == "lab")
    there = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True)
    assert there.stdout == b"".join(image.tobytes() for image in here)


@settings(max_examples=15, deadline=None)
@given(
    *(st.floats(50, 110), st.floats(50, 110), st.floats(25, 60), st.floats(-0.8, 0.8)),
    st.integers(0, 99),
)
def test_the_box_lies_around_brows_to_chin(cx, cy, scale, yaw, seed):
    place = {"centre": (cx, cy), "px_per_unit": scale, "pose": (yaw, 0.0, 0.0)}
    _, (x, y, width, height) = drawn(seed=seed, **place)
    assert 0 <= x <= cx <= x + width <= 160
    assert 0 <= y <= cy <= y + height <= 160
    assert 0 < width < 1.9 * scale
    assert 0 < height < 1.7 * scale


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
    def test_fer2013_is_the_published_csv(self, study):
        table = pd.read_csv(study.data_dir / "benchmarks" / "fer2013.csv")
        assert list(table) == ["emotion", "pixels", "Usage"]
        parts = {"Training": 20, "PublicTest": 5, "PrivateTest": 5}
        assert table["Usage"].value_counts().to_dict() == parts
        pixels = np.array([row.split() for row in table["pixels"]], int)
        assert pixels.shape == (30, 48 * 48)
        assert 0 <= pixels.min() < pixels.max() <= 255
        assert (pixels.std(axis=1) > 10).all()
        shown = table["emotion"].map(ALIASES["fer2013"])
        training = shown[table["Usage"] == "Training"]
        assert training.value_counts().to_dict() == dict.fromkeys(FIVE, 4)
        labels = study.read("truth").query("set_name == 'fer2013'").set_index("item_id")
        expected = {f"fer2013:{line:06d}": label for line, label in shown.items()}
        assert labels["label_true"].to_dict() == expected

    def test_rafdb_is_the_published_folder(self, study):
        folder = study.data_dir / "benchmarks" / "rafdb"
        lines = (folder / "EmoLabel" / "list_patition_label.txt").read_text().splitlines()
        for line in lines:
            name, code = line.split()
            assert ALIASES["rafdb"][int(code)] in study.labels
            image = cv2.imread(str(folder / "Image" / "aligned" / name.replace(".", "_aligned.")))
            assert image.shape == (100, 100, 3)
        assert Counter(line.partition("_")[0] for line in lines) == {"train": 20, "test": 10}

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
    with av.open(str(path)) as film:
        return [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]


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
            with av.open(str(ROOT / film.path)) as opened:
                stream = opened.streams.video[0]
                assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
                assert (stream.average_rate, stream.frames) == (24, film.n_frames)
                assert (stream.width, stream.height) == study.world.film_size
                times = [frame.time for frame in opened.decode(video=0)]
            assert film.duration_s == pytest.approx(20)
            np.testing.assert_allclose(times, np.arange(480) / 24, atol=1e-6)

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


HTTP = httpx.Client()
ALL = ("pexels", "pixabay", "openverse")
NOISE = {"angry face": {"disgust": 0.3, "neutral": 0.2}}
PHOTOS = {"pexels": "photos", "pixabay": "hits", "openverse": "results"}
FIELDS = {
    "pexels": {"id", "width", "height", "url", "photographer", "photographer_url", "src", "alt"},
    "pixabay": {"id", "pageURL", "tags", "webformatURL", "largeImageURL", "user", "user_id"},
    "openverse": {"id", "url", "creator", "license", "license_url", "attribution", "source"},
}


@pytest.fixture(scope="module")
def site(home):
    """A site that many tests ask."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home))
        study = tiny_study(keyword_noise=NOISE, pull={"sources": ALL})
        limits = {"pexels": (10_000, 3600), "pixabay": (10_000, 60)}
        with PhotoSite(study, limits=limits) as opened:
            yield opened


def ask(site, source, query, key=None, **asked):
    """Search a source with the name of its query and its key where it wants them."""
    key = site.keys[source] if key is None else key
    name = "query" if source == "pexels" else "q"
    asked = {name: query} | ({"key": key} if source == "pixabay" else {}) | asked
    return HTTP.get(site.base_urls[source], params=asked, headers={"Authorization": key})


@pytest.mark.parametrize("source", ALL)
def test_a_page_has_the_documented_fields_and_every_photo_its_truth(site, source):
    size = "page_size" if source == "openverse" else "per_page"
    answer = ask(site, source, "sad face", **{size: 5})
    content = answer.json()
    found = content[PHOTOS[source]]
    assert len(found) == 5
    assert FIELDS[source] <= set(found[0])
    assert 8 in (content.get("total_results"), content.get("total"), content.get("result_count"))
    if source == "openverse":
        uuid.UUID(found[0]["id"])
        assert "invented" in found[0]["attribution"]
    else:
        assert int(answer.headers["X-RateLimit-Remaining"]) > 0
    truth = site.study.read("truth").query("set_name == 'photos'").set_index("item_id")
    for photo in found:
        row = truth.loc[f"{source}:{photo['id']}"]
        assert (row["n_faces"] == 0) == pd.isna(row["label_true"])


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
