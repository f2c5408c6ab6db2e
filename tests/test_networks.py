"""Networks for small faces keep the stages that recipes name, and look at what is small."""

import pytest
import torch

from exe_core import networks

FER = {
    "resnet18_small": networks.resnet18_small,
    "resnet18_fer": networks.resnet18_fer,
    "vgg_fer": networks.vgg_fer,
    "tiny": networks.tiny,
}


@pytest.mark.parametrize("name", FER)
def test_has_the_layers_that_recipes_name(name):
    assert {"layer3", "layer4", "fc"} <= dict(FER[name](5).named_children()).keys()


@pytest.mark.parametrize(("name", "side"), [("resnet18_small", 3), ("resnet18_fer", 6)])
def test_the_last_stage_sees_more_of_a_face_of_48_px_than_the_usual_2x2(name, side):
    network = FER[name](7)
    found = network[: list(dict(network.named_children())).index("avgpool")](
        torch.zeros(1, 3, 48, 48)
    )
    assert found.shape == (1, 256, side, side)


def test_the_width_scales_the_weights():
    sizes = [
        sum(w.numel() for w in networks.resnet18_fer(7, width=width).parameters())
        for width in (16, 32, 64)
    ]
    assert sizes[1] / sizes[0] == pytest.approx(4, rel=0.02)
    assert sizes[2] == pytest.approx(11.17e6, rel=0.001), "the 11.2 million of ResNet18"
