"""Where in a face a network looks: Grad-CAM, attention maps, and a check that maps mean something.

A map that stays the same when the weights are replaced by random ones shows the face, not what
was learnt (Adebayo et al. 2018, arXiv 1810.03292).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from exe_core import models
from exe_core.labels import EMOTIONS
from exe_core.models import Classifier
from exe_core.resampling import Statistics

MIN_SIDE = 7
"""Cells a side that a map needs to tell an eye from a mouth; as many as ResNet has at 224 px."""

_STAGES = (
    "features",
    *(f"layer{k}" for k in (4, 3, 2, 1)),
    *(f"stages.{k}" for k in (3, 2, 1, 0)),
)
"""Stages of DDAMFN, of ResNet and its like, and of ConvNeXt; the deepest first."""


class ExplainError(ValueError):
    """A network has no stage that can be mapped."""


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
    faces = _prepared(classifier, images)
    targets = torch.tensor([classifier.labels.index(label) for label in labels]).to(faces.device)
    maps = LayerGradCam(network, chosen).attribute(faces, target=targets)
    return maps.detach().squeeze(1).float().cpu().numpy()


def map_layer(classifier: Classifier) -> str:
    """Name the deepest stage whose map has `MIN_SIDE` cells a side or more.

    Raises
    ------
    ExplainError
        If the network has no stage of a known name, or none with such a map.
    """
    shapes = _output_shapes(classifier)
    sides = {name: min(shapes[name][2:]) for name in _STAGES if name in shapes}
    for name, side in sides.items():
        if side >= MIN_SIDE:
            return name
    raise ExplainError(
        f"no stage of {classifier.card['model']} has a map of {MIN_SIDE} cells a side "
        f"(there are: {sides or 'no stage'}): give larger faces"
    )


def attention_maps(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """Average the attention of DDAMFN's heads over channels: (N, heads, 7, 7) between 0 and 1."""
    network: Any = classifier.network.eval()
    with torch.inference_mode():
        network(_prepared(classifier, images))
    return torch.stack(network.attention, dim=1).mean(dim=2).cpu().numpy()


def randomisation_check(
    classifier: Classifier,
    images: np.ndarray,
    *,
    labels: Sequence[str],
    seed: int,
    statistics: Statistics,
) -> pd.DataFrame:
    """Replace the weights by random ones, layer by layer from the answer down, and compare maps.

    Parameters
    ----------
    classifier, images, labels
        As for `grad_cam`; two images or more.
    seed
        Of the random weights; not that of the training, which would give back those it began with.

    Returns
    -------
    pd.DataFrame
        step, layer, value, low, high, n: Spearman's correlation of the maps before and after the
        layers up to `layer` were replaced, the mean of the n images whose maps are not constant.
        At step 0, "other faces", nothing is replaced, and the map of each image is compared with
        that of the next: what maps share because faces resemble each other.
    """
    trained = grad_cam(classifier, images, labels=labels)
    steps = [("other faces", rank_correlation(trained, np.roll(trained, 1, axis=0)))]
    changed = replace(classifier, network=deepcopy(classifier.network))
    fresh = models.build(classifier.card["model"], n_classes=len(classifier.labels), seed=seed)
    for name in reversed(_layers(classifier)):
        weights = fresh.get_submodule(name).state_dict()
        changed.network.get_submodule(name).load_state_dict(weights)
        maps = grad_cam(changed, images, labels=labels)
        steps.append((name, rank_correlation(trained, maps)))
    rows = []
    for step, (name, values) in enumerate(steps):
        known = values[np.isfinite(values)]
        terms = np.column_stack([known, np.ones(len(known))])
        mean = statistics.interval(terms, lambda sums: sums[:, 0] / sums[:, 1])
        rows.append({"step": step, "layer": name, **mean.columns(), "n": len(known)})
    return pd.DataFrame(rows)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Compute Spearman's correlation (N,) of maps (N, h, w); NaN where one is constant."""
    sides = (pd.DataFrame(maps.reshape(len(maps), -1)) for maps in (first, second))
    a, b = (side.rank(axis=1) for side in sides)
    return a.corrwith(b, axis=1).to_numpy()


def examples(predictions: pd.DataFrame, *, n: int) -> pd.DataFrame:
    """Choose faces to explain: of each label up to n that all runs predict, and n that not all do.

    Parameters
    ----------
    predictions
        Table "predictions" of one set and split.

    Returns
    -------
    pd.DataFrame
        item_id, label, is_right, and a column a run: what it predicts. The first by their id.
    """
    runs = list(dict.fromkeys(predictions["run_id"]))
    by_run = predictions.set_index(["label", "item_id", "run_id"])["predicted"]
    answers = by_run.unstack()[runs].reset_index()  # noqa: PD010
    is_right = answers[runs].eq(answers["label"], axis=0).all(axis=1)
    answers.insert(2, "is_right", is_right)
    answers["label"] = pd.Categorical(answers["label"], EMOTIONS)
    answers = answers.sort_values(["label", "is_right", "item_id"], ascending=[True, False, True])
    chosen = answers.groupby(["label", "is_right"], observed=True).head(n)
    return chosen.astype({"label": str}).reset_index(drop=True)


def _layers(classifier: Classifier) -> list[str]:
    """Name the layers with weights in the order of their use, stages one by one."""
    names = set()
    for name, child in classifier.network.named_children():
        is_group = name in ("features", "stages")
        names |= {f"{name}.{inner}" for inner, _ in child.named_children()} if is_group else {name}
    used = [name for name in _output_shapes(classifier) if name in names]
    return [name for name in used if [*classifier.network.get_submodule(name).parameters()]]


def _output_shapes(classifier: Classifier) -> dict[str, torch.Size]:
    """Pass one black face; give the shape of each module's output, in the order of their use."""
    shapes: dict[str, torch.Size] = {}

    def note(name: str, output: object) -> None:
        if isinstance(output, torch.Tensor):
            shapes[name] = output.shape

    network, size = classifier.network.eval(), classifier.preprocessing.size
    with ExitStack() as hooks, torch.inference_mode():
        for name, module in network.named_modules():
            hook = module.register_forward_hook(lambda _, __, out, name=name: note(name, out))
            hooks.enter_context(hook)
        network(_prepared(classifier, np.zeros((1, size, size, 3), np.uint8)))
    return shapes


def _prepared(classifier: Classifier, images: np.ndarray) -> torch.Tensor:
    device = next(classifier.network.parameters()).device
    pixels = torch.from_numpy(np.ascontiguousarray(images)).to(device)
    return classifier.preprocessing.normalise(classifier.preprocessing.to_float(pixels))
