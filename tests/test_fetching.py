"""A request lasts through faults that pass, waits as it is told to, and ends where it must."""

from __future__ import annotations

import gzip
import io
import random
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import photo_server as server
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_server import Clock, Site, cut, hang_up, photo_bytes, redirect, status
from PIL import Image

from exe_core import fetching
from exe_core.faces import ImageError
from exe_core.fetching import (
    AddressPolicy,
    Fetcher,
    PassingError,
    QuotaError,
    Redaction,
    SourceError,
    open_client,
    wait_asked,
)
from exe_core.record import StorageError

SECRET = "my+key/1"


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fetcher(clock: Clock, site: Site) -> Iterator[Fetcher]:
    policy = AddressPolicy.trusting([site.address])
    with open_client(policy, timeout_s=2, connections=1) as client:
        yield Fetcher(
            client=client,
            clean=Redaction([SECRET]),
            retries=3,
            sleep=clock,
            policy=policy,
            rng=random.Random(0),
        )


def test_a_photo_is_whole_or_not_there(fetcher: Fetcher, site: Site, tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    image = fetcher.photo(f"{site.address}/photos/1.jpg", path)
    assert path.read_bytes() == photo_bytes(1)
    assert image.shape == (48, 64, 3)
    assert image.dtype == np.uint8
    site.faults["/photos/2.jpg"] = [server.page_of_html]
    with pytest.raises(ImageError, match="not an image"):
        fetcher.photo(f"{site.address}/photos/2.jpg", tmp_path / "2.jpg")
    assert [found.name for found in tmp_path.iterdir()] == ["1.jpg"]


def test_a_photo_that_is_there_is_not_asked_for_unless_it_is_damaged(
    fetcher: Fetcher, site: Site, tmp_path: Path
) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(photo_bytes(2))
    fetcher.photo(f"{site.address}/photos/1.jpg", path)
    assert site.asked == []
    path.write_bytes(photo_bytes(2)[:400])  # as after a power cut
    fetcher.photo(f"{site.address}/photos/1.jpg", path)
    assert path.read_bytes() == photo_bytes(1)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (server.page_of_html, "not an image"),
        (server.svg, "not an image"),
        (server.nothing, "empty file"),
        (server.truncated, "damaged"),
        (server.shorter, "damaged"),
        (server.body_of(server.animated_gif()), "animated"),
        (server.body_of(server.png_bomb(20_000)), "too large: .* 200 megapixels"),
        (server.endless, "larger than 50 MB"),
        (server.unpacked_too_large, "larger than 50 MB"),
        (server.packed_twice, "packed as 'gzip, gzip', not one of deflate, gzip, identity"),
        (status(404), "HTTP 404"),
        (status(302), "HTTP 302"),
    ],
)
def test_what_is_no_photo_is_refused_at_once(
    fetcher: Fetcher, site: Site, tmp_path: Path, fault: server.Fault, reason: str
) -> None:
    site.faults["/photos/1.jpg"] = [fault]
    with pytest.raises((ImageError, SourceError), match=reason):
        fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert site.count("/photos/") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_packed_photo_and_one_with_previews_are_taken(
    fetcher: Fetcher, site: Site, tmp_path: Path
) -> None:
    stream, frame = io.BytesIO(), Image.new("RGB", (64, 48))
    frame.save(stream, "MPO", save_all=True, append_images=[frame])
    packed = server.body_of(gzip.compress(photo_bytes(1)), Content_Encoding="gzip")
    site.faults["/photos/"] = [packed, server.body_of(stream.getvalue())]
    for number in (1, 2):
        fetcher.photo(f"{site.address}/photos/{number}.jpg", tmp_path / f"{number}.jpg")
    assert (tmp_path / "1.jpg").read_bytes() == photo_bytes(1)


