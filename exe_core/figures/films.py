"""Charts of films: shares of emotions, differences between runs, timelines."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    COLOURS,
    INK,
    MUTED,
    UNIT,
    WIDTH,
    ChartError,
    drawable,
    emotion_colour,
    in_order,
    labels_in,
    ranked,
    styled,
)
from exe_core.schema import labels_of, prob_columns

MAX_POINTS = 500


def emotion_shares(summary: pd.DataFrame, *, films: pd.DataFrame) -> alt.VConcatChart:
    """Stack the emotion shares of each film, films under their genre, a column a run.

    Parameters
    ----------
    summary
        Rows of `film_summary`, of the runs and films to show, in the order of the runs.
    films
        The `films` table: title and genre.
    """
    data = _with_films(drawable(summary, ["film_id", "run_id", "label", "share_of_faces"]), films)
    runs = in_order(data["run_id"])
    width = max(60, (WIDTH - 150) // len(runs) - 12)
    share = alt.X(
        "share_of_faces:Q",
        title="of faces",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    return _by_genre(data, x=share, width=width, runs=runs)


def share_differences(
    summary: pd.DataFrame, *, films: pd.DataFrame, run: str, other_run: str
) -> alt.VConcatChart:
    """Stack, to either side of zero, how the emotion shares of two runs differ in each film.

    Parameters
    ----------
    summary
        Rows of `film_summary` that hold both runs.
    films
        The `films` table: title and genre.
    run, other_run
        Drawn is the share of `run` minus that of `other_run`.
    """
    shares = summary.set_index(["film_id", "label", "run_id"])["share_of_faces"]
    wide = shares.unstack("run_id")  # noqa: PD010
    absent = [name for name in (run, other_run) if name not in wide]
    if absent:
        raise ChartError(f"no run {', '.join(absent)} in the summary; runs: {', '.join(wide)}")
    differences = (wide[run] - wide[other_run]).rename("difference").reset_index()
    data = _with_films(drawable(differences, ["film_id", "label", "difference"]), films)
    data["run_id"] = f"{run} minus {other_run}"
    more = alt.X(
        "difference:Q",
        title=f"share of faces, {run} minus {other_run}",
        axis=alt.Axis(labelExpr="datum.value ? format(datum.value, '+.0%') : '0'"),
    )
    return _by_genre(data, x=more, width=WIDTH - 160, runs=[f"{run} minus {other_run}"])


def timeline(
    frames: pd.DataFrame,
    *,
    truth: pd.DataFrame | None = None,
    events: pd.DataFrame | None = None,
    smooth: int = 5,
) -> alt.VConcatChart:
    """Draw the probabilities of one film by one run over time, a row an emotion.

    Parameters
    ----------
    frames
        One row a frame with a face: time_s and a prob_<label> column for each label.
    truth
        What a synthetic film shows: time_s, label_true; shaded where it is the row's emotion.
    events
        Rows of `events`: a dashed line each, named in the row of the emotion that should rise.
    smooth
        Odd number of frames; the line is their running mean. The frames are points around it,
        up to `MAX_POINTS` of them: more would hide the line and weigh on the page.
    """
    labels = labels_of(frames)
    if not labels:
        raise ChartError("a timeline needs prob_<label> columns; give the predictions of a film")
    data = drawable(frames, ["time_s", *prob_columns(labels)])
    if data["time_s"].duplicated().any():
        raise ChartError("a timeline shows one run and one face a frame; time_s holds repeats")
    spans = _spans(truth) if truth is not None else pd.DataFrame(columns=["label_true"])
    marks = events if events is not None else pd.DataFrame(columns=["time_s", "event", "label"])
    end = float(max(data["time_s"].max(), marks["time_s"].max() if len(marks) else 0)) / 60
    rows = []
    for label in labels:
        x = alt.X(
            "minute:Q",
            title="time (min)" if label == labels[-1] else None,
            scale=alt.Scale(domain=[0, end], nice=False),
            axis=alt.Axis(labels=label == labels[-1], ticks=label == labels[-1]),
        )
        layers = [
            *_truth_layer(spans[spans["label_true"] == label], x),
            *_probability_layers(data, label, x, smooth=smooth),
            *_event_layers(marks, label, x),
        ]
        rows.append(alt.layer(*layers).properties(width=WIDTH - 80, height=52))
    unit = alt.Title("probability", color=MUTED, fontWeight="normal")
    return styled(alt.vconcat(*rows, spacing=10, title=unit))


def _with_films(data: pd.DataFrame, films: pd.DataFrame) -> pd.DataFrame:
    known = films[["film_id", "title", "genre"]].fillna({"genre": "no genre"})
    joined = ranked(data, "label").merge(known, on="film_id", how="left", validate="many_to_one")
    if joined["title"].isna().any():
        absent = joined.loc[joined["title"].isna(), "film_id"].unique()
        raise ChartError(f"films without a title: {', '.join(absent[:5])}; give the films table")
    return joined


def _by_genre(data: pd.DataFrame, *, x: alt.X, width: int, runs: list[str]) -> alt.VConcatChart:
    """Stack bars by film, a block a genre; equal axis extents keep the blocks in line."""
    genres = sorted(data["genre"].unique())
    labels = labels_in(data["label"])
    measure = str(x.shorthand).partition(":")[0]
    blocks = []
    for genre in genres:
        films = alt.Axis(
            minExtent=140, maxExtent=140, labelLimit=130, ticks=False, domain=False, labelPadding=6
        )
        last = genre == genres[-1]
        named = alt.Header(labels=genre == genres[0] and len(runs) > 1)
        block = (
            alt.Chart(data[data["genre"] == genre])
            .mark_bar()
            .encode(
                x=x if last else x.title(None),
                y=alt.Y("title:N", title=None, axis=films),
                color=emotion_colour(labels),
                order="rank:Q",
                tooltip=["title", "genre", "run_id", "label", alt.Tooltip(measure, format=".1%")],
            )
            .properties(width=width, height=alt.Step(15))
            .facet(column=alt.Column("run_id:N", sort=runs, header=named), spacing=10)
            .properties(title=genre)
        )
        blocks.append(block)
    return styled(alt.vconcat(*blocks).resolve_scale(x="shared"))


def _spans(truth: pd.DataFrame) -> pd.DataFrame:
    """Join successive times of one true emotion into spans, each lasting until the next begins."""
    ordered = truth.sort_values("time_s")
    part = (ordered["label_true"] != ordered["label_true"].shift()).cumsum().rename("part")
    spans = ordered.groupby(part).agg(
        start=("time_s", "first"), last=("time_s", "last"), label_true=("label_true", "first")
    )
    spans["stop"] = spans["start"].shift(-1).fillna(spans["last"])
    return spans.dropna(subset=["label_true"])


def _truth_layer(spans: pd.DataFrame, x: alt.X) -> list[alt.Chart]:
    if spans.empty:
        return []
    minutes = pd.DataFrame({"minute": spans["start"] / 60, "until": spans["stop"] / 60}).round(5)
    shade = alt.Chart(minutes).mark_rect(color="#DCE3EC").encode(x=x, x2="until:Q")
    return [shade]


def _probability_layers(
    data: pd.DataFrame, label: str, x: alt.X, *, smooth: int
) -> list[alt.Chart]:
    field = f"prob_{label}"
    y = alt.Y(
        f"{field}:Q",
        title=label,
        scale=UNIT,
        axis=alt.Axis(values=[0, 0.5, 1], titleAngle=0, titleAlign="right", titleColor=INK),
    )
    base = alt.Chart(data).transform_calculate(minute="datum.time_s / 60")
    half = smooth // 2
    points = base.mark_circle(size=9, opacity=0.45, color=COLOURS[label]).encode(
        x=x, y=y, tooltip=["time_s", alt.Tooltip(field, format=".2f")]
    )
    mean = base.transform_window(
        smoothed=f"mean({field})", frame=[-half, half], sort=[alt.SortField("time_s")]
    )
    line = mean.mark_line(color=COLOURS[label], strokeWidth=1.8).encode(
        x=x, y=alt.Y("smoothed:Q", scale=UNIT)
    )
    return [points, line] if len(data) <= MAX_POINTS else [line]


def _event_layers(events: pd.DataFrame, label: str, x: alt.X) -> list[alt.Chart]:
    if events.empty:
        return []
    minutes = events.assign(minute=(events["time_s"] / 60).round(5)).drop(columns="time_s")
    rules = alt.Chart(minutes).mark_rule(color=MUTED, strokeDash=[3, 3], strokeWidth=0.8)
    named = alt.Chart(minutes[minutes["label"] == label])
    names = named.mark_text(align="left", baseline="top", dx=3, fontSize=10, color=MUTED)
    layers = [rules.encode(x=x, tooltip=["event", "label"])]
    if (minutes["label"] == label).any():
        layers.append(names.encode(x=x, y=alt.value(0), text="event:N"))
    return layers
