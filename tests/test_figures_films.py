"""Charts of films over time and of what makes output plausible: what is drawn, and how."""

from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import sample_tables as tables
import vl_convert

from exe_core.figures import VEGA_LITE
from exe_core.figures.films import (
    MAX_POINTS,
    agreement_chart,
    bounds_chart,
    criteria_chart,
    sampling_chart,
    timeline_chart,
    visibility_chart,
)
from exe_core.figures.style import STYLE, ChartError
from exe_core.tables import FIVE

RUNS = ("exe", "fer2013", "rafdb")


def counts(n=44):
    times_s = np.linspace(0, 180, n)
    of_labels = [
        pd.DataFrame({"label": x, "time_s": times_s, "n": np.arange(n) // (k + 1)})
        for k, x in enumerate(FIVE)
    ]
    return pd.concat(of_labels)


def estimates(rows):
    """Give rows a value in its interval."""
    value = np.random.default_rng(0).uniform(0.2, 0.6, len(rows))
    return pd.DataFrame(rows).assign(value=value, low=value - 0.1, high=value + 0.1)


def criteria():
    rows = [{"run_id": run, "criterion": name} for run in RUNS for name in ("diversity", "a rise")]
    return estimates(rows).assign(null_mean=[np.nan, 0.0] * 3, p_value=[np.nan, 0.01] * 3)


def agreement():
    rows = [
        {"measure": "Cohen's kappa", "run_id": "exe", "other_run_id": "rafdb"},
        {"measure": "Fleiss' kappa", "run_id": "all", "other_run_id": None},
    ]
    return estimates(rows).assign(null_mean=0.01)


def sampling():
    rows = [
        {"run_id": run, "label": label, "every": every, "than_every": than, "difference": 0.01}
        for run, than, steps in (("truth", 1, (10, 100)), ("exe", 100, (200,)))
        for every in steps
        for label in FIVE
    ]
    return pd.DataFrame(rows).assign(low=-0.02, high=0.04, typical=0.05)


def overall():
    rows = [{"run_id": run, "label": label} for run in RUNS for label in FIVE]
    found = estimates(rows)
    return found.assign(share_low=found["low"], share_high=found["high"] + 0.1)


def visibility():
    rows = [
        {"run_id": run, "trait": trait, "stratum": stratum, "measure": measure, "n": 9}
        for run in RUNS
        for trait, strata in (("size", ("small", "large")), ("turned", ("not", "far")))
        for stratum in strata
        for measure in ("confidence", "accuracy")
    ]
    return estimates(rows)


CHARTS = {
    "timeline": lambda: timeline_chart(
        tables.film_course(),
        faces=tables.film_frames(),
        counts=counts(),
        truth=tables.film_frames(),
        events=tables.events(),
    ),
    "criteria": lambda: criteria_chart(criteria()),
    "agreement": lambda: agreement_chart(agreement()),
    "sampling": lambda: sampling_chart(sampling()),
    "bounds": lambda: bounds_chart(overall()),
    "visibility": lambda: visibility_chart(visibility()),
}


def rows_of(chart, column, kind=None):
    """All rows that hold a column in the data that a chart carries, or those of a kind."""
    data = chart.to_dict()["datasets"].values()
    rows = [row for part in data for row in part if column in row]
    return rows if kind is None else [row for row in rows if row["kind"] == kind]


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_drawn_in_the_one_style_at_the_width_of_a_page(name):
    spec = CHARTS[name]().to_dict()
    assert spec["config"]["font"] == STYLE["font"]
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    assert 300 < float(ElementTree.fromstring(drawn).get("width")) < 740
    assert "Liberation Sans" in drawn


def test_truth_is_shaded_from_change_to_change():
    truth = pd.DataFrame(
        {"time_s": [0.0, 60.0, 120.0, 180.0], "label_true": ["sad", "sad", "happy", None]}
    )
    spans = rows_of(timeline_chart(tables.film_course(), truth=truth), "until", "truth")
    found = {(row["label"], row["minute"], row["until"]) for row in spans}
    assert found == {("sad", 0.0, 2.0), ("happy", 2.0, 3.0)}
    assert len(spans) == 2 * 2  # in the panels of both measures


def test_a_band_goes_with_its_line_and_both_end_where_there_is_no_face():
    drawn = rows_of(timeline_chart(tables.film_course()), "high", "course")
    whole = [row for row in drawn if row["value"] is not None]
    assert len(drawn) == 44 * 5 * 2
    assert len(drawn) - len(whole) == 3 * 5 * 2
    assert all(row["low"] < row["value"] < row["high"] for row in whole)
    assert all(row["low"] is None for row in drawn if row["value"] is None)


def test_each_event_is_marked_in_every_panel_and_named_once():
    chart = timeline_chart(tables.film_course(), events=tables.events())
    marks, names = (rows_of(chart, "event", kind) for kind in ("event", "name"))
    assert len(marks) == 2 * len(FIVE) * len(tables.events())
    assert {(row["event"], row["label"]) for row in names} == set(
        tables.events()[["event", "label"]].itertuples(index=False, name=None)
    )


def test_a_long_film_is_drawn_without_its_points():
    points = [
        len(
            rows_of(
                timeline_chart(tables.film_course(), faces=tables.film_frames(n)), "kind", "face"
            )
        )
        for n in (44, MAX_POINTS + 1)
    ]
    assert points == [44 * len(FIVE), 0]


def test_a_film_of_one_frame_is_drawn():
    one = tables.film_course(44).query("time_s == 0").assign(low=np.nan, high=np.nan)
    assert len(rows_of(timeline_chart(one), "value", "course")) == 10


def test_each_run_is_drawn_at_the_steps_it_was_tried_at():
    drawn = rows_of(sampling_chart(sampling()), "step")
    steps = {
        run: {row["step"] for row in drawn if row["run_id"] == run} for run in ("truth", "exe")
    }
    assert steps == {"truth": {"every 10th", "every 100th"}, "exe": {"every 200th"}}


def test_the_null_is_drawn_beside_each_criterion_that_has_one():
    drawn = rows_of(criteria_chart(criteria()), "null_mean")
    assert {row["null_mean"] for row in drawn if row["criterion"] == "diversity"} == {None}
    assert {row["null_mean"] for row in drawn if row["criterion"] == "a rise"} == {0.0}


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: timeline_chart(tables.events()), "no column measure"),
        (lambda: timeline_chart(pd.concat([tables.film_course()] * 2)), "its times hold repeats"),
        (lambda: sampling_chart(tables.empty("sampling")), "no rows to draw"),
        (
            lambda: visibility_chart(visibility().assign(measure="recall")),
            "measures recall: only confidence, accuracy",
        ),
    ],
)
def test_what_cannot_be_charted_is_refused(draw, said):
    with pytest.raises(ChartError, match=said):
        draw()
