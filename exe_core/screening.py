"""Shots: which of the sampled frames of a film are of one take, told by their colours.

Neighbouring frames of a shot show the same face in the same light, so a shot, not a frame, is what
is resampled where the uncertainty of a film is asked for. Only sampled frames are looked at: a cut
between two of them is one cut, however many the film has there.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core.decoder import probe, sample_frames
from exe_core.faces import EYES, FaceFinder, save_crops
from exe_core.readers import leading_out
from exe_core.record import digest, digest_of
from exe_core.settings import FILM_SUFFIXES, Crop
from exe_core.study import ROOT, Study
from exe_core.tables import check, empty, read, write
from exe_core.video import Sample, VideoError

CUT = 0.35
"""Distance of two colour signatures, 0 to 1, above which a cut lies between their frames."""

BLOCK_S = 30.0
"""Length of the blocks that stand in for shots where the pictures were not seen."""

_SEEN = (64, 36)
_BINS = (8, 4, 4)


def shot_signature(rgb: np.ndarray) -> np.ndarray:
    """Describe the colours of a picture, top and bottom, left and right.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.

    Returns
    -------
    np.ndarray
        (4, 128) shares of each quarter's pixels, by hue, saturation and value.
    """
    stride = max(1, min(rgb.shape[1] // _SEEN[0], rgb.shape[0] // _SEEN[1]) // 4)
    seen = np.ascontiguousarray(rgb[::stride, ::stride])  # a mean over all pixels takes 7x longer
    small = cv2.resize(seen, _SEEN, interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    width, height = _SEEN[0] // 2, _SEEN[1] // 2
    quarters = [hsv[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
    ranges = [0, 180, 0, 256, 0, 256]
    found = [cv2.calcHist([part], [0, 1, 2], None, _BINS, ranges).ravel() for part in quarters]
    return np.stack(found) / (width * height)


def shot_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the Hellinger distance of two signatures, 0 (alike) to 1, mean over quarters."""
    overlap = np.sqrt(first * second).sum(axis=-1)
    return float(np.sqrt(np.clip(1 - overlap, 0, 1)).mean())


def number_shots(signatures: Iterable[np.ndarray]) -> list[int]:
    """Give each frame of a film the number of its shot.

    Parameters
    ----------
    signatures
        Of its sampled frames, in the order of time.

    Returns
    -------
    list of int
        From 0.
    """
    shots: list[int] = []
    before = None
    for found in signatures:
        cut = before is not None and shot_distance(before, found) > CUT
        shots.append(shots[-1] + cut if shots else 0)
        before = found
    return shots


