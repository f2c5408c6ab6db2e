"""An error is one line on stderr and status 1; a table folds long texts and cuts none."""

from __future__ import annotations

import pytest
import typer

from exe_core.cli import fail, show_table


def test_an_error_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail("no such thing")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err == "exe: no such thing\n"


def test_a_narrow_table_loses_no_letter(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    show_table(["what", "[found]"], [["a", "https://example.org/" + "x" * 40]], lines=True)
    shown = capsys.readouterr().out
    assert shown.count("x") == 41
    assert max(map(len, shown.splitlines())) <= 30
    assert "[found]" in shown
