"""Persons drawn on a canvas of linear light, and whole portraits."""

from __future__ import annotations

import cv2
import numpy as np

from exe_world.backgrounds import sample_background
from exe_world.body import clothes_cover, draw_body
from exe_world.camera import STYLES, camera, sample_light, style_named
from exe_world.face import Identity, sample_expression, sample_identity, sample_pose
from exe_world.features import features
from exe_world.lighting import Light, illuminate
from exe_world.paint import paint_head
from exe_world.textures import lerp
from exe_world.trace import trace
from exe_world.view import bounds, check_canvas

__all__ = [
    "STYLES",
    "Light",
    "camera",
    "draw_body",
    "draw_head",
    "draw_person",
    "render_face",
    "sample_light",
]


def draw_person(
    canvas: np.ndarray,
    identity: Identity,
    expression: dict[str, float],
    *,
    centre: tuple[float, float],
    px_per_unit: float,
    pose: tuple[float, float, float],
    light: Light,
    gaze: tuple[float, float] = (0.0, 0.0),
    blink: float = 0.0,
) -> tuple[int, int, int, int] | None:
    """Draw a person, body and head, on the canvas in place.

    A film whose shot stands still calls `draw_body` once and `draw_head` on a copy per frame.

    Parameters
    ----------
    canvas
        (H, W, 3) float32, linear RGB.
    identity, expression
        Who, and action unit -> activation.
    centre
        x, y in px of the point between the eyes.
    px_per_unit
        Size: a face is about 1.38 units wide.
    pose
        Yaw, pitch, roll in radians.
    light
        The scene's light.
    gaze
        Right and down, 1 at the corner of the eye.
    blink
        0 open, 1 shut.

    Returns
    -------
    tuple or None
        The face's x, y, width, height in px, from brows to chin, clipped to the canvas; None
        where no face can be seen on it.

    Raises
    ------
    ValueError
        If the canvas is not float32 RGB, or the expression names an unknown action unit.
    """
    draw_body(canvas, identity, centre=centre, px_per_unit=px_per_unit, light=light)
    return draw_head(
        canvas,
        identity,
        expression,
        centre=centre,
        px_per_unit=px_per_unit,
        pose=pose,
        light=light,
        gaze=gaze,
        blink=blink,
    )


def draw_head(
    canvas: np.ndarray,
    identity: Identity,
    expression: dict[str, float],
    *,
    centre: tuple[float, float],
    px_per_unit: float,
    pose: tuple[float, float, float],
    light: Light,
    gaze: tuple[float, float] = (0.0, 0.0),
    blink: float = 0.0,
) -> tuple[int, int, int, int] | None:
    """Draw head and neck only; parameters, result and errors as of `draw_person`."""
    check_canvas(canvas)
    face = features(identity, expression, blink=blink)
    surface = trace(
        identity,
        face,
        pose=pose,
        size=canvas.shape[:2],
        centre=centre,
        px_per_unit=px_per_unit,
    )
    if surface is None:
        return None
    view = surface.view
    # Neck and hanging hair end at the clothes, but what is before the chest does not.
    behind = np.maximum(surface.neck, surface.depth < -0.05)
    cover = surface.cover * (1 - clothes_cover(identity, view) * behind)
    paint = paint_head(surface, identity, face, gaze=gaze)
    picture = canvas[view.slices]
    picture[:] = lerp(picture, illuminate(surface, paint, light), cover)
    chin = 0.98 + face.jaw_drop
    is_face = (surface.cover > 0.5) & (surface.neck < 0.5) & (surface.hair < 0.5)
    is_face &= (surface.y > -0.35) & (surface.y < chin) & (np.abs(surface.angle) < 1.5)
    found = bounds(is_face)
    if found is None:
        return None
    rows, columns = found
    width, height = columns.stop - columns.start, rows.stop - rows.start
    return int(view.left + columns.start), int(view.top + rows.start), int(width), int(height)


def render_face(
    rng: np.random.Generator,
    emotion: str,
    *,
    size: int,
    style: str,
    identity: Identity | None = None,
    intensity: float | None = None,
    pose_scale: float | None = None,
) -> np.ndarray:
    """Take one portrait.

    Parameters
    ----------
    emotion
        A key of `exe_world.face.EXPRESSIONS`.
    size
        Side of the picture, px, 16 or more.
    style
        One of `STYLES`, whose ranges hold for what is not given.
    identity, intensity, pose_scale
        Who, how strongly, and how far turned; drawn where None.

    Returns
    -------
    numpy.ndarray
        (size, size, 3) uint8 sRGB.

    Raises
    ------
    ValueError
        If emotion or style is unknown, the size below 16, or the intensity negative.
    """
    ranges = style_named(style)
    if size < 16:
        raise ValueError(f"size {size} px is too small to show a face; give 16 or more")
    identity = identity or sample_identity(rng)
    strength = rng.uniform(*ranges.intensity)
    expression = sample_expression(
        rng, emotion, intensity=strength if intensity is None else intensity
    )
    pose = sample_pose(rng, scale=ranges.pose if pose_scale is None else pose_scale)
    # Small pictures are drawn larger, then averaged: thin lines would else flicker.
    side = size * max(1, -(-96 // size))
    kind = "gradient" if style == "lab" else None
    canvas = sample_background(rng, (side, side), kind=kind)
    shift = rng.normal(0, 0.02, 2)
    draw_person(
        canvas,
        identity,
        expression,
        centre=(side * (0.5 + shift[0]), side * (0.46 + shift[1])),
        px_per_unit=side * rng.uniform(*ranges.distance),
        pose=pose,
        light=sample_light(rng, style=style),
        gaze=(rng.normal(0, 0.3), rng.normal(0, 0.3)),
    )
    if side > size:
        canvas = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)
    return camera(rng, canvas, style=style)
