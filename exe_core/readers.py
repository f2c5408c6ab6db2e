"""Readers of labelled images: each takes a path and gives one table with a row an image.

The columns are name (unique in the set), path, label (None if it has none, or several), person,
split_given (the part of the set: train, val, test; public or private of FER2013) and `ATTRIBUTES`;
None where they are not known.
"""

from __future__ import annotations

import logging
import lzma
import re
import shutil
import tarfile
import warnings
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType

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
ATTRIBUTES = ["film", "clip", "frame", "source", "keyword", "year", *IMFDB_VALUES, "no_label"]
"""What some sets say of an image; table "attributes" (`exe_core.tables`) says what each means."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


NO_TABLE = (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError)


class DatasetError(ValueError):
    """A data set does not have the form that its reader expects."""


def image_table(rows: Sequence[tuple | dict], root: Path) -> pd.DataFrame:
    """Make a reader's table of tuples of `IMAGE_COLUMNS`, or of dicts that may have `ATTRIBUTES`.

    A `DatasetError` is raised if an image is not there, stands twice, or lies outside of `root`.
    """
    named = [dict(zip(IMAGE_COLUMNS, row, strict=True)) for row in rows if isinstance(row, tuple)]
    table = pd.DataFrame(named or rows, columns=[*IMAGE_COLUMNS, *ATTRIBUTES], dtype=object)
    table = table.where(table.notna(), None)
    is_missing = [not path.is_file() for path in table["path"]]
    for what, names in {
        "lie outside of its folder, by links or ..": paths_outside(table["path"], root),
        "are not there": table["name"][is_missing].tolist(),
        "are listed twice": table["name"][table["name"].duplicated()].tolist(),
    }.items():
        if names:
            first = ", ".join(map(str, names[:3]))
            raise DatasetError(
                f"{root.name}: {len(names)} of {len(table)} images {what}, such as {first}"
            )
    return table


def read_csv(path: Path, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file as texts; only an empty field is missing ("NA" may be a person).

    A `DatasetError` is raised if it is missing, is no table, or lacks one of the columns `needs`.
    """
    if not path.is_file():
        raise DatasetError(f"{path.name} is not in folder {path.parent.name}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except NO_TABLE as fault:
        raise DatasetError(f"{path.name} is no table: {fault}") from None
    if not isinstance(table.index, pd.RangeIndex):  # the first columns became an index
        raise DatasetError(f"{path.name} is no table: its rows have more fields than its header")
    if missing := [column for column in needs if column not in table]:
        raise DatasetError(
            f"{path.name} has no column {', '.join(missing)}; it has {', '.join(table.columns)}"
        )
    return table


def label_of(label: object, family: str, where: str) -> str:
    """Translate a label (`exe_core.labels.canonical`); an error begins with `where` it stands."""
    try:
        return canonical(label, family=family)
    except SchemaError as fault:
        raise DatasetError(f"{where}: {fault}") from None


def _visible(folder: Path) -> list[Path]:
    """List what a folder holds, by name; hidden files are left out."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def read_folder(root: Path) -> pd.DataFrame:
    """Read a folder with labels.csv (file, emotion and, if known, person), or a folder an emotion.

    A `DatasetError` is raised if a column or an image is missing, or a label is unknown.
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
LARGEST_UNPACKED, MOST_FILES = 2_000_000_000, 200_000  # bytes, and files, of an archive
ARCHIVE_FAULTS = (
    *(tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError),
    RuntimeError,  # of zipfile: encrypted, or packed in an unknown way
)


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
    """Unpack a tar or zip archive; a member that leads out of the folder is refused, or kept in."""
    size = 0
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as packed:
                sizes = [member.file_size for member in packed.infolist()]
                _refuse_if_large(sum(sizes), len(sizes))
                for name in packed.namelist():
                    packed.extract(name, folder)
            return
        with tarfile.open(source) as archive:
            listed = tqdm(archive, desc=f"unpack {source.name}", unit=" files")
            for place, member in enumerate(listed):
                if not (member.isfile() or member.isdir()):
                    raise tarfile.ReadError(f"{member.name!r} is neither a file nor a folder")
                size += member.size
                _refuse_if_large(size, place)
                archive.extract(member, folder, filter="data")
    except ARCHIVE_FAULTS as fault:
        raise DatasetError(f"{source.name} can't be unpacked: {fault}") from None


def _refuse_if_large(size: int, n_files: int) -> None:
    if size > LARGEST_UNPACKED or n_files > MOST_FILES:
        most = f"{LARGEST_UNPACKED // 10**6} MB or {MOST_FILES} files"
        raise tarfile.ReadError(f"it would be more than {most}")


def _write_fer_csv(source: Path, folder: Path) -> None:
    """Write the images of a CSV of FER2013 as a tree; they are named by their line, from 0."""
    line, shape = 0, (FER_SIDE, FER_SIDE)
    try:
        for part in pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=2000):
            part.columns = part.columns.str.strip()  # icml_face_data.csv writes " pixels"
            if not {"emotion", "pixels", "Usage"} <= set(part.columns):
                here = ", ".join(part.columns)
                raise DatasetError(f"{source.name} has columns {here}, not emotion, pixels, Usage")
            for emotion, pixels, usage in zip(part.emotion, part.pixels, part.Usage, strict=True):
                where = f"{source.name}, image {line}"
                label, usage = label_of(emotion, "fer2013", where), usage.strip()
                if usage not in USAGES:
                    raise DatasetError(f"{where}: Usage {usage!r} is none of {', '.join(USAGES)}")
                try:
                    levels = np.array(bytearray(map(int, pixels.split()))).reshape(shape)
                except ValueError:
                    raise DatasetError(
                        f"{where}: pixels must be {FER_SIDE**2} numbers from 0 to 255; these begin "
                        f"with {pixels[:20]!r}"
                    ) from None
                side = "train" if usage == "Training" else "test"
                path = folder / side / label / f"{usage}_{line}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(levels).save(path, compress_level=1)
                line += 1
    except NO_TABLE as fault:
        raise DatasetError(f"{source.name} is no table: {fault}") from None


