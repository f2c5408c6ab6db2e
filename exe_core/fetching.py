"""A host that gives nothing, time after time, is left alone, but for a try now and then."""

from __future__ import annotations

import html
import ipaddress
import json
import logging
import math
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from ssl import SSLContext
from typing import Any, TypeVar
from urllib.request import getproxies

import httpcore
import httpx
import numpy as np
from PIL import Image

from exe_core import __version__
from exe_core.faces import FORMATS, ImageError, read_image
from exe_core.record import explain_disk_errors

MOST_IN_A_ROW = 10
PAUSE_S = 60.0


@dataclass
class _Failing:
    times: int = 0
    next_try: float = 0.0


class Breaker:
    """Counts, by host, the requests in a row that gave nothing; threads may share one.

    Without it each photo of a dead host takes all its tries, with the waits between them.

    Parameters
    ----------
    most
        After so many a host is left alone.
    pause_s
        Seconds between tries of a host that is left alone.
    clock
        Gives the time, s.
    """

    def __init__(
        self,
        *,
        most: int = MOST_IN_A_ROW,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._pause_s, self._clock = most, pause_s, clock
        self._lock = threading.Lock()
        self._hosts: dict[str, _Failing] = {}

    def reason_against(self, host: str) -> str | None:
        """Say why a host is not asked now; None if it is, also as the one try of a while."""
        with self._lock:
            failing, now = self._hosts.get(host, _Failing()), self._clock()
            if failing.times < self._most:
                return None
            if now >= failing.next_try:
                failing.next_try = now + self._pause_s
                return None
            return (
                f"{host} gave nothing {failing.times} times in a row and is left alone, but for "
                f"a try each {self._pause_s:g} s: pull again when it is back"
            )

    def failed(self, host: str) -> None:
        """Count a request that gave nothing."""
        with self._lock:
            failing = self._hosts.setdefault(host, _Failing())
            failing.times += 1
            failing.next_try = self._clock() + self._pause_s

    def answered(self, host: str) -> None:
        """Forget what was counted: the host is there."""
        with self._lock:
            self._hosts.pop(host, None)


PORTS = {80, 443, 8080, 8443}
"""Ports of the web; any other may be another service, whom a request might harm."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class AddressError(ValueError):
    """An address that is not asked; the message is the reason."""


@dataclass(frozen=True, kw_only=True)
class AddressPolicy:
    """Says which addresses may be asked.

    Attributes
    ----------
    allow_private
        Loopback and private addresses too, at any port. Link-local ones never: there the machines
        of a cloud are told their credentials.
    trusted
        Hosts and ports that are asked whatever their address: those that the caller named.
    """

    allow_private: bool = False
    trusted: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def trusting(cls, urls: Iterable[str], *, allow_private: bool = False) -> AddressPolicy:
        """Make a policy that trusts the hosts of some addresses."""
        trusted = frozenset(_host_and_port(httpx.URL(url)) for url in urls)
        return cls(allow_private=allow_private, trusted=trusted)

    def check(self, url: httpx.URL) -> None:
        """Refuse an address by its looks: scheme, user, port, and a host that is a number.

        Raises
        ------
        AddressError
            With what is allowed.
        """
        if url.scheme not in ("http", "https"):
            raise AddressError(f"refused: scheme {url.scheme!r}, only http and https are fetched")
        if url.userinfo:
            raise AddressError("refused: the address holds a user or a password")
        host, port = _host_and_port(url)
        if not host:
            raise AddressError("refused: the address names no host")
        if (host, port) in self.trusted:
            return
        if port not in PORTS and not self.allow_private:
            allowed = ", ".join(map(str, sorted(PORTS)))
            raise AddressError(f"refused: port {port}, not one of {allowed}")
        if _is_number(host) and not self._allows(host):
            raise AddressError(_not_public(host))

    def resolve(self, host: str, port: int) -> list[str]:
        """Look a host up, and give its addresses if all of them may be asked.

        Raises
        ------
        AddressError
            If one of them may not.
        OSError, UnicodeError
            If it has none, or is no name.
        """
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if (host, port) not in self.trusted:
            for address in addresses:
                if not self._allows(address):
                    raise AddressError(_not_public(host))
        return addresses

    def _allows(self, address: str) -> bool:
        number = _embedded(ipaddress.ip_address(address))
        if number.is_multicast or number.is_link_local or number.is_unspecified:
            return False
        if self.allow_private and (number.is_private or number.is_loopback):
            return True
        site_local = isinstance(number, ipaddress.IPv6Address) and number.is_site_local
        return number.is_global and not number.is_reserved and not site_local


def _host_and_port(url: httpx.URL) -> tuple[str, int]:
    return url.raw_host.decode(), url.port or (443 if url.scheme == "https" else 80)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _not_public(host: str) -> str:
    return (
        f"refused: {host} is no public address; a study may allow it by "
        "pull.allow_private_addresses"
    )


def _embedded(
    number: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Give the IPv4 address that an IPv6 address stands for, if it does."""
    if isinstance(number, ipaddress.IPv4Address):
        return number
    if number in _NAT64:
        return ipaddress.IPv4Address(int(number) & 0xFFFFFFFF)
    return number.ipv4_mapped or number.sixtofour or number


class TimeLimit:
    """So many seconds of connections for what a thread does inside `with`, over all its uses.

    Without it, a host that sends a byte now and then is waited for without end.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._left = seconds

    def __enter__(self) -> TimeLimit:
        self._ends = time.monotonic() + self._left
        self._before = _limit.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _limit.reset(self._before)
        self._left = self._ends - time.monotonic()

    @property
    def is_spent(self) -> bool:
        """Say whether no time is left, between two uses."""
        return self._left <= 0

    def cap(self, timeout: float | None) -> float:
        """Shorten a timeout to the seconds that are left; if none are, it has passed."""
        left = self._ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout(f"{self.seconds:g} s have passed")
        return left if timeout is None else min(timeout, left)


_limit: ContextVar[TimeLimit | None] = ContextVar("limit", default=None)


def _capped(timeout: float | None) -> float | None:
    limit = _limit.get()
    return limit.cap(timeout) if limit else timeout


class CheckedBackend(httpcore.SyncBackend):
    """Opens connections to the very addresses that were checked: a name is looked up once."""

    def __init__(self, policy: AddressPolicy) -> None:
        super().__init__()
        self._policy = policy

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection to the first address that answers."""
        try:
            addresses = self._policy.resolve(host, port)
        except (OSError, UnicodeError) as fault:
            raise httpcore.ConnectError(f"{host} can't be looked up: {fault}") from None
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            try:
                stream = super().connect_tcp(
                    address, port, _capped(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as fault:
                failed = fault
            else:
                return _CappedStream(stream)
        raise failed


class _CappedStream(httpcore.NetworkStream):
    """A connection that keeps to the time limit of the thread that uses it."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _capped(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _capped(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _CappedStream(self._stream.start_tls(ssl_context, server_hostname, _capped(timeout)))

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


@cache
def _ssl_context() -> SSLContext:
    """Read the authorities that are trusted, once: it takes longer than most requests."""
    return httpx.create_ssl_context()


class CheckedTransport(httpx.HTTPTransport):
    """HTTP/1.1 and HTTP/2 over connections that a policy allows, or through an HTTP proxy.

    A proxy is trusted to connect where it should: it looks the names up itself.
    """

    def __init__(
        self, policy: AddressPolicy, *, limits: httpx.Limits, proxy: httpx.Proxy | None = None
    ) -> None:
        # httpx takes no network backend (encode/httpx, pull request 3749); all that its own
        # __init__ does is to make the pool
        if proxy:
            policy = AddressPolicy.trusting([str(proxy.url)])
        options: dict[str, Any] = {
            "ssl_context": _ssl_context(),
            "max_connections": limits.max_connections,
            "max_keepalive_connections": limits.max_keepalive_connections,
            "keepalive_expiry": limits.keepalive_expiry,
            "http2": True,
            "network_backend": CheckedBackend(policy),
        }
        self._pool = (
            httpcore.HTTPProxy(str(proxy.url), proxy_auth=proxy.raw_auth, **options)
            if proxy
            else httpcore.ConnectionPool(**options)
        )


def open_client(policy: AddressPolicy, *, timeout_s: float, connections: int) -> httpx.Client:
    """Make the client of a pull: HTTP/2 where it is offered, and only addresses that are allowed.

    The environment's proxies (`http_proxy`, `https_proxy`, `no_proxy`) are used, but not for the
    hosts that the policy trusts.
    """
    limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
    direct = CheckedTransport(policy, limits=limits)
    proxies = getproxies()
    mounts: dict[str, httpx.BaseTransport | None] = {
        f"{scheme}://": CheckedTransport(policy, limits=limits, proxy=_proxy(proxies[scheme]))
        for scheme in ("http", "https")
        if scheme in proxies
    }
    near = [name.strip().lstrip("*.") for name in proxies.get("no", "").split(",") if name.strip()]
    for host in {*near, *(host for host, _ in policy.trusted)}:
        mounts[f"all://[{host}]" if ":" in host else f"all://*{host}"] = direct
    return httpx.Client(
        transport=direct,
        mounts=mounts if proxies else None,
        timeout=timeout_s,
        headers={"User-Agent": f"exe-core/{__version__} (photos for research)"},
    )


def _proxy(address: str) -> httpx.Proxy:
    return httpx.Proxy(address if "://" in address else f"http://{address}")


BLANK = "<key>"


class Redaction:
    """Takes keys out of texts, in whatever form they stand there: a key may be part of an address.

    Parameters
    ----------
    secrets
        The keys. Found as they are, percent-encoded once or twice, and as JSON, HTML or Python
        escape them, also where only some of their characters are.

    Examples
    --------
    >>> Redaction(["a/b+c"])("GET /?key=a%2fb%2Bc&q=sad")
    'GET /?key=<key>&q=sad'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = ["".join(map(_any_form, secret)) for secret in secrets if secret]
        longest_first = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(longest_first) or r"(?!)", flags=re.IGNORECASE)

    def __call__(self, content: object) -> str:
        """Give the text of something, or the name of its type if it has none, without the keys."""
        return self._pattern.sub(BLANK, str(content) or type(content).__name__)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Keep the keys out of all log records meanwhile, and out of the exception that ends it."""
        factory, packed = logging.getLogRecordFactory(), logging.getLogger("hpack")
        level = packed.level
        logging.setLogRecordFactory(lambda *given, **more: self._clean(factory(*given, **more)))
        packed.setLevel(logging.INFO)  # its DEBUG shows the headers compressed: keys in disguise
        try:
            yield
        except BaseException as fault:
            self._scrub(fault)
            raise
        finally:
            logging.setLogRecordFactory(factory)
            packed.setLevel(level)

    def _clean(self, record: logging.LogRecord) -> logging.LogRecord:
        if record.exc_info:
            record.exc_text = self(logging.Formatter().formatException(record.exc_info))
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # its arguments don't fit; logging never raises for that
            message = f"{record.msg} {record.args}"
        record.msg, record.args = self(message), ()
        return record

    def _scrub(self, fault: BaseException) -> None:
        """Take the keys out of an exception and its chain; cut off what can't be rewritten."""
        chain = [fault]
        for link in chain:
            before = (link.__cause__, link.__context__)
            chain += [one for one in before if one is not None and one not in chain]
        for link in chain:
            link.args = tuple(self(arg) if isinstance(arg, str) else arg for arg in link.args)
        for link in chain:
            if link.__cause__ and self._is_in(link.__cause__):
                link.__cause__ = None
            if link.__context__ and self._is_in(link.__context__):
                link.__context__ = None

    def _is_in(self, fault: BaseException) -> bool:
        return self._pattern.search(f"{fault} {fault!r}") is not None


def _any_form(character: str) -> str:
    """Make a pattern of the forms in which a character of a key may stand in a text."""
    percent = "".join(f"%{byte:02X}" for byte in character.encode())
    forms = {
        character,
        percent,
        percent.replace("%", "%25"),
        json.dumps(character)[1:-1],
        html.escape(character),
        *(f.format(ord(character)) for f in ("\\u{:04x}", "\\x{:02x}", "&#{};", "&#x{:x};")),
    }
    forms |= {"/": {"\\/"}, " ": {"+"}, "+": {" "}}.get(character, set())
    return f"(?:{'|'.join(map(re.escape, sorted(forms, key=len, reverse=True)))})"


log = logging.getLogger(__name__)

LONGEST_WAIT_S = 300.0
"""A server that asks to wait for longer is left until the next time."""
BACKOFF_S = 1.0
LONGEST_BACKOFF_S = 60.0
LARGEST_FILE = 50_000_000  # bytes
LARGEST_ANSWER = 10_000_000  # bytes of a search's answer
MOST_REDIRECTS = 5
CODINGS = {"identity", "gzip", "deflate"}
"""Content codings that are unpacked; several in a row could make petabytes of a few bytes."""

LARGE_PHOTO = 25_000_000
"""Photos of more pixels are decoded one after the other: 200 megapixels take 2 GB meanwhile."""

_ONE_AT_A_TIME = threading.Lock()
_YEAR_S = 366 * 86400.0

Result = TypeVar("Result")


class SourceError(RuntimeError):
    """A source can't be pulled from; what it gave before is kept."""


class PassingError(SourceError):
    """A fault that may pass, with the seconds to wait if the server says so."""

    def __init__(self, reason: str, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


class QuotaError(SourceError):
    """The server asks to come back later than one waits here."""

    def __init__(self, reason: str, wait_s: float) -> None:
        back = datetime.now(UTC) + timedelta(seconds=min(wait_s, _YEAR_S))
        super().__init__(f"{reason}: come back after {back:%Y-%m-%d %H:%M} UTC")
        self.wait_s = wait_s


def wait_asked(headers: httpx.Headers) -> float | None:
    """Say how many seconds an answer asks to wait: Retry-After, else the reset of its quota.

    Both come as seconds, as a moment in Unix time, or as a date. Moments are compared with the
    server's own clock where it tells it, as the clock of this machine may be wrong or jump.

    >>> wait_asked(httpx.Headers({"Retry-After": "7"}))
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
    """Makes requests, each several times if need be.

    Attributes
    ----------
    retries
        How often a request is made again after a fault that may pass.
    sleep
        Called with the seconds to wait.
    policy
        Which addresses of photos may be asked.
    longest_s
        How long a request may take over all its tries, waits between them excepted.
    rng
        Spreads the waits, so that many machines don't come back at one moment.
    breaker
        Leaves hosts of photos alone that give nothing.
    """

    client: httpx.Client
    clean: Redaction
    retries: int
    sleep: Callable[[float], object]
    policy: AddressPolicy = field(default_factory=AddressPolicy)
    longest_s: float = 120.0
    rng: random.Random = field(default_factory=random.Random)
    breaker: Breaker = field(default_factory=Breaker)

    def persist(self, attempt: Callable[[], Result]) -> Result:
        """Call `attempt` until it raises no `PassingError`, waiting longer each time."""
        for tried in range(self.retries + 1):
            try:
                return attempt()
            except SourceError as fault:
                failed = fault
            if not isinstance(failed, PassingError) or tried == self.retries:
                break
            most = min(BACKOFF_S * 2**tried, LONGEST_BACKOFF_S)
            wait_s = self.rng.uniform(0, most) if failed.wait_s is None else failed.wait_s
            self.sleep(wait_s)
        # outside of the handler, and without what httpx raised: that holds the request, and the
        # request the key
        failed.__cause__ = failed.__context__ = None
        raise self._given_up(failed)

    def _given_up(self, fault: SourceError) -> SourceError:
        if not isinstance(fault, PassingError):
            return fault
        if fault.wait_s is not None:
            return QuotaError(str(fault), fault.wait_s)
        return SourceError(f"{fault}, {self.retries + 1} times")

    @contextmanager
    def faults_told(self) -> Iterator[None]:
        """Turn httpx's errors into ours: those that may pass, and those that won't."""
        try:
            yield
        except (AddressError, httpx.UnsupportedProtocol, httpx.InvalidURL) as fault:
            raise SourceError(self.clean(fault)) from None
        except httpx.HTTPError as fault:
            raise PassingError(f"{type(fault).__name__}: {self.clean(fault)}") from None

    def accept(self, answer: httpx.Response, *, window_s: float | None = None) -> None:
        """Raise what a status other than 200 means.

        Parameters
        ----------
        answer
            The start of its body is read, if there is something wrong.
        window_s
            After so many seconds a spent quota is renewed, if the answer does not say.
        """
        if answer.status_code == httpx.codes.OK:
            return
        start = next(_body(answer, LARGEST_ANSWER), b"")[:5000].decode(errors="replace")
        said = " ".join(self.clean(start).split())[:200]
        reason = f"HTTP {answer.status_code} {said}"
        limited = answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        if not limited and not answer.is_server_error:
            raise SourceError(reason)
        wait_s = wait_asked(answer.headers)
        if wait_s is None and limited:
            wait_s = window_s
        if wait_s is not None and wait_s > LONGEST_WAIT_S:
            raise QuotaError(reason, wait_s)
        raise PassingError(reason, wait_s)

    def get(self, url: str, **asked: Any) -> httpx.Response:
        """Ask a programming interface once, and give its whole answer, keys taken out.

        Redirects are not followed: the key is for this address only.
        """
        limit = TimeLimit(self.longest_s)
        with self.faults_told(), limit, self.client.stream("GET", url, **asked) as answer:
            body = b"".join(_body(answer, LARGEST_ANSWER))
        headers = answer.headers.copy()
        for name in ("Content-Encoding", "Content-Length", "Transfer-Encoding"):
            headers.pop(name, None)
        text = self.clean(body.decode(errors="replace")) if body else ""
        return httpx.Response(answer.status_code, headers=headers, content=text.encode())

    def photo(self, url: str, path: Path) -> np.ndarray:
        """Have a photo on disk, whole or not at all; one that is there is not asked for again.

        Returns
        -------
        numpy.ndarray
            The photo, uint8 RGB of shape (height, width, 3).

        Raises
        ------
        SourceError, ImageError
            If it is not given, or is no photo.
        StorageError
            If the disk takes no more.
        """
        if path.exists():
            try:
                return _read_photo(path)
            except ImageError:
                log.warning("%s is damaged and is had anew", path.name)
        partial, limit = path.with_suffix(".part"), TimeLimit(self.longest_s)
        try:
            with explain_disk_errors(path.parent):
                self.persist(lambda: self._download(url, partial, limit))
                image = _read_photo(partial)
                partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return image

    def _download(self, url: str, path: Path, limit: TimeLimit) -> None:
        if limit.is_spent:
            raise SourceError(f"not whole after {limit.seconds:g} s")
        with (
            self._watched(url),
            self.faults_told(),
            limit,
            self._follow(url) as answer,
            path.open("wb") as file,
        ):
            self.accept(answer)
            for chunk in _body(answer, LARGEST_FILE):
                file.write(chunk)

    @contextmanager
    def _watched(self, url: str) -> Iterator[None]:
        """Leave a host alone that gives nothing; a refusal is an answer, too."""
        host = url.partition("://")[2].partition("/")[0]
        if reason := self.breaker.reason_against(host):
            raise SourceError(reason)
        try:
            yield
        except PassingError:
            self.breaker.failed(host)
            raise
        except SourceError:
            self.breaker.answered(host)
            raise
        self.breaker.answered(host)

    @contextmanager
    def _follow(self, url: str) -> Iterator[httpx.Response]:
        """Ask for a photo, and wherever the answer sends us, if that may be asked."""
        request = self.client.build_request("GET", url, headers={"Accept-Encoding": "identity"})
        for _ in range(MOST_REDIRECTS + 1):
            self.policy.check(request.url)
            answer = self.client.send(request, stream=True)
            try:
                if answer.next_request is None:
                    yield answer
                    return
                request = answer.next_request
            finally:
                answer.close()
        raise SourceError(f"more than {MOST_REDIRECTS} redirects")


def _body(answer: httpx.Response, largest: int) -> Iterator[bytes]:
    """Give the body of an answer in parts, unpacked, as long as it is not too large."""
    coding = answer.headers.get("Content-Encoding", "identity").lower()
    if coding not in CODINGS:
        raise SourceError(f"packed as {coding[:40]!r}, not one of {', '.join(sorted(CODINGS))}")
    length = 0
    for part in answer.iter_bytes():
        length += len(part)
        if length > largest:
            raise SourceError(f"larger than {largest // 10**6} MB")
        yield part


def _read_photo(path: Path) -> np.ndarray:
    with _ONE_AT_A_TIME if _n_pixels(path) > LARGE_PHOTO else nullcontext():
        image = read_image(path)
    with Image.open(path) as opened:  # an MPO is the one photo of a camera, with its previews
        if opened.format != "MPO" and getattr(opened, "is_animated", False):
            raise ImageError("animated: no photo")
    return image


def _n_pixels(path: Path) -> int:
    """Count the pixels that a file says to have; 0 if it can't be told."""
    try:
        with Image.open(path, formats=FORMATS) as opened:
            return opened.width * opened.height
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0
