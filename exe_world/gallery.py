"""Pictures of the world for the book, drawn as the study draws its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exe_core.study import Study
from exe_core.tables import EMOTIONS
from exe_world import face, render
from exe_world.making import generator


@dataclass(frozen=True)
class Portrait:
    """A face of the gallery: who, showing what."""

    person: int
    emotion: str
    image: np.ndarray


def expressions(study: Study, *, n_people: int, size: int = 160) -> list[Portrait]:
    """Draw a few people, each with all seven expressions at full intensity.

    Parameters
    ----------
    study
        Its seed.
    n_people
        Their skin tones are spread over the whole range.
    size
        Of an image, px.
    """
    portraits = []
    for person, tone in enumerate(np.linspace(0, 6, n_people)):
        rng = generator(study.seed, "gallery", person)
        identity = face.sample_identity(rng, skin_tone=float(tone))
        for emotion in EMOTIONS:
            image = render.render_face(
                rng, emotion, size=size, style="selfie", identity=identity, intensity=1.0
            )
            portraits.append(Portrait(person, emotion, image))
    return portraits
