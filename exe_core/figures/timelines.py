"""The chart of a film over its time: probabilities, shares, and faces counted so far."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    MUTED,
    SHADE,
    UNIT,
    WIDTH,
    ChartError,
    drawable,
    emotion_colour,
    in_order,
    labels_in,
    styled,
)
from exe_core.schema import prob_columns

MAX_POINTS = 500
"""More faces than these would hide the line and weigh on the page."""

_TITLES = {"probability": "mean probability", "share": "share of faces"}
_PANEL = (WIDTH - 80) // 2 - 24


def timeline(
    course: pd.DataFrame,
    *,
    faces: pd.DataFrame | None = None,
    counts: pd.DataFrame | None = None,
    truth: pd.DataFrame | None = None,
    events: pd.DataFrame | None = None,
) -> alt.VConcatChart:
    """Draw what one run says of one film over time, a row an emotion.

    Parameters
    ----------
    course
        measure ("probability", "share"), label, time_s, value, low, high: a line in its band, a
        column of panels a measure.
    faces
        A row a frame with a face: time_s and prob_<label>; points around the probabilities, where
        there are `MAX_POINTS` of them or fewer.
    counts
        label, time_s, n: faces counted so far, in a panel below.
    truth
        What a synthetic film shows: time_s, label_true; shaded where it is the row's emotion.
    events
        Rows of `events`: a dashed line each, named in the row of the emotion that should rise.
    """
    data = drawable(course, ["measure", "label", "time_s", "value", "low", "high"])
    if data.duplicated(["measure", "label", "time_s"]).any():
        raise ChartError("a timeline shows one run of one film; its times hold repeats")
    labels, measures = labels_in(data["label"]), in_order(data["measure"])
    panels = pd.MultiIndex.from_product([labels, measures], names=["label", "measure"])
    marks = events if events is not None else pd.DataFrame(columns=["time_s", "event", "label"])
    last = max(data["time_s"].max(), marks["time_s"].max() if len(marks) else 0)
    end = max(float(last) / 60, 0.01)  # of a film of one frame, too
    parts = [
        data.assign(kind="course"),
        _everywhere(_spans(truth), panels, on="label", kind="truth"),
        _everywhere(
            marks.drop(columns=["label", "film_id"], errors="ignore"), panels, kind="event"
        ),
        marks.assign(kind="name", measure=measures[0]),
        _points(faces, labels),
    ]
    whole = _in_minutes(pd.concat([part for part in parts if len(part)], ignore_index=True))
    height = alt.layer(*_layers(labels, _time(end)), data=whole).properties(width=_PANEL, height=46)
    side = alt.Header(labelAngle=0, labelAlign="left", labelOrient="left", labelFontWeight="normal")
    above = alt.Header(labelExpr=f"{_TITLES}[datum.value]", labelFontWeight="normal")
    grid = height.facet(
        row=alt.Row("label:N", sort=labels, header=side),
        column=alt.Column("measure:N", sort=measures, header=above),
        spacing={"row": 8, "column": 16},
    )
    below = [_counts(counts, marks, end)] if counts is not None else []
    return styled(alt.vconcat(grid, *below, spacing=12).resolve_scale(color="independent"))


def _time(end: float) -> alt.X:
    scale = alt.Scale(domain=[0, end], nice=False)
    return alt.X("minute:Q", title="time (min)", scale=scale, axis=alt.Axis(tickCount=6))


def _in_minutes(data: pd.DataFrame) -> pd.DataFrame:
    minutes = data.assign(minute=(data["time_s"] / 60).round(4)).drop(columns="time_s")
    return minutes.assign(until=(minutes["until"] / 60).round(4)) if "until" in data else minutes


def _everywhere(
    rows: pd.DataFrame, panels: pd.MultiIndex, *, kind: str, on: str | None = None
) -> pd.DataFrame:
    """Repeat rows in all panels, or in those of their label."""
    frame = panels.to_frame(index=False)
    if rows.empty:
        return frame.iloc[:0]
    return frame.merge(rows, on=on, how="inner" if on else "cross").assign(kind=kind)


def _points(faces: pd.DataFrame | None, labels: list[str]) -> pd.DataFrame:
    if faces is None or len(faces) > MAX_POINTS:
        return pd.DataFrame()
    data = drawable(faces, ["time_s", *prob_columns(labels)]).set_axis(["time_s", *labels], axis=1)
    long = data.melt("time_s", var_name="label", value_name="point")
    return long.assign(measure="probability", kind="face")


def _layers(labels: list[str], x: alt.X) -> list[alt.Chart]:
    """Draw each kind of row; where there is no face, there is neither line nor band."""
    y = alt.Y("value:Q", title=None, scale=UNIT, axis=alt.Axis(values=[0, 0.5, 1]))
    low, point = y.copy(), y.copy()
    low.shorthand, point.shorthand = "low:Q", "point:Q"
    colour = emotion_colour(labels, legend=None)
    shown = [
        "minute",
        *(alt.Tooltip(f"{name}:Q", format=".2f") for name in ("value", "low", "high")),
    ]

    def rows(kind: str) -> alt.Chart:
        return alt.Chart().transform_filter(f"datum.kind === '{kind}'").encode(x=x)

    name = rows("name").mark_text(align="left", baseline="top", dx=3, fontSize=10, color=MUTED)
    return [
        rows("truth").mark_rect(color=SHADE).encode(x2="until:Q"),
        rows("face").mark_circle(size=7, opacity=0.4).encode(y=point, color=colour),
        rows("course").mark_area(opacity=0.25).encode(y=low, y2="high:Q", color=colour),
        rows("course").mark_line(strokeWidth=1.8).encode(y=y, color=colour, tooltip=shown),
        rows("event").mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=0.8),
        name.encode(y=alt.value(0), text="event:N"),
    ]


def _counts(
    counts: pd.DataFrame, events: pd.DataFrame, end: float
) -> alt.LayerChart | alt.FacetChart:
    """Draw the faces of each emotion counted so far."""
    data = _in_minutes(drawable(counts, ["label", "time_s", "n"]))
    labels = labels_in(data["label"])
    legend = alt.Legend(orient="right", symbolType="stroke", columns=1)
    lines = (
        alt.Chart(data)
        .mark_line(interpolate="step-after", strokeWidth=1.8)
        .encode(
            x=_time(end),
            y=alt.Y("n:Q", title="faces so far", axis=alt.Axis(tickCount=4, tickMinStep=1)),
            color=emotion_colour(labels, legend=legend),
            tooltip=["minute", "label", "n"],
        )
    )
    rules = alt.Chart(_in_minutes(events[["time_s", "event"]])).mark_rule(
        color=MUTED, strokeDash=[3, 3], strokeWidth=0.8
    )
    layers = [lines, rules.encode(x=_time(end))] if len(events) else [lines]
    return alt.layer(*layers).properties(width=2 * _PANEL - 44, height=100)


def _spans(truth: pd.DataFrame | None) -> pd.DataFrame:
    """Join successive times of one true emotion into spans, each lasting until the next begins."""
    if truth is None or truth.empty:
        return pd.DataFrame()
    ordered = truth.sort_values("time_s")
    part = (ordered["label_true"] != ordered["label_true"].shift()).cumsum().rename("part")
    spans = ordered.groupby(part).agg(
        time_s=("time_s", "first"), last=("time_s", "last"), label=("label_true", "first")
    )
    spans["until"] = spans["time_s"].shift(-1).fillna(spans["last"])
    return spans.drop(columns="last").dropna(subset=["label"])
