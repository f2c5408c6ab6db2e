"""Readers of labelled images: each takes a path and gives one table with a row an image.

The columns are name (unique in the set), path, label (None if it has none, or several), person
(None if unknown), split_given (the part of the set: train, val, test; public or private of FER2013;
None if there are no parts), and `ATTRIBUTES`, null where a set does not know them.
"""

from __future__ import annotations

import logging
import lzma
import re
import shutil
import tarfile
import warnings
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from exe_core.faces import ImageError, read_image
from exe_core.labels import ALIASES, EMOTIONS, SchemaError, canonical
from exe_core.record import digest, paths_outside

log = logging.getLogger(__name__)

IMAGE_COLUMNS = ["name", "path", "label", "person", "split_given"]
IMFDB_VALUES = {
    "sex": ("male", "female"),
    "age": ("child", "young", "middle", "old"),
    "pose": ("frontal", "left", "right", "up", "down"),
    "light": ("bad", "medium", "high"),
    "occlusion": ("none", "glasses", "beard", "ornaments", "hair", "hand", "others"),
    "makeup": ("partial", "over"),
}
"""What IMFDB says of a face, in its words."""
ATTRIBUTES = ["film", "clip", "frame", "source", "keyword", "year", *IMFDB_VALUES, "no_label"]
"""film; the clip of it and the number of the frame there; the collection that a photo is from; the
keyword that found it; year of the film; `IMFDB_VALUES`; and why an image has no label."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class DatasetError(ValueError):
    """A data set does not have the form that its reader expects."""


def image_table(rows: list, root: Path) -> pd.DataFrame:
    """Make a reader's table of tuples of `IMAGE_COLUMNS`, or of dicts that may have `ATTRIBUTES`.

    Raises
    ------
    DatasetError
        If an image is missing, stands twice, or lies outside of the folder of the set.
    """
    named = [
        dict(zip(IMAGE_COLUMNS, row, strict=True)) if isinstance(row, tuple) else row
        for row in rows
    ]
    table = pd.DataFrame(named, columns=[*IMAGE_COLUMNS, *ATTRIBUTES], dtype=object)
    if outside := paths_outside(table["path"], root):
        raise DatasetError(
            f"{root.name}: {len(outside)} images lie outside of its folder, such as {outside[0]}: "
            "put the files there in place of links and .."
        )
    missing = table["name"][[not path.is_file() for path in table["path"]]]
    if len(missing):
        raise DatasetError(
            f"{root.name}: {len(missing)} of {len(table)} images are not there, such as "
            f"{', '.join(missing[:5])}"
        )
    twice = table["name"][table["name"].duplicated()]
    if len(twice):
        raise DatasetError(
            f"{root.name}: {len(twice)} images are listed twice, such as {twice.iloc[0]}"
        )
    return table


def read_csv(path: Path, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file as texts; only an empty field is missing ("NA" may be a person).

    Raises
    ------
    DatasetError
        If the file is missing, is no table, or lacks one of the columns `needs`.
    """
    if not path.is_file():
        raise DatasetError(f"{path.name} is not in folder {path.parent.name}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DatasetError(f"{path.name} is no table: {fault}") from None
    if not isinstance(table.index, pd.RangeIndex):  # the first columns became an index
        raise DatasetError(f"{path.name} is no table: its rows have more fields than its header")
    missing = [column for column in needs if column not in table]
    if missing:
        raise DatasetError(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    return table


def label_of(label: object, family: str, where: str) -> str:
    """Translate a label of a family of data sets (`exe_core.labels.canonical`).

    `where` it stands begins the message of the error.
    """
    try:
        return canonical(label, family=family)
    except SchemaError as fault:
        raise DatasetError(f"{where}: {fault}") from None


def _visible(folder: Path) -> list[Path]:
    """List what a folder holds, by name; hidden files are left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def read_folder(root: Path) -> pd.DataFrame:
    """Read a folder with labels.csv (file, emotion and, if known, person), or a folder an emotion.

    Raises
    ------
    DatasetError
        If there is neither, a column or an image is missing, or a label is unknown.
    """
    if (root / "labels.csv").is_file():
        listed = read_csv(root / "labels.csv", needs=["file", "emotion"])
        listed = listed.reindex(columns=["file", "emotion", "person"]).astype(object)
        rows = [
            (file, root / file, label_of(emotion, "names", f"labels.csv: {file}"), person, None)
            for file, emotion, person in listed.itertuples(index=False)
        ]
    else:
        rows = [
            (f"{folder.name}/{path.name}", path, label, None, None)
            for folder in _visible(root)
            if folder.is_dir()
            for label in [label_of(folder.name, "names", f"folder {root.name}")]
            for path in _visible(folder)
        ]
    return image_table(rows, root)


USAGES = {"Training": "train", "PublicTest": "public", "PrivateTest": "private"}
"""Parts of FER2013 as its files name them -> split_given; the literature reports PrivateTest."""
FER2013_COUNTS = {
    "train": (3995, 436, 4097, 7215, 4830, 3171, 4965),
    "public": (467, 56, 496, 895, 653, 415, 607),
    "private": (491, 55, 528, 879, 594, 416, 626),
}
"""Images of each part, by the labels of `exe_core.labels.EMOTIONS`: 28,709, 3,589 and 3,589."""
FER_FILES = ("fer2013.csv", "icml_face_data.csv")
FER_FOLDERS = {"train": "train", "test": "test", "validation": "val", "val": "val"}
"""Folders of a copy of FER2013 -> split_given of images whose names do not give the part."""
FER_SIDE = 48  # px
FLAT_HISTOGRAM = 0.05
"""A copy was equalised if the cumulative histograms of its images have a smaller median distance
from a straight line: .25 in the original FER2013, .02 after equalisation."""
LARGEST_UNPACKED, MOST_FILES = 2_000_000_000, 200_000
"""Bytes and files that an archive may hold; the original has 35,887 images of 48 x 48 pixels."""


def read_fer2013(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read FER2013: its CSV file, a tree of images, or a folder or tar archive that holds either.

    Parameters
    ----------
    source
        fer2013.csv or icml_face_data.csv; a tree `{train,test,validation}/<emotion>/<image>`, the
        image named `<Usage>_<number>.<suffix>`; or a folder or archive with one of these in it or
        in one of its folders.
    unpacked
        Folder for images that are not files yet; written once for the same source.

    Returns
    -------
    pandas.DataFrame
        split_given is train, public or private; train, val or test of renamed images.

    Warns
    -----
    UserWarning
        If the images are not the original ones: equalised, resized, in colour, renamed.
    """
    if source.is_file() and source.suffix != ".csv":
        source = _unpack_once(source, unpacked, write=_extract)
        unpacked = unpacked.with_name(f"{unpacked.name}-images")
    if source.is_dir():
        source = _fer_root(source)
    if source.is_file():
        source = _unpack_once(source, unpacked, write=_write_fer_csv)
    rows: list[tuple] = []
    for side, split in FER_FOLDERS.items():
        for folder in _visible(source / side) if (source / side).is_dir() else []:
            label = label_of(folder.name, "names", f"{source.name}/{side}")
            for path in _visible(folder):
                usage, _, number = path.stem.rpartition("_")
                is_named = usage in USAGES and number.isdecimal()
                name = f"{int(number):06d}" if is_named else f"{label}_{path.stem}"
                rows.append((name, path, label, None, USAGES[usage] if is_named else split))
    if len({name for name, *_ in rows}) < len(rows):  # in some copies each part counts for itself
        rows = [(f"{split}_{name}", *rest, split) for name, *rest, split in rows]
    table = image_table(sorted(rows), source)
    _warn_if_altered(table)
    return table


def _fer_root(folder: Path) -> Path:
    """Find the CSV file, or the tree of images, in a folder or in one of its folders."""
    for root in [folder, *(child for child in _visible(folder) if child.is_dir())]:
        for name in FER_FILES:
            if (root / name).is_file():
                return root / name
        if (root / "train").is_dir():
            unread = [p.name for p in _visible(root) if p.is_dir() and p.name not in FER_FOLDERS]
            if unread:
                log.warning("%s: not read: %s", root.name, ", ".join(unread))
            return root
    raise DatasetError(
        f"{folder.name} is no FER2013: neither it nor one of its folders holds "
        f"{', '.join(FER_FILES)} or train/<emotion>/"
    )


def _warn_if_altered(table: pd.DataFrame) -> None:
    sizes, flatness, has_colour = set(), [], False
    for path in table["path"].iloc[:: max(1, len(table) // 200)]:
        try:
            pixels = read_image(path)
        except ImageError:
            continue  # becomes a row "unreadable" where faces are looked for
        sizes.add(pixels.shape[:2])
        has_colour |= bool((pixels != pixels[..., :1]).any())
        shares = np.bincount(pixels[..., 0].ravel(), minlength=256).cumsum() / pixels[..., 0].size
        flatness.append(np.abs(shares - np.arange(1, 257) / 256).max())
    signs = {
        f"sizes other than {FER_SIDE} x {FER_SIDE}": bool(sizes - {(FER_SIDE, FER_SIDE)}),
        "colours": has_colour,
        "equalised histograms": bool(flatness) and np.median(flatness) < FLAT_HISTOGRAM,
        "names other than <Usage>_<number>": not set(table["split_given"]) <= {*USAGES.values()},
    }
    if any(signs.values()):
        warnings.warn(
            f"this copy of FER2013 is altered: {', '.join(k for k, v in signs.items() if v)}. "
            "Numbers measured on it are not comparable with those on the original pixels",
            stacklevel=3,
        )


def _unpack_once(source: Path, folder: Path, *, write: Callable[[Path, Path], None]) -> Path:
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
    size = 0
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
                size = sum(member.file_size for member in members)
                if size > LARGEST_UNPACKED or len(members) > MOST_FILES:
                    most = f"{LARGEST_UNPACKED // 10**6} MB or {MOST_FILES} files"
                    raise zipfile.BadZipFile(f"it would be more than {most}")
                for member in tqdm(members, desc=f"unpack {source.name}", unit=" files"):
                    archive.extract(member, folder)  # drops what leads outside of the folder
            return
        with tarfile.open(source) as archive:
            listed = tqdm(archive, desc=f"unpack {source.name}", unit=" files")
            for place, member in enumerate(listed):
                if not (member.isfile() or member.isdir()):
                    raise tarfile.ReadError(f"{member.name!r} is neither a file nor a folder")
                size += member.size
                if size > LARGEST_UNPACKED or place > MOST_FILES:
                    most = f"{LARGEST_UNPACKED // 10**6} MB or {MOST_FILES} files"
                    raise tarfile.ReadError(f"it would be more than {most}")
                archive.extract(member, folder, filter="data")  # refuses places outside the folder
    except (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, EOFError, OSError) as fault:
        raise DatasetError(f"{source.name} can't be unpacked: {fault}") from None


def _write_fer_csv(source: Path, folder: Path) -> None:
    """Write the images of a CSV of FER2013 as a tree; they are named by their line, from 0."""
    line = 0
    try:
        for part in pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=2000):
            part.columns = part.columns.str.strip()  # icml_face_data.csv writes " pixels"
            if not {"emotion", "pixels", "Usage"} <= set(part.columns):
                raise DatasetError(
                    f"{source.name} has columns {', '.join(part.columns)}; it needs emotion, "
                    "pixels, Usage"
                )
            for emotion, pixels, usage in zip(part.emotion, part.pixels, part.Usage, strict=True):
                where = f"{source.name}, image {line}"
                label, usage = label_of(emotion, "fer2013", where), usage.strip()
                if usage not in USAGES:
                    raise DatasetError(f"{where}: Usage {usage!r} is none of {', '.join(USAGES)}")
                image = Image.fromarray(_fer_pixels(pixels, where))
                side = "train" if usage == "Training" else "test"
                path = folder / side / label / f"{usage}_{line}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                image.save(path, compress_level=1)
                line += 1
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DatasetError(f"{source.name} is no table: {fault}") from None


def _fer_pixels(text: str, where: str) -> np.ndarray:
    try:
        levels = bytes(map(int, text.split()))
    except ValueError:
        levels = b""
    if len(levels) != FER_SIDE**2:
        raise DatasetError(
            f"{where}: pixels must be {FER_SIDE**2} numbers from 0 to 255; these begin with "
            f"{text[:20]!r}"
        )
    return np.frombuffer(levels, np.uint8).reshape(FER_SIDE, FER_SIDE)


OTHER_VOTES = {"contempt": "contempt", "unknown": "unknown", "NF": "no_face"}
"""FER+'s columns that are no emotion of this project -> their names here."""
VOTE_COLUMNS = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"]
VOTES = [f"votes_{name}" for name in (*EMOTIONS, *OTHER_VOTES.values())]
MIN_AGREEMENT = 0.4
"""Half-way between the agreement of a join by the right number, .64 of the labels, and chance."""


def read_votes(path: Path) -> pd.DataFrame:
    """Read the annotators' votes of FER+.

    Barsoum et al. 2016, "Training deep networks for facial expression recognition with
    crowd-sourced label distribution", doi:10.1145/2993148.2993165.

    Parameters
    ----------
    path
        fer2013new.csv as published, where line i belongs to line i of fer2013.csv and the number in
        "Image name" counts only some of the images; or a table with the same columns of votes and
        Usage, and that number as the column image.

    Returns
    -------
    pandas.DataFrame
        A row an image: line (from 0; NA unless published), image (NA if it has no name),
        split_given (train, public, private), and `VOTES`.

    Raises
    ------
    DatasetError
        If a column is missing, or a row has another usage, no whole numbers, or no votes at all.
    """
    columns = [*VOTE_COLUMNS, *OTHER_VOTES]
    table = read_csv(path, needs=["Usage", *columns])
    if table.empty:
        raise DatasetError(f"{path.name} has no rows")
    unknown = set(table["Usage"]) - set(USAGES)
    if unknown:
        raise DatasetError(f"{path.name}: Usage {unknown} must be of {', '.join(USAGES)}")
    counts = table[columns].apply(pd.to_numeric, errors="coerce")
    bad = ~((counts >= 0) & (counts % 1 == 0)).all(axis=1) | (counts.sum(axis=1) == 0)
    if bad.any():
        raise DatasetError(
            f"{path.name}, row {bad.idxmax()}: votes are whole numbers, one or more in all; it has "
            f"{', '.join(map(str, table.loc[bad.idxmax(), columns]))}"
        )
    votes = counts.astype(int).rename(
        columns=lambda old: f"votes_{OTHER_VOTES.get(old) or canonical(old)}"
    )
    line = pd.Series(pd.NA, index=table.index, dtype="Int64")
    image = table.get("image")
    if image is None:
        line[:] = range(len(table))
        named = table.get("Image name", pd.Series(None, index=table.index, dtype=object))
        image = named.str.extract(r"(\d+)", expand=False)
    numbers = {"line": line, "image": pd.to_numeric(image).astype("Int64")}
    votes = votes.assign(**numbers, split_given=table["Usage"].map(USAGES))
    return votes[["line", "image", "split_given", *VOTES]]


def join_votes(items: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Join images of FER2013 with their votes.

    The number in item_id is the line of fer2013.csv, as this project numbers what it reads from
    that file, or FER+'s image number, by which some folder copies are named: the one counts by
    which more labels agree with the majority of the votes.

    Parameters
    ----------
    items
        item_id (ending in the image's number), label, and split_given.
    votes
        As `read_votes` gives them.

    Returns
    -------
    pandas.DataFrame
        item_id, label and `VOTES` of the images that have votes, in the order of `items`.

    Raises
    ------
    DatasetError
        If nothing joins, or fewer than `MIN_AGREEMENT` of the labels agree: then the numbers are of
        another count.
    """
    number = items["item_id"].str.extract(r"(\d+)$", expand=False).astype("Int64")
    numbered = items[["item_id", "label", "split_given"]].assign(number=number)
    joined = {}
    for key in ("line", "image"):
        known = votes.dropna(subset=key).rename(columns={key: "number"})
        table = numbered.dropna(subset="number").merge(
            known[["number", "split_given", *VOTES]], on=["number", "split_given"], validate="m:1"
        )
        if len(table):
            joined[key] = voter_agreement(table), table
    if not joined:
        raise DatasetError(f"no image of {len(items)} has votes by the number in its item_id")
    key = max(joined, key=lambda one: joined[one][0])
    agreement, table = joined[key]
    if not agreement >= MIN_AGREEMENT:  # nor where it is NaN, all votes being tied
        raise DatasetError(
            f"FER+ joined by {key} agrees with {agreement:.2f} of the labels of FER2013, "
            f"where the right join agrees with .64 and chance with .18: the numbers of these "
            "images are not those of the votes. Folder copies number images in several ways; "
            "fer2013.csv joins fer2013new.csv line by line"
        )
    how = "FER+ joined by %s: %d of %d images have votes, %.3f of the labels agree"
    log.info(how, key, len(table), len(items), agreement)
    return table[["item_id", "label", *VOTES]]


def voter_agreement(joined: pd.DataFrame) -> float:
    """Compute the share of images whose most frequent vote is their label; ties are left out."""
    voted = majority(soft_labels(joined), labels=EMOTIONS)
    clear = pd.notna(voted)
    return float((voted == joined["label"].to_numpy())[clear].mean()) if clear.any() else np.nan


def soft_labels(votes: pd.DataFrame, *, labels: Sequence[str] = EMOTIONS) -> np.ndarray:
    """Turn votes into probabilities of the labels; other votes are left out.

    Returns
    -------
    numpy.ndarray
        float, shape (N, len(labels)); rows sum to 1, and are NaN where no vote is left or half of
        the annotators or more saw no face.
    """
    counts = votes[[f"votes_{label}" for label in labels]].to_numpy(float)
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


RAFDB_COUNTS = {
    "train": (705, 717, 281, 4772, 1982, 1290, 2524),
    "test": (162, 160, 74, 1185, 478, 329, 680),
}
"""Images of RAF-DB basic, by the labels of `exe_core.labels.EMOTIONS`: 12,271 and 3,068."""
RAFDB_LISTS = ("list_patition_label.txt", "list_partition_label.txt")
"""The first is spelled so by its authors; some copies correct it."""


def read_rafdb(source: Path, *, published: bool = False) -> pd.DataFrame:
    """Read RAF-DB basic (Li et al. 2017, doi:10.1109/CVPR.2017.277).

    Parameters
    ----------
    source
        A folder as its authors give it (EmoLabel/list_patition_label.txt with Image/aligned), or
        with DATASET/{train,test}/{1..7} and train_labels.csv, test_labels.csv.
    published
        Refuse other numbers of images a part and label than `RAFDB_COUNTS`.

    Returns
    -------
    pandas.DataFrame
        split_given is train or test.

    Raises
    ------
    DatasetError
        If it is neither, a label is not 1 to 7, an image is missing or listed twice, or the numbers
        are not the published ones.
    """
    listed = next((p for name in RAFDB_LISTS if (p := source / "EmoLabel" / name).is_file()), None)
    if listed:
        lines = [line.split() for line in listed.read_text().splitlines() if line.strip()]
        if bad := [line for line in lines if len(line) != 2]:
            raise DatasetError(f"{listed.name}: not '<image> <label>': {' '.join(bad[0])!r}")
        aligned = source / "Image" / "aligned"
        named = [(aligned / f"{Path(name).stem}_aligned.jpg", label) for name, label in lines]
    else:
        named = []
        for part in ("train", "test"):
            table = read_csv(source / f"{part}_labels.csv", needs=["image", "label"])
            folder = source / "DATASET" / part
            pairs = zip(table["image"], table["label"], strict=True)
            named += [(folder / str(label) / str(image), label) for image, label in pairs]
    rows = []
    for path, label in named:
        name = path.stem.removesuffix("_aligned")
        part = name.partition("_")[0]
        if part not in ("train", "test"):
            raise DatasetError(f"{source.name}: {name} is called neither train_.. nor test_..")
        rows.append((name, path, label_of(label, "rafdb", f"{source.name}, {name}"), None, part))
    table = image_table(rows, source)
    counts = table.groupby(["split_given", "label"]).size()
    for part, numbers in RAFDB_COUNTS.items() if published else ():
        for label, number in zip(EMOTIONS, numbers, strict=True):
            if (here := counts.get((part, label), 0)) != number:
                raise DatasetError(
                    "this is not RAF-DB as published, 12,271 images to train and 3,068 to test: "
                    f"{part} {label} {here} instead of {number}. If that is meant, say "
                    "`counts: any` in the study's set"
                )
    return table


def read_imfdb(
    source: Path, *, unpacked: Path, persons: Sequence[str] = (), without: Sequence[str] = ()
) -> pd.DataFrame:
    """Read the Indian Movie Face Database, or a part of it (Setty et al. 2013).

    Parameters
    ----------
    source
        A folder or archive with `<actor>/<film>/images/<image>` at some depth, and beside `images`
        text files with a line a face: source, frame, image, box (left, top, width, height), title,
        date, actor, sex, expression, occlusion, light, age, pose and makeup. The words are
        recognised by what they say, as some files lack columns or order them otherwise.
    unpacked
        Folder for the files of an archive; written once for the same source.
    persons, without
        Actors that are read, if not all, and actors that are left out; named as their folders.

    Returns
    -------
    pandas.DataFrame
        A row an image file; person is the folder of the actor, film that of the film. An image
        whose lines name several expressions, or none, has no label; attributes on which its lines
        differ are null.

    Raises
    ------
    DatasetError
        If there is no such image, or none of `persons`.
    """
    if source.is_file():
        source = _unpack_once(source, unpacked, write=_extract)
    films: dict[Path, dict[str, Path]] = defaultdict(dict)
    others: Counter[str] = Counter()
    for path in _images_below(source, others, leave=(".txt",)):
        folder = path.parents[1] if path.parent.name.lower() == "images" else path.parent
        if len(folder.relative_to(source).parts) < 2:
            others["images outside of <actor>/<film>"] += 1
        else:
            films[folder][path.name.lower()] = path
    known = {folder.parent.name for folder in films}
    if absent := sorted({*persons, *without} - known):
        log.warning("%s: no actors %s", source.name, ", ".join(absent))
    chosen = (set(persons) or known) & known - set(without)
    rows: list[dict] = []
    for folder, images in sorted(films.items()):
        if folder.parent.name in chosen:
            faces = _imfdb_faces(folder, images, others)
            rows += [
                {
                    "name": f"{folder.parent.name}/{folder.name}/{path.name}",
                    "path": path,
                    "person": folder.parent.name,
                    "film": folder.name,
                    **faces.get(name, {"no_label": "no line names it"}),
                }
                for name, path in images.items()
            ]
    if not rows:
        raise DatasetError(f"{source.name} has no <actor>/<film>/images/<image> of these actors")
    table = image_table(rows, source)
    _log_losses(source.name, table, others)
    return table


def _images_below(root: Path, others: Counter[str], leave: Sequence[str] = ()) -> list[Path]:
    """List the images in all folders below `root`; count what else there is, but for `leave`."""
    images = []
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts) or path.is_dir():
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images.append(path)
        elif path.suffix.lower() not in leave:
            others[f"files *{path.suffix.lower()}"] += 1
    return images


def _log_losses(name: str, table: pd.DataFrame, others: Mapping[str, int]) -> None:
    """Write into the log how many images have no label, what was not read, and why."""
    reasons = Counter(reason.partition(":")[0] for reason in table["no_label"].dropna())
    lost = [f"{n} {reason}" for reason, n in [*reasons.items(), *others.items()]]
    labelled = table["label"].notna().sum()
    log.info("%s: %d images, %d with a label; %s", name, len(table), labelled, "; ".join(lost))


def _decoded(path: Path) -> str:
    """Read a text file in the encoding that it has; what is left of broken disks is dropped."""
    data = path.read_bytes()
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", errors="replace")
    try:
        return data.decode("utf-8-sig").replace("\0", "")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace").replace("\0", "")


YEAR = re.compile(r"(?:\d{1,2}[-/.]\d{1,2}[-/.])?((?:19|20)\d\d)")
IMFDB_WORDS = {word: kind for kind, words in IMFDB_VALUES.items() for word in words}


def _imfdb_faces(folder: Path, images: Mapping[str, Path], others: Counter[str]) -> dict[str, dict]:
    """Read what the text files of a film say of its images, by the images' names in small letters.

    Lines that name no image of the film, and words that are not known, are counted in `others`.
    """
    lines: dict[str, list[dict]] = defaultdict(list)
    for path in sorted(folder.glob("*.[tT][xX][tT]")):
        for line in _decoded(path).splitlines():
            words = line.split()
            places = [place for place, word in enumerate(words) if word.lower() in images]
            if not places:
                others["lines that name no image"] += bool(words)
                continue
            lines[words[places[-1]].lower()].append(_imfdb_line(words, places[-1], others))
    faces = {}
    for name, told in lines.items():
        values = {key: {line[key] for line in told} - {None} for key in told[0]}
        faces[name] = {key: min(one) if len(one) == 1 else None for key, one in values.items()}
        if len(values["label"]) != 1:
            several = f"several labels: {', '.join(sorted(values['label']))}"
            faces[name]["no_label"] = several if values["label"] else "no label in its line"
    return faces


def _imfdb_line(words: list[str], place: int, others: Counter[str]) -> dict:
    """Read a line of which the word at `place` is the image's name."""
    found = dict.fromkeys(["label", "clip", "frame", "year", *IMFDB_VALUES])
    before = words[:place]
    if before and before[-1].lower().endswith(IMAGE_SUFFIXES):
        number = re.search(r"\d+", before[-1])
        found |= {"clip": "_".join(before[:-1]) or None, "frame": number and int(number[0])}
    after = [word.lower() for word in words[place + 1 :]]
    sexes = [here for here, word in enumerate(after) if IMFDB_WORDS.get(word) == "sex"]
    if not sexes:
        return found
    years = [year[1] for word in after[: sexes[-1]] if (year := YEAR.fullmatch(word))]
    found["year"] = int(years[-1]) if years else None
    vocabulary = {**IMFDB_WORDS, **dict.fromkeys(ALIASES["names"], "label")}
    for word in after[sexes[-1] :]:
        near = [word] if word in vocabulary else get_close_matches(word, vocabulary, 1, 0.85)
        if not near:
            others[f"unknown word {word}"] += 1
        else:
            kind = vocabulary[near[0]]
            found[kind] = canonical(near[0]) if kind == "label" else near[0]
    return found


def read_keywords(
    source: Path,
    *,
    unpacked: Path,
    keywords: Mapping[str, str] = {},
    collections: Sequence[str] = (),
    two_labels: str = "drop",
) -> pd.DataFrame:
    """Read photos in a folder a keyword that found them; no person looked at the labels.

    Parameters
    ----------
    source
        A folder or zip archive with `<keyword>/<image>`. A table of the same name may lie beside
        it (`<name>.csv`): file, repository, and other_labels, the keywords, divided by "|", that
        found the same photo.
    unpacked
        Folder for the files of an archive; written once for the same source.
    keywords
        Keyword -> label, for keywords that are no names of a label; photos of others have none.
    collections
        Repositories whose photos are read, if not all.
    two_labels
        "drop": a photo found under keywords of several labels has none; "first": that of its
        folder.

    Returns
    -------
    pandas.DataFrame
        source is the repository.

    Raises
    ------
    DatasetError
        If there is no image, or none of the `collections`.
    """
    beside = source.with_suffix(".csv")
    if source.is_file():
        source = _unpack_once(source, unpacked, write=_extract)
    others: Counter[str] = Counter()
    listed = pd.DataFrame(columns=["file", "repository", "other_labels"], dtype=object)
    if beside.is_file():
        listed = read_csv(beside, needs=["file"]).reindex(columns=listed.columns)
        if listed["file"].duplicated().any():
            raise DatasetError(
                f"{beside.name} lists {listed['file'].duplicated().sum()} files twice"
            )
    about = listed.set_index("file").T.to_dict()
    labels = {**ALIASES["names"], **keywords}
    rows = []
    for path in _images_below(source, others):
        keyword, name = path.parent.name, f"{path.parent.name}/{path.name}"
        told = about.pop(name, {"repository": None, "other_labels": None})
        found = [
            keyword,
            *str(told["other_labels"] if pd.notna(told["other_labels"]) else "").split("|"),
        ]
        several = list(dict.fromkeys(labels[one.lower()] for one in found if one.lower() in labels))
        label = labels.get(keyword.lower())
        why = None
        if label is None:
            why = f"keyword {keyword} is no label"
        elif len(several) > 1 and two_labels == "drop":
            label, why = None, f"several labels: {', '.join(several)}"
        rows.append(
            {
                "name": name,
                "path": path,
                "label": label,
                "source": told["repository"],
                "keyword": keyword,
                "no_label": why,
            }
        )
    if about:
        others[f"files of {beside.name} that are not there"] = len(about)
    if collections:
        others["photos of other collections"] = sum(
            row["source"] not in collections for row in rows
        )
        rows = [row for row in rows if row["source"] in collections]
    if not rows:
        of = f" of the collections {', '.join(collections)}" if collections else ""
        raise DatasetError(f"{source.name} has no <keyword>/<image>{of}")
    table = image_table(rows, source)
    _log_losses(source.name, table, others)
    return table


SFEW_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
SFEW_NAME = re.compile(r"(?P<film>.+)_(?P<clip>\d+)_(?P<frame>\d+)")


def read_sfew(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read a set laid out as SFEW (Dhall et al. 2011, doi:10.1109/ICCVW.2011.6130508).

    Parameters
    ----------
    source
        A folder or archive with `{Train,Val,Test}/<emotion>/<film>_<time>_<face>.png`; images of
        a part without labels may lie in no folder of an emotion.
    unpacked
        Folder for the files of an archive; written once for the same source.

    Returns
    -------
    pandas.DataFrame
        split_given is train, val or test; film, clip (its time) and frame are from the name.

    Raises
    ------
    DatasetError
        If there is no image in a folder of a part.
    """
    if source.is_file():
        source = _unpack_once(source, unpacked, write=_extract)
    others: Counter[str] = Counter()
    rows = []
    for path in _images_below(source, others):
        folders = path.relative_to(source).parts[:-1]
        parts = [re.match("[a-z]*", folder.lower())[0] for folder in folders]
        part = next((SFEW_PARTS[one] for one in parts if one in SFEW_PARTS), None)
        if part is None:
            others["images outside of Train, Val and Test"] += 1
            continue
        label = ALIASES["names"].get(folders[-1].lower())
        place = SFEW_NAME.fullmatch(path.stem)
        others["names other than <film>_<time>_<face>"] += place is None
        rows.append(
            {
                "name": "/".join((part, *folders[-1:], path.name)),
                "path": path,
                "label": label,
                "split_given": part,
                "film": place and place["film"],
                "clip": place and place["clip"],
                "frame": place and int(place["frame"]),
                "no_label": None if label else f"folder is no label: {folders[-1]}",
            }
        )
    if not rows:
        raise DatasetError(f"{source.name} has no {{Train,Val,Test}}/<emotion>/<image>")
    table = image_table(rows, source)
    _log_losses(source.name, table, others)
    return table
