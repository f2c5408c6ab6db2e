"""How pictures are taken: the light on a head, the ranges of each style, and the camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from exe_world.paint import Paint
from exe_world.textures import lerp, single, smoothstep
from exe_world.trace import Surface

# Light enters skin and leaves it further on, red furthest: how far round a shape it reaches.
_WRAP = single([0.32, 0.18, 0.12])


@dataclass(frozen=True)
class Light:
    """A key light, ambient light, and a rim."""

    direction: tuple[float, float, float]  # to the key light: x right, y down, z to the viewer
    key: tuple[float, ...]  # linear RGB
    ambient: tuple[float, ...]
    rim: float


def illuminate(surface: Surface, paint: Paint, light: Light) -> np.ndarray:
    """Give the light that each painted pixel sends to the viewer, linear RGB.

    Highlights after Blinn (1977) on skin and after Kajiya & Kay (1989) on hair.
    """
    depth, unit = surface.depth, 1 / surface.pixel
    smooth = cv2.GaussianBlur(depth, (0, 0), max(0.6, unit / 160))
    slope_x = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=unit / 8)
    slope_y = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=unit / 8)
    nz = 1 / np.sqrt(slope_x**2 + slope_y**2 + 1)
    nx, ny = -slope_x * nz, -slope_y * nz
    toward, key = single(light.direction), single(light.key)
    lit = 1 - 0.75 * _shadow(depth, toward, unit)
    facing = (nx * toward[0] + ny * toward[1] + nz * toward[2])[..., None]
    diffuse = np.clip((facing + _WRAP) / (1 + _WRAP), 0, 1) * lit[..., None] * key
    sky = _occlusion(surface) * (0.68 - 0.32 * ny)
    diffuse += sky[..., None] * single(light.ambient)
    size = max(3, int(0.3 * unit))
    even = cv2.blur(diffuse, (size, size))
    diffuse = lerp(diffuse, even, paint.flat)
    half = toward + single([0, 0, 1])
    half /= np.linalg.norm(half)
    shine = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1)
    # Strands run down the head: their highlight is a band across them.
    along = np.sqrt(np.maximum(1 - ny**2, 1e-4))
    tangent_half = (-nx * ny * half[0] + along**2 * half[1] - nz * ny * half[2]) / along
    band = np.maximum(1 - tangent_half**2, 0) ** 14 * np.clip(facing[..., 0] + 0.2, 0, 1)
    sheen = surface.hair * band * (0.03 + 0.25 * single(paint.identity.hair_colour).mean())
    highlight = (paint.gloss * shine**18 + sheen) * lit + paint.glint
    rim = light.rim * (1 - nz) ** 3
    return paint.albedo * (diffuse + rim[..., None]) + highlight[..., None] * key


def _shadow(depth: np.ndarray, toward: np.ndarray, unit: float) -> np.ndarray:
    """March the depth picture towards the light, at half size: 1 in full shadow."""
    small = cv2.resize(depth, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    size, shade = small.shape[::-1], np.zeros_like(small)
    for step in np.arange(1, 12) * 0.05:
        shift = -toward[:2] * step * unit / 2
        moved = single([[1, 0, shift[0]], [0, 1, shift[1]]])
        other = cv2.warpAffine(small, moved, size, borderMode=cv2.BORDER_REPLICATE)
        shade = np.maximum(shade, smoothstep(0.02, 0.10, other - small - toward[2] * step))
    shade = cv2.GaussianBlur(single(shade), (0, 0), 0.012 * unit + 0.5)
    return cv2.resize(shade, depth.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _occlusion(surface: Surface) -> np.ndarray:
    """Estimate how open each point is: hollows lie below the blurred surface around them."""
    unit, weight = 1 / surface.pixel, single(surface.cover)
    open_sky = np.ones_like(weight)
    for radius, strength, reach in ((0.09, 1.7, 0.25), (0.03, 3.0, 0.12)):
        size = [2 * int(1.5 * radius * unit) + 1] * 2
        around = cv2.blur(cv2.blur(surface.depth * weight, size), size)
        around /= cv2.blur(cv2.blur(weight, size), size) + 1e-3
        open_sky *= 1 - strength * np.clip(around - surface.depth - 0.004, 0, reach)
    return np.clip(open_sky, 0.35, 1)


@dataclass(frozen=True)
class Style:
    """How one kind of picture is taken."""

    intensity: tuple[float, float]  # range of the expression's intensity
    pose: float  # scale of `sample_pose`
    distance: tuple[float, float]  # range of px per unit over the picture's width
    azimuth: float  # deviation of the key light's angle, radians
    grading: float  # deviation of colour and contrast from the neutral picture


STYLES = {
    "lab": Style((0.85, 1.15), 0.2, (0.38, 0.44), 0.2, 0.2),
    "selfie": Style((0.8, 1.1), 0.4, (0.27, 0.33), 0.35, 0.4),
    "stock": Style((0.6, 1.1), 0.8, (0.19, 0.29), 0.5, 0.5),
    "film": Style((0.35, 0.75), 1.0, (0.19, 0.29), 0.6, 1.0),
}


def sample_light(rng: np.random.Generator, *, style: str) -> Light:
    """Draw the light of a picture in one of `STYLES`."""
    azimuth = np.clip(rng.standard_normal(), -2, 2) * STYLES[style].azimuth
    elevation, warmth = rng.uniform(0.05, 0.9), np.clip(rng.normal(0, 0.05), -0.1, 0.1)
    ambient = rng.uniform(0.40, 0.60) if style in ("lab", "selfie") else rng.uniform(0.32, 0.58)
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
    """
    grading = STYLES[style].grading
    height, width = canvas.shape[:2]
    picture: np.ndarray = _develop(canvas)
    if style == "lab":
        gray = cv2.transform(picture, single([[0.299, 0.587, 0.114]]))
        picture = cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB)
    else:
        # Narrow on purpose: a stronger tint or a paler picture would grey dark skin.
        saturation = np.clip(1 + rng.normal(-0.05, 0.15) * grading, 0.8, 1.25)
        tint = 1 + np.clip(rng.normal(0, 0.03, 3) * grading, -0.05, 0.05)
        # One matrix: colours drawn away from their mean, then tinted.
        matrix = saturation * np.eye(3) + (1 - saturation) / 3
        picture = cv2.transform(picture, single(matrix * tint[:, None]))
    contrast = np.clip(1 + rng.normal(0, 0.08) * (0.5 + grading), 0.8, 1.25)
    brightness = np.clip(rng.normal(0, 0.025), -0.05, 0.05) * (0.5 + grading)
    if rng.random() < 0.5:
        sigma = rng.uniform(0.4, 1.3) * max(width, height) / 320
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    level, noise = rng.uniform(0.002, 0.016), rng.standard_normal((height, width, 1), np.float32)
    noise = level * noise + float(0.5 * (1 - contrast) + brightness)
    np.multiply(picture, np.float32(contrast), out=picture)
    np.add(picture, noise, out=picture)
    np.multiply(picture, np.float32(255), out=picture)
    picture = np.clip(picture, 0, 255, out=picture).astype(np.uint8)
    if style in ("lab", "film"):  # what is stored, or compressed by the film's own codec
        return picture
    quality = int(rng.integers(60, 96))
    _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR))


def _develop(canvas: np.ndarray) -> np.ndarray:
    """Turn linear light into sRGB values: 1 - exp(-1.5 x), gamma, and a gentle S curve.

    The shoulder lets bright skin come close to white and keep its relief. In place throughout:
    fresh arrays of a film frame's size cost more than the arithmetic.
    """
    picture = canvas * -1.5
    np.minimum(picture, 0, out=picture)
    np.expm1(picture, out=picture)
    np.negative(picture, out=picture)
    np.power(picture, 1 / 2.2, out=picture)
    curve = picture * -2
    curve += 3
    curve *= picture
    curve *= picture
    return cv2.addWeighted(picture, 0.65, curve, 0.35, 0)
