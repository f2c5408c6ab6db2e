"""Each reader gives one table of images, whatever form its set has, and names what is wrong."""

from __future__ import annotations

import os
import shutil
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
    folder_study,
    make_study,
    picture,
    rafdb_as_folders,
    save,
    write_fer_csv,
    write_fer_tree,
    write_ferplus,
    write_listed,
)

from exe_core import readers
from exe_core.datasets import all_items, faces_as_shipped, items
from exe_core.faces import load_faces
from exe_core.labels import EMOTIONS, FIVE
from exe_core.readers import (
    VOTES,
    DatasetError,
    join_votes,
    majority,
    read_fer2013,
    read_folder,
    read_rafdb,
    read_votes,
    soft_labels,
    voter_agreement,
)
from exe_core.record import ROOT

Write = Callable[[Path], None]
pytestmark = pytest.mark.usefixtures("folders")


class TestFolder:
    def test_a_list_and_a_folder_an_emotion_give_the_same_items(self, folders: Path) -> None:
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

    def test_persons_are_texts_and_an_empty_field_is_unknown(self, folders: Path) -> None:
        persons = ["NA", "None", "null", "nan", "", "007"]
        rows = [(f"{k}.png", "happy", person) for k, person in enumerate(persons)]
        write_listed(folders / "set", rows)
        assert read_folder(folders / "set")["person"].fillna("").tolist() == persons
        groups = items(folder_study(), "one")["group_id"].tolist()
        assert groups[:5] == ["one:NA", "one:None", "one:null", "one:nan", "one:4.png"]

    @staticmethod
    def missing(root: Path) -> None:
        write_listed(root, [("a.png", "happy", ""), ("b.png", "happy", "")])
        (root / "b.png").unlink()

    @staticmethod
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
            (missing, "1 of 2 images are not there, such as b.png"),
            (lambda root: write_listed(root, [("../a.png", "happy", "")]), "outside of its folder"),
            (linked, "outside of its folder, such as .*a.png: put the files there"),
            (lambda root: write_listed(root, [("a.png", "happy", "")] * 2), "listed twice"),
            (lambda root: save(picture(1), root / "joyous" / "a.png"), "label 'joyous' is not one"),
            (lambda root: root.mkdir(), "no image of the labels"),
        ],
    )
    def test_a_wrong_folder_is_refused(self, folders: Path, write: Write, message: str) -> None:
        write(folders / "set")
        with pytest.raises(DatasetError, match=message):
            items(folder_study(), "one")


def archived(write: Write, inside: str, suffix: str = "xz") -> Write:
    """Write an archive of what `write` writes, at a place in it."""

    def pack(path: Path) -> None:
        made = path.parent / "made" / inside
        made.parent.mkdir(parents=True, exist_ok=True)
        write(made)
        with tarfile.open(path, f"w:{suffix}") as archive:
            archive.add(path.parent / "made", ".")

    return pack


def write_validation_tree(root: Path) -> None:
    """A tree whose PublicTest lies in a folder of its own."""
    write_fer_tree(root)
    for path in sorted(root.rglob("PublicTest_*")):
        save(picture(0), root / "validation" / path.parent.name / "x.png")
        path.replace(root / "validation" / path.parent.name / path.name)
        (root / "validation" / path.parent.name / "x.png").unlink()


