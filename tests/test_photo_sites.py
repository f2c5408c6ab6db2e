"""Each description of a photo site fits the site's documentation."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from photo_server import Clock, Site

from exe_core import tables
from exe_core.pull import pull
from exe_core.sources import SOURCES, Asked, Found, Terms, WebSource
from exe_core.study import ROOT, Study, parse_study

DOCUMENTED = {
    "pexels": {
        "total_results": 10000,
        "page": 1,
        "per_page": 1,
        "photos": [
            {
                "id": 3573351,
                "width": 3066,
                "height": 3968,
                "url": "https://www.pexels.com/photo/trees-during-day-3573351/",
                "photographer": "Someone",
                "photographer_url": "https://www.pexels.com/@someone",
                "src": {
                    "original": "https://images.pexels.com/photos/3573351/original.png",
                    "large2x": "https://images.pexels.com/photos/3573351/large2x.png",
                },
                "alt": "Brown Rocks During Golden Hour",
            }
        ],
        "next_page": "https://api.pexels.com/v1/search/?page=2&per_page=1&query=nature",
    },
    "unsplash": {
        "total": 133,
        "total_pages": 7,
        "results": [
            {
                "id": "eOLpJytrbsQ",
                "width": 4000,
                "height": 3000,
                "urls": {
                    "raw": "https://images.unsplash.com/photo-1416339306562",
                    "regular": "https://images.unsplash.com/photo-1416339306562?w=1080&fit=max",
                },
                "links": {
                    "html": "https://unsplash.com/photos/eOLpJytrbsQ",
                    "download_location": "https://api.unsplash.com/photos/eOLpJytrbsQ/download",
                },
                "user": {
                    "name": "Some Body",
                    "links": {"html": "https://unsplash.com/@somebody"},
                },
            }
        ],
    },
    "openverse": {
        "result_count": 240,
        "page_count": 12,
        "page_size": 20,
        "page": 1,
        "results": [
            {
                "id": "36537842-b067-4ca0-ad67-e00ff2e06b2d",
                "title": "A wall",
                "foreign_landing_url": "https://www.flickr.com/photos/18090920@N07/4668115956",
                "url": "https://live.staticflickr.com/4065/4668115956.jpg",
                "creator": "Some Body",
                "creator_url": "https://www.flickr.com/photos/18090920@N07",
                "license": "by-sa",
                "license_version": "2.0",
                "license_url": "https://creativecommons.org/licenses/by-sa/2.0/",
                "source": "flickr",
                "attribution": '"A wall" by Some Body is licensed under CC BY-SA 2.0.',
                "height": None,
                "width": 1024,
            }
        ],
    },
    "pixabay": {
        "total": 4692,
        "totalHits": 500,
        "hits": [
            {
                "id": 195893,
                "pageURL": "https://pixabay.com/en/blossom-bloom-flower-195893/",
                "type": "photo",
                "tags": "blossom, bloom, flower",
                "webformatURL": "https://pixabay.com/get/35bbf209e13e39d2_640.jpg",
                "largeImageURL": "https://pixabay.com/get/ed6a99fd0a76647_1280.jpg",
                "imageWidth": 4000,
                "imageHeight": 2250,
                "user_id": 48777,
                "user": "Somebody",
            }
        ],
    },
}
EXPECTED = {
    "pexels": Found(
        "pexels:3573351",
        "https://images.pexels.com/photos/3573351/large2x.png",
        "https://www.pexels.com/photo/trees-during-day-3573351/",
        "Someone",
        "https://www.pexels.com/@someone",
        3066,
        3968,
    ),
    "pixabay": Found(
        "pixabay:195893",
        "https://pixabay.com/get/ed6a99fd0a76647_1280.jpg",
        "https://pixabay.com/en/blossom-bloom-flower-195893/",
        "Somebody",
        None,
        4000,
        2250,
    ),
    "unsplash": Found(
        "unsplash:eOLpJytrbsQ",
        "https://images.unsplash.com/photo-1416339306562?w=1080&fit=max",
        "https://unsplash.com/photos/eOLpJytrbsQ",
        "Some Body",
        "https://unsplash.com/@somebody",
        4000,
        3000,
        report_url="https://api.unsplash.com/photos/eOLpJytrbsQ/download",
    ),
    "openverse": Found(
        "openverse:36537842-b067-4ca0-ad67-e00ff2e06b2d",
        "https://live.staticflickr.com/4065/4668115956.jpg",
        "https://www.flickr.com/photos/18090920@N07/4668115956",
        "Some Body",
        "https://www.flickr.com/photos/18090920@N07",
        1024,
        None,
        Terms(
            "CC BY-SA 2.0",
            "https://creativecommons.org/licenses/by-sa/2.0/",
            '"A wall" by Some Body is licensed under CC BY-SA 2.0.',
        ),
    ),
}
SITES = {name: source for name, source in SOURCES.items() if isinstance(source, WebSource)}


@pytest.mark.parametrize("name", SITES)
def test_a_documented_answer_is_understood(name: str) -> None:
    assert SITES[name].photos(DOCUMENTED[name]) == [EXPECTED[name]]


@pytest.mark.parametrize(
    ("licence", "version", "name"),
    [
        ("cc0", "1.0", "CC0 1.0"),
        ("pdm", "1.0", "Public Domain Mark 1.0"),
        ("by-nc", "4.0", "CC BY-NC 4.0"),
        ("by", None, "CC BY"),
    ],
)
def test_an_open_licence_is_named_in_full(licence: str, version: str | None, name: str) -> None:
    photo = DOCUMENTED["openverse"]["results"][0]
    photo = {**photo, "license": licence, "license_version": version}
    (found,) = SITES["openverse"].photos({"results": [photo]})
    assert found.terms.licence == name


@pytest.mark.parametrize("number", ["../../etc/passwd", None, "a/b"])
def test_an_id_that_is_no_number_is_refused(number: object) -> None:
    photo = {**DOCUMENTED["pexels"]["photos"][0], "id": number}
    with pytest.raises((TypeError, ValueError)):
        SITES["pexels"].photos({"photos": [photo]})


@pytest.mark.parametrize(
    ("name", "content", "page", "is_last"),
    [
        ("pexels", DOCUMENTED["pexels"], 1, False),
        ("pexels", {"photos": []}, 1, True),
        ("pixabay", {"totalHits": 500}, 2, False),
        ("pixabay", {"totalHits": 500}, 3, True),
        ("unsplash", DOCUMENTED["unsplash"], 6, False),
        ("unsplash", DOCUMENTED["unsplash"], 7, True),
        ("unsplash", {"total_pages": 0}, 1, True),
        ("openverse", DOCUMENTED["openverse"], 11, False),
        ("openverse", DOCUMENTED["openverse"], 12, True),
    ],
)
def test_the_last_page_is_known(name: str, content: dict, page: int, is_last: bool) -> None:
    asked = Asked("sad", page, SITES[name].per_page, {})
    assert SITES[name].is_last(content, asked) is is_last


def test_each_site_is_asked_as_it_documents() -> None:
    asked = Asked("sad face", 2, 50, {"lang": "de"}, key="the key")
    requests = {
        name: httpx.Request("GET", "https://host.invalid/", **source.request(asked))
        for name, source in SITES.items()
    }
    paged = {"page": "2", "lang": "de"}
    assert requests["pexels"].headers["Authorization"] == "the key"
    assert requests["unsplash"].headers["Authorization"] == "Client-ID the key"
    assert requests["openverse"].headers["Authorization"] == "Bearer the key"
    assert "Authorization" not in SITES["openverse"].request(asked._replace(key=""))["headers"]
    params = {name: dict(request.url.params) for name, request in requests.items()}
    assert params["pexels"] == {"query": "sad face", "per_page": "50", **paged}
    assert params["unsplash"] == {"query": "sad face", "per_page": "50", **paged}
    assert params["openverse"] == {"q": "sad face", "page_size": "50", **paged}
    assert params["pixabay"] == {"key": "the key", "q": "sad face", "per_page": "50", **paged}


def test_a_key_is_only_in_what_is_asked_with_it() -> None:
    for name, source in SITES.items():
        assert "the key" in repr(source.request(Asked("sad", 1, 3, {}, key="the key"))), name


MUSEUM = WebSource(
    name="museum",
    endpoint="https://api.museum.example/objects",
    per_page=100,
    max_pages=5,
    terms=Terms("CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/", "The Museum"),
    key_variable="MUSEUM_TOKEN",
    filters={"has": "image", "century": None},
    request=lambda asked: {
        "params": {
            "text": asked.query,
            "from": (asked.page - 1) * asked.per_page,
            "size": asked.per_page,
            **asked.filters,
        },
        "headers": {"X-Token": asked.key},
    },
    photos=lambda answer: [
        Found(
            photo_id=f"museum:{thing['nr']}",
            url=thing["image"],
            page_url=thing["page"],
            author=thing["maker"],
        )
        for thing in answer["objects"]
    ],
    n_found=lambda answer: answer["count"],
    is_last=lambda answer, asked: asked.page * asked.per_page >= answer["count"],
    window_s=60.0,
)


class MuseumSite(Site):
    """The photos of another site, found by an interface that no other source has."""

    def search(self, path, asked, handler):
        if handler.headers["X-Token"] != "museum secret" or asked["has"] != "image":
            return 403, b"no"
        numbers = self.found.get(asked["text"], [])
        start, size = int(asked["from"]), int(asked["size"])
        things = [
            {
                "nr": number,
                "image": f"{self.address}/photos/{number}.jpg",
                "page": f"{self.address}/objects/{number}",
                "maker": f"Maker {number}",
            }
            for number in numbers[start : start + size]
        ]
        return 200, json.dumps({"objects": things, "count": len(numbers)}).encode()


@pytest.fixture
def museum() -> Iterator[MuseumSite]:
    with MuseumSite() as site:
        yield site


def museum_study() -> Study:
    return parse_study(
        {
            "name": "museum",
            "kind": "real",
            "title": "A sixth source",
            "labels": ["happy", "sad"],
            "pull": {"sources": ["museum"], "designs": ["v1"], "per_page": {"museum": 2}},
            "sets": {"museum": {"kind": "photos", "source": "museum", "design": "v1"}},
            "runs": {"museum": {"sets": ["museum"]}},
        }
    )


def test_a_sixth_source_is_an_entry_of_the_table(
    museum: MuseumSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    monkeypatch.delenv("MUSEUM_TOKEN", raising=False)
    monkeypatch.setitem(SOURCES, "museum", MUSEUM)
    study = museum_study()
    assert study.pull.max_pages["museum"] == 5
    assert study.missing() == ["museum: its API key in the variable MUSEUM_TOKEN"]

    monkeypatch.setenv("MUSEUM_TOKEN", "museum secret")
    assert study.missing() == []
    where = {"museum": f"{museum.address}/objects"}
    pull(study, base_urls=where, progress=False, sleep=Clock())
    photos = tables.read(study.table("photos"), name="photos")
    assert photos.photo_id.tolist() == [f"museum:{number}" for number in range(1, 8)]
    assert set(photos.status) == {"ok"}
    assert photos.author.tolist()[0] == "Maker 1"
    queries = [dict(parse_qsl(urlsplit(path).query)) for path in museum.asked]
    starts = [(asked["text"], asked["from"]) for asked in queries if "text" in asked]
    assert starts == [
        ("happy face", "0"),
        ("happy face", "2"),
        ("happy face", "4"),
        ("sad face", "0"),
        ("sad face", "2"),
    ]
    assert photos.licence.isna().all(), "a stand-in's photos are not under the museum's licence"


def test_a_sixth_source_takes_less_than_fifty_lines_and_the_docs_show_this_one() -> None:
    shown = (ROOT / "data" / "README.md").read_text().split("```python")[1].split("```")[0]
    assert len(shown.strip().splitlines()) < 50
    text = inspect.getsource(inspect.getmodule(museum_study))
    description = text[text.index("MUSEUM = ") : text.index("class MuseumSite")]
    assert ast.dump(ast.parse(shown)) == ast.dump(ast.parse(description))
