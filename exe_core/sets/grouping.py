"""Which images are the same picture: what must stay on one side of a split.

A picture comes back recompressed, resized, in gray, mirrored or a little cropped. The hash of an
image therefore keeps enough of its low frequencies to give the hash of any window of it too: a
cropped copy equals a window of the original.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from scipy.fft import dct, dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

NEAR = 0.95
"""Images whose likeness (a cosine, -1 to 1) is no less are of one picture.

Measured on press photos, film stills and photos of the synthetic world: a copy at JPEG quality 30,
at half the size, in gray, 20 % brighter, mirrored or cropped (`MAX_CROP`) is .95 or more like its
original in 95 of 100 cases, and no two different press photos are more than .83 alike. The pairs of
FER2013 above .92 that were looked at were all of one picture; of the drawn faces of the world, more
alike than people, 4 of 450,000 pairs are above .95.
"""

MAX_CROP = 0.10
"""Share of the width, and of the height, that a copy may lack; twice that if cut on both sides
alike."""

_SIDE, _KEPT, _COMPARED, _STEPS = 64, 16, 12, 3
_TABLES, _KEY_BITS, _LOW = 24, 18, 64
_MAX_FLIPS = 24  # of the 143 signs: more than a likeness of `NEAR` leaves
_CHUNK = 32  # images compared at once: what fits a processor's cache


def perceptual_hash(image: np.ndarray) -> str:
    """Compute the perceptual hash of an image, 512 hexadecimal digits.

    The 16 x 16 lowest coefficients of the cosine transform of its luminance, at 64 x 64 px; each
    is multiplied by its frequency, as natural images have less of the higher ones, and kept as a
    signed byte.

    Parameters
    ----------
    image
        uint8 RGB, shape (height, width, 3).
    """
    gray = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    kept = dctn(np.asarray(gray, dtype=float), norm="ortho")[:_KEPT, :_KEPT] * _frequency(_KEPT)
    kept[0, 0] = 0  # brightness does not count
    scale = np.abs(kept).max()
    # less than one gray level a pixel: an image of one colour, whose rounding errors are no picture
    levels = np.round(127 * kept / scale) if scale > 1 else np.zeros_like(kept)
    return levels.astype(np.int8).tobytes().hex()


def is_hash(text: object) -> bool:
    """Tell a hash of `perceptual_hash` from nothing, and from that of another program."""
    return isinstance(text, str) and len(text) == 2 * _KEPT**2


def near_duplicates(hashes: Sequence[str]) -> np.ndarray:
    """Say which picture each of several images shows.

    Each hash is looked up in tables keyed by 18 of its signs (locality-sensitive hashing), as a
    whole, by window and mirrored; what is found there is then compared. So the time grows with the
    number of images, not with that of pairs, and a copy in a thousand may be missed.

    Parameters
    ----------
    hashes
        N perceptual hashes, as `perceptual_hash` gives them.

    Returns
    -------
    numpy.ndarray
        int, shape (N,): the index of the first image of the same picture; chains are joined. An
        image of one colour is like no other.
    """
    wholes = _decoded(hashes)
    pairs = [np.empty((0, 2), dtype=np.int64), *_pairs(wholes)]
    return _first_of_component(np.concatenate(pairs), len(wholes))


def joined(keys: Sequence[ArrayLike]) -> np.ndarray:
    """Say which rows belong together: those that share one of several keys, and chains of them.

    Parameters
    ----------
    keys
        One or more, each (N,): the person of each row, its picture.

    Returns
    -------
    numpy.ndarray
        int, shape (N,): the first row of those that belong together.

    Examples
    --------
    >>> joined([["ann", "ann", "bob", "eve"], ["p1", "p2", "p2", "p3"]]).tolist()
    [0, 0, 0, 3]
    """
    pairs = []
    for key in keys:
        _, first, inverse = np.unique(np.asarray(key), return_index=True, return_inverse=True)
        pairs.append(np.stack([np.arange(len(inverse)), first[inverse]], axis=1))
    return _first_of_component(np.concatenate(pairs), len(pairs[0]))


def _first_of_component(pairs: np.ndarray, n: int) -> np.ndarray:
    rows, columns = pairs.T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return first[inverse]


def _decoded(hashes: Sequence[str]) -> np.ndarray:
    """Give the coefficients of hashes, (N, 16, 16)."""
    other = next((text for text in hashes if not is_hash(text)), None)
    if other is not None:
        raise ValueError(f"no perceptual hash: {str(other)[:40]!r}; perceptual_hash gives such")
    levels = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.int8)
    return levels.reshape(-1, _KEPT, _KEPT) / _frequency(_KEPT).astype(np.float32)


def _frequency(n: int) -> np.ndarray:
    """Give the spatial frequency of each coefficient, (n, n); 1 for the mean brightness."""
    frequency = np.hypot(*np.mgrid[:n, :n])
    frequency[0, 0] = 1
    return frequency


def _windows() -> np.ndarray:
    """Give, a window along one axis, what takes coefficients of the whole to those of the window.

    The window begins and ends at multiples of a third of `MAX_CROP`; the first is the whole. The
    cosines of the whole are sampled within it, and transformed again.

    Returns
    -------
    numpy.ndarray
        (windows, 12, 16).
    """
    centres = (np.arange(_SIDE) + 0.5) / _SIDE
    scale = np.where(np.arange(_KEPT) == 0, np.sqrt(1 / _SIDE), np.sqrt(2 / _SIDE))
    step = MAX_CROP / _STEPS
    steps = range(_STEPS + 1)
    cuts = [(i * step, j * step) for i in steps for j in steps if i == j or i + j <= _STEPS]
    sampled = [
        scale * np.cos(np.pi * np.arange(_KEPT) * (low + centres[:, None] * (1 - low - high)))
        for low, high in cuts
    ]
    taken = [dct(cosines, axis=0, norm="ortho")[:_COMPARED] for cosines in sampled]
    return np.stack(taken).astype(np.float32)


def _described(wholes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Give unit vectors, (N, windows of both axes, 143), of which products are likenesses."""
    by_row = windows @ wholes[:, None]
    both = by_row[:, :, None] @ windows.transpose(0, 2, 1)
    both *= _frequency(_COMPARED).astype(np.float32)
    vectors = both.reshape(len(wholes), len(windows) ** 2, _COMPARED**2)[..., 1:]
    length = np.sqrt(np.einsum("ijk,ijk->ij", vectors, vectors))[..., None]
    return vectors / np.where(length > 0, length, 1)


