"""A search of a photo site: a page asked for once, its answer read, its quota minded."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np

from exe_core.config import Study
from exe_core.ledger import Page, Row
from exe_core.photo_sites import Asked, Found, Terms, WebSource
from exe_core.settings import KEYWORDS
from exe_core.web.fetching import (
    LONGEST_WAIT_S,
    Fetcher,
    PassingError,
    QuotaError,
    SourceError,
    wait_asked,
)

LONGEST_PAUSE_S = 30.0
"""Between two requests, when little of the quota is left."""
_PHOTO_ID = re.compile(r"[a-z]+:[A-Za-z0-9_-]{1,64}")


class Query(NamedTuple):
    """What is searched for, and the label of what it finds."""

    design: str
    label: str
    query: str


class Answer(NamedTuple):
    """A page of photos, best first; one that is doubted is asked for again by the next pull."""

    photos: list[Found]
    is_last: bool
    doubt: str | None = None


class Search(Protocol):
    """What the pull asks of a source; None where the last answer said nothing."""

    @property
    def http_status(self) -> int | None:
        """Give the status of the last answer."""

    @property
    def quota_left(self) -> int | None:
        """Say how many requests are left."""

    @property
    def wants_reports(self) -> bool:
        """Say whether the source is to be told of downloads."""

    def queries(self, study: Study) -> list[Query]:
        """List what is to be asked for."""

    def asked(self, page: Page) -> str:
        """Put the question in a line, without the key: another question has another answer."""

    def wait_turn(self) -> None:
        """Wait until there may be a request."""

    def ask(self, page: Page) -> Answer:
        """Ask for a page once."""

    def fetch(self, photo: Found, path: Path) -> np.ndarray:
        """Have a photo at `path`, whole or not at all, and give its pixels."""

    def tell(self, photo: Found) -> None:
        """Report once that a photo was downloaded."""

    def describe(self, photo: Found) -> Row:
        """Give what the source says of a photo, as columns of the table photos."""


def describe(photo: Found, *, terms: Terms, origin: str = "") -> Row:
    """Give what a source says of a photo, as columns of the table photos.

    Parameters
    ----------
    terms
        Of photos of which nothing is said.
    origin
        Of a stand-in: left out of addresses, as it is another one each time.
    """
    own = photo.terms or terms
    author = photo.author or "an unnamed author"
    addresses = {"page_url": photo.page_url, "url": photo.url, "author_url": photo.author_url}
    return {
        "photo_id": photo.photo_id,
        "source": photo.photo_id.partition(":")[0],
        **{name: url and url.removeprefix(origin) for name, url in addresses.items()},
        "author": photo.author,
        "licence": own.licence,
        "licence_url": own.licence_url,
        "attribution": own.attribution and own.attribution.replace("{author}", author),
        "width_px": photo.width_px,
        "height_px": photo.height_px,
    }


class Quota:
    """How many requests are left, and when there are more: by a clock that nobody sets back."""

    def __init__(self, *, window_s: float, slow_below: int) -> None:
        self.left: int | None = None
        self._window_s, self._slow_below = window_s, slow_below
        self._renewed = 0.0

    def hear(self, headers: httpx.Headers) -> None:
        """Take note of what an answer says; of several quotas, the one with the least left."""
        said = [
            int(text)
            for name, text in headers.items()
            if re.match(r"x-ratelimit-(remaining|available)", name) and text.isdecimal()
        ]
        self.left = min(said, default=None)
        now, wait_s = time.monotonic(), wait_asked(headers)
        if wait_s is not None:
            self._renewed = now + wait_s
        elif now >= self._renewed:
            self._renewed = now + self._window_s

    def wait_s(self) -> float:
        """Say how long a request that was refused has to wait, if its answer did not say."""
        # A quota with something left was not the one that was spent.
        return self._remaining_s() if self.left == 0 else self._window_s

    def pause_s(self) -> float:
        """Say how long to wait before a request: what is left is spread over the time till more.

        Raises
        ------
        QuotaError
            If nothing is left, for longer than one waits here.
        """
        remaining_s = self._remaining_s()
        if self.left is None or self.left >= self._slow_below or not remaining_s:
            return 0.0
        if self.left > 0:
            return min(remaining_s / (self.left + 1), LONGEST_PAUSE_S)
        if remaining_s > LONGEST_WAIT_S:
            raise QuotaError("the quota is spent", remaining_s)
        return remaining_s

    def _remaining_s(self) -> float:
        return max(self._renewed - time.monotonic(), 0.0)


@dataclass(kw_only=True, repr=False)
class SiteSearch:
    """The search of a photo site.

    Attributes
    ----------
    endpoint
        Where it is asked: the site's own address, or that of a stand-in.
    terms
        Of photos whose answer says nothing.
    filters
        What the searches are narrowed by, besides what the site's description says.
    fetcher
        Gives the fetcher of the calling thread.
    """

    site: WebSource
    endpoint: str
    key: str
    terms: Terms
    per_page: int
    filters: dict[str, str]
    quota: Quota
    fetcher: Callable[[], Fetcher]
    http_status: int | None = None

    @property
    def quota_left(self) -> int | None:
        """Say how many requests are left."""
        return self.quota.left

    @property
    def wants_reports(self) -> bool:
        """Say whether the site is to be told of downloads."""
        return self.site.report is not None

    def queries(self, study: Study) -> list[Query]:
        """List the queries of the study's designs and labels."""
        return [
            Query(design, label, query)
            for design in study.pull.designs
            for label in study.labels
            for query in KEYWORDS[design][label]
        ]

    def asked(self, page: Page) -> str:
        """Put the question in a line, without the key."""
        return urlencode(sorted(self.site.request(self._asked(page))["params"].items()))

    def _asked(self, page: Page, *, key: str = "") -> Asked:
        usual = {name: value for name, value in self.site.filters.items() if value is not None}
        return Asked(page.query, page.page, self.per_page, usual | self.filters, key)

    def wait_turn(self) -> None:
        """Wait until the quota allows a request.

        Raises
        ------
        QuotaError
            If that is longer than one waits here.
        """
        if pause_s := self.quota.pause_s():
            self.fetcher().sleep(pause_s)

    def ask(self, page: Page) -> Answer:
        """Ask for a page once.

        Raises
        ------
        SourceError
            If it is refused, or not as the site documents it.
        """
        answer = self._get(self.endpoint, **self.site.request(self._asked(page, key=self.key)))
        past_end = self.site.past_end
        if page.page > 1 and answer.is_client_error and past_end and past_end in answer.text:
            return Answer([], is_last=True)
        self._accept(answer)
        try:
            content = answer.json()
        except ValueError:
            raise PassingError("the answer is not JSON") from None
        try:
            photos = self.site.photos(content)
            for photo in photos:
                _check(photo)
            n_found = self.site.n_found(content)
            if not photos and n_found > (page.page - 1) * self.per_page:
                return Answer([], is_last=True, doubt=f"an empty page, of {n_found} photos found")
            return Answer(photos, not photos or self.site.is_last(content, self._asked(page)))
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise SourceError(
                f"the answer is not as {self.site.name} documents it: "
                f"{type(fault).__name__} {self.fetcher().clean(fault)}"
            ) from None

    def _get(self, url: str, **arguments: dict[str, str]) -> httpx.Response:
        self.http_status = None
        answer = self.fetcher().get(url, **arguments)
        self.http_status = answer.status_code
        if answer.is_success:
            self.quota.hear(answer.headers)
        return answer

    def _accept(self, answer: httpx.Response) -> None:
        spent = self.site.spent
        # from here on said as the other sites say it
        if answer.status_code == httpx.codes.FORBIDDEN and spent and spent in answer.text:
            answer.status_code = httpx.codes.TOO_MANY_REQUESTS
        self.fetcher().accept(answer, window_s=self.quota.wait_s())

    def fetch(self, photo: Found, path: Path) -> np.ndarray:
        """Download a photo."""
        return self.fetcher().photo(photo.url, path)

    def tell(self, photo: Found) -> None:
        """Report once that a photo was downloaded.

        Raises
        ------
        SourceError
            If the site does not take the report, or another one is to have the key.
        """
        url = photo.report_url or ""
        if self.site.report is None or not url.startswith(_origin(self.endpoint) + "/"):
            raise SourceError(f"{photo.photo_id}: its download can't be reported to {url!r:.80}")
        self._accept(self._get(url, **self.site.report(self.key)))

    def describe(self, photo: Found) -> Row:
        """Give what the site says of a photo, as columns of the table photos."""
        stand_in = self.endpoint != self.site.endpoint
        origin = _origin(self.endpoint) if stand_in else ""
        return describe(photo, terms=self.terms, origin=origin)


def _check(photo: Found) -> None:
    """Refuse a photo whose id is no name of a file, or that lies nowhere."""
    if not _PHOTO_ID.fullmatch(photo.photo_id):
        raise ValueError(f"{photo.photo_id!r:.80} is no id of a photo")
    if not isinstance(photo.url, str):
        raise TypeError(f"{photo.photo_id} has no address")


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
