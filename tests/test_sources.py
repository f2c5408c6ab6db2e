"""The pull, against a server on this machine that fails in every way that a photo site may."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pandas as pd
import pytest
from photo_server import (
    KEYS,
    Clock,
    Site,
    cut,
    hang_up,
    longer,
    page_of_html,
    photo_bytes,
    stall,
    status,
    truncated,
)

from exe_core import tables
from exe_core.faces import read_image
from exe_core.fetching import SourceError
from exe_core.pull import IncompletePullError, Ledger, pull
from exe_core.study import ROOT, Study, parse_study


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


def make_study(**settings: object) -> Study:
    chosen = {"sources": ["pexels"], "designs": ["v1"], "timeout_s": 5, "retries": 2}
    return parse_study(
        {
            "name": "pulled",
            "kind": "world",
            "title": "For the tests of the pull",
            "labels": ["happy", "sad"],
            "pull": {**chosen, **settings},
            "sets": {"one": {"kind": "photos", "source": "pexels", "design": "v1"}},
            "runs": {"one": {"sets": ["one"]}},
        }
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    return tmp_path


def run(study: Study, site: Site, clock: Clock | None = None) -> None:
    pull(study, base_urls=site.base_urls, keys=KEYS, progress=False, sleep=clock or Clock())


def read(study: Study, name: str) -> pd.DataFrame:
    return tables.read(study.table(name), name=name)


def outcome(study: Study) -> tuple[set, dict]:
    """What a pull is for: which photo answers which query, and each photo's bytes."""
    hits = read(study, "hits")
    photos = read(study, "photos").set_index("photo_id")
    assert not hits.duplicated(["photo_id", "design", "query"]).any()
    for path, digest in photos.loc[photos.status == "ok", ["path", "sha256"]].itertuples(
        index=False
    ):
        assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == digest
    return set(zip(hits.photo_id, hits["query"], strict=True)), photos.sha256.to_dict()


EXPECTED_HITS = {(f"pexels:{n}", "happy face") for n in (1, 2, 3, 4, 5)} | {
    (f"pexels:{n}", "sad face") for n in (5, 6, 7)
}
EXPECTED = (
    EXPECTED_HITS,
    {f"pexels:{n}": hashlib.sha256(photo_bytes(n)).hexdigest() for n in range(1, 8)},
)


@pytest.mark.parametrize("source", ["pexels", "pixabay"])
def test_photos_hits_and_requests_are_kept(home: Path, site: Site, source: str) -> None:
    study = make_study(sources=[source], per_page={source: 3})
    run(study, site)
    hits, _ = outcome(study)
    assert hits == {(name.replace("pexels", source), query) for name, query in EXPECTED_HITS}
    photos = read(study, "photos")
    assert set(photos.status) == {"ok"}
    assert photos.author.tolist()[0] == "Author 1"
    assert photos.page_url.tolist()[0] == "/photo/1/", "the port of a stand-in is another each time"
    assert read_image(study.raw / "photos" / source / "1.jpg").shape == (48, 64, 3)
    requests = read(study, "requests")
    assert requests[["query", "page", "n_returned", "n_new"]].to_numpy().tolist() == [
        ["happy face", 1, 3, 3],
        ["happy face", 2, 2, 2],
        ["sad face", 1, 3, 2],
    ]


def test_a_second_pull_asks_for_nothing_and_adds_nothing(home: Path, site: Site) -> None:
    study = make_study(sources=["pexels", "pixabay"], per_page={"pexels": 2, "pixabay": 3})
    run(study, site)
    before = {name: read(study, name) for name in ("hits", "photos", "requests")}
    n_asked = len(site.asked)
    run(study, site)
    assert len(site.asked) == n_asked
    for name, table in before.items():
        pd.testing.assert_frame_equal(read(study, name), table)


def test_a_photo_under_two_labels_keeps_both_hits_and_is_downloaded_once(
    home: Path, site: Site
) -> None:
    study = make_study()
    run(study, site)
    hits = read(study, "hits")
    assert set(hits.label[hits.photo_id == "pexels:5"]) == {"happy", "sad"}
    assert site.count("/photos/5.jpg") == 1


