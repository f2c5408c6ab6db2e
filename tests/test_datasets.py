"""Every form of a set gives the same table; what is one picture or person stays on one side."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_sets import (
    fer_study,
    folder_study,
    make_study,
    picture,
    save,
    write_fer_csv,
    write_ferplus,
    write_listed,
)

from exe_core import datasets, tables
from exe_core.datasets import (
    DatasetError,
    all_items,
    faces_as_shipped,
    items,
    load_faces,
    perceptual_hash,
    split,
)
from exe_core.faces import read_image
from exe_core.study import ConfigError, Study, parse_study
from exe_core.tables import EMOTIONS, FIVE
from exe_world.render import render_face

Write = Callable[[Path], None]
pytestmark = pytest.mark.usefixtures("folders")


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
    groups = all_items(folder_study(), progress=False).set_index("item_id")["group_id"]
    assert groups.tolist() == ["one:p1", "one:p1", "one:c.png", "one:c.png"]


def test_a_picture_shares_its_group_across_sets_and_joins_persons(folders: Path) -> None:
    write_listed(folders / "one", [("a.png", "happy", "p1"), ("b.png", "sad", "p2")])
    write_listed(folders / "two", [("x.png", "happy", ""), ("y.png", "sad", "")])
    picture(0, size=(90, 90)).save(folders / "two" / "y.png")
    picture(5).save(folders / "two" / "x.png")
    write_fer_csv(folders / "fer.csv")
    study = make_study(
        one={"kind": "folder", "path": "one"},
        two={"kind": "folder", "path": "two", "role": "test"},
        fer={"kind": "fer2013", "path": "fer.csv"},
    )
    groups = all_items(study, progress=False).set_index("item_id")["group_id"].to_dict()
    assert groups["two:y.png"] == groups["one:a.png"] == "one:p1"
    assert groups["one:b.png"] == "one:p2"
    fer = {name: group for name, group in groups.items() if name.startswith("fer2013:")}
    names = sorted(fer)
    assert fer[names[0]] == fer[names[8]] == "one:p1", "picture 0 is in FER2013 twice"
    assert fer[names[5]] == "two:x.png"
    assert len(set(fer.values())) == 9


def test_some_sets_can_be_listed_alone(folders: Path) -> None:
    for name in ("one", "two"):
        write_listed(folders / name, [("a.png", "happy")], "file,emotion")
    study = make_study(one={"kind": "folder", "path": "one"}, two={"kind": "folder", "path": "two"})
    assert set(all_items(study, names=["two"], progress=False)["set_name"]) == {"two"}


def test_a_hash_that_the_pull_left_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study()
    hits = [(f"pexels:{k}", "sad", "pexels", "v2", "sad") for k in range(3)]
    known = perceptual_hash(np.asarray(picture(1).convert("RGB")))
    write_pull(study, hits, {"pexels:0": known, "pexels:1": "old", "pexels:2": known})
    read = []

    def looked_at(path: Path) -> np.ndarray:
        read.append(path.name)
        return np.asarray(picture(2).convert("RGB"))

    monkeypatch.setattr(datasets, "read_image", looked_at)
    groups = all_items(study, progress=False)["group_id"]
    assert groups.tolist() == ["pexels:0", "pexels:1", "pexels:0"]
    assert read == ["1.jpg"]


def test_a_set_may_be_there_in_two_crops(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images are unpacked and compared once, and lie on one side of the split in both."""
    write_fer_csv(folders / "fer.csv")
    shipped = {"kind": "fer2013", "path": "fer.csv", "crop": "as shipped"}
    study = make_study(plain=shipped, again=shipped)
    read = []

    def looked_at(path: Path) -> np.ndarray:
        read.append(path)
        return read_image(path)

    monkeypatch.setattr(datasets, "read_image", looked_at)
    found = all_items(study, progress=False)
    plain, again = (found[found["set_name"] == name] for name in ("plain", "again"))
    for column in ("item_id", "path", "group_id"):
        assert plain[column].tolist() == again[column].tolist()
    assert len(read) == len(set(read)) == len(plain)
    _, faces = faces_as_shipped(found, progress=False)
    sides = split(faces, val_share=0.3, seed=1).set_index("face_id")["split"]
    by_item = faces.assign(split=faces["face_id"].map(sides)).groupby("item_id")["split"]
    assert by_item.agg(set).map(len).eq(1).all()
    assert (by_item.size() == 2).all()


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


def test_an_unknown_set_names_the_known_ones() -> None:
    with pytest.raises(DatasetError, match="no set 'two'; study sets has one"):
        items(folder_study(), "two")


