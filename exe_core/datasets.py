"""The sets of a study: their images and labels, their pixels, and what a run learns from."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from exe_core import schema
from exe_core.config import ROOT, Study
from exe_core.detection import FaceFinder, ImageError, find_faces, read_image
from exe_core.pull.photo_labels import decide_labels, found_by
from exe_core.sets.fer2013 import read_fer2013
from exe_core.sets.ferplus import join_votes, majority, read_votes, soft_labels
from exe_core.sets.grouping import is_hash, joined, near_duplicates, perceptual_hash
from exe_core.sets.rafdb import read_rafdb
from exe_core.sets.readers import DatasetError, read_folder

log = logging.getLogger(__name__)

ITEM_COLUMNS = ["item_id", "set_name", "path", "label", "group_id", "split_given", "phash"]


def items(study: Study, set_name: str) -> pd.DataFrame:
    """List the images of a set that have a label of the study.

    Photos come from the tables of the pull: those of the set's source and design that were
    downloaded; what becomes of one that was found under two labels is the set's `two_labels`.
    Images of other labels are left out. What is left out is counted in the log.

    Returns
    -------
    pandas.DataFrame
        item_id, set_name, path (relative to the project's root), label, group_id (the person where
        known, else the image itself), split_given (None, train, val, test; public or private of
        FER2013; everything of a set of role "test" that is not one of these two is test), and
        phash, the perceptual hash where the pull left one.

    Raises
    ------
    DatasetError
        If the set is unknown, is not there, is not as its form asks, or has no image left.
    """
    if set_name not in study.sets:
        raise DatasetError(f"no set {set_name!r}; study {study.name} has {', '.join(study.sets)}")
    table = (
        _photos(study, set_name)
        if study.sets[set_name].kind == "photos"
        else _read(study, set_name)
    )
    known = table["label"].isin(study.labels)
    if not known.all():
        counts = table["label"][~known].value_counts().to_dict()
        log.info("%s: left out as not of the study's labels: %s", set_name, counts)
    table = table[known].sort_values("item_id", ignore_index=True)
    if table.empty:
        raise DatasetError(f"{set_name}: no image of the labels {', '.join(study.labels)}")
    if study.sets[set_name].role == "test":
        kept = table["split_given"].isin(["public", "private"])
        table["split_given"] = table["split_given"].where(kept, "test")
    table["set_name"] = set_name
    table["path"] = [os.path.relpath(path, ROOT) for path in table["path"]]
    return table[ITEM_COLUMNS]


def _photos(study: Study, set_name: str) -> pd.DataFrame:
    chosen = study.sets[set_name]
    hits, photos, requests = (
        schema.read(study.table(name), name=name) for name in ("hits", "photos", "requests")
    )
    found = found_by(hits, chosen)
    decided = decide_labels(found, chosen.two_labels, requests=requests)
    ok = photos[photos["status"] == "ok"]
    table = decided[["photo_id", "label"]].merge(ok[["photo_id", "path", "phash"]], on="photo_id")
    log.info(
        "%s: %d photos found, %d of them under two labels or more (%s), %d not downloaded",
        set_name,
        found["photo_id"].nunique(),
        found.groupby("photo_id")["label"].nunique().gt(1).sum(),
        chosen.two_labels,
        len(decided) - len(table),
    )
    table["path"] = [ROOT / path for path in table["path"]]
    table["group_id"] = table["photo_id"]
    return table.rename(columns={"photo_id": "item_id"}).assign(split_given=None)


def _read(study: Study, set_name: str) -> pd.DataFrame:
    chosen = study.sets[set_name]
    source = study.data_dir / str(chosen.path)
    if not source.exists():
        raise DatasetError(
            f"set {set_name}: nothing at {chosen.path} below the data folder of study "
            f"{study.name}; data/README.md says what it must hold and who has it"
        )
    if chosen.kind == "folder":
        table = read_folder(source)
    elif chosen.kind == "rafdb":
        published = study.kind == "real" and chosen.counts == "published"
        table = read_rafdb(source, published=published)
    else:
        # a set of the same images in another crop finds them unpacked
        first = next(name for name, other in study.sets.items() if other.origin == chosen.origin)
        table = read_fer2013(source, unpacked=study.raw / "unpacked" / first)
    prefix = set_name if chosen.kind == "folder" else chosen.kind
    table["item_id"] = prefix + ":" + table["name"]
    table["group_id"] = prefix + ":" + table["person"].where(table["person"].notna(), table["name"])
    return table.assign(phash=None)


def all_items(
    study: Study, *, names: Sequence[str] | None = None, progress: bool = True
) -> pd.DataFrame:
    """List the images of all sets of a study; those of one picture share a group in all of them.

    So no split leaks, whichever sets a run mixes, and whether a copy lies in the same set, in
    another or at another source.

    Parameters
    ----------
    names
        Sets of the study; all of them by default.

    Returns
    -------
    pandas.DataFrame
        As `items` gives them, the sets one below the other. The group is that of the first image
        of the same picture or person.
    """
    table = pd.concat([items(study, name) for name in names or study.sets], ignore_index=True)
    table["phash"] = _hashes(table, progress=progress)
    files = table.drop_duplicates("path").dropna(subset="phash")  # a file may be in several sets
    pictures = dict(zip(files["path"], near_duplicates(files["phash"].tolist()), strict=True))
    picture = [str(pictures.get(path, path)) for path in table["path"]]
    together = joined([table["group_id"], picture])
    return table.assign(group_id=table["group_id"].to_numpy()[together])


def _hashes(items: pd.DataFrame, *, progress: bool) -> list[str | None]:
    """Give the hash of each image, computed where the pull left none; None if it can't be read."""
    known = dict(zip(items["path"], items["phash"], strict=True))
    for path in tqdm(known, desc="compare", disable=not progress):
        if is_hash(known[path]):
            continue
        try:
            known[path] = perceptual_hash(read_image(ROOT / path))
        except ImageError as fault:
            known[path] = None
            log.warning("%s can't be compared with the others: %s", path, fault)
    return [known[path] for path in items["path"]]


