"""The colours of a head: skin, lips, teeth, brows, eyes, hair, glasses, painted where rays hit."""

from __future__ import annotations

import cv2
import numpy as np

from exe_world.face import Brow, Features, Identity, Lids
from exe_world.head import EAR_ANGLE, STYLES, nose_tip
from exe_world.textures import CLOUDS, GRAIN, bell, lerp, sample, single, smoothstep
from exe_world.trace import Surface, bounds

_TEETH = np.array([0.66, 0.62, 0.53])
_SCLERA = np.array([0.62, 0.58, 0.55])


class Paint:
    """Layers over a surface: what lighting needs to know of each pixel.

    Attributes
    ----------
    albedo
        Linear RGB reflectance, (rows, columns, 3).
    gloss
        Strength of the sharp highlight, (rows, columns).
    flat
        1 where light comes from the surroundings' average (eyes, teeth), not from the relief.
    glint
        Light added as it is: the reflex in the eyes.
    """

    def __init__(self, surface: Surface, identity: Identity) -> None:
        self.surface, self.identity = surface, identity
        shape = surface.depth.shape
        self.albedo = np.broadcast_to(single(identity.skin), (*shape, 3)).copy()
        self.gloss = np.full(shape, 0.07, np.float32)
        self.flat, self.glint = np.zeros((2, *shape), np.float32)

    def coat(self, region: tuple[slice, slice], colour: np.ndarray, weight: np.ndarray) -> None:
        """Lay a colour over a region's albedo."""
        self.albedo[region] = lerp(self.albedo[region], single(colour), weight)


def paint_head(
    surface: Surface, identity: Identity, face: Features, *, gaze: tuple[float, float]
) -> Paint:
    """Paint a head; `gaze` is right and down, 1 at the corner of the eye."""
    paint = Paint(surface, identity)
    _skin(paint, face)
    _beard(paint, face)
    _mouth(paint, face)
    for side, brow in zip((-1, 1), face.brows, strict=True):
        _brow(paint, brow, side)
        _eye(paint, face.lids, side, gaze)
    _hair(paint)
    if identity.glasses != "none":
        _glasses(paint)
    return paint


def _skin(paint: Paint, face: Features) -> None:
    surface, identity = paint.surface, paint.identity
    x, y, tone = np.abs(surface.x), surface.y, identity.skin_tone
    flush = 0.35 * bell((x, 0.40, 0.18), (y, 0.28, 0.14))
    flush += 0.30 * bell((x, 0, 0.12), (y, 0.36, 0.10))
    flush += 0.20 * bell((np.abs(surface.angle), EAR_ANGLE, 0.15))
    shade = 1 - (flush * (1 - tone / 8))[..., None] * single([0, 0.30, 0.34])
    mottle = 0.035 * sample(CLOUDS, surface.x * 90, y * 90, seed=identity.seed)
    pores = sample(GRAIN, surface.x * 150, y * 110, seed=identity.seed)
    under_eye = bell((x, identity.eye_x, 0.13), (y, identity.eye_y + 0.12, 0.05))
    socket = bell((x, identity.eye_x, 0.2), (y, identity.eye_y, 0.12))
    light = (1 + mottle + 0.02 * pores) * (1 - 0.12 * socket - 0.10 * identity.age * under_eye)
    tip, wide = nose_tip(identity, face), identity.nose_width
    before = smoothstep(0.05, 0.3, np.cos(surface.angle)) * (1 - surface.neck)
    nostril_y = tip + 0.078 - 0.25 * (x - 0.06)
    nostril = bell((x, 0.062 * wide, 0.027 * wide), (y, nostril_y, 0.016))
    crease = bell((x, 0.168 * wide, 0.018), (y, tip + 0.03, 0.05))
    light *= (1 - 0.72 * before * nostril) * (1 - 0.22 * before * crease)
    paint.albedo *= shade * light[..., None]
    if identity.freckles:
        spots = 0.5 * smoothstep(0.9, 1.6, pores) * bell((x, 0.25, 0.35), (y, 0.25, 0.18))
        paint.coat(np.s_[:, :], identity.skin * (0.6, 0.45, 0.35), spots * before)


