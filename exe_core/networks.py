"""Networks for small faces, which torchvision's are not made for."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

from torch import nn
from torchvision.models.resnet import BasicBlock


def resnet18_small(n_classes: int, *, width: int = 32) -> nn.Module:
    """Build ResNet18 for small faces on a CPU: half the channels, half the shrinking.

    The usual stem (7x7, stride 2, then pooling) leaves 2x2 of a face of 64 px for the last
    stage; this one (3x3, stride 2) leaves 4x4.

    Parameters
    ----------
    n_classes
        Outputs.
    width
        Channels of the first stage; each later one has twice as many.
    """
    return _resnet18(n_classes, width=width, stride=2)


def resnet18_fer(n_classes: int, *, width: int = 32) -> nn.Module:
    """Build ResNet18 for faces of 48 px: no shrinking before the first stage, 6x6 in the last.

    As ResNets are built for CIFAR (He et al. 2015, section 4.2).

    Parameters
    ----------
    n_classes
        Outputs.
    width
        Channels of the first stage; each later one has twice as many. 64 is that of ResNet18.
    """
    return _resnet18(n_classes, width=width, stride=1)


def vgg_fer(n_classes: int) -> nn.Module:
    """Build a plain network for faces of 48 px: eight convolutions, halved after every second.

    Half as wide as the VGG networks that did well on FER2013 (Khaireddin and Chen 2021), and with
    batch norm and a mean in place of their fully connected layers.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for stage, (inputs, outputs) in enumerate(pairwise((3, 32, 64, 128, 256)), start=1):
        layers[f"layer{stage}"] = nn.Sequential(
            *_convolution(inputs, outputs), *_convolution(outputs, outputs), nn.MaxPool2d(2)
        )
    return _finished(layers, channels=256, n_classes=n_classes)


def tiny(n_classes: int) -> nn.Module:
    """Build four convolutions, for tests: seconds on a CPU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for index, (inputs, outputs) in enumerate(pairwise((3, 16, 32, 48, 64)), start=1):
        layers[f"layer{index}"] = nn.Sequential(*_convolution(inputs, outputs, stride=2))
    return _headed(layers, channels=64, n_classes=n_classes)


def _resnet18(n_classes: int, *, width: int, stride: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv1=nn.Conv2d(3, width, 3, stride=stride, padding=1, bias=False),
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
    return _finished(layers, channels=inputs, n_classes=n_classes)


def _block(inputs: int, outputs: int, *, stride: int = 1) -> BasicBlock:
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


def _headed(layers: OrderedDict[str, nn.Module], *, channels: int, n_classes: int) -> nn.Sequential:
    """Add the mean over the picture and the last layer."""
    layers |= {"avgpool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    layers["fc"] = nn.Linear(channels, n_classes)
    return nn.Sequential(layers)


def _finished(
    layers: OrderedDict[str, nn.Module], *, channels: int, n_classes: int
) -> nn.Sequential:
    network = _headed(layers, channels=channels, n_classes=n_classes)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):  # He et al. 2015, as in torchvision's ResNet
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
