"""Copies of a picture share a group, different pictures do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from sample_sets import (
    picture,
    save,
)

from exe_core.grouping import near_duplicates, perceptual_hash, pixel_digests

Write = Callable[[Path], None]


def test_copies_of_a_photo_share_a_group_and_others_do_not() -> None:
    originals = [picture(seed, (300, 200)).convert("RGB") for seed in range(12)]
    copies = [image.resize((150, 100)) for image in originals]
    hashes = [perceptual_hash(np.asarray(image)) for image in originals + copies]
    assert near_duplicates(hashes).tolist() == [*range(12), *range(12)]
    assert near_duplicates([]).tolist() == []


def test_chains_of_near_duplicates_are_one_group() -> None:
    chain = ["0000000000000000", "000000000000003f", "0000000000000fff", "ffffffff00000000"]
    assert near_duplicates(chain).tolist() == [0, 0, 0, 3]


def test_only_equal_pixels_have_equal_digests(tmp_path: Path) -> None:
    one, other = picture(1), picture(2)
    paths = [save(one, tmp_path / "a.png"), save(one, tmp_path / "b.bmp")]
    paths += [save(other, tmp_path / "c.png"), save(one.resize((24, 96)), tmp_path / "d.png")]
    (tmp_path / "e.png").write_bytes(b"words")
    first, same, *others, unreadable = pixel_digests([*paths, tmp_path / "e.png"])
    assert first == same
    assert len({first, *others}) == 3
    assert unreadable is None
