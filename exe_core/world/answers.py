"""What Pexels and Pixabay answer to a search: their fields, paging, limits and errors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote_plus, urlencode

from exe_core.world.photos import Photo

Hits = Mapping[str, Sequence[Photo]]
Query = Mapping[str, str]


@dataclass
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


def pexels(asked: Query, *, hits: Hits, address: str, size: tuple[int, int]) -> Answer:
    """Answer ``GET /v1/search`` as Pexels does to a known key.

    Parameters
    ----------
    asked
        query, page (from 1) and per_page (80 at most, as Pexels cuts it).
    hits
        Query -> its photos, best first; an unknown query has none.
    address
        Of the server that has the photos.
    size
        Of the original photos: width, height in px.
    """
    if not asked.get("query"):
        return _json({"status": 400, "code": "Bad Request"}, 400)
    found = hits.get(asked["query"], [])
    page = max(integer(asked.get("page"), 1), 1)
    per_page = min(max(integer(asked.get("per_page"), 15), 1), 80)
    photos = [_pexels_photo(photo, address, size) for photo in _page(found, page, per_page)]
    content = {"page": page, "per_page": per_page, "total_results": len(found), "photos": photos}
    if page * per_page < len(found):
        query = urlencode({"page": page + 1, "per_page": per_page, "query": asked["query"]})
        content["next_page"] = f"{address}/v1/search/?{query}"
    return _json(content)


def _pexels_photo(photo: Photo, address: str, size: tuple[int, int]) -> dict[str, object]:
    url = f"{address}/photos/pexels/{photo.number}.jpg"
    heights = {"large2x": 1300, "large": 650, "medium": 350, "small": 130}
    return {
        "id": photo.number,
        "width": size[0],
        "height": size[1],
        "url": f"{address}/photo/{photo.number}/",
        "photographer": photo.author,
        "photographer_url": f"{address}/@{quote_plus(photo.author)}",
        "src": {"original": url} | {name: f"{url}?h={px}" for name, px in heights.items()},
        "alt": f"A drawn photo found for {photo.query}",
    }


def pixabay(asked: Query, *, hits: Hits, address: str, size: tuple[int, int]) -> Answer:
    """Answer ``GET /api/`` as Pixabay does to a known key; parameters as of `pexels`.

    It refuses what Pexels mends: a per_page outside 3 to 200 and a page past the last; no more
    than 500 photos of a query can be reached.
    """
    found = hits.get(asked.get("q", ""), [])
    page, per_page = integer(asked.get("page"), 1), integer(asked.get("per_page"), 20)
    reachable = found[:500]
    if not 3 <= per_page <= 200:
        return Answer(400, b'[ERROR 400] "per_page" is out of valid range.')
    if not 1 <= page <= max(math.ceil(len(reachable) / per_page), 1):
        return Answer(400, b'[ERROR 400] "page" is out of valid range.')
    photos = [_pixabay_photo(photo, address, size) for photo in _page(reachable, page, per_page)]
    return _json({"total": len(found), "totalHits": len(reachable), "hits": photos})


def _pixabay_photo(photo: Photo, address: str, size: tuple[int, int]) -> dict[str, object]:
    url = f"{address}/photos/pixabay/{photo.number}.jpg"
    return {
        "id": photo.number,
        "pageURL": f"{address}/photos/drawn-{photo.number}/",
        "type": "photo",
        "tags": ", ".join([*photo.query.split(), "person", "drawn"]),
        "webformatURL": f"{url}?h=360",
        "largeImageURL": url,
        "imageWidth": size[0],
        "imageHeight": size[1],
        "user": photo.author,
        "user_id": sum(photo.author.encode()),
    }


def refuse(source: str, status: int) -> Answer:
    """Refuse a search as the source does: for its key, or for its spent quota (429)."""
    if source == "pexels":
        return _json(
            {"status": status, "code": "Unauthorized" if status == 401 else "Too Many Requests"},
            status,
        )
    reason = "API rate limit exceeded" if status == 429 else "Invalid or missing API key"
    return Answer(status, f"[ERROR {status}] {reason}".encode())


def integer(text: str | None, default: int) -> int:
    """Read a whole number of a query, or fall back as the sites do."""
    return int(text) if text and text.isdecimal() else default


def _page(hits: Sequence[Photo], page: int, per_page: int) -> Sequence[Photo]:
    return hits[(page - 1) * per_page : page * per_page]


def _json(content: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(content).encode(), "application/json")
