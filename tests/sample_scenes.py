"""World scenes of one person whose face has a given width, also as large as a camera takes them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from exe_core.labels import EMOTIONS
from exe_world.backgrounds import sample_background
from exe_world.camera import camera, sample_light
from exe_world.face import sample_expression, sample_identity, sample_pose
from exe_world.making import FACE_WIDTH
from exe_world.render import Person, draw_person

DETAIL = ((1, 2.0), (2, 1.0), (4, 1.0), (8, 1.0))
"""Size (px) and strength (of 255) of the noise and texture that an enlarged scene is given."""


@dataclass(frozen=True)
class Scene:
    """A picture, and the box (x, y, width, height) of its face, from brows to chin."""

    picture: np.ndarray
    face: tuple[int, int, int, int] | None


def scene(rng: np.random.Generator, size: tuple[int, int], *, share: float | None) -> Scene:
    """Draw a scene.

    Parameters
    ----------
    size
        Height and width, px.
    share
        The face's width in widths of the picture; None for a scene without a person.
    """
    height, width = size
    canvas = sample_background(rng, size)
    light, box = sample_light(rng, style="stock"), None
    if share is not None:
        scale = share * width / FACE_WIDTH
        spare = min(1.4 * scale, width / 2), min(1.2 * scale, height / 2)
        person = Person(
            sample_identity(rng),
            sample_expression(rng, str(rng.choice(EMOTIONS)), intensity=rng.uniform(0.6, 1.1)),
            centre=tuple(
                rng.uniform(s, n - s) for s, n in zip(spare, (width, height), strict=True)
            ),
            px_per_unit=scale,
            pose=sample_pose(rng, scale=0.8),
            gaze=tuple(rng.normal(0, 0.3, 2)),
        )
        box = draw_person(canvas, person, light)
    return Scene(camera(rng, canvas, style="stock"), box)


def enlarged(rng: np.random.Generator, picture: np.ndarray, *, times: int) -> np.ndarray:
    """Enlarge a picture and give it the detail of each size that a camera would have seen."""
    large = cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    height, width = large.shape[:2]
    detail = np.zeros((height, width), np.float32)
    for size, strength in DETAIL:
        coarse = rng.standard_normal((height // size, width // size), dtype=np.float32)
        detail += strength * cv2.resize(coarse, (width, height))
    return np.clip(large + detail[..., None], 0, 255).astype(np.uint8)
