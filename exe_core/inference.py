"""What a trained classifier says of faces."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.optimize import minimize
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from exe_core import models, tables
from exe_core.labels import labels_of, prob_columns
from exe_core.models import Classifier

log = logging.getLogger(__name__)

_FACES_AT_ONCE = 1024  # in memory: 150 MB at 224 px

_BATCH = 64
_PIXELS_ON_CPU = 400_000
"""Of a batch: with more, ResNet18 and 50 take a fifth to a half longer a face at 224 px."""


class InferenceError(ValueError):
    """Images can't be shown to a classifier as they are."""


def predict(
    classifier: Classifier,
    images: np.ndarray | Sequence[np.ndarray],
    *,
    batch_size: int | None = None,
    gray: bool | None = None,
) -> np.ndarray:
    """Compute the probability of each class for each image.

    Parameters
    ----------
    classifier
        From `exe_core.models.load`; it runs on the device that its network is on.
    images
        (N, H, W, 3) uint8 RGB, or a sequence of (H, W, 3) of any sizes; resized if they are not
        as the classifier wants them.
    batch_size
        Images at a time, by default as many as are fast; it moves probabilities by rounding only.
    gray
        Show the images in gray (True) or as they are (False), whatever the classifier learned
        from: the published fault, to be measured. By default as in training.

    Returns
    -------
    np.ndarray
        (N, C) float64, columns in the order of the classifier's labels; rows sum to 1.

    Raises
    ------
    InferenceError
        If an image is not (H, W, 3) uint8.
    """
    shown = classifier.preprocessing
    shown = shown if gray is None else replace(shown, gray=gray)
    network = classifier.network.eval()
    device = next(network.parameters()).device
    if batch_size is None:
        fast = _PIXELS_ON_CPU // shown.size**2 if device.type == "cpu" else _BATCH
        batch_size = min(max(fast, 1), _BATCH)
    logits = [np.empty((0, len(classifier.labels)))]
    with torch.inference_mode():
        for batch in _batches(images, size=shown.size, batch_size=batch_size):
            faces = torch.from_numpy(batch).to(device)
            answers = models.logits_of(network, faces, shown=shown)
            logits.append(answers.double().cpu().numpy())
    return softmax(np.concatenate(logits), axis=1)


def predict_images(
    classifier: Classifier,
    images: np.ndarray | Sequence[np.ndarray],
    *,
    batch_size: int | None = None,
) -> pd.DataFrame:
    """Say what each face of a few, or of many, shows.

    Parameters
    ----------
    classifier
        From `exe_core.models.load`, e.g. of a ready model by its name.
    images
        Face crops, (H, W, 3) uint8 RGB of any sizes.
    batch_size
        As in `predict`.

    Returns
    -------
    pd.DataFrame
        A row an image, in their order: `predicted`, and `prob_<label>` for each class.

    Raises
    ------
    InferenceError
        If an image is not (H, W, 3) uint8.

    Examples
    --------
    >>> faces = np.zeros((2, 48, 48, 3), dtype=np.uint8)
    >>> predict_images(models.load("fer7"), faces).shape
    (2, 8)
    """
    found = predict(classifier, images, batch_size=batch_size)
    table = pd.DataFrame(found, columns=prob_columns(classifier.labels))
    table.insert(0, "predicted", np.array(classifier.labels, dtype=object)[found.argmax(axis=1)])
    return table


class _Some(nn.Module):
    """A network of which some outputs only are looked at."""

    places: torch.Tensor

    def __init__(self, network: nn.Module, places: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images).index_select(1, self.places)


def restrict_to_labels(classifier: Classifier, labels: Sequence[str]) -> Classifier:
    """Give the same classifier, asked for some of its labels only.

    Its probabilities are those of before, divided by their sum over `labels`. That is done in the
    logits, and so also right for a face that it is almost sure shows another label.

    Parameters
    ----------
    classifier
        Left as it is.
    labels
        Labels of the classifier, in the order that is wanted.

    Raises
    ------
    InferenceError
        If the classifier lacks one.
    """
    lacking = [label for label in labels if label not in classifier.labels]
    if lacking:
        raise InferenceError(
            f"the model answers {', '.join(classifier.labels)}, and not {', '.join(lacking)}: "
            "take one that was trained on every label that is asked for"
        )
    if tuple(labels) == classifier.labels:
        return classifier
    places = [classifier.labels.index(label) for label in labels]
    return replace(classifier, network=_Some(classifier.network, places), labels=tuple(labels))


