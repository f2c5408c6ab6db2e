"""Which images of data sets show the same picture, and on which sides of a split they stand.

A test image that was learnt from is no test, and a picture under two labels is noise. Both are
counted within and between the parts of a set, and between sets.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd
from PIL import Image
from scipy.fft import dctn
from tqdm import tqdm

from exe_core import schema
from exe_core.config import ROOT
from exe_core.detection import ImageError, read_image

log = logging.getLogger(__name__)

SIDE = 48
"""Images are compared in gray at this size, px: that of FER2013."""
NEAR_BITS = 10
"""Hashes (of 64 bits) that differ in no more are looked at closer."""
NEAR_CORRELATION = 0.92
"""Least correlation of the pixels of two images of one picture.

Measured on 30,360 different images of FER2013: of all 1,344 pairs that correlate so, 97.7 % differ
in `NEAR_BITS` bits at most; of 26 pairs between .92 and .94 that were looked at all were of one
picture, of 13 between .90 and .91 two were not. Mirrored copies are not looked for: there are about
ten pairs above .93.
"""

_PART = ["set_name", "split"]
_OTHER_PART = ["other_set_name", "other_split"]


def audit(
    items: pd.DataFrame, *, near_correlation: float = NEAR_CORRELATION, progress: bool = True
) -> pd.DataFrame:
    """Find the pairs of images that are pixel-identical or nearly so.

    Parameters
    ----------
    items
        item_id, set_name, path (relative to the project's root, or absolute), label and
        split_given, as `exe_core.datasets.items` gives them; of one set or of several. Images that
        can't be read are left out, and counted in the log.
    near_correlation
        From 0 to 1; pairs whose pixels correlate less are not near.

    Returns
    -------
    pandas.DataFrame
        Table "leakage", a row a pair: the other one stands earlier in `items`; correlation is 1
        for identical ones.
    """
    readable, digests, thumbs = _read(items, progress=progress)
    same = _same(digests)
    near = near_pairs(_hashes(thumbs), bits=NEAR_BITS)
    codes = pd.factorize(np.array(digests, dtype=object))[0]
    near = near[codes[near[:, 0]] != codes[near[:, 1]]]
    alike = _correlations(thumbs, near)
    near, alike = near[alike >= near_correlation], alike[alike >= near_correlation]
    described = readable.rename(columns={"split_given": "split"})[["item_id", *_PART, "label"]]
    found = [
        _pairs(described, same, kind="identical", correlation=np.ones(len(same))),
        _pairs(described, near, kind="near", correlation=alike),
    ]
    return schema.check(pd.concat(found, ignore_index=True), "leakage")


def _read(items: pd.DataFrame, *, progress: bool) -> tuple[pd.DataFrame, list[str], np.ndarray]:
    """Read images once: those that can be read, digests of their pixels, (N, S, S) thumbnails."""
    places, digests, thumbs = [], [], []
    for place, path in enumerate(tqdm(items["path"], desc="audit", disable=not progress)):
        try:
            image = read_image(ROOT / path)
        except ImageError:
            continue
        small = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        places.append(place)
        digests.append(hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest())
        thumbs.append(np.asarray(small))
    if len(places) < len(items):
        log.warning("%d of %d images can't be read", len(items) - len(places), len(items))
    stacked = np.array(thumbs, np.uint8).reshape(-1, SIDE, SIDE)
    return items.iloc[places].reset_index(drop=True), digests, stacked


def _hashes(thumbs: np.ndarray) -> np.ndarray:
    """Hash images by the signs of their 8 x 8 lowest frequencies about the median: uint64, (N,)."""
    low = [dctn(thumb.astype(np.float32))[:8, :8].ravel() for thumb in thumbs]
    signs = np.array(low).reshape(-1, 64)
    signs = signs > np.median(signs, axis=1, keepdims=True)
    return np.packbits(signs, axis=1).view(np.uint64).ravel()


def near_pairs(hashes: np.ndarray, *, bits: int) -> np.ndarray:
    """List the pairs of hashes that differ in `bits` bits at most.

    All pairs are compared, a row at a time: for 30,000 hashes that takes a second, and looking
    them up in bands of equal bits three.

    Parameters
    ----------
    hashes
        uint64, shape (N,).

    Returns
    -------
    numpy.ndarray
        int, shape (M, 2): places of the two, the earlier one first.
    """
    near = [
        np.flatnonzero(np.bitwise_count(hashes[i + 1 :] ^ one) <= bits) + i + 1
        for i, one in enumerate(hashes)
    ]
    first = np.repeat(np.arange(len(hashes)), [len(found) for found in near])
    second = np.concatenate(near) if near else np.array([], dtype=int)
    return np.column_stack([first, second])


def _same(digests: Sequence[str]) -> np.ndarray:
    """List the pairs of equal digests, the earlier one first: int, shape (M, 2)."""
    places = pd.Series(range(len(digests))).groupby(digests).agg(list) if digests else []
    pairs = [
        np.array(group)[np.column_stack(np.triu_indices(len(group), 1))]
        for group in places
        if len(group) > 1
    ]
    return np.concatenate(pairs) if pairs else np.empty((0, 2), int)


def _correlations(thumbs: np.ndarray, pairs: np.ndarray, *, chunk: int = 4096) -> np.ndarray:
    """Correlate the pixels of pairs of images; a flat image correlates with nothing: 0."""
    found = [np.empty(0)]
    for start in range(0, len(pairs), chunk):
        one, other = (_standard(thumbs[side]) for side in pairs[start : start + chunk].T)
        found.append((one * other).sum(axis=1).clip(max=1))
    return np.concatenate(found)


def _standard(thumbs: np.ndarray) -> np.ndarray:
    """Bring each image to mean 0 and length 1: (N, H, W) to (N, H * W)."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)


def _pairs(
    described: pd.DataFrame, pairs: np.ndarray, *, kind: str, correlation: np.ndarray
) -> pd.DataFrame:
    earlier, later = (described.iloc[side].reset_index(drop=True) for side in pairs.T)
    return pd.concat([later, earlier.add_prefix("other_")], axis=1).assign(
        kind=kind, correlation=correlation.astype(float)
    )


def twins(pairs: pd.DataFrame, *, of: str, among: str, near: bool = True) -> set[str]:
    """Name the items of one split that have an identical, or also a near, image in another split.

    Test items among these are left out where a score without leakage is asked for.
    """
    kinds = ["identical", "near"] if near else ["identical"]
    told = pairs[pairs["kind"].isin(kinds)]
    later = told["item_id"][(told["split"] == of) & (told["other_split"] == among)]
    earlier = told["other_item_id"][(told["other_split"] == of) & (told["split"] == among)]
    return {*later, *earlier}


def count(pairs: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Count, for each two parts of sets, the images of the one that the other has too.

    Parameters
    ----------
    pairs
        As `audit` gives them.
    items
        What was audited.

    Returns
    -------
    pandas.DataFrame
        A row for two parts that share a picture, in both directions: set_name, split,
        other_set_name, other_split; n (images of the part), n_identical and share_identical (those
        that have an identical image in the other part; in the part itself, an earlier one),
        n_other_label (those of them that have it only under other labels), and n_near (those that
        have a near but no identical one).
    """
    own, other = (pairs[part].fillna("").to_numpy() for part in (_PART, _OTHER_PART))
    swap = {name: f"other_{name}" for name in ("item_id", *_PART, "label")}
    swap |= {second: first for first, second in swap.items()}
    both = pd.concat([pairs, pairs[(own != other).any(axis=1)].rename(columns=swap)])
    both["identical"] = both["kind"] == "identical"
    both["agrees"] = both["identical"] & (both["label"] == both["other_label"])
    by_image = both.groupby([*_PART, *_OTHER_PART, "item_id"], dropna=False)
    images = by_image[["identical", "agrees"]].any()
    images = images.assign(
        n_identical=images["identical"],
        n_other_label=images["identical"] & ~images["agrees"],
        n_near=~images["identical"],
    ).drop(columns=["identical", "agrees"])
    counts = images.groupby([*_PART, *_OTHER_PART], dropna=False).sum().reset_index()
    parts = items.rename(columns={"split_given": "split"}).groupby(_PART, dropna=False)
    counts = counts.merge(parts.size().rename("n").reset_index(), on=_PART)
    counts["share_identical"] = counts["n_identical"] / counts["n"]
    order = ["n", "n_identical", "share_identical", "n_other_label", "n_near"]
    return counts[[*_PART, *_OTHER_PART, *order]]
