"""`exe status` tells by its exit status, too, how far a study is."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from exe_core import cli
from exe_core.commands import status_command
from exe_core.commands.progress import Bar, PlanError, Stage
from exe_core.commands.stage_log import Entry, Flow, append
from exe_core.config import load_study

runner = CliRunner()
DONE = Stage(page="01-pull", state="done", seconds=41)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "140")


def status(monkeypatch: pytest.MonkeyPatch, *found: Stage):
    monkeypatch.setattr(status_command, "stages", lambda study: list(found))
    return runner.invoke(cli.app, ["status", "smoke"])


@pytest.mark.parametrize(
    ("state", "code"),
    [("done", 0), ("failed", 3), ("stopped", 3), ("running", 4), ("stale", 5), ("waiting", 5)],
)
def test_the_exit_status_says_the_worst(
    state: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = status(monkeypatch, DONE, Stage(page="02-crop", state=state))
    assert done.exit_code == code, done.output


def test_rows_that_were_dropped_silently_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    flows = (Flow("photos", 10, 9),)
    append(load_study("smoke"), Entry("01-pull", None, "done", datetime.now(UTC), 1, 1, flows))
    done = status(monkeypatch, DONE)
    assert done.exit_code == 3
    assert "1 rows were dropped without a reason" in done.output


def test_a_stage_that_runs_says_how_far_it_is_and_how_long_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bar = Bar("850", "2.16k", 620.0)
    films = Stage(page="06-films", state="running", seconds=400, left_s=620, bar=bar)
    shown = status(monkeypatch, DONE, films, Stage(page="07-claims", state="waiting")).output
    assert "850 of 2.16k" in shown
    assert "7 min" in shown
    assert "1 done, 1 waiting, 1 running; more than 10 min of work left" in shown


def test_what_came_out_of_a_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    flows = tuple(Flow(f"images of set{k}", 10, 9, {"no face": 1}) for k in range(5))
    entry = Entry("02-crop", None, "done", datetime.now(UTC), 300, 512.3, flows)
    stage = Stage(page="02-crop", state="done", seconds=300, entry=entry)
    shown = status(monkeypatch, stage).output
    assert "images of set0 9 of 10" in shown
    assert "512 MiB" in shown
    assert "set4" not in shown


def test_what_can_not_be_told_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    done = runner.invoke(cli.app, ["status", "dmeo"])
    assert (done.exit_code, done.output[:24]) == (1, "exe: no study 'dmeo'; th")

    def no_plan(study: object) -> list[Stage]:
        raise PlanError("fer2013.tar.xz is not there")

    monkeypatch.setattr(status_command, "stages", no_plan)
    done = runner.invoke(cli.app, ["status", "smoke"])
    assert (done.exit_code, done.output) == (1, "exe: fer2013.tar.xz is not there\n")
