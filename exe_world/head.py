"""The shape of a head: its skin and its hair as radius maps around a vertical axis.

A map holds the squared radius over angle (columns, -pi to pi, 0 to the viewer) and height (rows).
Axes: x right, y down, z to the viewer; the origin lies between the eyes; rays run along z.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from scipy.interpolate import PchipInterpolator

from exe_world.face import Features, Identity
from exe_world.textures import GRAIN, bell, sample, smoothstep

Points = tuple[tuple[float, float], ...]

TOP, BOTTOM = -1.6, 1.7
EAR_ANGLE = 1.66
EMPTY = -0.02  # a squared radius where there is nothing: outside even on the axis
HEAD_SHAPE = (272, 400)
_ROUNDNESS = 2.25  # exponent of the superellipse that a horizontal section is

# Half-width, and depth in front of and behind the axis, at heights y of a relaxed face.
WIDTH: Points = (
    *((-1.10, 0), (-1.05, 0.236), (-1.0, 0.33), (-0.9, 0.455), (-0.8, 0.545), (-0.6, 0.645)),
    *((-0.3, 0.70), (0, 0.695), (0.2, 0.68), (0.4, 0.64), (0.6, 0.57), (0.75, 0.485)),
    *((0.87, 0.37), (0.96, 0.24), (1.02, 0.13), (1.06, 0)),
)
FRONT: Points = (
    *((-1.10, 0), (-1.05, 0.28), (-1.0, 0.40), (-0.9, 0.55), (-0.8, 0.65), (-0.6, 0.77)),
    *((-0.35, 0.835), (-0.12, 0.85), (0, 0.82), (0.25, 0.84), (0.4, 0.842), (0.55, 0.78)),
    *((0.7, 0.64), (0.8, 0.545), (0.93, 0.44), (1.0, 0.35), (1.04, 0.22), (1.06, 0)),
)
BACK: Points = (
    *((-1.10, 0), (-1.05, 0.30), (-1.0, 0.43), (-0.9, 0.60), (-0.8, 0.715), (-0.5, 0.9)),
    *((-0.2, 0.95), (0.2, 0.85), (0.5, 0.65), (0.8, 0.47), (0.95, 0.28), (1.06, 0.05)),
)


def profile(points: Points, y: np.ndarray) -> np.ndarray:
    """Interpolate (y, value) points smoothly, with round caps at the ends."""
    # Squares are interpolated: near a pole a smooth cap's squared radius is linear in height.
    heights, values = np.array(points).T
    inside = np.clip(y, heights[0], heights[-1])
    squares = np.maximum(PchipInterpolator(heights, values**2)(inside), 1e-6)
    return np.sqrt(squares).astype(np.float32)


def sections(
    angle: np.ndarray, width: np.ndarray, front: np.ndarray, back: np.ndarray
) -> np.ndarray:
    """Build the radii of superelliptic sections, (rows, columns)."""
    across, along = np.abs(np.sin(angle)) ** _ROUNDNESS, np.abs(np.cos(angle)) ** _ROUNDNESS
    depth = np.where(np.cos(angle)[None] > 0, front[:, None], back[:, None])
    inverse = across[None] * width[:, None] ** -_ROUNDNESS + along[None] * depth**-_ROUNDNESS
    return inverse ** (-1 / _ROUNDNESS)


def rows_of(shape: tuple[int, int]) -> np.ndarray:
    """Give the heights of a map's rows."""
    return np.linspace(TOP, BOTTOM, shape[0], dtype=np.float32)


def _relaxed_height(y: np.ndarray, jaw_drop: float) -> np.ndarray:
    """Say where a height would lie if the jaw were shut: the jaw stretches the lower face."""
    return y - jaw_drop * smoothstep(0.45, 0.97 + jaw_drop, y)


