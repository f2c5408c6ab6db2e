"""The page of one film: one file that opens offline, holds no script, and trusts no title."""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from exe_core.config import ROOT
from exe_core.record import write_json
from exe_core.schema import labels_of
from exe_core.writing import replacing

PAGE, ORIGIN = "report.html", "provenance.json"
FACE_PX = 96

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = """
body { font: 16px/1.5 system-ui, "Liberation Sans", Arial, sans-serif; color: #1F2328;
  background: #fff; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.figure { overflow-x: auto; } .figure svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem .2rem 0; text-align: right; border-bottom: 1px solid #E3E6EA; }
th:first-child, td:first-child { text-align: left; }
.faces { display: flex; flex-wrap: wrap; gap: .8rem; } figure { margin: 0; }
figcaption { font-size: .8rem; color: #57606A; } .warning { color: #9C2F2B; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .8rem; color: #57606A; }
"""


def is_of(folder: Path, origin: Mapping[str, Any]) -> bool:
    """Say whether the page in a folder was made of this; by which commit does not matter."""
    if not (folder / ORIGIN).is_file() or not (folder / PAGE).is_file():
        return False
    try:
        found = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except ValueError:
        return False
    return bool({**found, "commit": None} == json.loads(json.dumps({**origin, "commit": None})))


def write(page: str, folder: Path, *, origin: Mapping[str, Any]) -> None:
    """Write a page, and then what it was made of: where that lies, the folder is whole."""
    (folder / ORIGIN).unlink(missing_ok=True)
    with replacing(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    write_json(origin, folder / ORIGIN)


def page(
    film: Mapping[str, Any],
    rows: pd.DataFrame,
    faces: pd.DataFrame,
    *,
    summary: pd.DataFrame | None,
    svgs: Mapping[str, str],
    over_time: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> str:
    """Make the page of a film.

    Parameters
    ----------
    film
        Its row of the table "films".
    rows
        What the run that is shown says of each sampled frame, as of `timelines.timeline`.
    faces
        Table "faces" of the film.
    summary
        By run and label, with coverage; None where there is no face.
    svgs
        "timeline" and "shares"; none where there is no face.
    over_time
        How the timeline was made: smooth_s, level, n_shots, confident; and times_s of the changes
        found, with the p_value that there is none.
    origin
        What all was made of; shown at the end.
    """
    title = escape(str(film["title"]))
    parts = [f"<h1>{title}</h1>", _opening(film, rows)]
    if summary is None:
        parts.append("<p>No face was found, so there is nothing to show.</p>")
    else:
        run = rows["run_id"].iloc[0]
        parts += [
            "<h2>Over time</h2>",
            f"<p>{_caption(run, over_time)}</p>",
            f'<div class="figure">{svgs["timeline"]}</div>',
            f"<p>{_changes(over_time)}</p>",
            "<h2>Shares</h2>",
            f'<div class="figure">{svgs["shares"]}</div>',
            _table(summary[summary["run_id"] == run]),
            "<h2>The surest faces</h2>",
            _faces(rows, faces),
        ]
    content = "\n".join([*parts, "<h2>How this was made</h2>", _made_of(origin)])
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body><main>\n{content}\n"
        "</main></body></html>\n"
    )


def _opening(film: Mapping[str, Any], rows: pd.DataFrame) -> str:
    with_face = int((rows["n_faces"] > 0).sum())
    text = (
        f"{len(rows)} frames of {film['duration_s'] / 60:.1f} minutes were looked at; {with_face} "
        "of them have a face, and the largest was read. Frames without a face are in the tables, "
        "with no answer. What a face shows is not what a person feels."
    )
    lost = film["error"] if film["status"] == "partial" else None
    warning = f'<p class="warning">The film is not whole: {escape(str(lost))}.</p>' if lost else ""
    return f"<p>{text}</p>{warning}"


def _caption(run: str, over_time: Mapping[str, Any]) -> str:
    return (
        f"Mean probability of each emotion and share of the faces read as it, by {escape(run)}, "
        f"under a Gaussian kernel with a standard deviation of {over_time['smooth_s']:.0f} s. "
        f"Bands are {over_time['level']:.0%} bootstrap intervals at each time, over the "
        f"{over_time['n_shots']} shots with a face that were told apart; points are faces. "
        f"Below: faces read with a probability of {over_time['confident']:.1f} or more, counted "
        "up to each time."
    )


def _changes(over_time: Mapping[str, Any]) -> str:
    p_value = over_time["p_value"]
    if math.isnan(p_value):
        return "There are too few faces to say whether the film changes."
    chance = f"the first split is tested against shots in any order, p = {p_value:.3f}"
    if not over_time["times_s"]:
        return f"No time is found at which the film changes for good ({chance})."
    times = ", ".join(map(_clock, over_time["times_s"]))
    return f"What is read in the film changes for good at {times} ({chance})."


def _table(summary: pd.DataFrame) -> str:
    """Show the shares of one run, and what they would be if faceless frames were known."""
    head = "<tr><th>emotion<th>of faces<th>of all frames, at least<th>at most<th>mean probability"
    body = "".join(
        f"<tr><td>{row.label}<td>{row.share_of_faces:.1%}<td>{row.share_low:.1%}"
        f"<td>{row.share_high:.1%}<td>{row.mean_prob:.3f}"
        for row in summary.itertuples()
    )
    return f"<table>{head}{body}</table>"


def _faces(rows: pd.DataFrame, faces: pd.DataFrame) -> str:
    """Show for each label the face that is most probably of it, of those that are read as it."""
    paths = dict(
        zip(faces["item_id"].str.split(":").str[-1].astype(int), faces["path"], strict=True)
    )
    shown = []
    for label in labels_of(rows):
        read_so = rows[rows["predicted"] == label]
        if len(read_so):
            best = read_so.loc[read_so[f"prob_{label}"].idxmax()]
            name = f"{label}, {best[f'prob_{label}']:.2f}, at {_clock(best['time_s'])}"
            picture = _picture(ROOT / paths[best["frame"]])
            shown.append(
                f'<figure><img src="data:image/jpeg;base64,{picture}" width="{FACE_PX}" '
                f'alt="Face read as {name}"><figcaption>{name}</figcaption></figure>'
            )
    return f'<div class="faces">{"".join(shown)}</div>'


def _picture(path: Path) -> str:
    with Image.open(path) as crop:
        small = crop.convert("RGB")
    small.thumbnail((2 * FACE_PX, 2 * FACE_PX))
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=85)
    return base64.b64encode(stream.getvalue()).decode()


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"


def _made_of(origin: Mapping[str, Any]) -> str:
    return f"<pre>{escape(json.dumps(origin, indent=1, ensure_ascii=False))}</pre>"
