"""What photo sites answer to a search: their fields, paging, keys, limits and errors."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote_plus, urlencode

from exe_world.photos import Photo

Hits = Mapping[str, Sequence[Photo]]
Query = Mapping[str, str]

LICENCE = ("synthetic, CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
"""Of all that is drawn, whichever site is imitated: no photographer's work is among it."""
CREDIT = "Drawn for this study; {author} is an invented name"


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


class Asked(NamedTuple):
    """A search, and what there is to answer it with.

    Attributes
    ----------
    hits
        Query -> its photos, best first; an unknown query has none.
    address
        Of the server that has the photos.
    size
        Of the original photos: width, height in px.
    """

    query: Query
    hits: Hits
    address: str
    size: tuple[int, int]


class Site(NamedTuple):
    """How a photo site is imitated.

    Attributes
    ----------
    path
        Of its search.
    limit
        How many requests a key may make, in how many seconds.
    given
        Query and header Authorization -> the key that came with a request; "" if none is needed.
    answer
        What a known key is answered.
    refuse
        401: another key; 429: the quota is spent.
    quota
        Limit, requests left (below 0: one too many), seconds till more, moment of that -> headers.
    """

    path: str
    limit: tuple[int, float]
    given: Callable[[Query, str], str | None]
    answer: Callable[[Asked], Answer]
    refuse: Callable[[int], Answer]
    quota: Callable[[int, int, float, float], dict[str, str]]


def pexels(asked: Asked) -> Answer:
    """Answer ``GET /v1/search``: a per_page above 80 is cut."""
    query = asked.query.get("query")
    if not query:
        return _json({"status": 400, "code": "Bad Request"}, 400)
    found = asked.hits.get(query, [])
    page, per_page = max(integer(asked.query.get("page"), 1), 1), _per_page(asked, 15, most=80)
    content = {
        "page": page,
        "per_page": per_page,
        "total_results": len(found),
        "photos": [_pexels_photo(photo, asked) for photo in _page(found, page, per_page)],
    }
    if page * per_page < len(found):
        following = urlencode({"page": page + 1, "per_page": per_page, "query": query})
        content["next_page"] = f"{asked.address}/v1/search/?{following}"
    return _json(content)


def _pexels_photo(photo: Photo, asked: Asked) -> dict[str, object]:
    url = _file(photo, asked)
    heights = {"large2x": 1300, "large": 650, "medium": 350, "small": 130}
    return {
        "id": int(photo.name),
        "width": asked.size[0],
        "height": asked.size[1],
        "url": f"{asked.address}/photo/{photo.name}/",
        "photographer": photo.author,
        "photographer_url": f"{asked.address}/@{quote_plus(photo.author)}",
        "src": {"original": url} | {name: f"{url}?h={px}" for name, px in heights.items()},
        "alt": f"A drawn photo found for {photo.query}",
    }


def pixabay(asked: Asked) -> Answer:
    """Answer ``GET /api/``: no more than 500 photos of a query can be reached.

    It refuses what Pexels mends: a per_page outside 3 to 200 and a page past the last.
    """
    found = asked.hits.get(asked.query.get("q", ""), [])
    page, per_page = integer(asked.query.get("page"), 1), integer(asked.query.get("per_page"), 20)
    reachable = found[:500]
    if not 3 <= per_page <= 200:
        return Answer(400, b'[ERROR 400] "per_page" is out of valid range.')
    if not 1 <= page <= max(math.ceil(len(reachable) / per_page), 1):
        return Answer(400, b'[ERROR 400] "page" is out of valid range.')
    photos = [_pixabay_photo(photo, asked) for photo in _page(reachable, page, per_page)]
    return _json({"total": len(found), "totalHits": len(reachable), "hits": photos})


def _pixabay_photo(photo: Photo, asked: Asked) -> dict[str, object]:
    url = _file(photo, asked)
    return {
        "id": int(photo.name),
        "pageURL": f"{asked.address}/photos/drawn-{photo.name}/",
        "type": "photo",
        "tags": ", ".join([*photo.query.split(), "person", "drawn"]),
        "webformatURL": f"{url}?h=360",
        "largeImageURL": url,
        "imageWidth": asked.size[0],
        "imageHeight": asked.size[1],
        "user": photo.author,
        "user_id": sum(photo.author.encode()),
    }


def unsplash(asked: Asked) -> Answer:
    """Answer ``GET /search/photos``: a per_page above 30 is cut."""
    found = asked.hits.get(asked.query.get("query", ""), [])
    page, per_page = max(integer(asked.query.get("page"), 1), 1), _per_page(asked, 10, most=30)
    return _json(
        {
            "total": len(found),
            "total_pages": math.ceil(len(found) / per_page),
            "results": [_unsplash_photo(photo, asked) for photo in _page(found, page, per_page)],
        }
    )


