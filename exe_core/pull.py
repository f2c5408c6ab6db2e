"""Searching photo sites by keyword and downloading what they give, through any interruption.

What becomes known is first added to a journal, a line at a time; the tables hits, photos and
requests are written from time to time and at the end. So a pull that was killed goes on from
where it got.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import re
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import httpx
import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core import tables
from exe_core.datasets import perceptual_hash
from exe_core.faces import ImageError
from exe_core.fetching import (
    LONGEST_WAIT_S,
    Fetcher,
    PassingError,
    QuotaError,
    SourceError,
    open_client,
    read_photo,
    redactor,
    requested_wait,
)
from exe_core.readers import DatasetError, label_of, read_csv, read_folder
from exe_core.record import ROOT, explain_disk_errors, locked, replacing
from exe_core.settings import KEYWORDS
from exe_core.sources import SOURCES, Json, Photo, Search, Source, Terms
from exe_core.study import Study

log = logging.getLogger(__name__)
Row = dict[str, Any]
Result = TypeVar("Result")

UNREPORTED = "its download is not reported yet"
MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""What reading an answer of another form raises."""
_PHOTO_ID = re.compile(r"[a-z]+:[A-Za-z0-9_-]{1,64}")
_KEYS = {
    "photos": ("photo_id",),
    "hits": ("photo_id", "design", "query"),
    "requests": ("requested_at", "source", "design", "query", "page"),
}
_ORDER = {**_KEYS, "hits": ("source", "design", "query", "page", "rank")}


class IncompletePullError(SourceError):
    """Some queries are unfinished; the next pull goes on with them."""


class Query(NamedTuple):
    """A query of a search design, and the label of the photos that it finds."""

    design: str
    label: str
    query: str


class Page(NamedTuple):
    """A page of the answer to a query."""

    source: str
    design: str
    query: str
    page: int


class Answer(NamedTuple):
    """The photos of a page, best first; one with a doubt is asked for again by the next pull."""

    photos: list[Photo]
    is_last: bool
    doubt: str | None = None


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
            if study.table(name).exists():
                table = study.read(name).astype(object)
                for row in table.where(table.notna(), None).to_dict("records"):
                    self._enter(name, row)
        study.raw.mkdir(parents=True, exist_ok=True)
        journal = study.raw / ".pull.journal"
        for name, row in _lines(journal):
            self._enter(name, row)
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

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

    def add(self, name: str, *rows: Row) -> None:
        """Enter rows of a table; a photo takes the place of what was known of it."""
        with self._lock:
            for row in rows:
                self._enter(name, row)
            # A line begins with its break, so that one that was cut spoils none after it.
            text = "".join(f"\n{json.dumps([name, row], default=str)}" for row in rows).encode()
            if os.write(self._journal, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), ".pull.journal")

    def add_hits(self, hits: Sequence[Row]) -> int:
        """Enter the hits of a page; count those that no other page of their design gave before."""
        with self._lock:
            self.add("hits", *hits)
            return sum(self._first[hit["photo_id"], hit["design"]] == _page(hit) for hit in hits)

    def has(self, photo_id: str) -> bool:
        """Say whether a photo was downloaded, and is still there."""
        photo = self.photos.get(photo_id)
        return photo is not None and photo["status"] == "ok" and (ROOT / photo["path"]).exists()

    def answered(self, page: Page, *, asked: str, room: float) -> Row | None:
        """Find the request that was answered with this page, if nothing of it is missing.

        Parameters
        ----------
        asked
            The parameters of the request: an answer to others does not count.
        room
            How many of its photos are wanted. A page that was cut to fewer is not complete.
        """
        row = self._answers.get(page)
        if row is None or row["asked"] != asked:
            return None
        if row["n_kept"] < min(row["n_returned"], room):
            return None
        settled = (self.has(name) and not self.photos[name]["error"] for name in self.pages[page])
        return row if all(settled) else None

    def close(self) -> None:
        """Write the tables, and end the journal that led to them."""
        try:
            for name, rows in self._rows.items():
                ordered = sorted(rows.values(), key=itemgetter(*_ORDER[name]))
                columns = dict.fromkeys([*tables.TABLES[name].columns, *(ordered[:1] or [{}])[0]])
                self._study.write(pd.DataFrame(ordered, columns=list(columns)), name)
            os.ftruncate(self._journal, 0)
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


