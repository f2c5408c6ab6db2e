"""A result says where it comes from, and never which machine it lay on."""

import json

import numpy as np
import pytest

from exe_core.record import digest, digest_of, provenance, write_json, write_values
from exe_core.study import ROOT, load_study


def test_a_digest_follows_content_and_names_not_time(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "x.txt").write_text("x")
    assert digest(first) == digest(second)
    (second / "sub" / "x.txt").rename(second / "sub" / "y.txt")
    assert digest(first) != digest(second)


def test_a_digest_of_nothing_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        digest(tmp_path / "nowhere")


def test_plain_data_has_one_digest_whatever_its_order():
    assert digest_of({"a": 1, "b": [2, 3]}) == digest_of({"b": [2, 3], "a": 1})
    assert digest_of({"a": 1}) != digest_of({"a": "1"})


def test_provenance_is_complete_and_names_no_machine(tmp_path):
    (tmp_path / "table").write_text("x")
    stamp = provenance(load_study("demo"), inputs=[tmp_path / "table"], device="cpu")
    assert {"commit", "settings", "inputs", "packages", "python", "device", "seed"} <= set(stamp)
    text = json.dumps(stamp, default=str)
    assert str(tmp_path) not in text
    assert str(ROOT) not in text


def test_json_is_written_whole_and_nan_is_null(tmp_path):
    path = write_json({"a": np.float64("nan"), "b": np.int64(3), "c": (1.5, None)}, tmp_path / "v")
    assert json.loads(path.read_text()) == {"a": None, "b": 3, "c": [1.5, None]}
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_values_are_named_after_their_stage(monkeypatch, tmp_path):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    path = write_values(
        load_study("demo"), "pull", values={"n": 3, "rate": {"value": 0.5, "low": 0.4, "high": 0.6}}
    )
    assert json.loads(path.read_text()) == {
        "pull.n": {"value": 3},
        "pull.rate": {"value": 0.5, "low": 0.4, "high": 0.6},
    }
