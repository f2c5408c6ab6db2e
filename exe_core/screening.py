"""Screen films: sampled frames, the faces in them, and the films that could not be read whole.

A film is decoded and searched for faces once; what was found is kept until the film, the sampling
or the crop settings change, so a stopped study goes on with the next film.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from tqdm import tqdm

from exe_core.config import ROOT, Study
from exe_core.detection import FaceFinder, crop, face_row
from exe_core.record import digest, digest_of
from exe_core.schema import check, empty, read, write
from exe_core.video import VideoError, probe, sample_frames

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")

log = logging.getLogger(__name__)


class ScreeningError(ValueError):
    """There is no film to screen."""


def list_films(study: Study) -> pd.DataFrame:
    """List the films of a study: those of the world, or the video files of a folder.

    Returns
    -------
    pd.DataFrame
        Table "films". A file that is no film is a row with its reason.

    Raises
    ------
    ScreeningError
        If the folder holds no file with a suffix of `SUFFIXES`.
    """
    if study.kind == "world":
        return read(study.raw / "films.parquet", name="films")
    folder = study.data_dir / (study.films.path or ".")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ScreeningError(f"no film in {folder}: give files ending in {', '.join(SUFFIXES)}")
    rows = [_describe(path) | {"path": os.path.relpath(path, ROOT)} for path in paths]
    return check(pd.DataFrame(rows).reindex(columns=empty("films").columns), "films")


def _describe(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"film_id": path.stem, "title": path.stem.replace("_", " ")}
    try:
        info = probe(path)
    except VideoError as fault:
        return {**row, "status": "unreadable", "error": str(fault)}
    found = {"duration_s": info.duration_s, "fps": info.fps, "n_frames": info.n_frames}
    return {**row, **found, "status": "ok"}


def screen(
    study: Study, films: pd.DataFrame, *, finder: FaceFinder, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Sample the frames of every film and cut the largest face out of each.

    Parameters
    ----------
    study
        Its settings `films.every` and `crop`.
    films
        As given by `list_films`.
    finder
        The detector that the photos' faces were found with.
    progress
        Show a bar.

    Returns
    -------
    films, frames, faces
        As in `exe_core.schema`; a film that ends early is "partial", a frame without a face has
        n_faces 0 and no row of faces. The item of a face is "<film_id>:<frame>".
    """
    parts = []
    for film in tqdm(films.to_dict("records"), desc="films", unit="film", disable=not progress):
        try:
            parts.append(_screen_once(study, film, finder))
        except VideoError as fault:
            lost = film | {"status": "unreadable", "error": str(fault)}
            parts.append((pd.DataFrame([lost]), empty("frames"), empty("faces")))
    told, frames, faces = (
        pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True)
    )
    return check(told, "films"), check(frames, "frames"), check(faces, "faces")


def _screen_once(
    study: Study, film: dict[str, Any], finder: FaceFinder
) -> tuple[pd.DataFrame, ...]:
    """Screen a film, unless that was done: the same file, sampling and crops."""
    path = ROOT / film["path"]
    settings = {"every": study.films.every, "crop": study.crop.model_dump()}
    folder = (
        study.processed / "screened" / film["film_id"] / digest_of([digest(path), settings])[:16]
    )
    names = ("faces", "frames", "films")
    if (folder / "films.parquet").exists():
        tables = {name: read(folder / f"{name}.parquet", name=name) for name in names}
        return tables["films"], tables["frames"], tables["faces"]
    tables = _screen(study, film, finder=finder)
    for name in names:  # films last: where it lies, the others do
        write(tables[name], folder / f"{name}.parquet", name=name)
    return tables["films"], tables["frames"], tables["faces"]


def _screen(study: Study, film: dict[str, Any], *, finder: FaceFinder) -> dict[str, pd.DataFrame]:
    film_id, crops = film["film_id"], study.processed / "crops" / "films" / film["film_id"]
    crops.mkdir(parents=True, exist_ok=True)
    frames, faces = [], []
    samples = sample_frames(ROOT / film["path"], every=study.films.every)
    for frame, time_s, image in samples:
        found = finder.find(image)
        frames.append((film_id, frame, time_s, len(found)))
        for face in found[:1]:
            path = crops / f"{frame:06d}_0.png"
            cut = crop(image, face, size=study.crop.size, margin=study.crop.margin)
            Image.fromarray(cut).save(path, compress_level=1)
            item = {"item_id": f"{film_id}:{frame:06d}", "set_name": "films", "label": None}
            faces.append(face_row(item | {"group_id": film_id}, face, k=0, path=path))
    coverage = samples.coverage
    assert coverage is not None  # the film was read to its end
    told = film | {"n_frames": coverage.n_frames}
    if not coverage.is_complete:
        told |= {"status": "partial", "error": str(coverage)}
    return {
        "films": pd.DataFrame([told]),
        "frames": pd.DataFrame(frames, columns=["film_id", "frame", "time_s", "n_faces"]),
        "faces": pd.DataFrame(faces, columns=list(empty("faces").columns)),
    }