def _hair_dark(identity: Identity) -> np.ndarray:
    # Brows and beards are darker than the hair of the head; a bald man's are dark brown.
    colour = (0.03, 0.018, 0.012) if identity.hair_style == "bald" else identity.hair_colour
    return np.array(colour) * 0.55 + 0.004


def _beard(paint: Paint, face: Features) -> None:
    surface, identity = paint.surface, paint.identity
    if not identity.beard:
        return
    x, y = np.abs(surface.x), surface.y
    upper, _, _, lower = face.mouth.lines(surface.x)
    cheeks = smoothstep(0.42, 0.66, y + 0.35 * smoothstep(0.42, 0.66, x))
    chin = smoothstep(0.735, 0.80, y - face.jaw_drop)
    lip = smoothstep(0.44, 0.50, y) * (1 - smoothstep(0.24, 0.34, x)) * identity.moustache
    cover = cheeks * np.maximum(smoothstep(0.17, 0.32, x), np.maximum(chin, lip))
    lips = smoothstep(-0.02, 0.01, np.minimum(y - upper, lower - y)) * (x < face.mouth.half_width)
    cover *= (1 - lips) * (np.cos(surface.angle) > -0.2) * (1 - surface.neck)
    bristles = sample(GRAIN, surface.angle * 150, y * 90, seed=identity.seed)
    cover *= np.clip(identity.beard * (0.85 + 0.22 * bristles), 0, 0.96)
    paint.coat(np.s_[:, :], _hair_dark(identity), cover)
    paint.gloss *= 1 - cover


def _mouth(paint: Paint, face: Features) -> None:
    surface, identity, mouth = paint.surface, paint.identity, face.mouth
    x, y = np.abs(surface.x), surface.y
    before = (surface.z > 0) & (surface.neck < 0.5)
    region = bounds((x < mouth.half_width * 1.25) & (y > 0.4) & (y < 1.15) & before)
    if region is None:
        return
    x, y, soft = x[region], y[region], max(0.6 * surface.pixel, 0.004)
    upper, upper_inner, lower_inner, lower = mouth.lines(x)
    within = 1 - smoothstep(mouth.half_width * 0.96, mouth.half_width * 1.03, x)
    lips = smoothstep(-0.010, 0.010, np.minimum(y - upper, lower - y)) * within
    gap = lower_inner - upper_inner
    opening = smoothstep(-soft, soft, np.minimum(y - upper_inner, lower_inner - y))
    opening *= within * smoothstep(0.004, 0.014, gap)
    natural = identity.skin * (0.80, 0.50, 0.50)
    stick = np.array([0.30, 0.025, 0.03]) * (0.4 + identity.skin.mean())
    colour = natural + (stick - natural) * 0.6 * identity.lipstick
    paint.coat(region, colour, lips * 0.85)
    shut = 1 - smoothstep(0.004, 0.014, gap)
    seam = bell((y, (upper_inner + lower_inner) / 2, 0.011)) * within * shut
    paint.coat(region, colour * 0.15, 0.9 * seam)
    corner = bell((x, mouth.half_width, 0.022), (y, mouth.corner_y, 0.018))
    paint.coat(region, identity.skin * 0.15, 0.6 * corner)
    under = bell((y, lower + 0.02, 0.025)) * within
    paint.albedo[region] *= (1 - 0.18 * under)[..., None]
    paint.gloss[region] += 0.10 * lips
    paint.coat(region, _mouth_inside(face, x, y, upper_inner, lower_inner), opening)
    paint.gloss[region] *= 1 - 0.8 * opening
    paint.flat[region] = np.maximum(paint.flat[region], opening)


