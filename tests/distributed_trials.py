"""What each process of tests/test_distributed.py does: torchrun starts this file."""

import sys
from pathlib import Path

import numpy as np
import torch

from exe_core import training
from exe_core.learning import distributed
from exe_core.settings import Train

COMMON = {"model": "tiny", "weights": "none", "trainable": "all", "size": 16, "batch_size": 7}
RECIPES = {
    "all layers, each face as it is": {"augmentation": "none"},
    "all layers": {},
    "frozen batch norm": {"trainable": "layer3+layer4+fc"},
    "all at once": {
        "mixup": 0.2,
        "cutmix": 1.0,
        "class_weights": True,
        "clip_norm": 1.0,
        "ema_decay": 0.9,
        "sam_rho": 0.05,
        "sampling": "balanced",
        "label_smoothing": 0.1,
    },
}
EPOCHS = 3


def recipe(name):
    changes = {"learning_rate": 0.01, "optimizer": "sgd", "epochs": EPOCHS}
    return Train(**COMMON | changes | RECIPES[name])


def faces(n=41):
    """Faces of three unequal classes, told by their brightness; an odd number of them."""
    rng = np.random.default_rng(3)
    labels = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    shown = rng.integers(0, 100, (n, 16, 16, 3)) + 70 * labels.reshape(-1, 1, 1, 1)
    splits = np.where(np.arange(n) % 4 == 0, "val", "train")
    return shown.astype(np.uint8), labels, splits


def run(name, folder):
    options = {"classes": ("a", "b", "c"), "run_id": "trial", "device": "cpu", "progress": False}
    return training.train(*faces(), recipe=recipe(name), folder=folder / name, **options)


def main(folder):
    torch.set_num_threads(1)
    with distributed.together():
        for name in RECIPES:
            run(name, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
