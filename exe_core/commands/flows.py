"""What went into a stage and what came out of it, counted from the tables that the stages left.

Whatever is lost on the way must stand in a table with its reason; rows that do not are silent, and
`exe build` ends with another status than 0 if there are any.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from exe_core.commands.stage_log import Flow
from exe_core.config import Study
from exe_core.pull import accounting
from exe_core.pull.photo_labels import decide_labels, found_by
from exe_core.settings import FILM_SUFFIXES


def flows_of(study: Study, notebook: str, *, run: str | None = None) -> tuple[Flow, ...]:
    """Count what a stage that has ended was given, left, and lost with a reason.

    Parameters
    ----------
    notebook
        Its name, e.g. "02-crop"; stages that only sum up have no flows.
    run
        For 03-train and 04-predict.
    """
    if run is not None and notebook in _OF_RUN:
        return tuple(_OF_RUN[notebook](study, run))
    return tuple(_OF_STUDY[notebook](study)) if notebook in _OF_STUDY else ()


def _read(study: Study, name: str, columns: list[str]) -> pd.DataFrame:
    return pd.read_parquet(study.table(name), columns=columns)


def _counts(reasons: pd.Series) -> dict[str, int]:
    return {str(reason): int(n) for reason, n in reasons.value_counts().items()}


def _pull(study: Study) -> Iterator[Flow]:
    found = _read(study, "hits", ["photo_id"])["photo_id"].unique()
    photos = _read(study, "photos", ["photo_id", "status", "error"])
    photos = photos[photos["photo_id"].isin(found)]
    is_ok = photos["status"] == "ok"
    lost = {why: n for why, _, n in accounting.failures(photos.loc[~is_ok, "error"])}
    yield Flow("photos", len(found), int(is_ok.sum()), lost)


def _crop(study: Study) -> Iterator[Flow]:
    images = _read(study, "images", ["set_name", "item_id", "status"])
    faces = _read(study, "faces", ["face_id", "set_name", "item_id", "is_primary"])
    split = _read(study, "splits", ["face_id"])["face_id"]
    faces = faces[faces["is_primary"] & faces["face_id"].isin(split)]
    for name, chosen in study.sets.items():
        listed, lost = _photos(study, name) if chosen.kind == "photos" else _listed(study, name)
        own = images[(images["set_name"] == name) & images["item_id"].isin(listed)]
        cropped = faces.loc[faces["set_name"] == name, "item_id"]
        n_out = int(own.loc[own["status"] == "ok", "item_id"].isin(cropped).sum())
        n_in = len(listed) + sum(lost.values())
        lost |= _counts(own.loc[own["status"] != "ok", "status"])
        yield Flow(f"images of {name}", n_in, n_out, lost)


def _photos(study: Study, set_name: str) -> tuple[set[str], dict[str, int]]:
    """Give the photos of a set that have a label, and count the downloaded ones without."""
    chosen = study.sets[set_name]
    hits, photos, requests = (pd.read_parquet(study.table(name)) for name in accounting.PULLED)
    found = found_by(hits, chosen)
    found = found[found["photo_id"].isin(photos.loc[photos["status"] == "ok", "photo_id"])]
    decided = decide_labels(found, chosen.two_labels, requests=requests)
    known = decided[decided["label"].isin(study.labels)]
    lost = {
        "under two labels": found["photo_id"].nunique() - len(decided),
        "of a label that the study has not": len(decided) - len(known),
    }
    return set(known["photo_id"]), {why: n for why, n in lost.items() if n}


def _listed(study: Study, set_name: str) -> tuple[set[str], dict[str, int]]:
    from exe_core import datasets  # slow to import

    return set(datasets.items(study, set_name)["item_id"]), {}


def _train(study: Study, run: str) -> Iterator[Flow]:
    chosen, recipe = study.runs[run], study.recipe(run)
    faces = _read(study, "faces", ["face_id", "set_name", "item_id", "label", "is_primary"])
    sides = _read(study, "splits", ["face_id", "split"])
    learnt = faces[faces["is_primary"] & faces["set_name"].isin(chosen.sets)].merge(sides)
    learnt = learnt[learnt["split"] != "test"]
    labels = learnt.groupby("item_id")["label"].nunique()
    lost = {
        "in several of the run's sets": len(learnt) - len(labels),
        "labelled differently there": int((labels > 1).sum()),
    }
    card = json.loads((study.model(run) / "card.json").read_text(encoding="utf-8"))
    n_out = round(sum(n for side in card["n_faces"].values() for n in side.values()))
    if recipe.max_faces is not None:
        once = learnt[learnt["item_id"].map(labels) == 1].drop_duplicates("item_id")
        n_val = (once["split"] == "val").sum()
        if recipe.split == "modulo":
            n_val = math.ceil(len(once) / round(1 / recipe.val_share))
        lost["beyond the run's `max_faces`"] = max(0, int(len(once) - n_val) - recipe.max_faces)
    if chosen.labels != "given" or chosen.doubtful != "kept":
        lost["not chosen by the run's settings"] = len(learnt) - sum(lost.values()) - n_out
    yield Flow("faces", len(learnt), n_out, {why: n for why, n in lost.items() if n > 0})


def _predict(study: Study, run: str) -> Iterator[Flow]:
    faces = _read(study, "faces", ["face_id", "set_name", "item_id", "is_primary"])
    sides = _read(study, "splits", ["face_id", "split"])
    asked = faces[faces["is_primary"]].merge(sides[sides["split"] != "train"], on="face_id")
    said = pd.read_parquet(study.table("predictions", run=run), columns=["set_name", "item_id"])
    yield Flow("faces", len(asked), len(asked.merge(said)))


def _films(study: Study) -> Iterator[Flow]:
    films = _read(study, "films", ["film_id", "path", "n_frames", "status"])
    yield Flow("films", _n_films(study), *_told(films["status"]))
    frames = _read(study, "frames", ["film_id", "frame", "n_faces"])
    seen = films["film_id"].map(frames.groupby("film_id").size()).fillna(0)
    wanted = np.ceil(films["n_frames"] / study.films.every)
    is_read = films["status"] != "unreadable"
    cut = (wanted - seen)[films["status"] == "partial"].clip(lower=0).sum()
    lost = {"of films that are cut": int(cut)} if cut else {}
    yield Flow("frames", int(wanted[is_read].sum()), int(seen[is_read].sum()), lost)
    shown = frames[frames["n_faces"] > 0]
    asked = shown["film_id"] + ":" + shown["frame"].map("{:06d}".format)
    for run in [*study.runs, *study.ensembles]:
        path = study.table("film_predictions", run=run)
        said = pd.read_parquet(path, columns=["item_id"])["item_id"]
        yield Flow(f"frames with a face, {run}", len(asked), int(asked.isin(said).sum()))


def _told(status: pd.Series) -> tuple[int, dict[str, int]]:
    return int((status == "ok").sum()), _counts(status[status != "ok"])


def _n_films(study: Study) -> int:
    """Count the films that a study was given."""
    if study.kind == "world":
        return len(pd.read_parquet(study.raw / "films.parquet", columns=["film_id"]))
    place = study.data_dir / (study.films.path or ".")
    paths = place.rglob("*") if place.is_dir() else [place]
    return len({path.resolve() for path in paths if path.suffix.lower() in FILM_SUFFIXES})


_OF_STUDY: dict[str, Callable[[Study], Iterator[Flow]]] = {
    "01-pull": _pull,
    "02-crop": _crop,
    "06-films": _films,
}
_OF_RUN: dict[str, Callable[[Study, str], Iterator[Flow]]] = {
    "03-train": _train,
    "04-predict": _predict,
}
