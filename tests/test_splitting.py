"""Whole groups on each side, labels divided alike, a given split kept."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from exe_core.datasets import split
from exe_core.tables import FIVE


def faces_of(groups: list[int], labels: list[str], **more: object) -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "face_id": [f"one/one:{k}/0" for k in range(len(groups))],
            "set_name": "one",
            "group_id": [f"g{group}" for group in groups],
            "label": labels,
            "split_given": None,
        }
    )
    return table.assign(**more)


@settings(max_examples=25, deadline=None)
@given(
    members=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(FIVE)), min_size=1, max_size=120
    ),
    seed=st.integers(0, 2**31),
    shares=st.tuples(st.floats(0.05, 0.5), st.floats(0.05, 0.5)),
)
def test_no_group_is_on_two_sides_and_the_order_of_rows_does_not_matter(
    members: list, seed: int, shares: tuple[float, float]
) -> None:
    faces = faces_of([group for group, _ in members], [label for _, label in members])
    val_share, test_share = shares
    splits = split(faces, val_share=val_share, test_share=test_share, seed=seed)
    assert splits["face_id"].tolist() == faces["face_id"].tolist()
    assert splits.groupby("group_id")["split"].nunique().eq(1).all()
    assert not splits["duplicate_of_train"].any()
    shuffled = faces.sample(frac=1, random_state=seed % 1000)
    again = split(shuffled, val_share=val_share, test_share=test_share, seed=seed)
    sides = splits.set_index("face_id")["split"]
    assert again.set_index("face_id")["split"].reindex(sides.index).equals(sides)
    n_groups = splits["group_id"].nunique()
    n_test = splits["group_id"][splits["split"] == "test"].nunique()
    assert abs(n_test - test_share * n_groups) <= 1


def test_every_label_is_divided_alike() -> None:
    labels = np.repeat(FIVE, [100, 10, 40, 5, 20]).tolist()
    splits = split(faces_of(list(range(175)), labels), val_share=0.25, test_share=0.2, seed=1)
    counts = pd.crosstab(np.array(labels), splits["split"])
    for label, n in zip(FIVE, [100, 10, 40, 5, 20], strict=True):
        assert abs(counts.loc[label, "test"] - 0.2 * n) <= 1
        assert abs(counts.loc[label, "val"] - 0.2 * n) <= 1


def test_a_group_is_on_one_side_in_all_sets() -> None:
    """Else a model of two sets would be validated on photos that it was trained on."""
    one = faces_of(list(range(60)), ["happy"] * 60)
    two = faces_of(list(range(30, 90)), ["happy"] * 60, set_name="two")
    two["face_id"] = "two/" + two["face_id"]
    splits = split(pd.concat([one, two]), val_share=0.2, seed=5)
    assert splits.groupby("group_id")["split"].nunique().eq(1).all()
    assert set(splits["split"][splits["set_name"] == "two"]) == {"train", "val", "test"}


def test_another_seed_gives_another_split() -> None:
    faces = faces_of(list(range(100)), ["happy"] * 100)
    one, other = (split(faces, val_share=0.2, seed=seed)["split"] for seed in (1, 2))
    assert not one.equals(other)


def test_a_given_split_is_kept_and_its_duplicates_are_marked() -> None:
    parts = ["train"] * 40 + ["public"] * 5 + ["private"] * 5 + ["test"] * 2 + ["val"]
    groups = [*range(40), 0, 41, 42, 43, 44, 1, 46, 47, 48, 49, 50, 51, 52]
    faces = faces_of(groups, ["happy"] * 53, split_given=parts)
    splits = split(faces, val_share=0.25, seed=3)
    assert set(splits["split"][:40]) == {"train", "val"}
    assert abs((splits["split"][:40] == "val").sum() - 10) <= 1
    assert splits["split"][40:].tolist() == ["test"] * 12 + ["val"]
    assert splits["duplicate_of_train"].to_numpy().nonzero()[0].tolist() == [40, 45]


def test_what_a_test_set_holds_is_not_learnt_from_elsewhere() -> None:
    free = faces_of(list(range(20)), ["sad"] * 20)
    held = faces_of([3, 4], ["sad"] * 2, set_name="held", split_given="test")
    held["face_id"] = "held/" + held["face_id"]
    splits = split(pd.concat([free, held]), val_share=0.2, seed=3)
    assert set(splits["split"][splits["group_id"].isin(["g3", "g4"])]) == {"test"}
