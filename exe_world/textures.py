"""Noise textures and the few array operations that the drawing modules share."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import ArrayLike

# One thread: the sums of a parallel filter could differ from one machine to the next.
cv2.setNumThreads(1)

TEXTURE_SIZE = 512


def smoothstep(low: float, high: float, value: np.ndarray | float) -> np.ndarray:
    """Rise smoothly from 0 at `low` to 1 at `high` (Hermite cubic)."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def bell(*terms: tuple[np.ndarray, np.ndarray | float, np.ndarray | float]) -> np.ndarray:
    """Multiply Gaussians exp(-((v - centre) / width)^2), one for each (v, centre, width)."""
    return np.exp(-sum(((value - centre) / width) ** 2 for value, centre, width in terms))


def single(values: ArrayLike) -> np.ndarray:
    """Make a float32 array: a double anywhere would double the memory that pictures take."""
    return np.asarray(values, np.float32)


def lerp(base: np.ndarray, other: ArrayLike, weight: np.ndarray) -> np.ndarray:
    """Blend (H, W, 3) colours towards `other` by a weight (H, W)."""
    return base + (other - base) * weight[..., None]


def fractal_noise(seed: int, *, octaves: int, base: int, persistence: float) -> np.ndarray:
    """Sum octaves of smooth random grids into a texture of mean 0 and deviation 1.

    Parameters
    ----------
    seed
        Of the texture; equal seeds give equal textures.
    octaves, base, persistence
        The first octave has `base` cells a side; each further one has twice as many, weighted
        by one more factor of `persistence`.
    """
    rng = np.random.default_rng(seed)
    total = np.zeros((TEXTURE_SIZE, TEXTURE_SIZE), np.float32)
    for octave in range(octaves):
        cells = min(TEXTURE_SIZE, base * 2**octave)
        grid = rng.standard_normal((cells, cells), dtype=np.float32)
        total += persistence**octave * cv2.resize(grid, total.shape, interpolation=cv2.INTER_CUBIC)
    return (total - total.mean()) / total.std()


CLOUDS = fractal_noise(1, octaves=6, base=4, persistence=0.55)
GRAIN = fractal_noise(2, octaves=4, base=64, persistence=0.8)
WAVES = fractal_noise(3, octaves=3, base=4, persistence=0.55)


def sample(texture: np.ndarray, u: np.ndarray, v: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Read a texture at offsets (u, v), in texels, from a point that the seed chooses."""
    half = TEXTURE_SIZE // 2
    shift_u, shift_v = seed * 37 % half - half // 2, seed * 91 % half - half // 2
    return cv2.remap(
        texture,
        single(u + np.float32(half + shift_u)),
        single(v + np.float32(half + shift_v)),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
