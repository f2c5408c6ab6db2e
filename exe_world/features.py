"""How action units move the curves of mouth, brows and eyes; geometry and paint both read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exe_world.face import AUS, Identity


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
    """Turn action units into curves.

    Parameters
    ----------
    identity
        Whose face.
    expression
        Action unit -> activation; a unit not given is at rest.
    blink
        0 open, 1 shut.

    Raises
    ------
    ValueError
        If the expression names an unknown unit.
    """
    unknown = set(expression) - set(AUS)
    if unknown:
        raise ValueError(f"unknown action units {sorted(unknown)}; the face has {', '.join(AUS)}")
    au = {**dict.fromkeys(AUS, 0.0), **expression}
    jaw_drop = 0.20 * au["AU26"]
    brows = tuple(_brow(identity, au, lift=1 + side * identity.brow_asymmetry) for side in (-1, 1))
    lids = _lids(identity, au, blink)
    return Features(au, jaw_drop, _mouth(identity, au, jaw_drop), brows, lids)


def _mouth(identity: Identity, au: dict[str, float], jaw_drop: float) -> Mouth:
    y = 0.62 + identity.mouth_shift
    smile, parted = au["AU12"], au["AU25"]
    lip_press = 1 - 0.5 * au["AU23"] - 0.2 * smile - 0.15 * au["AU20"]
    return Mouth(
        half_width=identity.mouth_width
        * (
            1
            + 0.34 * smile
            + 0.30 * au["AU20"]
            - 0.18 * au["AU23"]
            - 0.16 * max(0.0, au["AU26"] - 0.3)
            - 0.06 * au["AU17"]
        ),
        corner_y=y - 0.085 * smile + 0.085 * au["AU15"] + 0.025 * au["AU20"] + 0.42 * jaw_drop,
        middle_y=y
        + 0.022 * smile
        - 0.028 * au["AU15"]
        - 0.035 * au["AU17"]
        - 0.012 * au["AU10"]
        + 0.36 * jaw_drop,
        power=1.7 + 0.5 * smile + 0.6 * au["AU15"],
        open_up=parted * (0.012 + 0.018 * smile + 0.022 * au["AU10"]) + 0.36 * jaw_drop,
        open_down=parted * (0.030 + 0.022 * smile + 0.02 * au["AU20"]) + 0.64 * jaw_drop,
        upper_thickness=0.058 * identity.upper_lip * lip_press,
        lower_thickness=0.078 * identity.lower_lip * lip_press,
    )


def _brow(identity: Identity, au: dict[str, float], *, lift: float) -> Brow:
    inner_up, outer_up, knit = au["AU1"] * lift, au["AU2"] * lift, au["AU4"]
    y = identity.brow_shift + 0.02 * au["AU9"]
    return Brow(
        inner=(0.115 - 0.03 * knit, y - 0.185 - 0.125 * inner_up + 0.115 * knit),
        middle=(
            0.33,
            y
            + identity.brow_arch
            - 0.245
            - 0.045 * inner_up
            - 0.085 * outer_up
            + 0.075 * knit * (1 - 0.6 * min(1.0, inner_up)),
        ),
        outer=(
            0.50,
            y
            - 0.175
            - 0.09 * outer_up
            + 0.03 * knit
            + 0.035 * inner_up * (1 - min(1.0, 1.5 * outer_up))
            - 0.02 * knit * (1 - min(1.0, inner_up)),
        ),
    )


def _lids(identity: Identity, au: dict[str, float], blink: float) -> Lids:
    frown = 0.010 * au["AU4"] if au["AU5"] < 0.3 else 0.0
    upper = (
        0.060 * identity.eye_height
        + 0.040 * au["AU5"]
        - 0.014 * (au["AU7"] + au["AU6"])
        - 0.012 * au["AU9"]
        - frown
    )
    lower = 0.046 * identity.eye_height - 0.016 * au["AU7"] - 0.024 * au["AU6"]
    lower += 0.008 * au["AU5"] - 0.010 * au["AU9"]
    droop = 0.010 * au["AU1"] if au["AU5"] < 0.4 else 0.0
    return Lids(
        half_width=identity.eye_width,
        upper_height=max(upper, 0.004) * (1 - 0.41 * min(au["AU43"], 1.3)) * (1 - blink),
        lower_height=max(lower, 0.004) * (1 - 0.5 * blink),
        tilt=identity.eye_tilt - droop,
    )
