"""What several benchmarks need: the published ensemble."""

import pytest
import torch

from exe_core import models
from exe_core.schema import FIVE

SIZE = 224


@pytest.fixture(scope="module")
def classifiers():
    """Four ResNet18 whose batch norms have seen data."""
    made = []
    for seed in range(4):
        network = models.build("resnet18", n_classes=len(FIVE), seed=seed)
        network.train()(torch.rand(8, 3, SIZE, SIZE))
        shown = models.Preprocessing(size=SIZE)
        made.append(models.Classifier(network.eval(), FIVE, shown, {}))
    return made
