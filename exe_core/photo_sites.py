"""The photo sites that can be searched: each a short description of its programming interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


class Found(NamedTuple):
    """A photo as a source describes it; sizes in px are those of the original."""

    photo_id: str
    page_url: str
    url: str
    author: str
    width_px: int
    height_px: int


@dataclass(frozen=True)
class Source:
    """A photo site.

    Attributes
    ----------
    window_s
        After so many seconds a spent quota is renewed, where an answer does not say.
    request
        key, query, page, per_page -> arguments of the HTTP request.
    photos, is_last
        What an answer holds, and whether no page follows it.
    past_end
        Part of the error that a page after the last one is answered with.
    """

    name: str
    endpoint: str
    key_variable: str
    licence: str
    window_s: float
    request: Callable[[str, str, int, int], dict[str, Any]]
    photos: Callable[[dict[str, Any]], list[Found]]
    is_last: Callable[[dict[str, Any], int, int], bool]
    past_end: str | None = None


def _pexels_photos(answer: dict[str, Any]) -> list[Found]:
    return [
        Found(
            f"pexels:{int(photo['id'])}",
            photo["url"],
            str(photo["src"]["large2x"]),
            photo["photographer"],
            int(photo["width"]),
            int(photo["height"]),
        )
        for photo in answer["photos"]
    ]


def _pixabay_photos(answer: dict[str, Any]) -> list[Found]:
    return [
        Found(
            f"pixabay:{int(photo['id'])}",
            photo["pageURL"],
            str(photo["largeImageURL"]),
            photo["user"],
            int(photo["imageWidth"]),
            int(photo["imageHeight"]),
        )
        for photo in answer["hits"]
    ]


SOURCES = {
    "pexels": Source(
        name="pexels",
        endpoint="https://api.pexels.com/v1/search",
        key_variable="PEXELS_API_KEY",
        licence="Pexels License",
        window_s=3600,
        request=lambda key, query, page, per_page: {
            "params": {"query": query, "page": page, "per_page": per_page},
            "headers": {"Authorization": key},
        },
        photos=_pexels_photos,
        is_last=lambda answer, page, per_page: not answer.get("next_page"),
    ),
    "pixabay": Source(
        name="pixabay",
        endpoint="https://pixabay.com/api/",
        key_variable="PIXABAY_API_KEY",
        licence="Pixabay Content License",
        window_s=60,
        request=lambda key, query, page, per_page: {
            "params": {
                "key": key,
                "q": query,
                "image_type": "photo",
                "category": "people",
                "safesearch": "true",
                "page": page,
                "per_page": per_page,
            }
        },
        photos=_pixabay_photos,
        is_last=lambda answer, page, per_page: page * per_page >= answer["totalHits"],
        past_end='"page" is out of valid range',
    ),
}
