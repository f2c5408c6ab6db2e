"""A photo site on this machine: a real HTTP server that answers as three photo sites do.

A pull can tell it from them by its address only: fields, paging, keys, limits and errors are
theirs. Its photos are drawn as needed.
"""

from __future__ import annotations

import json
import logging
import math
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

from exe_core.record import digest_of
from exe_core.staleness import code_digest
from exe_core.study import Study
from exe_world.making import encode, workers, write_truth
from exe_world.photos import Photo, catalogue, draw, truth

LICENCE = ("synthetic, CC BY 4.0", "https://creativecommons.org/licenses/by/4.0/")
"""Of all that is drawn, whichever site is imitated: no photographer's work is among it."""
CREDIT = "Drawn for this study; {author} is an invented name"

Query = Mapping[str, str]

_log = logging.getLogger(__name__)


@dataclass
class Answer:
    """An HTTP response."""

    status: int
    body: bytes
    kind: str = "text/html; charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


class Source(NamedTuple):
    """How a photo site is imitated."""

    path: str  # of its search
    limit: tuple[int, float]  # how many requests a key may make, in how many seconds
    key: Callable[[Query, str], str | None]  # of a request's query and header Authorization
    answer: Callable[[Query, Sequence[Photo], PhotoSite], Answer]  # to a known key
    refuse: Callable[[int], Answer]  # 401: another key; 429: the quota is spent
    quota: Callable[[int, int, float, float], dict[str, str]]
    # limit, requests left (below 0: one too many), seconds till more, moment of that -> headers


def _pexels(query: Query, hits: Sequence[Photo], site: PhotoSite) -> Answer:
    """Answer ``GET /v1/search``: a per_page above 80 is cut."""
    if not query.get("query"):
        return _json({"status": 400, "code": "Bad Request"}, 400)
    page = max(_integer(query, "page", 1), 1)
    size = min(max(_integer(query, "per_page", 15), 1), 80)
    photos = [
        {
            "id": int(photo.name),
            **site.size,
            "url": f"{site.address}/photo/{photo.name}/",
            "photographer": photo.author,
            "photographer_url": f"{site.address}/@{quote_plus(photo.author)}",
            "src": dict.fromkeys(("original", "large2x", "large"), site.url(photo)),
            "alt": f"A drawn photo found for {photo.query}",
        }
        for photo in _page(hits, page, size)
    ]
    content: dict[str, object] = {"page": page, "per_page": size, "total_results": len(hits)}
    if page * size < len(hits):
        following = urlencode({"page": page + 1, "per_page": size, "query": query["query"]})
        content["next_page"] = f"{site.address}/v1/search/?{following}"
    return _json(content | {"photos": photos})


def _pixabay(query: Query, hits: Sequence[Photo], site: PhotoSite) -> Answer:
    """Answer ``GET /api/``: no more than 500 photos of a query can be reached.

    It refuses what Pexels mends: a per_page outside 3 to 200 and a page past the last.
    """
    page, size = _integer(query, "page", 1), _integer(query, "per_page", 20)
    reachable = hits[:500]
    if not 3 <= size <= 200:
        return Answer(400, b'[ERROR 400] "per_page" is out of valid range.')
    if not 1 <= page <= max(math.ceil(len(reachable) / size), 1):
        return Answer(400, b'[ERROR 400] "page" is out of valid range.')
    photos = [
        {
            "id": int(photo.name),
            "pageURL": f"{site.address}/photos/drawn-{photo.name}/",
            "type": "photo",
            "tags": ", ".join([*photo.query.split(), "person", "drawn"]),
            "webformatURL": site.url(photo),
            "largeImageURL": site.url(photo),
            "imageWidth": site.size["width"],
            "imageHeight": site.size["height"],
            "user": photo.author,
            "user_id": sum(photo.author.encode()),
        }
        for photo in _page(reachable, page, size)
    ]
    return _json({"total": len(hits), "totalHits": len(reachable), "hits": photos})


