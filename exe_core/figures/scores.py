"""Charts of scores: of models, comparisons, claims and training."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import altair as alt
import cv2
import numpy as np
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    ESTIMATE,
    INK,
    MUTED,
    VERDICTS,
    WIDTH,
    drawable,
    estimates,
    heat,
    in_order,
    only,
    styled,
)

_GAINS: dict[str, Any] = {
    "colour": alt.condition(
        "datum.low > 0 || datum.high < 0", alt.value(ACCENT), alt.value("#8A8A8A")
    ),
    "unit": False,
    "zero": True,
}
"""How differences are drawn: to either side of 0, in gray where the interval holds it."""


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
    data = data.sort_values("metric", key=lambda names: names.map([*show].index), kind="stable")
    data["metric"] = data["metric"].str.replace("_", " ")
    return estimates(data, title="score", column="metric", **_lines(data))


def recall_chart(metrics: pd.DataFrame) -> alt.FacetChart:
    """Draw the recall of each emotion with its interval, a line a run, a column an emotion.

    Parameters
    ----------
    metrics
        Rows of `metrics` whose metric is "recall"; several sets become rows of panels, or lines
        where there is one run.
    """
    data = only(metrics, "metric", ["recall"])
    data = drawable(data, ["run_id", "set_name", "label", *ESTIMATE, "n"])
    return estimates(data, title="recall", column="label", emotion="label", **_lines(data))


def _lines(data: pd.DataFrame) -> dict[str, Any]:
    """Give each run a line or, where there is one run only, each set."""
    if len(in_order(data["run_id"])) == 1:
        return {"y": "set_name"}
    return {"y": "run_id"} | ({"row": "set_name"} if len(in_order(data["set_name"])) > 1 else {})


def confusion_chart(confusion: pd.DataFrame) -> alt.FacetChart:
    """Draw which emotion is predicted for each true one, as shares of the true one.

    Parameters
    ----------
    confusion
        Rows of `confusion` of one set; each run becomes a panel.
    """
    data = drawable(confusion, ["run_id", "label", "predicted", "n", "share_of_label"])
    return heat(
        data,
        x="predicted",
        y="label",
        value="share_of_label",
        title="share of the true emotion",
        x_title="predicted",
        y_title="true",
        column="run_id",
    )


def matrix_chart(scores: pd.DataFrame) -> alt.LayerChart:
    """Draw the balanced accuracy of each model on each set, with its interval in the cell.

    Parameters
    ----------
    scores
        run_id, set_name, metric, value, low, high, n, n_groups and own. Cells whose test faces are
        of a set that the model learned from (`own`) are outlined: they say less of other faces.
    """
    data = drawable(
        only(scores, "metric", ["balanced_accuracy"]),
        ["run_id", "set_name", *ESTIMATE, "n", "n_groups", "own"],
    )
    data["interval"] = [
        f"{100 * row.low:.0f}–{100 * row.high:.0f}" if pd.notna(row.low) else ""
        for row in data.itertuples()
    ]
    return heat(
        data,
        x="set_name",
        y="run_id",
        value="value",
        title="balanced accuracy",
        x_title="tested on",
        y_title="model",
        below="interval",
        outlined="own",
        side=58,
    )


def differences_chart(
    comparisons: pd.DataFrame, *, metric: str = "balanced_accuracy"
) -> alt.FacetChart:
    """Draw what each recipe gains over the reference, with its interval, a column a set.

    Parameters
    ----------
    comparisons
        run_id, other_run_id, set_name, metric, difference, low, high, n_seeds and spread; an
        interval that holds 0 is drawn in gray.
    metric
        The measure that is drawn.
    """
    names = ["run_id", "other_run_id", "set_name", "difference", "low", "high", "n_seeds", "spread"]
    data = drawable(only(comparisons, "metric", [metric]), names)
    best_first = data.groupby("run_id")["difference"].transform("mean")
    data = data.iloc[best_first.argsort(kind="stable")[::-1]]
    return estimates(
        data,
        x="difference",
        y="run_id",
        title=f"{metric.replace('_', ' ')} gained over {data['other_run_id'].iloc[0]}",
        column="set_name",
        wrap=min(2, data["set_name"].nunique()),
        **_GAINS,
    )


def factorial_chart(
    estimates_of: pd.DataFrame, *, metric: str = "balanced_accuracy"
) -> alt.FacetChart:
    """Draw what undoing each fault, and each combination of them, is worth, a column a set.

    Parameters
    ----------
    estimates_of
        Table "factorial"; of its rows those of kind "effect" are drawn, with intervals over groups.
    metric
        The measure that is drawn.
    """
    chosen = only(only(estimates_of, "metric", [metric]), "kind", ["effect"])
    columns = ["set_name", "term", *ESTIMATE, "n", "n_groups"]
    data = drawable(only(chosen, "over", ["groups"]), columns)
    title = f"{metric.replace('_', ' ')} gained by undoing it"
    wrap = min(2, data["set_name"].nunique())
    return estimates(data, y="term", title=title, column="set_name", wrap=wrap, **_GAINS)


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
CLAIM = ("claim_id", "text", "statistic", "estimate", "low", "high", "verdict")
PREDICTED = ("claimed", "reference", "tolerance")


def claims_chart(claims: pd.DataFrame) -> alt.FacetChart:
    """Draw each claim's estimate with its interval on what the claim predicts, by verdict.

    Parameters
    ----------
    claims
        Table "claims". Shaded is where the estimate should lie: about `reference`, or all that is
        `claimed` above or below it.
    """
    data = drawable(claims, [*CLAIM, *PREDICTED])
    labels = (data["claim_id"] + ": " + data["statistic"]).map(lambda text: textwrap.wrap(text, 46))
    data["claim"] = labels.map("\n".join)
    ends = [0.0, *data["low"].dropna(), *data["high"].dropna(), *data["reference"].dropna()]
    pad = 0.04 * (max(ends) - min(ends) or 1.0)
    domain = (min(ends) - pad, max(ends) + pad)
    about = data["tolerance"].where(data["claimed"] == "equal", 0.0)
    data["from"] = (data["reference"] - about).mask(data["claimed"] == "below", domain[0])
    data["to"] = (data["reference"] + about).mask(data["claimed"] == "above", domain[1])
    data.loc[data["estimate"].isna(), ["from", "to"]] = None
    n_lines = labels.map(len).max()
    step = int(LINE_PX * n_lines + 10)
    names = alt.Axis(
        labelLimit=NAMES_PX,
        labelExpr="split(datum.label, '\\n')",
        labelPadding=6,
        labelOffset=-LINE_PX * (n_lines - 1) / 2,
        labelLineHeight=LINE_PX,
        ticks=False,
        domain=False,
    )
    title = "estimate with its interval; shaded: where it lies if the claim holds"

    def at(name: str) -> alt.X:
        scale = alt.Scale(domain=domain, nice=False, zero=False)
        return alt.X(f"{name}:Q", title=title, scale=scale, axis=alt.Axis(ticks=False))

    verdicts = [name for name in VERDICTS if name in set(data["verdict"])]
    colours = alt.Scale(domain=verdicts, range=[VERDICTS[name] for name in verdicts])
    base = alt.Chart().encode(
        y=alt.Y("claim:N", title=None, sort=in_order(data["claim"]), axis=names),
        tooltip=["text", "estimate", "low", "high", "verdict"],
    )
    seen = base.encode(color=alt.Color("verdict:N", scale=colours, legend=None))
    absent = base.mark_text(align="left", color=MUTED, fontStyle="italic").encode(
        x=alt.value(4), text=alt.value("no estimate: see the reason")
    )
    layers = [
        base.mark_bar(color=INK, opacity=0.13, height=step - 6).encode(x=at("from"), x2="to:Q"),
        base.mark_tick(color=INK, thickness=1, size=step - 6).encode(x=at("reference")),
        seen.mark_rule(strokeWidth=2).encode(x=at("low"), x2="high:Q"),
        seen.mark_circle(size=55, opacity=1).encode(x=at("estimate")),
        absent.transform_filter("!isValid(datum.estimate)"),
    ]
    panels = alt.layer(*layers, data=data).properties(width=WIDTH - NAMES_PX, height=alt.Step(step))
    above = alt.Header(labelOrient="top", labelAnchor="start", labelFontSize=12)
    row = alt.Row("verdict:N", sort=verdicts, header=above)
    return styled(panels.facet(row=row, spacing=12).resolve_scale(y="independent"))


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
    columns = ["run_id", "criterion", "measure", "balanced_accuracy", "low", "high"]
    data = drawable(measured, columns).dropna(subset="measure")
    panels = []
    for named in about.itertuples():
        title = "rank correlation undefined"
        if pd.notna(named.estimate):
            title = f"rank correlation {named.estimate:.2f} [{named.low:.2f}, {named.high:.2f}]"
        x = alt.X(
            "measure:Q", title=textwrap.wrap(named.statistic, 50), scale=alt.Scale(zero=False)
        )
        base = alt.Chart().encode(x=x, tooltip=columns)
        lines = base.mark_rule(color=ACCENT, opacity=0.35).encode(y=_accuracy("low"), y2="high:Q")
        dots = base.mark_circle(color=ACCENT, size=45, opacity=1)
        layers = [lines, dots.encode(y=_accuracy("balanced_accuracy"))]
        panel = alt.layer(*layers, data=data[data["criterion"] == named.criterion])
        title = f"{named.criterion}: {title.replace('-', chr(0x2212))}"
        panels.append(panel.properties(width=(WIDTH - 110) // 2, height=190, title=title))
    grid = alt.concat(*panels, columns=2, spacing={"column": 24, "row": 20})
    return styled(grid.resolve_scale(y="shared"))


def _accuracy(name: str) -> alt.Y:
    title, scale = "balanced accuracy on film faces", alt.Scale(zero=False)
    return alt.Y(f"{name}:Q", title=title, scale=scale, axis=alt.Axis(format="%"))


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
