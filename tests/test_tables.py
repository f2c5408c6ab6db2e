"""Files appear whole and say where they come from; tables are checked when written and read."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from exe_core import tables
from exe_core.labels import EMOTIONS, SchemaError, canonical, labels_of, prob_columns
from exe_core.record import ROOT, digest, digest_of, provenance, replacing, write_values
from exe_core.study import load_study


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
    assert labels_of(prob_columns(["sad", "angry"])) == ["angry", "sad"], "in one order"


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


def test_a_table_that_fails_its_check_leaves_the_old_file(tmp_path):
    path = tmp_path / "p.parquet"
    tables.write(predictions(), path, name="predictions")
    with pytest.raises(SchemaError):
        tables.write(predictions(prob_sad=1.0), path, name="predictions")
    assert tables.read(path, name="predictions")["prob_sad"].tolist() == [0.25]
    assert [p.name for p in tmp_path.iterdir()] == ["p.parquet"]
    with pytest.raises(FileNotFoundError, match="no table 'faces'"):
        tables.read(tmp_path / "faces.parquet", name="faces")


def test_a_digest_follows_content_and_names_not_time(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "x.txt").write_text("x")
    assert digest(first) == digest(second)
    (second / "sub" / "x.txt").rename(second / "sub" / "y.txt")
    assert digest(first) != digest(second)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        digest(tmp_path / "nowhere")
    assert digest_of({"a": 1, "b": [2, 3]}) == digest_of({"b": [2, 3], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


def test_provenance_is_complete_and_names_no_machine(tmp_path):
    (tmp_path / "table").write_text("x")
    stamp = provenance(load_study("demo"), inputs=[tmp_path / "table"])
    assert {"commit", "settings", "inputs", "packages", "python", "device", "seed"} <= set(stamp)
    text = json.dumps(stamp, default=str)
    assert str(tmp_path) not in text
    assert str(ROOT) not in text


def test_values_are_named_after_their_stage_and_the_keys_of_a_table(monkeypatch, tmp_path):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    row = {"run_id": "exe", "label": None, "value": 0.5, "low": 0.4, "high": float("nan")}
    table = pd.DataFrame([row, row | {"label": "sad"}])
    values = {"n": np.int64(3)}
    path = write_values(
        load_study("demo"), "films", values=values, table=table, keys=["run_id", "label"]
    )
    assert json.loads(path.read_text()) == {
        "films.n": {"value": 3},
        "films.exe": {"value": 0.5, "low": 0.4, "high": None},
        "films.exe.sad": {"value": 0.5, "low": 0.4, "high": None},
    }


def test_a_reader_sees_the_old_file_or_the_whole_new_one(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as partial:
        partial.write_text("be")
        assert path.read_text() == "old"
        partial.write_text("before")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:  # noqa: PT012
        partial.write_text("half")
        1 / 0  # noqa: B018
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_write_left_goes_with_the_next_and_what_others_write_stays(tmp_path):
    path = tmp_path / "a[1].txt"
    probe = (
        "import sys, time; from pathlib import Path; from exe_core.record import replacing\n"
        "with replacing(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); time.sleep(60)"
    )
    others = path.with_name(f".{path.name}.lock")
    others.touch()
    with subprocess.Popen([sys.executable, "-c", probe, str(path)]) as writer:
        half = path.with_name(f".{path.name}.{writer.pid}")
        while not half.exists():
            time.sleep(0.01)
        with replacing(path) as partial:
            partial.write_text("whole")
        assert half.exists(), "it is being written"
        writer.kill()
    assert path.read_text() == "whole"
    with replacing(path) as partial:
        partial.write_text("again")
    assert sorted(found.name for found in tmp_path.iterdir()) == [others.name, path.name]
