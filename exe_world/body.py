"""The clothed shoulders and chest: flat shapes, lit as if round."""

from __future__ import annotations

import numpy as np

from exe_world.face import Identity
from exe_world.lighting import Light
from exe_world.textures import CLOUDS, lerp, sample, single, smoothstep
from exe_world.view import Window, check_canvas, window

_EXTENT = (-2.6, 1.0, 2.6, np.inf)


def draw_body(
    canvas: np.ndarray,
    identity: Identity,
    *,
    centre: tuple[float, float],
    px_per_unit: float,
    light: Light,
) -> None:
    """Draw shoulders and chest on the canvas in place; they do not move with the head."""
    check_canvas(canvas)
    view = window(canvas.shape[:2], _EXTENT, centre=centre, px_per_unit=px_per_unit)
    if view is None:
        return
    u, v = view.axes()
    cover = clothes_cover(identity, view)
    toward = light.direction
    slope = np.clip(u / 1.7, -1, 1)
    top = np.exp(-np.maximum(v - _shoulder(u), 0) / 0.25)
    facing = np.clip(slope * toward[0] + 0.85 * toward[2] - 0.35 * toward[1] * top + 0.15, 0, 1.2)
    weave = 1 + 0.10 * sample(CLOUDS, *np.meshgrid(u * 45, v * 35), seed=identity.seed)
    light_on = (facing * weave)[..., None] * single(light.key) + single(light.ambient)
    hem = np.exp(-(((v - _neckline(identity, u) - 0.045) / 0.02) ** 2)) * (np.abs(u) < 0.5)
    colour = single(identity.clothes) * 0.85 * light_on * (1 - 0.35 * hem)[..., None]
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


def clothes_cover(identity: Identity, view: Window) -> np.ndarray:
    """Say how much of each pixel lies below the neckline."""
    u, v = view.axes()
    pixel = 1 / view.px_per_unit
    return smoothstep(-pixel, pixel, v - _neckline(identity, u))
