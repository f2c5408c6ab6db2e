"""The faces of the synthetic world: same seed, same bytes; what is asked for is what is seen."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exe_core.labels import EMOTIONS
from exe_world.camera import STYLES, sample_light
from exe_world.face import (
    AUS,
    EXPRESSIONS,
    sample_expression,
    sample_identity,
)
from exe_world.render import Person, draw_person, render_face

PROBE = (
    "import numpy as np, sys; from exe_world.render import render_face;"
    "sys.stdout.buffer.write(b''.join(render_face(np.random.default_rng(5), 'fear', size=64,"
    " style=style).tobytes() for style in ('lab', 'selfie', 'stock', 'film')))"
)


def rng(seed=0):
    return np.random.default_rng(seed)


def canvas(level=0.25, side=160):
    return np.full((side, side, 3), level, np.float32)


def identity(seed=3, **changes):
    plain = {"glasses": "none", "beard": 0.0, "hair_style": "short", "fringe": False}
    return dataclasses.replace(sample_identity(rng(seed), skin_tone=2), **plain | changes)


def person(expression=None, who=None, **placed):
    place = {"centre": (80.0, 74.0), "px_per_unit": 40.0} | placed
    return Person(who or identity(), expression or {}, **place)


def drawn(expression=None, who=None, light=None, **placed):
    picture = canvas()
    light = light or sample_light(rng(1), style="lab")
    return picture, draw_person(picture, person(expression, who, **placed), light)


def prototype(emotion, intensity=1.0):
    return {unit: value * intensity for unit, value in EXPRESSIONS[emotion].items()}


@pytest.mark.parametrize("emotion", EMOTIONS)
def test_an_expression_has_the_action_units_of_its_emotion(emotion):
    mean = {
        unit: np.mean([sample_expression(rng(k), emotion, intensity=1)[unit] for k in range(40)])
        for unit in AUS
    }
    strong = {mean[unit] for unit, value in EXPRESSIONS[emotion].items() if value >= 0.5}
    idle = {mean[unit] for unit in AUS if unit not in EXPRESSIONS[emotion]}
    assert min(strong, default=1) > 0.35 > max(idle)


def test_a_picture_is_the_same_in_another_process():
    here = b"".join(render_face(rng(5), "fear", size=64, style=style).tobytes() for style in STYLES)
    there = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True)
    assert there.stdout == here


def test_a_portrait_has_its_size_and_is_gray_in_the_lab_only():
    for style in STYLES:
        image = render_face(rng(1), "happy", size=50, style=style)
        assert (image.shape, image.dtype) == ((50, 50, 3), np.uint8)
        assert (np.ptp(image, axis=2).max() == 0) == (style == "lab")


@settings(max_examples=15, deadline=None)
@given(
    *(st.floats(50, 110), st.floats(50, 110), st.floats(25, 60), st.floats(-0.8, 0.8)),
    st.integers(0, 99),
)
def test_the_box_lies_around_brows_to_chin(cx, cy, scale, yaw, seed):
    turned = {"centre": (cx, cy), "px_per_unit": scale, "pose": (yaw, 0.0, 0.0)}
    _, (x, y, width, height) = drawn(who=identity(seed), **turned)
    assert 0 <= x <= cx <= x + width <= 160
    assert 0 <= y <= cy <= y + height <= 160
    assert 0 < width < 1.9 * scale
    assert 0 < height < 1.7 * scale


def test_there_is_no_box_where_no_face_is_seen():
    for centre in [(-200.0, 80.0), (400.0, 80.0), (80.0, -300.0), (80.0, 500.0)]:
        picture, box = drawn(centre=centre)
        assert box is None
        assert np.isfinite(picture).all()
