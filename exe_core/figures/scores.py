"""Charts of scores: of models, comparisons, claims and training."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    ESTIMATE,
    EXTENT,
    GRAY,
    INK,
    PAPER,
    SHADE,
    Chart,
    Names,
    Panel,
    coloured,
    colours_of,
    drawable,
    estimates,
    filtered,
    grid,
    in_order,
    lined,
    side,
    wrapped,
)


def confusion_chart(
    confusion: pd.DataFrame, *, title: str = "share of each true emotion (row) by what is predicted"
) -> Chart:
    """Draw what is predicted for each label, as shares of the label.

    Takes rows of table "confusion" of one set; each run becomes a panel. `title` says what lines
    and columns are.
    """
    data = drawable(confusion, ["run_id", "label", "predicted", "n", "share_of_label"])
    labels = in_order(data["label"])
    letters = alt.condition("datum.share_of_label > 0.6", alt.value("white"), alt.value("black"))
    scale = alt.Scale(domain=[0, 1], scheme="blues")
    shade = alt.Color("share_of_label:Q", scale=scale, legend=None)
    x = alt.X("predicted:N", sort=labels, axis=alt.Axis(title=None, labelAngle=-60))
    share = alt.Text("share_of_label:Q", format=".0%")

    def draw(lines: alt.Chart, at: Panel) -> list[Any]:
        base = lines.encode(x=x, tooltip=list(data))
        return [
            base.mark_rect(strokeWidth=2, stroke=PAPER).encode(color=shade),
            base.mark_text(fontSize=10).encode(text=share, color=letters),
        ]

    size = {"least": 32 * len(labels), "most": 48 * len(labels)}
    return lined(draw, data, y="label", step=28, column="run_id", title=title, **size)


def history_chart(history: pd.DataFrame) -> Chart:
    """Draw loss and accuracy by epoch of one run, on training and validation faces."""
    data = drawable(history, ["run_id", "epoch", "split", "loss", "accuracy"])
    long = data.melt(["run_id", "epoch", "split"], var_name="measure")
    epochs = sorted(set(long["epoch"]))

    def draw(part: pd.DataFrame, at: Panel) -> Any:
        lines = alt.Chart(part).mark_line(point=alt.OverlayMarkDef(size=12))
        every = -(-30 * len(epochs) // at.px)
        axis = alt.Axis(format="d", values=epochs[::every], grid=False)
        return lines.encode(
            x=alt.X("epoch:Q", axis=axis),
            y=alt.Y("value:Q", title=None, scale=alt.Scale(zero=False), axis=side(at)),
            color=coloured("split", {"train": "#9AA4B2", "val": ACCENT}, at),
            tooltip=list(long),
        ).properties(width=at.px - EXTENT, height=130)

    return Chart(lambda width: grid(draw, long, width=width, extent=0, column="measure", least=230))


def claims_chart(claims: pd.DataFrame) -> Chart:
    """Draw each claim's estimate with its interval on what the claim predicts, by verdict.

    Takes table "claims". Shaded is where the estimate should lie: about `reference`, or all that is
    `claimed` above or below it.
    """
    data = claims.rename(columns={"estimate": "value"})
    data["claim"] = data["claim_id"] + ": " + data["statistic"]
    ends = data[["low", "high", "reference"]].assign(zero=0.0)
    domain = [ends.min(axis=None) - 0.05, ends.max(axis=None) + 0.05]
    about = data["tolerance"].where(data["claimed"] == "equal", 0.0)
    data["from"] = (data["reference"] - about).mask(data["claimed"] == "below", domain[0])
    data["to"] = (data["reference"] + about).mask(data["claimed"] == "above", domain[1])
    data.loc[data["value"].isna(), ["from", "to", "reference"]] = None
    how: dict[str, Any] = {"tick": "reference", "band": ("from", "to"), "unit": False}
    title = "estimate with its interval; shaded: where it lies if the claim holds"
    return estimates(data, y="claim", row="verdict", colour="verdict", title=title, **how)


SPECIFIED = {
    "confidence": "confidence \N{GREATER-THAN OR EQUAL TO} {:g}",
    "measure": "{}",
    "films": "films: {}",
    "window_min": "{:.0f} min about events",
}


def specification_chart(table: pd.DataFrame) -> Chart:
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
    verdicts = colours_of(data["verdict"])
    title = "estimates by what was chosen, in order; band: as planned; dashes: the value claimed"
    ends = data[["low", "high", "reference"]]
    span = alt.Scale(domain=[ends.min(axis=None), ends.max(axis=None)])

    def layout(width: int) -> Any:
        names = Names(choices["choice"], width, 14)

        def draw(part: pd.DataFrame, at: Panel) -> Any:
            x = alt.X("place:O", axis=None)
            base = alt.Chart().encode(x=x, color=coloured("verdict", verdicts, at))
            plan = alt.Chart().transform_filter("datum.planned").encode(x=x)
            band = plan.mark_rule(color=SHADE, strokeWidth=8, clip=True)
            claimed = alt.Chart().mark_rule(color=INK, strokeDash=[2, 2])
            everywhere = {"y": alt.value(0), "y2": alt.value("height")}
            hit = alt.Chart().mark_rect(opacity=0).encode(x=x, **everywhere, tooltip=list(data))
            y = alt.Y("low:Q", title=None, scale=span, axis=side(at, names.extent))
            curve = [
                band,
                claimed.encode(y="mean(reference):Q"),
                filtered(base.mark_rule().encode(y=y, y2="high"), "verdict", at),
                base.mark_circle(size=22, opacity=1).encode(y="value:Q"),
                hit,
            ]
            lines = names.y("choice", in_order(choices["choice"]), at)
            squares = base.mark_square(size=16, opacity=1).encode(y=lines)
            chosen = choices[choices["claim"].isin(part["claim"])]
            above = alt.layer(*curve, data=part).properties(width=at.px, height=150)
            size = {"width": at.px, "height": alt.Step(names.step)}
            beneath = alt.layer(band, squares, hit, data=chosen).properties(**size)
            later = at._replace(is_first=False)
            parts = [filtered(one, "verdict", later) for one in (above, beneath)]
            return alt.vconcat(*parts, spacing=12, bounds="flush")

        of_claims: dict[str, Any] = {"column": "claim", "title": title, "free": True, "least": 84}
        return grid(draw, data, width=width, extent=names.extent, **of_claims)

    return Chart(layout)


def curve_chart(table: pd.DataFrame, *, x: str, series: str, x_title: str, y_title: str) -> Chart:
    """Draw estimates against a number on a logarithmic axis, a line and a band a series."""
    data = drawable(table, [x, series, *ESTIMATE])
    names = in_order(data[series])
    colours = dict(zip(names, [ACCENT, GRAY, INK], strict=False))

    def draw(part: pd.DataFrame, at: Panel) -> Any:
        axis = alt.Axis(title=wrapped(x_title, at.px), tickCount=at.px // 60, labelFlush=20)
        base = alt.Chart().encode(
            x=alt.X(f"{x}:Q", scale=alt.Scale(type="log", nice=False), axis=axis),
            color=coloured(series, colours, at),
            tooltip=list(data),
        )
        dash = alt.StrokeDash(f"{series}:N", sort=names, legend=None)
        shape = alt.Shape(f"{series}:N", sort=names, legend=None)
        scale = alt.Scale(zero=False)
        value = alt.Y("value:Q", title=None, scale=scale, axis=side(at, tickCount=5))
        layers = [
            base.mark_area(opacity=0.18).encode(y=alt.Y("low:Q"), y2="high"),
            base.mark_line(strokeWidth=2).encode(y=value, strokeDash=dash),
            base.mark_point(filled=True, size=45).encode(y="value:Q", shape=shape),
        ]
        chart = alt.layer(*layers, data=part).properties(width=at.px, height=220)
        return filtered(chart, series, at)

    return Chart(lambda width: grid(draw, data, width=width, extent=EXTENT, title=y_title))
