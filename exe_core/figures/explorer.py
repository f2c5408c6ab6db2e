"""The files of the book's explorer: what runs predict in films, for a page without a server.

A page that was opened from disk may not read files, but may run them: each file is a call that
hands its content over. `index.js` holds the shares, and `film-<k>.js` the predictions in a film,
frame by frame, fetched when that film is asked for.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exe_core import record
from exe_core.figures.style import COLOURS, in_order
from exe_core.films import smoothing_s
from exe_core.labels import EMOTIONS, labels_of, prob_columns
from exe_core.record import replacing
from exe_core.study import Study

GRID = 1000  # a probability is kept in so many parts, rounded down, so that it passes no threshold


def save(
    study: Study,
    films: pd.DataFrame | None = None,
    rows: pd.DataFrame | None = None,
    *,
    shares: pd.DataFrame,
    differences: pd.DataFrame,
    summary: pd.DataFrame | None = None,
    events: pd.DataFrame | None = None,
    reference: str | None = None,
    inputs: Iterable[Path] | None = None,
) -> Path:
    """Write the files of the explorer into the folder "explorer" of a study's results.

    Parameters
    ----------
    films, events
        Tables of the same names; without films, only shares are explored.
    rows
        The prediction of each run for each sampled frame, as of `films.timeline`.
    shares, differences
        Tables "selection_shares" and "selection_differences", whose `genre` may be a film, and
        whose `label` may name a measure of all labels.
    summary
        Table "film_summary" with its bounds.
    reference
        The run in `shares` and `differences` that stands for the labels, if films have any.
    inputs
        The files that all was read from, whose digests are kept; `study.inputs` if None.
    """
    folder = study.results / "explorer"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    listed: list[dict[str, Any]] = []
    if films is not None and rows is not None and summary is not None and events is not None:
        listed = _save_films(folder, films, rows, summary=summary, events=events)
    labels = [label for label in EMOTIONS if label in set(shares["label"])]
    index = {
        "labels": labels,
        "colours": [COLOURS[label] for label in labels],
        "runs": [run for run in in_order(shares["run_id"]) if run != reference],
        "reference": reference,
        "level": study.statistics.level,
        "films": listed,
        "shares": _records(shares),
        "differences": _records(differences),
    }
    _write(index, folder / "index.js")
    files = sorted(path.name for path in folder.iterdir())
    origin = record.provenance(study, inputs=study.inputs if inputs is None else inputs)
    record.write_json({"files": files, **origin}, folder / "provenance.json")
    return folder


def _save_films(
    folder: Path,
    films: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    summary: pd.DataFrame,
    events: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Write what each film shows over its time, and list the films with their files."""
    listed = films[films["film_id"].isin(rows["film_id"])].reset_index(drop=True)
    listed = listed.assign(file=[f"film-{k:02d}" for k in listed.index])
    for film in listed.itertuples():
        of_film = rows[rows["film_id"] == film.film_id].sort_values("frame")
        by_run = dict(list(of_film.groupby("run_id")))
        content = {
            "time_s": next(iter(by_run.values()))["time_s"].round(3).tolist(),
            "runs": {run: _predictions(own) for run, own in by_run.items()},
            "bounds": _records(
                summary[summary["film_id"] == film.film_id],
                ["run_id", "label", "share_low", "share_high"],
            ),
            "events": _records(
                events[events["film_id"] == film.film_id], ["time_s", "event", "label"]
            ),
            "smoothing_s": round(2 * smoothing_s(of_film)) / 2,
        }
        _write(content, folder / f"{film.file}.js")
    return _records(listed, ["film_id", "file", "title", "genre"])


def _predictions(rows: pd.DataFrame) -> dict[str, Any]:
    """By frame the place of the predicted label, by label and frame the parts of `GRID`; or -1."""
    labels = labels_of(rows)
    parts = np.floor(rows[prob_columns(labels)].to_numpy(dtype=float).T * GRID)
    return {
        "predicted": pd.Index(labels).get_indexer(rows["predicted"]).tolist(),
        "probability": np.nan_to_num(parts, nan=-1).astype(int).tolist(),
    }


def _records(table: pd.DataFrame, columns: list[str] | None = None) -> list[dict[str, Any]]:
    chosen = table[columns] if columns else table
    return json.loads(chosen.to_json(orient="records", double_precision=4))


def _write(content: dict[str, Any], path: Path) -> None:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    with replacing(path) as partial:
        partial.write_text(f"explorer.receive({json.dumps(path.stem)},{text});\n", encoding="utf-8")
