"""The photo sites that can be searched: each a short description of its programming interface.

A further site is one more entry in `SOURCES`; settings, keys, paging and the loop of the pull
follow from it. data/README.md shows how to add one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Content = dict[str, Any]


class Terms(NamedTuple):
    """What photos may be used under, where an answer does not say it of each; None: not known."""

    licence: str | None = None
    licence_url: str | None = None
    attribution: str | None = None  # "{author}" stands for the photographer


class Found(NamedTuple):
    """A photo as a source describes it; sizes in px are those of the original."""

    photo_id: str  # "pexels:123": letters, digits, - and _ after the source
    url: str
    page_url: str | None = None
    author: str | None = None
    author_url: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    terms: Terms | None = None
    report_url: str | None = None  # to be told of a download


class Asked(NamedTuple):
    """A page of a search, as it is asked for."""

    query: str
    page: int
    per_page: int
    filters: Mapping[str, str]
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where photos come from.

    Attributes
    ----------
    per_page, max_pages
        The most photos a page that can be asked for; how many pages are, if nothing is said.
    key_variable, key_needed
        The environment variable of the key, if there are keys; whether nothing goes without one.
    """

    name: str
    per_page: int
    max_pages: int
    terms: Terms
    key_variable: str | None = None
    key_needed: bool = True


@dataclass(frozen=True, kw_only=True)
class WebSource(Source):
    """A photo site with an HTTP interface.

    Attributes
    ----------
    filters
        What a search can be narrowed by -> what it is, if nothing is said; None: not narrowed.
    request
        What is asked -> arguments of the HTTP request: params and headers.
    photos, n_found, is_last
        What an answer holds, how many photos it says there are, and whether no page follows it.
    window_s
        After so many seconds a spent quota is renewed, where an answer does not say.
    past_end
        Part of the error that a page after the last one is answered with.
    spent
        Part of the 403 that a spent quota is answered with, where that is no 429.
    report
        Key -> arguments of the request that tells the site of a download.
    """

    endpoint: str
    filters: Mapping[str, str | None]
    request: Callable[[Asked], Content]
    photos: Callable[[Content], list[Found]]
    n_found: Callable[[Content], int]
    is_last: Callable[[Content, Asked], bool]
    window_s: float = 3600.0
    past_end: str | None = None
    spent: str | None = None
    report: Callable[[str], Content] | None = None


def _paged(asked: Asked, *, query: str = "query", per_page: str = "per_page") -> Content:
    """Make the parameters of a search, under the names that a site has for them."""
    return {query: asked.query, "page": asked.page, per_page: asked.per_page, **asked.filters}


def _pexels_photo(photo: Content) -> Found:
    return Found(
        photo_id=f"pexels:{int(photo['id'])}",
        url=photo["src"]["large2x"],
        page_url=photo["url"],
        author=photo["photographer"],
        author_url=photo.get("photographer_url"),
        width_px=int(photo["width"]),
        height_px=int(photo["height"]),
    )


def _pixabay_photo(photo: Content) -> Found:
    return Found(
        photo_id=f"pixabay:{int(photo['id'])}",
        url=photo["largeImageURL"],
        page_url=photo["pageURL"],
        author=photo["user"],
        width_px=int(photo["imageWidth"]),
        height_px=int(photo["imageHeight"]),
    )


def _unsplash_photo(photo: Content) -> Found:
    return Found(
        photo_id=f"unsplash:{photo['id']}",
        url=photo["urls"]["regular"],
        page_url=photo["links"]["html"],
        author=photo["user"]["name"],
        author_url=photo["user"].get("links", {}).get("html"),
        width_px=int(photo["width"]),
        height_px=int(photo["height"]),
        report_url=photo["links"]["download_location"],
    )


def _client_id(key: str) -> Content:
    return {"headers": {"Authorization": f"Client-ID {key}", "Accept-Version": "v1"}}


def _openverse_photo(photo: Content) -> Found:
    name, version = photo["license"], photo.get("license_version")
    marks = {"cc0": "CC0", "pdm": "Public Domain Mark"}
    licence = marks.get(name, f"CC {name.upper()}")
    return Found(
        photo_id=f"openverse:{photo['id']}",
        url=photo["url"],
        page_url=photo["foreign_landing_url"],
        author=photo.get("creator"),
        author_url=photo.get("creator_url"),
        width_px=photo.get("width"),
        height_px=photo.get("height"),
        terms=Terms(
            " ".join(filter(None, (licence, version))),
            photo["license_url"],
            photo["attribution"],
        ),
    )


