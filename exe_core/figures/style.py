"""The look that all charts share, and the three shapes that most of them have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import altair as alt
import pandas as pd

from exe_core.labels import EMOTIONS

WIDTH = 640
MAX_ROWS = 5000

COLOURS = {
    "angry": "#771D32",
    "disgust": "#2E7A00",
    "fear": "#8A4896",
    "happy": "#E2B427",
    "sad": "#2318C6",
    "surprise": "#13B1FF",
    "neutral": "#AFAFAF",
}
"""The colour of each emotion: any two differ to every eye, and none is lost on white (tested)."""

INK, MUTED, GRID, ACCENT = "#1F2328", "#57606A", "#E3E6EA", "#2B4190"
SHADE, PAPER, GRAY = "#DCE3EC", "#FFFFFF", "#8A8A8A"
VERDICTS = {
    "supported": "#2B6CB0",
    "not supported": GRAY,
    "contradicted": "#C2410C",
    "not testable": "#B9B9B9",
}
THEMES = {
    "ink": (INK, "#E6EDF3"),
    "muted": (MUTED, "#9099A3"),
    "grid": (GRID, "#30363D"),
    "accent": (ACCENT, "#7C98FF"),
    "shade": (SHADE, "#2C3642"),
    "paper": (PAPER, "#000000"),
}
"""What is ink or paper by day and by night. Emotions and verdicts keep their colours, and so does
text on coloured cells, which is "black" or "white"."""

STYLE: dict[str, Any] = {
    "background": "transparent",
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "mark": {"aria": False},  # the alt text speaks for the figure; a label a mark trebles its size
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "labelLimit": 220,
        "grid": False,
        "domainColor": GRID,
        "tickColor": GRID,
        "gridColor": GRID,
    },
    "axisQuantitative": {"grid": True, "domain": False, "tickCount": 5},
    "header": {"labelColor": INK, "labelFontSize": 11, "labelFontWeight": "bold", "title": None},
    "legend": {
        "labelColor": INK,
        "labelFontSize": 11,
        "titleColor": MUTED,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "orient": "top",
        "symbolType": "square",
        "columns": 0,
    },
    "title": {"color": INK, "fontSize": 11, "fontWeight": "bold", "anchor": "start"},
    "text": {"color": INK, "fontSize": 11},
    "facet": {"spacing": 14},
    "concat": {"spacing": 8},
}

UNIT = alt.Scale(domain=[0, 1])
PERCENT = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], labelOverlap=True, labelSeparation=8)
ESTIMATE = ("value", "low", "high")

Chart = TypeVar("Chart", bound=alt.TopLevelMixin)


class ChartError(ValueError):
    """A table cannot be charted."""


def styled(chart: Chart) -> Chart:
    """Give a finished chart the fonts, colours and axes that all share."""
    return chart.configure(**STYLE)


def drawable(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Take the columns that a chart draws, rounded to five decimals.

    Raises
    ------
    ChartError
        If there are no rows, or too many for a page.
    KeyError
        If a column is missing.
    """
    if not 0 < len(table) <= MAX_ROWS:
        raise ChartError(f"{len(table)} rows to draw: aggregate or choose 1 to {MAX_ROWS} first")
    return table[list(columns)].round(5)


def in_order(column: pd.Series) -> list[str]:
    """List the values of a column as they first appear; emotions in the order of `EMOTIONS`."""
    values = list(dict.fromkeys(column))
    return [name for name in EMOTIONS if name in values] if set(values) <= {*EMOTIONS} else values


def emotion_colour(
    labels: Sequence[str], field: str = "label", legend: Any = alt.Undefined
) -> alt.Color:
    """Colour by the emotion in `field`."""
    scale = alt.Scale(domain=list(labels), range=[COLOURS[label] for label in labels])
    return alt.Color(f"{field}:N", title=None, sort=list(labels), scale=scale, legend=legend)


