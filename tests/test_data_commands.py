"""`exe data` lists, gets and checks; and a real study takes what is open by itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pooch
import pytest
from data_server import DataServer, data_server
from sample_sets import write_fer_csv
from typer.testing import CliRunner

from exe_core import cli, open_data
from exe_core.open_data import HOLDINGS

runner = CliRunner()
CLOSED = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def nothing_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXE_DATA", "")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(open_data, "CACHE", tmp_path / "cache")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataServer]:
    """A server of the clip alone."""
    content = b"moving pictures"
    digests = {"face_noface.mov": f"sha256:{hashlib.sha256(content).hexdigest()}"}
    clip = replace(HOLDINGS["clip"], digests=digests, check=lambda path: [])
    monkeypatch.setitem(HOLDINGS, "clip", clip)
    with data_server() as server:
        server.put(str(clip.repository), "feat/tests/data/face_noface.mov", content)
        monkeypatch.setenv("EXE_DATA_URL", server.address)
        yield server


def test_the_list_names_every_set_its_source_and_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    (tmp_path / "ferplus.csv").touch()
    result = runner.invoke(cli.app, ["data"])
    assert result.exit_code == 0
    for name, holding in HOLDINGS.items():
        assert f"{name}: {holding.source}" in result.output
        assert holding.licence in result.output
        assert all(digest in result.output for digest in holding.digests.values())
    assert f"here: {tmp_path / 'ferplus.csv'}" in result.output
    assert "no: exe data get published" in result.output
    assert "no: ask for it" in result.output


def test_get_fetches_into_the_folder_and_says_how_to_use_it(
    site: DataServer, tmp_path: Path
) -> None:
    result = runner.invoke(cli.app, ["data", "get", "clip", "--to", str(tmp_path / "mine")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "mine" / "video" / "face_noface.mov").is_file()
    assert f"DATA={tmp_path / 'mine'}" in result.output


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["get", "rafdb"], "exe: rafdb is not open"),
        (["get", "fer"], "exe: no set 'fer'"),
        (["check", "fer", "."], "exe: no set 'fer'"),
        (["check", "rafdb", "nowhere"], "exe: nothing at nowhere; rafdb is had from http"),
        (["check", "rafdb", "."], "exe: train_labels.csv is not in folder"),
    ],
)
def test_a_fault_is_one_line(arguments: list[str], fault: str) -> None:
    result = runner.invoke(cli.app, ["data", *arguments])
    assert result.exit_code == 1
    assert result.stderr.startswith(fault)
    assert result.stderr.count("\n") == 1


def test_check_ends_with_status_1_if_something_is_not_as_published(tmp_path: Path) -> None:
    write_fer_csv(tmp_path / "fer2013.csv")
    result = runner.invoke(cli.app, ["data", "check", "fer2013", str(tmp_path / "fer2013.csv")])
    assert result.exit_code == 1
    line = next(line for line in result.output.splitlines() if "train, all" in line)
    assert [word.strip() for word in line.strip("│").split("│")][1:] == ["28,709", "7", "NO"]


def test_a_real_study_without_data_takes_what_is_open_and_names_the_rest(
    site: DataServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_data, "_GET", {"clip": open_data._GET["clip"]})
    result = runner.invoke(cli.app, ["build", "real"])
    assert result.exit_code == 1
    assert (open_data.CACHE / "video" / "face_noface.mov").is_file()
    assert f"fer2013: {open_data.CACHE / 'fer2013.tar.xz'}" in result.output
    assert "films:" not in result.output  # it is there now


def test_a_real_study_without_data_or_network_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXE_DATA_URL", CLOSED)
    result = runner.invoke(cli.app, ["build", "real"])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "exe: study real was given no DATA=<folder>, and of what is open" in result.stderr
    assert "no answer" in result.stderr


def test_a_study_that_reads_nothing_open_asks_for_data_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EXE_DATA_URL", CLOSED)
    result = runner.invoke(cli.app, ["build", "rafdb"])
    assert result.exit_code == 1
    assert "say where it lies, DATA=<folder>" in result.stderr
