"""Weights that the authors of DDAMFN released, read without running what their files say.

A checkpoint holds a state dict. The backbone is a pickle of a whole module, and to unpickle one is
to run its code; it is converted once, by a step of its own (`exe convert-backbone`).
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from exe_core.backbones.pretrained import WeightsError
from exe_core.ddamfn import mixed_feature_net
from exe_core.writing import replacing

_EXPECTED = ("torch.nn.modules.", "networks.")
"""Where the classes come from that the authors' pickled backbone names."""


class CheckpointError(ValueError):
    """A file is not what the authors of DDAMFN released."""


def read_checkpoint(path: Path) -> dict[str, torch.Tensor]:
    """Read the state dict of a checkpoint that the authors released.

    Raises
    ------
    CheckpointError
        If the file can't be read without running code, or holds no `model_state_dict`.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return dict(saved["model_state_dict"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError) as fault:
        raise CheckpointError(
            f"{path.name} is no checkpoint with a state dict under 'model_state_dict' "
            f"({_first_line(fault)}); a pickled backbone is for `exe convert-backbone`"
        ) from None


def convert_backbone(source: Path, target: Path) -> Path:
    """Take the weights out of the authors' pickled backbone, MFN_msceleb.pth.

    Every class that the pickle names is replaced by an empty one, and PyTorch's weights-only
    reader does the rest: tensors come out, and nothing of the file is run.

    Parameters
    ----------
    source
        A whole module, as `torch.save` writes it.
    target
        Gets the state dict of `exe_core.ddamfn.mixed_feature_net`, as safetensors.

    Raises
    ------
    CheckpointError
        If the file names anything but classes of networks, or its tensors do not fit.
    """
    try:
        names = get_unsafe_globals_in_checkpoint(source)
    except (ValueError, RuntimeError, pickle.UnpicklingError) as fault:
        raise CheckpointError(f"{source.name} was not written by torch.save: {fault}") from None
    if stray := [name for name in names if not name.startswith(_EXPECTED)]:
        raise CheckpointError(f"{source.name} names {', '.join(stray)}: no part of a network")
    backbone = mixed_feature_net()
    try:
        with safe_globals([(type("Inert", (), {}), name) for name in names]):
            module = torch.load(source, map_location="cpu", weights_only=True)
        # behind the blocks of the backbone stands what turned it into an embedding of persons
        blocks = list(vars(module)["_modules"].values())[: len(backbone)]
        tensors = {key: t for k, block in enumerate(blocks) for key, t in _tensors(block, str(k))}
        backbone.load_state_dict(tensors)
    except (pickle.UnpicklingError, RuntimeError, KeyError, TypeError) as fault:
        raise CheckpointError(
            f"{source.name} holds no MixedFeatureNet: {_first_line(fault)}"
        ) from None
    with replacing(target) as partial:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, partial)
    return target


def backbone_path() -> Path:
    """Say where `backbone_weights` looks: in the cache that PyTorch keeps fetched weights in."""
    return Path(torch.hub.get_dir()) / "checkpoints" / "mfn_msceleb.safetensors"


def backbone_weights() -> dict[str, torch.Tensor]:
    """Read the converted backbone as the weights that DDAMFN starts from.

    Raises
    ------
    WeightsError
        If it is not there, or damaged.
    """
    path = backbone_path()
    again = (
        "get MFN_msceleb.pth from the authors of DDAMFN and run `exe convert-backbone "
        "MFN_msceleb.pth`, or set `weights: none` to start at random"
    )
    if not path.is_file():
        raise WeightsError(f"the backbone of DDAMFN is not at {path}: {again}")
    try:
        return {f"features.{name}": tensor for name, tensor in load_file(path).items()}
    except SafetensorError as fault:
        raise WeightsError(f"{path} is damaged ({fault}): {again}") from None


def _tensors(module: object, name: str) -> Iterator[tuple[str, torch.Tensor]]:
    """List the tensors of a module that was read as an empty class."""
    parts = vars(module)
    for key, tensor in [*parts["_parameters"].items(), *parts["_buffers"].items()]:
        if tensor is not None:
            yield f"{name}.{key}", tensor.detach()
    for key, child in parts["_modules"].items():
        yield from _tensors(child, f"{name}.{key}")


def _first_line(fault: Exception) -> str:
    return (str(fault) or type(fault).__name__).splitlines()[0]