@dataclass(kw_only=True, repr=False)
class Puller:
    """The loop over the queries of a photo site.

    Attributes
    ----------
    endpoint, terms
        Where the site is asked, and the terms of photos whose record has none: the source's, or
        those of a stand-in.
    stop
        Set when another source failed or the pull was interrupted.
    """

    study: Study
    source: Source
    key: str
    endpoint: str
    terms: Terms
    fetcher: Fetcher
    ledger: Ledger
    bar: tqdm
    stop: threading.Event
    http_status: int | None = None
    quota_left: int | None = None
    _renewed: float = 0.0
    _begun: set[str] = field(default_factory=set)

    def run(self) -> list[str]:
        """Pull all queries; list the unfinished ones with the reason."""
        left: list[str] = []
        with ThreadPoolExecutor(self.study.pull.downloads) as pool:
            for query in self.queries():
                if self.stop.is_set():
                    break
                try:
                    self._pull_query(query, pool)
                except QuotaError as reason:
                    left.append(f"{self.source.name} from {query.query!r} on ({reason})")
                    break
                except SourceError as reason:
                    left.append(f"{self.source.name} {query.query!r} ({reason})")
                    log.warning("%s", left[-1])
        return left

    def _pull_query(self, query: Query, pool: ThreadPoolExecutor) -> None:
        """Search page by page while the photos of the pages before are downloaded."""
        photos: list[Photo] = []
        downloads: list[Future[None]] = []
        try:
            for returned in self._pages(query):
                photos += returned
                downloads += [
                    pool.submit(self._download, one) for one in returned if self._new(one)
                ]
        finally:
            for download in downloads:
                download.result()
        for photo in photos:
            row = self.ledger.photos.get(photo.photo_id)
            if row and row["error"] == UNREPORTED and not self.stop.is_set():
                self._persist(partial(self.report, photo))
                self.ledger.add("photos", row | {"error": None, "reported_at": datetime.now(UTC)})

    def _new(self, photo: Photo) -> bool:
        """Say whether a photo is neither there nor was tried in this pull."""
        if photo.photo_id in self._begun or self.ledger.has(photo.photo_id):
            return False
        self._begun.add(photo.photo_id)
        self.bar.total += 1
        return True

    def _pages(self, query: Query) -> Iterator[list[Photo]]:
        """Give the photos of each page that is asked for, until the query ends."""
        settings, n_hits = self.study.pull, 0
        most = math.inf if settings.max_per_query is None else settings.max_per_query
        for number in range(1, self.source.max_pages + 1):
            if self.stop.is_set():
                return
            page = Page(self.source.name, query.design, query.query, number)
            row = self.ledger.answered(page, asked=self.asked(page), room=most - n_hits)
            if row is None:
                row, photos = self._pull_page(page, label=query.label, room=most - n_hits)
                yield photos
            n_hits += len(self.ledger.pages[page])
            is_old = (row["share_new"] or 0) < settings.stop_below_new
            if n_hits >= most or row["is_last"] or is_old:
                return

    def _pull_page(self, page: Page, *, label: str, room: float) -> tuple[Row, list[Photo]]:
        """Search for a page, and write down what it gave."""
        row, returned = self._persist(lambda: self._ask(page))
        kept = returned[: int(min(room, len(returned)))]
        photos = {photo.photo_id: photo for photo in kept}
        hits = [
            {"photo_id": photo_id, "label": label, **page._asdict(), "rank": rank}
            for rank, photo_id in enumerate(photos, start=1)
        ]
        row |= {"n_kept": len(kept), "n_new": self.ledger.add_hits(hits)}
        row["share_new"] = row["n_new"] / len(returned) if returned else None
        if hits and not self.ledger.pages[page]:
            row["error"] = "nothing but photos of the pages before: asked for again next time"
        self.ledger.add("requests", row)
        return row, list(photos.values())

    def _ask(self, page: Page) -> tuple[Row, list[Photo]]:
        """Ask for a page once; a request that fails is a row at once."""
        self._wait_for_quota()
        row: Row = {"requested_at": datetime.now(UTC), **page._asdict(), "asked": self.asked(page)}
        started, fault, answer = time.monotonic(), None, Answer([], is_last=False)
        try:
            answer = self.ask(page)
        except SourceError as reason:
            fault = reason
        row |= {"http_status": self.http_status, "n_returned": len(answer.photos), "n_kept": 0}
        row |= {"n_new": 0, "share_new": None, "is_last": answer.is_last}
        row |= {"quota_left": self.quota_left, "seconds": time.monotonic() - started}
        if fault:
            self.ledger.add("requests", row | {"error": str(fault)})
            raise fault
        return row | {"error": answer.doubt}, answer.photos

    def _persist(self, attempt: Callable[[], Result]) -> Result:
        """Try until it is done, and through spent quotas as far as the study waits for them."""
        while True:
            try:
                return self.fetcher.persist(attempt)
            except QuotaError as spent:
                if spent.wait_s > self.study.pull.wait_for_quota_s:
                    raise
                log.info("waiting for %s: %s", self.source.name, spent)
                self.fetcher.sleep(spent.wait_s)

    def _download(self, photo: Photo) -> None:
        """Have a photo on disk, or the reason why not in its row."""
        if self.stop.is_set():
            return
        path = self.study.raw / "photos" / f"{photo.photo_id.replace(':', '/')}.jpg"
        row = {**self._describe(photo), "retrieved_at": datetime.now(UTC)}
        row |= {"sha256": None, "path": None, "phash": None, "reported_at": None}
        try:
            if photo.error:
                raise SourceError(photo.error)
            with explain_disk_errors(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                image = self.fetch(photo, path)
        except (SourceError, ImageError, OSError) as fault:
            row |= {"status": "failed", "error": self.fetcher.redact(fault)}
        else:
            row |= {
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "path": os.path.relpath(path, ROOT),
                # of the file, which may have been there before its row
                "retrieved_at": datetime.fromtimestamp(path.stat().st_mtime, UTC),
                "phash": perceptual_hash(image),
                "status": "ok",
                "error": UNREPORTED if self.source.report else None,
            }
        self.ledger.add("photos", row)
        with self.bar.get_lock():
            self.bar.update()

    def _describe(self, photo: Photo) -> Row:
        """Give what is known of a photo, as columns of the table photos."""
        terms = photo.terms or self.terms
        is_stand_in = self.endpoint != self.source.endpoint  # its port is another one each time
        origin = _origin(self.endpoint) if is_stand_in else ""
        addresses = {"page_url": photo.page_url, "url": photo.url, "author_url": photo.author_url}
        author = photo.author or "an unnamed author"
        return {
            "photo_id": photo.photo_id,
            "source": self.source.name,
            **{name: url and url.removeprefix(origin) for name, url in addresses.items()},
            "author": photo.author,
            "licence": terms.licence,
            "licence_url": terms.licence_url,
            "attribution": terms.attribution and terms.attribution.replace("{author}", author),
            "width_px": photo.width_px,
            "height_px": photo.height_px,
        }

    def queries(self) -> list[Query]:
        """List what to search for."""
        return [
            Query(design, label, query)
            for design in self.study.pull.designs
            for label in self.study.labels
            for query in KEYWORDS[design][label]
        ]

    def _search(self, page: Page, *, key: str = "") -> Search:
        settings, name = self.study.pull, self.source.name
        usual = {filter_: value for filter_, value in self.source.filters.items() if value}
        filters = usual | settings.filters.get(name, {})
        return Search(page.query, page.page, settings.per_page[name], filters, key)

    def asked(self, page: Page) -> str:
        """Put a request in a line, without the key: another request has another answer."""
        return urlencode(sorted(self.source.request(self._search(page))["params"].items()))

    def ask(self, page: Page) -> Answer:
        """Ask for a page once."""
        search = self._search(page, key=self.key)
        answer = self._get(self.endpoint, self.source.request(search))
        past_end = self.source.past_end
        if page.page > 1 and answer.is_client_error and past_end and past_end in answer.text:
            return Answer([], is_last=True)
        self._check_status(answer)
        try:
            content = answer.json()
        except ValueError:
            raise PassingError("the answer is not JSON") from None
        try:
            photos = [self._photo(record) for record in self.source.records(content)]
            if photos and all(photo.error for photo in photos):
                raise ValueError(photos[0].error)
            n_results = self.source.n_results(content)
            is_last = not photos or self.source.is_last(content, search)
        except MALFORMED as fault:
            text = self.fetcher.redact(f"{type(fault).__name__} {fault}")
            raise SourceError(
                f"the answer is not as {self.source.name} documents it: {text}"
            ) from None
        if not photos and n_results > (page.page - 1) * search.per_page:
            return Answer([], is_last=True, doubt=f"an empty page, of {n_results} photos")
        return Answer(photos, is_last)

    def _photo(self, record: Json) -> Photo:
        """Read a record; a malformed one is a photo with an error, and spoils no other."""
        try:
            photo = self.source.photo(record)
            if not _PHOTO_ID.fullmatch(photo.photo_id):
                raise ValueError(f"{photo.photo_id!r:.80} is no id of a photo")
            if not isinstance(photo.url, str):
                raise TypeError("it has no address")
        except MALFORMED as fault:
            number = record.get("id") if isinstance(record, dict) else None
            photo_id = f"{self.source.name}:{number}"
            if number is None or not _PHOTO_ID.fullmatch(photo_id):
                photo_id = f"{self.source.name}:malformed-{_digest(repr(record))}"
            error = self.fetcher.redact(f"malformed record: {type(fault).__name__} {fault}")
            return Photo(photo_id, "", error=error)
        return photo

    def _wait_for_quota(self) -> None:
        """Wait for a renewed quota before a request that would be refused."""
        left_s = self._renewed - time.monotonic() if self.quota_left == 0 else 0.0
        if left_s > LONGEST_WAIT_S:
            raise QuotaError("the quota is spent", left_s)
        if left_s > 0:
            self.fetcher.sleep(left_s)

    def _get(self, url: str, arguments: Json) -> httpx.Response:
        """Make a request, and note what is left of the quota."""
        self.http_status = None
        answer = self.fetcher.get(url, **arguments)
        self.http_status = answer.status_code
        if answer.is_success:
            quotas = [  # the one with the least left counts
                int(text)
                for name, text in answer.headers.items()
                if re.match(r"x-ratelimit-(remaining|available)", name) and text.isdecimal()
            ]
            self.quota_left = min(quotas, default=None)
            now, wait_s = time.monotonic(), requested_wait(answer.headers)
            if wait_s is not None or now >= self._renewed:
                self._renewed = now + (self.source.window_s if wait_s is None else wait_s)
        return answer

    def _check_status(self, answer: httpx.Response) -> None:
        spent = self.source.spent
        if answer.status_code == httpx.codes.FORBIDDEN and spent and spent in answer.text:
            answer.status_code = httpx.codes.TOO_MANY_REQUESTS
        # a quota with something left was not the one that was spent
        left_s = self._renewed - time.monotonic() if self.quota_left == 0 else self.source.window_s
        self.fetcher.check_status(answer, window_s=max(left_s, 0.0))

    def fetch(self, photo: Photo, path: Path) -> np.ndarray:
        """Have a photo at `path`, whole or not at all, and give its pixels."""
        return self.fetcher.download(photo.url, path)

    def report(self, photo: Photo) -> None:
        """Report a download once, to the site that has the key and to no other."""
        url = photo.report_url or ""
        if self.source.report is None or not url.startswith(_origin(self.endpoint) + "/"):
            raise SourceError(f"{photo.photo_id}: its download can't be reported to {url!r:.80}")
        self._wait_for_quota()
        self._check_status(self._get(url, self.source.report(self.key)))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_list(path: Path) -> list[tuple[Query, Photo]]:
    """Read a list of photos with the label and the query that each is listed under.

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
            (Query("given", label, label), Photo(f"local:{_digest(name)}", name))
            for name, label in zip(table["name"], table["label"], strict=True)
        ]
    table = read_csv(path, needs=["label", "url"])
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    listed = [_listed(row, f"{path.name}, row {place}") for place, row in enumerate(rows, start=1)]
    counts = Counter(query.query for query in {query for query, _ in listed})
    twice = [query for query, n in counts.items() if n > 1]
    if twice:
        raise DatasetError(f"{path.name}: query {twice[0]!r} stands with more than one label")
    return listed


def _listed(row: dict[str, str | None], where: str) -> tuple[Query, Photo]:
    url, name = row["url"] or "", row.get("id")
    if not re.match(r"https?://", url):
        raise DatasetError(f"{where}: url {url!r:.80} does not begin with http:// or https://")
    if name and not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
        raise DatasetError(f"{where}: id {name!r:.80} is not of letters, digits, - and _")
    label = label_of(row["label"], "names", where)
    photo = Photo(
        photo_id=f"local:{name or _digest(url)}",
        url=url,
        page_url=row.get("page_url"),
        author=row.get("photographer"),
        terms=Terms(row.get("licence"), row.get("licence_url"), "Photo by {author}"),
    )
    return Query("given", label, row.get("query") or label), photo


class ListPuller(Puller):
    """The loop over a list of photos: a folder or a table below the data folder of the study."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._path = self.study.data_dir / str(self.study.pull.local)
        self._listed = read_list(self._path)

    def queries(self) -> list[Query]:
        """List the queries that the list has for the study's labels; a label may be one."""
        named = dict.fromkeys(query for query, _ in self._listed)
        return [query for label in self.study.labels for query in named if query.label == label]

    def _photos(self, page: Page) -> list[Photo]:
        return [photo for query, photo in self._listed if query.query == page.query]

    def asked(self, page: Page) -> str:
        """Put what is listed in a line: a longer list has another answer."""
        names = [photo.photo_id for photo in self._photos(page)]
        return f"{page.query}, {len(names)} listed, {_digest(' '.join(names))}"

    def ask(self, page: Page) -> Answer:
        """Give a page of the list."""
        per_page = self.study.pull.per_page[self.source.name]
        photos, end = self._photos(page), page.page * per_page
        return Answer(photos[end - per_page : end], is_last=end >= len(photos))

    def fetch(self, photo: Photo, path: Path) -> np.ndarray:
        """Download a photo, or copy it from the folder."""
        if not self._path.is_dir():
            return super().fetch(photo, path)
        with replacing(path) as copy:
            shutil.copyfile(self._path / photo.url, copy)
            return read_photo(copy)


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

    Sources are pulled from at the same time, each by one search request after the other. Writes the
    tables hits, photos and requests, and the photos below ``study.raw / "photos"``;
    `exe_core.study.Pull` says when a query ends. Complete pages are not asked for again; one with a
    failed photo is, as addresses of images expire.

    Parameters
    ----------
    study
        Which sources, designs and labels.
    base_urls
        Source -> the address of a stand-in, which may be on this machine; by default the site's.
    keys
        Source -> key; by default from the environment variables that `SOURCES` names.
    terms
        Of the photos of stand-ins: licence, its URL, attribution. The sources' are not theirs.
    progress
        Show a bar of the photos.
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
    settings, base_urls = study.pull, base_urls or {}
    sources = [SOURCES[name] for name in settings.sources]
    secrets = {source.name: _key(source, keys) for source in sources}
    stop = threading.Event()

    def wait_or_stop(seconds: float) -> None:
        if stop.wait(seconds):
            raise SourceError("the pull was stopped")

    with explain_disk_errors(study.raw), ExitStack() as stack:
        try:
            stack.enter_context(locked(study.raw / ".pull.lock"))
        except BlockingIOError:
            raise SourceError(
                f"another pull into {study.raw.name} is running: wait for it"
            ) from None
        connections = len(sources) * (settings.downloads + 1)
        client = open_client(
            trusted=base_urls.values(), timeout_s=settings.timeout_s, connections=connections
        )
        fetcher = Fetcher(
            client=stack.enter_context(client),
            redact=redactor(secrets.values()),
            retries=settings.retries,
            sleep=sleep or wait_or_stop,
        )
        ledger = Ledger(study)
        stack.callback(ledger.close)
        bar = stack.enter_context(tqdm(desc="photos", unit="photo", total=0, disable=not progress))
        pullers = [
            (ListPuller if source.name == "local" else Puller)(
                study=study,
                source=source,
                key=secrets[source.name],
                endpoint=base_urls.get(source.name, source.endpoint),
                terms=Terms(*terms) if source.name in base_urls else source.terms,
                fetcher=fetcher,
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
    key = os.environ.get(variable, "") if keys is None else keys.get(source.name, "")
    if not key.strip() and variable and source.key_needed:
        raise SourceError(
            f"no key for {source.name}: set the environment variable {variable}; "
            "data/README.md says where to get a key"
        )
    if not (key.strip().isascii() and key.strip().isprintable()):
        raise SourceError(f"the key of {source.name} is not plain ASCII: check {variable}")
    return key.strip()
