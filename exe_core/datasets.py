"""The sets of a study: their images and labels, their splits by group, their pixels."""

from __future__ import annotations

import logging
import os

import numpy as np
import pandas as pd
from PIL import Image
from tqdm import tqdm

from exe_core import schema
from exe_core.config import ROOT, Study
from exe_core.detection import FaceFinder, ImageError, find_faces, read_image
from exe_core.fer2013 import read_fer2013
from exe_core.grouping import near_duplicates, perceptual_hash, pixel_digests
from exe_core.rafdb import read_rafdb
from exe_core.readers import DatasetError, read_folder

log = logging.getLogger(__name__)

ITEM_COLUMNS = ["item_id", "set_name", "path", "label", "group_id", "split_given"]


def items(study: Study, set_name: str) -> pd.DataFrame:
    """List the images of a set that have a label of the study.

    Photos come from the tables of the pull: those of the set's source and design that were
    downloaded; a photo that was found under two labels is left out, as neither can be trusted.
    Images of other labels are left out. What is left out is counted in the log.

    Returns
    -------
    pandas.DataFrame
        item_id, set_name, path (relative to the project's root), label, group_id (the person where
        known; else images of one picture share it) and split_given: None, train, val, test; public
        or private of FER2013; everything of a set of role "test" that is not one of these two is
        test.

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
    hits = schema.read(study.table("hits"), name="hits")
    photos = schema.read(study.table("photos"), name="photos")
    ok = photos[photos["status"] == "ok"].sort_values("photo_id", ignore_index=True)
    # over all photos, so that sets which share a picture agree on its group
    ok["group_id"] = ok["photo_id"].to_numpy()[near_duplicates(ok["phash"].tolist())]
    found = hits[(hits["source"] == chosen.source) & (hits["design"] == chosen.design)]
    found = found[["photo_id", "label"]].drop_duplicates()
    ambiguous = found["photo_id"].duplicated(keep=False)
    table = found[~ambiguous].merge(ok[["photo_id", "path", "group_id"]], on="photo_id")
    log.info(
        "%s: %d photos found, %d of them under two labels or more and left out, %d not downloaded",
        set_name,
        found["photo_id"].nunique(),
        found["photo_id"][ambiguous].nunique(),
        (~ambiguous).sum() - len(table),
    )
    table["path"] = [ROOT / path for path in table["path"]]
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
        group = _groups_of_folder(table, set_name)
        prefix = set_name
    else:
        prefix = chosen.kind
        table = (
            read_rafdb(source, published=study.kind == "real" and chosen.counts == "published")
            if chosen.kind == "rafdb"
            else read_fer2013(source, unpacked=study.raw / "unpacked" / set_name)
        )
        digests = pixel_digests(tqdm(table["path"], desc=f"compare {set_name}"))
        group = [found or name for found, name in zip(digests, table["name"], strict=True)]
    table["item_id"] = [f"{prefix}:{name}" for name in table["name"]]
    table["group_id"] = [f"{prefix}:{name}" for name in group]
    return table


def _groups_of_folder(table: pd.DataFrame, set_name: str) -> list[str]:
    """Give the person where known, else the first image of the same picture."""
    alone = table[table["person"].isna()]
    hashes, names = [], []
    for name, path in zip(alone["name"], alone["path"], strict=True):
        try:
            hashes.append(perceptual_hash(read_image(path)))
            names.append(name)
        except ImageError as fault:
            log.warning("%s: %s can't be compared with the others: %s", set_name, name, fault)
    first = dict(zip(names, np.array(names)[near_duplicates(hashes)], strict=True)) if names else {}
    return [
        first.get(name, name) if pd.isna(person) else person
        for name, person in zip(table["name"], table["person"], strict=True)
    ]


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


def split(
    faces: pd.DataFrame, *, val_share: float, test_share: float = 0.2, seed: int
) -> pd.DataFrame:
    """Put each face on a side of the split: all faces of a group on the same one.

    A split that a set comes with is kept: its train part is divided into train and val, all other
    parts are test. Elsewhere a share of the groups is test, and a share of the others val. Groups
    are drawn at even steps from a list ordered by label, sets and size, so each of these is
    divided alike, as far as groups allow. The order of the rows does not matter.

    Parameters
    ----------
    faces
        face_id, set_name, group_id, label and split_given; of all the sets that are ever trained
        on together, as a group is put on one side in all of them.
    val_share
        Share (0..1) of the groups that are not test.
    test_share
        Share (0..1) of the groups, where no split is given.

    Returns
    -------
    pandas.DataFrame
        face_id, set_name, group_id, split, and duplicate_of_train: a test face whose group is also
        on another side, as the given split of FER2013 has them.
    """
    given = faces["split_given"]
    by_group = pd.DataFrame(
        {
            "given_train": (given == "train").groupby(faces["group_id"]).any(),
            "given_test": (given.notna() & ~given.isin(["train", "val"]))
            .groupby(faces["group_id"])
            .any(),
        }
    )
    groups = _strata(faces).join(by_group)
    rng = np.random.default_rng(seed)
    free = ~groups["given_train"] & ~groups["given_test"]
    is_test = (groups["given_test"] & ~groups["given_train"]) | _drawn(
        groups, free, share=test_share, rng=rng
    )
    is_val = _drawn(groups, ~is_test, share=val_share, rng=rng)
    side = pd.Series("train", index=groups.index).mask(is_test, "test").mask(is_val, "val")
    splits = faces[["face_id", "set_name", "group_id"]].assign(
        split=faces["group_id"].map(side).where(given.isna() | (given == "train"), "test")
    )
    splits.loc[given == "val", "split"] = "val"
    learnt = set(splits["group_id"][splits["split"] != "test"])
    splits["duplicate_of_train"] = (splits["split"] == "test") & splits["group_id"].isin(learnt)
    log.info("%d test faces are learnt from, too", splits["duplicate_of_train"].sum())
    return schema.check(splits.reset_index(drop=True), "splits")


def _strata(faces: pd.DataFrame) -> pd.DataFrame:
    """Describe each group, by group_id: its most frequent label, its sets, its size."""
    labelled = faces.assign(label=faces["label"].fillna(""))
    counts = labelled.groupby(["group_id", "label"]).size().reset_index(name="n")
    first = counts.sort_values(["group_id", "n", "label"], ascending=[True, False, True])
    groups = first.drop_duplicates("group_id").set_index("group_id")[["label"]]
    pairs = faces[["group_id", "set_name"]].drop_duplicates().sort_values(["group_id", "set_name"])
    groups["sets"] = pairs.groupby("group_id")["set_name"].agg(",".join)
    groups["size"] = faces.groupby("group_id").size()
    return groups


def _drawn(
    groups: pd.DataFrame, among: pd.Series, *, share: float, rng: np.random.Generator
) -> pd.Series:
    """Draw a share of some groups by systematic sampling: a mask over all groups."""
    shuffled = groups[among].iloc[rng.permutation(int(among.sum()))]
    listed = shuffled.sort_values(["label", "sets", "size"], kind="stable").index
    steps = np.floor(np.arange(len(listed) + 1) * share + rng.uniform())
    drawn = listed[np.diff(steps) > 0]
    return pd.Series(groups.index.isin(drawn), index=groups.index)


def faces_of(study: Study, *, progress: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the images and faces of all sets of a study, each cropped as its settings say.

    Returns
    -------
    images, faces
        As `exe_core.detection.find_faces` gives them, the sets one below the other.
    """
    tables = []
    crop = study.crop
    with FaceFinder(min_score=crop.min_score, retry_border=crop.retry_border) as finder:
        for name, settings in study.sets.items():
            listed = items(study, name)
            tables.append(
                faces_as_shipped(listed, progress=progress)
                if settings.crop == "as shipped"
                else find_faces(
                    listed,
                    finder=finder,
                    crops=study.processed / "crops",
                    settings=crop,
                    progress=progress,
                )
            )
    images, faces = (pd.concat(parts, ignore_index=True) for parts in zip(*tables, strict=True))
    return schema.check(images, "images"), schema.check(faces, "faces")


def training_set(
    study: Study, run: str, *, faces: pd.DataFrame, splits: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Load what a run learns from: the train and val faces of its sets.

    Returns
    -------
    images, labels, sides
        (N, S, S, 3) uint8 at the size of the run's recipe; (N,) int, places in the study's
        labels; (N,) "train" or "val".

    Raises
    ------
    DatasetError
        If a label has no face to learn from.
    """
    learnt = faces[faces["set_name"].isin(study.runs[run].sets) & faces["is_primary"]]
    learnt = learnt.merge(splits[["face_id", "split"]], on="face_id", validate="1:1")
    learnt = learnt[learnt["split"] != "test"].sort_values("face_id", ignore_index=True)
    absent = set(study.labels) - set(learnt["label"][learnt["split"] == "train"])
    if absent:
        raise DatasetError(f"run {run}: no training face shows {', '.join(sorted(absent))}")
    images = load_faces(learnt, size=study.recipe(run).size)
    codes = pd.Categorical(learnt["label"], categories=list(study.labels)).codes
    return images, codes.astype(np.int64), learnt["split"].to_numpy(dtype=str)


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
