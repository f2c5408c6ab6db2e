"""How much faster four networks answer together than the published loop: ratios within one run.

pytest tests/benchmarks/test_bench_inference.py --benchmark-enable

The published loop reads each face with PIL and shows it to each network by itself.
"""

import time

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from exe_core import inference

pytestmark = pytest.mark.slow

SIZE, FACES = 224, 16


@pytest.fixture(scope="module")
def faces():
    return np.random.default_rng(0).integers(0, 256, (FACES, SIZE, SIZE, 3)).astype(np.uint8)


def published(classifiers, faces):
    """Show one face after another to one network after another, as the published code does."""
    shown = classifiers[0].preprocessing
    prepare = transforms.Compose(
        [
            transforms.Resize((SIZE, SIZE)),
            transforms.ToTensor(),
            transforms.Normalize(shown.mean, shown.std),
        ]
    )
    rows = []
    for classifier in classifiers:
        for face in faces:
            with torch.no_grad():
                logits = classifier.network(prepare(Image.fromarray(face)).unsqueeze(0))
                rows.append(logits.softmax(dim=1)[0].numpy())
    return np.mean(np.reshape(rows, (len(classifiers), len(faces), -1)), axis=0)


def ours(classifiers, faces):
    return np.mean([inference.predict(each, faces) for each in classifiers], axis=0)


def test_the_mean_of_four_networks(benchmark, ratio, classifiers, faces):
    """Time both ways in turn; the ratio is the median of three."""
    quick = [inference.fuse_for_inference(each) for each in classifiers]
    ratios = []

    def both():
        start = time.perf_counter()
        expected = published(classifiers, faces)
        between = time.perf_counter()
        found = ours(quick, faces)
        ratios.append((between - start) / (time.perf_counter() - between))
        return np.abs(found - expected).max()

    error = benchmark.pedantic(both, rounds=3, warmup_rounds=1)
    ratio("four ResNet18 at 224 px, fp32", np.median(ratios), aim=1.8)
    assert error < 1e-6
