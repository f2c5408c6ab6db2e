"""Searching photo sites by keyword and downloading what they give, through any interruption.

What becomes known is first added to a journal, a line at a time; the tables hits, photos and
requests are written at the end. So a pull that was killed goes on from where it got.
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
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
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
    check_status,
    open_client,
    read_photo,
    redactor,
)
from exe_core.readers import read_folder
from exe_core.record import ROOT, explain_disk_errors, locked, replacing
from exe_core.settings import KEYWORDS
from exe_core.sources import SOURCES, Json, Photo, Search, Source, Terms
from exe_core.study import Study

log = logging.getLogger(__name__)
Row = dict[str, Any]

MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""What reading an answer of another form raises."""
_PHOTO_ID = re.compile(r"[a-z]+:[A-Za-z0-9_-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9._~+/=-]*")
_ORDER = {
    "photos": ["photo_id"],
    "hits": ["source", "design", "query", "page", "rank"],
    "requests": ["requested_at", "source", "design", "query", "page"],
}


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
    """The photos of a page, best first; those whose record can't be read are counted only."""

    photos: list[Photo]
    n_returned: int
    is_last: bool


class Ledger:
    """The tables hits, photos and requests: in memory, in a journal, and as tables.

    Several threads may add to it at the same time.

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
        self._hits: dict[tuple[str, str, str], Row] = {}
        self._requests: list[Row] = []
        self._answers: dict[Page, Row] = {}
        self._first: dict[tuple[str, str], Page] = {}
        self.photos: dict[str, Row] = {}
        self.pages: dict[Page, list[str]] = defaultdict(list)
        for name in _ORDER:
            if study.table(name).exists():
                table = study.read(name).astype(object)
                for row in table.where(table.notna(), None).to_dict("records"):
                    self._enter(name, row)
        study.raw.mkdir(parents=True, exist_ok=True)
        path = study.raw / ".pull.journal"
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            with suppress(ValueError):  # a kill cut the line short
                self._enter(*json.loads(line))
        self._journal = path.open("ab", buffering=0)

    def _enter(self, name: str, row: Row) -> None:
        if name == "photos":
            self.photos[row["photo_id"]] = row
        elif name == "requests":
            self._requests.append(row)
            if row["error"] is None:
                self._answers[_page(row)] = row
        else:
            self._first.setdefault((row["photo_id"], row["design"]), _page(row))
            key = (row["photo_id"], row["design"], row["query"])
            if key not in self._hits:
                self._hits[key] = row
                self.pages[_page(row)].append(row["photo_id"])

    def add(self, name: str, *rows: Row) -> None:
        """Enter rows of a table; a photo takes the place of what was known of it."""
        with self._lock:
            for row in rows:
                self._enter(name, row)
            # A line begins with its break, so that one that was cut spoils none after it.
            text = "".join(f"\n{json.dumps([name, row], default=str)}" for row in rows).encode()
            if self._journal.write(text) < len(text):
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
        if row is None or row["asked"] != asked or not row["n_returned"]:
            return None
        if row["n_kept"] < min(row["n_returned"], room) or not all(map(self.has, self.pages[page])):
            return None
        return row

    def close(self) -> None:
        """Write the tables, and end the journal that led to them."""
        hits, photos = list(self._hits.values()), list(self.photos.values())
        try:
            for name, rows in zip(_ORDER, (photos, hits, self._requests), strict=True):
                columns = dict.fromkeys([*tables.TABLES[name].columns, *(rows[0] if rows else ())])
                table = pd.DataFrame(rows, columns=list(columns))
                for column in table.filter(regex="_at$"):
                    table[column] = pd.to_datetime(table[column], utc=True, format="ISO8601")
                table = table.drop_duplicates().sort_values(_ORDER[name], ignore_index=True)
                self._study.write(table, name)
            self._journal.truncate(0)
        finally:
            self._journal.close()

    def summary(self) -> str:
        """Say how much is there."""
        failed = sum(photo["status"] == "failed" for photo in self.photos.values())
        return f"{len(self._hits)} hits, {len(self.photos)} photos, {failed} of them failed"


def _page(row: Row) -> Page:
    return Page(row["source"], row["design"], row["query"], row["page"])


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
    _begun: set[str] = field(default_factory=set)

    def run(self, pool: ThreadPoolExecutor) -> list[str]:
        """Pull all queries; list the unfinished ones with the reason."""
        left: list[str] = []
        for query in self.queries():
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
        settings, n_hits, downloads = self.study.pull, 0, []
        most = math.inf if settings.max_per_query is None else settings.max_per_query
        try:
            for number in range(1, self.source.max_pages + 1):
                if self.stop.is_set():
                    return
                page = Page(self.source.name, query.design, query.query, number)
                room = most - n_hits
                row = self.ledger.answered(page, asked=self.asked(page), room=room)
                if row is None:
                    ask = partial(self._ask, page, label=query.label, room=room)
                    row, photos = self._persist(ask)
                    for photo in photos:
                        downloads += self._begin(photo, pool)
                n_hits += len(self.ledger.pages[page])
                is_old = (row["share_new"] or 0) < settings.stop_below_new
                if n_hits >= most or row["is_last"] or is_old:
                    return
        finally:
            for download in downloads:
                download.result()

    def _ask(self, page: Page, *, label: str, room: float) -> tuple[Row, list[Photo]]:
        """Ask for a page once, and write down what it gave, or why it failed."""
        asked_at, started, fault = datetime.now(UTC), time.monotonic(), None
        try:
            answer = self.ask(page)
        except SourceError as reason:
            answer, fault = Answer([], 0, is_last=False), reason
        kept = answer.photos[: int(min(room, len(answer.photos)))]
        photos = {photo.photo_id: photo for photo in kept}
        hits = [
            {"photo_id": photo_id, "label": label, **page._asdict(), "rank": rank}
            for rank, photo_id in enumerate(photos, start=1)
        ]
        n_new = self.ledger.add_hits(hits)
        row = {
            "requested_at": asked_at,
            **page._asdict(),
            "asked": self.asked(page),
            "http_status": self.http_status,
            "n_returned": answer.n_returned,
            "n_kept": len(kept),
            "n_new": n_new,
            "share_new": n_new / answer.n_returned if answer.n_returned else None,
            "is_last": answer.is_last,
            "quota_left": self.quota_left,
            "seconds": time.monotonic() - started,
            "error": fault and str(fault),
        }
        self.ledger.add("requests", row)
        if fault:
            raise fault
        return row, list(photos.values())

    def _persist(self, attempt: Callable[[], Any]) -> Any:
        longest_s = max(self.study.pull.wait_for_quota_s, LONGEST_WAIT_S)
        return self.fetcher.persist(attempt, longest_s=longest_s)

    def _begin(self, photo: Photo, pool: ThreadPoolExecutor) -> list[Future[None]]:
        """Begin the download of a photo that is neither there nor was tried in this pull."""
        if photo.photo_id in self._begun or self.ledger.has(photo.photo_id) or self.stop.is_set():
            return []
        reported_at = None
        if self.source.report:
            self._persist(lambda: self.report(photo))
            reported_at = datetime.now(UTC)
        self._begun.add(photo.photo_id)
        self.bar.total += 1
        return [pool.submit(self._download, photo, reported_at)]

    def _download(self, photo: Photo, reported_at: datetime | None) -> None:
        """Download a photo, or note in its row why it failed."""
        if self.stop.is_set():
            return
        path = self.study.raw / "photos" / f"{photo.photo_id.replace(':', '/')}.jpg"
        row = {**self._describe(photo), "retrieved_at": datetime.now(UTC)}
        row |= {"sha256": None, "path": None, "phash": None, "reported_at": reported_at}
        try:
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
                "error": None,
            }
        self.ledger.add("photos", row)
        self.bar.update()

    def _describe(self, photo: Photo) -> Row:
        """Give what is known of a photo, as columns of the table photos."""
        row = photo._asdict()
        terms, _ = row.pop("terms") or self.terms, row.pop("report_url")
        if self.endpoint != self.source.endpoint:  # a stand-in, at another port each time
            for name in ("page_url", "url", "author_url"):
                row[name] = row[name] and row[name].removeprefix(_origin(self.endpoint))
        author = photo.author or "an unnamed author"
        credit = terms.attribution and terms.attribution.replace("{author}", author)
        return {**row, "source": self.source.name, **terms._asdict(), "attribution": credit}

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
        try:
            content = self._get(self.endpoint, self.source.request(search)).json()
        except ValueError:
            raise PassingError("the answer is not JSON") from None
        photos, fault = [], None
        try:
            records = self.source.records(content)
            is_last = not records or self.source.is_last(content, search)
            for record in records:
                try:
                    photos.append(_checked(self.source.photo(record)))
                except MALFORMED as reason:
                    fault = reason
                    log.warning("%s: a malformed record: %r", self.source.name, fault)
            if fault and not photos:
                raise fault
        except MALFORMED as reason:
            raise SourceError(
                f"the answer is not as {self.source.name} documents it: {reason!r:.200}"
            ) from None
        return Answer(photos, len(records), is_last)

    def _get(self, url: str, arguments: Json) -> httpx.Response:
        """Make a request, and note its status and what is left of the quota."""
        self.http_status = self.quota_left = None
        answer = self.fetcher.get(url, **arguments)
        self.http_status = answer.status_code
        quotas = [  # the one with the least left counts
            int(text)
            for name, text in answer.headers.items()
            if re.match(r"x-ratelimit-(remaining|available)", name) and text.isdecimal()
        ]
        self.quota_left = min(quotas, default=None)
        spent = self.source.spent
        if answer.status_code == httpx.codes.FORBIDDEN and spent and spent in answer.text:
            answer.status_code = httpx.codes.TOO_MANY_REQUESTS
        check_status(answer, text=answer.text, window_s=self.source.window_s)
        return answer

    def fetch(self, photo: Photo, path: Path) -> np.ndarray:
        """Download a photo to `path`, whole or not at all, and give its pixels."""
        return self.fetcher.download(photo.url, path)

    def report(self, photo: Photo) -> None:
        """Report a download once, to the site that has the key and to no other."""
        url = photo.report_url or ""
        if self.source.report is None or not url.startswith(_origin(self.endpoint) + "/"):
            raise SourceError(f"{photo.photo_id}: its download can't be reported to {url!r:.80}")
        self._get(url, self.source.report(self.key))


def _checked(photo: Photo) -> Photo:
    if not _PHOTO_ID.fullmatch(photo.photo_id):
        raise ValueError(f"{photo.photo_id!r:.80} is no id of a photo")
    if not isinstance(photo.url, str):
        raise TypeError(f"{photo.photo_id} has no address")
    return photo


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class FolderPuller(Puller):
    """The loop over a folder of photos below the data folder of the study, by label."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(**fields)
        self._folder = self.study.data_dir / str(self.study.pull.local)
        self._listed = read_folder(self._folder)

    def queries(self) -> list[Query]:
        """Give a query a label."""
        return [Query("given", label, label) for label in self.study.labels]

    def asked(self, page: Page) -> str:
        """Put what is listed in a line: a longer list has another answer."""
        return f"{page.query}: {_digest(' '.join(self._names(page)))}"

    def _names(self, page: Page) -> list[str]:
        return self._listed.loc[self._listed["label"] == page.query, "name"].tolist()

    def ask(self, page: Page) -> Answer:
        """Give all photos of a label."""
        photos = [Photo(f"local:{_digest(name)}", name) for name in self._names(page)]
        return Answer(photos, len(photos), is_last=True)

    def fetch(self, photo: Photo, path: Path) -> np.ndarray:
        """Copy a photo."""
        with replacing(path) as copy:
            shutil.copyfile(self._folder / photo.url, copy)
            return read_photo(copy)


