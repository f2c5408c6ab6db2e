"""Charts of films: shares of emotions, and how they differ between runs."""

from __future__ import annotations

import textwrap

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    ESTIMATE,
    INK,
    MUTED,
    PERCENT,
    SHADE,
    UNIT,
    WIDTH,
    ChartError,
    drawable,
    emotion_colour,
    in_order,
    intervals,
    labels_in,
    ranked,
    styled,
)
from exe_core.tables import prob_columns


def shares_chart(summary: pd.DataFrame, *, films: pd.DataFrame) -> alt.VConcatChart:
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
    width = max(40, (WIDTH - 150) // len(runs) - 12)
    share = alt.X(
        "share_of_faces:Q",
        title="of faces",
        scale=alt.Scale(domain=[0, 1]),
        axis=alt.Axis(format="%", values=[0, 0.5, 1]),
    )
    return _by_genre(data, x=share, width=width, runs=runs)


def share_differences_chart(
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


_MEASURES = {"confidence": ACCENT, "accuracy": "#C2410C"}
_POINTS = alt.Axis(labelExpr="format(100 * datum.value, '+d')", tickCount=3)


def criteria_chart(criteria: pd.DataFrame) -> alt.ConcatChart:
    """Draw each criterion with its interval, a panel a criterion, a line a run.

    Parameters
    ----------
    criteria
        Table "film_criteria"; a tick stands where the criterion lies under its null.
    """
    data = drawable(criteria, ["run_id", "criterion", *ESTIMATE, "null_mean", "p_value"])
    runs, names = in_order(data["run_id"]), in_order(data["criterion"])
    n_columns = 3
    width = (WIDTH - 90) // n_columns - 24
    panels = []
    for place, name in enumerate(names):
        own = data[data["criterion"] == name]
        first = place % n_columns == 0
        y = alt.Y("run_id:N", title=None, sort=runs, axis=alt.Axis(labels=first, ticks=False))
        x = alt.X("value:Q", title=None, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
        null = alt.Chart(own).mark_tick(color=INK, thickness=1.5, size=12)
        dots = intervals(own, x=x, y=y, colour=alt.value(ACCENT), tooltip=["null_mean", "p_value"])
        layers = alt.layer(null.encode(x="null_mean:Q", y=y), dots)
        title = alt.Title(textwrap.wrap(name, 30), frame="group")
        panels.append(layers.properties(width=width, height=alt.Step(16), title=title))
    return styled(alt.concat(*panels, columns=n_columns, spacing={"column": 12, "row": 14}))


def agreement_chart(agreement: pd.DataFrame) -> alt.LayerChart | alt.FacetChart:
    """Draw how far runs agree beyond chance, a line a pair, all of them last.

    Parameters
    ----------
    agreement
        Table "agreement"; a tick stands where agreement lies under its null.
    """
    data = drawable(agreement, ["measure", "run_id", "other_run_id", *ESTIMATE, "null_mean"])
    data["of"] = [
        f"{row.run_id} and {row.other_run_id}" if pd.notna(row.other_run_id) else "all runs"
        for row in data.itertuples()
    ]
    data["runs"] = [
        row.of if row.of != "all runs" else f"{row.of}, {row.measure}" for row in data.itertuples()
    ]
    y = alt.Y("runs:N", title=None, sort=in_order(data["runs"]), axis=alt.Axis(ticks=False))
    x = alt.X("value:Q", title="agreement beyond chance (kappa, alpha)")
    null = alt.Chart(data).mark_tick(color=INK, thickness=1.5, size=12)
    colour = alt.condition("datum.of == 'all runs'", alt.value(INK), alt.value(ACCENT))
    dots = intervals(data, x=x, y=y, colour=colour, tooltip=["measure", "null_mean"])
    layers = alt.layer(null.encode(x="null_mean:Q", y=y), dots)
    return styled(layers.properties(width=WIDTH - 220, height=alt.Step(17)))


def sampling_chart(sampling: pd.DataFrame) -> alt.VConcatChart:
    """Draw how shares differ where fewer frames are looked at, a column a step, a row a run.

    Parameters
    ----------
    sampling
        Table "sampling": a dot is the mean over films with its interval, the pale bar how much a
        single film typically differs, to either side.
    """
    columns = ["run_id", "label", "every", "than_every", "difference", "low", "high", "typical"]
    data = drawable(sampling, columns)
    data["minus_typical"] = -data["typical"]
    data["step"] = "every " + data["every"].astype(str) + "th"
    labels = labels_in(data["label"])
    n_steps = data.groupby("run_id")["step"].nunique().max()
    most = float(max(data["typical"].max(), data["high"].max(), -data["low"].min()))
    scale = alt.Scale(domain=[-most, most])
    x = alt.X("difference:Q", title="% points", axis=_POINTS, scale=scale)
    low = x.copy()
    low.shorthand = "minus_typical:Q"
    y = alt.Y("label:N", title=None, sort=labels)
    rows = []
    for run, own in data.groupby("run_id", sort=False):  # a facet of both would misplace gaps
        dots = intervals(own, x=x, y=y, colour=emotion_colour(labels, legend=None))
        bar = alt.Chart().mark_bar(color=SHADE, height=11)
        layers = alt.layer(bar.encode(x=low, x2="typical:Q", y=y), *dots.layer, data=own)
        panels = layers.properties(width=(WIDTH - 70) // n_steps - 16, height=alt.Step(15))
        steps = in_order(own.sort_values("every")["step"])
        than = own["than_every"].iloc[0]
        against = "every frame" if than == 1 else f"every {than}th"
        faceted = panels.facet(column=alt.Column("step:N", sort=steps))
        rows.append(faceted.properties(title=f"{run}, against {against}"))
    return styled(alt.vconcat(*rows, spacing=14))


def bounds_chart(overall: pd.DataFrame) -> alt.FacetChart:
    """Draw the share of each label with its interval, within what the faceless frames allow.

    Parameters
    ----------
    overall
        run_id, label, value, low, high, share_low, share_high, as of `films.overall`; the pale bar
        reaches from one bound to the other. Each run is a panel.
    """
    data = drawable(overall, ["run_id", "label", *ESTIMATE, "share_low", "share_high"])
    labels = labels_in(data["label"])
    x = alt.X("value:Q", title="share", axis=alt.Axis(format="%", tickCount=4))
    y = alt.Y("label:N", title=None, sort=labels)
    dots = intervals(data, x=x, y=y, colour=emotion_colour(labels, legend=None))
    low = x.copy()
    low.shorthand = "share_low:Q"
    bounds = alt.Chart().mark_bar(color=SHADE, height=12).encode(x=low, x2="share_high:Q", y=y)
    panels = alt.layer(bounds, *dots.layer, data=data).properties(width=118, height=alt.Step(16))
    run = alt.Facet("run_id:N", sort=in_order(data["run_id"]))
    return styled(panels.facet(run, columns=4).resolve_axis(x="independent"))


def visibility_chart(confidence: pd.DataFrame) -> alt.VConcatChart:
    """Draw how sure each run is of faces, and how often right, by how they are to be seen.

    Parameters
    ----------
    confidence
        As of `visibility.confidence`: run_id, trait, stratum, measure, value, low, high, n. Each
        trait is a row of panels, each run a column.
    """
    data = drawable(confidence, ["run_id", "trait", "stratum", "measure", *ESTIMATE, "n"])
    unknown = set(data["measure"]) - set(_MEASURES)
    if unknown:
        raise ChartError(f"measures {', '.join(unknown)}: only {', '.join(_MEASURES)} are drawn")
    runs = in_order(data["run_id"])
    width = (WIDTH - 100) // len(runs) - 14
    kept = [name for name in _MEASURES if name in set(data["measure"])]
    scale = alt.Scale(domain=kept, range=[_MEASURES[name] for name in kept])
    colour = alt.Color("measure:N", title=None, scale=scale, legend=alt.Legend(symbolType="circle"))
    rows = []
    for trait, of_trait in data.groupby("trait", sort=False):
        strata = in_order(of_trait["stratum"])
        y = alt.Y("stratum:N", title=trait, sort=strata)
        x = alt.X("value:Q", title=" and ".join(kept), scale=UNIT, axis=PERCENT)
        panels = intervals(of_trait, x=x, y=y, colour=colour, tooltip=["measure", "n"])
        panels = panels.encode(yOffset=alt.YOffset("measure:N", sort=kept))
        sized = panels.properties(width=width, height=alt.Step(13))
        rows.append(sized.facet(column=alt.Column("run_id:N", sort=runs)))
    return styled(alt.vconcat(*rows))


MAX_POINTS = 500
"""More faces than these would hide the line and weigh on the page."""

_TITLES = {"probability": "mean probability", "share": "share of faces"}
_PANEL = (WIDTH - 80) // 2 - 24


def timeline_chart(
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