def estimates(
    table: pd.DataFrame,
    *,
    y: str,
    title: str = "",
    row: str | None = None,
    column: str | None = None,
    wrap: int | None = None,
    emotion: str | None = None,
    unit: bool = True,
    signed: bool = False,
    tick: str | None = None,
) -> Any:
    """Draw estimates as dots on lines from low to high, all that is drawn in the tooltip.

    Parameters
    ----------
    table
        A row an estimate: value, low, high, and the columns named here.
    y, title
        What each line is of, and the title of the axis.
    row, column, wrap
        What each row and column of panels is of; with `wrap`, so many columns and then a new row.
    emotion
        A column with the emotion that gives the colour.
    unit
        The axis goes from 0 to 100 %; else as far as the estimates do, in each wrapped panel.
    signed
        Differences: one axis with a line at 0, in gray where the interval holds 0.
    tick
        A second value, drawn as a tick: what is expected by chance, or the truth.

    Examples
    --------
    >>> metrics = study.read("metrics").query("metric == 'recall'")  # doctest: +SKIP
    >>> estimates(metrics, y="run_id", column="label", emotion="label")  # doctest: +SKIP
    """
    named = [*ESTIMATE, y, row, column, emotion, tick]
    named += [name for name in ("n", "p_value") if name in table]
    data = drawable(table, list(dict.fromkeys(filter(None, named))))
    extent = names_px(data[y])
    names = alt.Axis(ticks=False, minExtent=extent, maxExtent=extent)
    lines = alt.Y(f"{y}:N", title=None, sort=in_order(data[y]), axis=names)
    unit = unit and not signed

    def at(name: str) -> alt.X:
        scale, axis = (UNIT, PERCENT) if unit else (alt.Scale(zero=False), alt.Axis(tickCount=4))
        return alt.X(f"{name}:Q", title=title, scale=scale, axis=axis)

    colour: Any = alt.value(ACCENT)
    if emotion:
        colour = emotion_colour(in_order(data[emotion]), emotion, legend=None)
    elif signed:
        colour = alt.condition("datum.low <= 0 && datum.high >= 0", alt.value(GRAY), colour)
    base = alt.Chart().encode(y=lines)
    seen = base.encode(color=colour, tooltip=list(data))
    layers = [
        seen.mark_rule(strokeWidth=2).encode(x=at("low"), x2="high"),
        seen.mark_circle(size=55, opacity=1).encode(x=at("value")),
    ]
    if tick:
        layers.insert(1, base.mark_tick(color=INK, thickness=1.5, size=12).encode(x=at(tick)))
    if signed:
        layers.insert(0, alt.Chart().mark_rule(color=INK).encode(x=alt.datum(0)))
    n_panels = data[column].nunique() if column else 1
    n_panels = min(wrap, n_panels) if wrap else n_panels
    width = (WIDTH - (60 if row else 0) - extent) // n_panels - 14
    chart = alt.layer(*layers).properties(width=width, height=alt.Step(18))
    if wrap:
        panel = alt.Facet(f"{column}:N", sort=in_order(data[column]))
        grid = chart.facet(panel, columns=n_panels, data=data).resolve_axis(x="independent")
        return styled(grid if unit or signed else grid.resolve_scale(x="independent"))
    return styled(panels(chart, data, y=y, row=row, column=column))


def panels(chart: Any, data: pd.DataFrame, *, y: str, row: str | None, column: str | None) -> Any:
    """Repeat a chart without data for each value of `row` and `column`.

    Vega-Lite misplaces the panels of a grid with gaps, and repeats the names of lines in every
    column where rows have different lines: there, each row is a chart of its own below the others.
    """
    if not row and not column:
        return chart.properties(data=data)
    side = alt.Header(labelAngle=0, labelAlign="left", labelOrient="left")
    rows = alt.Row(f"{row}:N", sort=in_order(data[row]) if row else None, header=side)
    if not column:
        return chart.facet(row=rows, data=data, spacing=8).resolve_scale(y="independent")
    above = alt.Header(
        labelLimit=(WIDTH - names_px(data[y])) // data[column].nunique(),
        labelExpr="split(datum.label, '-')",  # pexels-v1 takes two lines
    )

    def in_columns(part: pd.DataFrame, **options: Any) -> Any:
        columns = alt.Column(f"{column}:N", sort=in_order(part[column]), header=above)
        return chart.facet(column=columns, data=part, **options)

    if not row:
        return in_columns(data)
    parts = dict(iter(data.groupby(row, sort=False)))
    if len({(frozenset(part[y]), frozenset(part[column])) for part in parts.values()}) == 1:
        return in_columns(data, row=rows, spacing=8)
    below = [
        in_columns(part).properties(title=alt.Title(str(name), anchor="start"))
        for name, part in parts.items()
    ]
    return alt.vconcat(*below, spacing=10).resolve_scale(x="shared")


def names_px(column: pd.Series) -> int:
    """Estimate the room that the names of the lines take."""
    return min(220, int(6.2 * column.astype(str).str.len().max()) + 16)


def stacked(
    data: pd.DataFrame,
    *,
    x: alt.X,
    y: str,
    colour: alt.Color,
    row: str | None = None,
    column: str | None = None,
) -> Any:
    """Stack parts to bars, a line each, all columns in the tooltip."""
    field = str(colour.shorthand).removesuffix(":N")
    order = {name: place for place, name in enumerate(in_order(data[field]))}
    data = data.assign(rank=data[field].map(order))
    extent = names_px(data[y])
    lines = alt.Axis(ticks=False, domain=False, minExtent=extent, maxExtent=extent)
    n_panels = data[column].nunique() if column else 1
    side = 60 if row and not column else 0
    bars = (
        alt.Chart()
        .mark_bar()
        .encode(
            x=x,
            y=alt.Y(f"{y}:N", title=None, sort=in_order(data[y]), axis=lines),
            color=colour,
            order="rank:Q",
            tooltip=[name for name in data if name != "rank"],
        )
        .properties(width=(WIDTH - side - extent) // n_panels - 14, height=alt.Step(16))
    )
    return styled(panels(bars, data, y=y, row=row, column=column))
