"""The loop over the queries of one source: search, write down, download, report."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from exe_core.config import ROOT, Study
from exe_core.detection import ImageError
from exe_core.ledger import Ledger, Page, Row
from exe_core.photo_sites import Found
from exe_core.pull.searching import Query, Search
from exe_core.sets.grouping import perceptual_hash
from exe_core.web.fetching import Fetcher, QuotaError, SourceError
from exe_core.web.redaction import Redaction
from exe_core.web.storage import storage_told

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
            with storage_told(path.parent):
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
