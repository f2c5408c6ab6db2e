"""The image sets of a study: items, groups of copies, splits, faces, and what a run learns from."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from PIL import Image
from scipy.fft import dct, dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from exe_core import tables
from exe_core.faces import FaceFinder, ImageError, find_faces, load_faces, read_image
from exe_core.readers import ATTRIBUTES, READERS, DatasetError, majority, read_votes, voted_shares
from exe_core.record import ROOT
from exe_core.settings import KEYWORDS, Set
from exe_core.study import Study

log = logging.getLogger(__name__)

NEAR = 0.95
"""Images of a cosine similarity (-1 to 1) of at least this are of one picture.

Measured on press photos, film stills and photos of the synthetic world: a copy at JPEG quality 30,
at half the size, in gray, 20 % brighter, mirrored or cropped (`MAX_CROP`) is .95 or more similar to
its original in 95 of 100 cases, and no two different press photos more than .83. The pairs of
FER2013 above .92 that were looked at were all of one picture.
"""
MAX_CROP = 0.10
"""Share of the width, and of the height, that a copy may lack; twice that if cut on both sides."""
COARSE = 0.8
"""Images less similar in their 5 x 5 lowest coefficients are not compared window by window."""

_SIDE, _KEPT, _COMPARED, _COARSE, _STEPS = 64, 16, 12, 5, 3
_FREQUENCY = np.hypot(*np.mgrid[:_KEPT, :_KEPT]).astype(np.float32)  # of each coefficient
_FREQUENCY[0, 0] = 1


def perceptual_hash(image: np.ndarray) -> str:
    """Compute the perceptual hash of an image (uint8 RGB), 512 hexadecimal digits.

    The 16 x 16 lowest coefficients of the cosine transform of its luminance, at 64 x 64 px; each
    is multiplied by its frequency, as natural images have less of the higher ones, and kept as a
    signed byte.
    """
    gray = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    kept = dctn(np.asarray(gray, dtype=float), norm="ortho")[:_KEPT, :_KEPT] * _FREQUENCY
    kept[0, 0] = 0  # brightness does not count
    scale = np.abs(kept).max()
    # less than one gray level a pixel: an image of one colour, whose rounding errors are no picture
    levels = np.round(127 * kept / scale) if scale > 1 else np.zeros_like(kept)
    return levels.astype(np.int8).tobytes().hex()


def near_duplicates(hashes: Sequence[str]) -> np.ndarray:
    """Group images that show the same picture, by their N perceptual hashes.

    Each image is compared with all others at the lowest frequencies, as a whole and by its middle,
    plain and mirrored; where one is similar (`COARSE`), it is compared with all cropped windows of
    the image. 30,000 images take about a minute.

    Returns the index (N,) of the first image of the same picture; chains are joined. An image of
    one colour is similar to no other.
    """
    levels = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.int8)
    images = levels.reshape(-1, _KEPT, _KEPT) / _FREQUENCY
    windows, weights = _windows(), _FREQUENCY[:_COMPARED, :_COMPARED]
    # to mirror an image is to turn the sign of its odd horizontal frequencies
    mirror = np.where(np.arange(_COMPARED) % 2, -1, 1).astype(np.float32)
    wholes = windows[0] @ images @ windows[0].T
    coarse, fine = _directions(wholes[:, :_COARSE, :_COARSE]), _directions(wholes * weights)
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for place, image in enumerate(images):
        parts = (windows[:, None] @ image @ windows.transpose(0, 2, 1)).reshape(-1, *weights.shape)
        few = np.concatenate([parts[[0, -1]], parts[[0, -1]] * mirror])[:, :_COARSE, :_COARSE]
        close = np.flatnonzero((coarse @ _directions(few).T >= COARSE).any(axis=1))
        if len(close) > 1:
            shown = _directions(np.concatenate([parts, parts * mirror]) * weights)
            same = close[(fine[close] @ shown.T >= NEAR).any(axis=1)]
            pairs.append(np.column_stack([np.full_like(same, place), same]))
    return _first_of_component(np.concatenate(pairs), len(images))


def _windows() -> np.ndarray:
    """Matrices that take coefficients of an image along one axis to those of a window of it.

    A window begins and ends at multiples of a third of `MAX_CROP`; the first is the whole. The
    cosines of the whole are sampled within it and transformed again; shape (windows, 12, 16).
    """
    centres = (np.arange(_SIDE) + 0.5) / _SIDE
    scale = np.where(np.arange(_KEPT) == 0, np.sqrt(1 / _SIDE), np.sqrt(2 / _SIDE))
    step, steps = MAX_CROP / _STEPS, range(_STEPS + 1)
    cuts = [(i * step, j * step) for i in steps for j in steps if i == j or i + j <= _STEPS]
    sampled = [
        scale * np.cos(np.pi * np.arange(_KEPT) * (low + centres[:, None] * (1 - low - high)))
        for low, high in cuts
    ]
    taken = [dct(cosines, axis=0, norm="ortho")[:_COMPARED] for cosines in sampled]
    return np.stack(taken).astype(np.float32)


def _directions(parts: np.ndarray) -> np.ndarray:
    """Unit vectors of coefficients (N, n, n), without the mean brightness; zeros stay."""
    flat = parts.reshape(len(parts), parts.shape[1] * parts.shape[2])[:, 1:]
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)


THUMBNAIL = 48  # px, that of FER2013: images are compared in gray at this size
NEAR_CORRELATION = 0.92
"""Least correlation of the pixels of two images of one picture.

