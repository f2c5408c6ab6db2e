"""The published predictions: read with every fault named, and claims decided by what is in them."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from exe_core import published, published_claims, schema
from exe_core.config import Statistics

STATISTICS = Statistics(n_bootstrap=200, n_permutations=1000)
FPS = 24
LONG = ("finding_nemo", "hitchhikersguidetothegalaxy")
FILMS = {
    LONG[0]: "Animation",
    LONG[1]: "Comedy",
    **{f"comedy_{i}": "Comedy" for i in range(12)},
    **{f"crime_{i}": "Crime" for i in range(12)},
}


def film_rows(rng, film, *, happy_in_comedies=0.0, rises=False, angry=0.0):
    """Make the rows of one film as the published files have them."""
    n_frames = 1440 if film in LONG else 120
    frame = np.flatnonzero(rng.uniform(size=n_frames) < 0.5) * 100
    logits = rng.normal(size=(len(frame), 5))
    happy = schema.FIVE.index("happy")
    logits[:, happy] += happy_in_comedies * (FILMS[film] == "Comedy")
    minute = frame / FPS / 60
    event = {LONG[0]: 84, LONG[1]: 92}.get(film)
    if rises and event:
        logits[(minute >= event) & (minute < event + 10), happy] += 4
    logits[rng.uniform(size=len(frame)) < angry, 0] += 50
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.DataFrame(probs, columns=schema.prob_columns(schema.FIVE)).assign(
        movie=film,
        frame_idx=frame,
        timestamp_sec=frame / FPS,
        emotion=np.array(schema.FIVE)[probs.argmax(axis=1)],
        confidence=probs.max(axis=1),
    )


def write_files(folder, **effects):
    """Write a folder as published; `effects` are those of ExE, FER is angry in 98 of 100 faces."""
    by_run = {"ExE": effects, "FER": {"angry": 0.98}, "RAFDB": {}}
    for run, options in by_run.items():
        parts = []
        for seed, film in enumerate(FILMS):
            # the faces found are the same for all runs, so the first draw must be
            parts.append(film_rows(np.random.default_rng(seed), film, **options))
        rows = pd.concat(parts, ignore_index=True)
        if run == "ExE":
            rows["n_models"] = 8
        if run == "RAFDB":
            rows = pd.concat([rows, rows])
        rows.to_parquet(folder / f"{run}.parquet")
    listed = [
        {"file_name": film, "title": film.title(), "category": genre}
        for film, genre in FILMS.items()
    ]
    (folder / "movie_list.json").write_text(json.dumps(listed))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_files(tmp_path_factory.mktemp("null"))


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the files that a test may spoil."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def spoil(path, change):
    change(pd.read_parquet(path)).to_parquet(path)


def verdicts(folder):
    found = published.read_published(folder)
    table = published_claims.published_claims(found, statistics=STATISTICS, seed=0)
    return table.set_index("claim_id")


def test_doubled_rows_are_found_said_and_counted_once(folder):
    found = published.read_published(folder)
    sizes = found.predictions["run_id"].value_counts()
    assert len(set(sizes)) == 1
    assert any(f"RAFDB: {sizes['RAFDB']} rows stand twice" in note for note in found.notes)
    assert any("8 models" in note for note in found.notes)


def test_frames_without_a_face_are_put_back(folder):
    found = published.read_published(folder)
    film = found.frames[found.frames["film_id"] == "crime_3"]
    assert (np.diff(film["frame"]) == 100).all()
    assert 0 < film["n_faces"].mean() < 1
    assert film["time_s"].to_numpy() == pytest.approx(film["frame"] / FPS)
    assert found.films["fps"].to_numpy() == pytest.approx(FPS)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rows: rows.drop(columns="confidence"), "lacks the columns confidence"),
        (lambda rows: rows.iloc[5:], "not of the same frames"),
        (lambda rows: rows.assign(emotion="sad"), "not the most probable"),
        (lambda rows: rows.assign(prob_sad=rows["prob_sad"] / 2), "do not sum to 1|most probable"),
        (
            lambda rows: pd.concat([rows, rows.iloc[:1].assign(timestamp_sec=9.0)]),
            "two different rows of one frame",
        ),
    ],
)
def test_spoilt_predictions_are_refused(copy, change, fault):
    spoil(copy / "FER.parquet", change)
    with pytest.raises((published.PublishedError, schema.SchemaError), match=fault):
        published.read_published(copy)


def test_odd_frame_numbers_are_refused(copy):
    for run in published.RUNS:
        spoil(copy / f"{run}.parquet", lambda rows: rows.assign(frame_idx=rows["frame_idx"] + 1))
    with pytest.raises(published.PublishedError, match="multiple of 100"):
        published.read_published(copy)


@pytest.mark.parametrize("name", ["RAFDB.parquet", "movie_list.json"])
def test_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(published.PublishedError, match=f"no {name}"):
        published.read_published(copy)


def test_list_of_other_films_is_refused(copy):
    path = copy / "movie_list.json"
    path.write_text(json.dumps(json.loads(path.read_text())[1:]))
    with pytest.raises(published.PublishedError, match="finding_nemo"):
        published.read_published(copy)


def test_claims_are_in_order_and_those_beyond_the_files_say_why(folder):
    table = verdicts(folder)
    assert list(table["family"].unique()) == [f"c{i}" for i in range(1, 9)]
    beyond = table.loc[["c4d", "c6", "c7", "c8"]]
    assert (beyond["verdict"] == "not testable").all()
    assert beyond["reason"].notna().all()


def test_where_nothing_happens_no_event_or_genre_is_found(folder):
    table = verdicts(folder)
    looked_for = table.loc[table["family"].isin(["c1", "c5"]) & (table["claimed"] != "equal")]
    assert (looked_for["verdict"] == "not supported").all()


def test_fer_that_is_always_angry_is_found_so(folder):
    row = verdicts(folder).loc["c2a"]
    assert row["estimate"] == pytest.approx(0.98, abs=0.02)
    assert row["verdict"] == "supported"


def test_what_is_there_is_found(tmp_path):
    table = verdicts(write_files(tmp_path, happy_in_comedies=1.0, rises=True))
    for claim_id in ("c1a", "c1b", "c1e", "c5a", "c5d", "c5f", "c5g"):
        assert table.loc[claim_id, "verdict"] == "supported", claim_id


def test_real_files_hold_what_the_design_notes_say():
    given = os.environ.get("EXE_DATA")
    if not given:
        pytest.skip("EXE_DATA names no folder of real data")
    found = published.read_published(Path(given) / "published")
    assert len(found.films) == 59
    assert found.frames["n_faces"].sum() == 47_252
    table = published_claims.published_claims(found, statistics=STATISTICS, seed=0)
    table = table.set_index("claim_id")
    assert table.loc["c2a", "estimate"] == pytest.approx(0.400, abs=0.001)
    assert table.loc["c3a", "estimate"] == pytest.approx(32 / 59)
    assert table.loc["c4a", "estimate"] == pytest.approx(31 / 59)
    assert table.loc["c2a", "verdict"] == "contradicted"
