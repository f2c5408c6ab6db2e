"""Only public addresses are asked, by connections to what was checked, and never for ever."""

from __future__ import annotations

import http.server
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from photo_server import Site, photo_bytes

from exe_core import addresses
from exe_core.addresses import AddressError, AddressPolicy, TimeLimit, open_client

PUBLIC = ["8.8.8.8", "93.184.216.34", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
PRIVATE = ["10.1.2.3", "172.16.0.1", "192.168.1.1", "127.0.0.1", "127.9.9.9", "::1", "fd00::1"]
PRIVATE += ["100.64.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
NEVER = ["169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::"]
RESERVED = ["240.0.0.1", "255.255.255.255", "192.0.2.1", "2001:db8::1", "fec0::1", "2001::1"]

strict, lax = AddressPolicy(), AddressPolicy(allow_private=True)


def at(address: str, path: str = "/1.jpg", *, scheme: str = "https") -> httpx.URL:
    host = f"[{address}]" if ":" in address else address
    return httpx.URL(f"{scheme}://{host}{path}")


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_asked(address: str) -> None:
    strict.check(at(address))
    (resolved,) = strict.resolve(address, 443)
    assert ipaddress.ip_address(resolved) == ipaddress.ip_address(address)


@pytest.mark.parametrize("address", PRIVATE + NEVER + RESERVED)
def test_no_other_address_is_asked(address: str) -> None:
    with pytest.raises(AddressError, match="no public address"):
        strict.check(at(address))
    with pytest.raises(AddressError, match="no public address"):
        strict.resolve(address, 443)


@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "0x7f.1", "017700000001"])
def test_a_name_is_judged_by_what_it_stands_for(name: str) -> None:
    with pytest.raises(AddressError, match=f"{name} is no public address"):
        strict.resolve(name, 80)


def test_a_study_may_allow_private_addresses_but_not_those_of_a_clouds_secrets() -> None:
    for address in set(PRIVATE) - {"100.64.0.1"}:  # that one is shared by a provider's customers
        lax.check(at(address))
        assert lax.resolve(address, 8000)
    for address in NEVER:
        with pytest.raises(AddressError):
            lax.resolve(address, 443)


def test_a_host_is_trusted_at_its_port_only() -> None:
    policy = AddressPolicy.trusting(["http://127.0.0.1:5000/v1/search", "https://[::1]/"])
    policy.check(httpx.URL("http://127.0.0.1:5000/photos/1.jpg"))
    policy.check(httpx.URL("https://[::1]/photos/1.jpg"))
    assert policy.resolve("127.0.0.1", 5000) == ["127.0.0.1"]
    for address in ("http://127.0.0.1:5001/", "http://127.0.0.1/", "http://127.0.0.2:5000/"):
        with pytest.raises(AddressError):
            policy.check(httpx.URL(address))


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("file:///etc/hostname", "scheme 'file', only http and https"),
        ("data:image/png;base64,AAAA", "scheme 'data'"),
        ("ftp://example.org/1.jpg", "scheme 'ftp'"),
        ("gopher://example.org/", "scheme 'gopher'"),
        ("/1.jpg", "scheme ''"),
        ("http:///1.jpg", "names no host"),
        ("https://me:secret@example.org/1.jpg", "a user or a password"),
        ("https://example.org@10.0.0.1/", "a user or a password"),
        ("http://example.org:22/", "port 22, not one of 80, 443, 8080, 8443"),
        ("http://example.org:6379/", "port 6379"),
    ],
)
def test_an_address_that_looks_wrong_is_refused(address: str, reason: str) -> None:
    with pytest.raises(AddressError, match=f"refused: .*{reason}"):
        strict.check(httpx.URL(address))


@given(st.ip_addresses())
def test_what_is_asked_is_global_whatever_the_address(address) -> None:
    try:
        strict.check(at(str(address)))
    except AddressError:
        return
    assert address.version == 6 or not address.is_private
    assert not any([address.is_loopback, address.is_link_local, address.is_multicast])


