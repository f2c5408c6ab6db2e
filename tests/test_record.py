"""Files appear whole, and a result says where it comes from but never on which machine it lay."""

import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from exe_core.record import ROOT, digest, digest_of, provenance, replacing, write_json, write_values
from exe_core.study import load_study


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


def test_json_is_written_whole_and_nan_is_null(tmp_path):
    path = write_json({"a": np.float64("nan"), "b": np.int64(3), "c": (1.5, None)}, tmp_path / "v")
    assert json.loads(path.read_text()) == {"a": None, "b": 3, "c": [1.5, None]}
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_values_are_named_after_their_stage_and_the_keys_of_a_table(monkeypatch, tmp_path):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    row = {"run_id": "exe", "label": None, "value": 0.5, "low": 0.4, "high": float("nan")}
    table = pd.DataFrame([row, row | {"label": "sad"}])
    path = write_values(
        load_study("demo"), "films", values={"n": 3}, table=table, keys=["run_id", "label"]
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
