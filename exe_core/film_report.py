"""`exe film`: tables, figures and a page for each film of a list, resumable.

A page is one file that opens offline, holds no script, and shows titles as text.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from exe_core import figures, films, inference, models, record, screening, tables
from exe_core.faces import FaceFinder
from exe_core.figures.films import shares_chart, timeline_chart
from exe_core.labels import prob_columns
from exe_core.models import Classifier
from exe_core.record import ROOT, locked, replacing
from exe_core.resampling import Statistics
from exe_core.screening import Screened
from exe_core.settings import Crop

PAGE, ORIGIN = "report.html", "provenance.json"
ENSEMBLE = "ensemble"  # the run that is the mean of several models
STORED_PX = 224  # crops are at least this large: a further model need not decode the film again
STATISTICS = Statistics()


class ReportError(ValueError):
    """Films can't be reported on: by these models, or into this folder."""


def report_films(
    places: Sequence[Path], *, model_names: Sequence[str], every: int, out: Path
) -> pd.DataFrame:
    """Read films with models; leave tables, figures and a page for each in `<out>/<film_id>/`.

    predictions.csv holds a row a run and sampled frame, faceless frames kept; summary.csv a row a
    run and label; course.csv a row a measure, label and time, by the first run; timeline and shares
    are figures; report.html shows it all. Crops are kept in `<out>/.screened`.

    Parameters
    ----------
    places
        Films, or folders of films.
    model_names
        Ready models by name, or folders of models, of the same labels; several are also averaged.
    every
        Every n-th frame is looked at.
    out
        Films that were reported on with the same settings and models are left as they are.

    Returns
    -------
    pd.DataFrame
        As in `<out>/films.csv`: a row a film of table "films", with n_sampled and n_faces.

    Raises
    ------
    ScreeningError, ModelError, ReportError
        If there is no film, models are missing or differ in labels, or `out` is being written.
    """
    classifiers = load_models(model_names)
    listed = screening.find_films(places)
    crop = Crop(size=max(STORED_PX, *(each.preprocessing.size for each in classifiers.values())))
    store, rows = out / ".screened", []
    with FaceFinder(min_score=crop.min_score, retry_border=crop.retry_border) as finder:
        try:
            with locked(out / ".lock"):
                for film in listed.to_dict("records"):
                    screened = screening.screen_film(
                        film, store=store, finder=finder, settings=crop, every=every
                    )
                    how = {"every": every, "crop": crop.model_dump()}
                    rows.append(_report(screened, classifiers, out / film["film_id"], how))
                    done = pd.DataFrame(rows).drop(columns="path")
                    with replacing(out / "films.csv") as partial:
                        done.to_csv(partial, index=False)
        except BlockingIOError:
            raise ReportError(
                f"another exe film is writing into {out}: wait for it, or give another --out"
            ) from None
    return done


def load_models(names: Sequence[str]) -> dict[str, Classifier]:
    """Load models by name or folder, all of the same labels in the same order."""
    loaded = {}
    for name in names:
        folder = Path(name)
        run = folder.resolve().name if folder.is_dir() else name
        loaded[run] = models.load(folder if folder.is_dir() else name)
    if len(loaded) < len(names):
        raise ReportError(f"two models have one name among {', '.join(names)}: rename one")
    if len({model.labels for model in loaded.values()}) > 1:
        known = [f"{run} answers {', '.join(model.labels)}" for run, model in loaded.items()]
        raise ReportError(f"{'; '.join(known)}: an ensemble needs the same labels in one order")
    return loaded


def _report(
    screened: Screened, classifiers: Mapping[str, Classifier], folder: Path, how: dict[str, Any]
) -> dict[str, Any]:
    """Read a film and write its folder unless that was done; give its row of films.csv."""
    film = screened.films.iloc[0].to_dict()
    film |= {"n_sampled": len(screened.frames), "n_faces": len(screened.faces)}
    origin = {
        "title": film["title"],
        "status": film["status"],
        "error": film["error"] if isinstance(film["error"], str) else None,
        "models": {
            run: model.card.get("weights_sha256", "unsaved") for run, model in classifiers.items()
        },
        **how,
        "statistics": STATISTICS.model_dump(),
        "frames": record.digest_of(screened.frames.to_dict("list")),
        "commit": record.commit(),
    }
    try:
        earlier = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        earlier = {}
    # by which commit does not matter
    same = json.loads(json.dumps({**origin, "commit": earlier.get("commit")})) == earlier
    if film["status"] != "unreadable" and not (same and (folder / PAGE).is_file()):
        _write(screened, classifiers, film, folder, origin)
    return film


