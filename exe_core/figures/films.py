"""Charts of photos and films: lost photos, wrong keywords, shares of emotions, timelines."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    MUTED,
    PERCENT,
    SHADE,
    UNIT,
    WIDTH,
    drawable,
    emotion_colour,
    heat,
    in_order,
    stacked,
    styled,
)

USED = "faces used"
NO_GENRE = "no genre"
_LOST = ("#7A4B9A", "#B9B9B9", "#E08E45", "#8A8A8A", "#C2410C", "#D9B44A", "#57606A", "#E3C6C1")
_TITLES = {"probability": "mean probability", "share": "share of faces"}


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


def shares_chart(summary: pd.DataFrame, *, films: pd.DataFrame) -> alt.FacetChart:
    """Stack the emotion shares of each film, a line a film in the order of genres, a column a run.

    Parameters
    ----------
    summary
        Rows of `film_summary`, of the runs and films to show.
    films
        The `films` table: title and genre.
    """
    data = _titled(drawable(summary, ["film_id", "run_id", "label", "share_of_faces"]), films)
    share = alt.X(
        "share_of_faces:Q",
        title="of faces",
        scale=UNIT,
        axis=alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    colour = emotion_colour(in_order(data["label"]))
    data["film"] = data["title"] + (", " + data["genre"]).where(data["genre"] != NO_GENRE, "")
    return stacked(data, x=share, y="film", colour=colour, column="run_id")


def share_differences_chart(
    summary: pd.DataFrame, *, films: pd.DataFrame, run: str, other_run: str
) -> alt.LayerChart:
    """Draw how the emotion shares of two runs differ in each film, a row a film.

    Parameters
    ----------
    summary
        Rows of `film_summary` that hold both runs.
    films
        The `films` table: title and genre.
    run, other_run
        Drawn is the share of `run` minus that of `other_run`.
    """
    by_run = {
        name: rows.set_index(["film_id", "label"])["share_of_faces"]
        for name, rows in summary.groupby("run_id")
    }
    differences = (by_run[run] - by_run[other_run]).rename("difference").reset_index()
    data = _titled(drawable(differences, ["film_id", "label", "difference"]), films)
    title = f"share of faces, {run} minus {other_run}"
    return heat(data, x="label", y="title", value="difference", title=title, signed=True, side=60)


def _titled(data: pd.DataFrame, films: pd.DataFrame) -> pd.DataFrame:
    """Add title and genre, and put films in the order of genres and titles."""
    known = films[["film_id", "title", "genre"]].fillna({"genre": NO_GENRE})
    joined = data.merge(known, on="film_id", validate="many_to_one")
    return joined.sort_values(["genre", "title"], kind="stable", ignore_index=True)


def timeline_chart(
    course: pd.DataFrame,
    *,
    truth: pd.DataFrame | None = None,
    events: pd.DataFrame | None = None,
) -> alt.FacetChart:
    """Draw what one run says of one film over time, a row an emotion.

    Parameters
    ----------
    course
        measure ("probability", "share"), label, time_s, value, low, high: a line in its band, a
        column of panels a measure.
    truth
        What a synthetic film shows: time_s, label_true; shaded where it is the row's emotion.
    events
        Rows of `events`: a dashed line each, named in the row of the emotion that should rise.
    """
    data = drawable(course, ["measure", "label", "time_s", "value", "low", "high"])
    labels, measures = in_order(data["label"]), in_order(data["measure"])
    panels = pd.MultiIndex.from_product([labels, measures], names=["label", "measure"])
    panels = panels.to_frame(index=False)
    parts = [data.assign(kind="course")]
    if events is not None and len(events):
        named = events[["time_s", "event", "label"]]
        parts += [
            panels.merge(named[["time_s"]], how="cross").assign(kind="event"),
            named.assign(kind="name", measure=measures[0]),
        ]
    if truth is not None and len(truth):
        parts.append(panels.merge(_spans(truth), on="label").assign(kind="truth"))
    rows = pd.concat(parts, ignore_index=True)
    for column in {"time_s", "until"} & {*rows}:
        rows[column] = (rows[column] / 60).round(4)
    rows = rows.rename(columns={"time_s": "minute"})
    end = max(rows["minute"].max(), 0.01)  # of a film of one frame, too
    chart = alt.layer(*_timeline_layers(labels, end), data=rows)
    side = alt.Header(labelAngle=0, labelAlign="left", labelOrient="left", labelFontWeight="normal")
    above = alt.Header(labelExpr=f"{_TITLES}[datum.value]", labelFontWeight="normal")
    return styled(
        chart.properties(width=(WIDTH - 80) // 2 - 24, height=46).facet(
            row=alt.Row("label:N", sort=labels, header=side),
            column=alt.Column("measure:N", sort=measures, header=above),
            spacing={"row": 8, "column": 16},
        )
    )


def _timeline_layers(labels: list[str], end: float) -> list[alt.Chart]:
    """Draw each kind of row; where there is no face, there is neither line nor band."""
    scale = alt.Scale(domain=[0, end], nice=False)
    x = alt.X("minute:Q", title="time (min)", scale=scale, axis=alt.Axis(tickCount=6))
    colour = emotion_colour(labels, legend=None)

    def y(name: str) -> alt.Y:
        return alt.Y(f"{name}:Q", title=None, scale=UNIT, axis=alt.Axis(values=[0, 0.5, 1]))

    def rows(kind: str) -> alt.Chart:
        return alt.Chart().transform_filter(f"datum.kind === '{kind}'").encode(x=x)

    course = rows("course").encode(color=colour, tooltip=["minute", "value", "low", "high"])
    name = rows("name").mark_text(align="left", baseline="top", dx=3, fontSize=10, color=MUTED)
    return [
        rows("truth").mark_rect(color=SHADE).encode(x2="until:Q"),
        course.mark_area(opacity=0.25).encode(y=y("low"), y2="high:Q"),
        course.mark_line(strokeWidth=1.8).encode(y=y("value")),
        rows("event").mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=0.8),
        name.encode(y=alt.value(0), text="event:N"),
    ]


def _spans(truth: pd.DataFrame) -> pd.DataFrame:
    """Join successive times of one true emotion into spans, each lasting until the next begins."""
    ordered = truth.sort_values("time_s")
    part = (ordered["label_true"] != ordered["label_true"].shift()).cumsum().rename("part")
    spans = ordered.groupby(part).agg(
        time_s=("time_s", "first"), last=("time_s", "last"), label=("label_true", "first")
    )
    spans["until"] = spans["time_s"].shift(-1).fillna(spans["last"])
    return spans.drop(columns="last").dropna(subset=["label"])
