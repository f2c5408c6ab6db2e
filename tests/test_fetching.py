"""A request lasts through faults that pass, goes to public addresses only and shows no key."""

import gzip
import json
import logging
import socket
import time
import traceback
from email.utils import formatdate
from urllib.parse import quote, quote_plus

import httpx
import photo_server as server
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_server import Clock, Site, cut, hang_up, photo_bytes, redirect, status

from exe_core import fetching
from exe_core.faces import ImageError, read_image
from exe_core.fetching import (
    Fetcher,
    QuotaError,
    SourceError,
    is_public,
    open_client,
    redactor,
    requested_wait,
)

SECRET = "my+key/1"


@pytest.fixture
def site():
    with Site() as site:
        yield site


@pytest.fixture
def fetcher(site):
    with open_client(trusted=[site.address]) as client:
        yield Fetcher(client=client, redact=redactor([SECRET]), sleep=Clock())


@pytest.fixture
def stranger(site):
    """A fetcher that trusts no host."""
    with open_client() as client:
        yield Fetcher(client=client, sleep=Clock())


def url(site, number=1):
    return f"{site.address}/photos/{number}.jpg"


def test_a_photo_is_whole_or_not_there_and_kept_unless_damaged(fetcher, site, tmp_path):
    path = tmp_path / "1.jpg"
    assert fetcher.download(url(site), path, read_image).shape == (48, 64, 3)
    assert path.read_bytes() == photo_bytes(1)
    fetcher.download(url(site), path, read_image)
    assert site.count("/photos/") == 1
    path.write_bytes(photo_bytes(2)[:400])  # as after a power cut
    fetcher.download(url(site), path, read_image)
    assert path.read_bytes() == photo_bytes(1)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (server.page_of_html, "not an image"),
        (server.truncated, "damaged"),
        (server.endless, "larger than 50 MB"),
        (server.unpacked_too_large, "larger than 50 MB"),
        (server.packed_twice, "packed as 'gzip, gzip', not one of deflate, gzip, identity"),
        (status(404), "HTTP 404"),
    ],
)
def test_what_is_no_photo_is_refused_at_once(fetcher, site, tmp_path, fault, reason):
    site.faults["/photos/1.jpg"] = [fault]
    with pytest.raises((ImageError, SourceError), match=reason):
        fetcher.download(url(site), tmp_path / "1.jpg", read_image)
    assert site.count("/photos/") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fault", [hang_up, cut, server.reset, server.longer, status(502)])
def test_a_fault_that_may_pass_is_retried_after_growing_waits(fetcher, site, tmp_path, fault):
    site.faults["/photos/1.jpg"] = [fault] * 4
    fetcher.download(url(site), tmp_path / "1.jpg", read_image)
    assert (tmp_path / "1.jpg").read_bytes() == photo_bytes(1)
    assert fetcher.sleep.waits == [1, 2, 4, 8]
    site.faults["/photos/2.jpg"] = [fault] * 5
    with pytest.raises(SourceError, match=", 5 times"):
        fetcher.download(url(site, 2), tmp_path / "2.jpg", read_image)


def test_a_photo_and_an_answer_have_so_much_time(fetcher, site, tmp_path, monkeypatch):
    site.faults["/"] = [cut, *[server.drip] * 9]
    monkeypatch.setattr(fetching, "LONGEST_REQUEST_S", 0.3)
    with pytest.raises(SourceError, match=r"not whole after 0\.3 s"):
        fetcher.download(url(site), tmp_path / "1.jpg", read_image)
    assert site.count("/photos/1.jpg") == 2
    with pytest.raises(SourceError, match="not whole"):
        fetcher.get(f"{site.address}/pexels")


def test_redirects_are_followed_five_times(fetcher, site, tmp_path):
    site.faults["/photos/"] = [redirect(f"/photos/{k}.jpg") for k in (2, 3, 4, 5, 6)]
    fetcher.download(url(site), tmp_path / "1.jpg", read_image)
    assert (tmp_path / "1.jpg").read_bytes() == photo_bytes(6)
    site.faults["/photos/"] = [redirect("/photos/1.jpg")] * 6
    with pytest.raises(SourceError, match="redirects"):
        fetcher.download(url(site), tmp_path / "2.jpg", read_image)


@pytest.mark.parametrize("location", ["file:///etc/hostname", "http:///1.jpg", "http://%00/1.jpg"])
def test_no_address_leads_where_a_photo_may_not_lie(fetcher, site, tmp_path, location):
    site.faults["/photos/1.jpg"] = [redirect(location)] * 5
    for start in (url(site), location):
        with pytest.raises(SourceError):
            fetcher.download(start, tmp_path / "1.jpg", read_image)
    assert not (tmp_path / "1.jpg").exists()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "photos.test"])