def predict(screened: Screened, classifiers: Mapping[str, Classifier]) -> pd.DataFrame:
    """Predict the faces of a film by each model, and by the mean of several: "predictions"."""
    faces = screened.faces
    splits = faces[["face_id", "set_name", "group_id"]].assign(split="test")
    predictions = [
        inference.predict_faces(
            inference.fuse_for_inference(model), faces, run_id=run, splits=splits
        )
        for run, model in classifiers.items()
    ]
    if len(predictions) > 1:
        predictions.append(inference.mean_of_runs(predictions, run_id=ENSEMBLE))
    return pd.concat(predictions, ignore_index=True)


def _write(
    screened: Screened,
    classifiers: Mapping[str, Classifier],
    film: dict[str, Any],
    folder: Path,
    origin: dict[str, Any],
) -> None:
    """Write tables and figures, then the page, then what it was made of: the folder is whole."""
    (folder / ORIGIN).unlink(missing_ok=True)
    _, frames, faces = screened
    runs = [ENSEMBLE] * (len(classifiers) > 1) + list(classifiers)
    labels = next(iter(classifiers.values())).labels
    csvs, svgs, over_time = {}, {}, {}
    if faces.empty:
        nothing = {"predicted": None, **dict.fromkeys(prob_columns(labels), np.nan)}
        rows = pd.concat([frames.assign(run_id=run, **nothing) for run in runs])
    else:
        predictions = predict(screened, classifiers)
        rows = films.timeline(frames, predictions, labels=labels)
        of_first = rows[rows["run_id"] == runs[0]]
        smooth_s = films.smoothing_s(of_first)
        n_shots = films.shot_blocks(of_first.dropna(subset="predicted")).nunique()
        over_time = {"smooth_s": smooth_s, "level": STATISTICS.level, "n_shots": n_shots}
        csvs["summary"] = films.summarise(frames, predictions, labels=labels)
        csvs["course"] = films.course(of_first, smooth_s=smooth_s, statistics=STATISTICS)
        charts = {
            "timeline": timeline_chart(csvs["course"]),
            "shares": shares_chart(csvs["summary"], films=pd.DataFrame([film]).assign(genre="")),
        }
        for name, chart in charts.items():
            for suffix in ("png", "svg"):
                drawing = figures.drawn(chart.to_dict(), suffix)
                with replacing(folder / f"{name}.{suffix}") as partial:
                    partial.write_bytes(drawing)
            svgs[name] = drawing.decode()
    for name, table in {"predictions": rows, **csvs}.items():
        with replacing(folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False)
    shown = rows[rows["run_id"] == runs[0]]
    summary = csvs.get("summary")
    page = render_page(
        film, shown, faces, summary=summary, svgs=svgs, over_time=over_time, origin=origin
    )
    with replacing(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    record.write_json(origin, folder / ORIGIN)


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
    """Make the page of a film: its row of table "films", and the rows of the run that is shown.

    `over_time` holds smooth_s, level and n_shots of the timeline; without a face it and `svgs` are
    empty and `summary` is None.
    """
    run = rows["run_id"].iloc[0]
    shown = summary[summary["run_id"] == run].to_dict("records") if summary is not None else None
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True
    ).get_template("film_page.html")
    return template.render(
        film=film,
        rows=rows,
        run=run,
        summary=shown,
        svgs=svgs,
        over_time=over_time,
        faces=_surest(rows, faces) if shown else [],
        origin=json.dumps(origin, indent=1, ensure_ascii=False),
        clock=_clock,
    )


def _surest(rows: pd.DataFrame, faces: pd.DataFrame) -> list[dict[str, str]]:
    """For each label, the face of the highest probability among those that are read as it."""
    paths = faces.set_index(tables.film_and_frame(faces["item_id"])["frame"])["path"]
    surest = []
    for label, of_label in rows.dropna(subset="predicted").groupby("predicted"):
        best = of_label.loc[of_label[f"prob_{label}"].idxmax()]
        name = f"{label}, {best[f'prob_{label}']:.2f}, at {_clock(best['time_s'])}"
        crop = (ROOT / paths[best["frame"]]).read_bytes()
        surest.append({"name": name, "picture": base64.b64encode(crop).decode()})
    return surest


def _clock(time_s: float) -> str:
    if math.isnan(time_s):
        return "unknown length"
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
