"""The sides of a split: train, val and test, whole groups on each."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from exe_core import schema

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
