"""Whatever goes wrong in a pull, nothing is lost, nothing stands twice, and no key is shown.

Each trial pulls from a site on this machine, meets a fault that ends, and pulls again.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import time
import traceback
from contextlib import contextmanager
from urllib.parse import parse_qsl, quote, quote_plus

import pandas as pd
import photo_server as server
import pytest
from conftest import small_disk
from photo_server import KEYS, Always, Site, photo_bytes, pulled_study, status

from exe_core.fetching import SourceError
from exe_core.pull import pull
from exe_core.record import ROOT, StorageError
from exe_core.study import parse_study

PHOTOS = range(1, 8)
HITS = {
    (f"{source}:{number}", query)
    for source in KEYS
    for query, numbers in Site().found.items()
    for number in numbers
}
FORMS = {form(key) for key in KEYS.values() for form in (str, quote, quote_plus)}
FORMS |= {form.lower() for form in FORMS}


class Trial:
    """A folder, a site and a study; what is logged and raised is kept, to be searched for keys."""

    def __init__(self, home, seed):
        self.home, self.site, self.rng = home, Site(), random.Random(seed)
        self.texts = []
        self.study = pulled_study(*KEYS, per_page=dict.fromkeys(KEYS, 3))

    def pull(self):
        """Run the pull; give the reason that it ended with. Anything else is a crash."""
        handler, root = logging.Handler(), logging.getLogger()
        handler.emit = lambda record: self.texts.append(handler.format(record))
        level = root.level
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
        where = {"base_urls": self.site.base_urls, "keys": KEYS}
        try:
            pull(self.study, **where)
        except (SourceError, StorageError) as reason:
            self.texts += [*traceback.format_exception(reason), repr(reason)]
            return reason
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
        return None

    def pull_aside(self):
        """Start the pull in a process of its own."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["exe_core.pull"])
        given = (self.study.model_dump(mode="json"), self.site.base_urls, str(self.home))
        process = context.Process(target=pull_in_process, args=given, daemon=True)
        process.start()
        return process

    def read(self, name):
        path = self.study.table(name)
        columns = ["photo_id", "status", "path", "error", "sha256", "query"]
        return pd.read_parquet(path) if path.exists() else pd.DataFrame(columns=columns)

    def check_photos(self):
        """Every photo on disk, and every row of one, is whole."""
        rows = self.read("photos")
        for path in (self.study.raw / "photos").glob("*/*.jpg"):
            assert path.read_bytes() == photo_bytes(int(path.stem))
        assert all((ROOT / path).exists() for path in rows.loc[rows["status"] == "ok", "path"])
        assert rows.loc[rows["status"] != "ok", "error"].notna().all()

    def check_all(self):
        photos, hits = self.read("photos"), self.read("hits")
        pairs = list(zip(hits["photo_id"], hits["query"], strict=True))
        assert len(pairs) == len(HITS)
        assert set(pairs) == HITS
        assert dict(zip(photos["photo_id"], photos["sha256"], strict=True)) == {
            f"{source}:{number}": hashlib.sha256(photo_bytes(number)).hexdigest()
            for source in KEYS
            for number in PHOTOS
        }
        assert len(photos) == len(KEYS) * len(PHOTOS)
        files = [path for path in (self.study.raw / "photos").rglob("*") if path.is_file()]
        assert len(files) == len(photos)
        tables = [pd.read_parquet(path).to_csv() for path in self.home.rglob("*.parquet")]
        raw = [p.read_bytes().decode("latin-1") for p in self.home.rglob("*") if p.is_file()]
        leaks = [text for text in (*self.texts, *tables, *raw) if any(f in text for f in FORMS)]
        assert not leaks


def pull_in_process(study, base_urls, home):
    os.environ["EXE_HOME"] = home
    pull(parse_study(study), base_urls=base_urls, keys=KEYS)


