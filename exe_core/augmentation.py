"""Random augmentation of training faces, drawn for each face, computed for a whole batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch.nn.functional import affine_grid, grid_sample


@dataclass(frozen=True)
class Augmentation:
    """How far a face may be changed; each change is drawn uniformly up to its limit."""

    flip: float = 0.0  # probability of a mirror image
    rotation_deg: float = 0.0  # to either side
    shift: float = 0.0  # to either side, as a share of the image
    zoom: float = 0.0  # larger or smaller, as a share
    moved: float = 1.0  # probability that a face is turned, shifted and zoomed at all
    border: Literal["reflection", "zeros"] = "reflection"  # what appears behind the image's edge
    jitter: float = 0.0  # of brightness, contrast and saturation, as a share
    erase: float = 0.0  # probability that a rectangle becomes mid-gray (Zhong et al. 2020)
    largest: float = 0.2  # of these rectangles, as a share of the image; the smallest take 1/50


PRESETS = {
    "none": Augmentation(),
    "light": Augmentation(flip=0.5, rotation_deg=10, jitter=0.2),
    "medium": Augmentation(flip=0.5, rotation_deg=15, shift=0.08, zoom=0.1, jitter=0.3),
    "heavy": Augmentation(flip=0.5, rotation_deg=20, shift=0.12, zoom=0.15, jitter=0.4, erase=0.25),
    # crops of 112 px out of faces padded by 8
    "ddamfn": Augmentation(
        flip=0.5, rotation_deg=5, shift=8 / 112, erase=0.5, largest=0.25, moved=0.5, border="zeros"
    ),
}
"""Name in a recipe -> augmentation; "light" and "ddamfn" are those of the published systems."""

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in PIL's conversion to gray


def augment(
    images: torch.Tensor, settings: Augmentation, *, generator: torch.Generator
) -> torch.Tensor:
    """Change each image of a batch at random.

    Images are (N, 3, H, W) in [0, 1] on any device, and left as they are; the generator is on the
    CPU, so that the draws are the same on every device.
    """
    if settings == PRESETS["none"]:
        return images
    moved = _move(images, settings, generator)
    coloured = _recolour(moved, settings.jitter, generator) if settings.jitter else moved
    return _erase(coloured, settings, generator) if settings.erase else coloured


def _uniform(images: torch.Tensor, limit: float, generator: torch.Generator) -> torch.Tensor:
    """Draw one number an image from [-limit, limit]."""
    draws = torch.rand(len(images), generator=generator) * 2 - 1
    return (limit * draws).to(images.device)


def _move(images: torch.Tensor, settings: Augmentation, generator: torch.Generator) -> torch.Tensor:
    angle = _uniform(images, math.radians(settings.rotation_deg), generator)
    scale = 1 + _uniform(images, settings.zoom, generator)
    across = _uniform(images, 2 * settings.shift, generator)  # the grid runs from -1 to 1
    down = _uniform(images, 2 * settings.shift, generator)
    if settings.moved < 1:
        still = (torch.rand(len(images), generator=generator) >= settings.moved).to(images.device)
        angle, across, down = (way.masked_fill(still, 0.0) for way in (angle, across, down))
        scale = scale.masked_fill(still, 1.0)
    kept = torch.rand(len(images), generator=generator) >= settings.flip
    mirror = torch.where(kept, 1.0, -1.0).to(images.device)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    rows = [mirror * cosine, -sine, across, mirror * sine, cosine, down]
    turned = torch.stack(rows, dim=1).view(-1, 2, 3)
    grid = affine_grid(turned, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode=settings.border, align_corners=False)


def _recolour(images: torch.Tensor, limit: float, generator: torch.Generator) -> torch.Tensor:
    """Change saturation, contrast and brightness, in this order."""
    saturation, contrast, brightness = (
        1 + _uniform(images, limit, generator).view(-1, 1, 1, 1) for _ in range(3)
    )
    luma = torch.einsum("nchw,c->nhw", images, images.new_tensor(_LUMA)).unsqueeze(1)
    mean = luma.mean(dim=(2, 3), keepdim=True)
    # One line of three blends: towards each pixel's gray, towards the image's, towards black.
    coloured = contrast * (saturation * images + (1 - saturation) * luma) + (1 - contrast) * mean
    return (brightness * coloured).clamp(0, 1)


def _erase(
    images: torch.Tensor, settings: Augmentation, generator: torch.Generator
) -> torch.Tensor:
    n, _, height, width = images.shape
    hit = torch.rand(n, generator=generator) < settings.erase
    area = 0.02 + (settings.largest - 0.02) * torch.rand(n, generator=generator)
    aspect = torch.exp(math.log(3) * (torch.rand(n, generator=generator) * 2 - 1))
    tall, wide = (area * aspect).sqrt(), (area / aspect).sqrt()
    top, left = torch.rand(2, n, generator=generator) * (1 - torch.stack([tall, wide]))
    y = ((torch.arange(height) + 0.5) / height).view(1, -1, 1)
    x = ((torch.arange(width) + 0.5) / width).view(1, 1, -1)
    inside = (y > top.view(-1, 1, 1)) & (y < (top + tall).view(-1, 1, 1))
    inside = inside & (x > left.view(-1, 1, 1)) & (x < (left + wide).view(-1, 1, 1))
    holes = (inside & hit.view(-1, 1, 1)).unsqueeze(1).to(images.device)
    return images.masked_fill(holes, 0.5)
