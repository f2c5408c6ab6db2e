"""Charts of what was gathered: faces found in images, and what photos of a query truly show."""

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
    labels_in,
    ranked,
    styled,
)


def yield_chart(counts: pd.DataFrame) -> alt.Chart:
    """Stack how many images of each set have no face, one, two or more.

    Parameters
    ----------
    counts
        set_name, n_faces (null where the image could not be read) and n, the number of images.
    """
    data = drawable(counts, ["set_name", "n_faces", "n"])
    kinds = ["no face", "1 face", "2 faces", "3 or more", "unreadable"]
    place = data["n_faces"].astype("Float64").clip(upper=3).fillna(4).astype(int)
    data["faces"] = [kinds[k] for k in place]
    data["rank"] = place
    colours = ["#D0D7DE", "#7FA6D9", "#2B6CB0", "#1B3A6B", "#C2410C"]
    chart = alt.Chart(data).mark_bar()
    return styled(
        chart.encode(
            x=alt.X("n:Q", stack="normalize", title="share of images", axis=PERCENT),
            y=alt.Y("set_name:N", title=None, sort=in_order(data["set_name"])),
            color=alt.Color(
                "faces:N", title=None, sort=kinds, scale=alt.Scale(domain=kinds, range=colours)
            ),
            order="rank:Q",
            tooltip=["set_name", "faces", "n"],
        ).properties(width=WIDTH - 110, height=alt.Step(22))
    )


def noise_chart(counts: pd.DataFrame) -> alt.FacetChart:
    """Stack the emotions that the photos of each query truly show, queries by emotion asked for.

    Parameters
    ----------
    counts
        query, label (asked for), label_true and n, the number of photos.
    """
    data = ranked(drawable(counts, ["query", "label", "label_true", "n"]), "label_true")
    chart = alt.Chart(data).mark_bar()
    bars = chart.encode(
        x=alt.X("n:Q", stack="normalize", title="share of photos", axis=PERCENT),
        y=alt.Y("query:N", title=None),
        color=emotion_colour(labels_in(data["label_true"]), "label_true"),
        order="rank:Q",
        tooltip=["query", "label", "label_true", "n"],
    ).properties(width=WIDTH - 180, height=alt.Step(16))
    header = alt.Header(labelAngle=0, labelAlign="left", labelOrient="left")
    row = alt.Row("label:N", sort=labels_in(data["label"]), header=header)
    return styled(bars.facet(row=row, spacing=6).resolve_scale(y="independent"))


def recall_by_size_chart(recall: pd.DataFrame) -> alt.LayerChart:
    """Draw how many faces of each size are found, with and without tiles, and the intervals.

    Parameters
    ----------
    recall
        tile_levels (two of them), face_share_low and face_share_high (of the picture's width),
        n_scenes, recall, recall_low and recall_high.
    """
    columns = ["tile_levels", "face_share_low", "face_share_high", "n_scenes"]
    data = drawable(recall, [*columns, "recall", "recall_low", "recall_high"])
    data["face width"] = (data["face_share_low"] * data["face_share_high"]) ** 0.5
    data["looked at"] = [
        f"tiles too, {levels} levels" if levels else "the whole picture only"
        for levels in data["tile_levels"]
    ]
    kinds = in_order(data.sort_values("tile_levels")["looked at"])
    sizes = alt.X(
        "face width:Q",
        title="width of the face, in widths of the picture",
        scale=alt.Scale(type="log", domain=[0.02, 0.4]),
        axis=alt.Axis(format="%", values=[0.02, 0.04, 0.08, 0.15, 0.4], labelOverlap=False),
    )
    colour = alt.Color(
        "looked at:N",
        title=None,
        sort=kinds,
        scale=alt.Scale(domain=kinds, range=[MUTED, ACCENT][: len(kinds)]),
        legend=alt.Legend(symbolOpacity=1),
    )
    base = alt.Chart(data).encode(x=sizes, color=colour)
    band = base.mark_area(opacity=0.18).encode(
        y=alt.Y("recall_low:Q", title="share of faces found", scale=UNIT, axis=PERCENT),
        y2="recall_high:Q",
    )
    tooltip = ["looked at", *columns[1:], "recall", "recall_low", "recall_high"]
    line = base.mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=45)).encode(
        y="recall:Q", tooltip=tooltip
    )
    return styled((band + line).properties(width=WIDTH - 60, height=240))
