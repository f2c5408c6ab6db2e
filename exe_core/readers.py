"""Readers of labelled images: each takes a path and gives one table with a row an image.

The columns are name (unique in the set), path, label (None if it has none, or several), person,
split_given (the part of the set: train, val, test; public or private of FER2013) and `ATTRIBUTES`;
None where they are not known. A set may be a folder or an archive, which is unpacked once, into
`unpacked`. What is in it and is no image of the set is counted in the log.
"""

from __future__ import annotations

import logging
import lzma
import re
import shutil
import tarfile
import zipfile
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from exe_core.labels import ALIASES, EMOTIONS, SchemaError, canonical
from exe_core.record import digest

log = logging.getLogger(__name__)

LAYOUTS = {
    "folder": r"(?P<folder>[^/]+)/.+",
    "fer2013": r"(?:.*/)?(?i:(?P<part>train|val|test|dev|PublicTest|PrivateTest)"
    r"(?:ing|id|idation)?)/(?P<label>[^/]+)/"
    r"(?:(?P<usage>Training|PublicTest|PrivateTest)_(?P<number>\d+)|[^/]+)\.\w+",
    "imfdb": r"(?:.*?/)??(?P<person>[^/]+)/(?P<film>(?!(?i:images)/)[^/]+)/(?:(?i:images)/)?[^/]+",
    "keywords": r".+/[^/]+",
    "sfew": r"(?:.*/)?(?P<part>(?i:train|val|test))(?i:idation)?(?:[^A-Za-z/][^/]*)?/"
    r"(?:.*/)?(?:(?P<film>[^/]+)_(?P<clip>\d+)_(?P<frame>\d{1,9})|[^/]+)\.\w+",
}
"""Kind of set -> where its images lie below its folder, and what their paths say of them."""

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
ARCHIVE_FAULTS = tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, OSError
LARGEST_UNPACKED, MOST_FILES = 2_000_000_000, 200_000  # bytes, and files, of an archive


class DatasetError(ValueError):
    """A data set does not have the form that its reader expects."""


def image_table(rows: Iterable[dict], root: Path, lost: Counter[str]) -> pd.DataFrame:
    """Make the table of a set, and count in the log what has no label or is not in it, and why.

    A `DatasetError` is raised if there is no image, or one is not there, stands twice, or lies
    outside of `root`.
    """
    table = pd.DataFrame(rows, columns=[*IMAGE_COLUMNS, *ATTRIBUTES], dtype=object)
    table, within = table.where(table.notna(), None), root.resolve()
    for what, is_wrong in {
        "lie outside of its folder, by links or ..": [
            not path.resolve().is_relative_to(within) for path in table["path"]
        ],
        "are not there": [not path.is_file() for path in table["path"]],
        "are listed twice": table["name"].duplicated().tolist(),
    }.items():
        if any(is_wrong):
            n, first = sum(is_wrong), ", ".join(table["name"][is_wrong][:3])
            raise DatasetError(f"{root.name}: {n} of {len(table)} images {what}, such as {first}")
    counts = lost + Counter(reason.partition(":")[0] for reason in table["no_label"].dropna())
    counted = "; ".join(f"{n} {what}" for what, n in counts.items())
    if table.empty:
        raise DatasetError(f"{root.name} has no images of the layout of its kind; it has {counted}")
    n_labelled = table["label"].notna().sum()
    level = logging.WARNING if lost["images elsewhere"] else logging.INFO
    log.log(level, "%s: %d images, %d labelled; %s", root.name, len(table), n_labelled, counted)
    return table


