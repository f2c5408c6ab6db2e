"""A pull keeps what it got through limits, quotas, malformed records, kills and second runs."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import product

import httpx
import pandas as pd
import pytest
from photo_server import KEYS, Site, page_of_html, photo_bytes, pulled_study, status
from sample_worlds import tiny_study

from exe_core import sources, tables
from exe_core.fetching import SourceError
from exe_core.pull import MALFORMED, IncompletePullError, Ledger, Page, checked, pull
from exe_core.record import ROOT, BusyError, locked
from exe_core.sources import SOURCES, Photo, Search, Terms
from exe_core.study import ConfigError
from exe_world.site import endpoints

HITS = {(f"pexels:{n}", "happy face") for n in (1, 2, 3, 4, 5)} | {
    (f"pexels:{n}", "sad face") for n in (5, 6, 7)
}
DIGESTS = {f"pexels:{n}": hashlib.sha256(photo_bytes(n)).hexdigest() for n in range(1, 8)}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def site():
    with Site() as site:
        yield site


@pytest.fixture(autouse=True)
def waits(monkeypatch):
    """The waits that pulls ask for, and do not wait."""
    waits = []
    monkeypatch.setattr("exe_core.pull._sleep", lambda seconds, stop: waits.append(seconds))
    return waits


def run(study, site):
    pull(study, base_urls=site.base_urls, keys=KEYS)


def read(study, name):
    return tables.read(study.table(name), name=name)


def outcome(study):
    """What a pull is for: which photo answers which query, and each photo's bytes."""
    hits, photos = read(study, "hits"), read(study, "photos").set_index("photo_id")
    assert not hits.duplicated(["photo_id", "design", "query"]).any()
    for row in photos[photos.status == "ok"].itertuples():
        assert hashlib.sha256((ROOT / row.path).read_bytes()).hexdigest() == row.sha256
    return set(zip(hits.photo_id, hits["query"], strict=True)), photos.sha256.to_dict()


def pages_asked(site):
    asked = [httpx.URL(path).params for path in site.asked if "query=" in path]
    return [f"{params['query']} {params['page']}" for params in asked]


def test_photos_hits_and_requests_are_kept_and_a_second_pull_asks_for_nothing(site):
    study = pulled_study("pexels", "pixabay", per_page={"pexels": 3, "pixabay": 3})
    run(study, site)
    hits, _ = outcome(study)
    assert hits == HITS | {(name.replace("pexels", "pixabay"), query) for name, query in HITS}
    before = {name: read(study, name) for name in ("hits", "photos", "requests")}
    photos, requests = before["photos"], before["requests"]
    assert set(photos.status) == {"ok"}
    assert photos.author[0] == "Author 1"
    assert photos.page_url[0] == "/photo/1/", "the port of a stand-in is another each time"
    kept = requests[requests.source == "pexels"][["query", "page", "n_returned", "n_new"]]
    assert kept.to_numpy().tolist() == [
        ["happy face", 1, 3, 3],
        ["happy face", 2, 2, 2],
        ["sad face", 1, 3, 2],
    ]
    assert site.count("/photos/5.jpg") == 2, "once a source, though two labels found it"
    n_asked = len(site.asked)
    study.table("photos").unlink()
    run(study, site)
    assert len(site.asked) == n_asked
    for name, table in before.items():
        pd.testing.assert_frame_equal(read(study, name), table)


@pytest.mark.parametrize(
    ("settings", "found", "pages"),
    [
        ({"max_per_query": 5}, range(1, 20), 3),
        ({}, range(1, 6), 3),
        ({}, [], 1),
        ({}, [1, 2, 1, 2, 1, 2, 8, 9], 2),
        ({"stop_below_new": 0.0}, [1, 2, 1, 2, 1, 2, 8, 9], 4),
    ],
    ids=["max_per_query", "last page", "empty", "nothing new", "new or not"],
)
def test_a_query_ends(site, settings, found, pages):
    site.found = {"happy face": list(found)}
    study = pulled_study(**{"per_page": {"pexels": 2}, **settings})
    run(study, site)
    assert site.count("query=happy") == pages
    kept = set(list(found)[: 2 * pages])
    assert set(read(study, "photos").photo_id) == {f"pexels:{number}" for number in kept}


