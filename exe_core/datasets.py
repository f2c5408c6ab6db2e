"""The sets of a study: their images and labels, their pixels, and what a run learns from."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from PIL import Image
from scipy.fft import dct, dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from exe_core import resampling
from exe_core import tables as schema
from exe_core.curation import decide_labels, found_by
from exe_core.faces import FaceFinder, ImageError, find_faces, read_image
from exe_core.readers import (
    DatasetError,
    join_votes,
    majority,
    read_fer2013,
    read_folder,
    read_rafdb,
    read_votes,
    soft_labels,
    vote_entropy,
)
from exe_core.resampling import Statistics
from exe_core.study import ROOT, Study

NEAR = 0.95
"""Images whose likeness (a cosine, -1 to 1) is no less are of one picture.

Measured on press photos, film stills and photos of the synthetic world: a copy at JPEG quality 30,
at half the size, in gray, 20 % brighter, mirrored or cropped (`MAX_CROP`) is .95 or more like its
original in 95 of 100 cases, and no two different press photos are more than .83 alike. The pairs of
FER2013 above .92 that were looked at were all of one picture; of the drawn faces of the world, more
alike than people, 4 of 450,000 pairs are above .95.
"""

MAX_CROP = 0.10
"""Share of the width, and of the height, that a copy may lack; twice that if cut on both sides
alike."""

_SIDE, _KEPT, _COMPARED, _STEPS = 64, 16, 12, 3
_TABLES, _KEY_BITS, _LOW = 24, 18, 64
_MAX_FLIPS = 24  # of the 143 signs: more than a likeness of `NEAR` leaves
_CHUNK = 32  # images compared at once: what fits a processor's cache


def perceptual_hash(image: np.ndarray) -> str:
    """Compute the perceptual hash of an image, 512 hexadecimal digits.

    The 16 x 16 lowest coefficients of the cosine transform of its luminance, at 64 x 64 px; each
    is multiplied by its frequency, as natural images have less of the higher ones, and kept as a
    signed byte.

    Parameters
    ----------
    image
        uint8 RGB, shape (height, width, 3).
    """
    gray = Image.fromarray(image).convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    kept = dctn(np.asarray(gray, dtype=float), norm="ortho")[:_KEPT, :_KEPT] * _frequency(_KEPT)
    kept[0, 0] = 0  # brightness does not count
    scale = np.abs(kept).max()
    # less than one gray level a pixel: an image of one colour, whose rounding errors are no picture
    levels = np.round(127 * kept / scale) if scale > 1 else np.zeros_like(kept)
    return levels.astype(np.int8).tobytes().hex()


def is_hash(text: object) -> bool:
    """Tell a hash of `perceptual_hash` from nothing, and from that of another program."""
    return isinstance(text, str) and len(text) == 2 * _KEPT**2


def near_duplicates(hashes: Sequence[str]) -> np.ndarray:
    """Say which picture each of several images shows.

    Each hash is looked up in tables keyed by 18 of its signs (locality-sensitive hashing), as a
    whole, by window and mirrored; what is found there is then compared. So the time grows with the
    number of images, not with that of pairs, and a copy in a thousand may be missed.

    Parameters
    ----------
    hashes
        N perceptual hashes, as `perceptual_hash` gives them.

    Returns
    -------
    numpy.ndarray
        int, shape (N,): the index of the first image of the same picture; chains are joined. An
        image of one colour is like no other.
    """
    wholes = _decoded(hashes)
    pairs = [np.empty((0, 2), dtype=np.int64), *_pairs(wholes)]
    return _first_of_component(np.concatenate(pairs), len(wholes))


def joined(keys: Sequence[ArrayLike]) -> np.ndarray:
    """Say which rows belong together: those that share one of several keys, and chains of them.

    Parameters
    ----------
    keys
        One or more, each (N,): the person of each row, its picture.

    Returns
    -------
    numpy.ndarray
        int, shape (N,): the first row of those that belong together.

    Examples
    --------
    >>> joined([["ann", "ann", "bob", "eve"], ["p1", "p2", "p2", "p3"]]).tolist()
    [0, 0, 0, 3]
    """
    pairs = []
    for key in keys:
        _, first, inverse = np.unique(np.asarray(key), return_index=True, return_inverse=True)
        pairs.append(np.stack([np.arange(len(inverse)), first[inverse]], axis=1))
    return _first_of_component(np.concatenate(pairs), len(pairs[0]))


def _first_of_component(pairs: np.ndarray, n: int) -> np.ndarray:
    rows, columns = pairs.T
    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(n, n))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component, return_index=True, return_inverse=True)
    return first[inverse]


def _decoded(hashes: Sequence[str]) -> np.ndarray:
    """Give the coefficients of hashes, (N, 16, 16)."""
    other = next((text for text in hashes if not is_hash(text)), None)
    if other is not None:
        raise ValueError(f"no perceptual hash: {str(other)[:40]!r}; perceptual_hash gives such")
    levels = np.frombuffer(bytes.fromhex("".join(hashes)), dtype=np.int8)
    return levels.reshape(-1, _KEPT, _KEPT) / _frequency(_KEPT).astype(np.float32)


def _frequency(n: int) -> np.ndarray:
    """Give the spatial frequency of each coefficient, (n, n); 1 for the mean brightness."""
    frequency = np.hypot(*np.mgrid[:n, :n])
    frequency[0, 0] = 1
    return frequency


def _windows() -> np.ndarray:
    """Give, a window along one axis, what takes coefficients of the whole to those of the window.

    The window begins and ends at multiples of a third of `MAX_CROP`; the first is the whole. The
    cosines of the whole are sampled within it, and transformed again.

    Returns
    -------
    numpy.ndarray
        (windows, 12, 16).
    """
    centres = (np.arange(_SIDE) + 0.5) / _SIDE
    scale = np.where(np.arange(_KEPT) == 0, np.sqrt(1 / _SIDE), np.sqrt(2 / _SIDE))
    step = MAX_CROP / _STEPS
    steps = range(_STEPS + 1)
    cuts = [(i * step, j * step) for i in steps for j in steps if i == j or i + j <= _STEPS]
    sampled = [
        scale * np.cos(np.pi * np.arange(_KEPT) * (low + centres[:, None] * (1 - low - high)))
        for low, high in cuts
    ]
    taken = [dct(cosines, axis=0, norm="ortho")[:_COMPARED] for cosines in sampled]
    return np.stack(taken).astype(np.float32)


def _described(wholes: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Give unit vectors, (N, windows of both axes, 143), of which products are likenesses."""
    by_row = windows @ wholes[:, None]
    both = by_row[:, :, None] @ windows.transpose(0, 2, 1)
    both *= _frequency(_COMPARED).astype(np.float32)
    vectors = both.reshape(len(wholes), len(windows) ** 2, _COMPARED**2)[..., 1:]
    length = np.sqrt(np.einsum("ijk,ijk->ij", vectors, vectors))[..., None]
    return vectors / np.where(length > 0, length, 1)


