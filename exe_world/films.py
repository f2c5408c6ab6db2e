"""Films of the world: their scripts, and the scripts played and encoded as H.264.

A script has acts, plot events, cuts, and who does what in each shot. Time runs in ticks: a picture
is drawn each second and held until the next one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import av
import numpy as np
import pandas as pd
from tqdm import tqdm

from exe_core.labels import EMOTIONS
from exe_core.record import ROOT, digest_of, replacing
from exe_core.staleness import code_digest
from exe_core.study import Study
from exe_core.tables import item_id, write
from exe_world.backgrounds import sample_background
from exe_world.camera import camera, sample_light
from exe_world.face import Identity, blend, sample_expression, sample_identity, sample_pose
from exe_world.making import FACE_WIDTH, generator, workers, write_truth
from exe_world.render import Person, draw_body, draw_head

FPS = 24
"""Frames a second in a film's file."""

GENRES = {
    "comedy": (2, 1, 1, 8, 2, 4, 3),
    "crime": (7, 2, 4, 1, 3, 3, 3),
    "drama": (3, 1, 2, 3, 8, 2, 3),
    "horror": (2, 2, 8, 1, 2, 4, 2),
}
"""Genre -> the weights of the emotions, in their order; a study shows those it has labels for."""

ARCS = {
    "comedy": ("happy", "sad", "happy"),
    "crime": ("surprise", "angry", "sad"),
    "drama": ("happy", "sad", "sad"),
    "horror": ("happy", "surprise", "fear"),
}
"""Genre -> the emotion that gains weight in each of three acts."""

EVENTS = {
    **{"angry": "a betrayal", "disgust": "a foul discovery", "fear": "a threat"},
    **{"happy": "a reunion", "sad": "a loss", "surprise": "a revelation", "neutral": "a calm"},
}
"""Emotion -> what happens when it rises."""

EVENT_TIMES = ((0.25, 0.40), (0.60, 0.75))
EVENT_REACH = 0.15
"""When in a film its events may come, and how long each is felt, as shares of its length."""

_TITLES = {
    "comedy": ("A Goose at Table", "Two Left Umbrellas", "The Understudy's Understudy"),
    "crime": ("Ledger of Salt", "The Quiet Locksmith", "Nine Doors Down"),
    "drama": ("What the Orchard Kept", "Letters to a Lighthouse", "The Long Thaw"),
    "horror": ("The Cellar Tide", "Do Not Wind the Clock", "Moth Hour"),
}


@dataclass(frozen=True)
class Shot:
    """What lies between two cuts: one of the cast, or no one, and one emotion or two in turn."""

    start: int  # tick
    stop: int  # tick after its last
    person: int | None  # place in the cast
    emotions: tuple[str, ...]
    intensity: float


@dataclass(frozen=True)
class Script:
    """A film before it is played."""

    film_id: str
    title: str
    genre: str
    cast: tuple[Identity, ...]
    events: tuple[tuple[int, str], ...]  # tick, emotion that rises
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Moment:
    """What the person of a shot does at one tick, and what that is."""

    person: Person
    label: str
    is_blend: bool


def make_films(study: Study, *, jobs: int = 2, progress: bool = True) -> pd.DataFrame:
    """Make the films of a study below ``study.raw / "films"``, their table, events and truth.

    A film that was made by the same settings and code is left as it is; one that was broken off
    is made anew.

    Returns
    -------
    pandas.DataFrame
        The table `films`, as written to ``study.raw / "films.parquet"`` (``study.table("films")``
        is written when they are screened); paths are relative to the project.
    """
    scripts = [write_script(study, place) for place in range(study.world.n_films)]
    paths = [study.raw / "films" / f"{script.film_id}.mp4" for script in scripts]
    code = code_digest("exe_world.films.play", "exe_world.films._encode")
    with workers(jobs) as pool:
        made = pool.map(_make_film, repeat(study), scripts, paths, repeat(code))
        list(tqdm(made, "films", len(scripts), disable=not progress))
    write_truth(study, "films", [row for script in scripts for row in truth(study, script)])
    events = [
        (script.film_id, float(tick), EVENTS[label], label)
        for script in scripts
        for tick, label in script.events
    ]
    study.write(pd.DataFrame(events, columns=["film_id", "time_s", "event", "label"]), "events")
    lengths_s = [script.shots[-1].stop for script in scripts]
    named = [(script.film_id, script.title, script.genre) for script in scripts]
    films = pd.DataFrame(named, columns=["film_id", "title", "genre"]).assign(
        path=[os.path.relpath(path, ROOT) for path in paths],
        duration_s=lengths_s,
        fps=FPS,
        n_frames=[FPS * length_s for length_s in lengths_s],
        status="ok",
        error=None,
    )
    write(films, study.raw / "films.parquet", name="films")
    return films


