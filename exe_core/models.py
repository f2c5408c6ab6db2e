"""Names of networks, each with its preprocessing; trained ones as safetensors with a card."""

from __future__ import annotations

import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torchvision.models.resnet import BasicBlock

from exe_core import record

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WEIGHTS_FILE, CARD_FILE = "model.safetensors", "card.json"


class ModelError(ValueError):
    """A model is unknown, damaged, or not the one that is needed."""


class WeightsError(RuntimeError):
    """Pretrained weights can't be had."""


@dataclass(frozen=True)
class Preprocessing:
    """What a network must be shown; it travels with the network.

    Attributes
    ----------
    size
        Side of the square input, px.
    mean, std
        Of each channel, of values in [0, 1].
    gray
        Whether colours are taken away first, as they were in training.
    """

    size: int = 224
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    gray: bool = False

    def to_float(self, images: torch.Tensor) -> torch.Tensor:
        """Bring pixels (N, H, W, 3) uint8 to (N, 3, H, W) in [0, 1], in gray if need be."""
        if self.gray:  # the integers of ITU-R BT.601 as PIL uses them: equal to a file in gray
            red, green, blue = images.int().unbind(dim=-1)
            luma = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
            images = luma.unsqueeze(-1).expand_as(images)
        return images.permute(0, 3, 1, 2).float() / 255

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Bring images (N, 3, H, W) in [0, 1] to the scale of the network."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


@dataclass(frozen=True)
class Classifier:
    """A trained network, ready to use, with what it takes to use it rightly."""

    network: nn.Module
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    card: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True)
class Architecture:
    """How a network is built, and what it is shown unless a recipe says otherwise.

    Attributes
    ----------
    builder
        Number of classes -> network with random weights, its last layer named ``fc``.
    pretrained
        Name of its ImageNet weights in torchvision, if there are any.
    """

    builder: Callable[[int], nn.Module]
    preprocessing: Preprocessing
    pretrained: str | None = None


