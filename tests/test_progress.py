"""The state of a stage follows from its page, its log and what Snakemake would do."""

from __future__ import annotations

import fcntl
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exe_core.commands import progress
from exe_core.commands.progress import Bar, Output, PlanError, Stage, read_running, stages
from exe_core.commands.stage_log import Entry, append
from exe_core.config import Study, load_study

BAR = (
    "\rfilms:   0%|   | 0.00/2.16k [00:00<?, ?s/s]\rfilms:  39%|#9 | 850/2.16k [00:40<01:02, 21s/s]"
)


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    found = load_study("smoke")
    (found.results / "notebooks").mkdir(parents=True)
    return found


def log(study: Study, stage: str, run: str | None, *, seconds: float = 60, state: str = "done"):
    append(study, Entry(stage, run, state, datetime.now(UTC), seconds, 300.0))


def page(study: Study, name: str) -> Path:
    return study.results / "notebooks" / f"{name}.ipynb"


def write_running(path: Path, *, text: str = BAR, seconds: float = 40) -> None:
    begun = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
    cell = {
        "metadata": {"papermill": {"status": "running"}},
        "outputs": [{"name": "stderr", "text": [text]}],
    }
    pending = {"metadata": {"papermill": {"status": "pending"}}, "outputs": []}
    notebook = {"metadata": {"papermill": {"start_time": begun}}, "cells": [pending, cell]}
    path.write_text(json.dumps(notebook))


def states(
    study: Study, plan: dict[str, bool], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Stage]:
    asked = [Output(page(study, name), name[:2], pending) for name, pending in plan.items()]
    films = [Output(study.results / f"{k}.json", "screen", k > 2) for k in range(1, 5)]
    monkeypatch.setattr(progress, "_plan", lambda study: [*films, *asked])
    return {stage.page: stage for stage in stages(study)}


def test_each_state(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("00-world", "01-pull", "04-predict-rafdb.failed", "05-benchmarks.running"):
        page(study, name).write_text("")
    page(study, "03-train-rafdb.running").write_text("")
    log(study, "00-world", None)
    log(study, "03-train", "fer2013", seconds=90)
    log(study, "04-predict", "rafdb", state="failed")
    plan = dict.fromkeys(("01-pull", "03-train-rafdb", "04-predict-rafdb"), True)
    plan |= {"00-world": False, "05-benchmarks": True, "06-films": True}
    with page(study, "03-train-rafdb.running").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write_running(page(study, "03-train-rafdb.running"), text="", seconds=40)
        found = states(study, plan, monkeypatch)
    assert {name: stage.state for name, stage in found.items()} == {
        "screen": "waiting",
        "00-world": "done",
        "01-pull": "stale",
        "03-train-rafdb": "running",
        "04-predict-rafdb": "failed",
        "05-benchmarks": "stopped",
        "06-films": "waiting",
    }
    assert found["screen"].bar == Bar("2", "4", None)
    assert found["00-world"].seconds == 60
    assert found["03-train-rafdb"].seconds == pytest.approx(40, abs=5)
    assert found["03-train-rafdb"].left_s == pytest.approx(50, abs=5), "as the other run took"
    assert found["06-films"].left_s is None


def test_the_bar_of_the_running_cell_tells_how_far_it_is(tmp_path: Path) -> None:
    write_running(tmp_path / "page")
    seconds, bar = read_running(tmp_path / "page")
    assert seconds == pytest.approx(40, abs=5)
    assert bar == Bar("850", "2.16k", 62.0)


def test_a_bar_that_has_only_begun_tells_no_time(tmp_path: Path) -> None:
    write_running(tmp_path / "page", text="photos: 0photo [00:00, ?photo/s]\r0%| | 0/5 [00:00<?, ?")
    assert read_running(tmp_path / "page")[1] == Bar("0", "5", None)


@pytest.mark.parametrize("text", ["", '{"metadata": {', "[]", '{"metadata": {}}'])
def test_a_page_that_is_just_being_saved_tells_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "page").write_text(text)
    assert read_running(tmp_path / "page") == (None, None)
    assert read_running(tmp_path / "none") == (None, None)


@pytest.mark.slow
def test_snakemake_names_every_page_of_a_study(study: Study) -> None:
    found = {stage.page: stage.state for stage in stages(study)}
    assert {f"03-train-{run}" for run in study.runs} <= set(found)
    assert list(found)[-1] == "book"
    assert found["01-pull"] == "waiting"


@pytest.mark.slow
def test_why_there_is_no_plan(
    study: Study, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    with pytest.raises(PlanError, match="fer2013"):
        stages(load_study("real"))
