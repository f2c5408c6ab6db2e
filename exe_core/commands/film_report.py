"""What models see in films: for each film its tables, figures and page, in a folder of its own."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from tqdm import tqdm

from exe_core import ensemble, figures, films, inference, record, schema
from exe_core.commands import film_page
from exe_core.detection import FaceFinder
from exe_core.figures.bundle import PRINT_PPI, VEGA_LITE
from exe_core.footage import courses, shots, temporal
from exe_core.footage.screening import Screened, Step, screen_film
from exe_core.footage.timelines import timeline
from exe_core.models import Classifier
from exe_core.settings import Crop, Statistics
from exe_core.writing import replacing

ENSEMBLE = "ensemble"
"""The run that is the mean of several models."""

STATISTICS, SEED = Statistics(), 42
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
    if not film_page.is_of(folder, origin):
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
        inference.predict_faces(inference.hastened(model), faces, run_id=run, splits=splits)
        for run, model in classifiers.items()
    ]
    if len(tables) > 1:
        tables.insert(0, ensemble.mean(tables, run_id=ENSEMBLE))
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
    found = films.coverage(films.summarise(frames, predictions, labels=labels))
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
        "statistics": {**STATISTICS.model_dump(), "seed": SEED},
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
            "timeline": figures.timeline(course, faces=seen, counts=courses.cumulative(shown)),
            "shares": figures.emotion_shares(summary, films=described),
        }
    svgs = {name: _draw(chart, folder / name) for name, chart in drawn.items()}
    page = film_page.page(
        film,
        shown,
        screened.faces,
        summary=summary,
        svgs=svgs,
        over_time=over_time,
        origin=origin,
    )
    film_page.write(page, folder, origin=origin)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        table.to_csv(partial, index=False)


def _over_time(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Smooth what a run says of the film, look for changes, and tell how this was done."""
    smooth_s, level = courses.smoothing_s(rows), STATISTICS.level
    course = courses.course(rows, smooth_s=smooth_s, statistics=STATISTICS, seed=SEED)
    changes = temporal.change_points(rows, statistics=STATISTICS, seed=SEED).iloc[0]
    told = {"smooth_s": smooth_s, "level": level, "confident": courses.CONFIDENT}
    n_blocks = shots.blocks(rows.dropna(subset="predicted")).nunique()
    return course, {**told, "n_shots": n_blocks, **changes[["times_s", "p_value"]]}


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
