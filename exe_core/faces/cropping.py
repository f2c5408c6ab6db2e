"""A face's box, and the face cut out by it: the same for photos and for frames."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

NOWHERE = (math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Face:
    """A face's box in the pixels of an upright image, and how sure the detector is of it."""

    x: int
    y: int
    width: int
    height: int
    score: float
    area_share: float = math.nan
    """Of the image."""
    eyes: tuple[float, float, float, float] = NOWHERE
    """x, y of the person's right eye (to the left, seen upright), and of the left one."""

    @property
    def roll_deg(self) -> float:
        """How far the line through the eyes is turned clockwise; NaN where they are not known."""
        x, y, other_x, other_y = self.eyes
        return math.degrees(math.atan2(other_y - y, other_x - x))

    def moved(self, x: int, y: int) -> Face:
        """Give the face in an image that starts so much further left and up."""
        a, b, c, d = self.eyes
        return replace(self, x=self.x + x, y=self.y + y, eyes=(a + x, b + y, c + x, d + y))

    def scaled(self, factor: float) -> Face:
        """Give the face in an image that is so many times larger."""
        a, b, c, d = (factor * place for place in self.eyes)
        left, top = round(self.x * factor), round(self.y * factor)
        return replace(
            self,
            x=left,
            y=top,
            width=round((self.x + self.width) * factor) - left,
            height=round((self.y + self.height) * factor) - top,
            eyes=(a, b, c, d),
        )

    def clipped(self, shape: tuple[int, ...]) -> Face:
        """Clip the box to an image of `shape` (height, width, ...), and say its share of it."""
        left, right = np.clip([self.x, self.x + self.width], 0, shape[1]).tolist()
        top, bottom = np.clip([self.y, self.y + self.height], 0, shape[0]).tolist()
        width, height = right - left, bottom - top
        share = width * height / (shape[0] * shape[1])
        return replace(self, x=left, y=top, width=width, height=height, area_share=share)


def side(face: Face, *, margin: float) -> int:
    """Give the side, px, of the square that `crop` cuts out."""
    return max(1, round(max(face.width, face.height) * (1 + 2 * margin)))


def crop(
    image: np.ndarray,
    face: Face,
    *,
    size: int,
    margin: float,
    square: bool = True,
    align: bool = False,
) -> np.ndarray:
    """Cut a face out.

    Parameters
    ----------
    image
        uint8 RGB, shape (height, width, 3).
    face
        What is cut out is centred on its box. Where it passes the image's border, the border's
        pixels are repeated.
    size
        Longer side of the result, px.
    margin
        Added on each side, in sides of the box.
    square
        Cut out a square on the box's longer side; else the box keeps its proportions.
    align
        Turn the picture about the point between the eyes until they are level; the box's centre
        goes with it, so the face stays in the middle. Without known eyes, nothing is turned.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (size, size, 3) if square.
    """
    if square:
        width = height = side(face, margin=margin)
    else:
        width, height = (max(1, round(x * (1 + 2 * margin))) for x in (face.width, face.height))
    left = round(face.x + (face.width - width) / 2)
    top = round(face.y + (face.height - height) / 2)
    turn = face.roll_deg if align and not math.isnan(face.roll_deg) else 0.0
    # what is turned into the picture comes from within half its diagonal
    spare = math.ceil((math.hypot(width, height) - min(width, height)) / 2) + 1 if turn else 0
    rows = np.clip(np.arange(top - spare, top + height + spare), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left - spare, left + width + spare), 0, image.shape[1] - 1)
    cut = Image.fromarray(image[np.ix_(rows, columns)])
    if turn:
        whole = cut.rotate(turn, Image.Resampling.BICUBIC)
        cut = whole.crop((spare, spare, spare + width, spare + height))
    scale = size / max(width, height)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cut.resize(target, Image.Resampling.BILINEAR))
