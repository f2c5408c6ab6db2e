"""Predictions made from those of several runs: their mean, a weighted one, a stack."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from exe_core import schema

_KEY = ["set_name", "item_id"]
_SAME = ["split", "group_id", "label"]


class EnsembleError(ValueError):
    """Predictions do not fit each other, or lack what is to be learnt from them."""


def with_probabilities(
    rows: pd.DataFrame, probabilities: np.ndarray, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Complete rows to a table "predictions".

    Parameters
    ----------
    rows
        All columns but the answer; earlier probabilities are replaced.
    probabilities
        (N, C), of `labels` in their order; the first of the highest is what is predicted.
    """
    columns = schema.prob_columns(labels)
    answers = np.array(labels, dtype=object)[probabilities.argmax(axis=1)]
    found = pd.DataFrame(probabilities, columns=columns, index=rows.index)
    return schema.check(rows.assign(predicted=answers, **found), "predictions")


def mean(predictions: Sequence[pd.DataFrame], *, run_id: str) -> pd.DataFrame:
    """Average the probabilities of several runs, item by item.

    Parameters
    ----------
    predictions
        Tables "predictions" of the same items and labels, one run each.
    run_id
        Names the ensemble.

    Returns
    -------
    pd.DataFrame
        Table "predictions", in the order of the first.

    Raises
    ------
    EnsembleError
        If there is none, or the tables differ in their items, labels, splits or groups.

    Examples
    --------
    >>> face = dict(item_id="a", set_name="mine", split="test", group_id="a", label="sad")
    >>> one = pd.DataFrame([face | {"run_id": "one", "prob_happy": 0.75, "prob_sad": 0.25}])
    >>> two = pd.DataFrame([face | {"run_id": "two", "prob_happy": 0.5, "prob_sad": 0.5}])
    >>> mean([one, two], run_id="both")[["run_id", "predicted", "prob_happy"]].values.tolist()
    [['both', 'happy', 0.625]]
    """
    members, first = _members(predictions)
    labels = schema.labels_of(first)
    return with_probabilities(first.assign(run_id=run_id), members.mean(axis=0), labels=labels)


def _aligned(table: pd.DataFrame, first: pd.DataFrame) -> np.ndarray:
    """Give the probabilities of `table` in the order of `first`."""
    pair = f"{_name(table)} and {_name(first)}"
    columns = schema.prob_columns(schema.labels_of(first))
    if schema.labels_of(table) != schema.labels_of(first):
        raise EnsembleError(
            f"{pair} answer different labels: {schema.labels_of(table)}, {schema.labels_of(first)}"
        )
    ours, theirs = first.set_index(_KEY), table.set_index(_KEY)
    unshared = ours.index.symmetric_difference(theirs.index)
    if len(unshared):
        raise EnsembleError(
            f"{pair} are of different items ({len(unshared)} are of one only, such as "
            f"{'/'.join(unshared[0])}): predict the same faces with every run"
        )
    theirs = theirs.loc[ours.index]
    for column in _SAME:
        if not ours[column].equals(theirs[column]):
            raise EnsembleError(f"{pair} disagree in the column {column!r} of the same items")
    return theirs[columns].to_numpy()


def _name(table: pd.DataFrame) -> str:
    return ", ".join(table["run_id"].unique())


def weighted(predictions: Sequence[pd.DataFrame], *, run_id: str) -> pd.DataFrame:
    """Average the probabilities of several runs by weights that are learnt on the val faces.

    The weights, at least 0 and summing to 1, are those of the least negative log-likelihood.

    Parameters
    ----------
    predictions, run_id
        As for `mean`; some rows are labelled and of split "val". The labels of no others are
        looked at.

    Raises
    ------
    EnsembleError
        As for `mean`, and if there is no labelled row of split "val".
    """
    members, first = _members(predictions)
    rows, truth = _learnt_from(first)
    of_truth = members[:, rows, truth]

    def loss(logits: np.ndarray) -> float:
        likelihood = softmax(logits) @ of_truth
        return -np.log(np.maximum(likelihood, np.finfo(float).tiny)).mean()

    weights = softmax(minimize(loss, np.zeros(len(members)), method="L-BFGS-B").x)
    averaged = np.tensordot(weights, members, axes=1)
    return with_probabilities(first.assign(run_id=run_id), averaged, labels=schema.labels_of(first))


