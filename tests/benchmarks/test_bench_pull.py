"""How much faster a pull is than the published loop, at 50 ms a request: ratios within one run.

pytest tests/benchmarks/test_bench_pull.py --benchmark-enable

The published pullers make one request after the other: a page, then each of its photos, one source
after the other. Here they keep their connection, which theirs do not.
"""

import io
import multiprocessing
import threading
import time

import httpx
import numpy as np
import pytest
from photo_server import KEYS, Site, pulled_study
from PIL import Image, ImageFilter

from exe_core import tables
from exe_core.pull import pull
from exe_core.settings import KEYWORDS

pytestmark = pytest.mark.slow

LATENCY_S, N_PHOTOS, PER_PAGE = 0.05, 80, 40
QUERIES = [query for label in ("happy", "sad") for query in KEYWORDS["v1"][label]]


class SlowSite(Site):
    """A site that takes its time; its photos are of the size that the world's site has."""

    def __init__(self):
        super().__init__()
        self.found = {q: range(1000 * k, 1000 * k + N_PHOTOS) for k, q in enumerate(QUERIES)}
        coarse = np.random.default_rng(0).integers(0, 256, (12, 18, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((640, 480)).filter(ImageFilter.GaussianBlur(3))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=90)
        self.photo = stream.getvalue()

    def __enter__(self):
        handler = super().__enter__().server.RequestHandlerClass
        handler.protocol_version, handler.disable_nagle_algorithm = "HTTP/1.1", True
        return self

    def content(self, url, handler):
        time.sleep(LATENCY_S)
        is_photo = url.path.startswith("/photos/")
        return (200, self.photo) if is_photo else super().content(url, handler)


def serve(pipe):
    with SlowSite() as site:
        pipe.send(site.base_urls)
        threading.Event().wait()


@pytest.fixture(scope="module")
def base_urls():
    """A photo site in a process of its own, which shares no interpreter with who pulls."""
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    process = context.Process(target=serve, args=(there,), daemon=True)
    process.start()
    yield here.recv()
    process.terminate()
    process.join()


def published(base_urls, folder):
    """Ask for a page, then for each of its photos, one request after the other."""
    seen = set()
    with httpx.Client() as client:
        for source, url in base_urls.items():
            for query in QUERIES:
                asked = (
                    {"query": query} if source == "pexels" else {"q": query, "key": KEYS[source]}
                )
                for page in (1, 2):
                    asked |= {"page": page, "per_page": PER_PAGE}
                    answer = client.get(url, params=asked, headers={"Authorization": KEYS[source]})
                    content = answer.json()
                    for photo in content.get("photos") or content["hits"]:
                        large = photo.get("src", {}).get("large2x") or photo["largeImageURL"]
                        path = folder / f"{source}-{photo['id']}.jpg"
                        path.write_bytes(client.get(large).content)
                        seen.add(path)
    return len(seen)


def test_a_pull_against_the_published_loop(benchmark, ratio, base_urls, tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    started = time.perf_counter()
    n_photos = published(base_urls, tmp_path)
    published_s = time.perf_counter() - started
    study = pulled_study(*KEYS, per_page=dict.fromkeys(KEYS, PER_PAGE))
    studies = [study.model_copy(update={"name": f"timed-{number}"}) for number in range(3)]
    given, left = {"base_urls": base_urls, "keys": KEYS}, iter(studies)
    benchmark.pedantic(pull, setup=lambda: ((next(left),), given), rounds=len(studies))
    photos = tables.read(studies[0].table("photos"), name="photos")
    assert (photos["status"] == "ok").sum() == n_photos == 2 * len(QUERIES) * N_PHOTOS
    if benchmark.enabled:
        ratio(
            f"pull of {n_photos} photos at {1000 * LATENCY_S:.0f} ms a request",
            published_s / benchmark.stats.stats.min,
            aim=8,
        )
