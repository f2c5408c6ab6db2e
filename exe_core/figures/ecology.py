"""Charts of what makes a model's output on films plausible, and of what it hangs on."""

from __future__ import annotations

import textwrap

import altair as alt
import pandas as pd

from exe_core.figures.style import (
    ACCENT,
    ESTIMATE,
    INK,
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
    styled,
)

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
