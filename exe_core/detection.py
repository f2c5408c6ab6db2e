"""Find the faces of images, and cut them out: the same way for photos and frames."""

from __future__ import annotations

import logging
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from exe_core import schema
from exe_core.config import ROOT
from exe_core.faces.blazeface import detector_model
from exe_core.faces.cropping import Face, crop, side
from exe_core.faces.images import Decoded, ImageError, read_image, read_reduced
from exe_core.faces.tiling import MIN_TILE, around, distinct, is_cut, is_same
from exe_core.faces.tiling import tiles as tiles_of
from exe_core.settings import Crop

__all__ = ["Face", "FaceFinder", "ImageError", "crop", "face_row", "find_faces", "read_image"]

log = logging.getLogger(__name__)

SEEN = 640
"""Longer side (px) of the smallest decode that faces are looked for in: five times what the
detector itself sees."""

SMALL = 0.15
"""A face of this share of the width is about the smallest that the detector finds by itself: an
image is decoded large enough for its crop."""

EYES = ("right_eye_x_px", "right_eye_y_px", "left_eye_x_px", "left_eye_y_px")
"""Further columns of a table of faces that a detector found: the person's own right and left."""

READERS = 2
"""Threads that decode ahead; so many images and one more are held in memory."""


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
            self._look(np.zeros((64, 64, 3), np.uint8))  # the first call logs, too
        self.retry_border = retry_border

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the detector."""
        with _quiet():
            self._detector.close()

    def find(self, image: np.ndarray, *, tiles: int = 0) -> list[Face]:
        """Find the faces of an image.

        Parameters
        ----------
        image
            uint8 RGB, shape (height, width, 3).
        tiles
            Levels of `exe_core.faces.tiling.tiles` that are looked at besides the whole image: each
            finds faces of half the size, and takes some four times as long as the one before.

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
        found = self._look(image)
        border = round(self.retry_border * max(image.shape[:2]))
        if not found and border:
            padded = np.pad(image, ((border, border), (border, border), (0, 0)))
            found = [face.moved(-border, -border) for face in self._look(padded)]
        if tiles:
            found += self._look_closer(image, found, levels=tiles)
        faces = [face.clipped(image.shape) for face in found]
        seen = [face for face in faces if face.width > 0 and face.height > 0]
        return sorted(seen, key=lambda face: (-face.area_share, -face.score, face.x, face.y))

    def _look(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        picture = self._as_image(image_format=self._format, data=np.ascontiguousarray(image))
        return [
            Face(
                box.origin_x,
                box.origin_y,
                box.width,
                box.height,
                min(float(found.categories[0].score), 1.0),
                eyes=(right.x * width, right.y * height, left.x * width, left.y * height),
            )
            for found in self._detector.detect(picture).detections
            for box, (right, left) in [(found.bounding_box, found.keypoints[:2])]
        ]

    def _look_closer(self, image: np.ndarray, known: list[Face], *, levels: int) -> list[Face]:
        """Find further faces in tiles, and keep those that a close-up shows, too.

        So many looks find what is none in leaves and lamps; in a close-up few of those remain.
        """
        seen = [
            face
            for tile in tiles_of(image.shape, levels=levels)
            for face in self._look_at(image, tile)
            if not is_cut(face, tile, image.shape)
        ]
        sure = [
            close
            for face in distinct(seen, known=known)
            for close in self._look_at(image, around(face, image.shape))
            if is_same(close, face)
        ]
        return distinct(sure, known=known)

    def _look_at(self, image: np.ndarray, tile: tuple[slice, slice]) -> list[Face]:
        return [face.moved(tile[1].start, tile[0].start) for face in self._look(image[tile])]


def find_faces(
    items: pd.DataFrame,
    *,
    finder: FaceFinder,
    crops: Path,
    settings: Crop,
    progress: bool = True,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find and cut out the faces of a table of images.

    Large JPEGs are decoded only as large as is needed: to find faces, and to cut them out no
    smaller than the crops are.

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
        How they are cut out, how closely one looks, and whether the faces beside the largest are
        kept.
    progress
        Show a bar.

    Returns
    -------
    images, faces
        As in `exe_core.schema`; an image without a face, or that can't be read, is a row of
        images and has none of faces. Faces have the further columns of `EYES`, px.
    """
    images, faces = [], []
    for_crop = settings.size / (SMALL * (1 + 2 * settings.margin))
    least = max(SEEN, MIN_TILE << settings.tiles, for_crop)
    rows = zip(items.itertuples(), _ahead(items["path"], least=least), strict=True)
    for item, reading in tqdm(rows, total=len(items), desc="faces", disable=not progress):
        row = {"item_id": item.item_id, "set_name": item.set_name, "path": item.path}
        try:
            stem = _stem(crops, item.set_name, item.item_id)
            decoded = reading.result()
            found = _find(finder, decoded, levels=settings.tiles)
            kept = found[:1] if settings.primary_only else found
            large = _large_enough(ROOT / item.path, decoded, kept, settings=settings)
        except ImageError as fault:
            images.append({**row, "status": "unreadable", "error": str(fault)})
            continue
        width, height = decoded.size
        size = {"height_px": height, "width_px": width, "n_faces": len(found)}
        images.append({**row, **size, "status": "ok" if found else "no face"})
        for k, face in enumerate(kept):
            path = stem.with_name(f"{stem.name}_{k}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            cut = crop(
                large.pixels,
                face if large.reduction == 1 else face.scaled(1 / large.reduction),
                size=settings.size,
                margin=settings.margin,
                square=settings.square,
                align=settings.align,
            )
            Image.fromarray(cut).save(path, compress_level=1)
            faces.append(face_row(item._asdict(), face, k=k, path=path))
    log.info("%d images, %d with a face", len(images), sum(r["status"] == "ok" for r in images))
    return _table(images, "images"), _table(faces, "faces", further=EYES)


def _stem(crops: Path, set_name: str, item_id: str) -> Path:
    """Say where the crops of an item go: never outside their folder, whatever its id is."""
    stem = crops / set_name / (item_id.partition(":")[2] or item_id)
    if not stem.resolve().is_relative_to(crops.resolve()):
        raise ImageError(f"the id {item_id!r} leads out of the folder of crops")
    return stem


def _ahead(paths: Iterable[str], *, least: float) -> Iterator[Future[Decoded]]:
    """Decode the next images while this one is looked at."""
    with ThreadPoolExecutor(READERS) as readers:
        waiting: deque[Future[Decoded]] = deque()
        for path in paths:
            waiting.append(readers.submit(read_reduced, ROOT / path, least=least))
            if len(waiting) > READERS:
                yield waiting.popleft()
        yield from waiting


def _find(finder: FaceFinder, decoded: Decoded, *, levels: int) -> list[Face]:
    """Find the faces of a decoded image, in pixels of the whole one."""
    if decoded.reduction == 1:
        return finder.find(decoded.pixels, tiles=levels)
    # The detector samples its picture linearly and so blurs what is averaged already; of twice
    # the size, it gives nearly the boxes that it gives of the whole image.
    larger = cv2.resize(decoded.pixels, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    found = finder.find(larger, tiles=levels)
    return [face.scaled(decoded.reduction / 2).clipped(decoded.size[::-1]) for face in found]


def _large_enough(path: Path, decoded: Decoded, faces: list[Face], *, settings: Crop) -> Decoded:
    """Decode an image again if its smallest face would be enlarged and need not be."""
    if decoded.reduction == 1 or not faces:
        return decoded
    smallest = min(side(face, margin=settings.margin) for face in faces)
    least = max(decoded.size) * settings.size / smallest
    return decoded if max(decoded.pixels.shape) >= least else read_reduced(path, least=least)


def face_row(item: Mapping[str, Any], face: Face, *, k: int, path: Path) -> dict[str, object]:
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
        **dict(zip(EYES, face.eyes, strict=True)),
    }


def _table(
    rows: list[dict[str, object]], name: str, *, further: Sequence[str] = ()
) -> pd.DataFrame:
    columns = [*schema.TABLES[name].columns, *further]
    return schema.check(pd.DataFrame(rows, columns=columns), name)


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
