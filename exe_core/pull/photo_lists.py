"""Photos that need no search: a folder of images, or a table of addresses, each with its label.

They go the way of all other photos: downloaded or copied once, a row each in the same tables.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from exe_core.config import Study
from exe_core.detection import read_image
from exe_core.ledger import Page, Row
from exe_core.photo_sites import Found, Terms
from exe_core.pull.searching import Answer, Query, describe
from exe_core.sets.readers import DatasetError, label_of, read_csv, read_folder
from exe_core.web.fetching import Fetcher

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
        A folder as `exe_core.sets.readers.read_folder` takes it; or a CSV with the columns label
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