def test_a_raised_limit_fetches_the_rest_and_another_filter_asks_anew(site):
    site.found = {"happy face": list(range(1, 10))}
    usual = {"per_page": {"pexels": 4}, "stop_below_new": 0.0}
    for limits, pages in (
        ({"max_per_query": 2}, ["happy face 1", "sad face 1"]),
        ({"max_per_query": 2}, []),
        ({"max_per_query": 6}, ["happy face 1", "happy face 2"]),
        ({"max_per_query": 8}, []),
        ({}, ["happy face 3"]),
        ({"filters": {"pexels": {"size": "large"}}}, [f"happy face {k}" for k in (1, 2, 3)]),
    ):
        n_before = len(pages_asked(site))
        run(pulled_study(**usual, **limits), site)
        assert [
            page for page in pages_asked(site)[n_before:] if "happy" in page or not n_before
        ] == pages
    assert read(pulled_study(), "hits")["rank"].tolist() == [1, 2, 3, 4, 1, 2, 3, 4, 1]
    asked = Counter(path for path in site.asked if "/photos/" in path)
    assert asked == Counter(f"/photos/{number}.jpg" for number in range(1, 10))


def test_what_is_new_is_judged_within_a_design(site):
    """Else a design would end early for what the other one found before it."""
    site.found = {"happy face": [1, 2, 3, 4], "happy": [1, 2, 3, 4]}
    run(study := pulled_study(designs=["v1", "v2"], per_page={"pexels": 2}), site)
    requests = read(study, "requests")
    assert requests.n_new[requests["query"] == "happy"].tolist() == [2, 2]


def test_one_malformed_record_spoils_no_other_and_is_asked_for_again(site):
    whole = Site.pexels

    def answer(shown, numbers):
        content = whole(site, shown, numbers)
        for photo in content["photos"]:
            if photo["id"] == 2:
                photo["src"] = {"large2x": None}
            if photo["id"] == 4:
                photo["id"] = "../../4"
        return content

    site.pexels = answer
    run(study := pulled_study(), site)
    assert set(outcome(study)[1]) == set(DIGESTS) - {"pexels:2", "pexels:4"}
    requests = read(study, "requests")
    assert requests[["n_returned", "n_kept"]].to_numpy().tolist() == [[5, 3], [3, 3]]
    assert requests.error[0].startswith("2 malformed records, such as TypeError('pexels:2 has no")
    site.pexels = lambda *shown: whole(site, *shown)
    run(study, site)
    assert outcome(study) == (HITS, DIGESTS)
    site.pexels = lambda shown, numbers: {"photos": [{"id": 1}]}
    with pytest.raises(IncompletePullError, match=r"not as pexels documents it: KeyError\('src'"):
        run(pulled_study(filters={"pexels": {"size": "large"}}), site)


ODD = [None, 5, -1, 10**30, [], {"a": 1}, "\ud800", "", True]


def test_a_photo_is_kept_whatever_else_its_record_says(site):
    odd = list(product(["pageURL", "user", "imageWidth"], ODD))
    site.found = {"happy face": list(range(len(odd)))}

    def answer(shown, numbers):
        hits = Site.pixabay(site, shown, numbers)["hits"]
        return {"hits": [hit | dict([odd[hit["id"]]]) for hit in hits], "totalHits": None}

    site.pixabay = answer
    run(study := pulled_study("pixabay"), site)
    assert read(study, "photos").status.tolist() == ["ok"] * len(odd)
    assert read(study, "requests").error.isna().all()


