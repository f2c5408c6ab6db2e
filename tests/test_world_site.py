"""The world's photo site answers as three sites do, and its photos are as the settings say."""

import math
import uuid
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pandas as pd
import pytest
from sample_worlds import tiny_study

from exe_world import photos
from exe_world.making import workers, write_truth
from exe_world.site import PhotoSite

HTTP = httpx.Client()
ALL = ("pexels", "pixabay", "openverse")
NOISE = {"angry face": {"disgust": 0.3, "neutral": 0.2}}
PHOTOS = {"pexels": "photos", "pixabay": "hits", "openverse": "results"}
FIELDS = {
    "pexels": {"id", "width", "height", "url", "photographer", "photographer_url", "src", "alt"},
    "pixabay": {"id", "pageURL", "tags", "webformatURL", "largeImageURL", "user", "user_id"},
    "openverse": {"id", "url", "creator", "license", "license_url", "attribution", "source"},
}


@pytest.fixture(autouse=True)
def _home(home, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(home))


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


@pytest.mark.parametrize(
    ("source", "query", "asked", "status"),
    [
        ("pexels", "happy face", {"page": 9, "per_page": 500}, 200),
        ("pexels", "", {}, 400),
        ("pexels", "happy face", {"key": "another"}, 401),
        ("pixabay", "teapot", {}, 200),
        ("pixabay", "sad face", {"per_page": 201}, 400),
        ("pixabay", "sad face", {"page": 9}, 400),
        ("pixabay", "sad face", {"key": "another"}, 400),
        ("openverse", "sad face", {"page_size": 21}, 401),
    ],
)
def test_what_a_source_does_not_have_is_empty_or_refused(site, source, query, asked, status):
    answer = ask(site, source, query, **asked)
    assert answer.status_code == status
    assert status != 200 or answer.json()[PHOTOS[source]] == []


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


def test_parts_of_the_truth_that_are_written_at_the_same_time_are_all_kept_in_order(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    study, row = tiny_study(), {"item_id": "x", "label_true": "sad", "n_faces": 1}
    write_truth(study, "photos", [row | {"is_blend": True, "item_id": "old"}])
    names = ["photos", "films", "rafdb", "fer2013"] * 3
    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda name: write_truth(study, name, [row | {"is_blend": False}]), names))
    truth = study.read("truth")
    assert truth["set_name"].tolist() == ["fer2013", "rafdb", "films", "photos"]
    assert set(truth["item_id"]) == {"x"}


def test_a_spent_quota_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    limits = {"pexels": (2, 60), "pixabay": (1, 60), "openverse": (1, 60)}
    with PhotoSite(tiny_study(pull={"sources": ALL}), limits=limits) as site:
        answers = {name: [ask(site, name, "sad face") for _ in range(3)] for name in ALL}
    assert [answer[-1].status_code for answer in answers.values()] == [429] * 3
    left = [answer.headers.get("X-Ratelimit-Remaining") for answer in answers["pexels"]]
    assert left == ["1", "0", None]
    assert int(answers["pixabay"][-1].headers["X-RateLimit-Reset"]) > 50
    assert 50 < int(answers["openverse"][-1].headers["Retry-After"]) <= 60
