"""Verdicts: one stated rule, Holm over all that is tried, nothing decided without an interval."""

import numpy as np
import pytest
from scipy import stats

from exe_core import claims
from exe_core.claims import Finding
from exe_core.resampling import Estimate, Statistics


def finding(low, high, *, p=0.001, claimed="above", reference=0.0, claim_id="c1", **options):
    return Finding(
        claim_id,
        "A claim.",
        "a difference",
        claimed,
        reference,
        found=Estimate((low + high) / 2, low, high, p_value=p),
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
        (finding(0.5, 0.7, claimed="equal", reference=0.5, tolerance=0.1), 0.01, "supported"),
        (finding(0.55, 0.7, claimed="equal", reference=0.5, tolerance=0.1), 0.01, "not supported"),
        (finding(0.61, 0.7, claimed="equal", reference=0.5, tolerance=0.1), 0.01, "contradicted"),
        (finding(np.nan, np.nan), 0.01, "not testable"),
        (finding(0.1, 0.2), np.nan, "not testable"),
        (UNDECIDED, np.nan, "not testable"),
    ],
)
def test_rule(case, p_adjusted, expected):
    assert claims.verdict(case, p_adjusted, statistics=Statistics()) == expected


def test_all_that_is_tried_is_one_family_and_a_part_names_its_claim():
    cases = [finding(0.1, 0.2, p=0.03, claim_id=name) for name in ("c1", "c1a")]
    cases += [UNDECIDED, finding(0.1, 0.2, claim_id="q3-genre", source="there")]
    table = claims.judge(cases, source="here", statistics=Statistics(level=0.9))
    assert table["p_adjusted"].tolist() == pytest.approx([0.06, 0.06, np.nan, 0.003], nan_ok=True)
    verdicts = ["supported", "supported", "not testable", "supported"]
    assert table["verdict"].tolist() == verdicts
    strict = claims.judge(cases, source="here", statistics=Statistics())
    assert strict["verdict"].tolist() == ["not supported", "not supported", *verdicts[2:]]
    assert table["family"].tolist() == ["c1", "c1", "c9", "q3"]
    assert table["source"].tolist() == [*["here"] * 3, "there"]


def test_prose_can_cite_each_estimate_and_how_many_of_each_verdict():
    table = claims.judge([finding(0.1, 0.2), UNDECIDED], source="here", statistics=Statistics())
    values = claims.as_values(table)
    assert values["c1"] == {"value": pytest.approx(0.15), "low": 0.1, "high": 0.2}
    assert values["c1.verdict"] == "supported"
    assert values["c1.p"] == 0.001
    counts = {key: n for key, n in values.items() if key.startswith("n.") and n}
    assert counts == {"n.all": 2, "n.supported": 1, "n.not_testable": 1}
    assert "c1.needed" not in values
    open_still = claims.judge([finding(-0.1, 0.3)], source="here", statistics=Statistics())
    assert claims.as_values(open_still)["c1.needed"] == pytest.approx(4)  # half as wide


def test_difference_of_two_samples_is_that_of_their_means_where_groups_are_many():
    rng = np.random.default_rng(0)
    z = stats.norm.ppf(0.975)
    sides = [rng.normal(mean, 1, size=400) for mean in (0.3, 0.0)]
    estimates = [
        Estimate(x.mean(), x.mean() - z * x.std() / 20, x.mean() + z * x.std() / 20, 400)
        for x in sides
    ]
    found = claims.independent_estimate(*estimates, statistics=Statistics())
    assert found.value == pytest.approx(sides[0].mean() - sides[1].mean())
    assert found.p_value == pytest.approx(stats.ttest_ind(*sides).pvalue, rel=0.1)
    interval = stats.ttest_ind(*sides).confidence_interval()
    assert found.low == pytest.approx(interval.low, abs=0.002)
    assert found.high == pytest.approx(interval.high, abs=0.002)


def test_difference_of_two_samples_promises_less_with_few_groups():
    pairs = {n: (Estimate(0.6, 0.58, 0.62, n), Estimate(0.4, 0.25, 0.55, 9000)) for n in (5, 50)}
    found = {n: claims.independent_estimate(*pairs[n], statistics=Statistics()) for n in pairs}
    assert found[5].p_value > found[50].p_value
    swapped = claims.independent_estimate(*pairs[5][::-1], statistics=Statistics())
    assert (swapped.value, swapped.p_value) == pytest.approx((-0.2, found[5].p_value))
