"""DDAMFN: a dual-direction attention mixed feature network for facial expressions.

Written anew from the published design (Zhang et al. 2023, Electronics 12(17), 3595); its parts are
named as in the authors' state dict, so that their released checkpoints load. The backbone,
MixedFeatureNet, is MobileFaceNet with depthwise kernels of several sizes. Each of two attention
heads weights the features along both directions of the image; a loss keeps the heads different.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, mse_loss, relu6

FEATURES = 512
SIDE = 7  # of the map of features of a face of 112 px

_KERNELS = (3, 5, 7, 9)  # px
_STAGES = (
    # inputs, outputs, channels for each of `_KERNELS` in the first block (which halves the side
    # of the map) and in each of the n others (which add to their input), n
    (64, 64, (64, 32, 32), (96, 32), 9),
    (64, 128, (128, 64, 64), (192, 64), 16),
    (128, 256, (256, 256, 256, 256), (172, 170, 170), 6),
)


class DDAMFN(nn.Module):
    """The whole network."""

    attention: tuple[torch.Tensor, torch.Tensor]
    """Of the last pass, one map (N, 512, 7, 7) in [0, 1] a head."""

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.features = mixed_feature_net()
        self.cat_head0 = nn.Sequential(OrderedDict(CoordAtt=_AttentionHead()))
        self.cat_head1 = nn.Sequential(OrderedDict(CoordAtt=_AttentionHead()))
        self.Linear = _convolution(FEATURES, FEATURES, SIDE, groups=FEATURES)
        self.fc = nn.Linear(FEATURES, n_classes)
        # Nothing passes through it, as in the published network; checkpoints hold its weights.
        self.bn = nn.BatchNorm1d(n_classes)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        """Compute the logits (N, C) of normalised faces (N, 3, 112, 112).

        Other sizes raise a `ValueError`: the classifier needs features of 7 x 7.
        """
        if faces.shape[1:] != (3, 16 * SIDE, 16 * SIDE):
            raise ValueError(f"DDAMFN takes faces (N, 3, 112, 112), not {tuple(faces.shape)}")
        features = self.features(faces)  # (N, 512, 7, 7)
        self.attention = (self.cat_head0(features), self.cat_head1(features))
        attended = features * torch.stack(self.attention).amax(dim=0)
        return self.fc(self.Linear(attended).flatten(1))

    def extra_loss(self) -> torch.Tensor:
        """Compute 1 / mean squared difference of the attention maps of the last pass."""
        return 1 / mse_loss(*self.attention)


def mixed_feature_net() -> nn.Sequential:
    """Build the backbone, faces (N, 3, 112, 112) -> features (N, 512, 7, 7)."""
    first = _STAGES[0][0]
    layers: list[nn.Module] = [
        _convolution(3, first, 3, stride=2, padding=1, prelu=True),
        _convolution(first, first, 3, padding=1, groups=first, prelu=True),
    ]
    for inputs, outputs, first_split, other_split, n in _STAGES:
        others = [_MixedBlock(outputs, outputs, other_split, stride=1) for _ in range(n)]
        layers += [
            _MixedBlock(inputs, outputs, first_split, stride=2),
            nn.Sequential(OrderedDict(model=nn.Sequential(*others))),
        ]
    layers.append(_convolution(_STAGES[-1][1], FEATURES, 1, prelu=True))
    return nn.Sequential(*layers)


def _convolution(
    inputs: int, outputs: int, kernel: int | tuple[int, int], *, prelu: bool = False, **options: int
) -> nn.Sequential:
    """Build a convolution with the `options` of PyTorch, its batch norm and maybe PReLU."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(inputs, outputs, kernel, bias=False, **options),  # type: ignore[arg-type]
        bn=nn.BatchNorm2d(outputs),
    )
    if prelu:
        layers["prelu"] = nn.PReLU(outputs)
    return nn.Sequential(layers)


class _MixedBlock(nn.Module):
    """Widen, convolve depthwise, weight by place, narrow; with stride 1 add to the input."""

    def __init__(self, inputs: int, outputs: int, split: tuple[int, ...], *, stride: int) -> None:
        super().__init__()
        self.conv = _convolution(inputs, sum(split), 1, prelu=True)
        self.conv_dw = _MixedDepthwise(split, stride=stride)
        self.CA = _CoordinateAttention(sum(split))
        self.project = _convolution(sum(split), outputs, 1)
        self.adds = stride == 1
        if self.adds:
            # At first such a block is the identity (Goyal et al. 2017, arXiv 1706.02677): without
            # the weights of MS-Celeb-1M, 31 random ones in a row hardly learn.
            nn.init.zeros_(self.project.get_parameter("bn.weight"))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.project(self.CA(self.conv_dw(self.conv(x))))
        return x + y if self.adds else y


class _MixedDepthwise(nn.Module):
    """Depthwise convolution, a part of the channels with each size of kernel."""

    def __init__(self, split: tuple[int, ...], *, stride: int) -> None:
        super().__init__()
        self.split = split
        self.mixed_depthwise_conv = nn.ModuleList(
            nn.Conv2d(n, n, side, stride, side // 2, groups=n, bias=False)
            for n, side in zip(split, _KERNELS, strict=False)
        )
        # Nothing passes through these two, as in the published network.
        self.bn = nn.BatchNorm2d(sum(split))
        self.prelu = nn.PReLU(sum(split))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        parts = zip(self.mixed_depthwise_conv, x.split(self.split, dim=1), strict=True)
        return torch.cat([convolve(part) for convolve, part in parts], dim=1)


class _CoordinateAttention(nn.Module):
    """Weight a map by a factor a row and one a column (Hou et al. 2021, arXiv 2103.02907).

    Operations and their order are the published ones to the bit: with weights that are not
    trained, 34 such blocks in a row make a difference of rounding as large as the answer.
    """

    def __init__(self, channels: int, **before: nn.Module) -> None:
        super().__init__()
        for name, layer in before.items():
            self.add_module(name, layer)
        inner = max(8, channels // 32)
        self.conv1 = nn.Conv2d(channels, inner, 1)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, channels, 1)
        self.conv3 = nn.Conv2d(inner, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        by_row, by_column = self.factors(
            adaptive_avg_pool2d(x, (None, 1)), adaptive_avg_pool2d(x, (1, None))
        )
        return x * by_column * by_row

    def factors(
        self, rows: torch.Tensor, columns: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Turn summaries of rows (N, C, H, 1) and columns (N, C, 1, W) into factors in [0, 1]."""
        # Both go through the same first layer, one after the other along one axis.
        mixed = self.bn1(self.conv1(torch.cat([rows, columns.mT], dim=2)))
        mixed = mixed * (relu6(mixed + 3) / 6)  # hard swish
        by_row, by_column = mixed.split([rows.shape[2], columns.shape[3]], dim=2)
        return self.conv2(by_row).sigmoid(), self.conv3(by_column.mT).sigmoid()


class _AttentionHead(_CoordinateAttention):
    """The factors alone, from rows and columns summed up by learnt weights instead of means."""

    Linear_h: nn.Module
    Linear_w: nn.Module

    def __init__(self) -> None:
        super().__init__(
            FEATURES,
            Linear_h=_convolution(FEATURES, FEATURES, (1, SIDE), groups=FEATURES),
            Linear_w=_convolution(FEATURES, FEATURES, (SIDE, 1), groups=FEATURES),
        )
        # Nothing passes through it, as in the published network.
        self.Linear = _convolution(FEATURES, FEATURES, SIDE, groups=FEATURES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        by_row, by_column = self.factors(self.Linear_h(x), self.Linear_w(x))
        return by_column * by_row
