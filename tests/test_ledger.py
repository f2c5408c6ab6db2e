"""The record of a pull: what was written is read back, and says what need not be asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from sample_sets import make_study

from exe_core import schema
from exe_core.config import Study
from exe_core.ledger import Ledger, Page

PAGE = Page("pexels", "v1", "sad face", 1)
OTHER = Page("pexels", "v1", "happy face", 1)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    return make_study()


def hit(number: int, page: Page = PAGE) -> dict[str, object]:
    return {"photo_id": f"pexels:{number}", "label": "sad", **page._asdict(), "rank": number}


def photo(number: int, status: str = "ok") -> dict[str, object]:
    names = dict.fromkeys(schema.TABLES["photos"].columns)
    row = {"photo_id": f"pexels:{number}", "source": "pexels", "status": status, "phash": "ff"}
    return {**names, **row, "retrieved_at": datetime.now(UTC)}


def request(page: Page = PAGE, **more: object) -> dict[str, object]:
    row = {"requested_at": datetime.now(UTC), **page._asdict(), "per_page": 80, "http_status": 200}
    row |= {"n_returned": 2, "n_new": 2, "share_new": 1.0, "quota_left": None, "seconds": 0.1}
    return {**row, "error": None, "is_last": False, **more}


def test_what_was_saved_is_read_back(study: Study) -> None:
    ledger = Ledger(study)
    for number in (1, 2):
        ledger.photos[f"pexels:{number}"] = photo(number)
        ledger.add(hit(number))
    ledger.requests = [request(error="HTTP 500", http_status=None), request()]
    ledger.save()
    again = Ledger(study)
    assert again.pages == {PAGE: ["pexels:1", "pexels:2"]}
    assert again.photos["pexels:1"]["phash"] == "ff"
    assert again.photos["pexels:1"]["error"] is None
    assert again.answered(PAGE, per_page=80)["is_last"] is False
    before = {name: study.table(name).read_bytes() for name in ("hits", "photos", "requests")}
    again.save()
    for name, content in before.items():
        assert study.table(name).read_bytes() == content


def test_an_empty_ledger_writes_empty_tables(study: Study) -> None:
    Ledger(study).save()
    for name in ("hits", "photos", "requests"):
        assert schema.read(study.table(name), name=name).empty


def test_a_page_is_answered_if_all_its_photos_are_there(study: Study) -> None:
    ledger = Ledger(study)
    ledger.photos = {"pexels:1": photo(1), "pexels:2": photo(2, "failed")}
    ledger.requests = [request(), request(OTHER)]
    ledger.add(hit(1, OTHER))
    ledger.add(hit(2))
    assert ledger.answered(OTHER, per_page=80) is ledger.requests[1]
    assert ledger.answered(PAGE, per_page=80) is None
    assert ledger.answered(OTHER, per_page=40) is None, "pages of another size are other pages"
    ledger.photos["pexels:2"] = photo(2)
    assert ledger.answered(PAGE, per_page=80) is ledger.requests[0]
    del ledger.photos["pexels:2"]
    assert ledger.answered(PAGE, per_page=80) is None


def test_a_photo_is_new_where_it_was_found_first(study: Study) -> None:
    ledger = Ledger(study)
    assert ledger.add(hit(1))
    assert not ledger.add(hit(1, OTHER))
    assert ledger.add(hit(1)), "asked for again after a kill, it is as new as before"
    assert ledger.add(hit(1, PAGE._replace(design="v2")))
    assert not ledger.add(hit(1, PAGE._replace(page=2)))
    assert ledger.pages[PAGE] == ["pexels:1"]
    assert PAGE._replace(page=2) not in ledger.pages
