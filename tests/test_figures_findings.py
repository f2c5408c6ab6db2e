"""Charts of findings: each number drawn, each verdict and each criterion in its own panel."""

import math

import numpy as np
import pandas as pd
import pytest
import sample_tables as tables
import vl_convert

from exe_core.claims import VERDICTS
from exe_core.figures import VEGA_LITE
from exe_core.figures.scores import accuracy_scatter, claims_chart
from exe_core.figures.style import ChartError

CRITERIA = ("diversity", "genre", "temporal", "events")


def drawn(chart):
    return vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=VEGA_LITE)


def values_of(chart, column):
    data = chart.to_dict()["datasets"].values()
    return [row[column] for rows in data for row in rows if row.get(column) is not None]


def measured(n=24):
    """Models of varied accuracy; diversity follows it, the other criteria do not."""
    rng = np.random.default_rng(0)
    accuracy = rng.uniform(0.2, 0.9, size=n)
    table = pd.DataFrame(
        {
            "run_id": [f"run-{k}" for k in range(n)],
            "balanced_accuracy": accuracy,
            "low": accuracy - 0.05,
            "high": accuracy + 0.05,
            **{name: rng.normal(size=n) for name in CRITERIA},
            "diversity": accuracy + rng.normal(0, 0.02, size=n),
        }
    )
    kept = ["run_id", "balanced_accuracy", "low", "high"]
    return table.melt(kept, CRITERIA, var_name="criterion", value_name="measure")


def correlations():
    return pd.DataFrame(
        {
            "criterion": CRITERIA,
            "statistic": [f"what {name} is" for name in CRITERIA],
            "estimate": [0.9, 0.1, -0.2, math.nan],
            "low": [0.8, -0.3, -0.6, math.nan],
            "high": [0.95, 0.5, 0.2, math.nan],
        }
    )


def test_each_model_is_a_dot_in_the_panel_of_each_criterion():
    chart = accuracy_scatter(measured(), correlations())
    assert len(values_of(chart, "balanced_accuracy")) == 24 * len(CRITERIA)
    assert values_of(chart, "measure") == pytest.approx(
        measured().sort_values("criterion", key=lambda c: c.map(CRITERIA.index), kind="stable")[
            "measure"
        ],
        abs=1e-5,
    )
    svg = drawn(chart)
    assert "diversity: rank correlation 0.90 [0.80, 0.95]" in svg
    assert "events: rank correlation undefined" in svg
    assert "what genre is" in svg


def test_model_without_a_criterion_has_no_dot_there():
    rows = measured()
    rows.loc[0, "measure"] = math.nan
    chart = accuracy_scatter(rows, correlations())
    assert len(values_of(chart, "measure")) == 24 * len(CRITERIA) - 1


def test_scatter_needs_the_accuracy():
    with pytest.raises(ChartError, match="no column balanced_accuracy"):
        accuracy_scatter(measured().drop(columns="balanced_accuracy"), correlations())


def test_claims_stand_by_their_verdict_on_what_they_predict():
    claims = tables.claims()
    chart = claims_chart(claims)
    titles = [panel["title"]["text"] for panel in chart.to_dict()["vconcat"]]
    assert titles == [verdict for verdict in VERDICTS if (claims["verdict"] == verdict).any()]
    rows = {row["claim_id"]: row for data in chart.to_dict()["datasets"].values() for row in data}
    assert (rows["C3"]["predicted_from"], rows["C3"]["predicted_to"]) == (0.4, 0.6)
    assert rows["C1"]["predicted_from"] == 0
    assert rows["C1"]["predicted_to"] > claims["high"].max()
    assert rows["C4"]["predicted_from"] < claims["low"].min()
    assert rows["C4"]["predicted_to"] == 0
    assert "no estimate: see the reason" in drawn(chart)


def test_claims_none_of_which_was_testable_are_drawn_too():
    untested = tables.claims().query("verdict == 'not testable'")
    assert "not testable" in drawn(claims_chart(untested))


def test_claims_without_what_they_predict_are_refused():
    with pytest.raises(ChartError, match="no column tolerance"):
        claims_chart(tables.claims().drop(columns="tolerance"))
