"""How fast a network learns and answers, in images a second of one thread; compare within a run.

OMP_NUM_THREADS=1 pytest tests/benchmarks/test_bench_training.py --benchmark-enable
"""

import numpy as np
import pytest
import torch

from exe_core import inference, models
from exe_core.augmentation import PRESETS, augment
from exe_core.epochs import Part, Run
from exe_core.settings import Train

BATCH = 32


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def faces(size, n=BATCH):
    return np.random.default_rng(0).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("size", [48, 64])
@pytest.mark.parametrize("model", ["resnet18", "resnet18-small", "tiny"])
def test_one_batch_of_training(benchmark, model, size, precision):
    recipe = Train(
        model=model, weights="none", trainable="all", size=size, precision=precision, epochs=1000
    )
    run = Run(recipe, models.Preprocessing(size=size), n_classes=5, device="cpu")
    part = Part(torch.from_numpy(faces(size)), torch.arange(BATCH) % 5)
    benchmark.extra_info["images"] = BATCH
    loss, _ = benchmark.pedantic(run._learn, (part,), {"epoch": 1}, rounds=5, warmup_rounds=2)
    assert np.isfinite(loss)


@pytest.mark.parametrize("preset", ["light", "heavy"])
def test_augmentation_of_one_batch(benchmark, preset):
    images = models.Preprocessing().to_float(torch.from_numpy(faces(64)))
    generator = torch.Generator().manual_seed(0)
    found = benchmark(augment, images, PRESETS[preset], generator=generator)
    assert found.shape == images.shape


@pytest.mark.parametrize("model", ["resnet18", "resnet18-small"])
def test_answers_for_one_batch(benchmark, model):
    network = models.build(model, n_classes=5).eval().to(memory_format=torch.channels_last)
    shown = models.Preprocessing(size=64)
    classifier = models.Classifier(network, ("a", "b", "c", "d", "e"), shown, {})
    found = benchmark(inference.predict, classifier, faces(64))
    assert found.shape == (BATCH, 5)