def pull(
    study: Study,
    *,
    base_urls: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    terms: Sequence[str] = (),
) -> None:
    """Search every source of a study for its keywords, and download the photos.

    Sources are pulled from at the same time, each by one search request after the other. Writes the
    tables hits, photos and requests, and the photos below ``study.raw / "photos"``;
    `exe_core.settings.Pull` says when a query ends. Complete pages are not asked for again; one
    with a failed photo is, as addresses of images expire.

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
    n_threads = len(sources) * (settings.downloads + 1)
    with explain_disk_errors(study.raw), ExitStack() as stack:
        try:
            stack.enter_context(locked(study.raw / ".pull.lock"))
        except BlockingIOError:
            raise SourceError(
                f"another pull into {study.raw.name} is running: wait for it"
            ) from None
        client = open_client(
            trusted=base_urls.values(), timeout_s=settings.timeout_s, connections=n_threads
        )
        fetcher = Fetcher(
            client=stack.enter_context(client),
            redact=redactor(secrets.values()),
            retries=settings.retries,
            sleep=lambda seconds: _sleep(seconds, stop),
        )
        ledger = Ledger(study)
        stack.callback(ledger.close)
        bar = stack.enter_context(tqdm(desc="photos", unit="photo", total=0))
        pullers = [
            (FolderPuller if source.name == "local" else Puller)(
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
        with ThreadPoolExecutor(n_threads) as pool:
            runs = [pool.submit(puller.run, pool) for puller in pullers]
            try:
                wait(runs, return_when=FIRST_EXCEPTION)
            finally:
                stop.set()
        left = [reason for run in runs for reason in run.result()]
    log.info("%s", ledger.summary())
    if left:
        raise IncompletePullError(
            f"{ledger.summary()}; unfinished: {'; '.join(left)}. What was pulled is kept: pull "
            "again to go on"
        )


def _sleep(seconds: float, stop: threading.Event) -> None:
    if stop.wait(seconds):
        raise SourceError("the pull was stopped")


def _key(source: Source, keys: Mapping[str, str] | None) -> str:
    variable = source.key_variable or ""
    key = os.environ.get(variable, "") if keys is None else keys.get(source.name, "")
    key = key.strip()
    if not key and variable and source.key_needed:
        raise SourceError(
            f"no key for {source.name}: set the environment variable {variable}; "
            "data/README.md says where to get a key"
        )
    if not _KEY.fullmatch(key):
        raise SourceError(f"the key of {source.name} has characters of no key: check {variable}")
    return key
