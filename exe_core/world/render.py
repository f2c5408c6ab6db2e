"""Light, body and camera: persons drawn on a canvas of linear light, and pictures of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from exe_core.world.backgrounds import sample_background
from exe_core.world.face import Identity, sample_expression, sample_identity, sample_pose
from exe_core.world.features import features
from exe_core.world.paint import Paint, paint_head
from exe_core.world.textures import CLOUDS, lerp, sample, smoothstep
from exe_core.world.trace import Surface, Window, rotation, trace, window

_HEAD_EXTENT = (-1.35, -1.55, 1.35, 1.95)
_BODY_EXTENT = (-2.6, 1.0, 2.6, np.inf)
# Light enters skin and leaves it further on, red furthest: how far round a shape it reaches.
_WRAP = np.float32([0.32, 0.18, 0.12])


@dataclass(frozen=True)
class Style:
    """How one kind of picture is taken.

    Attributes
    ----------
    intensity, distance
        Ranges of the expression's intensity, and of px per unit over the picture's width.
    pose
        Scale of `sample_pose`.
    azimuth
        Deviation of the key light's angle, radians.
    grading
        Deviation of colour and contrast from the neutral picture.
    """

    intensity: tuple[float, float]
    pose: float
    distance: tuple[float, float]
    azimuth: float
    grading: float


STYLES = {
    "lab": Style((0.85, 1.15), 0.2, (0.38, 0.44), 0.2, 0.2),
    "selfie": Style((0.8, 1.1), 0.4, (0.27, 0.33), 0.35, 0.4),
    "stock": Style((0.6, 1.1), 0.8, (0.19, 0.29), 0.5, 0.5),
    "film": Style((0.35, 0.75), 1.0, (0.19, 0.29), 0.6, 1.0),
}


def _style(name: str) -> Style:
    if name not in STYLES:
        raise ValueError(f"unknown style {name!r}; choose one of {', '.join(STYLES)}")
    return STYLES[name]


@dataclass(frozen=True)
class Light:
    """A key light from `direction` (x right, y down, z to the viewer), ambient light, and a rim."""

    direction: tuple[float, float, float]
    key: tuple[float, float, float]
    ambient: tuple[float, float, float]
    rim: float


def sample_light(rng: np.random.Generator, *, style: str) -> Light:
    """Draw the light of a picture in one of `STYLES`.

    Raises
    ------
    ValueError
        If the style is unknown.
    """
    azimuth = np.clip(rng.standard_normal(), -2, 2) * _style(style).azimuth
    elevation, warmth = rng.uniform(0.05, 0.9), np.clip(rng.normal(0, 0.06), -0.12, 0.12)
    ambient = rng.uniform(0.40, 0.60) if style in ("lab", "selfie") else rng.uniform(0.28, 0.58)
    key = rng.uniform(0.60, 0.90)
    return Light(
        direction=(
            float(np.sin(azimuth) * np.cos(elevation)),
            float(-np.sin(elevation)),
            float(np.cos(azimuth) * np.cos(elevation)),
        ),
        key=tuple(float(key * band) for band in (1 + warmth, 1, 1 - warmth)),
        ambient=tuple(float(ambient * band) for band in (1 - warmth / 2, 1, 1 + warmth / 2)),
        rim=float(rng.uniform(0, 0.3) * (rng.random() < 0.4)),
    )


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
    _check_canvas(canvas)
    face = features(identity, expression, blink=blink)
    view = window(canvas, _HEAD_EXTENT, centre=centre, px_per_unit=px_per_unit)
    if view is None:
        return None
    surface = trace(identity, face, pose=pose, view=view)
    u, v = view.grid()
    # Neck and hanging hair end at the clothes, but what is before the chest does not.
    behind = np.maximum(surface.neck, surface.depth < -0.05)
    cover = surface.cover * (1 - _clothes(identity, u, v, surface.pixel) * behind)
    paint = paint_head(surface, identity, face, gaze=gaze)
    picture = canvas[view.slices]
    picture[:] = lerp(picture, _illuminate(surface, paint, light), cover)
    face_height = 1.06 + face.jaw_drop
    is_face = (surface.cover > 0.5) & (surface.neck < 0.5) & (surface.hair < 0.5)
    is_face &= (surface.y > -0.5) & (surface.y < face_height) & (np.abs(surface.angle) < 1.5)
    return _box(is_face, view)


def _box(mask: np.ndarray, view: Window) -> tuple[int, int, int, int] | None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    return int(view.left + columns[0]), int(view.top + rows[0]), int(width), int(height)


def _check_canvas(canvas: np.ndarray) -> None:
    if canvas.ndim != 3 or canvas.shape[2] != 3 or canvas.dtype != np.float32:
        raise ValueError(
            f"canvas is {canvas.dtype} {canvas.shape}; it must be float32 (height, width, 3)"
        )


def _illuminate(surface: Surface, paint: Paint, light: Light) -> np.ndarray:
    """Turn paint into light: wrapped Lambert, shadows, occlusion, highlights (Blinn; Kajiya-Kay)."""
    depth, unit = surface.depth, 1 / surface.pixel
    smooth = cv2.GaussianBlur(depth, (0, 0), max(0.6, unit / 160))
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=unit / 8)
    slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=unit / 8)
    nz = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    nx, ny = -slope_x * nz, -slope_y * nz
    toward, key = np.float32(light.direction), np.float32(light.key)
    lit = 1 - 0.75 * _shadow(depth, toward, unit)
    facing = (nx * toward[0] + ny * toward[1] + nz * toward[2])[..., None]
    diffuse = np.clip((facing + _WRAP) / (1 + _WRAP), 0, 1) * lit[..., None] * key
    sky = _occlusion(surface) * (0.68 - 0.32 * ny)
    diffuse += sky[..., None] * np.float32(light.ambient)
    size = max(3, int(0.3 * unit))
    even = cv2.blur(diffuse, (size, size))
    diffuse = lerp(diffuse, even, paint.flat)
    half = toward + np.float32([0, 0, 1])
    half /= np.linalg.norm(half)
    shine = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1)
    # Strands run down the head: their highlight is a band across them.
    along = np.sqrt(np.maximum(1 - ny**2, 1e-4))
    tangent_half = (-nx * ny * half[0] + along**2 * half[1] - nz * ny * half[2]) / along
    band = np.maximum(1 - tangent_half**2, 0) ** 14 * np.clip(facing[..., 0] + 0.2, 0, 1)
    sheen = surface.hair * band * (0.03 + 0.25 * np.float32(paint.identity.hair_colour).mean())
    highlight = (paint.gloss * shine**18 + sheen) * lit + paint.glint
    rim = light.rim * (1 - nz) ** 3
    return paint.albedo * (diffuse + rim[..., None]) + highlight[..., None] * key


def _shadow(depth: np.ndarray, toward: np.ndarray, unit: float) -> np.ndarray:
    """March the depth picture towards the light, at half size: 1 in full shadow."""
    small = cv2.resize(depth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    size, shade = small.shape[::-1], np.zeros_like(small)
    for step in np.arange(1, 12) * 0.05:
        shift = -toward[:2] * step * unit / 2
        moved = np.float32([[1, 0, shift[0]], [0, 1, shift[1]]])
        other = cv2.warpAffine(small, moved, size, borderMode=cv2.BORDER_REPLICATE)
        shade = np.maximum(shade, smoothstep(0.02, 0.10, other - small - toward[2] * step))
    shade = cv2.GaussianBlur(np.float32(shade), (0, 0), 0.012 * unit + 0.5)
    return cv2.resize(shade, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _occlusion(surface: Surface) -> np.ndarray:
    """Estimate how open each point is: hollows lie below the blurred surface around them."""
    unit, weight = 1 / surface.pixel, np.float32(surface.cover)
    open_sky = np.ones_like(weight)
    for radius, strength, reach in ((0.09, 1.7, 0.25), (0.03, 3.0, 0.12)):
        size = [2 * int(1.5 * radius * unit) + 1] * 2
        around = cv2.blur(cv2.blur(surface.depth * weight, size), size)
        around /= cv2.blur(cv2.blur(weight, size), size) + 1e-3
        open_sky *= 1 - strength * np.clip(around - surface.depth - 0.004, 0, reach)
    return np.clip(open_sky, 0.35, 1)


def draw_body(
    canvas: np.ndarray,
    identity: Identity,
    *,
    centre: tuple[float, float],
    px_per_unit: float,
    light: Light,
) -> None:
    """Draw the clothed shoulders and chest on the canvas in place; they do not move with the head."""
    _check_canvas(canvas)
    view = window(canvas, _BODY_EXTENT, centre=centre, px_per_unit=px_per_unit)
    if view is None:
        return
    u, v = view.grid()
    cover = _clothes(identity, u, v, 1 / px_per_unit)
    toward = light.direction
    slope = np.clip(u / 1.7, -1, 1)
    top = np.exp(-np.maximum(v - _shoulder(u), 0) / 0.25)
    facing = np.clip(slope * toward[0] + 0.85 * toward[2] - 0.35 * toward[1] * top + 0.15, 0, 1.2)
    weave = 1 + 0.10 * sample(CLOUDS, u * 45, v * 35, seed=identity.seed)
    light_on = (facing * weave)[..., None] * np.float32(light.key) + np.float32(light.ambient)
    hem = np.exp(-(((v - _neckline(identity, u) - 0.045) / 0.02) ** 2)) * (np.abs(u) < 0.5)
    colour = np.float32(identity.clothes) * 0.85 * light_on * (1 - 0.35 * hem)[..., None]
    picture = canvas[view.slices]
    picture[:] = lerp(picture, colour, cover)


def _shoulder(u: np.ndarray) -> np.ndarray:
    x = np.abs(u)
    fall = 0.26 * smoothstep(0.3, 1.5, x) + 0.45 * smoothstep(1.2, 1.6, x)
    return (
        1.34 + fall + 6 * np.maximum(x - 1.5, 0) ** 1.5 - 0.10 * np.exp(-(((x - 0.45) / 0.2) ** 2))
    )


def _neckline(identity: Identity, u: np.ndarray) -> np.ndarray:
    x = np.abs(u)
    cut = (
        0.16 * np.exp(-((x / 0.33) ** 4)),
        0.62 * np.maximum(1 - x / 0.38, 0),
        0.05 * np.exp(-((x / 0.4) ** 4)) - 0.05,
        0.32 * np.maximum(1 - x / 0.3, 0),
    )[identity.collar]
    return _shoulder(u) + cut


def _clothes(identity: Identity, u: np.ndarray, v: np.ndarray, pixel: float) -> np.ndarray:
    return smoothstep(-pixel, pixel, v - _neckline(identity, u)).astype(np.float32)


def camera(rng: np.random.Generator, canvas: np.ndarray, *, style: str) -> np.ndarray:
    """Photograph a canvas.

    A film grades all frames of a shot alike: give each frame a generator of the same seed.

    Parameters
    ----------
    canvas
        (H, W, 3) float32, linear RGB.
    style
        One of `STYLES`; "lab" is gray.

    Returns
    -------
    numpy.ndarray
        (H, W, 3) uint8 sRGB.

    Raises
    ------
    ValueError
        If the style is unknown or the canvas is not float32 RGB.
    """
    _check_canvas(canvas)
    grading = _style(style).grading
    height, width = canvas.shape[:2]
    # A film-like shoulder: bright skin comes close to white but keeps its relief.
    picture = (1 - np.exp(-1.5 * np.maximum(canvas, 0))) ** np.float32(1 / 2.2)
    picture += np.float32(0.35) * (smoothstep(0, 1, picture) - picture)
    if style == "lab":
        gray = picture @ np.float32([0.299, 0.587, 0.114])
        picture = np.repeat(gray[..., None], 3, axis=2)
    else:
        gray = picture.mean(axis=2, keepdims=True)
        # Narrow on purpose: a stronger tint or a paler picture would grey dark skin.
        saturation = np.clip(1 + rng.normal(-0.05, 0.15) * grading, 0.8, 1.25)
        tint = np.float32(np.clip(rng.normal(0, 0.025, 3) * grading, -0.03, 0.03))
        picture = gray + (picture - gray) * np.float32(saturation) + tint * 4 * gray * (1 - gray)
    contrast = np.clip(1 + rng.normal(0, 0.08) * (0.5 + grading), 0.8, 1.25)
    brightness = np.clip(rng.normal(0, 0.025), -0.05, 0.05) * (0.5 + grading)
    picture = (picture - 0.5) * np.float32(contrast) + np.float32(0.5 + brightness)
    if rng.random() < 0.5:
        sigma = rng.uniform(0.4, 1.3) * max(width, height) / 320
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    noise = rng.standard_normal((height, width), dtype=np.float32) * rng.uniform(0.002, 0.018)
    picture = (np.clip(picture + noise[..., None], 0, 1) * 255).astype(np.uint8)
    quality = int(rng.integers(60, 96))
    if style == "lab":
        return picture
    _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(jpeg, cv2.IMREAD_COLOR)


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
        A key of `exe_core.world.face.EXPRESSIONS`.
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
    ranges = _style(style)
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
