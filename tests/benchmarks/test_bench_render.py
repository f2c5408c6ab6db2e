"""How fast the synthetic world is drawn; the OPS column is pictures a second."""

import numpy as np
import pytest
from sample_worlds import tiny_study

from exe_world.films import play, write_script
from exe_world.photos import draw, sample
from exe_world.render import render_face


@pytest.mark.parametrize(("size", "style"), [(48, "lab"), (160, "selfie")])
def test_faces(benchmark, size, style):
    rng = np.random.default_rng(0)
    image = benchmark(lambda: render_face(rng, "happy", size=size, style=style))
    assert image.shape == (size, size, 3)


def test_photos(benchmark):
    study = tiny_study(photo_size=(640, 480))
    [(photo, _)] = sample(study, 1)
    assert benchmark(draw, study, photo).shape == (480, 640, 3)


def test_films(benchmark):
    study = tiny_study(film_size=(640, 360), film_seconds=600)
    pictures = play(study, write_script(study, 0))
    assert benchmark.pedantic(next, (pictures,), rounds=300).shape == (360, 640, 3)
