"""Charts of a pull show what their tables hold, an emotion in one colour, with intervals."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from sample_pulls import SETS, make_pull

from exe_core import curation
from exe_core.figures.photos import (
    attrition_chart,
    keyword_noise_chart,
    novelty_chart,
    query_yield_chart,
)
from exe_core.figures.style import COLOURS, ChartError
from exe_core.resampling import Statistics


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    made = make_pull()
    truth = made.pop("truth")
    faces = curation.faces_of_photos(
        SETS, faces=made["faces"], hits=made["hits"], requests=made["requests"]
    )
    noise = curation.keyword_noise(curation.label_by_truth(faces, truth), statistics=Statistics())
    noise = curation.with_known(noise, faces=faces, truth=truth)
    photos = (made["hits"], made["photos"], made["images"])
    return {
        "yields": curation.yields(
            *photos, statistics=Statistics(), by=["source", "label", "query"]
        ),
        "novelty": curation.novelty(
            made["requests"], made["hits"], statistics=Statistics(), by=["label"]
        ),
        "steps": curation.whereabouts(SETS, **made),
        "noise": noise[noise["by"] == "query"],
    }


def chart(name: str, table: pd.DataFrame):
    draw = {
        "yields": query_yield_chart,
        "novelty": lambda rows: novelty_chart(rows, stop_below=0.1),
        "steps": attrition_chart,
        "noise": keyword_noise_chart,
    }
    return draw[name](table)


@pytest.mark.parametrize("name", ["yields", "novelty", "steps", "noise"])
def test_a_chart_holds_its_rows_and_leaves_the_table_alone(name: str, tables) -> None:
    before = tables[name].copy()
    spec = chart(name, tables[name]).to_dict()
    pd.testing.assert_frame_equal(tables[name], before)
    shown = [row for rows in spec["datasets"].values() for row in rows]
    column = {"steps": "step", "novelty": "label"}.get(name, "query")
    assert {row[column] for row in shown} <= set(tables[name][column])
    assert shown


@pytest.mark.parametrize("name", ["yields", "novelty", "noise"])
def test_emotions_have_their_colours_and_shares_their_intervals(name: str, tables) -> None:
    text = json.dumps(chart(name, tables[name]).to_dict())
    assert COLOURS["sad"] in text
    assert '"low"' in text
    assert '"high"' in text


def test_the_line_where_a_query_stops_is_drawn(tables) -> None:
    assert '"datum": 0.1' in json.dumps(chart("novelty", tables["novelty"]).to_dict())


def test_what_was_returned_is_the_length_of_a_bar(tables) -> None:
    spec = chart("steps", tables["steps"]).to_dict()
    rows = pd.DataFrame(row for rows in spec["datasets"].values() for row in rows)
    steps = tables["steps"]
    returned = steps[steps["step"] == "returned"].set_index("set_name")["n"]
    drawn = rows.groupby("set_name")["n"].sum().reindex(returned.index)
    assert drawn.to_dict() == returned.to_dict()


@pytest.mark.parametrize("name", ["yields", "novelty", "steps", "noise"])
def test_a_missing_column_and_an_empty_table_are_refused(name: str, tables) -> None:
    table = tables[name]
    missing = "n" if name == "steps" else "value"
    with pytest.raises(ChartError, match=f"no column {missing}"):
        chart(name, table.drop(columns=missing))
    with pytest.raises(ChartError, match="no rows"):
        chart(name, table.iloc[:0])
