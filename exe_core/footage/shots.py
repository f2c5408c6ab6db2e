"""Shots: which of the sampled frames of a film are of one take, told by their colours.

Neighbouring frames of a shot show the same face in the same light, so a shot, not a frame, is what
is resampled where the uncertainty of a film is asked for. Only sampled frames are looked at: a cut
between two of them is one cut, however many the film has there.
"""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pandas as pd

CUT = 0.35
"""Distance of two colour signatures, 0 to 1, above which a cut lies between their frames."""

BLOCK_S = 30.0
"""Length of the blocks that stand in for shots where the pictures were not seen."""

_SEEN = (64, 36)
_BINS = (8, 4, 4)


def signature(rgb: np.ndarray) -> np.ndarray:
    """Describe the colours of a picture, top and bottom, left and right.

    Parameters
    ----------
    rgb
        (H, W, 3) uint8.

    Returns
    -------
    np.ndarray
        (4, 128) shares of each quarter's pixels, by hue, saturation and value.
    """
    stride = max(1, min(rgb.shape[1] // _SEEN[0], rgb.shape[0] // _SEEN[1]) // 4)
    seen = np.ascontiguousarray(rgb[::stride, ::stride])  # a mean over all pixels takes 7x longer
    small = cv2.resize(seen, _SEEN, interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV)
    width, height = _SEEN[0] // 2, _SEEN[1] // 2
    quarters = [hsv[y : y + height, x : x + width] for y in (0, height) for x in (0, width)]
    ranges = [0, 180, 0, 256, 0, 256]
    found = [cv2.calcHist([part], [0, 1, 2], None, _BINS, ranges).ravel() for part in quarters]
    return np.stack(found) / (width * height)


def distance(first: np.ndarray, second: np.ndarray) -> float:
    """Compute the Hellinger distance of two signatures, 0 (alike) to 1, mean over quarters."""
    overlap = np.sqrt(first * second).sum(axis=-1)
    return float(np.sqrt(np.clip(1 - overlap, 0, 1)).mean())


def number(signatures: Iterable[np.ndarray]) -> list[int]:
    """Give each frame of a film the number of its shot.

    Parameters
    ----------
    signatures
        Of its sampled frames, in the order of time.

    Returns
    -------
    list of int
        From 0.
    """
    shots: list[int] = []
    before = None
    for found in signatures:
        cut = before is not None and distance(before, found) > CUT
        shots.append(shots[-1] + cut if shots else 0)
        before = found
    return shots


def blocks(rows: pd.DataFrame, *, block_s: float = BLOCK_S) -> pd.Series:
    """Give the block of each frame: its shot or, where shots are not known, its stretch of time.

    Parameters
    ----------
    rows
        A row a frame of one film: time_s (s) and, if its pictures were seen, shot.
    block_s
        Length of a stretch.
    """
    if "shot" in rows and rows["shot"].notna().all():
        return rows["shot"].astype(int)
    return (rows["time_s"] // block_s).astype(int).rename("block")
