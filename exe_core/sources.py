"""Search photo sites by keyword and download what they find: one loop over their descriptions.

A pull can be stopped at any moment, by a quota, a fault or a kill, and goes on where it was when it
is called again; what is complete is not asked for again.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
from tqdm import tqdm

from exe_core.config import ROOT, Study
from exe_core.detection import ImageError, read_image
from exe_core.fetching import (
    Fetcher,
    PassingError,
    QuotaError,
    Redaction,
    SourceError,
    wait_asked,
)
from exe_core.grouping import perceptual_hash
from exe_core.ledger import Ledger, Page, Row
from exe_core.photo_sites import SOURCES, Found, Source
from exe_core.settings import KEYWORDS

log = logging.getLogger(__name__)

DOWNLOADS = 8
LONGEST_PAUSE_S = 30.0
"""Between two searches, when little of the quota is left."""


class IncompletePullError(SourceError):
    """Some queries are unfinished; the next pull goes on with them."""


def pull(
    study: Study,
    *,
    base_urls: Mapping[str, str] | None = None,
    keys: Mapping[str, str] | None = None,
    progress: bool = True,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Search every source of a study for its keywords, and download the photos.

    Writes the tables hits, photos and requests after each page, and the photos below
    ``study.raw / "photos"``. A query ends at the study's `max_pages` or `max_per_query`, at the
    last page, or when less than `stop_below_new` of a page is new to its source and design. Pages
    that are complete are not asked for again; one with a failed photo is, as addresses of images
    expire.

    Parameters
    ----------
    study
        Which sources, designs and labels.
    base_urls
        Source -> the address of its search, in place of the official one.
    keys
        Source -> key; by default from the environment, PEXELS_API_KEY and PIXABAY_API_KEY.
    progress
        Show a bar.
    sleep
        Called with the seconds to wait.

    Raises
    ------
    SourceError
        If a key is missing, or another pull writes into the same folder.
    IncompletePullError
        If queries are left unfinished, by a quota or by faults; all the others are done.
    """
    secrets = {name: _key(SOURCES[name], keys) for name in study.pull.sources}
    clean = Redaction(secrets.values())
    left: list[str] = []
    with _alone(study.raw), clean.in_logs(), _client(study.pull.timeout_s) as client:
        ledger = Ledger(study)
        fetcher = Fetcher(client=client, clean=clean, retries=study.pull.retries, sleep=sleep)
        for name in study.pull.sources:
            with tqdm(desc=name, unit=" photos", disable=not progress) as bar:
                left += _Puller(
                    study=study,
                    source=SOURCES[name],
                    endpoint=(base_urls or {}).get(name, SOURCES[name].endpoint),
                    key=secrets[name],
                    fetcher=fetcher,
                    ledger=ledger,
                    bar=bar,
                ).run()
    log.info("%s", ledger.summary())
    if left:
        raise IncompletePullError(
            f"{ledger.summary()}; unfinished: {'; '.join(left)}. What was pulled is kept: pull "
            "again to go on"
        )


def _key(source: Source, keys: Mapping[str, str] | None) -> str:
    given = os.environ.get(source.key_variable) if keys is None else keys.get(source.name)
    if not given or not given.strip():
        raise SourceError(
            f"no key for {source.name}: set the environment variable {source.key_variable}; "
            "data/README.md says where a key is had"
        )
    return given.strip()


def _client(timeout_s: float) -> httpx.Client:
    return httpx.Client(
        timeout=timeout_s,
        headers={"User-Agent": "exe-core"},
        limits=httpx.Limits(max_connections=DOWNLOADS + 1),
        mounts={"all://127.0.0.1": None},  # the world's site is never behind a proxy
    )


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


