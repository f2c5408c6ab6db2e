"""Charts of the sentiment ensemble: classes, choices of levels, and where networks look."""

from __future__ import annotations

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
        From `exe_core.sentiment.scoring.sensitivity`: run_id, scale, rule, choice, surprise,
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
