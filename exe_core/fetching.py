"""HTTP requests that wait, end, go to public addresses only and show no key."""

from __future__ import annotations

import html
import ipaddress
import json
import logging
import math
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.request import getproxies

import httpcore
import httpx
import numpy as np
from PIL import Image
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt
from tenacity.wait import wait_random_exponential

from exe_core import __version__
from exe_core.faces import ImageError, read_image

log = logging.getLogger(__name__)
Result = TypeVar("Result")

LONGEST_WAIT_S = 300.0
"""A server that asks to wait for longer is left until the next pull."""
LARGEST_PHOTO = 50_000_000  # bytes
LARGEST_ANSWER = 10_000_000  # bytes
MAX_REDIRECTS = 5
MAX_IN_A_ROW = 10
"""A host of photos that failed so often has one try a photo, or a dead one takes hours."""
PORTS = {80, 443, 8080, 8443}
"""Ports of the web; any other may be another service, which a request might harm."""

_BACKOFF = wait_random_exponential(multiplier=1, max=60)
_DECODERS = threading.BoundedSemaphore(2)  # 200 megapixels take 2 GB while they are decoded
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_YEAR_S = 366 * 86400.0
_deadline: ContextVar[float] = ContextVar("deadline", default=math.inf)


class AddressError(ValueError):
    """An address that must not be requested; the message is the reason."""


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
        back = datetime.now(UTC) + timedelta(seconds=min(wait_s, _YEAR_S))
        super().__init__(f"{reason}: come back after {back:%Y-%m-%d %H:%M} UTC")
        self.wait_s = wait_s


def redactor(secrets: Iterable[str]) -> Callable[[object], str]:
    """Make a function that takes keys out of texts, in whatever form they stand there.

    Parameters
    ----------
    secrets
        The keys: removed as they are, percent-encoded once or twice, and as JSON, HTML or Python
        escape them, also where only some of their characters are.

    Examples
    --------
    >>> redactor(["a/b+c"])("GET /?key=a%2fb%2Bc&q=sad")
    'GET /?key=<key>&q=sad'
    """
    longest_first = sorted((secret for secret in secrets if secret), key=len, reverse=True)
    forms = ("".join(map(_any_form, secret)) for secret in longest_first)
    pattern = re.compile("|".join(forms) or r"(?!)", flags=re.IGNORECASE)
    return lambda content: pattern.sub("<key>", str(content) or type(content).__name__)


def _any_form(character: str) -> str:
    """Make a pattern of the forms in which a character of a key may stand in a text."""
    percent = "".join(f"%{byte:02X}" for byte in character.encode())
    forms = {character, percent, percent.replace("%", "%25"), html.escape(character)}
    forms |= {json.dumps(character)[1:-1]}
    escapes = ("\\u{:04x}", "\\x{:02x}", "&#{};", "&#x{:x};")
    forms |= {escape.format(ord(character)) for escape in escapes}
    forms |= {"/": {"\\/"}, " ": {"+"}, "+": {" "}}.get(character, set())
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"


def open_client(
    *, trusted: Iterable[str] = (), timeout_s: float = 30.0, connections: int = 8
) -> httpx.Client:
    """Make a client, for several threads, that connects to public addresses at ports of the web.

    What counts is the address that a connection leads to, whatever the name was resolved to
    before; it is checked before anything is sent. The environment's proxies are used, and resolve
    names themselves.

    Parameters
    ----------
    trusted
        URLs of hosts that may have any address and port, and are reached without a proxy.
    timeout_s
        Of silence.
    connections
        That are kept open.
    """
    for name in ("httpx", "httpcore"):  # they log addresses and headers, which hold the keys
        logging.getLogger(name).setLevel(logging.WARNING)
    urls = [httpx.URL(url) for url in trusted]
    proxies = [httpx.URL(url if "://" in url else f"http://{url}") for url in getproxies().values()]
    peers = {peer for url in (*urls, *proxies) if url.host for peer in _peers(url)}
    sites = {(url.host, url.port) for url in urls}

    def check(request: httpx.Request) -> None:
        url = request.url
        if url.port not in PORTS | {None} and (url.host, url.port) not in sites:
            allowed = ", ".join(map(str, sorted(PORTS)))
            raise AddressError(f"refused: port {url.port} of {url.host}, not one of {allowed}")
        request.extensions = {**request.extensions, "trace": watch}

    def watch(event: str, info: dict[str, Any]) -> None:
        if not event.endswith(("connect_tcp.complete", "start_tls.complete")):
            return
        stream = info["return_value"]
        peer = stream.get_extra_info("server_addr")[:2]
        if peer not in peers and not _is_public(peer[0]):
            stream.close()
            raise AddressError(f"refused: {peer[0]} is no public address")
        read = stream.read
        stream.read = lambda size, timeout=None: read(size, _capped(timeout))

    return httpx.Client(
        event_hooks={"request": [check]},
        mounts={f"all://{f'[{url.host}]' if ':' in url.host else url.host}": None for url in urls},
        timeout=timeout_s,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=connections),
        headers={"User-Agent": f"exe-core/{__version__} (photos for research)"},
        max_redirects=MAX_REDIRECTS,
    )


