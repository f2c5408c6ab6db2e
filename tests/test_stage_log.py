"""A line of the log is whole, whoever else writes; one that was cut spoils no other."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from exe_core.commands.stage_log import Entry, Flow, append, entries, latest, log_path
from exe_core.config import load_study

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
FLOW = Flow("photos", 10, 7, {"failed: HTTP 404": 2})
DONE = Entry("03-train", "rafdb", "done", AT, 97.2, 1327.0, (FLOW,))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))


def test_what_was_lost_without_a_reason_is_what_is_left_over() -> None:
    assert FLOW.n_silent == 1
    assert Flow("photos", 10, 10).n_silent == 0


def test_a_line_is_read_as_it_was_written() -> None:
    study = load_study("smoke")
    append(study, DONE)
    assert list(entries(study)) == [DONE]
    (line,) = log_path(study).read_text().strip().splitlines()
    assert json.loads(line)["flows"][0]["n_silent"] == 1


def test_a_study_without_a_log_has_no_lines() -> None:
    assert list(entries(load_study("smoke"))) == []


def test_the_last_line_of_a_page_holds() -> None:
    study = load_study("smoke")
    failed = DONE._replace(state="failed", error="disk\nfull")
    other = DONE._replace(stage="01-pull", run=None)
    for entry in (failed, other, DONE):
        append(study, entry)
    assert latest(study) == {"03-train-rafdb": DONE, "01-pull": other}


@pytest.mark.parametrize("cut", ['{"stage": "03-tr', "[]", "{}", '{"stage": 1}', "\udcff"])
def test_a_line_that_was_cut_spoils_none_beside_it(cut: str) -> None:
    study = load_study("smoke")
    append(study, DONE)
    with log_path(study).open("a", errors="surrogateescape") as log:
        log.write("\n" + cut)
    append(study, DONE)
    assert list(entries(study)) == [DONE, DONE]


def test_lines_of_many_stages_at_once_are_all_there() -> None:
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(_append_some, range(4)))
    study = load_study("smoke")
    assert len(list(entries(study))) == 100
    assert {entry.run for entry in entries(study)} == {f"run{k}" for k in range(4)}


def _append_some(k: int) -> None:
    study = load_study("smoke")
    for _ in range(25):
        append(study, DONE._replace(run=f"run{k}", error="long " * 2000))
