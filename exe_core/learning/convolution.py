"""Convolutions of small maps, learned faster on a CPU: the gradient of the weights as one product.

The last stages of a ResNet have many weights and few pixels. There oneDNN takes longer for the
gradient of the weights than for all else: 26 ms for 512 x 512 channels on 2 x 2 pixels of 32 faces
(one core, bf16), where one product of matrices takes 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import pad
from torch.overrides import TorchFunctionMode

_PIXELS_A_CHANNEL = 4
"""The product is faster up to about this many pixels of a batch for each channel made of them."""


class ByProduct(TorchFunctionMode):
    """Within this context, convolutions of small maps are learned by a product of matrices."""

    def __torch_function__(
        self,
        function: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Take the place of those `torch.conv2d` that are faster so; leave all else alone."""
        if function is not torch.conv2d or kwargs or len(args) != 7:
            return function(*args, **(kwargs or {}))
        maps, weight, bias, stride, padding, dilation, groups = args
        plain = bias is None and not isinstance(padding, str) and tuple(dilation) == (1, 1)
        if not (plain and groups == 1 and weight.requires_grad and _is_small(maps, weight, stride)):
            return function(*args)
        if torch.is_autocast_enabled("cpu"):
            half = torch.get_autocast_dtype("cpu")
            maps, weight = maps.to(half), weight.to(half)
        return _Convolution.apply(maps, weight, stride, padding)


def _is_small(maps: torch.Tensor, weight: torch.Tensor, stride: Sequence[int]) -> bool:
    pixels = maps.shape[0] * maps.shape[2] * maps.shape[3] / (stride[0] * stride[1])
    return maps.device.type == "cpu" and pixels <= _PIXELS_A_CHANNEL * weight.shape[0]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        maps: torch.Tensor,
        weight: torch.Tensor,
        stride: Sequence[int],
        padding: Sequence[int],
    ) -> torch.Tensor:
        ctx.save_for_backward(maps, weight)
        ctx.stride, ctx.padding = stride, padding
        return torch.conv2d(maps, weight, None, stride, padding)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        maps, weight = ctx.saved_tensors
        (above,) = gradients
        wanted = [ctx.needs_input_grad[0], False, False]
        below, *_ = torch.ops.aten.convolution_backward(
            above, maps, weight, None, ctx.stride, ctx.padding, [1, 1], False, [0, 0], 1, wanted
        )
        return below, _weight_gradient(above, maps, weight, ctx.stride, ctx.padding), None, None


def _weight_gradient(
    above: torch.Tensor,
    maps: torch.Tensor,
    weight: torch.Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
) -> torch.Tensor:
    """Multiply what came in at each place of the kernel, (N H W, K K C), by what came back."""
    outputs, inputs, tall, wide = weight.shape
    bordered = pad(maps, (padding[1], padding[1], padding[0], padding[0])).permute(0, 2, 3, 1)
    patches = bordered.unfold(1, tall, stride[0]).unfold(2, wide, stride[1])  # N, H, W, C, K, K
    columns = patches.permute(0, 1, 2, 4, 5, 3).reshape(-1, tall * wide * inputs)
    found = above.permute(0, 2, 3, 1).reshape(-1, outputs).t() @ columns
    return found.view(outputs, tall, wide, inputs).permute(0, 3, 1, 2)