def _peers(url: httpx.URL) -> list[tuple[str, int]]:
    """Look up the addresses and ports that a URL may lead to."""
    port = url.port or (443 if url.scheme == "https" else 80)
    found = socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    return [(str(entry[4][0]), port) for entry in found]


def _is_public(address: str) -> bool:
    number = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(number, ipaddress.IPv6Address):  # it may stand for an IPv4 address
        if number in _NAT64:
            return _is_public(str(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)))
        if within := number.ipv4_mapped or number.sixtofour:
            return _is_public(str(within))
        if number.is_site_local:
            return False
    return number.is_global and not number.is_multicast and not number.is_reserved


def _capped(timeout: float | None) -> float:
    """Shorten a timeout to the time that is left: one byte now and then would reset it for ever."""
    left = _deadline.get() - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left if timeout is None else min(timeout, left)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    """Limit the time of what this thread reads meanwhile."""
    token = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(token)


def requested_wait(headers: httpx.Headers) -> float | None:
    """Read how many seconds an answer asks to wait: Retry-After, else the reset of its quota.

    Both come as seconds, as a moment in Unix time, or as a date. Moments are compared with the
    server's clock where it shows it, as the clock of this machine may be wrong or jump.

    >>> requested_wait(httpx.Headers({"Retry-After": "7"}))
    7.0
    """
    for name in ("Retry-After", "X-RateLimit-Reset", "RateLimit-Reset"):
        text = headers.get(name, "")
        try:
            number = float(text)
        except ValueError:
            number = _moment(text)
        if number > 1e9:
            now = _moment(headers.get("Date", ""))
            number -= time.time() if math.isnan(now) else now
        if math.isfinite(number):
            return min(max(number, 0.0), _YEAR_S)
    return None


def _moment(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError):
        return math.nan