def _pairs(wholes: np.ndarray) -> Iterator[np.ndarray]:
    """Find images of one picture: index pairs (n, 2), chunk by chunk."""
    windows = _windows()
    described = _described(wholes, windows[:1])[:, 0]
    tables = _Tables(described)
    # to mirror an image is to turn the sign of its odd horizontal frequencies
    mirror = np.where(np.arange(1, _COMPARED**2) % _COMPARED % 2, -1, 1).astype(np.float32)
    for start in range(0, len(wholes), _CHUNK):
        parts = _described(wholes[start : start + _CHUNK], windows)
        parts = np.concatenate([parts, parts * mirror], axis=1)
        queries = parts.reshape(-1, parts.shape[-1])
        owner = start + np.arange(len(queries)) // parts.shape[1]
        for query, found in tables.look_up(queries, owner):
            alike = np.einsum("ij,ij->i", queries[query], described[found]) >= NEAR
            yield np.unique(np.stack([owner[query], found], axis=1)[alike], axis=0)


class _Tables:
    """Vectors by the signs of some of their parts: alike ones share a key in one table or more."""

    def __init__(self, vectors: np.ndarray) -> None:
        rng = np.random.default_rng(0)
        lowest = np.argsort(_frequency(_COMPARED).ravel()[1:], kind="stable")[:_LOW]
        self._bits = np.zeros((vectors.shape[1], _TABLES), np.float32)
        for table in range(_TABLES):
            chosen = rng.choice(lowest, _KEY_BITS, replace=False)
            self._bits[chosen, table] = 2.0 ** np.arange(_KEY_BITS)
        self._signs = _packed(vectors)
        keys = self._keys(vectors)
        self._order = np.argsort(keys, axis=0, kind="stable")
        self._starts = np.zeros((2**_KEY_BITS + 1, _TABLES), np.int32)
        for table in range(_TABLES):
            sizes = np.bincount(keys[:, table], minlength=2**_KEY_BITS)
            self._starts[1:, table] = np.cumsum(sizes)

    def _keys(self, vectors: np.ndarray) -> np.ndarray:
        """Read chosen signs as a number, (n, tables)."""
        return ((vectors > 0).astype(np.float32) @ self._bits).astype(np.int64)

    def look_up(
        self, queries: np.ndarray, owner: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give candidates, a table at a time: places of queries and of vectors but the owner's."""
        signs, keys = _packed(queries), self._keys(queries)
        for table in range(_TABLES):
            low, high = (self._starts[keys[:, table] + end, table] for end in (0, 1))
            counts = high - low
            query = np.repeat(np.arange(len(queries)), counts)
            within = np.arange(len(query)) - np.repeat(np.cumsum(counts) - counts, counts)
            found = self._order[low[query] + within, table]
            flips = np.bitwise_count(signs[query] ^ self._signs[found]).sum(axis=1)
            close = (flips <= _MAX_FLIPS) & (owner[query] != found)
            yield query[close], found[close]


def _packed(vectors: np.ndarray) -> np.ndarray:
    """Pack the signs of vectors (n, 143) into (n, 3) 64-bit words."""
    bits = np.zeros((len(vectors), 192), bool)
    bits[:, : vectors.shape[1]] = vectors > 0
    return np.packbits(bits, axis=1).view(np.uint64)


log = logging.getLogger(__name__)


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
        As `exe_core.faces.find_faces` gives them; the score of a face is NaN.
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
        As `exe_core.faces.find_faces` gives them, the sets one below the other.
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


SIDE = 48
"""Images are compared in gray at this size, px: that of FER2013."""
NEAR_BITS = 10
"""Hashes (of 64 bits) that differ in no more are looked at closer."""
NEAR_CORRELATION = 0.92
"""Least correlation of the pixels of two images of one picture.

Measured on 30,360 different images of FER2013: of all 1,344 pairs that correlate so, 97.7 % differ
in `NEAR_BITS` bits at most; of 26 pairs between .92 and .94 that were looked at all were of one
picture, of 13 between .90 and .91 two were not. Mirrored copies are not looked for: there are about
ten pairs above .93.
"""

_PART = ["set_name", "split"]
_OTHER_PART = ["other_set_name", "other_split"]


def audit_copies(
    items: pd.DataFrame, *, near_correlation: float = NEAR_CORRELATION, progress: bool = True
) -> pd.DataFrame:
    """Find the pairs of images that are pixel-identical or nearly so.

    Parameters
    ----------
    items
        item_id, set_name, path (relative to the project's root, or absolute), label and
        split_given, as `exe_core.datasets.items` gives them; of one set or of several. Images that
        can't be read are left out, and counted in the log.
    near_correlation
        From 0 to 1; pairs whose pixels correlate less are not near.

    Returns
    -------
    pandas.DataFrame
        Table "leakage", a row a pair: the other one stands earlier in `items`; correlation is 1
        for identical ones.
    """
    readable, digests, thumbs = _read_thumbnails(items, progress=progress)
    same = _same(digests)
    near = near_pairs(_side_hashes(thumbs), bits=NEAR_BITS)
    codes = pd.factorize(np.array(digests, dtype=object))[0]
    near = near[codes[near[:, 0]] != codes[near[:, 1]]]
    alike = _correlations(thumbs, near)
    near, alike = near[alike >= near_correlation], alike[alike >= near_correlation]
    described = readable.rename(columns={"split_given": "split"})[["item_id", *_PART, "label"]]
    found = [
        _copy_pairs(described, same, kind="identical", correlation=np.ones(len(same))),
        _copy_pairs(described, near, kind="near", correlation=alike),
    ]
    return schema.check(pd.concat(found, ignore_index=True), "leakage")


def _read_thumbnails(
    items: pd.DataFrame, *, progress: bool
) -> tuple[pd.DataFrame, list[str], np.ndarray]:
    """Read images once: those that can be read, digests of their pixels, (N, S, S) thumbnails."""
    places, digests, thumbs = [], [], []
    for place, path in enumerate(tqdm(items["path"], desc="audit", disable=not progress)):
        try:
            image = read_image(ROOT / path)
        except ImageError:
            continue
        small = Image.fromarray(image).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
        places.append(place)
        digests.append(hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest())
        thumbs.append(np.asarray(small))
    if len(places) < len(items):
        log.warning("%d of %d images can't be read", len(items) - len(places), len(items))
    stacked = np.array(thumbs, np.uint8).reshape(-1, SIDE, SIDE)
    return items.iloc[places].reset_index(drop=True), digests, stacked


def _side_hashes(thumbs: np.ndarray) -> np.ndarray:
    """Hash images by the signs of their 8 x 8 lowest frequencies about the median: uint64, (N,)."""
    low = [dctn(thumb.astype(np.float32))[:8, :8].ravel() for thumb in thumbs]
    signs = np.array(low).reshape(-1, 64)
    signs = signs > np.median(signs, axis=1, keepdims=True)
    return np.packbits(signs, axis=1).view(np.uint64).ravel()


def near_pairs(hashes: np.ndarray, *, bits: int) -> np.ndarray:
    """List the pairs of hashes that differ in `bits` bits at most.

    All pairs are compared, a row at a time: for 30,000 hashes that takes a second, and looking
    them up in bands of equal bits three.

    Parameters
    ----------
    hashes
        uint64, shape (N,).

    Returns
    -------
    numpy.ndarray
        int, shape (M, 2): places of the two, the earlier one first.
    """
    near = [
        np.flatnonzero(np.bitwise_count(hashes[i + 1 :] ^ one) <= bits) + i + 1
        for i, one in enumerate(hashes)
    ]
    first = np.repeat(np.arange(len(hashes)), [len(found) for found in near])
    second = np.concatenate(near) if near else np.array([], dtype=int)
    return np.column_stack([first, second])


def _same(digests: Sequence[str]) -> np.ndarray:
    """List the pairs of equal digests, the earlier one first: int, shape (M, 2)."""
    places = pd.Series(range(len(digests))).groupby(digests).agg(list) if digests else []
    pairs = [
        np.array(group)[np.column_stack(np.triu_indices(len(group), 1))]
        for group in places
        if len(group) > 1
    ]
    return np.concatenate(pairs) if pairs else np.empty((0, 2), int)


def _correlations(thumbs: np.ndarray, pairs: np.ndarray, *, chunk: int = 4096) -> np.ndarray:
    """Correlate the pixels of pairs of images; a flat image correlates with nothing: 0."""
    found = [np.empty(0)]
    for start in range(0, len(pairs), chunk):
        one, other = (_standard(thumbs[side]) for side in pairs[start : start + chunk].T)
        found.append((one * other).sum(axis=1).clip(max=1))
    return np.concatenate(found)


def _standard(thumbs: np.ndarray) -> np.ndarray:
    """Bring each image to mean 0 and length 1: (N, H, W) to (N, H * W)."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)


def _copy_pairs(
    described: pd.DataFrame, pairs: np.ndarray, *, kind: str, correlation: np.ndarray
) -> pd.DataFrame:
    earlier, later = (described.iloc[side].reset_index(drop=True) for side in pairs.T)
    return pd.concat([later, earlier.add_prefix("other_")], axis=1).assign(
        kind=kind, correlation=correlation.astype(float)
    )


def twins(pairs: pd.DataFrame, *, of: str, among: str, near: bool = True) -> set[str]:
    """Name the items of one split that have an identical, or also a near, image in another split.

    Test items among these are left out where a score without leakage is asked for.
    """
    kinds = ["identical", "near"] if near else ["identical"]
    told = pairs[pairs["kind"].isin(kinds)]
    later = told["item_id"][(told["split"] == of) & (told["other_split"] == among)]
    earlier = told["other_item_id"][(told["other_split"] == of) & (told["split"] == among)]
    return {*later, *earlier}


def count_copies(pairs: pd.DataFrame, items: pd.DataFrame) -> pd.DataFrame:
    """Count, for each two parts of sets, the images of the one that the other has too.

    Parameters
    ----------
    pairs
        As `audit` gives them.
    items
        What was audited.

    Returns
    -------
    pandas.DataFrame
        A row for two parts that share a picture, in both directions: set_name, split,
        other_set_name, other_split; n (images of the part), n_identical and share_identical (those
        that have an identical image in the other part; in the part itself, an earlier one),
        n_other_label (those of them that have it only under other labels), and n_near (those that
        have a near but no identical one).
    """
    own, other = (pairs[part].fillna("").to_numpy() for part in (_PART, _OTHER_PART))
    swap = {name: f"other_{name}" for name in ("item_id", *_PART, "label")}
    swap |= {second: first for first, second in swap.items()}
    both = pd.concat([pairs, pairs[(own != other).any(axis=1)].rename(columns=swap)])
    both["identical"] = both["kind"] == "identical"
    both["agrees"] = both["identical"] & (both["label"] == both["other_label"])
    by_image = both.groupby([*_PART, *_OTHER_PART, "item_id"], dropna=False)
    images = by_image[["identical", "agrees"]].any()
    images = images.assign(
        n_identical=images["identical"],
        n_other_label=images["identical"] & ~images["agrees"],
        n_near=~images["identical"],
    ).drop(columns=["identical", "agrees"])
    counts = images.groupby([*_PART, *_OTHER_PART], dropna=False).sum().reset_index()
    parts = items.rename(columns={"split_given": "split"}).groupby(_PART, dropna=False)
    counts = counts.merge(parts.size().rename("n").reset_index(), on=_PART)
    counts["share_identical"] = counts["n_identical"] / counts["n"]
    order = ["n", "n_identical", "share_identical", "n_other_label", "n_near"]
    return counts[[*_PART, *_OTHER_PART, *order]]


VOTERS = "majority of votes"


def votes_as_predictions(
    items: pd.DataFrame, votes: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Let the annotators answer: the shares of their votes are the probabilities.

    Parameters
    ----------
    items
        item_id, set_name, group_id, label and split_given of the images of one set, as
        `exe_core.datasets.all_items` gives them.
    votes
        As `exe_core.readers.read_votes` gives them.
    labels
        Those of the study; votes for others do not count.

    Returns
    -------
    pandas.DataFrame
        Table "predictions" of the run `VOTERS`; the split is the given one. Images without a
        majority are left out.

    Raises
    ------
    exe_core.sets.readers.DatasetError
        If votes and images do not fit.
    """
    joined = join_votes(items, votes).set_index("item_id")
    shares = soft_labels(joined, labels=labels)
    clear = pd.notna(majority(shares, labels=labels))
    known = items.set_index("item_id").loc[joined.index[clear]].reset_index()
    table = known[["item_id", "set_name", "group_id", "label"]]
    table = table.assign(split=known["split_given"], run_id=VOTERS)
    return schema.with_probabilities(table, shares[clear], labels=labels)


def relabelled(predictions: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Judge predictions by the annotators' majority in place of the set's own labels.

    Parameters
    ----------
    predictions
        Table "predictions".
    answers
        As `as_predictions` gives them; what they do not answer is left out.

    Returns
    -------
    pandas.DataFrame
        Table "predictions", sets named "<set> by votes".
    """
    told = answers[["item_id", "set_name", "predicted"]].rename(columns={"predicted": "voted"})
    judged = predictions.merge(told, on=["item_id", "set_name"], validate="m:1")
    return judged.assign(label=judged["voted"], set_name=judged["set_name"] + " by votes").drop(
        columns="voted"
    )


def entropy_by_label(answers: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
    """Estimate how divided the annotators are on images of each label.

    Parameters
    ----------
    answers
        As `as_predictions` gives them.
    statistics
        Of the bootstrap over groups of images that are the same picture.

    Returns
    -------
    pandas.DataFrame
        Table "metrics", a row a label: the mean entropy of an image's votes, bits.
    """
    labels = schema.labels_of(answers)
    entropy = vote_entropy(answers[schema.prob_columns(labels)].to_numpy())
    own = (answers["label"].to_numpy()[:, None] == np.array(labels)).astype(float)
    sums = resampling.sum_by_group(np.hstack([own, own * entropy[:, None]]), answers["group_id"])
    found = statistics.interval(
        sums,
        lambda totals: _ratio(totals[:, len(labels) :], totals[:, : len(labels)]),
    )
    table = pd.DataFrame(found.columns()).assign(
        run_id=VOTERS,
        set_name=answers["set_name"].iloc[0],
        split="all",
        metric="vote_entropy",
        label=labels,
        n=own.sum(axis=0).astype(int),
        n_groups=[answers["group_id"][kind].nunique() for kind in own.T.astype(bool)],
        level=statistics.level,
        method=resampling.METHOD,
        seed=statistics.seed,
    )
    return schema.check(table, "metrics")


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
