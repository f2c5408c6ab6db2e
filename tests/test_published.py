"""The published predictions: read whole, every fault named."""

import json

import numpy as np
import pandas as pd
import pytest
from published_files import FPS, write_files

from exe_core import published, tables


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


def test_doubled_rows_are_found_said_and_counted_once(folder):
    found = published.read_published(folder)
    sizes = found.predictions["run_id"].value_counts()
    assert len(set(sizes)) == 1
    files = found.files.set_index("run_id")
    assert files["n_doubled"].to_dict() == {"ExE": 0, "FER": 0, "RAFDB": sizes["RAFDB"]}
    assert files.loc["RAFDB", "n_rows"] == 2 * sizes["RAFDB"]
    assert files.loc["ExE", "n_models"] == 8
    assert files.loc["FER", "n_models"] is pd.NA


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
    with pytest.raises((published.PublishedError, tables.SchemaError), match=fault):
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
