"""Charts of scores: of models, comparisons, claims and training."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

import altair as alt
import cv2
import numpy as np
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    ESTIMATE,
    GRID,
    INK,
    MUTED,
    PAPER,
    PERCENT,
    UNIT,
    VERDICTS,
    WIDTH,
    drawable,
    emotion_colour,
    in_order,
    intervals,
    labels_in,
    only,
    styled,
)


def recall_chart(metrics: pd.DataFrame) -> alt.FacetChart:
    """Draw the recall of each emotion with its interval, a line a run, a column an emotion.

    Parameters
    ----------
    metrics
        Rows of `metrics` whose metric is "recall"; several sets become rows of panels, or lines
        where there is one run.
    """
    data = drawable(
        only(metrics, "metric", ["recall"]), ["run_id", "set_name", "label", *ESTIMATE, "n"]
    )
    labels = labels_in(data["label"])
    chart = intervals(
        data,
        x=alt.X("value:Q", title="recall", scale=UNIT, axis=PERCENT),
        y=_lines(data),
        colour=emotion_colour(labels, legend=None),
    ).properties(width=_panel_width(data, n=len(labels)), height=alt.Step(20))
    return styled(_faceted(chart, data, column=alt.Column("label:N", sort=labels)))


def score_table_chart(
    metrics: pd.DataFrame,
    *,
    show: Sequence[str] = ("accuracy", "balanced_accuracy", "macro_f1"),
) -> alt.FacetChart:
    """Draw overall scores with their intervals, a line a run, a column a measure.

    Parameters
    ----------
    metrics
        Rows of `metrics`; several sets become rows of panels, or lines where there is one run.
    show
        The metrics to draw, in this order; all between 0 and 1.
    """
    data = only(metrics, "metric", show)
    data = drawable(data[data["label"].isna()], ["run_id", "set_name", "metric", *ESTIMATE, "n"])
    data["metric"] = data["metric"].str.replace("_", " ")
    order = [name.replace("_", " ") for name in show]
    chart = intervals(
        data,
        x=alt.X("value:Q", title="score", scale=UNIT, axis=PERCENT),
        y=_lines(data),
        colour=alt.value(ACCENT),
    ).properties(width=_panel_width(data, n=len(show)), height=alt.Step(20))
    return styled(_faceted(chart, data, column=alt.Column("metric:N", sort=order)))


def strata_chart(scores: pd.DataFrame) -> alt.VConcatChart:
    """Draw the balanced accuracy of each run in each stratum, a column a run.

    Parameters
    ----------
    scores
        Rows of `metrics` whose metric is "balanced_accuracy", with the stratum as `set_name` and
        what it is of as `trait`; each trait is a row of panels.
    """
    data = drawable(
        only(scores, "metric", ["balanced_accuracy"]),
        ["run_id", "trait", "set_name", *ESTIMATE, "n"],
    )
    runs = in_order(data["run_id"])
    width = (WIDTH - 100) // len(runs) - 14
    rows = [
        intervals(
            of_trait,
            x=alt.X("value:Q", title="balanced accuracy", scale=UNIT, axis=PERCENT),
            y=alt.Y("set_name:N", title=trait, sort=in_order(of_trait["set_name"])),
            colour=alt.value(ACCENT),
            tooltip=["n"],
        )
        .properties(width=width, height=alt.Step(20))
        .facet(column=alt.Column("run_id:N", sort=runs))
        for trait, of_trait in data.groupby("trait", sort=False)
    ]
    return styled(alt.vconcat(*rows))


def confusion_chart(confusion: pd.DataFrame) -> alt.FacetChart:
    """Draw which emotion is answered where another is true, as shares of the true one.

    Parameters
    ----------
    confusion
        Rows of `confusion` of one set; each run becomes a panel.
    """
    columns = ["run_id", "label", "predicted", "n", "share_of_label"]
    data = drawable(confusion, columns)
    labels = labels_in(pd.concat([data["label"], data["predicted"]]))
    side = 36 * len(labels)
    base = alt.Chart().encode(
        x=alt.X("predicted:N", sort=labels, title="answered", axis=alt.Axis(labelAngle=-45)),
        y=alt.Y("label:N", sort=labels, title="true"),
    )
    cells = base.mark_rect().encode(
        color=alt.Color(
            "share_of_label:Q",
            title="share of the true emotion",
            scale=alt.Scale(domain=[0, 1], scheme="blues"),
            legend=alt.Legend(format="%", gradientLength=120),
        ),
        tooltip=columns,
    )
    numbers = base.mark_text(fontSize=10).encode(
        text=alt.Text("share_of_label:Q", format=".0%"),
        color=alt.condition("datum.share_of_label > 0.55", alt.value("white"), alt.value("black")),
    )
    panels = alt.layer(cells, numbers, data=data).properties(width=side, height=side)
    run = alt.Facet("run_id:N", sort=in_order(data["run_id"]))
    grid = panels.facet(run, columns=max(1, (WIDTH - 40) // (side + 20)))
    return styled(grid.resolve_axis(x="independent"))


def history_chart(history: pd.DataFrame) -> alt.VConcatChart:
    """Draw loss and accuracy by epoch, a column a run, on training and validation faces."""
    data = drawable(history, ["run_id", "epoch", "split", "loss", "accuracy"])
    runs = in_order(data["run_id"])
    width = min(260, max(64, (WIDTH - 60) // len(runs) - 12))
    last = int(data["epoch"].max())
    whole = list(range(1, last + 1, math.ceil(last / 5)))
    split = alt.Color(
        "split:N",
        title=None,
        scale=alt.Scale(domain=["train", "val"], range=["#9AA4B2", ACCENT]),
        legend=alt.Legend(symbolType="stroke"),
    )
    rows = [
        alt.Chart(data)
        .mark_line(point=alt.OverlayMarkDef(size=12))
        .encode(
            x=alt.X("epoch:Q", axis=alt.Axis(values=whole, format="d", grid=False)),
            y=alt.Y(f"{measure}:Q", scale=alt.Scale(zero=measure == "loss"), axis=axis),
            color=split,
            tooltip=["run_id", "epoch", "split", "loss", "accuracy"],
        )
        .properties(width=width, height=110)
        .facet(column=alt.Column("run_id:N", sort=runs, header=alt.Header(labels=named)))
        for measure, axis, named in (
            ("loss", alt.Axis(), True),
            ("accuracy", alt.Axis(format="%"), False),
        )
    ]
    return styled(alt.vconcat(*rows))


def reliability_chart(reliability: pd.DataFrame) -> alt.FacetChart:
    """Draw accuracy against confidence; on the diagonal a run is calibrated.

    Parameters
    ----------
    reliability
        Table "reliability"; each run is a panel or, where there is one run only, each set.
    """
    columns = ["run_id", "set_name", "confidence", "accuracy", "n"]
    data = drawable(reliability.dropna(subset=["confidence", "accuracy"]), columns)
    base = alt.Chart().encode(
        x=alt.X("confidence:Q", scale=UNIT, axis=PERCENT),
        y=alt.Y("accuracy:Q", scale=UNIT, axis=PERCENT),
    )
    diagonal = alt.Chart().mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=0.8)
    corner = {name: alt.datum(0) for name in ("x", "y")} | {
        name: alt.datum(1) for name in ("x2", "y2")
    }
    bins = base.mark_point(filled=True, opacity=1, color=ACCENT).encode(
        size=alt.Size("n:Q", title="faces", scale=alt.Scale(range=[8, 160])), tooltip=columns
    )
    layers = alt.layer(diagonal.encode(**corner), base.mark_line(color=ACCENT), bins, data=data)
    return _small_multiples(layers, data)


def _lines(data: pd.DataFrame) -> alt.Y:
    """Give each run a line or, where there is one run only, each set."""
    field = _line_field(data)
    return alt.Y(f"{field}:N", title=None, sort=in_order(data[field]))


def _small_multiples(layers: alt.LayerChart | alt.FacetChart, data: pd.DataFrame) -> alt.FacetChart:
    field = _line_field(data)
    panel = alt.Facet(f"{field}:N", sort=in_order(data[field]))
    grid = layers.properties(width=125, height=125).facet(panel, columns=4)
    return styled(grid.resolve_axis(x="independent"))


def _line_field(data: pd.DataFrame) -> str:
    return "set_name" if len(in_order(data["run_id"])) == 1 else "run_id"


def _panel_width(data: pd.DataFrame, *, n: int) -> int:
    """Share the page among `n` panels, beside the names of the lines."""
    names = max(100, 6 * data[_line_field(data)].str.len().max())
    return (WIDTH - int(names)) // n - 14


def _faceted(
    chart: alt.LayerChart | alt.FacetChart, data: pd.DataFrame, *, column: alt.Column
) -> alt.FacetChart:
    if min(len(in_order(data[field])) for field in ("set_name", "run_id")) == 1:
        return chart.facet(column=column)
    header = alt.Header(labelOrient="right")
    sets = alt.Row("set_name:N", sort=in_order(data["set_name"]), header=header)
    return chart.facet(column=column, row=sets)


SURPRISE = {"+1": "#2B6CB0", "0": "#8A8A8A", "dropped": "#C2410C"}
"""The level that surprise is given -> its colour."""


def class_chart(metrics: pd.DataFrame) -> alt.FacetChart:
    """Draw precision, recall and F1 of each emotion with intervals, a line a run.

    Parameters
    ----------
    metrics
        Rows of `metrics` of one set, of the three scores.
    """
    data = only(metrics, "metric", ["precision", "recall", "f1"])
    data = drawable(data, ["run_id", "metric", "label", *ESTIMATE, "n"])
    data["metric"] = data["metric"].replace("f1", "F1")
    measures = ["precision", "recall", "F1"]
    runs, labels = in_order(data["run_id"]), labels_in(data["label"])
    chart = intervals(
        data,
        x=alt.X("value:Q", title="score", scale=UNIT, axis=PERCENT),
        y=alt.Y("run_id:N", title=None, sort=runs),
        colour=emotion_colour(labels, legend=None),
    ).properties(width=(WIDTH - 190) // len(measures), height=alt.Step(13))
    header = alt.Header(labelAngle=0, labelAlign="left", labelOrient="left")
    return styled(
        chart.facet(
            column=alt.Column("metric:N", sort=measures),
            row=alt.Row("label:N", sort=labels, header=header),
            spacing=6,
        )
    )


def choices_chart(choices: pd.DataFrame) -> alt.FacetChart:
    """Draw the scores of each run under every choice of levels; a ring marks the study's own.

    Parameters
    ----------
    choices
        From `exe_core.sentiment.sensitivity`: run_id, scale, rule, choice, surprise,
        metric and value.
    """
    columns = ["run_id", "scale", "rule", "choice", "surprise", "metric", "value"]
    data = drawable(choices, columns)
    data["metric"] = data["metric"].str.replace("_", " ")
    base = alt.Chart().encode(
        x=alt.X("value:Q", title="score", scale=alt.Scale(zero=False, nice=True)),
        y=alt.Y("run_id:N", title=None, sort=in_order(data["run_id"])),
        tooltip=columns,
    )
    surprise = alt.Color(
        "surprise:N",
        title="surprise",
        scale=alt.Scale(domain=list(SURPRISE), range=list(SURPRISE.values())),
        legend=alt.Legend(symbolType="square"),
    )
    ticks = base.mark_tick(thickness=1.5, size=13, opacity=1).encode(color=surprise)
    own = base.mark_point(size=60, color=INK, opacity=1).transform_filter(
        "datum.choice == 'as chosen' && datum.rule == 'sum'"
    )
    n = data["metric"].nunique()
    panels = alt.layer(ticks, own, data=data).properties(
        width=(WIDTH - 160) // n, height=alt.Step(20)
    )
    return styled(
        panels.facet(
            column=alt.Column("metric:N", sort=in_order(data["metric"])),
            row=alt.Row("scale:N", sort=in_order(data["scale"])),
        ).resolve_scale(x="independent")
    )


def randomisation_chart(check: pd.DataFrame) -> alt.HConcatChart:
    """Draw how far maps stay the same while layers are replaced by random ones, a panel a run.

    Parameters
    ----------
    check
        run_id, step, layer, and the rank correlation as value, low and high; step 0 compares the
        maps of different faces.
    """
    data = drawable(check, ["run_id", "step", "layer", *ESTIMATE])
    runs = in_order(data["run_id"])
    width = (WIDTH - 130 * len(runs)) // len(runs)
    x = alt.X(
        "value:Q",
        title="rank correlation",
        scale=alt.Scale(domain=[-1, 1]),
        axis=alt.Axis(values=[-1, -0.5, 0, 0.5, 1]),
    )
    panels = []
    for run in runs:
        rows = data[data["run_id"] == run].sort_values("step")
        y = alt.Y("layer:N", title=None, sort=in_order(rows["layer"]))
        zero = alt.Chart().mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=0.8)
        dots = intervals(rows, x=x, y=y, colour=alt.value(ACCENT))
        layers = alt.layer(zero.encode(x=alt.datum(0)), *dots.layer, data=rows)
        panels.append(layers.properties(width=width, height=alt.Step(16), title=run))
    return styled(alt.hconcat(*panels))


def heat_over(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay a map over a gray face, from violet (nothing) to yellow (the most of this face).

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB.
    heat
        (h, w); what is below 0 is shown as nothing.

    Returns
    -------
    np.ndarray
        (H, W, 3) uint8 RGB.
    """
    rising = np.maximum(heat, 0).astype(np.float32)
    scaled = rising / rising.max() if rising.max() > 0 else rising
    smooth = cv2.resize(scaled, image.shape[1::-1], interpolation=cv2.INTER_CUBIC).clip(0, 1)
    coloured = cv2.applyColorMap((smooth * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1]
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    return (0.5 * gray + 0.5 * coloured).round().astype(np.uint8)


_OWN = "faces of a set that the model learned from"


def matrix_chart(scores: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Draw the balanced accuracy of each model on each set, with its interval in the cell.

    Parameters
    ----------
    scores
        As `exe_core.comparisons.train_test_matrix` gives them. Cells whose test faces are of a set
        that the model learned from (`own`) are outlined: they say less of other faces.
    """
    data = drawable(
        only(scores, "metric", ["balanced_accuracy"]),
        ["run_id", "set_name", "value", "low", "high", "n", "n_groups", "own"],
    )
    names = min(200, int(6.2 * data["run_id"].str.len().max()) + 12)
    width = min(80, (WIDTH + 40 - names) // data["set_name"].nunique())
    wrapped = {
        name: "\n".join(textwrap.wrap(name.replace("_", " "), width // 6))
        for name in in_order(data["set_name"])
    }
    data["tested"] = data["set_name"].map(wrapped)
    data["of"] = data["own"].map({True: _OWN, False: None})
    lines = alt.Axis(labelAngle=0, labelExpr="split(datum.label, '\\n')", ticks=False)
    base = alt.Chart(data).encode(
        x=alt.X("tested:N", title="tested on", sort=list(wrapped.values()), axis=lines),
        y=alt.Y(
            "run_id:N", title="model", sort=in_order(data["run_id"]), axis=alt.Axis(ticks=False)
        ),
        tooltip=["run_id", "set_name", "value", "low", "high", "n", "n_groups"],
    )
    cells = base.mark_rect(stroke=PAPER, strokeWidth=2).encode(
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
                legend=alt.Legend(symbolType="square", symbolFillColor=PAPER, labelLimit=300),
            )
        )
    )
    dark = alt.condition("datum.value > 0.65", alt.value("white"), alt.value("black"))
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
        As `exe_core.comparisons.compare` gives them; an interval that holds 0 is drawn in gray.
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
        x=alt.X("difference:Q", title=f"{measure} gained over {data['other_run_id'].iloc[0]}"),
        y=alt.Y("run_id:N", title=None, sort=list(order)),
        colour=alt.condition(
            "datum.low > 0 || datum.high < 0", alt.value(ACCENT), alt.value("#8A8A8A")
        ),
        tooltip=["n_seeds", "spread"],
    )
    columns = min(2, len(sets))
    panel = alt.layer(zero, *dots.layer, data=data).properties(
        width=(WIDTH - names) // columns - 14, height=alt.Step(20)
    )
    grid = panel.facet(alt.Facet("set_name:N", sort=sets), columns=columns)
    return styled(grid.resolve_axis(x="independent"))


def factorial_chart(
    estimates: pd.DataFrame, *, metric: str = "balanced_accuracy"
) -> alt.VConcatChart:
    """Draw the score with each combination of faults undone, and what undoing each is worth.

    On the left a dot stands where a fault is undone; beside it the score, and the dashed line is
    the score at home; on the right the effects. Thick lines are intervals of other faces of the
    same groups, thin ones of other groups.

    Parameters
    ----------
    estimates
        Table "factorial", with rows of kind "home" or without; each set is a row of panels.
    metric
        The measure that is drawn.
    """
    columns = [
        "kind",
        "term",
        "crop",
        "colour",
        "calibration",
        "value",
        "low",
        "high",
        "over",
        "n",
        "n_groups",
    ]
    chosen = only(estimates, "metric", [metric])
    rows = [
        _factorial_row(drawable(of_set, columns), metric=metric).properties(title=set_name)
        for set_name, of_set in chosen.groupby("set_name", sort=False)
    ]
    return styled(alt.vconcat(*rows, spacing=20))


def _factorial_row(data: pd.DataFrame, *, metric: str) -> alt.HConcatChart:
    kinds = {kind: data[data["kind"] == kind] for kind in ("cell", "effect", "home")}
    faults = _faults(kinds["cell"])
    order = in_order(faults.sort_values("n_undone", kind="stable")["term"])
    score = alt.X("value:Q", title=metric.replace("_", " "), scale=alt.Scale(zero=False))
    gain = alt.X("value:Q", title="gain by undoing it")
    home = alt.Chart(kinds["home"]).encode(x=score)
    named = home.mark_text(fontSize=10, color=MUTED, dy=-8).encode(y=alt.value(0), text="term:N")
    cells = _estimates(kinds["cell"], x=score, order=order, axis=None)
    effects = _estimates(
        kinds["effect"], x=gain, order=in_order(kinds["effect"]["term"]), axis=alt.Axis(ticks=False)
    )
    zero = alt.Chart().mark_rule(color=INK, strokeWidth=1).encode(x=alt.datum(0))
    return alt.hconcat(
        _undone(faults, order).properties(width=80, height=alt.Step(18)),
        alt.layer(home.mark_rule(color=MUTED, strokeDash=[4, 3]), named, cells).properties(
            width=210, height=alt.Step(18)
        ),
        alt.layer(zero, effects).properties(width=180, height=alt.Step(20)),
        spacing=18,
    ).resolve_scale(y="independent")


def _faults(cells: pd.DataFrame) -> pd.DataFrame:
    """Say of each cell and fault whether it is undone, which it is not in the first cell."""
    factors = ["crop", "colour", "calibration"]
    long = cells.drop_duplicates("term").melt(["term"], factors, "factor", "level")
    published = long.groupby("factor")["level"].transform("first")
    long["undone"] = long["level"] != published
    return long.assign(n_undone=long.groupby("term")["undone"].transform("sum"))


def _undone(faults: pd.DataFrame, order: list[str]) -> alt.LayerChart | alt.FacetChart:
    """Draw a dot for each fault of each cell, filled where it is undone."""
    below = alt.Axis(labelAngle=-35, ticks=False, domain=False)
    base = alt.Chart(faults).encode(
        x=alt.X("factor:N", title=None, sort=in_order(faults["factor"]), axis=below),
        y=alt.Y("term:N", sort=order, axis=None),
        tooltip=["factor", "level"],
    )
    joined = base.transform_filter("datum.undone").mark_line(color=INK, strokeWidth=1.5)
    dots = base.mark_circle(size=75, opacity=1).encode(
        color=alt.condition("datum.undone", alt.value(INK), alt.value(GRID))
    )
    return alt.layer(joined.encode(detail="term:N"), dots)


def _estimates(
    data: pd.DataFrame, *, x: alt.X, order: list[str], axis: alt.Axis | None
) -> alt.LayerChart | alt.FacetChart:
    """Draw estimates with both intervals: thin of other groups, thick of other faces."""
    low = x.copy()
    low.shorthand = "low:Q"
    base = alt.Chart(data).encode(
        y=alt.Y("term:N", title=None, sort=order, axis=axis),
        tooltip=["term", "value", "low", "high", "over"],
    )
    lines = [
        base.transform_filter(f"datum.over == '{over}' && isValid(datum.low)")
        .mark_rule(color=ACCENT, strokeWidth=width, opacity=opacity)
        .encode(x=low, x2="high:Q")
        for over, width, opacity in (("groups", 1.2, 1), ("faces", 5, 0.35))
    ]
    dots = base.transform_filter("datum.over == 'groups'")
    return alt.layer(*lines, dots.mark_circle(size=55, opacity=1, color=ACCENT).encode(x=x))


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
