"""Films to tables: their sampled frames, the shots that these are of, and the faces in them.

Neighbouring frames of a shot show the same face in the same light, so a shot, not a frame, is what
is resampled where the uncertainty of a film is asked for. Only sampled frames are looked at: a cut
between two of them is one cut, however many the film has there.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core.decoder import probe, sample_frames
from exe_core.faces import EYES, FaceFinder, save_crops
from exe_core.record import ROOT, digest, digest_of
from exe_core.settings import FILM_SUFFIXES, Crop
from exe_core.study import Study
from exe_core.tables import check, empty, item_id, read, write
from exe_core.video import VideoError

STORE_VERSION = 2
"""Of what is kept of a film; raise it when the same film and settings would give other frames."""

CUT = 0.35
"""Distance of two colour signatures, 0 to 1, above which a cut lies between their frames."""
_SEEN = (64, 36)
_BINS = (8, 4, 4)


class ScreeningError(ValueError):
    """There is no film to screen."""


class Screened(NamedTuple):
    """Tables of films, as in `exe_core.tables`."""

    films: pd.DataFrame
    frames: pd.DataFrame  # those without a face, too; `shot` is their shot
    faces: pd.DataFrame  # the largest of each frame, or all; their item is "<film_id>:<frame>"


def shot_signature(rgb: np.ndarray) -> np.ndarray:
    """Describe the colours of a picture's quarters.

    Takes (H, W, 3) uint8; gives (4, 128) shares of each quarter's pixels, by hue, saturation and
    value.
    """
    stride = max(1, min(rgb.shape[1] // _SEEN[0], rgb.shape[0] // _SEEN[1]) // 4)
    seen = np.ascontiguousarray(rgb[::stride, ::stride])  # a mean over all pixels takes 7x longer
    small = cv2.resize(seen, _SEEN, interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    width, height = _SEEN[0] // 2, _SEEN[1] // 2
    quarters = [hsv[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
    ranges = [0, 180, 0, 256, 0, 256]
    counts = [cv2.calcHist([part], [0, 1, 2], None, _BINS, ranges).ravel() for part in quarters]
    return np.stack(counts) / (width * height)


def number_shots(signatures: Sequence[np.ndarray]) -> list[int]:
    """Number the shot of each sampled frame, from 0, given their signatures in order of time.

    A cut is where the Hellinger distance of two signatures, mean over quarters, is above `CUT`.
    """
    if not signatures:
        return []
    of_all = np.stack(signatures)
    overlap = np.sqrt(of_all[:-1] * of_all[1:]).sum(axis=-1)
    distance = np.sqrt(np.clip(1 - overlap, 0, 1)).mean(axis=-1)
    return [0, *np.cumsum(distance > CUT).tolist()]


def list_films(study: Study) -> pd.DataFrame:
    """List the films of a study, those of the world or the video files of a folder: "films".

    Raises ScreeningError as `find_films` does.
    """
    if study.kind == "world":
        return read(study.data_dir / "films.parquet", name="films")
    return find_films([study.data_dir / (study.films.path or ".")])


def find_films(places: Sequence[Path]) -> pd.DataFrame:
    """List films: files as they are given, and the video files below folders.

    Returns
    -------
    pd.DataFrame
        Table "films", a row a file; a file that is no film is a row with its reason. Films of one
        name get an id with as much of the path as tells them apart.

    Raises
    ------
    ScreeningError
        If a place is not there, or there is no film at all.
    """
    paths: list[Path] = []
    for place in places:
        if not place.exists():
            raise ScreeningError(f"no film or folder at {place}")
        inside = sorted(path for path in place.rglob("*") if path.suffix.lower() in FILM_SUFFIXES)
        paths += inside if place.is_dir() else [place]
    if not paths:
        where = ", ".join(map(str, places))
        raise ScreeningError(f"no film in {where}: give files ending in {', '.join(FILM_SUFFIXES)}")
    paths = list(dict.fromkeys(path.resolve() for path in paths))
    # a folder is named by the id, and ".." or ".lock" would be another one
    ids = [path.stem.lstrip(".") or path.name for path in paths]
    for parts in range(1, max(len(path.parts) for path in paths)):
        n = Counter(ids)
        longer = ["-".join(path.parts[-parts:]) for path in paths]
        ids = [short if n[short] == 1 else long for short, long in zip(ids, longer, strict=True)]
    rows = []
    for path, film_id in zip(paths, ids, strict=True):
        if os.fsencode(path).decode(errors="ignore") != str(path):
            raise ScreeningError(f"the name of {str(path)!r} is not UTF-8: rename it")
        row = {"film_id": film_id, "title": path.stem.replace("_", " "), "status": "ok"}
        row["path"] = os.path.relpath(path, ROOT)
        try:
            row |= probe(path)._asdict()
        except VideoError as fault:
            row |= {"status": "unreadable", "error": str(fault)}
        rows.append(row)
    return check(pd.DataFrame(rows).reindex(columns=empty("films").columns), "films")


def screen(study: Study, films: pd.DataFrame, *, finder: FaceFinder) -> Screened:
    """Sample every `films.every`-th frame of films, and cut the largest face, or all, out of each.

    A film that ends early or has gaps is "partial", one that can't be read "unreadable", each with
    its reason; the others go on.
    """
    store, every = study.processed / "screened", study.films.every
    parts = [
        screen_film(film, store=store, finder=finder, settings=study.crop, every=every)
        for film in tqdm(films.to_dict("records"), "films", unit="film", disable=None)
    ]
    tables = [pd.concat(column, ignore_index=True) for column in zip(*parts, strict=True)]
    return Screened(*map(check, tables, Screened._fields))


def screen_film(
    film: dict[str, Any], *, store: Path, finder: FaceFinder, settings: Crop, every: int
) -> Screened:
    """Screen a film, unless that was done: the same file, sampling and crops.

    Parameters
    ----------
    film
        A row of `find_films`.
    store
        Results are kept in `<store>/<film_id>/<digest>`: all of them, or nothing.
    finder
        The detector; its settings are among `settings`.
    settings
        How faces are found and cut out.
    every
        Every n-th frame is looked at.
    """
    if film["status"] == "unreadable":
        return Screened(check(pd.DataFrame([film]), "films"), empty("frames"), empty("faces"))
    parts = [digest(ROOT / film["path"]), every, settings.model_dump(), CUT, STORE_VERSION]
    folder = store / film["film_id"] / digest_of(parts)[:16]
    try:
        if not folder.exists():
            _screen(film, folder, finder, settings, every)
    except VideoError as fault:
        unread = film | {"status": "unreadable", "error": str(fault)}
        return screen_film(unread, store=store, finder=finder, settings=settings, every=every)
    films, *found = (read(folder / f"{name}.parquet", name=name) for name in Screened._fields)
    # the file's name may have changed since, its content has not
    film = film | films.iloc[0][["duration_s", "n_frames", "status", "error"]].to_dict()
    return Screened(check(pd.DataFrame([film]), "films"), *found)


def _screen(
    film: dict[str, Any], folder: Path, finder: FaceFinder, settings: Crop, every: int
) -> None:
    """Write the tables and crops of a film into a folder, which appears when it is whole."""
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    frames, faces, signatures, film_id = [], [], [], film["film_id"]
    samples = sample_frames(ROOT / film["path"], every=every)
    for frame, time_s, rgb in tqdm(samples, film["title"], unit="frame", disable=None):
        in_frame = finder.find(rgb)
        frames.append((film_id, frame, time_s, len(in_frame)))
        signatures.append(shot_signature(rgb))
        kept = in_frame[:1] if settings.primary_only else in_frame
        item = {"item_id": item_id(film_id, frame), "set_name": "films", "group_id": film_id}
        stem = partial / f"{frame:06d}"
        for row in save_crops(rgb, kept, item | {"label": None}, stem=stem, settings=settings):
            name = Path(str(row["path"])).name
            faces.append(row | {"path": os.path.relpath(folder / name, ROOT)})
    coverage = samples.coverage
    assert coverage is not None  # the film was read to its end
    row = film | {"n_frames": coverage.n_frames}
    if pd.isna(film["duration_s"]):
        row |= {"duration_s": coverage.end_s}
    if not coverage.is_complete:
        row |= {"status": "partial", "error": str(coverage)}
    tables = {
        "films": pd.DataFrame([row]),
        "frames": pd.DataFrame(frames, columns=["film_id", "frame", "time_s", "n_faces"]).assign(
            shot=number_shots(signatures)
        ),
        "faces": pd.DataFrame(faces, columns=[*empty("faces").columns, *EYES]),
    }
    for name, table in tables.items():
        write(table, partial / f"{name}.parquet", name=name)
    partial.replace(folder)
