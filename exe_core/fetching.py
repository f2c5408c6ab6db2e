"""HTTP requests that wait, end, go to public addresses only and show no key."""

from __future__ import annotations

import io
import ipaddress
import logging
import re
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import quote
from urllib.request import getproxies

import httpx

from exe_core import __version__

log = logging.getLogger(__name__)

LONGEST_WAIT_S = 300.0
"""A server that asks to wait for longer is left until the next pull."""
LARGEST_FILE = 50_000_000  # bytes
LARGEST_ANSWER = 10_000_000  # bytes
MAX_REDIRECTS = 5
TIMEOUT_S = 30.0  # of silence
LONGEST_REQUEST_S = 120.0
RETRIES = 4

_YEAR_S = 366 * 86400.0

Result = TypeVar("Result")


class SourceError(RuntimeError):
    """A source can't be pulled from; what it gave before is kept."""


class PassingError(SourceError):
    """A fault that may pass, with the seconds to wait if the server gives them."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class QuotaError(SourceError):
    """The server asks to come back later than the pull waits."""

    def __init__(self, reason: str, wait_s: float) -> None:
        back = datetime.now(UTC) + timedelta(seconds=wait_s)
        super().__init__(f"{reason}: come back after {back:%Y-%m-%d %H:%M} UTC")


def redactor(secrets: Iterable[str]) -> Callable[[object], str]:
    """Make a function that takes keys out of texts, also percent-encoded and JSON-escaped ones.

    Examples
    --------
    >>> redactor(["a/b+c"])("GET /?key=a%2fb%2Bc&q=sad")
    'GET /?key=<key>&q=sad'
    """
    forms = set()
    for key in filter(None, secrets):
        once = quote(key, safe="")
        forms |= {key, quote(key), once, quote(once, safe=""), key.replace("/", "\\/")}
    longest_first = sorted(map(re.escape, forms), key=len, reverse=True)
    pattern = re.compile("|".join(longest_first) or r"(?!)", flags=re.IGNORECASE)
    return lambda text: pattern.sub("<key>", str(text))


def open_client(*, trusted: Iterable[str] = ()) -> httpx.Client:
    """Make a client, for several threads, that connects to public addresses only.

    What counts is the address that a connection leads to, whatever the name was resolved to
    before; it is checked before anything is sent. The environment's proxies are used, and resolve
    names themselves. Hosts of the URLs `trusted` may have any address, and are reached without a
    proxy.
    """
    for name in ("httpx", "httpcore"):  # they log addresses and headers, which hold the keys
        logging.getLogger(name).setLevel(logging.WARNING)
    urls = [httpx.URL(url) for url in trusted]
    proxies = [url for scheme, url in getproxies().items() if scheme != "no"]
    routes = [*urls, *(httpx.URL(url if "://" in url else f"http://{url}") for url in proxies)]
    peers = {peer for url in routes for peer in _peers(url)}

    def check(event: str, info: dict[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            stream = info["return_value"]
            peer = stream.get_extra_info("server_addr")[:2]
            if peer not in peers and not is_public(peer[0]):
                stream.close()
                raise SourceError(f"refused: {peer[0]} is no public address")

    def watch(request: httpx.Request) -> None:
        request.extensions = {**request.extensions, "trace": check}

    return httpx.Client(
        event_hooks={"request": [watch]},
        mounts={f"all://{url.host}": None for url in urls},
        timeout=TIMEOUT_S,
        limits=httpx.Limits(max_connections=None),
        headers={"User-Agent": f"exe-core/{__version__} (photos for research)"},
        max_redirects=MAX_REDIRECTS,
    )


def _peers(url: httpx.URL) -> list[tuple[str, int]]:
    """Look up the addresses and ports that a URL may lead to."""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        found = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except OSError as fault:
        raise SourceError(f"{url.host} has no address: {fault}") from None
    return [(str(entry[4][0]), port) for entry in found]


def is_public(address: str) -> bool:
    """Say whether an IP address belongs to the public internet, in either notation of IPv4."""
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address) and (within := number.ipv4_mapped):
        number = within
    return number.is_global and not number.is_multicast and not number.is_reserved


def requested_wait(headers: httpx.Headers) -> float | None:
    """Read how many seconds an answer asks to wait: Retry-After, in seconds or as a date.

    >>> requested_wait(httpx.Headers({"Retry-After": "7"}))
    7.0
    """
    text = headers.get("Retry-After", "")
    with suppress(ValueError, OverflowError):
        is_date = not text.isdecimal()
        wait_s = parsedate_to_datetime(text).timestamp() - time.time() if is_date else float(text)
        return min(max(wait_s, 0.0), _YEAR_S)
    return None


@dataclass(frozen=True, kw_only=True, repr=False)
class Fetcher:
    """Makes requests, each several times if need be; threads may share one."""

    client: httpx.Client
    redact: Callable[[object], str] = str  # takes keys out of texts
    sleep: Callable[[float], None] = time.sleep  # called with the seconds to wait

    def persist(
        self, attempt: Callable[[], Result], *, longest_s: float = LONGEST_WAIT_S
    ) -> Result:
        """Call `attempt` until it raises no `PassingError`, `RETRIES` times again at most.

        Waits as long as the server asks, up to `longest_s`, else twice as long each time.
        """
        n_failed = 0
        while True:
            try:
                return attempt()
            except PassingError as fault:
                n_failed += 1
                wait_s, is_last = fault.wait_s, n_failed > RETRIES
                if wait_s is not None and (is_last or wait_s > longest_s):
                    raise QuotaError(str(fault), wait_s) from None
                if is_last:
                    raise SourceError(f"{fault}, {n_failed} times") from None
            self.sleep(2.0 ** (n_failed - 1) if wait_s is None else wait_s)

    def get(self, url: str, **arguments: Any) -> httpx.Response:
        """Ask a programming interface once, and give its whole answer, keys taken out.

        Redirects are not followed: the key is for this address only.
        """
        whole = io.BytesIO()
        answer = self._fetch(url, whole, LARGEST_ANSWER, **arguments)
        text = self.redact(whole.getvalue().decode(errors="replace"))
        packing = ("content-encoding", "content-length", "transfer-encoding")
        headers = {name: value for name, value in answer.headers.items() if name not in packing}
        return httpx.Response(answer.status_code, headers=headers, content=text.encode())

    def download(self, url: str, path: Path, read: Callable[[Path], Result]) -> Result:
        """Download a file, whole or not at all; a sound one that is there is kept.

        Gives what `read` does, which raises a `ValueError` if the file is not what it must be. A
        `SourceError` says that the site does not give it.
        """
        if path.exists():
            try:
                return read(path)
            except ValueError:
                log.warning("%s is damaged and is downloaded again", path.name)
        partial = path.with_name(f"{path.name}.part")
        try:
            self.persist(lambda: self._save(url, partial))
            result = read(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return result

    def _save(self, url: str, path: Path) -> None:
        options = {"headers": {"Accept-Encoding": "identity"}, "follow_redirects": True}
        with path.open("wb") as file:
            check_status(self._fetch(url, file, LARGEST_FILE, **options))

    def _fetch(self, url: str, file: IO[bytes], largest: int, **options: Any) -> httpx.Response:
        """Write an answer's body into a file, unpacked, within limits of size and time.

        httpx's errors become ours, which show no key.
        """
        length, started = 0, time.monotonic()
        try:
            with self.client.stream("GET", url, **options) as answer:
                coding = answer.headers.get("Content-Encoding", "identity").lower()
                if coding not in ("identity", "gzip", "deflate"):
                    # two could make petabytes of few bytes
                    one = "not one of deflate, gzip, identity"
                    raise SourceError(f"packed as {coding[:40]!r}, {one}")
                for part in answer.iter_bytes():
                    length += file.write(part)
                    if length > largest:
                        raise SourceError(f"larger than {largest // 10**6} MB")
                    if time.monotonic() - started > LONGEST_REQUEST_S:
                        raise SourceError(f"not whole after {LONGEST_REQUEST_S:g} s")
                return answer
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as fault:
            raise SourceError(self.redact(fault)) from None
        except httpx.HTTPError as fault:
            raise PassingError(f"{type(fault).__name__}: {self.redact(fault)}") from None


def check_status(answer: httpx.Response, *, text: str = "", window_s: float | None = None) -> None:
    """Raise what a status other than 200 means; a spent quota is renewed after `window_s`."""
    if answer.status_code == httpx.codes.OK:
        return
    reason = " ".join([f"HTTP {answer.status_code}", *text.split()])[:200]
    is_limited = answer.status_code == httpx.codes.TOO_MANY_REQUESTS
    if not is_limited and not answer.is_server_error:
        raise SourceError(reason)
    wait_s = requested_wait(answer.headers)
    raise PassingError(reason, window_s if wait_s is None and is_limited else wait_s)