In FER2013, of 26 pairs between .92 and .94 that were looked at all were of one picture, of 13
between .90 and .91 two were not. Mirrored copies are not searched: there are about ten above .93.
"""


def audit_copies(items: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of images that are pixel-identical or nearly so: table "leakage".

    The other image of a pair stands earlier in `items`, as `all_items` gives them. Images that
    can't be read are left out, and counted in the log.
    """
    from sklearn.neighbors import NearestNeighbors  # slow to import

    rows, size = [], (THUMBNAIL, THUMBNAIL)
    for place, path in enumerate(items["path"]):
        with suppress(ImageError):
            image = read_image(ROOT / path)
            small = Image.fromarray(image).convert("L").resize(size, Image.Resampling.BOX)
            digest = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
            rows.append((place, digest, np.asarray(small, dtype=np.float32).ravel()))
    if len(rows) < len(items):
        log.warning("%d of %d images can't be read", len(items) - len(rows), len(items))
    known = pd.DataFrame(rows, columns=["place", "digest", "pixels"])
    pixels = np.stack(known.pop("pixels"))
    same = known.merge(known, on="digest", suffixes=("", "_later"))
    pixels -= pixels.mean(axis=1, keepdims=True)
    search = NearestNeighbors(radius=1 - NEAR_CORRELATION, metric="cosine").fit(pixels)
    graph = search.radius_neighbors_graph(mode="distance").tocoo()
    earlier, later = (known.iloc[one].reset_index(drop=True) for one in (graph.row, graph.col))
    near = earlier.join(later.add_suffix("_later")).assign(kind="near", correlation=1 - graph.data)
    near = near[near["digest"] != near["digest_later"]]
    pairs = pd.concat([same.assign(kind="identical", correlation=1.0), near])
    pairs = pairs[pairs["place"] < pairs["place_later"]]
    described = items.rename(columns={"split_given": "split"})
    described = described[["item_id", "set_name", "split", "label"]]
    ones = described.iloc[pairs["place_later"]].reset_index(drop=True)
    others = described.iloc[pairs["place"]].reset_index(drop=True).add_prefix("other_")
    how = pairs[["kind", "correlation"]].reset_index(drop=True)
    return pd.concat([ones, others, how], axis=1)


