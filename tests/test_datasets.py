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
    items,
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
    audit_copies,
    faces_as_shipped,
    near_duplicates,
    perceptual_hash,
    split,
)
from exe_core.faces import read_image
from exe_core.labels import EMOTIONS, FIVE
from exe_core.readers import VOTES
from exe_core.record import ROOT
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
    write_listed(folders / "two", [("a.png", "happy", ""), ("y.png", "sad", "")])
    picture(0, size=(90, 90)).save(folders / "two" / "y.png")
    picture(5).save(folders / "two" / "a.png")  # a file of this name is in both
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
    assert fer[names[5]] == "two:a.png"


def test_a_set_may_be_there_in_two_crops(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its images are unpacked and compared once, and lie on one side of the split in both."""
    write_fer_csv(folders / "fer.csv")
    shipped = {"kind": "fer2013", "path": "fer.csv", "crop": "as shipped"}
    study, read = make_study(plain=shipped, again=shipped), []
    monkeypatch.setattr(
        datasets, "read_image", lambda path: (read.append(path), read_image(path))[1]
    )
    found = all_items(study)
    plain, again = (found[found["set_name"] == name] for name in ("plain", "again"))
    for column in ("item_id", "path", "group_id"):
        assert plain[column].tolist() == again[column].tolist()
    assert len(read) == len(set(read)) == len(plain)
    _, faces = faces_as_shipped(found)
    sides = split(faces, val_share=0.3, seed=1).set_index("face_id")["split"]
    by_item = faces.assign(split=faces["face_id"].map(sides)).groupby("item_id")["split"]
    assert by_item.nunique().eq(1).all()
    assert by_item.size().eq(2).all()


def write_pull(study: Study, hits: list[tuple[str, ...]], hashes: dict[str, str | None]) -> None:
    """Photos that were searched for and downloaded; those without a hash of any kind failed."""
    table = pd.DataFrame(hits, columns=["photo_id", "label", "source", "design", "query"])
    tables.write(table.assign(page=1, rank=1), study.table("hits"), name="hits")
    photos = tables.empty("photos").reindex(range(len(hashes)))
    photos["photo_id"], photos["phash"] = list(hashes), list(hashes.values())
    photos["source"] = photos["photo_id"].str.partition(":")[0]
    photos["status"] = ["failed" if text == "" else "ok" for text in hashes.values()]
    photos["path"] = ["data/" + name.partition(":")[2] + ".jpg" for name in hashes]
    tables.write(photos, study.table("photos"), name="photos")


def test_photos_under_two_labels_are_left_out_and_known_hashes_not_computed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    study = make_study(photos={"kind": "photos", "source": "pexels", "design": "v2"})
    hits = [
        *[("pexels:1", "happy", "pexels", "v2", query) for query in ("happy", "smiling")],
        *[("pexels:2", label, "pexels", "v2", label) for label in ("happy", "sad")],
        ("pexels:3", "sad", "pexels", "v2", "sad"),
        ("pexels:3", "angry", "pexels", "v1", "angry face"),
        ("pexels:4", "sad", "pexels", "v2", "sad"),
        ("pexels:5", "sad", "pexels", "v2", "sad"),
        ("pixabay:1", "sad", "pixabay", "v2", "sad"),
    ]
    known = perceptual_hash(np.asarray(picture(1).convert("RGB")))
    hashes = dict.fromkeys([f"pexels:{k}" for k in (1, 2, 3)], known)
    write_pull(study, hits, hashes | {"pexels:4": "", "pexels:5": None})
    read = []

    def looked_at(path: Path) -> np.ndarray:
        read.append(path.name)
        return np.asarray(picture(2).convert("RGB"))

    monkeypatch.setattr(datasets, "read_image", looked_at)
    found = all_items(study).set_index("item_id")
    assert found["label"].to_dict() == {"pexels:1": "happy", "pexels:3": "sad", "pexels:5": "sad"}
    assert found["group_id"].tolist() == ["pexels:1", "pexels:1", "pexels:5"]
    assert read == ["5.jpg"]


def test_the_sets_of_a_study_are_cropped_as_each_says(folders: Path) -> None:
    rng = np.random.default_rng(3)
    for emotion in ("happy", "sad"):
        face = Image.fromarray(render_face(rng, emotion, size=200, style="selfie"))
        save(face, folders / "set" / emotion / "0.png")
    save(picture(1, size=(200, 200)), folders / "set" / "sad" / "1.png")
    entry = {"kind": "folder", "path": "set"}
    study = make_study(("happy", "sad"), found=entry, shipped=entry | {"crop": "as shipped"})
    images, faces = datasets.faces_of(study)
    assert images.groupby("set_name")["status"].agg(list).to_dict() == {
        "found": ["ok", "ok", "no face"],
        "shipped": ["ok"] * 3,
    }
    whole = faces.set_index("set_name")["area_share"]
    assert (whole["shipped"] == 1).all()
    assert (whole["found"] < 0.8).all()


def test_a_mix_counts_a_photo_once_and_leaves_out_one_with_two_labels(tmp_path: Path) -> None:
    labelled = [
        *[("v1", "a", "happy"), ("v1", "b", "sad"), ("v1", "c", "happy"), ("v1", "d", "sad")],
        *[("v2", "c", "happy"), ("v2", "d", "happy"), ("v2", "e", "sad"), ("v2", "f", "happy")],
    ]
    faces = pd.DataFrame(labelled, columns=["set_name", "item_id", "label"])
    faces["face_id"] = faces["set_name"] + "/" + faces["item_id"]
    faces = faces.assign(path=str(save(picture(1), tmp_path / "a.png")), is_primary=True)
    faces["group_id"] = faces["item_id"]
    sets = {name: {"kind": "photos", "source": "pexels", "design": name} for name in ("v1", "v2")}
    study, splits = make_study(("happy", "sad"), **sets), faces[["face_id"]].assign(split="train")
    codes = datasets.training_set(study, "one", faces=faces, splits=splits).labels
    assert codes.tolist() == [0, 1, 0, 1, 0], "a, b, c once, e, f: d is happy in one and sad in two"


def voted_study(folder: Path, **run: object) -> Study:
    """FER2013, each label four times; two of those named happy are sad by 6 votes of 9."""
    table = pd.DataFrame({"emotion": np.arange(28) % 7, "Usage": "Training"})
    table["pixels"] = [" ".join(map(str, np.asarray(picture(k)).ravel())) for k in range(28)]
    table.to_csv(folder / "fer2013.csv", index=False)
    study = fer_study("fer2013.csv", crop="as shipped", votes=["votes.csv"])
    write_ferplus(folder / "votes.csv", items(study, "fer"))
    voted = pd.read_csv(folder / "votes.csv")
    voted.loc[(voted["happiness"] == 9) & (voted.index < 14), ["happiness", "sadness"]] = [3, 6]
    voted.to_csv(folder / "votes.csv", index=False)
    one = {"sets": ["fer"], "train": {"size": 48}, **run}
    return parse_study({**study.model_dump(), "runs": {"one": one}})


def test_a_run_learns_from_the_labels_that_it_asks_for(folders: Path) -> None:
    happy, sad = EMOTIONS.index("happy"), EMOTIONS.index("sad")
    _, faces = datasets.faces_of(voted_study(folders))
    how = {"faces": faces, "splits": split(faces, val_share=0.2, seed=1)}
    own, soft = (
        datasets.training_set(voted_study(folders, labels=kind), "one", **how)
        for kind in ("given", "votes")
    )
    assert "" not in own.sides
    unused = soft.sides == ""
    assert 0 < unused.sum() < len(own.labels), "every 15th image has no face by the votes"
    assert np.isnan(soft.labels[unused]).all()
    assert soft.labels[~unused].sum(axis=1) == pytest.approx(1)
    assert (soft.images == own.images).all(), "so that frozen layers are passed once for all"
    mixed = soft.labels[(soft.labels[:, happy] > 0) & (soft.labels[:, sad] > 0)]
    assert mixed[:, [happy, sad]] == pytest.approx(np.tile([1 / 3, 2 / 3], (2, 1)))


def test_a_run_takes_as_many_faces_of_each_label_as_another_set_has(folders: Path) -> None:
    study, sad = voted_study(folders, match="fer"), EMOTIONS.index("sad")
    _, faces = datasets.faces_of(study)
    splits = split(faces, val_share=0.2, seed=1)
    of_few = {"set_name": "few", "face_id": "few/" + faces["face_id"]}
    is_few = (faces["label"] != "sad") | (faces.groupby("label").cumcount() < 2)
    few, sides = faces.assign(**of_few)[is_few], splits.assign(**of_few)
    one = study.runs["one"].model_copy(update={"match": "few"})
    study = study.model_copy(update={"runs": {"one": one}})
    how = {"faces": pd.concat([faces, few]), "splits": pd.concat([splits, sides])}
    found = datasets.training_set(study, "one", **how)
    kept = pd.Series(found.labels[found.sides != ""]).value_counts()
    assert kept[sad] == (few["label"] == "sad").sum() < (found.labels == sad).sum()
    assert kept.drop(sad).eq(4).all()


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


EDITS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG 30": lambda image: recompressed(image, 30),
    "half": lambda image: image.resize((120, 90)),
    "gray": ImageOps.grayscale,
    "mirrored": ImageOps.mirror,
    "left 10 %": lambda image: ImageOps.crop(image, (24, 0, 0, 0)),
    "four sides": lambda image: ImageOps.crop(image, (5, 13, 14, 2)),
    "all sides 10 %": lambda image: ImageOps.crop(image, (24, 18, 24, 18)),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edited_copies_share_the_group_of_their_original_and_of_no_other(edit) -> None:
    copies = [hash_of(edit(image)) for image in SCENES]
    groups = near_duplicates(HASHES + copies).tolist()
    assert groups[:N_SCENES] == list(range(N_SCENES))
    missed = [k for k in range(N_SCENES) if groups[N_SCENES + k] != k]
    assert len(missed) <= 1
    assert all(groups[N_SCENES + k] == N_SCENES + k for k in missed), "none is merged with another"


def test_chains_of_copies_are_one_group() -> None:
    once = EDITS["left 10 %"](SCENES[0])
    chain = [hash_of(image) for image in (SCENES[0], once, EDITS["left 10 %"](once))]
    assert near_duplicates([chain[0], chain[2]]).tolist() == [0, 1]
    assert near_duplicates([chain[0], chain[2], chain[1]]).tolist() == [0, 0, 0]

    plain = [hash_of(Image.new("RGB", (50, 40), colour)) for colour in ("black", "white", "black")]
    assert near_duplicates(plain).tolist() == [0, 1, 2], "pictures of one colour are like no other"


def split_faces(groups: list[int], labels: list[str], **more: object) -> pd.DataFrame:
    table = pd.DataFrame({"group_id": [f"g{group}" for group in groups], "label": labels})
    table["face_id"] = [f"one/one:{k}/0" for k in range(len(groups))]
    return table.assign(**{"set_name": "one", "split_given": None} | more)


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
    table = pd.DataFrame(rows, columns=["set_name", "split_given", "label", "image"])
    table["item_id"] = [f"{name}:{k}" for k, name in enumerate(table["set_name"])]
    paths = [save(image, folder / f"{k}.png") for k, image in enumerate(table.pop("image"))]
    return table.assign(path=[os.path.relpath(path, ROOT) for path in paths])


def test_identical_pairs_are_of_every_two_parts(tmp_path: Path) -> None:
    rows = [
        ("fer", "train", "happy", picture(1)),
        ("fer", "train", "sad", picture(2)),
        ("fer", "public", "happy", picture(1)),
        ("fer", "public", "fear", picture(2)),
        ("lab", None, "fear", picture(1)),
    ]
    pairs = audit_copies(listed(tmp_path, rows))
    assert set(pairs["kind"]) == {"identical"}
    found = pairs[["item_id", "label", "other_item_id", "other_split", "other_label"]].to_numpy()
    assert sorted(map(tuple, found)) == [
        ("fer:2", "happy", "fer:0", "train", "happy"),
        ("fer:3", "fear", "fer:1", "train", "sad"),
        ("lab:4", "fear", "fer:0", "train", "happy"),
        ("lab:4", "fear", "fer:2", "public", "happy"),
    ]


def test_a_changed_copy_is_near_and_others_are_not(tmp_path: Path) -> None:
    rows = [("fer", "train", "happy", picture(seed)) for seed in range(30)]
    darker = ImageEnhance.Brightness(picture(7)).enhance(0.8)
    for copy in (darker, picture(7).resize((96, 96), Image.Resampling.BICUBIC)):
        pairs = audit_copies(listed(tmp_path, [*rows, ("fer", "public", "happy", copy)]))
        assert pairs[["item_id", "other_item_id"]].to_numpy().tolist() == [["fer:30", "fer:7"]]
        assert pairs["kind"].tolist() == ["near"]
        assert pairs["correlation"][0] > 0.98


def test_flat_and_unreadable_images_are_borne(tmp_path: Path, caplog) -> None:
    black, white = (Image.new("L", (48, 48), level) for level in (0, 255))
    items = listed(tmp_path, [("a", None, "sad", black), ("a", None, "sad", white)])
    (ROOT / items["path"][0]).with_name("2.png").write_bytes(b"words")
    broken = items.iloc[:1].assign(item_id="a:2", path=os.path.relpath(tmp_path / "2.png", ROOT))
    assert audit_copies(pd.concat([items, broken])).empty
    assert "1 of 3 images can't be read" in caplog.text


def test_the_shares_of_votes_are_probabilities_and_ties_are_left_out() -> None:
    rows = [{"happy": 10}] * 5 + [{"happy": 2, "neutral": 8}]
    rows += [{"sad": 10}] * 3 + [{"sad": 5, "neutral": 5}, {"sad": 6, "neutral": 2, "fear": 2}]
    rows += [{"happy": 10}]
    images = pd.DataFrame({"item_id": [f"fer2013:{k:06d}" for k in range(12)], "set_name": "fer"})
    images["group_id"], images["label"] = images["item_id"], ["happy"] * 6 + ["sad"] * 6
    images["split_given"] = ["train"] * 8 + ["public"] * 4
    votes = pd.DataFrame(rows).add_prefix("votes_").reindex(columns=VOTES).fillna(0)
    votes = votes.assign(line=range(12), image=pd.NA, split_given=images["split_given"])
    answers = datasets.votes_as_predictions(images, votes, labels=EMOTIONS)
    assert len(answers) == len(images) - 1
    mixed = answers.set_index("item_id").loc["fer2013:000005"]
    assert (mixed["prob_neutral"], mixed["prob_happy"], mixed["predicted"]) == (0.8, 0.2, "neutral")
    right = (answers["predicted"] == answers["label"]).groupby(answers["split"]).mean()
    assert right.to_dict() == pytest.approx({"train": 7 / 8, "public": 2 / 3})
