"""Charts of photos: where they are lost, and what those of a keyword show."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import ACCENT, PERCENT, drawable, emotion_colour, in_order, stacked

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
