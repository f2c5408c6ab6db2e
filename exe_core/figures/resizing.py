"""A chart laid out anew for another width: its panels shrink or wrap, its letters stay.

Scaling a chart down to a column would shrink its text with it. Here the panels take what the text
leaves; where they get too narrow, fewer stand in a row. What then overlaps is refused, not drawn.
"""

from __future__ import annotations

import copy
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import vl_convert

from exe_core.figures.bundle import VEGA_LITE, FigureError

PX_PER_MM = 96 / 25.4
NARROWEST_PANEL = 45.0
PANELS_IN_A_ROW = (6, 5, 4, 3, 2, 1)
LETTER, BOLD = 0.5, 0.58
"""The mean width of a letter of the charts' font, in font sizes."""

SLACK = 3.0
"""What the panels may leave of the width, in px; padding takes it up."""

PARTS = ("layer", "hconcat", "vconcat", "concat")
Spec = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """A piece of text as a chart shows it; the box is an estimate, in px of the picture."""

    role: str
    left: float
    right: float
    top: float
    bottom: float

    def overlaps(self, other: Text) -> bool:
        """Tell whether two pieces stand on each other."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return across > 2 and down > 3


def fit(spec: Spec, width: float) -> Spec:
    """Lay a chart out anew so that it is this wide.

    Parameters
    ----------
    spec
        A Vega-Lite specification with its data, as `save` keeps it.
    width
        Of the whole picture, in px of 1/96 inch.

    Raises
    ------
    FigureError
        If its panels would be too narrow or its texts overlap.
    """
    had, tried = overlapping(spec), []
    for panels in (None, *PANELS_IN_A_ROW):
        laid_out = spec if panels is None else _wrapped(spec, panels)
        if laid_out in tried:
            continue
        tried.append(laid_out)
        found = _scaled_to(_with_legend(laid_out, width), width)
        if found is not None and overlapping(found) <= had:
            return found
    raise FigureError(f"{width / PX_PER_MM:.0f} mm leave too little room for its text")


def narrowest(spec: Spec, too_narrow: float) -> float:
    """Search for the least width that a chart can be laid out for, to a centimetre, in px."""
    low, high = too_narrow, float(_scene(spec)["width"])
    while high - low > 10 * PX_PER_MM:
        middle = (low + high) / 2
        try:
            fit(spec, middle)
            high = middle
        except FigureError:
            low = middle
    return high


def overlapping(spec: Spec) -> int:
    """Count the pairs of texts of a chart that stand on each other."""
    return sum(a.overlaps(b) for a, b in combinations(texts(spec), 2))


def texts(spec: Spec) -> list[Text]:
    """List the pieces of text that a chart shows, upright ones only."""
    return list(_texts(_scene(spec)["scenegraph"], role="", x=0.0, y=0.0))


def _scene(spec: Spec) -> Spec:
    return vl_convert.vegalite_to_scenegraph(spec, vl_version=VEGA_LITE)


def _texts(node: Spec, *, role: str, x: float, y: float) -> Iterator[Text]:
    """Walk a scene; groups move what is in them."""
    if node.get("marktype") == "text":
        shown = (item for item in node["items"] if item.get("opacity", 1) and not item.get("angle"))
        yield from (_placed(item, role=node.get("role", role), x=x, y=y) for item in shown)
        return
    for item in node.get("items", []):
        inside = node.get("marktype") == "group"
        dx, dy = (item.get("x", 0), item.get("y", 0)) if inside else (0, 0)
        yield from _texts(item, role=role, x=x + dx, y=y + dy)


def _placed(item: Spec, *, role: str, x: float, y: float) -> Text:
    said = item.get("text", "")
    lines = [str(line) for line in said] if isinstance(said, list) else [str(said)]
    size = item.get("fontSize", 11)
    letter = BOLD if item.get("fontWeight") == "bold" else LETTER
    width = min(max(map(len, lines)) * size * letter, item.get("limit") or float("inf"))
    height = size * 1.2 * (len(lines) - 1) + size
    left = x + item.get("x", 0) + item.get("dx", 0)
    left -= {"center": width / 2, "right": width}.get(item.get("align", ""), 0)
    top = y + item.get("y", 0) + item.get("dy", 0)
    top -= {"middle": height / 2, "top": 0}.get(item.get("baseline", ""), size)
    return Text(role, left, left + width, top, top + height)


def _views(node: Spec) -> Iterator[Spec]:
    """Give each part of a specification that has a width of its own."""
    if "width" in node:
        yield node
    for part in _parts(node):
        yield from _views(part)


def _parts(node: Spec) -> list[Spec]:
    inner = [node["spec"]] if isinstance(node.get("spec"), dict) else []
    return inner + [part for key in PARTS for part in node.get(key, [])]


def _wrapped(spec: Spec, panels: int) -> Spec:
    """Let no more than so many panels stand in a row, where rows may be broken."""
    spec = copy.deepcopy(spec)
    todo = [spec]
    while todo:
        node = todo.pop()
        todo += _parts(node)
        facet = node.get("facet", {})
        if "column" in facet and "row" not in facet:
            node |= {"facet": facet["column"], "columns": panels}
            node.setdefault("resolve", {}).setdefault("axis", {})["x"] = "independent"
        elif "columns" in node:
            node["columns"] = min(node["columns"], panels)
    return spec


def _with_legend(spec: Spec, width: float) -> Spec:
    """Break a legend that is wider than the picture into rows."""
    entries = [text.right - text.left + 26 for text in texts(spec) if text.role == "legend-label"]
    if sum(entries) <= width:
        return spec
    config = spec.get("config", {})
    legend = {**config.get("legend", {}), "columns": max(1, int(width / max(entries)))}
    return {**spec, "config": {**config, "legend": legend}}


def _scaled_to(spec: Spec, width: float) -> Spec | None:
    """Scale the panels by the secant rule until the whole is this wide; None if they can't be."""
    least = min(min(NARROWEST_PANEL / panel, 1) for panel in map(_panel_width, _views(spec)))
    share, before = 1.0, 0.9
    wide_before = _scene(_scaled(spec, before))["width"]
    for _ in range(10):
        found = _scaled(spec, share)
        wide = _scene(found)["width"]
        if 0 <= width - wide <= SLACK:
            return found | {
                "padding": {"left": 5, "top": 5, "bottom": 5, "right": 5 + width - wide}
            }
        if wide == wide_before:
            return None
        slope = (wide - wide_before) / (share - before)
        before, wide_before = share, wide
        share += (width - SLACK / 2 - wide) / slope
        if share < least:
            return None
    return None


def _panel_width(view: Spec) -> float:
    width = view["width"]
    return float(4 * width["step"] if isinstance(width, dict) else width)


def _scaled(spec: Spec, share: float) -> Spec:
    """Scale the width of each panel; square ones stay square, titles of axes are broken to fit."""
    spec = copy.deepcopy(spec)
    for view in _views(spec):
        width = view["width"]
        if isinstance(width, dict):
            view["width"] = {"step": width["step"] * share}
            continue
        if view.get("height") == width:
            view["height"] = width * share
        view["width"] = width * share
        _break_titles(view, letters=max(8, int(width * share / (11 * LETTER))))
    return spec


def _break_titles(node: Spec, *, letters: int) -> None:
    x = node.get("encoding", {}).get("x") or {}
    for part in (x, x.get("axis") or {}):
        if isinstance(part.get("title"), str):
            part["title"] = textwrap.wrap(part["title"], letters)
    for part in _parts(node):
        _break_titles(part, letters=letters)
