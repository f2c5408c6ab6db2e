"""Maps point at what the answer hangs on, and change when the weights do."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from exe_core import explain, models
from exe_core.models import Classifier, Preprocessing
from exe_core.resampling import Statistics

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


class TestGradCam:
    @pytest.mark.parametrize(("label", "cell"), [("angry", (1, 2)), ("sad", (6, 5))])
    def test_points_at_what_speaks_for_the_label(self, colours, label, cell):
        found = explain.grad_cam(colours, patched(), labels=[label])
        assert found.shape == (1, 8, 8)
        assert np.unravel_index(found[0].argmax(), (8, 8)) == cell
        assert np.count_nonzero(found[0] > 1e-6) == 1

    def test_of_a_label_that_nothing_speaks_for_is_nowhere(self, colours):
        assert not explain.grad_cam(colours, patched(), labels=["happy"]).any()

    def test_of_an_image_does_not_depend_on_its_neighbours(self):
        classifier, images = built(), faces()
        together = explain.grad_cam(classifier, images, labels=["sad", "sad", "happy"])
        alone = explain.grad_cam(classifier, images[1:2], labels=["sad"])
        assert together[1] == pytest.approx(alone[0], abs=1e-6)


class TestMapLayer:
    @pytest.mark.parametrize(
        ("name", "size", "layer"),
        [
            ("tiny", 32, "layer2"),
            ("resnet18-small", 64, "layer3"),
            ("ddamfn", 112, "features"),
            ("timm:convnextv2_atto", 112, "stages.2"),
            ("timm:convnextv2_atto", 224, "stages.3"),
        ],
    )
    def test_is_the_deepest_that_is_fine_enough(self, name, size, layer):
        assert explain.map_layer(built(name, size=size)) == layer

    def test_without_one_is_refused(self):
        with pytest.raises(ValueError, match="no stage of tiny has a map of 7 cells"):
            explain.map_layer(built(size=8))


class TestRandomisationCheck:
    def check(self, classifier, images, *, seed=2):
        few = Statistics(n_bootstrap=100, seed=1)
        labels = ["sad"] * len(images)
        return explain.randomisation_check(
            classifier, images, labels=labels, seed=seed, statistics=few
        )

    def test_random_weights_give_other_maps_and_leave_the_network_as_it_was(self):
        classifier = built()
        before = {name: t.clone() for name, t in classifier.network.state_dict().items()}
        found = self.check(classifier, faces(12))
        assert abs(found["randomised"].value) < 0.5
        for estimate in found.values():
            assert estimate.low < estimate.value < estimate.high
        after = classifier.network.state_dict()
        assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
        assert not any(module._forward_hooks for module in classifier.network.modules())

    def test_the_same_weights_give_the_same_maps(self):
        found = self.check(built(seed=5), faces(), seed=5)
        assert found["randomised"].value == pytest.approx(1)

    def test_constant_maps_do_not_count(self, monkeypatch):
        maps = np.random.default_rng(0).normal(size=(3, 7, 7))
        constant = maps * np.array([1, 0, 1])[:, None, None]
        given = iter([maps, constant])
        monkeypatch.setattr(explain, "grad_cam", lambda *_, **__: next(given))
        found = self.check(built(), faces())
        assert [found["other_faces"].n, found["randomised"].n] == [3, 2]
        assert found["randomised"].value == pytest.approx(1)