def answers_of(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names looked up as said, one answer after the other; give the list of those asked."""
    asked, script = [], list(answers)

    def look_up(host, port, *_, **__):
        asked.append(host)
        found = script.pop(0) if len(script) > 1 else script[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr("exe_core.addresses.socket.getaddrinfo", look_up)
    return asked


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers_of(monkeypatch, ["8.8.8.8", "192.168.0.1"])
    with pytest.raises(AddressError, match=r"photos\.test is no public address"):
        strict.resolve("photos.test", 443)


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def test_a_name_that_changes_its_address_leads_nowhere_else(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: public when it is checked, private when it is connected to."""
    connected = []

    def connect(self, host, port, *_):
        connected.append(host)
        raise httpcore.ConnectError("not in a test")

    monkeypatch.setattr("exe_core.addresses.httpcore.SyncBackend.connect_tcp", connect)
    asked = answers_of(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    with open_client(strict, timeout_s=1, connections=1) as client:
        with pytest.raises(httpx.ConnectError):
            client.get("http://photos.test/1.jpg")
        with pytest.raises(AddressError):
            client.get("http://photos.test/1.jpg")
    assert connected == ["8.8.8.8"], "connected to another address than was checked"
    assert asked == ["photos.test"] * 2


def test_a_client_asks_only_what_its_policy_allows(site: Site) -> None:
    with open_client(strict, timeout_s=2, connections=1) as client, pytest.raises(AddressError):
        client.get(f"{site.address}/photos/1.jpg")
    assert site.asked == [], "a request reached a private address"
    policy = AddressPolicy.trusting([site.address])
    with open_client(policy, timeout_s=2, connections=1) as client:
        assert client.get(f"{site.address}/photos/1.jpg").content == photo_bytes(1)
        assert client.headers["User-Agent"].startswith("exe-core/")


@pytest.mark.parametrize("name", ["no-such-host.invalid", "a" * 70 + ".test", "%00"])
def test_a_name_that_is_none_is_a_fault_of_the_connection(name: str) -> None:
    told = pytest.raises((httpx.ConnectError, httpx.InvalidURL))
    with open_client(strict, timeout_s=2, connections=1) as client, told:
        client.get(f"http://{name}/1.jpg")


def test_the_next_address_is_tried_if_one_does_not_answer(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers_of(monkeypatch, ["127.0.0.77", "127.0.0.1"])
    port = httpx.URL(site.address).port
    with open_client(lax, timeout_s=2, connections=1) as client:
        assert client.get(f"http://photos.test:{port}/photos/1.jpg").status_code == 200


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_proxies_of_the_environment_are_used_but_not_for_what_is_trusted(
    site: Site, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    seen = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("http_proxy", f"{scheme}127.0.0.1:{server.server_port}")
        monkeypatch.setenv("no_proxy", "localhost, ::1, .near.test")
        policy = AddressPolicy.trusting([site.address])
        with open_client(policy, timeout_s=2, connections=1) as client:
            assert client.get("http://photos.test/1.jpg").status_code == 200
            assert client.get(f"{site.address}/photos/1.jpg").content == photo_bytes(1)
            with pytest.raises(httpx.ConnectError):
                client.get("http://photos.near.test/1.jpg")
        server.shutdown()
    assert seen == ["http://photos.test/1.jpg"]


@pytest.fixture
def dripping() -> Iterator[str]:
    """A server that sends a byte of its answer's head now and then, without end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                    with connection:
                        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                        while True:
                            connection.sendall(b"x")
                            time.sleep(0.02)
                except OSError:
                    if listener.fileno() < 0:
                        return

        threading.Thread(target=drip, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_a_time_limit_ends_what_no_timeout_would(dripping: str) -> None:
    policy, limit = AddressPolicy.trusting([dripping]), TimeLimit(0.3)
    started = time.monotonic()
    with open_client(policy, timeout_s=5, connections=1) as client:
        with pytest.raises(httpx.ReadTimeout), limit:
            client.get(dripping)
        assert limit.is_spent
        with pytest.raises(httpx.ReadTimeout), limit:
            client.get(dripping)
    assert 0.3 <= time.monotonic() - started < 5, "it lasted as long as one silence may"


def test_a_time_limit_counts_only_what_is_inside() -> None:
    limit = TimeLimit(10.0)
    with limit:
        assert limit.cap(30.0) == pytest.approx(10.0, abs=1)
        assert limit.cap(None) == pytest.approx(10.0, abs=1)
        assert limit.cap(0.5) == 0.5
    assert not limit.is_spent


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Make a certificate of photos.test and its key, for a day."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("certificate")
    paths = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-nodes", "-days", "1", "-newkey", "ec"]
    command += ["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=photos.test"]
    command += [
        "-addext",
        "subjectAltName=DNS:photos.test",
        "-out",
        str(paths[0]),
        "-keyout",
        str(paths[1]),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture
def http2(certificate: tuple[Path, Path]) -> Iterator[int]:
    """A server of one photo over TLS and HTTP/2; give its port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["h2"])

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(accepted, server_side=True) as connection:
                    answer(connection)
            except OSError:  # the client hung up
                continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=serve, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def answer(connection: ssl.SSLSocket) -> None:
    protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    protocol.initiate_connection()
    connection.sendall(protocol.data_to_send())
    while data := connection.recv(65536):
        for event in protocol.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                protocol.send_headers(event.stream_id, [(":status", "200")])
                protocol.send_data(event.stream_id, photo_bytes(1), end_stream=True)
        connection.sendall(protocol.data_to_send())


def test_http2_is_spoken_and_the_name_is_what_the_certificate_must_be_of(
    http2: int, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Connecting to an address that was looked up before must not weaken TLS."""
    answers_of(monkeypatch, ["127.0.0.1"])
    url = f"https://photos.test:{http2}/1.jpg"
    with open_client(lax, timeout_s=2, connections=1) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get(url)
        with pytest.raises(httpx.ConnectError, match="SSL"):
            client.get(f"https://other.test:{http2}/1.jpg")
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    monkeypatch.setattr(addresses, "_ssl_context", lambda: trusting)
    with open_client(lax, timeout_s=2, connections=1) as client:
        answered = client.get(url)
        assert answered.http_version == "HTTP/2"
        assert answered.content == photo_bytes(1)
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            client.get(f"https://other.test:{http2}/1.jpg")