def answers(part, *faults, pages=1):
    """Have some requests go wrong, from some page on: once, twice or until the fault ends."""

    @contextmanager
    def meet(trial):
        where = part.format(trial.rng.choice(list(KEYS) if "?" in part else PHOTOS))
        fault, after = trial.rng.choice(faults), trial.rng.randrange(pages)
        lasting, passing = Always(fault, after=after), [None] * after + [fault]
        trial.site.faults[where] = trial.rng.choice([lasting, passing, [*passing, fault]])
        trial.pull()
        assert trial.site.n_faults, "the fault did not happen"
        trial.site.faults.clear()
        yield

    return meet


def searches(*faults):
    return answers("/{}?", *faults, pages=3)


def changed(change):
    """Change the JSON of an answer."""

    def fault(code, body, headers):
        text = json.dumps(change(json.loads(body))).encode()
        return code, text, {**headers, "Content-Length": str(len(text))}

    return fault


def photos_of(content):
    return content.get("photos", content.get("hits"))


def each_photo(change):
    """Change each record of an answer."""

    def fault(content):
        for photo in photos_of(content):
            photo.update(change(photo))
        return content

    return changed(fault)


def echo(*_):
    """Answer with what was sent, as some sites do."""
    text = f"bad request: {KEYS}, {parse_qsl('&'.join(KEYS.values()))}".encode()
    return 403, text, {"Content-Length": str(len(text))}


with_keys = each_photo(
    lambda photo: {
        name: f"{photo[name]}?key={'&'.join(KEYS.values())}"
        for name in {"photographer", "user", "url", "pageURL"} & set(photo)
    }
)


@contextmanager
def full_disk(trial):
    with small_disk(trial.home):
        room = trial.rng.randrange(0, 40_000)
        ballast = trial.home / "ballast"
        ballast.write_bytes(bytes(shutil.disk_usage(trial.home).free - room))
        reason = trial.pull()
        assert isinstance(reason, StorageError)
        assert not [*trial.home.rglob(".*.parquet.*"), *trial.home.rglob("*.part")]
        ballast.unlink()
        yield


@contextmanager
def read_only_folder(trial):
    with small_disk(trial.home) as mount:
        if trial.rng.random() < 0.5:  # else it is so from the beginning
            trial.site.faults["/photos/"] = [None] * 3 + [status(500)] * 100
            trial.pull()
            trial.site.faults.clear()
        mount("remount", "ro")
        assert isinstance(trial.pull(), StorageError)
        mount("remount", "rw")
        yield


@contextmanager
def killed(trial):
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
        trial.check_photos()
        if process.exitcode == -signal.SIGKILL:
            n_kills -= 1
        else:  # it was done before: from the beginning
            assert process.exitcode == 0
            shutil.rmtree(trial.study.raw)
    trial.site.faults.clear()
    yield


FAULTS = {
    "429 with a wait": searches(status(429, Retry_After="7"), status(429, Retry_After="7200")),
    "5xx, searches": searches(status(500), status(502), status(503)),
    "5xx, photos": answers("/{}.jpg", status(500), status(502), status(503)),
    "reset mid-body": searches(server.reset),
    "a list": searches(changed(photos_of), changed(lambda content: [content])),
    "empty page": searches(changed(lambda content: {**content, "photos": [], "hits": []})),
    "keys in answers": searches(echo, with_keys),
    "kill -9": killed,
    "disk full": full_disk,
    "folder read-only": read_only_folder,
}


@pytest.mark.parametrize(
    ("fault", "seed"),
    [(fault, seed) for fault in FAULTS for seed in range(3 if fault == "kill -9" else 1)]
    + [
        pytest.param(fault, seed, marks=pytest.mark.slow)
        for fault in FAULTS
        for seed in range(100, 112 if fault == "kill -9" else 103)
    ],
)
def test_nothing_is_lost(fault, seed, tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    monkeypatch.setattr("exe_core.pull._sleep", lambda seconds, stop: None)
    trial = Trial(tmp_path, seed)
    with trial.site, FAULTS[fault](trial):
        trial.check_photos()
        assert trial.pull() is None
        trial.check_all()