def truth(study: Study, script: Script) -> Iterator[dict[str, object]]:
    """Give what every frame of a film shows, as rows of the table `truth`."""
    for shot in script.shots:
        rows: list[dict[str, object]] = [
            {
                "label_true": moment.label,
                "n_faces": 1,
                "is_blend": moment.is_blend,
            }
            for moment in act(study, script, shot)
        ] or [{"n_faces": 0, "is_blend": False}] * (shot.stop - shot.start)
        for frame in range(shot.start * FPS, shot.stop * FPS):
            yield {"item_id": item_id(script.film_id, frame), **rows[frame // FPS - shot.start]}


def write_script(study: Study, place: int) -> Script:
    """Write the script of the `place`-th film; the genres take turns."""
    genre = tuple(GENRES)[place % len(GENRES)]
    turn = place // len(GENRES)
    film_id, titles = f"{genre}-{turn + 1:02d}", _TITLES[genre]
    rng = generator(study.seed, film_id)
    sequel = f" {turn // len(titles) + 1}" if turn >= len(titles) else ""
    n_ticks = round(study.world.film_seconds)
    moved = rng.choice(study.labels, len(EVENT_TIMES), replace=False)
    events = tuple(
        (round(n_ticks * rng.uniform(*window)), str(label))
        for window, label in zip(EVENT_TIMES, moved, strict=True)
    )
    cast = tuple(sample_identity(rng) for _ in range(rng.integers(3, 6)))
    shots = tuple(_shots(rng, study, genre, events=events, n_ticks=n_ticks, n_cast=len(cast)))
    return Script(film_id, titles[turn % len(titles)] + sequel, genre, cast, events, shots)


def _shots(
    rng: np.random.Generator,
    study: Study,
    genre: str,
    *,
    events: tuple[tuple[int, str], ...],
    n_ticks: int,
    n_cast: int,
) -> Iterator[Shot]:
    start = 0
    while start < n_ticks:
        length = round(rng.uniform(2, 8))
        # A plot event comes with a cut.
        stop = min(start + length, n_ticks, *(tick for tick, _ in events if tick > start))
        shares = _shares(study, genre, events, at=start, n_ticks=n_ticks)
        n_emotions = 2 if stop - start >= 4 and rng.random() < 0.3 else 1
        emotions = tuple(rng.choice(study.labels, n_emotions, p=shares).tolist())
        # The lead is in twice as many shots as each of the others.
        person = max(int(rng.integers(-1, n_cast)), 0) if rng.random() > 0.15 else None
        yield Shot(start, stop, person, emotions, intensity=rng.uniform(0.35, 0.75))
        start = stop


def _shares(
    study: Study, genre: str, events: tuple[tuple[int, str], ...], *, at: int, n_ticks: int
) -> np.ndarray:
    """Give the chance of each label in a shot that starts at tick `at`."""
    known = dict(zip(EMOTIONS, GENRES[genre], strict=True))
    weights = np.array([known[label] for label in study.labels], float)
    weights[np.array(study.labels) == ARCS[genre][3 * at // n_ticks]] *= 2
    for tick, risen in events:
        # What an event brings is rare until it comes, and four times the rest together after it.
        is_risen = np.array(study.labels) == risen
        if tick - EVENT_REACH * n_ticks <= at < tick:
            weights[is_risen] *= 0.2
        elif tick <= at < tick + EVENT_REACH * n_ticks:
            weights[is_risen] = 4 * weights[~is_risen].sum()
    return weights / weights.sum()


def act(study: Study, script: Script, shot: Shot) -> list[Moment]:
    """Draw what the person of a shot does, tick by tick; nothing if it shows no one."""
    if shot.person is None:
        return []
    identity, (centre, scale) = script.cast[shot.person], _framing(study, script, shot)
    rng = generator(study.seed, script.film_id, shot.start, "acting")
    shown = [sample_expression(rng, name, intensity=shot.intensity) for name in shot.emotions]
    home, phases = np.array(sample_pose(rng, scale=1)), rng.uniform(0, 2 * math.pi, 4)
    moments = []
    for tick in range(shot.stop - shot.start):
        waves = np.sin(0.9 * tick + phases)
        # The weight of the second emotion rises over the middle third of the shot.
        turned = float(np.clip(3 * (tick + 0.5) / (shot.stop - shot.start) - 1, 0, 1))
        weight = turned if len(shown) > 1 else 0.0
        person = Person(
            identity,
            blend(shown[0], shown[-1], weight),
            centre=centre,
            px_per_unit=scale,
            pose=tuple((home + waves[:3] * (0.16, 0.06, 0.05)).tolist()),
            gaze=(0.3 * float(waves[3]), 0.0),
            blink=rng.uniform(0.4, 1) if rng.random() < 0.06 else 0.0,
        )
        label = shot.emotions[-1] if weight >= 0.5 else shot.emotions[0]
        is_blend = 0 < weight < 1 and shot.emotions[0] != shot.emotions[-1]
        moments.append(Moment(person, label, is_blend))
    return moments


def _framing(study: Study, script: Script, shot: Shot) -> tuple[tuple[float, float], float]:
    """Draw where the person of a shot is (px, between the eyes) and how near (px per unit)."""
    rng = generator(study.seed, script.film_id, shot.start, "framing")
    width, height = study.world.film_size
    scale = min(width * rng.uniform(0.17, 0.27) / FACE_WIDTH, height / 2.3)
    y = np.clip(height * rng.uniform(0.40, 0.52), 1.15 * scale, height - 1.12 * scale)
    return (width * rng.uniform(0.35, 0.65), float(y)), scale


def play(study: Study, script: Script) -> Iterator[np.ndarray]:
    """Draw the pictures of a film, one a tick: uint8 RGB (height, width, 3)."""
    width, height = study.world.film_size
    for shot in script.shots:
        rng = generator(study.seed, script.film_id, shot.start, "place")
        place = sample_background(rng, (height, width))
        moments = act(study, script, shot)
        if not moments:
            yield from repeat(_photograph(study, script, place), shot.stop - shot.start)
            continue
        light = sample_light(rng, style="film")
        draw_body(place, moments[0].person, light)
        for moment in moments:
            canvas = place.copy()
            draw_head(canvas, moment.person, light)
            yield _photograph(study, script, canvas)


def _photograph(study: Study, script: Script, canvas: np.ndarray) -> np.ndarray:
    """Take a picture in the grading that all of a film has."""
    return camera(generator(study.seed, script.film_id, "grading"), canvas, style="film")


def _make_film(study: Study, script: Script, path: Path, code: str) -> None:
    """Play and encode a film unless it lies there already, made by the same settings and code."""
    made_by = digest_of([study.seed, study.world.film_size, script, code])
    if _made_by(path) != made_by:
        _encode(path, play(study, script), size=study.world.film_size, made_by=made_by)


def _made_by(path: Path) -> str | None:
    """Read what a film was made by, which it carries as its comment."""
    try:
        with av.open(str(path)) as film:
            return film.metadata.get("comment")
    except (FileNotFoundError, av.error.InvalidDataError):
        return None


def _encode(
    path: Path, pictures: Iterator[np.ndarray], *, size: tuple[int, int], made_by: str
) -> None:
    """Encode a film as H.264 with a closed group of pictures every 5 s, whole or not at all."""
    at = 0
    # The fastest preset, but with the cuts and the B-frames of a usual film. One thread: with
    # more, the bytes would depend on their number.
    speed = {"preset": "ultrafast", "crf": "22", "threads": "1"}
    options = speed | {"g": str(5 * FPS), "flags": "+cgop", "sc_threshold": "40", "bf": "2"}
    with replacing(path) as partial, av.open(str(partial), "w", format="mp4") as film:
        film.metadata["comment"] = made_by
        stream = film.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuv420p")
            for _ in range(FPS):
                frame.pts, at = at, at + 1
                film.mux(stream.encode(frame))
        film.mux(stream.encode())
