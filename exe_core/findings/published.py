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
EVERY = 100
"""Frames between two that were looked at."""

_COLUMNS = ("movie", "frame_idx", "timestamp_sec", "emotion", "confidence")


class PublishedError(ValueError):
    """The published files are not as they must be."""


@dataclass(frozen=True)
class Published:
    """The published predictions in this project's tables, and what was found on reading them."""

    predictions: pd.DataFrame
    """Table "predictions" of `RUNS`, with time_s and confidence."""
    frames: pd.DataFrame
    """Table "frames": every 100th up to the last with a face; time between faces interpolated."""
    films: pd.DataFrame
    """Table "films"."""
    notes: tuple[str, ...]


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
    notes: list[str] = []
    runs = {run: _read_run(folder / f"{run}.parquet", run, notes) for run in RUNS}
    places = {run: set(rows["item_id"]) for run, rows in runs.items()}
    for run in RUNS[1:]:
        if places[run] != places[RUNS[0]]:
            raise PublishedError(f"{run} and {RUNS[0]} are not of the same frames")
    frames = _all_frames(runs[RUNS[0]])
    films = _read_films(folder / "movie_list.json", frames)
    n_faces = int(frames["n_faces"].sum())
    notes.append(
        f"{n_faces} of at least {len(frames)} sampled frames have a row: a frame without a face "
        "has none, and frames after a film's last face are not known"
    )
    predictions = schema.check(pd.concat(runs.values(), ignore_index=True), "predictions")
    return Published(predictions, frames, films, tuple(notes))


def _read_run(path: Path, run: str, notes: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise PublishedError(f"no {path.name} in {path.parent}: see data/README.md for its source")
    rows = pd.read_parquet(path)
    missing = {*_COLUMNS, *schema.prob_columns(schema.FIVE)} - set(rows)
    if missing:
        raise PublishedError(f"{path.name} lacks the columns {', '.join(sorted(missing))}")
    unique = rows.drop_duplicates(ignore_index=True)
    if len(unique) < len(rows):
        notes.append(f"{run}: {len(rows) - len(unique)} rows stand twice; counted once")
    if unique.duplicated(["movie", "frame_idx"]).any():
        raise PublishedError(f"{path.name} has two different rows of one frame")
    if "n_models" in unique:
        models = "/".join(map(str, sorted(unique["n_models"].unique())))
        notes.append(f"{run}: {models} models made each row, by its column n_models")
    probs = unique[schema.prob_columns(schema.FIVE)]
    most = probs.columns[probs.to_numpy().argmax(axis=1)].str.removeprefix("prob_")
    if (most != unique["emotion"]).any():
        raise PublishedError(f"{path.name}: an emotion given is not the most probable one")
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