def _mouth_inside(
    face: Features, x: np.ndarray, y: np.ndarray, upper: np.ndarray, lower: np.ndarray
) -> np.ndarray:
    """Colour the cavity, tongue and teeth between the lips' inner edges."""
    mouth, au = face.mouth, face.au
    colour = np.broadcast_to(single([0.028, 0.006, 0.006]), (*x.shape, 3))
    tongue = smoothstep(0, 0.05, y - lower + 0.10 + 0.2 * face.jaw_drop)
    tongue = 0.7 * (tongue * np.exp(-((x / 0.15) ** 4))) * smoothstep(0.05, 0.12, lower - upper)
    colour = lerp(colour, np.array([0.20, 0.045, 0.045]), tongue)
    between = np.abs(np.mod(x, 0.058) - 0.029)
    outward = x / mouth.half_width
    enamel = (1 - 0.4 * smoothstep(0.022, 0.029, between)) * (1 - 0.55 * outward**2)
    enamel *= 0.55 + 0.45 * smoothstep(0, 0.03, y - upper)
    edge_y = mouth.middle_y - mouth.open_up + 0.064 + 0.015 * au["AU12"]
    upper_edge = edge_y + 0.012 * (x / 0.2) ** 2
    shown = smoothstep(-0.006, 0.006, upper_edge - y) * (1 - smoothstep(0.85, 0.95, outward))
    colour = lerp(colour, _TEETH * enamel[..., None], shown)
    lower_edge = mouth.middle_y + mouth.open_down - 0.032
    bared = np.clip(au["AU20"] + 0.5 * au["AU10"] * au["AU25"], 0, 1)
    shown = smoothstep(-0.006, 0.006, y - lower_edge) * (1 - smoothstep(0.7, 0.85, outward))
    return lerp(colour, 0.8 * _TEETH * enamel[..., None], shown * bared)


def _brow(paint: Paint, brow: Brow, side: int) -> None:
    surface, identity = paint.surface, paint.identity
    x, y = side * surface.x, surface.y
    region = bounds((x > 0.02) & (x < 0.62) & (y > -0.5) & (y < 0.03) & (surface.z > 0))
    if region is None:
        return
    x, y = x[region], y[region]
    t, centre = brow.along(x)
    half = identity.brow_thickness * (1.05 - 0.15 * t - 0.65 * t**4)
    inner, outer = brow.inner[0], brow.outer[0]
    reach = smoothstep(inner - 0.04, inner + 0.05, x)
    reach = reach * (1 - smoothstep(outer - 0.06, outer + 0.03, x))
    half = np.maximum(half * reach, 1e-3)
    hairs = sample(GRAIN, (x - (y - centre)) * 170, (y - centre) * 60 + x * 40, seed=identity.seed)
    cover = 1 - smoothstep(0.55, 1.25 + 0.3 * surface.pixel / half, np.abs(y - centre) / half)
    cover = np.clip(cover * reach * (0.80 + 0.22 * hairs), 0, 0.94)
    paint.coat(region, _hair_dark(identity), cover)


def _eye(paint: Paint, lids: Lids, side: int, gaze: tuple[float, float]) -> None:
    surface, identity = paint.surface, paint.identity
    x, y = side * surface.x - identity.eye_x, surface.y - identity.eye_y
    region = bounds((np.abs(x) < 0.24) & (np.abs(y) < 0.2) & (surface.z > 0))
    if region is None:
        return
    x, y, soft = x[region], y[region], max(0.6 * surface.pixel, 0.003)
    t, upper, lower = lids.lines(x)
    ends = smoothstep(1.02, 0.95, np.abs(x) / lids.half_width)
    opening = smoothstep(-soft, soft, np.minimum(y - upper, lower - y)) * ends
    crease_y = upper - 0.028 - 0.018 * np.sqrt(1 - t**2)
    paint.albedo[region] *= (1 - 0.40 * bell((y, crease_y, 0.011)) * ends)[..., None]
    iris_x, iris_y = side * gaze[0] * 0.055, gaze[1] * 0.03 - 0.006
    white = _SCLERA * (1 - 0.32 * np.abs(t) ** 2.2)[..., None]
    caruncle = 0.7 * bell((x, -0.95 * lids.half_width, 0.03))
    colour = lerp(white, np.array([0.36, 0.14, 0.11]), caruncle)
    radius = np.hypot(x - iris_x, y - iris_y)
    limbus = 1.2 + 0.35 * smoothstep(0.02, 0.06, radius)
    limbus = limbus * (1 - 0.7 * smoothstep(0.050, 0.0635, radius))
    iris = np.array(identity.iris) * limbus[..., None]
    colour = lerp(colour, iris, 1 - smoothstep(0.0635 - soft, 0.0635 + soft, radius))
    colour = lerp(colour, 0.004, 1 - smoothstep(0.026 - soft, 0.026 + soft, radius))
    colour = colour * (1 - 0.6 * np.exp(-np.maximum(y - upper, 0) / 0.024))[..., None]
    paint.coat(region, colour, opening)
    paint.flat[region] = np.maximum(paint.flat[region], opening)
    paint.gloss[region] *= 1 - opening
    glint = np.exp(-((x - iris_x - 0.016 * side) ** 2 + (y - iris_y + 0.020) ** 2) / 0.012**2)
    paint.glint[region] += 0.9 * glint * opening
    lash = bell((y, upper - 0.003, max(0.0085 + 0.008 * identity.femininity, 0.4 * surface.pixel)))
    lash *= smoothstep(1.12, 0.92, np.abs(x) / lids.half_width) * (0.72 + 0.2 * identity.femininity)
    paint.coat(region, np.array([0.008, 0.006, 0.005]), np.clip(lash, 0, 0.95))
    rim = 0.38 * bell((y, lower, 0.008)) * smoothstep(1.08, 0.85, np.abs(x) / lids.half_width)
    paint.albedo[region] *= (1 - 0.65 * rim)[..., None]