@dataclass(frozen=True, kw_only=True, repr=False)
class Fetcher:
    """Makes requests, each several times if need be; threads may share one.

    Attributes
    ----------
    redact
        Takes keys out of texts: `redactor`.
    retries
        How often a request is made again after a fault that may pass.
    sleep
        Called with the seconds to wait.
    longest_s
        How long one request may take.
    """

    client: httpx.Client
    redact: Callable[[object], str]
    retries: int
    sleep: Callable[[float], None]
    longest_s: float = 120.0
    _in_a_row: Counter[str] = field(default_factory=Counter)  # faults of a host of photos

    def persist(self, attempt: Callable[[], Result], *, retries: int | None = None) -> Result:
        """Call `attempt` until it raises no `PassingError`, waiting longer each time."""
        tries = 1 + (self.retries if retries is None else retries)
        retrying = Retrying(
            stop=stop_after_attempt(tries),
            wait=_wait_s,
            retry=retry_if_exception(_may_pass_soon),
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(attempt)
        except PassingError as fault:
            if fault.wait_s is not None:
                raise QuotaError(str(fault), fault.wait_s) from None
            raise SourceError(f"{fault}, {tries} times") from None

    @contextmanager
    def _request(self, url: str, **arguments: Any) -> Iterator[httpx.Response]:
        """Begin a request; httpx's errors become ours, which show no key."""
        try:
            with _within(self.longest_s), self.client.stream("GET", url, **arguments) as answer:
                yield answer
        except (
            AddressError,
            httpx.UnsupportedProtocol,
            httpx.TooManyRedirects,
            httpx.InvalidURL,
        ) as fault:
            raise SourceError(self.redact(fault)) from None
        except httpx.HTTPError as fault:
            raise PassingError(f"{type(fault).__name__}: {self.redact(fault)}") from None

    def check_status(self, answer: httpx.Response, *, window_s: float | None = None) -> None:
        """Raise what a status other than 200 means; a spent quota is renewed after `window_s`."""
        if answer.status_code == httpx.codes.OK:
            return
        start = next(_body(answer, LARGEST_ANSWER), b"")[:5000].decode(errors="replace")
        reason = f"HTTP {answer.status_code} {' '.join(self.redact(start).split())[:200]}"
        limited = answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        if not limited and not answer.is_server_error:
            raise SourceError(reason)
        wait_s = requested_wait(answer.headers)
        raise PassingError(reason, window_s if wait_s is None and limited else wait_s)

    def get(self, url: str, **arguments: Any) -> httpx.Response:
        """Ask a programming interface once, and give its whole answer, keys taken out.

        Redirects are not followed: the key is for this address only.
        """
        with self._request(url, **arguments) as answer:
            text = self.redact(b"".join(_body(answer, LARGEST_ANSWER)).decode(errors="replace"))
        packing = ("content-encoding", "content-length", "transfer-encoding")
        headers = {name: value for name, value in answer.headers.items() if name not in packing}
        return httpx.Response(answer.status_code, headers=headers, content=text.encode())

    def download(self, url: str, path: Path) -> np.ndarray:
        """Have a photo on disk, whole or not at all; a sound one that is there is kept.

        Returns
        -------
        numpy.ndarray
            The photo, uint8 RGB of shape (height, width, 3).

        Raises
        ------
        SourceError, ImageError
            If the site does not give it, or it is no photo.
        """
        if path.exists():
            try:
                return read_photo(path)
            except ImageError:
                log.warning("%s is damaged and is downloaded again", path.name)
        partial, host = path.with_suffix(".part"), url.partition("://")[2].partition("/")[0]
        is_dead = self._in_a_row[host] >= MAX_IN_A_ROW
        try:
            self.persist(lambda: self._download(url, partial, host), retries=0 if is_dead else None)
            image = read_photo(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return image

    def _download(self, url: str, path: Path, host: str) -> None:
        started = time.monotonic()
        options = {"headers": {"Accept-Encoding": "identity"}, "follow_redirects": True}
        try:
            with self._request(url, **options) as answer, path.open("wb") as file:
                self.check_status(answer)
                for chunk in _body(answer, LARGEST_PHOTO):
                    file.write(chunk)
            self._in_a_row.pop(host, None)
        except PassingError:
            self._in_a_row[host] += 1
            if time.monotonic() - started < self.longest_s:
                raise
            raise SourceError(f"not whole after {self.longest_s:g} s") from None


def _may_pass_soon(fault: BaseException) -> bool:
    return isinstance(fault, PassingError) and (fault.wait_s or 0) <= LONGEST_WAIT_S


def _wait_s(state: RetryCallState) -> float:
    """Wait as long as the server asks, else at random below a limit that doubles."""
    fault = state.outcome.exception() if state.outcome else None
    wait_s = getattr(fault, "wait_s", None)
    return _BACKOFF(state) if wait_s is None else wait_s


def _body(answer: httpx.Response, largest: int) -> Iterator[bytes]:
    """Give the body of an answer in parts, unpacked, as long as it is not too large."""
    coding = answer.headers.get("Content-Encoding", "identity").lower()
    if coding not in ("identity", "gzip", "deflate"):  # several could make petabytes of few bytes
        raise SourceError(f"packed as {coding[:40]!r}, not one of deflate, gzip, identity")
    length = 0
    for part in answer.iter_bytes():
        length += len(part)
        if length > largest:
            raise SourceError(f"larger than {largest // 10**6} MB")
        yield part


def read_photo(path: Path) -> np.ndarray:
    """Read a photo as `exe_core.faces.read_image` does; an animation is none."""
    with _DECODERS:
        image = read_image(path)
    with Image.open(path) as opened:  # an MPO is the one photo of a camera, with its previews
        if opened.format != "MPO" and getattr(opened, "is_animated", False):
            raise ImageError("animated: no photo")
    return image