def _pairs(wholes: np.ndarray) -> Iterator[np.ndarray]:
    """Find images of one picture: index pairs (n, 2), chunk by chunk."""
    windows = _windows()
    described = _described(wholes, windows[:1])[:, 0]
    tables = _Tables(described)
    # to mirror an image is to turn the sign of its odd horizontal frequencies
    mirror = np.where(np.arange(1, _COMPARED**2) % _COMPARED % 2, -1, 1).astype(np.float32)
    for start in range(0, len(wholes), _CHUNK):
        parts = _described(wholes[start : start + _CHUNK], windows)
        parts = np.concatenate([parts, parts * mirror], axis=1)
        queries = parts.reshape(-1, parts.shape[-1])
        owner = start + np.arange(len(queries)) // parts.shape[1]
        for query, found in tables.look_up(queries, owner):
            alike = np.einsum("ij,ij->i", queries[query], described[found]) >= NEAR
            yield np.unique(np.stack([owner[query], found], axis=1)[alike], axis=0)


class _Tables:
    """Vectors by the signs of some of their parts: alike ones share a key in one table or more."""

    def __init__(self, vectors: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        lowest = np.argsort(_frequency(_COMPARED).ravel()[1:], kind="stable")[:_LOW]
        self._bits = np.zeros((vectors.shape[1], _TABLES), np.float32)
        for table in range(_TABLES):
            chosen = rng.choice(lowest, _KEY_BITS, replace=False)
            self._bits[chosen, table] = 2.0 ** np.arange(_KEY_BITS)
        self._signs = _packed(vectors)
        keys = self._keys(vectors)
        self._order = np.argsort(keys, axis=0, kind="stable")
        self._starts = np.zeros((2**_KEY_BITS + 1, _TABLES), np.int32)
        for table in range(_TABLES):
            sizes = np.bincount(keys[:, table], minlength=2**_KEY_BITS)
            self._starts[1:, table] = np.cumsum(sizes)

    def _keys(self, vectors: np.ndarray) -> np.ndarray:
        """Read chosen signs as a number, (n, tables)."""
        return ((vectors > 0).astype(np.float32) @ self._bits).astype(np.int64)

    def look_up(
        self, queries: np.ndarray, owner: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give candidates, a table at a time: places of queries and of vectors but the owner's."""
        signs, keys = _packed(queries), self._keys(queries)
        for table in range(_TABLES):
            low, high = (self._starts[keys[:, table] + end, table] for end in (0, 1))
            counts = high - low
            query = np.repeat(np.arange(len(queries)), counts)
            within = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
            found = self._order[low[query] + within, table]
            flips = np.bitwise_count(signs[query] ^ self._signs[found]).sum(axis=1)
            close = (flips <= _MAX_FLIPS) & (owner[query] != found)
            yield query[close], found[close]


def _packed(vectors: np.ndarray) -> np.ndarray:
    """Pack the signs of vectors (n, 143) into (n, 3) 64-bit words."""
    bits = np.zeros((len(vectors), 192), bool)
    bits[:, : vectors.shape[1]] = vectors > 0
    return np.packbits(bits, axis=1).view(np.uint64)