@pytest.mark.parametrize(
    ("settings", "found", "pages"),
    [
        ({"max_pages": {"pexels": 2}}, range(1, 20), 2),
        ({"max_per_query": 5}, range(1, 20), 3),
        ({}, range(1, 6), 3),
        ({}, [], 1),
        ({}, [1, 2, 1, 2, 1, 2, 8, 9], 2),
        ({"stop_below_new": 0.0}, [1, 2, 1, 2, 1, 2, 8, 9], 4),
    ],
    ids=["max_pages", "max_per_query", "last page", "empty", "nothing new", "new or not"],
)
def test_a_query_ends(home: Path, site: Site, settings: dict, found: list[int], pages: int) -> None:
    site.found = {"happy face": list(found)}
    study = make_study(**{"per_page": {"pexels": 2}, **settings})
    run(study, site)
    assert site.count("query=happy") == pages
    kept = set(list(found)[: settings.get("max_per_query", 2 * pages)])
    assert set(read(study, "photos").photo_id) == {f"pexels:{number}" for number in kept}


def test_what_is_new_is_judged_within_a_design(home: Path, site: Site) -> None:
    """Else a design would end early for what the other one found before it."""
    site.found = {"happy face": [1, 2, 3, 4], "happy": [1, 2, 3, 4]}
    study = make_study(designs=["v1", "v2"], per_page={"pexels": 2})
    run(study, site)
    assert site.count("query=happy&page=2") == 1
    requests = read(study, "requests")
    assert requests.n_new[requests["query"] == "happy"].tolist() == [2, 2]


def test_pixabay_ends_where_a_page_is_refused(home: Path, site: Site) -> None:
    study = make_study(sources=["pixabay"], per_page={"pixabay": 3})
    site.found = {"happy face": [1, 2, 3]}
    site.pixabay = lambda shown, numbers: {**Site.pixabay(site, shown, numbers), "totalHits": 500}
    run(study, site)
    requests = read(study, "requests")
    assert requests.http_status[requests["query"] == "happy face"].tolist() == [200, 400]
    assert len(read(study, "hits")) == 3


@pytest.mark.parametrize("where", ["happy", "/photos/3.jpg"])
@pytest.mark.parametrize(
    "script",
    [
        [status(500), status(503)],
        [status(429, Retry_After="7")],
        [cut],
        [longer],
        [hang_up, hang_up],
        [stall],
    ],
    ids=["500 twice", "429", "cut", "wrong length", "hung up", "stalled"],
)
def test_a_fault_that_passes_leaves_no_trace(
    home: Path, site: Site, where: str, script: list
) -> None:
    site.faults[where] = list(script)
    study, clock = make_study(timeout_s=0.3 if stall in script else 5), Clock()
    run(study, site, clock)
    assert outcome(study) == EXPECTED
    assert len(clock.waits) >= len(script)
    assert not list(study.raw.rglob("*.part"))


