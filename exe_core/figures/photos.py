"""Charts of a pull: what queries gave, what was new, where photos went, how wrong keywords are."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    INK,
    PERCENT,
    UNIT,
    WIDTH,
    drawable,
    emotion_colour,
    in_order,
    intervals,
    labels_in,
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


def whereabouts_chart(steps: pd.DataFrame) -> alt.Chart:
    """Stack, for each set, what became of all that was returned: used, or lost and why.

    Parameters
    ----------
    steps
        set_name, step, kind and n, as `exe_core.pull.accounting.whereabouts` gives them.
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
