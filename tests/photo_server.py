"""A photo site on this machine that answers as the sources do, and fails as they may."""

import gzip
import io
import json
import socket
import struct
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from PIL import Image

from exe_core.study import parse_study

KEYS = {"pexels": "pexels/secret+key", "pixabay": "pixabay+secret"}
RESET = b"reset"
"""In place of a part of a body: the line drops."""

_time = time.time  # of the server's clock, whatever a test does to that of the pull


def photo_bytes(number):
    """A small photo, another for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((64, 48)).save(stream, "JPEG")
    return stream.getvalue()


class Site:
    """Answers as the sources do, and fails as `faults` says.

    `found` maps a query to the numbers of its photos; `asked` lists the paths of requests. `faults`
    maps a part of a path to what goes wrong with the next requests for it (None: nothing), as
    functions of an answer's status, body and headers. `n_faults` counts them.
    """

    def __init__(self):
        self.found = {"happy face": [1, 2, 3, 4, 5], "sad face": [5, 6, 7]}
        self.faults = defaultdict(list)
        self.n_faults, self.quota, self.asked, self.photo_delay_s = 0, {}, [], 0.0
        self._lock = threading.Lock()

    def __enter__(self):
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                site.answer(self)

            def date_time_string(self, timestamp=None):
                return super().date_time_string(timestamp or _time())

            def log_message(self, *_):
                """Stay silent."""

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.base_urls = {name: f"{self.address}/{name}" for name in KEYS}
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def count(self, part):
        return sum(part in path for path in self.asked)

    def answer(self, handler):
        with self._lock:
            self.asked.append(handler.path)
            scripts = [script for part, script in self.faults.items() if part in handler.path]
            fault = next((script.pop(0) for script in scripts if script), None)
            self.n_faults += fault is not None
        status, body = self.content(urlsplit(handler.path), handler)
        headers = {"Content-Length": str(len(body)), **self.quota}
        parts = [body]
        if fault:
            status, given, headers = fault(status, body, headers)
            parts = [given] if isinstance(given, bytes) else given
        if status == 0:  # hang up without a word
            return
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        for part in parts:
            if part is RESET:
                linger = struct.pack("ii", 1, 0)
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                handler.connection.close()
                return
            handler.wfile.write(part)

    def content(self, url, handler):
        path, asked = url.path, dict(parse_qsl(url.query))
        if path.startswith("/photos/"):
            time.sleep(self.photo_delay_s)
            return 200, photo_bytes(int(Path(path).stem))
        pexels = path == "/pexels"
        key = handler.headers["Authorization"] if pexels else asked.get("key")
        if key != KEYS[path[1:]]:
            return (401 if pexels else 400), f"invalid key {key}".encode()
        page, per_page = int(asked["page"]), int(asked["per_page"])
        numbers = self.found.get(asked["query" if pexels else "q"], [])
        shown = numbers[(page - 1) * per_page : page * per_page]
        if not pexels and not shown and page > 1:
            return 400, b'[ERROR 400] "page" is out of valid range.'
        return 200, json.dumps((self.pexels if pexels else self.pixabay)(shown, numbers)).encode()

    def addresses(self, number):
        return f"{self.address}/photo/{number}/", f"{self.address}/photos/{number}.jpg"

    def pexels(self, shown, numbers):
        photos = []
        for number in shown:
            page, url = self.addresses(number)
            photo = {"id": number, "width": 640, "height": 480, "url": page}
            photos.append(photo | {"photographer": f"Author {number}", "src": {"large2x": url}})
        more = {"next_page": "more"} if shown and shown[-1] != numbers[-1] else {}
        return {"photos": photos, "total_results": len(numbers), **more}

    def pixabay(self, shown, numbers):
        hits = []
        for number in shown:
            page, url = self.addresses(number)
            photo = {"id": number, "imageWidth": 640, "imageHeight": 480, "pageURL": page}
            hits.append(photo | {"user": f"Author {number}", "largeImageURL": url})
        return {"total": len(numbers), "totalHits": len(numbers), "hits": hits}


def pulled_study(*names, kind="world", **settings):
    """A study that pulls two queries from some sources."""
    names = names or ("pexels",)
    usual = {"sources": names, "designs": ["v1"]}
    return parse_study(
        {
            "name": "pulled",
            "kind": kind,
            "title": "For the tests of the pull",
            "labels": ["happy", "sad"],
            "pull": {**usual, **settings},
            "sets": {"one": {"kind": "photos", "source": names[0], "design": "v1"}},
            "runs": {"one": {"sets": ["one"]}},
        }
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_):
        """Say nothing where a client hung up: it may."""


class Always(list):
    """A script without end: what goes wrong with every request from some request on."""

    def __init__(self, fault, *, after=0):
        super().__init__([None] * after)
        self.fault = fault

    def __bool__(self):
        return True

    def pop(self, place):
        return super().pop(place) if len(self) else self.fault


def body_of(content, **headers):
    """Give something else than what was asked for."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda *_: (200, content, {"Content-Length": str(len(content)), **named})


def status(code, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda *_: (code, b"out of order", {"Content-Length": "12", **named})


def redirect(location):
    return lambda *_: (302, b"", {"Content-Length": "0", "Location": location})


def cut(code, body, headers):
    return code, body[: len(body) // 2], headers


def reset(code, body, headers):
    return code, [body[: len(body) // 2], RESET], headers


def longer(code, body, headers):
    return code, body, {**headers, "Content-Length": str(len(body) + 50)}


def truncated(code, body, headers):
    return 200, body[:400], {"Content-Length": "400"}


def hang_up(code, body, headers):
    return 0, b"", {}


def drip(code, body, headers):
    """Send byte after byte, none of them late, and take for ever."""

    def parts():
        for place in range(len(body)):
            time.sleep(0.05)
            yield body[place : place + 1]

    return code, parts(), headers


def slowly(code, body, headers):
    """Send one half, and a little later the other."""

    def parts():
        yield body[: len(body) // 2]
        time.sleep(0.03)
        yield body[len(body) // 2 :]

    return code, parts(), headers


def endless(code, body, headers):
    """Send more than a photo may hold, and say that it is little."""
    return 200, (body + bytes(2**20) for _ in range(10**4)), {}


page_of_html = body_of(b"<html><h1>We will be back soon</h1></html>", Content_Type="image/jpeg")
unpacked_too_large = body_of(gzip.compress(bytes(60_000_000), 1), Content_Encoding="gzip")
packed_twice = body_of(gzip.compress(gzip.compress(bytes(10**6))), Content_Encoding="gzip, gzip")


class Clock:
    """Notes the waits that it is asked for, and does not wait."""

    def __init__(self):
        self.waits: list[float] = []

    def __call__(self, seconds):
        self.waits.append(seconds)
