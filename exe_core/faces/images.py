"""Read any image file upright and in colour, whole or only as large as it is needed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MIN_SIDE = 8
"""A smaller image (px) holds no face that could be told from another."""

MAX_PIXELS = 200_000_000
"""A larger image is refused by its header, before any of it is decoded."""

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM")
"""What is read. Pillow knows more, one of which (EPS) is a program that it would run."""

REDUCTIONS = (8, 4, 2)
"""How many times smaller a JPEG can be decoded, whose blocks are of 8 pixels a side."""

# Pillow warns beyond this, and refuses twice as much by itself.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class ImageError(ValueError):
    """A file can't be read as an image; the message is the reason."""


class Decoded(NamedTuple):
    """An image, decoded whole or smaller."""

    pixels: np.ndarray
    """uint8 RGB, shape (height, width, 3)."""
    size: tuple[int, int]
    """Width and height of the whole image, px, upright."""
    reduction: int
    """Pixels of the whole image to one of `pixels`, in a row."""


def read_image(path: Path) -> np.ndarray:
    """Read an image, upright and in colour, whatever the file.

    EXIF rotation is applied; gray is replicated; 16 bits are scaled to 8; transparent parts are
    laid on white.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (height, width, 3).

    Raises
    ------
    ImageError
        With the reason: missing, empty, not an image, damaged, too small, too large.
    """
    return read_reduced(path, least=math.inf).pixels


def read_reduced(path: Path, *, least: float) -> Decoded:
    """Read an image as `read_image` does, no larger than it is needed.

    Squares of 2, 4 or 8 pixels a side are averaged: those of a JPEG as it is decoded, which takes
    a fraction of the time and memory; those of other files after they were decoded whole.

    Parameters
    ----------
    path
        The file.
    least
        Pixels that the longer side must have; an image that has fewer is read whole.

    Raises
    ------
    ImageError
        As `read_image`.
    """
    try:
        with Image.open(path, formats=FORMATS) as opened:
            stored = opened.size
            _check_size(*stored)
            reduction = next((by for by in REDUCTIONS if max(stored) // by >= least), 1)
            if reduction > 1:
                opened.draft(None, (stored[0] // reduction, stored[1] // reduction))
            decoded = opened.size
            ImageOps.exif_transpose(opened, in_place=True)
            size = stored if opened.size == decoded else stored[::-1]
            left = reduction * max(decoded) // max(stored)
            image = _to_rgb(opened)
            pixels = np.asarray(image.reduce(left) if left > 1 else image)
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except UnidentifiedImageError:
        reason = "not an image" if Path(path).stat().st_size else "empty file"
        raise ImageError(reason) from None
    except Image.DecompressionBombError:
        raise ImageError(f"too large: over {MAX_PIXELS // 10**6} megapixels") from None
    except ImageError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError) as fault:
        raise ImageError(f"damaged: {fault}") from None
    return Decoded(pixels, size, reduction)


def _check_size(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"too small: {width} x {height} px, at least {MIN_SIDE} on each side")
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"too large: {width} x {height} px, at most {MAX_PIXELS // 10**6} megapixels"
        )


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        deep = np.asarray(image)
        return Image.fromarray((deep.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image if image.mode == "RGB" else image.convert("RGB")
