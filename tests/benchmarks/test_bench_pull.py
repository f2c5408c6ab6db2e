"""How much faster a pull is than the published loop, at 50 ms a request: ratios within one run.

pytest tests/benchmarks/test_bench_pull.py --benchmark-enable

The published pullers make one request after the other: a page, then each of its photos, one source
after the other. Here they keep their connection, which theirs do not.
"""

import io
import json
import multiprocessing
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

import httpx
import numpy as np
import pytest
from PIL import Image, ImageFilter

from exe_core import tables
from exe_core.pull import pull
from exe_core.settings import KEYWORDS
from exe_core.study import parse_study

pytestmark = pytest.mark.slow

LATENCY_S, N_PHOTOS, PER_PAGE = 0.05, 80, 40
SIZE = (640, 480)  # of the photos of the world's site
LABELS = ("happy", "sad")
SOURCES = ("pexels", "pixabay")
PAGES = dict.fromkeys(SOURCES, PER_PAGE)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        time.sleep(LATENCY_S)
        asked = urlsplit(self.path)
        is_photo = asked.path.endswith(".jpg")
        body = self.server.photo if is_photo else self.search(dict(parse_qsl(asked.query)))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def search(self, asked):
        first = (int(asked["page"]) - 1) * PER_PAGE
        query = asked.get("query") or asked["q"]
        start = 1000 * sum(query.encode())
        numbers = range(start + first, start + min(first + PER_PAGE, N_PHOTOS))
        urls = [f"http://{self.headers['Host']}/{number}.jpg" for number in numbers]
        size = {"width": SIZE[0], "height": SIZE[1]}
        sizes = {"imageWidth": SIZE[0], "imageHeight": SIZE[1]}
        if "query" in asked:
            photos = [
                {"id": k, "url": url, "photographer": "A", "src": {"large2x": url}, **size}
                for k, url in zip(numbers, urls, strict=True)
            ]
            more = {"next_page": "more"} if first + PER_PAGE < N_PHOTOS else {}
            return json.dumps({"photos": photos, "total_results": N_PHOTOS, **more}).encode()
        hits = [
            {"id": k, "pageURL": url, "largeImageURL": url, "user": "A", **sizes}
            for k, url in zip(numbers, urls, strict=True)
        ]
        return json.dumps({"total": N_PHOTOS, "totalHits": N_PHOTOS, "hits": hits}).encode()

    def log_message(self, *_):
        """Stay silent."""


def serve(photo, pipe):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.photo = photo
    pipe.send(server.server_port)
    server.serve_forever()


@pytest.fixture(scope="module")
def address():
    """A photo site in a process of its own, which shares no interpreter with who pulls."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 18, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(SIZE).filter(ImageFilter.GaussianBlur(3))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=90)
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(stream.getvalue(), there), daemon=True)
    process.start()
    yield f"http://127.0.0.1:{here.recv()}"
    process.terminate()
    process.join()


def make_study(name):
    return parse_study(
        {
            "name": name,
            "kind": "world",
            "title": "For the speed of the pull",
            "labels": LABELS,
            "pull": {
                "sources": SOURCES,
                "designs": ["v1"],
                "per_page": dict.fromkeys(SOURCES, PER_PAGE),
            },
            "sets": {"one": {"kind": "photos", "source": "pexels", "design": "v1"}},
            "runs": {"one": {"sets": ["one"]}},
        }
    )


def published(address, folder):
    """Ask for a page, then for each of its photos, one request after the other."""
    seen = set()
    with httpx.Client() as client:
        for source in SOURCES:
            for query in [query for label in LABELS for query in KEYWORDS["v1"][label]]:
                name = "query" if source == "pexels" else "q"
                for page in (1, 2):
                    asked = {name: query, "page": page, "per_page": PER_PAGE}
                    content = client.get(f"{address}/{source}", params=asked).json()
                    for photo in content.get("photos") or content["hits"]:
                        url = photo["src"]["large2x"] if "src" in photo else photo["largeImageURL"]
                        path = folder / f"{source}-{photo['id']}.jpg"
                        path.write_bytes(client.get(url).content)
                        seen.add(path)
    return len(seen)


def test_a_pull_against_the_published_loop(benchmark, ratio, address, tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    started = time.perf_counter()
    n_photos = published(address, tmp_path)
    published_s = time.perf_counter() - started
    studies = [make_study(f"timed-{number}") for number in range(3)]
    where = {"base_urls": {source: f"{address}/{source}" for source in SOURCES}}
    given = {**where, "keys": dict.fromkeys(SOURCES, "key")}
    left = iter(studies)
    benchmark.pedantic(pull, setup=lambda: ((next(left),), given), rounds=len(studies))
    photos = tables.read(studies[0].table("photos"), name="photos")
    assert (photos["status"] == "ok").sum() == n_photos == 2 * len(LABELS) * N_PHOTOS
    if benchmark.enabled:
        ratio(
            f"pull of {n_photos} photos at {1000 * LATENCY_S:.0f} ms a request",
            published_s / benchmark.stats.stats.min,
            aim=8,
        )
