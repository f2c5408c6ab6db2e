"""From hits to labelled photos: which label a photo gets, how many are lost, how many are wrong.

The hits are kept as they were returned; a stated rule decides the label of a photo under several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from exe_core.datasets import decide_labels, found_by
from exe_core.labels import EMOTIONS
from exe_core.readers import DatasetError, read_csv
from exe_core.resampling import Statistics
from exe_core.settings import Set

UNCLEAR = "unclear"
"""What a person writes where a face shows none of the emotions, or more than one."""
CREDITS = ["photo_id", "source", "author", "author_url", "page_url"]
CREDITS += ["licence", "licence_url", "attribution", "retrieved_at"]


def attrition_table(
    sets: Mapping[str, Set],
    *,
    hits: pd.DataFrame,
    photos: pd.DataFrame,
    images: pd.DataFrame,
    faces: pd.DataFrame,
    splits: pd.DataFrame,
) -> pd.DataFrame:
    """Follow the photos of each set from the hits to the faces that models learn from.

    Takes the sets of a study, of which those of photos are followed, and tables by their names.
    Gives a row a step: set_name, step ("returned", "downloaded", ..), kind ("left": so many are
    left; "lost": so many were lost at this step; "of which": a part of what is left) and n. What
    was returned less all that was lost is what is used.
    """
    rows = []
    for name, chosen in sets.items():
        if chosen.kind != "photos":
            continue
        found = found_by(hits, chosen)
        tried = photos[photos["photo_id"].isin(found["photo_id"])]
        is_ok = tried["status"] == "ok"
        downloaded = found[found["photo_id"].isin(tried.loc[is_ok, "photo_id"])]
        decided = decide_labels(downloaded)
        mine = images[images["set_name"] == name]
        is_other = mine["status"] == "other label"
        mine = mine[~is_other]
        unused = mine.loc[mine["status"] != "ok", "status"]
        used = faces[(faces["set_name"] == name) & faces["is_primary"]]
        side = used["face_id"].map(splits.set_index("face_id")["split"])
        n_photos, n_ok = found["photo_id"].nunique(), is_ok.sum()
        reasons = tried.loc[~is_ok, "error"].str.replace(r"[:(].*", "", regex=True).str.strip()
        steps = [
            ("returned", "left", len(found)),
            ("found again by another query", "lost", len(found) - n_photos),
            ("different photos", "left", n_photos),
            *((f"failed: {why}", "lost", n) for why, n in reasons.value_counts().items()),
            ("not tried yet", "lost", n_photos - len(tried)),
            ("downloaded", "left", n_ok),
            ("under two labels", "lost", n_ok - len(decided)),
            ("of a label that the study has not", "lost", is_other.sum()),
            ("looked at for faces", "left", len(mine)),
            *((status, "lost", n) for status, n in unused.value_counts().items()),
            ("no crop kept", "lost", len(mine) - len(unused) - len(used)),
            ("faces used", "left", len(used)),
            *((part, "of which", (side == part).sum()) for part in ("train", "val", "test")),
            ("copies of another", "of which", len(used) - used["group_id"].nunique()),
        ]
        rows += [(name, *step) for step in steps if step[1] != "lost" or step[2]]
    return pd.DataFrame(rows, columns=["set_name", "step", "kind", "n"])


def faces_of_photos(
    sets: Mapping[str, Set], *, faces: pd.DataFrame, hits: pd.DataFrame
) -> pd.DataFrame:
    """Give the largest face of each photo that is used, with the query that found it.

    Returns the rows of `faces` with `query`, the first that found the photo, and `n_faces`, how
    many the set has of the query.
    """
    parts = []
    for name, chosen in sets.items():
        if chosen.kind == "photos":
            queries = decide_labels(found_by(hits, chosen)).set_index("photo_id")["query"]
            primary = faces[(faces["set_name"] == name) & faces["is_primary"]]
            parts.append(primary.join(queries, on="item_id", how="inner"))
    used = pd.concat(parts, ignore_index=True)
    n_faces = used.groupby(["set_name", "query"])["face_id"].transform("size")
    return used.assign(n_faces=n_faces)


def draw_evenly(faces: pd.DataFrame, n: int, *, by: Sequence[str], seed: int) -> pd.DataFrame:
    """Draw `n` faces at random, as many of each kind, named by the columns `by`, as can be.

    A kind with fewer than its part gives all it has. The rows are ordered by kind and face_id.
    """
    rng = np.random.default_rng(seed)
    shuffled = faces.sort_values("face_id").iloc[rng.permutation(len(faces))]
    # the first of each kind, then the second of each, and so on
    place = shuffled.groupby(list(by)).cumcount()
    drawn = shuffled.iloc[np.argsort(place, kind="stable")].head(n)
    return drawn.sort_values([*by, "face_id"], ignore_index=True)


def label_by_truth(faces: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Fill `label_true` by the table "truth" in place of a person; unknown is "unclear"."""
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    item_id = faces["face_id"].str.split("/").str[1]
    return faces.assign(label_true=item_id.map(shown).fillna(UNCLEAR))