def _hair(paint: Paint) -> None:
    surface, identity = paint.surface, paint.identity
    if identity.hair_style == "curly":
        strands = sample(CLOUDS, surface.angle * 75, surface.y * 75, seed=identity.seed)
    else:
        bend = 12 * np.sin(9 * surface.y) * (identity.hair_style == "wavy")
        u = surface.angle * 75 + bend + surface.y * 40 * identity.parting
        strands = sample(GRAIN, u, surface.y * 7, seed=identity.seed)
    # Between hanging hair one looks into the dark.
    inside = 1 - smoothstep(0.35, 0.68, np.hypot(surface.x, surface.z))
    shade = (1 + 0.25 * np.clip(strands, -2, 2)) * (1 - 0.8 * inside * (surface.y > 0.3))
    colour = np.array(identity.hair_colour) * shade[..., None]
    cover = smoothstep(0.25, 0.75, surface.hair + 0.12 * strands * (surface.hair > 0.05))
    cover *= STYLES[identity.hair_style].cover
    paint.coat(np.s_[:, :], np.maximum(colour, 0.003), cover)
    paint.gloss *= 1 - cover
    surface.hair = cover.astype(np.float32)


def _glasses(paint: Paint) -> None:
    surface, identity = paint.surface, paint.identity
    x, y = np.abs(surface.x), surface.y - identity.eye_y - 0.03
    power, thick = (2.2, 0.07) if identity.glasses == "round" else (4.0, 0.09)
    before = smoothstep(0.05, 0.3, np.cos(surface.angle)) * (1 - surface.neck)
    across = (np.abs(x - identity.eye_x - 0.005) / 0.225) ** power
    ring = (across + (np.abs(y) / 0.155) ** power) ** (1 / power)
    frame = (1 - smoothstep(0.6 * thick, thick, np.abs(ring - 1))) * before
    bridge = (np.abs(y + 0.055 - 3 * x**2) < 0.016) & (x < 0.095)
    temple = (np.abs(y + 0.06) < 0.017) & (x > identity.eye_x + 0.225)
    temple &= np.cos(surface.angle) > -0.05
    frame = np.maximum(frame, bridge * before + temple)
    frame = cv2.GaussianBlur(single(np.clip(frame, 0, 1)), (0, 0), 0.5) * (1 - surface.hair)
    paint.albedo *= (1 - 0.2 * cv2.GaussianBlur(frame, (0, 0), 0.03 / surface.pixel))[..., None]
    paint.coat(np.s_[:, :], np.array(identity.frame_colour), frame)
    paint.gloss += 0.2 * frame
    paint.flat *= 1 - frame
    paint.glint = paint.glint * (1 - frame) + 0.02 * (ring < 0.97) * before
