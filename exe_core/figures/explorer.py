"""The files of the book's explorer: what runs say of films, packed for a page without a server.

A page that was opened from disk may not read other files, but may run them: each file is a call
that hands its content over. `index.js` holds the shares, `film-<k>.js` what was read in a film,
frame by frame, fetched when that film is asked for, and `film-<k>.webp` the faces of a film of the
synthetic world, in the order of its frames. Those of real films are not shown.
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
from PIL import Image

from exe_core import record
from exe_core.figures.style import COLOURS, in_order
from exe_core.labels import labels_of, prob_columns
from exe_core.record import replacing
from exe_core.study import ROOT, Study
from exe_core.tables import film_and_frame, item_ids

GRID = 10_000
"""A probability is kept in so many parts, rounded down: what reaches a threshold stays exact."""

NO_FACE = 0xFFFF
FACE_PX, FACES_IN_ROW, MAX_FACES = 72, 12, 600
"""Size of a face, and how many of them stand in a row of the picture, and in all of it."""


def save(
    study: Study,
    films: pd.DataFrame,
    rows: pd.DataFrame,
    *,
    faces: pd.DataFrame,
    summary: pd.DataFrame,
    shares: pd.DataFrame,
    differences: pd.DataFrame,
    truth: pd.DataFrame,
    events: pd.DataFrame,
    smoothing_s: Mapping[str, float],
    inputs: Iterable[Path] | None = None,
    name: str = "explorer",
) -> Path:
    """Write the bundle of the explorer into the results of a study, its provenance last.

    Parameters
    ----------
    study
        Faces are shown where it is of a synthetic world.
    films, summary, truth, events
        Tables "films", "film_summary" with its bounds, "truth" and "events".
    rows
        What each run says of each sampled frame, as of `films.timeline`.
    faces
        Table "faces" of the films.
    shares, differences
        Tables "selection_shares" and "selection_differences".
    smoothing_s
        By film, the width of the kernel that its timeline is first shown with (s).
    inputs
        The files that all was read from, whose digests are kept; `study.inputs` if None.
    name
        Of the folder; a study may have several explorers.

    Returns
    -------
    Path
        The folder.
    """
    folder = study.results / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    labels, told = labels_of(rows), []
    read = _placed(faces[faces["is_primary"]])
    for k, film in enumerate(films[films["film_id"].isin(rows["film_id"])].to_dict("records")):
        film_id, file = film["film_id"], f"film-{k:02d}"
        own = rows[rows["film_id"] == film_id]
        content = film_content(
            own,
            truth=truth,
            events=events[events["film_id"] == film_id],
            smoothing_s=smoothing_s[film_id],
        )
        if study.kind == "world":
            content["faces"] = _write_faces(
                read[read["film_id"] == film_id], folder / f"{file}.webp"
            )
        _write(content, folder / f"{file}.js")
        told.append(
            {"id": film_id, "file": file, "title": film["title"], "genre": _plain(film["genre"])}
        )
    index = {
        "labels": labels,
        "colours": {label: COLOURS[label] for label in labels},
        "runs": in_order(summary["run_id"]),
        "level": study.statistics.level,
        "films": told,
        "by_film": {
            run: {film_id: _of_film(own, labels) for film_id, own in of_run.groupby("film_id")}
            for run, of_run in summary.groupby("run_id")
        },
        "shares": _records(shares, "value", labels),
        "differences": _records(differences, "difference", labels),
    }
    _write(index, folder / "index.js")
    files = sorted(path.name for path in folder.iterdir())
    about = {
        "files": files,
        **record.provenance(study, inputs=study.inputs if inputs is None else inputs),
    }
    record.write_json(about, folder / "provenance.json")
    return folder


def film_content(
    rows: pd.DataFrame, *, truth: pd.DataFrame, events: pd.DataFrame, smoothing_s: float
) -> dict[str, Any]:
    """Pack what runs say of one film, a column an array, a run an entry.

    Parameters
    ----------
    rows, truth, events, smoothing_s
        As for `save`, of one film.

    Returns
    -------
    dict
        frame, time_s; predicted and truth, a letter a frame: the place of the label, "." for none;
        probability, by run: base64 of (labels, frames) little-endian 16-bit parts of `GRID`,
        `NO_FACE` where there is none; events; smoothing_s.
    """
    labels = labels_of(rows)
    by_run = dict(list(rows.sort_values("frame").groupby("run_id", sort=False)))
    frames = next(iter(by_run.values()))
    items = item_ids(frames["film_id"], frames["frame"])
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    return {
        "frame": frames["frame"].tolist(),
        "time_s": frames["time_s"].round(3).tolist(),
        "predicted": {run: _letters(own["predicted"], labels) for run, own in by_run.items()},
        "probability": {
            run: packed(own[prob_columns(labels)].to_numpy(float)) for run, own in by_run.items()
        },
        "truth": _letters(items.map(shown), labels) if len(shown) else None,
        "events": events[["time_s", "event", "label"]].to_dict("records"),
        "smoothing_s": round(smoothing_s, 1),
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


def _placed(faces: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([faces, film_and_frame(faces["item_id"])], axis=1)


def _write_faces(faces: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Put the faces of a film into one picture, and say which frames they are of."""
    kept = faces.sort_values("frame").iloc[:: math.ceil(len(faces) / MAX_FACES) or 1]
    n_rows = max(1, math.ceil(len(kept) / FACES_IN_ROW))
    picture = Image.new("RGB", (FACE_PX * FACES_IN_ROW, FACE_PX * n_rows))
    for k, name in enumerate(kept["path"]):
        with Image.open(ROOT / name) as face:
            small = face.convert("RGB").resize((FACE_PX, FACE_PX))
        picture.paste(small, (k % FACES_IN_ROW * FACE_PX, k // FACES_IN_ROW * FACE_PX))
    with replacing(path) as partial:
        picture.save(partial, format="WEBP", quality=60)
    frames = kept["frame"].tolist()
    return {"picture": path.name, "px": FACE_PX, "in_row": FACES_IN_ROW, "frame": frames}


def _of_film(own: pd.DataFrame, labels: list[str]) -> dict[str, Any]:
    by_label = own.set_index("label").reindex(labels)
    return {
        "n_frames": int(own["n_frames"].iloc[0]),
        "n_faces": int(own["n_faces"].iloc[0]),
        "share": _numbers(by_label["share_of_faces"]),
        "low": _numbers(by_label["share_low"]),
        "high": _numbers(by_label["share_high"]),
    }


def _records(table: pd.DataFrame, value: str, labels: list[str]) -> list[dict[str, Any]]:
    """Turn a table with a row a label into records with a list over labels."""
    listed = [value, "low", "high"]
    keys = [name for name in table if name not in (*listed, "label", "level")]
    return [
        dict(zip(keys, map(_plain, key), strict=True))
        | {name: _numbers(own.set_index("label")[name].reindex(labels)) for name in listed}
        for key, own in table.groupby(keys, sort=False, dropna=False)
    ]


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def _numbers(values: pd.Series) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 4) for value in values.astype(float)]


def _write(content: Mapping[str, Any], path: Path) -> None:
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    with replacing(path) as partial:
        partial.write_text(f"explorer.receive({json.dumps(path.stem)},{text});\n", encoding="utf-8")
