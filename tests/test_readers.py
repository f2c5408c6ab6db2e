"""Folders, in each of their forms, whole and with faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sample_sets import folder_study, picture, save, write_listed

from exe_core.datasets import DatasetError, items
from exe_core.study import ROOT

Write = Callable[[Path], None]
pytestmark = pytest.mark.usefixtures("folders")


def test_a_listed_folder_and_a_folder_an_emotion_give_the_same_items(folders: Path) -> None:
    names = ["happy/a.png", "happy/b.png", "sad/c.png"]
    write_listed(folders / "listed", [(n, n.partition("/")[0]) for n in names], "file,emotion")
    for k, name in enumerate(names):
        save(picture(k), folders / "tree" / name)
    one, other = (items(folder_study(path), "one") for path in ("listed", "tree"))
    columns = ["item_id", "set_name", "label", "group_id", "split_given"]
    pd.testing.assert_frame_equal(one[columns], other[columns])
    assert one["item_id"].tolist() == [f"one:{name}" for name in names]
    assert all((ROOT / path).is_file() for path in one["path"])
    assert not any(Path(path).is_absolute() for path in one["path"])


def unlisted(root: Path) -> None:
    write_listed(root, [("a.png", "happy", ""), ("b.png", "happy", "")])
    (root / "b.png").unlink()


def outside(root: Path) -> None:
    write_listed(root, [("../a.png", "happy", "")])


def linked(root: Path) -> None:
    save(picture(1), root.parent / "private" / "a.png")
    save(picture(2), root / "happy" / "b.png")
    (root / "happy" / "a.png").symlink_to(root.parent / "private" / "a.png")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda root: None, "nothing at set below the data folder .* data/README.md"),
        (lambda root: write_listed(root, [("a.png", "x")], "file,mood"), "no column emotion"),
        (lambda root: write_listed(root, [("a.png", "joyous", "")]), "a.png: label 'joyous'"),
        (unlisted, "1 of 2 images are not there, such as b.png"),
        (outside, "outside of its folder"),
        (linked, "outside of its folder, such as .*a.png: put the files there"),
        (lambda root: write_listed(root, [("a.png", "happy", "")] * 2), "listed twice"),
        (lambda root: save(picture(1), root / "joyous" / "a.png"), "label 'joyous' is not one"),
        (lambda root: root.mkdir(), "no image of the labels"),
    ],
    ids=["absent", "column", "label", "image", "outside", "linked", "twice", "folder", "empty"],
)
def test_a_folder_that_is_not_as_it_must_be_says_so(
    folders: Path, write: Write, message: str
) -> None:
    write(folders / "set")
    with pytest.raises(DatasetError, match=message):
        items(folder_study(), "one")
