"""Stock photos: whom a photo site has, what its queries give, and how a photo is drawn.

All faces of a photo show the photo's emotion. Which emotion that is, a query decides only with
the noise of the study's confusion table; a photo without a face shows none.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass

import numpy as np

from exe_core.labels import EMOTIONS
from exe_core.settings import KEYWORDS, World
from exe_core.study import Study
from exe_world.backgrounds import sample_background
from exe_world.camera import camera, sample_light
from exe_world.face import sample_expression, sample_identity, sample_pose
from exe_world.making import FACE_WIDTH, generator
from exe_world.render import Person, draw_person

FACES_PER_PHOTO = (0.10, 0.65, 0.25)
"""Shares of photos with no face, one and two."""

DUPLICATE_SHARE = 0.1
"""Share of a query's photos that another query returns, too."""

_FIRST_NAMES = (
    *("Ada", "Bo", "Cleo", "Dag", "Esi", "Fay", "Gus", "Ines", "Jun", "Kofi", "Lin", "Mio"),
)
_LAST_NAMES = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Hazel", "Juniper", "Larch")


@dataclass(frozen=True)
class Photo:
    """A photo of the site, before it is drawn."""

    photo_id: str  # "pexels:10001"
    query: str  # that it was taken for; others may give it too
    emotion: str  # that its faces show
    author: str

    @property
    def source(self) -> str:
        """The source that has it."""
        return self.photo_id.partition(":")[0]

    @property
    def name(self) -> str:
        """Its id at the source: two sources use the same numbers, as real ones do."""
        return self.photo_id.partition(":")[2]


def catalogue(study: Study, source: str) -> dict[str, list[Photo]]:
    """List what each query of the study's labels and designs gives at a source, best hit first.

    On average `DUPLICATE_SHARE` of a query's photos are given by another query as well: half of
    them are borrowed from the others, half lent to them.
    """
    world, taken, borrowed = study.world, {}, {}
    asked = [
        (query, emotion, world.photos_per_query[design])
        for design in study.pull.designs
        for emotion in study.labels
        for query in KEYWORDS[design][emotion]
    ]
    for place, (query, emotion, n_photos) in enumerate(asked, start=1):
        rng = generator(study.seed, source, query)
        borrowed[query] = rng.binomial(n_photos, DUPLICATE_SHARE / 2)
        noise = world.keyword_noise.get(query, {})
        shares = {name: noise.get(name, 0.0) for name in EMOTIONS}
        shares[emotion] = 1 - sum(noise.values())
        shown = rng.choice(list(shares), n_photos - borrowed[query], p=list(shares.values()))
        taken[query] = [
            Photo(
                f"{source}:{_name(source, 10_000 * place + rank)}",
                query,
                emotion=name,
                author=f"{rng.choice(_FIRST_NAMES)} {rng.choice(_LAST_NAMES)}",
            )
            for rank, name in enumerate(shown.tolist())
        ]
    hits = {}
    for query, photos in taken.items():
        rng = generator(study.seed, source, query, "order")
        others = [photo for other in taken if other != query for photo in taken[other]]
        lent = rng.choice(len(others), min(borrowed[query], len(others)), replace=False)
        given = [*photos, *(others[place] for place in lent)]
        hits[query] = [given[place] for place in rng.permutation(len(given))]
    return hits


def _name(source: str, number: int) -> str:
    """Name a photo as its source names them: by a number or a UUID."""
    digest = hashlib.sha256(f"{source}/{number}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4)) if source == "openverse" else str(number)


def draw(study: Study, photo: Photo) -> np.ndarray:
    """Draw a photo: uint8 RGB (height, width, 3) of the world's photo size."""
    rng = generator(study.seed, photo.photo_id)
    people = _people(rng, photo.emotion, study.world)
    width, height = study.world.photo_size
    canvas = sample_background(rng, (height, width))
    light = sample_light(rng, style="stock")
    for person in people:
        draw_person(canvas, person, light)
    return camera(rng, canvas, style="stock")


def truth(study: Study, photo: Photo) -> dict[str, object]:
    """Give what a photo shows, as a row of the table `truth`."""
    people = _people(generator(study.seed, photo.photo_id), photo.emotion, study.world)
    label = photo.emotion if people else None
    item = {"item_id": photo.photo_id, "label_true": label}
    return {**item, "n_faces": len(people), "is_blend": False}


def _people(rng: np.random.Generator, emotion: str, world: World) -> list[Person]:
    """Place the people of a photo, the nearest (largest) last."""
    width, height = world.photo_size
    n_faces = rng.choice(3, p=FACES_PER_PHOTO)
    places = {0: [], 1: [(0.28, 0.72)], 2: [(0.22, 0.32), (0.68, 0.78)]}[int(n_faces)]
    people = []
    for left, right in places:
        # A face under 16 % of the frame's width is one that the detector may miss.
        scale = width * rng.uniform(0.17, 0.33 if n_faces == 1 else 0.25) / FACE_WIDTH
        scale = min(scale, height / 2.3)
        middle = np.clip(height * rng.uniform(0.36, 0.56), 1.15 * scale, height - 1.1 * scale)
        intensity = rng.uniform(0.6, 1.1)
        person = Person(
            identity=sample_identity(rng),
            expression=sample_expression(rng, emotion, intensity=intensity),
            pose=sample_pose(rng, scale=0.8),
            gaze=tuple(rng.normal(0, 0.3, 2)),
            centre=(width * rng.uniform(left, right), float(middle)),
            px_per_unit=scale,
        )
        people.append(person)
    return sorted(people, key=lambda person: person.px_per_unit)


def sample(study: Study, n: int) -> list[tuple[Photo, np.ndarray]]:
    """Draw `n` photos of the study, one query after the other, to be looked at."""
    queries = [hits for source in study.pull.sources for hits in catalogue(study, source).values()]
    chosen = [queries[place % len(queries)][place // len(queries)] for place in range(n)]
    return [(photo, draw(study, photo)) for photo in chosen]
