"""What all readers of labelled images share, and the reader of plain folders.

Each reader gives a table with a row an image: name (unique in the set), path, label, person (or
None) and split_given (or None).
"""

from __future__ import annotations

import logging
import lzma
import shutil
import tarfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from PIL import Image
from scipy import stats
from tqdm import tqdm

from exe_core.faces import ImageError, read_image
from exe_core.record import digest
from exe_core.tables import EMOTIONS, SchemaError, canonical

IMAGE_COLUMNS = ["name", "path", "label", "person", "split_given"]


class DatasetError(ValueError):
    """A data set is not as its form asks."""


def read_folder(root: Path) -> pd.DataFrame:
    """Read a folder with labels.csv (file, emotion and, if known, person), or a folder an emotion.

    Raises
    ------
    DatasetError
        If there is neither, a column or an image is missing, or a label is unknown.
    """
    if (root / "labels.csv").is_file():
        listed = read_csv(root / "labels.csv", needs=["file", "emotion"])
        persons = listed["person"] if "person" in listed else [None] * len(listed)
        rows = [
            (file, root / file, label_of(emotion, "names", f"labels.csv: {file}"), person, None)
            for file, emotion, person in zip(
                listed["file"], listed["emotion"], persons, strict=True
            )
        ]
    else:
        rows = [
            (f"{folder.name}/{path.name}", path, label, None, None)
            for folder in visible(root)
            if folder.is_dir()
            for label in [label_of(folder.name, "names", f"folder {root.name}")]
            for path in visible(folder)
        ]
    return image_table(rows, root)


