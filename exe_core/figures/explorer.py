"""The files of the book's explorer: the predictions of runs, packed for a page without a server.

A page that was opened from disk may not read files, but may run them: each file is a call that
hands its content over. `index.js` holds the shares, and `film-<k>.js` the predictions in a film,
frame by frame, fetched when that film is asked for.
"""

from __future__ import annotations

import base64
import json
import math
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from exe_core import record
from exe_core.figures.style import COLOURS, in_order
from exe_core.labels import labels_of, prob_columns
from exe_core.record import replacing
from exe_core.study import Study
from exe_core.tables import item_ids

GRID = 10_000
"""A probability is kept in so many parts, rounded down: what reaches a threshold stays exact."""

NO_FACE = 0xFFFF


def save(
    study: Study,
    films: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    summary: pd.DataFrame,
    shares: pd.DataFrame,
    differences: pd.DataFrame,
    truth: pd.DataFrame,
    events: pd.DataFrame,
    smoothing_s: Mapping[str, float],
    inputs: Iterable[Path] | None = None,
    name: str = "explorer",
) -> Path:
    """Write the files of the explorer into the folder `name` of a study's results.

    Parameters
    ----------
    films, truth, events
        Tables of the same names.
    rows
        The prediction of each run for each sampled frame, as of `films.timeline`.
    summary, shares, differences
        Tables "film_summary" with its bounds, "selection_shares" and "selection_differences".
    smoothing_s
        By film, the width of the kernel that its timeline is first shown with (s).
    inputs
        The files that all was read from, whose digests are kept; `study.inputs` if None.
    """
    folder = study.results / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    labels, listed = labels_of(rows), []
    for k, film in enumerate(films[films["film_id"].isin(rows["film_id"])].itertuples()):
        file = f"film-{k:02d}"
        content = _film(rows[rows["film_id"] == film.film_id], truth=truth)
        of_film = events[events["film_id"] == film.film_id]
        content["events"] = of_film[["time_s", "event", "label"]].to_dict("records")
        content["smoothing_s"] = round(smoothing_s[film.film_id], 1)
        _write(content, folder / f"{file}.js")
        genre = None if pd.isna(film.genre) else film.genre
        listed.append({"id": film.film_id, "file": file, "title": film.title, "genre": genre})
    index = {
        "labels": labels,
        "colours": {label: COLOURS[label] for label in labels},
        "runs": in_order(summary["run_id"]),
        "level": study.statistics.level,
        "films": listed,
        "by_film": {
            run: {film_id: _shares(own, labels) for film_id, own in of_run.groupby("film_id")}
            for run, of_run in summary.groupby("run_id")
        },
        "shares": _records(shares, "value", labels),
        "differences": _records(differences, "difference", labels),
    }
    _write(index, folder / "index.js")
    files = sorted(path.name for path in folder.iterdir())
    origin = record.provenance(study, inputs=study.inputs if inputs is None else inputs)
    record.write_json({"files": files, **origin}, folder / "provenance.json")
    return folder


def _film(rows: pd.DataFrame, *, truth: pd.DataFrame) -> dict[str, Any]:
    """Pack the predictions of one film, a run an entry.

    predicted and truth have a letter a frame: the place of the label, "." for none; probability is
    base64 of (labels, frames) little-endian 16-bit parts of `GRID`, `NO_FACE` where there is none.
    """
    labels = labels_of(rows)
    by_run = dict(list(rows.sort_values("frame").groupby("run_id", sort=False)))
    frames = next(iter(by_run.values()))
    items = item_ids(frames["film_id"], frames["frame"])
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    columns = prob_columns(labels)
    return {
        "time_s": frames["time_s"].round(3).tolist(),
        "predicted": {run: _letters(own["predicted"], labels) for run, own in by_run.items()},
        "probability": {run: packed(own[columns].to_numpy(float)) for run, own in by_run.items()},
        "truth": _letters(items.map(shown), labels) if len(shown) else None,
    }


def packed(probabilities: np.ndarray) -> str:
    """Write (n, labels) probabilities, NaN where there is no face, label by label as base64.

    >>> packed(np.array([[0.5, np.nan]]))
    'iBP//w=='
    """
    parts = np.searchsorted(np.arange(GRID + 1) / GRID, probabilities.T, side="right") - 1
    parts[np.isnan(probabilities.T)] = NO_FACE
    return base64.b64encode(parts.astype("<u2").tobytes()).decode()


def _letters(predicted: pd.Series, labels: list[str]) -> str:
    letter = {label: str(k) for k, label in enumerate(labels)}
    return "".join(letter.get(label, ".") for label in predicted)


def _shares(own: pd.DataFrame, labels: list[str]) -> dict[str, Any]:
    by_label = own.set_index("label").reindex(labels)
    counts = {name: int(own[name].iloc[0]) for name in ("n_frames", "n_faces")}
    columns = {"share": "share_of_faces", "low": "share_low", "high": "share_high"}
    return counts | {name: _numbers(by_label[column]) for name, column in columns.items()}


def _records(table: pd.DataFrame, value: str, labels: list[str]) -> list[dict[str, Any]]:
    """Turn a table with a row a label into records with a list over labels."""
    listed = [value, "low", "high"]
    keys = [name for name in table if name not in (*listed, "label", "level")]
    records = []
    for key, own in table.groupby(keys, sort=False, dropna=False):
        plain = (
            None if pd.isna(one) else getattr(one, "item", lambda one=one: one)() for one in key
        )
        by_label = own.set_index("label").reindex(labels)
        records.append(
            dict(zip(keys, plain, strict=True))
            | {name: _numbers(by_label[name]) for name in listed}
        )
    return records


def _numbers(values: pd.Series) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 4) for value in values.astype(float)]


def _write(content: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    with replacing(path) as partial:
        partial.write_text(f"explorer.receive({json.dumps(path.stem)},{text});\n", encoding="utf-8")
