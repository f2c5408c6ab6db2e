"""Charts that set models against each other: on every set, by recipe, and fault by fault."""

from __future__ import annotations

import textwrap

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    INK,
    WIDTH,
    drawable,
    in_order,
    intervals,
    only,
    styled,
)

_OWN = "faces of a set that the model learned from"


def matrix_chart(scores: pd.DataFrame) -> alt.LayerChart:
    """Draw the balanced accuracy of each model on each set, with its interval in the cell.

    Parameters
    ----------
    scores
        As `exe_core.variants.lay_out` gives them. Cells whose test faces are of a set that the
        model learned from (`own`) are outlined: they say less of other faces.
    """
    data = drawable(
        only(scores, "metric", ["balanced_accuracy"]),
        ["run_id", "set_name", "value", "low", "high", "n", "n_groups", "own"],
    )
    names = min(200, int(6.2 * data["run_id"].str.len().max()) + 12)
    width = min(80, (WIDTH + 40 - names) // data["set_name"].nunique())
    lines = {name: textwrap.wrap(name, width // 6) for name in in_order(data["set_name"])}
    tallest = max(map(len, lines.values()))
    # a name of fewer lines begins with empty ones, so that all end at the cells
    heads = {name: "\n" * (tallest - len(part)) + "\n".join(part) for name, part in lines.items()}
    data["head"] = data["set_name"].map(heads)
    data["of"] = data["own"].map({True: _OWN, False: None})
    above = alt.Axis(
        orient="top",
        labelAngle=0,
        labelExpr="split(datum.label, '\\n')",
        labelPadding=4 + 13 * (tallest - 1),
        ticks=False,
    )
    base = alt.Chart(data).encode(
        x=alt.X("head:N", title="tested on", sort=list(heads.values()), axis=above),
        y=alt.Y(
            "run_id:N", title="model", sort=in_order(data["run_id"]), axis=alt.Axis(ticks=False)
        ),
        tooltip=["run_id", "set_name", "value", "low", "high", "n", "n_groups"],
    )
    cells = base.mark_rect(stroke="white", strokeWidth=2).encode(
        color=alt.Color(
            "value:Q",
            title="balanced accuracy",
            scale=alt.Scale(domain=[0, 1], scheme="blues"),
            legend=alt.Legend(format="%", gradientLength=120),
        )
    )
    outlines = (
        base.transform_filter("datum.own")
        .mark_rect(
            fillOpacity=0,
            strokeWidth=2.5,
            width=alt.RelativeBandSize(band=0.93),
            height=alt.RelativeBandSize(band=0.88),
        )
        .encode(
            stroke=alt.Stroke(
                "of:N",
                title=None,
                scale=alt.Scale(domain=[_OWN], range=[INK]),
                legend=alt.Legend(symbolType="square", symbolFillColor="white", labelLimit=300),
            )
        )
    )
    dark = alt.condition("datum.value > 0.65", alt.value("white"), alt.value(INK))
    numbers = base.mark_text(fontSize=12, fontWeight="bold", dy=-6).encode(
        text=alt.Text("value:Q", format=".2f"), color=dark
    )
    ranges = (
        base.transform_filter("isValid(datum.low) && isValid(datum.high)")
        .transform_calculate(range="format(datum.low, '.2f') + '–' + format(datum.high, '.2f')")
        .mark_text(fontSize=9, dy=8)
        .encode(text="range:N", color=dark)
    )
    size = {"width": alt.Step(width), "height": alt.Step(38)}
    return styled(alt.layer(cells, outlines, numbers, ranges).properties(**size))


def differences_chart(
    comparisons: pd.DataFrame, *, metric: str = "balanced_accuracy"
) -> alt.FacetChart:
    """Draw what each recipe gains over the reference, with its interval, a column a set.

    Parameters
    ----------
    comparisons
        As `exe_core.variants.compare` gives them; an interval that holds 0 is drawn in gray.
    metric
        The measure that is drawn.
    """
    data = drawable(
        only(comparisons, "metric", [metric]),
        ["run_id", "other_run_id", "set_name", "difference", "low", "high", "n_seeds", "spread"],
    )
    order = data.groupby("run_id")["difference"].mean().sort_values(ascending=False).index
    sets = in_order(data["set_name"])
    names = int(6.2 * data["run_id"].str.len().max()) + 16
    measure = metric.replace("_", " ")
    zero = alt.Chart().mark_rule(color=INK, strokeWidth=1).encode(x=alt.datum(0))
    dots = intervals(
        data,
        x=alt.X("difference:Q", title=f"{measure}, minus that of {data['other_run_id'].iloc[0]}"),
        y=alt.Y("run_id:N", title=None, sort=list(order)),
        colour=alt.condition(
            "datum.low > 0 || datum.high < 0", alt.value(ACCENT), alt.value("#8A8A8A")
        ),
        tooltip=["n_seeds", "spread"],
    )
    panel = alt.layer(zero, *dots.layer, data=data).properties(
        width=(WIDTH - names) // len(sets) - 14, height=alt.Step(20)
    )
    return styled(panel.facet(column=alt.Column("set_name:N", sort=sets)))
