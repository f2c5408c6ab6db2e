"""Maps point at what the answer hangs on, and change when the weights do."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from exe_core import models
from exe_core.inference import grad_cam
from exe_core.models import Classifier, Preprocessing

LABELS = ("angry", "happy", "sad")


def built(name="tiny", *, size=32, seed=1):
    network = models.build(name, n_classes=3, seed=seed)
    return Classifier(network.eval(), LABELS, Preprocessing(size=size), {"model": name})


def faces(n=3, *, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


@pytest.fixture
def colours():
    """A network of cells of 8 px whose angry is red, happy green and sad blue."""
    layer = nn.Conv2d(3, 3, 8, stride=8, bias=False)
    layer.weight.data = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 8, 8) / 64
    fc = nn.Linear(3, 3, bias=False)
    fc.weight.data = torch.eye(3)
    parts = OrderedDict(layer1=layer, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=fc)
    shown = Preprocessing(size=64, mean=(0, 0, 0), std=(1, 1, 1))
    return Classifier(nn.Sequential(parts).eval(), LABELS, shown, {"model": "colours"})


def patched():
    """A black image with a red cell at (1, 2) and a blue one at (6, 5)."""
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[0, 8:16, 16:24, 0] = 255
    image[0, 48:56, 40:48, 2] = 255
    return image


def test_a_map_points_at_what_speaks_for_the_label(colours):
    for label, cell in (("angry", (1, 2)), ("sad", (6, 5))):
        found = grad_cam(colours, patched(), labels=[label])
        assert found.shape == (1, 8, 8)
        assert np.unravel_index(found[0].argmax(), (8, 8)) == cell
        assert np.count_nonzero(found[0] > 1e-6) == 1
    assert not grad_cam(colours, patched(), labels=["happy"]).any(), "nothing is green"


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [
        ("tiny", 32, 8),
        ("resnet18-small", 64, 8),
        ("ddamfn", 112, 7),
        ("timm:convnextv2_atto", 112, 7),
        ("timm:convnextv2_atto", 224, 7),
    ],
)
def test_maps_are_of_the_deepest_stage_that_is_fine_enough(name, size, side):
    images = faces(1, size=size)
    found = grad_cam(built(name, size=size), images, labels=["sad"])
    assert found.shape == (1, side, side)
    with pytest.raises(ValueError, match="is fine enough at 8 px"):
        grad_cam(built("tiny", size=8), faces(1, size=8), labels=["sad"])


def test_maps_change_with_the_weights_and_not_with_their_neighbours():
    together = grad_cam(built(), faces(12), labels=["sad"] * 12)
    alone = grad_cam(built(), faces(12)[1:2], labels=["sad"])
    assert together[1] == pytest.approx(alone[0], abs=1e-6)
    other = grad_cam(built(seed=2), faces(12), labels=["sad"] * 12)
    pairs = zip(together, other, strict=True)
    assert abs(np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs])) < 0.5
