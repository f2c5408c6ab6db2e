"""Networks: small ones for small faces, and EfficientNet-Lite in the parts that a recipe names."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from typing import Any

from torch import nn


def resnet18_small(n_classes: int) -> nn.Module:
    """Build ResNet18 for small faces on a CPU: half the channels, half the downsampling.

    The usual stem (7x7, stride 2, then pooling) leaves 2x2 of a face of 64 px for the last stage;
    this one (3x3, stride 2) leaves 4x4. Each stage has twice the channels of the one before it.
    """
    width = 32
    names = ("conv1", "bn1", "relu")
    layers = OrderedDict(zip(names, _convolution(3, width, stride=2), strict=True))
    for stage, (inputs, outputs) in enumerate(pairwise((1, 1, 2, 4, 8)), start=1):
        first = _block(width * inputs, width * outputs, stride=1 if stage == 1 else 2)
        layers[f"layer{stage}"] = nn.Sequential(first, _block(width * outputs, width * outputs))
    return _initialised(_with_head(layers, channels=8 * width, n_classes=n_classes))


def vgg_fer(n_classes: int) -> nn.Module:
    """Build a plain network for faces of 48 px: eight convolutions, pooled after every second.

    Half as wide as the VGG networks that did well on FER2013 (Khaireddin and Chen 2021), and with
    batch norm and a mean in place of their fully connected layers.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, (inputs, outputs) in enumerate(pairwise((3, 32, 64, 128, 256)), start=1):
        layers[f"layer{stage}"] = nn.Sequential(
            *_convolution(inputs, outputs), *_convolution(outputs, outputs), nn.MaxPool2d(2)
        )
    return _initialised(_with_head(layers, channels=256, n_classes=n_classes))


def efficientnet_lite0(n_classes: int) -> nn.Sequential:
    """Build EfficientNet-Lite0 as `lower`, `upper` and `fc`.

    `lower` ends after the fifth of seven stages, at 1/16 of the input's side: 7 x 7 at 112 px.
    """
    import timm  # here: importing it takes seconds, and few networks need it

    whole: Any = timm.create_model("tf_efficientnet_lite0", num_classes=n_classes)
    lower = nn.Sequential(whole.conv_stem, whole.bn1, *whole.blocks[:5])
    upper = nn.Sequential(*whole.blocks[5:], whole.conv_head, whole.bn2, whole.global_pool)
    return nn.Sequential(OrderedDict(lower=lower, upper=upper, fc=whole.classifier))


def tiny(n_classes: int) -> nn.Module:
    """Build four convolutions, for tests: seconds on a CPU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, (inputs, outputs) in enumerate(pairwise((3, 16, 32, 48, 64)), start=1):
        layers[f"layer{index}"] = nn.Sequential(*_convolution(inputs, outputs, stride=2))
    return _with_head(layers, channels=64, n_classes=n_classes)


def _block(inputs: int, outputs: int, *, stride: int = 1) -> nn.Module:
    from torchvision.models.resnet import BasicBlock  # slow to import

    if stride == 1 and inputs == outputs:
        return BasicBlock(inputs, outputs)
    shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)
    return BasicBlock(inputs, outputs, stride, nn.Sequential(shortcut, nn.BatchNorm2d(outputs)))


def _convolution(inputs: int, outputs: int, *, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]


def _with_head(
    layers: OrderedDict[str, nn.Module], *, channels: int, n_classes: int
) -> nn.Sequential:
    """Add the mean over the picture and the last layer."""
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    layers["fc"] = nn.Linear(channels, n_classes)
    return nn.Sequential(layers)


def _initialised(network: nn.Sequential) -> nn.Sequential:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # He et al. 2015, as in torchvision's ResNet
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
