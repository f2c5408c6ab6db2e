"""Every form of a set gives the same table; what is one picture or person stays on one side."""

from __future__ import annotations

import logging
import tarfile
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from exe_core import datasets, fer2013, schema
from exe_core.config import ROOT, Study, parse_study
from exe_core.datasets import DatasetError, faces_as_shipped, items, load_faces, split
from exe_core.grouping import near_duplicates, perceptual_hash
from exe_core.schema import EMOTIONS, FIVE

Write = Callable[[Path], None]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def make_study(labels: tuple[str, ...] = EMOTIONS, **sets: dict[str, object]) -> Study:
    sets = sets or {"photos": {"kind": "photos", "source": "pexels", "design": "v2"}}
    learnt = [name for name, one in sets.items() if one.get("role") != "test"]
    sets = sets if learnt else {**sets, "other": {"kind": "folder", "path": "other"}}
    return parse_study(
        {
            "name": "sets",
            "kind": "real",
            "title": "For the tests of the sets",
            "labels": labels,
            "sets": sets,
            "runs": {"one": {"sets": learnt or ["other"]}},
        }
    )


def folder_study(path: str = "set", **more: object) -> Study:
    return make_study(one={"kind": "folder", "path": path, **more})


def picture(seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
    """A smooth gray picture, another for each seed."""
    coarse = np.random.default_rng(seed).integers(40, 200, (6, 6), dtype=np.uint8)
    return Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)


