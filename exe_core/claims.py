"""A claim put to a test: its estimate, interval, adjusted p, and a verdict by one stated rule.

The claims themselves are in `published` (the published study's, on its own predictions) and in
`questions` (this project's, on the synthetic world).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.settings import Statistics

MAX_WIDTH = 0.3
"""An interval wider than this does not support a claim of equality, whatever it holds."""


class Estimate(NamedTuple):
    """A number with its interval, and the p-value of a null hypothesis; NaN is undefined."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p_value: float = math.nan


@dataclass(frozen=True)
class Finding:
    """What was claimed and what was found, before the verdict."""

    claim_id: str
    text: str
    """The claim, as its author would put it."""
    statistic: str
    """What the estimate is."""
    claimed: Literal["above", "below", "equal"] = "above"
    """Where the estimate should lie, seen from `reference`."""
    reference: float = 0.0
    tolerance: float = 0.0
    """How far off an "about" of a claim of equality may be."""
    found: Estimate = Estimate()  # noqa: RUF009 - it can't be changed
    """Its p-value is of the null hypothesis that the truth is `reference`."""
    reason: str | None = None
    """Why it can't be tested, or what to know when reading it."""


def verdict(finding: Finding, p_adjusted: float, *, level: float) -> str:
    """Judge a finding.

    - not testable: there is no estimate, no interval or no p-value;
    - of a claim of more or less: supported if the interval lies wholly on the claimed side of the
      reference and the adjusted p is below 1 - level; contradicted if the same holds on the other
      side; else not supported;
    - of a claim of equality: contradicted if the interval lies wholly outside the reference and
      its tolerance, and the adjusted p is below 1 - level; supported if the interval reaches
      within it and is no wider than `MAX_WIDTH`; else not supported.
    """
    value, low, high, _ = finding.found
    if any(map(math.isnan, (value, low, high, p_adjusted))):
        return "not testable"
    margin = finding.tolerance if finding.claimed == "equal" else 0.0
    above = low > finding.reference + margin
    below = high < finding.reference - margin
    significant = p_adjusted < round(1 - level, 9)  # 1 - 0.95 is more than 0.05 in floats
    if finding.claimed == "equal":
        if above or below:
            return "contradicted" if significant else "not supported"
        return "supported" if high - low <= MAX_WIDTH else "not supported"
    if significant and (above or below):
        return "supported" if above == (finding.claimed == "above") else "contradicted"
    return "not supported"


def judge(findings: Iterable[Finding], *, source: str, level: float) -> pd.DataFrame:
    """Adjust the p-values of findings for their number (Holm) and give the verdicts.

    Parameters
    ----------
    findings
        All that are tried together: they are one family of tests.
    source
        The data they were tried on.

    Returns
    -------
    pd.DataFrame
        Table "claims", with `claimed`, `reference`, and the `family` of parts that make up one
        claim ("c1a" is of "c1") with its `family_verdict`: that of all its testable parts where
        they agree, else "not supported".
    """
    findings = list(findings)
    if not findings:
        return schema.empty("claims")
    table = pd.DataFrame(
        [
            {
                "claim_id": finding.claim_id,
                "text": finding.text,
                "statistic": finding.statistic,
                "claimed": finding.claimed,
                "reference": finding.reference,
                "estimate": finding.found.value,
                "low": finding.found.low,
                "high": finding.found.high,
                "p_value": finding.found.p_value,
                "reason": finding.reason,
            }
            for finding in findings
        ]
    )
    table = table.assign(source=source, level=level, p_adjusted=resampling.holm(table["p_value"]))
    table["verdict"] = [
        verdict(finding, p, level=level)
        for finding, p in zip(findings, table["p_adjusted"], strict=True)
    ]
    table["family"] = table["claim_id"].str.extract(r"^([a-z]+\d+)", expand=False)
    table["family_verdict"] = table.groupby("family")["verdict"].transform(_agreed)
    return schema.check(table, "claims")


def _agreed(verdicts: pd.Series) -> str:
    tested = set(verdicts) - {"not testable"}
    return "not testable" if not tested else tested.pop() if len(tested) == 1 else "not supported"


def paired_estimate(
    first: np.ndarray,
    second: np.ndarray,
    statistic: resampling.Statistic,
    *,
    statistics: Statistics,
    seed: int,
) -> Estimate:
    """Estimate and test a paired difference.

    Parameters
    ----------
    first, second, statistic
        As for `resampling.paired_difference`.
    statistics, seed
        Level, bootstrap samples and permutations; seed of both.
    """
    difference, p_value = resampling.paired_difference(
        first, second, statistic, rng=np.random.default_rng(seed), **statistics.model_dump()
    )
    return Estimate(*map(float, (*difference, p_value)))
