"""Whatever goes wrong in a pull, nothing is lost, nothing stands twice, and no key is shown.

Each trial has the true pull meet a fault on this machine, ends the fault, and pulls again.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import multiprocessing
import os
import random
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, quote_plus

import pandas as pd
import photo_server as server
import pytest
from photo_server import KEYS, Always, Answer, Clock, Site, photo_bytes, status
from small_disk import small_disk

from exe_core import tables
from exe_core.fetching import SourceError
from exe_core.pull import pull
from exe_core.record import ROOT, StorageError
from exe_core.study import Study, parse_study

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
            return pd.DataFrame(columns=list(tables.TABLES[name].columns))
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


Meeting = Callable[[Trial], AbstractContextManager[None]]
"""Has the pull of a trial meet a fault, and ends it; on leaving, what it needed is cleared away."""

PHOTOS = sorted({number for numbers in FOUND.values() for number in numbers})


def of_searches(*faults: server.Fault, **settings: object) -> Meeting:
    """Have searches go wrong: from some page on, once or twice or until the fault ends."""
    return _served(lambda trial: f"/{trial.rng.choice(list(KEYS))}?", faults, settings, pages=3)


def of_photos(*faults: server.Fault, **settings: object) -> Meeting:
    """Have the requests for a photo go wrong."""
    return _served(lambda trial: f"/{trial.rng.choice(PHOTOS)}.jpg", faults, settings, pages=1)


def _served(
    where: Callable[[Trial], str],
    faults: tuple[server.Fault, ...],
    settings: dict[str, object],
    pages: int,
) -> Meeting:
    @contextmanager
    def meet(trial: Trial) -> Iterator[None]:
        usual, trial.settings = trial.settings, trial.settings | settings
        fault, after = trial.rng.choice(faults), trial.rng.randrange(pages)
        lasting, passing = Always(fault, after=after), [None] * after + [fault]
        trial.site.faults[where(trial)] = trial.rng.choice([lasting, passing, [*passing, fault]])
        trial.pull()
        assert trial.site.n_faults, "the fault did not happen"
        trial.site.faults.clear()
        trial.settings = usual
        yield

    return meet


def changed(change: Callable[[dict], object]) -> server.Fault:
    """Change the JSON of an answer."""

    def fault(code: int, body: bytes, headers: dict[str, str]) -> Answer:
        text = json.dumps(change(json.loads(body))).encode()
        return code, text, {**headers, "Content-Length": str(len(text))}

    return fault


def photos_of(content: dict) -> list[dict]:
    return content.get("photos", content.get("hits"))


def without_a_field(content: dict) -> dict:
    for photo in photos_of(content):
        photo.pop("src", photo.pop("largeImageURL", None))
    return content


def of_wrong_type(content: dict) -> dict:
    for photo in photos_of(content):
        photo["id"] = {"number": photo["id"]}
    return content


def without_photos(content: dict) -> dict:
    photos_of(content).clear()
    return content


def with_keys(content: dict) -> dict:
    for photo in photos_of(content):
        for name in ("photographer", "user", "url", "pageURL"):
            if name in photo:
                photo[name] += "?key=" + "&".join(KEYS.values())
    return content


def echo(*_: object) -> Answer:
    """Say back what was sent, as sites do that are asked wrongly."""
    text = f"bad request: {KEYS}, {server.parse_qsl('&'.join(KEYS.values()))}".encode()
    return 403, text, {"Content-Length": str(len(text))}


@contextmanager
def repeated_page(trial: Trial) -> Iterator[None]:
    """The second page of a query is its first once more."""
    bodies: list[bytes] = []

    def repeat(code: int, body: bytes, headers: dict[str, str]) -> Answer:
        bodies.append(body)
        return code, bodies[0], {**headers, "Content-Length": str(len(bodies[0]))}

    trial.site.faults[f"/{trial.rng.choice(list(KEYS))}?"] = [repeat, repeat]
    trial.pull()
    assert len(bodies) == 2
    yield


@contextmanager
def full_disk(trial: Trial) -> Iterator[None]:
    with small_disk(trial.home):
        room = trial.rng.randrange(0, 40_000)
        ballast = trial.home / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(trial.home).free - room))
        reason = trial.pull()
        assert isinstance(reason, StorageError)
        assert "free some space" in str(reason)
        assert not [*trial.home.rglob(".*.parquet.*"), *trial.home.rglob("*.part")]
        ballast.unlink()
        yield


@contextmanager
def small_files_only(trial: Trial) -> Iterator[None]:
    """As a quota that is used up: no file grows beyond some bytes."""
    process = trial.pull_aside(largest_file=trial.rng.randrange(1000))
    process.join()
    assert process.exitcode == STORAGE_FAULT
    yield


@contextmanager
def read_only_folder(trial: Trial) -> Iterator[None]:
    with small_disk(trial.home) as mount:
        if trial.rng.random() < 0.5:  # else it is so from the beginning
            trial.site.faults["/photos/"] = [None] * 3 + [status(500)] * 100
            trial.pull()
            trial.site.faults.clear()
        mount("remount", "ro")
        reason = trial.pull()
        assert isinstance(reason, StorageError)
        assert "make the folder writable" in str(reason)
        mount("remount", "rw")
        yield


@contextmanager
def killed(trial: Trial) -> Iterator[None]:
    """SIGKILL one to three times: after some number of requests, and some milliseconds more."""
    trial.site.faults["/photos/"] = Always(server.slowly)
    n_kills, n_requests = trial.rng.randint(1, 3), 2 * (len(PHOTOS) + 3)
    while n_kills:
        process = trial.pull_aside()
        enough = len(trial.site.asked) + trial.rng.randint(0, n_requests)
        while process.is_alive() and len(trial.site.asked) < enough:
            time.sleep(0.002)
        process.join(trial.rng.uniform(0, 0.15))
        process.kill()
        process.join()
        assert trial.photos_are_whole()
        if process.exitcode == -signal.SIGKILL:
            n_kills -= 1
        else:  # it was done before: from the beginning
            assert process.exitcode == 0
            shutil.rmtree(trial.study.raw)
    trial.site.faults.clear()
    yield


ALL: dict[str, Meeting] = {
    "429 with a wait": of_searches(status(429, Retry_After="7"), status(429, Retry_After="7200")),
    "5xx burst, searches": of_searches(status(500), status(502), status(503)),
    "5xx burst, photos": of_photos(status(500), status(502), status(503)),
    "reset mid-body, searches": of_searches(server.reset),
    "JSON: a field is missing": of_searches(changed(without_a_field)),
    "JSON: a field of another type": of_searches(changed(of_wrong_type)),
    "JSON: a list": of_searches(changed(photos_of), changed(lambda content: [content])),
    "empty page": of_searches(changed(without_photos)),
    "repeated page": repeated_page,
    "keys said back": of_searches(echo, changed(with_keys)),
    "files limited in size": small_files_only,
    "kill -9": killed,
    "disk full": full_disk,
    "folder read-only": read_only_folder,
}


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Trial]]:
    """Make trials, each in a folder of its own with a site of its own."""

    def make(seed: int) -> Trial:
        home = tmp_path / str(seed)
        home.mkdir()
        monkeypatch.setenv("EXE_HOME", str(home))
        return Trial(home, Site(), random.Random(seed))

    return make


def assert_nothing_is_lost(
    meet: Meeting, make: Callable[[int], Trial], *, seeds: Sequence[int]
) -> None:
    for seed in seeds:
        trial = make(seed)
        try:
            with trial.site, meet(trial):
                assert trial.photos_are_whole(), "a photo is not what its row says"
                reason = trial.pull()
                counts = {"lost": trial.lost(), "twice": trial.twice(), "leaked": trial.leaked()}
        except PermissionError as refused:
            pytest.skip(f"no small disk can be mounted here: {refused}")
        assert reason is None, seed
        assert not any(counts.values()), (seed, counts)


@pytest.mark.parametrize("fault", ALL)
def test_nothing_is_lost(fault: str, trial: Callable[[int], Trial]) -> None:
    seeds = range(3 if fault == "kill -9" else 1)
    assert_nothing_is_lost(ALL[fault], trial, seeds=seeds)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ALL)
def test_nothing_is_lost_however_often(fault: str, trial: Callable[[int], Trial]) -> None:
    seeds = range(100, 140 if fault == "kill -9" else 110)
    assert_nothing_is_lost(ALL[fault], trial, seeds=seeds)