@pytest.mark.parametrize("headers", [{"Retry_After": "3600"}, {}], ids=["an hour", "not given"])
def test_a_long_wait_ends_the_source_with_a_time_and_loses_nothing(site, headers):
    study = pulled_study("pexels", "pixabay")
    site.quota = {"X-RateLimit-Remaining": "15000", "X-RateLimit-Reset": "900000"}  # the month's
    site.faults["/pexels?query=sad"] = [status(429, **headers)]
    with pytest.raises(
        IncompletePullError, match=r"'sad face' on .*come back after .* UTC"
    ) as ended:
        run(study, site)
    back = pd.Timestamp(str(ended.value).split("come back after ")[1][:16], tz="UTC")
    assert 55 < (back - pd.Timestamp.now(tz="UTC")) / pd.Timedelta(minutes=1) < 65
    assert Counter(read(study, "hits").source) == {"pexels": 5, "pixabay": 8}
    run(study, site)
    assert Counter(read(study, "hits").source) == {"pexels": 8, "pixabay": 8}
    assert site.count("/pexels?query=happy") == 1


def test_a_spent_quota_is_waited_for(site, waits):
    site.faults["query=sad"] = [status(429, Retry_After="3000"), status(429, Retry_After="500")]
    run(study := pulled_study(wait_for_quota_s=3600), site)
    assert waits == [3000, 500]
    assert outcome(study) == (HITS, DIGESTS)
    assert read(study, "requests").http_status.tolist() == [200, 429, 429, 200]


def test_a_query_that_fails_does_not_end_the_others(site):
    site.faults["query=happy"] = [page_of_html, *[status(500)] * 4]
    with pytest.raises(IncompletePullError, match=r"'happy face' \(HTTP 500 out of order, 5 times"):
        run(study := pulled_study(), site)
    assert set(read(study, "hits")["query"]) == {"sad face"}
    assert "the answer is not JSON" in read(study, "requests").error.tolist()
    run(study, site)
    assert outcome(study) == (HITS, DIGESTS)


