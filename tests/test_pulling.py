"""The loop over a source's queries: what it stops for, goes on with, and tells the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
from photo_server import KEYS, Clock, Site, status
from sample_worlds import tiny_study

from exe_core import tables as schema
from exe_core.pull import IncompletePullError, pull
from exe_core.study import Study
from exe_world.site import PhotoSite

ALL = ("pexels", "pixabay", "unsplash", "openverse")


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def world_study(*sources: str, **settings: object) -> Study:
    pull_of = {"sources": sources, **settings}
    return tiny_study(labels=("happy", "sad"), photos_per_query={"v1": 3, "v2": 1}, pull=pull_of)


def small_study(**settings: object) -> Study:
    chosen = {"sources": ("pexels",), "per_page": {"pexels": 4}, "stop_below_new": 0.0}
    return tiny_study(labels=("happy", "sad"), pull={**chosen, **settings})


def run(study: Study, site: Site, clock: Clock | None = None) -> None:
    pull(study, base_urls=site.base_urls, keys=KEYS, progress=False, sleep=clock or Clock())


def run_in_world(study: Study, world: PhotoSite) -> None:
    where = {"base_urls": world.base_urls, "keys": world.keys, "terms": world.terms}
    pull(study, **where, progress=False, sleep=Clock())


def read(study: Study, name: str) -> pd.DataFrame:
    return schema.read(study.table(name), name=name)


def pages_asked(site: Site) -> list[str]:
    asked = [httpx.URL(path).params for path in site.asked if "query=" in path]
    return [f"{params['query']} {params['page']}" for params in asked]


def test_a_raised_limit_fetches_the_rest_of_a_cut_page(site: Site) -> None:
    site.found = {"happy face": list(range(1, 10))}
    run(small_study(max_per_query=2), site)
    assert pages_asked(site) == ["happy face 1", "sad face 1"]
    assert set(read(small_study(), "photos").photo_id) == {"pexels:1", "pexels:2"}
    run(small_study(max_per_query=2), site)
    assert len(pages_asked(site)) == 2, "asked again, though nothing is missing"

    run(small_study(max_per_query=6), site)
    assert pages_asked(site)[2:] == ["happy face 1", "happy face 2"]
    run(small_study(max_per_query=8), site)
    assert pages_asked(site)[4:] == ["happy face 2"], "page 1 was whole"
    run(small_study(), site)
    assert pages_asked(site)[5:] == ["happy face 3"]

    hits = read(small_study(), "hits")
    assert hits["rank"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    assert Counter(path for path in site.asked if "/photos/" in path) == Counter(
        f"/photos/{number}.jpg" for number in range(1, 10)
    ), "a photo was downloaded twice"


def test_a_lowered_limit_asks_for_nothing_and_keeps_what_is_there(site: Site) -> None:
    run(small_study(), site)
    n_asked = len(site.asked)
    run(small_study(max_per_query=1), site)
    assert len(site.asked) == n_asked
    assert len(read(small_study(), "hits")) == 8


def test_more_pages_are_fetched_when_they_may_be(site: Site) -> None:
    site.found = {"happy face": list(range(1, 10))}
    run(small_study(max_pages={"pexels": 1}), site)
    run(small_study(max_pages={"pexels": 2}), site)
    assert pages_asked(site) == ["happy face 1", "sad face 1", "happy face 2"]


def test_another_question_is_asked_anew_and_finds_the_same_photos(site: Site) -> None:
    run(small_study(), site)
    run(small_study(filters={"pexels": {"orientation": "portrait"}}), site)
    assert site.count("orientation=portrait") == 3
    assert site.count("/photos/") == 7
    hits = read(small_study(), "hits")
    assert not hits.duplicated(["photo_id", "query"]).any()


def test_a_spent_quota_is_not_asked_again_and_the_next_pull_goes_on(site: Site) -> None:
    site.quota = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3600"}
    with pytest.raises(IncompletePullError, match=r"on \(the quota is spent: come back after"):
        run(small_study(), site)
    assert pages_asked(site) == ["happy face 1"]
    assert len(read(small_study(), "requests")) == 1
    assert len(read(small_study(), "photos")) == 4, "what was found was had"
    site.quota = {}
    run(small_study(), site)
    assert pages_asked(site) == ["happy face 1", "happy face 2", "sad face 1"]
    assert len(read(small_study(), "photos")) == 7


def test_a_study_may_wait_for_its_quota(site: Site) -> None:
    site.faults["query=sad"] = [status(429, Retry_After="3000"), status(429, Retry_After="500")]
    clock = Clock()
    run(small_study(wait_for_quota_s=3600), site, clock)
    assert clock.waits == [3000, 500]
    assert len(read(small_study(), "photos")) == 7
    requests = read(small_study(), "requests")
    assert requests.http_status.tolist() == [200, 200, 429, 429, 200]


def test_a_quota_that_is_far_off_is_not_waited_for(site: Site) -> None:
    site.faults["query=sad"] = [status(429, Retry_After="4000")]
    with pytest.raises(IncompletePullError, match="come back after"):
        run(small_study(wait_for_quota_s=3600), site)


def test_a_refusal_without_a_time_waits_for_the_quota_that_was_spent(site: Site) -> None:
    """Pexels tells its quota, by the month, with successful answers only."""
    site.quota = {"X-RateLimit-Remaining": "15000", "X-RateLimit-Reset": "900000"}
    site.faults["query=sad"] = [status(429)]
    with pytest.raises(IncompletePullError, match="come back after") as reason:
        run(small_study(), site)
    told = pd.Timestamp(str(reason.value).split("come back after ")[1][:16], tz="UTC")
    hours = (told - pd.Timestamp.now(tz="UTC")) / pd.Timedelta(hours=1)
    assert 0.9 < hours < 1.1, "the hour's quota was spent, and not the month's"


def test_all_sources_are_pulled_from_and_say_whose_a_photo_is() -> None:
    study = world_study(*ALL)
    with PhotoSite(study, jobs=1) as world:
        run_in_world(study, world)
        n_asked = len(world.requests)
        run_in_world(study, world)
        assert len(world.requests) == n_asked
        expected = {
            (photo.photo_id, query)
            for hits in world.hits.values()
            for query, photos in hits.items()
            for photo in photos
        }
        reported = world.reported
    hits, photos = read(study, "hits"), read(study, "photos")
    assert set(zip(hits.photo_id, hits["query"], strict=True)) == expected
    assert set(photos.status) == {"ok"}
    assert photos.groupby("source").size().gt(4).to_dict() == dict.fromkeys(sorted(ALL), True)
    for column in ("author", "page_url", "url", "licence", "licence_url", "attribution"):
        assert photos[column].notna().all(), column
    assert set(photos.licence) == {"synthetic, CC BY 4.0", "CC BY 4.0"}
    assert photos.attribution.str.contains("invented name").all(), "nobody took these photos"
    assert "127.0.0.1" not in photos.to_csv()
    of_unsplash = photos[photos.source == "unsplash"]
    assert sorted(f"unsplash:{name}" for name in reported) == of_unsplash.photo_id.tolist()
    assert of_unsplash.reported_at.notna().all()
    assert photos[photos.source != "unsplash"].reported_at.isna().all()


def test_two_pulls_of_one_world_give_equal_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = []
    for home in ("one", "other"):
        monkeypatch.setenv("EXE_HOME", str(tmp_path / home))
        study = world_study(*ALL)
        with PhotoSite(study, jobs=1) as world:
            run_in_world(study, world)
        of_time = {"retrieved_at", "reported_at", "requested_at", "seconds", "path", "quota_left"}
        tables.append({name: read(study, name) for name in ("hits", "photos", "requests")})
        for name, table in tables[-1].items():
            by = ["source", "design", "query", "page"] if name == "requests" else table.columns[0]
            tables[-1][name] = table.sort_values(by, ignore_index=True, kind="stable")[
                [column for column in table if column not in of_time]
            ]
    for name in ("hits", "photos", "requests"):
        pd.testing.assert_frame_equal(tables[0][name], tables[1][name])


@pytest.mark.parametrize("fault", [429, 500])
def test_a_download_that_was_not_reported_is_reported_by_the_next_pull(fault: int) -> None:
    study = world_study("unsplash", retries=0)
    with PhotoSite(study, jobs=1, faults={"/download": [fault]}) as world:
        with pytest.raises(IncompletePullError):
            run_in_world(study, world)
        photos = read(study, "photos")
        assert set(photos.status) == {"ok"}
        open_ones = photos[photos.reported_at.isna()]
        assert set(open_ones.error) == {"its download is not reported yet"}
        run_in_world(study, world)
        photos = read(study, "photos")
        assert photos.reported_at.notna().all()
        assert photos.error.isna().all()
        assert sorted(world.reported) == sorted(photos.photo_id.str.removeprefix("unsplash:"))
        images = Counter(path for path, _ in world.requests if path.startswith("/photos/unsplash/"))
        assert set(images.values()) == {1}


def test_unsplash_refuses_with_403_and_is_come_back_to() -> None:
    study = world_study("unsplash")
    with PhotoSite(study, jobs=1, limits={"unsplash": (3, 3600)}) as world:
        with pytest.raises(IncompletePullError, match="come back after"):
            run_in_world(study, world)
        assert len(world.requests) - len(read(study, "photos")) <= 4
    with PhotoSite(study, jobs=1) as world:
        run_in_world(study, world)
    photos = read(study, "photos")
    assert photos.reported_at.notna().all()
    assert (photos.status == "ok").all()
