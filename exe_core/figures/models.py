"""Charts of models: scores with their intervals, errors, calibration, training."""

from __future__ import annotations

import math
from collections.abc import Sequence

import altair as alt
import cv2
import numpy as np
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    ESTIMATE,
    INK,
    MUTED,
    PERCENT,
    UNIT,
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


def risk_coverage_chart(curves: pd.DataFrame) -> alt.FacetChart:
    """Draw the share of wrong answers against the share of faces that are answered, surest first.

    Parameters
    ----------
    curves
        Table "risk_coverage"; each run is a panel or, where there is one run only, each set.
    """
    data = drawable(curves, ["run_id", "set_name", "coverage", "risk", "low", "high", "threshold"])
    base = alt.Chart().encode(x=alt.X("coverage:Q", title="answered", scale=UNIT, axis=PERCENT))
    wrong = alt.Y("risk:Q", title="wrong", scale=UNIT, axis=PERCENT)
    low = wrong.copy()
    low.shorthand = "low:Q"
    band = base.mark_area(color=ACCENT, opacity=0.18).encode(y=low, y2="high:Q")
    line = base.mark_line(color=ACCENT).encode(
        y=wrong, tooltip=["coverage", "risk", "low", "high", "threshold"]
    )
    return _small_multiples(alt.layer(band, line, data=data), data)


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
