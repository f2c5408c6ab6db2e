"""Who is drawn and what the face does: identities, expressions, poses, and the face's curves.

Action units (AU) are those of the Facial Action Coding System (Ekman & Friesen, 1978); the
prototypes follow EMFACS (Friesen & Ekman, 1983). Lengths are in head units of about 107 mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

AUS = tuple(f"AU{unit}" for unit in (1, 2, 4, 5, 6, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26, 43))
"""The action units that the face can do; 1 is the strongest that a prototype shows."""

EXPRESSIONS: dict[str, dict[str, float]] = {
    "angry": {"AU4": 1.0, "AU5": 0.45, "AU7": 0.7, "AU23": 0.9, "AU17": 0.25, "AU9": 0.15},
    "disgust": {"AU9": 1.0, "AU10": 0.8, "AU15": 0.5, "AU17": 0.5, "AU4": 0.45, "AU7": 0.6}
    | {"AU25": 0.15},
    "fear": {"AU1": 0.9, "AU2": 0.5, "AU4": 0.65, "AU5": 1.0, "AU7": 0.2, "AU20": 0.95}
    | {"AU25": 0.8, "AU26": 0.28},
    "happy": {"AU6": 0.9, "AU12": 1.0, "AU25": 0.7},
    "sad": {"AU1": 1.0, "AU4": 0.5, "AU15": 1.0, "AU17": 0.5, "AU43": 0.25, "AU7": 0.1},
    "surprise": {"AU1": 1.0, "AU2": 1.0, "AU5": 0.85, "AU25": 0.8, "AU26": 0.95},
    "neutral": {},
}
"""Emotion -> the action units of its prototype, at intensity 1."""

# Each emotion's other common forms: chance, and what replaces the prototype's activation.
_VARIANTS: dict[str, list[tuple[float, dict[str, float]]]] = {
    "happy": [(0.3, {"AU25": 0.0}), (0.2, {"AU26": 0.35})],
    "angry": [(0.3, {"AU25": 0.75, "AU10": 0.5, "AU23": 0.35, "AU26": 0.15})],
}

# Linear RGB reflectance, from the lightest skin (0) to the darkest (6).
_LIGHTER = ((0.64, 0.455, 0.36), (0.55, 0.37, 0.275), (0.455, 0.285, 0.195), (0.345, 0.20, 0.128))
_DARKER = ((0.24, 0.132, 0.082), (0.155, 0.083, 0.052), (0.100, 0.053, 0.034))
SKIN_TONES = np.array(_LIGHTER + _DARKER)
_HAIR_COLOURS = {
    "black": (0.011, 0.009, 0.008),
    "dark brown": (0.032, 0.018, 0.012),
    "brown": (0.080, 0.042, 0.022),
    "fair": (0.170, 0.100, 0.050),
    "blond": (0.380, 0.260, 0.125),
    "red": (0.220, 0.065, 0.022),
    "grey": (0.260, 0.250, 0.240),
}
_BROWN_EYES = ((0.050, 0.022, 0.010), (0.110, 0.055, 0.020))
_EYES = (*_BROWN_EYES, (0.085, 0.150, 0.075), (0.100, 0.200, 0.330), (0.180, 0.220, 0.250))
HAIR_STYLES = ("short", "swept", "quiff", "buzz", "curly", "bob", "long", "wavy", "bald")
_STYLE_WEIGHTS = {
    "feminine": (0.08, 0.08, 0.02, 0.03, 0.17, 0.20, 0.24, 0.18, 0.0),
    "masculine": (0.26, 0.19, 0.15, 0.13, 0.12, 0.02, 0.03, 0.02, 0.08),
}


@dataclass(frozen=True)
class Identity:
    """All that makes one person look like themself, whatever the face does.

    Scales are factors around 1, shifts are in head units around 0, colours linear RGB.
    """

    seed: int  # of the skin and hair texture
    skin_tone: float  # 0 lightest, 6 darkest
    femininity: float  # 0..1: brow ridge, jaw, lips, lashes
    age: float  # 0 young, 1 old
    face_width: float
    face_depth: float
    jaw_width: float
    chin_shift: float
    eye_x: float
    eye_y: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    iris: tuple[float, float, float]
    brow_thickness: float
    brow_shift: float
    brow_arch: float
    brow_asymmetry: float
    nose_width: float
    nose_height: float
    nose_shift: float
    mouth_width: float
    mouth_shift: float
    upper_lip: float
    lower_lip: float
    lipstick: float  # 0..1
    freckles: bool
    beard: float  # 0 none, 1 full
    moustache: bool
    hair_style: str  # one of HAIR_STYLES
    hair_colour: tuple[float, float, float]
    hair_volume: float
    fringe: bool
    parting: float  # radians from the middle
    glasses: str  # "none", "round" or "square"
    frame_colour: tuple[float, float, float]
    clothes: tuple[float, float, float]
    collar: int  # 0 crew, 1 deep V, 2 high, 3 V

    @property
    def skin(self) -> np.ndarray:
        """The skin's linear RGB reflectance."""
        steps = np.arange(len(SKIN_TONES))
        return np.array([np.interp(self.skin_tone, steps, band) for band in SKIN_TONES.T])


