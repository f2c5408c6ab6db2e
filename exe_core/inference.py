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
from scipy.special import softmax
from torch import nn
from torch.fx.experimental.optimization import fuse
from torch.fx.proxy import TraceError

from exe_core import ensemble, models, schema
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
    table = pd.DataFrame(found, columns=schema.prob_columns(classifier.labels))
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


def restricted(classifier: Classifier, labels: Sequence[str]) -> Classifier:
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


def hastened(classifier: Classifier, *, precision: Literal["fp32", "bf16"] = "fp32") -> Classifier:
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
    return ensemble.with_probabilities(table, np.concatenate(found), labels=classifier.labels)


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
