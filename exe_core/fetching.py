"""A request over HTTP, made to last: retries, waits as asked, and no key in any text."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import httpx
import numpy as np

from exe_core.detection import read_image

LONGEST_WAIT_S = 300.0
"""A server that asks to wait for longer is left until the next time."""
BACKOFF_S = 1.0
LARGEST_FILE = 50_000_000  # bytes

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
        back = datetime.now(UTC) + timedelta(seconds=wait_s)
        super().__init__(f"{reason}: come back after {back:%Y-%m-%d %H:%M} UTC")


class Redaction(logging.Filter):
    """Takes keys out of texts, also out of what httpx logs: a key may be part of an address."""

    def __init__(self, secrets: Iterable[str]) -> None:
        super().__init__()
        self._secrets = {form for secret in secrets for form in (secret, quote(secret, safe=""))}

    def __call__(self, fault: object) -> str:
        """Give the text of a fault without the keys."""
        text = str(fault) or type(fault).__name__
        for secret in self._secrets:
            text = text.replace(secret, "<key>")
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Rewrite a log record; none is held back."""
        record.msg, record.args = self(record.getMessage()), ()
        return True

    @contextmanager
    def in_logs(self) -> Iterator[None]:
        """Keep the keys out of httpx's log meanwhile."""
        logger = logging.getLogger("httpx")
        logger.addFilter(self)
        try:
            yield
        finally:
            logger.removeFilter(self)


def wait_asked(headers: httpx.Headers) -> float | None:
    """Say how many seconds an answer asks to wait: Retry-After, else the reset of its quota.

    Both come as seconds, as a moment in Unix time, or as a date.

    >>> wait_asked(httpx.Headers({"Retry-After": "7"}))
    7.0
    """
    for name in ("Retry-After", "X-RateLimit-Reset"):
        text = headers.get(name, "")
        try:
            number = float(text)
        except ValueError:
            try:
                number = parsedate_to_datetime(text).timestamp()
            except ValueError:
                continue
        if math.isfinite(number):
            return max(number - time.time() if number > 1e9 else number, 0.0)
    return None


@dataclass(frozen=True, kw_only=True, repr=False)
class Fetcher:
    """Makes requests, each several times if need be.

    Attributes
    ----------
    retries
        How often a request is made again after a fault that may pass.
    sleep
        Called with the seconds to wait.
    """

    client: httpx.Client
    clean: Redaction
    retries: int
    sleep: Callable[[float], None]

    def persist(self, attempt: Callable[[], Result]) -> Result:
        """Call `attempt` until it raises no `PassingError`, waiting longer each time."""
        for tried in range(self.retries + 1):
            try:
                return attempt()
            except PassingError as fault:
                if tried == self.retries:
                    raise self._given_up(fault) from None
                backoff = BACKOFF_S * 2**tried * random.uniform(0.5, 1.5)  # noqa: S311
                self.sleep(backoff if fault.wait_s is None else fault.wait_s)
        raise AssertionError("unreachable")

    def _given_up(self, fault: PassingError) -> SourceError:
        if fault.wait_s is not None:
            return QuotaError(str(fault), fault.wait_s)
        return SourceError(f"{fault}, {self.retries + 1} times")

    @contextmanager
    def faults_told(self) -> Iterator[None]:
        """Turn httpx's errors into ours: those that may pass, and those that won't."""
        try:
            yield
        except (httpx.UnsupportedProtocol, httpx.TooManyRedirects, httpx.InvalidURL) as fault:
            raise SourceError(self.clean(fault)) from None
        except httpx.HTTPError as fault:
            raise PassingError(f"{type(fault).__name__}: {self.clean(fault)}") from None

    def accept(self, answer: httpx.Response, *, window_s: float | None = None) -> None:
        """Raise what a status other than 200 means.

        Parameters
        ----------
        answer
            Its body is read only if there is something wrong.
        window_s
            After so many seconds a spent quota is renewed, if the answer does not say.
        """
        if answer.status_code == httpx.codes.OK:
            return
        said = self.clean(answer.read()[:200].decode(errors="replace"))
        reason = f"HTTP {answer.status_code} {' '.join(said.split())}"
        limited = answer.status_code == httpx.codes.TOO_MANY_REQUESTS
        if not limited and not answer.is_server_error:
            raise SourceError(reason)
        wait_s = wait_asked(answer.headers)
        if wait_s is None and limited:
            wait_s = window_s
        if wait_s is not None and wait_s > LONGEST_WAIT_S:
            raise QuotaError(reason, wait_s)
        raise PassingError(reason, wait_s)

    def photo(self, url: str, path: Path) -> np.ndarray:
        """Download a photo, whole or not at all.

        Returns
        -------
        numpy.ndarray
            The photo, uint8 RGB of shape (height, width, 3).

        Raises
        ------
        SourceError, ImageError
            If it is not given, or is no image.
        """
        partial = path.with_suffix(".part")
        try:
            self.persist(lambda: self._download(url, partial))
            image = read_image(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return image

    def _download(self, url: str, path: Path) -> None:
        with (
            self.faults_told(),
            self.client.stream("GET", url, follow_redirects=True) as answer,
            path.open("wb") as file,
        ):
            self.accept(answer)
            for chunk in answer.iter_bytes():
                file.write(chunk)
                if file.tell() > LARGEST_FILE:
                    raise SourceError(f"larger than {LARGEST_FILE // 10**6} MB")
