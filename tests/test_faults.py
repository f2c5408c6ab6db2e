"""Whatever goes wrong in a pull, nothing is lost, nothing stands twice, and no key is shown.

Each trial has the true pull meet a fault on this machine, ends the fault, and pulls again.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

import nbformat
import papermill
import photo_server as server
import pytest
from fault_trials import FOUND, STORAGE_FAULT, Trial, small_disk
from photo_server import KEYS, Always, Answer, Site, redirect, status

from exe_core.fetching import SourceError
from exe_core.record import StorageError
from exe_core.study import ROOT

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


def photos_at(address: str, trial: Trial) -> server.Fault:
    """Have the photos lie elsewhere."""
    own, other = f"{trial.site.address}/photos".encode(), f"{address}/photos".encode()

    def fault(code: int, body: bytes, headers: dict[str, str]) -> Answer:
        text = body.replace(own, other)
        return code, text, {**headers, "Content-Length": str(len(text))}

    return fault


def no_tls(trial: Trial) -> AbstractContextManager[None]:
    address = trial.site.address.replace("http://", "https://")
    return of_searches(photos_at(address, trial))(trial)


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
def private_addresses(trial: Trial) -> Iterator[None]:
    """Photos of, and redirects to, a server that only this machine can reach."""
    with Site() as inside:
        links = of_searches(photos_at(inside.address, trial))
        redirects = of_photos(redirect(f"{inside.address}/photos/1.jpg"))
        with trial.rng.choice([links, redirects])(trial):
            assert inside.asked == [], "a private address was asked"
            yield


@contextmanager
def clock_jumps(trial: Trial) -> Iterator[None]:
    """The clock of this machine jumps by a year, to and fro, while waits are told by the clock."""
    true = time.time
    then = int(true()) + 20
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(then))
    waits = [status(429, Retry_After=date), status(429, X_RateLimit_Reset=str(then))]
    wrong = mock.Mock(side_effect=lambda: true() + trial.rng.choice([-3e7, 0, 3e7]))
    with mock.patch("time.time", wrong), of_searches(*waits)(trial):
        assert wrong.called
        assert trial.clock.waits
        assert all(10 <= wait <= 21 for wait in trial.clock.waits), "told by a wrong clock"
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


@contextmanager
def two_at_once(trial: Trial) -> Iterator[None]:
    trial.site.photo_delay_s = 0.1
    first = trial.pull_aside()
    while not trial.site.asked:
        time.sleep(0.005)
    reason = trial.pull()
    assert isinstance(reason, SourceError)
    assert "another pull into faults is running" in str(reason)
    first.join()
    assert first.exitcode == 0
    yield


FAULTS: dict[str, Meeting] = {
    "429 with a wait": of_searches(status(429, Retry_After="7"), status(429, Retry_After="7200")),
    "429 without a wait": of_searches(status(429)),
    "5xx burst, searches": of_searches(status(500), status(502), status(503)),
    "5xx burst, photos": of_photos(status(500), status(502), status(503)),
    "silence, photos": of_photos(server.stall, timeout_s=0.4),
    "reset mid-body, searches": of_searches(server.reset),
    "reset mid-body, photos": of_photos(server.reset),
    "wrong Content-Length, photos": of_photos(server.longer, server.shorter),
    "HTML for JPEG": of_photos(server.page_of_html),
    "JSON: a field is missing": of_searches(changed(without_a_field)),
    "JSON: a field of another type": of_searches(changed(of_wrong_type)),
    "JSON: a list": of_searches(changed(photos_of), changed(lambda content: [content])),
    "empty page": of_searches(changed(without_photos)),
    "repeated page": repeated_page,
    "redirect loop": of_photos(redirect("")),
    "private addresses": private_addresses,
    "slow drip": of_photos(server.drip, photo_timeout_s=0.8),
    "more than 50 MB": of_photos(server.endless),
    "decompression bomb (PNG)": of_photos(server.body_of(server.png_bomb(60_000))),
    "keys said back": of_searches(echo, changed(with_keys)),
    "clock jumps": clock_jumps,
    "two pulls at once": two_at_once,
    "files limited in size": small_files_only,
    "kill -9": killed,
}
"""What each run of the tests meets."""

KIN: dict[str, Meeting] = {
    "429 for a photo": of_photos(status(429), status(429, Retry_After="7")),
    "404 for a photo": of_photos(status(404)),
    "silence, searches": of_searches(server.stall, timeout_s=0.4),
    "hung up": of_searches(server.hang_up),
    "wrong Content-Length, searches": of_searches(server.longer, server.shorter),
    "HTML for JSON": of_searches(server.page_of_html),
    "JSON: null": of_searches(changed(lambda content: None)),
    "truncated JPEG": of_photos(server.truncated),
    "empty body": of_photos(server.nothing),
    "animated GIF": of_photos(server.body_of(server.animated_gif())),
    "SVG": of_photos(server.svg),
    "redirect of a search": of_searches(redirect("/photos/1.jpg")),
    "redirect to a file": of_photos(redirect("file:///etc/hostname")),
    "TLS failure": no_tls,
    "more than 50 MB unpacked": of_photos(server.unpacked_too_large, server.packed_twice),
    "more than 200 megapixels": of_photos(server.body_of(server.png_bomb(16_000))),
}
"""What takes the same way as one of those: met in the slow runs."""

NEEDING_A_DISK: dict[str, Meeting] = {"disk full": full_disk, "folder read-only": read_only_folder}
ALL = {**FAULTS, **KIN, **NEEDING_A_DISK}


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


@pytest.mark.parametrize("fault", [*FAULTS, *NEEDING_A_DISK])
def test_nothing_is_lost(fault: str, trial: Callable[[int], Trial]) -> None:
    seeds = range(3 if fault == "kill -9" else 1)
    assert_nothing_is_lost(ALL[fault], trial, seeds=seeds)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ALL)
def test_nothing_is_lost_however_often(fault: str, trial: Callable[[int], Trial]) -> None:
    seeds = range(100, 140 if fault == "kill -9" else 110)
    assert_nothing_is_lost(ALL[fault], trial, seeds=seeds)


@pytest.mark.slow
def test_an_executed_notebook_shows_no_key(
    trial: Callable[[int], Trial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pulling = trial(0)
    for source, key in KEYS.items():
        monkeypatch.setenv(f"{source.upper()}_API_KEY", key)
    with pulling.site as site:
        site.faults["?"] = Always(echo, after=1)
        source = f"""
import logging
from exe_core.study import parse_study
from exe_core.pull import pull
logging.basicConfig(level=logging.DEBUG)
study = parse_study({pulling.study.model_dump(mode="json")!r})
pull(study, base_urls={site.base_urls!r})
"""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        nbformat.write(notebook, tmp_path / "given.ipynb")
        executed = pulling.home / "executed.ipynb"
        with pytest.raises(
            papermill.PapermillExecutionError, match="HTTP 403 bad request"
        ) as ended:
            papermill.execute_notebook(
                str(tmp_path / "given.ipynb"), str(executed), kernel_name="python3", cwd=str(ROOT)
            )
        pulling.said.write(str(ended.value))
    shown = executed.read_text()
    assert "<key>" in shown
    assert "IncompletePullError" in shown
    assert pulling.leaked() == 0
