"""Weights that others trained on ImageNet, fetched from their hosts."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
import torchvision


class WeightsError(RuntimeError):
    """Pretrained weights can't be had."""


def torchvision_weights(name: str) -> dict[str, torch.Tensor]:
    """Fetch weights of torchvision by their name, all but those of the layer ``fc``.

    Raises
    ------
    WeightsError
        If their host can't be reached, or the file in the cache is damaged.
    """
    source = torchvision.models.get_weight(name)
    try:
        state = source.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as fault:  # URLError is an OSError
        file = Path(source.url).name
        reason = str(fault).splitlines()[0]
        raise WeightsError(
            f"{name} could not be had ({reason}): set `weights: none` to start at random, or put a "
            f"whole {file} into the folder checkpoints/ of torch's cache (TORCH_HOME/hub, by "
            "default ~/.cache/torch/hub)"
        ) from None
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def timm_weights(name: str) -> dict[str, torch.Tensor]:
    """Fetch the weights of a backbone of timm, all but those of its last layer.

    Raises
    ------
    WeightsError
        If it has none, or their host can't be reached.
    """
    import timm  # here: importing it takes seconds, and few models need it

    try:
        return timm.create_model(name, pretrained=True, num_classes=0).state_dict()
    except (OSError, RuntimeError, ValueError) as fault:
        reason = str(fault).splitlines()[0]
        raise WeightsError(
            f"the weights of timm's {name} could not be had ({reason}): set `weights: none` to "
            "start at random, or fill the cache of huggingface_hub (HF_HOME) where there is a "
            "network"
        ) from None
