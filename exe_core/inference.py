"""Predictions of trained classifiers for faces, and ensembles of them."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from scipy.special import softmax
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
"""Of a batch: with more, ResNet18 takes a fifth to a half longer a face at 224 px."""


class InferenceError(ValueError):
    """Images can't be shown to a classifier, or predictions can't be combined, as they are."""


def predict(classifier: Classifier, images: np.ndarray | Sequence[np.ndarray]) -> np.ndarray:
    """Compute the probability of each class for each image.

    Takes a classifier, which runs on the device that its network is on, and images (N, H, W, 3)
    uint8 RGB, or a sequence of (H, W, 3) of any sizes, which are resized; any other form raises an
    `InferenceError`. Gives (N, C) float64, columns in the order of the classifier's labels; rows
    sum to 1.
    """
    shown, network = classifier.preprocessing, classifier.network.eval()
    device, batch_size = next(network.parameters()).device, _BATCH
    if device.type == "cpu":
        batch_size = min(max(_PIXELS_ON_CPU // shown.size**2, 1), _BATCH)
    logits = [np.empty((0, len(classifier.labels)))]
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            part = images[start : start + batch_size]
            batch = np.stack([_resized(x, shown.size, start + k) for k, x in enumerate(part)])
            faces = torch.from_numpy(batch).to(device)
            logits.append(models.logits_of(network, faces, shown=shown).double().cpu().numpy())
    return softmax(np.concatenate(logits), axis=1)


def _resized(image: np.ndarray, size: int, index: int) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise InferenceError(
            f"image {index} is {image.dtype} {image.shape}; needed is uint8 (H, W, 3): "
            "read it with exe_core.faces.read_image"
        )
    if image.shape[:2] == (size, size):
        return image
    # PIL, not OpenCV or torchvision: their ways to resize move probabilities by up to 7e-3.
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def predict_images(
    classifier: Classifier, images: Sequence[np.ndarray | Image.Image | str | Path]
) -> pd.DataFrame:
    """Predict the expression of faces.

    Takes a classifier of `exe_core.models.load`, e.g. of a ready model by its name, and face crops
    of any sizes: arrays (H, W, 3) uint8 RGB, PIL images, or paths of image files. OpenCV reads BGR:
    give it as ``image[..., ::-1]``. Gives a row an image, in their order: `predicted`, and
    `prob_<label>` for each class.

    A `TypeError` is raised if something is no image, an `exe_core.faces.ImageError` if a file can't
    be read. A warning says if an image looks like a scene, not like a face.

    Examples
    --------
    >>> faces = np.zeros((2, 48, 48, 3), dtype=np.uint8)
    >>> predict_images(models.load("fer7"), faces).shape
    (2, 8)
    """
    from exe_core.faces import as_rgb  # here: `predict` is to run where only PyTorch is

    images = [images] if isinstance(images, str | Path | Image.Image) else images
    arrays = [as_rgb(image) for image in images]
    probabilities = predict(classifier, arrays)
    for k, (height, width, _) in enumerate(array.shape for array in arrays):
        if width > 1.2 * height or min(width, height) > 512:
            warnings.warn(
                f"image {k} has {width} x {height} px, as scenes do and crops of a face do not: "
                "exe_core.photos.read_faces finds the faces first",
                stacklevel=2,
            )
    table = pd.DataFrame(probabilities, columns=prob_columns(classifier.labels))
    labels = np.array(classifier.labels, dtype=object)
    table.insert(0, "predicted", labels[probabilities.argmax(axis=1)])
    return table


def restrict_to_labels(classifier: Classifier, labels: Sequence[str]) -> Classifier:
    """Make a classifier that chooses among some of the labels only.

    Its probabilities are those of before, divided by their sum over `labels`. That is done in the
    logits, so it is exact also for a face that almost surely shows another label. An
    `InferenceError` is raised if the classifier lacks one of the labels.
    """
    if lacking := [label for label in labels if label not in classifier.labels]:
        raise InferenceError(
            f"the model answers {', '.join(classifier.labels)}, and not {', '.join(lacking)}: "
            "take one that was trained on every label that is asked for"
        )
    if tuple(labels) == classifier.labels:
        return classifier
    chosen = nn.Linear(len(classifier.labels), len(labels), bias=False)
    places = [classifier.labels.index(label) for label in labels]
    chosen.weight.data = torch.eye(len(classifier.labels))[places]
    chosen.to(next(classifier.network.parameters()).device)
    network = nn.Sequential(classifier.network, chosen)
    return replace(classifier, network=network, labels=tuple(labels))


def fuse_for_inference(classifier: Classifier) -> Classifier:
    """Copy a classifier into a form that is faster and can't be trained.

    Batch norms go into the convolutions before them, which moves probabilities by rounding.
    """
    network = copy.deepcopy(classifier.network).eval()
    try:
        network = fuse(network)
    except TraceError as fault:
        log.info("%s stays unfused: %s", classifier.card.get("model", "a network"), fault)
    return replace(classifier, network=network.to(memory_format=torch.channels_last))


def predict_faces(
    classifier: Classifier, faces: pd.DataFrame, *, run_id: str, splits: pd.DataFrame
) -> pd.DataFrame:
    """Predict the primary face of each item: table "predictions", in the order of `faces`.

    `faces` and `splits` are the tables of these names. A face without a split raises a
    `SchemaError`.
    """
    from exe_core.faces import load_faces  # here: `predict` is to run where only PyTorch is

    primary = faces[faces["is_primary"]].reset_index(drop=True)
    split = primary["face_id"].map(splits.set_index("face_id")["split"])
    parts = [np.empty((0, len(classifier.labels)))]
    for start in range(0, len(primary), _FACES_AT_ONCE):
        part = primary.iloc[start : start + _FACES_AT_ONCE]
        images = load_faces(part, size=classifier.preprocessing.size)
        parts.append(predict(classifier, images))
    table = primary[["item_id", "set_name", "group_id", "label"]].assign(split=split, run_id=run_id)
    return tables.with_probabilities(table, np.concatenate(parts), labels=classifier.labels)


def mean_of_runs(predictions: Sequence[pd.DataFrame], *, run_id: str) -> pd.DataFrame:
    """Average the probabilities of several runs, item by item: table "predictions".

    Rows stay in the order of the first table. An `InferenceError` is raised if there is none, or if
    they differ in their items, labels, splits or groups.
    """
    members, first = _aligned(predictions), predictions[0].assign(run_id=run_id)
    return tables.with_probabilities(first, members.mean(axis=0), labels=labels_of(first))


def stack(predictions: Sequence[pd.DataFrame], *, run_id: str) -> pd.DataFrame:
    """Combine several runs by a logistic regression fitted on the validation faces.

    Its features are the probabilities of all runs side by side (Wolpert 1992, Stacked
    generalization, 10.1016/S0893-6080(05)80023-1). Parameters and errors as for `mean_of_runs`;
    every label needs a row of split "val".
    """
    members, first = _aligned(predictions), predictions[0].assign(run_id=run_id)
    labels = labels_of(first)
    codes = pd.Index(labels).get_indexer(first["label"].where(first["split"] == "val"))
    if absent := [label for k, label in enumerate(labels) if k not in codes]:
        raise InferenceError(f"no val face shows {', '.join(absent)}: stacking needs every label")
    features = np.hstack(list(members))  # (N, M x C)
    # lightly regularised, as by scikit-learn's default; the published study does not say
    from sklearn.linear_model import LogisticRegression  # slow to import

    fitted = LogisticRegression(max_iter=10_000).fit(features[codes >= 0], codes[codes >= 0])
    return tables.with_probabilities(first, fitted.predict_proba(features), labels=labels)


ENSEMBLE_METHODS = {"mean": mean_of_runs, "stack": stack}
"""Name in a study's settings -> how the members of an ensemble are combined."""


