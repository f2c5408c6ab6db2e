"""Searching photo sites by keyword and downloading what they give, through any interruption.

What becomes known is added to a journal, a line at a time; the tables hits, photos and requests
are made of it at the end. So a pull that was killed goes on from where it got.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core import tables
from exe_core.datasets import perceptual_hash
from exe_core.faces import ImageError, read_image
from exe_core.fetching import (
    LONGEST_WAIT_S,
    Fetcher,
    PassingError,
    QuotaError,
    SourceError,
    check_status,
    open_client,
    redactor,
)
from exe_core.record import ROOT, explain_disk_errors, locked
from exe_core.settings import KEYWORDS
from exe_core.sources import SOURCES, Photo, Search, Source, Terms
from exe_core.study import Study

log = logging.getLogger(__name__)
Row = dict[str, Any]

DOWNLOADS = 16
"""Photos that are fetched at a time."""
LEAST_PER_PAGE = 3
"""No source takes less."""
MALFORMED = (KeyError, TypeError, ValueError, AttributeError)
"""What reading an answer of another form raises."""
_PHOTO_ID = re.compile(r"[a-z]+:[A-Za-z0-9_-]{1,64}")
_KEY = re.compile(r"[A-Za-z0-9._~+/=-]*")
_ORDER = {
    "photos": ["photo_id"],
    "hits": ["source", "design", "query", "page", "rank"],
    "requests": ["requested_at", "source", "design", "query", "page"],
}
_DECODERS = threading.BoundedSemaphore(2)  # 200 megapixels take 2 GB while they are decoded


class IncompletePullError(SourceError):
    """Some queries are unfinished; the next pull goes on with them."""


class Page(NamedTuple):
    """A page of the answer to a query."""

    source: str
    design: str
    query: str
    page: int


class Ledger:
    """What is known of photos and requests: in memory, in a journal, and at the end as tables.

    A request keeps the `label` that it asked for and the `photo_ids` of its page, which make the
    hits. Several threads may add at the same time.

    Attributes
    ----------
    photos
        photo_id -> its row.
    """

    def __init__(self, study: Study) -> None:
        self._study, self._lock = study, threading.Lock()
        self._requests: list[Row] = []
        self._answers: dict[Page, Row] = {}
        self._first: dict[tuple[str, str], Page] = {}
        self.photos: dict[str, Row] = {}
        study.raw.mkdir(parents=True, exist_ok=True)
        path = study.raw / ".pull.jsonl"
        for line in path.read_bytes().split(b"\n") if path.exists() else ():
            with suppress(ValueError):  # a kill cut the line short
                self._enter(json.loads(line))
        self._journal = path.open("ab")

    def _enter(self, row: Row) -> None:
        if "photo_id" in row:
            self.photos[row["photo_id"]] = row
            return
        page = Page(row["source"], row["design"], row["query"], row["page"])
        self._requests.append(row)
        for photo_id in row["photo_ids"]:
            self._first.setdefault((photo_id, page.design), page)
        if not row["is_failed"]:
            self._answers[page] = row

    def add(self, row: Row) -> None:
        """Enter a request or a photo, which takes the place of what was known of it."""
        line = json.dumps(row, default=str)
        with self._lock:
            self._enter(json.loads(line))
            # A line begins with its break, so that one that was cut spoils none after it.
            self._journal.write(f"\n{line}".encode())
            self._journal.flush()

    def n_new(self, page: Page, photo_ids: Iterable[str]) -> int:
        """Count the photos of a page that no other page of its design gave before."""
        return sum(self._first.get((one, page.design), page) == page for one in photo_ids)

    def has(self, photo_id: str) -> bool:
        """Say whether a photo was downloaded, and is still there."""
        photo = self.photos.get(photo_id)
        return photo is not None and photo["status"] == "ok" and (ROOT / photo["path"]).exists()

    def answered(self, page: Page, *, asked: str) -> Row | None:
        """Find the request that was answered with this page, if nothing of it is missing.

        An answer to other parameters than `asked` does not count.
        """
        row = self._answers.get(page)
        if row is None or row["asked"] != asked or not 0 < row["n_returned"] == row["n_kept"]:
            return None
        return row if all(map(self.has, row["photo_ids"])) else None

    def close(self) -> None:
        """Write the tables."""
        hits: dict[tuple[str, str, str], Row] = {}
        for row in self._requests:
            for rank, one in enumerate(row["photo_ids"], start=1):
                key = (one, row["design"], row["query"])
                hits.setdefault(key, row | {"photo_id": one, "rank": rank})
        found = {"photos": self.photos.values(), "hits": hits.values(), "requests": self._requests}
        with self._journal:
            for name, rows in found.items():
                table = pd.DataFrame([*rows], columns=list(tables.TABLES[name].columns))
                for column in table.filter(regex="_at$"):
                    table[column] = pd.to_datetime(table[column], utc=True, format="ISO8601")
                self._study.write(table.sort_values(_ORDER[name], ignore_index=True), name)

    def __str__(self) -> str:
        failed = sum(photo["status"] == "failed" for photo in self.photos.values())
        return f"{len(self.photos)} photos, {failed} of them failed"


@dataclass(kw_only=True, repr=False)
class Puller:
    """The loop over the queries of a photo site."""

    study: Study
    source: Source
    key: str
    endpoint: str  # the source's, or that of a stand-in
    terms: Terms  # of photos whose record has none
    fetcher: Fetcher
    ledger: Ledger
    bar: tqdm
    stop: threading.Event  # set when the pull was interrupted
    _begun: set[str] = field(default_factory=set)

    def run(self, pool: ThreadPoolExecutor) -> list[str]:
        """Pull all queries; list the unfinished ones with the reason."""
        left: list[str] = []
        for design in self.study.pull.designs:
            for label in self.study.labels:
                for query in KEYWORDS[design][label]:
                    downloads: list[Future[None]] = []
                    fault = None
                    try:
                        for photo in self._new(Page(self.source.name, design, query, 1), label):
                            downloads.append(pool.submit(self._download, photo))
                    except SourceError as reason:
                        fault = reason
                    for download in downloads:
                        download.result()
                    if isinstance(fault, QuotaError):
                        return [*left, f"{self.source.name} from {query!r} on ({fault})"]
                    if fault:
                        left.append(f"{self.source.name} {query!r} ({fault})")
                        log.warning("%s", left[-1])
        return left

    def _new(self, page: Page, label: str) -> Iterator[Photo]:
        """Search page by page; give the photos that are not there nor were tried in this pull."""
        settings, hits = self.study.pull, set[str]()
        longest_s = max(settings.wait_for_quota_s, LONGEST_WAIT_S)
        for number in range(1, self.source.max_pages + 1):
            page = page._replace(page=number)
            row = self.ledger.answered(page, asked=self._asked(page))
            if row is None:
                ask = partial(self._ask, page, label)
                row, photos = self.fetcher.persist(ask, longest_s=longest_s)
                for photo in photos:
                    if photo.photo_id not in self._begun and not self.ledger.has(photo.photo_id):
                        self._begun.add(photo.photo_id)
                        self.bar.total += 1
                        yield photo
            hits.update(row["photo_ids"])
            is_old = (row["share_new"] or 0) < settings.stop_below_new
            if row["is_last"] or is_old or len(hits) >= (settings.max_per_query or math.inf):
                return

    def _search(self, page: Page, *, key: str = "") -> Search:
        settings, name = self.study.pull, self.source.name
        usual = {filter_: value for filter_, value in self.source.filters.items() if value}
        filters = usual | settings.filters.get(name, {})
        per_page = settings.per_page.get(name, self.source.per_page)
        enough = max(LEAST_PER_PAGE, settings.max_per_query or per_page)
        return Search(page.query, page.page, min(per_page, enough), filters, key)

    def _asked(self, page: Page) -> str:
        """Put a request in a line, without the key: another request has another answer."""
        return urlencode(sorted(self.source.request(self._search(page))["params"].items()))

    def _ask(self, page: Page, label: str) -> tuple[Row, list[Photo]]:
        """Ask for a page once, and write down what it gave, or why it failed."""
        row: Row = {"requested_at": datetime.now(UTC), **page._asdict(), "asked": self._asked(page)}
        row |= dict.fromkeys(("http_status", "quota_left", "error"))
        row |= {"label": label, "n_returned": 0, "is_last": False, "is_failed": False}
        photos: list[Photo] = []
        fault, started = None, time.monotonic()
        try:
            photos = self._answer(self._search(page, key=self.key), row)
        except SourceError as reason:
            fault = reason
            row |= {"is_failed": True, "error": str(reason)}
        row["photo_ids"] = list(dict.fromkeys(photo.photo_id for photo in photos))
        n_new, n = self.ledger.n_new(page, row["photo_ids"]), row["n_returned"]
        row |= {"n_kept": len(photos), "n_new": n_new, "share_new": n_new / n if n else None}
        self.ledger.add(row | {"seconds": time.monotonic() - started})
        if fault:
            raise fault
        return row, photos

    def _answer(self, search: Search, row: Row) -> list[Photo]:
        """List the photos of a page, best first; `row` gets what else is known of it."""
        answer = self.fetcher.get(self.endpoint, **self.source.request(search))
        quotas = [  # the one with the least left counts
            int(text)
            for name, text in answer.headers.items()
            if re.match(r"x-ratelimit-(remaining|available)", name) and text.isdecimal()
        ]
        row |= {"http_status": answer.status_code, "quota_left": min(quotas, default=None)}
        check_status(answer, text=answer.text, window_s=self.source.window_s)
        try:
            content = answer.json()
        except ValueError:
            raise PassingError("the answer is not JSON") from None
        photos: list[Photo] = []
        faults: list[Exception] = []
        try:
            records = list(self.source.records(content))
            for record in records:
                try:
                    photos.append(checked(self.source.photo(record)))
                except MALFORMED as reason:
                    faults.append(reason)
            if faults and not photos:
                raise faults[0]
        except MALFORMED as reason:
            raise SourceError(
                f"the answer is not as {self.source.name} documents it: {reason!r:.200}"
            ) from None
        try:
            is_last = not records or self.source.is_last(content, search)
        except MALFORMED:  # it does not say
            is_last = len(records) < search.per_page
        row |= {"n_returned": len(records), "is_last": is_last}
        if faults:
            row["error"] = f"{len(faults)} malformed records, such as {faults[0]!r:.200}"
            log.warning("%s %r: %s", self.source.name, search.query, row["error"])
        return photos

    def _download(self, photo: Photo) -> None:
        """Download a photo, or note in its row why it failed."""
        if self.stop.is_set():
            return
        path = self.study.raw / "photos" / f"{photo.photo_id.replace(':', '/')}.jpg"
        row = {**self._describe(photo), "retrieved_at": datetime.now(UTC)}
        row |= dict.fromkeys(("sha256", "path", "phash", "error"))
        try:
            with explain_disk_errors(path.parent):
                path.parent.mkdir(parents=True, exist_ok=True)
                image = self.fetcher.download(photo.url, path, _read_photo)
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
            }
        self.ledger.add(row)
        self.bar.update()

    def _describe(self, photo: Photo) -> Row:
        """Give what is known of a photo, as columns of the table photos."""
        row = photo._asdict()
        terms = row.pop("terms") or self.terms
        if self.endpoint != self.source.endpoint:  # a stand-in, at another port each time
            parts = urlsplit(self.endpoint)
            for name in ("page_url", "url", "author_url"):
                row[name] = row[name] and row[name].removeprefix(f"{parts.scheme}://{parts.netloc}")
        author = photo.author or "an unnamed author"
        credit = terms.attribution and terms.attribution.replace("{author}", author)
        return {**row, "source": self.source.name, **terms._asdict(), "attribution": credit}


def checked(photo: Photo) -> Photo:
    """Refuse a photo without an id or address; what else is of an odd type is not known."""
    if not _PHOTO_ID.fullmatch(photo.photo_id):
        raise ValueError(f"{photo.photo_id!r:.80} is no id of a photo")
    if not isinstance(photo.url, str):
        raise TypeError(f"{photo.photo_id} has no address")
    known = {name: _known(name, value) for name, value in photo._asdict().items()}
    terms = photo.terms and Terms(*(_known("terms", one) for one in photo.terms))
    return Photo(**known | {"terms": terms})


def _known(name: str, value: object) -> Any:
    if name.endswith("_px"):
        return value if isinstance(value, int) and 0 < value < 10**6 else None
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _read_photo(path: Path) -> np.ndarray:
    with _DECODERS:
        return read_image(path)


def pull(
    study: Study,
    *,
    base_urls: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    terms: Sequence[str] = (),
) -> None:
    """Search every source of a study for its keywords, and download the photos.

    Writes the tables hits, photos and requests, and the photos below ``study.raw / "photos"``;
    `exe_core.settings.Pull` says when a query ends. Complete pages are not asked for again; one
    with a failed photo is, as addresses of images expire.

    Parameters
    ----------
    base_urls
        Source -> the address of a stand-in, which may be on this machine; by default the site's.
    keys
        Source -> key; by default from the environment variables that `SOURCES` names.
    terms
        Of the photos of stand-ins: licence, its URL, attribution. The sources' are not theirs.

    Raises
    ------
    SourceError, BusyError, IncompletePullError, StorageError
        If a key is missing; another pull writes into the same folder; queries are left unfinished,
        by a quota or by faults, while all the others are done; the disk takes no more.
    """
    base_urls, sources = base_urls or {}, [SOURCES[name] for name in study.pull.sources]
    secrets = {source.name: _key(source, keys) for source in sources}
    stop = threading.Event()
    with explain_disk_errors(study.raw), ExitStack() as stack:
        stack.enter_context(locked(study.raw / ".pull.lock", f"another pull into {study.raw}"))
        fetcher = Fetcher(
            client=stack.enter_context(open_client(trusted=base_urls.values())),
            redact=redactor(secrets.values()),
            sleep=lambda seconds: _sleep(seconds, stop),
        )
        ledger = Ledger(study)
        stack.callback(ledger.close)
        bar = stack.enter_context(tqdm(desc="photos", unit="photo", total=0))
        pool = stack.enter_context(ThreadPoolExecutor(DOWNLOADS))
        stack.callback(stop.set)  # before the pool waits for its downloads
        left: list[str] = []
        for source in sources:
            left += Puller(
                study=study,
                source=source,
                key=secrets[source.name],
                endpoint=base_urls.get(source.name, source.endpoint),
                terms=Terms(*terms) if source.name in base_urls else source.terms,
                fetcher=fetcher,
                ledger=ledger,
                bar=bar,
                stop=stop,
            ).run(pool)
    log.info("%s", ledger)
    if left:
        raise IncompletePullError(
            f"{ledger}; unfinished: {'; '.join(left)}. What was pulled is kept: pull again to go on"
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