def sample_identity(rng: np.random.Generator, *, skin_tone: float | None = None) -> Identity:
    """Draw a person; the skin tone, 0 (lightest) to 6 (darkest), evenly where it is not given."""
    drawn_tone = rng.uniform(0, 6)
    tone = drawn_tone if skin_tone is None else float(skin_tone)
    femininity, age = rng.uniform(), rng.uniform()
    return Identity(
        seed=int(rng.integers(1, 10_000)),
        skin_tone=tone,
        femininity=femininity,
        age=age,
        **_sample_features(rng, femininity, darkness=tone / 6),
        **_sample_hair(rng, femininity, age=age, dark=tone > 3.2),
        **_sample_dress(rng),
    )


def _sample_features(rng: np.random.Generator, femininity: float, darkness: float) -> dict:
    def around(mean: float, deviation: float) -> float:
        return float(mean + deviation * np.clip(rng.standard_normal(), -2.2, 2.2))

    shift = femininity - 0.5
    eyes = _BROWN_EYES if darkness > 0.5 else _EYES
    return {
        "face_width": around(1, 0.045),
        "face_depth": around(1, 0.03),
        "jaw_width": around(1 - 0.10 * shift, 0.05),
        "chin_shift": around(0, 0.03),
        "eye_x": around(0.305, 0.012),
        "eye_y": around(0, 0.014),
        "eye_width": around(0.158 + 0.008 * shift, 0.008),
        "eye_height": around(1 + 0.15 * shift, 0.10),
        "eye_tilt": around(0.008, 0.011),
        "iris": eyes[rng.choice(len(eyes))],
        "brow_thickness": around(0.030 - 0.012 * shift, 0.005),
        "brow_shift": around(-0.012 * femininity, 0.012),
        "brow_arch": around(0, 0.012),
        "brow_asymmetry": around(0, 0.08),
        "nose_width": around(1 - 0.12 * shift + 0.15 * darkness, 0.10),
        "nose_height": around(1, 0.13),
        "nose_shift": around(0, 0.018),
        "mouth_width": around(0.245, 0.014),
        "mouth_shift": around(0, 0.012),
        "upper_lip": around(1 + 0.3 * shift + 0.3 * darkness, 0.16),
        "lower_lip": around(1 + 0.2 * shift + 0.2 * darkness, 0.13),
        "lipstick": float(rng.uniform(0.3, 1) * (rng.random() < femininity - 0.25)),
        "freckles": bool(rng.random() < 0.25 and darkness < 0.3),
    }


def _sample_hair(rng: np.random.Generator, femininity: float, *, age: float, dark: bool) -> dict:
    weights = _STYLE_WEIGHTS["feminine" if femininity > 0.5 else "masculine"]
    style = str(rng.choice(HAIR_STYLES, p=weights))
    names = ("black", "dark brown", "brown", "fair", "blond", "red")[: 2 if dark else 6]
    colour = np.array(_HAIR_COLOURS[str(rng.choice(names))])
    greyness = float(np.clip((age - 0.6) * 4, 0, 1)) * (rng.random() < 0.75)
    colour += (np.array(_HAIR_COLOURS["grey"]) * rng.uniform(0.7, 1.3) - colour) * greyness
    bearded = femininity < 0.5 and rng.random() < 0.5
    return {
        "hair_style": style,
        "hair_colour": tuple(map(float, colour * rng.uniform(0.8, 1.2))),
        "hair_volume": float(rng.uniform(0.7, 1.3)),
        "fringe": bool(style in ("short", "bob", "long", "wavy") and rng.random() < 0.35),
        "parting": float(np.clip(rng.normal(0, 0.35), -0.6, 0.6)),
        "beard": float(rng.choice((0.35, 0.6, 0.95))) if bearded else 0.0,
        "moustache": bool(rng.random() < 0.6),
    }