def shot_blocks(rows: pd.DataFrame, *, block_s: float = BLOCK_S) -> pd.Series:
    """Give the block of each frame: its shot or, where shots are not known, its stretch of time.

    Parameters
    ----------
    rows
        A row a frame of one film: time_s (s) and, if its pictures were seen, shot.
    block_s
        Length of a stretch.
    """
    if "shot" in rows and rows["shot"].notna().all():
        return rows["shot"].astype(int)
    return (rows["time_s"] // block_s).astype(int).rename("block")


TABLES = ("films", "frames", "faces")

log = logging.getLogger(__name__)


class ScreeningError(ValueError):
    """There is no film to screen."""


class Screened(NamedTuple):
    """Tables of films, as in `exe_core.schema`."""

    films: pd.DataFrame
    frames: pd.DataFrame
    """Frames without a face are kept: n_faces 0, and no row of faces; `shot` is their shot."""
    faces: pd.DataFrame
    """The largest of each frame, or all; their item is "<film_id>:<frame>"."""


class Step(NamedTuple):
    """Which frames are looked at: every n-th, or the first in every so many seconds."""

    every: int | None = None
    every_seconds: float | None = None


def list_films(study: Study, *, only: int | None = None) -> pd.DataFrame:
    """List the films of a study: those of the world, or the video files of a folder.

    Parameters
    ----------
    only
        The film at this place in the list, from 0: no other file is opened.

    Returns
    -------
    pd.DataFrame
        Table "films". A file that is no film is a row with its reason.

    Raises
    ------
    ScreeningError
        If the folder holds no file with a suffix of `FILM_SUFFIXES`.
    """
    if study.kind == "world":
        films = read(study.raw / "films.parquet", name="films")
        return films if only is None else films.iloc[[only]]
    return find_films([study.data_dir / (study.films.path or ".")], only=only)


def find_films(places: Sequence[Path], *, only: int | None = None) -> pd.DataFrame:
    """List films: files as they are given, and the video files below folders.

    Parameters
    ----------
    places
        Files, or folders.
    only
        As for `list_films`.

    Returns
    -------
    pd.DataFrame
        Table "films", a row a file; films of one name are told apart by suffix and folder.

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
        if outside := leading_out(inside, place):
            raise ScreeningError(
                f"{place} holds links that lead out of it, such as {outside[0]}: give what they "
                "lead to"
            )
        paths += inside if place.is_dir() else [place]
    if not paths:
        where = ", ".join(map(str, places))
        raise ScreeningError(f"no film in {where}: give files ending in {', '.join(FILM_SUFFIXES)}")
    paths = list(dict.fromkeys(path.resolve() for path in paths))
    named = list(zip(paths, _ids(paths), strict=True))
    rows = [_describe(*film) for film in (named if only is None else [named[only]])]
    return check(pd.DataFrame(rows).reindex(columns=empty("films").columns), "films")


def _ids(paths: list[Path]) -> list[str]:
    """Name films by their files, with as much of the path as tells them apart."""
    # a folder is named by it, and ".." or ".lock" would be another one
    ids = [path.stem.lstrip(".") or path.name for path in paths]
    for parts in range(1, max(len(path.parts) for path in paths)):
        count = Counter(ids)
        ids = [
            name if count[name] == 1 else "-".join(path.parts[-parts:])
            for name, path in zip(ids, paths, strict=True)
        ]
    return ids


def _describe(path: Path, film_id: str) -> dict[str, Any]:
    title = path.stem.replace("_", " ")
    row: dict[str, Any] = {"film_id": film_id, "title": title, "path": os.path.relpath(path, ROOT)}
    try:
        info = probe(path)
    except VideoError as fault:
        return {**row, "status": "unreadable", "error": str(fault)}
    found = {"duration_s": info.duration_s, "fps": info.fps, "n_frames": info.n_frames}
    return {**row, **found, "status": "ok"}


def screen(
    study: Study, films: pd.DataFrame, *, finder: FaceFinder, progress: bool = True
) -> Screened:
    """Sample the frames of every film of a study and cut the largest face, or all, out of each.

    Parameters
    ----------
    study
        Its settings `films.every` and `crop`.
    films
        As given by `list_films`.
    finder
        The detector that the photos' faces were found with.
    progress
        Show a bar of the films' time, with the time left.

    Returns
    -------
    Screened
        A film that ends early or has gaps is "partial", one that can't be read "unreadable",
        each with its reason; the others go on.
    """
    parts = []
    with progress_bar(films, show=progress) as bar:
        for film in films.to_dict("records"):
            parts.append(
                screen_film(
                    film,
                    store=study.processed / "screened",
                    finder=finder,
                    settings=study.crop,
                    step=Step(every=study.films.every),
                    bar=bar,
                )
            )
    return Screened(
        *(
            check(pd.concat(tables, ignore_index=True), name)
            for name, tables in zip(TABLES, zip(*parts, strict=True), strict=True)
        )
    )


def progress_bar(films: pd.DataFrame, *, show: bool = True) -> tqdm:
    """Make a bar over the time of films, in seconds."""
    return tqdm(
        total=round(films["duration_s"].sum()),
        desc="films",
        unit="s",
        unit_scale=True,
        disable=not show,
    )


def screen_film(
    film: dict[str, Any],
    *,
    store: Path,
    finder: FaceFinder,
    settings: Crop,
    step: Step,
    bar: tqdm | None = None,
) -> Screened:
    """Screen a film, unless that was done: the same file, sampling and crops.

    Parameters
    ----------
    film
        A row of `find_films`.
    store
        What was found is kept in `<store>/<film_id>/<digest>`: all of it, or nothing.
    finder
        The detector; its settings are among `settings`.
    settings
        How faces are found and cut out.
    step
        Which frames are looked at.
    bar
        Moved on by seconds of film.
    """
    path = ROOT / film["path"]
    duration_s = 0 if pd.isna(film["duration_s"]) else film["duration_s"]
    bar = bar if bar is not None else tqdm(total=duration_s, disable=True)
    end = bar.n + duration_s
    try:
        probe(path)
        key = digest_of([digest(path), step._asdict(), settings.model_dump(), CUT])
        folder = store / film["film_id"] / key[:16]
        if not folder.exists():
            _screen(film, folder, finder, settings, step, bar)
        told, *found = (read(folder / f"{name}.parquet", name=name) for name in TABLES)
        # what the file is called or said to be may have changed since, what is in it has not
        film = film | told.iloc[0][["n_frames", "status", "error"]].to_dict()
    except VideoError as fault:
        film = film | {"status": "unreadable", "error": str(fault)}
        found = [empty("frames"), empty("faces")]
    bar.update(end - bar.n)
    return Screened(check(pd.DataFrame([film]), "films"), *found)


def _screen(
    film: dict[str, Any],
    folder: Path,
    finder: FaceFinder,
    settings: Crop,
    step: Step,
    bar: tqdm,
) -> None:
    """Write the tables and crops of a film into a folder, which appears when it is whole."""
    partial = folder.with_name(f".{folder.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    frames, faces, seen, begun = [], [], [], bar.n
    samples = sample_frames(ROOT / film["path"], **step._asdict())
    for sample in samples:
        found = finder.find(sample.rgb, tiles=settings.tiles)
        frames.append((film["film_id"], sample.frame, sample.time_s, len(found)))
        seen.append(shot_signature(sample.rgb))
        kept = found[:1] if settings.primary_only else found
        stem = partial / f"{sample.frame:06d}"
        item = _item(film["film_id"], sample)
        for row in save_crops(sample.rgb, kept, item, stem=stem, settings=settings):
            faces.append(row | {"path": os.path.relpath(folder / Path(row["path"]).name, ROOT)})
        bar.update(max(0.0, begun + sample.time_s - bar.n))
    coverage = samples.coverage
    assert coverage is not None  # the film was read to its end
    told = film | {"n_frames": coverage.n_frames}
    if not coverage.is_complete:
        told |= {"status": "partial", "error": str(coverage)}
    tables = {
        "films": pd.DataFrame([told]),
        "frames": pd.DataFrame(frames, columns=["film_id", "frame", "time_s", "n_faces"]).assign(
            shot=number_shots(seen)
        ),
        "faces": pd.DataFrame(faces, columns=[*empty("faces").columns, *EYES]),
    }
    for name, table in tables.items():
        write(table, partial / f"{name}.parquet", name=name)
    partial.replace(folder)


def _item(film_id: str, sample: Sample) -> dict[str, Any]:
    item_id = f"{film_id}:{sample.frame:06d}"
    return {"item_id": item_id, "set_name": "films", "label": None, "group_id": film_id}
