"""Shots: a cut is seen, what moves within a shot is not one, and stretches of time stand in."""

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exe_core import screening


def picture(seed, *, size=(90, 160)):
    """Paint a few coloured patches, each of many shades as things are."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (3, 4, 3))
    painted = np.kron(patches, np.ones((size[0] // 3, size[1] // 4, 1), int))
    shades = cv2.resize(rng.normal(0, 60, (15, 20)), size[::-1])[..., None]
    return np.clip(painted + shades, 0, 255).astype(np.uint8)


def numbered(pictures):
    return screening.number_shots(screening.shot_signature(one) for one in pictures)


def test_a_cut_begins_a_shot_also_back_to_an_earlier_place():
    first, second = picture(1), picture(2)
    assert numbered([first, first, second, first]) == [0, 0, 1, 2]


@pytest.mark.parametrize("change", ["moved", "darker", "noisy"])
def test_what_changes_within_a_shot_is_no_cut(change):
    rng, first = np.random.default_rng(0), picture(1).astype(int)
    later = {
        "moved": np.roll(first, 8, axis=1),
        "darker": first * 9 // 10,
        "noisy": first + rng.integers(-8, 9, first.shape),
    }[change]
    assert numbered([first.astype(np.uint8), np.clip(later, 0, 255).astype(np.uint8)]) == [0, 0]


def test_the_same_colours_elsewhere_are_another_picture():
    first = np.zeros((90, 160, 3), np.uint8)
    first[:, :80] = (200, 30, 30)
    assert numbered([first, first[:, ::-1]]) == [0, 1]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.integers(0, 99))
def test_distance_is_symmetric_and_within_its_range(first, second):
    one, other = (screening.shot_signature(picture(seed)) for seed in (first, second))
    assert 0 <= screening.shot_distance(one, other) <= 1
    assert screening.shot_distance(one, other) == screening.shot_distance(other, one)
    assert screening.shot_distance(one, one) == pytest.approx(0, abs=1e-3)


def test_no_frames_no_shots():
    assert numbered([]) == []


def test_where_no_pictures_were_seen_blocks_are_stretches_of_time():
    rows = pd.DataFrame({"time_s": [0.0, 10, 29.9, 30, 95]})
    assert screening.shot_blocks(rows, block_s=30).tolist() == [0, 0, 0, 1, 3]
    assert screening.shot_blocks(rows.assign(shot=[0, 1, 1, 2, 2]), block_s=30).tolist() == [
        0,
        1,
        1,
        2,
        2,
    ]
    assert screening.shot_blocks(rows.assign(shot=[0, None, 1, 2, 2])).nunique() == 3
