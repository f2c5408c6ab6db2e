"""Films of the world: their scripts played, encoded as H.264, and the tables that tell of them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import av
import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core.settings import World
from exe_core.study import ROOT, Study
from exe_core.tables import write
from exe_world import backgrounds, render
from exe_world.making import digest, generator, workers, write_truth
from exe_world.scripts import EVENTS, Script, act, frames_per_tick, framing, truth, write_script

_log = logging.getLogger(__name__)


def make_films(study: Study, *, jobs: int = 2, progress: bool = True) -> pd.DataFrame:
    """Make the films of a study below ``study.raw / "films"``, their table, events and truth.

    A film that was made by the same settings and code is left as it is; one that was broken off
    is made anew.

    Returns
    -------
    pandas.DataFrame
        The table `films`, as written to ``study.raw / "films.parquet"`` (``study.table("films")``
        is what was found on screening them); paths are relative to the project.
    """
    scripts = [write_script(study, place) for place in range(study.world.n_films)]
    paths = [study.raw / "films" / f"{script.film_id}.mp4" for script in scripts]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with workers(jobs) as pool:
        made = pool.map(_make_film, repeat(study), scripts, paths)
        drawn = sum(tqdm(made, "films", len(scripts), disable=not progress))
    _log.info("%d films drawn, %d were there already", drawn, len(scripts) - drawn)
    write_truth(study, "films", [row for script in scripts for row in truth(study, script)])
    events = [row for script in scripts for row in _events(study, script)]
    write(pd.DataFrame(events), study.table("events"), name="events")
    films = pd.DataFrame([_film(study, *film) for film in zip(scripts, paths, strict=True)])
    write(films, study.raw / "films.parquet", name="films")
    return films


def _film(study: Study, script: Script, path: Path) -> dict[str, object]:
    n_frames = script.shots[-1].stop * frames_per_tick(study.world)
    return {
        "film_id": script.film_id,
        "title": script.title,
        "genre": script.genre,
        "path": os.path.relpath(path, ROOT),
        "duration_s": n_frames / study.world.fps,
        "fps": study.world.fps,
        "n_frames": n_frames,
        "status": "ok",
        "error": None,
    }


def _events(study: Study, script: Script) -> Iterator[dict[str, object]]:
    for tick, label in script.events:
        time = tick * frames_per_tick(study.world) / study.world.fps
        yield {"film_id": script.film_id, "time_s": time, "event": EVENTS[label], "label": label}


def _play(study: Study, script: Script) -> Iterator[np.ndarray]:
    """Draw the pictures of a film, one a tick: uint8 RGB (height, width, 3)."""
    width, height = study.world.film_size
    for shot in script.shots:
        rng = generator(study.seed, script.film_id, shot.start, "place")
        place = backgrounds.sample_background(rng, (height, width))
        if shot.person is None:
            yield from repeat(_photograph(study, script, place), shot.stop - shot.start)
            continue
        person, (centre, scale) = script.cast[shot.person], framing(study, script, shot)
        light = render.sample_light(rng, style="film")
        render.draw_body(place, person, centre=centre, px_per_unit=scale, light=light)
        for moment in act(study, script, shot):
            canvas = place.copy()
            render.draw_head(
                canvas,
                person,
                moment.expression,
                centre=centre,
                px_per_unit=scale,
                pose=moment.pose,
                light=light,
                gaze=moment.gaze,
                blink=moment.blink,
            )
            yield _photograph(study, script, canvas)


def _photograph(study: Study, script: Script, canvas: np.ndarray) -> np.ndarray:
    """Take a picture in the grading that all of a film has."""
    return render.camera(generator(study.seed, script.film_id, "grading"), canvas, style="film")


def _make_film(study: Study, script: Script, path: Path) -> bool:
    """Play and encode a film unless it lies there already; say whether it was drawn."""
    world = study.world
    settings = [study.seed, world.film_size, world.fps, world.renders_per_second, script]
    made_by = digest(settings, makers=("scripts", "films"))
    if _made_by(path) == made_by:
        return False
    _encode(path, _play(study, script), world=world, made_by=made_by)
    return True


def _made_by(path: Path) -> str | None:
    """Read what a film was made by, which it carries as its comment."""
    try:
        with av.open(str(path)) as film:
            return film.metadata.get("comment")
    except (FileNotFoundError, av.error.InvalidDataError):
        return None


def _encode(path: Path, pictures: Iterator[np.ndarray], *, world: World, made_by: str) -> None:
    """Encode a film as H.264 with a closed group of pictures every 5 s, whole or not at all."""
    partial = path.with_suffix(".part")
    hold, at = frames_per_tick(world), 0
    # The fastest preset, but with the cuts and the B-frames of a usual film. One thread: with
    # more, the bytes would depend on their number.
    speed = {"preset": "ultrafast", "crf": "22", "threads": "1"}
    options = speed | {"g": str(5 * world.fps), "flags": "+cgop", "sc_threshold": "40", "bf": "2"}
    with av.open(str(partial), "w", format="mp4") as film:
        film.metadata["comment"] = made_by
        stream = film.add_stream("libx264", rate=world.fps, options=options)
        stream.width, stream.height = world.film_size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            for _ in range(hold):
                frame.pts, at = at, at + 1
                film.mux(stream.encode(frame))
        film.mux(stream.encode())
    partial.replace(path)
