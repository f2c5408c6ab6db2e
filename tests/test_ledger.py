"""The record of a pull: what was entered is read back, and says what need not be asked for."""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from sample_sets import make_study

from exe_core import pull, tables
from exe_core.pull import Ledger, Page
from exe_core.study import Study

PAGE = Page("pexels", "v1", "sad face", 1)
OTHER = Page("pexels", "v1", "happy face", 1)
TABLES = ("hits", "photos", "requests")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    return make_study()


@pytest.fixture
def journal(study: Study) -> Path:
    return study.raw / ".pull.journal"


def hit(number: int, page: Page = PAGE) -> dict[str, object]:
    return {"photo_id": f"pexels:{number}", "label": "sad", **page._asdict(), "rank": number}


def photo(study: Study, number: int, **more: object) -> dict[str, object]:
    path = study.raw / f"{number}.jpg"
    path.touch()
    names = dict.fromkeys(tables.TABLES["photos"].columns)
    row = {"photo_id": f"pexels:{number}", "source": "pexels", "status": "ok", "phash": "ff"}
    return {**names, **row, "path": str(path), "retrieved_at": datetime.now(UTC), **more}


def request(page: Page = PAGE, **more: object) -> dict[str, object]:
    row = {"requested_at": datetime.now(UTC), **page._asdict(), "asked": "q", "http_status": 200}
    row |= {"n_returned": 2, "n_kept": 2, "n_new": 2, "share_new": 1.0, "is_last": False}
    return {**row, "quota_left": None, "seconds": 0.1, "error": None, **more}


def fill(ledger: Ledger, study: Study) -> None:
    for number in (1, 2):
        ledger.add_photo(photo(study, number))
    ledger.add_hits([hit(2), hit(1)])
    ledger.add_request(request(error="HTTP 500", http_status=None))
    ledger.add_request(request())


def saved(study: Study) -> dict[str, pd.DataFrame]:
    return {name: tables.read(study.table(name), name=name) for name in TABLES}


def assert_full(ledger: Ledger) -> None:
    assert sorted(ledger.pages[PAGE]) == ["pexels:1", "pexels:2"]
    assert ledger.photos["pexels:1"]["phash"] == "ff"
    assert ledger.photos["pexels:1"]["error"] is None
    answer = ledger.answered(PAGE, asked="q", room=None)
    assert answer is not None
    assert answer["is_last"] is False
    assert ledger.summary() == "2 hits, 2 photos, 0 of them failed"


def test_what_was_written_is_read_back(study: Study) -> None:
    ledger = Ledger(study)
    fill(ledger, study)
    ledger.close()
    assert_full(again := Ledger(study))
    before = {name: study.table(name).read_bytes() for name in TABLES}
    again.close()
    for name, content in before.items():
        assert study.table(name).read_bytes() == content


def test_a_killed_one_is_read_back_from_its_journal(study: Study, journal: Path) -> None:
    fill(Ledger(study), study)  # never closed
    assert not study.table("hits").exists()
    assert_full(again := Ledger(study))
    again.close()
    assert journal.read_bytes() == b""
    assert [len(table) for table in saved(study).values()] == [2, 2, 2]


def test_a_journal_cut_at_any_byte_loses_what_was_cut_and_nothing_else(
    study: Study, journal: Path
) -> None:
    fill(Ledger(study), study)
    whole = journal.read_bytes()
    lines = whole.split(b"\n")[1:]
    for length in range(0, len(whole), 37):
        journal.write_bytes(whole[:length])
        ends = [whole.index(line) + len(line) for line in lines]
        cut = Ledger(study)
        n_rows = len(cut.photos) + sum(map(len, cut.pages.values())) + len(cut._rows["requests"])
        assert n_rows == sum(end <= length for end in ends)
        fill(cut, study)
        assert_full(Ledger(study))


def test_tables_and_the_journal_that_led_to_them_are_not_added_up(
    study: Study, journal: Path
) -> None:
    """So stands it after a kill between the writing of the tables and the end of the journal."""
    ledger = Ledger(study)
    fill(ledger, study)
    lines = journal.read_bytes()
    ledger.close()
    journal.write_bytes(lines)
    Ledger(study).close()
    assert [len(table) for table in saved(study).values()] == [2, 2, 2]


