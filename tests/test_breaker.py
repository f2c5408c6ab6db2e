"""A dead host costs a few photos their tries, and no more; when it is back it is asked again."""

import socket
from dataclasses import replace

import httpx
import pytest
from photo_server import Clock, Site, photo_bytes, status

from exe_core.fetching import AddressPolicy, Breaker, Fetcher, Redaction, SourceError


class Moment:
    """A clock that stands till it is set."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def moment():
    return Moment()


@pytest.fixture
def breaker(moment):
    return Breaker(most=3, pause_s=60, clock=moment)


def test_a_host_is_asked_until_it_fails_too_often_in_a_row(breaker):
    for _ in range(2):
        breaker.failed("a")
    assert breaker.reason_against("a") is None
    breaker.answered("a")
    for _ in range(2):
        breaker.failed("a")
    assert breaker.reason_against("a") is None
    breaker.failed("a")
    assert "a gave nothing 3 times in a row" in breaker.reason_against("a")
    assert breaker.reason_against("b") is None


def test_a_host_that_is_left_alone_is_tried_once_in_a_while(breaker, moment):
    for _ in range(3):
        breaker.failed("a")
    moment.now = 61.0
    assert breaker.reason_against("a") is None, "one may try"
    assert breaker.reason_against("a") is not None, "the others wait for what comes of it"
    breaker.failed("a")
    moment.now = 120.0
    assert breaker.reason_against("a") is not None
    moment.now = 122.0
    assert breaker.reason_against("a") is None
    breaker.answered("a")
    assert breaker.reason_against("a") is None


@pytest.fixture
def fetcher(breaker):
    with httpx.Client(timeout=2) as client:
        yield Fetcher(
            client=client,
            clean=Redaction([]),
            retries=1,
            sleep=Clock(),
            policy=AddressPolicy(allow_private=True),
            breaker=breaker,
        )


def test_photos_of_a_dead_host_fail_fast_after_a_few(fetcher, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        dead = f"http://127.0.0.1:{closed.getsockname()[1]}"
    reasons = []
    for number in range(4):
        with pytest.raises(SourceError) as reason:
            fetcher.photo(f"{dead}/{number}.jpg", tmp_path / f"{number}.jpg")
        reasons.append(str(reason.value))
    assert "2 times" in reasons[0]
    assert all("is left alone" in reason for reason in reasons[1:])
    assert len(fetcher.sleep.waits) == 2, "one of each of the two photos that were tried"
    assert not list(tmp_path.iterdir())


def test_a_host_that_is_back_gives_its_photos_again(fetcher, moment, tmp_path):
    with Site() as site:
        site.faults["/photos/"] = [status(503)] * 4
        for number in (1, 2):
            with pytest.raises(SourceError):
                fetcher.photo(f"{site.address}/photos/{number}.jpg", tmp_path / "a.jpg")
        asked = len(site.asked)
        with pytest.raises(SourceError, match="is left alone"):
            fetcher.photo(f"{site.address}/photos/3.jpg", tmp_path / "a.jpg")
        assert len(site.asked) == asked
        moment.now = 61.0
        site.faults.clear()
        fetcher.photo(f"{site.address}/photos/3.jpg", tmp_path / "a.jpg")
        assert (tmp_path / "a.jpg").read_bytes() == photo_bytes(3)
        fetcher.photo(f"{site.address}/photos/4.jpg", tmp_path / "b.jpg")


def test_a_host_that_refuses_is_there(fetcher, tmp_path):
    with Site() as site:
        site.faults["/photos/"] = [status(404)] * 9
        patient = replace(fetcher, retries=0)
        for number in range(9):
            with pytest.raises(SourceError, match="HTTP 404"):
                patient.photo(f"{site.address}/photos/{number}.jpg", tmp_path / "a.jpg")
