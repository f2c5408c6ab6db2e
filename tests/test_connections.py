"""Connections go to what was checked and nowhere else, speak TLS as ever, and end in time."""

from __future__ import annotations

import http.server
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
from looked_up import answers_of
from photo_server import Site, photo_bytes

from exe_core import fetching
from exe_core.fetching import AddressError, AddressPolicy, TimeLimit, open_client

strict, lax = AddressPolicy(), AddressPolicy(allow_private=True)


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

    monkeypatch.setattr("exe_core.fetching.httpcore.SyncBackend.connect_tcp", connect)
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
    monkeypatch.setattr(fetching, "_ssl_context", lambda: trusting)
    with open_client(lax, timeout_s=2, connections=1) as client:
        answered = client.get(url)
        assert answered.http_version == "HTTP/2"
        assert answered.content == photo_bytes(1)
        with pytest.raises(httpx.ConnectError, match="Hostname mismatch"):
            client.get(f"https://other.test:{http2}/1.jpg")
