"""A photo site on this machine that answers as the sources do, and fails as they may."""

from __future__ import annotations

import io
import json
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from PIL import Image

KEYS = {"pexels": "pexels/secret key", "pixabay": "pixabay+secret"}


def photo_bytes(number: int) -> bytes:
    """A small photo, another for each number."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(coarse).resize((64, 48)).save(stream, "JPEG")
    return stream.getvalue()


class Site:
    """Answers as the two sources do; `faults` holds what goes wrong next, by part of the path."""

    def __init__(self) -> None:
        self.found: dict[str, list[int]] = {"happy face": [1, 2, 3, 4, 5], "sad face": [5, 6, 7]}
        self.faults: dict[str, list[object]] = defaultdict(list)
        self.quota: dict[str, str] = {}
        self.asked: list[str] = []
        self.photo_delay_s = 0.0
        self._lock = threading.Lock()

    def __enter__(self) -> Site:
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.answer(self)

            def log_message(self, *_: object) -> None:
                """Stay silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
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
        parts = urlsplit(handler.path)
        with self._lock:
            self.asked.append(handler.path)
            scripts = [script for part, script in self.faults.items() if part in handler.path]
            fault = next((script.pop(0) for script in scripts if script), None)
        if parts.path.startswith("/photos/"):
            time.sleep(self.photo_delay_s)
            status, body = 200, photo_bytes(int(Path(parts.path).stem))
        else:
            status, body = self.search(parts.path, dict(parse_qsl(parts.query)), handler)
        headers = {"Content-Length": str(len(body)), **self.quota}
        if callable(fault):
            status, body, headers = fault(status, body, headers)
        if status == 0:  # hang up without a word
            return
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

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


def status(code: int, **headers: str):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _, body, own: (code, b"out of order", {"Content-Length": "12", **named})


def cut(code: int, body: bytes, headers: dict[str, str]):
    return code, body[: len(body) // 2], headers


def longer(code: int, body: bytes, headers: dict[str, str]):
    return code, body, {**headers, "Content-Length": str(len(body) + 50)}


def page_of_html(code: int, body: bytes, headers: dict[str, str]):
    text = b"<html><h1>We will be back soon</h1></html>"
    return 200, text, {"Content-Length": str(len(text)), "Content-Type": "image/jpeg"}


def truncated(code: int, body: bytes, headers: dict[str, str]):
    return 200, body[:400], {"Content-Length": "400"}


def hang_up(code: int, body: bytes, headers: dict[str, str]):
    return 0, b"", {}


def stall(code: int, body: bytes, headers: dict[str, str]):
    time.sleep(0.6)
    return code, body, headers


class Clock:
    """Notes the waits that it is asked for, and does not wait."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)
