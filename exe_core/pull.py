"""The record of a pull: hits, photos and requests, kept through a stop at any moment.

What becomes known is first added to a journal, a line at a time; the tables are written from time
to time and at the end. So a pull that was killed is read back as far as it got, and a week's pull
does not write its tables anew for each page.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core import tables as schema
from exe_core.datasets import perceptual_hash
from exe_core.faces import ImageError, read_image
from exe_core.fetching import (
    LONGEST_WAIT_S,
    AddressPolicy,
    Breaker,
    Fetcher,
    PassingError,
    QuotaError,
    Redaction,
    SourceError,
    open_client,
    wait_asked,
)
from exe_core.readers import DatasetError, label_of, read_csv, read_folder
from exe_core.record import explain_disk_errors
from exe_core.settings import KEYWORDS
from exe_core.sources import SOURCES, Asked, Found, Source, Terms, WebSource
from exe_core.study import ROOT, Study

Row = dict[str, Any]

SAVE_EVERY_S = 60.0
_KEYS = {
    "photos": ("photo_id",),
    "hits": ("photo_id", "design", "query"),
    "requests": ("requested_at", "source", "design", "query", "page"),
}
_ORDER = {**_KEYS, "hits": ("source", "design", "query", "page", "rank")}


class Page(NamedTuple):
    """A page of the answer to a query."""

    source: str
    design: str
    query: str
    page: int


class Ledger:
    """The tables hits, photos and requests: in memory, in a journal, and as tables.

    Several sources may add to it at the same time.

    Attributes
    ----------
    photos
        photo_id -> its row.
    pages
        Page -> the photos that it gave and no page of its query did before.
    """

    def __init__(self, study: Study) -> None:
        self._study = study
        self._lock = threading.RLock()
        self._rows: dict[str, dict[tuple, Row]] = {name: {} for name in _KEYS}
        self._first: dict[tuple[str, str], Page] = {}
        self._answers: dict[Page, Row] = {}
        self.photos: dict[str, Row] = {}
        self.pages: dict[Page, list[str]] = defaultdict(list)
        for name in _KEYS:
            for row in self._read(name):
                self._enter(name, row)
        study.raw.mkdir(parents=True, exist_ok=True)
        path = study.raw / ".pull.journal"
        for name, row in _lines(path):
            self._enter(name, row)
        self._journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._saved = time.monotonic()

    def _read(self, name: str) -> list[Row]:
        path = self._study.table(name)
        if not path.exists():
            return []
        table = pd.read_parquet(path)
        for column in schema.TABLES[name].columns.keys() - set(table):  # written before it was
            table[column] = False if column == "is_last" else None
        table = schema.check(table, name).astype(object)
        return table.where(table.notna(), None).to_dict("records")

    def _enter(self, name: str, row: Row) -> None:
        key = tuple(row[column] for column in _KEYS[name])
        if name == "photos":
            self.photos[row["photo_id"]] = row
        elif name == "requests" and row["error"] is None:
            self._answers[_page(row)] = row
        elif name == "hits":
            self._first.setdefault((row["photo_id"], row["design"]), _page(row))
            if key in self._rows["hits"]:
                return
            self.pages[_page(row)].append(row["photo_id"])
        self._rows[name][key] = row

    def _add(self, name: str, rows: Sequence[Row]) -> None:
        with self._lock:
            for row in rows:
                self._enter(name, row)
            # A line begins with its break, so that one that was cut spoils none after it.
            text = "".join(f"\n{json.dumps([name, row], default=str)}" for row in rows).encode()
            if os.write(self._journal, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".pull.journal")
            if time.monotonic() - self._saved > SAVE_EVERY_S:
                self.save()

    def add_photo(self, row: Row) -> None:
        """Enter a photo, in place of what was known of it."""
        self._add("photos", [row])

    def add_request(self, row: Row) -> None:
        """Enter a request; one that was answered says that all hits of its page are entered."""
        self._add("requests", [row])

    def add_hits(self, hits: Sequence[Row]) -> int:
        """Enter the hits of a page; count those that no other page of their design gave before."""
        with self._lock:
            self._add("hits", hits)
            return sum(self._first[hit["photo_id"], hit["design"]] == _page(hit) for hit in hits)

    def has(self, photo_id: str) -> bool:
        """Say whether a photo was downloaded, and is still there."""
        photo = self.photos.get(photo_id)
        return photo is not None and photo["status"] == "ok" and (ROOT / photo["path"]).exists()

    def answered(self, page: Page, *, asked: str, room: int | None) -> Row | None:
        """Find the request that was answered with this page, if nothing of it is missing.

        Parameters
        ----------
        asked
            The question: an answer to another one does not count.
        room
            How many of its photos are wanted; all if None. A page that was cut to fewer is not
            complete.
        """
        row = self._answers.get(page)
        if row is None or row["asked"] != asked:
            return None
        if row["n_kept"] < row["n_returned"] and (room is None or row["n_kept"] < room):
            return None
        settled = (self.has(name) and not self.photos[name]["error"] for name in self.pages[page])
        return row if all(settled) else None

    def save(self) -> None:
        """Write the tables, and begin the journal anew."""
        with self._lock:
            for name, rows in self._rows.items():
                ordered = sorted(rows.values(), key=itemgetter(*_ORDER[name]))
                columns = dict.fromkeys([*schema.TABLES[name].columns, *(ordered[:1] or [{}])[0]])
                table = pd.DataFrame(ordered, columns=list(columns))
                schema.write(table, self._study.table(name), name=name)
            os.ftruncate(self._journal, 0)
            self._saved = time.monotonic()

    def close(self) -> None:
        """Write the tables and end."""
        try:
            self.save()
        finally:
            os.close(self._journal)

    def summary(self) -> str:
        """Say how much is there."""
        failed = sum(photo["status"] == "failed" for photo in self.photos.values())
        return f"{len(self._rows['hits'])} hits, {len(self.photos)} photos, {failed} of them failed"


def _page(row: Row) -> Page:
    return Page(row["source"], row["design"], row["query"], row["page"])


def _lines(journal: Path) -> Iterator[tuple[str, Row]]:
    """Read a journal; a line that a kill cut short is left out."""
    for line in journal.read_bytes().split(b"\n") if journal.exists() else ():
        try:
            name, row = json.loads(line)
        except ValueError:
            continue
        times = {
            key: datetime.fromisoformat(row[key]) for key in row if key.endswith("_at") and row[key]
        }
        yield name, {**row, **times}


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


DESIGN = "given"
"""The search design of photos whose labels were given, not searched for."""


class Listed(NamedTuple):
    """A photo of a list, with the label and the query that it is listed under."""

    label: str
    query: str
    photo: Found


def read_list(path: Path) -> list[Listed]:
    """Read a list of photos.

    Parameters
    ----------
    path
        A folder as `exe_core.readers.read_folder` takes it; or a CSV with the columns label
        and url and, where known, id, photographer, page_url, licence, licence_url, query.

    Raises
    ------
    DatasetError
        Naming what is missing, unknown or wrong.
    """
    if path.is_dir():
        table = read_folder(path)
        return [
            Listed(label, label, Found(f"local:{_digest(name)}", name))
            for name, label in zip(table["name"], table["label"], strict=True)
        ]
    table = read_csv(path, needs=["label", "url"])
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    listed = [_listed(row, f"{path.name}, row {place}") for place, row in enumerate(rows, start=1)]
    labels = {(one.query, one.label) for one in listed}
    twice = [query for query, n in Counter(query for query, _ in labels).items() if n > 1]
    if twice:
        raise DatasetError(f"{path.name}: query {twice[0]!r} stands with more than one label")
    return listed


def _listed(row: dict[str, str | None], where: str) -> Listed:
    url, name = row["url"] or "", row.get("id")
    if not re.match(r"https?://", url):
        raise DatasetError(f"{where}: url {url!r:.80} does not begin with http:// or https://")
    if name and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise DatasetError(f"{where}: id {name!r:.80} is not of letters, digits, - and _")
    label = label_of(row["label"], "names", where)
    photo = Found(
        photo_id=f"local:{name or _digest(url)}",
        url=url,
        page_url=row.get("page_url"),
        author=row.get("photographer"),
        terms=Terms(row.get("licence"), row.get("licence_url"), "Photo by {author}"),
    )
    return Listed(label, row.get("query") or label, photo)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]


class ListSearch:
    """A list of photos, given out page by page as a photo site does."""

    http_status: int | None = None
    quota_left: int | None = None
    wants_reports = False

    def __init__(self, path: Path, *, per_page: int, fetcher: Callable[[], Fetcher]) -> None:
        self._path, self._per_page, self._fetcher = path, per_page, fetcher
        self._listed = read_list(path)

    def queries(self, study: Study) -> list[Query]:
        """List the queries that the list has for the study's labels; a label may be one."""
        named = dict.fromkeys(Query(DESIGN, one.label, one.query) for one in self._listed)
        return [query for label in study.labels for query in named if query.label == label]

    def asked(self, page: Page) -> str:
        """Put the question in a line: what is listed, as a longer list is another one."""
        names = [photo.photo_id for photo in self._photos(page)]
        return f"{page.query}, {len(names)} listed, {_digest(' '.join(names))}"

    def wait_turn(self) -> None:
        """Wait for nobody."""

    def ask(self, page: Page) -> Answer:
        """Give a page of the list."""
        photos, end = self._photos(page), page.page * self._per_page
        return Answer(photos[end - self._per_page : end], is_last=end >= len(photos))

    def _photos(self, page: Page) -> list[Found]:
        return [one.photo for one in self._listed if one.query == page.query]

    def fetch(self, photo: Found, path: Path) -> np.ndarray:
        """Download a photo, or copy it from the folder."""
        if not self._path.is_dir():
            return self._fetcher().photo(photo.url, path)
        partial = path.with_suffix(".part")
        try:
            shutil.copyfile(self._path / photo.url, partial)
            image = read_image(partial)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return image

    def tell(self, photo: Found) -> None:
        """Report nothing: nobody waits for it."""

    def describe(self, photo: Found) -> Row:
        """Give what the list says of a photo, as columns of the table photos."""
        return describe(photo, terms=Terms())