def test_large_photos_are_decoded_one_after_the_other(
    fetcher: Fetcher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight at a time of a few kilobytes each would fill the memory of most machines."""
    monkeypatch.setattr(fetching, "LARGE_PHOTO", 64 * 48 - 1)
    at_once, most = [], []

    def decode(path: Path) -> np.ndarray:
        at_once.append(path)
        most.append(len(at_once))
        time.sleep(0.01)
        at_once.remove(path)
        return np.zeros((48, 64, 3), np.uint8)

    monkeypatch.setattr(fetching, "read_image", decode)
    paths = [tmp_path / f"{number}.jpg" for number in range(8)]
    for path in paths:
        path.write_bytes(photo_bytes(1))
    with ThreadPoolExecutor(8) as pool:
        assert len([*pool.map(lambda path: fetcher.photo("", path), paths)]) == 8
    assert max(most) == 1


@pytest.mark.parametrize(
    "fault", [hang_up, cut, server.reset, server.longer, status(502)], ids=lambda x: x.__name__
)
def test_a_fault_that_may_pass_is_met_with_patience(
    fetcher: Fetcher, site: Site, clock: Clock, tmp_path: Path, fault: server.Fault
) -> None:
    site.faults["/photos/1.jpg"] = [fault] * 3
    fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert (tmp_path / "1.jpg").read_bytes() == photo_bytes(1)
    assert len(clock.waits) == 3


def test_waits_grow_and_are_spread_over_all_that_they_may_be(
    fetcher: Fetcher, clock: Clock
) -> None:
    patient = replace(fetcher, retries=9)
    for _ in range(200):
        with pytest.raises(SourceError, match="once more, 10 times"):
            patient.persist(fail_with(PassingError("once more")))
    waits = np.reshape(clock.waits, (200, 9))
    most = np.minimum(2.0 ** np.arange(9), fetching.LONGEST_BACKOFF_S)
    assert (waits <= most).all()
    np.testing.assert_allclose(waits.mean(axis=0), most / 2, rtol=0.2)
    clock.waits.clear()
    again = replace(patient, rng=random.Random(0))
    with pytest.raises(SourceError):
        again.persist(fail_with(PassingError("once more")))
    np.testing.assert_array_equal(clock.waits, waits[0])


def fail_with(fault: Exception):
    def attempt() -> None:
        raise fault

    return attempt


def test_tries_are_bounded(fetcher: Fetcher, site: Site, clock: Clock, tmp_path: Path) -> None:
    site.faults["/photos/1.jpg"] = [status(500)] * 10
    with pytest.raises(SourceError, match="HTTP 500 out of order, 4 times"):
        fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert site.count("/photos/1.jpg") == 4
    assert len(clock.waits) == 3


def test_a_photo_has_so_much_time_over_all_its_tries(
    fetcher: Fetcher, site: Site, tmp_path: Path
) -> None:
    site.faults["/photos/1.jpg"] = [cut, *[server.drip] * 10]
    hurried = replace(fetcher, longest_s=0.3)
    with pytest.raises(SourceError, match=r"not whole after 0\.3 s"):
        hurried.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert site.count("/photos/1.jpg") == 2


def test_redirects_are_followed_five_times(fetcher: Fetcher, site: Site, tmp_path: Path) -> None:
    hops = [redirect("/photos/2.jpg"), redirect(f"{site.address}/photos/3.jpg")]
    site.faults["/photos/"] = [*hops, redirect("3.jpg"), redirect("4.jpg"), redirect("?size=1")]
    fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert site.asked == [f"/photos/{n}.jpg" for n in (1, 2, 3, 3, 4)] + ["/photos/4.jpg?size=1"]
    site.faults["/photos/"] = [redirect("/photos/1.jpg")] * 6
    with pytest.raises(SourceError, match="more than 5 redirects"):
        fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "2.jpg")


@pytest.mark.parametrize(
    "location",
    [
        "file:///etc/hostname",
        "http://10.0.0.1/1.jpg",
        "http://169.254.169.254/latest/meta-data/",
        "http://127.0.0.1/1.jpg",
        "http://[::ffff:127.0.0.1]/1.jpg",
        "http://localhost/1.jpg",
        "http://me@example.org/1.jpg",
        "http://example.org:25/1.jpg",
        "data:image/gif;base64,AAAA",
    ],
)
def test_no_redirect_leads_where_a_photo_may_not_lie(
    fetcher: Fetcher, site: Site, tmp_path: Path, location: str
) -> None:
    site.faults["/photos/1.jpg"] = [redirect(location)]
    with pytest.raises(SourceError, match=r"refused|For absolute URLs"):
        fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    with pytest.raises(SourceError, match="refused"):
        fetcher.photo(location, tmp_path / "1.jpg")
    assert len(site.asked) == 1


@given(st.text(max_size=40))
def test_an_address_of_any_form_is_an_error_and_not_a_crash(url: str) -> None:
    with httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(404))) as client:
        fetcher = Fetcher(client=client, clean=Redaction([]), retries=0, sleep=Clock())
        with pytest.raises(SourceError):
            fetcher.photo(url, Path("not-written.jpg"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_and_leaves_nothing(
    fetcher: Fetcher, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "1.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"No space left .* free some space"):
        fetcher.photo(f"{site.address}/photos/1.jpg", tmp_path / "1.jpg")
    assert list(tmp_path.iterdir()) == []


def test_an_answer_is_had_whole_without_the_key_and_no_redirect_is_followed(
    fetcher: Fetcher, site: Site
) -> None:
    content = gzip.compress(b'{"you sent": "my%2Bkey%2F1"}')
    site.faults["/pexels"] = [
        server.body_of(content, Content_Encoding="gzip", X_RateLimit_Remaining="7"),
        redirect("/photos/1.jpg"),
        server.endless,
        server.drip,
    ]
    url = f"{site.address}/pexels"
    got = fetcher.get(url, params={"query": "sad", "page": 1, "per_page": 3})
    assert got.json() == {"you sent": "<key>"}
    assert got.headers["X-RateLimit-Remaining"] == "7"
    assert fetcher.get(url).status_code == 302
    with pytest.raises(SourceError, match="larger than 10 MB"):
        fetcher.get(url)
    with pytest.raises(PassingError, match="ReadTimeout"):
        replace(fetcher, longest_s=0.3).get(url)
    assert site.count("/photos/") == 0


def test_no_error_holds_the_request_with_its_key(fetcher: Fetcher, site: Site) -> None:
    site.faults["/pexels"] = [hang_up] * 4
    asked = {"headers": {"Authorization": SECRET}, "params": {"key": SECRET}}
    with pytest.raises(SourceError) as caught:
        fetcher.persist(lambda: fetcher.get(f"{site.address}/pexels", **asked))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    with pytest.raises(SourceError, match=r"Illegal header value.*<key>") as caught:
        fetcher.persist(lambda: fetcher.get(site.address, headers={"X": f"{SECRET}\n"}))
    assert SECRET not in "".join(traceback.format_exception(caught.value))


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


def test_a_wait_is_measured_by_the_servers_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock of this machine may be a year wrong, or jump."""
    then = time.time()
    date, later = (
        time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(then + more)) for more in (0, 90)
    )
    for jump in (-3e7, 3e7):
        monkeypatch.setattr(time, "time", lambda jump=jump: then + jump)
        for asked in ({"Retry-After": later}, {"X-RateLimit-Reset": str(int(then) + 90)}):
            assert wait_asked(httpx.Headers({"Date": date, **asked})) == pytest.approx(90, abs=2)


@given(st.one_of(st.text(), st.integers().map(str), st.floats().map(str), st.datetimes().map(str)))
def test_whatever_a_server_asks_a_wait_is_a_number_of_seconds(text: str) -> None:
    wait_s = wait_asked(httpx.Headers([(b"Retry-After", text.encode(errors="replace"))]))
    assert wait_s is None or 0 <= wait_s <= 366 * 86400
    if wait_s is not None:
        assert "come back after" in str(QuotaError("later", wait_s))
