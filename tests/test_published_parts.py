"""What else the claims say: each part judged by itself, each way of counting a row."""

import pytest
from published_files import RUNS, write_files

from exe_core import published
from exe_core.claims import judge
from exe_core.published import Measures
from exe_core.resampling import Statistics

STATISTICS = Statistics(n_bootstrap=200, n_permutations=1000, seed=0)


def judged(folder):
    measures = Measures(published.read_published(folder), STATISTICS)
    parts = published.claim_parts(measures, runs=RUNS)
    return judge(parts, source="published", statistics=STATISTICS).set_index("claim_id")


@pytest.fixture(scope="module")
def null(tmp_path_factory):
    return judged(write_files(tmp_path_factory.mktemp("null")))


def test_parts_are_lettered_within_their_claim(null):
    for claim, letters in null.index.to_series().str[2:].groupby(null["family"]):
        assert "".join(letters) == "abcdefghijkl"[: len(letters)], claim
    assert not null.index.has_duplicates


def test_where_nothing_happens_nothing_is_found(null):
    looked_for = null.loc[null["family"].isin(["c1", "c5"]) & (null["claimed"] != "equal")]
    looked_for = looked_for.drop(index="c1c")  # two labels of five are no half
    assert (looked_for["verdict"] == "not supported").all()


def test_two_labels_of_five_are_less_than_most(null):
    assert null.loc["c1c", "verdict"] == "contradicted"


def test_what_no_file_holds_is_not_testable_and_says_why(null):
    beyond = null[null["verdict"] == "not testable"]
    assert set(beyond.index) == {"c4e", "c7a"}
    assert beyond["reason"].notna().all()


def test_what_is_there_is_found(tmp_path):
    table = judged(write_files(tmp_path, happy_in_comedies=1.0, rises=True))
    for claim_id in ("c1a", "c1b", "c1g", "c5a", "c5f", "c5i", "c5j"):
        assert table.loc[claim_id, "verdict"] == "supported", claim_id


def test_each_source_of_photos_is_judged_alone(null):
    assert null.loc[["c6a", "c6b"], "verdict"].tolist() == ["contradicted", "supported"]
    assert "pexels" in null.loc["c6a", "text"]
