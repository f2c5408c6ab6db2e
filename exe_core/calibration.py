"""Calibration on validation faces, and correction of label shift: other shares of the classes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax

from exe_core.labels import labels_of, prob_columns
from exe_core.tables import with_probabilities


class Calibration(NamedTuple):
    """Calibrated probabilities are softmax(log p / temperature + bias)."""

    temperature: float  # above 1 for a run that is too sure of itself
    bias: tuple[float, ...]  # one a label; above 0 for a label that the run predicts too rarely


def fit_calibration(validation: pd.DataFrame) -> Calibration:
    """Fit the temperature of a run and a bias for each label, by maximum likelihood.

    Temperature: Guo et al. 2017, arXiv 1706.04599. Biases, without which shares that are estimated
    from probabilities are wrong class by class: Alexandari, Kundaje and Shrikumar 2020, arXiv
    1901.06852. They have a standard normal prior, so that the bias of a label without a validation
    face is finite.

    `validation` is the table "predictions" of faces that the run did not learn from; rows without a
    label, or with one that the run does not predict, are left out. A `ValueError` is raised if no
    row is left.
    """
    from scipy.optimize import minimize  # slow to import

    labels = labels_of(validation)
    known = validation[validation["label"].isin(labels)]
    if known.empty:
        raise ValueError(f"no row is labelled as one of {', '.join(labels)}")
    logits, truth = _log_probabilities(known), pd.Index(labels).get_indexer(known["label"])
    n = len(known)

    def loss(weights: np.ndarray) -> float:
        scaled = log_softmax(logits / np.exp(weights[0]) + weights[1:], axis=1)
        return -scaled[np.arange(n), truth].mean() + (weights[1:] ** 2).sum() / (2 * n)

    bounds = [(-4.0, 4.0), *[(None, None)] * len(labels)]
    best = minimize(loss, np.zeros(1 + len(labels)), method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(np.exp(best[0])), tuple(map(float, best[1:])))


def apply_calibration(predictions: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """Calibrate the table "predictions" of the run that `calibration` was fitted for."""
    scaled = _log_probabilities(predictions) / calibration.temperature + np.array(calibration.bias)
    return with_probabilities(predictions, softmax(scaled, axis=1), labels=labels_of(predictions))


def correct_label_shift(probabilities: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Move probabilities (N, C) from label shares (C,) in training to those of the faces at hand.

    This holds where only the shares of the classes differ from those in training, not how each
    class looks. The new shares are estimated by maximum likelihood, without labels: Saerens,
    Latinne and Decaestecker 2002, Adjusting the Outputs of a Classifier to New a Priori
    Probabilities, 10.1162/089976602753284446. The probabilities must be calibrated; `source` is
    their mean over faces like those in training.
    """
    shares = source
    for _ in range(10_000):
        scaled = probabilities * (shares / source)
        scaled /= scaled.sum(axis=1, keepdims=True)
        before, shares = shares, scaled.mean(axis=0)
        if np.abs(shares - before).max() < 1e-9:
            break
    return scaled


def _log_probabilities(predictions: pd.DataFrame) -> np.ndarray:
    probabilities = predictions[prob_columns(labels_of(predictions))].to_numpy()
    return np.log(np.maximum(probabilities, np.finfo(float).tiny))
