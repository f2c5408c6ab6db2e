"""What failed is told with its reason, and rows that vanished make the build end otherwise."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from exe_core.commands import final_report
from exe_core.commands.stage_log import Entry, Flow, append
from exe_core.config import Study, load_study

TOLD = Flow("photos", 10, 7, {"failed: HTTP 404": 3})
SILENT = Flow("faces", 10, 8)
WHOLE = Flow("films", 4, 4)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    found = load_study("smoke")
    (found.results / "notebooks").mkdir(parents=True)
    return found


def log(study: Study, stage: str, *flows: Flow, run: str | None = None, error: str | None = None):
    state = "failed" if error else "done"
    append(study, Entry(stage, run, state, datetime.now(UTC), 1.0, 1.0, flows, error))


def test_what_was_lost_is_shown_with_its_reason(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    log(study, "01-pull", TOLD)
    log(study, "06-films", WHOLE)
    found = final_report.report(study)
    assert found == ({}, [("01-pull", TOLD)])
    assert found.n_silent == 0
    final_report.show(found)
    assert "HTTP 404 3" in capsys.readouterr().out


def test_what_was_lost_without_a_reason_is_an_error(
    study: Study, capsys: pytest.CaptureFixture[str]
) -> None:
    log(study, "04-predict", SILENT, run="rafdb")
    found = final_report.report(study)
    assert found.n_silent == 2
    final_report.show(found)
    assert "exe: 2 rows were dropped without a reason" in capsys.readouterr().err
    log(study, "04-predict", WHOLE, run="rafdb")
    assert final_report.report(study).n_silent == 0, "the stage has run again"


def test_more_rows_than_there_were_make_up_for_none(study: Study) -> None:
    log(study, "04-predict", SILENT, Flow("faces", 8, 10), run="rafdb")
    assert final_report.report(study).n_silent == 2


def test_a_run_that_the_study_has_no_more_is_left_out(study: Study) -> None:
    log(study, "04-predict", SILENT, run="of another time")
    assert final_report.report(study) == ({}, [])


def test_failed_and_killed_stages_are_told_as_long_as_their_pages_stand(study: Study) -> None:
    pages = study.results / "notebooks"
    (pages / "03-train-rafdb.failed.ipynb").write_text("")
    (pages / "01-pull.running.ipynb").write_text("")
    log(study, "03-train", run="rafdb", error="ValueError: no face")
    log(study, "02-crop", error="of another time")
    assert final_report.report(study).faults == {
        "03-train-rafdb": "ValueError: no face",
        "01-pull": "killed, or its machine stopped",
    }
