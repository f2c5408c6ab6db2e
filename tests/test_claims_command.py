"""`exe claims`: what is frozen is what the code gives, in the form that the book reads."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from published_files import write_files
from typer.testing import CliRunner

from exe_core import cli, published, tables
from exe_core.claims import VERDICTS, Estimate, Finding, verdict
from exe_core.resampling import Statistics

HOUSE = ["claim_id", "text", "source", "statistic", "estimate", "low", "high"]
HOUSE += ["p_value", "p_adjusted", "verdict"]
runner = CliRunner()


def run(*arguments):
    return runner.invoke(cli.app, ["claims", *map(str, arguments)])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the command writes from files in the published layout."""
    folder, to = tmp_path_factory.mktemp("published"), tmp_path_factory.mktemp("frozen")
    write_files(folder, happy_in_comedies=1.0)
    result = run(folder, "--to", to)
    assert result.exit_code == 0, result.output
    assert "not testable" in result.output
    return folder, to


def test_what_is_frozen_is_what_the_code_gives(made):
    folder, to = made
    answers = cli.answer(published.read_published(folder))
    for name, table in (("claims", answers.claims), ("claims_parts", answers.parts)):
        written = pd.read_csv(to / "published" / f"{name}.csv")
        pd.testing.assert_frame_equal(
            written, table, check_dtype=False, rtol=1e-5, atol=1e-9, check_index_type=False
        )


def test_tables_values_figure_and_provenance_lie_together(made):
    folder, to = made
    assert (to / "claims.csv").read_bytes() == (to / "published" / "claims.csv").read_bytes()
    values = json.loads((to / "published" / "values" / "claims.json").read_text())
    assert values["claims.n.all"]["value"] == 8
    assert {"value", "low", "high"} == set(values["claims.c1a"])
    about = json.loads((to / "published" / "figures" / "fig-claims.provenance.json").read_text())
    assert len(about["files"]) == 6
    assert about["command"] == "exe claims DATA/published"
    assert set(published.FILES) < {Path(name).name for name in about["inputs"]}
    assert "data/frozen/published/runs.csv" in about["inputs"]
    assert str(folder) not in (to / "claims.provenance.json").read_text()


def test_missing_files_are_one_line(tmp_path):
    result = run(tmp_path, "--to", tmp_path)
    assert result.exit_code == 1
    assert result.output.startswith("exe: no ExE.parquet in ")


class TestFrozen:
    """The table that the paper shows."""

    table = pd.read_csv(cli.CLAIMS_DIR / "claims.csv")

    def test_has_the_eight_claims_in_order_and_the_columns_of_the_house(self):
        assert self.table["claim_id"].tolist() == [f"c{k}" for k in range(1, 9)]
        assert list(self.table.columns[:10]) == HOUSE
        assert {"reason", "level"} <= set(self.table)
        tables.check(self.table, "claims")

    def test_is_the_one_that_the_book_reads(self):
        folder = cli.CLAIMS_DIR
        assert (folder / "claims.csv").read_bytes() == (
            folder / "published" / "claims.csv"
        ).read_bytes()

    def test_verdicts_follow_from_interval_and_adjusted_p(self):
        assert set(self.table["verdict"]) <= set(VERDICTS)
        for row in self.table.itertuples():
            found = Estimate(row.estimate, row.low, row.high, row.p_value)
            finding = Finding(
                row.claim_id,
                row.text,
                row.statistic,
                row.claimed,
                row.reference,
                row.tolerance,
                found,
            )
            assert row.verdict == verdict(
                finding, row.p_adjusted, statistics=Statistics(level=row.level)
            ), row.claim_id

    def test_what_is_not_testable_has_a_reason_and_what_is_tested_an_interval(self):
        tested = self.table["verdict"] != "not testable"
        assert self.table.loc[~tested, "reason"].notna().all()
        numbers = self.table.loc[tested, ["estimate", "low", "high", "p_value", "p_adjusted"]]
        assert numbers.notna().all(axis=None)
        assert (numbers["low"] <= numbers["estimate"]).all()
        assert (numbers["estimate"] <= numbers["high"]).all()
        assert (numbers["p_value"] <= numbers["p_adjusted"]).all()

    def test_claims_six_and_seven_are_of_what_is_frozen_beside(self):
        table = self.table.set_index("claim_id")
        metrics = tables.read(cli.METRICS, name="metrics")
        own = {
            "c6": published.smallest_gain(pd.read_csv(published.TABLE), statistics=Statistics()),
            "c7": published.benchmark_and_film(metrics, statistics=Statistics()).found,
        }
        for claim_id, found in own.items():
            row = table.loc[claim_id, ["estimate", "low", "high", "p_value"]].astype(float)
            numbers = [*found.columns().values(), found.p_value]
            assert row.tolist() == pytest.approx(numbers, rel=1e-4), "run exe claims again"

    def test_parts_belong_to_the_claims(self):
        parts = pd.read_csv(cli.CLAIMS_DIR / "published" / "claims_parts.csv")
        assert set(parts["family"]) <= set(self.table["claim_id"])
        tables.check(parts, "claims")

    def test_is_what_the_published_files_give(self):
        given = os.environ.get("EXE_DATA")
        if not given:
            pytest.skip("EXE_DATA names no folder of real data")
        answers = cli.answer(published.read_published(Path(given) / "published"))
        assert isinstance(answers, published.Answers)
        numbers = ["estimate", "low", "high", "p_value", "p_adjusted"]
        np.testing.assert_allclose(self.table[numbers], answers.claims[numbers], rtol=1e-5)
        assert self.table["verdict"].tolist() == answers.claims["verdict"].tolist()
