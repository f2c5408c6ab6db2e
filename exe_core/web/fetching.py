"""A request over HTTP, made to last: retries, waits as asked, limits, and no key in any text."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
from PIL import Image

from exe_core.faces.images import FORMATS, ImageError, read_image
from exe_core.web.addresses import AddressError, AddressPolicy
from exe_core.web.breaker import Breaker
from exe_core.web.connections import TimeLimit
from exe_core.web.redaction import Redaction
from exe_core.web.storage import storage_told

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
            with storage_told(path.parent):
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