def test_tables_are_written_from_time_to_time(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "SAVE_EVERY_S", 0.0)
    ledger = Ledger(study)
    ledger.add_hits([hit(1)])
    assert saved(study)["hits"].photo_id.tolist() == ["pexels:1"]


def test_rows_are_in_one_order_whenever_they_came(study: Study) -> None:
    ledger = Ledger(study)
    ledger.add_hits([hit(3), hit(1)])
    ledger.add_hits([hit(2, OTHER)])
    for number in (2, 10, 1):
        ledger.add_photo(photo(study, number))
    ledger.close()
    assert saved(study)["hits"].photo_id.tolist() == ["pexels:2", "pexels:1", "pexels:3"]
    assert saved(study)["photos"].photo_id.tolist() == ["pexels:1", "pexels:10", "pexels:2"]


def test_an_empty_ledger_writes_empty_tables(study: Study) -> None:
    Ledger(study).close()
    assert all(table.empty for table in saved(study).values())


def test_tables_of_an_older_version_are_read(study: Study) -> None:
    ledger = Ledger(study)
    fill(ledger, study)
    ledger.close()
    for name, new in (("photos", ["attribution", "reported_at"]), ("requests", ["asked"])):
        table = pd.read_parquet(study.table(name)).drop(columns=new)
        table.to_parquet(study.table(name))
    again = Ledger(study)
    assert again.has("pexels:1")
    assert again.answered(PAGE, asked="q", room=None) is None


def test_a_page_is_answered_if_all_its_photos_are_there(study: Study) -> None:
    ledger = Ledger(study)
    ledger.add_photo(photo(study, 1))
    ledger.add_photo(photo(study, 2, status="failed", error="HTTP 404", path=None))
    ledger.add_hits([hit(1, OTHER)])
    ledger.add_hits([hit(2)])
    ledger.add_request(request())
    ledger.add_request(request(OTHER))
    assert ledger.answered(OTHER, asked="q", room=None) is not None
    assert ledger.answered(OTHER, asked="another", room=None) is None
    assert ledger.answered(PAGE, asked="q", room=None) is None
    ledger.add_photo(photo(study, 2, error="its download is not reported yet"))
    assert ledger.answered(PAGE, asked="q", room=None) is None
    ledger.add_photo(photo(study, 2))
    assert ledger.answered(PAGE, asked="q", room=None) is not None
    (study.raw / "2.jpg").unlink()
    assert ledger.answered(PAGE, asked="q", room=None) is None, "its file is gone"


def test_a_cut_page_is_answered_for_as_many_as_it_was_cut_to(study: Study) -> None:
    ledger = Ledger(study)
    ledger.add_request(request(n_returned=80, n_kept=5))
    assert ledger.answered(PAGE, asked="q", room=5) is not None
    assert ledger.answered(PAGE, asked="q", room=3) is not None
    assert ledger.answered(PAGE, asked="q", room=6) is None
    assert ledger.answered(PAGE, asked="q", room=None) is None


def test_a_photo_is_new_where_it_was_found_first(study: Study) -> None:
    ledger = Ledger(study)
    assert ledger.add_hits([hit(1)]) == 1
    assert ledger.add_hits([hit(1, OTHER), hit(2, OTHER)]) == 1
    assert ledger.add_hits([hit(1)]) == 1, "asked for again, it is as new as before"
    assert ledger.add_hits([hit(1, PAGE._replace(design="v2"))]) == 1
    assert ledger.add_hits([hit(1, PAGE._replace(page=2))]) == 0
    assert ledger.pages[PAGE] == ["pexels:1"]
    assert PAGE._replace(page=2) not in ledger.pages


def test_several_threads_enter_side_by_side(study: Study) -> None:
    ledger = Ledger(study)

    def enter(start: int) -> None:
        for number in range(start, start + 50):
            ledger.add_photo(photo(study, number))

    threads = [threading.Thread(target=enter, args=(50 * k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Ledger(study).photos) == 300


def test_a_full_disk_is_said(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(study)
    monkeypatch.setattr(os, "write", lambda _, text: len(text) // 2)
    with pytest.raises(OSError, match="No space left"):
        ledger.add_hits([hit(1)])
