"""The audit finds each picture that stands twice, on which sides, and under which labels."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from sample_sets import picture, save

from exe_core.datasets import audit_copies, count_copies, near_pairs, twins
from exe_core.readers import read_fer2013
from exe_core.study import ROOT


def face(seed: int) -> Image.Image:
    return picture(seed, (48, 48))


def listed(folder: Path, rows: list[tuple[str, str | None, str, Image.Image]]) -> pd.DataFrame:
    """Save images as items: set, split, label, image."""
    paths = [save(image, folder / f"{k}.png") for k, (*_, image) in enumerate(rows)]
    return pd.DataFrame(
        {
            "item_id": [f"{set_name}:{k}" for k, (set_name, *_) in enumerate(rows)],
            "set_name": [row[0] for row in rows],
            "path": [os.path.relpath(path, ROOT) for path in paths],
            "label": [row[2] for row in rows],
            "split_given": [row[1] for row in rows],
        }
    )


def test_every_copy_is_a_pair_with_each_earlier_one(tmp_path: Path) -> None:
    rows = [
        ("fer", "train", "happy", face(1)),
        ("fer", "train", "sad", face(1)),
        ("fer", "public", "happy", face(2)),
        ("fer", "public", "happy", face(1)),
        ("lab", None, "happy", face(3)),
    ]
    pairs = audit_copies(listed(tmp_path, rows), progress=False)
    found = pairs[["item_id", "other_item_id", "kind", "correlation"]].to_numpy().tolist()
    assert sorted(found) == [
        ["fer:1", "fer:0", "identical", 1.0],
        ["fer:3", "fer:0", "identical", 1.0],
        ["fer:3", "fer:1", "identical", 1.0],
    ]


def test_counts_say_how_many_images_the_other_part_has_too(tmp_path: Path) -> None:
    rows = [
        ("fer", "train", "happy", face(1)),
        ("fer", "train", "happy", face(1)),
        ("fer", "train", "sad", face(2)),
        ("fer", "public", "happy", face(1)),
        ("fer", "public", "fear", face(2)),
        ("fer", "public", "fear", face(3)),
        ("lab", None, "fear", face(3)),
    ]
    items = listed(tmp_path, rows)
    counts = count_copies(audit_copies(items, progress=False), items)
    table = {
        (row.split, row.other_set_name, row.other_split): (
            row.n,
            row.n_identical,
            row.n_other_label,
        )
        for row in counts.fillna({"split": "", "other_split": ""}).itertuples()
    }
    assert table == {
        ("train", "fer", "train"): (3, 1, 0),  # one of the two is the earlier one
        ("train", "fer", "public"): (3, 3, 1),
        ("public", "fer", "train"): (3, 2, 1),
        ("public", "lab", ""): (3, 1, 0),
        ("", "fer", "public"): (1, 1, 0),
    }
    assert counts["share_identical"].tolist() == (counts["n_identical"] / counts["n"]).tolist()


@pytest.mark.parametrize(
    "change",
    [
        lambda image: ImageEnhance.Brightness(image).enhance(0.8),
        lambda image: ImageEnhance.Contrast(image).enhance(1.1),
        lambda image: image.resize((96, 96), Image.Resampling.BICUBIC),
        lambda image: image.convert("RGB"),
    ],
    ids=["darker", "contrast", "larger", "in three channels"],
)
def test_a_changed_copy_is_near_or_the_same_and_others_are_neither(tmp_path: Path, change) -> None:
    rows = [("fer", "train", "happy", face(seed)) for seed in range(30)]
    rows.append(("fer", "public", "happy", change(face(7))))
    pairs = audit_copies(listed(tmp_path, rows), progress=False)
    assert pairs[["item_id", "other_item_id"]].to_numpy().tolist() == [["fer:30", "fer:7"]]
    assert pairs["correlation"][0] > 0.98


def test_an_identical_copy_is_not_counted_as_near_too(tmp_path: Path) -> None:
    darker = ImageEnhance.Brightness(face(1)).enhance(0.9)
    rows = [("fer", side, "sad", image) for side, image in (("train", face(1)), ("train", darker))]
    items = listed(tmp_path, [*rows, ("fer", "public", "sad", face(1))])
    counts = count_copies(audit_copies(items, progress=False), items).set_index(
        ["split", "other_split"]
    )
    assert counts.loc[("public", "train"), ["n_identical", "n_near"]].tolist() == [1, 0]
    assert counts.loc[("train", "public"), ["n_identical", "n_near"]].tolist() == [1, 1]


def test_twins_are_named_whichever_stands_first(tmp_path: Path) -> None:
    darker = ImageEnhance.Brightness(face(2)).enhance(0.9)
    sides = [("public", face(1)), ("train", face(1)), ("train", face(2)), ("public", darker)]
    items = listed(tmp_path, [("fer", side, "sad", image) for side, image in sides])
    pairs = audit_copies(items, progress=False)
    assert twins(pairs, of="public", among="train") == {"fer:0", "fer:3"}
    assert twins(pairs, of="public", among="train", near=False) == {"fer:0"}
    assert twins(pairs, of="train", among="train") == set()


def test_flat_and_unreadable_images_and_empty_sets_are_borne(tmp_path: Path, caplog) -> None:
    black, white = (Image.new("L", (48, 48), level) for level in (0, 255))
    items = listed(tmp_path, [("a", None, "sad", black), ("a", None, "sad", white)])
    (ROOT / items["path"][0]).with_name("2.png").write_bytes(b"words")
    broken = items.iloc[:1].assign(item_id="a:2", path=os.path.relpath(tmp_path / "2.png", ROOT))
    assert audit_copies(pd.concat([items, broken]), progress=False).empty
    assert "1 of 3 images can't be read" in caplog.text
    nothing = audit_copies(items.iloc[:0], progress=False)
    assert nothing.empty
    assert count_copies(nothing, items.iloc[:0]).empty


@given(st.lists(st.integers(0, 2**64 - 1), max_size=20), st.integers(0, 64))
@settings(deadline=None)
def test_near_pairs_are_all_pairs_within_the_distance(hashes: list[int], bits: int) -> None:
    found = near_pairs(np.array(hashes, np.uint64), bits=bits).tolist()
    assert found == [
        [i, j]
        for i in range(len(hashes))
        for j in range(i + 1, len(hashes))
        if (hashes[i] ^ hashes[j]).bit_count() <= bits
    ]


def test_the_items_are_left_as_they_are(tmp_path: Path) -> None:
    items = listed(tmp_path, [("a", "train", "sad", face(1)), ("a", None, "sad", face(1))])
    before = items.copy()
    count_copies(audit_copies(items, progress=False), items)
    pd.testing.assert_frame_equal(items, before)
    assert np.isfinite(audit_copies(items, progress=False)["correlation"]).all()


@pytest.mark.slow
def test_the_duplicates_of_the_real_fer2013(tmp_path: Path) -> None:
    source = Path(os.environ.get("EXE_DATA", "")) / "fer2013.tar.xz"
    if not source.is_file():
        pytest.skip("EXE_DATA names no folder with fer2013.tar.xz")
    table = read_fer2013(source, unpacked=tmp_path / "fer2013")
    items = table.assign(item_id=table["name"], set_name="fer2013")
    pairs = audit_copies(items, progress=False)
    counts = count_copies(pairs, items).set_index(["split", "other_split"])
    share = counts.loc[("public", "train"), "share_identical"]
    assert share == pytest.approx(0.076, abs=0.004)  # of all of PublicTest, by the literature
    assert counts.loc[("train", "train"), "n_identical"] == pytest.approx(1224, abs=20)
    assert (pairs["label"] != pairs["other_label"])[pairs["kind"] == "identical"].sum() > 0