def stack(predictions: Sequence[pd.DataFrame], *, run_id: str) -> pd.DataFrame:
    """Combine several runs by a logistic regression that is fitted on the val faces.

    Its features are the probabilities of all runs side by side (Wolpert 1992, stacked
    generalization). It is fitted by `fit_stack`, which is given the rows of split "val" alone.

    Parameters
    ----------
    predictions, run_id
        As for `mean`; the labelled rows of split "val" show every label.

    Raises
    ------
    EnsembleError
        As for `mean`, and if a label has no row of split "val".
    """
    val = [table[table["split"] == "val"].reset_index(drop=True) for table in predictions]
    return apply_stack(fit_stack(val), predictions, run_id=run_id)


def fit_stack(validation: Sequence[pd.DataFrame]) -> LogisticRegression:
    """Fit the regression of a stacked ensemble.

    Parameters
    ----------
    validation
        Tables "predictions" of the same items, one run each; all rows are of split "val".

    Raises
    ------
    EnsembleError
        If a row is of another split, the tables do not fit each other, or a label has no row.
    """
    members, first = _members(validation)
    if others := set(first["split"]) - {"val"}:
        raise EnsembleError(
            f"stacking is fitted on rows of split 'val' only, not of {', '.join(sorted(others))}"
        )
    labels = schema.labels_of(first)
    rows, truth = _learnt_from(first)
    absent = [label for k, label in enumerate(labels) if k not in truth]
    if absent:
        raise EnsembleError(f"no val face shows {', '.join(absent)}: stacking needs every label")
    # lightly regularised, as by scikit-learn's default; the published study says nothing of it
    return LogisticRegression(max_iter=10_000).fit(_side_by_side(members)[rows], truth)


def apply_stack(
    fitted: LogisticRegression, predictions: Sequence[pd.DataFrame], *, run_id: str
) -> pd.DataFrame:
    """Answer by a fitted stack; `predictions` are of the runs it was fitted on, in their order."""
    members, first = _members(predictions)
    labels = schema.labels_of(first)
    found = fitted.predict_proba(_side_by_side(members))
    return with_probabilities(first.assign(run_id=run_id), found, labels=labels)


METHODS = {"mean": mean, "weighted": weighted, "stack": stack}
"""Name in a study's settings -> how the members of an ensemble are combined."""


def _members(predictions: Sequence[pd.DataFrame]) -> tuple[np.ndarray, pd.DataFrame]:
    """Give the probabilities (M, N, C) of all runs in the order of the first, and the first."""
    if not predictions:
        raise EnsembleError("an ensemble needs the predictions of at least one run")
    first = predictions[0]
    return np.stack([_aligned(table, first) for table in predictions]), first


def _side_by_side(members: np.ndarray) -> np.ndarray:
    """Lay the probabilities (M, N, C) of the runs beside each other: (N, M x C)."""
    return np.moveaxis(members, 0, 1).reshape(members.shape[1], -1)


def _learnt_from(first: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Give the places of the labelled val rows, and the class of each."""
    labels = schema.labels_of(first)
    codes = pd.Index(labels).get_indexer(first["label"].where(first["split"] == "val"))
    rows = np.flatnonzero(codes >= 0)
    if not len(rows):
        raise EnsembleError(
            f"no row of split 'val' is labelled as one of {', '.join(labels)}: an ensemble that "
            "learns needs some"
        )
    return rows, codes[rows]
