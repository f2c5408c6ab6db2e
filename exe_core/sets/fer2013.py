"""Read FER2013 in the forms that people hold it, and notice copies that were altered."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from exe_core.detection import ImageError, read_image
from exe_core.record import digest
from exe_core.sets.readers import DatasetError, image_table, label_of, visible

USAGES = {"Training": "train", "PublicTest": "public", "PrivateTest": "private"}
"""FER2013's own words for its parts -> split_given; the literature reports PrivateTest."""
PUBLISHED = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "public": (467, 56, 496, 895, 653, 415, 607),
    "private": (491, 55, 528, 879, 594, 416, 626),
}
"""Images of each part, by the labels of `exe_core.schema.EMOTIONS`: 28,709, 3,589 and 3,589."""
DIGESTS = {
    "fer2013.csv": "md5:f8428a1edbd21e88f42c73edd2a14f95",
    "icml_face_data.csv": "md5:b114b9e04e6949e5fe8b6a98b3892b1d",
}
"""Of the files as they were given out, by torchvision's reader of FER2013."""
FER_SIZE = 48
FLAT_HISTOGRAM = 0.05
"""Greatest distance of a picture's cumulative histogram from a straight line, in the median of a
sample, under which the set was equalised: .25 in the original FER2013, .02 after equalisation."""
LARGEST_UNPACKED, MOST_FILES = 2_000_000_000, 200_000
"""Bytes and files that an archive may hold; the original has 35,887 images of 48 x 48 pixels."""