def test_what_counts_is_the_address_that_a_connection_leads_to(
    stranger, fetcher, site, tmp_path, monkeypatch, name
):
    """Also where a name is public when it is looked up once, and private the next time."""
    port = httpx.URL(site.address).port
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *a, **k: look_up("127.0.0.1" if "test" in host else host, *a, **k),
    )
    target = f"http://{name}:{port}/photos/1.jpg"
    with pytest.raises(SourceError, match=r"refused: 127\.0\.0\.1 is no public address"):
        stranger.download(target, tmp_path / "1.jpg", read_image)
    assert site.asked == [], "a request reached a private address"
    with Site() as other:
        site.faults["/photos/1.jpg"] = [redirect(url(other))]
        with pytest.raises(SourceError, match="no public address"):
            fetcher.download(url(site), tmp_path / "1.jpg", read_image)
        assert other.asked == []


PRIVATE = "10.1.2.3 172.16.0.1 192.168.1.1 127.9.9.9 ::1 fd00::1 100.64.0.1 ::ffff:127.0.0.1"
PRIVATE += " 2001::1 169.254.169.254 fe80::1%1 224.0.0.1 ff02::1 0.0.0.0 :: 240.0.0.1 192.0.2.1"


def test_private_addresses_are_known_however_they_are_written():
    assert not any(map(is_public, PRIVATE.split()))
    assert all(map(is_public, ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8")))


def test_proxies_of_the_environment_are_used_but_not_for_trusted_hosts(monkeypatch):
    with Site() as proxy, Site() as site:
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.setenv("no_proxy", "localhost,example.org")
        with open_client(trusted=[site.address]) as client:
            client.get("http://photos.test/photos/1.jpg")
            assert client.get(url(site)).content == photo_bytes(1)
    assert proxy.asked == ["http://photos.test/photos/1.jpg"]
    assert site.asked == ["/photos/1.jpg"]


def test_an_answer_has_no_key_and_no_redirect_is_followed(fetcher, site):
    content = gzip.compress(b'{"you sent": "my%2Bkey%2F1"}')
    packed = server.body_of(content, Content_Encoding="gzip", X_RateLimit_Remaining="7")
    site.faults["/pexels"] = [packed, redirect("/photos/1.jpg"), server.endless]
    got = fetcher.get(f"{site.address}/pexels", params={"query": "sad", "page": 1})
    assert got.json() == {"you sent": "<key>"}
    assert got.headers["X-RateLimit-Remaining"] == "7"
    assert fetcher.get(f"{site.address}/pexels").status_code == 302
    with pytest.raises(SourceError, match="larger than 10 MB"):
        fetcher.get(f"{site.address}/pexels")
    assert site.count("/photos/") == 0


def test_no_error_and_no_log_shows_a_key(fetcher, site, caplog):
    logging.getLogger().setLevel(logging.DEBUG)
    site.faults["/pexels"] = [hang_up] * 5
    asked = {"headers": {"Authorization": SECRET}, "params": {"key": SECRET}}
    for target, more in (
        (f"{site.address}/pexels", asked),
        (site.address, {"headers": {"X": f"{SECRET}\n"}}),
    ):
        with pytest.raises(SourceError) as caught:
            fetcher.persist(lambda target=target, more=more: fetcher.get(target, **more))
        text = "".join(traceback.format_exception(caught.value)) + caplog.text
        assert SECRET not in text
        assert quote(SECRET) not in text
    assert "Illegal header value" in text


def test_a_wait_is_read_in_each_form():
    then = time.time()
    for headers in (
        {"Retry-After": "90"},
        {"Retry-After": formatdate(then + 90, usegmt=True)},
    ):
        assert requested_wait(httpx.Headers(headers)) == pytest.approx(90, abs=2)
    assert requested_wait(httpx.Headers({"Retry-After": formatdate(then - 90)})) == 0


@given(st.one_of(st.text(), st.integers().map(str), st.floats().map(str), st.datetimes().map(str)))
def test_any_wait_is_a_number_of_seconds_or_none(text):
    wait_s = requested_wait(httpx.Headers([(b"Retry-After", text.encode(errors="replace"))]))
    assert wait_s is None or "come back after" in str(QuotaError("later", wait_s))


@given(
    st.text("abcXYZ019._~+/=-", min_size=8, max_size=40),
    st.sampled_from(
        [
            str,
            quote,
            quote_plus,
            lambda key: quote(quote(key, safe=""), safe=""),
            lambda key: quote(key, safe="").lower(),
            lambda key: json.dumps(key)[1:-1].replace("/", "\\/"),
            lambda key: str(httpx.QueryParams(k=key)).removeprefix("k="),
        ]
    ),
    st.text(st.characters(min_codepoint=127)),
)
def test_a_key_is_removed_in_every_form_and_nothing_else(key, form, text):
    assert redactor([key])(f"{text}GET ?key={form(key)}|q") == f"{text}GET ?key=<key>|q"
