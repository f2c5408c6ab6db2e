"""Charts of a pull: what queries gave, what was new, where photos went, how wrong keywords are."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
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
    ranked,
    styled,
)

USED = "faces used"
_LOST = ("#7A4B9A", "#B9B9B9", "#E08E45", "#8A8A8A", "#C2410C", "#D9B44A", "#57606A", "#E3C6C1")
_HEADER = alt.Header(labelAngle=0, labelAlign="left", labelOrient="left")


def query_yield_chart(yields: pd.DataFrame) -> alt.FacetChart:
    """Draw in what share of each query's photos a face was found, with intervals.

    Parameters
    ----------
    yields
        source, label, query, value, low and high; n_looked_at is told on hover.
    """
    columns = ["source", "label", "query", "value", "low", "high", "n_looked_at"]
    data = drawable(yields, columns)
    labels = labels_in(data["label"])
    order = [query for label in labels for query in in_order(data["query"][data["label"] == label])]
    layers = intervals(
        data,
        x=alt.X("value:Q", title="share of photos with a face", axis=PERCENT, scale=UNIT),
        y=alt.Y("query:N", title=None, sort=order),
        colour=emotion_colour(labels),
        tooltip=["query", "n_looked_at"],
    ).properties(width=(WIDTH - 150) // data["source"].nunique(), height=alt.Step(16))
    return styled(layers.facet(column=alt.Column("source:N"), spacing=24))


def novelty_chart(novelty: pd.DataFrame, *, stop_below: float) -> alt.FacetChart:
    """Draw how much of the pages of each label was new, with intervals and the line to stop at.

    Parameters
    ----------
    novelty
        source, design, label, page, value, low and high.
    stop_below
        A query ends after a page of which less than this share was new.
    """
    columns = ["source", "design", "label", "page", "value", "low", "high"]
    data = drawable(novelty, columns)
    data["search"] = data["source"] + " " + data["design"]
    base = alt.Chart().encode(
        x=alt.X("page:O", title="page", axis=alt.Axis(labelAngle=0)),
        xOffset=alt.XOffset("label:N", sort=labels_in(data["label"])),
        color=emotion_colour(labels_in(data["label"]), legend=alt.Legend(symbolOpacity=1)),
        tooltip=["label", "page", "value", "low", "high"],
    )
    share = alt.Y("value:Q", title="share of the page that is new", axis=PERCENT, scale=UNIT)
    low = share.copy()
    low.shorthand = "low:Q"
    stop = alt.Chart().mark_rule(color=INK, strokeDash=[4, 3]).encode(y=alt.datum(stop_below))
    layers = alt.layer(
        base.mark_rule(opacity=0.45).encode(y=low, y2="high:Q"),
        base.mark_line(point=alt.OverlayMarkDef(size=24)).encode(y=share),
        stop,
        data=data,
    ).properties(width=(WIDTH - 130) // 2, height=150)
    return styled(layers.facet("search:N", columns=2))


def attrition_chart(steps: pd.DataFrame) -> alt.Chart:
    """Stack, for each set, what became of all that was returned: used, or lost and why.

    Parameters
    ----------
    steps
        set_name, step, kind and n, as `exe_core.curation.whereabouts` gives them.
    """
    ends = drawable(steps, ["set_name", "step", "kind", "n"])
    ends = ends[(ends["kind"] == "lost") | (ends["step"] == USED)]
    reasons = [step for step in in_order(ends["step"]) if step != USED]
    fates = [USED, *reasons]
    data = ends.assign(rank=ends["step"].map({step: k for k, step in enumerate(fates)}))
    colours = [ACCENT, *(_LOST[k % len(_LOST)] for k in range(len(reasons)))]
    return styled(
        alt.Chart(data)
        .mark_bar()
        .encode(
            x=alt.X("n:Q", title="photos returned"),
            y=alt.Y("set_name:N", title=None, sort=in_order(data["set_name"])),
            color=alt.Color(
                "step:N",
                title=None,
                sort=fates,
                scale=alt.Scale(domain=fates, range=colours),
                legend=alt.Legend(columns=3, labelLimit=260),
            ),
            order="rank:Q",
            tooltip=["set_name", "step", "n"],
        )
        .properties(width=WIDTH - 110, height=alt.Step(24))
    )


def keyword_noise_chart(noise: pd.DataFrame) -> alt.FacetChart:
    """Draw how wrong each query is by a labelled sample, with intervals, and by the truth if known.

    Parameters
    ----------
    noise
        label, query, value, low and high; n is told on hover; known, the true share (null where
        nobody knows it), is a tick.
    """
    columns = ["label", "query", "n", "value", "low", "high", "known"]
    data = drawable(noise, columns)
    labels = labels_in(data["label"])
    query = alt.Y("query:N", title=None)
    estimated = intervals(
        data,
        x=alt.X("value:Q", title="share of wrong labels", axis=PERCENT, scale=UNIT),
        y=query,
        colour=emotion_colour(labels, legend=None),
        tooltip=["query", "n", "known"],
    )
    known = alt.Chart(data).mark_tick(color=INK, thickness=2, size=13).encode(x="known:Q", y=query)
    layers = alt.layer(*estimated.layer, known, data=data)
    rows = alt.Row("label:N", sort=labels, header=_HEADER)
    sized = layers.properties(width=WIDTH - 180, height=alt.Step(16))
    return styled(sized.facet(row=rows, spacing=6).resolve_scale(y="independent"))


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