def read_csv(path: Path, *, needs: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file as texts; only an empty field is missing ("NA" may be a person).

    A `DatasetError` is raised if it is missing, is no table, or lacks one of the columns `needs`.
    """
    if not path.is_file():
        raise DatasetError(f"{path.name} is not in folder {path.parent.name}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as fault:
        raise DatasetError(f"{path.name} is no table: {fault}") from None
    if not isinstance(table.index, pd.RangeIndex):  # the first columns became an index
        raise DatasetError(f"{path.name} is no table: its rows have more fields than its header")
    table.columns = table.columns.str.strip()  # icml_face_data.csv writes " pixels"
    if missing := ", ".join(column for column in needs if column not in table):
        has = ", ".join(table.columns)
        raise DatasetError(f"{path.name} has no column {missing}; it has {has}")
    return table


def label_of(label: object, family: str, where: str) -> str:
    """Translate a label (`exe_core.labels.canonical`); an error begins with `where` it stands."""
    try:
        return canonical(label, family=family)
    except SchemaError as fault:
        raise DatasetError(f"{where}: {fault}") from None


def _label_of_folder(name: str) -> dict[str, str | None]:
    """Give the label that a folder is named by, or why there is none."""
    label = ALIASES["names"].get(name.lower())
    return {"label": label, "no_label": None if label else f"folder is no label: {name}"}


def _find(
    kind: str, source: Path, unpacked: Path
) -> tuple[Path, list[tuple[Path, dict[str, str | None]]], Counter[str]]:
    """Unpack an archive; give its folder, images with what paths say, and counts of the rest."""
    root = _unpack_once(source, unpacked, write=_extract) if source.is_file() else source
    found, lost = [], Counter[str]()
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root).as_posix()
        if "/." in f"/{place}" or path.is_dir():  # hidden
            continue
        match = re.fullmatch(LAYOUTS[kind], place)
        if path.suffix.lower() not in IMAGE_SUFFIXES:
            lost[f"files *{path.suffix.lower()}"] += 1
        elif match is None:
            lost["images elsewhere"] += 1
        else:
            found.append((path, match.groupdict()))
    return root, found, lost


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
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as packed:
                _refuse_if_large(member.file_size for member in packed.infolist())
                packed.extractall(folder)  # noqa: S202 - their sizes are known
        else:
            with tarfile.open(source) as archive:
                _refuse_if_large(member.size for member in archive)
                archive.extractall(folder, filter="data")
    # zipfile raises a RuntimeError if an archive is encrypted, or packed in an unknown way
    except (*ARCHIVE_FAULTS, RuntimeError) as fault:
        raise DatasetError(f"{source.name} can't be unpacked: {fault}") from None


def _refuse_if_large(sizes: Iterable[int]) -> None:
    for n_files, total in enumerate(accumulate(sizes), start=1):
        if total > LARGEST_UNPACKED or n_files > MOST_FILES:
            most = f"{LARGEST_UNPACKED // 10**6} MB or {MOST_FILES} files"
            raise tarfile.ReadError(f"it would be more than {most}")


def read_folder(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read a folder with labels.csv (file, emotion and, if known, person), or a folder an emotion.

    Images in a folder that names no emotion have no label. A `DatasetError` is raised if labels.csv
    lacks a column, or lists an unknown label or an image that is not there.
    """
    if (source / "labels.csv").is_file():
        listed = read_csv(source / "labels.csv", needs=["file", "emotion"]).astype(object)
        rows = [
            {
                "name": str(row["file"]),
                "path": source / str(row["file"]),
                "label": label_of(row["emotion"], "names", f"labels.csv: {row['file']}"),
                "person": row.get("person"),
            }
            for row in listed.to_dict("records")
        ]
        return image_table(rows, source, Counter())
    root, found, lost = _find("folder", source, unpacked)
    rows = [
        {"name": str(path.relative_to(root)), "path": path, **_label_of_folder(str(said["folder"]))}
        for path, said in found
    ]
    return image_table(rows, root, lost)


USAGES = {"Training": "train", "PublicTest": "public", "PrivateTest": "private"}
"""Parts of FER2013 as its files name them -> split_given; the literature reports PrivateTest."""
FOLDERS = {"publictest": "public", "privatetest": "private", "dev": "val"}
FER_SIDE = 48  # px


def read_fer2013(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read FER2013: its CSV file, a tree of images, or a folder or tar archive that holds either.

    The file is fer2013.csv or icml_face_data.csv; the tree, `{train,test,validation}/<emotion>/
    <image>`, the image named `<Usage>_<number>.<suffix>`. split_given is train, public or private;
    train, val or test of renamed images.
    """
    if source.suffix.lower() != ".csv":
        root, found, lost = _find("fer2013", source, unpacked)
        names = ("fer2013.csv", "icml_face_data.csv")
        tables = sorted(path for path in root.rglob("*") if path.name.lower() in names)
        source, unpacked = (tables or [root])[0], unpacked.with_name(f"{unpacked.name}-images")
    if source.is_file():
        tree = _unpack_once(source, unpacked, write=_write_fer_csv)
        root, found, lost = _find("fer2013", tree, unpacked)
    rows = []
    for path, said in found:
        label, part = label_of(said["label"], "names", root.name), str(said["part"]).lower()
        name, part = f"{label}_{path.stem}", FOLDERS.get(part, part)
        if said["usage"]:
            name, part = f"{int(str(said['number'])):06d}", USAGES[said["usage"]]
        rows.append({"name": name, "path": path, "label": label, "split_given": part})
    if len({row["name"] for row in rows}) < len(rows):  # in some copies each part has its numbers
        rows = [row | {"name": f"{row['split_given']}_{row['name']}"} for row in rows]
    return image_table(sorted(rows, key=lambda row: row["name"]), root, lost)


def _write_fer_csv(source: Path, folder: Path) -> None:
    """Write the images of a CSV of FER2013 as a tree; they are named by their line, from 0."""
    table = read_csv(source, needs=["emotion", "pixels", "Usage"]).fillna("")
    columns = (table["emotion"], table["pixels"], table["Usage"].str.strip())
    for line, (emotion, pixels, usage) in enumerate(zip(*columns, strict=True)):
        where = f"{source.name}, image {line}"
        label = label_of(emotion, "fer2013", where)
        if usage not in USAGES:
            raise DatasetError(f"{where}: Usage {usage!r} is none of {', '.join(USAGES)}")
        try:
            levels = np.array(bytearray(map(int, pixels.split()))).reshape(FER_SIDE, FER_SIDE)
        except ValueError:
            needed = f"{FER_SIDE**2} numbers from 0 to 255; these begin with {pixels[:20]!r}"
            raise DatasetError(f"{where}: pixels must be {needed}") from None
        side = "train" if usage == "Training" else "test"
        path = folder / side / label / f"{usage}_{line}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(levels).save(path, compress_level=1)


VOTE_NAMES = {
    **{"neutral": "neutral", "happiness": "happy", "surprise": "surprise", "sadness": "sad"},
    **{"anger": "angry", "disgust": "disgust", "fear": "fear", "contempt": "contempt"},
    **{"unknown": "unknown", "NF": "no_face"},
}
"""FER+'s columns -> their names here."""
VOTES = [f"votes_{name}" for name in (*EMOTIONS, "contempt", "unknown", "no_face")]
MIN_AGREEMENT = 0.4
"""Half-way between the agreement of a join by the right number, .64 of the labels, and chance."""


def read_votes(path: Path) -> pd.DataFrame:
    """Read the annotators' votes of FER+ (Barsoum et al. 2016, doi:10.1145/2993148.2993165).

    The file is fer2013new.csv as published, where line i belongs to line i of fer2013.csv and the
    number in "Image name" counts only some of the images; or a table with the same columns of votes
    and Usage, and that number as the column image. A `DatasetError` is raised if a column is
    missing, or a row has another usage, no whole numbers, or no votes at all.

    Returns a row an image: line (from 0; NA unless published), image (NA if it has no name),
    split_given (train, public, private), and `VOTES`.
    """
    table = read_csv(path, needs=["Usage", *VOTE_NAMES])
    counts = table[[*VOTE_NAMES]].apply(pd.to_numeric, errors="coerce")
    is_good = counts.isin(range(1000)).all(axis=1) & (counts.sum(axis=1) > 0)
    for row in np.flatnonzero(~(is_good & table["Usage"].isin(USAGES))):
        raise DatasetError(
            f"{path.name}, row {row}: {', '.join(map(str, table.iloc[row]))}; it must have a Usage "
            f"of {', '.join(USAGES)}, and votes in whole numbers, one or more in all"
        )
    if table.empty:
        raise DatasetError(f"{path.name} has no rows")
    votes = counts.astype(int).rename(columns=lambda old: f"votes_{VOTE_NAMES[old]}")
    is_published = "image" not in table
    image = table.reindex(columns=["Image name" if is_published else "image"]).iloc[:, 0]
    image = image.astype(str).str.extract(r"(\d+)", expand=False)
    votes["line"] = pd.array(range(len(table)) if is_published else [pd.NA] * len(table), "Int64")
    votes["image"] = pd.to_numeric(image).astype("Int64")
    votes["split_given"] = table["Usage"].map(USAGES)
    return votes[["line", "image", "split_given", *VOTES]]


def voted_shares(
    items: pd.DataFrame, votes: pd.DataFrame, *, labels: Sequence[str] = EMOTIONS
) -> np.ndarray:
    """Compute the share of the annotators' votes for each label, of images of FER2013.

    The number at the end of item_id is the line of fer2013.csv, as this project numbers what it
    reads from that file, or FER+'s image number, by which some folder copies are named: the one
    counts by which more labels agree with the votes. A `DatasetError` is raised if fewer than
    `MIN_AGREEMENT` do: then the numbers are of another count.

    `items` has item_id, label and split_given of N images; `votes` is what `read_votes` gives.
    Returns floats (N, len(labels)); rows sum to 1, and are NaN where an image has no votes, none
    for a label, or half of the annotators or more saw no face.
    """
    number = items["item_id"].str.extract(r"(\d+)$", expand=False).astype("Int64")
    place = pd.MultiIndex.from_arrays([number, items["split_given"]])
    best, agreement, how = pd.DataFrame(), -1.0, ""
    for key in ("line", "image"):
        known = votes.dropna(subset=key).set_index([key, "split_given"])[VOTES].reindex(place)
        voted = majority(_shares(known, EMOTIONS), labels=EMOTIONS)
        agrees = (voted == items["label"].to_numpy())[pd.notna(voted)]
        share = float(agrees.mean()) if len(agrees) else 0.0
        if share > agreement:
            n_known = known["votes_neutral"].notna().sum()
            best, agreement = known, share
            how = f"FER+ has votes on {n_known} of {len(items)} images by their {key}"
    if agreement < MIN_AGREEMENT:
        raise DatasetError(
            f"{how}, which agree with {agreement:.2f} of the labels, where the right numbers agree "
            "with .64 and chance with .18. Folder copies number images in several ways; "
            "fer2013.csv joins fer2013new.csv line by line"
        )
    log.info("%s; %.3f of the labels agree", how, agreement)
    return _shares(best, labels)


def _shares(votes: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
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


def read_rafdb(source: Path, *, unpacked: Path | None = None) -> pd.DataFrame:
    """Read RAF-DB basic (Li et al. 2017, doi:10.1109/CVPR.2017.277).

    `source` is a folder as its authors give it (EmoLabel/list_patition_label.txt, which some copies
    spell right, with Image/aligned), or with DATASET/{train,test}/{1..7} and train_labels.csv,
    test_labels.csv. split_given is train or test. A `DatasetError` is raised if it is neither, a
    label is not 1 to 7, or an image is missing or listed twice.
    """
    named: list[tuple[Path, object]] = []
    for listed in source.glob("EmoLabel/list_pa*tition_label.txt"):
        lines = [line.split() for line in listed.read_text().splitlines() if line.strip()]
        if bad := [line for line in lines if len(line) != 2]:
            raise DatasetError(f"{listed.name}: not '<image> <label>': {' '.join(bad[0])!r}")
        aligned = source / "Image" / "aligned"
        named = [(aligned / f"{Path(name).stem}_aligned.jpg", label) for name, label in lines]
    for part in () if named else ("train", "test"):
        table = read_csv(source / f"{part}_labels.csv", needs=["image", "label"]).fillna("")
        folder = source / "DATASET" / part
        named += [(folder / row.label / row.image, row.label) for row in table.itertuples()]
    rows = []
    for path, label in named:
        name = path.stem.removesuffix("_aligned")
        label, part = label_of(label, "rafdb", f"{source.name}, {name}"), name.partition("_")[0]
        if part not in ("train", "test"):
            raise DatasetError(f"{source.name}: {name} is called neither train_.. nor test_..")
        rows.append({"name": name, "path": path, "label": label, "split_given": part})
    return image_table(rows, source, Counter())


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

    `source` is a folder or archive with, at some depth, `<actor>/<film>/images/<image>` and
    `<film>/*.txt`, a line a face: clip, frame, image, box (left, top, width, height), title, date,
    actor, sex, expression, occlusion, light, age, pose, makeup. Words are known by what they say,
    as some lines lack columns or have them elsewhere.

    An image has no label if its lines name several expressions or none, or if their box is not as
    large as the image, which then is not theirs; unless that is so of most: these were resized.
    Attributes on which lines differ are null. film is null for pictures from anywhere. A
    `DatasetError` is raised if there is no such image of these actors.
    """
    root, found, lost = _find("imfdb", source, unpacked)
    lost.pop("files *.txt", None)  # hold the lines
    actors = {said["person"] for _, said in found}
    if absent := ", ".join(sorted({*persons, *without} - actors)):
        log.warning("%s has no actors %s", root.name, absent)
    chosen = (set(persons) or actors) - set(without)
    films: dict[Path, list[Path]] = defaultdict(list)
    for path, said in found:
        if said["person"] in chosen:
            films[path.parent if path.parent.name == said["film"] else path.parents[1]].append(path)
    known, rows = _what_lines_say(films, lost), []
    for folder, paths in films.items():
        actor, whole = folder.parent.name, re.sub(r"^extras_|(?<=[A-Za-z])_?\d$", "", folder.name)
        is_film = whole.lower() not in ("misc", "extras", actor.lower())
        film = FILM_NAMES.get(folder.name, whole) if is_film else None
        for path in paths:
            row = {"name": f"{actor}/{folder.name}/{path.name}", "path": path, "person": actor}
            rows.append(row | {"film": film, **known.get(path, {"no_label": "no line of it"})})
    return image_table(rows, root, lost)


def _what_lines_say(films: Mapping[Path, list[Path]], lost: Counter[str]) -> dict[Path, dict]:
    """Read the lines of films: image -> `SAID`, and why it has no label."""
    listed = []
    for folder, paths in films.items():
        # by its name, or its number where the actor is spelled in two ways
        numbers = {int(n[1]): path for path in paths if (n := NUMBERED.fullmatch(path.name))}
        images: dict[str | int, Path] = {path.name.lower(): path for path in paths} | numbers
        for text in sorted(folder.glob("*.[tT][xX][tT]")):
            # zeros stand in UTF-16, and in one file where a disk failed
            lines = text.read_text("utf-8-sig", errors="replace").replace("\0", "").splitlines()
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
    several = ("several labels: " + labels).where(labels.str.contains(","), None)
    values["no_label"] = several.mask(labels == "", "no expression in its line")
    return others | values.to_dict("index")


def _read_line(words: list[str], images: Mapping[str | int, Path], lost: Counter[str]) -> dict:
    """Read a line: path (None if it names no image), whether its box fits the image, `SAID`."""
    line, at = dict.fromkeys(["path", "fits", *SAID]), -1
    lower = [word.lower() for word in words]
    for place, word in enumerate(lower):
        number = NUMBERED.fullmatch(word)
        path = images.get(word) or (images.get(int(number[1])) if number else None)
        fits = path and _fits(path, words[place + 3 : place + 5])
        if word in images or fits:
            at, line["path"], line["fits"] = place, path, fits
    if at < 0:
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


def read_keywords(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read photos in a folder a keyword that found them; no person looked at the labels.

    `source` is a folder or archive with `<keyword>/<image>` at some depth. Beside it may lie
    `<name>.csv`: file, repository (source of the result), and other_labels, the other keywords that
    found the photo, divided by "|". A photo has no label if its keyword names none, or if it was
    found under several. A `DatasetError` is raised if the table lists a file twice.
    """
    root, found, lost = _find("keywords", source, unpacked)
    columns, beside = ["file", "repository", "other_labels"], source.with_suffix(".csv")
    listed = read_csv(beside, needs=["file"]) if beside.is_file() else pd.DataFrame(columns=columns)
    listed = listed.reindex(columns=columns).fillna("").set_index("file")
    for twice in listed.index[listed.index.duplicated()]:
        raise DatasetError(f"{beside.name} lists {twice} twice")
    about, rows = listed.to_dict("index"), []
    for path, _ in found:
        keyword, row = path.parent.name, _label_of_folder(path.parent.name)
        known = about.pop(f"{keyword}/{path.name}", {"repository": "", "other_labels": ""})
        under = [keyword, *known["other_labels"].split("|")]
        several = {label for one in under if (label := ALIASES["names"].get(one.lower()))}
        if row["label"] and len(several) > 1:
            row = {"label": None, "no_label": f"several labels: {', '.join(sorted(several))}"}
        row |= {"name": f"{keyword}/{path.name}", "keyword": keyword}
        rows.append({"path": path, "source": known["repository"] or None, **row})
    lost[f"photos of {beside.name} that are not here"] += len(about)
    return image_table(rows, root, lost)


def read_sfew(source: Path, *, unpacked: Path) -> pd.DataFrame:
    """Read a set laid out as SFEW (Dhall et al. 2011, doi:10.1109/ICCVW.2011.6130508).

    `source` is a folder or archive with, at some depth,
    `{Train,Val,Test}/<emotion>/<film>_<time>_<face>.png`: clip is the time, frame the last number.
    Images in a folder that names no label have none. A `DatasetError` is raised if there is none.
    """
    root, found, lost = _find("sfew", source, unpacked)
    rows = []
    for path, said in found:
        part, folder, frame = str(said["part"]).lower(), path.parent.name, said["frame"]
        row = {"name": f"{part}/{folder}/{path.name}", "path": path, "split_given": part}
        row |= {"film": said["film"], "clip": said["clip"], "frame": frame and int(frame)}
        rows.append(row | _label_of_folder(folder))
    return image_table(rows, root, lost)


READERS: Mapping[str, Callable[..., pd.DataFrame]] = {
    "folder": read_folder,
    "fer2013": read_fer2013,
    "rafdb": read_rafdb,
    "imfdb": read_imfdb,
    "keywords": read_keywords,
    "sfew": read_sfew,
}
"""Kind of set -> its reader."""
