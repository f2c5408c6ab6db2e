"""The look that all charts share, their layout by width, and the two shapes most of them have."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import altair as alt
import pandas as pd

from exe_core.labels import EMOTIONS

WIDE, NARROW = 692, 336  # px: 183 and 89 mm, the page and the column of a journal
MARGIN, GAP, LINE, EXTENT = 4, 12, 13, 32
"""px: around a chart, between panels, from line to line of a text, of the numbers on an axis."""
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

TEXT = {"labelColor": INK, "labelFontSize": 11, "labelLimit": 0}
TEXT |= {"titleColor": MUTED, "titleFontSize": 11, "titleFontWeight": "normal"}
LINES = {"domainColor": GRID, "tickColor": GRID, "gridColor": GRID}
STYLE: dict[str, Any] = {
    "background": "transparent",
    "padding": MARGIN,
    "font": "Liberation Sans, Arial, Helvetica, sans-serif",
    "mark": {"aria": False},  # the alt text speaks for the figure; a label a mark trebles its size
    "view": {"stroke": None},
    "axis": {**TEXT, **LINES, "grid": False},
    "axisX": {"labelFlush": 6},
    "axisQuantitative": {"grid": True, "domain": False, "labelOverlap": True, "labelSeparation": 6},
    "legend": {**TEXT, "orient": "top", "symbolType": "square", "symbolOpacity": 1},
    "title": {
        "color": INK,
        "fontSize": 11,
        "lineHeight": LINE,
        "anchor": "start",
        "frame": "group",
    },
    "text": {"color": INK, "fontSize": 11},
}

UNIT = alt.Scale(domain=[0, 1])
ESTIMATE = ("value", "low", "high")


class ChartError(ValueError):
    """A table cannot be charted."""


@dataclass(frozen=True)
class Chart:
    """A chart that is laid out anew for each width, and shows itself in a notebook."""

    layout: Callable[[int], Any]  # from a width in px to an Altair chart

    def at(self, width: int = WIDE) -> Any:
        """Give the Altair chart for a width in px, in the style of all."""
        return self.layout(width).configure(**STYLE)

    def _repr_mimebundle_(self, *args: Any, **kwargs: Any) -> Any:
        return self.at()._repr_mimebundle_(*args, **kwargs)


class Panel(NamedTuple):
    """What a panel has to know of its place to draw itself."""

    px: int  # its width
    room: int  # px for a legend
    group: pd.DataFrame  # the rows of all panels of its group
    is_first: bool  # of all
    has_names: bool  # it is the leftmost of its line
    has_ticks: bool  # numbers stand below it
    lower: float = 0  # px that marks stand below the middle of their line


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
    """List the values of a column as they first appear; emotions and verdicts in their order."""
    values = list(dict.fromkeys(column))
    known = next((names for names in (EMOTIONS, VERDICTS) if set(values) <= {*names}), values)
    return [name for name in known if name in values]


def colours_of(column: pd.Series) -> dict[str, str]:
    """Give the emotions, or verdicts, of a column their colours, in their order."""
    return {name: (COLOURS | VERDICTS)[name] for name in in_order(column)}


def scale_of(colours: Mapping[str, str]) -> alt.Scale:
    """Give each name its colour."""
    return alt.Scale(domain=list(colours), range=list(colours.values()))


def text_px(text: str) -> float:
    """Measure a text in letters of 11 px, as Liberation Sans and Arial have them, a little wide."""
    narrow, wide = (len(re.findall(of, text)) for of in ("[ijlftrI .,:;'|!()/-]", "[A-Zmw%]"))
    return 6.1 * len(text) - 2.8 * narrow + 2.6 * wide


def wrapped(text: str, px: float) -> list[str]:
    """Break a text into lines of at most so many px: at spaces, after - and _, else anywhere."""
    lines = [""]
    for word in re.findall(r"[^-_ ]*[-_ ]+|[^-_ ]+$", text):
        for part in [word] if text_px(word) <= px else textwrap.wrap(word, max(1, int(px / 8))):
            if lines[-1] and text_px(f"{lines[-1]}{part}".rstrip()) > px:
                lines.append("")
            lines[-1] += part
    return [line.rstrip() for line in lines]


def titled(chart: Any, text: str, px: float, **look: Any) -> Any:
    """Put a title of at most so many px above a chart, unless it is empty."""
    return chart.properties(title=alt.Title(wrapped(text, px), **look)) if text else chart


class Names:
    """The names of lines, beside them, or above them where that takes more than three lines."""

    def __init__(self, names: Iterable[str], width: int, step: int) -> None:
        """Lay out names for a chart of so many px, with `step` px for what each line shows."""
        lines = {str(name): wrapped(str(name), min(220, 0.4 * width) - 8) for name in names}
        is_above = max(map(len, lines.values())) > 3
        if is_above:
            lines = {name: wrapped(name, width - 2 * MARGIN) for name in lines}
        n_most = max(map(len, lines.values()))
        longest = max(text_px(line) for name in lines.values() for line in name)
        self.extent = 0 if is_above else int(longest) + 8  # px beside the first panel
        self.step = LINE * n_most + step if is_above else max(step, LINE * n_most + 5)
        self.lower = LINE * n_most / 2 if is_above else 0.0
        offsets = []  # from the middle of the line to the first line of text
        for n in range(1, n_most + 1):
            alike = json.dumps([name for name, text in lines.items() if len(text) == n])
            px = self.lower - step / 2 + 9 - LINE * n if is_above else -LINE * (n - 1) / 2
            offsets.append({"test": f"indexof({alike}, datum.label) >= 0", "value": px})
        align: dict[str, Any] = (
            {"labelAlign": "left", "labelPadding": 0} if is_above else {"labelPadding": 5}
        )
        self.axis = alt.Axis(
            ticks=False,
            domain=False,
            minExtent=self.extent,
            maxExtent=self.extent,
            labelExpr=f"{json.dumps(lines)}[datum.label]",
            labelLineHeight=LINE,
            labelOffset={"condition": offsets, "value": 0},
            **align,
        )

    def y(self, field: str, lines: Sequence[str], at: Panel) -> alt.Y:
        """Put the values of a field on lines, with their names or, beside other panels, without."""
        axis = self.axis if at.has_names else None
        return alt.Y(f"{field}:N", title=None, scale=alt.Scale(domain=lines, padding=0), axis=axis)


def lined(
    draw: Callable[[alt.Chart, Panel], list[Any]],
    data: pd.DataFrame,
    *,
    y: str,
    step: int = 18,
    **options: Any,
) -> Chart:
    """Chart a line of `step` px for each value of `y`; `draw` gives the layers of a panel.

    It makes them of a chart that has the lines. Options are those of `grid`.
    """

    def layout(width: int) -> Any:
        names = Names(data[y], width, step)

        def panel(part: pd.DataFrame, at: Panel) -> Any:
            lines = alt.Chart().encode(y=names.y(y, in_order(at.group[y]), at))
            layers = draw(lines, at._replace(lower=names.lower))
            size = {"width": at.px, "height": alt.Step(names.step)}
            return alt.layer(*layers, data=part).properties(**size)

        return grid(panel, data, width=width, extent=names.extent, **options)

    return Chart(layout)


def grid(
    draw: Callable[[pd.DataFrame, Panel], Any],
    data: pd.DataFrame,
    *,
    width: int,
    extent: int,
    row: str | None = None,
    column: str | None = None,
    title: str = "",
    free: bool = False,
    least: int = 64,
    most: int = 700,
) -> Any:
    """Draw a panel for each value of `column`, as many side by side as fit, for each of `row`.

    `extent` px stand left of the first panel of a line. Panels are `least` to `most` px wide; where
    they are `free`, each has a scale of x of its own. `title`, what is measured, stands above all.
    """
    room = width - 2 * MARGIN - extent + GAP
    n = data[column].nunique() if column else 1
    n_lines = -(-n // max(1, min(n, room // (least + GAP))))
    n_columns = -(-n // n_lines)
    px = min(most, room // n_columns - GAP - 4)
    scales: Literal["independent", "shared"] = "independent" if free else "shared"
    groups: list[Any] = []
    above: list[str] = []
    names = in_order(data[row]) if row else [""]
    for name in names:
        group = data[data[row] == name] if row else data
        titles = in_order(group[column]) if column else [""]
        has_ticks = free or n_lines > 1 or name == names[-1]
        panels = []
        for k, one in enumerate(titles):
            is_first, has_names = not groups and k == 0, k % n_columns == 0
            at = Panel(px, width - extent, group, is_first, has_names, has_ticks)
            panel = draw(group[group[column] == one] if column else group, at)
            shown = one if n_lines > 1 or titles != above else ""
            panels.append(titled(panel, str(shown), px, fontWeight="normal"))
        above = titles
        line = alt.concat(*panels, columns=n_columns, align="each", spacing=GAP)
        line = line.resolve_scale(x=scales)
        groups.append(titled(line, str(name), width - 2 * MARGIN, frame="bounds"))
    look = {"color": MUTED, "fontWeight": "normal", "frame": "bounds"}
    whole = alt.vconcat(*groups, spacing=GAP).resolve_scale(x=scales)
    return titled(whole, title, width - 2 * MARGIN, **look)


def below(at: Panel, *, share: bool = False, **options: Any) -> alt.Axis:
    """Put numbers below a panel, one for about 75 px, or as many of 0, 25 to 100 % as fit."""
    if share:
        values = [k / 4 for k in range(0, 5, 1 if at.px > 180 else 2)]
        options |= {"format": "%", "values": values}
    return alt.Axis(title=None, tickCount=max(2, at.px // 75), labels=at.has_ticks, **options)


def side(at: Panel, extent: int = EXTENT, **options: Any) -> alt.Axis:
    """Put numbers left of a panel, unless it stands beside one that has them."""
    px = extent if at.has_names else 0
    options |= {"labels": at.has_names, "ticks": at.has_names, "labelFlush": True}
    return alt.Axis(title=None, minExtent=px, maxExtent=px, **options)


def coloured(field: str, colours: Mapping[str, str], at: Panel) -> alt.Color:
    """Colour by a field, with a legend above the chart in as many columns as fit."""
    lines = {name: wrapped(name, at.room - 30) for name in colours}
    longest = max(text_px(line) for name in lines.values() for line in name)
    n_rows = -(-len(lines) // max(1, int(at.room / (longest + 26))))
    words = f"{json.dumps(lines)}[datum.label]"
    legend = alt.Legend(columns=-(-len(lines) // n_rows), labelExpr=words)
    return alt.Color(f"{field}:N", title=None, scale=scale_of(colours), legend=legend)


def filtered(chart: Any, field: str, at: Panel) -> Any:
    """Show, once names in the legend are clicked, only the rows of these."""
    chosen = alt.selection_point("chosen", fields=[field], bind="legend")
    shown = chart.transform_filter({"param": "chosen"})
    return shown.add_params(chosen) if at.is_first else shown


def estimates(
    table: pd.DataFrame,
    *,
    y: str,
    title: str = "",
    row: str | None = None,
    column: str | None = None,
    colour: str | None = None,
    unit: bool = True,
    free: bool = False,
    signed: bool = False,
    tick: str | None = None,
    band: Sequence[str] = (),
) -> Chart:
    """Draw estimates as dots on lines from low to high, all that is drawn in the tooltip.

    Parameters
    ----------
    table
        A row an estimate: value, low, high, and the columns named here.
    y, title
        What each line is of, and what is measured.
    row, column
        What each group, one below the other, and each panel of it is of.
    colour
        A column with the emotion, or the verdict, that gives the colour.
    unit
        The axis goes from 0 to 100 %; else as far as the estimates do.
    free
        Each panel has an axis of its own, since each measures something else.
    signed
        Differences: one axis with a line at 0, in gray where the interval holds 0.
    tick
        A second value, drawn as a tick: what is expected by chance, or the truth.
    band
        Two columns: from where to where it is shaded.

    Examples
    --------
    >>> metrics = study.read("metrics").query("metric == 'recall'")  # doctest: +SKIP
    >>> estimates(metrics, y="run_id", column="label", colour="label")  # doctest: +SKIP
    """
    named = [y, row, column, colour, *ESTIMATE, tick, *band]
    named += [name for name in ("n", "p_value", "text") if name in table]
    data = drawable(table, list(dict.fromkeys(filter(None, named))))
    is_share = unit and not (signed or free)
    ends: dict[str, Any] = {"domain": [0, 1]} if is_share else {"zero": False}
    shade: Any = alt.value(ACCENT)
    if colour:
        shade = alt.Color(f"{colour}:N", scale=scale_of(colours_of(data[colour])), legend=None)
    elif signed:
        shade = alt.condition("datum.low <= 0 && datum.high >= 0", alt.value(GRAY), shade)
    measure = title.partition(";")[0] or "value"
    tooltip = [alt.Tooltip(name, title=measure if name == "value" else name) for name in data]
    everywhere = {"x": alt.value(0), "x2": alt.value("width")}

    def draw(lines: alt.Chart, at: Panel) -> list[Any]:
        scale = alt.Scale(range=[5, at.px - 5], **ends)
        x = alt.X("low:Q", scale=scale, axis=below(at, share=is_share))
        seen = lines.encode(color=shade)
        place: dict[str, Any] = {"yOffset": at.lower}
        layers = [
            seen.mark_rule(strokeWidth=2, **place).encode(x=x, x2="high"),
            seen.mark_circle(size=55, opacity=1, **place).encode(x="value:Q"),
            lines.mark_rect(opacity=0).encode(**everywhere, tooltip=tooltip),
        ]
        if tick:
            ticks = lines.mark_tick(color=INK, thickness=1.5, size=12, **place)
            layers.insert(0, ticks.encode(x=f"{tick}:Q"))
        if band:
            shaded = lines.mark_bar(color=INK, opacity=0.13, height=14, **place)
            layers.insert(0, shaded.encode(x=f"{band[0]}:Q", x2=band[1]))
        if signed:
            layers.insert(0, alt.Chart().mark_rule(color=INK).encode(x=alt.datum(0)))
        return layers

    return lined(draw, data, y=y, row=row, column=column, title=title, free=free)


def stacked(
    data: pd.DataFrame,
    *,
    x: str,
    y: str,
    colour: str,
    colours: Mapping[str, str] | None = None,
    share: bool = True,
    **options: Any,
) -> Chart:
    """Stack parts to bars, a line each, all columns in the tooltip; as shares, or as numbers.

    `colours` are those of the values of `colour`, if these are no emotions.
    """
    colours = colours or colours_of(data[colour])
    data = data.assign(rank=data[colour].map({name: k for k, name in enumerate(colours)}))
    tooltip = [name for name in data if name != "rank"]

    def draw(lines: alt.Chart, at: Panel) -> list[Any]:
        stack: Any = "normalize" if share else "zero"
        bars = lines.mark_bar(height=12, yOffset=at.lower).encode(
            x=alt.X(f"{x}:Q", stack=stack, axis=below(at, share=share)),
            color=coloured(colour, colours, at),
            order="rank:Q",
            tooltip=tooltip,
        )
        return [filtered(bars, colour, at)]

    return lined(draw, data, y=y, step=16, **options)
