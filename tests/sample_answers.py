"""Answers of made-up runs to three labels; of Gaussian classes, whose posterior is known."""

import numpy as np
import pandas as pd
from scipy.special import softmax

from exe_core import tables
from exe_core.labels import prob_columns

LABELS = ["angry", "happy", "sad"]
COLUMNS = prob_columns(LABELS)


def predictions(n=12, *, run="a", seed=0, probabilities=None, labels=None, names=LABELS):
    rng = np.random.default_rng(seed)
    found = softmax(rng.normal(size=(n, 3)), axis=1) if probabilities is None else probabilities
    rows = pd.DataFrame(
        {
            "item_id": [f"s:{k}" for k in range(len(found))],
            "set_name": "s",
            "split": "test",
            "group_id": [f"g{k // 2}" for k in range(len(found))],
            "run_id": run,
            "label": [LABELS[k % 3] for k in range(len(found))] if labels is None else labels,
        }
    )
    return tables.with_probabilities(rows, found, labels=names)


def world(n, *, shares, noise=1.0, seed=0, learnt=(1 / 3, 1 / 3, 1 / 3)):
    """Draw faces of three Gaussian classes with `shares`, and the posteriors of one that learnt
    from the shares `learnt` and is calibrated for them."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, size=n, p=shares)
    seen = np.eye(3)[truth] + noise * rng.normal(size=(n, 3))
    posterior = softmax(seen / noise**2 + np.log(learnt), axis=1)
    return predictions(probabilities=posterior, labels=[LABELS[k] for k in truth])
