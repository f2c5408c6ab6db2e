"""FER2013 in each of its forms gives the same faces; altered copies are noticed."""

from __future__ import annotations

import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import ImageOps
from sample_sets import (
    fer_images,
    fer_study,
    picture,
    save,
    write_fer_archive,
    write_fer_csv,
    write_fer_tree,
)

from exe_core import readers
from exe_core.datasets import DatasetError, all_items, faces_as_shipped, items, load_faces
from exe_core.study import ROOT

Write = Callable[[Path], None]
pytestmark = pytest.mark.usefixtures("folders")


FER_FORMS = {
    "fer2013.csv": write_fer_csv,
    "icml/icml_face_data.csv": lambda path: write_fer_csv(path, spaces=True),
    "tree": write_fer_tree,
    "fer2013.tar.xz": write_fer_archive,
}


@pytest.mark.parametrize("form", FER_FORMS)
def test_every_form_of_fer2013_gives_the_same_faces(folders: Path, form: str) -> None:
    FER_FORMS[form](folders / form)
    study = fer_study(form.partition("/")[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = items(study, "fer")
    assert table["item_id"].tolist() == [f"fer2013:{number:06d}" for number in range(10)]
    assert table["label"].tolist() == [emotion for _, emotion, _ in fer_images()]
    assert table["split_given"].tolist() == ["train"] * 7 + ["public"] * 2 + ["private"]
    groups = all_items(study, progress=False)["group_id"]
    assert groups.nunique() == 9
    assert groups[8] == groups[0]
    images, faces = faces_as_shipped(table, progress=False)
    assert set(images["status"]) == {"ok"}
    pixels = load_faces(faces, size=48)
    assert np.array_equal(pixels[..., 0], np.stack([pixels for *_, pixels in fer_images()]))


@pytest.mark.parametrize("form", ["fer2013.csv", "fer2013.tar.xz"])
def test_what_is_packed_is_unpacked_once_and_again_when_it_changes(
    folders: Path, form: str
) -> None:
    FER_FORMS[form](folders / form)
    study = fer_study(form)
    first = items(study, "fer")
    inode = (ROOT / first["path"][0]).stat().st_ino
    items(study, "fer")
    assert (ROOT / first["path"][0]).stat().st_ino == inode
    (ROOT / first["path"][0]).parent.joinpath("Training_99.png").write_bytes(b"left over")
    with (folders / form).open("ab") as file:
        file.write(b"\n" if form.endswith("csv") else b"\0" * 4)
    pd.testing.assert_frame_equal(items(study, "fer"), first)
    assert (ROOT / first["path"][0]).stat().st_ino != inode


def test_an_interrupted_unpacking_is_not_taken_for_whole(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fer_csv(folders / "fer2013.csv")
    study = fer_study("fer2013.csv")
    real, calls = readers._fer_pixels, []

    def stopped(text: str, where: str) -> np.ndarray:
        calls.append(where)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(text, where)

    monkeypatch.setattr(readers, "_fer_pixels", stopped)
    with pytest.raises(KeyboardInterrupt):
        items(study, "fer")
    assert len(items(study, "fer")) == 10


@pytest.mark.parametrize(
    ("change", "sign"),
    [
        (ImageOps.equalize, "equalised"),
        (lambda image: image.resize((64, 64)), "sizes other"),
        (lambda image: ImageOps.colorize(image, "blue", "red"), "colours"),
    ],
)
def test_an_altered_copy_is_noticed(folders: Path, change: Callable, sign: str) -> None:
    write_fer_tree(folders / "tree", change=change)
    with pytest.warns(UserWarning, match=f"altered: .*{sign}"):
        items(fer_study("tree"), "fer")


def test_renamed_images_are_read_and_noticed(folders: Path) -> None:
    write_fer_tree(folders / "tree")
    for path in (folders / "tree").rglob("*.png"):
        path.rename(path.with_name(f"im{path.stem.rpartition('_')[2]}.png"))
    with pytest.warns(UserWarning, match="names other than"):
        table = items(fer_study("tree"), "fer")
    assert table["split_given"].value_counts().to_dict() == {"train": 7, "test": 3}


def test_numbers_that_each_part_counts_for_itself_do_not_collide(folders: Path) -> None:
    save(picture(1), folders / "tree" / "train" / "happy" / "Training_5.png")
    save(picture(2), folders / "tree" / "test" / "happy" / "PublicTest_5.png")
    table = items(fer_study("tree"), "fer")
    assert table["item_id"].tolist() == ["fer2013:public_000005", "fer2013:train_000005"]


def csv_with(old: str, new: str) -> Write:
    def write(path: Path) -> None:
        write_fer_csv(path)
        path.write_text(path.read_text().replace(old, new, 1))

    return write


def archive_of_an_escape(path: Path) -> None:
    save(picture(1), path.parent / "a.png")
    with tarfile.open(path, "w:xz") as archive:
        archive.add(path.parent / "a.png", "../../escaped.png")


def archive_of_a_link(path: Path) -> None:
    (path.parent / "a.png").symlink_to("/etc/hostname")
    with tarfile.open(path, "w:xz") as archive:
        archive.add(path.parent / "a.png", "train/happy/Training_0.png")


def cut_archive(path: Path) -> None:
    write_fer_archive(path)
    path.write_bytes(path.read_bytes()[:-3000])


@pytest.mark.parametrize(
    ("form", "write", "message"),
    [
        ("fer2013.csv", csv_with("Usage", "Use"), "columns emotion, pixels, Use; it needs"),
        ("fer2013.csv", csv_with("Training", "Train"), "image 0: Usage 'Train' is none of"),
        ("fer2013.csv", csv_with("\n0,", "\n7,"), "image 0: label '7' is not one of fer2013's"),
        ("fer2013.csv", csv_with("\n0,", "\n0,300 "), "image 0: pixels must be 2304 numbers"),
        ("fer2013.csv", csv_with(" ", " x"), "image 0: pixels must be 2304 numbers"),
        ("fer2013.csv", lambda path: path.write_bytes(b""), "fer2013.csv is no table"),
        ("fer2013.csv", lambda path: path.write_bytes(b"\xff\xfe\x00,"), "is no table"),
        ("fer2013.tar.xz", cut_archive, "can't be unpacked"),
        ("fer2013.tar.xz", archive_of_an_escape, "can't be unpacked: .*outside"),
        ("fer2013.tar.xz", archive_of_a_link, "Training_0.png' is neither a file nor a folder"),
        ("fer2013.zip", lambda path: path.write_bytes(b"PK"), "can't be unpacked"),
        ("tree", lambda path: path.mkdir(), "tree is no FER2013"),
    ],
)
def test_a_fer2013_that_is_not_as_it_must_be_says_so(
    folders: Path, form: str, write: Write, message: str
) -> None:
    write(folders / form)
    with pytest.raises(DatasetError, match=message):
        items(fer_study(form), "fer")
    assert not list(folders.parent.rglob("escaped.png"))
