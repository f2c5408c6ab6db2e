"""The data sets of the paper: what each is, whether it is whole, and how to fetch open ones."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

import pandas as pd
import yaml
from tqdm import tqdm

from exe_core.fetching import Fetcher, SourceError, open_client
from exe_core.readers import READERS, DatasetError, read_votes
from exe_core.record import ROOT, replacing

CACHE = ROOT / ".cache" / "data"
"""Where open sets go if no folder is named."""
_SHIPPED = Path(__file__).with_name("open_sets")  # in an installed package
LISTS = _SHIPPED if _SHIPPED.is_dir() else ROOT / "data" / "open"
"""sets.yml describes the sets; <set>.csv lists the files of an open one: file (below the data
folder), path (in its repository), sha256 and, for photos, emotion and person, of which labels.csv
beside them is made."""
RAW = "https://raw.githubusercontent.com"
"""`EXE_DATA_URL` names another address that answers /<owner>/<repository>/<commit>/<path>."""


class Finding(NamedTuple):
    """A property of a data set, as it is published and as it is here."""

    what: str
    published: int | str
    here: int | str

    @property
    def good(self) -> bool:
        """Whether the two are the same."""
        return self.published == self.here


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A data set of the paper.

    `forms` are the ways to hold it: a place below the data folder, and what must lie in it. An open
    set has a repository, <owner>/<name>/<commit> on GitHub, and a list of files in `LISTS`, by
    whose digests it is checked. Others are read as `kind`, and their images counted by `columns`.
    """

    name: str
    purpose: str
    size: str
    licence: str
    source: str
    forms: list[list[str]]
    repository: str | None = None
    kind: str = ""
    columns: list[str] = field(default_factory=list)
    counts: Mapping[str, Any] = field(default_factory=dict)  # value -> images, a level a column
    md5: Mapping[str, str] = field(default_factory=dict)  # of files that go by a name

    def place(self, folder: Path) -> Path | None:
        """Locate the set in a data folder; None if it is not there or not whole."""
        for place, *members in self.forms:
            if all((folder / place / member).exists() for member in members or [""]):
                return folder / place
        return None

    def check(self, path: Path) -> list[Finding]:
        """Compare the file or folder of a set with what is published."""
        if self.kind:
            return self._count(path)
        if self.name == "ferplus" and (votes := read_votes(path))["line"].isna().all():
            n_images = votes["image"].nunique()
            return [Finding("rows with the number of another image each", len(votes), n_images)]
        files = listed_files(self.name)
        digests = dict(zip(files["file"], files["sha256"], strict=True))
        for name, text in label_files(files).items():
            digests[name] = hashlib.sha256(text.encode()).hexdigest()
        here = {name: path / Path(name).relative_to(self.forms[0][0]) for name in digests}
        wrong = [name for name, file in here.items() if _sha256(file) != digests[name]]
        right = len(digests) - len(wrong)
        found = f"{right:,}, not {', '.join(wrong[:3])}" if wrong else right
        return [Finding("files, by SHA-256", len(digests), found)]

    def _count(self, path: Path) -> list[Finding]:
        findings = []
        if path.name in self.md5:
            here = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
            findings.append(Finding(f"md5 of {path.name}", self.md5[path.name], here))
        with tempfile.TemporaryDirectory() as folder:
            table = READERS[self.kind](path, unpacked=Path(folder) / "unpacked")
        numbers = table[self.columns].fillna("none").agg(", ".join, axis=1).value_counts()
        published = pd.json_normalize(dict(self.counts), sep=", ").iloc[0]
        return [
            *findings,
            Finding("images", int(published.sum()), len(table)),
            *(Finding(str(one), int(n), int(numbers.get(one, 0))) for one, n in published.items()),
        ]


def _sha256(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def listed_files(name: str) -> pd.DataFrame:
    """Read which files an open set has: a row of file, path and sha256 each."""
    return pd.read_csv(LISTS / f"{name}.csv", keep_default_na=False)


def label_files(files: pd.DataFrame) -> dict[str, str]:
    """Make the text of labels.csv of each folder, if the list of files has labels."""
    if "emotion" not in files:
        return {}
    labels = files.assign(file=files["file"].str.partition("/")[2])
    return {
        f"{folder}/labels.csv": rows[["file", "emotion", "person"]].to_csv(index=False)
        for folder, rows in labels.groupby(files["file"].str.partition("/")[0])
    }


DATA_SETS = {
    name: DataSet(name=name, **described)
    for name, described in yaml.safe_load((LISTS / "sets.yml").read_text()).items()
}
"""Name -> the set. Photos of the pull come from their sources, by `exe stage 01-pull`."""


def find(name: str) -> DataSet:
    """Look up a data set by its name; a `DatasetError` lists the names."""
    if name not in DATA_SETS:
        raise DatasetError(f"no set {name!r}; there are {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def get_open_set(name: str, folder: Path | None = None) -> list[Finding]:
    """Fetch an open set into a data folder (`CACHE` if None), and check it.

    Files that are there and as published are not fetched again; each appears whole or not at all.
    A `DatasetError` says in one line what failed: no such set, no answer, another file than the
    published one, a full disk; or that the set is not open, and where to ask for it.
    """
    one, folder = find(name), folder or CACHE
    if not one.repository:
        raise DatasetError(f"{name} is not open ({one.licence}): ask at {one.source}")
    files = listed_files(name)
    mirror = os.environ.get("EXE_DATA_URL", "").rstrip("/")
    address, site = mirror or RAW, urlsplit(mirror or RAW).netloc
    try:
        with (
            open_client(trusted=[mirror] if mirror else []) as client,
            ThreadPoolExecutor(8) as pool,
        ):
            fetcher = Fetcher(client=client, sleep=lambda seconds: time.sleep(seconds))

            def check(row: Any, path: Path) -> None:
                if (here := _sha256(path)) != row.sha256:
                    raise DatasetError(
                        f"{path.stem} is not the published file: its SHA-256 is {here}, not "
                        f"{row.sha256}"
                    )

            def fetch(row: Any) -> None:
                path, url = folder / row.file, f"{address}/{one.repository}/{quote(row.path)}"
                path.parent.mkdir(parents=True, exist_ok=True)
                fetcher.download(url, path, partial(check, row))

            fetched = pool.map(fetch, files.itertuples())
            list(tqdm(fetched, total=len(files), desc=name, disable=None, leave=False))
        for file, text in label_files(files).items():
            with replacing(folder / file) as new:
                new.write_text(text, encoding="utf-8")
    except SourceError as fault:
        raise DatasetError(
            f"{name} can't be fetched from {site}: {fault}; what is here is kept, and the same "
            "command goes on from there"
        ) from None
    except OSError as fault:
        raise DatasetError(f"{name} can't be kept in {folder}: {fault}") from None
    return one.check(folder / one.forms[0][0])
