"""`exe size` computes from the rates that were measured, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from exe_core import cli
from exe_core.commands import size_command

runner = CliRunner()
RATES = {"film": 3.6e6, "read": 36.0, "learn": 0.0}


@pytest.fixture
def rates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Rates that one can reckon with: an hour a film hour, a hundredth of a second a face."""
    path = tmp_path / "rates.csv"
    rows = [{"step": step, "processor_ms": rate} for step, rate in RATES.items()]
    pd.DataFrame(rows).to_csv(path, index=False)
    monkeypatch.setattr(size_command.read_rates, "__defaults__", (path,))
    monkeypatch.setenv("COLUMNS", "120")
    return path


def test_the_published_study_is_what_is_not_said_otherwise(rates: Path) -> None:
    work = size_command.published()
    assert (work.films, work.models, work.faces) == (59, 4, 8_364)  # a fifth of each is held out
    done = runner.invoke(cli.app, ["size"])
    assert done.exit_code == 0, done.output
    assert "59 films of 2 h, 4 models, 8,364 faces" in done.output


def test_what_is_asked_for_is_reckoned(rates: Path) -> None:
    asked = ["size", "--films", "10", "--models", "2", "--faces", "0", "--cores", "10"]
    done = runner.invoke(cli.app, [*asked, "--price", "0.5"])
    # 20 hours of film, 34,560 faces of 36 ms; the films on ten cores, the faces on two
    assert "20.3 processor hours, 2.2 h on 10 cores, 10.17 US dollars at 0.5 an hour" in (
        " ".join(done.output.split())
    )


def test_without_rates_one_is_told_how_to_measure_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BaseException, match="1"):
        size_command.read_rates(tmp_path / "rates.csv")
    assert "pytest tests/test_size.py --write-size" in capsys.readouterr().err


def test_what_the_page_shows_is_computed(rates: Path) -> None:
    size_command.keep(rates.parent)
    values = json.loads((rates.parent / "values" / "size.json").read_text())
    costs = pd.read_csv(rates.parent / "costs.csv")
    spent = costs[costs["study"] == "as published"]["processor_h"].sum()
    assert values["size.published.processor_h"]["value"] == pytest.approx(spent, rel=1e-4)
    assert values["size.larger.usd.0"]["value"] == pytest.approx(
        1000 * values["size.published.usd.0"]["value"]
    )
    assert (rates.parent / "figures" / "fig-size-cost.svg").exists()