def build(name: str, *, n_classes: int, weights: str = "none", seed: int = 0) -> nn.Module:
    """Build a network by name.

    Parameters
    ----------
    name
        A key of `REGISTRY`.
    n_classes
        Outputs of the last layer, which always starts at random.
    weights
        "none" for random ones, "imagenet" for torchvision's, which are fetched once and cached.
    seed
        Of the random weights; the global generator is left as it was.

    Raises
    ------
    ModelError
        If the name is unknown.
    WeightsError
        If there are no such weights, or their host can't be reached.
    """
    architecture = find(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = architecture.builder(n_classes)
    if weights == "imagenet":
        body = _imagenet(name, architecture)
        network.load_state_dict(
            body | {f"fc.{k}": v for k, v in network.get_submodule("fc").state_dict().items()}
        )
    elif weights != "none":
        raise WeightsError(f"weights {weights!r}: allowed are 'imagenet' and 'none'")
    return network


def find(name: str) -> Architecture:
    """Look a network up by its name; a `ModelError` lists the names there are."""
    if name not in REGISTRY:
        raise ModelError(f"no model {name!r}; models are {', '.join(REGISTRY)}")
    return REGISTRY[name]


def _imagenet(name: str, architecture: Architecture) -> dict[str, torch.Tensor]:
    """Fetch the weights of all layers but the last."""
    if architecture.pretrained is None:
        having = [key for key, known in REGISTRY.items() if known.pretrained]
        raise WeightsError(
            f"model {name} has no ImageNet weights (those of {', '.join(having)} do): "
            "set `weights: none`"
        )
    source = torchvision.models.get_weight(architecture.pretrained)
    try:
        state = source.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as fault:  # URLError is an OSError
        file = Path(source.url).name
        reason = str(fault).splitlines()[0]
        raise WeightsError(
            f"the ImageNet weights of {name} could not be had ({reason}): set `weights: none` to "
            f"start at random, or put a whole {file} into the folder checkpoints/ of torch's "
            "cache (TORCH_HOME/hub, by default ~/.cache/torch/hub)"
        ) from None
    return {key: value for key, value in state.items() if not key.startswith("fc.")}


def _small_resnet(n_classes: int, *, width: int = 32) -> nn.Module:
    """Build ResNet18 for small faces: half the channels, half the shrinking.

    The usual stem (7x7, stride 2, then pooling) leaves 2x2 of a face of 64 px for the last
    stage; this one (3x3, stride 2) leaves 4x4.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
        bn1=nn.BatchNorm2d(width),
        relu=nn.ReLU(inplace=True),
    )
    inputs = width
    for stage in range(4):
        outputs = width * 2**stage
        layers[f"layer{stage + 1}"] = nn.Sequential(
            _block(inputs, outputs, stride=1 if stage == 0 else 2), _block(outputs, outputs)
        )
        inputs = outputs
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    layers["fc"] = nn.Linear(inputs, n_classes)
    network = nn.Sequential(layers)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # He et al. 2015, as in torchvision's ResNet
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network


def _block(inputs: int, outputs: int, *, stride: int = 1) -> BasicBlock:
    if stride == 1 and inputs == outputs:
        return BasicBlock(inputs, outputs)
    shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
    return BasicBlock(inputs, outputs, stride, nn.Sequential(shortcut, nn.BatchNorm2d(outputs)))


def _tiny(n_classes: int) -> nn.Module:
    """Build four convolutions, for tests: seconds on a CPU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels = (3, 16, 32, 48, 64)
    for index, (inputs, outputs) in enumerate(pairwise(channels), start=1):
        layers[f"layer{index}"] = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    layers["fc"] = nn.Linear(channels[-1], n_classes)
    return nn.Sequential(layers)


REGISTRY = {
    "resnet18": Architecture(
        lambda n_classes: torchvision.models.resnet18(num_classes=n_classes),
        Preprocessing(),
        pretrained="ResNet18_Weights.IMAGENET1K_V1",
    ),
    "resnet50": Architecture(
        lambda n_classes: torchvision.models.resnet50(num_classes=n_classes),
        Preprocessing(),
        pretrained="ResNet50_Weights.IMAGENET1K_V1",
    ),
    "resnet18-small": Architecture(_small_resnet, Preprocessing(size=64)),
    "tiny": Architecture(_tiny, Preprocessing(size=32)),
}
"""Name in a recipe -> network."""


def save(network: nn.Module, folder: Path, *, card: Mapping[str, Any]) -> Path:
    """Write weights and card, the card last: a folder with a card holds a whole model.

    Parameters
    ----------
    network
        Built by `build`.
    folder
        Made if it is not there; an earlier model in it is replaced.
    card
        Holds at least `model` (its name), `labels` (in order) and `preprocessing` (a
        `Preprocessing` or its fields); the SHA-256 of the weights is added.
    """
    missing = [key for key in ("model", "labels", "preprocessing") if key not in card]
    if missing:
        raise ModelError(f"the card of a model needs {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).unlink(missing_ok=True)
    partial = folder / f".{WEIGHTS_FILE}.{os.getpid()}"
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, partial)
    weights = partial.replace(folder / WEIGHTS_FILE)
    shown = card["preprocessing"]
    plain = asdict(shown) if isinstance(shown, Preprocessing) else shown
    content = {**card, "preprocessing": plain, "weights_sha256": record.digest(weights)}
    return record.write_json(content, folder / CARD_FILE)


def load(folder: Path, *, labels: Sequence[str] | None = None) -> Classifier:
    """Read a model that `save` wrote.

    Parameters
    ----------
    folder
        Holds the weights and the card.
    labels
        The classes that are needed, in order; other ones are refused.

    Raises
    ------
    ModelError
        If a file is missing or damaged, the network is unknown, or its labels are others.
    """
    card = read_card(folder)
    found = tuple(card["labels"])
    if labels is not None and found != tuple(labels):
        raise ModelError(
            f"the model in {folder.name} answers {', '.join(found)}; needed are "
            f"{', '.join(labels)}, in this order: train it for these labels"
        )
    network = build(card["model"], n_classes=len(found))
    weights = folder / WEIGHTS_FILE
    again = f"remove the folder {folder.name} and train the model again"
    if not weights.is_file() or record.digest(weights) != card["weights_sha256"]:
        raise ModelError(f"the weights in {folder.name} are missing or not its card's: {again}")
    try:
        network.load_state_dict(load_file(weights))
    except (SafetensorError, RuntimeError) as fault:
        raise ModelError(f"the weights in {folder.name} do not fit: {fault}; {again}") from None
    network = network.eval().to(memory_format=torch.channels_last)
    return Classifier(network, found, _preprocessing(card, folder), card)


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a model: what it is, how it was made, how good it was.

    Raises
    ------
    ModelError
        If there is none, or it lacks what using the model needs.
    """
    path = folder / CARD_FILE
    if not path.is_file():
        raise ModelError(f"no model in {folder.name} ({CARD_FILE} is missing): train it first")
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise ModelError(f"{folder.name}/{CARD_FILE} is damaged ({fault}): train again") from None
    needed = ("model", "labels", "preprocessing", "weights_sha256")
    missing = [key for key in needed if key not in card] if isinstance(card, dict) else needed
    if missing:
        raise ModelError(f"{CARD_FILE} in {folder.name} lacks {', '.join(missing)}: train again")
    return card


def _preprocessing(card: Mapping[str, Any], folder: Path) -> Preprocessing:
    try:
        fields = dict(card["preprocessing"])
        return Preprocessing(
            **fields | {"mean": tuple(fields["mean"]), "std": tuple(fields["std"])}
        )
    except (TypeError, KeyError, ValueError):
        raise ModelError(
            f"{CARD_FILE} in {folder.name}: preprocessing must hold size, mean, std and gray"
        ) from None
