"""The eight published claims: one test and one verdict each, in their order."""

import math
import os
from pathlib import Path

import pytest
from published_files import METRICS, RUNS, write_files
from typer.testing import CliRunner

from exe_core import cli, published, tables
from exe_core.published import benchmark_and_film
from exe_core.resampling import Statistics
from exe_core.study import load_study

STATISTICS = Statistics(n_bootstrap=200, n_permutations=1000, seed=0)


def answers(folder, *, metrics=METRICS):
    found = published.read_published(folder)
    return published.published_claims(found, runs=RUNS, metrics=metrics, statistics=STATISTICS)


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    """Verdicts where nothing happens, but that FER is angry in 98 of 100 faces."""
    return answers(write_files(tmp_path_factory.mktemp("null"))).claims.set_index("claim_id")


def test_eight_claims_stand_in_order_and_are_judged_as_one_family(null):
    assert list(null.index) == [f"c{i}" for i in range(1, 9)]
    tested = null["p_value"].dropna()
    least = tested.idxmin()
    assert null.loc[least, "p_adjusted"] == pytest.approx(min(1, len(tested) * tested[least]))


def test_untestable_says_why(null):
    assert (null.loc[null["verdict"] == "not testable", "reason"].str.len() > 20).all()
    assert null.loc["c8", "verdict"] == "not testable"


def test_where_nothing_happens_no_event_or_genre_is_found(null):
    assert null.loc["c1", "verdict"] == null.loc["c5", "verdict"] == "not supported"


def test_fer_that_is_always_angry_is_found_so(null):
    assert null.loc["c2", "estimate"] == pytest.approx(0.98, abs=0.02)
    assert null.loc["c2", "verdict"] == "supported"


def test_what_is_there_is_found(tmp_path):
    table = answers(write_files(tmp_path, happy_in_comedies=1.0, rises=True)).claims
    verdicts = table.set_index("claim_id")["verdict"]
    assert verdicts["c1"] == verdicts["c5"] == "supported"


def test_parts_are_a_family_of_their_own(tmp_path):
    found = answers(write_files(tmp_path))
    assert not set(found.claims["claim_id"]) & set(found.parts["claim_id"])
    assert set(found.parts["family"]) < set(found.claims["claim_id"])
    p = found.parts["p_value"]
    assert found.parts.loc[p.idxmin(), "p_adjusted"] == pytest.approx(
        min(1, p.notna().sum() * p.min())
    )


def test_benchmark_and_film_are_compared_for_the_same_network():
    finding = benchmark_and_film(METRICS, statistics=STATISTICS)
    assert finding.found.value == pytest.approx(0.6 - 0.4)
    assert 0 < finding.found.low < finding.found.high
    assert "5 persons" in finding.reason
    assert "study real" in finding.source


@pytest.mark.parametrize(
    "metrics",
    [
        None,
        METRICS[METRICS["set_name"] != "film_faces"],
        METRICS.assign(run_id="another"),
        tables.empty("metrics"),
    ],
    ids=["no study", "no stills", "another network", "no scores"],
)
def test_without_stills_the_seventh_claim_is_not_testable(metrics):
    finding = benchmark_and_film(metrics, statistics=STATISTICS)
    assert math.isnan(finding.found.value)
    assert "no true labels" in finding.reason


@pytest.mark.slow
def test_notebook_tries_the_claims_where_a_study_has_the_files(tmp_path, monkeypatch):
    (tmp_path / "data" / "published").mkdir(parents=True)
    write_files(tmp_path / "data" / "published")
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    study = load_study("real")
    tables.write(METRICS, study.table("metrics"), name="metrics")
    arguments = ["stage", "07-claims", "--study", "real", "-p", "n_permutations=100"]
    done = CliRunner().invoke(cli.app, [*arguments, "--out", str(tmp_path / "page.ipynb")])
    assert done.exit_code == 0, done.output
    assert not study.table("claims").exists(), "a trial leaves the study as it is"
    claims = load_study("real", statistics={"n_permutations": 100}).read("claims")
    assert list(claims["claim_id"]) == [f"c{i}" for i in range(1, 9)]
    trial = load_study("real", statistics={"n_permutations": 100})
    assert (trial.results / "figures" / "fig-claims.svg").exists()


def test_real_files_hold_what_the_design_notes_say():
    given = os.environ.get("EXE_DATA")
    if not given:
        pytest.skip("EXE_DATA names no folder of real data")
    found = published.read_published(Path(given) / "published")
    assert len(found.films) == 59
    assert found.frames["n_faces"].sum() == 47_252
    table = published.published_claims(
        found, runs=RUNS, metrics=None, statistics=STATISTICS
    ).claims.set_index("claim_id")
    assert table.loc["c2", "estimate"] == pytest.approx(0.400, abs=0.001)
    assert table.loc["c3", "estimate"] == pytest.approx(32 / 59)
    assert table.loc["c4", "estimate"] == pytest.approx(31 / 59)
    assert table.loc["c2", "verdict"] == "contradicted"
