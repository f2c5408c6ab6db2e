"""A photo site on this machine: a real HTTP server that answers as four photo sites do.

Who pulls from it can tell it from them by its address only; its photos are drawn as needed.
"""

from __future__ import annotations

import logging
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import cv2
import numpy as np

from exe_core.study import Study
from exe_world import answers, photos
from exe_world.answers import SITES, Answer, Asked
from exe_world.making import digest, encode, workers, write_truth
from exe_world.photos import Photo

_log = logging.getLogger(__name__)


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
    faults
        For tests: part of a path with its query -> what goes wrong with the requests for it, one
        after the other: a status such as 429 or 500, "cut" (the line drops half-way through the
        body), "garbage" (a body that is no JSON and no JPEG) or "stall" (2 s of silence).
    limits
        Source -> how many requests in how many seconds, in place of those of `SITES`.

    Attributes
    ----------
    base_urls, keys
        Source -> the address of its search, and the key that it wants.
    terms
        Of all photos: licence, its address, and how to name their maker.
    requests
        Path and status of every answer, keys left out.
    reported
        Ids of the photos of Unsplash whose download was reported, in the order of the reports.
    """

    def __init__(
        self,
        study: Study,
        *,
        jobs: int = 2,
        faults: Mapping[str, list[int | str]] | None = None,
        limits: Mapping[str, tuple[int, float]] | None = None,
    ) -> None:
        self.study, self.jobs = study, jobs
        sources = [source for source in study.pull.sources if source in SITES]
        self.keys = {
            source: "" if source == "openverse" else f"{source}-key-of-the-world"
            for source in sources
        }
        self.hits = {source: photos.catalogue(study, source) for source in sources}
        self.terms = (*answers.LICENCE, answers.CREDIT)
        self.requests: list[tuple[str, int]] = []
        self.reported: list[str] = []
        self._faults = {part: list(sequence) for part, sequence in (faults or {}).items()}
        self._quotas = {
            name: Quota(*(limits or {}).get(name, SITES[name].limit)) for name in sources
        }
        self._lock = threading.Lock()
        self._drawn: dict[str, Future[Path]] = {}

    def __enter__(self) -> PhotoSite:
        # Query by query, as the sources are pulled from side by side.
        side_by_side = zip(*(found.values() for found in self.hits.values()), strict=True)
        by_query = [*chain.from_iterable(side_by_side)]
        self._photos = {photo.photo_id: photo for hits in by_query for photo in hits}
        truth = [photos.truth(self.study, photo) for photo in self._photos.values()]
        write_truth(self.study, "photos", truth)
        self._cache, self._pool = _open_cache(self.study), workers(self.jobs)
        ahead = (hits[: self.study.pull.max_per_query] for hits in by_query)
        for photo in chain.from_iterable(ahead):
            self._file_of(photo)
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self.base_urls = {source: self.address + SITES[source].path for source in self.hits}
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

    def answer(self, target: str, *, authorization: str) -> Answer:
        """Answer a GET request for `target`, a path with its query."""
        parts = urlsplit(target)
        asked = dict(parse_qsl(parts.query))
        fault = self._next_fault(target)
        if fault == "stall":
            time.sleep(2)
        if isinstance(fault, int):
            answer = Answer(fault, b"out of order", headers={"Retry-After": "1"})
        else:
            answer = self._route(parts.path, asked, authorization)
        if fault == "garbage":
            answer.body = b"<p>We will be back soon</p>"
        if fault == "cut":
            answer.headers["Content-Length"] = str(len(answer.body))
            answer.body = answer.body[: len(answer.body) // 2]
        shown = urlencode({name: value for name, value in asked.items() if name != "key"})
        self.requests.append((f"{parts.path}?{shown}".rstrip("?"), answer.status))
        return answer

    def _next_fault(self, target: str) -> int | str | None:
        with self._lock:
            for part, sequence in self._faults.items():
                if part in target and sequence:
                    return sequence.pop(0)
        return None

    def _route(self, path: str, asked: dict[str, str], authorization: str) -> Answer:
        for source in self.hits:
            if path.rstrip("/") == SITES[source].path.rstrip("/"):
                return self._search(source, asked, authorization)
        if path.endswith("/download"):
            return self._report(path.split("/")[-2], authorization)
        name = path.removeprefix("/photos/").removesuffix(".jpg")
        photo = self._photos.get(name.replace("/", ":"))
        if photo is None:
            return Answer(404, b"<h1>404 Not Found</h1>")
        data = self._file_of(photo).result().read_bytes()
        full = self.study.world.photo_size[1]
        height = answers.integer(asked.get("h"), full)
        return Answer(200, data if height >= full else _reduce(data, height), "image/jpeg")

    def _search(self, source: str, query: dict[str, str], authorization: str) -> Answer:
        asked = Asked(query, self.hits[source], self.address, self.study.world.photo_size)
        return self._metered(
            source, query, authorization, reply=lambda: SITES[source].answer(asked)
        )

    def _report(self, name: str, authorization: str) -> Answer:
        if f"unsplash:{name}" not in self._photos:
            return Answer(404, b"<h1>404 Not Found</h1>")
        answer = self._metered("unsplash", {}, authorization, reply=lambda: Answer(200, b"{}"))
        if answer.status == 200:
            self.reported.append(name)
        return answer

    def _metered(
        self, source: str, query: dict[str, str], authorization: str, *, reply: Callable[[], Answer]
    ) -> Answer:
        """Answer whoever has the key and something left of its quota."""
        site = SITES[source]
        if site.given(query, authorization) != self.keys[source]:
            return site.refuse(401)
        left, ends = self._quotas[source].take()
        answer = reply() if left >= 0 else site.refuse(429)
        seconds = max(ends - time.time(), 0.0)
        answer.headers = site.quota(self._quotas[source].limit, left, seconds, ends)
        return answer


class _Server(ThreadingHTTPServer):
    def __init__(self, site: PhotoSite) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.site = site

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print what went wrong; that who asked has gone is not that."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def endpoints(study: Study) -> Iterator[dict[str, Any]]:
    """Say where a study pulls from: an own site for a world, the real ones (nothing) otherwise.

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
        self.close_connection = "Content-Length" in answer.headers  # the body was cut

    def log_message(self, *_: object) -> None:
        """Stay silent: the path may hold a key."""


def _open_cache(study: Study) -> Path:
    """Give the folder of drawn photos; those of other settings or older code are removed."""
    settings = [study.seed, study.world.photo_size, study.world.faces_per_photo]
    folder = study.raw / "site" / digest(settings, makers=("photos",))[:16]
    if folder.parent.exists() and not folder.exists():
        _log.info("the world's photos are drawn anew: their settings or their code changed")
        shutil.rmtree(folder.parent)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _draw(study: Study, photo: Photo, path: Path) -> Path:
    if not path.exists():
        partial = path.with_suffix(".part")
        partial.write_bytes(encode(photos.draw(study, photo)))
        partial.replace(path)
    return path


def _reduce(data: bytes, height: int) -> bytes:
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))
    width = round(image.shape[1] * height / image.shape[0])
    return encode(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))
