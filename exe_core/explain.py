"""Where in a face a network looks: Grad-CAM, and a check that its maps mean something.

A map that stays the same when the weights are replaced by random ones shows the face, not what
was learnt (Adebayo et al. 2018, arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from exe_core import models
from exe_core.models import Classifier
from exe_core.resampling import Estimate, Statistics, ratio

MIN_SIDE = 7
"""Cells a side that a map needs to tell an eye from a mouth; as many as ResNet has at 224 px."""

_STAGES = (
    "features",
    *(f"layer{k}" for k in (4, 3, 2, 1)),
    *(f"stages.{k}" for k in (3, 2, 1, 0)),
)
"""Stages of DDAMFN, of ResNet and its like, and of ConvNeXt; the deepest first."""


def grad_cam(classifier: Classifier, images: np.ndarray, *, labels: Sequence[str]) -> np.ndarray:
    """Compute how much each place speaks for a label (Selvaraju et al. 2017, arXiv 1610.02391).

    Parameters
    ----------
    classifier
        From `exe_core.models.load`.
    images
        (N, S, S, 3) uint8 RGB, S as the classifier wants them.
    labels
        (N,) the label to explain of each image.

    Returns
    -------
    np.ndarray
        (N, h, w) in the resolution of `map_layer`; below 0 where a place speaks against the label.
    """
    from captum.attr import LayerGradCam  # here: importing it takes seconds

    network = classifier.network.eval()
    chosen = network.get_submodule(map_layer(classifier))
    targets = torch.tensor([classifier.labels.index(label) for label in labels])
    faces = _prepared(classifier, images)
    maps = LayerGradCam(network, chosen).attribute(faces, target=targets.to(faces.device))
    return maps.detach().squeeze(1).float().cpu().numpy()


def map_layer(classifier: Classifier) -> str:
    """Name the deepest stage whose map has `MIN_SIDE` cells a side or more.

    Raises
    ------
    ValueError
        If the network has no stage of a known name, or none with such a map.
    """
    network, size = classifier.network.eval(), classifier.preprocessing.size
    sides: dict[str, int] = {}
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in network.named_modules():
            if name in _STAGES:
                hook = module.register_forward_hook(
                    lambda _, __, output, name=name: sides.update({name: min(output.shape[2:])})
                )
                hooks.enter_context(hook)
        network(_prepared(classifier, np.zeros((1, size, size, 3), np.uint8)))
    fine = [name for name in _STAGES if sides.get(name, 0) >= MIN_SIDE]
    if not fine:
        raise ValueError(
            f"no stage of {classifier.card['model']} has a map of {MIN_SIDE} cells a side "
            f"(there are: {sides or 'no stage'}): give larger faces"
        )
    return fine[0]


def randomisation_check(
    classifier: Classifier,
    images: np.ndarray,
    *,
    labels: Sequence[str],
    seed: int,
    statistics: Statistics,
) -> dict[str, Estimate]:
    """Compare maps with those of the network with random weights, and with those of other faces.

    Takes what `grad_cam` does, of two images or more, and a seed for the random weights: not that
    of the training, which would give back those it began with.

    Gives "randomised" and "other_faces": Spearman's correlation of a face's map with that after all
    weights were replaced, and with that of the next face, which is what maps share because faces
    resemble each other. Mean of the images whose maps are not constant.
    """
    trained = grad_cam(classifier, images, labels=labels)
    fresh = models.build(classifier.card["model"], n_classes=len(classifier.labels), seed=seed)
    device = next(classifier.network.parameters()).device
    random = grad_cam(replace(classifier, network=fresh.to(device)), images, labels=labels)
    found = {}
    for name, maps in (("other_faces", np.roll(trained, 1, axis=0)), ("randomised", random)):
        sides = (pd.DataFrame(side.reshape(len(side), -1)) for side in (trained, maps))
        a, b = (side.rank(axis=1) for side in sides)
        known = a.corrwith(b, axis=1).dropna()  # NaN where a map is constant
        found[name] = statistics.interval(np.column_stack([known, np.ones(len(known))]), ratio)
    return found


def _prepared(classifier: Classifier, images: np.ndarray) -> torch.Tensor:
    device = next(classifier.network.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return classifier.preprocessing.normalise(classifier.preprocessing.to_float(pixels))