def _aligned(predictions: Sequence[pd.DataFrame]) -> np.ndarray:
    """Give the probabilities (M, N, C) of all runs, in the order of the first."""
    if not predictions:
        raise InferenceError("an ensemble needs the predictions of at least one run")
    first, identity = predictions[0], ["set_name", "item_id", "split", "group_id", "label"]
    columns, members = prob_columns(labels_of(first)), []
    for table in predictions:
        same = len(table) == len(first) and labels_of(table) == labels_of(first)
        rows = first[identity].merge(table, on=identity, how="left") if same else table
        if not same or rows["run_id"].isna().any():
            runs = " and ".join(str(each["run_id"].iloc[0]) for each in (table, first))
            raise InferenceError(
                f"{runs} differ in {', '.join(identity)} or the labels predicted: predict the same "
                "faces of the same study with every run"
            )
        members.append(rows[columns].to_numpy())
    return np.stack(members)


def grad_cam(classifier: Classifier, images: np.ndarray, *, labels: Sequence[str]) -> np.ndarray:
    """Map how much each place of an image speaks for a label (Selvaraju et al. 2017): (N, h, w).

    Takes images (N, S, S, 3) uint8 RGB of the network's size, and a label of each. Maps are of the
    deepest stage of the network (DDAMFN, ResNet and its like, ConvNeXt) with 7 cells a side or
    more, as ResNet has at 224 px: fewer do not tell an eye from a mouth. A `ValueError` is raised
    if no stage is so fine.
    """
    from captum.attr import LayerGradCam  # slow to import

    network, shown = classifier.network.eval(), classifier.preprocessing
    faces = shown.normalise(shown.to_float(torch.from_numpy(images)))
    targets = torch.tensor([classifier.labels.index(label) for label in labels])
    stages = ["features", *(f"layer{k}" for k in (4, 3, 2, 1))]
    stages += [f"stages.{k}" for k in (3, 2, 1, 0)]
    modules = dict(network.named_modules())
    for name in (stage for stage in stages if stage in modules):
        maps = LayerGradCam(network, modules[name]).attribute(faces, target=targets)
        if min(maps.shape[2:]) >= 7:
            return maps.detach().squeeze(1).numpy()
    raise ValueError(f"no stage of {classifier.card['model']} is fine enough at {shown.size} px")
