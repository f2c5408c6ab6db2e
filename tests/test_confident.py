"""Labels that were made wrong are doubted; right ones are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exe_core import training
from exe_core.settings import Train
from exe_core.training import TrainingError

RECIPE = Train(
    model="tiny",
    weights="none",
    trainable="all",
    size=16,
    augmentation="none",
    learning_rate=3e-3,
    batch_size=16,
    epochs=8,
)
CLASSES = ("happy", "sad", "neutral")


def coloured(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Faces that are a colour, one a class, with noise."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = rng.integers(0, 120, (n, 16, 16, 3))
    images[np.arange(n), ..., labels] += 100
    return images.astype(np.uint8), labels


def test_wrong_labels_are_doubted_and_right_ones_are_not(tmp_path: Path) -> None:
    images, truth = coloured(180)
    wrong = np.random.default_rng(1).choice(180, 27, replace=False)
    given = truth.copy()
    given[wrong] = (given[wrong] + 1) % 3
    doubts = training.find_label_errors(
        images,
        given,
        np.arange(180) // 2,
        recipe=RECIPE,
        classes=CLASSES,
        folder=tmp_path / "run",
        progress=False,
    )
    made = np.isin(np.arange(180), wrong)
    assert doubts[made].mean() > 0.8
    assert doubts[~made].mean() < 0.05
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["part-1", "part-2"]


def test_a_class_that_a_part_lacks_is_an_error(tmp_path: Path) -> None:
    images, labels = coloured(30)
    labels[labels == 2] = 0
    labels[0] = 2
    with pytest.raises(TrainingError, match="no training face of neutral"):
        training.find_label_errors(
            images,
            labels,
            np.arange(30),
            recipe=RECIPE,
            classes=CLASSES,
            folder=tmp_path / "run",
            progress=False,
        )
