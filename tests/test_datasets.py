"""Every form of a set gives the same table; copies and persons stay on one side of a split."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageOps
from sample_sets import (
    fer_study,
    make_study,
    picture,
    save,
    write_fer_csv,
    write_ferplus,
    write_listed,
)

from exe_core import datasets, metrics, tables
from exe_core.datasets import (
    DatasetError,
    all_items,
    audit_copies,
    count_copies,
    faces_as_shipped,
    items,
    near_duplicates,
    perceptual_hash,
    split,
)
from exe_core.faces import read_image
from exe_core.labels import EMOTIONS, FIVE
from exe_core.readers import VOTES
from exe_core.record import ROOT
from exe_core.resampling import Statistics
from exe_core.study import Study, parse_study
from exe_world.render import render_face

pytestmark = pytest.mark.usefixtures("folders")


def test_images_of_other_labels_are_rows_with_their_reason(folders: Path) -> None:
    rows = [("a.png", "Happiness", ""), ("b.png", "neutral", ""), ("c.png", "Neutral", "")]
    write_listed(folders / "set", rows)
    study = make_study(FIVE, one={"kind": "folder", "path": "set", "crop": "as shipped"})
    assert items(study, "one")["label"].tolist() == ["happy"]
    images, faces = datasets.faces_of(study)
    assert images["status"].tolist() == ["ok", "other label", "other label"]
    assert images["error"].tolist()[1:] == ["neutral is no label of the study"] * 2
    assert faces["label"].tolist() == ["happy"]
    with pytest.raises(DatasetError, match="no set 'two'; study sets has one"):
        items(study, "two")


def test_a_picture_shares_its_group_across_sets_and_joins_persons(folders: Path) -> None:
    persons = [("a.png", "happy", "p1"), ("b.png", "sad", "p2"), ("c.png", "sad", "p1")]
    write_listed(folders / "one", persons)
    write_listed(folders / "two", [("x.png", "happy", ""), ("y.png", "sad", "")])
    picture(0, size=(90, 90)).save(folders / "two" / "y.png")
    picture(5).save(folders / "two" / "x.png")
    write_fer_csv(folders / "fer.csv")
    study = make_study(
        one={"kind": "folder", "path": "one"},
        two={"kind": "folder", "path": "two", "role": "test"},
        fer={"kind": "fer2013", "path": "fer.csv"},
    )
    groups = all_items(study).set_index("item_id")["group_id"].to_dict()
    assert groups["two:y.png"] == groups["one:a.png"] == groups["one:c.png"] == "one:p1"
    assert groups["one:b.png"] == "one:p2"
    fer = {name: group for name, group in groups.items() if name.startswith("fer2013:")}
    names = sorted(fer)
    assert fer[names[0]] == fer[names[8]] == "one:p1", "picture 0 is in FER2013 twice"
    assert fer[names[5]] == "two:x.png"


def test_images_of_one_name_in_two_places_are_two(folders: Path) -> None:
    for seed, path in enumerate(["here", "there"]):
        save(picture(seed), folders / path / "happy" / "a.png")
    sets = {path: {"kind": "keywords", "path": path} for path in ("here", "there")}
    found = all_items(make_study(**sets, again=sets["here"]))
    assert found["item_id"].tolist() == [f"{at}:happy/a.png" for at in ("here", "there", "here")]
    assert found["group_id"].nunique() == 2


def test_a_hash_that_the_pull_left_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study()
    hits = [(f"pexels:{k}", "sad", "pexels", "v2", "sad") for k in range(3)]
    known = perceptual_hash(np.asarray(picture(1).convert("RGB")))
    write_pull(study, hits, {"pexels:0": known, "pexels:1": None, "pexels:2": known})
    read = []

    def looked_at(path: Path) -> np.ndarray:
        read.append(path.name)
        return np.asarray(picture(2).convert("RGB"))

    monkeypatch.setattr(datasets, "read_image", looked_at)
    groups = all_items(study)["group_id"]
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
    found = all_items(study)
    plain, again = (found[found["set_name"] == name] for name in ("plain", "again"))
    for column in ("item_id", "path", "group_id"):
        assert plain[column].tolist() == again[column].tolist()
    assert len(read) == len(set(read)) == len(plain)
    _, faces = faces_as_shipped(found)
    sides = split(faces, val_share=0.3, seed=1).set_index("face_id")["split"]
    by_item = faces.assign(split=faces["face_id"].map(sides)).groupby("item_id")["split"]
    assert by_item.agg(set).map(len).eq(1).all()
    assert (by_item.size() == 2).all()


def write_pull(
    study: Study,
    hits: list[tuple[str, ...]],
    hashes: dict[str, str | None],
    failed: tuple[str, ...] = (),
) -> None:
    table = pd.DataFrame(hits, columns=["photo_id", "label", "source", "design", "query"])
    tables.write(table.assign(page=1, rank=1), study.table("hits"), name="hits")
    photos = tables.empty("photos").reindex(range(len(hashes)))
    photos["photo_id"], photos["phash"] = list(hashes), list(hashes.values())
    photos["source"] = photos["photo_id"].str.partition(":")[0]
    photos["status"] = ["failed" if name in failed else "ok" for name in hashes]
    photos["path"] = ["data/" + name.partition(":")[2] + ".jpg" for name in hashes]
    tables.write(photos, study.table("photos"), name="photos")


def test_photos_under_two_labels_are_left_out() -> None:
    study = make_study(photos={"kind": "photos", "source": "pexels", "design": "v2"})
    write_pull(
        study,
        [
            ("pexels:1", "happy", "pexels", "v2", "happy"),
            ("pexels:1", "happy", "pexels", "v2", "smiling"),
            ("pexels:2", "happy", "pexels", "v2", "happy"),
            ("pexels:2", "sad", "pexels", "v2", "sad"),
            ("pexels:3", "sad", "pexels", "v2", "sad"),
            ("pexels:3", "angry", "pexels", "v1", "angry face"),
            ("pexels:4", "sad", "pexels", "v2", "sad"),
            ("pixabay:1", "sad", "pixabay", "v2", "sad"),
        ],
        dict.fromkeys([f"pexels:{k}" for k in (1, 2, 3, 4)], "a"),
        failed=("pexels:4",),
    )
    table = items(study, "photos")
    labels = dict(zip(table["item_id"], table["label"], strict=True))
    assert labels == {"pexels:1": "happy", "pexels:3": "sad"}


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
    images, faces = datasets.faces_of(study)
    assert images.groupby("set_name")["status"].agg(list).to_dict() == {
        "found": ["ok", "ok", "no face"],
        "shipped": ["ok", "ok"],
    }
    whole = faces.set_index("set_name")["area_share"]
    assert (whole["shipped"] == 1).all()
    assert (whole["found"] < 0.8).all()


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
    _, faces = datasets.faces_of(study)
    splits = split(faces, val_share=0.2, seed=1)
    return datasets.training_set(study, "one", faces=faces, splits=splits)


def test_a_run_learns_from_the_labels_that_it_asks_for(folders: Path) -> None:
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    own, soft = (learnt_by_votes(voted_study(folders, kind)) for kind in ("given", "votes"))
    assert "" not in own.sides
    unused = soft.sides == ""
    assert 0 < unused.sum() < len(own.labels), "every 15th image has no face by the votes"
    assert np.isnan(soft.labels[unused]).all()
    assert soft.labels.shape == (len(own.labels), len(EMOTIONS))
    assert soft.labels[soft.sides != ""].sum(axis=1) == pytest.approx(1)
    assert (soft.images == own.images).all(), "so that frozen layers are passed once for all"
    mixed = soft.labels[(soft.labels[:, happy] > 0) & (soft.labels[:, sad] > 0)]
    assert mixed[:, [happy, sad]] == pytest.approx(np.tile([1 / 3, 2 / 3], (2, 1)))
    for found in (own, soft):
        assert len(found.images) == len(found.sides) == len(found.groups) == len(found.labels)


def test_a_run_takes_as_many_faces_of_each_label_as_another_set_has(folders: Path) -> None:
    study = voted_study(folders, "given", match="fer")
    _, faces = datasets.faces_of(study)
    splits = split(faces, val_share=0.2, seed=1)
    few = faces[(faces["label"] != "sad") | (faces.groupby("label").cumcount() < 2)]
    few = few.assign(set_name="few", face_id="few/" + few["face_id"])
    sides = splits.assign(set_name="few", face_id="few/" + splits["face_id"])
    study = study.model_copy(
        update={
            "sets": study.sets | {"few": study.sets["fer"]},
            "runs": {"one": study.runs["one"].model_copy(update={"match": "few"})},
        }
    )
    found = datasets.training_set(
        study, "one", faces=pd.concat([faces, few]), splits=pd.concat([splits, sides])
    )
    kept = pd.Series(found.labels[found.sides != ""]).value_counts()
    n = len(few[few["label"] == "sad"])
    assert kept[EMOTIONS.index("sad")] == n < (found.labels == EMOTIONS.index("sad")).sum()
    assert kept.drop(EMOTIONS.index("sad")).eq(4).all()


N_SCENES = 24


def scene(seed: int, size: tuple[int, int] = (240, 180)) -> Image.Image:
    """A picture of a dozen coloured shapes, another for each seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(12):
        left, top = rng.uniform(-0.1, 0.8, 2) * size
        width, height = rng.uniform(0.1, 0.5, 2) * size
        draw = pen.ellipse if rng.uniform() < 0.5 else pen.rectangle
        draw((left, top, left + width, top + height), fill=tuple(rng.integers(0, 256, 3).tolist()))
    return image


