"""Fetch the open data sets from their public repositories, at a pinned commit, and verify them."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from urllib.parse import quote, urlsplit

import pandas as pd
import pooch
from tqdm import tqdm

from exe_core.config import ROOT
from exe_core.detection import ImageError, read_image
from exe_core.sets import legend
from exe_core.sets.holdings import FILM_LABELS, HOLDINGS, Finding, Holding, find
from exe_core.writing import replacing

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


def get(
    name: str, folder: Path | None = None, *, base: str | None = None, retries: int = 2
) -> list[Finding]:
    """Fetch an open set, unless it is here already and as published, and check it.

    Files that are there and are right are not fetched again; each comes to its place whole or not
    at all.

    Parameters
    ----------
    name
        Of `exe_core.sets.holdings.HOLDINGS`.
    folder
        The data folder that it goes into, in the form that studies read; `CACHE` if None.
    base
        Address in place of `RAW`; if None, that of the variable `EXE_DATA_URL` if set.
    retries
        How often a file is tried again.

    Returns
    -------
    list of exe_core.sets.holdings.Finding
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
    listed = legend.read_legend(place / "legend.csv")
    stills = legend.film_stills(listed)
    digest = hashlib.sha256(_labels(stills).encode()).hexdigest()
    if f"sha256:{digest}" != FILM_LABELS:
        raise OpenSetError(f"the legend of {repository.name} does not give the 471 film stills")
    lost = _get_images(repository, stills, folder / "film_faces")
    if lost:
        raise OpenSetError(f"{repository.name} lacks {len(lost)} film stills, such as {lost[0]}")
    _write_labels(stills, folder / "film_faces")
    pool = legend.press_photos(listed)
    taken = [pool[:0]]
    for label, number in legend.PRESS_PHOTOS.items():
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
