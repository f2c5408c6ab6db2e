"""Persons drawn on a canvas of linear light, and whole portraits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from exe_world.backgrounds import sample_background
from exe_world.camera import STYLES, Light, camera, illuminate, sample_light
from exe_world.face import Identity, features, sample_expression, sample_identity, sample_pose
from exe_world.paint import paint_head
from exe_world.textures import CLOUDS, lerp, sample, single, smoothstep
from exe_world.trace import Window, bounds, trace, window

_BODY = (-2.6, 1.0, 2.6, np.inf)  # left, top, right, bottom, in units from between the eyes


@dataclass(frozen=True)
class Person:
    """A person in a picture: who, where, and what the face does.

    Attributes
    ----------
    identity, expression
        Who, and action unit -> activation.
    centre
        x, y in px of the point between the eyes.
    px_per_unit
        Size: a face is about 1.38 units wide.
    pose
        Yaw, pitch, roll in radians.
    gaze
        Right and down, 1 at the corner of the eye.
    blink
        0 open, 1 shut.
    """

    identity: Identity
    expression: dict[str, float]
    centre: tuple[float, float]
    px_per_unit: float
    pose: tuple[float, float, float] = (0.0, 0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    blink: float = 0.0


def draw_person(
    canvas: np.ndarray, person: Person, light: Light
) -> tuple[int, int, int, int] | None:
    """Draw a person, body and head, on the canvas in place.

    A film whose shot stands still calls `draw_body` once and `draw_head` on a copy per frame.

    Parameters
    ----------
    canvas
        (H, W, 3) float32, linear RGB.
    person, light
        Whom to draw, in which light.

    Returns
    -------
    tuple or None
        The face's x, y, width, height in px, from brows to chin, clipped to the canvas; None
        where no face can be seen on it.
    """
    draw_body(canvas, person, light)
    return draw_head(canvas, person, light)


def draw_head(canvas: np.ndarray, person: Person, light: Light) -> tuple[int, int, int, int] | None:
    """Draw head and neck only; parameters, result and errors as of `draw_person`."""
    identity = person.identity
    face = features(identity, person.expression, blink=person.blink)
    surface = trace(
        identity,
        face,
        pose=person.pose,
        size=canvas.shape[:2],
        centre=person.centre,
        px_per_unit=person.px_per_unit,
    )
    if surface is None:
        return None
    view = surface.view
    # Neck and hanging hair end at the clothes, but what is before the chest does not.
    behind = np.maximum(surface.neck, surface.depth < -0.05)
    cover = surface.cover * (1 - _clothes_cover(identity, view) * behind)
    paint = paint_head(surface, identity, face, gaze=person.gaze)
    picture = canvas[view.slices]
    picture[:] = lerp(picture, illuminate(surface, paint, light), cover)
    chin = 0.98 + face.jaw_drop
    is_face = (surface.cover > 0.5) & (surface.neck < 0.5) & (surface.hair < 0.5)
    is_face &= (surface.y > -0.35) & (surface.y < chin) & (np.abs(surface.angle) < 1.5)
    box = bounds(is_face)
    if box is None:
        return None
    rows, columns = box
    width, height = columns.stop - columns.start, rows.stop - rows.start
    return int(view.left + columns.start), int(view.top + rows.start), int(width), int(height)


def draw_body(canvas: np.ndarray, person: Person, light: Light) -> None:
    """Draw shoulders and chest on the canvas in place; they do not move with the head.

    They are flat shapes, lit as if round.
    """
    identity = person.identity
    view = window(canvas.shape[:2], _BODY, centre=person.centre, px_per_unit=person.px_per_unit)
    if view is None:
        return
    u, v = view.axes()
    toward = light.direction
    slope = np.clip(u / 1.7, -1, 1)
    top = np.exp(-np.maximum(v - _shoulder(u), 0) / 0.25)
    facing = np.clip(slope * toward[0] + 0.85 * toward[2] - 0.35 * toward[1] * top + 0.15, 0, 1.2)
    weave = 1 + 0.10 * sample(CLOUDS, *np.meshgrid(u * 45, v * 35), seed=identity.seed)
    light_on = (facing * weave)[..., None] * single(light.key) + single(light.ambient)
    hem = np.exp(-(((v - _neckline(identity, u) - 0.045) / 0.02) ** 2)) * (np.abs(u) < 0.5)
    colour = single(identity.clothes) * 0.85 * light_on * (1 - 0.35 * hem)[..., None]
    picture = canvas[view.slices]
    picture[:] = lerp(picture, colour, _clothes_cover(identity, view))


def _shoulder(u: np.ndarray) -> np.ndarray:
    x = np.abs(u)
    fall = 0.26 * smoothstep(0.3, 1.5, x) + 0.45 * smoothstep(1.2, 1.6, x)
    collarbone = 0.10 * np.exp(-(((x - 0.45) / 0.2) ** 2))
    return 1.34 + fall + 6 * np.maximum(x - 1.5, 0) ** 1.5 - collarbone


def _neckline(identity: Identity, u: np.ndarray) -> np.ndarray:
    x = np.abs(u)
    cut = (
        0.16 * np.exp(-((x / 0.33) ** 4)),
        0.62 * np.maximum(1 - x / 0.38, 0),
        0.05 * np.exp(-((x / 0.4) ** 4)) - 0.05,
        0.32 * np.maximum(1 - x / 0.3, 0),
    )[identity.collar]
    return _shoulder(u) + cut


def _clothes_cover(identity: Identity, view: Window) -> np.ndarray:
    """Compute how much of each pixel lies below the neckline."""
    u, v = view.axes()
    pixel = 1 / view.px_per_unit
    return smoothstep(-pixel, pixel, v - _neckline(identity, u))


def render_face(
    rng: np.random.Generator,
    emotion: str,
    *,
    size: int,
    style: str,
    identity: Identity | None = None,
    intensity: float | None = None,
) -> np.ndarray:
    """Take one portrait.

    Parameters
    ----------
    emotion, style
        Of `exe_world.face.EXPRESSIONS` and `exe_world.camera.STYLES`.
    size
        Side of the picture, px, 16 or more.
    identity, intensity
        Who, and how strongly; drawn, within the style's range, where None.

    Returns
    -------
    numpy.ndarray
        (size, size, 3) uint8 sRGB.

    Examples
    --------
    >>> render_face(np.random.default_rng(0), "happy", size=48, style="selfie").shape
    (48, 48, 3)
    """
    ranges = STYLES[style]
    identity = identity or sample_identity(rng)
    strength = rng.uniform(*ranges.intensity)
    strength = strength if intensity is None else intensity
    expression = sample_expression(rng, emotion, intensity=strength)
    pose = sample_pose(rng, scale=ranges.pose)
    # Small pictures are drawn larger, then averaged: thin lines would else flicker.
    side = size * max(1, -(-96 // size))
    kind = "gradient" if style == "lab" else None
    canvas = sample_background(rng, (side, side), kind=kind)
    shift = rng.normal(0, 0.02, 2)
    scale = side * rng.uniform(*ranges.distance)
    light = sample_light(rng, style=style)
    person = Person(
        identity,
        expression,
        centre=(side * (0.5 + shift[0]), side * (0.46 + shift[1])),
        px_per_unit=scale,
        pose=pose,
        gaze=(rng.normal(0, 0.3), rng.normal(0, 0.3)),
    )
    draw_person(canvas, person, light)
    if side > size:
        canvas = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return camera(rng, canvas, style=style)