def hash_of(image: Image.Image) -> str:
    return perceptual_hash(np.asarray(image.convert("RGB")))


SCENES = [scene(seed) for seed in range(N_SCENES)]
HASHES = [hash_of(image) for image in SCENES]


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def trimmed(
    image: Image.Image, left: float, top: float, right: float, bottom: float
) -> Image.Image:
    """Cut shares of the width and of the height off."""
    width, height = image.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return image.crop(tuple(map(round, box)))


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 30": lambda image: recompressed(image, 30),
    "half": lambda image: image.resize((120, 90)),
    "squeezed": lambda image: image.resize((200, 180)),
    "gray": lambda image: ImageOps.grayscale(image),
    "brighter": lambda image: image.point(lambda level: min(255, level * 1.1)),
    "mirrored": ImageOps.mirror,
    "left 10 %": lambda image: trimmed(image, 0.1, 0, 0, 0),
    "bottom 10 %": lambda image: trimmed(image, 0, 0, 0, 0.1),
    "two sides": lambda image: trimmed(image, 0.02, 0.07, 0.06, 0.01),
    "all sides 10 %": lambda image: trimmed(image, 0.1, 0.1, 0.1, 0.1),
    "much of it": lambda image: recompressed(
        trimmed(image.resize((160, 120)), 0, 0.05, 0.1, 0), 60
    ),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edited_copies_share_the_group_of_their_original_and_of_no_other(edit) -> None:
    copies = [hash_of(edit(image)) for image in SCENES]
    groups = near_duplicates(HASHES + copies).tolist()
    assert groups[:N_SCENES] == list(range(N_SCENES))
    missed = [k for k in range(N_SCENES) if groups[N_SCENES + k] != k]
    assert len(missed) <= 1
    assert all(groups[N_SCENES + k] == N_SCENES + k for k in missed), "none is merged with another"


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(N_SCENES)))
def test_groups_do_not_depend_on_the_order(order: list[int]) -> None:
    hashes = HASHES[:12] + [hash_of(EDITS["two sides"](image)) for image in SCENES[:12]]
    shuffled = near_duplicates([hashes[k] for k in order])
    groups = {frozenset(np.array(order)[shuffled == first].tolist()) for first in shuffled}
    assert groups == {frozenset({k, k + 12}) for k in range(12)}