def save(image: Image.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


# Folders


def write_listed(root: Path, rows: list[tuple[str, ...]], header: str = "file,emotion,person"):
    for k, (file, *_) in enumerate(rows):
        save(picture(k), root / file)
    lines = [header, *(",".join(row) for row in rows)]
    (root / "labels.csv").write_text("\n".join(lines) + "\n")


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


def test_the_person_is_the_group_and_the_same_picture_is_where_there_is_none(
    folders: Path,
) -> None:
    write_listed(
        folders / "set",
        [
            ("a.png", "happy", "p1"),
            ("b.png", "sad", "p1"),
            ("c.png", "sad", ""),
            ("d.png", "sad", ""),
        ],
    )
    picture(2, size=(96, 96)).save(folders / "set" / "d.png")
    groups = items(folder_study(), "one").set_index("item_id")["group_id"]
    assert groups.tolist() == ["one:p1", "one:p1", "one:c.png", "one:c.png"]


def test_a_damaged_file_stays_in_the_table(folders: Path) -> None:
    write_listed(folders / "set", [("a.png", "happy"), ("b.png", "sad")], "file,emotion")
    (folders / "set" / "a.png").write_bytes(b"words")
    table = items(folder_study(), "one")
    assert len(table) == 2
    images, faces = faces_as_shipped(table, progress=False)
    assert images["status"].tolist() == ["unreadable", "ok"]
    assert images["error"].tolist()[0] == "not an image"
    assert faces["item_id"].tolist() == ["one:b.png"]


def test_other_labels_are_left_out_and_counted(
    folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    rows = [("a.png", "Happiness", ""), ("b.png", "neutral", ""), ("c.png", "Neutral", "")]
    write_listed(folders / "set", rows)
    table = items(make_study(FIVE, one={"kind": "folder", "path": "set"}), "one")
    assert table["label"].tolist() == ["happy"]
    assert "{'neutral': 2}" in caplog.text


def test_a_test_set_is_wholly_test(folders: Path) -> None:
    write_listed(folders / "set", [("a.png", "happy", ""), ("b.png", "sad", "")])
    assert set(items(folder_study(role="test"), "one")["split_given"]) == {"test"}


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


def test_an_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(DatasetError, match="no set 'two'; study sets has one"):
        items(folder_study(), "two")


# Photos of a pull


def write_pull(study: Study, hits: list[tuple[str, ...]], hashes: dict[str, str | None]) -> None:
    table = pd.DataFrame(hits, columns=["photo_id", "label", "source", "design", "query"])
    schema.write(table.assign(page=1, rank=1), study.table("hits"), name="hits")
    photos = schema.empty("photos").reindex(range(len(hashes)))
    photos["photo_id"], photos["phash"] = list(hashes), list(hashes.values())
    photos["source"] = photos["photo_id"].str.partition(":")[0]
    photos["status"] = ["failed" if value is None else "ok" for value in hashes.values()]
    photos["path"] = "data/a.jpg"
    schema.write(photos, study.table("photos"), name="photos")


def test_photos_of_a_set_are_those_with_one_label(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    study = make_study()
    write_pull(
        study,
        [
            ("pexels:1", "happy", "pexels", "v2", "happy"),
            ("pexels:1", "happy", "pexels", "v2", "smiling"),
            ("pexels:2", "happy", "pexels", "v2", "happy"),
            ("pexels:2", "sad", "pexels", "v2", "crying"),
            ("pexels:3", "sad", "pexels", "v2", "sad"),
            ("pexels:3", "angry", "pexels", "v1", "angry face"),
            ("pexels:4", "sad", "pexels", "v2", "sad"),
            ("pixabay:1", "sad", "pixabay", "v2", "sad"),
        ],
        {
            "pexels:1": "00000000000000ff",
            "pexels:2": "ff00000000000000",
            "pexels:3": "ffff0000ffff0000",
            "pexels:4": None,
            "pixabay:1": "00000000000000fe",
        },
    )
    table = items(study, "photos")
    assert table[["item_id", "label"]].to_numpy().tolist() == [
        ["pexels:1", "happy"],
        ["pexels:3", "sad"],
    ]
    assert "4 photos found, 1 of them under two labels or more and left out, 1 not" in caplog.text
    pixabay = make_study(photos={"kind": "photos", "source": "pixabay", "design": "v2"})
    assert items(pixabay, "photos")["group_id"].tolist() == ["pexels:1"]


def test_copies_of_a_photo_share_a_group_and_others_do_not() -> None:
    originals = [picture(seed, (300, 200)).convert("RGB") for seed in range(12)]
    copies = [image.resize((150, 100)) for image in originals]
    hashes = [perceptual_hash(np.asarray(image)) for image in originals + copies]
    assert near_duplicates(hashes).tolist() == [*range(12), *range(12)]
    assert near_duplicates([]).tolist() == []


# FER2013


def fer_images() -> list[tuple[str, str, np.ndarray]]:
    """Usage, emotion, pixels; the last but one repeats the first."""
    usages = ["Training"] * 7 + ["PublicTest"] * 2 + ["PrivateTest"]
    seeds = [0, 1, 2, 3, 4, 5, 6, 7, 0, 9]
    emotions = [EMOTIONS[k % 7] for k in range(10)]
    return [
        (usage, emotion, np.asarray(picture(seed)))
        for usage, emotion, seed in zip(usages, emotions, seeds, strict=True)
    ]


def write_fer_csv(path: Path, *, spaces: bool = False) -> None:
    rows = [
        (EMOTIONS.index(emotion), " ".join(map(str, pixels.ravel())), usage)
        for usage, emotion, pixels in fer_images()
    ]
    columns = ["emotion", " pixels", " Usage"] if spaces else ["emotion", "pixels", "Usage"]
    table = pd.DataFrame(rows, columns=columns)
    path.parent.mkdir(parents=True, exist_ok=True)
    (table[["emotion", " Usage", " pixels"]] if spaces else table).to_csv(path, index=False)


def write_fer_tree(
    root: Path,
    suffix: str = ".png",
    change: Callable[[Image.Image], Image.Image] = lambda image: image,
) -> None:
    for number, (usage, emotion, pixels) in enumerate(fer_images()):
        side = "train" if usage == "Training" else "test"
        save(change(Image.fromarray(pixels)), root / side / emotion / f"{usage}_{number}{suffix}")


def write_fer_archive(path: Path) -> None:
    write_fer_tree(path.parent / "made" / "fer2013", ".webp")
    with tarfile.open(path, "w:xz") as archive:
        archive.add(path.parent / "made" / "fer2013", "fer2013")


FER_FORMS = {
    "fer2013.csv": write_fer_csv,
    "icml/icml_face_data.csv": lambda path: write_fer_csv(path, spaces=True),
    "tree": write_fer_tree,
    "fer2013.tar.xz": write_fer_archive,
}


def fer_study(path: str, **more: object) -> Study:
    return make_study(fer={"kind": "fer2013", "path": path, **more})


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
    assert table["group_id"].nunique() == 9
    assert table["group_id"][8] == table["group_id"][0]
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
    real, calls = fer2013._fer_pixels, []

    def stopped(text: str, where: str) -> np.ndarray:
        calls.append(where)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return real(text, where)

    monkeypatch.setattr(fer2013, "_fer_pixels", stopped)
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


# RAF-DB

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


# Splits


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


# Pixels


def face_table(paths: list[Path]) -> pd.DataFrame:
    return pd.DataFrame({"face_id": [path.stem for path in paths], "path": map(str, paths)})


def test_faces_are_loaded_in_order_at_one_size(tmp_path: Path) -> None:
    colours = [(200, 30, 60), (0, 255, 0)]
    paths = [
        save(Image.new("RGB", (20 + k, 20), colour), tmp_path / f"{k}.png")
        for k, colour in enumerate(colours)
    ]
    loaded = load_faces(face_table(paths), size=24)
    assert loaded.shape == (2, 24, 24, 3)
    assert loaded.dtype == np.uint8
    assert [tuple(image[0, 0].tolist()) for image in loaded] == colours
    gray = load_faces(face_table(paths), size=24, gray=True)
    assert np.all(gray == gray[..., :1])
    assert gray[1, 0, 0, 0] == 150  # luminance of pure green, ITU-R 601
    assert load_faces(face_table([]), size=24).shape == (0, 24, 24, 3)


def test_a_crop_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="crop of face gone can't be read: no such file"):
        load_faces(face_table([tmp_path / "gone.png"]), size=24)


def test_items_of_a_real_study_need_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXE_DATA")
    with pytest.raises(ValueError, match="DATA=<folder>"):
        datasets.items(folder_study(), "one")
