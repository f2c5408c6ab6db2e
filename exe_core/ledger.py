"""The record of a pull: hits, photos and requests, kept through a stop at any moment.

What becomes known is first added to a journal, a line at a time; the tables are written from time
to time and at the end. So a pull that was killed is read back as far as it got, and a week's pull
does not write its tables anew for each page.
"""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from exe_core import schema
from exe_core.config import ROOT, Study

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
