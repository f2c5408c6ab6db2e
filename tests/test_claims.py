"""Verdicts: one stated rule, Holm over all that is tried, nothing decided without an interval."""

import numpy as np
import pytest

from exe_core import claims, schema
from exe_core.claims import Estimate, Finding


def finding(low, high, *, p=0.001, claimed="above", reference=0.0, claim_id="c1", **options):
    return Finding(
        claim_id,
        "A claim.",
        "a difference",
        claimed,
        reference,
        found=Estimate((low + high) / 2, low, high, p),
        **options,
    )


UNDECIDED = Finding("c9", "A claim.", "a difference", reason="no data")


@pytest.mark.parametrize(
    ("case", "p_adjusted", "expected"),
    [
        (finding(0.1, 0.2), 0.01, "supported"),
        (finding(0.1, 0.2), 0.05, "not supported"),
        (finding(-0.1, 0.2), 0.01, "not supported"),
        (finding(-0.2, -0.1), 0.01, "contradicted"),
        (finding(-0.2, -0.1), 0.30, "not supported"),
        (finding(-0.2, -0.1, claimed="below"), 0.01, "supported"),
        (finding(0.1, 0.2, claimed="below"), 0.01, "contradicted"),
        (finding(0.6, 0.7, reference=0.5), 0.01, "supported"),
        (finding(0.1, 0.2, reference=0.5), 0.01, "contradicted"),
        (finding(0.4, 0.6, claimed="equal", reference=0.5), 0.90, "supported"),
        (finding(0.2, 0.8, claimed="equal", reference=0.5), 0.90, "not supported"),
        (finding(0.6, 0.7, claimed="equal", reference=0.5), 0.01, "contradicted"),
        (finding(0.6, 0.7, claimed="equal", reference=0.5), 0.20, "not supported"),
        (finding(0.6, 0.7, claimed="equal", reference=0.5, tolerance=0.1), 0.01, "supported"),
        (finding(0.61, 0.7, claimed="equal", reference=0.5, tolerance=0.1), 0.01, "contradicted"),
        (finding(np.nan, np.nan), 0.01, "not testable"),
        (finding(0.1, 0.2), np.nan, "not testable"),
        (UNDECIDED, np.nan, "not testable"),
    ],
)
def test_rule(case, p_adjusted, expected):
    assert claims.verdict(case, p_adjusted, level=0.95) == expected


def test_level_sets_how_sure_one_must_be():
    assert claims.verdict(finding(0.1, 0.2), 0.03, level=0.99) == "not supported"


def test_all_that_is_tried_is_one_family_of_tests():
    table = claims.judge(
        [finding(0.1, 0.2, p=0.03, claim_id=f"c{i}") for i in (1, 2)] + [UNDECIDED],
        source="here",
        level=0.95,
    )
    assert table["p_adjusted"][:2].tolist() == pytest.approx([0.06, 0.06])
    assert table["verdict"].tolist() == ["not supported", "not supported", "not testable"]


def test_table_is_as_the_schema_says_and_keeps_the_reason():
    table = claims.judge([finding(0.1, 0.2), UNDECIDED], source="here", level=0.95)
    schema.check(table, "claims")
    assert table["reason"][1] == "no data"
    assert np.isnan(table["estimate"][1])


def parts(*intervals):
    cases = [
        finding(*interval, p=0.0001, claim_id=f"c1{letter}")
        for letter, interval in zip("abc", intervals, strict=False)
    ]
    return claims.judge(cases, source="here", level=0.95)["family_verdict"].unique().tolist()


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(0.1, 0.2), (0.1, 0.3)], "supported"),
        ([(0.1, 0.2), (-0.3, 0.3)], "not supported"),
        ([(0.1, 0.2), (-0.3, -0.1)], "not supported"),
        ([(-0.2, -0.1), (-0.3, -0.1)], "contradicted"),
        ([(0.1, 0.2), (np.nan, np.nan)], "supported"),
        ([(np.nan, np.nan)], "not testable"),
    ],
)
def test_claim_of_several_parts_needs_them_to_agree(intervals, expected):
    assert parts(*intervals) == [expected]


def test_nothing_tried_is_an_empty_table():
    assert claims.judge([], source="here", level=0.95).empty
