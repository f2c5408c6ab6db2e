"""Films to tables: their sampled frames, the shots that these are of, and the faces in them.

Neighbouring frames of a shot show the same face in the same light, so a shot, not a frame, is what
is resampled where the uncertainty of a film is asked for. Only sampled frames are looked at: a cut
between two of them is one cut, however many the film has there.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core.faces import FaceFinder, save_crops
from exe_core.record import ROOT, digest, digest_of
from exe_core.settings import Crop
from exe_core.study import Study
from exe_core.tables import check, empty, film_and_frame, item_id, read, write
from exe_core.video import Sample, Samples, VideoError, probe

log = logging.getLogger(__name__)

FILM_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg"),
    *(
        ".ts",
        ".mts",
        ".m2ts",
        ".wmv",
        ".flv",
        ".3gp",
        ".ogv",
        ".vob",
        ".mxf",
        ".dv",
        ".asf",
        ".f4v",
    ),
)
"""What the file of a film ends in."""

STORE_VERSION = 5
"""Of what is kept of a film; raise it when the same film and settings would give other frames."""

CUT = 0.35
"""Distance of two colour signatures, 0 to 1, above which a cut lies between their frames."""
STILL_WIDTH = 192  # px, of the small picture that is kept of each sampled frame
TAKEN = ("films.csv", "index.html")  # no film's folder: files that `exe film` writes beside them
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

    Takes (H, W, 3) uint8; gives (4, 128) counts of each quarter's pixels, by hue, saturation and
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
    return np.stack(counts).astype(np.uint16)


def number_shots(signatures: Sequence[np.ndarray]) -> list[int]:
    """Number the shot of each sampled frame, from 0, given their signatures in order of time.

    A cut is where the Hellinger distance of two signatures, mean over quarters, is above `CUT`.
    """
    if not signatures:
        return []
    of_all = np.stack(signatures) / np.sum(signatures[0][0])
    overlap = np.sqrt(of_all[:-1] * of_all[1:]).sum(axis=-1)
    distance = np.sqrt(np.clip(1 - overlap, 0, 1)).mean(axis=-1)
    return [0, *np.cumsum(distance > CUT).tolist()]


def list_films(study: Study) -> pd.DataFrame:
    """List the films of a study, those of the world or the video files of a folder: "films".

    Raises ScreeningError as `find_films` does.
    """
    if study.kind == "world":
        return read(study.data_dir / "films.parquet", name="films")
    places = [study.data_dir / (study.films.path or ".")]
    if others := other_files(places):
        log.warning("not taken for films: %s", ", ".join(others))
    return find_films(places)


def other_files(places: Sequence[Path]) -> list[str]:
    """List what lies below folders and is not taken for a film: other files, linked folders."""
    found = [path for place in places if place.is_dir() for path in members(place)]
    return [readable(path) for path in found if not _is_film(path)]


def members(place: Path) -> list[Path]:
    """List the files below a folder, and the linked folders, which are not entered; or a file.

    Hidden ones are left out: systems make them.
    """
    if not place.is_dir():
        return [place]
    found = sorted(path for path in place.rglob("*") if path.is_symlink() or not path.is_dir())
    return [path for path in found if "/." not in f"/{path.relative_to(place)}"]


def _is_film(path: Path) -> bool:
    return path.suffix.lower() in FILM_SUFFIXES and not path.is_dir()


def find_films(places: Sequence[Path]) -> pd.DataFrame:
    """List films: files as they are given, and the video files below folders.

    Gives table "films", a row a file; a file that is no film is a row with its reason. Films of one
    name get an id with as much of the path as tells them apart. A `ScreeningError` is raised if a
    place is not there, or there is no film at all.
    """
    paths: list[Path] = []
    for place in places:
        if not place.exists():
            raise ScreeningError(f"no film or folder at {place}")
        paths += filter(_is_film, members(place)) if place.is_dir() else [place]
    if not paths:
        where = ", ".join(map(str, places))
        raise ScreeningError(f"no film in {where}: give files ending in {', '.join(FILM_SUFFIXES)}")
    paths = [Path(path) for path in dict.fromkeys(map(os.path.realpath, paths))]
    # a folder is named by the id, and ".." or ".lock" would be another one
    ids = [readable(path.stem).lstrip(".") or path.name for path in paths]
    for parts in range(1, max(len(path.parts) for path in paths)):
        n = Counter([*TAKEN, *ids])
        longer = ["-".join(map(readable, path.parts[-parts:])) for path in paths]
        ids = [short if n[short] == 1 else long for short, long in zip(ids, longer, strict=True)]
    rows = []
    for path, film_id in zip(paths, ids, strict=True):
        title, relative = readable(path.stem).replace("_", " "), os.path.relpath(path, ROOT)
        if readable(relative) != relative:  # no table can hold it
            relative = quote(relative, errors="surrogateescape")
        row = {"film_id": film_id, "title": title, "path": relative, "status": "ok"}
        try:
            row |= probe(path)._asdict()
        except VideoError as fault:
            row |= {"status": "unreadable", "error": readable(str(fault))}
        rows.append(row)
    return check(pd.DataFrame(rows).reindex(columns=empty("films").columns), "films")


def _file_of(film: dict[str, Any]) -> Path:
    """Locate the file of a film; a path that is not UTF-8 is percent-encoded."""
    path: str = film["path"]
    return ROOT / (path if (ROOT / path).exists() else unquote(path, errors="surrogateescape"))


def readable(path: Path | str) -> str:
    """Write a path as text; what is not UTF-8 becomes a question mark."""
    return os.fsencode(path).decode(errors="replace")


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
    """Screen a film, a row of `find_films`, unless that was done with this file and settings.

    Results are kept in `<store>/<film_id>/<digest>`: all of them, or nothing.
    """
    if film["status"] == "unreadable":
        return Screened(check(pd.DataFrame([film]), "films"), empty("frames"), empty("faces"))
    how = [every, settings.model_dump(), finder.small, CUT, STORE_VERSION]
    parts = [digest(_file_of(film)), *how]
    folder = store / film["film_id"] / digest_of(parts)[:16]
    try:
        if not folder.exists():
            _screen(film, folder, finder, settings, every)
    except VideoError as fault:
        unread = film | {"status": "unreadable", "error": readable(str(fault))}
        return screen_film(unread, store=store, finder=finder, settings=settings, every=every)
    films, *found = (read(folder / f"{name}.parquet", name=name) for name in Screened._fields)
    # the file's name may have changed since, its content has not
    film = film | films.iloc[0][["duration_s", "n_frames", "status", "error"]].to_dict()
    return Screened(check(pd.DataFrame([film]), "films"), *found)


def _screen(
    film: dict[str, Any], folder: Path, finder: FaceFinder, settings: Crop, every: int
) -> None:
    """Write the tables and crops of a film into a folder, which appears when it is whole.

    A journal with a line a frame lets a screening that was stopped go on.
    """
    partial, film_id = folder.with_name(f".{folder.name}"), film["film_id"]
    partial.mkdir(parents=True, exist_ok=True)
    journal = partial / "journal.jsonl"
    done = _read_journal(journal)
    last = done[-1]["frame"] if done else -1
    samples = Samples(_file_of(film), every=every, after=last)
    with journal.open("a", encoding="utf-8") as lines:
        shown = tqdm(_decode_ahead(samples), film["title"], unit="frame", disable=None)
        for frame, time_s, rgb in shown:
            found = finder.find(rgb)
            kept = found[:1] if settings.primary_only else found
            item = {"item_id": item_id(film_id, frame), "set_name": "films", "group_id": film_id}
            stem = partial / f"{frame:06d}"
            faces = save_crops(rgb, kept, item | {"label": None}, stem=stem, settings=settings)
            for row in faces:
                row["path"] = os.path.relpath(folder / Path(str(row["path"])).name, ROOT)
            width = STILL_WIDTH, max(1, round(rgb.shape[0] * STILL_WIDTH / rgb.shape[1]))
            still = cv2.resize(rgb, width, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(stem.with_suffix(".jpg")), still[..., ::-1])
            seen = {"frame": frame, "time_s": time_s, "n_faces": len(found), "faces": faces}
            done.append(seen | {"signature": shot_signature(rgb)})  # 1 KB a frame, a list takes 4
            lines.write(json.dumps(seen | {"signature": done[-1]["signature"].tolist()}) + "\n")
            lines.flush()
    row = film | {"n_frames": samples.n_frames, "duration_s": samples.duration_s}
    if samples.missing:
        row |= {"status": "partial", "error": samples.missing}
    frames = pd.DataFrame(done, columns=["frame", "time_s", "n_faces"])
    frames.insert(0, "film_id", film_id)
    faces = [face for seen in done for face in seen["faces"]]
    tables = {
        "films": pd.DataFrame([row]),
        "frames": frames.assign(shot=number_shots([np.array(seen["signature"]) for seen in done])),
        "faces": pd.DataFrame(faces, columns=empty("faces").columns),
    }
    for name, table in tables.items():
        write(table, partial / f"{name}.parquet", name=name)
    journal.unlink()
    partial.replace(folder)


def _decode_ahead(samples: Iterable[Sample]) -> Iterator[Sample]:
    """Decode the next sample while faces are detected in this one."""
    left = iter(samples)
    with ThreadPoolExecutor(1) as decoder:
        coming = decoder.submit(next, left, None)
        while sample := coming.result():
            coming = decoder.submit(next, left, None)
            yield sample


def boxes(screened: Screened) -> pd.DataFrame:
    """List the faces of a film with their box, time and shot, and follow persons through each shot.

    A face is of the person whose last box is nearest, if that lies within a width of it and is at
    most half as large again; else of a new one: "<shot>-<number>". In another shot the same person
    has another name.
    """
    columns = ["face_id", "score", "x_px", "y_px", "width_px", "height_px", "is_primary"]
    frame = film_and_frame(screened.faces["item_id"])["frame"]
    table = screened.faces[columns].assign(frame=frame)
    table = screened.frames[["frame", "time_s", "shot"]].merge(table, on="frame")
    names = pd.Series("", index=table.index)
    for shot, of_shot in table.groupby("shot"):
        last: list[np.ndarray] = []  # x, y of the middle, and width, of each person
        for _, faces in of_shot.groupby("frame"):
            half = faces[["width_px", "height_px"]].to_numpy() / 2
            places = np.column_stack([faces[["x_px", "y_px"]] + half, 2 * half[:, 0]])
            pairs = [
                (np.hypot(*(place - person)[:2]) / place[2], k, number)
                for k, place in enumerate(places)
                for number, person in enumerate(last)
                if 2 / 3 < place[2] / person[2] < 1.5
            ]
            person_of: dict[int, int] = {}
            for distance, k, number in sorted(pairs):
                if distance < 1 and k not in person_of and number not in person_of.values():
                    person_of[k] = number
            for k, place in enumerate(places):
                number = person_of.get(k, len(last))
                last[number : number + 1] = [place]
                names[faces.index[k]] = f"{shot}-{number + 1}"
    return table.assign(person=names)


def _read_journal(path: Path) -> list[dict[str, Any]]:
    """Read what is known of the frames of a film; a last line cut off is removed."""
    content = path.read_bytes() if path.is_file() else b""
    whole = content[: content.rfind(b"\n") + 1]
    path.write_bytes(whole)
    return [json.loads(line) for line in whole.splitlines()]
