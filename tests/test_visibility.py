"""Faces to be seen: strata, how sure models are in each, and which faces are missed."""

import numpy as np
import pandas as pd
import pytest

from exe_core import films, tables
from exe_core.resampling import Statistics

LABELS = ("happy", "sad")
OPTIONS = {"statistics": Statistics(n_bootstrap=199, seed=0)}


def faces_of(n=40):
    return pd.DataFrame(
        {
            "item_id": [f"film{k % 4}:{k:06d}" for k in range(n)],
            "area_share": np.linspace(0.01, 0.4, n),
            "is_primary": True,
        }
    )


def truth_of(faces):
    yaw = np.linspace(-50, 50, len(faces))
    return pd.DataFrame({"item_id": faces["item_id"], "yaw_deg": yaw, "label_true": "happy"})


def predictions_of(faces, sure):
    probs = np.column_stack([sure, 1 - np.asarray(sure)])
    return pd.DataFrame(probs, columns=tables.prob_columns(LABELS)).assign(
        item_id=faces["item_id"],
        group_id=faces["item_id"].str.partition(":")[0],
        run_id="run",
        label="happy",
        predicted=np.where(probs[:, 0] > 0.5, "happy", "sad"),
    )


def test_quarters_are_of_equally_many_faces_and_turns_to_either_side_are_one():
    faces = faces_of()
    strata = films.face_traits(faces, truth_of(faces))
    sizes, turns = strata.values()
    assert sizes.value_counts().tolist() == [10] * 4
    assert sizes.iloc[0] == "smallest"
    assert turns.iloc[0] == turns.iloc[-1] == "over 30°"
    assert list(films.face_traits(faces, truth_of(faces).iloc[:0])) == list(strata)[:1]


def test_confidence_and_accuracy_of_each_stratum():
    faces = faces_of()
    sure = np.where(np.arange(40) < 10, 0.4, 0.9)
    strata = films.face_traits(faces, truth_of(faces).iloc[:0])
    found = films.confidence_by_trait(predictions_of(faces, sure), strata, **OPTIONS)
    table = found.set_index(["measure", "stratum"])["value"]
    assert table["confidence", "smallest"] == pytest.approx(0.6)
    assert table["confidence", "largest"] == pytest.approx(0.9)
    assert table["accuracy", "smallest"] == 0
    assert table["accuracy", "larger"] == 1
    assert list(dict.fromkeys(found["stratum"])) == list(films.SIZES)


def test_faces_without_truth_have_a_confidence_and_no_accuracy():
    faces = faces_of()
    unknown = predictions_of(faces, np.full(40, 0.8)).assign(label=None)
    strata = films.face_traits(faces, truth_of(faces).iloc[:0])
    found = films.confidence_by_trait(unknown, strata, **OPTIONS)
    assert set(found["measure"]) == {"confidence"}


def test_faces_that_are_missed_more_often_when_sad():
    rng = np.random.default_rng(0)
    frame = np.tile(np.arange(100), 6)
    frames = pd.DataFrame(
        {"film_id": np.repeat([f"film{k}" for k in range(6)], 100), "frame": frame}
    )
    shown = rng.choice(np.array(["happy", "sad", None], dtype=object), len(frames))
    chance = np.select([shown == "happy", shown == "sad"], [0.95, 0.5], 0.0)
    frames["n_faces"] = (rng.random(len(frames)) < chance).astype(int)
    items = frames["film_id"] + ":" + frames["frame"].astype(str).str.zfill(6)
    truth = pd.DataFrame({"item_id": items, "label_true": shown})
    found = films.found_by_label(frames, truth, **OPTIONS).set_index("label")
    assert list(found.index) == ["happy", "sad"]
    assert found.loc["sad", "high"] < found.loc["happy", "low"]
    assert found.loc["sad", "value"] == pytest.approx(0.5, abs=0.1)
    assert found["n"].sum() == pd.notna(shown).sum()
