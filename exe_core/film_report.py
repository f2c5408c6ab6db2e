"""`exe film`: tables, figures and a page for each film of a list, and an index; resumable.

A page is one file that opens offline, holds no script, and shows titles as text.
"""

from __future__ import annotations

import base64
import functools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import jinja2
import numpy as np
import pandas as pd

from exe_core import figures, film_faces, films, inference, models, record, screening
from exe_core.faces import FaceFinder
from exe_core.figures.films import shares_chart, timeline_chart
from exe_core.labels import prob_columns
from exe_core.models import Classifier
from exe_core.record import READY, ROOT, locked, replacing
from exe_core.resampling import Statistics, sum_by_group
from exe_core.screening import Screened
from exe_core.settings import Crop

PAGE, ORIGIN = "report.html", "provenance.json"
STORED_PX = 224  # crops are at least this large: a further model need not decode the film again
MOST_STILLS, MOST_PEOPLE = 24, 40  # of a page
NEAREST = "votes"  # networks of the film study that learned from FER2013 by its voters, as fer7 did
SHIPPED = Path(__file__).with_name("film_scores")  # in an installed package
FILM_SCORES = SHIPPED if SHIPPED.is_dir() else film_faces.FROZEN
STATISTICS = Statistics()


class ReportError(ValueError):
    """Films can't be reported on in this folder."""


def report_films(
    places: Sequence[Path],
    *,
    model: str,
    every: int,
    out: Path,
    all_faces: bool = False,
    smooth_s: float | None = None,
) -> pd.DataFrame:
    """Read films, or folders of them; leave tables, figures and a page for each in `out`.

    `<out>/<film_id>/` holds predictions.csv (a row a sampled frame, those without a face, too),
    faces.csv (a row a face), summary.csv (a label), course.csv (a measure, label and time), figures
    and report.html. `<out>/index.html` compares the films, `<out>/.screened` keeps crops.

    `model` is a ready model by name, or the folder of one; every n-th frame is looked at.
    `all_faces` reads all faces, and follows persons through each shot: persons.csv. Shares and
    courses stay those of the largest face. `smooth_s` is the standard deviation of their kernel, s;
    by default that of `films.smoothing_s`. Films that were reported on with the same settings and
    model are left as they are.

    Gives a row a film of table "films", with n_sampled and n_faces, as in `<out>/films.csv`. A
    ScreeningError, ModelError, ReportError or BusyError says that there is no film, no such model,
    or that `out` is being written.
    """
    if out.exists() and not out.is_dir():
        raise ReportError(f"{out} is a file: give a folder for the results")
    run, classifier = load_model(model)
    listed, others = screening.find_films(places), screening.other_files(places)
    others = [path for path in others if out not in Path(path).resolve().parents]
    size = max(STORED_PX, classifier.preprocessing.size)
    crop = Crop(size=size, primary_only=not all_faces)
    how = {"every": every, "smooth_s": smooth_s, "crop": crop.model_dump()}
    store, rows = out / ".screened", []
    small: Literal["always", "if no other"] = "always" if all_faces else "if no other"
    with (
        locked(out / ".lock", f"another exe film into {out}"),
        FaceFinder(min_score=crop.min_score, small=small) as finder,
    ):
        for film in listed.to_dict("records"):
            screened = screening.screen_film(
                film, store=store, finder=finder, settings=crop, every=every
            )
            rows.append(_report(screened, run, classifier, out / film["film_id"], how))
            done = pd.DataFrame(rows).drop(columns="path")
            with replacing(out / "films.csv") as partial:
                done.to_csv(partial, index=False)
        _write_index(out, rows, run, classifier, others)
    return done


def load_model(name: str) -> tuple[str, Classifier]:
    """Load a ready model by name, or one by its folder; give its name, too."""
    folder = Path(name)
    if folder.is_dir():
        return folder.resolve().name, models.load(folder)
    return name, models.load(name)


def trust(run: str, model: Classifier) -> dict[str, Any]:
    """Say how reliable a model is on film faces: its scores, limits and card."""
    try:
        scores = _scores(run, str(model.card.get("released_from")).removeprefix("film/"))
    except film_faces.FilmError:  # an installation without the study's predictions
        scores = {"labels": []}
    known = {row["label"] for row in scores["labels"]}
    card = READY / run / "README.md"
    about = {"run": run, "limits": model.card.get("limits", []), **scores}
    about["unscored"] = [label for label in model.labels if label not in known]
    return about | {"card": card.as_uri() if card.is_file() else None}


