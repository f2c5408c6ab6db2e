"""Charts of scores: of models, comparisons, claims and training."""

from __future__ import annotations

import textwrap
from typing import Any

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    ESTIMATE,
    GRAY,
    INK,
    PAPER,
    SHADE,
    VERDICTS,
    WIDTH,
    drawable,
    in_order,
    names_px,
    styled,
)

CELL_PX = 36


def confusion_chart(confusion: pd.DataFrame) -> alt.FacetChart:
    """Draw which emotion is predicted for each true one, as shares of the true one.

    Takes rows of table "confusion" of one set; each run becomes a panel.
    """
    data = drawable(confusion, ["run_id", "label", "predicted", "n", "share_of_label"])
    names = in_order(data["label"])
    base = alt.Chart().encode(
        x=alt.X("predicted:N", sort=names, title="predicted", axis=alt.Axis(labelAngle=-45)),
        y=alt.Y("label:N", sort=names, title="true", axis=alt.Axis(ticks=False)),
        tooltip=list(data),
    )
    colour = alt.Color(
        "share_of_label:Q",
        title="share of the true emotion",
        scale=alt.Scale(domain=[0, 1], scheme="blues"),
        legend=alt.Legend(format=".0%", gradientLength=120),
    )
    cells = base.mark_rect(strokeWidth=2, stroke=PAPER).encode(color=colour)
    letters = alt.condition("datum.share_of_label > 0.6", alt.value("white"), alt.value("black"))
    numbers = base.mark_text(fontSize=10).encode(
        text=alt.Text("share_of_label:Q", format=".0%"), color=letters
    )
    size = {"width": alt.Step(CELL_PX), "height": alt.Step(24)}
    chart = alt.layer(cells, numbers, data=data).properties(**size)
    panel = alt.Facet("run_id:N", sort=in_order(data["run_id"]))
    columns = max(1, (WIDTH - 40) // (CELL_PX * len(names) + 30))
    return styled(chart.facet(panel, columns=columns).resolve_axis(x="independent"))


def history_chart(history: pd.DataFrame) -> alt.FacetChart:
    """Draw loss and accuracy by epoch of one run, on training and validation faces."""
    data = drawable(history, ["run_id", "epoch", "split", "loss", "accuracy"])
    long = data.melt(["run_id", "epoch", "split"], var_name="measure")
    colours = alt.Scale(domain=["train", "val"], range=["#9AA4B2", ACCENT])
    lines = (
        alt.Chart(long)
        .mark_line(point=alt.OverlayMarkDef(size=12))
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(format="d", tickMinStep=1, grid=False)),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False)),
            color=alt.Color("split:N", title=None, scale=colours),
            tooltip=list(long),
        )
        .properties(width=(WIDTH - 110) // 2, height=130)
    )
    column = alt.Column("measure:N", sort=["loss", "accuracy"])
    return styled(lines.facet(column=column).resolve_scale(y="independent"))


NAMES_PX, LINE_PX = 300, 13


def claims_chart(claims: pd.DataFrame) -> alt.FacetChart:
    """Draw each claim's estimate with its interval on what the claim predicts, by verdict.

    Takes table "claims". Shaded is where the estimate should lie: about `reference`, or all that is
    `claimed` above or below it.
    """
    columns = ["claim_id", "text", "statistic", "estimate", "low", "high", "verdict"]
    data = drawable(claims, [*columns, "claimed", "reference", "tolerance"])
    names = (data["claim_id"] + ": " + data["statistic"]).map(lambda text: textwrap.wrap(text, 46))
    data["claim"] = names.map("\n".join)
    ends = data[["low", "high", "reference"]].assign(zero=0.0)
    domain = [ends.min(axis=None) - 0.05, ends.max(axis=None) + 0.05]
    about = data["tolerance"].where(data["claimed"] == "equal", 0.0)
    data["from"] = (data["reference"] - about).mask(data["claimed"] == "below", domain[0])
    data["to"] = (data["reference"] + about).mask(data["claimed"] == "above", domain[1])
    data.loc[data["estimate"].isna(), ["from", "to", "reference"]] = None
    n_lines = names.map(len).max()
    step = int(LINE_PX * n_lines + 10)
    axis = alt.Axis(
        labelLimit=NAMES_PX,
        labelExpr="split(datum.label, '\\n')",
        labelOffset=-LINE_PX * (n_lines - 1) / 2,
        labelLineHeight=LINE_PX,
        ticks=False,
        domain=False,
    )
    title = "estimate with its interval; shaded: where it lies if the claim holds"

    def at(name: str) -> alt.X:
        return alt.X(f"{name}:Q", title=title, scale=alt.Scale(domain=domain, nice=False))

    verdicts = [name for name in VERDICTS if name in set(data["verdict"])]
    colours = alt.Scale(domain=verdicts, range=[VERDICTS[name] for name in verdicts])
    base = alt.Chart().encode(
        y=alt.Y("claim:N", title=None, sort=in_order(data["claim"]), axis=axis),
        tooltip=["text", "estimate", "low", "high", "verdict"],
    )
    seen = base.encode(color=alt.Color("verdict:N", scale=colours, legend=None))
    layers = [
        base.mark_bar(color=INK, opacity=0.13, height=step - 6).encode(x=at("from"), x2="to:Q"),
        base.mark_tick(color=INK, thickness=1, size=step - 6).encode(x=at("reference")),
        seen.mark_rule(strokeWidth=2).encode(x=at("low"), x2="high:Q"),
        seen.mark_circle(size=55, opacity=1).encode(x=at("estimate")),
    ]
    chart = alt.layer(*layers, data=data).properties(width=WIDTH - NAMES_PX, height=alt.Step(step))
    above = alt.Header(labelOrient="top", labelAnchor="start", labelFontSize=12)
    row = alt.Row("verdict:N", sort=verdicts, header=above)
    return styled(chart.facet(row=row, spacing=12).resolve_scale(y="independent"))


