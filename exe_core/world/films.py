"""Films of the world: scripts with acts, plot events and cuts, played, encoded, and their truth.

Time runs in ticks: a picture is drawn each tick and held until the next one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path

import av
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from exe_core.config import Study, World
from exe_core.schema import write
from exe_core.world import backgrounds, face, render
from exe_core.world.making import FACE_WIDTH, digest, generator, workers, write_truth

GENRES: dict[str, dict[str, float]] = {
    "comedy": {
        "happy": 8,
        "surprise": 4,
        "sad": 2,
        "angry": 2,
        "fear": 1,
        "disgust": 1,
        "neutral": 3,
    },
    "crime": {
        "angry": 7,
        "fear": 4,
        "sad": 3,
        "surprise": 3,
        "happy": 1,
        "disgust": 2,
        "neutral": 3,
    },
    "drama": {
        "sad": 8,
        "happy": 3,
        "angry": 3,
        "fear": 2,
        "surprise": 2,
        "disgust": 1,
        "neutral": 3,
    },
    "horror": {
        "fear": 8,
        "surprise": 4,
        "sad": 2,
        "angry": 2,
        "happy": 1,
        "disgust": 2,
        "neutral": 2,
    },
}
"""Genre -> emotion -> its weight; those that a study has no label for are not shown."""

ARCS = {
    "comedy": ("happy", "sad", "happy"),
    "crime": ("surprise", "angry", "sad"),
    "drama": ("happy", "sad", "sad"),
    "horror": ("happy", "surprise", "fear"),
}
"""Genre -> the emotion that gains weight in each of three acts."""

EVENTS = {
    "angry": "a betrayal",
    "disgust": "a foul discovery",
    "fear": "a threat",
    "happy": "a reunion",
    "sad": "a loss",
    "surprise": "a revelation",
    "neutral": "a calm",
}
_EVENT_TIMES = ((0.25, 0.40), (0.60, 0.75))
_EVENT_REACH, _EVENT_SHARE = 0.15, 0.8

_TITLES = {
    "comedy": ("A Goose at Table", "Two Left Umbrellas", "The Understudy's Understudy"),
    "crime": ("Ledger of Salt", "The Quiet Locksmith", "Nine Doors Down"),
    "drama": ("What the Orchard Kept", "Letters to a Lighthouse", "The Long Thaw"),
    "horror": ("The Cellar Tide", "Do Not Wind the Clock", "Moth Hour"),
}

_log = logging.getLogger(__name__)


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
    cast: tuple[face.Identity, ...]
    events: tuple[tuple[int, str], ...]  # tick, emotion that rises
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Moment:
    """What the person of a shot does at one tick."""

    expression: dict[str, float]
    pose: tuple[float, float, float]
    gaze: tuple[float, float]
    blink: float
    label: str
    is_blend: bool


def make_films(study: Study, *, jobs: int = 2, progress: bool = True) -> pd.DataFrame:
    """Make the films of a study below ``study.raw / "films"``, their table, events and truth.

    A film that was made by the same settings and code is left as it is; one that was broken off
    is made anew.

    Returns
    -------
    pandas.DataFrame
        The table `films`; paths are relative to ``study.raw``.
    """
    scripts = [write_script(study, place) for place in range(study.world.n_films)]
    paths = [study.raw / "films" / f"{script.film_id}.mp4" for script in scripts]
    paths[0].parent.mkdir(parents=True, exist_ok=True)
    with workers(jobs) as pool:
        made = pool.map(_make_film, repeat(study), scripts, paths)
        for script in tqdm(scripts, "films", disable=not progress):
            _log.info("%s %s", script.film_id, "drawn" if next(made) else "was there already")
    write_truth(study, "films", [row for script in scripts for row in truth(study, script)])
    events = [row for script in scripts for row in _events(study, script)]
    write(pd.DataFrame(events), study.table("events"), name="events")
    films = pd.DataFrame([_film(study, *film) for film in zip(scripts, paths, strict=True)])
    write(films, study.table("films"), name="films")
    return films


def _film(study: Study, script: Script, path: Path) -> dict[str, object]:
    n_frames = script.shots[-1].stop * frames_per_tick(study.world)
    return {
        "film_id": script.film_id,
        "title": script.title,
        "genre": script.genre,
        "path": str(path.relative_to(study.raw)),
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


def write_script(study: Study, place: int) -> Script:
    """Write the script of the `place`-th film; the genres take turns."""
    genre = tuple(GENRES)[place % len(GENRES)]
    turn = place // len(GENRES)
    film_id, titles = f"{genre}-{turn + 1:02d}", _TITLES[genre]
    rng = generator(study.seed, film_id)
    sequel = f" {turn // len(titles) + 1}" if turn >= len(titles) else ""
    n_ticks = max(round(study.world.film_seconds * study.world.renders_per_second), 1)
    moved = rng.choice([name for name in study.labels if name != "neutral"], 2, replace=False)
    events = tuple(
        (round(n_ticks * rng.uniform(*window)), str(label))
        for window, label in zip(_EVENT_TIMES, moved, strict=True)
    )
    cast = tuple(face.sample_identity(rng) for _ in range(rng.integers(3, 6)))
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
        length = max(round(rng.uniform(2, 8) * study.world.renders_per_second), 1)
        # A plot event comes with a cut.
        stop = min(start + length, n_ticks, *(tick for tick, _ in events if tick > start))
        shares = _shares(study, genre, events, at=start, n_ticks=n_ticks)
        n_emotions = 2 if stop - start >= 4 and rng.random() < 0.3 else 1
        emotions = tuple(rng.choice(list(shares), n_emotions, p=list(shares.values())).tolist())
        # The lead is in twice as many shots as each of the others.
        person = max(int(rng.integers(-1, n_cast)), 0) if rng.random() > 0.15 else None
        yield Shot(start, stop, person, emotions, intensity=rng.uniform(0.35, 0.75))
        start = stop


def _shares(
    study: Study, genre: str, events: tuple[tuple[int, str], ...], *, at: int, n_ticks: int
) -> dict[str, float]:
    """Give the chance of each label in a shot that starts at tick `at`."""
    weights = {label: GENRES[genre][label] for label in study.labels}
    risen = ARCS[genre][3 * at // n_ticks]
    if risen in weights:
        weights[risen] *= 2
    total = sum(weights.values())
    shares = {label: weight / total for label, weight in weights.items()}
    for tick, label in events:
        if tick <= at < tick + _EVENT_REACH * n_ticks:
            shares = {name: share * (1 - _EVENT_SHARE) for name, share in shares.items()}
            shares[label] += _EVENT_SHARE
    return shares


def _framing(study: Study, script: Script, shot: Shot) -> tuple[tuple[float, float], float]:
    """Draw where the person of a shot is (px, between the eyes) and how near (px per unit)."""
    rng = generator(study.seed, script.film_id, shot.start, "framing")
    width, height = study.world.film_size
    scale = min(width * rng.uniform(0.17, 0.27) / FACE_WIDTH, height / 2.3)
    y = np.clip(height * rng.uniform(0.40, 0.52), 1.15 * scale, height - 1.12 * scale)
    return (width * rng.uniform(0.35, 0.65), float(y)), scale


def _act(study: Study, script: Script, shot: Shot) -> list[Moment]:
    """Draw what the person of a shot does, tick by tick."""
    rng = generator(study.seed, script.film_id, shot.start, "acting")
    shown = [face.sample_expression(rng, name, intensity=shot.intensity) for name in shot.emotions]
    home, phases = np.array(face.sample_pose(rng, scale=1)), rng.uniform(0, 2 * math.pi, 4)
    moments = []
    for tick in range(shot.stop - shot.start):
        waves = np.sin(0.9 * tick / study.world.renders_per_second + phases)
        weight = _turn(tick, shot) if len(shown) > 1 else 0.0
        moment = Moment(
            expression=face.blend(shown[0], shown[-1], weight),
            pose=tuple((home + waves[:3] * (0.16, 0.06, 0.05)).tolist()),
            gaze=(0.3 * float(waves[3]), 0.0),
            blink=rng.uniform(0.4, 1) if rng.random() < 0.06 else 0.0,
            label=shot.emotions[-1] if weight >= 0.5 else shot.emotions[0],
            is_blend=0 < weight < 1 and shot.emotions[0] != shot.emotions[-1],
        )
        moments.append(moment)
    return moments


def _turn(tick: int, shot: Shot) -> float:
    """Give the weight of the second emotion: it rises over the middle third of the shot."""
    return float(np.clip(3 * (tick + 0.5) / (shot.stop - shot.start) - 1, 0, 1))


def _play(study: Study, script: Script) -> Iterator[np.ndarray]:
    """Draw the pictures of a film, one a tick: uint8 RGB (height, width, 3)."""
    width, height = study.world.film_size
    for shot in script.shots:
        rng = generator(study.seed, script.film_id, shot.start, "place")
        place = backgrounds.sample_background(rng, (height, width))
        if shot.person is None:
            yield from repeat(_photograph(study, script, place), shot.stop - shot.start)
            continue
        person, (centre, scale) = script.cast[shot.person], _framing(study, script, shot)
        light = render.sample_light(rng, style="film")
        stands = {"centre": centre, "px_per_unit": scale, "light": light}
        render.draw_body(place, person, **stands)
        for moment in _act(study, script, shot):
            canvas, acts = place.copy(), moment.expression
            looks = {"pose": moment.pose, "gaze": moment.gaze, "blink": moment.blink}
            render.draw_head(canvas, person, acts, **stands, **looks)
            yield _photograph(study, script, canvas)


def _photograph(study: Study, script: Script, canvas: np.ndarray) -> np.ndarray:
    """Take a picture in the grading that all of a film has."""
    return render.camera(generator(study.seed, script.film_id, "grading"), canvas, style="film")


def truth(study: Study, script: Script) -> Iterator[dict[str, object]]:
    """Say what every frame of a film shows, as rows of the table `truth`."""
    hold = frames_per_tick(study.world)
    for shot in script.shots:
        shown = [{"n_faces": 0, "is_blend": False}] * (shot.stop - shot.start)
        if shot.person is not None:
            acted = {"intensity": shot.intensity, "skin_tone": script.cast[shot.person].skin_tone}
            shown = [
                acted
                | {"label_true": moment.label, "is_blend": moment.is_blend, "n_faces": 1}
                | {"yaw_deg": math.degrees(moment.pose[0])}
                for moment in _act(study, script, shot)
            ]
        for frame in range(shot.start * hold, shot.stop * hold):
            yield {"item_id": f"{script.film_id}:{frame:06d}"} | shown[frame // hold - shot.start]


def frames_per_tick(world: World) -> int:
    """Say how many frames a drawn picture is held for."""
    return max(round(world.fps / world.renders_per_second), 1)


def _make_film(study: Study, script: Script, path: Path) -> bool:
    """Play and encode a film unless it lies there already; say whether it was drawn."""
    world = study.world
    settings = [study.seed, world.film_size, world.fps, world.renders_per_second, script]
    made_by = digest(settings, maker="films")
    if _made_by(path) == made_by:
        return False
    _encode(path, _play(study, script), world=world, made_by=made_by)
    return True


def _made_by(path: Path) -> str | None:
    """Read what a film was made by, which it carries as its comment."""
    if not path.exists():
        return None
    with av.open(str(path)) as film:
        return film.metadata.get("comment")


def _encode(path: Path, pictures: Iterator[np.ndarray], *, world: World, made_by: str) -> None:
    """Encode a film as H.264 with a closed group of pictures every 5 s, whole or not at all."""
    partial = path.with_suffix(".part")
    hold, at = frames_per_tick(world), 0
    # One thread: with more, the bytes would depend on their number.
    speed = {"preset": "superfast", "crf": "21", "threads": "1"}
    options = speed | {"g": str(5 * world.fps), "flags": "+cgop"}
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