def write_pull(study: Study, hits: list[tuple[str, ...]], hashes: dict[str, str | None]) -> None:
    table = pd.DataFrame(hits, columns=["photo_id", "label", "source", "design", "query"])
    tables.write(table.assign(page=1, rank=1), study.table("hits"), name="hits")
    photos = tables.empty("photos").reindex(range(len(hashes)))
    photos["photo_id"], photos["phash"] = list(hashes), list(hashes.values())
    photos["source"] = photos["photo_id"].str.partition(":")[0]
    photos["status"] = ["failed" if value is None else "ok" for value in hashes.values()]
    photos["path"] = ["data/" + name.partition(":")[2] + ".jpg" for name in hashes]
    tables.write(photos, study.table("photos"), name="photos")
    tables.write(tables.empty("requests"), study.table("requests"), name="requests")


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("drop", {"pexels:1": "happy", "pexels:3": "sad"}),
        ("vote", {"pexels:1": "happy", "pexels:2": "sad", "pexels:3": "sad"}),
    ],
)
def test_what_becomes_of_a_photo_under_two_labels_is_a_setting(
    rule: str, kept: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    chosen = {"kind": "photos", "source": "pexels", "design": "v2", "two_labels": rule}
    study = make_study(photos=chosen)
    write_pull(
        study,
        [
            ("pexels:1", "happy", "pexels", "v2", "happy"),
            ("pexels:1", "happy", "pexels", "v2", "smiling"),
            ("pexels:2", "happy", "pexels", "v2", "happy"),
            ("pexels:2", "sad", "pexels", "v2", "sad"),
            ("pexels:2", "sad", "pexels", "v2", "crying"),
            ("pexels:3", "sad", "pexels", "v2", "sad"),
            ("pexels:3", "angry", "pexels", "v1", "angry face"),
            ("pexels:4", "sad", "pexels", "v2", "sad"),
            ("pixabay:1", "sad", "pixabay", "v2", "sad"),
        ],
        {**dict.fromkeys([f"pexels:{k}" for k in (1, 2, 3)], "a"), "pexels:4": None},
    )
    table = items(study, "photos")
    assert dict(zip(table["item_id"], table["label"], strict=True)) == kept
    assert f"4 photos found, 1 of them under two labels or more ({rule}), 1 not" in caplog.text


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


def test_the_sets_of_a_study_are_cropped_as_each_says(folders: Path) -> None:
    rng = np.random.default_rng(3)
    for name, size in (("shipped", 48), ("found", 200)):
        for emotion in ("happy", "sad"):
            face = render_face(rng, emotion, size=size, style="selfie")
            save(Image.fromarray(face), folders / name / emotion / "0.png")
    save(picture(1, size=(200, 200)), folders / "found" / "sad" / "1.png")
    study = make_study(
        labels=("happy", "sad"),
        shipped={"kind": "folder", "path": "shipped", "crop": "as shipped"},
        found={"kind": "folder", "path": "found"},
    )
    images, faces = datasets.faces_of(study, progress=False)
    assert images.groupby("set_name")["status"].agg(list).to_dict() == {
        "found": ["ok", "ok", "no face"],
        "shipped": ["ok", "ok"],
    }
    whole = faces.set_index("set_name")["area_share"]
    assert (whole["shipped"] == 1).all()
    assert (whole["found"] < 0.8).all()


def test_a_run_learns_from_the_train_and_val_faces_of_its_own_sets(folders: Path) -> None:
    for name in ("one", "two"):
        rows = [(f"{emotion}{k}.png", emotion) for emotion in ("happy", "sad") for k in range(10)]
        write_listed(folders / name, rows, "file,emotion")
    for k, path in enumerate(sorted((folders / "two").glob("*.png"))):
        picture(100 + k).save(path)
    study = make_study(
        labels=("happy", "sad"),
        one={"kind": "folder", "path": "one", "crop": "as shipped"},
        two={"kind": "folder", "path": "two", "crop": "as shipped", "role": "test"},
    )
    _, faces = datasets.faces_of(study, progress=False)
    splits = split(faces, val_share=0.25, seed=1)
    images, labels, sides, _ = datasets.training_set(study, "one", faces=faces, splits=splits)
    learnt = splits[(splits["set_name"] == "one") & (splits["split"] != "test")]
    assert images.shape == (len(learnt), 224, 224, 3)
    assert sorted(sides) == sorted(learnt["split"])
    assert set(labels) == {0, 1}
    without = splits.assign(
        split=splits["split"].mask(splits["face_id"].str.contains("sad"), "test")
    )
    with pytest.raises(DatasetError, match="no training face shows sad"):
        datasets.training_set(study, "one", faces=faces, splits=without)


def test_a_mix_counts_a_photo_once_and_leaves_out_one_with_two_labels(tmp_path: Path) -> None:
    names = {"v1": ["a", "b", "c", "d"], "v2": ["c", "d", "e", "f"]}
    labels = {"a": "happy", "b": "sad", "c": "happy", "e": "sad", "f": "happy"}
    faces = pd.DataFrame(
        [
            (f"{name}/pexels:{one}/0", f"pexels:{one}", name, labels.get(one, other))
            for name, other in (("v1", "sad"), ("v2", "happy"))
            for one in names[name]
        ],
        columns=["face_id", "item_id", "set_name", "label"],
    )
    faces["path"] = str(save(picture(1), tmp_path / "a.png"))
    faces["is_primary"] = True
    sets = {name: {"kind": "photos", "source": "pexels", "design": name} for name in names}
    study = make_study(labels=("happy", "sad"), **sets)
    faces["group_id"] = faces["item_id"]
    splits = faces[["face_id"]].assign(split="train")
    codes = datasets.training_set(study, "one", faces=faces, splits=splits).labels
    assert codes.tolist() == [0, 1, 0, 1, 0], "a, b, c once, e, f: d is happy in one and sad in two"


def test_the_published_split_takes_every_so_manieth_face_whatever_its_group(
    tmp_path: Path,
) -> None:
    names = [f"{one}{twin}" for one in "abcdefghij" for twin in "12"]
    faces = pd.DataFrame({"face_id": names, "item_id": names, "set_name": "one"})
    faces["label"] = ["happy", "sad"] * 10
    faces["path"] = str(save(picture(1), tmp_path / "a.png"))
    faces["is_primary"] = True
    faces["group_id"] = faces["face_id"].str[0]
    splits = faces[["face_id"]].assign(split=["val"] * 4 + ["train"] * 14 + ["test"] * 2)
    grouped = make_study(labels=("happy", "sad"), one={"kind": "folder", "path": "x"})
    published = grouped.model_copy(
        update={"train": grouped.train.model_copy(update={"split": "modulo"})}
    )
    sides = {}
    for study in (grouped, published):
        found = datasets.training_set(study, "one", faces=faces, splits=splits).sides
        sides[study.train.split] = pd.Series(found).groupby(faces["group_id"][:18].to_numpy())
    assert all(len(set(group)) == 1 for _, group in sides["grouped"])
    assert any(len(set(group)) == 2 for _, group in sides["modulo"])
    assert sides["modulo"].get_group("a").tolist() == ["val", "train"]
    assert sum(side == "val" for _, group in sides["modulo"] for side in group) == 4


def voted_study(folder: Path, labels: str, *, votes: str = "votes.csv", **run: object) -> Study:
    """FER2013, each label four times; two of those named happy are sad by 6 votes of 9."""
    table = pd.DataFrame({"emotion": np.arange(28) % 7, "Usage": "Training"})
    table["pixels"] = [" ".join(map(str, np.asarray(picture(k)).ravel())) for k in range(28)]
    table.to_csv(folder / "fer2013.csv", index=False)
    study = fer_study("fer2013.csv")
    write_ferplus(folder / "votes.csv", items(study, "fer"))
    voted = pd.read_csv(folder / "votes.csv")
    voted.loc[(voted["happiness"] == 9) & (voted.index < 14), ["happiness", "sadness"]] = [3, 6]
    voted.to_csv(folder / "votes.csv", index=False)
    entry = {"kind": "fer2013", "path": "fer2013.csv", "crop": "as shipped", "votes": votes.split()}
    one = {"sets": ["fer"], "labels": labels, "train": {"size": 48}, **run}
    return parse_study({**study.model_dump(), "sets": {"fer": entry}, "runs": {"one": one}})


def learnt_by_votes(study: Study) -> datasets.TrainingSet:
    _, faces = datasets.faces_of(study, progress=False)
    splits = split(faces, val_share=0.2, seed=1)
    return datasets.training_set(study, "one", faces=faces, splits=splits)


def test_a_run_learns_from_the_labels_that_it_asks_for(folders: Path) -> None:
    given_study, majority, shares = (
        voted_study(folders, kind) for kind in ("given", "majority", "votes")
    )
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    own = learnt_by_votes(given_study)
    voted = learnt_by_votes(majority)
    assert voted.labels.ndim == 1
    moved = [(found.labels == happy).sum() for found in (own, voted)]
    assert moved == [4, 2]
    assert (voted.labels == sad).sum() > (own.labels == sad).sum()
    assert len(voted.labels) < len(own.labels), "every 15th image has no face by the votes"
    soft = learnt_by_votes(shares)
    assert soft.labels.shape == (len(voted.labels), len(EMOTIONS))
    assert soft.labels.sum(axis=1) == pytest.approx(1)
    mixed = soft.labels[(soft.labels[:, happy] > 0) & (soft.labels[:, sad] > 0)]
    assert mixed[:, [happy, sad]] == pytest.approx(np.tile([1 / 3, 2 / 3], (2, 1)))
    for found in (own, voted, soft):
        assert len(found.images) == len(found.sides) == len(found.groups) == len(found.labels)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "votes", "votes": ""}, "run one: labels votes, but fer has no votes"),
        ({"labels": "votes", "doubtful": "dropped"}, "doubtful: only of one label a face"),
    ],
)
def test_labels_that_can_not_be_had_are_refused(folders: Path, changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        voted_study(folders, **changes)