def test_chains_of_copies_are_one_group() -> None:
    once = EDITS["left 10 %"](SCENES[0])
    chain = [hash_of(image) for image in (SCENES[0], once, EDITS["left 10 %"](once))]
    assert near_duplicates([chain[0], chain[2]]).tolist() == [0, 1]
    assert near_duplicates([chain[0], chain[2], chain[1]]).tolist() == [0, 0, 0]


def test_images_of_one_colour_are_like_no_other() -> None:
    plain = [hash_of(Image.new("RGB", (50, 40), colour)) for colour in ("black", "white", "black")]
    assert near_duplicates(plain).tolist() == [0, 1, 2]


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30),
)
def test_rows_belong_together_if_a_chain_of_shared_keys_joins_them(rows: list) -> None:
    first = datasets._connected([[row[0] for row in rows], [row[1] for row in rows]]).tolist()
    expected = list(range(len(rows)))
    for _ in rows:  # the plain way: pass the smallest place on until nothing changes
        for i, one in enumerate(rows):
            for j, other in enumerate(rows):
                if one[0] == other[0] or one[1] == other[1]:
                    expected[i] = expected[j] = min(expected[i], expected[j])
    assert first == expected


def split_faces(groups: list[int], labels: list[str], **more: object) -> pd.DataFrame:
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
    faces = split_faces([group for group, _ in members], [label for _, label in members])
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


def test_every_label_is_divided_alike_and_a_group_is_on_one_side_in_all_sets() -> None:
    """Else a model of two sets would be validated on photos that it was trained on."""
    sizes = [100, 10, 40, 5, 20]
    labels = np.repeat(FIVE, sizes).tolist()
    one = split_faces(list(range(175)), labels)
    counts = pd.crosstab(one["label"], split(one, val_share=0.25, seed=1)["split"])
    assert (
        abs(counts.loc[list(FIVE), ["test", "val"]].sub(0.2 * np.array(sizes), axis=0)) <= 1
    ).all(axis=None)
    two = split_faces(list(range(90, 265)), labels, set_name="two")
    two["face_id"] = "two/" + two["face_id"]
    splits = split(pd.concat([one, two]), val_share=0.2, seed=5)
    assert splits.groupby("group_id")["split"].nunique().eq(1).all()
    assert set(splits["split"][splits["set_name"] == "two"]) == {"train", "val", "test"}


