"""A request lasts through faults that pass, waits as it is told to, and keeps keys to itself."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from photo_server import Clock, Site, cut, hang_up, page_of_html, photo_bytes, status

from exe_core import fetching
from exe_core.detection import ImageError
from exe_core.fetching import (
    Fetcher,
    PassingError,
    QuotaError,
    Redaction,
    SourceError,
    wait_asked,
)

SECRET = "my+key/1"


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fetcher(clock: Clock) -> Iterator[Fetcher]:
    with httpx.Client(timeout=2) as client:
        yield Fetcher(client=client, clean=Redaction([SECRET]), retries=3, sleep=clock)


def test_a_photo_is_whole_or_not_there(fetcher: Fetcher, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    image = fetcher.photo(f"{site.address}/photos/1.jpg", path)
    assert path.read_bytes() == photo_bytes(1)
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    site.faults["/photos/2.jpg"] = [page_of_html]
    with pytest.raises(ImageError, match="not an image"):
        fetcher.photo(f"{site.address}/photos/2.jpg", tmp_path / "2.jpg")
    assert [found.name for found in tmp_path.iterdir()] == ["1.jpg"]


def test_a_file_that_is_too_large_is_refused(
    fetcher: Fetcher, site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "LARGEST_FILE", 500)
    with pytest.raises(SourceError, match="larger than"):
        fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert list(tmp_path.iterdir()) == []


def test_each_wait_is_longer_than_the_one_before(
    fetcher: Fetcher, site: Site, clock: Clock, tmp_path: Path
) -> None:
    site.faults["/photos/1.jpg"] = [hang_up, cut, status(502)]
    fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert len(clock.waits) == 3
    for wait, base in zip(clock.waits, (1, 2, 4), strict=True):
        assert 0.5 * base <= wait <= 1.5 * base


def test_tries_are_bounded(fetcher: Fetcher, site: Site, clock: Clock, tmp_path: Path) -> None:
    site.faults["/photos/1.jpg"] = [status(500)] * 10
    with pytest.raises(SourceError, match="HTTP 500 out of order, 4 times"):
        fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert site.count("/photos/1.jpg") == 4
    assert len(clock.waits) == 3


def answer(code: int, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(code, headers=named, text=f"refused {SECRET}")


def test_what_an_answer_means(fetcher: Fetcher) -> None:
    fetcher.accept(answer(200))
    with pytest.raises(PassingError) as fault:
        fetcher.accept(answer(503, Retry_After="9"))
    assert fault.value.wait_s == 9
    with pytest.raises(PassingError) as fault:
        fetcher.accept(answer(429), window_s=60)
    assert fault.value.wait_s == 60
    with pytest.raises(QuotaError, match=r"come back after \d{4}-\d\d-\d\d \d\d:\d\d UTC"):
        fetcher.accept(answer(429), window_s=3600)
    with pytest.raises(SourceError, match="HTTP 404 refused <key>"):
        fetcher.accept(answer(404))


def test_a_quota_that_stays_spent_ends_the_tries(fetcher: Fetcher, clock: Clock) -> None:
    with pytest.raises(QuotaError, match=r"HTTP 429 .* come back after"):
        fetcher.persist(lambda: fetcher.accept(answer(429, Retry_After="2")))
    assert clock.waits == [2, 2, 2]


def test_keys_are_taken_out_of_texts_and_logs() -> None:
    clean, stream = Redaction([SECRET]), io.StringIO()
    assert clean(f"?key={SECRET}&q=sad") == "?key=<key>&q=sad"
    assert clean("?key=my%2Bkey%2F1&q=sad") == "?key=<key>&q=sad"
    assert clean(httpx.ReadTimeout("")) == "ReadTimeout"
    logger, handler = logging.getLogger("httpx"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        with clean.in_logs():
            logger.warning("GET %s", f"/?key={SECRET}")
    finally:
        logger.removeHandler(handler)
    assert stream.getvalue() == "GET /?key=<key>\n"
    assert clean not in logger.filters


def test_a_wait_is_read_in_each_form() -> None:
    then = time.time() + 90
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(then))
    for headers in (
        {"Retry-After": "90"},
        {"Retry-After": date},
        {"X-RateLimit-Reset": str(int(then))},
        {"X-Ratelimit-Reset": "90"},
        {"Retry-After": "soon", "X-RateLimit-Reset": "90"},
    ):
        assert wait_asked(httpx.Headers(headers)) == pytest.approx(90, abs=2)
    assert wait_asked(httpx.Headers({"X-RateLimit-Reset": str(int(time.time()) - 50)})) == 0


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf"])
def test_a_wait_that_says_nothing_is_none(text: str) -> None:
    assert wait_asked(httpx.Headers({"Retry-After": text})) is None