def _sample_dress(rng: np.random.Generator) -> dict:
    tint = rng.random() * (rng.random() < 0.4)
    return {
        "glasses": str(rng.choice(("none", "round", "square"), p=(0.78, 0.11, 0.11))),
        "frame_colour": tuple(map(float, 0.012 + 0.12 * tint * rng.random(3))),
        "clothes": tuple(map(float, rng.uniform(0.02, 0.45) * rng.uniform(0.25, 1, 3))),
        "collar": int(rng.integers(0, 4)),
    }


def sample_expression(
    rng: np.random.Generator, emotion: str, *, intensity: float
) -> dict[str, float]:
    """Draw how one person shows an emotion, a key of `EXPRESSIONS`, once.

    Intensity 0 leaves a neutral face, 1 is the full prototype.

    Returns
    -------
    dict
        Every unit of `AUS` -> activation, 0 to 1.25: the prototype's, times the intensity,
        times 1 + 0.15 N(0, 1), plus an idle |N(0, 0.035)|.
    """
    activations = {**dict.fromkeys(AUS, 0.0), **EXPRESSIONS[emotion]}
    chance = rng.random()
    for share, changes in _VARIANTS.get(emotion, []):
        if 0 <= chance < share:
            activations.update(changes)
        chance -= share
    noise = rng.standard_normal((2, len(AUS)))
    return {
        unit: float(np.clip(value * intensity * (1 + 0.15 * scale) + 0.035 * abs(idle), 0, 1.25))
        for (unit, value), scale, idle in zip(activations.items(), *noise, strict=True)
    }


def blend(a: dict[str, float], b: dict[str, float], weight: float) -> dict[str, float]:
    """Mix two expressions: `a` at weight 0, `b` at weight 1."""
    return {unit: (1 - weight) * a.get(unit, 0.0) + weight * b.get(unit, 0.0) for unit in AUS}


def sample_pose(rng: np.random.Generator, *, scale: float) -> tuple[float, float, float]:
    """Draw yaw, pitch and roll in radians; at scale 1 the deviations are 17, 8 and 7 degrees."""
    deviates = np.clip(rng.standard_normal(3), -2, 2)
    yaw, pitch, roll = deviates * np.array([0.30, 0.14, 0.12]) * scale
    return float(yaw), float(pitch), float(roll)


