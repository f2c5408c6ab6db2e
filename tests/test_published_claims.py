"""The published claims: decided by what is in the files, and by nothing else."""

import os
from pathlib import Path

import pytest
from published_files import write_files

from exe_core.findings import published, published_claims
from exe_core.settings import Statistics

STATISTICS = Statistics(n_bootstrap=200, n_permutations=1000)


def verdicts(folder):
    found = published.read_published(folder)
    table = published_claims.published_claims(found, statistics=STATISTICS, seed=0)
    return table.set_index("claim_id")


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    """Verdicts where nothing happens, but that FER is angry in 98 of 100 faces."""
    return verdicts(write_files(tmp_path_factory.mktemp("null")))


def test_claims_are_in_order_and_those_beyond_the_files_say_why(null):
    assert list(null["family"].unique()) == [f"c{i}" for i in range(1, 9)]
    beyond = null.loc[["c4d", "c6", "c7", "c8"]]
    assert (beyond["verdict"] == "not testable").all()
    assert beyond["reason"].notna().all()


def test_where_nothing_happens_no_event_or_genre_is_found(null):
    looked_for = null.loc[null["family"].isin(["c1", "c5"]) & (null["claimed"] != "equal")]
    assert (looked_for["verdict"] == "not supported").all()


def test_fer_that_is_always_angry_is_found_so(null):
    row = null.loc["c2a"]
    assert row["estimate"] == pytest.approx(0.98, abs=0.02)
    assert row["verdict"] == "supported"


def test_what_is_there_is_found(tmp_path):
    table = verdicts(write_files(tmp_path, happy_in_comedies=1.0, rises=True))
    for claim_id in ("c1a", "c1b", "c1e", "c5a", "c5d", "c5f", "c5g"):
        assert table.loc[claim_id, "verdict"] == "supported", claim_id


def test_real_files_hold_what_the_design_notes_say():
    given = os.environ.get("EXE_DATA")
    if not given:
        pytest.skip("EXE_DATA names no folder of real data")
    found = published.read_published(Path(given) / "published")
    assert len(found.films) == 59
    assert found.frames["n_faces"].sum() == 47_252
    table = published_claims.published_claims(found, statistics=STATISTICS, seed=0)
    table = table.set_index("claim_id")
    assert table.loc["c2a", "estimate"] == pytest.approx(0.400, abs=0.001)
    assert table.loc["c3a", "estimate"] == pytest.approx(32 / 59)
    assert table.loc["c4a", "estimate"] == pytest.approx(31 / 59)
    assert table.loc["c2a", "verdict"] == "contradicted"
