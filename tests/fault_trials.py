"""A trial of a fault: the true pull meets it, it ends, the pull is run again; then one counts."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pandas as pd
from photo_server import KEYS, Clock, Site, photo_bytes

from exe_core import tables as schema
from exe_core.fetching import SourceError
from exe_core.pull import pull
from exe_core.record import StorageError
from exe_core.study import ROOT, Study, parse_study

FOUND = {"happy face": [1, 2, 3, 4, 5], "sad face": [5, 6, 7]}
PER_PAGE = 3
STORAGE_FAULT = 3
"""How a process ends whose pull ended with a StorageError."""
TOLD = (SourceError, StorageError)
"""How a pull may end: with a reason, never with a crash."""


def make_study(**settings: object) -> Study:
    usual = {"designs": ["v1"], "timeout_s": 20, "retries": 2}
    usual |= {"per_page": dict.fromkeys(KEYS, PER_PAGE)}
    return parse_study(
        {
            "name": "faults",
            "kind": "world",
            "title": "A pull that meets faults",
            "labels": ["happy", "sad"],
            "pull": {"sources": list(KEYS), **usual, **settings},
            "sets": {"one": {"kind": "photos", "source": "pexels", "design": "v1"}},
            "runs": {"one": {"sets": ["one"]}},
        }
    )


@dataclass
class Trial:
    """A folder, a site and a study; what is said meanwhile is kept, to be searched for keys.

    Attributes
    ----------
    home
        The folder of the study's files.
    rng
        Where and how often the fault strikes.
    clock
        Notes the waits; none is waited for.
    said
        Log records, messages and tracebacks.
    """

    home: Path
    site: Site
    rng: random.Random
    settings: dict[str, object] = field(default_factory=dict)
    clock: Clock = field(default_factory=Clock)
    said: io.StringIO = field(default_factory=io.StringIO)

    @property
    def study(self) -> Study:
        return make_study(**self.settings)

    def pull(self) -> Exception | None:
        """Run the pull; give the reason that it ended with."""
        handler, root = logging.StreamHandler(self.said), logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        try:
            where = {"base_urls": self.site.base_urls, "keys": KEYS}
            pull(self.study, **where, progress=False, sleep=self.clock)
        except TOLD as reason:
            self.said.write("".join(traceback.format_exception(reason)) + repr(reason))
            return reason
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
        return None

    def pull_aside(self, *, largest_file: int = resource.RLIM_INFINITY) -> multiprocessing.Process:
        """Start the pull in a process of its own, whose files may not grow larger (bytes)."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["exe_core.pull"])
        study = self.study.model_dump(mode="json")
        given = (study, self.site.base_urls, str(self.home), largest_file)
        process = context.Process(target=_pull_aside, args=given, daemon=True)
        process.start()
        return process

    def photos_are_whole(self) -> bool:
        """Say whether every photo on disk, and every row that says so, is of its full bytes."""
        whole = {f"{n}.jpg": photo_bytes(n) for found in FOUND.values() for n in found}
        files = [*(self.study.raw / "photos").glob("*/*.jpg")]
        rows = self.read("photos")
        said = rows[rows["status"] == "ok"]
        return (
            all(path.read_bytes() == whole[path.name] for path in files)
            and all((ROOT / path).exists() for path in said["path"])
            and rows.loc[rows["status"] != "ok", "error"].notna().all()
        )

    def read(self, name: str) -> pd.DataFrame:
        """Read a table of the pull; without rows if it is not there yet."""
        path = self.study.table(name)
        if not path.exists():
            return pd.DataFrame(columns=list(schema.TABLES[name].columns))
        return pd.read_parquet(path)

    def lost(self) -> int:
        """Count the photos and the hits that are not there, or not as the site has them."""
        photos, hits = self.read("photos"), self.read("hits")
        digests = dict(zip(photos["photo_id"], photos["sha256"], strict=True))
        found = set(zip(hits["photo_id"], hits["query"], strict=True))
        return sum(
            digests.get(photo_id) != hashlib.sha256(photo_bytes(number)).hexdigest()
            or not (self.study.raw / "photos" / source / f"{number}.jpg").exists()
            or (photo_id, query) not in found
            for source in self.study.pull.sources
            for query, numbers in FOUND.items()
            for number in numbers
            for photo_id in [f"{source}:{number}"]
        )

    def twice(self) -> int:
        """Count rows that stand twice, and files that nobody asked for."""
        photos, hits = self.read("photos"), self.read("hits")
        names = {f"{number}.jpg" for numbers in FOUND.values() for number in numbers}
        files = [path for path in (self.study.raw / "photos").rglob("*") if path.is_file()]
        expected = len(names) * len(self.study.pull.sources)
        return int(
            hits.duplicated(["photo_id", "design", "query"]).sum()
            + photos["photo_id"].duplicated().sum()
            + max(len(files) - expected, 0)
            + sum(path.name not in names for path in files)
        )

    def leaked(self) -> int:
        """Count the texts that hold a key: files, tables, logs, tracebacks."""
        texts = [self.said.getvalue()]
        for path in self.home.rglob("*"):
            if path.suffix == ".parquet":
                texts.append(pd.read_parquet(path).to_csv())
            if path.is_file():
                texts.append(path.read_bytes().decode("latin-1"))
        return sum(any(form in text for form in _FORMS) for text in texts)


def _forms(key: str) -> set[str]:
    forms = {key, quote(key), quote(key, safe=""), quote_plus(key)}
    return forms | {form.lower() for form in forms}


_FORMS = [form for key in KEYS.values() for form in _forms(key)]


def _pull_aside(
    study: dict[str, object], base_urls: Mapping[str, str], home: str, largest_file: int
) -> None:
    os.environ["EXE_HOME"] = home
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    try:
        pull(parse_study(study), base_urls=base_urls, keys=KEYS, progress=False)
    except StorageError:
        sys.exit(STORAGE_FAULT)


@contextmanager
def small_disk(folder: Path, *, size: str = "2m") -> Iterator[Callable[..., None]]:
    """Mount a small file system at a folder, if this process may; give what mounts it anew.

    Raises
    ------
    PermissionError
        If it may not.
    """

    def mount(*options: str) -> None:
        chosen = ",".join([f"size={size}", *options])
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", chosen, "tmpfs", str(folder)], capture_output=True
        )
        if done.returncode:
            raise PermissionError(errno.EPERM, done.stderr.decode())

    mount()
    try:
        yield mount
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
