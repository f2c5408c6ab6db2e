"""Hair as a second radius map, around the same axis as the upper head, and the styles there are."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from exe_world.face import Identity
from exe_world.geometry import (
    BACK,
    BOTTOM,
    EMPTY,
    FRONT,
    TOP,
    WIDTH,
    Points,
    profile,
    rows_of,
    sections,
)
from exe_world.textures import GRAIN, bell, sample, smoothstep

_SHAPE = (160, 256)
# Its inner side follows the head down to the eyes, then hangs straight.
_WIDTH = (*(p for p in WIDTH if p[0] <= 0), (0.4, 0.70), (1.0, 0.74), (1.7, 0.76))
_FRONT = (*(p for p in FRONT if p[0] <= 0), (0.4, 0.82), (1.7, 0.80))
_BACK = (*(p for p in BACK if p[0] <= 0), (0.3, 0.84), (1.0, 0.72), (1.7, 0.70))


@dataclass(frozen=True)
class HairStyle:
    """A way to wear hair; lengths in head units.

    Attributes
    ----------
    line
        The hair's lower border: (angle from the middle of the face, y).
    thickness, locks, taper
        Thickness over the skull, height of the locks, length over which an edge thickens.
    grain
        Texels of the locks' pattern per radian around and per unit down.
    tuft, sweep
        Rise above the forehead; how much lower the front hangs on one side.
    thin_sides, recedes, hangs
        Whether the sides are cut short, the temples recede with age, and the hair covers the ears
        and falls beside the neck.
    cover
        1, or less where the scalp shows through.
    """

    line: Points
    thickness: float
    locks: float
    taper: float
    grain: tuple[int, int] = (10, 5)
    tuft: float = 0.0
    sweep: float = 0.0
    thin_sides: bool = False
    recedes: bool = False
    hangs: bool = False
    cover: float = 1.0


_EARS = ((1.12, -0.20), (1.27, 0.08), (1.40, 0.10), (1.48, -0.14), (1.68, -0.20))
_NAPE = ((1.86, -0.04), (2.0, 0.34), (2.4, 0.52), (np.pi, 0.55))
_CUT = ((0, -0.68), (0.45, -0.70), (0.72, -0.62), (0.93, -0.42), *_EARS, *_NAPE)
_HIGH = ((0, -0.72), (0.45, -0.75), (0.75, -0.60), (0.95, -0.38), *_EARS, *_NAPE)
_SHORN = ((0, -0.72), (0.5, -0.76), (0.75, -0.62), (0.95, -0.40), *_EARS, *_NAPE)
_CURLY = ((0, -0.64), (0.5, -0.64), (0.8, -0.50), (1.05, -0.1), (1.2, 0.2), (np.pi, 0.6))
_BOB = ((0, -0.70), (0.5, -0.68), (0.8, -0.50), (1.05, -0.1), (1.3, 0.65), (np.pi, 0.80))
_LONG = ((0, -0.70), (0.5, -0.68), (0.8, -0.50), (1.05, -0.1), (1.3, 1.5), (np.pi, 1.6))
_WAVY = ((0, -0.70), (0.5, -0.67), (0.8, -0.48), (1.05, 0.0), (1.28, 1.2), (np.pi, 1.35))
_WREATH = ((0, -1.55), (1.15, -1.45), (1.35, -0.25), (1.45, 0.0), *_EARS[3:], *_NAPE)
STYLES = {
    "short": HairStyle(_CUT, 0.075, 0.020, 0.20, thin_sides=True, recedes=True),
    "swept": HairStyle(_CUT, 0.095, 0.022, 0.20, sweep=0.24),
    "quiff": HairStyle(_HIGH, 0.060, 0.020, 0.16, tuft=0.14, thin_sides=True, recedes=True),
    "buzz": HairStyle(_SHORN, 0.015, 0.003, 0.10, recedes=True, cover=0.55),
    "curly": HairStyle(_CURLY, 0.200, 0.045, 0.24, grain=(36, 45), hangs=True),
    "bob": HairStyle(_BOB, 0.105, 0.022, 0.14, hangs=True),
    "long": HairStyle(_LONG, 0.090, 0.022, 0.14, hangs=True),
    "wavy": HairStyle(_WAVY, 0.120, 0.030, 0.16, grain=(18, 22), hangs=True),
    "bald": HairStyle(_WREATH, 0.015, 0.004, 0.12, cover=0.55),
}
"""Name -> style; the names are `exe_world.face.HAIR_STYLES`."""


@lru_cache(maxsize=16)
def hair_map(identity: Identity) -> np.ndarray:
    """Model the hair: squared radii, float32 (160, 256), `EMPTY` where there is none."""
    y = rows_of(_SHAPE)
    signed = np.linspace(-np.pi, np.pi, _SHAPE[1], dtype=np.float32)
    rows, angle = np.meshgrid(y, signed, indexing="ij")
    style = STYLES[identity.hair_style]
    scale = np.full_like(y, 1 + style.thickness * identity.hair_volume)
    if style.thin_sides:
        scale = scale - 0.4 * (scale - 1) * smoothstep(-0.5, 0.3, y)
    skull = _hair_sections(identity, y, signed)
    # Scaled about the origin, not thickened: so the crown rises with the sides, without a point.
    outer = _hair_sections(identity, np.minimum(y, y / scale), signed)
    outer *= scale[:, None]
    depth = _depth_in_hair(identity, rows, angle)
    grown = smoothstep(-0.02, style.taper, depth) ** 0.6
    around, down = style.grain
    lumps = sample(GRAIN, angle * around, rows * down, seed=identity.seed)
    away_from_pole = np.minimum(1, outer / 0.7) ** 2
    outer += style.locks * np.clip(lumps, -1.5, 1.5) * away_from_pole
    tuft = bell((angle, identity.parting / 2, 0.75), (rows, -0.90, 0.20))
    outer += style.tuft * identity.hair_volume * tuft * away_from_pole
    radius = np.maximum(skull - 0.05 + grown * (outer - skull + 0.05), 0)
    # Just over a grown crown neither map has anything: what is seen there is hair.
    empty = np.where((rows < -0.5) & (depth[0, 0] > 0), EMPTY / 2, EMPTY)
    squared = empty + (radius**2 - empty) * smoothstep(-0.12, -0.03, depth) * (radius > 0.01)
    return squared.astype(np.float32)


def _hair_sections(identity: Identity, y: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return sections(
        angle,
        profile(_WIDTH, y) * identity.face_width,
        profile(_FRONT, y) * identity.face_depth,
        profile(_BACK, y),
    )


def _depth_in_hair(identity: Identity, rows: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Measure how far inside the hair's border each texel lies, negative outside."""
    style, around = STYLES[identity.hair_style], np.abs(angle[0])
    line = PchipInterpolator(*np.array(style.line).T)(around)
    side = np.sign(identity.parting) or 1.0
    line += style.sweep * smoothstep(-0.5, 0.9, side * angle[0]) * (around < 1.1)
    if identity.fringe:
        line = np.where(around < 0.95, np.maximum(line, -0.40), line)
    if style.recedes:
        line -= 0.14 * identity.age * (1 - identity.femininity) * bell((around, 0.55, 0.25))
    if style.cover == 1:  # not shorn
        rows = rows - 0.03 * sample(GRAIN, angle * 26, rows * 6, seed=identity.seed)
    inside = (line[None] > rows).astype(np.uint8)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)
    depth -= cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    return cv2.GaussianBlur(depth, (0, 0), 1.0) * ((BOTTOM - TOP) / _SHAPE[0])