def faces_as_shipped(
    items: pd.DataFrame, *, progress: bool = True
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take images that are faces already: the box is the whole image, the crop its own file.

    Returns
    -------
    images, faces
        As `exe_core.detection.find_faces` gives them; the score of a face is NaN.
    """
    rows = []
    for path in tqdm(items["path"], desc="faces as shipped", disable=not progress):
        try:
            height, width, _ = read_image(ROOT / path).shape
            rows.append({"width_px": width, "height_px": height, "n_faces": 1, "status": "ok"})
        except ImageError as fault:
            rows.append({"status": "unreadable", "error": str(fault)})
    columns = ["width_px", "height_px", "n_faces", "status", "error"]
    sizes = pd.DataFrame(rows, columns=columns, index=items.index)
    images = pd.concat([items[["item_id", "set_name", "path"]], sizes], axis=1)
    whole = pd.concat([items, sizes[["width_px", "height_px"]]], axis=1)[sizes["status"] == "ok"]
    faces = whole.assign(
        face_id=whole["set_name"] + "/" + whole["item_id"] + "/0",
        score=np.nan,
        x_px=0,
        y_px=0,
        area_share=1.0,
        is_primary=True,
    )
    return schema.check(images, "images"), schema.check(
        faces[list(schema.TABLES["faces"].columns)], "faces"
    )


def faces_of(study: Study, *, progress: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the images and faces of all sets of a study, each cropped as its settings say.

    Returns
    -------
    images, faces
        As `exe_core.detection.find_faces` gives them, the sets one below the other.
    """
    tables = []
    crop, listed = study.crop, all_items(study, progress=progress)
    with FaceFinder(min_score=crop.min_score, retry_border=crop.retry_border) as finder:
        for name, settings in study.sets.items():
            of_set = listed[listed["set_name"] == name].reset_index(drop=True)
            tables.append(
                faces_as_shipped(of_set, progress=progress)
                if settings.crop == "as shipped"
                else find_faces(
                    of_set,
                    finder=finder,
                    crops=study.processed / "crops",
                    settings=crop,
                    progress=progress,
                )
            )
    images, faces = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    return schema.check(images, "images"), schema.check(faces, "faces")


class TrainingSet(NamedTuple):
    """What a run learns from, a row a face.

    Attributes
    ----------
    images
        (N, S, S, 3) uint8 at the size of the run's recipe.
    labels
        (N,) int, places in the study's labels; or (N, C) float, the share of each label in the
        annotators' votes.
    sides
        (N,) "train" or "val".
    groups
        (N,) the group_id of each face.
    """

    images: np.ndarray
    labels: np.ndarray
    sides: np.ndarray
    groups: np.ndarray


def training_set(
    study: Study, run: str, *, faces: pd.DataFrame, splits: pd.DataFrame
) -> TrainingSet:
    """Load what a run learns from: the train and val faces of its sets.

    An image that is in several of the sets counts once, and is left out if they label it
    differently. With `split: modulo` of the recipe, every so-manieth face is val, whatever
    faces share its group: the published fault, to be measured. With `labels: majority` or `votes`
    of the run, faces are labelled by the annotators of the sets' `votes`; those without a
    majority, or without a vote for a label of the study, are left out.

    Raises
    ------
    DatasetError
        If a label has no face to learn from, or the votes do not fit the images.
    """
    learnt = faces[faces["set_name"].isin(study.runs[run].sets) & faces["is_primary"]]
    learnt = learnt.merge(splits[["face_id", "split"]], on="face_id", validate="1:1")
    learnt = _once(learnt[learnt["split"] != "test"].sort_values("face_id", ignore_index=True))
    learnt, labels = _labelled(study, run, learnt)
    shown = labels if labels.ndim == 1 else labels.argmax(axis=1)
    present = set(shown[(learnt["split"] == "train").to_numpy()])
    absent = [label for code, label in enumerate(study.labels) if code not in present]
    if absent:
        raise DatasetError(f"run {run}: no training face shows {', '.join(absent)}")
    recipe, sides = study.recipe(run), learnt["split"].to_numpy(dtype=str)
    if recipe.split == "modulo":
        every = round(1 / recipe.val_share)
        sides = np.where(np.arange(len(learnt)) % every == 0, "val", "train")
    images = load_faces(learnt, size=recipe.size)
    return TrainingSet(images, labels, sides, learnt["group_id"].to_numpy(dtype=str))


def _labelled(study: Study, run: str, faces: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Give the faces that have a label of the run's kind, and these labels."""
    kind = study.runs[run].labels
    if kind == "given":
        codes = pd.Categorical(faces["label"], categories=list(study.labels)).codes
        return faces, codes.astype(np.int64)
    shares = np.full((len(faces), len(study.labels)), np.nan)
    for name in study.runs[run].sets:
        of_set = faces["set_name"] == name
        votes = read_votes(study.votes(name))
        voted = join_votes(faces[of_set], votes).set_index("item_id").reindex(faces["item_id"])
        known = of_set.to_numpy() & voted["votes_neutral"].notna().to_numpy()
        shares[known] = soft_labels(voted[known], labels=study.labels)
    winners = pd.Categorical(majority(shares, labels=study.labels), categories=list(study.labels))
    labels = winners.codes.astype(np.int64) if kind == "majority" else shares
    usable = labels >= 0 if kind == "majority" else ~np.isnan(shares[:, 0])
    log.info("run %s: %d of %d faces have a label by votes", run, usable.sum(), len(faces))
    return faces[usable].reset_index(drop=True), labels[usable]


def _once(faces: pd.DataFrame) -> pd.DataFrame:
    """Keep one face an item; none of an item that has several labels."""
    n_labels = faces.groupby("item_id")["label"].transform("nunique")
    kept = faces[n_labels <= 1].drop_duplicates("item_id")
    if len(kept) < len(faces):
        log.info("%d faces are in several sets or have several labels", len(faces) - len(kept))
    return kept


def load_faces(faces: pd.DataFrame, *, size: int, gray: bool = False) -> np.ndarray:
    """Load the crops of faces.

    Parameters
    ----------
    faces
        A table with face_id and path (relative to the project's root, or absolute).
    size
        Side of the result, px.
    gray
        Show luminance in all three channels.

    Returns
    -------
    numpy.ndarray
        uint8 RGB, shape (N, size, size, 3), in the order of the rows.

    Raises
    ------
    DatasetError
        Naming the face whose crop can't be read.
    """
    loaded = np.empty((len(faces), size, size, 3), np.uint8)
    for row, face_id, path in zip(loaded, faces["face_id"], faces["path"], strict=True):
        try:
            image = Image.fromarray(read_image(ROOT / path))
        except ImageError as fault:
            raise DatasetError(f"the crop of face {face_id} can't be read: {fault}") from None
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        row[:] = np.asarray(image.convert("L"))[..., None] if gray else np.asarray(image)
    return loaded
