"""Each description of a photo site fits the site's documentation."""

from __future__ import annotations

import httpx
import pytest

from exe_core.photo_sites import SOURCES, Found

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
        "https://www.pexels.com/photo/trees-during-day-3573351/",
        "https://images.pexels.com/photos/3573351/large2x.png",
        "Someone",
        3066,
        3968,
    ),
    "pixabay": Found(
        "pixabay:195893",
        "https://pixabay.com/en/blossom-bloom-flower-195893/",
        "https://pixabay.com/get/ed6a99fd0a76647_1280.jpg",
        "Somebody",
        4000,
        2250,
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_documented_answer_is_understood(name: str) -> None:
    assert SOURCES[name].photos(DOCUMENTED[name]) == [EXPECTED[name]]


@pytest.mark.parametrize("number", ["../../etc/passwd", None, "a/b"])
def test_an_id_that_is_no_number_is_refused(number: object) -> None:
    photo = {**DOCUMENTED["pexels"]["photos"][0], "id": number}
    with pytest.raises((TypeError, ValueError)):
        SOURCES["pexels"].photos({"photos": [photo]})


def test_the_last_page_is_known() -> None:
    pexels, pixabay = SOURCES["pexels"].is_last, SOURCES["pixabay"].is_last
    assert not pexels(DOCUMENTED["pexels"], 1, 1)
    assert pexels({"photos": []}, 1, 1)
    assert not pixabay({"totalHits": 500}, 2, 200)
    assert pixabay({"totalHits": 500}, 3, 200)


def test_pexels_key_goes_into_the_header_and_pixabays_into_the_address() -> None:
    address = "https://host.invalid/"
    asked = {
        name: httpx.Request("GET", address, **source.request("the key", "sad face", 2, 50))
        for name, source in SOURCES.items()
    }
    assert asked["pexels"].headers["Authorization"] == "the key"
    assert dict(asked["pexels"].url.params) == {"query": "sad face", "page": "2", "per_page": "50"}
    assert dict(asked["pixabay"].url.params) == {
        "key": "the key",
        "q": "sad face",
        "image_type": "photo",
        "category": "people",
        "safesearch": "true",
        "page": "2",
        "per_page": "50",
    }