@functools.cache
def _scores(run: str, released_from: str) -> dict[str, Any]:
    """Score a model on the faces of the film study, or what is nearest to one not in the study."""
    named = released_from.rpartition("-")[0]  # without its seed
    film = film_faces.load(FILM_SCORES, variants=[run, released_from, named, NEAREST])
    variant = film.about["variant"].get(released_from, run)
    is_own = variant in film.variants
    variant = variant if is_own else NEAREST
    scores = film.scores([variant]).set_index(["metric", "label"])[["value", "low", "high"]]
    by_label = [
        {"label": label}
        | {name: tuple(scores.loc[(name, label)]) for name in ("recall", "precision")}
        for label in film.labels
    ]
    balanced = tuple(scores.xs("balanced_accuracy", level="metric").iloc[0])
    about = {"is_own": is_own, "variant": variant, "labels": by_label, "balanced": balanced}
    return about | {"n": len(film.faces), "n_films": film.faces["film"].nunique()}


def render(template: str, *, origin: Mapping[str, Any] | None = None, **values: Any) -> str:
    """Fill a template of a page; what is not markup is shown as text."""
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    page = jinja2.Environment(loader=folder, autoescape=True).get_template(template)
    text = json.dumps(origin, indent=1, ensure_ascii=False) if origin else None
    level = round(100 * STATISTICS.level)
    return page.render(origin=text, clock=_clock, level=level, **values)


def picture(path: Path, name: str) -> dict[str, str]:
    """Take a picture into a page, with the words below it."""
    content = base64.b64encode(path.read_bytes()).decode()
    return {"name": name, "picture": content, "kind": path.suffix[1:].replace("jpg", "jpeg")}


def _report(
    screened: Screened, run: str, model: Classifier, folder: Path, how: dict[str, Any]
) -> dict[str, Any]:
    """Read a film and write its folder unless that was done; give its row of films.csv."""
    film = screened.films.iloc[0].to_dict()
    n_faces = int((screened.frames["n_faces"] > 0).sum())
    film |= {"n_sampled": len(screened.frames), "n_faces": n_faces}
    origin = {
        "title": film["title"],
        "status": film["status"],
        "error": film["error"] if isinstance(film["error"], str) else None,
        "model": run,
        "weights_sha256": model.card.get("weights_sha256", "unsaved"),
        **how,
        "statistics": STATISTICS.model_dump(),
        "frames": record.digest_of(screened.frames.to_dict("list")),
        "commit": record.commit(),
    }
    try:
        is_done = json.loads((folder / ORIGIN).read_text(encoding="utf-8")) == json.loads(
            json.dumps(origin)
        )
    except (FileNotFoundError, ValueError):
        is_done = False
    if film["status"] != "unreadable" and not (is_done and (folder / PAGE).is_file()):
        _write(screened, run, model, film, folder, origin)
    return film


