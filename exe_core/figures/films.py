"""Charts of photos and films: lost photos, wrong keywords, shares of emotions, timelines."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    EXTENT,
    UNIT,
    Chart,
    Panel,
    below,
    colours_of,
    drawable,
    grid,
    in_order,
    scale_of,
    side,
    stacked,
)

USED = "faces used"
NO_GENRE = "no genre"
_LOST = ("#7A4B9A", "#B9B9B9", "#E08E45", "#8A8A8A", "#C2410C", "#D9B44A", "#57606A", "#E3C6C1")
_TIME_CODE = (
    "floor(datum.value / 60) + ':' + timeFormat(datetime(0, 0, 1, 0, 0, datum.value * 60), '%M:%S')"
)
_MEASURES = {"probability": "mean probability", "share": "share of faces"}


def attrition_chart(steps: pd.DataFrame) -> Chart:
    """Stack all photos that were returned for each set: used, or lost and why.

    Takes set_name, step, kind ("lost" and others) and n.
    """
    ends = drawable(steps, ["set_name", "step", "kind", "n"])
    ends = ends[(ends["kind"] == "lost") | (ends["step"] == USED)]
    ends = ends.sort_values("step", key=lambda step: step != USED, kind="stable")
    fates = in_order(ends["step"])
    colours = dict(zip(fates, [ACCENT, *_LOST * len(fates)], strict=False))
    how: dict[str, Any] = {"colour": "step", "colours": colours, "share": False}
    return stacked(ends, x="n", y="set_name", title="photos returned", **how)


def noise_chart(counts: pd.DataFrame) -> Chart:
    """Stack the emotions that the photos of each query truly show, queries by emotion asked for.

    Takes query, label (asked for), label_true and n, the number of photos.
    """
    data = drawable(counts, ["query", "label", "label_true", "n"])
    how: dict[str, Any] = {"row": "label", "colour": "label_true", "title": "share of photos"}
    return stacked(data, x="n", y="query", **how)


def shares_chart(summary: pd.DataFrame, *, films: pd.DataFrame) -> Chart:
    """Stack the emotion shares of each film, a line a film in the order of genres, a panel a run.

    Takes rows of table "film_summary", of the runs and films to show, and table "films". Films of
    one title are named by their ids.
    """
    data = drawable(summary, ["film_id", "run_id", "label", "share_of_faces"])
    known = films[["film_id", "title", "genre"]].fillna({"genre": NO_GENRE})
    is_shared = known.duplicated(["title", "genre"], keep=False)
    known["title"] = known["title"].mask(is_shared, known["film_id"])
    data = data.merge(known, on="film_id", validate="many_to_one")
    data = data.sort_values(["genre", "title"], kind="stable", ignore_index=True)
    data["film"] = data["title"] + (", " + data["genre"]).where(data["genre"] != NO_GENRE, "")
    how: dict[str, Any] = {"column": "run_id", "colour": "label", "title": "share of faces"}
    return stacked(data, x="share_of_faces", y="film", **how)


def timeline_chart(course: pd.DataFrame) -> Chart:
    """Draw what one run says of one film over time, a group an emotion, a panel a measure.

    Takes measure ("probability", "share"), label, time_s, value, low, high: a line in its band,
    both absent where there is no face.
    """
    data = drawable(course, ["measure", "label", "time_s", "value", "low", "high"])
    data["measure"] = data["measure"].replace(_MEASURES)
    data["minute"] = (data.pop("time_s") / 60).round(4)
    end = max(data["minute"].max(), 0.01)  # of a film of one frame, too

    scale = scale_of(colours_of(data["label"]))
    colour = alt.Color("label:N", scale=scale, legend=None)

    def draw(part: pd.DataFrame, at: Panel) -> Any:
        clock = below(at, labelExpr=_TIME_CODE, labelFlush=20)
        base = alt.Chart().encode(
            x=alt.X("minute:Q", scale=alt.Scale(domain=[0, end], nice=False), axis=clock),
            color=colour,
            tooltip=["label", "minute", "value", "low", "high"],
        )
        y = alt.Y("low:Q", scale=UNIT, axis=side(at, values=[0, 0.5, 1]))
        layers = [
            base.mark_area(opacity=0.25).encode(y=y, y2="high"),
            base.mark_line(strokeWidth=1.8).encode(y="value:Q"),
        ]
        return alt.layer(*layers, data=part).properties(width=at.px, height=46)

    rows: dict[str, Any] = {"row": "label", "column": "measure", "title": "by time (h:min:s)"}
    return Chart(lambda width: grid(draw, data, width=width, extent=EXTENT, **rows))
