"""Charts of photos and films: lost photos, wrong keywords, shares of emotions, timelines."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    PERCENT,
    UNIT,
    WIDTH,
    drawable,
    emotion_colour,
    in_order,
    stacked,
    styled,
)

USED = "faces used"
NO_GENRE = "no genre"
_LOST = ("#7A4B9A", "#B9B9B9", "#E08E45", "#8A8A8A", "#C2410C", "#D9B44A", "#57606A", "#E3C6C1")
_TIME_CODE = (
    "floor(datum.value / 60) + ':' + timeFormat(datetime(0, 0, 1, 0, 0, datum.value * 60), '%M:%S')"
)
_TITLES = {"probability": "mean probability", "share": "share of faces"}


def attrition_chart(steps: pd.DataFrame) -> alt.Chart:
    """Stack all photos that were returned for each set: used, or lost and why.

    Takes set_name, step, kind ("lost" and others) and n.
    """
    ends = drawable(steps, ["set_name", "step", "kind", "n"])
    ends = ends[(ends["kind"] == "lost") | (ends["step"] == USED)]
    ends = ends.sort_values("step", key=lambda step: step != USED, kind="stable")
    fates = in_order(ends["step"])
    colours = alt.Scale(domain=fates, range=[ACCENT, *_LOST][: len(fates)])
    legend = alt.Legend(columns=3, labelLimit=260)
    colour = alt.Color("step:N", title=None, sort=fates, scale=colours, legend=legend)
    return stacked(ends, x=alt.X("n:Q", title="photos returned"), y="set_name", colour=colour)


def noise_chart(counts: pd.DataFrame) -> alt.FacetChart:
    """Stack the emotions that the photos of each query truly show, queries by emotion asked for.

    Takes query, label (asked for), label_true and n, the number of photos.
    """
    data = drawable(counts, ["query", "label", "label_true", "n"])
    x = alt.X("n:Q", stack="normalize", title="share of photos", axis=PERCENT)
    colour = emotion_colour(in_order(data["label_true"]), "label_true")
    return stacked(data, x=x, y="query", colour=colour, row="label")


def shares_chart(summary: pd.DataFrame, *, films: pd.DataFrame) -> alt.FacetChart:
    """Stack the emotion shares of each film, a line a film in the order of genres, a column a run.

    Takes rows of table "film_summary", of the runs and films to show, and table "films".
    """
    data = drawable(summary, ["film_id", "run_id", "label", "share_of_faces"])
    known = films[["film_id", "title", "genre"]].fillna({"genre": NO_GENRE})
    data = data.merge(known, on="film_id", validate="many_to_one")
    data = data.sort_values(["genre", "title"], kind="stable", ignore_index=True)
    share = alt.X(
        "share_of_faces:Q",
        title="of faces",
        scale=UNIT,
        axis=alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    colour = emotion_colour(in_order(data["label"]))
    data["film"] = data["title"] + (", " + data["genre"]).where(data["genre"] != NO_GENRE, "")
    return stacked(data, x=share, y="film", colour=colour, column="run_id")


def timeline_chart(course: pd.DataFrame) -> alt.FacetChart:
    """Draw what one run says of one film over time, a row an emotion, a column a measure.

    Takes measure ("probability", "share"), label, time_s, value, low, high: a line in its band,
    both absent where there is no face.
    """
    data = drawable(course, ["measure", "label", "time_s", "value", "low", "high"])
    labels = in_order(data["label"])
    data["minute"] = (data.pop("time_s") / 60).round(4)
    end = max(data["minute"].max(), 0.01)  # of a film of one frame, too

    def y(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", title=None, scale=UNIT, axis=alt.Axis(values=[0, 0.5, 1]))

    base = alt.Chart().encode(
        x=alt.X(
            "minute:Q",
            title="time (h:min:s)",
            scale=alt.Scale(domain=[0, end], nice=False),
            axis=alt.Axis(tickCount=6, labelExpr=_TIME_CODE),
        ),
        color=emotion_colour(labels, legend=None),
        tooltip=["minute", "value", "low", "high"],
    )
    layers = [
        base.mark_area(opacity=0.25).encode(y=y("low"), y2="high:Q"),
        base.mark_line(strokeWidth=1.8).encode(y=y("value")),
    ]
    side = alt.Header(labelAngle=0, labelAlign="left", labelOrient="left", labelFontWeight="normal")
    above = alt.Header(labelExpr=f"{_TITLES}[datum.value]", labelFontWeight="normal")
    chart = alt.layer(*layers, data=data).properties(width=(WIDTH - 80) // 2 - 24, height=46)
    return styled(
        chart.facet(
            row=alt.Row("label:N", sort=labels, header=side),
            column=alt.Column("measure:N", sort=in_order(data["measure"]), header=above),
            spacing={"row": 8, "column": 16},
        )
    )
