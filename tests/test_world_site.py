import hashlib
import math
import socket
import struct
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import cv2
import httpx
import numpy as np
import pandas as pd
import pytest
from sample_worlds import tiny_study

from exe_core.tables import read
from exe_world import photos
from exe_world import site as site_module
from exe_world.making import workers, write_truth
from exe_world.site import PhotoSite

HTTP = httpx.Client()
NOISE = {"angry face": {"disgust": 0.3, "neutral": 0.2}}


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))


@pytest.fixture(scope="module")
def site(home):
    """A site that many tests ask."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home))
        sources = ("pexels", "pixabay", "unsplash", "openverse")
        study = tiny_study(keyword_noise=NOISE, duplicate_share=0.4, pull={"sources": sources})
        limits = {"pexels": (10_000, 3600), "pixabay": (10_000, 60)}
        with PhotoSite(study, limits=limits) as opened:
            yield opened


def pexels(site, query, **asked):
    headers = {"Authorization": site.keys["pexels"]}
    return HTTP.get(site.base_urls["pexels"], params={"query": query, **asked}, headers=headers)


def pixabay(site, query, **asked):
    asked = {"key": site.keys["pixabay"], "q": query, "image_type": "photo", **asked}
    return HTTP.get(site.base_urls["pixabay"], params=asked)


def decode(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


class TestPexels:
    def test_a_page_has_the_documented_fields(self, site):
        answer = pexels(site, "happy face", per_page=3)
        content = answer.json()
        assert content["total_results"] == 8
        assert (content["page"], content["per_page"], len(content["photos"])) == (1, 3, 3)
        photo = content["photos"][0]
        documented = {
            "id",
            "width",
            "height",
            "url",
            "photographer",
            "photographer_url",
            "src",
            "alt",
        }
        assert documented <= set(photo)
        assert {"original", "large2x", "large", "medium", "small"} <= set(photo["src"])
        assert (photo["width"], photo["height"]) == (160, 120)
        assert answer.headers["X-Ratelimit-Limit"] == "10000"
        assert int(answer.headers["X-Ratelimit-Reset"]) > time.time()

    def test_following_next_page_gives_every_photo_once(self, site):
        answer = pexels(site, "happy face", per_page=3).json()
        ids = [photo["id"] for photo in answer["photos"]]
        while "next_page" in answer:
            headers = {"Authorization": site.keys["pexels"]}
            answer = HTTP.get(answer["next_page"], headers=headers).json()
            ids += [photo["id"] for photo in answer["photos"]]
        assert len(ids) == len(set(ids)) == 8

    def test_a_page_past_the_end_and_an_unknown_query_are_empty(self, site):
        assert pexels(site, "happy face", page=9).json()["photos"] == []
        assert pexels(site, "teapot").json()["total_results"] == 0

    def test_per_page_is_cut_to_80(self, site):
        assert pexels(site, "happy face", per_page=500).json()["per_page"] == 80

    @pytest.mark.parametrize("key", [None, "", "another"])
    def test_without_its_key_it_refuses(self, site, key):
        headers = {} if key is None else {"Authorization": key}
        answer = HTTP.get(site.base_urls["pexels"], params={"query": "happy face"}, headers=headers)
        assert answer.status_code == 401

    def test_a_search_for_nothing_is_a_bad_request(self, site):
        assert pexels(site, "").status_code == 400


class TestPixabay:
    def test_a_page_has_the_documented_fields(self, site):
        answer = pixabay(site, "sad face", per_page=200)
        content = answer.json()
        assert content["total"] == content["totalHits"] == len(content["hits"]) == 8
        documented = {"id", "pageURL", "tags", "webformatURL", "largeImageURL"}
        assert documented | {"imageWidth", "imageHeight", "user", "user_id"} <= set(
            content["hits"][0]
        )
        assert 0 <= int(answer.headers["X-RateLimit-Reset"]) <= 60

    def test_an_unknown_query_is_empty(self, site):
        assert pixabay(site, "teapot").json() == {"total": 0, "totalHits": 0, "hits": []}

    @pytest.mark.parametrize(
        "asked", [{"per_page": 2}, {"per_page": 201}, {"page": 9}, {"page": 0}]
    )
    def test_a_number_out_of_range_is_refused(self, site, asked):
        answer = pixabay(site, "sad face", **asked)
        assert answer.status_code == 400
        assert "out of valid range" in answer.text

    def test_a_wrong_key_is_a_bad_request(self, site):
        answer = pixabay(site, "sad face", key="another")
        assert answer.status_code == 400
        assert "API key" in answer.text


class TestUnsplash:
    def ask(self, site, query, key=None, **asked):
        headers = {"Authorization": f"Client-ID {key or site.keys['unsplash']}"}
        url = site.base_urls["unsplash"]
        return HTTP.get(url, params={"query": query, **asked}, headers=headers)

    def test_a_page_has_the_documented_fields(self, site):
        answer = self.ask(site, "sad face", per_page=3)
        content = answer.json()
        assert (content["total"], content["total_pages"], len(content["results"])) == (8, 3, 3)
        photo = content["results"][0]
        assert {"id", "width", "height", "urls", "links", "user"} <= set(photo)
        assert {"raw", "full", "regular", "small"} <= set(photo["urls"])
        assert len(photo["id"]) == 11
        assert answer.headers["X-Ratelimit-Limit"] == "5000"
        assert decode(HTTP.get(photo["urls"]["regular"]).content).shape == (120, 160, 3)

    def test_a_download_is_reported_with_the_key(self, site):
        photo = self.ask(site, "sad face").json()["results"][0]
        url = photo["links"]["download_location"]
        assert HTTP.get(url).status_code == 401
        key = {"Authorization": f"Client-ID {site.keys['unsplash']}"}
        assert HTTP.get(url, headers=key).status_code == 200
        assert HTTP.get(url.replace(photo["id"], "other"), headers=key).status_code == 404
        assert site.reported == [photo["id"]]

    def test_a_wrong_key_is_refused(self, site):
        assert self.ask(site, "sad face", key="another").status_code == 401


class TestOpenverse:
    def test_a_page_has_the_documented_fields_and_needs_no_key(self, site):
        asked = {"q": "sad face", "page_size": 5, "page": 2}
        content = HTTP.get(site.base_urls["openverse"], params=asked).json()
        assert (content["result_count"], content["page_count"]) == (8, 2)
        assert len(content["results"]) == 3
        photo = content["results"][0]
        uuid.UUID(photo["id"])
        assert {"url", "creator", "license", "license_version", "license_url"} <= set(photo)
        assert {"attribution", "foreign_landing_url", "source"} <= set(photo)
        assert "invented" in photo["attribution"]

    def test_a_large_page_is_refused(self, site):
        asked = {"q": "sad face", "page_size": 21}
        assert HTTP.get(site.base_urls["openverse"], params=asked).status_code == 401


class TestPhotos:
    def test_are_jpegs_of_the_said_size_and_smaller_ones(self, site):
        photo = pexels(site, "sad face").json()["photos"][0]
        answer = HTTP.get(photo["src"]["original"])
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert decode(answer.content).shape == (120, 160, 3)
        small = f"{site.address}/photos/pexels/{photo['id']}.jpg?h=60"
        assert decode(HTTP.get(small).content).shape == (60, 80, 3)

    def test_the_same_number_at_two_sources_is_two_photos(self, site):
        one, other = (
            HTTP.get(f"{site.address}/photos/{source}/10001.jpg").content
            for source in ("pexels", "pixabay")
        )
        assert one != other

    @pytest.mark.parametrize(
        "path", ["/", "/random", "/photos/pexels/1.jpg", "/v1", "/photos/../x"]
    )
    def test_any_other_path_is_not_found(self, site, path):
        assert HTTP.get(site.address + path).status_code == 404

    def test_bytes_are_equal_between_runs_and_processes(self):
        study = tiny_study()
        chosen = [photo for photo, _ in photos.sample(study, 3)]
        here = [photos.draw(study, photo) for photo in chosen]
        with workers(1) as pool:
            there = list(pool.map(photos.draw, [study] * 3, chosen))
        np.testing.assert_array_equal(here, there)
        other = photos.draw(tiny_study(seed=1), chosen[0])
        assert (other != here[0]).any()


class TestTruth:
    def test_has_a_row_for_every_photo_that_a_query_gives(self, site, home, monkeypatch):
        monkeypatch.setenv("EXE_HOME", str(home))
        truth = read(site.study.table("truth"), name="truth").set_index("item_id")
        assert set(truth["set_name"]) == {"photos"}
        for query in ("angry face", "happy face", "sad face"):
            for hit in pixabay(site, query).json()["hits"]:
                row = truth.loc[f"pixabay:{hit['id']}"]
                assert row["n_faces"] in (0, 1, 2)
                assert (row["n_faces"] == 0) == pd.isna(row["label_true"])

    def test_labels_follow_the_confusion_table(self):
        study = tiny_study(keyword_noise=NOISE, photos_per_query={"v1": 600, "v2": 1})
        hits = photos.catalogue(study, "pexels")["angry face"]
        own = [photo.emotion for photo in hits if photo.query == "angry face"]
        assert len(hits) == 600
        for emotion, share in {"angry": 0.5, "disgust": 0.3, "neutral": 0.2}.items():
            spread = 4 * math.sqrt(share * (1 - share) / len(own))
            assert own.count(emotion) / len(own) == pytest.approx(share, abs=spread)

    def test_the_share_of_duplicates_is_as_set(self):
        study = tiny_study(duplicate_share=0.2, photos_per_query={"v1": 600, "v2": 1})
        given = [p.photo_id for hits in photos.catalogue(study, "pexels").values() for p in hits]
        shared = sum(given.count(photo_id) > 1 for photo_id in given) / len(given)
        assert shared == pytest.approx(0.2, abs=0.05)
        alone = photos.catalogue(tiny_study(duplicate_share=0), "pexels").values()
        given = [photo.photo_id for hits in alone for photo in hits]
        assert len(given) == len(set(given))

    def test_numbers_of_faces_are_as_set(self):
        study = tiny_study(photos_per_query={"v1": 200, "v2": 1})
        hits = photos.catalogue(study, "pexels")["happy face"]
        counts = [photos.truth(study, photo)["n_faces"] for photo in hits]
        for n_faces, share in enumerate(study.world.faces_per_photo):
            assert counts.count(n_faces) / 200 == pytest.approx(share, abs=0.13)

    def test_writing_one_set_leaves_the_others(self):
        study = tiny_study()
        row = {"item_id": "x", "label_true": None, "n_faces": 0, "is_blend": False}
        write_truth(study, "photos", [row, row | {"item_id": "y"}])
        write_truth(study, "films", [row])
        write_truth(study, "photos", [row | {"n_faces": 2, "label_true": "sad"}])
        truth = read(study.table("truth"), name="truth")
        assert truth.set_index("set_name")["n_faces"].to_dict() == {"photos": 2, "films": 0}
        assert len(truth) == 2

    def test_sets_written_at_the_same_time_are_all_kept(self):
        study, names = tiny_study(), ["photos", "films", "rafdb", "fer2013"] * 3
        row = {"item_id": "x", "label_true": "sad", "n_faces": 1, "is_blend": False}
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(lambda name: write_truth(study, name, [row]), names))
        truth = read(study.table("truth"), name="truth")
        assert truth["set_name"].tolist() == ["fer2013", "rafdb", "films", "photos"]


class TestQuota:
    def test_a_spent_quota_is_refused_until_its_window_ends(self):
        with PhotoSite(tiny_study(), limits={"pexels": (2, 1.0), "pixabay": (1, 60)}) as site:
            first, second, third = (pexels(site, "happy face") for _ in range(3))
            assert [a.status_code for a in (first, second, third)] == [200, 200, 429]
            left = [
                answer.headers.get("X-Ratelimit-Remaining") for answer in (first, second, third)
            ]
            assert left == ["1", "0", None]
            wait = float(second.headers["X-Ratelimit-Reset"]) - time.time()
            assert wait < 2.1
            time.sleep(max(wait, 0))
            assert pexels(site, "happy face").status_code == 200
            assert [pixabay(site, "sad face").status_code for _ in range(2)] == [200, 429]
            assert int(pixabay(site, "sad face").headers["X-RateLimit-Reset"]) > 50

    def test_unsplash_says_403_and_openverse_how_long_to_wait(self):
        sources = ("unsplash", "openverse")
        limits = {"unsplash": (1, 60), "openverse": (1, 60)}
        with PhotoSite(tiny_study(pull={"sources": sources}), limits=limits) as site:
            key = {"Authorization": f"Client-ID {site.keys['unsplash']}"}
            asked = [
                HTTP.get(site.base_urls["unsplash"], params={"query": "sad face"}, headers=key)
                for _ in range(2)
            ]
            assert [(a.status_code, a.text[:4]) for a in asked] == [(200, '{"to'), (403, "Rate")]
            asked = [
                HTTP.get(site.base_urls["openverse"], params={"q": "sad face"}) for _ in range(2)
            ]
            assert [answer.status_code for answer in asked] == [200, 429]
            assert asked[0].headers["X-RateLimit-Available-anon_burst"] == "0"
            assert 50 < int(asked[1].headers["Retry-After"]) <= 60


class TestFaults:
    def test_come_in_order_and_then_are_over(self):
        faults = {"/v1/search": [429, 500, 500, "garbage"], "/photos/": ["cut"]}
        with PhotoSite(tiny_study(), faults=faults) as site:
            statuses = [pexels(site, "happy face").status_code for _ in range(3)]
            assert statuses == [429, 500, 500]
            garbage = pexels(site, "happy face")
            assert garbage.status_code == 200
            with pytest.raises(ValueError, match="Expecting value"):
                garbage.json()
            url = pexels(site, "happy face").json()["photos"][0]["src"]["original"]
            with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
                HTTP.get(url)
            assert decode(HTTP.get(url).content) is not None

    def test_a_stall_outlasts_a_short_timeout(self):
        with PhotoSite(tiny_study(), faults={"/api": ["stall"]}) as site:
            asked = {"key": site.keys["pixabay"], "q": "sad face"}
            with pytest.raises(httpx.ReadTimeout):
                HTTP.get(site.base_urls["pixabay"], params=asked, timeout=0.2)
            assert pixabay(site, "sad face").status_code == 200


def test_a_second_site_draws_nothing_again_unless_the_settings_change():
    def draw_all(study):
        with PhotoSite(study) as site:
            for hits in site.hits["pexels"].values():
                for photo in hits:
                    HTTP.get(f"{site.address}/photos/pexels/{photo.name}.jpg").raise_for_status()
        files = sorted((study.raw / "site").rglob("pexels-*.jpg"))
        return {p.name: (p.stat().st_mtime_ns, hashlib.sha256(p.read_bytes())) for p in files}

    # Only the first photo of a query is drawn ahead of who asks, as no pull would ask for more.
    pull = {"sources": ("pexels",), "max_per_query": 1}
    study = tiny_study(photos_per_query={"v1": 2, "v2": 1}, pull=pull)
    first, second = draw_all(study), draw_all(study)
    assert len(first) == 6
    assert {name: moment for name, (moment, _) in first.items()} == {
        name: moment for name, (moment, _) in second.items()
    }
    changed = draw_all(tiny_study(photos_per_query={"v1": 2, "v2": 1}, photo_size=(200, 150)))
    assert not {moment for moment, _ in changed.values()} & {moment for moment, _ in first.values()}


def test_the_requests_are_listed_without_the_key(site):
    pixabay(site, "happy face")
    assert ("/api/?q=happy+face&image_type=photo", 200) in site.requests
    assert not any(site.keys["pixabay"] in path for path, _ in site.requests)


def test_who_goes_before_the_answer_leaves_no_traceback(site, capsys, monkeypatch):
    gone = threading.Event()

    def handle_error(server, *about):
        handled(server, *about)
        gone.set()

    handled = site_module._Server.handle_error
    monkeypatch.setattr(site_module._Server, "handle_error", handle_error)
    address = httpx.URL(site.base_urls["pexels"])
    with socket.create_connection((address.host, address.port), timeout=5) as caller:
        caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n")  # and no end
    assert gone.wait(timeout=10)
    assert capsys.readouterr().err == ""