def test_an_answer_that_is_no_json_is_asked_for_again_and_noted(home: Path, site: Site) -> None:
    site.faults["happy"] = [page_of_html]
    study = make_study()
    run(study, site)
    assert outcome(study) == EXPECTED
    assert read(study, "requests").error.dropna().tolist() == ["the answer is not JSON"]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ([page_of_html], "not an image"),
        ([truncated], "damaged"),
        ([status(404)], "HTTP 404"),
        ([status(500)] * 3, "HTTP 500"),
        ([hang_up] * 3, "RemoteProtocolError"),
        ([status(302, Location="file:///etc/hostname")], "refused: scheme"),
        ([status(302, Location="/photos/3.jpg")] * 30, "redirect"),
    ],
    ids=["html", "truncated", "404", "500", "hung up", "to a file", "in circles"],
)
def test_a_photo_that_fails_is_a_row_with_its_reason_and_is_tried_again_next_time(
    home: Path, site: Site, script: list, reason: str
) -> None:
    site.faults["/photos/3.jpg"] = list(script)
    study = make_study()
    run(study, site)
    photos = read(study, "photos").set_index("photo_id")
    assert photos.index[photos.status == "failed"].tolist() == ["pexels:3"]
    assert pd.Series(photos.error["pexels:3"]).str.contains(reason).all()
    assert not list(study.raw.rglob("*.part"))
    site.faults.clear()
    run(study, site)
    assert outcome(study) == EXPECTED
    assert set(read(study, "photos").status) == {"ok"}
    assert site.count("/photos/1.jpg") == 1


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry_After": "7"}, 7),
        ({"X_RateLimit_Reset": "11"}, 11),
        ({"X_RateLimit_Reset": "moment"}, 20),
        ({"Retry_After": "date"}, 20),
    ],
)
def test_a_wait_is_kept(home: Path, site: Site, headers: dict[str, str], wait_s: int) -> None:
    then = time.time() + 20
    moments = {
        "moment": str(int(then)),
        "date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(then)),
    }
    named = {name: moments.get(value, value) for name, value in headers.items()}
    site.faults["happy"] = [status(429, **named)]
    study, clock = make_study(), Clock()
    run(study, site, clock)
    assert clock.waits == [pytest.approx(wait_s, abs=2)]
    assert outcome(study) == EXPECTED


@pytest.mark.parametrize("headers", [{"Retry_After": "3600"}, {}], ids=["an hour", "not said"])
def test_a_long_wait_ends_the_source_says_when_and_loses_nothing(
    home: Path, site: Site, headers: dict[str, str]
) -> None:
    study = make_study(sources=["pexels", "pixabay"])
    site.faults["/pexels?query=sad"] = [status(429, **headers)]
    with pytest.raises(IncompletePullError, match=r"'sad face' on .*come back after .* UTC"):
        run(study, site)
    assert Counter(read(study, "hits").source) == {"pexels": 5, "pixabay": 8}
    requests = read(study, "requests")
    assert requests.http_status[requests.source == "pexels"].tolist() == [200, 429]
    run(study, site)
    assert Counter(read(study, "hits").source) == {"pexels": 8, "pixabay": 8}
    assert site.count("/pexels?query=happy") == 1


def test_a_query_that_fails_does_not_end_the_others(home: Path, site: Site) -> None:
    site.faults["query=happy"] = [status(500)] * 3
    study = make_study()
    with pytest.raises(IncompletePullError, match=r"'happy face' \(HTTP 500 out of order, 3 times"):
        run(study, site)
    assert set(read(study, "hits")["query"]) == {"sad face"}
    run(study, site)
    assert outcome(study) == EXPECTED


def test_an_answer_of_another_form_names_the_field(home: Path, site: Site) -> None:
    site.pexels = lambda shown, numbers: {"photos": [{"id": 1}]}
    with pytest.raises(IncompletePullError, match="not as pexels documents it: KeyError 'src'"):
        run(make_study(), site)


def test_a_lost_table_of_photos_is_made_again(home: Path, site: Site) -> None:
    study = make_study()
    run(study, site)
    before = read(study, "photos")
    study.table("photos").unlink()
    run(study, site)
    assert outcome(study) == EXPECTED
    pd.testing.assert_frame_equal(read(study, "photos"), before)
    assert site.count("/photos/") == 7, "photos that were on disk were downloaded again"


def test_searches_slow_down_when_little_quota_is_left(home: Path, site: Site) -> None:
    site.quota = {"X-RateLimit-Remaining": "9", "X-RateLimit-Reset": "50"}
    study, clock = make_study(), Clock()
    run(study, site, clock)
    assert clock.waits == [pytest.approx(5.0, abs=0.1)]
    assert read(study, "requests").quota_left.tolist() == [9, 9]


