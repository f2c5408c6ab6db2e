"""A photo site on this machine that answers as the sources do, and fails as they may."""

from __future__ import annotations

import gzip
import io
import json
import socket
import struct
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from PIL import Image

KEYS = {"pexels": "pexels/secret key", "pixabay": "pixabay+secret"}
RESET = b"reset"
"""In place of a part of a body: the line drops."""

Answer = tuple[int, bytes | Iterable[bytes], dict[str, str]]
Fault = Callable[[int, bytes, dict[str, str]], Answer]
"""What becomes of an answer: its status, its body or the parts of it, its headers."""

_time = time.time  # of the server's clock, whatever a test does to that of the pull


def photo_bytes(number: int) -> bytes:
    """A small photo, another for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((64, 48)).save(stream, "JPEG")
    return stream.getvalue()


class Site:
    """Answers as the sources do, and fails as it is told to.

    Attributes
    ----------
    found
        Query -> the photos that it finds.
    faults
        Part of a path -> what goes wrong with the next requests for it, one after the other;
        None: nothing.
    asked
        The path of each request.
    n_faults
        How many requests went wrong.
    """

    def __init__(self) -> None:
        self.found: dict[str, list[int]] = {"happy face": [1, 2, 3, 4, 5], "sad face": [5, 6, 7]}
        self.faults: dict[str, list[Fault | None]] = defaultdict(list)
        self.n_faults = 0
        self.quota: dict[str, str] = {}
        self.asked: list[str] = []
        self.photo_delay_s = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Site:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(timestamp or _time())

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = _Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self.base_urls = {name: f"{self.address}/{name}" for name in KEYS}
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def count(self, part: str) -> int:
        return sum(part in path for path in self.asked)

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = urlsplit(handler.path)
        with self._lock:
            self.asked.append(handler.path)
            scripts = [script for part, script in self.faults.items() if part in handler.path]
            fault = next((script.pop(0) for script in scripts if script), None)
            self.n_faults += fault is not None
        if asked.path.startswith("/photos/"):
            time.sleep(self.photo_delay_s)
            status, body = 200, photo_bytes(int(Path(asked.path).stem))
        else:
            status, body = self.search(asked.path, dict(parse_qsl(asked.query)), handler)
        headers = {"Content-Length": str(len(body)), **self.quota}
        parts: Iterable[bytes] = [body]
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

    def search(
        self, path: str, asked: dict[str, str], handler: BaseHTTPRequestHandler
    ) -> tuple[int, bytes]:
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

    def pexels(self, shown: list[int], numbers: list[int]) -> dict[str, object]:
        photos = [
            {
                "id": number,
                "width": 640,
                "height": 480,
                "url": f"{self.address}/photo/{number}/",
                "photographer": f"Author {number}",
                "src": {"large2x": f"{self.address}/photos/{number}.jpg"},
            }
            for number in shown
        ]
        more = {"next_page": "more"} if shown and shown[-1] != numbers[-1] else {}
        return {"photos": photos, "total_results": len(numbers), **more}

    def pixabay(self, shown: list[int], numbers: list[int]) -> dict[str, object]:
        hits = [
            {
                "id": number,
                "pageURL": f"{self.address}/photo/{number}/",
                "largeImageURL": f"{self.address}/photos/{number}.jpg",
                "imageWidth": 640,
                "imageHeight": 480,
                "user": f"Author {number}",
            }
            for number in shown
        ]
        return {"total": len(numbers), "totalHits": len(numbers), "hits": hits}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing where a client hung up: it may."""


class Always(list):
    """A script without end: what goes wrong with every request from some request on."""

    def __init__(self, fault: Fault, *, after: int = 0) -> None:
        super().__init__([None] * after)
        self.fault = fault

    def __bool__(self) -> bool:
        return True

    def pop(self, place: int) -> Fault | None:
        return super().pop(place) if len(self) else self.fault


def body_of(content: bytes, **headers: str) -> Fault:
    """Give something else than what was asked for."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda *_: (200, content, {"Content-Length": str(len(content)), **named})


def status(code: int, **headers: str) -> Fault:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda *_: (code, b"out of order", {"Content-Length": "12", **named})


def redirect(location: str) -> Fault:
    return lambda *_: (302, b"", {"Content-Length": "0", "Location": location})


def cut(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    return code, body[: len(body) // 2], headers


def reset(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    return code, [body[: len(body) // 2], RESET], headers


def longer(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    return code, body, {**headers, "Content-Length": str(len(body) + 50)}


def shorter(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    return code, body, {**headers, "Content-Length": str(len(body) - 50)}


def truncated(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    return 200, body[:400], {"Content-Length": "400"}


def hang_up(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    return 0, b"", {}


def stall(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    time.sleep(0.6)
    return code, body, headers


def drip(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    """Send byte after byte, none of them late, and take for ever."""

    def parts() -> Iterator[bytes]:
        for place in range(len(body)):
            time.sleep(0.05)
            yield body[place : place + 1]

    return code, parts(), headers


def slowly(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    """Send one half, and a little later the other."""

    def parts() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        time.sleep(0.03)
        yield body[len(body) // 2 :]

    return code, parts(), headers


def endless(code: int, body: bytes, headers: dict[str, str]) -> Answer:
    """Send more than a photo may hold, and say that it is little."""
    return 200, (body + bytes(2**20) for _ in range(10**4)), {}


page_of_html = body_of(b"<html><h1>We will be back soon</h1></html>", Content_Type="image/jpeg")
nothing = body_of(b"")
svg = body_of(b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"></svg>')
unpacked_too_large = body_of(gzip.compress(bytes(60_000_000), 1), Content_Encoding="gzip")
packed_twice = body_of(gzip.compress(gzip.compress(bytes(10**6))), Content_Encoding="gzip, gzip")


def animated_gif() -> bytes:
    stream, frames = io.BytesIO(), [Image.open(io.BytesIO(photo_bytes(n))) for n in range(3)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def png_bomb(side: int) -> bytes:
    """A true PNG, black, of so many pixels a side: few bytes, and one bit a pixel unpacked."""
    pack, row = zlib.compressobj(9), bytes(1 + side // 8)
    data = b"".join(pack.compress(row) for _ in range(side)) + pack.flush()
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", data), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


class Clock:
    """Notes the waits that it is asked for, and does not wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