def _openverse(query: Query, hits: Sequence[Photo], site: PhotoSite) -> Answer:
    """Answer ``GET /v1/images/``: 20 a page and 240 a query for whoever brings no token."""
    reachable = hits[:240]
    page, size = _integer(query, "page", 1), _integer(query, "page_size", 20)
    if size > 20:
        return _json({"detail": "page_size may not exceed 20 for anonymous requests"}, 401)
    photos = [
        {
            "id": photo.name,
            "title": f"A drawn photo found for {photo.query}",
            "url": site.url(photo),
            **site.size,
            "creator": photo.author,
            "creator_url": f"{site.address}/people/{quote_plus(photo.author)}",
            "license": "by",
            "license_version": "4.0",
            "license_url": LICENCE[1],
            "attribution": CREDIT.replace("{author}", photo.author),
            "foreign_landing_url": f"{site.address}/works/{photo.name}",
            "source": "drawn",
        }
        for photo in _page(reachable, page, size)
    ]
    content = {"result_count": len(reachable), "page_count": math.ceil(len(reachable) / size)}
    return _json(content | {"page_size": size, "page": page, "results": photos})


def _integer(query: Query, name: str, default: int) -> int:
    """Read a whole number of a query, or fall back as the sites do."""
    text = query.get(name, "")
    return int(text) if text.isdecimal() else default


def _page(hits: Sequence[Photo], page: int, size: int) -> Sequence[Photo]:
    return hits[(page - 1) * size : page * size]


def _json(content: object, status: int = 200) -> Answer:
    return Answer(status, json.dumps(content).encode(), "application/json")


def _pixabay_refusal(status: int) -> Answer:
    reason = {401: "Invalid or missing API key", 429: "API rate limit exceeded"}[status]
    status = 400 if status == 401 else status
    return Answer(status, f"[ERROR {status}] {reason}".encode())


def _limits(limit: int, left: int, **others: float) -> dict[str, str]:
    rest = {"limit": limit, "remaining": max(left, 0)} | others
    return {f"X-Ratelimit-{name.title()}": f"{math.ceil(value)}" for name, value in rest.items()}


SOURCES = {
    "pexels": Source(
        path="/v1/search",
        limit=(200, 3600.0),
        key=lambda _, authorization: authorization,
        answer=_pexels,
        refuse=lambda status: _json({"status": status, "code": "refused"}, status),
        quota=lambda limit, left, _, moment: (
            _limits(limit, left, reset=moment) if left >= 0 else {}
        ),
    ),
    "pixabay": Source(
        path="/api/",
        limit=(100, 60.0),
        key=lambda query, _: query.get("key"),
        answer=_pixabay,
        refuse=_pixabay_refusal,
        quota=lambda limit, left, seconds, _: _limits(limit, left, reset=seconds),
    ),
    "openverse": Source(
        path="/v1/images/",
        limit=(100, 60.0),
        key=lambda *_: "",
        answer=_openverse,
        refuse=lambda status: _json({"detail": "Request was throttled."}, status),
        quota=lambda limit, left, seconds, _: {
            "X-RateLimit-Limit-anon_burst": f"{limit}/min",
            "X-RateLimit-Available-anon_burst": f"{max(left, 0)}",
            **({"Retry-After": f"{math.ceil(seconds)}"} if left < 0 else {}),
        },
    ),
}
"""Limits are those of a key that was approved; Openverse, which needs none, has a token's."""


class Quota:
    """So many requests in a window of time, as the key of a source has."""

    def __init__(self, limit: int, window_s: float) -> None:
        self.limit, self.window_s = limit, window_s
        self._lock = threading.Lock()
        self._spent, self._ends = 0, 0.0

    def take(self) -> tuple[int, float]:
        """Count a request; give how many are left (below 0: one too many), and till when."""
        with self._lock:
            if time.time() >= self._ends:
                self._spent, self._ends = 0, time.time() + self.window_s
            self._spent += 1
            return self.limit - self._spent, self._ends


