"""The look that all charts share, and what each of them does first with its table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import altair as alt
import pandas as pd

from exe_core.tables import EMOTIONS

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

VERDICTS = {
    "supported": "#2B6CB0",
    "not supported": "#8A8A8A",
    "contradicted": "#C2410C",
    "not testable": "#B9B9B9",
}
INK, MUTED, GRID, ACCENT = "#1F2328", "#57606A", "#E3E6EA", "#2B4190"
SHADE, PAPER = "#DCE3EC", "#FFFFFF"
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
    """Take the columns that a chart draws; five decimals are more than a page can show.

    Raises
    ------
    ChartError
        If a column is missing, or there are no rows, or too many for a page.
    """
    absent = [name for name in columns if name not in table]
    if absent:
        raise ChartError(f"no column {', '.join(absent)}; the table has {', '.join(table)}")
    if table.empty:
        raise ChartError("the table has no rows to draw")
    if len(table) > MAX_ROWS:
        raise ChartError(
            f"{len(table)} rows are too many for a page: aggregate to {MAX_ROWS} or fewer first"
        )
    return table[list(columns)].round(5)


def only(table: pd.DataFrame, column: str, values: Sequence[str]) -> pd.DataFrame:
    """Keep the rows whose `column` is one of `values`.

    Raises
    ------
    ChartError
        If there is none, with the values that there are.
    """
    chosen = table[table[column].isin(values)]
    if chosen.empty:
        raise ChartError(
            f"no row whose {column} is {' or '.join(values)}; "
            f"there is {', '.join(map(str, table[column].unique()))}"
        )
    return chosen


def in_order(column: pd.Series) -> list[str]:
    """List the values of a column as they first appear."""
    return list(dict.fromkeys(column))


def labels_in(column: pd.Series) -> list[str]:
    """List the emotions of a column in the order of `EMOTIONS`."""
    present = set(column)
    return [label for label in EMOTIONS if label in present]


def ranked(data: pd.DataFrame, column: str) -> pd.DataFrame:
    """Stacks follow a number, so give each emotion its place in the one order of labels."""
    return data.assign(rank=data[column].map({name: k for k, name in enumerate(EMOTIONS)}))


def emotion_colour(
    labels: Sequence[str], field: str = "label", legend: Any = alt.Undefined
) -> alt.Color:
    """Colour by the emotion in `field`."""
    scale = alt.Scale(domain=list(labels), range=[COLOURS[label] for label in labels])
    return alt.Color(f"{field}:N", title=None, sort=list(labels), scale=scale, legend=legend)


def intervals(
    data: pd.DataFrame,
    *,
    x: alt.X,
    y: alt.Y,
    colour: Any,
    tooltip: Sequence[str] = (),
) -> alt.LayerChart | alt.FacetChart:
    """Layer a dot on the line from low to high."""
    shown = [str(x.shorthand).partition(":")[0], "low", "high", *tooltip]
    base = alt.Chart().encode(y=y, color=colour, tooltip=shown)
    low = x.copy()
    low.shorthand = "low:Q"
    lines = base.mark_rule(strokeWidth=2).encode(x=low, x2="high:Q")
    return alt.layer(lines, base.mark_circle(size=55, opacity=1).encode(x=x), data=data)