class TestFer2013:
    @pytest.mark.parametrize(
        ("form", "write"),
        {
            "fer2013.csv": write_fer_csv,
            "icml/icml_face_data.csv": lambda path: write_fer_csv(path, spaces=True),
            "deep/fer2013/fer2013.csv": write_fer_csv,
            "tree": write_fer_tree,
            "deep/tree": write_fer_tree,
            "validation": write_validation_tree,
            "fer2013.tar.xz": archived(write_fer_tree, "fer2013"),
            "fer2013.tar.gz": archived(write_fer_csv, "fer2013/fer2013.csv", "gz"),
            "fer2013.tar": archived(write_fer_csv, "fer2013.csv", ""),
        }.items(),
    )
    def test_every_form_gives_the_same_faces(self, folders: Path, form: str, write: Write) -> None:
        write(folders / form)
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
    def test_a_packed_copy_is_unpacked_once_and_again_when_it_changes(
        self, folders: Path, form: str
    ) -> None:
        write = write_fer_csv if form.endswith("csv") else archived(write_fer_tree, "fer2013")
        write(folders / form)
        study = fer_study(form)
        first = items(study, "fer")
        path = ROOT / first["path"][0]
        inode = path.stat().st_ino
        items(study, "fer")
        assert path.stat().st_ino == inode
        path.with_name("Training_99.png").write_bytes(b"left over")
        with (folders / form).open("ab") as file:
            file.write(b"\n" if form.endswith("csv") else b"\0" * 4)
        pd.testing.assert_frame_equal(items(study, "fer"), first)
        assert path.stat().st_ino != inode

    def test_an_interrupted_unpacking_is_not_taken_for_whole(
        self, folders: Path, monkeypatch: pytest.MonkeyPatch
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
    def test_an_altered_copy_is_noticed(self, folders: Path, change: Callable, sign: str) -> None:
        write_fer_tree(folders / "tree", change=change)
        with pytest.warns(UserWarning, match=f"altered: .*{sign}"):
            items(fer_study("tree"), "fer")

    def test_renamed_images_are_read_by_their_folders_and_noticed(
        self, folders: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write_fer_tree(folders / "tree")
        for path in (folders / "tree").rglob("*.png"):
            path.rename(path.with_name(f"im{path.stem.rpartition('_')[2]}.png"))
        for side in ("val", "mystery"):
            save(picture(33), folders / "tree" / side / "happy" / "im99.png")
        with pytest.warns(UserWarning, match="names other than"):
            table = items(fer_study("tree"), "fer")
        assert table["split_given"].value_counts().to_dict() == {"train": 7, "test": 3, "val": 1}
        assert "not read: mystery" in caplog.text

    def test_numbers_that_each_part_counts_for_itself_do_not_collide(self, folders: Path) -> None:
        save(picture(1), folders / "tree" / "train" / "happy" / "Training_5.png")
        save(picture(2), folders / "tree" / "test" / "happy" / "PublicTest_5.png")
        table = items(fer_study("tree"), "fer")
        assert table["item_id"].tolist() == ["fer2013:public_000005", "fer2013:train_000005"]

    @staticmethod
    def csv_with(old: str, new: str) -> Write:
        def write(path: Path) -> None:
            write_fer_csv(path)
            path.write_text(path.read_text().replace(old, new, 1))

        return write

    @staticmethod
    def escaping(path: Path) -> None:
        save(picture(1), path.parent / "a.png")
        with tarfile.open(path, "w:xz") as archive:
            archive.add(path.parent / "a.png", "../../escaped.png")

    @staticmethod
    def linking(path: Path) -> None:
        (path.parent / "a.png").symlink_to("/etc/hostname")
        with tarfile.open(path, "w:xz") as archive:
            archive.add(path.parent / "a.png", "train/happy/Training_0.png")

    @staticmethod
    def cut(path: Path) -> None:
        archived(write_fer_tree, "fer2013")(path)
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
            ("fer2013.tar.xz", cut, "can't be unpacked"),
            ("fer2013.tar.xz", escaping, "can't be unpacked: .*outside"),
            ("fer2013.tar.xz", linking, "Training_0.png' is neither a file nor a folder"),
            ("fer2013.zip", lambda path: path.write_bytes(b"PK"), "can't be unpacked"),
            ("tree", lambda path: path.mkdir(), "tree is no FER2013: neither it nor one of its"),
        ],
    )
    def test_a_wrong_copy_is_refused(
        self, folders: Path, form: str, write: Write, message: str
    ) -> None:
        write(folders / form)
        with pytest.raises(DatasetError, match=message):
            items(fer_study(form), "fer")
        assert not list(folders.parent.rglob("escaped.png"))


def made_items(n: int = 300) -> pd.DataFrame:
    labels = np.random.default_rng(0).choice(EMOTIONS, n)
    numbers = [f"fer2013:{line:06d}" for line in range(n)]
    sides = ["train" if line < n - 60 else "public" for line in range(n)]
    return pd.DataFrame({"item_id": numbers, "label": labels, "split_given": sides})


def votes_row(**votes: int) -> pd.DataFrame:
    return pd.DataFrame([dict.fromkeys(VOTES, 0) | {f"votes_{k}": n for k, n in votes.items()}])


HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
)


