"""The record of a pull: hits, photos and requests, on disk after each page."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, NamedTuple

import pandas as pd

from exe_core import schema
from exe_core.config import Study

Row = dict[str, Any]


class Page(NamedTuple):
    """A page of the answer to a query."""

    source: str
    design: str
    query: str
    page: int


class Ledger:
    """The tables hits, photos and requests: in memory, and on disk after each page."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self.photos: dict[str, Row] = {row["photo_id"]: row for row in self._read("photos")}
        self.requests = self._read("requests")
        self.pages: dict[Page, list[str]] = defaultdict(list)
        self._hits: dict[tuple[object, ...], Row] = {}
        self._first: dict[tuple[object, ...], Page] = {}
        for hit in self._read("hits"):
            self.add(hit)

    def _read(self, name: str) -> list[Row]:
        path = self._study.table(name)
        if not path.exists():
            return []
        table = schema.read(path, name=name).astype(object)
        return table.where(table.notna(), None).to_dict("records")

    def add(self, hit: Row) -> bool:
        """Enter a hit; say whether no other page of the design gave its photo before."""
        page = Page(hit["source"], hit["design"], hit["query"], hit["page"])
        key = (hit["photo_id"], page.design, page.query)
        if key not in self._hits:
            self._hits[key] = hit
            self.pages[page].append(hit["photo_id"])
        return self._first.setdefault((hit["photo_id"], page.design), page) == page

    def has(self, photo_id: str) -> bool:
        """Say whether a photo was downloaded."""
        return photo_id in self.photos and self.photos[photo_id]["status"] == "ok"

    def answered(self, page: Page, *, per_page: int) -> Row | None:
        """Find the request that was answered with this page, unless it misses a photo."""
        if not all(self.has(photo_id) for photo_id in self.pages[page]):
            return None
        asked = {**page._asdict(), "per_page": per_page, "error": None}
        same = (row for row in self.requests if asked.items() <= row.items())
        return next(same, None)

    def save(self) -> None:
        """Write the tables: requests last, as a request says that its page is complete."""
        rows = {"photos": [*self.photos.values()], "hits": [*self._hits.values()]}
        for name, content in {**rows, "requests": self.requests}.items():
            columns = dict.fromkeys([*schema.TABLES[name].columns, *(content[:1] or [{}])[0]])
            table = pd.DataFrame(content, columns=list(columns))
            schema.write(table, self._study.table(name), name=name)

    def summary(self) -> str:
        """Say how much is there."""
        failed = sum(photo["status"] == "failed" for photo in self.photos.values())
        return f"{len(self._hits)} hits, {len(self.photos)} photos, {failed} of them failed"
