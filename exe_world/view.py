"""Where head units fall in a picture, and how a head is turned."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exe_world.textures import single


@dataclass(frozen=True)
class Window:
    """A rectangle of the picture and where head units fall in it."""

    left: int
    top: int
    right: int
    bottom: int
    centre: tuple[float, float]
    px_per_unit: float

    @property
    def slices(self) -> tuple[slice, slice]:
        """Index the picture by it."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grid(self) -> tuple[np.ndarray, np.ndarray]:
        """Give the head units u (right) and v (down) of every pixel's centre."""
        return np.meshgrid(*(axis.ravel() for axis in self.axes()))

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Give u of every column, (1, columns), and v of every row, (rows, 1)."""
        u = (np.arange(self.left, self.right) + 0.5 - self.centre[0]) / self.px_per_unit
        v = (np.arange(self.top, self.bottom) + 0.5 - self.centre[1]) / self.px_per_unit
        return single(u)[None], single(v)[:, None]


def window(
    size: tuple[int, int],
    extent: tuple[float, float, float, float],
    *,
    centre: tuple[float, float],
    px_per_unit: float,
) -> Window | None:
    """Clip an extent (left, top, right, bottom, in units from the centre) to a picture
    of `size` (height, width).

    Returns None where nothing of it can be seen.
    """
    height, width = size
    x, y = centre
    left, right = (int(np.clip(x + side * px_per_unit, 0, width)) for side in extent[::2])
    top, bottom = (int(np.clip(y + side * px_per_unit, 0, height)) for side in extent[1::2])
    if right - left < 4 or bottom - top < 4:
        return None
    return Window(left, top, right, bottom, centre, float(px_per_unit))


def rotation(pose: tuple[float, float, float]) -> np.ndarray:
    """Build the matrix that turns the head by yaw, then pitch, then roll (radians)."""
    (cy, cp, cr), (sy, sp, sr) = np.cos(pose), np.sin(pose)
    yaw = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitch = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    roll = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return roll @ pitch @ yaw


def bounds(mask: np.ndarray) -> tuple[slice, slice] | None:
    """Bound the true part of a mask; None where there is none."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def check_canvas(canvas: np.ndarray) -> None:
    """Refuse what cannot be drawn on.

    Raises
    ------
    ValueError
        If the canvas is not float32 (height, width, 3).
    """
    if canvas.ndim != 3 or canvas.shape[2] != 3 or canvas.dtype != np.float32:
        raise ValueError(
            f"canvas is {canvas.dtype} {canvas.shape}; it must be float32 (height, width, 3)"
        )