def _unsplash_photo(photo: Photo, asked: Asked) -> dict[str, object]:
    url, page = _file(photo, asked), f"{asked.address}/photos/{photo.name}"
    heights = {"regular": 1080, "small": 400, "thumb": 200}
    return {
        "id": photo.name,
        "width": asked.size[0],
        "height": asked.size[1],
        "alt_description": f"a drawn photo found for {photo.query}",
        "urls": {"raw": url, "full": url} | {name: f"{url}?h={px}" for name, px in heights.items()},
        "links": {"self": page, "html": page, "download_location": f"{page}/download"},
        "user": {
            "name": photo.author,
            "links": {"html": f"{asked.address}/@{quote_plus(photo.author)}"},
        },
    }


def openverse(asked: Asked) -> Answer:
    """Answer ``GET /v1/images/``: 20 a page and 240 a query for whoever brings no token."""
    found = asked.hits.get(asked.query.get("q", ""), [])[:240]
    page, size = integer(asked.query.get("page"), 1), integer(asked.query.get("page_size"), 20)
    if size > 20:
        return _json({"detail": "page_size may not exceed 20 for anonymous requests"}, 401)
    return _json(
        {
            "result_count": len(found),
            "page_count": math.ceil(len(found) / size),
            "page_size": size,
            "page": page,
            "results": [_openverse_photo(photo, asked) for photo in _page(found, page, size)],
        }
    )


def _openverse_photo(photo: Photo, asked: Asked) -> dict[str, object]:
    url = _file(photo, asked)
    return {
        "id": photo.name,
        "title": f"A drawn photo found for {photo.query}",
        "url": url,
        "thumbnail": f"{url}?h=600",
        "width": asked.size[0],
        "height": asked.size[1],
        "creator": photo.author,
        "creator_url": f"{asked.address}/people/{quote_plus(photo.author)}",
        "license": "by",
        "license_version": "4.0",
        "license_url": LICENCE[1],
        "attribution": CREDIT.replace("{author}", photo.author),
        "foreign_landing_url": f"{asked.address}/works/{photo.name}",
        "source": "drawn",
    }


def integer(text: str | None, default: int) -> int:
    """Read a whole number of a query, or fall back as the sites do."""
    return int(text) if text and text.isdecimal() else default


def _per_page(asked: Asked, default: int, *, most: int) -> int:
    return min(max(integer(asked.query.get("per_page"), default), 1), most)


def _page(hits: Sequence[Photo], page: int, per_page: int) -> Sequence[Photo]:
    return hits[(page - 1) * per_page : page * per_page]


def _file(photo: Photo, asked: Asked) -> str:
    return f"{asked.address}/photos/{photo.source}/{photo.name}.jpg"


def _json(content: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(content).encode(), "application/json")


def _pixabay_error(status: int) -> Answer:
    reason = {401: "Invalid or missing API key", 429: "API rate limit exceeded"}[status]
    status = 400 if status == 401 else status
    return Answer(status, f"[ERROR {status}] {reason}".encode())


SITES = {
    "pexels": Site(
        path="/v1/search",
        limit=(200, 3600.0),
        given=lambda _, authorization: authorization,
        answer=pexels,
        refuse=lambda status: _json({"status": status, "code": "refused"}, status),
        quota=lambda limit, left, _, moment: (
            {
                "X-Ratelimit-Limit": f"{limit}",
                "X-Ratelimit-Remaining": f"{left}",
                "X-Ratelimit-Reset": f"{math.ceil(moment)}",
            }
            if left >= 0
            else {}
        ),
    ),
    "pixabay": Site(
        path="/api/",
        limit=(100, 60.0),
        given=lambda query, _: query.get("key"),
        answer=pixabay,
        refuse=_pixabay_error,
        quota=lambda limit, left, seconds, _: {
            "X-RateLimit-Limit": f"{limit}",
            "X-RateLimit-Remaining": f"{max(left, 0)}",
            "X-RateLimit-Reset": f"{math.ceil(seconds)}",
        },
    ),
    "unsplash": Site(
        path="/search/photos",
        limit=(5000, 3600.0),
        given=lambda _, authorization: authorization.removeprefix("Client-ID "),
        answer=unsplash,
        refuse=lambda status: (
            Answer(403, b"Rate Limit Exceeded", "text/plain")
            if status == 429
            else _json({"errors": ["OAuth error: The access token is invalid"]}, 401)
        ),
        quota=lambda limit, left, *_: {
            "X-Ratelimit-Limit": f"{limit}",
            "X-Ratelimit-Remaining": f"{max(left, 0)}",
        },
    ),
    "openverse": Site(
        path="/v1/images/",
        limit=(100, 60.0),
        given=lambda *_: "",
        answer=openverse,
        refuse=lambda status: _json({"detail": "Request was throttled."}, status),
        quota=lambda limit, left, seconds, _: {
            "X-RateLimit-Limit-anon_burst": f"{limit}/min",
            "X-RateLimit-Available-anon_burst": f"{max(left, 0)}",
            **({"Retry-After": f"{math.ceil(seconds)}"} if left < 0 else {}),
        },
    ),
}
"""Limits are those of a key that was approved; Openverse, which needs none, has a token's."""
