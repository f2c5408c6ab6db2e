"""The lines that the book gives readers for their own models and photos run as they stand."""

import re

import numpy as np
import pytest
from PIL import Image
from sample_scenes import scene

from exe_core import models
from exe_core.record import ROOT

pytestmark = pytest.mark.slow
BLOCK = re.compile(r"^```python\n(.*?)^```", flags=re.MULTILINE | re.DOTALL)


def ran(page, k, **names):
    """Run the k-th Python block of a page, and give the names it leaves."""
    code = BLOCK.findall((ROOT / page).read_text())[k]
    exec(compile(code, f"{page}, block {k}", "exec"), names)
    return names


def test_a_network_of_ones_own_becomes_a_model(tmp_path):
    ran("book/your-data.md", 0, folder=tmp_path)
    own = models.load(tmp_path / "mine")
    assert len(own.labels) == 7
    assert own.preprocessing.size == 224


def test_photos_of_ones_own_are_read_and_a_faceless_one_is_named(tmp_path):
    rng = np.random.default_rng(7)
    for name, share in (("ann", 0.3), ("bob", 0.3), ("tree", None)):
        Image.fromarray(scene(rng, (480, 640), share=share).picture).save(tmp_path / f"{name}.jpg")
    left = ran("book/your-data.md", 1, folder=tmp_path)
    assert left["images"].set_index("item_id")["status"].to_dict() == {
        "ann": "ok",
        "bob": "ok",
        "tree": "no face",
    }
    assert left["table"]["photo"].tolist() == ["ann", "bob"]
    probabilities = left["table"].filter(like="prob_")
    assert probabilities.sum(axis=1).to_numpy() == pytest.approx(1.0)


def test_the_lines_of_the_readme_run():
    ran("README.md", 0, faces=np.zeros((2, 60, 60, 3), dtype=np.uint8))


def test_photos_without_any_face_give_an_empty_table(tmp_path):
    Image.fromarray(np.zeros((48, 48, 3), np.uint8)).save(tmp_path / "dark.jpg")
    left = ran("book/your-data.md", 1, folder=tmp_path)
    assert left["images"]["status"].tolist() == ["no face"]
    assert left["table"].empty