class TestFerPlus:
    def test_the_published_file_joins_line_by_line(self, tmp_path: Path) -> None:
        items = made_items()
        votes = read_votes(write_ferplus(tmp_path / "fer2013new.csv", items))
        assert votes["line"].tolist() == list(range(300))
        assert votes["image"].isna().sum() == 20  # images without a face have no name
        assert votes["image"][298] == 293  # and some of them are not counted
        joined = join_votes(items, votes)
        assert joined["item_id"].tolist() == items["item_id"].tolist()
        assert voter_agreement(joined) == 1

    def test_a_table_with_image_numbers_joins_the_numbers_of_a_folder(self, tmp_path: Path) -> None:
        items = made_items()
        published = read_votes(write_ferplus(tmp_path / "fer2013new.csv", items))
        folder = items.assign(item_id=[f"fer2013:{n}" for n in published["image"]])
        votes = read_votes(write_ferplus(tmp_path / "ferplus.csv", items, published=False))
        assert votes["line"].isna().all()
        joined = join_votes(folder, votes)
        assert len(joined) == 280
        assert voter_agreement(joined) == 1

    def test_numbers_of_another_count_are_refused(self, tmp_path: Path) -> None:
        items = made_items()
        votes = read_votes(write_ferplus(tmp_path / "ferplus.csv", items, published=False))
        with pytest.raises(DatasetError, match="not those of the votes"):
            join_votes(items, votes.assign(image=votes["image"] + 1))
        with pytest.raises(DatasetError, match="no image of 300 has votes"):
            join_votes(items, votes.assign(image=votes["image"] + 10_000))
        with pytest.raises(DatasetError, match="no image of 300 has votes"):
            join_votes(items.assign(item_id="fer2013:happy_a"), votes)
        tied = votes.assign(**dict.fromkeys(VOTES, 0)).assign(votes_happy=9, votes_sad=9)
        with pytest.raises(DatasetError, match="agrees with nan"):
            join_votes(items, tied)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (HEADER.replace("anger", "rage") + "\nTraining,a,1,0,0,0,0,0,0,0,0,9", "column anger"),
            (HEADER + "\nTrain,fer0.png,1,0,0,0,0,0,0,0,0,9", "Usage {'Train'} must be of"),
            (HEADER + "\nTraining,fer0.png,1,0,x,0,0,0,0,0,0,9", "row 0: votes are whole numbers"),
            (HEADER + "\nTraining,fer0.png,1,0,.5,0,0,0,0,0,0,9", "row 0: votes are whole"),
            (HEADER + "\nTraining,fer0.png,1,-1,0,0,0,0,0,0,0,9", "row 0: votes are whole"),
            (HEADER + "\nTraining,fer0.png,0,0,0,0,0,0,0,0,0,0", "row 0: votes are .* one or more"),
            (HEADER, "has no rows"),
        ],
    )
    def test_another_file_is_refused(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "fer2013new.csv"
        path.write_text(text + "\n")
        with pytest.raises(DatasetError, match=message):
            read_votes(path)
        with pytest.raises(DatasetError, match=r"absent\.csv is not in folder"):
            read_votes(tmp_path / "absent.csv")

    def test_votes_become_shares_of_the_labels(self) -> None:
        votes = votes_row(happy=4, neutral=2, contempt=2, unknown=2)
        happy, neutral = EMOTIONS.index("happy"), EMOTIONS.index("neutral")
        assert soft_labels(votes)[0, [happy, neutral]] == pytest.approx([4 / 6, 2 / 6])
        assert soft_labels(votes, labels=["happy", "sad"])[0] == pytest.approx([1, 0])
        rows = [votes_row(sad=10), votes_row(sad=5, fear=5), votes_row(sad=5, fear=4, contempt=1)]
        assert majority(soft_labels(pd.concat(rows))).tolist() == ["sad", None, "sad"]

    @pytest.mark.parametrize(
        "row", [{"no_face": 10}, {"no_face": 5, "happy": 5}, {"unknown": 6, "contempt": 4}]
    )
    def test_without_a_vote_for_a_label_it_is_undefined(self, row: dict[str, int]) -> None:
        soft = soft_labels(votes_row(**row))
        assert np.isnan(soft).all()
        assert majority(soft).tolist() == [None]

    @pytest.mark.slow
    def test_the_real_votes_agree_with_the_real_labels(
        self, tmp_path: Path, real_data: Path
    ) -> None:
        table = read_fer2013(real_data / "fer2013.tar.xz", unpacked=tmp_path / "fer2013")
        items = table.assign(item_id="fer2013:" + table["name"])
        votes = read_votes(real_data / "ferplus.csv")
        joined = join_votes(items, votes)
        assert len(joined) > 0.99 * len(items)
        assert voter_agreement(joined) > 0.64
        with pytest.raises(DatasetError, match=r"agrees with 0\.1[78]"):
            join_votes(items, votes.assign(image=votes["image"] + 1))


@pytest.fixture
def real_data() -> Path:
    given = Path(os.environ.get("REAL_DATA", ""))
    if not all((given / name).is_file() for name in ("ferplus.csv", "fer2013.tar.xz")):
        pytest.skip("REAL_DATA names no folder with ferplus.csv and fer2013.tar.xz")
    return given


RAF_ROWS = [("train_00001", 5), ("train_00002", 4), ("train_00003", 7), ("test_0001", 1)]
RAF_LIST = "EmoLabel/list_patition_label.txt"


def write_official(root: Path) -> None:
    for k, (name, _) in enumerate(RAF_ROWS):
        save(picture(k, (100, 100)), root / "Image" / "aligned" / f"{name}_aligned.jpg")
    (root / RAF_LIST).parent.mkdir()
    (root / RAF_LIST).write_text("".join(f"{name}.jpg {label}\n" for name, label in RAF_ROWS))


def write_folders(root: Path) -> None:
    write_official(root / "official")
    rafdb_as_folders(root / "official", root)
    shutil.rmtree(root / "official")


class TestRafDb:
    @staticmethod
    def study(labels: tuple[str, ...] = EMOTIONS, counts: str = "any"):
        return make_study(labels, raf={"kind": "rafdb", "path": "raf", "counts": counts})

    @pytest.mark.parametrize("write", [write_official, write_folders])
    def test_both_forms_give_the_same_items(self, folders: Path, write: Write) -> None:
        write(folders / "raf")
        table = items(self.study(), "raf")
        assert table[["item_id", "label", "split_given"]].to_numpy().tolist() == [
            ["rafdb:test_0001", "surprise", "test"],
            ["rafdb:train_00001", "sad", "train"],
            ["rafdb:train_00002", "happy", "train"],
            ["rafdb:train_00003", "neutral", "train"],
        ]
        assert table["group_id"].nunique() == 4
        assert items(self.study(FIVE), "raf")["label"].tolist() == ["surprise", "sad", "happy"]

    def test_a_list_that_corrects_the_authors_spelling_is_read_too(self, folders: Path) -> None:
        write_official(folders / "raf")
        listed = folders / "raf" / RAF_LIST
        listed.rename(listed.with_name("list_partition_label.txt"))
        assert len(read_rafdb(folders / "raf")) == 4

    def test_a_real_study_refuses_other_numbers_than_the_published_ones(
        self, folders: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        totals = {part: sum(numbers) for part, numbers in readers.RAFDB_COUNTS.items()}
        assert totals == {"train": 12_271, "test": 3_068}
        write_official(folders / "raf")
        with pytest.raises(DatasetError, match=r"12,271 .* 3,068 .*train angry 0 instead of 705"):
            items(self.study(counts="published"), "raf")
        numbers = {"train": (0, 0, 0, 1, 1, 0, 1), "test": (0, 0, 0, 0, 0, 1, 0)}
        monkeypatch.setattr(readers, "RAFDB_COUNTS", numbers)
        assert len(items(self.study(counts="published"), "raf")) == 4

    @staticmethod
    def changed(file: str, change: Callable[[str], str], write: Write) -> Write:
        def write_changed(root: Path) -> None:
            write(root)
            (root / file).write_text(change((root / file).read_text()))

        return write_changed

    @pytest.mark.parametrize(
        ("write", "message"),
        [
            (changed(RAF_LIST, lambda text: text.replace(" 5", " 8"), write_official), "label '8'"),
            (changed(RAF_LIST, lambda text: text + "train_9.jpg 1", write_official), "1 of 5 im"),
            (changed(RAF_LIST, lambda text: text + "odd", write_official), "<label>': 'odd'"),
            (changed(RAF_LIST, lambda text: text + "val_1.jpg 1", write_official), "neither train"),
            (
                changed(RAF_LIST, lambda text: text + "train_00001.jpg 4", write_official),
                "listed twice, such as train_00001",
            ),
            (
                changed("train_labels.csv", lambda text: text.replace("ge", "me"), write_folders),
                "no column image",
            ),
            (
                changed("train_labels.csv", lambda text: text.replace(",5", ",4"), write_folders),
                "1 of 4 images are not there, such as train_00001",
            ),
            (lambda root: root.mkdir(), "train_labels.csv is not in folder raf"),
        ],
    )
    def test_a_wrong_set_is_refused(self, folders: Path, write: Write, message: str) -> None:
        write(folders / "raf")
        with pytest.raises(DatasetError, match=message):
            items(self.study(), "raf")
