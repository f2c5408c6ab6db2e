"""What a study costs and how long it takes, against its size."""

from __future__ import annotations

import altair as alt
import pandas as pd

from exe_core.figures.style import ACCENT, ESTIMATE, INK, WIDTH, drawable, in_order, styled

_TITLES = {"cores": "hours"}
_DECADES = alt.Axis(
    values=[10.0**power for power in range(-3, 12)],
    labelExpr="format(datum.value, datum.value < 1 ? '~f' : '~s')",
    labelOverlap=True,
)


def size_chart(sizes: pd.DataFrame) -> alt.ConcatChart:
    """Draw cost and time against each size of a study, a panel a size, a line a study.

    Parameters
    ----------
    sizes
        study, factor, at, value, low, high, as of `workload.against`: bands reach from the lowest
        to the highest price.
    """
    data = drawable(sizes, ["study", "factor", "at", *ESTIMATE])
    studies = in_order(data["study"])
    scale = alt.Scale(domain=studies, range=[ACCENT, INK][: len(studies)])
    colour = alt.Color("study:N", title=None, scale=scale)
    panels = []
    for factor in in_order(data["factor"]):
        own = alt.Chart(data[data["factor"] == factor])
        log = alt.Scale(type="log")
        x = alt.X("at:Q", title=factor, scale=log, axis=_DECADES)
        title = _TITLES.get(factor, "US dollars")
        y = alt.Y("value:Q", title=title, scale=log, axis=_DECADES)
        low = y.copy()
        low.shorthand = "low:Q"
        band = own.mark_area(opacity=0.2).encode(x=x, y=low, y2="high:Q", color=colour)
        line = own.mark_line().encode(
            x=x, y=y, color=colour, strokeDash=alt.StrokeDash("study:N", sort=studies, legend=None)
        )
        panels.append(alt.layer(band, line).properties(width=WIDTH // 2 - 80, height=150))
    return styled(alt.concat(*panels, columns=2, spacing=24))
