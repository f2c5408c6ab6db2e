"""Which images are the same picture: what must stay on one side of a split."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from exe_core.detection import ImageError, read_image

NEAR_BITS = 6
"""Perceptual hashes (of 64 bits) that differ in no more are of one picture.

Measured on 334 press photos and 471 film stills: a copy at half size, at JPEG quality 40 or 20 %
brighter differs in 4 bits at most, and no two persons in fewer than 8. A crop by 3 % a side differs
in 8 and more, so cropped copies are not found.
"""


def perceptual_hash(image: np.ndarray) -> str:
    """Compute the perceptual hash of an image, 16 hexadecimal digits.

    Parameters
    ----------
    image
        uint8 RGB, shape (height, width, 3).
    """
    import imagehash  # heavy (scipy, pywavelets), and not where models are only used

    return str(imagehash.phash(Image.fromarray(image)))


def near_duplicates(hashes: Sequence[str]) -> np.ndarray:
    """Say which picture each of several images shows.

    Parameters
    ----------
    hashes
        N perceptual hashes, as `perceptual_hash` gives them.

    Returns
    -------
    numpy.ndarray
        int, shape (N,): the index of the first image of the same picture; chains are joined.

    Examples
    --------
    >>> near_duplicates(["00000000000000ff", "ffffffff00000000", "00000000000000fe"]).tolist()
    [0, 1, 0]
    """
    first, second = near_pairs(hashes, bits=NEAR_BITS).T
    shape = (len(hashes), len(hashes))
    graph = coo_array((np.ones(len(first), bool), (first, second)), shape=shape)
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return first[inverse]


def near_pairs(hashes: Sequence[str], *, bits: int) -> np.ndarray:
    """List the pairs of perceptual hashes that differ in `bits` bits at most.

    All pairs are compared, a row at a time: 30,000 hashes take less than a second, a third of what
    looking them up by bands of equal bits takes.

    Returns
    -------
    numpy.ndarray
        int, shape (M, 2): places of the two, the earlier one first.
    """
    known = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    near = [
        np.flatnonzero(np.bitwise_count(known[i + 1 :] ^ one) <= bits) + i + 1
        for i, one in enumerate(known)
    ]
    first = np.repeat(np.arange(len(known)), [len(found) for found in near])
    second = np.concatenate(near) if near else np.array([], dtype=int)
    return np.column_stack([first, second])


def pixel_digests(paths: Iterable[Path]) -> list[str | None]:
    """Compute a digest of each image's pixels; None for one that can't be read.

    For the small gray faces of benchmark sets, which a perceptual hash would not tell apart.
    """
    digests: list[str | None] = []
    for path in paths:
        try:
            image = read_image(path)
        except ImageError:
            digests.append(None)
            continue
        digests.append(pixel_digest(image))
    return digests


def pixel_digest(image: np.ndarray) -> str:
    """Compute a digest of an image's pixels and shape."""
    shape = np.array(image.shape, dtype=np.int64).tobytes()
    return hashlib.sha256(shape + image.tobytes()).hexdigest()[:24]