class PhotoSite:
    """The photo site of a study, open from `with` to its end.

    Parameters
    ----------
    study
        Its queries and their noise. The truth of all its photos is written when the site opens;
        what was drawn is kept below ``study.raw / "site"``.
    jobs
        Processes that draw, in the order of the queries and ahead of who asks.

    Attributes
    ----------
    base_urls, keys
        Source -> the address of its search, and the key that it wants.
    hits
        Source -> query -> its photos, best first.

    Examples
    --------
    >>> with PhotoSite(load_study("smoke")) as site:  # doctest: +SKIP
    ...     pull(site.study, base_urls=site.base_urls, keys=site.keys, terms=site.terms)
    """

    terms = (*LICENCE, CREDIT)
    """Of all photos: licence, its address, and how to name their maker."""

    def __init__(self, study: Study, *, jobs: int = 2) -> None:
        self.study, self.jobs = study, jobs
        self.size = dict(zip(("width", "height"), study.world.photo_size, strict=True))
        names = study.pull.sources
        self.keys = {
            name: "" if name == "openverse" else f"{name}-key-of-the-world" for name in names
        }
        self.hits = {name: catalogue(study, name) for name in names}
        self._quotas = {name: Quota(*SOURCES[name].limit) for name in names}
        self._lock = threading.Lock()
        self._drawn: dict[str, Future[Path]] = {}

    def __enter__(self) -> PhotoSite:
        by_query = [hits for of_source in self.hits.values() for hits in of_source.values()]
        self._photos = {photo.photo_id: photo for hits in by_query for photo in hits}
        write_truth(
            self.study, "photos", [truth(self.study, photo) for photo in self._photos.values()]
        )
        self._cache, self._pool = _open_cache(self.study), workers(self.jobs)
        ahead = (hits[: self.study.pull.max_per_query] for hits in by_query)
        for photo in chain.from_iterable(ahead):
            self._file_of(photo)
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.base_urls = {name: self.address + SOURCES[name].path for name in self.hits}
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._pool.shutdown(cancel_futures=True)

    def _file_of(self, photo: Photo) -> Future[Path]:
        with self._lock:
            if photo.photo_id not in self._drawn:
                path = self._cache / f"{photo.source}-{photo.name}-{photo.emotion}.jpg"
                self._drawn[photo.photo_id] = self._pool.submit(_draw, self.study, photo, path)
            return self._drawn[photo.photo_id]

    def url(self, photo: Photo) -> str:
        """The address of a photo's file."""
        return f"{self.address}/photos/{photo.source}/{photo.name}.jpg"

    def answer(self, target: str, *, authorization: str) -> Answer:
        """Answer a GET request for `target`, a path with its query."""
        parts = urlsplit(target)
        path, query = parts.path, dict(parse_qsl(parts.query))
        paths = {SOURCES[name].path.rstrip("/"): name for name in self.hits}
        name = paths.get(path.rstrip("/"))
        if name is not None:
            hits = self.hits[name].get(query.get("q") or query.get("query", ""), [])
            reply = partial(SOURCES[name].answer, query, hits, self)
            return self._metered(name, query, authorization, reply)
        wanted = path.removeprefix("/photos/").removesuffix(".jpg")
        photo = self._photos.get(wanted.replace("/", ":"))
        if photo is not None:
            return Answer(200, self._file_of(photo).result().read_bytes(), "image/jpeg")
        return Answer(404, b"<h1>404 Not Found</h1>")

    def _metered(
        self, name: str, query: Query, authorization: str, reply: Callable[[], Answer]
    ) -> Answer:
        """Answer a request that has the key and something left of its quota."""
        source, quota = SOURCES[name], self._quotas[name]
        if source.key(query, authorization) != self.keys[name]:
            return source.refuse(401)
        left, ends = quota.take()
        answer = reply() if left >= 0 else source.refuse(429)
        answer.headers = source.quota(quota.limit, left, max(ends - time.time(), 0.0), ends)
        return answer


@contextmanager
def endpoints(study: Study) -> Iterator[dict[str, Any]]:
    """Give where a study pulls from: a site of its own for a world, else the real ones (nothing).

    Yields
    ------
    dict
        base_urls, keys and terms, as `exe_core.pull.pull` takes them.
    """
    if study.kind == "real":
        yield {}
        return
    with PhotoSite(study) as site:
        yield {"base_urls": site.base_urls, "keys": site.keys, "terms": site.terms}


class _Server(ThreadingHTTPServer):
    def __init__(self, site: PhotoSite) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.site = site

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong; that who asked has gone is not that."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the receipt of its head

    def do_GET(self) -> None:
        answer = self.server.site.answer(
            self.path, authorization=self.headers.get("Authorization", "")
        )
        self.send_response(answer.status)
        length = {"Content-Length": str(len(answer.body))}
        for name, value in ({"Content-Type": answer.kind} | length | answer.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Stay silent: the path may hold a key."""


def _open_cache(study: Study) -> Path:
    """Give the folder of drawn photos; those of other settings or older code are removed."""
    made_by = [study.seed, study.world.photo_size]
    code = code_digest("exe_world.photos.draw")
    folder = study.raw / "site" / digest_of([made_by, code])[:16]
    if folder.parent.exists() and not folder.exists():
        _log.info("the world's photos are drawn anew: their settings or their code changed")
        shutil.rmtree(folder.parent)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _draw(study: Study, photo: Photo, path: Path) -> Path:
    if not path.exists():
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(encode(draw(study, photo)))
        unfinished.replace(path)
    return path