OTHER_VOTES = {"contempt": "contempt", "unknown": "unknown", "NF": "no_face"}
"""FER+'s columns that are no emotion of this project -> their names here."""
VOTE_COLUMNS = ["neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear"]
VOTES = [f"votes_{name}" for name in (*EMOTIONS, *OTHER_VOTES.values())]
MIN_AGREEMENT = 0.4
"""Half-way between the agreement of a join by the right number, .64 of the labels, and chance."""


def read_votes(path: Path) -> pd.DataFrame:
    """Read the annotators' votes of FER+ (Barsoum et al. 2016, doi:10.1145/2993148.2993165).

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
    if unknown := set(table["Usage"]) - set(USAGES):
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
    is_published = "image" not in table
    image = table.reindex(columns=["Image name" if is_published else "image"]).iloc[:, 0]
    image = image.astype(str).str.extract(r"(\d+)", expand=False)
    votes["line"] = pd.array(range(len(table)) if is_published else [pd.NA] * len(table), "Int64")
    votes["image"] = pd.to_numeric(image).astype("Int64")
    votes["split_given"] = table["Usage"].map(USAGES)
    return votes[["line", "image", "split_given", *VOTES]]


def join_votes(items: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Join images of FER2013 with their votes, as `read_votes` gives them.

    `items` has item_id, label and split_given. The number at the end of item_id is the line of
    fer2013.csv, as this project numbers what it reads from that file, or FER+'s image number, by
    which some folder copies are named: the one counts by which more labels agree with the votes.

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
    here = {p: tuple(int(counts.get((p, label), 0)) for label in EMOTIONS) for p in RAFDB_COUNTS}
    if published and here != RAFDB_COUNTS:
        raise DatasetError(
            f"this is not RAF-DB as published: {here} images of {', '.join(EMOTIONS)}, not "
            f"{RAFDB_COUNTS}. If that is meant, say `counts: any` in the study's set"
        )
    return table


def _images_of(source: Path, unpacked: Path) -> tuple[Path, list[Path], Counter[str]]:
    """Unpack an archive; give the folder, all images in it, and how many other files it has."""
    root = _unpack_once(source, unpacked, write=_extract) if source.is_file() else source
    images: list[Path] = []
    lost: Counter[str] = Counter()
    for path in sorted(root.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(root).parts) or path.is_dir():
            continue
        if path.suffix.lower() in IMAGE_SUFFIXES:
            images.append(path)
        else:
            lost[f"files *{path.suffix.lower()}"] += 1
    return root, images, lost


def _with_losses(rows: list[dict], root: Path, lost: Counter[str], form: str) -> pd.DataFrame:
    """Make the table of a set, and count in the log what has no label or is not in it, and why."""
    if not rows:
        raise DatasetError(f"{root.name} has no {form}")
    table = image_table(rows, root)
    lost.update(reason.partition(":")[0] for reason in table["no_label"].dropna())
    counted = "; ".join(f"{n} {what}" for what, n in lost.items() if n)
    n_labelled = table["label"].notna().sum()
    log.info("%s: %d images, %d with a label; %s", root.name, len(table), n_labelled, counted)
    return table


FILM_NAMES = {
    "Dabang2": "Dabang2",
    "LoveInSingpore": "LoveInSingapore",
    "Mr_India": "Mr.India",
    "SummerBethlehem": "SummerInBethlehem",
    "SummerBethlem": "SummerInBethlehem",
    "ThemmadiVelappan1976": "ThemmadiVelappan",
    "ThemmadiVellapan": "ThemmadiVelappan",
    "charulatha": "Charulatha",
}
"""Folders of IMFDB that are spelled in several ways; others lose the number of a part."""
SAID = ["label", "clip", "frame", "year", *IMFDB_VALUES]
KINDS = dict.fromkeys(ALIASES["names"], "label") | {
    word: kind for kind, words in IMFDB_VALUES.items() for word in words
}
"""Word of a line of IMFDB -> what it is about."""
YEAR = re.compile(r"(?:\d{1,2}[-/.]\d{1,2}[-/.])?((?:19|20)\d\d)")
NUMBERED = re.compile(r".*_(\d{1,9})\.\w+")
BOX_TOLERANCE = 2
"""px between the sides of a box and of its image. Of 23,585 lines of IMFDB with both, 23,119 are
within 2; the others have 4 or more, and most stand in files that were put into a wrong folder."""


def read_imfdb(
    source: Path, *, unpacked: Path, persons: Sequence[str] = (), without: Sequence[str] = ()
) -> pd.DataFrame:
    """Read the Indian Movie Face Database (Setty et al. 2013): `persons`, or all, `without` some.

    `source` is a folder or archive (unpacked once, into `unpacked`) with, at some depth,
    `<actor>/<film>/images/<image>` and `<film>/*.txt`, a line a face: clip, frame, image, box
    (left, top, width, height), title, date, actor, sex, expression, occlusion, light, age, pose,
    makeup. Words are known by what they say, as some lines lack columns or have them elsewhere.

    An image has no label if its lines name several expressions or none, or if their box is not as
    large as the image, which then is not theirs; unless that is so of most: these were resized.
    Attributes on which lines differ are null. film is null for pictures from anywhere.

    Raises
    ------
    DatasetError
        If there is no such image of these actors.
    """
    root, images, lost = _images_of(source, unpacked)
    lost.pop("files *.txt", None)  # hold the lines
    films: dict[Path, list[Path]] = defaultdict(list)
    for path in images:
        folder = path.parents[1] if path.parent.name.lower() == "images" else path.parent
        if len(folder.relative_to(root).parts) < 2:
            lost["images in no film of an actor"] += 1
        else:
            films[folder].append(path)
    actors = {folder.parent.name for folder in films}
    if absent := sorted({*persons, *without} - actors):
        log.warning("%s has no actors %s", root.name, ", ".join(absent))
    chosen = (set(persons) or actors) - set(without)
    films = {folder: paths for folder, paths in films.items() if folder.parent.name in chosen}
    said, rows = _what_lines_say(films, lost), []
    for folder, paths in films.items():
        actor, whole = folder.parent.name, re.sub(r"^extras_|(?<=[A-Za-z])_?\d$", "", folder.name)
        is_film = whole.lower() not in ("misc", "extras", actor.lower())
        film = FILM_NAMES.get(folder.name, whole) if is_film else None
        for path in paths:
            row = {"name": f"{actor}/{folder.name}/{path.name}", "path": path, "person": actor}
            rows.append(row | {"film": film, **said.get(path, {"no_label": "no line of it"})})
    return _with_losses(rows, root, lost, "<actor>/<film>/images/<image> of these actors")


def _what_lines_say(films: Mapping[Path, list[Path]], lost: Counter[str]) -> dict[Path, dict]:
    """Read the lines of films: image -> `SAID`, and why it has no label."""
    listed = []
    for folder, paths in films.items():
        # by its name, or its number where the actor is spelled in two ways
        numbers = {int(n[1]): path for path in paths if (n := NUMBERED.fullmatch(path.name))}
        images: dict[str | int, Path] = {path.name.lower(): path for path in paths} | numbers
        for text in sorted(folder.glob("*.[tT][xX][tT]")):
            data = text.read_bytes()
            encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
            # one file has zeros where a disk failed
            lines = data.decode(encoding, errors="replace").replace("\0", "").splitlines()
            listed += [_read_line(line.split(), images, lost) for line in lines if line.strip()]
    said = pd.DataFrame(listed, columns=["path", "fits", *SAID], dtype=object)
    lost["lines of no image that is here"] += int(said["path"].isna().sum())
    said = said.dropna(subset="path")
    is_foreign = said["fits"].eq(False)
    if is_foreign.mean() > 0.5:
        log.warning("most boxes are not as large as their images: resized? Lines are trusted")
        is_foreign[:] = False
    why = {"no_label": "its line is of another image"}
    others = dict.fromkeys(said["path"][is_foreign], why)
    by_image = said[~is_foreign].groupby("path", sort=False)
    labels = by_image["label"].agg(lambda found: ", ".join(sorted(found.dropna().unique())))
    values = by_image[SAID].first().where(by_image[SAID].nunique().eq(1), None)
    values["no_label"] = [
        f"several labels: {found}"
        if "," in found
        else None
        if found
        else "no expression in its line"
        for found in labels
    ]
    return others | values.to_dict("index")


def _read_line(words: list[str], images: Mapping[str | int, Path], lost: Counter[str]) -> dict:
    """Read a line: path (None if it names no image), whether its box fits the image, `SAID`."""
    line, at = dict.fromkeys(["path", "fits", *SAID]), None
    lower = [word.lower() for word in words]
    for place, word in enumerate(lower):
        number = NUMBERED.fullmatch(word)
        path = images.get(word) or (images.get(int(number[1])) if number else None)
        fits = path and _fits(path, words[place + 3 : place + 5])
        if word in images or fits:
            line |= {"path": path, "fits": fits}
            at = place
    if at is None:
        return line
    *clip, frame = words[:at] or [""]
    if frame.lower().endswith(IMAGE_SUFFIXES):
        digits = re.findall(r"\d{1,9}", frame)
        line |= {"clip": " ".join(clip) or None, "frame": int(digits[-1]) if digits else None}
    sexes = [place for place, word in enumerate(lower) if KINDS.get(word) == "sex"]
    for word in lower[sexes[-1] :] if sexes else []:
        near = [word] if word in KINDS else get_close_matches(word, KINDS, 1, 0.85)
        if near:
            kind = KINDS[near[0]]
            line[kind] = canonical(near[0]) if kind == "label" else near[0]
        else:
            lost[f"unknown word {word}"] += 1
    years = [found[1] for word in lower[at + 5 :] if (found := YEAR.fullmatch(word))]
    line["year"] = int(years[-1]) if years else None
    return line


def _fits(path: Path, box: list[str]) -> bool | None:
    """Compare the width and height of a box with those of an image; None if one is not known."""
    try:
        with Image.open(path) as image:
            apart = [abs(int(a) - b) for a, b in zip(box, image.size, strict=True)]
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
    return max(apart) <= BOX_TOLERANCE


def read_keywords(
    source: Path,
    *,
    unpacked: Path,
    keywords: Mapping[str, str] = MappingProxyType({}),
    two_labels: str = "drop",
) -> pd.DataFrame:
    """Read photos in a folder a keyword that found them; no person looked at the labels.

    Parameters
    ----------
    source
        A folder or archive with `<keyword>/<image>` at some depth. Beside it may lie `<name>.csv`:
        file, repository (source of the result), and other_labels, the other keywords that found
        the photo, divided by "|".
    unpacked
        Folder for the files of an archive; written once for the same source.
    keywords
        Keyword -> label, of keywords that do not name a label; photos of others have none.
    two_labels
        "drop": a photo found under several labels has none; "first": that of its folder.

    Raises
    ------
    DatasetError
        If there is no image, or the table lists a file twice.
    """
    root, images, lost = _images_of(source, unpacked)
    columns, beside = ["file", "repository", "other_labels"], source.with_suffix(".csv")
    listed = read_csv(beside, needs=["file"]) if beside.is_file() else pd.DataFrame(columns=columns)
    listed = listed.reindex(columns=columns).fillna("").set_index("file")
    if not listed.index.is_unique:
        raise DatasetError(
            f"{beside.name} lists {listed.index[listed.index.duplicated()][0]} twice"
        )
    about, labels = listed.to_dict("index"), {**ALIASES["names"], **keywords}
    rows = []
    for path in images:
        keyword, name = path.parent.name, f"{path.parent.name}/{path.name}"
        told = about.pop(name, {"repository": "", "other_labels": ""})
        under = [keyword, *told["other_labels"].split("|")]
        found = {labels[one.lower()] for one in under if one.lower() in labels}
        label, why = labels.get(keyword.lower()), None
        if label is None:
            why = f"keyword {keyword} is no label"
        elif len(found) > 1 and two_labels == "drop":
            label, why = None, f"several labels: {', '.join(sorted(found))}"
        row = {"name": name, "path": path, "label": label, "no_label": why, "keyword": keyword}
        rows.append(row | {"source": told["repository"] or None})
    lost[f"photos of {beside.name} that are not here"] += len(about)
    return _with_losses(rows, root, lost, "<keyword>/<image>")


SFEW_PARTS = {"train": "train", "val": "val", "validation": "val", "test": "test"}
SFEW_NAME = re.compile(r"(?P<film>.+)_(?P<clip>\d+)_(?P<frame>\d{1,9})")


def read_sfew(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read a set laid out as SFEW (Dhall et al. 2011, doi:10.1109/ICCVW.2011.6130508).

    `source` is a folder or archive (unpacked once, into `unpacked`) with, at some depth,
    `{Train,Val,Test}/<emotion>/<film>_<time>_<face>.png`: clip is the time, frame the last number.
    Images in a folder that names no label have none. A `DatasetError` is raised if there is none.
    """
    root, images, lost = _images_of(source, unpacked)
    rows = []
    for path in images:
        *_, folder = folders = path.relative_to(root).parts[:-1] or ("",)
        begins = [re.split("[^a-z]", one.lower())[0] for one in folders]  # Train_Aligned_Faces
        part = next((SFEW_PARTS[word] for word in begins if word in SFEW_PARTS), None)
        if part is None:
            lost["images outside of Train, Val and Test"] += 1
            continue
        label, place = ALIASES["names"].get(folder.lower()), SFEW_NAME.fullmatch(path.stem)
        row = {"name": f"{part}/{folder}/{path.name}", "path": path, "split_given": part}
        row |= {"label": label, "no_label": None if label else f"folder is no label: {folder}"}
        if place:
            row |= place.groupdict() | {"frame": int(place["frame"])}
        lost["names other than <film>_<time>_<face>"] += place is None
        rows.append(row)
    return _with_losses(rows, root, lost, "{Train,Val,Test}/<emotion>/<image>")