def read_fer2013(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read FER2013: its CSV file, the folders train and test, or an archive of these.

    Parameters
    ----------
    source
        fer2013.csv or icml_face_data.csv, a folder with one of them or with
        `{train,test}/<emotion>/<Usage>_<number>.<suffix>`, or a tar archive of the latter.
    unpacked
        Where images go that are not files yet; done once for the same source.

    Returns
    -------
    pandas.DataFrame
        split_given is train, public or private.

    Warns
    -----
    UserWarning
        If the images are not the original ones: equalised, resized, in colour, renamed.
    """
    if source.is_dir():
        tables = [source / name for name in ("fer2013.csv", "icml_face_data.csv")]
        source = next((table for table in tables if table.is_file()), source)
    if source.is_file():
        write = _write_fer_csv if source.suffix == ".csv" else _extract
        try:
            source = _once(source, unpacked, write=write)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
            raise DatasetError(f"{source.name} is no table: {fault}") from None
    rows = _fer_rows(_fer_root(source))
    numbers = [name for name, *_ in rows]
    if len(set(numbers)) < len(numbers):  # in some copies each part counts for itself
        rows = [
            (f"{split}_{name}", path, label, person, split)
            for name, path, label, person, split in rows
        ]
    table = image_table(rows, source)
    _warn_if_altered(table)
    return table


def _fer_root(folder: Path) -> Path:
    for root in [folder, *(child for child in visible(folder) if child.is_dir())]:
        if (root / "train").is_dir():
            return root
    raise DatasetError(
        f"{folder.name} is no FER2013: it holds neither fer2013.csv nor icml_face_data.csv nor "
        "train/<emotion>/"
    )


def _fer_rows(root: Path) -> list[tuple]:
    rows = []
    for side in ("train", "test"):
        for folder in visible(root / side) if (root / side).is_dir() else []:
            label = label_of(folder.name, "names", f"{root.name}/{side}")
            for path in visible(folder):
                usage, _, number = path.stem.rpartition("_")
                if usage in USAGES and number.isdecimal():
                    rows.append((f"{int(number):06d}", path, label, None, USAGES[usage]))
                else:
                    rows.append((f"{label}_{path.stem}", path, label, None, side))
    return sorted(rows)


def _warn_if_altered(table: pd.DataFrame) -> None:
    sample = table.iloc[:: max(1, len(table) // 200)]
    sizes, flatness, colours = set(), [], 0
    for path in sample["path"]:
        try:
            pixels = read_image(path)
        except ImageError:
            continue  # told where faces are looked for
        sizes.add(pixels.shape[:2])
        colours += bool((pixels != pixels[..., :1]).any())
        shares = np.bincount(pixels[..., 0].ravel(), minlength=256).cumsum() / pixels[..., 0].size
        flatness.append(np.abs(shares - np.arange(1, 257) / 256).max())
    signs = []
    if sizes - {(FER_SIZE, FER_SIZE)}:
        signs.append(f"sizes other than {FER_SIZE} x {FER_SIZE}")
    if colours:
        signs.append("colours")
    if flatness and np.median(flatness) < FLAT_HISTOGRAM:
        signs.append("equalised histograms")
    if not set(table["split_given"]) <= set(USAGES.values()):
        signs.append("names other than <Usage>_<number>")
    if signs:
        warnings.warn(
            f"this copy of FER2013 is altered: {', '.join(signs)}. Numbers measured on it are not "
            "comparable with those on the original pixels",
            stacklevel=3,
        )


def _once(source: Path, folder: Path, *, write: Callable[[Path, Path], None]) -> Path:
    """Unpack a file into a folder, whole or not at all, and not again while it is the same."""
    marker, made_from = folder / ".made_from", digest(source)
    if marker.is_file() and marker.read_text() == made_from:
        return folder
    partial = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    write(source, partial)
    (partial / marker.name).write_text(made_from)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    return folder


def _extract(source: Path, folder: Path) -> None:
    n_listed, size = 0, 0
    try:
        with tarfile.open(source) as archive:
            for member in tqdm(archive, desc=f"unpack {source.name}", unit=" files"):
                if member.isdir():
                    continue
                packed = archive.extractfile(member) if member.isfile() else None
                path = (folder / member.name).resolve()
                if packed is None:
                    raise tarfile.ReadError(f"{member.name!r} is neither a file nor a folder")
                if not path.is_relative_to(folder.resolve()):
                    raise tarfile.ReadError(f"{member.name!r} would be written outside {folder}")
                n_listed, size = n_listed + 1, size + member.size
                if size > LARGEST_UNPACKED or n_listed > MOST_FILES:
                    most = f"{LARGEST_UNPACKED // 10**6} MB or {MOST_FILES} files"
                    raise tarfile.ReadError(f"it would be more than {most}")
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed, path.open("wb") as file:
                    shutil.copyfileobj(packed, file)
    except (tarfile.TarError, lzma.LZMAError, EOFError, OSError) as fault:
        raise DatasetError(f"{source.name} can't be unpacked: {fault}") from None
    n_files = sum(path.is_file() for path in folder.rglob("*"))
    if n_files != n_listed:
        raise DatasetError(f"{source.name} lists {n_listed} files, but {n_files} came out of it")


def _write_fer_csv(source: Path, folder: Path) -> None:
    names = {"emotion", "pixels", "Usage"}
    line = 0
    for part in pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=2000):
        part.columns = part.columns.str.strip()  # icml_face_data.csv writes " pixels"
        if not names <= set(part.columns):
            raise DatasetError(
                f"{source.name} has columns {', '.join(part.columns)}; "
                "it needs emotion, pixels, Usage"
            )
        for emotion, pixels, usage in zip(part.emotion, part.pixels, part.Usage, strict=True):
            where = f"{source.name}, image {line}"
            label, usage = label_of(emotion, "fer2013", where), usage.strip()
            if usage not in USAGES:
                raise DatasetError(f"{where}: Usage {usage!r} is none of {', '.join(USAGES)}")
            side = "train" if usage == "Training" else "test"
            path = folder / side / label / f"{usage}_{line}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(_fer_pixels(pixels, where)).save(path, compress_level=1)
            line += 1


def _fer_pixels(text: str, where: str) -> np.ndarray:
    try:
        levels = bytes(map(int, text.split()))
    except ValueError:
        levels = b""
    if len(levels) != FER_SIZE**2:
        raise DatasetError(
            f"{where}: pixels must be {FER_SIZE**2} numbers from 0 to 255; these begin with "
            f"{text[:20]!r}"
        )
    return np.frombuffer(levels, np.uint8).reshape(FER_SIZE, FER_SIZE)
