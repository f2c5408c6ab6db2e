"""What stands behind the people: walls, gradients, landscapes, lights, shapes and bookshelves."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from exe_world.textures import CLOUDS, WAVES, lerp, sample, single, smoothstep


def sample_background(
    rng: np.random.Generator, size: tuple[int, int], *, kind: str | None = None
) -> np.ndarray:
    """Draw a background: (height, width, 3) float32, linear RGB.

    Parameters
    ----------
    rng, size
        The source of all that varies; height and width, px.
    kind
        One of `KINDS`; drawn where None. "shelf" can look like a face to a detector: it is kept
        as the case of a false find.
    """
    drawn = str(rng.choice(list(KINDS)))
    picture = KINDS[kind or drawn](rng, *size)
    sigma = rng.uniform(0, 0.02) * size[1]
    if sigma > 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    return np.clip(picture, 0.002, 1.2)


def _colour(rng: np.random.Generator, *, bright: float = 0.55) -> np.ndarray:
    """Draw a muted colour: most of the world is."""
    colour = rng.random(3) ** 1.5 * bright + 0.02
    return single(0.5 * colour + 0.5 * colour.mean())


def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    return y / height, x / width


def _gradient(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    # Nothing in it is sharp: a quarter of the size is enough.
    y, x = _grid(-(-height // 4), -(-width // 4))
    upper, lower, seed = _colour(rng), _colour(rng), int(rng.integers(1000))
    picture = lerp(np.broadcast_to(upper, (*y.shape, 3)), lower, y)
    picture *= (1 + 0.08 * sample(CLOUDS, x * 200, y * 200, seed=seed))[..., None]
    return cv2.resize(picture, (width, height))


def _wall(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _gradient(rng, height, width) * 0.6 + 0.4 * _colour(rng)
    for _ in range(rng.integers(1, 5)):
        place = rng.uniform((0, 0, 0.1, 0.1), (1, 1, 0.35, 0.35)) * ((width, height) * 2)
        (x, y, w, h), colour, border = place, _colour(rng), max(1, width // 60)
        x, y = x - w / 2, y - h / 2
        _rectangle(picture, x, y, w, h, colour * 0.4)
        _rectangle(picture, x + border, y + border, w - 2 * border, h - 2 * border, colour)
    return picture


def _rectangle(
    picture: np.ndarray, x: float, y: float, width: float, height: float, colour: Iterable[float]
) -> None:
    corner, other = (int(x), int(y)), (int(x + width), int(y + height))
    cv2.rectangle(picture, corner, other, [float(band) for band in colour], cv2.FILLED)


def _shelf(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _gradient(rng, height, width) * 0.3
    board = height / rng.integers(3, 6)
    for bottom in np.arange(board, height + board, board):
        x = 0.0
        while x < width:
            thick, tall = rng.uniform(0.012, 0.045) * width, rng.uniform(0.55, 0.92) * board
            _rectangle(picture, x, bottom - tall, thick - 1, tall, _colour(rng))
            x += thick
        _rectangle(picture, 0, bottom - board / 30, width, board / 18, (0.08, 0.045, 0.03))
    return picture


def _outdoor(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = _grid(height, width)
    seed = int(rng.integers(1000))
    sky = single([0.30, 0.47, 0.78]) * rng.uniform(0.6, 1.1)
    grass = single([0.08, 0.16, 0.045]) * rng.uniform(0.6, 1.3)
    clouds = smoothstep(0.3, 1.5, sample(CLOUDS, x * 150, y * 300, seed=seed))
    picture = lerp(np.broadcast_to(sky, (height, width, 3)), single([0.8, 0.8, 0.85]), 0.6 * clouds)
    hills = rng.uniform(0.35, 0.7) + 0.10 * sample(WAVES, x * 120, 0 * y, seed=seed)
    leaves = grass * (1 + 0.35 * sample(CLOUDS, x * 220, y * 220, seed=seed + 1))[..., None]
    return lerp(picture, leaves, smoothstep(-0.01, 0.01, y - hills))


def _shapes(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    picture = _gradient(rng, height, width)
    for _ in range(rng.integers(6, 20)):
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 6)))
        reach = rng.uniform(0.04, 0.25) * width * np.array([rng.uniform(0.4, 1), 1])
        around = np.stack([np.cos(angles), np.sin(angles)], 1)
        corners = (rng.random(2) * (width, height) + reach * around).astype(np.int32)
        cv2.fillPoly(picture, [corners], _colour(rng).tolist(), cv2.LINE_AA)
    return picture


def _lights(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Draw a dark street with lamps out of focus."""
    picture = _gradient(rng, height, width) * 0.15
    for _ in range(rng.integers(8, 30)):
        lamp, centre = np.zeros_like(picture), (rng.random(2) * (width, height)).astype(int)
        radius = int(rng.uniform(0.01, 0.05) * width) + 1
        cv2.circle(lamp, centre.tolist(), radius, _colour(rng).tolist(), cv2.FILLED)
        picture += lamp * 0.6
    return picture


KINDS = {
    "wall": _wall,
    "gradient": _gradient,
    "outdoor": _outdoor,
    "shapes": _shapes,
    "lights": _lights,
    "shelf": _shelf,
}
"""Name -> how it is drawn."""
