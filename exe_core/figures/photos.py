"""Charts of photos and faces: where photos are lost, how wrong keywords are, what is detected."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    MUTED,
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
_LOST = ("#7A4B9A", "#B9B9B9", "#E08E45", "#8A8A8A", "#C2410C", "#D9B44A", "#57606A", "#E3C6C1")


def attrition_chart(steps: pd.DataFrame) -> alt.Chart:
    """Stack all photos that were returned for each set: used, or lost and why.

    Parameters
    ----------
    steps
        set_name, step, kind ("lost" and others) and n.
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

    Parameters
    ----------
    counts
        query, label (asked for), label_true and n, the number of photos.
    """
    data = drawable(counts, ["query", "label", "label_true", "n"])
    x = alt.X("n:Q", stack="normalize", title="share of photos", axis=PERCENT)
    colour = emotion_colour(in_order(data["label_true"]), "label_true")
    return stacked(data, x=x, y="query", colour=colour, row="label")


def recall_by_size_chart(recall: pd.DataFrame) -> alt.LayerChart:
    """Draw the recall of the detector by the size of faces, with and without tiles, with intervals.

    Parameters
    ----------
    recall
        tile_levels (two of them), face_share_low and face_share_high (of the picture's width),
        n_scenes, recall, recall_low and recall_high.
    """
    columns = ["tile_levels", "face_share_low", "face_share_high", "n_scenes"]
    data = drawable(recall, [*columns, "recall", "recall_low", "recall_high"])
    data["face width"] = (data["face_share_low"] * data["face_share_high"]) ** 0.5
    data["image"] = [f"and {n} levels of tiles" if n else "whole" for n in data["tile_levels"]]
    sizes = alt.X(
        "face width:Q",
        title="width of the face, in widths of the picture",
        scale=alt.Scale(type="log", domain=[0.02, 0.4]),
        axis=alt.Axis(format="%", values=[0.02, 0.04, 0.08, 0.15, 0.4], labelOverlap=False),
    )
    kinds = in_order(data.sort_values("tile_levels")["image"])
    scale = alt.Scale(domain=kinds, range=[MUTED, ACCENT][: len(kinds)])
    base = alt.Chart(data).encode(
        x=sizes, color=alt.Color("image:N", sort=kinds, scale=scale), tooltip=list(data)
    )
    share = alt.Y("recall_low:Q", title="share of faces detected", scale=UNIT, axis=PERCENT)
    band = base.mark_area(opacity=0.18).encode(y=share, y2="recall_high:Q")
    line = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=45)).encode(y="recall:Q")
    return styled((band + line).properties(width=WIDTH - 60, height=240))
