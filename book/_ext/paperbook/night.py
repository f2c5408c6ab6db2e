"""Charts on a dark page: what is ink or paper in them follows the theme, all other colours stay."""

from __future__ import annotations

import re

from exe_core.figures.style import THEMES

NAMES = {day: name for name, (day, _) in THEMES.items()}
COLOUR = re.compile("|".join(NAMES))


def themed(spec: str) -> str:
    """Name ink and paper in a specification as the style of the page does.

    Drawn once as SVG, such a chart follows every change of theme, and is light in print.
    """
    return COLOUR.sub(lambda found: f"var(--chart-{NAMES[found[0]]})", spec)


def at_night(svg: str) -> str:
    """Recolour a picture, which no style of the page reaches."""
    return COLOUR.sub(lambda found: THEMES[NAMES[found[0]]][1], svg)


def style() -> str:
    """Write the style sheet that says what ink and paper are."""
    themes = (":root", 'html[data-theme="dark"]')
    rules = (
        selector + " {" + "".join(f" --chart-{n}: {c[k]};" for n, c in THEMES.items()) + " }"
        for k, selector in enumerate(themes)
    )
    return "\n".join([*rules, ""])
