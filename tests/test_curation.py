"""What a person writes is read strictly, and the noise that was planted is estimated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_pulls import SETS, make_pull

from exe_core.curation import (
    TO_LABEL,
    UNCLEAR,
    LabellingError,
    compare_rules,
    faces_of_photos,
    keyword_noise,
    label_by_truth,
    read_labelled,
    sample_to_label,
    spread,
    with_known,
)
from exe_core.resampling import Statistics
from exe_core.tables import FIVE

NOISE = {"angry": 0.3, "mad": 0.5, "happy": 0.0, "smiling": 0.1}
SIZES = {"angry": 400, "mad": 100, "happy": 300, "smiling": 40}


def planted(seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Faces of four queries, and the truth about them: wrong as often as `NOISE` says."""
    rng = np.random.default_rng(seed)
    rows = [
        (f"one/pexels:{query}{k}/0", query, rng.uniform() < NOISE[query])
        for query, n in SIZES.items()
        for k in range(n)
    ]
    faces = pd.DataFrame(rows, columns=["face_id", "query", "is_wrong"])
    faces["label"] = np.where(faces["query"].isin(["angry", "mad"]), "angry", "happy")
    faces["n_faces"] = faces["query"].map(SIZES)
    faces = faces.assign(set_name="one", path="data/a.png")
    truth = pd.DataFrame({"item_id": faces["face_id"].str.split("/").str[1]})
    truth["label_true"] = faces["label"].mask(faces["is_wrong"], "sad")
    return faces, truth


def test_a_sample_has_as_many_of_each_query_as_can_be(tmp_path: Path) -> None:
    faces, _ = planted()
    path = tmp_path / "new" / "to_label.csv"
    sample = sample_to_label(faces, 240, seed=1, path=path)
    counts = sample["query"].value_counts()
    assert counts["smiling"] == SIZES["smiling"]
    assert sorted(counts) == [40, 66, 67, 67]
    written = pd.read_csv(path)
    assert list(written.columns) == TO_LABEL
    assert written["label_true"].isna().all()
    assert written["face_id"].tolist() == sample["face_id"].tolist()
    again = sample_to_label(faces.sample(frac=1, random_state=3), 240, seed=1, path=path)
    assert again["face_id"].tolist() == sample["face_id"].tolist()
    other = sample_to_label(faces, 240, seed=2, path=path)
    assert set(other["face_id"]) != set(sample["face_id"])
    assert len(sample_to_label(faces, 10**4, seed=1, path=path)) == len(faces)
    with pytest.raises(ValueError, match="ask for 1 or more"):
        spread(faces, 0, by=["query"], seed=1)


def filled(path: Path, labels: list[str]) -> Path:
    faces, _ = planted()
    sample = sample_to_label(faces, len(labels), seed=1, path=path)
    sample.assign(label_true=labels).to_csv(path, index=False)
    return path


def test_what_a_person_filled_is_read_and_the_rest_left_out(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.csv", ["angry", "", " Happy ", "unclear"])
    table = read_labelled(path)
    assert table["label_true"].tolist() == ["angry", "happy", UNCLEAR]
    assert table["n_faces"].tolist() == [400, 300, 40]


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("label_true", "furious", r"line 3: label_true is 'furious'; it must be angry, disgust"),
        ("label", "", r"line 3: label is ''"),
        ("n_faces", "0", r"line 3: n_faces is '0'; it must be a number"),
        ("n_faces", "many", r"line 3: n_faces is 'many'"),
        ("face_id", None, r"line 3: face_id is 'one/.*'; it must be given once"),
    ],
)
def test_a_bad_value_is_refused_with_its_line(
    tmp_path: Path, column: str, value: str | None, said: str
) -> None:
    path = filled(tmp_path / "a.csv", ["angry"] * 4)
    table = pd.read_csv(path, dtype=str)
    table.loc[1, column] = table.loc[0, column] if value is None else value
    table.to_csv(path, index=False)
    with pytest.raises(LabellingError, match=rf"a.csv, {said}"):
        read_labelled(path)


def test_a_missing_column_and_an_empty_sample_are_said(tmp_path: Path) -> None:
    path = filled(tmp_path / "a.csv", ["", ""])
    with pytest.raises(LabellingError, match="no face is labelled yet"):
        keyword_noise(read_labelled(path), statistics=Statistics())
    pd.read_csv(path).drop(columns="query").to_csv(path, index=False)
    with pytest.raises(LabellingError, match=r"a\.csv has no column query"):
        read_labelled(path)


