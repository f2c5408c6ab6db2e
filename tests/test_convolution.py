"""The gradient by one product is the gradient of the convolution, wherever it takes its place."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from exe_core import models
from exe_core.learning import convolution
from exe_core.learning.convolution import ByProduct


def learnt(layer, maps, *, product, half=False):
    """Pass maps and bring all gradients back, as float64."""
    maps = maps.clone().requires_grad_()
    layer.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        if product:
            with ByProduct():
                found = layer(maps)
        else:
            found = layer(maps)
    found.double().square().sum().backward()
    return [found.detach(), maps.grad, *(weights.grad.clone() for weights in layer.parameters())]


def maps_of(side=4, *, channels=6, n=3):
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(n, channels, side, side, generator=generator, dtype=torch.double)
    return maps.contiguous(memory_format=torch.channels_last)


@pytest.fixture
def passes(monkeypatch):
    """Count how often the product took the place of torch's own gradient."""
    seen, own = [], convolution._weight_gradient
    monkeypatch.setattr(
        convolution, "_weight_gradient", lambda *args: (seen.append(1), own(*args))[1]
    )
    return seen


@pytest.mark.parametrize("side", [3, 4, 5])
@pytest.mark.parametrize("kernel", [1, 3, (1, 3)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("padding", [0, 1])
def test_gradients_are_those_of_the_convolution(passes, side, kernel, stride, padding):
    layer = nn.Conv2d(6, 32, kernel, stride=stride, padding=padding, bias=False).double()
    expected = learnt(layer, maps_of(side), product=False)
    found = learnt(layer, maps_of(side), product=True)
    assert len(passes) == 1
    for one, other in zip(found, expected, strict=True):
        assert torch.allclose(one, other)


@pytest.mark.parametrize(
    "changes", [{"bias": True}, {"groups": 2}, {"dilation": 2}, {"padding": "same"}]
)
def test_other_convolutions_are_left_alone(passes, changes):
    layer = nn.Conv2d(6, 32, 3, **{"bias": False, "padding": 2} | changes).double()
    for one, other in zip(
        learnt(layer, maps_of(), product=True), learnt(layer, maps_of(), product=False), strict=True
    ):
        assert torch.equal(one, other)
    assert not passes


def test_large_maps_are_left_alone(passes):
    layer = nn.Conv2d(6, 8, 3, padding=1, bias=False).double()
    learnt(layer, maps_of(12), product=True)
    assert not passes


def test_a_frozen_convolution_is_left_alone(passes):
    layer = nn.Conv2d(6, 32, 3, bias=False).double().requires_grad_(False)
    maps = maps_of().requires_grad_()
    with ByProduct():
        layer(maps).sum().backward()
    assert maps.grad is not None
    assert not passes


def test_in_bf16_the_weights_learn_in_float32(passes):
    layer = nn.Conv2d(6, 32, 3, padding=1, bias=False)
    found = learnt(layer, maps_of().float(), product=True, half=True)
    expected = learnt(layer, maps_of().float(), product=False, half=True)
    assert passes
    assert found[0].dtype == torch.bfloat16
    assert found[-1].dtype == torch.float32
    scale = expected[-1].abs().max()
    assert ((found[-1] - expected[-1]).abs() / scale).max() < 0.01


def test_a_whole_network_learns_the_same(passes):
    network = models.build("resnet18-small", n_classes=3).double().train()
    network = network.to(memory_format=torch.channels_last)
    faces, labels = torch.rand(4, 3, 48, 48, dtype=torch.double), torch.tensor([0, 1, 2, 0])
    gradients = []
    for product in (True, False):
        network.zero_grad()
        if product:
            with ByProduct():
                logits = network(faces)
        else:
            logits = network(faces)
        cross_entropy(logits, labels).backward()
        gradients.append([weights.grad.clone() for weights in network.parameters()])
    assert len(passes) >= 5
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, atol=1e-9)
