"""The page of one film: one file that opens offline, holds no script, and trusts no title."""

from __future__ import annotations

import base64
import io
import json
import logging
import math
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from PIL import Image
from tqdm import tqdm

from exe_core import criteria, films, inference, record, screening
from exe_core import tables as schema
from exe_core.faces import FaceFinder
from exe_core.figures import PRINT_PPI, VEGA_LITE
from exe_core.figures.films import shares_chart, timeline_chart
from exe_core.films import timeline
from exe_core.models import Classifier
from exe_core.record import replacing, write_json
from exe_core.resampling import Statistics
from exe_core.screening import Screened, Step, screen_film
from exe_core.settings import Crop
from exe_core.study import ROOT
from exe_core.tables import labels_of

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


def page_is_of(folder: Path, origin: Mapping[str, Any]) -> bool:
    """Say whether the page in a folder was made of this; by which commit does not matter."""
    if not (folder / ORIGIN).is_file() or not (folder / PAGE).is_file():
        return False
    try:
        found = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except ValueError:
        return False
    return bool({**found, "commit": None} == json.loads(json.dumps({**origin, "commit": None})))


def write_page(page: str, folder: Path, *, origin: Mapping[str, Any]) -> None:
    """Write a page, and then what it was made of: where that lies, the folder is whole."""
    (folder / ORIGIN).unlink(missing_ok=True)
    with replacing(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    write_json(origin, folder / ORIGIN)


def render_page(
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


ENSEMBLE = "ensemble"
"""The run that is the mean of several models."""

STATISTICS = Statistics()
"""How bands and tests of a report are made."""

log = logging.getLogger(__name__)


def report_film(
    film: dict[str, Any],
    *,
    classifiers: Mapping[str, Classifier],
    finder: FaceFinder,
    settings: Crop,
    step: Step,
    out: Path,
    bar: tqdm | None = None,
) -> dict[str, Any]:
    """Read a film with models, and leave what they see in `<out>/<film_id>/`.

    predictions.parquet and .csv hold a row a run and sampled frame, faceless frames kept;
    summary.csv a row a run and label; course.csv a row a measure, label and time, by the run that
    is shown; timeline and shares are figures; report.html shows it all in one file. A film that
    was reported on with the same settings and models is left as it is.

    Parameters
    ----------
    film
        A row of `screening.find_films`.
    classifiers
        Run -> model, all of the same labels; several are also averaged.
    finder, settings, step, bar
        As in `screening.screen_film`.
    out
        Crops are kept in `<out>/.screened`.

    Returns
    -------
    dict
        The film's row with n_sampled and n_faces.
    """
    screened = screen_film(
        film, store=out / ".screened", finder=finder, settings=settings, step=step, bar=bar
    )
    told = screened.films.iloc[0].to_dict()
    told |= {"n_sampled": len(screened.frames), "n_faces": len(screened.faces)}
    if told["status"] == "unreadable":
        return told
    folder = out / film["film_id"]
    origin = _origin(told, classifiers, settings=settings, step=step, screened=screened)
    if not page_is_of(folder, origin):
        rows = predict(screened, classifiers)
        _write(rows, screened, told, folder=folder, origin=origin)
    return told


def predict(screened: Screened, classifiers: Mapping[str, Classifier]) -> pd.DataFrame:
    """Lay what each model, and the mean of several, says of a film on its sampled frames.

    Returns
    -------
    pd.DataFrame
        As given by `timelines.timeline`, the run that is shown first in front; null in frames
        without a face.
    """
    faces = screened.faces
    splits = faces[["face_id", "set_name", "group_id"]].assign(split="test")
    labels = next(iter(classifiers.values())).labels
    tables = [
        inference.predict_faces(
            inference.fuse_for_inference(model), faces, run_id=run, splits=splits
        )
        for run, model in classifiers.items()
    ]
    if len(tables) > 1:
        tables.insert(0, inference.mean_of_runs(tables, run_id=ENSEMBLE))
    if faces.empty:
        nothing = {"predicted": None, **dict.fromkeys(schema.prob_columns(labels), np.nan)}
        runs = [ENSEMBLE] * (len(tables) > 1) + list(classifiers)
        return pd.concat([screened.frames.assign(run_id=run, **nothing) for run in runs])
    rows = [timeline(screened.frames, table, labels=labels) for table in tables]
    return pd.concat(rows, ignore_index=True)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Give the shares of a film's faces by run and label, bounded for the faceless frames."""
    seen = rows.dropna(subset="predicted")
    item_ids = seen["film_id"] + ":" + seen["frame"].astype(str)
    predictions = seen.assign(item_id=item_ids)
    frames = rows.drop_duplicates("frame")[["film_id", "frame", "time_s", "n_faces"]]
    labels = schema.labels_of(rows)
    found = films.summarise(frames, predictions, labels=labels)
    order = list(dict.fromkeys(rows["run_id"]))
    return found.sort_values("run_id", key=lambda runs: runs.map(order.index), kind="stable")


def _origin(
    film: dict[str, Any],
    classifiers: Mapping[str, Classifier],
    *,
    settings: Crop,
    step: Step,
    screened: Screened,
) -> dict[str, Any]:
    """Say what a report was made of: it is made anew when this changes."""
    return {
        "title": film["title"],
        "status": film["status"],
        "error": None if film["status"] == "ok" else film["error"],
        "models": {
            run: model.card.get("weights_sha256", "unsaved") for run, model in classifiers.items()
        },
        "step": step._asdict(),
        "crop": settings.model_dump(),
        "statistics": STATISTICS.model_dump(),
        "frames": record.digest_of(screened.frames.to_dict("list")),
        "commit": record.commit(),
    }


def _write(
    rows: pd.DataFrame,
    screened: Screened,
    film: dict[str, Any],
    *,
    folder: Path,
    origin: dict[str, Any],
) -> None:
    """Write tables and figures, and the page last."""
    with replacing(folder / "predictions.parquet") as partial:
        rows.to_parquet(partial, index=False)
    _write_csv(rows, folder / "predictions.csv")
    shown = rows[rows["run_id"] == rows["run_id"].iloc[0]]
    seen = shown.dropna(subset="predicted")
    summary, drawn = None, {}
    over_time: dict[str, Any] = {}
    if len(seen):
        summary = summarise(rows)
        _write_csv(summary, folder / "summary.csv")
        described = pd.DataFrame([film]).assign(genre="")
        course, over_time = _over_time(shown)
        _write_csv(course, folder / "course.csv")
        drawn = {
            "timeline": timeline_chart(course, faces=seen, counts=films.cumulative(shown)),
            "shares": shares_chart(summary, films=described),
        }
    svgs = {name: _draw(chart, folder / name) for name, chart in drawn.items()}
    page = render_page(
        film,
        shown,
        screened.faces,
        summary=summary,
        svgs=svgs,
        over_time=over_time,
        origin=origin,
    )
    write_page(page, folder, origin=origin)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        table.to_csv(partial, index=False)


def _over_time(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Smooth what a run says of the film, look for changes, and tell how this was done."""
    smooth_s, level = films.smoothing_s(rows), STATISTICS.level
    course = films.course(rows, smooth_s=smooth_s, statistics=STATISTICS)
    times_s, p_value = criteria.change_points(rows, statistics=STATISTICS)
    told = {"smooth_s": smooth_s, "level": level, "confident": films.CONFIDENT}
    n_blocks = screening.shot_blocks(rows.dropna(subset="predicted")).nunique()
    return course, {**told, "n_shots": n_blocks, "times_s": times_s, "p_value": p_value}


def _draw(chart: alt.TopLevelMixin, path: Path) -> str:
    """Write a chart as SVG and PNG; give the SVG."""
    spec = chart.to_dict()
    svg: str = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    with replacing(path.with_suffix(".svg")) as partial:
        partial.write_text(svg, encoding="utf-8")
    solid = {**spec, "background": "white"}
    png = vl_convert.vegalite_to_png(solid, ppi=PRINT_PPI, vl_version=VEGA_LITE)
    with replacing(path.with_suffix(".png")) as partial:
        partial.write_bytes(png)
    return svg
