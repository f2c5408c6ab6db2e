"""The photo sites that can be searched: each a short description of its programming interface.

A further site is one more entry in `SOURCES`; settings, keys, paging and the loop of the pull
follow from it. data/README.md shows how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]


class Terms(NamedTuple):
    """What photos may be used under, where an answer does not say it of each; None: not known."""

    licence: str | None = None
    licence_url: str | None = None
    attribution: str | None = None  # "{author}" stands for the photographer


class Photo(NamedTuple):
    """A photo as a source describes it; sizes in px are those of the original."""

    photo_id: str  # "pexels:123": letters, digits, - and _ after the source
    url: str
    page_url: str | None = None
    author: str | None = None
    author_url: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    terms: Terms | None = None


class Search(NamedTuple):
    """A page of a search."""

    query: str
    page: int
    per_page: int
    filters: Mapping[str, str]
    key: str = ""


def _paged(search: Search, *, query: str = "query", per_page: str = "per_page") -> Json:
    """Make the parameters of a search, under the names that a site has for them."""
    return {query: search.query, "page": search.page, per_page: search.per_page, **search.filters}


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where photos come from: a photo site with an HTTP interface that answers in JSON."""

    name: str
    per_page: int  # the most photos that a page can have
    max_pages: int  # of a query
    terms: Terms
    endpoint: str
    key_variable: str | None = None  # the environment variable of the key, if there are keys
    key_needed: bool = True
    filters: Mapping[str, str | None] = field(default_factory=dict)  # to narrow searches: defaults
    request: Callable[[Search], Json] = lambda search: {"params": _paged(search)}  # and headers
    records: Callable[[Json], list[Json]] = lambda answer: answer["results"]
    photo: Callable[[Json], Photo]
    is_last: Callable[[Json, Search], bool]
    window_s: float = 3600.0  # until a spent quota is renewed, where an answer does not say


PEXELS = Source(
    name="pexels",
    endpoint="https://api.pexels.com/v1/search",
    per_page=80,
    max_pages=10,
    terms=Terms("Pexels License", "https://www.pexels.com/license/", "Photo by {author} on Pexels"),
    key_variable="PEXELS_API_KEY",
    filters=dict.fromkeys(("orientation", "size", "color", "locale")),
    request=lambda search: {"params": _paged(search), "headers": {"Authorization": search.key}},
    records=lambda answer: answer["photos"],
    photo=lambda photo: Photo(
        photo_id=f"pexels:{int(str(photo['id']))}",
        url=photo["src"]["large2x"],
        page_url=photo.get("url"),
        author=photo.get("photographer"),
        author_url=photo.get("photographer_url"),
        width_px=photo.get("width"),
        height_px=photo.get("height"),
    ),
    is_last=lambda answer, search: not answer.get("next_page"),
)
"""200 requests an hour and 20,000 a month. The quota headers are those of the month, come with
successful answers only (a 429 has none), and their reset is a moment in Unix time. A link to Pexels
and a credit of the photographer are required wherever photos are shown.

pexels.com/api/documentation
"""

PIXABAY = Source(
    name="pixabay",
    endpoint="https://pixabay.com/api/",
    per_page=200,
    max_pages=4,
    terms=Terms(
        "Pixabay Content License",
        "https://pixabay.com/service/license-summary/",
        "Image by {author} on Pixabay",
    ),
    key_variable="PIXABAY_API_KEY",
    filters={
        "image_type": "photo",
        "category": "people",
        "safesearch": "true",
        **dict.fromkeys(("lang", "orientation", "min_width", "min_height", "colors", "order")),
    },
    request=lambda search: {"params": {"key": search.key, **_paged(search, query="q")}},
    records=lambda answer: answer["hits"],
    photo=lambda photo: Photo(
        photo_id=f"pixabay:{int(str(photo['id']))}",
        url=photo["largeImageURL"],
        page_url=photo.get("pageURL"),
        author=photo.get("user"),
        width_px=photo.get("imageWidth"),
        height_px=photo.get("imageHeight"),
    ),
    is_last=lambda answer, search: search.page * search.per_page >= answer["totalHits"],
    window_s=60.0,
)
"""100 requests in 60 seconds; the reset is given in seconds. At most 500 photos of a query can be
reached. Addresses of images are valid for a day. The source of photos must be shown; "systematic
mass downloads are not allowed" without permission.

pixabay.com/api/docs
"""


def _openverse_photo(photo: Json) -> Photo:
    names = {"cc0": "CC0", "pdm": "Public Domain Mark"}
    short, version = photo.get("license"), photo.get("license_version") or ""
    licence = names.get(short, f"CC {short.upper()}") if isinstance(short, str) else None
    return Photo(
        photo_id="openverse:" + photo["id"],
        url=photo["url"],
        page_url=photo.get("foreign_landing_url"),
        author=photo.get("creator"),
        author_url=photo.get("creator_url"),
        width_px=photo.get("width"),
        height_px=photo.get("height"),
        terms=Terms(
            licence and f"{licence} {version}".strip(),
            photo.get("license_url"),
            photo.get("attribution"),
        ),
    )


OPENVERSE = Source(
    name="openverse",
    endpoint="https://api.openverse.org/v1/images/",
    per_page=20,
    max_pages=12,
    terms=Terms(),
    key_variable="OPENVERSE_TOKEN",
    key_needed=False,
    filters=dict.fromkeys(
        ("license", "license_type", "source", "excluded_source", "extension", "category", "size")
    ),
    request=lambda search: {
        "params": _paged(search, query="q", per_page="page_size"),
        "headers": {"Authorization": f"Bearer {search.key}"} if search.key else {},
    },
    photo=_openverse_photo,
    is_last=lambda answer, search: search.page >= answer["page_count"],
    window_s=60.0,
)
"""Openly licensed works of many collections, each under its licence, without a key: 20 requests a
minute and 200 a day, of 20 photos each and no deeper than 240 a query; a token gives 100 and
10,000. Headers `X-RateLimit-Available-<scope>` say what is left, a 429 how long to wait.

api.openverse.org/v1; github.com/WordPress/openverse, issues 4474 and 5613 for the limits
"""

SOURCES: dict[str, Source] = {source.name: source for source in (PEXELS, PIXABAY, OPENVERSE)}