def start_process(study: Study, site: Site, home: Path) -> subprocess.Popen:
    """Pull in another process."""
    code = (
        "import json, signal, sys; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell may have it ignored
        "from exe_core.config import parse_study; "
        "from exe_core.sources import pull; given = json.load(sys.stdin); "
        "pull(parse_study(given['study']), base_urls=given['urls'], keys=given['keys'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "EXE_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    given = {"study": study.model_dump(mode="json"), "urls": site.base_urls, "keys": KEYS}
    process.stdin.write(json.dumps(given).encode())
    process.stdin.close()
    return process


def wait_until_asked(site: Site, n_photos: int) -> None:
    deadline = time.monotonic() + 60
    while site.count("/photos/") < n_photos and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_a_pull_that_is_stopped_goes_on_and_loses_nothing(
    home: Path, site: Site, how: signal.Signals
) -> None:
    site.photo_delay_s = 0.05
    study = make_study(per_page={"pexels": 2})
    process = start_process(study, site, home)
    wait_until_asked(site, 5)
    process.send_signal(how)
    said = process.stdout.read().decode()
    assert process.wait() != 0, "the pull ended before it was stopped"
    assert not any(key in said for key in KEYS.values())
    assert len(Ledger(study).pages) >= 3
    run(study, site)
    assert outcome(study) == EXPECTED
    assert site.count("query=happy+face&page=1") == 1, "a complete page was asked for again"


def test_a_photo_that_cannot_be_written_fails_and_not_the_pull(home: Path, site: Site) -> None:
    study = make_study()
    (study.raw / "photos" / "pexels" / "3.part").mkdir(parents=True)
    run(study, site)
    photos = read(study, "photos").set_index("photo_id")
    assert photos.index[photos.status == "failed"].tolist() == ["pexels:3"]


def test_keys_appear_nowhere(
    home: Path, site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    study = make_study(sources=["pexels", "pixabay"])
    for source, key in KEYS.items():
        echo = f"bad request with {key}".encode()
        site.faults[f"/{source}?"] = [
            lambda code, body, headers, echo=echo: (
                403,
                echo,
                {"Content-Length": str(len(echo))},
            )
        ]
    site.faults["/photos/4.jpg"] = [hang_up, stall, cut]
    with pytest.raises(IncompletePullError, match="HTTP 403 bad request with <key>") as caught:
        run(study, site)
    forms = [
        form.encode()
        for key in KEYS.values()
        for form in (key, httpx.QueryParams(k=key))
        for form in [str(form).removeprefix("k=")]
    ]
    texts = [caplog.text.encode(), repr(caught.getrepr(chain=True)).encode()]
    texts += [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    texts += [read(study, "requests").to_csv().encode(), read(study, "photos").to_csv().encode()]
    assert "HTTP Request: GET" in caplog.text
    assert not [form for form in forms for text in texts if form in text]


def test_a_missing_key_is_one_clear_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PEXELS_API_KEY", " ")
    with pytest.raises(SourceError, match=r"PEXELS_API_KEY; data/README.md") as caught:
        pull(make_study(), progress=False)
    assert "\n" not in str(caught.value)


def test_keys_are_taken_from_the_environment(
    home: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PEXELS_API_KEY", KEYS["pexels"])
    pull(make_study(), base_urls=site.base_urls, progress=False)
    assert len(read(make_study(), "hits")) == 8


def test_of_two_pulls_into_one_folder_the_second_is_refused(home: Path, site: Site) -> None:
    second_ended = threading.Event()

    def held(code: int, body: bytes, headers: dict[str, str]) -> tuple[int, bytes, dict[str, str]]:
        second_ended.wait(100)
        return code, body, headers

    site.faults["/photos/1.jpg"] = [held]
    study = make_study(timeout_s=100)
    first = start_process(study, site, home)
    wait_until_asked(site, 1)
    second = start_process(study, site, home)
    said = second.stdout.read().decode()
    assert second.wait() != 0
    assert "another pull into pulled is running: wait for it" in said
    second_ended.set()
    said = first.stdout.read().decode()
    assert first.wait() == 0, said
    assert outcome(study) == EXPECTED
    assert site.count("/photos/") == 7