SPECIFIED = {
    "confidence": "confidence {:g} or more",
    "measure": "{}",
    "films": "films: {}",
    "window_min": "{:.0f} min about events",
}


def specification_chart(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw a specification curve: a claim's estimates in order, below each the choices behind it.

    Takes the table of `published.specifications`; the planned combination stands on a band
    (Simonsohn et al. 2020, Specification curve analysis, doi:10.1038/s41562-020-0912-z).
    """
    columns = ["claim_id", "value", "low", "high", "reference", "verdict", "planned"]
    data = drawable(table, columns)
    data["claim"] = "claim " + data.pop("claim_id").str[1:]
    data["place"] = data.groupby("claim").cumcount()
    parts = [
        data.assign(choice=table[name].map(written.format)).loc[table[name].notna()]
        for name, written in SPECIFIED.items()
    ]
    choices = pd.concat(parts, ignore_index=True)
    extent = names_px(choices["choice"])
    names = alt.Axis(
        ticks=False, domain=False, minExtent=extent, maxExtent=extent, labelLimit=extent
    )
    verdicts = [name for name in VERDICTS if name in set(data["verdict"])]
    colour = alt.Color(
        "verdict:N",
        title=None,
        scale=alt.Scale(domain=verdicts, range=[VERDICTS[name] for name in verdicts]),
    )
    x = alt.X("place:O", title=None, axis=None)
    base = alt.Chart().encode(x=x, color=colour, tooltip=[*columns[1:], "claim"])
    plan = alt.Chart().transform_filter("datum.planned").encode(x=x)
    side = alt.Axis(minExtent=extent, maxExtent=extent)
    above = alt.layer(
        plan.mark_rule(color=SHADE, strokeWidth=8),
        alt.Chart().mark_rule(color=INK, strokeDash=[2, 2]).encode(y="mean(reference):Q"),
        base.mark_rule().encode(y=alt.Y("low:Q", title=None, axis=side), y2="high"),
        base.mark_circle(size=22, opacity=1).encode(y="value:Q"),
    )
    lines = alt.Y("choice:N", title=None, sort=in_order(choices["choice"]), axis=names)
    below = alt.layer(
        plan.mark_rule(color=SHADE, strokeWidth=8),
        base.mark_square(size=16, opacity=1).encode(y=lines),
    )
    width = (WIDTH - extent) // data["claim"].nunique() - 14
    head = alt.Column("claim:N", sort=in_order(data["claim"]))
    bare = alt.Column("claim:N", sort=in_order(data["claim"]), header=alt.Header(labels=False))
    rows = [
        above.properties(width=width, height=150).facet(column=head, data=data, bounds="flush"),
        below.properties(width=width, height=alt.Step(14)).facet(
            column=bare, data=choices, bounds="flush"
        ),
    ]
    grid = [row.resolve_scale(x="independent") for row in rows]
    return styled(alt.vconcat(*grid, spacing=2))


def curve_chart(table: pd.DataFrame, *, x: str, series: str, x_title: str, y_title: str) -> Any:
    """Draw estimates against a number on a logarithmic axis, a line and a band a series."""
    data = drawable(table, [x, series, *ESTIMATE])
    colour = alt.Color(
        f"{series}:N",
        title=None,
        sort=in_order(data[series]),
        scale=alt.Scale(range=[ACCENT, GRAY, INK]),
        legend=alt.Legend(orient="top", symbolOpacity=1),
    )
    dash = alt.StrokeDash(f"{series}:N", sort=in_order(data[series]), legend=None)
    shape = alt.Shape(f"{series}:N", sort=in_order(data[series]), legend=None)
    base = alt.Chart(data).encode(
        x=alt.X(f"{x}:Q", title=x_title, scale=alt.Scale(type="log", nice=False)),
        color=colour,
        tooltip=list(data),
    )
    title = alt.Y("value:Q", title=y_title, scale=alt.Scale(zero=False))
    layers = [
        base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q", title=y_title), y2="high"),
        base.mark_line(strokeWidth=2).encode(y=title, strokeDash=dash),
        base.mark_point(filled=True, size=45).encode(y=title, shape=shape),
    ]
    return styled(alt.layer(*layers).properties(width=WIDTH - 60, height=220))
