"""Tiles show every small face whole; a face that several show is kept once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exe_core.faces import MIN_TILE, Face, distinct, is_cut, tiles

SHAPES = st.tuples(st.integers(60, 3000), st.integers(60, 3000))


@given(shape=SHAPES, levels=st.integers(0, 4), place=st.tuples(*[st.floats(0, 1)] * 2))
def test_what_is_small_enough_lies_whole_in_a_tile_of_each_level(
    shape: tuple[int, int], levels: int, place: tuple[float, float]
) -> None:
    found = list(tiles(shape, levels=levels))
    lengths = [max(shape) >> level for level in range(1, levels + 1)]
    seen = {length for length in lengths if length >= MIN_TILE}
    assert (not found) == (not seen)
    for length in seen:
        own = [t for t in found if t[0].stop - t[0].start == length]
        width = int(0.38 * length)
        x, y = (int(p * max(0, n - width)) for p, n in zip(place, shape[::-1], strict=True))
        face = Face(x, y, width, min(width, shape[0]), 1.0)
        assert any(not is_cut(face, tile, shape) for tile in own)
    for rows, columns in found:
        assert rows.start >= 0
        assert columns.start >= 0
        assert rows.start < shape[0]
        assert columns.start < shape[1]


def test_a_level_has_tiles_of_half_the_side_over_the_whole_picture() -> None:
    found = list(tiles((480, 640, 3), levels=2))
    assert [t[0].stop - t[0].start for t in found] == [320] * 6 + [160] * 30
    covered = np.zeros((480, 640), int)
    for tile in found[:6]:
        covered[tile] += 1
    assert covered.min() >= 1
    assert list(tiles((480, 640, 3), levels=4)) == found  # smaller ones would show nothing new


@pytest.mark.parametrize(
    ("box", "cut"),
    [
        ((150, 150, 40, 40), False),
        ((95, 150, 40, 40), True),
        ((150, 95, 40, 40), True),
        ((270, 150, 40, 40), True),
        ((150, 270, 40, 40), True),
    ],
)
def test_a_face_at_an_inner_border_of_a_tile_is_cut(box: tuple[int, ...], cut: bool) -> None:
    tile = (slice(100, 300), slice(100, 300))
    assert is_cut(Face(*box, 1.0), tile, (500, 500)) is cut
    at_the_border = (slice(0, 200), slice(0, 200))
    assert not is_cut(Face(-5, -5, 40, 40, 1.0), at_the_border, (500, 500))


def test_a_face_seen_twice_is_kept_once_the_surer_one() -> None:
    sure, shifted = Face(100, 100, 50, 50, 0.9), Face(104, 98, 52, 52, 0.8)
    mouth, neighbour = Face(110, 120, 20, 20, 0.7), Face(140, 100, 50, 50, 0.6)
    assert distinct([mouth, shifted, neighbour, sure]) == [sure, neighbour]
    assert distinct([]) == []


@given(
    st.lists(
        st.builds(
            Face,
            *[st.integers(0, 60)] * 2,
            *[st.integers(1, 40)] * 2,
            st.floats(0, 1),
            eyes=st.just((0.0, 0.0, 0.0, 0.0)),
        ),
        max_size=12,
    )
)
def test_what_is_kept_is_apart_and_nothing_more_could_be(faces: list[Face]) -> None:
    kept = distinct(faces)
    assert distinct(kept) == kept
    assert all(face in faces for face in kept)
    for face in set(faces) - set(kept):
        assert len(distinct([*kept, face])) <= len(kept)