def read_labelled(path: Path, faces: pd.DataFrame) -> pd.DataFrame:
    """Read a CSV (face_id, label_true) that a person filled; give these faces with `label_true`.

    `faces` are those of `faces_of_photos`. Left out are those not labelled yet, and labels of faces
    that are used no longer. A `DatasetError` names the line of an unknown label, or of a face that
    stands twice.
    """
    table = read_csv(path, needs=["face_id", "label_true"]).fillna("")
    given, known = table["label_true"].str.strip().str.lower(), (*EMOTIONS, UNCLEAR)
    for is_wrong, what in (
        (~given.isin(["", *known]), f"is none of {', '.join(known)}"),
        (table["face_id"].duplicated(), "is of a face that stands above, too"),
    ):
        if is_wrong.any():
            line = int(is_wrong.argmax())
            raise DatasetError(f"{path.name}, line {line + 2}: {given[line]!r} {what}")
    labels = given[given != ""].set_axis(table.loc[given != "", "face_id"])
    return faces.assign(label_true=faces["face_id"].map(labels)).dropna(subset="label_true")


def keyword_noise(
    labelled: pd.DataFrame, *, statistics: Statistics, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Estimate how often keywords are wrong, from faces that were labelled by hand.

    Each set and query is a stratum. A share over several is weighted by how many faces each has;
    its interval is Wilson's with the effective number of labelled faces, 1 / sum(w^2 / n) (Kish
    1965, Survey Sampling, section 11.7; Dean & Pagano 2015). The sample is small beside the whole,
    and no correction is made for that.

    Takes what `read_labelled` gives and, where the truth is known, all faces labelled by it. Gives
    by ("query", "label", "set" or "all"), set_name, label, query (null if over several), n
    (labelled), n_wrong (those that do not show their label), n_unclear (of which unclear), value,
    low, high, level of the share that is wrong, and known, the share among all faces. A
    `DatasetError` is raised if no face is labelled.
    """
    if labelled.empty:
        raise DatasetError("no face is labelled yet: fill the column label_true")
    strata = ["set_name", "label", "query"]
    faces = labelled.head(0) if known is None else known
    shown = labelled["label_true"]
    marked = labelled.assign(n=1, n_wrong=shown != labelled["label"], n_unclear=shown == UNCLEAR)
    how = {"n": "sum", "n_wrong": "sum", "n_unclear": "sum", "n_faces": "first"}
    counts = marked.groupby(strata, as_index=False).agg(how)
    rows = []
    groups = {"query": ["label", "query"], "label": ["label"], "set": ["set_name"], "all": []}
    for by, columns in groups.items():
        for _, part in counts.groupby([counts[column] for column in columns] or (lambda _: 0)):
            weight = part["n_faces"] / part["n_faces"].sum()
            value = float((weight * part["n_wrong"] / part["n"]).sum())
            share = statistics.share(value, 1 / (weight**2 / part["n"]).sum())
            named = {name: part[name].iloc[0] if name in columns else None for name in strata}
            summed = part[["n", "n_wrong", "n_unclear"]].sum().to_dict()
            row = {"by": by, **named, **summed, **share.columns(), "level": statistics.level}
            all_faces = faces.merge(part[columns].drop_duplicates()) if columns else faces
            rows.append(row | {"known": (all_faces["label_true"] != all_faces["label"]).mean()})
    return pd.DataFrame(rows)


def credits_of(photos: pd.DataFrame, used: Iterable[str]) -> pd.DataFrame:
    """List whom to credit for the photos whose ids are `used`: the columns `CREDITS`.

    They are ordered by source, author and photo.
    """
    chosen = photos[photos["photo_id"].isin(set(used))].reindex(columns=CREDITS)
    return chosen.sort_values(["source", "author", "photo_id"], ignore_index=True)