@dataclass(kw_only=True, repr=False)
class _Puller:
    """The loop over the queries of one source."""

    study: Study
    source: Source
    endpoint: str
    key: str
    fetcher: Fetcher
    ledger: Ledger
    bar: tqdm
    pause_s: float = 0.0
    failed: set[str] = field(default_factory=set)

    def run(self) -> list[str]:
        """Pull all queries; list the unfinished ones with the reason."""
        left = []
        queries = [
            (design, label, query)
            for design in self.study.pull.designs
            for label in self.study.labels
            for query in KEYWORDS[design][label]
        ]
        try:
            for design, label, query in queries:
                self.bar.set_postfix_str(query)
                try:
                    self._pull_query(design, label, query)
                except QuotaError as reason:
                    left.append(f"{self.source.name} from {query!r} on ({reason})")
                    break
                except SourceError as reason:
                    left.append(f"{self.source.name} {query!r} ({reason})")
                    log.warning("%s", left[-1])
        finally:
            self.ledger.save()
        return left

    def _pull_query(self, design: str, label: str, query: str) -> None:
        settings = self.study.pull
        per_page = settings.per_page[self.source.name]
        n_hits = 0
        for number in range(1, settings.max_pages[self.source.name] + 1):
            page = Page(self.source.name, design, query, number)
            room = None if settings.max_per_query is None else settings.max_per_query - n_hits
            done = self.ledger.answered(page, per_page=per_page)
            done = done or self._pull_page(page, label=label, per_page=per_page, room=room)
            n_hits += len(self.ledger.pages[page])
            full = settings.max_per_query is not None and n_hits >= settings.max_per_query
            if full or done["is_last"] or (done["share_new"] or 0) < settings.stop_below_new:
                return

    def _pull_page(self, page: Page, *, label: str, per_page: int, room: int | None) -> Row:
        """Search for a page, download its photos, and write both down."""
        row, photos = self.fetcher.persist(lambda: self._search(page, per_page=per_page))
        found = {photo.photo_id: photo for photo in photos[:room]}
        self._download(list(found.values()))
        hits = [
            {"photo_id": photo_id, "label": label, **page._asdict(), "rank": rank}
            for rank, photo_id in enumerate(found, start=1)
        ]
        row["n_new"] = sum([self.ledger.add(hit) for hit in hits])
        row["share_new"] = row["n_new"] / len(photos) if photos else None
        self.ledger.requests.append(row)
        self.ledger.save()
        return row

    def _search(self, page: Page, *, per_page: int) -> tuple[Row, list[Found]]:
        """Ask for a page once; a request that fails is a row at once."""
        if self.pause_s:
            self.fetcher.sleep(self.pause_s)
        started = time.monotonic()
        row: Row = {"requested_at": datetime.now(UTC), **page._asdict(), "per_page": per_page}
        row |= {"http_status": None, "n_returned": 0, "n_new": 0, "share_new": None}
        row |= {"quota_left": None, "error": None, "is_last": False}
        try:
            with self.fetcher.faults_told():
                asked = self.source.request(self.key, page.query, page.page, per_page)
                answer = self.fetcher.client.get(self.endpoint, **asked)
            row["http_status"] = answer.status_code
            row["quota_left"] = self._mind_quota(answer)
            photos, row["is_last"] = self._read_answer(answer, page.page, per_page)
            row["n_returned"] = len(photos)
        except SourceError as fault:
            row["error"] = str(fault)
            self.ledger.requests.append(row)
            raise
        finally:
            row["seconds"] = time.monotonic() - started
        return row, photos

    def _read_answer(
        self, answer: httpx.Response, page: int, per_page: int
    ) -> tuple[list[Found], bool]:
        past_end = self.source.past_end
        if page > 1 and answer.is_client_error and past_end and past_end in answer.text:
            return [], True
        self.fetcher.accept(answer, window_s=self.source.window_s)
        try:
            content = answer.json()
        except ValueError:
            raise PassingError("the answer is not JSON") from None
        try:
            photos = self.source.photos(content)
            return photos, not photos or self.source.is_last(content, page, per_page)
        except (KeyError, TypeError, ValueError, AttributeError) as fault:
            raise SourceError(
                f"the answer is not as {self.source.name} documents it: "
                f"{type(fault).__name__} {self.fetcher.clean(fault)}"
            ) from None

    def _mind_quota(self, answer: httpx.Response) -> int | None:
        """Spread what is left of a quota over the time until it is renewed."""
        text = answer.headers.get("X-RateLimit-Remaining", "")
        left = int(text) if text.isdecimal() else None
        self.pause_s = 0.0
        if left is not None and left < self.study.pull.slow_below_quota:
            spread_s = (wait_asked(answer.headers) or 0.0) / (left + 1)
            self.pause_s = min(spread_s, LONGEST_PAUSE_S)
        return left

    def _download(self, photos: list[Found]) -> None:
        """Download photos, those that are there or failed in this pull excepted."""
        missing = [
            photo
            for photo in photos
            if not self.ledger.has(photo.photo_id) and photo.photo_id not in self.failed
        ]
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            try:
                tasks = [pool.submit(self._photo, photo) for photo in missing]
                for task in as_completed(tasks):
                    self.bar.update(1)
                    row = task.result()
                    if row["status"] == "failed":
                        self.failed.add(row["photo_id"])
                rows = [task.result() for task in tasks]
            finally:
                pool.shutdown(cancel_futures=True)
        self.ledger.photos.update({row["photo_id"]: row for row in rows})

    def _photo(self, photo: Found) -> Row:
        """Have a photo on disk, or the reason why not."""
        path = self.study.raw / "photos" / photo.photo_id.replace(":", "/")
        path = path.with_suffix(".jpg")
        row: Row = {**photo._asdict(), "source": self.source.name, "licence": self.source.licence}
        row |= {"sha256": None, "path": None, "phash": None, "retrieved_at": datetime.now(UTC)}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            image = read_image(path) if path.exists() else self.fetcher.photo(photo.url, path)
            content = path.read_bytes()
        except (SourceError, ImageError, OSError) as fault:
            return row | {"status": "failed", "error": self.fetcher.clean(fault)}
        return row | {
            "sha256": hashlib.sha256(content).hexdigest(),
            "path": os.path.relpath(path, ROOT),
            "phash": perceptual_hash(image),
            "status": "ok",
            "error": None,
        }
