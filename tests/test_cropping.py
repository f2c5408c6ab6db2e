"""Photo and frame give the same crop of the same content, at borders, turned or not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from exe_core.faces import Face, crop, read_image, side

FRAME = np.random.default_rng(1).integers(0, 256, (64, 90, 3), dtype=np.uint8)
SHAPES = st.tuples(st.integers(8, 120), st.integers(8, 120))


def boxes(reach: int = 90) -> st.SearchStrategy[Face]:
    """Boxes within a picture, across its borders, and wholly beyond them."""
    return st.builds(
        lambda x, y, width, height, eyes: Face(x, y, width, height, 0.9, eyes=eyes),
        x=st.integers(-reach, reach),
        y=st.integers(-reach, reach),
        width=st.integers(0, reach),
        height=st.integers(0, reach),
        eyes=st.tuples(*[st.integers(-reach, reach).map(float)] * 4),
    )


@settings(max_examples=120, deadline=None)
@given(
    shape=SHAPES,
    box=boxes(),
    size=st.integers(8, 64),
    margin=st.floats(0, 1),
    square=st.booleans(),
    align=st.booleans(),
)
def test_photo_and_frame_give_the_same_crop_at_every_border(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int],
    box: Face,
    size: int,
    margin: float,
    square: bool,
    align: bool,
) -> None:
    how = {"size": size, "margin": margin, "square": square, "align": align}
    frame = np.random.default_rng(sum(shape)).integers(0, 256, (*shape, 3), dtype=np.uint8)
    path = tmp_path_factory.getbasetemp() / "photo.png"
    Image.fromarray(frame).save(path)
    decoded = np.ascontiguousarray(frame[..., ::-1])[..., ::-1]  # as a BGR decoder gives it
    cut = crop(read_image(path), box, **how)
    assert np.array_equal(cut, crop(decoded, box, **how))
    assert np.array_equal(decoded, frame)
    assert cut.dtype == np.uint8
    assert max(cut.shape[:2]) == size
    assert not square or cut.shape == (size, size, 3)
    # beyond the border lie the border's pixels, as far as one looks
    far = 350
    padded = np.pad(frame, ((far, far), (far, far), (0, 0)), mode="edge")
    assert np.array_equal(cut, crop(padded, box.moved(far, far), **how))


def test_a_crop_without_margin_is_the_box_itself() -> None:
    cut = crop(FRAME, Face(11, 7, 24, 24, 1.0), size=24, margin=0)
    assert np.array_equal(cut, FRAME[7:31, 11:35])


def test_a_box_can_keep_its_proportions() -> None:
    cut = crop(FRAME, Face(11, 7, 40, 20, 1.0), size=40, margin=0, square=False)
    assert np.array_equal(cut, FRAME[7:27, 11:51])
    tall = crop(FRAME, Face(11, 7, 10, 20, 1.0), size=48, margin=0.25, square=False)
    assert tall.shape == (48, 24, 3)


@given(shape=SHAPES, box=boxes(), margin=st.floats(0, 1), align=st.booleans())
@settings(max_examples=60, deadline=None)
def test_the_crop_of_a_plain_image_is_plain(
    shape: tuple[int, int], box: Face, margin: float, align: bool
) -> None:
    image = np.full((*shape, 3), (9, 99, 199), np.uint8)
    cut = crop(image, box, size=16, margin=margin, align=align)
    assert np.all(cut == (9, 99, 199))


def eyed(turn_deg: float, *, side_px: int = 200) -> tuple[np.ndarray, Face]:
    """A picture of two red eyes above a blue mouth, turned clockwise, and its face."""
    centre = np.array([side_px * 0.45, side_px * 0.55])
    turn = np.deg2rad(turn_deg)
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    right, left, mouth = (centre + rotate @ np.array(v) for v in ((-20, -15), (20, -15), (0, 25)))
    y, x = np.mgrid[:side_px, :side_px]
    image = np.full((side_px, side_px, 3), 128, np.uint8)
    for spot, colour in ((right, (255, 0, 0)), (left, (200, 0, 0)), (mouth, (0, 0, 255))):
        image[np.hypot(x + 0.5 - spot[0], y + 0.5 - spot[1]) < 5] = colour
    left_top = np.round(centre - 40).astype(int).tolist()
    return image, Face(*left_top, 80, 80, 1.0, eyes=(*right, *left))


def place_of(cut: np.ndarray, channel: int) -> np.ndarray:
    """x, y of the middle of what has one colour only."""
    others = [c for c in range(3) if c != channel]
    is_it = (cut[..., channel] > 150) & (cut[..., others].max(axis=2) < 60)
    return np.argwhere(is_it).mean(axis=0)[::-1] + 0.5


@pytest.mark.parametrize("turn_deg", [-120, -35, -8, 0, 8, 35, 90, 179])
def test_aligned_eyes_are_level_wherever_the_head_was(turn_deg: float) -> None:
    image, face = eyed(turn_deg)
    assert face.roll_deg == pytest.approx(turn_deg)
    cut = crop(image, face, size=80, margin=0, align=True)
    assert place_of(cut, 0) == pytest.approx((40, 25), abs=1.5)
    assert place_of(cut, 2) == pytest.approx((40, 65), abs=1.5)
    _, first = np.argwhere(cut[..., 0] > 240)[0]
    assert first < 40, "the person's right eye is to the left"


def test_level_eyes_leave_the_crop_as_it_is() -> None:
    image, face = eyed(0)
    level = Face(face.x, face.y, 80, 80, 1.0, eyes=(70.0, 95.0, 110.0, 95.0))
    unknown = Face(face.x, face.y, 80, 80, 1.0)
    plain = crop(image, level, size=64, margin=0.2)
    assert np.array_equal(crop(image, level, size=64, margin=0.2, align=True), plain)
    assert math.isnan(unknown.roll_deg)
    assert np.array_equal(crop(image, unknown, size=64, margin=0.2, align=True), plain)


@given(shape=SHAPES, box=boxes(reach=200))
def test_a_clipped_box_is_what_lies_in_the_image(shape: tuple[int, int], box: Face) -> None:
    face = box.clipped((*shape, 3))
    covered = np.zeros((800, 800), bool)
    covered[200 + box.y :, 200 + box.x :][: box.height, : box.width] = True
    inside = covered[200 : 200 + shape[0], 200 : 200 + shape[1]]
    assert face.width * face.height == inside.sum()
    assert face.area_share == pytest.approx(inside.mean())
    assert 0 <= face.x <= face.x + face.width <= shape[1]
    assert 0 <= face.y <= face.y + face.height <= shape[0]
    if inside.any():
        assert np.argwhere(inside).min(axis=0).tolist() == [face.y, face.x]
    assert face.clipped(shape) == face


@given(box=boxes(), factor=st.sampled_from([2.0, 4.0, 8.0]))
def test_a_face_scaled_up_and_down_is_the_same(box: Face, factor: float) -> None:
    back = box.scaled(factor).scaled(1 / factor)
    assert (back.x, back.y, back.width, back.height) == (box.x, box.y, box.width, box.height)
    assert back.eyes == pytest.approx(box.eyes)
    assert side(box.scaled(factor), margin=0) == max(1, factor * max(box.width, box.height))