def fuse_for_inference(
    classifier: Classifier, *, precision: Literal["fp32", "bf16"] = "fp32"
) -> Classifier:
    """Give the same classifier in a form that answers faster and can't be trained.

    Batch norms go into the convolutions before them, which moves probabilities by rounding; bf16
    moves them in the third decimal and is fast only where the processor has it.

    Parameters
    ----------
    classifier
        Left as it is.
    precision
        Of weights and passes.
    """
    network = copy.deepcopy(classifier.network).eval()
    try:
        network = fuse(network)
    except TraceError as fault:
        log.info("%s stays unfused: %s", classifier.card.get("model", "a network"), fault)
    if precision == "bf16":
        network = network.bfloat16()
    return replace(classifier, network=network.to(memory_format=torch.channels_last))


def predict_faces(
    classifier: Classifier,
    faces: pd.DataFrame,
    *,
    run_id: str,
    splits: pd.DataFrame,
    gray: bool | None = None,
) -> pd.DataFrame:
    """Compute the predictions of a run for the primary face of each item.

    Parameters
    ----------
    classifier
        The trained run.
    faces
        Table "faces"; its crops are read a thousand at a time.
    run_id
        Goes into the table.
    splits
        Table "splits"; a face that has no row there is refused.
    gray
        As in `predict`.

    Returns
    -------
    pd.DataFrame
        Table "predictions", in the order of `faces`.

    Raises
    ------
    InferenceError
        If a face is on no side of the split.
    """
    from exe_core.datasets import load_faces  # here: `predict` is to run where only PyTorch is

    primary = faces[faces["is_primary"]].reset_index(drop=True)
    split = primary["face_id"].map(splits.set_index("face_id")["split"])
    if split.isna().any():
        lost = primary.loc[split.isna(), "face_id"]
        raise InferenceError(f"{len(lost)} faces have no split, {lost.iloc[0]} first: split them")
    found = [np.empty((0, len(classifier.labels)))]
    for start in range(0, len(primary), _FACES_AT_ONCE):
        part = primary.iloc[start : start + _FACES_AT_ONCE]
        images = load_faces(part, size=classifier.preprocessing.size)
        found.append(predict(classifier, images, gray=gray))
    table = primary[["item_id", "set_name", "group_id", "label"]].assign(split=split, run_id=run_id)
    return tables.with_probabilities(table, np.concatenate(found), labels=classifier.labels)


def _batches(
    images: np.ndarray | Sequence[np.ndarray], *, size: int, batch_size: int
) -> Iterator[np.ndarray]:
    """Give the images as arrays (B, size, size, 3)."""
    for start in range(0, len(images), batch_size):
        part = images[start : start + batch_size]
        yield np.stack([_fit(image, size, start + k) for k, image in enumerate(part)])


def _fit(image: np.ndarray, size: int, index: int) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InferenceError(
            f"image {index} is {image.dtype} {image.shape}; needed is uint8 (H, W, 3): "
            "read it with exe_core.detection.read_image"
        )
    if image.shape[:2] == (size, size):
        return image
    # PIL, not OpenCV or torchvision: their ways to resize move probabilities by up to 7e-3.
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


_KEY = ["set_name", "item_id"]
_SAME = ["split", "group_id", "label"]


class EnsembleError(ValueError):
    """Predictions do not fit each other, or lack what is to be learnt from them."""


def mean_of_runs(predictions: Sequence[pd.DataFrame], *, run_id: str) -> pd.DataFrame:
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
    labels = labels_of(first)
    return tables.with_probabilities(
        first.assign(run_id=run_id), members.mean(axis=0), labels=labels
    )


def _aligned(table: pd.DataFrame, first: pd.DataFrame) -> np.ndarray:
    """Give the probabilities of `table` in the order of `first`."""
    pair = f"{_name(table)} and {_name(first)}"
    columns = prob_columns(labels_of(first))
    if labels_of(table) != labels_of(first):
        raise EnsembleError(
            f"{pair} answer different labels: {labels_of(table)}, {labels_of(first)}"
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


def weighted_mean(predictions: Sequence[pd.DataFrame], *, run_id: str) -> pd.DataFrame:
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
    return tables.with_probabilities(first.assign(run_id=run_id), averaged, labels=labels_of(first))


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
    labels = labels_of(first)
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
    labels = labels_of(first)
    found = fitted.predict_proba(_side_by_side(members))
    return tables.with_probabilities(first.assign(run_id=run_id), found, labels=labels)


ENSEMBLE_METHODS = {"mean": mean_of_runs, "weighted": weighted_mean, "stack": stack}
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
    labels = labels_of(first)
    codes = pd.Index(labels).get_indexer(first["label"].where(first["split"] == "val"))
    rows = np.flatnonzero(codes >= 0)
    if not len(rows):
        raise EnsembleError(
            f"no row of split 'val' is labelled as one of {', '.join(labels)}: an ensemble that "
            "learns needs some"
        )
    return rows, codes[rows]
