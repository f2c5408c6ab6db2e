"""How fast the synthetic world is drawn; the OPS column is pictures a second."""

import numpy as np
import pytest

from exe_world.backgrounds import sample_background
from exe_world.face import sample_expression, sample_identity, sample_pose
from exe_world.render import camera, draw_body, draw_head, draw_person, render_face, sample_light


@pytest.mark.parametrize(("size", "style"), [(48, "lab"), (160, "selfie"), (160, "stock")])
def test_faces(benchmark, size, style):
    rng = np.random.default_rng(0)
    image = benchmark(lambda: render_face(rng, "happy", size=size, style=style))
    assert image.shape == (size, size, 3)


def test_scenes_of_two(benchmark):
    rng = np.random.default_rng(0)

    def scene():
        canvas = sample_background(rng, (480, 640))
        light = sample_light(rng, style="stock")
        for x in (170, 470):
            draw_person(
                canvas,
                sample_identity(rng),
                sample_expression(rng, "sad", intensity=0.8),
                centre=(x, 210),
                px_per_unit=90,
                pose=sample_pose(rng, scale=0.8),
                light=light,
            )
        return camera(rng, canvas, style="stock")

    assert benchmark(scene).shape == (480, 640, 3)


def test_film_frames(benchmark):
    rng = np.random.default_rng(0)
    person, light = sample_identity(rng), sample_light(rng, style="film")
    place = {"centre": (320, 150), "px_per_unit": 98, "light": light}
    shot = sample_background(rng, (360, 640))
    draw_body(shot, person, **place)

    def frame():
        canvas = shot.copy()
        expression = sample_expression(rng, "fear", intensity=0.6)
        draw_head(canvas, person, expression, pose=sample_pose(rng, scale=1), **place)
        return camera(np.random.default_rng(1), canvas, style="film")

    assert benchmark(frame).shape == (360, 640, 3)
