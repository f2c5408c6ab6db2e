"""Folders and RAF-DB, in each of their forms, whole and with faults."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sample_sets import (
    folder_study,
    make_study,
    picture,
    save,
    write_listed,
)

from exe_core.config import ROOT
from exe_core.datasets import DatasetError, items
from exe_core.schema import FIVE

Write = Callable[[Path], None]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


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


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda root: None, "nothing at set below the data folder .* data/README.md"),
        (lambda root: write_listed(root, [("a.png", "x")], "file,mood"), "no column emotion"),
        (lambda root: write_listed(root, [("a.png", "joyous", "")]), "a.png: label 'joyous'"),
        (unlisted, "1 of 2 images are not there, such as b.png"),
        (outside, "outside of its folder"),
        (lambda root: write_listed(root, [("a.png", "happy", "")] * 2), "listed twice"),
        (lambda root: save(picture(1), root / "joyous" / "a.png"), "label 'joyous' is not one"),
        (lambda root: root.mkdir(), "no image of the labels"),
    ],
    ids=["absent", "column", "label", "image", "outside", "twice", "folder", "empty"],
)
def test_a_folder_that_is_not_as_it_must_be_says_so(
    folders: Path, write: Write, message: str
) -> None:
    write(folders / "set")
    with pytest.raises(DatasetError, match=message):
        items(folder_study(), "one")


RAF_ROWS = [("train_00001", 5), ("train_00002", 4), ("train_00003", 7), ("test_0001", 1)]


def write_raf_official(root: Path) -> None:
    for k, (name, _) in enumerate(RAF_ROWS):
        save(picture(k, (100, 100)), root / "Image" / "aligned" / f"{name}_aligned.jpg")
    lines = [f"{name}.jpg {label}" for name, label in RAF_ROWS]
    (root / "EmoLabel").mkdir()
    (root / "EmoLabel" / "list_patition_label.txt").write_text("\n".join(lines) + "\n")


def write_raf_folders(root: Path) -> None:
    for k, (name, label) in enumerate(RAF_ROWS):
        side = name.partition("_")[0]
        save(picture(k, (100, 100)), root / "DATASET" / side / str(label) / f"{name}_aligned.jpg")
    for side in ("train", "test"):
        rows = [f"{n}_aligned.jpg,{label}" for n, label in RAF_ROWS if n.startswith(side)]
        (root / f"{side}_labels.csv").write_text("\n".join(["image,label", *rows]) + "\n")


@pytest.mark.parametrize("write", [write_raf_official, write_raf_folders])
def test_both_forms_of_rafdb_give_the_same_items(folders: Path, write: Write) -> None:
    write(folders / "raf")
    table = items(make_study(raf={"kind": "rafdb", "path": "raf"}), "raf")
    assert table[["item_id", "label", "split_given"]].to_numpy().tolist() == [
        ["rafdb:test_0001", "surprise", "test"],
        ["rafdb:train_00001", "sad", "train"],
        ["rafdb:train_00002", "happy", "train"],
        ["rafdb:train_00003", "neutral", "train"],
    ]
    assert table["group_id"].nunique() == 4


def test_a_missing_class_leaves_the_others_as_they_are(folders: Path) -> None:
    write_raf_official(folders / "raf")
    table = items(make_study(FIVE, raf={"kind": "rafdb", "path": "raf"}), "raf")
    assert table["label"].tolist() == ["surprise", "sad", "happy"]


def raf_with(file: str, change: Callable[[str], str], write: Write) -> Write:
    def changed(root: Path) -> None:
        write(root)
        (root / file).write_text(change((root / file).read_text()))

    return changed


LIST = "EmoLabel/list_patition_label.txt"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (raf_with(LIST, lambda text: text.replace(" 5", " 8"), write_raf_official), "label '8'"),
        (raf_with(LIST, lambda text: text + "train_9.jpg 1", write_raf_official), "1 of 5 images"),
        (raf_with(LIST, lambda text: text + "odd", write_raf_official), "not 'odd'"),
        (raf_with(LIST, lambda text: text + "val_1.jpg 1", write_raf_official), "neither train_"),
        (
            raf_with("train_labels.csv", lambda text: text.rsplit("\n", 2)[0], write_raf_folders),
            "lists 2 images, DATASET/train holds 3",
        ),
        (
            raf_with(
                "train_labels.csv", lambda text: text.replace("image", "name"), write_raf_folders
            ),
            "no column image; it has name, label",
        ),
        (lambda root: root.mkdir(), "train_labels.csv is not in folder raf"),
    ],
)
def test_a_rafdb_that_is_not_as_it_must_be_says_so(
    folders: Path, write: Write, message: str
) -> None:
    write(folders / "raf")
    with pytest.raises(DatasetError, match=message):
        items(make_study(raf={"kind": "rafdb", "path": "raf"}), "raf")
