"""Tables are checked when written and when read; labels have one order."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exe_core import tables
from exe_core.labels import EMOTIONS, SchemaError, canonical, labels_of, prob_columns


def predictions(**changes):
    names = {"item_id": "a", "set_name": "s", "split": "test", "group_id": "g", "run_id": "r"}
    answer = {"label": "sad", "predicted": "happy", "prob_happy": 0.75, "prob_sad": 0.25}
    return pd.DataFrame([names | answer | changes])


@pytest.mark.parametrize("name", tables.TABLES)
def test_every_table_says_what_a_row_is_and_survives_being_empty(name, tmp_path):
    assert tables.TABLES[name].description.endswith(".")
    if name.endswith("predictions"):
        return  # has no columns of its own for the labels
    path = tables.write(tables.empty(name), tmp_path / "t.parquet", name=name)
    assert list(tables.read(path, name=name).columns) == list(tables.TABLES[name].columns)


def test_codes_of_the_data_sets_name_the_same_emotions():
    assert [canonical(code, family="fer2013") for code in range(7)] == list(EMOTIONS)
    rafdb = [canonical(str(code), family="rafdb") for code in range(1, 8)]
    assert rafdb == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    assert canonical(" Happiness ") == "happy"


@pytest.mark.parametrize(("label", "family"), [("contempt", "names"), (7, "fer2013"), (0, "rafdb")])
def test_an_unknown_label_is_refused_with_what_is_allowed(label, family):
    with pytest.raises(SchemaError, match=f"{label!r} is not one of {family}'s"):
        canonical(label, family=family)


FRAME = {"film_id": "f", "frame": 0, "time_s": 0.0, "n_faces": 0}


@pytest.mark.parametrize(
    ("name", "table", "fault"),
    [
        ("predictions", predictions(prob_sad=0.5), "do not sum to 1"),
        ("predictions", predictions(prob_sad=np.nan), "do not sum to 1"),
        ("predictions", predictions(prob_happy=1.25, prob_sad=-0.25), "do not sum to 1"),
        ("predictions", predictions(predicted="joyful"), "joyful"),
        ("predictions", predictions(predicted=None), "predicted"),
        ("frames", pd.DataFrame([FRAME]).drop(columns="time_s"), "time_s"),
        ("frames", pd.DataFrame([FRAME, FRAME | {"n_faces": 1}]), "uniqueness"),
    ],
)
def test_a_bad_table_is_refused_with_its_fault(name, table, fault):
    with pytest.raises(SchemaError, match=fault):
        tables.check(table, name)
    assert tables.check(predictions(label=None), "predictions")["label"].isna().all()


@given(st.sets(st.sampled_from(EMOTIONS)), st.randoms())
def test_labels_of_predictions_do_not_depend_on_the_order_of_columns(some, rng):
    order = rng.sample(sorted(some), len(some))
    assert labels_of(prob_columns(order)) == [name for name in EMOTIONS if name in some]


def test_a_table_that_fails_its_check_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.parquet"
    tables.write(predictions(), path, name="predictions")
    with pytest.raises(SchemaError):
        tables.write(predictions(prob_sad=1.0), path, name="predictions")
    assert tables.read(path, name="predictions")["prob_sad"].tolist() == [0.25]
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]
    with pytest.raises(FileNotFoundError, match="no table 'faces'"):
        tables.read(tmp_path / "faces.parquet", name="faces")