def share_intervals(rows: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Resample the shots of a film: low and high of each label's share, rows of `films.timeline`.

    Returns label, low, high and n_shots; bounds are NaN if all faces are of one shot.
    """
    read = rows.dropna(subset="predicted")
    is_label = read["predicted"].to_numpy()[:, None] == np.array([*labels, None], object)
    is_label[:, -1] = True  # counts the faces
    sums = sum_by_group(is_label.astype(float), read["shot"])
    found = STATISTICS.interval(sums, lambda drawn: drawn[:, :-1] / drawn[:, -1:])
    # none, or all, is so in every resample: for these, shots are taken as independent cases
    is_whole = np.isin(found.value, (0, 1)) & (found.n > 1)
    whole = STATISTICS.share(found.value, found.n)
    low, high = np.where(
        is_whole, np.stack([whole.low, whole.high]), np.stack([found.low, found.high])
    )
    return pd.DataFrame({"label": labels, "low": low, "high": high, "n_shots": found.n})


def _write(
    screened: Screened,
    run: str,
    model: Classifier,
    film: dict[str, Any],
    folder: Path,
    origin: dict[str, Any],
) -> None:
    """Write tables and figures, then the page, then what it was made of: the folder is whole."""
    (folder / ORIGIN).unlink(missing_ok=True)
    _, frames, faces = screened
    labels, csvs, charts, shown = model.labels, {}, {}, dict[str, Any]()
    if faces.empty:
        nothing = dict.fromkeys(prob_columns(labels), np.nan)
        rows = frames.assign(run_id=run, predicted=None, **nothing)
    else:
        crops = faces.assign(item_id=faces["face_id"], is_primary=True)
        splits = crops[["face_id", "set_name", "group_id"]].assign(split="test")
        fused = inference.fuse_for_inference(model)
        each = inference.predict_faces(fused, crops, run_id=run, splits=splits)
        each = each.rename(columns={"item_id": "face_id"})
        each["item_id"] = each["face_id"].str.removeprefix("films/").str.rpartition("/")[0]
        csvs["faces"] = screening.boxes(screened).merge(
            each[["face_id", "run_id", "predicted", *prob_columns(labels)]], on="face_id"
        )
        largest = each[each["face_id"].isin(faces.loc[faces["is_primary"], "face_id"])]
        rows = films.timeline(frames, largest, labels=labels)
        smooth_s = origin["smooth_s"] or films.smoothing_s(rows)
        csvs["summary"] = films.summarise(frames, largest, labels=labels).merge(
            share_intervals(rows, labels), on="label"
        )
        csvs["course"] = films.course(rows, smooth_s=smooth_s, statistics=STATISTICS)
        charts["timeline"] = timeline_chart(csvs["course"])
        titles = pd.DataFrame([film]).assign(genre=None)
        charts["shares"] = shares_chart(csvs["summary"], films=titles)
        summary = csvs["summary"].to_dict("records")
        shown = {"summary": summary, "n_shots": summary[0]["n_shots"], "smooth_s": smooth_s}
        shown |= {"smallest_px": faces["width_px"].min(), "stills": _stills(rows, faces)}
        if not origin["crop"]["primary_only"]:
            csvs["persons"] = _persons(csvs["faces"], labels)
            path_of = faces.set_index("face_id")["path"]
            shown["people"] = [
                picture(
                    ROOT / path_of[one.face_id],
                    f"{one.person}: {one.n_faces} faces from {_clock(one.from_s)}, most {one.most}",
                )
                for one in csvs["persons"].head(MOST_PEOPLE).itertuples()
            ]
    for name, table in {"predictions": rows, **csvs}.items():
        with replacing(folder / f"{name}.csv") as partial:
            table.to_csv(partial, index=False)
    for name, chart in charts.items():
        spec = chart.at().to_dict()
        for suffix in ("png", "svg"):
            drawing = figures.drawn(spec, suffix)
            with replacing(folder / f"{name}.{suffix}") as partial:
                partial.write_bytes(drawing)
        shown[f"{name}_svg"] = drawing.decode()
    shown |= {"title": film["title"], "film": film, "run": run, "rows": rows}
    page = render("film_page.html", origin=origin, trust=trust(run, model), **shown)
    with replacing(folder / PAGE) as partial:
        partial.write_text(page, encoding="utf-8")
    record.write_json(origin, folder / ORIGIN)


def _stills(rows: pd.DataFrame, faces: pd.DataFrame) -> list[dict[str, str]]:
    """Small pictures of frames at even steps of time, with what was read."""
    folder = (ROOT / faces["path"].iloc[0]).parent
    places = np.unique(np.linspace(0, len(rows) - 1, MOST_STILLS).round().astype(int))
    return [
        picture(folder / f"{row.frame:06d}.jpg", f"{_clock(row.time_s)}, {row.predicted}")
        for row in rows.iloc[places].fillna({"predicted": "no face"}).itertuples()
    ]


def _persons(faces: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Sum up each person of each shot, those with most faces first, with the surest face's id."""
    table = (
        faces.sort_values("score", ascending=False)
        .groupby("person", as_index=False)
        .agg(
            face_id=("face_id", "first"),
            n_faces=("face_id", "size"),
            from_s=("time_s", "min"),
            until_s=("time_s", "max"),
            **{name: (name, "mean") for name in prob_columns(labels)},
        )
    )
    most = table[prob_columns(labels)].idxmax(axis=1).str.removeprefix("prob_")
    table = table.assign(most=most)
    return table.sort_values(["n_faces", "from_s"], ascending=[False, True], ignore_index=True)


def _write_index(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    run: str,
    model: Classifier,
    others: Sequence[str],
) -> None:
    """Write the page that compares the films of a folder."""
    listed, parts = [], []
    for film in rows:
        about = {**film, "link": None, "shares": [(math.nan,) * 3] * len(model.labels)}
        about["error"] = film["error"] if isinstance(film["error"], str) else None
        if film["status"] != "unreadable":
            about["link"] = f"{quote(film['film_id'])}/{PAGE}"
            if film["n_faces"]:
                summary = pd.read_csv(out / film["film_id"] / "summary.csv")
                bounds = summary[["share_of_faces", "low", "high"]]
                about["shares"] = list(bounds.itertuples(index=False))
                parts.append(summary.assign(film_id=film["film_id"]))
        listed.append(about)
    shown: dict[str, Any] = {"title": f"{len(rows)} films", "films": listed, "others": others}
    if parts:
        titles = pd.DataFrame(rows).assign(genre=None)
        chart = shares_chart(pd.concat(parts), films=titles)
        shown["svg"] = figures.drawn(chart.at().to_dict(), "svg").decode()
    shown |= {"run": run, "labels": model.labels, "trust": trust(run, model)}
    page = render("films_page.html", **shown)
    with replacing(out / "index.html") as partial:
        partial.write_text(page, encoding="utf-8")


def _clock(time_s: float) -> str:
    if math.isnan(time_s):
        return "unknown length"
    minutes, seconds = divmod(round(time_s), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}"