def test_of_all_faces_the_noise_is_what_was_planted() -> None:
    faces, truth = planted()
    table = keyword_noise(label_by_truth(faces, truth), statistics=Statistics())
    is_wrong = faces["is_wrong"]
    by_query = table[table["by"] == "query"].set_index("query")["value"]
    assert by_query.to_dict() == pytest.approx(is_wrong.groupby(faces["query"]).mean().to_dict())
    by_label = table[table["by"] == "label"].set_index("label")["value"]
    assert by_label.to_dict() == pytest.approx(is_wrong.groupby(faces["label"]).mean().to_dict())
    whole = table[table["by"] == "all"].iloc[0]
    assert whole["value"] == pytest.approx(is_wrong.mean())
    assert whole["n"] == len(faces)
    assert whole["n_wrong"] == is_wrong.sum()
    assert whole[["set_name", "label", "query"]].isna().all()


def test_intervals_of_samples_hold_the_truth_as_often_as_they_say(tmp_path: Path) -> None:
    """Over 40 samples of unequal shares, weights put the overall estimate right."""
    held: dict[str, list[bool]] = {"query": [], "label": [], "all": []}
    values = []
    faces, truth = planted()
    for seed in range(40):
        sample = sample_to_label(faces, 120, seed=seed, path=tmp_path / "a.csv")
        noise = keyword_noise(label_by_truth(sample, truth), statistics=Statistics())
        table = with_known(noise, faces=faces, truth=truth)
        values.append(table.loc[table["by"] == "all", "value"].item())
        for by, found in held.items():
            rows = table[table["by"] == by]
            found += rows["known"].between(rows["low"] - 1e-9, rows["high"] + 1e-9).tolist()
    assert {by: np.mean(found) >= 0.92 for by, found in held.items()} == dict.fromkeys(held, True)
    assert np.mean(values) == pytest.approx(faces["is_wrong"].mean(), abs=0.015)


def test_unclear_faces_are_wrong_and_counted() -> None:
    faces, truth = planted()
    sample = label_by_truth(faces.head(10), truth.assign(label_true=None))
    whole = keyword_noise(sample, statistics=Statistics()).iloc[-1]
    assert whole[["n", "n_wrong", "n_unclear", "value"]].tolist() == [10, 10, 10, 1]


def test_where_nobody_knows_the_truth_it_is_null() -> None:
    faces, truth = planted()
    noise = keyword_noise(label_by_truth(faces, truth), statistics=Statistics())
    assert with_known(noise, faces=faces, truth=None)["known"].isna().all()


def test_a_face_has_the_query_that_found_it_under_its_label() -> None:
    tables = make_pull()
    parts = {name: tables[name] for name in ("faces", "hits", "requests")}
    found = faces_of_photos(SETS, **parts).set_index("item_id")
    assert found["query"].to_dict() == {
        "pexels:10": "smiling",
        "pexels:2": "mad",
        "pexels:3": "sad",
        "pexels:5": "sad",
        "pexels:7": "crying",
    }
    assert found.loc["pexels:3", "n_faces"] == 2


def test_rules_are_compared_by_how_often_they_are_right() -> None:
    tables = make_pull()
    parts = {name: tables[name] for name in ("hits", "requests", "truth")}
    table = (
        compare_rules(SETS, statistics=Statistics(), **parts)
        .set_index(["set_name", "rule", "among"])
        .sort_index()
    )
    kept = table.loc["pexels-v2", "n_kept"].groupby("rule").first()
    assert kept.to_dict() == {"drop": 9, "first": 10, "vote": 10}
    assert table.loc[("pexels-v2", "drop", "under two labels"), "n"] == 0
    assert np.isnan(table.loc[("pexels-v2", "drop", "under two labels"), "value"])
    assert table.loc[("pexels-v2", "first", "under two labels"), ["n", "n_right"]].tolist() == [
        1,
        0,
    ]
    assert (table["n_two_labels"].groupby("set_name").first() == [1, 1, 0]).all()
    without = compare_rules(
        SETS, statistics=Statistics(), hits=parts["hits"], requests=parts["requests"]
    )
    assert without["value"].isna().all()
    assert sorted(without["n_kept"]) == sorted(table["n_kept"])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 60), weight=st.integers(1, 10**6))
def test_an_estimate_lies_in_its_interval_and_between_its_strata(
    seed: int, n: int, weight: int
) -> None:
    rng = np.random.default_rng(seed)
    labelled = pd.DataFrame({"query": rng.choice(["a", "b", "c"], n), "set_name": "one"})
    labelled["label"] = labelled["query"].map(dict(zip("abc", FIVE, strict=False)))
    labelled["label_true"] = rng.choice(FIVE, n)
    labelled["n_faces"] = labelled["query"].map({"a": 1, "b": 50, "c": weight})
    labelled["face_id"] = np.arange(n)
    table = keyword_noise(labelled, statistics=Statistics())
    assert (table["low"] <= table["value"] + 1e-9).all()
    assert (table["value"] <= table["high"] + 1e-9).all()
    by_query = table.loc[table["by"] == "query", "value"]
    whole = table.loc[table["by"] == "all", "value"].item()
    assert by_query.min() - 1e-9 <= whole <= by_query.max() + 1e-9