@dataclass(frozen=True)
class Mouth:
    """The four lip lines as functions of the distance x from the middle of the face."""

    half_width: float
    corner_y: float
    middle_y: float
    power: float
    open_up: float
    open_down: float
    upper_thickness: float
    lower_thickness: float

    def lines(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Give y of the upper lip's outer and inner edge, the lower lip's inner and outer edge."""
        t = np.clip(np.abs(x) / self.half_width, 0, 1)
        line = self.middle_y + (self.corner_y - self.middle_y) * t**self.power
        opening = np.maximum(1 - t**2.2, 0) ** 0.7
        upper_inner = line - self.open_up * opening
        lower_inner = line + self.open_down * opening
        bow = 1 - 0.30 * np.exp(-((x / 0.035) ** 2))
        upper = upper_inner - self.upper_thickness * bow * (1 - t**1.7) ** 0.8
        lower = lower_inner + self.lower_thickness * (1 - t**2.4) ** 0.9
        return upper, upper_inner, lower_inner, lower


@dataclass(frozen=True)
class Brow:
    """A quadratic through inner, middle and outer point, (x, y) with x away from the nose."""

    inner: tuple[float, float]
    middle: tuple[float, float]
    outer: tuple[float, float]

    def along(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the place along the brow (0 inner, 1 outer) and the y of its centre line."""
        span = self.outer[0] - self.inner[0]
        t = np.clip((x - self.inner[0]) / span, 0, 1)
        rise, rise_middle = self.outer[1] - self.inner[1], self.middle[1] - self.inner[1]
        t_middle = (self.middle[0] - self.inner[0]) / span
        curvature = (rise_middle - rise * t_middle) / (t_middle**2 - t_middle)
        return t, self.inner[1] + (rise - curvature) * t + curvature * t**2


@dataclass(frozen=True)
class Lids:
    """The two lid lines of an eye; x from its centre outwards, y from its centre down."""

    half_width: float
    upper_height: float
    lower_height: float
    tilt: float

    def lines(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Give the place along the eye (-1 inner, 1 outer), y of the upper and of the lower lid."""
        t = np.clip(x / self.half_width, -1, 1)
        arc = np.sqrt(np.maximum(1 - t**2, 0))
        slope = -self.tilt * t
        return (
            t,
            slope - self.upper_height * arc * (1 - 0.16 * t),
            slope + self.lower_height * arc * (1 + 0.12 * t),
        )


@dataclass(frozen=True)
class Features:
    """A person's face curves under one expression."""

    au: dict[str, float]
    jaw_drop: float
    mouth: Mouth
    brows: tuple[Brow, ...]  # left and right in the picture
    lids: Lids


def features(identity: Identity, expression: dict[str, float], *, blink: float) -> Features:
    """Turn action units into curves; a unit not given is at rest; blink: 0 open, 1 shut."""
    au = {**dict.fromkeys(AUS, 0.0), **expression}
    jaw_drop = 0.20 * au["AU26"]
    brows = tuple(_brow(identity, au, lift=1 + side * identity.brow_asymmetry) for side in (-1, 1))
    lids = _lids(identity, au, blink)
    return Features(au, jaw_drop, _mouth(identity, au, jaw_drop), brows, lids)


def _mouth(identity: Identity, au: dict[str, float], jaw_drop: float) -> Mouth:
    y = 0.62 + identity.mouth_shift
    smile, parted = au["AU12"], au["AU25"]
    lip_press = 1 - 0.5 * au["AU23"] - 0.2 * smile - 0.15 * au["AU20"]
    width = 1 + 0.34 * smile + 0.30 * au["AU20"] - 0.18 * au["AU23"]
    width = width - 0.16 * max(0.0, au["AU26"] - 0.3) - 0.06 * au["AU17"]
    middle_y = y + 0.022 * smile - 0.028 * au["AU15"] - 0.035 * au["AU17"] - 0.012 * au["AU10"]
    return Mouth(
        half_width=identity.mouth_width * width,
        corner_y=y - 0.085 * smile + 0.085 * au["AU15"] + 0.025 * au["AU20"] + 0.42 * jaw_drop,
        middle_y=middle_y + 0.36 * jaw_drop,
        power=1.7 + 0.5 * smile + 0.6 * au["AU15"],
        open_up=parted * (0.012 + 0.018 * smile + 0.022 * au["AU10"]) + 0.36 * jaw_drop,
        open_down=parted * (0.030 + 0.022 * smile + 0.02 * au["AU20"]) + 0.64 * jaw_drop,
        upper_thickness=0.058 * identity.upper_lip * lip_press,
        lower_thickness=0.078 * identity.lower_lip * lip_press,
    )


def _brow(identity: Identity, au: dict[str, float], *, lift: float) -> Brow:
    inner_up, outer_up, knit = au["AU1"] * lift, au["AU2"] * lift, au["AU4"]
    y = identity.brow_shift + 0.02 * au["AU9"]
    middle_y = y + identity.brow_arch - 0.245 - 0.045 * inner_up - 0.085 * outer_up
    outer_y = y - 0.175 - 0.09 * outer_up + 0.03 * knit
    outer_y = outer_y + 0.035 * inner_up * (1 - min(1.0, 1.5 * outer_up))
    return Brow(
        inner=(0.115 - 0.03 * knit, y - 0.185 - 0.125 * inner_up + 0.115 * knit),
        middle=(0.33, middle_y + 0.075 * knit * (1 - 0.6 * min(1.0, inner_up))),
        outer=(0.50, outer_y - 0.02 * knit * (1 - min(1.0, inner_up))),
    )


def _lids(identity: Identity, au: dict[str, float], blink: float) -> Lids:
    frown = 0.010 * au["AU4"] if au["AU5"] < 0.3 else 0.0
    upper = 0.060 * identity.eye_height + 0.040 * au["AU5"] - 0.014 * (au["AU7"] + au["AU6"])
    upper = upper - 0.012 * au["AU9"] - frown
    lower = 0.046 * identity.eye_height - 0.016 * au["AU7"] - 0.024 * au["AU6"]
    lower += 0.008 * au["AU5"] - 0.010 * au["AU9"]
    droop = 0.010 * au["AU1"] if au["AU5"] < 0.4 else 0.0
    return Lids(
        half_width=identity.eye_width,
        upper_height=max(upper, 0.004) * (1 - 0.41 * min(au["AU43"], 1.3)) * (1 - blink),
        lower_height=max(lower, 0.004) * (1 - 0.5 * blink),
        tilt=identity.eye_tilt - droop,
    )