def head_map(
    identity: Identity, face: Features, *, covers_ears: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Model the skin; hair that covers the ears leaves them out.

    Returns
    -------
    tuple
        The map of squared radii, float32 (272, 400), and per row the z of the axis, (272, 1).
    """
    y = rows_of(HEAD_SHAPE)
    relaxed = _relaxed_height(y, face.jaw_drop)
    heights = relaxed - identity.chin_shift * smoothstep(0.6, 1.0, relaxed)
    jaw = 1 + (identity.jaw_width - 1) * smoothstep(0.4, 0.7, heights)
    # The right half; the left mirrors it.
    angle = np.linspace(0, np.pi, HEAD_SHAPE[1] // 2, dtype=np.float32)
    radius = sections(
        angle,
        profile(WIDTH, heights) * jaw * identity.face_width,
        profile(FRONT, heights) * identity.face_depth,
        profile(BACK, heights),
    )
    if not covers_ears:
        radius += _ears(angle[None], y[:, None])
    rows = slice(*np.searchsorted(y, (-0.6, 1.35)))
    columns = slice(0, int(np.searchsorted(angle, 1.35)))
    front = radius[rows, columns]
    x = front * np.sin(angle[columns])[None]
    grid_y = np.broadcast_to(y[rows, None], x.shape)
    grid_relaxed = np.broadcast_to(relaxed[rows, None], x.shape)
    relief = _bones(identity, face, x, grid_y, grid_relaxed)
    relief += _flesh(identity, face, x, grid_y) + _wrinkles(identity, face, x, grid_y)
    radius[rows, columns] += relief * np.sqrt(np.cos(angle[columns]))
    squared = np.where((heights[:, None] > -1.10) & (heights[:, None] < 1.06), radius**2, EMPTY)
    axis = 0.40 * smoothstep(0.35, 1.04, heights)
    return np.hstack([squared[:, ::-1], squared]), axis[:, None]


def _ears(angle: np.ndarray, y: np.ndarray) -> np.ndarray:
    concha = np.exp(-(((angle - 1.62) / 0.05) ** 2))
    concha = 1 - 0.35 * concha * np.exp(-(((y - 0.08) / 0.10) ** 2))
    outline = np.exp(-(((angle - EAR_ANGLE) / 0.09) ** 4)) * np.exp(-(((y - 0.10) / 0.20) ** 4))
    return 0.13 * concha * outline


def _bones(
    identity: Identity, face: Features, x: np.ndarray, y: np.ndarray, relaxed: np.ndarray
) -> np.ndarray:
    """Shape brow ridge, sockets, nose, cheekbones, muzzle and chin; x from the middle."""
    au, eye_x, eye_y = face.au, identity.eye_x, identity.eye_y
    ridge = 0.02 + 0.035 * (1 - identity.femininity) + 0.015 * au["AU4"]
    relief = ridge * bell((x, 0.27, 0.24), (y, eye_y - 0.17 + 0.05 * au["AU4"], 0.085))
    relief -= 0.105 * bell((x, eye_x - 0.01, 0.185), (y, eye_y, 0.125))
    relief += 0.060 * bell((x, eye_x, 0.115), (y, eye_y + 0.015, 0.085))
    relief -= 0.030 * bell((x, 0, 0.10), (y, eye_y - 0.03, 0.10))
    tip, wide = nose_tip(identity, face), identity.nose_width
    down_nose = smoothstep(-0.14, tip - 0.02, y)
    bridge = bell((x / (0.055 + 0.055 * down_nose), 0, wide)) * (0.03 + 0.20 * down_nose**1.3)
    bridge *= (1 - smoothstep(tip - 0.02, tip + 0.115, y)) * (y > -0.35)
    bridge += 0.050 * bell((x, 0, 0.09 * wide), (y, tip + 0.01, 0.075))
    relief += bridge * identity.nose_height
    relief += 0.062 * bell((x, 0.115 * wide, 0.058), (y, tip + 0.035, 0.058))
    relief += 0.035 * bell((x, 0.43, 0.18), (y, 0.20, 0.14))
    relief += 0.050 * bell((x, 0, 0.27), (relaxed, 0.62, 0.20))
    relief -= 0.045 * bell((x, 0, 0.17), (relaxed, 0.80 - 0.02 * au["AU17"], 0.05))
    relief += (0.06 + 0.03 * au["AU17"]) * bell((x, 0, 0.15), (relaxed, 0.93, 0.09))
    return relief - (0.012 + 0.03 * identity.age) * bell((x, 0.46, 0.13), (relaxed, 0.53, 0.17))


def nose_tip(identity: Identity, face: Features) -> float:
    """Give y of the tip of the nose, which AU9 lifts."""
    return 0.37 + identity.nose_shift - 0.02 * face.au["AU9"]


def _flesh(identity: Identity, face: Features, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Shape raised cheeks, lips and the open mouth."""
    au, mouth = face.au, face.mouth
    relief = 0.060 * au["AU6"] * bell((x, 0.37, 0.15), (y, 0.21, 0.10))
    relief += 0.035 * au["AU12"] * bell((x, 0.40, 0.12), (y, 0.33, 0.12))
    upper, upper_inner, lower_inner, lower = mouth.lines(x)
    within = 1 - smoothstep(mouth.half_width * 0.9, mouth.half_width * 1.08, x)
    thick = np.maximum(upper_inner - upper, 0.012)
    middle = y - (upper + upper_inner) / 2
    lips = 0.038 * np.minimum(1, thick / 0.045) * bell((middle, 0, thick * 0.75))
    thick = np.maximum(lower - lower_inner, 0.012)
    middle = y - (lower + lower_inner) / 2
    lips += 0.050 * np.minimum(1, thick / 0.06) * bell((middle, 0, thick * 0.7))
    inside = smoothstep(-0.012, 0.012, np.minimum(y - upper_inner, lower_inner - y))
    lips -= 0.07 * inside * smoothstep(0, 0.02, lower_inner - upper_inner)
    relief += within * lips
    return relief - 0.028 * bell((x, mouth.half_width + 0.01, 0.03), (y, mouth.corner_y, 0.035))


def _wrinkles(identity: Identity, face: Features, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Cut the nasolabial folds, and lines of forehead, glabella, nose, eye corner and eye bag."""
    au, age = face.au, identity.age
    eye_x, eye_y = identity.eye_x, identity.eye_y
    # Young skin folds softly: a deep fold would make every young smiler old.
    fold = 0.10 + 0.35 * age + (0.35 + 0.5 * age) * (au["AU12"] + 0.5 * au["AU6"])
    fold += 0.8 * au["AU9"] + 0.5 * au["AU10"] + 0.2 * au["AU20"]
    down = np.clip((y - 0.34) / 0.36, 0, 1.3)
    from_fold = x - 0.165 * identity.nose_width - (0.15 + 0.05 * au["AU12"]) * down**0.8
    fade = smoothstep(0.30, 0.40, y)
    fade *= 1 - smoothstep(0.60 + 0.3 * face.jaw_drop, 0.78 + 0.3 * face.jaw_drop, y)
    crease = 0.022 * bell((from_fold, 0.055, 0.05)) - 0.017 * bell((from_fold, 0, 0.027))
    relief = fold * fade * crease
    forehead = 0.25 * age + (0.3 + 0.3 * age) * (au["AU1"] + 0.8 * au["AU2"])
    for line_y in (-0.34, -0.42, -0.50):
        wave = line_y + 0.02 * np.cos(6 * x) - 0.04 * au["AU2"]
        relief -= 0.011 * forehead * bell((y, wave, 0.016)) * np.exp(-((x / 0.34) ** 4))
    relief -= (0.022 * au["AU4"] + 0.004 * age) * bell((x, 0.045, 0.018), (y, -0.20, 0.075))
    for line_y in (-0.02, 0.03, 0.08):
        relief -= 0.018 * au["AU9"] * bell((y, line_y + 0.4 * x, 0.014), (x, 0, 0.10))
    crow = 0.009 * (0.4 * age + (0.4 + 0.4 * age) * au["AU6"])
    outside = smoothstep(0.15, 0.20, x - eye_x) * (1 - smoothstep(0.25, 0.30, x - eye_x))
    for slope in (-0.35, 0.1, 0.5):
        relief -= crow * outside * bell((y, eye_y + 0.01 + slope * (x - eye_x - 0.16), 0.014))
    bag = 0.006 + 0.020 * age + 0.015 * au["AU6"]
    return relief - bag * bell((y, eye_y + 0.115, 0.020)) * np.exp(-(((x - eye_x) / 0.13) ** 4))


_HAIR_SHAPE = (160, 256)
# Its inner side follows the head down to the eyes, then hangs straight.
_WIDTH = (*(p for p in WIDTH if p[0] <= 0), (0.4, 0.70), (1.0, 0.74), (1.7, 0.76))
_FRONT = (*(p for p in FRONT if p[0] <= 0), (0.4, 0.82), (1.7, 0.80))
_BACK = (*(p for p in BACK if p[0] <= 0), (0.3, 0.84), (1.0, 0.72), (1.7, 0.70))


@dataclass(frozen=True)
class HairStyle:
    """A way to wear hair; lengths in head units."""

    line: Points  # the hair's lower border: (angle from the middle of the face, y)
    thickness: float  # over the skull
    locks: float  # height of the locks
    taper: float  # length over which an edge thickens
    grain: tuple[int, int] = (10, 5)  # texels of the locks' pattern per radian and per unit down
    tuft: float = 0.0  # rise above the forehead
    sweep: float = 0.0  # how much lower the front hangs on one side
    thin_sides: bool = False  # cut short
    recedes: bool = False  # at the temples, with age
    hangs: bool = False  # covers the ears and falls beside the neck
    cover: float = 1.0  # less where the scalp shows through


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
    y = rows_of(_HAIR_SHAPE)
    signed = np.linspace(-np.pi, np.pi, _HAIR_SHAPE[1], dtype=np.float32)
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
    return cv2.GaussianBlur(depth, (0, 0), 1.0) * ((BOTTOM - TOP) / _HAIR_SHAPE[0])