def test_a_given_split_is_kept_and_its_duplicates_are_marked() -> None:
    parts = ["train"] * 40 + ["public"] * 5 + ["private"] * 5 + ["test"] * 2 + ["val"]
    groups = [*range(40), 0, 41, 42, 43, 44, 1, 46, 47, 48, 49, 50, 51, 52]
    faces = split_faces(groups, ["happy"] * 53, split_given=parts)
    splits = split(faces, val_share=0.25, seed=3)
    assert set(splits["split"][:40]) == {"train", "val"}
    assert abs((splits["split"][:40] == "val").sum() - 10) <= 1
    assert splits["split"][40:].tolist() == ["test"] * 12 + ["val"]
    assert splits["duplicate_of_train"].to_numpy().nonzero()[0].tolist() == [40, 45]


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


def test_counts_say_how_many_images_the_other_part_has_too(tmp_path: Path) -> None:
    rows = [
        ("fer", "train", "happy", picture(1)),
        ("fer", "train", "happy", picture(1)),
        ("fer", "train", "sad", picture(2)),
        ("fer", "public", "happy", picture(1)),
        ("fer", "public", "fear", picture(2)),
        ("fer", "public", "fear", picture(3)),
        ("lab", None, "fear", picture(3)),
    ]
    items = listed(tmp_path, rows)
    counts = count_copies(audit_copies(items), items)
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
    rows = [("fer", "train", "happy", picture(seed)) for seed in range(30)]
    rows.append(("fer", "public", "happy", change(picture(7))))
    pairs = audit_copies(listed(tmp_path, rows))
    assert pairs[["item_id", "other_item_id"]].to_numpy().tolist() == [["fer:30", "fer:7"]]
    assert pairs["correlation"][0] > 0.98


def test_flat_and_unreadable_images_are_borne(tmp_path: Path, caplog) -> None:
    black, white = (Image.new("L", (48, 48), level) for level in (0, 255))
    items = listed(tmp_path, [("a", None, "sad", black), ("a", None, "sad", white)])
    (ROOT / items["path"][0]).with_name("2.png").write_bytes(b"words")
    broken = items.iloc[:1].assign(item_id="a:2", path=os.path.relpath(tmp_path / "2.png", ROOT))
    assert audit_copies(pd.concat([items, broken])).empty
    assert "1 of 3 images can't be read" in caplog.text


QUICK = Statistics(n_bootstrap=100, seed=1)


def images(labels: list[str]) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "item_id": [f"fer2013:{k:06d}" for k in range(n)],
            "set_name": "fer",
            "group_id": [f"g{k}" for k in range(n)],
            "label": labels,
            "split_given": ["train"] * (n - 4) + ["public"] * 4,
        }
    )


def counted(rows: list[dict[str, int]], sides: pd.Series) -> pd.DataFrame:
    """Votes by emotion, line by line."""
    table = pd.DataFrame([{f"votes_{name}": n for name, n in row.items()} for row in rows])
    table = table.reindex(columns=VOTES).fillna(0).astype(int)
    return table.assign(line=pd.array(range(len(rows)), "Int64"), image=pd.NA, split_given=sides)


@pytest.fixture
def voted_items() -> pd.DataFrame:
    return images(["happy"] * 6 + ["sad"] * 6)


@pytest.fixture
def answers(voted_items: pd.DataFrame) -> pd.DataFrame:
    """Of six happy images five are happy to all; of six sad ones three to all, one is tied."""
    rows = [{"happy": 10}] * 5 + [{"happy": 2, "neutral": 8}]
    rows += [{"sad": 10}] * 3 + [{"sad": 5, "neutral": 5}, {"sad": 6, "neutral": 2, "fear": 2}]
    rows += [{"happy": 10}]
    return datasets.votes_as_predictions(
        voted_items, counted(rows, voted_items["split_given"]), labels=EMOTIONS
    )


def test_the_shares_of_votes_are_probabilities_and_ties_are_left_out(answers, voted_items) -> None:
    assert len(answers) == len(voted_items) - 1
    mixed = answers.set_index("item_id").loc["fer2013:000005"]
    assert (mixed["prob_neutral"], mixed["prob_happy"], mixed["predicted"]) == (0.8, 0.2, "neutral")
    found = metrics.score(answers, labels=EMOTIONS, statistics=QUICK)
    accuracy = found[found["metric"] == "accuracy"].set_index("split")["value"]
    assert accuracy["train"] == pytest.approx(7 / 8)
    assert accuracy["public"] == pytest.approx(2 / 3)
