"""The published predictions of 59 films, read and checked.

The files hold a row a frame with a face; the frames between are put back, so that shares have
their denominator and series their gaps.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from exe_core import schema

RUNS = ("ExE", "FER", "RAFDB")
NAMES = {"ExE": "ExE", "FER": "FER2013", "RAFDB": "RAF-DB"}
"""How the runs are called in print."""

FILES = (*(f"{run}.parquet" for run in RUNS), "movie_list.json")

EVERY = 100
"""Frames between two that were looked at."""

_COLUMNS = ("movie", "frame_idx", "timestamp_sec", "emotion", "confidence")


class PublishedError(ValueError):
    """The published files are not as they must be."""


@dataclass(frozen=True)
class Published:
    """The published predictions in this project's tables, and what the files are like."""

    predictions: pd.DataFrame
    """Table "predictions" of `RUNS`, with time_s and confidence."""
    frames: pd.DataFrame
    """Table "frames": every 100th up to the last with a face; time between faces interpolated."""
    films: pd.DataFrame
    """Table "films"."""
    files: pd.DataFrame
    """A row a file: run_id, n_rows, n_doubled (rows that stand twice), n_models (null: unsaid)."""


def read_published(folder: Path) -> Published:
    """Read the published files.

    Parameters
    ----------
    folder
        Holds ExE.parquet, FER.parquet, RAFDB.parquet and movie_list.json.

    Raises
    ------
    PublishedError
        If a file or column is missing, the runs are of different frames, the probabilities do not
        sum to 1, or the emotion given is not the most probable.
    """
    files = {run: _read_file(folder / f"{run}.parquet") for run in RUNS}
    runs = {run: _as_predictions(rows, run) for run, rows in files.items()}
    places = {run: set(rows["item_id"]) for run, rows in runs.items()}
    for run in RUNS[1:]:
        if places[run] != places[RUNS[0]]:
            raise PublishedError(f"{run} and {RUNS[0]} are not of the same frames")
    frames = _all_frames(runs[RUNS[0]])
    films = _read_films(folder / "movie_list.json", frames)
    predictions = schema.check(pd.concat(runs.values(), ignore_index=True), "predictions")
    return Published(predictions, frames, films, _describe(files))


def _describe(files: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "run_id": run,
                "n_rows": len(rows),
                "n_doubled": int(rows.duplicated().sum()),
                "n_models": rows["n_models"].max() if "n_models" in rows else pd.NA,
            }
            for run, rows in files.items()
        ]
    )


def _read_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise PublishedError(f"no {path.name} in {path.parent}: see data/README.md for its source")
    rows = pd.read_parquet(path)
    missing = {*_COLUMNS, *schema.prob_columns(schema.FIVE)} - set(rows)
    if missing:
        raise PublishedError(f"{path.name} lacks the columns {', '.join(sorted(missing))}")
    return rows


def _as_predictions(rows: pd.DataFrame, run: str) -> pd.DataFrame:
    """Make the table "predictions" of a file's rows, each counted once."""
    unique = rows.drop_duplicates(ignore_index=True)
    if unique.duplicated(["movie", "frame_idx"]).any():
        raise PublishedError(f"{run}.parquet has two different rows of one frame")
    probs = unique[schema.prob_columns(schema.FIVE)]
    most = probs.columns[probs.to_numpy().argmax(axis=1)].str.removeprefix("prob_")
    if (most != unique["emotion"]).any():
        raise PublishedError(f"{run}.parquet: an emotion given is not the most probable one")
    return probs.assign(
        item_id=unique["movie"] + ":" + unique["frame_idx"].astype(str).str.zfill(6),
        set_name="published",
        split="test",
        group_id=unique["movie"],
        run_id=run,
        label=None,
        predicted=unique["emotion"],
        frame=unique["frame_idx"],
        time_s=unique["timestamp_sec"],
        confidence=unique["confidence"],
    )


def _all_frames(rows: pd.DataFrame) -> pd.DataFrame:
    tables = []
    for film_id, faces in rows.sort_values("frame").groupby("group_id"):
        frame = np.arange(0, faces["frame"].max() + 1, EVERY)
        if not faces["frame"].isin(frame).all():
            raise PublishedError(f"{film_id}: a frame number is not a multiple of {EVERY}")
        # before the first face: at the mean rate
        time_s = np.interp(frame, [0, *faces["frame"]], [0, *faces["time_s"]])
        seen = np.isin(frame, faces["frame"]).astype(int)
        tables.append(
            pd.DataFrame({"film_id": film_id, "frame": frame, "time_s": time_s, "n_faces": seen})
        )
    return schema.check(pd.concat(tables, ignore_index=True), "frames")


def _read_films(path: Path, frames: pd.DataFrame) -> pd.DataFrame:
    if not path.is_file():
        raise PublishedError(f"no {path.name} in {path.parent}: see data/README.md for its source")
    listed = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    missing = {"file_name", "title", "category"} - set(listed)
    if missing:
        raise PublishedError(f"{path.name} lacks the keys {', '.join(sorted(missing))}")
    unlisted = set(frames["film_id"]) ^ set(listed["file_name"])
    if unlisted:
        raise PublishedError(f"{path.name} and the predictions differ in {sorted(unlisted)[:5]}")
    films = listed.rename(columns={"file_name": "film_id", "category": "genre"})
    last = frames.groupby("film_id").last()
    films = films.assign(
        path=None,
        duration_s=np.nan,
        n_frames=None,
        status="ok",
        error=None,
        fps=films["film_id"].map(last["frame"] / last["time_s"]),
    )
    return schema.check(films, "films")
