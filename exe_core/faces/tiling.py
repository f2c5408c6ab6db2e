"""A picture in overlapping tiles, so that a detector of large faces finds small ones, too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from exe_core.faces.cropping import Face

OVERLAP = 0.4
"""Of neighbouring tiles, in tile sides: what a tile cuts lies whole in the next one, unless it is
so large that the tiles of the level before show it."""

MIN_TILE = 128
"""The side (px) of the picture that the detector sees: smaller tiles show it nothing new."""

CLOSE_UP = 0.25
"""The size, in tile sides, of which the detector is surest."""

SAME_FACE = 0.5
"""The part of the smaller of two boxes of one face that the larger one covers, at least."""


def tiles(shape: tuple[int, ...], *, levels: int) -> Iterator[tuple[slice, slice]]:
    """Divide a picture into tiles, each level into ones of half the side.

    Parameters
    ----------
    shape
        (height, width, ...) px.
    levels
        The tiles of the first have half of the picture's longer side; levels whose tiles would be
        smaller than `MIN_TILE` are left out.

    Yields
    ------
    tuple of slice
        Rows and columns of a tile, coarse levels first.
    """
    for level in range(1, levels + 1):
        length = max(shape[:2]) >> level
        if length < MIN_TILE:
            return
        for top in _starts(shape[0], length):
            for left in _starts(shape[1], length):
                yield slice(top, top + length), slice(left, left + length)


def _starts(whole: int, length: int) -> list[int]:
    steps = max(0, math.ceil((whole - length) / (length * (1 - OVERLAP))))
    return np.linspace(0, max(0, whole - length), steps + 1).round().astype(int).tolist()


def is_cut(face: Face, tile: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Say whether a face of a tile reaches beyond it where the picture goes on."""
    rows, columns = tile
    return (
        (face.y < rows.start and rows.start > 0)
        or (face.x < columns.start and columns.start > 0)
        or (face.y + face.height > rows.stop and rows.stop < shape[0])
        or (face.x + face.width > columns.stop and columns.stop < shape[1])
    )


def distinct(faces: Iterable[Face], *, known: Sequence[Face] = ()) -> list[Face]:
    """Keep one box of each face that is not known: the surest (non-maximum suppression)."""
    kept = list(known)
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(is_same(face, other) for other in kept):
            kept.append(face)
    return kept[len(known) :]


def around(face: Face, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Give the tile in whose middle a face takes up `CLOSE_UP` of the side."""
    reach = math.ceil(max(face.width, face.height, 1) / CLOSE_UP / 2)
    x = min(max(face.x + face.width // 2, 0), shape[1] - 1)
    y = min(max(face.y + face.height // 2, 0), shape[0] - 1)
    rows = slice(max(0, y - reach), min(shape[0], y + reach))
    return rows, slice(max(0, x - reach), min(shape[1], x + reach))


def is_same(face: Face, other: Face) -> bool:
    """Say whether two boxes are of one face: they share more than half of the smaller one."""
    across = min(face.x + face.width, other.x + other.width) - max(face.x, other.x)
    down = min(face.y + face.height, other.y + other.height) - max(face.y, other.y)
    smaller = min(face.width * face.height, other.width * other.height)
    return max(across, 0) * max(down, 0) > SAME_FACE * smaller
