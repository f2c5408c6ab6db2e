"""Where the rays of a picture meet a head: the visible surface, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from exe_world.face import Features, Identity
from exe_world.head import BOTTOM, EMPTY, HEAD_SHAPE, STYLES, TOP, hair_map, head_map
from exe_world.textures import single, smoothstep


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

    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Give u (right) of every column, (1, columns), and v (down) of every row, (rows, 1)."""
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
    """Clip an extent (left, top, right, bottom, in units from the centre) to (height, width) px.

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


@dataclass
class Surface:
    """What the rays of a window meet; every array is (rows, columns) float32."""

    depth: np.ndarray  # z towards the viewer, in the picture's frame
    cover: np.ndarray  # how much of the pixel is head, hair or neck
    hair: np.ndarray
    neck: np.ndarray
    x: np.ndarray  # in the head's frame
    y: np.ndarray
    z: np.ndarray
    angle: np.ndarray
    view: Window

    @property
    def pixel(self) -> float:
        """The width of a pixel in units."""
        return 1 / self.view.px_per_unit


_NEAR, _FAR, _STEPS, _BISECTIONS = 1.25, -0.75, 25, 4
_STEP = (_NEAR - _FAR) / (_STEPS - 1)
_HOLLOW = 0.46  # radius of the space that hanging hair leaves
_BLOCK = 60_000  # rays marched at once: what the processor's cache holds


class _Solid:
    """Skin and hair of one head in one pose; says how far inside it points are."""

    def __init__(self, identity: Identity, face: Features, matrix: np.ndarray) -> None:
        self.hangs = STYLES[identity.hair_style].hangs
        self.skin, self.axis = head_map(identity, face, covers_ears=self.hangs)
        self.hair, self.matrix = hair_map(identity), matrix.astype(np.float32)

    def to_head(self, u: np.ndarray, v: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, ...]:
        m = self.matrix
        return tuple(m[0, axis] * u + m[1, axis] * v + m[2, axis] * z for axis in range(3))

    def extent(self) -> tuple[float, float, float, float]:
        """Bound what can be seen of head, hair and neck: left, top, right, bottom."""
        corners = []  # per map: least and greatest u, least and greatest v
        for squared, axis in ((self.skin[::4, ::4], self.axis[::4]), (self.hair[::2, ::2], 0)):
            radius = np.sqrt(np.maximum(squared, 0))
            y = np.linspace(TOP, BOTTOM, squared.shape[0], dtype=np.float32)[:, None]
            angle = np.linspace(-np.pi, np.pi, squared.shape[1], dtype=np.float32)
            points = radius * np.sin(angle), y, radius * np.cos(angle) + axis
            solid = squared > 0
            for row in self.matrix[:2]:
                along = sum(factor * value for factor, value in zip(row, points, strict=True))[
                    solid
                ]
                corners += [along.min(), along.max()]
        left, top = min(corners[0::4]), min(corners[2::4])
        return min(left, -0.5) - 0.05, top - 0.05, max(*corners[1::4], 0.5) + 0.05, 1.97

    def inside(self, u: np.ndarray, v: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Say how far under the skin's and the hair's surface points are, in units."""
        x, y, z = self.to_head(u, v, z)
        rows = (y - TOP) * ((HEAD_SHAPE[0] - 1) / (BOTTOM - TOP))
        axis = cv2.remap(
            self.axis, np.zeros_like(rows), rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        skin, hair = _excess(self.skin, x, y, z - axis), _excess(self.hair, x, y, z)
        if self.hangs:  # hair falls around the neck, not through it
            hair = np.minimum(
                hair, np.sqrt(x * x + z * z) - np.where(y > 0.3, single(_HOLLOW), single(-9))
            )
        return skin, hair


def _excess(squared: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    rows = (y - TOP) * ((squared.shape[0] - 1) / (BOTTOM - TOP))
    columns = (np.arctan2(x, z) + np.pi) * ((squared.shape[1] - 1) / (2 * np.pi))
    squared = cv2.remap(
        squared, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=EMPTY
    )
    distance = x * x + z * z
    # The difference of the radii, defined also where the map is empty.
    return (squared - distance) / (np.sqrt(np.maximum(squared, 0)) + np.sqrt(distance) + 1e-3)


def trace(
    identity: Identity,
    face: Features,
    *,
    pose: tuple[float, float, float],
    size: tuple[int, int],
    centre: tuple[float, float],
    px_per_unit: float,
) -> Surface | None:
    """Find what each pixel's ray meets: a coarse march, then bisection at every pixel.

    Returns None where the head lies outside the picture of `size` (height, width).
    """
    matrix = rotation(pose)
    solid = _Solid(identity, face, matrix)
    view = window(size, solid.extent(), centre=centre, px_per_unit=px_per_unit)
    if view is None:
        return None
    u, v = np.meshgrid(*view.axes())
    near, far, clearance = _bracket(solid, u, v, stride=int(np.clip(view.px_per_unit / 30, 2, 4)))
    depth = _refine(solid, u, v, near, far)
    pixel = 1 / view.px_per_unit
    cover = smoothstep(-pixel, 1.2 * pixel, clearance)
    skin, hair = solid.inside(u, v, depth)
    hair = smoothstep(-0.6 * pixel, 0.6 * pixel, hair - skin)
    neck_depth, neck_cover = _neck(identity, matrix, u, v, pixel)
    neck = (neck_cover > 0.5) & (neck_depth > depth) | (neck_cover > 0.02) & (cover < 0.5)
    depth = np.where(neck, neck_depth, depth)
    x, y, z = solid.to_head(u, v, depth)
    return Surface(
        depth=depth,
        cover=np.maximum(neck_cover, cover),
        hair=np.where(neck, 0, hair).astype(np.float32),
        neck=neck.astype(np.float32),
        x=x,
        y=y,
        z=z,
        angle=np.arctan2(x, z),
        view=view,
    )


def _bracket(
    solid: _Solid, u: np.ndarray, v: np.ndarray, *, stride: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bound each ray's first hit, before and behind, and say how deep inside it comes at most."""
    size, kernel = u.shape[::-1], np.ones((3, 3), np.uint8)
    coarse = [max(2, round(side / stride)) for side in size]
    entry, deepest = _march(solid, cv2.resize(u, coarse), cv2.resize(v, coarse))
    near = cv2.resize(cv2.dilate(entry, kernel), size, interpolation=cv2.INTER_NEAREST)
    far = cv2.resize(cv2.erode(entry, kernel), size, interpolation=cv2.INTER_NEAREST)
    clearance = cv2.resize(deepest, size, interpolation=cv2.INTER_LINEAR)
    # Where one shape ends before another, each ray is marched on its own.
    edge = near - far > 2.5 * _STEP
    if edge.any():
        n = np.count_nonzero(edge)
        shape = (-(-n // 256), 256)  # remap refuses long rows
        entry, deepest = _march(solid, np.resize(u[edge], shape), np.resize(v[edge], shape))
        near[edge] = far[edge] = entry.ravel()[:n]
        clearance[edge] = deepest.ravel()[:n]
    return near + _STEP, far, clearance


def _refine(
    solid: _Solid, u: np.ndarray, v: np.ndarray, near: np.ndarray, far: np.ndarray
) -> np.ndarray:
    """Close in on the surface between `near` (outside) and `far` (inside)."""
    outside, inside = (np.maximum(*solid.inside(u, v, z)) for z in (near, far))
    for _ in range(_BISECTIONS):
        middle = (near + far) * 0.5
        value = np.maximum(*solid.inside(u, v, middle))
        hit = value > 0
        far, inside = np.where(hit, middle, far), np.where(hit, value, inside)
        near, outside = np.where(hit, near, middle), np.where(hit, outside, value)
    crosses = (inside > 0) & (outside < 0)
    share = np.where(crosses, outside / np.where(crosses, outside - inside, 1), 1)
    return near + (far - near) * share


def _march(solid: _Solid, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Step rays from near to far: z of the first step inside, and how deep inside they come.

    A ray that misses takes the z of its closest approach, so outlines have sound normals.
    """
    levels = np.linspace(_NEAR, _FAR, _STEPS, dtype=np.float32)
    block = max(1, _BLOCK // u.size)
    deepest = np.full(u.shape, -9, np.float32)
    entry, closest = deepest.copy(), deepest.copy()
    for z in np.split(levels, range(block, _STEPS, block)):
        shape = (z.size * u.shape[0], u.shape[1])
        points = (
            np.tile(u, (z.size, 1)),
            np.tile(v, (z.size, 1)),
            np.repeat(z, u.size).reshape(shape),
        )
        inside = np.maximum(*solid.inside(*points)).reshape(z.size, *u.shape)
        hit = inside > 0
        entry = np.where((entry < -8) & hit.any(axis=0), z[hit.argmax(axis=0)], entry)
        peak = inside.max(axis=0)
        closest = np.where(peak > deepest, z[inside.argmax(axis=0)], closest)
        deepest = np.maximum(deepest, peak)
    return np.where(entry < -8, closest, entry), deepest


def _neck(
    identity: Identity, matrix: np.ndarray, u: np.ndarray, v: np.ndarray, pixel: float
) -> tuple[np.ndarray, np.ndarray]:
    """Model the neck, a leaning cylinder that widens downwards: its depth and cover."""
    top = (matrix @ np.array([0, 0.50, -0.26])).tolist()
    down = np.clip((v - top[1]) / (1.6 - top[1]), 0, 1)
    radius = 0.40 - 0.08 * identity.femininity + 0.35 * smoothstep(0.55, 1.15, down)
    across = u - top[0] * (1 - down)
    bulge = np.sqrt(np.maximum(radius**2 - across**2, 0))
    depth = top[2] * (1 - down) - 0.22 * down + 0.9 * bulge
    cover = np.clip((radius - np.abs(across)) / pixel + 0.5, 0, 1) * (v > top[1])
    return depth, cover