def _connected(keys: Sequence[ArrayLike]) -> np.ndarray:
    """Give the first row of each row's group: rows that share one of several keys, and chains."""
    rows = pd.Series(range(len(np.asarray(keys[0]))))
    firsts = [rows.groupby(np.asarray(key)).transform("min") for key in keys]
    pairs = np.concatenate([np.column_stack([rows, first]) for first in firsts])
    return _first_of_component(pairs, len(rows))


def _first_of_component(pairs: np.ndarray, n: int) -> np.ndarray:
    graph = coo_array((np.ones(len(pairs), bool), pairs.T), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return first[inverse]


def split(
    faces: pd.DataFrame, *, val_share: float, test_share: float = 0.2, seed: int
) -> pd.DataFrame:
    """Split faces into train, val and test; all faces of a group go to one side.

    A split that a set comes with is kept: its train part is divided into train and val, all other
    parts are test. Elsewhere a share of the groups is test, and a share of the others val. Groups
    are drawn at even steps from a list ordered by label, sets and size (systematic sampling), so
    that each of these is divided evenly. The order of the rows does not matter.

    `faces` has face_id, set_name, group_id, label and split_given, of all sets that are ever
    trained on together. `val_share` (0..1) is of the groups that are not test, `test_share` of
    those without a given split. Returns table "splits"; duplicate_of_train marks test faces whose
    group is also on another side, as in the given split of FER2013.
    """
    given = faces["split_given"].fillna("")
    given_test = ~given.isin(["", "train", "val"])
    parts = pd.DataFrame({"train": given == "train", "test": given_test})
    has, groups = parts.groupby(faces["group_id"]).any(), _strata(faces)
    rng, free = np.random.default_rng(seed), ~has["train"] & ~has["test"]
    is_test = _drawn(groups, free, share=test_share, rng=rng) | (has["test"] & ~has["train"])
    is_val = _drawn(groups, ~is_test, share=val_share, rng=rng)
    side = pd.Series("train", index=groups.index).mask(is_test, "test").mask(is_val, "val")
    sides = faces["group_id"].map(side).mask(given_test, "test").mask(given == "val", "val")
    splits = faces[["face_id", "set_name", "group_id"]].assign(split=sides)
    is_copy = splits["group_id"].isin(splits["group_id"][sides != "test"])
    splits["duplicate_of_train"] = (sides == "test") & is_copy
    log.info("%d test faces have a copy in training", splits["duplicate_of_train"].sum())
    return tables.check(splits.reset_index(drop=True), "splits")


def _strata(faces: pd.DataFrame) -> pd.DataFrame:
    """Most frequent label, sets and size of each group, by group_id."""
    counts = faces.fillna({"label": ""}).value_counts(["group_id", "label"]).reset_index()
    order = counts.sort_values(["group_id", "count", "label"], ascending=[True, False, True])
    groups = order.drop_duplicates("group_id").set_index("group_id")[["label"]]
    pairs = faces[["group_id", "set_name"]].drop_duplicates().sort_values(["group_id", "set_name"])
    groups["sets"] = pairs.groupby("group_id")["set_name"].agg(",".join)
    return groups.assign(size=faces.groupby("group_id").size())


def _drawn(
    groups: pd.DataFrame, among: pd.Series, *, share: float, rng: np.random.Generator
) -> pd.Series:
    """Draw a share of some groups by systematic sampling: a mask over all groups."""
    shuffled = groups[among].iloc[rng.permutation(int(among.sum()))]
    listed = shuffled.sort_values(["label", "sets", "size"], kind="stable").index
    steps = np.floor(np.arange(len(listed) + 1) * share + rng.uniform())
    return pd.Series(groups.index.isin(listed[np.diff(steps) > 0]), index=groups.index)


def found_by(hits: pd.DataFrame, chosen: Set) -> pd.DataFrame:
    """Give the hits of a set of photos: those of its source and design."""
    return hits[(hits["source"] == chosen.source) & (hits["design"] == chosen.design)]


def decide_labels(hits: pd.DataFrame) -> pd.DataFrame:
    """Give each photo of a set the label that it was found under; one under several is left out.

    `hits` are those of the set, as `found_by` gives them. Returns a row a photo: photo_id, label
    and query, the first of those that found it in the order of `exe_core.settings.KEYWORDS`.
    """
    listed = [query for of in KEYWORDS.values() for queries in of.values() for query in queries]
    n_labels = hits.groupby("photo_id")["label"].transform("nunique")
    place = {query: k for k, query in enumerate(listed)}
    kept = hits[n_labels == 1]
    kept = kept.assign(order=kept["query"].map(place))  # of `hits`, it would add rows to none
    kept = kept.sort_values(["photo_id", "order"]).drop_duplicates("photo_id", ignore_index=True)
    return kept[["photo_id", "label", "query"]]


ITEM_COLUMNS = ["item_id", "set_name", "path", "label", "group_id", "split_given", "phash"]


def read_set(study: Study, set_name: str) -> pd.DataFrame:
    """List all images of a set, whatever their labels; of photos those that were downloaded.

    Returns item_id, set_name, path (relative to the project's root), label (null if it has none),
    group_id (the person where known, and the film; else the image itself), split_given (None,
    train, val, test; public or private of FER2013; test for all else of a set of role "test"),
    phash, if the pull left one, person, and `exe_core.readers.ATTRIBUTES`. A `DatasetError` is
    raised if the set is unknown or missing, or does not have the form that its reader expects.
    """
    if set_name not in study.sets:
        raise DatasetError(f"no set {set_name!r}; study {study.name} has {', '.join(study.sets)}")
    chosen = study.sets[set_name]
    table = _photos(study, set_name) if chosen.kind == "photos" else _files(study, set_name)
    table = table.sort_values("item_id", ignore_index=True)
    if chosen.role == "test":
        kept = table["split_given"].isin(["public", "private"])
        table["split_given"] = table["split_given"].where(kept, "test")
    paths = [os.path.relpath(path, ROOT) for path in table["path"]]
    columns = [*ITEM_COLUMNS, "person", *ATTRIBUTES]
    missing = dict.fromkeys(set(columns) - set(table))  # unknown of photos
    return table.assign(**missing | {"set_name": set_name, "path": paths})[columns]


def attributes(study: Study) -> pd.DataFrame:
    """List what the sets of a study say of their images: table "attributes", a row an image."""
    table = pd.concat([read_set(study, name) for name in study.sets], ignore_index=True)
    return tables.check(table[list(tables.TABLES["attributes"].columns)], "attributes")


def _photos(study: Study, set_name: str) -> pd.DataFrame:
    photos, hits = study.read("photos").query("status == 'ok'"), study.read("hits")
    decided = decide_labels(found_by(hits, study.sets[set_name]))
    table = decided.merge(photos[["photo_id", "path", "phash"]], on="photo_id")
    log.info("%s: %d photos have a label, %d of them a file", set_name, len(decided), len(table))
    paths = [ROOT / path for path in table["path"]]
    table = table.assign(path=paths, group_id=table["photo_id"], split_given=None)
    return table.rename(columns={"photo_id": "item_id"})


def _files(study: Study, set_name: str) -> pd.DataFrame:
    chosen = study.sets[set_name]
    source = study.data_dir / str(chosen.path)
    if not source.exists():
        raise DatasetError(
            f"set {set_name}: nothing at {chosen.path} below the data folder of study "
            f"{study.name}; data/README.md says what it must hold and who has it"
        )
    # a set of the same images in another crop finds them unpacked
    first = next(name for name, other in study.sets.items() if other.origin == chosen.origin)
    actors = {"persons": chosen.persons, "without": chosen.without_persons}
    options = actors if chosen.kind == "imfdb" else {}
    table = READERS[chosen.kind](source, unpacked=study.raw / "unpacked" / first, **options)
    of_kind = {other.path for other in study.sets.values() if other.kind == chosen.kind}
    prefix = chosen.kind if len(of_kind) == 1 else first  # one name in two places: two images
    prefix = set_name if chosen.kind == "folder" else prefix
    group = table[["person", "film"]].fillna("").agg("/".join, axis=1).str.strip("/")
    named = {"item_id": table["name"], "group_id": group.where(group != "", table["name"])}
    return table.assign(**{key: f"{prefix}:" + name for key, name in named.items()}, phash=None)


def all_items(study: Study, *, names: Sequence[str] | None = None) -> pd.DataFrame:
    """List the images that have a label of the study, of all its sets or of those with `names`.

    Returns `ITEM_COLUMNS` of `read_set`. Images of one picture or person share a group, that of the
    first, in all sets: so no split leaks, whichever sets a run mixes. A `DatasetError` is raised as
    there, and if a set has no such image.
    """
    table = pd.concat([read_set(study, name) for name in names or study.sets])
    table = table.loc[table["label"].isin(study.labels), ITEM_COLUMNS].reset_index(drop=True)
    for name in set(names or study.sets) - set(table["set_name"]):
        raise DatasetError(f"{name}: no image of the labels {', '.join(study.labels)}")
    known = dict(table.dropna(subset="phash")[["path", "phash"]].to_numpy())
    for path in tqdm(table["path"][~table["path"].isin(known)].unique(), desc="compare"):
        try:  # a file may be in several sets
            known[path] = perceptual_hash(read_image(ROOT / path))
        except ImageError as fault:
            log.warning("%s can't be compared with the others: %s", path, fault)
    pictures = dict(zip(known, near_duplicates(list(known.values())), strict=True))
    picture = [str(pictures.get(path, path)) for path in table["path"]]
    first = _connected([table["group_id"], picture])
    return table.assign(group_id=table["group_id"].to_numpy()[first])


def faces_as_shipped(items: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Take images that are faces already: the box is the whole image, the crop its file.

    Returns tables "images" and "faces", as `find_faces` does; the score of a face is NaN.
    """
    columns = ["width_px", "height_px", "n_faces", "status", "error"]
    sizes: list[tuple[object, ...]] = []
    for path in tqdm(items["path"], desc="faces as shipped"):
        try:
            height, width, _ = read_image(ROOT / path).shape
            sizes.append((width, height, 1, "ok", None))
        except ImageError as fault:
            sizes.append((None, None, None, "unreadable", str(fault)))
    images = items.join(pd.DataFrame(sizes, columns=columns, index=items.index))
    faces = images[images["status"] == "ok"].assign(
        score=np.nan, x_px=0, y_px=0, area_share=1.0, is_primary=True
    )
    faces["face_id"] = faces["set_name"] + "/" + faces["item_id"] + "/0"
    return (
        tables.check(images[["item_id", "set_name", "path", *columns]], "images"),
        tables.check(faces[list(tables.TABLES["faces"].columns)], "faces"),
    )


def faces_of(study: Study) -> tuple[pd.DataFrame, pd.DataFrame]:
    """List the images and faces of all sets of a study, each cropped as its settings say.

    Returns tables "images" and "faces", as `find_faces` does. Images of labels that the study does
    not have are rows of images with a reason.
    """
    parts = []
    crop, listed = study.crop, all_items(study)
    with FaceFinder(min_score=crop.min_score, retry_border=crop.retry_border) as finder:
        for name, settings in study.sets.items():
            of_set = listed[listed["set_name"] == name].reset_index(drop=True)
            if settings.crop == "as shipped":
                images, faces = faces_as_shipped(of_set)
            else:
                folder = study.processed / "crops"
                images, faces = find_faces(of_set, finder=finder, crops=folder, settings=crop)
            others = read_set(study, name)
            others = others[~others["label"].isin(study.labels)]
            why = others["no_label"].fillna(others["label"] + " is no label of the study")
            others = others[["item_id", "set_name", "path"]].assign(status="other label", error=why)
            parts.append((pd.concat([images, others], ignore_index=True), faces))
    images, faces = (pd.concat(one, ignore_index=True) for one in zip(*parts, strict=True))
    return tables.check(images, "images"), tables.check(faces, "faces")


class TrainingSet(NamedTuple):
    """What a run learns from, a row a face."""

    images: np.ndarray  # (N, S, S, 3) uint8 at the size of the run's recipe
    labels: np.ndarray  # (N,) int, places in the study's labels, or -1; or (N, C) shares, or NaN
    sides: np.ndarray  # (N,) "train", "val", or "" for a face that the run does not use
    groups: np.ndarray  # (N,) the group_id of each face


def training_set(
    study: Study, run: str, *, faces: pd.DataFrame, splits: pd.DataFrame
) -> TrainingSet:
    """Load what a run learns from: the train and val faces of its sets.

    An image that is in several of the sets counts once, and is left out if they label it
    differently. With `labels: votes` of the run, faces are labelled by the annotators of the sets'
    `votes`. Faces without such a label, beyond the numbers of `match`, or of other `collections`
    stay in the arrays, on no side, so that all runs on a set share what frozen layers make of it.
    A `DatasetError` is raised if the votes do not fit the images.
    """
    learnt = faces[faces["set_name"].isin(study.runs[run].sets) & faces["is_primary"]]
    learnt = learnt.merge(splits[["face_id", "split"]], on="face_id", validate="1:1")
    learnt = learnt[learnt["split"] != "test"].sort_values("face_id", ignore_index=True)
    n_labels = learnt.groupby("item_id")["label"].transform("nunique")
    once = learnt[n_labels <= 1].drop_duplicates("item_id")
    log.info("%d faces are in several sets or have several labels", len(learnt) - len(once))
    learnt, recipe, settings = once.reset_index(drop=True), study.recipe(run), study.runs[run]
    sides = learnt["split"].to_numpy(dtype="U6")
    if settings.collections:
        source = study.read("attributes").drop_duplicates("item_id").set_index("item_id")["source"]
        sides[~learnt["item_id"].map(source).isin(settings.collections)] = ""
    if settings.match is not None:
        matched = faces[(faces["set_name"] == settings.match) & faces["is_primary"]]
        matched = matched.merge(splits[["face_id", "split"]], on="face_id")
        wanted = matched.groupby(["split", "label"]).size()
        order = np.random.default_rng(recipe.seed).permutation(len(learnt))
        place = learnt.iloc[order].groupby(["split", "label"]).cumcount().sort_index()
        most = pd.MultiIndex.from_frame(learnt[["split", "label"]]).map(wanted.get)
        sides[place.to_numpy() >= np.nan_to_num(np.array(most, dtype=float))] = ""
    if settings.labels == "votes":
        labels = np.full((len(learnt), len(study.labels)), np.nan)
        for name in settings.sets:
            of_set, votes = (learnt["set_name"] == name).to_numpy(), read_votes(study.votes(name))
            labels[of_set] = voted_shares(learnt[of_set], votes, labels=study.labels)
        sides[np.isnan(labels).any(axis=1)] = ""
    else:
        labels = pd.Categorical(learnt["label"], categories=study.labels).codes.astype(np.int64)
        sides[labels < 0] = ""
    images = load_faces(learnt, size=recipe.size)
    return TrainingSet(images, labels, sides, learnt["group_id"].to_numpy(dtype=str))


def votes_as_predictions(
    items: pd.DataFrame, votes: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Treat the annotators as a classifier whose probabilities are the shares of their votes.

    `items` has item_id, set_name, group_id, label and split_given of one set; `votes` is what
    `read_votes` gives. Returns table "predictions" of the run "majority of votes", without images
    that have no majority; the split is the given one.
    """
    shares = voted_shares(items, votes, labels=labels)
    clear = pd.notna(majority(shares, labels=labels))
    table = items[clear].reset_index(drop=True).rename(columns={"split_given": "split"})
    table = table[["item_id", "set_name", "group_id", "label", "split"]]
    table["run_id"] = "majority of votes"
    return tables.with_probabilities(table, shares[clear], labels=labels)