log = logging.getLogger(__name__)

PAGES_AHEAD = 1
"""Pages that are searched for while the photos of one are still on their way."""
UNREPORTED = "its download is not reported yet"

Result = TypeVar("Result")


class _Pending(NamedTuple):
    """A page whose photos are on their way."""

    query: str
    photos: list[Found]
    downloads: list[Future[None]]


@dataclass(kw_only=True, repr=False)
class Puller:
    """The loop over the queries of one source."""

    study: Study
    source: str
    search: Search
    fetcher: Callable[[], Fetcher]
    clean: Redaction
    ledger: Ledger
    bar: tqdm
    stop: threading.Event
    left: list[str] = field(default_factory=list)
    is_spent: bool = False
    begun: set[str] = field(default_factory=set)
    pending: deque[_Pending] = field(default_factory=deque)
    pool: ThreadPoolExecutor = field(init=False)

    def run(self) -> list[str]:
        """Pull all queries; list the unfinished ones with the reason."""
        with ThreadPoolExecutor(self.study.pull.downloads) as self.pool:
            try:
                for query in self.search.queries(self.study):
                    if self.is_spent or self.stop.is_set():
                        break
                    with self._faults_noted(query.query):
                        self._pull_query(query)
                while self.pending:
                    with self._faults_noted(self.pending[0].query):
                        self._finish(self.pending.popleft())
            finally:
                self.pool.shutdown(cancel_futures=True)
        return self.left

    @contextmanager
    def _faults_noted(self, query: str) -> Iterator[None]:
        try:
            yield
        except QuotaError as reason:
            self.is_spent = True
            self.left.append(f"{self.source} from {query!r} on ({reason})")
        except SourceError as reason:
            self.left.append(f"{self.source} {query!r} ({reason})")
            log.warning("%s", self.left[-1])

    def _pull_query(self, query: Query) -> None:
        settings = self.study.pull
        n_hits = 0
        for number in range(1, settings.max_pages[self.source] + 1):
            if self.stop.is_set():
                return
            page = Page(self.source, query.design, query.query, number)
            room = None if settings.max_per_query is None else settings.max_per_query - n_hits
            row = self.ledger.answered(page, asked=self.search.asked(page), room=room)
            row = row or self._pull_page(page, label=query.label, room=room)
            n_hits += len(self.ledger.pages[page])
            full = settings.max_per_query is not None and n_hits >= settings.max_per_query
            if full or row["is_last"] or (row["share_new"] or 0) < settings.stop_below_new:
                return

    def _pull_page(self, page: Page, *, label: str, room: int | None) -> Row:
        """Search for a page, write down what it gave, and send for its photos."""
        row, photos = self._persist(lambda: self._ask(page))
        found = {photo.photo_id: photo for photo in photos[:room]}
        hits = [
            {"photo_id": photo_id, "label": label, **page._asdict(), "rank": rank}
            for rank, photo_id in enumerate(found, start=1)
        ]
        row["n_kept"] = len(photos[:room])
        row["n_new"] = self.ledger.add_hits(hits)
        row["share_new"] = row["n_new"] / len(photos) if photos else None
        if hits and not self.ledger.pages[page]:
            row["error"] = "nothing but photos of the pages before: asked for again next time"
        self.ledger.add_request(row)
        self._send_for(page.query, list(found.values()))
        return row

    def _ask(self, page: Page) -> tuple[Row, list[Found]]:
        """Ask for a page once; a request that fails is a row at once."""
        self.search.wait_turn()
        row: Row = {"requested_at": datetime.now(UTC), **page._asdict()}
        row |= {"asked": self.search.asked(page), "is_last": False, "error": None}
        row |= {"n_returned": 0, "n_kept": 0, "n_new": 0, "share_new": None}
        started = time.monotonic()
        try:
            photos, row["is_last"], row["error"] = self.search.ask(page)
        except SourceError as fault:
            self.ledger.add_request(self._heard(row, started) | {"error": str(fault)})
            raise
        return self._heard(row, started) | {"n_returned": len(photos)}, photos

    def _heard(self, row: Row, started: float) -> Row:
        heard = {"http_status": self.search.http_status, "quota_left": self.search.quota_left}
        return {**row, **heard, "seconds": time.monotonic() - started}

    def _send_for(self, query: str, photos: list[Found]) -> None:
        """Begin to download photos, those that are there or were tried in this pull excepted."""
        missing = [
            photo
            for photo in photos
            if photo.photo_id not in self.begun and not self.ledger.has(photo.photo_id)
        ]
        self.begun |= {photo.photo_id for photo in missing}
        with self.bar.get_lock():
            self.bar.total += len(missing)
            self.bar.refresh()
        downloads = [self.pool.submit(self._download, photo) for photo in missing]
        self.pending.append(_Pending(query, photos, downloads))
        while len(self.pending) > PAGES_AHEAD:
            self._finish(self.pending.popleft())

    def _finish(self, page: _Pending) -> None:
        """Wait for the photos of a page, and report those that were had."""
        for download in page.downloads:
            download.result()
        for photo in page.photos:
            row = self.ledger.photos.get(photo.photo_id)
            if row and row["error"] == UNREPORTED and not self.stop.is_set():
                self._persist(partial(self._tell, photo))
                self.ledger.add_photo(row | {"error": None, "reported_at": datetime.now(UTC)})

    def _tell(self, photo: Found) -> None:
        self.search.wait_turn()
        self.search.tell(photo)

    def _persist(self, attempt: Callable[[], Result]) -> Result:
        """Try until it is done, and through spent quotas as far as the study waits for them."""
        while True:
            try:
                return self.fetcher().persist(attempt)
            except QuotaError as spent:
                if spent.wait_s > self.study.pull.wait_for_quota_s:
                    raise
                log.info("%s is waited for: %s", self.source, spent)
                self.ledger.save()
                self.fetcher().sleep(spent.wait_s)

    def _download(self, photo: Found) -> None:
        """Have a photo on disk, or the reason why not."""
        if self.stop.is_set():
            return
        name = photo.photo_id.replace(":", "/")
        path = self.study.raw / "photos" / f"{name}.jpg"
        row = {**self.search.describe(photo), "retrieved_at": datetime.now(UTC)}
        row |= {"sha256": None, "path": None, "phash": None, "reported_at": None}
        try:
            with explain_disk_errors(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                image = self.search.fetch(photo, path)
        except (SourceError, ImageError, OSError) as fault:
            row |= {"status": "failed", "error": self.clean(fault)}
        else:
            row |= {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "path": os.path.relpath(path, ROOT),
                # of the file, which may have been there before its row
                "retrieved_at": datetime.fromtimestamp(path.stat().st_mtime, UTC),
                "phash": perceptual_hash(image),
                "status": "ok",
                "error": UNREPORTED if self.search.wants_reports else None,
            }
        self.ledger.add_photo(row)
        with self.bar.get_lock():
            self.bar.update()


class IncompletePullError(SourceError):
    """Some queries are unfinished; the next pull goes on with them."""


def pull(
    study: Study,
    *,
    base_urls: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    terms: Sequence[str] = (),
    progress: bool = True,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Search every source of a study for its keywords, and download the photos.

    Sources are pulled from at the same time. Writes the tables hits, photos and requests, and the
    photos below ``study.raw / "photos"``; `exe_core.settings.Pull` says when a query ends. Pages
    that are complete are not asked for again; one with a failed photo is, as addresses of images
    expire.

    Parameters
    ----------
    study
        Which sources, designs and labels.
    base_urls
        Source -> the address of its search, in place of the official one: a stand-in.
    keys
        Source -> key; by default from the environment variables that `SOURCES` names.
    terms
        Of the photos of stand-ins: `exe_core.pull.Terms`. The sources' own are not theirs.
    progress
        Show a bar: photos had and known of, their rate, the time left.
    sleep
        Called with the seconds to wait.

    Raises
    ------
    SourceError
        If a key is missing, or another pull writes into the same folder.
    IncompletePullError
        If queries are left unfinished, by a quota or by faults; all the others are done.
    StorageError
        If the disk takes no more.
    """
    sources = [SOURCES[name] for name in study.pull.sources]
    secrets = {source.name: _key(source, keys) for source in sources}
    clean, stop = Redaction(secrets.values()), threading.Event()

    def wait_or_stop(seconds: float) -> None:
        if stop.wait(seconds):
            raise SourceError("the pull was stopped")

    with explain_disk_errors(study.raw), _alone(study.raw), clean.in_force(), ExitStack() as stack:
        ledger = Ledger(study)
        stack.callback(ledger.close)
        bar = stack.enter_context(tqdm(desc="photos", unit="photo", total=0, disable=not progress))
        fetchers = _Fetchers(study, base_urls or {}, clean=clean, sleep=sleep or wait_or_stop)
        stack.callback(fetchers.close)
        pullers = [
            Puller(
                study=study,
                source=source.name,
                search=_search(
                    study,
                    source,
                    stand_in=(base_urls or {}).get(source.name),
                    terms=Terms(*terms),
                    key=secrets[source.name],
                    fetcher=fetchers.for_thread,
                ),
                fetcher=fetchers.for_thread,
                clean=clean,
                ledger=ledger,
                bar=bar,
                stop=stop,
            )
            for source in sources
        ]
        left = _run_all(pullers, stop=stop)
    log.info("%s", ledger.summary())
    if left:
        raise IncompletePullError(
            f"{ledger.summary()}; unfinished: {'; '.join(left)}. What was pulled is kept: pull "
            "again to go on"
        )


def _run_all(pullers: Sequence[Puller], *, stop: threading.Event) -> list[str]:
    """Run the loops of all sources side by side; a fault or an interruption of one ends all."""
    with ThreadPoolExecutor(len(pullers)) as pool:
        runs = [pool.submit(puller.run) for puller in pullers]
        try:
            wait(runs, return_when=FIRST_EXCEPTION)
        finally:
            stop.set()
    return [reason for run in runs for reason in run.result()]


def _key(source: Source, keys: Mapping[str, str] | None) -> str:
    variable = source.key_variable or ""
    given = os.environ.get(variable, "") if keys is None else keys.get(source.name, "")
    if not given.strip() and variable and source.key_needed:
        raise SourceError(
            f"no key for {source.name}: set the environment variable {variable}; "
            "data/README.md says where a key is had"
        )
    if not (given.strip().isascii() and given.strip().isprintable()):
        raise SourceError(
            f"the key of {source.name} holds letters or signs that none has: look at {variable}"
        )
    return given.strip()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second pull into one folder; the system frees the lock of a killed one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".pull.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SourceError(f"another pull into {folder.name} is running: wait for it") from None
        yield


def _search(
    study: Study,
    source: Source,
    *,
    stand_in: str | None,
    terms: Terms,
    key: str,
    fetcher: Callable[[], Fetcher],
) -> Search:
    settings = study.pull
    per_page = settings.per_page[source.name]
    if not isinstance(source, WebSource):
        path = study.data_dir / str(settings.local)
        return ListSearch(path, per_page=per_page, fetcher=fetcher)
    return SiteSearch(
        site=source,
        endpoint=stand_in or source.endpoint,
        key=key,
        terms=terms if stand_in else source.terms,
        per_page=per_page,
        filters=settings.filters.get(source.name, {}),
        quota=Quota(window_s=source.window_s, slow_below=settings.slow_below_quota),
        fetcher=fetcher,
    )


class _Fetchers:
    """A fetcher for each thread.

    Threads can't safely share an HTTP/2 connection (encode/httpx, issue 3072), and its end would be
    a fault of all that is on its way over it.
    """

    def __init__(
        self,
        study: Study,
        base_urls: Mapping[str, str],
        *,
        clean: Redaction,
        sleep: Callable[[float], None],
    ) -> None:
        private = study.pull.allow_private_addresses
        self._policy = AddressPolicy.trusting(base_urls.values(), allow_private=private)
        self._settings, self._clean, self._sleep = study.pull, clean, sleep
        self._own, self._clients, self._breaker = threading.local(), ExitStack(), Breaker()

    def for_thread(self) -> Fetcher:
        """Give the fetcher of the calling thread."""
        if not hasattr(self._own, "fetcher"):
            timeout_s = self._settings.timeout_s
            client = open_client(self._policy, timeout_s=timeout_s, connections=2)
            self._own.fetcher = Fetcher(
                client=self._clients.enter_context(client),
                clean=self._clean,
                retries=self._settings.retries,
                sleep=self._sleep,
                policy=self._policy,
                longest_s=self._settings.photo_timeout_s,
                breaker=self._breaker,
            )
        return self._own.fetcher

    def close(self) -> None:
        """Close all connections."""
        self._clients.close()
