"""Costs are counted as they can be counted by hand."""

import torch
from torch import nn

from exe_core import costs, models
from exe_core.models import Classifier, Preprocessing


def classifier(network, *, size):
    return Classifier(network, ("happy", "sad"), Preprocessing(size=size), {"model": "x"})


def test_parameters_and_operations_are_those_of_the_layers():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),
        nn.Flatten(),
        nn.Linear(4 * 8 * 8, 2),
    )
    found = costs.cost(classifier(network, size=8), seconds=0.01)
    assert found.parameters == 3 * 4 * 9 + (4 * 9 + 4) + (256 * 2 + 2)
    assert found.macs == 64 * 3 * 4 * 9 + 64 * 4 * 9 + 256 * 2
    assert found.ms_per_face > 0


def test_resnet18_has_the_published_cost():
    """Of 1.8 billion operations and 11.7 million parameters (He et al. 2015), for 1000 classes."""
    network = models.build("resnet18", n_classes=1000)
    found = costs.cost(classifier(network, size=224), batch_size=1, seconds=0.01)
    assert round(found.macs / 1e9, 1) == 1.8
    assert found.parameters == 11_689_512


def test_a_device_is_named_with_its_threads():
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert costs.device_name(torch.device("cpu")).endswith(", 1 thread")
        torch.set_num_threads(2)
        assert costs.device_name(torch.device("cpu")).endswith(", 2 threads")
    finally:
        torch.set_num_threads(threads)
    assert costs.device_name(torch.device("meta")) == "meta"