def read_texts(path: Path, **options: Any) -> pd.DataFrame:
    """Read a CSV table as texts, by `pandas.read_csv` with further options."""
    try:
        table = pd.read_csv(path, dtype=str, **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DatasetError(f"{path.name} is no table: {fault}") from None
    if not isinstance(table.index, pd.RangeIndex):  # the first columns became an index
        raise DatasetError(f"{path.name} is no table: its rows have more fields than its header")
    return table


def read_csv(path: Path, *, needs: list[str]) -> pd.DataFrame:
    """Read a table of texts that has the columns `needs`."""
    if not path.is_file():
        raise DatasetError(f"{path.name} is not in folder {path.parent.name}")
    table = read_texts(path)
    missing = [column for column in needs if column not in table]
    if missing:
        raise DatasetError(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    return table


def label_of(label: object, family: str, where: str) -> str:
    """Translate a label; `where` it stands goes into the error."""
    try:
        return canonical(label, family=family)
    except SchemaError as fault:
        raise DatasetError(f"{where}: {fault}") from None


def visible(folder: Path) -> list[Path]:
    """List what a folder holds, by name, hidden files left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def leading_out(paths: Iterable[Path], folder: Path) -> list[str]:
    """List the files that lie outside of a folder, by a link or by `..`: it may be somebody's."""
    within = folder.resolve()
    return [str(path) for path in paths if not path.resolve().is_relative_to(within)]


def image_table(rows: list[tuple], root: Path) -> pd.DataFrame:
    """Make a reader's table; every image must be there, in the folder of the set, and once."""
    table = pd.DataFrame(rows, columns=IMAGE_COLUMNS)
    if outside := leading_out(table.path, root):
        raise DatasetError(
            f"{root.name}: {len(outside)} images lie outside of its folder, such as {outside[0]}: "
            "put the files there in place of links and .."
        )
    missing = [
        name for name, path in zip(table.name, table.path, strict=True) if not path.is_file()
    ]
    if missing:
        raise DatasetError(
            f"{root.name}: {len(missing)} of {len(table)} images are not there, such as "
            f"{', '.join(missing[:5])}"
        )
    twice = table.name[table.name.duplicated()]
    if len(twice):
        raise DatasetError(
            f"{root.name}: {len(twice)} images are listed twice, such as {twice.iloc[0]}"
        )
    return table


USAGES = {"Training": "train", "PublicTest": "public", "PrivateTest": "private"}
"""FER2013's own words for its parts -> split_given; the literature reports PrivateTest."""
FER2013_COUNTS = {
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


log = logging.getLogger(__name__)

OTHERS = {"contempt": "contempt", "unknown": "unknown", "NF": "no_face"}
"""FER+'s columns that are no emotion of this project -> their names here."""
VOTE_COLUMNS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", *OTHERS)
VOTES = [f"votes_{name}" for name in (*EMOTIONS, *OTHERS.values())]
LEAST_AGREEMENT = 0.4
"""Half-way between what a join by the right key gives, .64 of FER2013's labels, and chance, .18."""


def read_votes(path: Path) -> pd.DataFrame:
    """Read FER+: the published fer2013new.csv, or a table with the column image.

    Parameters
    ----------
    path
        Has the columns Usage, neutral, happiness, surprise, sadness, anger, disgust, fear,
        contempt, unknown and NF; and "Image name" as published, where line i belongs to line i of
        fer2013.csv and the name counts only some of the images, or image, that number itself.

    Returns
    -------
    pandas.DataFrame
        A row an image: line (from 0; NA unless published), image (the number in its name; NA if it
        has none), split_given (train, public, private), and `VOTES`.

    Raises
    ------
    DatasetError
        If a column is missing, or a row has another usage, no whole numbers, or no votes at all.
    """
    table = read_csv(path, needs=["Usage", *VOTE_COLUMNS])
    if not len(table):
        raise DatasetError(f"{path.name} has no rows")
    unknown = set(table["Usage"]) - set(USAGES)
    if unknown:
        raise DatasetError(f"{path.name}: Usage {unknown} must be of {', '.join(USAGES)}")
    counts = table[list(VOTE_COLUMNS)].apply(pd.to_numeric, errors="coerce")
    bad = ~((counts >= 0) & (counts % 1 == 0)).all(axis=1) | (counts.sum(axis=1) == 0)
    if bad.any():
        raise DatasetError(
            f"{path.name}, row {bad.idxmax()}: votes are whole numbers, one or more in all; it has "
            f"{', '.join(map(str, table.loc[bad.idxmax(), list(VOTE_COLUMNS)]))}"
        )
    names = {
        column: OTHERS.get(column) or label_of(column, "names", path.name)
        for column in VOTE_COLUMNS
    }
    votes = counts.astype(int).rename(columns={old: f"votes_{new}" for old, new in names.items()})
    line = pd.Series(pd.NA, index=table.index, dtype="Int64")
    if "image" in table:
        image = table["image"]
    else:
        line[:] = range(len(table))
        named = table.get("Image name", pd.Series(None, index=table.index, dtype=object))
        image = named.str.extract(r"(\d+)", expand=False)
    return votes[VOTES].assign(
        line=line,
        image=pd.to_numeric(image).astype("Int64"),
        split_given=table["Usage"].map(USAGES),
    )[["line", "image", "split_given", *VOTES]]


def join_votes(
    items: pd.DataFrame, votes: pd.DataFrame, *, by: Literal["line", "image"] | None = None
) -> pd.DataFrame:
    """Give each image of FER2013 its votes.

    Parameters
    ----------
    items
        item_id (ending in the image's number), label, and split_given, as
        `exe_core.datasets.items` gives them for FER2013.
    votes
        As `read_votes` gives them.
    by
        What the number in item_id is: the line of fer2013.csv, as this project numbers what it
        reads from that file, or FER+'s image number, by which some folder copies are named. If
        None, whichever agrees more.

    Returns
    -------
    pandas.DataFrame
        item_id, label and `VOTES` of the images that have votes, in the order of `items`.

    Raises
    ------
    DatasetError
        If nothing joins, or the majority of the votes is FER2013's label no more often than
        `LEAST_AGREEMENT`: then the numbers are of another count.
    """
    keys = [by] if by else [key for key in ("line", "image") if votes[key].notna().any()]
    joined = {key: _joined(items, votes, key) for key in keys}
    agreements = {key: voter_agreement(table) for key, table in joined.items() if len(table)}
    if not agreements:
        raise DatasetError(f"no image of {len(items)} has votes by the number in its item_id")
    key = max(agreements, key=lambda one: agreements[one])
    if not agreements[key] >= LEAST_AGREEMENT:  # nor where all votes are tied
        raise DatasetError(
            f"FER+ joined by {key} agrees with {agreements[key]:.2f} of the labels of FER2013, "
            f"where the right join agrees with .64 and chance with .18: the numbers of these "
            "images are not those of the votes. Folder copies number images in several ways; "
            "fer2013.csv joins fer2013new.csv line by line"
        )
    log.info(
        "FER+ joined by %s: %d of %d images have votes, %.3f of the labels agree",
        key,
        len(joined[key]),
        len(items),
        agreements[key],
    )
    return joined[key]


def _joined(items: pd.DataFrame, votes: pd.DataFrame, key: str) -> pd.DataFrame:
    number = items["item_id"].str.extract(r"(\d+)$", expand=False)
    numbered = items[["item_id", "label", "split_given"]].assign(number=number.astype("Int64"))
    known = votes.dropna(subset=key).rename(columns={key: "number"})
    table = numbered.dropna(subset="number").merge(
        known[["number", "split_given", *VOTES]], on=["number", "split_given"], validate="m:1"
    )
    return table[["item_id", "label", *VOTES]]


def voter_agreement(joined: pd.DataFrame) -> float:
    """Give the share of images whose most frequent vote is their label.

    Ties are left out; NaN if there is nothing else.
    """
    voted = majority(soft_labels(joined), labels=EMOTIONS)
    clear = pd.notna(voted)
    return float((voted == joined["label"].to_numpy())[clear].mean()) if clear.any() else np.nan


def soft_labels(
    votes: pd.DataFrame,
    *,
    labels: Sequence[str] = EMOTIONS,
    contempt: str = "drop",
    unknown: Literal["drop", "spread"] = "drop",
) -> np.ndarray:
    """Turn votes into probabilities of the labels.

    Parameters
    ----------
    votes
        Has the columns `VOTES`.
    labels
        The classes, in order; votes for other emotions are left out.
    contempt
        "drop" leaves its votes out; a label takes them.
    unknown
        "drop" leaves these votes out; "spread" divides them evenly among the labels.

    Returns
    -------
    numpy.ndarray
        float, shape (N, len(labels)); rows sum to 1, and are NaN where no vote is left or half of
        the annotators or more saw no face.

    Raises
    ------
    DatasetError
        If contempt is to go to something that is no label.
    """
    counts = votes[[f"votes_{label}" for label in labels]].to_numpy(float, copy=True)
    if contempt in labels:
        counts[:, list(labels).index(contempt)] += votes["votes_contempt"]
    elif contempt != "drop":
        raise DatasetError(f"contempt: {contempt!r} must be drop or of {', '.join(labels)}")
    if unknown == "spread":
        counts += votes["votes_unknown"].to_numpy(float)[:, None] / len(labels)
    total = counts.sum(axis=1, keepdims=True)
    no_face = (votes["votes_no_face"] * 2 >= votes[VOTES].sum(axis=1)).to_numpy()
    defined = (total > 0) & ~no_face[:, None]
    return np.divide(counts, total, out=np.full_like(counts, np.nan), where=defined)


def majority(soft: np.ndarray, *, labels: Sequence[str] = EMOTIONS) -> np.ndarray:
    """Name the most probable label of each row; None if it is undefined or tied.

    >>> majority(np.array([[0.7, 0.3], [0.5, 0.5]]), labels=["happy", "sad"]).tolist()
    ['happy', None]
    """
    most = np.nan_to_num(soft, nan=-1.0).max(axis=1, keepdims=True)
    winners = np.isclose(soft, most)
    named = np.array(labels, dtype=object)[winners.argmax(axis=1)]
    named[winners.sum(axis=1) != 1] = None
    return named


def vote_entropy(soft: np.ndarray) -> np.ndarray:
    """Compute how divided the annotators were: entropy of each row, bits; NaN where undefined."""
    return stats.entropy(soft, base=2, axis=1)


RAFDB_COUNTS = {
    "train": {
        "angry": 705,
        "disgust": 717,
        "fear": 281,
        "happy": 4772,
        "sad": 1982,
        "surprise": 1290,
        "neutral": 2524,
    },
    "test": {
        "angry": 162,
        "disgust": 160,
        "fear": 74,
        "happy": 1185,
        "sad": 478,
        "surprise": 329,
        "neutral": 680,
    },
}
"""Images of the basic set: 12,271 to train and 3,068 to test."""
LISTS = ("list_patition_label.txt", "list_partition_label.txt")
"""The first is spelled so by its authors; some copies mend it."""


def read_rafdb(source: Path, *, published: bool = False) -> pd.DataFrame:
    """Read RAF-DB basic.

    Parameters
    ----------
    source
        A folder as its authors give it (EmoLabel/list_patition_label.txt with Image/aligned), or
        with DATASET/{train,test}/{1..7} and train_labels.csv, test_labels.csv; or, in a folder of
        either form or one below it, a list of test images under a challenging condition (occluded,
        turned by 30 or 45 degrees: Wang et al. 2020, doi:10.1109/TIP.2019.2956143). Of such a list
        only the names count: its labels are numbered in an order of its own.
    published
        Refuse other numbers of images a side and label than the `PUBLISHED` ones.

    Returns
    -------
    pandas.DataFrame
        As every reader of `exe_core.readers`; split_given is train or test.

    Raises
    ------
    DatasetError
        If it is none of these, a label is not 1 to 7, an image is missing, not listed, listed
        twice or in two classes, or the numbers are not the published ones.
    """
    if source.is_file():
        return _challenge(source, published=published)
    listed = next((path for name in LISTS if (path := source / "EmoLabel" / name).is_file()), None)
    rows = _official_rows(source, listed) if listed else _folder_rows(source)
    table = image_table(rows, source)
    if published:
        _check_numbers(table)
    return table


def _official_rows(root: Path, listed: Path) -> list[tuple]:
    words = [line.split() for line in listed.read_text().splitlines() if line.strip()]
    bad = next((line for line in words if len(line) != 2), None)
    if bad:
        raise DatasetError(f"{listed.name}: a line is '<image> <label>', not {' '.join(bad)!r}")
    aligned = root / "Image" / "aligned"
    rows = [
        _row(aligned / f"{Path(image).stem}_aligned.jpg", label, where=listed.name)
        for image, label in words
    ]
    _check_listed(rows, visible(aligned) if aligned.is_dir() else [], listed.name, "Image/aligned")
    return rows


def _folder_rows(root: Path) -> list[tuple]:
    rows = []
    for side in ("train", "test"):
        listed = f"{side}_labels.csv"
        labels = read_csv(root / listed, needs=["image", "label"])
        folder = root / "DATASET" / side
        part = [
            _row(folder / label / image, label, where=listed)
            for image, label in zip(labels["image"], labels["label"], strict=True)
        ]
        there = [path for path in folder.glob("*/[!.]*") if path.is_file()]
        _check_listed(part, there, listed, f"DATASET/{side}")
        rows += part
    return rows


def _row(path: Path, label: str, *, where: str) -> tuple:
    name = path.stem.removesuffix("_aligned")
    side = name.partition("_")[0]
    if side not in ("train", "test"):
        raise DatasetError(f"{where}: {path.name} is called neither train_.. nor test_..")
    return name, path, label_of(label, "rafdb", where), None, side


def _check_listed(rows: list[tuple], there: list[Path], listed: str, folder: str) -> None:
    """Hold a list and the images that are there against each other; none may be lost or twice."""
    table = pd.DataFrame(rows, columns=IMAGE_COLUMNS)
    for name, labels in table.groupby("name")["label"]:
        if len(labels) > 1:
            raise DatasetError(f"{listed}: {name} is listed twice, as {' and as '.join(labels)}")
    times = Counter(path.name for path in there)
    twice = next((name for name, n in times.items() if n > 1), None)
    if twice:
        classes = sorted(path.parent.name for path in there if path.name == twice)
        raise DatasetError(f"{folder}: {twice} lies in the classes {' and '.join(classes)}")
    unlisted = sorted(set(times) - {path.name for path in table["path"]})
    if unlisted:
        raise DatasetError(
            f"{listed} lists {len(table)} images, {folder} holds {len(there)}; not listed are "
            f"{', '.join(unlisted[:5])}"
        )


def _challenge(listed: Path, *, published: bool) -> pd.DataFrame:
    homes = [
        folder
        for folder in (listed.parent, listed.parent.parent)
        if (folder / "EmoLabel").is_dir() or (folder / "DATASET").is_dir()
    ]
    if not homes:
        raise DatasetError(
            f"{listed.name} lists images of RAF-DB, but no EmoLabel or DATASET lies beside it"
        )
    table = read_rafdb(homes[0], published=published)
    lines = [line.split() for line in listed.read_text().splitlines() if line.strip()]
    names = pd.Series([Path(line[0]).stem.removesuffix("_aligned") for line in lines], dtype=str)
    if names.duplicated().any():  # the published list of occluded images has one so
        log.warning("%s names %d images twice", listed.name, names.duplicated().sum())
    tests = table[table["split_given"] == "test"]
    unknown = sorted(set(names) - set(tests["name"]))
    if unknown or not len(names):
        raise DatasetError(
            f"{listed.name}: {len(unknown)} of {len(names)} lines name no test image of RAF-DB, "
            f"such as {', '.join(unknown[:5])}"
        )
    return tests[tests["name"].isin(names)].reset_index(drop=True)


def _check_numbers(table: pd.DataFrame) -> None:
    found = table.groupby(["split_given", "label"]).size()
    wrong = [
        f"{side} {label} {found.get((side, label), 0)} instead of {number}"
        for side, numbers in RAFDB_COUNTS.items()
        for label, number in numbers.items()
        if found.get((side, label), 0) != number
    ]
    if wrong:
        totals = {side: sum(numbers.values()) for side, numbers in RAFDB_COUNTS.items()}
        raise DatasetError(
            f"this is not RAF-DB as published, {totals['train']:,} images to train and "
            f"{totals['test']:,} to test: {'; '.join(wrong[:3])}"
            f"{' and more' if len(wrong) > 3 else ''}. If that is meant, say `counts: any` in the "
            "study's set"
        )
