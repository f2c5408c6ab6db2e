"""Charts of what was found: each claim beside what it predicts, each criterion beside accuracy."""

from __future__ import annotations

import textwrap

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    INK,
    MUTED,
    VERDICTS,
    WIDTH,
    drawable,
    in_order,
    intervals,
    styled,
)

NAMES_PX = 300
LINE_PX = 13
CLAIM = ("claim_id", "text", "statistic", "estimate", "low", "high", "verdict")
PREDICTED = ("claimed", "reference", "tolerance")


def claims_chart(claims: pd.DataFrame) -> alt.VConcatChart:
    """Draw each claim's estimate with its interval on what the claim predicts, by verdict.

    Parameters
    ----------
    claims
        Table "claims" as `claims.judge` gives it. Shaded is where the estimate should lie: about
        `reference`, or all that is `claimed` above or below it.
    """
    data = drawable(claims, [*CLAIM, *PREDICTED])
    data["claim"] = [
        "\n".join(textwrap.wrap(f"{name}: {statistic}", 46))
        for name, statistic in zip(data["claim_id"], data["statistic"], strict=True)
    ]
    tested = data.dropna(subset=["estimate", "low", "high"])
    ends = [*tested["low"], *tested["high"], *tested["reference"], 0.0]
    pad = 0.04 * (max(ends) - min(ends) or 1.0)
    domain = (min(ends) - pad, max(ends) + pad)
    groups = [
        (verdict, data[data["verdict"] == verdict])
        for verdict in VERDICTS
        if (data["verdict"] == verdict).any()
    ]
    last = max(k for k, (verdict, _) in enumerate(groups) if verdict != "not testable" or k == 0)
    panels = [
        _verdict_panel(verdict, rows, domain=domain, named=k == last)
        for k, (verdict, rows) in enumerate(groups)
    ]
    return styled(alt.vconcat(*panels, spacing=12).resolve_scale(x="shared"))


def accuracy_scatter(measured: pd.DataFrame, correlations: pd.DataFrame) -> alt.ConcatChart:
    """Draw each model's accuracy against each criterion, a dot a model, a panel a criterion.

    Parameters
    ----------
    measured
        A row a model and criterion: run_id, criterion, measure, and balanced_accuracy with low and
        high.
    correlations
        A row a criterion: criterion, statistic (what its axis shows), estimate, low and high of
        the rank correlation; null where it is undefined.
    """
    about = drawable(correlations, ["criterion", "statistic", "estimate", "low", "high"])
    data = drawable(
        measured, ["run_id", "criterion", "measure", "balanced_accuracy", "low", "high"]
    )
    columns = 2
    panels = []
    for place, named in enumerate(about.to_dict("records")):
        own = data[(data["criterion"] == named["criterion"]) & data["measure"].notna()]
        x = alt.X(
            "measure:Q", title=textwrap.wrap(named["statistic"], 50), scale=alt.Scale(zero=False)
        )
        name = "balanced accuracy on film faces" if place % columns == 0 else None
        y = alt.Y(
            "balanced_accuracy:Q",
            title=name,
            scale=alt.Scale(zero=False),
            axis=alt.Axis(format="%"),
        )
        low = y.copy()
        low.shorthand = "low:Q"
        base = alt.Chart().encode(x=x, tooltip=["run_id", "measure", "balanced_accuracy"])
        lines = base.mark_rule(color=ACCENT, opacity=0.35).encode(y=low, y2="high:Q")
        dots = base.mark_circle(color=ACCENT, size=45, opacity=1).encode(y=y)
        title = alt.Title(
            f"{named['criterion']}: {_correlation(named)}", frame="group", anchor="start"
        )
        panels.append(
            alt.layer(lines, dots, data=own).properties(
                width=(WIDTH - 90) // columns, height=190, title=title
            )
        )
    grid = alt.concat(*panels, columns=columns, spacing={"column": 24, "row": 20})
    return styled(grid.resolve_scale(y="shared"))


def _correlation(row: dict) -> str:
    if pd.isna(row["estimate"]):
        return "rank correlation undefined"
    value, low, high = (
        f"{row[name]:.2f}".replace("-", "\N{MINUS SIGN}") for name in ("estimate", "low", "high")
    )
    return f"rank correlation {value} [{low}, {high}]"


def _verdict_panel(
    verdict: str, rows: pd.DataFrame, *, domain: tuple[float, float], named: bool
) -> alt.LayerChart | alt.FacetChart:
    """Draw the claims of one verdict; the last panel with estimates names the axis."""
    rows = rows.assign(
        predicted_from=_edge(rows, domain[0], open_side="below", sign=-1),
        predicted_to=_edge(rows, domain[1], open_side="above", sign=1),
    )
    tallest = 1 + int(rows["claim"].str.count("\n").max())
    step = LINE_PX * tallest + 10
    lines = alt.Axis(
        labelLimit=NAMES_PX,
        labelExpr="split(datum.label, '\\n')",
        labelPadding=6,
        labelOffset=-LINE_PX * (tallest - 1) / 2,
        labelLineHeight=LINE_PX,
        ticks=False,
        domain=False,
    )
    y = alt.Y("claim:N", title=None, sort=in_order(rows["claim"]), axis=lines)
    title = "estimate with its interval; shaded: where it lies if the claim holds"
    axis = alt.Axis(title=title if named else None, labels=named, ticks=False)
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    heading = alt.Title(verdict, color=INK, anchor="start", frame="group", fontSize=12)
    whole = {"width": WIDTH - NAMES_PX, "height": alt.Step(step), "title": heading}
    if verdict == "not testable":
        absent = alt.Chart().mark_text(align="left", color=MUTED, fontStyle="italic")
        return alt.layer(
            absent.encode(x=alt.value(4), y=y, text=alt.value("no estimate: see the reason")),
            data=rows,
        ).properties(**whole)
    band = (
        alt.Chart()
        .mark_bar(color=INK, opacity=0.13, height=step - 6)
        .encode(x=alt.X("predicted_from:Q", scale=scale, axis=axis), x2="predicted_to:Q", y=y)
    )
    against = alt.Chart().mark_tick(color=INK, thickness=1, size=step - 6)
    dots = intervals(
        rows,
        x=alt.X("estimate:Q", scale=scale, axis=axis),
        y=y,
        colour=alt.value(VERDICTS[verdict]),
        tooltip=["text", "verdict"],
    )
    reference = against.encode(x=alt.X("reference:Q", scale=scale, axis=axis), y=y)
    return alt.layer(band, reference, *dots.layer, data=rows).properties(**whole)


def _edge(rows: pd.DataFrame, end: float, *, open_side: str, sign: int) -> list[float]:
    """Say where what a claim predicts ends on one side: at the page's edge if it is open there."""
    return [
        end
        if row.claimed == open_side
        else row.reference + sign * (row.tolerance if row.claimed == "equal" else 0.0)
        for row in rows.itertuples()
    ]
