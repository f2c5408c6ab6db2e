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
    bits = np.array([int(text, 16) for text in hashes], dtype=np.uint64)
    near = [
        np.flatnonzero(np.bitwise_count(bits[i:] ^ one) <= NEAR_BITS) + i
        for i, one in enumerate(bits)
    ]  # row by row: N x N would not fit for many photos
    rows = np.repeat(np.arange(len(bits)), [len(found) for found in near])
    columns = np.concatenate(near) if near else np.array([], dtype=int)
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(len(bits), len(bits)))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return first[inverse]


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
        shape = np.array(image.shape, dtype=np.int64).tobytes()
        digests.append(hashlib.sha256(shape + image.tobytes()).hexdigest()[:24])
    return digests
