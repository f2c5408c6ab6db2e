"""RAF-DB in each of its forms gives the same items; what is not whole is refused, with why."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from sample_sets import make_study, picture, rafdb_as_folders, save
from sample_worlds import tiny_study

from exe_core import readers
from exe_core.datasets import items
from exe_core.readers import RAFDB_COUNTS, DatasetError, read_rafdb
from exe_core.settings import Set
from exe_core.tables import EMOTIONS, FIVE
from exe_world.sets import make_benchmarks

Write = Callable[[Path], None]

ROWS = [("train_00001", 5), ("train_00002", 4), ("train_00003", 7), ("test_0001", 1)]
ITEMS = [
    ["rafdb:test_0001", "surprise", "test"],
    ["rafdb:train_00001", "sad", "train"],
    ["rafdb:train_00002", "happy", "train"],
    ["rafdb:train_00003", "neutral", "train"],
]
LIST = "EmoLabel/list_patition_label.txt"


def write_official(root: Path) -> None:
    for k, (name, _) in enumerate(ROWS):
        save(picture(k, (100, 100)), root / "Image" / "aligned" / f"{name}_aligned.jpg")
    (root / LIST).parent.mkdir()
    (root / LIST).write_text("".join(f"{name}.jpg {label}\n" for name, label in ROWS))


def write_folders(root: Path) -> None:
    write_official(root / "official")
    rafdb_as_folders(root / "official", root)
    shutil.rmtree(root / "official")


@pytest.fixture(autouse=True)
def raf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    return tmp_path / "raf"


def study(labels: tuple[str, ...] = EMOTIONS, **more: object):
    return make_study(labels, raf={"kind": "rafdb", "path": "raf", "counts": "any"} | more)


@pytest.mark.parametrize("write", [write_official, write_folders])
def test_both_forms_give_the_same_items(raf: Path, write: Write) -> None:
    write(raf)
    table = items(study(), "raf")
    assert table[["item_id", "label", "split_given"]].to_numpy().tolist() == ITEMS
    assert table["group_id"].nunique() == 4


def test_a_list_that_mends_the_authors_spelling_is_read_too(raf: Path) -> None:
    write_official(raf)
    (raf / LIST).rename(raf / "EmoLabel" / "list_partition_label.txt")
    assert len(read_rafdb(raf)) == 4


def test_a_missing_class_leaves_the_others_as_they_are(raf: Path) -> None:
    write_official(raf)
    assert items(study(FIVE), "raf")["label"].tolist() == ["surprise", "sad", "happy"]


@pytest.mark.parametrize("write", [write_official, write_folders])
def test_a_list_of_tests_under_a_challenging_condition(raf: Path, write: Write, caplog) -> None:
    write(raf)
    (raf / "occlusion.txt").write_text("test_0001_aligned 6 2\ntest_0001_aligned 6 2\n")
    table = items(study(path="raf/occlusion.txt", role="test"), "raf")
    assert table[["item_id", "label"]].to_numpy().tolist() == [["rafdb:test_0001", "surprise"]]
    assert "names 1 images twice" in caplog.text
    (raf / "challenge").mkdir()
    (raf / "challenge" / "pose.txt").write_text("6/test_0001_aligned.jpg\n")
    assert len(read_rafdb(raf / "challenge" / "pose.txt")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("test_0001_aligned\ntrain_00001_aligned\n", "1 of 2 lines .* such as train_00001"),
        ("", "0 of 0 lines name no test image"),
    ],
)
def test_a_list_of_other_images_is_refused(raf: Path, text: str, message: str) -> None:
    write_official(raf)
    (raf / "list.txt").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_rafdb(raf / "list.txt")
    shutil.move(raf / "list.txt", raf.parent.parent / "list.txt")
    with pytest.raises(DatasetError, match="no EmoLabel or DATASET lies beside it"):
        read_rafdb(raf.parent.parent / "list.txt")


@pytest.mark.slow
def test_the_worlds_files_are_the_same_set_in_both_forms(tmp_path: Path) -> None:
    made = tiny_study(labels=("disgust", "neutral"))
    make_benchmarks(made, progress=False, jobs=1)
    official = made.data_dir / "benchmarks" / "rafdb"
    rafdb_as_folders(official, tmp_path / "folders")
    columns = ["name", "label", "split_given"]
    one, other = (
        read_rafdb(root)[columns].sort_values("name", ignore_index=True)
        for root in (official, tmp_path / "folders")
    )
    pd.testing.assert_frame_equal(one, other)
    assert one["split_given"].value_counts().to_dict() == {"train": 8, "test": 4}
    study_of_it = made.model_copy(
        update={"sets": {"raf": Set(kind="rafdb", path="benchmarks/rafdb")}}
    )
    assert len(items(study_of_it, "raf")) == 12  # the world is not held to published numbers


def test_the_published_numbers_are_those_of_the_paper() -> None:
    assert {side: sum(numbers.values()) for side, numbers in RAFDB_COUNTS.items()} == {
        "train": 12_271,
        "test": 3_068,
    }
    assert set(RAFDB_COUNTS["train"]) == set(RAFDB_COUNTS["test"]) == set(EMOTIONS)


def test_a_real_study_refuses_other_numbers_than_the_published_ones(
    raf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_official(raf)
    with pytest.raises(DatasetError, match=r"12,271 .* 3,068 .*train angry 0 instead of 705"):
        items(study(counts="published"), "raf")
    numbers = {"train": {"sad": 1, "happy": 1, "neutral": 1}, "test": {"surprise": 1}}
    monkeypatch.setattr(readers, "PUBLISHED", numbers)
    assert len(items(study(counts="published"), "raf")) == 4


def changed(file: str, change: Callable[[str], str], write: Write) -> Write:
    def write_changed(root: Path) -> None:
        write(root)
        (root / file).write_text(change((root / file).read_text()))

    return write_changed


def in_two_classes(root: Path) -> None:
    write_folders(root)
    shutil.copy(root / "DATASET/train/5/train_00001_aligned.jpg", root / "DATASET/train/4")


def unlisted(root: Path) -> None:
    write_official(root)
    save(picture(9), root / "Image" / "aligned" / "train_00009_aligned.jpg")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (changed(LIST, lambda text: text.replace(" 5", " 8"), write_official), "label '8'"),
        (changed(LIST, lambda text: text.replace(" 5", " 0"), write_official), "label '0'"),
        (changed(LIST, lambda text: text + "train_9.jpg 1", write_official), "1 of 5 images"),
        (changed(LIST, lambda text: text + "odd", write_official), "not 'odd'"),
        (changed(LIST, lambda text: text + "val_1.jpg 1", write_official), "neither train_"),
        (
            changed(LIST, lambda text: text + "train_00001.jpg 4", write_official),
            "train_00001 is listed twice, as sad and as happy",
        ),
        (unlisted, "lists 4 images, Image/aligned holds 5; not listed are train_00009"),
        (in_two_classes, "train_00001_aligned.jpg lies in the classes 4 and 5"),
        (
            changed("train_labels.csv", lambda text: text.rsplit("\n", 2)[0], write_folders),
            "lists 2 images, DATASET/train holds 3; not listed are train_00003",
        ),
        (
            changed(
                "train_labels.csv",
                lambda text: text.replace("aligned.jpg,5", "a.jpg,5"),
                write_folders,
            ),
            "not listed are train_00001_aligned",
        ),
        (
            changed("train_labels.csv", lambda text: text.replace("image", "name"), write_folders),
            "no column image; it has name, label",
        ),
        (
            changed("train_labels.csv", lambda text: text.replace(",5", ",4"), write_folders),
            "1 of 4 images are not there, such as train_00001",
        ),
        (lambda root: root.mkdir(), "train_labels.csv is not in folder raf"),
    ],
)
def test_a_set_that_is_not_as_it_must_be_says_so(raf: Path, write: Write, message: str) -> None:
    write(raf)
    with pytest.raises(DatasetError, match=message):
        items(study(), "raf")