PEXELS = WebSource(
    name="pexels",
    endpoint="https://api.pexels.com/v1/search",
    per_page=80,
    max_pages=10,
    terms=Terms("Pexels License", "https://www.pexels.com/license/", "Photo by {author} on Pexels"),
    key_variable="PEXELS_API_KEY",
    filters=dict.fromkeys(("orientation", "size", "color", "locale")),
    request=lambda asked: {"params": _paged(asked), "headers": {"Authorization": asked.key}},
    photos=lambda answer: [_pexels_photo(photo) for photo in answer["photos"]],
    n_found=lambda answer: int(answer.get("total_results", 0)),
    is_last=lambda answer, asked: not answer.get("next_page"),
)
"""200 requests an hour and 20,000 a month. The quota headers are those of the month, come with
successful answers only (a 429 has none), and their reset is a moment in Unix time. A link to Pexels
and a credit of the photographer are asked for wherever photos are shown.

pexels.com/api/documentation; help.pexels.com, "How do I see how many requests I have remaining?"
"""

PIXABAY = WebSource(
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
    request=lambda asked: {"params": {"key": asked.key, **_paged(asked, query="q")}},
    photos=lambda answer: [_pixabay_photo(photo) for photo in answer["hits"]],
    n_found=lambda answer: answer["totalHits"],
    is_last=lambda answer, asked: asked.page * asked.per_page >= answer["totalHits"],
    window_s=60.0,
    past_end='"page" is out of valid range',
)
"""100 requests in 60 seconds; the reset is given in seconds. At most 500 photos of a query can be
reached. Addresses of images are for a day, answers may be kept as long. Showing where photos are
from is asked for; "systematic mass downloads are not allowed" without leave.

pixabay.com/api/docs
"""

UNSPLASH = WebSource(
    name="unsplash",
    endpoint="https://api.unsplash.com/search/photos",
    per_page=30,
    max_pages=10,
    terms=Terms(
        "Unsplash License", "https://unsplash.com/license", "Photo by {author} on Unsplash"
    ),
    key_variable="UNSPLASH_ACCESS_KEY",
    filters=dict.fromkeys(("order_by", "collections", "content_filter", "color", "orientation")),
    request=lambda asked: {"params": _paged(asked), **_client_id(asked.key)},
    photos=lambda answer: [_unsplash_photo(photo) for photo in answer["results"]],
    n_found=lambda answer: answer["total"],
    is_last=lambda answer, asked: asked.page >= answer["total_pages"],
    spent="Rate Limit Exceeded",
    report=_client_id,
)
"""50 requests an hour for a new key, 5,000 for an approved one; files of images are not counted,
reports of downloads are. A spent quota is answered with 403 and "Rate Limit Exceeded", and no
answer says when it is renewed. Each download must be reported to `links.download_location`; where a
photo is shown, it must be embedded from its own address (`url`), with photographer and Unsplash
named and linked. Use for machine learning is restricted: ask Unsplash first.

unsplash.com/documentation; help.unsplash.com, API guidelines, and "What do you mean by compiling
photos"; for the 403, the log in github.com/varietywalls/variety/issues/332
"""

OPENVERSE = WebSource(
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
    request=lambda asked: {
        "params": _paged(asked, query="q", per_page="page_size"),
        "headers": {"Authorization": f"Bearer {asked.key}"} if asked.key else {},
    },
    photos=lambda answer: [_openverse_photo(photo) for photo in answer["results"]],
    n_found=lambda answer: answer["result_count"],
    is_last=lambda answer, asked: asked.page >= answer["page_count"],
    window_s=60.0,
)
"""Openly licensed works of many collections, each with its own licence, and no key: 20 requests a
minute and 200 a day, of 20 photos each and no deeper than 240 a query; a token gives 100 and
10,000. What is left is told by headers `X-RateLimit-Available-<scope>`, a 429 says how long to
wait. `license` takes by, by-sa, by-nc, by-nd, by-nc-sa, by-nc-nd, cc0, pdm, several with commas
between; `license_type` takes commercial, modification, all-cc, all.

api.openverse.org/v1; its code at github.com/WordPress/openverse: api/api/utils/throttle.py,
constants/licenses.py, serializers/media_serializers.py; issues 4474 and 5613 for the limits
"""

LOCAL = Source(name="local", per_page=1000, max_pages=1_000_000, terms=Terms())
"""Images that are at hand, or a table of addresses: `exe_core.pull`."""

SOURCES: dict[str, Source] = {
    source.name: source for source in (PEXELS, PIXABAY, UNSPLASH, OPENVERSE, LOCAL)
}
