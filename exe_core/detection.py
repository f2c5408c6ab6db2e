"""Read any image upright, find its faces, and cut them out: the same way for photos and frames."""

from __future__ import annotations

import logging
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from exe_core import schema
from exe_core.blazeface import detector_model
from exe_core.config import ROOT
from exe_core.settings import Crop

log = logging.getLogger(__name__)

MIN_SIDE = 8
"""A smaller image (px) holds no face that could be told from another."""
MOST_PIXELS = 200_000_000
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2  # Pillow refuses what has twice as many, undecoded


class ImageError(ValueError):
    """A file can't be read as an image; the message is the reason."""


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
    try:
        with Image.open(path) as opened:
            image = _to_rgb(ImageOps.exif_transpose(opened))
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except UnidentifiedImageError:
        reason = "not an image" if Path(path).stat().st_size else "empty file"
        raise ImageError(reason) from None
    except Image.DecompressionBombError:
        raise ImageError(f"too large: over {MOST_PIXELS // 10**6} megapixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as fault:
        raise ImageError(f"damaged: {fault}") from None
    if min(image.size) < MIN_SIDE:
        width, height = image.size
        raise ImageError(f"too small: {width} x {height} px, at least {MIN_SIDE} on each side")
    return np.asarray(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.int64)
        return Image.fromarray((deep.clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, "white")
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class Face:
    """A face's box in the pixels of the upright image, clipped to it."""

    x: int
    y: int
    width: int
    height: int
    score: float
    area_share: float = math.nan


class FaceFinder:
    """BlazeFace, short range, by MediaPipe Tasks: finds faces of about 16 % of the width or more.

    Parameters
    ----------
    min_score
        Detections below it (0..1) are left out.
    retry_border
        If above 0, an image without a face is tried once more with a black border of this many
        longer sides around it. The detector expects some surroundings and misses faces that fill
        the picture; off by default, as a second look also gives false finds a second chance.

    Raises
    ------
    DetectorError
        If the model file can't be had.
    """

    def __init__(self, *, min_score: float = 0.5, retry_border: float = 0.0) -> None:
        model = detector_model()
        with _quiet():
            # heavy, and needed here only
            import mediapipe
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.FaceDetectorOptions(
                base_options=BaseOptions(model_asset_path=str(model)),
                min_detection_confidence=min_score,
            )
            self._detector = vision.FaceDetector.create_from_options(options)
            self._as_image = mediapipe.Image
            self._format = mediapipe.ImageFormat.SRGB
            self._boxes(np.zeros((64, 64, 3), np.uint8))  # the first call logs, too
        self.retry_border = retry_border

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the detector."""
        with _quiet():
            self._detector.close()

    def find(self, image: np.ndarray) -> list[Face]:
        """Find the faces of an image.

        Parameters
        ----------
        image
            uint8 RGB, shape (height, width, 3).

        Returns
        -------
        list of Face
            Largest first.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                f"an image must be uint8 of shape (height, width, 3), not {image.dtype} of shape "
                f"{image.shape}; read_image gives such"
            )
        boxes = self._boxes(image)
        border = round(self.retry_border * max(image.shape[:2]))
        if not boxes and border:
            padded = np.pad(image, ((border, border), (border, border), (0, 0)))
            boxes = [(x - border, y - border, *rest) for x, y, *rest in self._boxes(padded)]
        faces = [_clip(box, image.shape[:2]) for box in boxes]
        found = [face for face in faces if face.width > 0 and face.height > 0]
        return sorted(found, key=lambda face: (-face.area_share, -face.score, face.x, face.y))

    def _boxes(self, image: np.ndarray) -> list[tuple[int, int, int, int, float]]:
        picture = self._as_image(image_format=self._format, data=np.ascontiguousarray(image))
        return [
            (box.origin_x, box.origin_y, box.width, box.height, found.categories[0].score)
            for found in self._detector.detect(picture).detections
            for box in [found.bounding_box]
        ]


def _clip(box: tuple[int, int, int, int, float], shape: tuple[int, int]) -> Face:
    x, y, width, height, score = box
    left, right = np.clip([x, x + width], 0, shape[1]).tolist()
    top, bottom = np.clip([y, y + height], 0, shape[0]).tolist()
    share = (right - left) * (bottom - top) / (shape[0] * shape[1])
    return Face(left, top, right - left, bottom - top, min(float(score), 1.0), share)


def crop(image: np.ndarray, face: Face, *, size: int, margin: float) -> np.ndarray:
    """Cut a face out as a square.

    Parameters
    ----------
    image
        uint8 RGB, shape (height, width, 3).
    face
        The square is centred on its box.
    size
        Side of the result, px.
    margin
        Added on each side of the longer side of the box, in such sides. Where the square passes
        the image's border, the border's pixels are repeated.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (size, size, 3).
    """
    height, width = image.shape[:2]
    side = max(1, round(max(face.width, face.height) * (1 + 2 * margin)))
    left = round(face.x + (face.width - side) / 2)
    top = round(face.y + (face.height - side) / 2)
    rows = np.clip(np.arange(top, top + side), 0, height - 1)
    columns = np.clip(np.arange(left, left + side), 0, width - 1)
    square = Image.fromarray(image[np.ix_(rows, columns)])
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


def find_faces(
    items: pd.DataFrame,
    *,
    finder: FaceFinder,
    crops: Path,
    settings: Crop,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find and cut out the faces of a table of images.

    Parameters
    ----------
    items
        item_id, set_name, path (relative to the project's root, or absolute), label, group_id,
        and split_given if a split is given.
    finder
        What finds them.
    crops
        Crops are saved below it as `<set_name>/<name of the item>_<k>.png`.
    settings
        Their size and margin, and whether the faces beside the largest are kept.
    progress
        Show a bar.

    Returns
    -------
    images, faces
        As in `exe_core.schema`; an image without a face, or that can't be read, is a row of
        images and has none of faces.
    """
    images, faces = [], []
    for item in tqdm(items.itertuples(), total=len(items), desc="faces", disable=not progress):
        row = {"item_id": item.item_id, "set_name": item.set_name, "path": item.path}
        try:
            image = read_image(ROOT / item.path)
        except ImageError as fault:
            images.append({**row, "status": "unreadable", "error": str(fault)})
            continue
        found = finder.find(image)
        size = {"height_px": image.shape[0], "width_px": image.shape[1], "n_faces": len(found)}
        images.append({**row, **size, "status": "ok" if found else "no face"})
        for k, face in enumerate(found[:1] if settings.primary_only else found):
            name = item.item_id.partition(":")[2] or item.item_id
            path = crops / item.set_name / f"{name}_{k}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cut = crop(image, face, size=settings.size, margin=settings.margin)
            Image.fromarray(cut).save(path, compress_level=1)
            faces.append(face_row(item._asdict(), face, k=k, path=path))
    log.info("%d images, %d with a face", len(images), sum(r["status"] == "ok" for r in images))
    return _table(images, "images"), _table(faces, "faces")


def face_row(item: Mapping[str, object], face: Face, *, k: int, path: Path) -> dict[str, object]:
    """Make the row of the table `faces` for the k-th largest face of an item.

    Parameters
    ----------
    item
        item_id, set_name, label, group_id, and split_given if a split is given.
    face
        Its box.
    k
        0 is the primary face.
    path
        Where its crop lies.
    """
    return {
        "face_id": f"{item['set_name']}/{item['item_id']}/{k}",
        **{name: item[name] for name in ("item_id", "set_name", "label", "group_id")},
        "split_given": item.get("split_given"),
        "score": face.score,
        "x_px": face.x,
        "y_px": face.y,
        "width_px": face.width,
        "height_px": face.height,
        "area_share": face.area_share,
        "is_primary": k == 0,
        "path": os.path.relpath(path, ROOT),
    }


def _table(rows: list[dict[str, object]], name: str) -> pd.DataFrame:
    return schema.check(pd.DataFrame(rows, columns=list(schema.TABLES[name].columns)), name)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the lines that MediaPipe's C++ writes as it starts and ends off the screen."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
