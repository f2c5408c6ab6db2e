"""Light on a painted head: wrapped Lambert, cast shadows, occlusion and highlights."""

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
    """A key light from `direction` (x right, y down, z to the viewer), ambient light, and a rim."""

    direction: tuple[float, float, float]
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
