"""Calibration on validation faces, and correction of label shift: other shares of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from exe_core.labels import labels_of, prob_columns
from exe_core.tables import with_probabilities


class CalibrationError(ValueError):
    """Predictions lack what is needed, or shares do not fit their labels."""


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

    Parameters
    ----------
    validation
        Table "predictions" of faces that the run did not learn from; rows without a label, or
        with one that the run does not predict, are left out.

    Raises
    ------
    CalibrationError
        If no row is left.
    """
    labels = labels_of(validation)
    known = validation[validation["label"].isin(labels)]
    if known.empty:
        raise CalibrationError(f"no row is labelled as one of {', '.join(labels)}")
    logits, truth = _log_probabilities(known), pd.Index(labels).get_indexer(known["label"])
    n = len(known)

    def loss(weights: np.ndarray) -> float:
        scaled = log_softmax(logits / np.exp(weights[0]) + weights[1:], axis=1)
        return -scaled[np.arange(n), truth].mean() + (weights[1:] ** 2).sum() / (2 * n)

    bounds = [(-4.0, 4.0), *[(None, None)] * len(labels)]
    best = minimize(loss, np.zeros(1 + len(labels)), method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(np.exp(best[0])), tuple(map(float, best[1:])))


def apply_calibration(predictions: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """Calibrate the table "predictions" of the run that `calibration` was fitted for.

    Raises
    ------
    CalibrationError
        If the temperature is not above 0, or there is not one bias a label.
    """
    labels = labels_of(predictions)
    if not calibration.temperature > 0:
        raise CalibrationError(f"temperature {calibration.temperature} must be over 0")
    if len(calibration.bias) != len(labels):
        raise CalibrationError(
            f"{len(calibration.bias)} biases for the {len(labels)} labels {labels}"
        )
    scaled = _log_probabilities(predictions) / calibration.temperature + np.array(calibration.bias)
    return with_probabilities(predictions, softmax(scaled, axis=1), labels=labels)


def adapt_to_shift(
    predictions: pd.DataFrame, validation: pd.DataFrame, *, method: Literal["em", "bbse"] = "em"
) -> pd.DataFrame:
    """Calibrate a run and correct its predictions for the label shares of the faces at hand.

    These shares are estimated from the predictions; no label of `predictions` is used. The shares
    in training are estimated by the run's mean calibrated probabilities of validation faces.

    Parameters
    ----------
    predictions
        Table "predictions" of one run on one set.
    validation
        Its predictions of labelled faces like those that it learned from.
    method
        As for `estimate_shares`.

    Raises
    ------
    CalibrationError
        As for `fit_calibration` and `estimate_shares`.
    """
    fitted = fit_calibration(validation)
    calibrated = apply_calibration(predictions, fitted)
    at_home = apply_calibration(validation, fitted)
    labels = labels_of(predictions)
    source = dict(zip(labels, at_home[prob_columns(labels)].mean(), strict=True))
    target = estimate_shares(calibrated, source_shares=source, method=method, validation=at_home)
    return correct_label_shift(calibrated, source_shares=source, target_shares=target)


def estimate_shares(
    predictions: pd.DataFrame,
    *,
    source_shares: Mapping[str, float],
    method: Literal["em", "bbse"] = "em",
    validation: pd.DataFrame | None = None,
) -> pd.Series:
    """Estimate how often each label is true of faces whose labels are unknown.

    Both methods hold where only the shares of the classes differ from those in training, not how
    each class looks.

    Parameters
    ----------
    predictions
        Table "predictions" of one run, best calibrated; its labels are not used.
    source_shares
        label -> share in training, all above 0.
    method
        "em": maximum likelihood (Saerens, Latinne and Decaestecker 2002). "bbse": from the
        confusion matrix on `validation` (Lipton, Wang and Smola 2018, arXiv 1802.03916).
    validation
        For "bbse": predictions of labelled faces like those in training.

    Returns
    -------
    pd.Series
        label -> share, summing to 1.

    Raises
    ------
    CalibrationError
        If shares do not fit the labels, there is no row, or the confusion can't be inverted.
    """
    labels = labels_of(predictions)
    source = _shares(source_shares, labels)
    if predictions.empty:
        raise CalibrationError("no predictions to estimate class shares from")
    if method == "em":
        shares = _expectation_maximisation(predictions[prob_columns(labels)].to_numpy(), source)
    elif method == "bbse":
        shares = _black_box(predictions, validation, labels) * source
    else:
        raise CalibrationError(f"method {method!r}: allowed are 'em' and 'bbse'")
    return pd.Series(shares / shares.sum(), index=labels)


def correct_label_shift(
    predictions: pd.DataFrame,
    *,
    source_shares: Mapping[str, float],
    target_shares: Mapping[str, float],
) -> pd.DataFrame:
    """Scale probabilities from label shares in training to those of the faces at hand.

    Returns the table "predictions" with p(label | face) x target / source, summing to 1 again;
    shares are given as label -> share.
    """
    labels = labels_of(predictions)
    ratio = _shares(target_shares, labels, zero=True) / _shares(source_shares, labels)
    scaled = predictions[prob_columns(labels)].to_numpy() * ratio
    scaled /= scaled.sum(axis=1, keepdims=True)
    return with_probabilities(predictions, scaled, labels=labels)


def _expectation_maximisation(probabilities: np.ndarray, source: np.ndarray) -> np.ndarray:
    shares = source
    for _ in range(10_000):
        scaled = probabilities * (shares / source)
        updated = (scaled / scaled.sum(axis=1, keepdims=True)).mean(axis=0)
        if np.abs(updated - shares).max() < 1e-9:
            break
        shares = updated
    return updated


def _black_box(
    predictions: pd.DataFrame, validation: pd.DataFrame | None, labels: Sequence[str]
) -> np.ndarray:
    """Solve C w = mu for the ratio w of target to source shares, clipped at 0."""
    if validation is None:
        raise CalibrationError("method 'bbse' needs `validation`: predictions of labelled faces")
    known = validation[validation["label"].isin(labels)]
    joint = pd.crosstab(known["predicted"], known["label"], normalize="all")
    joint = joint.reindex(index=labels, columns=labels, fill_value=0.0).to_numpy()
    answers = predictions["predicted"].value_counts(normalize=True).reindex(labels, fill_value=0.0)
    if np.linalg.matrix_rank(joint) < len(labels):
        raise CalibrationError("the confusion on validation can't be inverted: use method 'em'")
    return np.linalg.solve(joint, answers.to_numpy()).clip(min=0)


def _shares(
    shares: Mapping[str, float], labels: Sequence[str], *, zero: bool = False
) -> np.ndarray:
    values = np.array([shares.get(label, np.nan) for label in labels], dtype=float)
    if set(shares.keys()) != set(labels) or not (values >= 0 if zero else values > 0).all():
        raise CalibrationError(
            f"shares {dict(shares)} must be of {', '.join(labels)}, "
            f"{'none under 0' if zero else 'all over 0'}"
        )
    return values / values.sum()


def _log_probabilities(predictions: pd.DataFrame) -> np.ndarray:
    probabilities = predictions[prob_columns(labels_of(predictions))].to_numpy()
    return np.log(np.maximum(probabilities, np.finfo(float).tiny))