def test_a_pull_that_is_interrupted_goes_on_and_loses_nothing(site):
    site.photo_delay_s = 0.05
    study = pulled_study(per_page={"pexels": 2})
    code = (
        "import json, signal, sys; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); "  # a shell may have it ignored
        "from exe_core.study import parse_study; from exe_core import pull; pull.DOWNLOADS = 1; "
        "study, urls, keys = json.loads(sys.argv[1]); "
        "pull.pull(parse_study(study), base_urls=urls, keys=keys)"
    )
    given = json.dumps([study.model_dump(mode="json"), site.base_urls, KEYS])
    with subprocess.Popen(
        [sys.executable, "-c", code, given], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        deadline = time.monotonic() + 60
        while site.count("/photos/") < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output = process.stdout.read().decode()
    assert process.returncode != 0, "the pull ended before it was interrupted"
    assert not any(key in output for key in KEYS.values())
    run(study, site)
    assert outcome(study) == (HITS, DIGESTS)
    assert site.count("query=happy+face&page=1") == 1, "a complete page was asked for again"


def test_a_study_that_would_pull_from_a_folder_learns_what_to_write():
    with pytest.raises(ConfigError, match=r"no source 'local'; .* `sets: \{mine: \{kind: folder"):
        pulled_study("local")


def test_of_two_pulls_into_one_folder_the_second_is_refused(site):
    study = pulled_study()
    with locked(study.raw / ".pull.lock"), pytest.raises(BusyError, match="another pull into"):
        run(study, site)
    assert site.asked == []


def test_keys_come_from_the_environment_and_show_nowhere(home, site, monkeypatch, caplog):
    monkeypatch.setenv("PEXELS_API_KEY", " ")
    with pytest.raises(SourceError, match=r"PEXELS_API_KEY; data/README.md"):
        pull(pulled_study())
    for key in ("schlüssel", "two\nlines", "a\x00b"):
        with pytest.raises(SourceError, match="characters of no key: check PEXELS") as refused:
            pull(pulled_study(), keys={"pexels": key})
        assert key not in str(refused.value)
    monkeypatch.setenv("PEXELS_API_KEY", KEYS["pexels"])
    site.faults["query=sad"] = [lambda *_: (403, f"bad request: {KEYS}".encode(), {})]
    with pytest.raises(IncompletePullError, match=r"HTTP 403 bad request: .*<key>") as caught:
        pull(pulled_study(), base_urls=site.base_urls)
    texts = [caplog.text.encode(), repr(caught.getrepr(chain=True)).encode()]
    texts += [path.read_bytes() for path in home.rglob("*") if path.is_file()]
    texts.append(read(pulled_study(), "requests").to_csv().encode())
    quoted = str(httpx.QueryParams(k=KEYS["pexels"])).removeprefix("k=")
    assert not [text for text in texts for key in (KEYS["pexels"], quoted) if key.encode() in text]


def test_each_source_gives_its_photos_with_author_and_licence():
    """All three sites, as the synthetic world plays them."""
    labels, photos = ("happy", "sad"), {"v1": 3, "v2": 1}
    study = tiny_study(labels=labels, photos_per_query=photos, pull={"sources": [*SOURCES]})
    with endpoints(study) as where:
        pull(study, **where)
    hits, photos = read(study, "hits"), read(study, "photos")
    assert hits.groupby("source")["query"].nunique().to_dict() == dict.fromkeys(SOURCES, 2)
    assert set(photos.status) == {"ok"}
    columns = ["author", "page_url", "url", "licence", "licence_url", "attribution"]
    assert photos[columns].notna().all(axis=None)
    assert photos.attribution.str.contains("invented name").all(), "nobody took these photos"
    assert "127.0.0.1" not in photos.to_csv()


class TestSources:
    @pytest.mark.parametrize("name", SOURCES)
    def test_a_documented_answer_is_read(self, name):
        documented = json.loads((ROOT / "tests" / "golden" / "photo_sites.json").read_text())
        answer, expected = documented[name]["answer"], documented[name]["photo"]
        (record,) = SOURCES[name].records(answer)
        found = SOURCES[name].photo(record)
        expected = [Terms(*one) if isinstance(one, list) else one for one in expected]
        assert list(found)[: len(expected)] == expected
        for page, is_last in documented[name]["last"]:
            search = Search("sad", page, SOURCES[name].per_page, {})
            assert SOURCES[name].is_last(answer, search) is is_last

    @pytest.mark.parametrize("name", SOURCES)
    @pytest.mark.parametrize("odd", [None, 3.5, float("inf"), True, [], {"a": 1}, "", "1/2"])
    def test_what_is_no_id_is_malformed_and_not_the_id_of_another(self, name, odd):
        documented = json.loads((ROOT / "tests" / "golden" / "photo_sites.json").read_text())
        (record,) = SOURCES[name].records(documented[name]["answer"])
        with pytest.raises(MALFORMED):
            checked(SOURCES[name].photo(record | {"id": odd}))

    @pytest.mark.parametrize("name", SOURCES)
    def test_no_other_field_than_id_and_address_is_needed(self, name):
        documented = json.loads((ROOT / "tests" / "golden" / "photo_sites.json").read_text())
        (record,) = SOURCES[name].records(documented[name]["answer"])
        whole = SOURCES[name].photo(record)
        for field, odd in product(record.keys() - {"id", "url", "src", "largeImageURL"}, ODD):
            photo = checked(SOURCES[name].photo(record | {field: odd}))
            assert (photo.photo_id, photo.url) == (whole.photo_id, whole.url)
            assert all(isinstance(one, str | int | Terms | None) for one in photo)
            assert all(isinstance(one, str | None) for one in photo.terms or ())

    def test_each_site_is_asked_as_it_documents(self):
        search = Search("sad face", 2, 50, {"lang": "de"}, key="the key")
        made = {
            name: httpx.Request("GET", "https://host.invalid/", **SOURCES[name].request(search))
            for name in SOURCES
        }
        sent = {name: request.headers.get("Authorization") for name, request in made.items()}
        assert sent == {"pexels": "the key", "pixabay": None, "openverse": "Bearer the key"}
        paged = {"page": "2", "lang": "de"}
        assert {name: dict(request.url.params) for name, request in made.items()} == {
            "pexels": {"query": "sad face", "per_page": "50", **paged},
            "pixabay": {"key": "the key", "q": "sad face", "per_page": "50", **paged},
            "openverse": {"q": "sad face", "page_size": "50", **paged},
        }

    def test_the_source_that_the_documentation_adds_can_be_used(self, monkeypatch):
        text = (ROOT / "data" / "README.md").read_text().split("```python")[1].split("```")[0]
        exec(text, names := vars(sources).copy())
        monkeypatch.setitem(SOURCES, "museum", museum := names["MUSEUM"])
        monkeypatch.delenv("MUSEUM_TOKEN", raising=False)
        study = pulled_study("museum", kind="real", per_page={"museum": 2})
        assert study.missing() == ["museum: its API key in the variable MUSEUM_TOKEN"]
        answer = {"objects": [{"nr": 3, "image": "u", "page": "p", "maker": "M"}], "count": 1}
        (record,) = museum.records(answer)
        assert museum.photo(record) == Photo("museum:3", "u", "p", "M")
        request = museum.request(Search("sad", 2, 2, {}, "secret"))
        assert request["headers"]["X-Token"] == "secret"
        assert request["params"]["from"] == 2


PAGE = Page("pexels", "v1", "sad face", 1)


class TestLedger:
    def photo(self, study, number, **more):
        (study.raw / f"{number}.jpg").touch()
        names = dict.fromkeys(tables.TABLES["photos"].columns)
        row = {"photo_id": f"pexels:{number}", "source": "pexels", "status": "ok", "phash": "ff"}
        row |= {"path": str(study.raw / f"{number}.jpg"), "retrieved_at": datetime.now(UTC)}
        return {**names, **row, **more}

    def fill(self, ledger, study):
        row = {"requested_at": datetime.now(UTC), **PAGE._asdict(), "asked": "q", "error": None}
        row |= {"http_status": 200, "n_returned": 2, "n_kept": 2, "n_new": 2, "share_new": 1.0}
        row |= {"is_last": False, "quota_left": None, "seconds": 0.1, "is_failed": False}
        ledger.add(self.photo(study, 1))
        ledger.add(self.photo(study, 2))
        ledger.add(row | {"label": "sad", "photo_ids": ["pexels:2", "pexels:1"]})

    def is_full(self, ledger):
        return str(ledger).startswith("2 photos, 0 of") and ledger.answered(PAGE, asked="q")

    def test_it_is_read_back_from_a_journal_cut_at_any_byte(self):
        study, path = pulled_study(), pulled_study().raw / ".pull.jsonl"
        self.fill(Ledger(study), study)  # never closed, as after a kill
        whole = path.read_bytes()
        lines = whole.split(b"\n")[1:]
        for length in range(0, len(whole), 61):
            path.write_bytes(whole[:length])
            cut = Ledger(study)
            n_rows = len(cut.photos) + len(cut._answers)
            assert n_rows == sum(whole.index(line) + len(line) <= length for line in lines)
            self.fill(cut, study)
            assert self.is_full(Ledger(study))
        path.write_bytes(whole)
        Ledger(study).close()
        assert [len(read(study, name)) for name in ("hits", "photos", "requests")] == [2, 2, 1]

    def test_a_page_is_answered_if_all_its_photos_are_there(self):
        study = pulled_study()
        self.fill(ledger := Ledger(study), study)
        assert ledger.answered(PAGE, asked="another") is None
        ledger.add(self.photo(study, 2, status="failed", error="HTTP 404"))
        assert ledger.answered(PAGE, asked="q") is None
        ledger.add(self.photo(study, 2))
        assert self.is_full(ledger)
        (study.raw / "2.jpg").unlink()
        assert ledger.answered(PAGE, asked="q") is None
