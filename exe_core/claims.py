"""A claim put to a test: its estimate, interval, adjusted p, and a verdict by one stated rule.

The published study's claims are in `published`, questions about the synthetic world in notebook
07-claims.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
from scipy import stats

from exe_core import resampling
from exe_core import tables as schema
from exe_core.resampling import Estimate, Statistics

MAX_WIDTH = 0.3
"""An interval wider than this does not support a claim of equality, whatever it holds."""

VERDICTS = ("supported", "not supported", "contradicted", "not testable")

COLUMNS = (
    *("claim_id", "text", "source", "statistic", "estimate", "low", "high", "p_value"),
    *("p_adjusted", "verdict", "reason", "claimed", "reference", "tolerance", "level", "family"),
)


@dataclass(frozen=True)
class Finding:
    """What was claimed and what was found, before the verdict."""

    claim_id: str
    text: str  # the claim, as its author would put it
    statistic: str  # what the estimate is
    claimed: Literal["above", "below", "equal"] = "above"  # where it should lie of `reference`
    reference: float = 0.0  # the p-value is of the null hypothesis that the truth is this
    tolerance: float = 0.0  # how far off an "about" of a claim of equality may be
    found: Estimate = Estimate()  # noqa: RUF009 - it can't be changed
    reason: str | None = None  # why it can't be tested, or what to know when reading it
    source: str | None = None  # the data, where these are not those of all findings


def verdict(finding: Finding, p_adjusted: float, *, statistics: Statistics) -> str:
    """Judge a finding.

    - not testable: there is no estimate, no interval or no p-value;
    - of a claim of more or less: supported if the interval lies wholly on the claimed side of the
      reference and the adjusted p is below 1 - level; contradicted if the same holds on the other
      side; else not supported;
    - of a claim of equality: contradicted if the interval lies wholly outside the reference and
      its tolerance, and the adjusted p is below 1 - level; supported if the estimate lies within
      the tolerance and the interval is no wider than `MAX_WIDTH`; else not supported.
    """
    value, low, high = (float(x) for x in finding.found.columns().values())
    if any(map(math.isnan, (value, low, high, p_adjusted))):
        return "not testable"
    margin = finding.tolerance if finding.claimed == "equal" else 0.0
    above = low > finding.reference + margin
    below = high < finding.reference - margin
    significant = p_adjusted < round(1 - statistics.level, 9)  # 1 - 0.95 > 0.05 in floats
    if finding.claimed == "equal":
        if above or below:
            return "contradicted" if significant else "not supported"
        near = abs(value - finding.reference) <= finding.tolerance
        return "supported" if near and high - low <= MAX_WIDTH else "not supported"
    if significant and (above or below):
        return "supported" if above == (finding.claimed == "above") else "contradicted"
    return "not supported"


def judge(findings: Sequence[Finding], *, source: str, statistics: Statistics) -> pd.DataFrame:
    """Adjust the p-values of findings for their number (Holm) and give the verdicts.

    The findings are one family of tests; `source` names their data, where a finding does not. Gives
    table "claims", with level, what was `claimed` of the `reference`, its `tolerance`, and the
    `family` that a part belongs to ("c1a" is of "c1").
    """
    rows = []
    for finding in findings:
        p_value, source_of = finding.found.p_value, finding.source or source
        numbers = {**finding.found.columns(), "p_value": p_value, "source": source_of}
        rows.append({**vars(finding), **numbers})
    table = pd.DataFrame(rows).rename(columns={"value": "estimate"})
    table["p_adjusted"] = resampling.holm(table["p_value"])
    table["verdict"] = [
        verdict(*pair, statistics=statistics)
        for pair in zip(findings, table["p_adjusted"], strict=True)
    ]
    table["level"] = statistics.level
    table["family"] = table["claim_id"].str.extract(r"^([a-z]+\d+)", expand=False)
    return schema.check(table[list(COLUMNS)], "claims")


def as_values(table: pd.DataFrame) -> dict[str, object]:
    """Name what the prose cites of a table "claims".

    n.all, n.supported, ... count; a claim c1 has c1 (value, low, high), c1.p (adjusted) and
    c1.verdict. Where more data might decide, c1.needed is how many times as many groups would: the
    interval of an estimate that stays the same narrows with their square root.
    """
    counts = table["verdict"].value_counts().reindex(VERDICTS, fill_value=0)
    values: dict[str, object] = {
        f"n.{name.replace(' ', '_')}": int(n) for name, n in counts.items()
    }
    values["n.all"] = len(table)
    for row in table.itertuples():
        estimate = {"value": row.estimate, "low": row.low, "high": row.high}
        values[row.claim_id] = estimate
        values |= {f"{row.claim_id}.p": row.p_adjusted, f"{row.claim_id}.verdict": row.verdict}
        reach, off = (row.high - row.low) / 2, abs(row.estimate - row.reference)
        room = row.tolerance - off if row.claimed == "equal" else off
        if 0 < room < reach:
            values[f"{row.claim_id}.needed"] = (reach / room) ** 2
    return values


def independent_estimate(first: Estimate, second: Estimate, *, statistics: Statistics) -> Estimate:
    """Estimate and test a difference of two measures on different units, from their intervals.

    The interval is that of Zou & Donner (2008), which keeps the skew of each. The p-value is of
    Student's t with n - 1 degrees, n being the groups of the smaller sample: with few groups the
    normal law would promise too much. Both need an interval, of the level of `statistics`; their
    p-values are not used.
    """
    difference = first.value - second.value
    below = math.hypot(first.value - first.low, second.high - second.value)
    above = math.hypot(first.high - first.value, second.value - second.low)
    to_zero = below if difference > 0 else above
    n = min(first.n, second.n)
    t = abs(difference) / to_zero * stats.t.ppf((1 + statistics.level) / 2, df=n - 1)
    p_value = 2 * float(stats.t.sf(t, df=n - 1))
    low, high = difference - below, difference + above
    return Estimate(difference, low, high, n, "Zou & Donner 2008", p_value)
