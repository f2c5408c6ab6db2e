"""Charts that set models against each other: every number of the table, marked as it says."""

from itertools import product

import pandas as pd
import pytest
import sample_tables as tables
import vl_convert

from exe_core.comparisons import CELLS, FACTORS
from exe_core.figures import VEGA_LITE
from exe_core.figures.scores import differences_chart, factorial_chart, matrix_chart
from exe_core.figures.style import ChartError

EFFECTS = ("crop", "colour", "calibration", "crop x colour", "all three")


def matrix():
    scores = tables.metrics(("films", "fer2013 without duplicates", "rafdb"))
    return scores.assign(own=scores["run_id"] == scores["set_name"])


def comparisons():
    rows = [
        {
            "run_id": variant,
            "other_run_id": "ours",
            "set_name": set_name,
            "metric": "balanced_accuracy",
            "difference": value,
            "low": value - 0.02,
            "high": value + 0.02,
            "n_seeds": 3,
            "spread": 0.01,
        }
        for set_name in ("photos", "rafdb")
        for variant, value in (("mixup", 0.01), ("sam", 0.05), ("no-smoothing", -0.04))
    ]
    return pd.DataFrame(rows)


def factorial(sets=("film_faces", "press")):
    of_cells = [("cell", ", ".join(cell), *cell) for cell in CELLS]
    of_effects = [("effect", name, None, None, None) for name in EFFECTS]
    home = [("home", "own test faces", None, None, None)]
    named = pd.DataFrame([*of_cells, *of_effects, *home], columns=["kind", "term", *FACTORS])
    parts = [
        named.assign(set_name=name, over=over, metric="balanced_accuracy", n=400, n_groups=5)
        for name, over in product(sets, ("groups", "faces"))
    ]
    whole = pd.concat(parts, ignore_index=True)
    value = 0.2 + 0.6 * whole.index / len(whole)
    return whole.assign(value=value, low=value - 0.1, high=value + 0.1)


def drawn(chart):
    return vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=VEGA_LITE)


def rows_of(chart):
    return [row for rows in chart.to_dict()["datasets"].values() for row in rows]


def width_of(svg):
    return float(svg.partition('width="')[2].partition('"')[0])


@pytest.mark.parametrize(
    "chart",
    [
        lambda: matrix_chart(matrix()),
        lambda: differences_chart(comparisons()),
        lambda: factorial_chart(factorial()),
    ],
    ids=["matrix", "differences", "factorial"],
)
def test_each_is_drawn_at_the_width_of_a_page(chart):
    assert 300 < width_of(drawn(chart())) < 740


def test_each_cell_of_the_matrix_shows_its_number_and_its_interval():
    table = matrix()
    svg = drawn(matrix_chart(table))
    shown = table[table["metric"] == "balanced_accuracy"]
    for row in shown.itertuples():
        assert f">{row.value:.2f}<" in svg
        assert f">{row.low:.2f}–{row.high:.2f}<" in svg


def test_cells_of_a_set_that_a_model_learned_from_are_outlined():
    table = matrix()
    outline = 'stroke="#1F2328" stroke-width="2.5"'
    with_own, without = (
        drawn(matrix_chart(some)).count(outline) for some in (table, table.assign(own=False))
    )
    n_own = (table["own"] & (table["metric"] == "balanced_accuracy")).sum()
    assert n_own == 1
    assert with_own - without == n_own


def test_a_cell_without_an_interval_shows_its_number_only():
    table = matrix()
    table[["low", "high"]] = float("nan")
    svg = drawn(matrix_chart(table))
    value = table.loc[table["metric"] == "balanced_accuracy", "value"].iloc[0]
    assert f">{value:.2f}<" in svg
    assert "–" not in svg
    assert "NaN" not in svg


def test_recipes_stand_by_what_they_gain():
    svg = drawn(differences_chart(comparisons()))
    places = [svg.index(f">{name}<") for name in ("sam", "mixup", "no-smoothing")]
    assert places == sorted(places)


def test_cells_stand_by_how_many_faults_are_undone():
    dots = pd.DataFrame([row for row in rows_of(factorial_chart(factorial())) if "undone" in row])
    counts = dots.groupby("term")["undone"].sum()
    assert counts[", ".join(CELLS[0])] == 0
    assert counts[", ".join(CELLS[-1])] == 3
    assert sorted(counts) == [0, 1, 1, 1, 2, 2, 2, 3]


def test_both_intervals_are_drawn_and_the_score_at_home_is_named():
    svg = drawn(factorial_chart(factorial()))
    assert svg.count("own test faces") >= 2
    thick, thin = (svg.count(f'stroke-width="{width}"') for width in (5, 1.2))
    assert thick == thin == 2 * (len(CELLS) + len(EFFECTS))


def test_a_factorial_without_a_score_at_home_is_drawn():
    table = factorial(("press",))
    svg = drawn(factorial_chart(table[table["kind"] != "home"]))
    assert "own test faces" not in svg


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: matrix_chart(matrix().drop(columns="own")), "no column own"),
        (lambda: differences_chart(comparisons(), metric="ece"), "no row whose metric"),
        (lambda: factorial_chart(factorial(), metric="nll"), "no row whose metric is nll"),
    ],
)
def test_what_cannot_be_charted_is_refused(draw, said):
    with pytest.raises(ChartError, match=said):
        draw()
