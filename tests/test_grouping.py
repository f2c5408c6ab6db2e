"""Copies of a picture share a group, different pictures do not."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps

from exe_core.datasets import MAX_CROP, is_hash, joined, near_duplicates, perceptual_hash

N_SCENES = 24


def scene(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """A picture of a dozen coloured shapes, another for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = rng.uniform(-0.1, 0.8, 2) * size
        width, height = rng.uniform(0.1, 0.5, 2) * size
        draw = pen.ellipse if rng.uniform() < 0.5 else pen.rectangle
        draw((left, top, left + width, top + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def hash_of(image: Image.Image) -> str:
    return perceptual_hash(np.asarray(image.convert("RGB")))


SCENES = [scene(seed) for seed in range(N_SCENES)]
HASHES = [hash_of(image) for image in SCENES]


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """Cut shares of the width and of the height off."""
    width, height = image.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return image.crop(tuple(map(round, box)))


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 90": lambda image: recompressed(image, 90),
    "JPEG 30": lambda image: recompressed(image, 30),
    "half": lambda image: image.resize((120, 90)),
    "twice": lambda image: image.resize((480, 360)),
    "squeezed": lambda image: image.resize((200, 180)),
    "gray": lambda image: ImageOps.grayscale(image),
    "brighter": lambda image: image.point(lambda level: min(255, level * 1.1)),
    "mirrored": ImageOps.mirror,
    "left 10 %": lambda image: cut(image, 0.1, 0, 0, 0),
    "bottom 10 %": lambda image: cut(image, 0, 0, 0, 0.1),
    "two sides": lambda image: cut(image, 0.02, 0.07, 0.06, 0.01),
    "all sides 10 %": lambda image: cut(image, 0.1, 0.1, 0.1, 0.1),
    "much of it": lambda image: recompressed(cut(image.resize((160, 120)), 0, 0.05, 0.1, 0), 60),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edited_copies_share_the_group_of_their_original_and_of_no_other(edit) -> None:
    copies = [hash_of(edit(image)) for image in SCENES]
    groups = near_duplicates(HASHES + copies).tolist()
    assert groups[:N_SCENES] == list(range(N_SCENES))
    missed = [k for k in range(N_SCENES) if groups[N_SCENES + k] != k]
    assert len(missed) <= 1
    assert all(groups[N_SCENES + k] == N_SCENES + k for k in missed), "none is merged with another"


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, N_SCENES - 1),
    sides=st.tuples(*[st.floats(0, MAX_CROP / 2)] * 4),
    quality=st.integers(40, 95),
    mirrored=st.booleans(),
)
def test_a_copy_is_found_however_it_was_cut(
    seed: int, sides: tuple[float, float, float, float], quality: int, mirrored: bool
) -> None:
    copy = recompressed(cut(SCENES[seed], *sides), quality)
    copy = ImageOps.mirror(copy) if mirrored else copy
    assert near_duplicates([*HASHES, hash_of(copy)])[-1] == seed


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(N_SCENES)))
def test_groups_do_not_depend_on_the_order(order: list[int]) -> None:
    hashes = HASHES[:12] + [hash_of(EDITS["two sides"](image)) for image in SCENES[:12]]
    shuffled = near_duplicates([hashes[k] for k in order])
    groups = {frozenset(np.array(order)[shuffled == first].tolist()) for first in shuffled}
    assert groups == {frozenset({k, k + 12}) for k in range(12)}


def test_chains_of_copies_are_one_group() -> None:
    once = EDITS["left 10 %"](SCENES[0])
    chain = [hash_of(image) for image in (SCENES[0], once, EDITS["left 10 %"](once))]
    assert near_duplicates([chain[0], chain[2]]).tolist() == [0, 1]
    assert near_duplicates([chain[0], chain[2], chain[1]]).tolist() == [0, 0, 0]


def test_images_of_one_colour_are_like_no_other() -> None:
    plain = [hash_of(Image.new("RGB", (50, 40), colour)) for colour in ("black", "white", "black")]
    assert near_duplicates(plain).tolist() == [0, 1, 2]


def test_few_images_and_none() -> None:
    assert near_duplicates([]).tolist() == []
    assert near_duplicates(HASHES[:1]).tolist() == [0]
    tiny = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert is_hash(perceptual_hash(tiny))


def test_what_is_no_hash_is_refused() -> None:
    assert not is_hash(None)
    assert not is_hash("ccb693708f64708f")
    with pytest.raises(ValueError, match="no perceptual hash: 'ccb693708f64708f'"):
        near_duplicates([HASHES[0], "ccb693708f64708f"])


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30),
)
def test_rows_belong_together_if_a_chain_of_shared_keys_joins_them(rows: list) -> None:
    first = joined([[row[0] for row in rows], [row[1] for row in rows]]).tolist()
    expected = list(range(len(rows)))
    for _ in rows:  # the plain way: pass the smallest place on until nothing changes
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                if one[0] == other[0] or one[1] == other[1]:
                    expected[i] = expected[j] = min(expected[i], expected[j])
    assert first == expected
