"""Charts of films: shares of emotions, and how they differ between runs."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    WIDTH,
    ChartError,
    drawable,
    emotion_colour,
    in_order,
    labels_in,
    ranked,
    styled,
)


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
    width = max(40, (WIDTH - 150) // len(runs) - 12)
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
