"""Each reader gives one table of images, whatever form its set has, and names what is wrong."""

import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_sets import (
    archived,
    fer_images,
    fer_study,
    folder_study,
    items,
    make_study,
    picture,
    save,
    write_fer_csv,
    write_fer_tree,
    write_ferplus,
    write_listed,
)

from exe_core import datasets, open_data, readers
from exe_core.datasets import all_items, faces_as_shipped
from exe_core.faces import load_faces
from exe_core.labels import EMOTIONS
from exe_core.readers import (
    VOTES,
    DatasetError,
    majority,
    read_fer2013,
    read_imfdb,
    read_keywords,
    read_votes,
    voted_shares,
)
from exe_core.record import ROOT

pytestmark = pytest.mark.usefixtures("folders")


class TestFolder:
    def test_a_list_and_a_folder_an_emotion_give_the_same_items(self, folders):
        names = ["happy/a.png", "happy/b.png", "sad/deep/c.png"]
        write_listed(folders / "listed", [(n, n.partition("/")[0]) for n in names], "file,emotion")
        for k, name in enumerate(names):
            save(picture(k), folders / "tree" / name)
        one, other = (items(folder_study(path), "one") for path in ("listed", "tree"))
        assert one.drop(columns="path").equals(other.drop(columns="path"))
        assert one["item_id"].tolist() == [f"one:{name}" for name in names]
        assert all((ROOT / path).is_file() for path in one["path"])
        assert not any(Path(path).is_absolute() for path in one["path"])

    def test_persons_are_texts_and_an_empty_field_is_unknown(self, folders):
        persons = ["NA", "None", "null", "nan", "", "007"]
        write_listed(folders / "set", [(f"{k}.png", "happy", x) for k, x in enumerate(persons)])
        table = items(folder_study(), "one")
        assert table["person"].fillna("").tolist() == persons
        groups = ["one:NA", "one:None", "one:null", "one:nan", "one:4.png", "one:007"]
        assert table["group_id"].tolist() == groups

    @staticmethod
    def missing(root):
        write_listed(root, [("a.png", "happy", ""), ("b.png", "happy", "")])
        (root / "b.png").unlink()

    @staticmethod
    def linked(root):
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
            (linked, "outside of its folder, by links or .., such as .*a.png"),
            (lambda root: write_listed(root, [("a.png", "happy", "")] * 2), "listed twice"),
            (lambda root: save(picture(1), root / "joyous" / "a.png"), "no image of the labels"),
            (lambda root: save(picture(1), root / "a.png"), "it has 1 images elsewhere"),
        ],
    )
    def test_a_wrong_folder_is_refused(self, folders, write, message):
        write(folders / "set")
        with pytest.raises(DatasetError, match=message):
            all_items(folder_study())


class TestFer2013:
    @pytest.mark.parametrize(
        ("form", "write"),
        {
            "fer2013.csv": write_fer_csv,
            "icml/icml_face_data.csv": lambda path: write_fer_csv(path, spaces=True),
            "deep/fer2013/FER2013.CSV": write_fer_csv,
            "deep/tree": lambda path: write_fer_tree(path, public="validation"),
            "fer2013.tar.xz": archived(write_fer_tree, "fer2013"),
            "fer2013.tar.gz": archived(write_fer_csv, "fer2013/fer2013.csv", "gz"),
        }.items(),
    )
    def test_every_form_gives_the_same_faces(self, folders, form, write):
        write(folders / form)
        study = fer_study(form.partition("/")[0])
        table = items(study, "fer")
        assert table["item_id"].tolist() == [f"fer2013:{number:06d}" for number in range(10)]
        assert table["label"].tolist() == [emotion for _, emotion, _ in fer_images()]
        assert table["split_given"].tolist() == ["train"] * 7 + ["public"] * 2 + ["private"]
        groups = all_items(study)["group_id"]
        assert groups.nunique() == 9
        assert groups[8] == groups[0]
        images, faces = faces_as_shipped(table)
        assert set(images["status"]) == {"ok"}
        pixels = load_faces(faces, size=48)
        assert np.array_equal(pixels[..., 0], np.stack([pixels for *_, pixels in fer_images()]))

    def test_a_packed_copy_is_unpacked_once_whole_and_again_when_it_changes(
        self, folders, monkeypatch
    ):
        write_fer_csv(folders / "fer2013.csv")
        study = fer_study("fer2013.csv")
        real, left = Image.fromarray, iter(range(5))

        def stopped(pixels):
            if next(left, None) is None:
                raise KeyboardInterrupt
            return real(pixels)

        with monkeypatch.context() as patch:
            patch.setattr(readers.Image, "fromarray", stopped)
            with pytest.raises(KeyboardInterrupt):
                items(study, "fer")
        first = items(study, "fer")
        assert len(first) == 10
        path = ROOT / first["path"][0]
        inode = path.stat().st_ino
        items(study, "fer")
        assert path.stat().st_ino == inode
        path.with_name("Training_99.png").write_bytes(b"left over")
        with (folders / "fer2013.csv").open("a") as file:
            file.write("\n")
        pd.testing.assert_frame_equal(items(study, "fer"), first)
        assert path.stat().st_ino != inode

    def test_renamed_images_are_read_by_their_folders_and_do_not_collide(self, folders, caplog):
        caplog.set_level("INFO")
        write_fer_tree(folders / "tree")
        for path in (folders / "tree").rglob("*.png"):
            path.rename(path.with_name(f"im{path.stem.rpartition('_')[2]}.png"))
        for side in ("dev", "mystery"):
            save(picture(33), folders / "tree" / side / "happy" / "im99.png")
        table = items(fer_study("tree"), "fer")
        assert table["split_given"].value_counts().to_dict() == {"train": 7, "test": 3, "val": 1}
        assert "1 images elsewhere" in caplog.text
        for name in ("train/happy/Training_5.png", "test/happy/PublicTest_5.png"):
            save(picture(1), folders / "each" / name)  # each part counts its images
        table = items(fer_study("each"), "fer")
        assert table["item_id"].tolist() == ["fer2013:public_000005", "fer2013:train_000005"]

    @staticmethod
    def csv_with(old, new):
        def write(path):
            write_fer_csv(path)
            path.write_text(path.read_text().replace(old, new, 1))

        return write

    @staticmethod
    def member(name, target=None):
        """An archive of one image of this name, or a link to a target."""

        def write(path):
            source = path.parent / "a.png"
            source.symlink_to(target) if target else save(picture(1), source)
            with tarfile.open(path, "w:xz") as archive:
                archive.add(source, name)

        return write

    @staticmethod
    def cut(path):
        archived(write_fer_tree, "fer2013")(path)
        path.write_bytes(path.read_bytes()[:-3000])

    @pytest.mark.parametrize(
        ("form", "write", "message"),
        [
            ("fer2013.csv", csv_with("Usage", "Use"), "no column Usage; it has emotion, pixels"),
            ("fer2013.csv", csv_with("Training", "Train"), "image 0: Usage 'Train' is none of"),
            ("fer2013.csv", csv_with("\n0,", "\n7,"), "image 0: label '7' is not one of fer2013's"),
            ("fer2013.csv", csv_with("\n0,", "\n0,300 "), "image 0: pixels must be 2304 numbers"),
            ("fer2013.csv", lambda path: path.write_bytes(b""), "fer2013.csv is no table"),
            ("fer2013.tar.xz", cut, "can't be unpacked"),
            ("fer2013.tar.xz", member("../../escaped.png"), "can't be unpacked: .*outside"),
            ("fer2013.tar.xz", member("train/happy/x.png", "/etc/hostname"), "absolute path"),
            ("fer2013.zip", lambda path: path.write_bytes(b"PK"), "can't be unpacked"),
            ("tree", lambda path: path.mkdir(), "tree has no images of the layout"),
        ],
    )
    def test_a_wrong_copy_is_refused(self, folders, form, write, message):
        write(folders / form)
        with pytest.raises(DatasetError, match=message):
            items(fer_study(form), "fer")
        assert not list(folders.parent.rglob("escaped.png"))


def made_items(n=300):
    labels = np.random.default_rng(0).choice(EMOTIONS, n)
    numbers = [f"fer2013:{line:06d}" for line in range(n)]
    sides = ["train" if line < n - 60 else "public" for line in range(n)]
    return pd.DataFrame({"item_id": numbers, "label": labels, "split_given": sides})


class TestFerPlus:
    def test_lines_or_image_numbers_join_votes_and_images(self, tmp_path):
        items = made_items()
        votes = read_votes(write_ferplus(tmp_path / "fer2013new.csv", items))
        assert votes["line"].tolist() == list(range(300))
        assert votes["image"].isna().sum() == 20  # images without a face have no name
        assert votes["image"][298] == 293  # and some of them are not counted
        by_number = read_votes(write_ferplus(tmp_path / "ferplus.csv", items, published=False))
        assert by_number["line"].isna().all()
        folder = items.assign(item_id=[f"fer2013:{n}" for n in votes["image"]])
        for images, known in ((items, votes), (folder, by_number)):
            found = pd.Series(majority(voted_shares(images, known))).dropna()
            assert len(found) == 280
            assert found.equals(items["label"][found.index])

    def test_numbers_of_another_count_are_refused(self, tmp_path):
        items = made_items()
        votes = read_votes(write_ferplus(tmp_path / "ferplus.csv", items, published=False))
        for other in (1, 10_000):
            with pytest.raises(DatasetError, match="where the right numbers agree"):
                voted_shares(items, votes.assign(image=votes["image"] + other))
        with pytest.raises(DatasetError, match="has votes on 0 of 300 images"):
            voted_shares(items.assign(item_id="fer2013:happy_a"), votes)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ("anger", "rage", "column anger"),
            ("Training", "Train", "row 0: Train, .* a Usage of Train"),
            (",1,", ",x,", "row 0: .*votes in whole numbers"),
            (",1,", ",0,", "row 0: .* one or more"),
            ("Training,fer0.png,1,0,0,0,0,0,0,0,0,0", "", "has no rows"),
        ],
    )
    def test_another_file_is_refused(self, tmp_path, old, new, message):
        header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear"
        text = header + ",contempt,unknown,NF\nTraining,fer0.png,1,0,0,0,0,0,0,0,0,0\n"
        (tmp_path / "fer2013new.csv").write_text(text.replace(old, new))
        with pytest.raises(DatasetError, match=message):
            read_votes(tmp_path / "fer2013new.csv")

    def test_shares_are_of_the_votes_for_labels_and_may_be_undefined(self):
        rows = [
            *[{"happy": 4, "neutral": 2, "contempt": 2, "unknown": 2}, {"sad": 5, "fear": 5}],
            *[{"no_face": 10}, {"no_face": 5, "happy": 5}, {"unknown": 6, "contempt": 4}],
        ]
        votes = pd.DataFrame(rows).add_prefix("votes_").reindex(columns=VOTES).fillna(0)
        votes = votes.assign(line=range(5), image=pd.NA, split_given="train")
        items = made_items(5).assign(label=["happy", *["sad"] * 4], split_given="train")
        found, happy = voted_shares(items, votes), EMOTIONS.index("happy")
        assert found[0, [happy, EMOTIONS.index("neutral")]] == pytest.approx([4 / 6, 2 / 6])
        assert majority(found).tolist() == ["happy", None, None, None, None]
        assert np.isnan(found[2:]).all()
        of_two = voted_shares(items, votes, labels=["neutral", "sad"])
        assert of_two[:2] == pytest.approx(np.eye(2))


RAF_ROWS = [("train_00001", 5), ("train_00002", 4), ("train_00003", 7), ("test_0001", 1)]
RAF_LIST = "EmoLabel/list_patition_label.txt"


def write_official(root, listed=RAF_LIST):
    for k, (name, _) in enumerate(RAF_ROWS):
        save(picture(k, (100, 100)), root / "Image" / "aligned" / f"{name}_aligned.jpg")
    (root / listed).parent.mkdir()
    (root / listed).write_text("".join(f"{name}.jpg {label}\n" for name, label in RAF_ROWS))


def write_spelled_right(root):
    write_official(root, RAF_LIST.replace("pati", "parti"))


def write_folders(root):
    for part in ("train", "test"):
        rows = [(f"{name}_aligned.jpg", label) for name, label in RAF_ROWS if part in name]
        for k, (name, label) in enumerate(rows):
            save(picture(k, (100, 100)), root / "DATASET" / part / str(label) / name)
        lines = ["image,label", *(f"{name},{label}" for name, label in rows)]
        (root / f"{part}_labels.csv").write_text("\n".join(lines))


class TestRafDb:
    @staticmethod
    def study():
        return make_study(raf={"kind": "rafdb", "path": "raf"})

    @pytest.mark.parametrize("write", [write_official, write_spelled_right, write_folders])
    def test_each_form_gives_the_same_items(self, folders, write):
        write(folders / "raf")
        table = items(self.study(), "raf")
        assert table[["item_id", "label", "split_given"]].to_numpy().tolist() == [
            ["rafdb:test_0001", "surprise", "test"],
            ["rafdb:train_00001", "sad", "train"],
            ["rafdb:train_00002", "happy", "train"],
            ["rafdb:train_00003", "neutral", "train"],
        ]
        assert table["group_id"].nunique() == 4

    @pytest.mark.parametrize(
        ("file", "old", "new", "message"),
        [
            (RAF_LIST, " 5", " 8", "label '8'"),
            (RAF_LIST, "test_0001.jpg 1", "train_9.jpg 1", "1 of 4 images are not there"),
            (RAF_LIST, " 5", " 5 6", "not '<image> <label>': 'train_00001.jpg 5 6'"),
            (RAF_LIST, "test_0001", "val_1", "neither train"),
            (RAF_LIST, "train_00002", "train_00001", "listed twice, such as train_00001"),
            ("train_labels.csv", "image", "mage", "no column image"),
            ("train_labels.csv", ",5", ",4", "1 of 4 images are not there, such as train_00001"),
            ("train_labels.csv", ",5", ",", "label '' is not one"),
        ],
    )
    def test_a_wrong_set_is_refused(self, folders, file, old, new, message):
        (write_official if file == RAF_LIST else write_folders)(folders / "raf")
        path = folders / "raf" / file
        path.write_text(path.read_text().replace(old, new, 1))
        with pytest.raises(DatasetError, match=message):
            items(self.study(), "raf")
        path.unlink()
        with pytest.raises(DatasetError, match=r"train_labels\.csv is not in folder raf"):
            items(self.study(), "raf")


REAL = Path(os.environ.get("EXE_DATA") or "/nowhere")


def face(name, said, box="3 4 40 50", frame="part_1 00287.jpg"):
    """A line of IMFDB; `said` is from the sex on."""
    columns = [*frame.split(), name, *box.split(), "Habba", "05-03-1999", "Ambreesh", *said.split()]
    return "\t".join(columns)


SAYS = "MALE HAPPINESS GLASSES BAD OLD LEFT PARTIAL"


class TestImfdb:
    ALL = "IMFDB_final/Ambresh/Habba_1"

    def read(self, folders, *lines, encoding=None):
        """Read a film of images A_1 .. A_3, 40 x 50 px, with these lines."""
        film = folders / "imfdb" / self.ALL
        for k in (1, 2, 3):
            save(picture(k, (40, 50)), film / "images" / f"A_{k}.jpg")
        (film / "Habba_1.txt").write_text("\r\n".join(lines), encoding)
        return read_imfdb(folders / "imfdb", unpacked=folders / "un")

    def test_a_line_becomes_columns(self, folders):
        row = self.read(folders, face("A_1.jpg", SAYS)).iloc[0]
        said = {"name": "Ambresh/Habba_1/A_1.jpg", "label": "happy", "person": "Ambresh"}
        said |= {"film": "Habba", "clip": "part_1", "frame": 287, "year": 1999, "sex": "male"}
        said |= {"age": "old", "pose": "left", "light": "bad", "occlusion": "glasses"}
        assert row.drop("path").dropna().to_dict() == said | {"makeup": "partial"}

    @pytest.mark.parametrize(
        ("line", "label", "light"),
        [
            (face("A_1.jpg", "FEMALE ANGER NONE MEDIUM YOUNG UP OVER") + "\t", "angry", "medium"),
            (face("a_1.JPG", "male sadness none high middle up over"), "sad", "high"),
            (face("A_1.jpg", "MALE SURPRIS HAND HIGHH MIDDDLE DOWN PARTIA"), "surprise", "high"),
            (face("A_1.jpg", "MALE  NEUTRAL NONE BAD").replace("\t", " "), "neutral", "bad"),
            (face("Amb_01.jpg", "MALE FEAR NONE BAD"), "fear", "bad"),  # by number and size
            (face("A_1.jpg", "MALE JOYOUS NONE MEDIUM"), None, "medium"),
            ("part 1 00287.jpg A_1.jpg 3 4 40 50", None, None),
            ("\0\0" + face("A_1.jpg", "MALE DISGUST NONE HIGH"), "disgust", "high"),
        ],
    )
    def test_lines_are_read_in_every_form(self, folders, line, label, light):
        table = self.read(folders, line, "", face("A_2.jpg", SAYS))
        assert table.loc[0, ["label", "light"]].tolist() == [label, light]
        assert table["label"].tolist()[1:] == ["happy", None]
        why = None if label else "no expression in its line"
        assert table["no_label"].tolist() == [why, None, "no line of it"]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
    def test_text_files_in_every_encoding(self, folders, encoding):
        lines = ["", face("A_1.jpg", SAYS, frame="Rája 7.jpg")]
        table = self.read(folders, *lines, encoding=encoding)
        assert table.loc[0, ["label", "frame"]].tolist() == ["happy", 7]

    def test_several_labels_or_a_line_of_another_image_give_none(self, folders, caplog):
        caplog.set_level("INFO")
        lines = [SAYS, SAYS.replace("HAPPINESS", "SADNESS")]
        lines = [*(face("A_1.jpg", said) for said in lines), face("A_9.jpg", SAYS)]
        lines += [face("A_2.jpg", said) for said in (SAYS, SAYS.replace("LEFT", "RIGHT"))]
        table = self.read(folders, *lines, face("A_3.jpg", SAYS, box="3 4 41 90"))
        assert table["label"].tolist() == [None, "happy", None]
        assert table["pose"].tolist() == ["left", None, None]
        why = ["several labels: happy, sad", None, "its line is of another image"]
        assert table["no_label"].tolist() == why
        assert "1 several labels" in caplog.text
        # a resized copy has no box of its size
        boxes = [face(f"A_{k}.jpg", SAYS, box="3 4 80 100") for k in (1, 2, 3)]
        assert self.read(folders, *boxes)["label"].tolist() == ["happy"] * 3
        assert "resized" in caplog.text

    def test_films_actors_and_files_that_are_no_faces(self, folders, caplog):
        caplog.set_level("INFO")
        films = ["A/Mr_India", "A/Misc", "A/extras_Malla", "B/Tiger2", "B/3Idiots", "C/C"]
        for k, film in enumerate(films):
            save(picture(k), folders / "imfdb" / film / "images" / "x_1.png")
        save(picture(9), folders / "imfdb" / "stray.png")
        (folders / "imfdb" / "A" / "Misc" / "Thumbs.db").write_bytes(b"x")
        (folders / "imfdb" / "A" / "Misc" / "images" / "x_2.jpg").write_bytes(b"broken")
        (folders / "imfdb" / "A" / "Misc" / "Misc.txt").write_text(face("x_2.jpg", SAYS))
        archived(lambda made: shutil.copytree(folders / "imfdb", made), "IMFDB_final")(
            folders / "imfdb.tar.xz"
        )
        entry = {"kind": "imfdb", "path": "imfdb.tar.xz", "without_persons": ["C", "Nobody"]}
        study = make_study(some=entry)
        table = datasets.attributes(study)
        films = ["", "", "Mr.India", "Malla", "3Idiots", "Tiger"]
        assert table["film"].fillna("").tolist() == films
        groups = datasets.read_set(study, "some")["group_id"]
        assert groups.tolist()[1:4] == ["imfdb:A", "imfdb:A/Mr.India", "imfdb:A/Malla"]
        assert "1 images elsewhere" in caplog.text
        entry = {"kind": "imfdb", "path": "imfdb", "persons": ["B"]}
        assert set(datasets.attributes(make_study(some=entry))["person"]) == {"B"}
        nobody = make_study(some=entry | {"persons": ["Nobody"]})
        with pytest.raises(DatasetError, match="has no images of the layout"):
            datasets.attributes(nobody)


class TestKeywords:
    """Photos a.. of the keywords angry, crying and sad; one of them is no photo."""

    @pytest.fixture
    def photos(self, folders):
        for k, name in enumerate(["angry/a.jpg", "angry/b.jpg", "crying/c.jpg", "sad/d.jpg"]):
            save(picture(k), folders / "photos" / name)
        (folders / "photos" / "sad" / "notes.txt").write_text("no photo")
        (folders / "photos.csv").write_text(
            "file,label,repository,other_labels\n"
            "angry/a.jpg,angry,one/x,\n"
            "angry/b.jpg,angry,one/x,crying|lonely|sad\n"
            "crying/c.jpg,crying,two/y,\n"
            "sad/gone.jpg,sad,two/y,\n"
        )
        return folders / "photos"

    @staticmethod
    def read(photos):
        path = photos.name if photos.suffix else "photos"
        study = make_study(some={"kind": "keywords", "path": path})
        return datasets.attributes(study).set_index("item_id")

    @pytest.mark.parametrize("form", ["photos", "photos.zip"])
    def test_labels_sources_and_conflicts(self, photos, form, caplog):
        caplog.set_level("INFO")
        shutil.make_archive(str(photos), "zip", photos)
        table = self.read(photos.with_name(form))
        assert table["label"].fillna("").tolist() == ["angry", "", "", "sad"]
        assert table["source"].fillna("").tolist() == ["one/x", "one/x", "two/y", ""]
        assert table["keyword"].tolist() == ["angry", "angry", "crying", "sad"]
        assert table["no_label"].dropna().tolist() == [
            "several labels: angry, sad",
            "folder is no label: crying",
        ]
        assert "1 photos of photos.csv that are not here" in caplog.text

    def test_a_table_that_is_not_there_or_lists_a_file_twice_and_a_damaged_archive(self, photos):
        with photos.with_suffix(".csv").open("a") as file:
            file.write("angry/a.jpg,angry,one/x,\n")
        with pytest.raises(DatasetError, match=r"lists angry/a\.jpg twice"):
            self.read(photos)
        photos.with_suffix(".csv").unlink()
        table = self.read(photos)
        assert table["label"].fillna("").tolist() == ["angry", "angry", "", "sad"]
        assert table["source"].isna().all()
        archive = Path(shutil.make_archive(str(photos), "zip", photos))
        whole = archive.read_bytes()
        for damaged in (whole[:-50], whole[:40] + bytes(300) + whole[340:]):
            archive.write_bytes(damaged)
            with pytest.raises(DatasetError, match="can't be unpacked"):
                self.read(archive)


def test_a_set_laid_out_as_sfew(folders):
    names = [
        "Train/Angry/Harry_Potter_and_2_000123456_00000012.png",
        "Train/Happy/Hangover_003_000000000_00000001.png",
        "Val/Val_Aligned_Faces/Surprise/odd.png",
        "Test/Harry_Potter_and_2_000123999_00000003.png",
        "Test/Pain/x_1_2.png",
        "extra/x_1_2.png",
    ]
    for k, name in enumerate(names):
        save(picture(k), folders / "SFEW_2" / name)
    shutil.make_archive(str(folders / "sfew"), "zip", folders, "SFEW_2")
    study = make_study(some={"kind": "sfew", "path": "sfew.zip"})
    table = datasets.read_set(study, "some").set_index("item_id")
    assert table["split_given"].tolist() == ["test", "test", "train", "train", "val"]
    first = table.loc["sfew:train/Angry/Harry_Potter_and_2_000123456_00000012.png"]
    assert first[["label", "film", "clip"]].tolist() == ["angry", "Harry_Potter_and_2", "000123456"]
    assert first[["frame", "group_id"]].tolist() == [12, "sfew:Harry_Potter_and_2"]
    why = table["no_label"].dropna().tolist()
    assert why == ["folder is no label: Pain", "folder is no label: Test"]
    assert table.loc["sfew:val/Surprise/odd.png", "film"] is None


@pytest.mark.slow
@pytest.mark.skipif(
    not (REAL / "imfdb.tar.xz").exists(), reason="EXE_DATA names no folder with the real sets"
)
def test_the_real_sets_have_their_published_numbers(tmp_path):
    for name, form in (("imfdb", "imfdb.tar.xz"), ("keywords", "keyword_photos.zip")):
        findings = open_data.DATA_SETS[name].check(REAL / form)
        assert all(finding.good for finding in findings), findings
    labelled = read_imfdb(REAL / "imfdb.tar.xz", unpacked=tmp_path / "i").dropna(subset="label")
    assert labelled["person"].nunique() == 74
    assert labelled["frame"].notna().all()
    photos = read_keywords(REAL / "keyword_photos.zip", unpacked=tmp_path / "k")
    assert photos["no_label"].str.startswith("several").sum() == 78
    table = read_fer2013(REAL / "fer2013.tar.xz", unpacked=tmp_path / "f")
    images = table.assign(item_id="fer2013:" + table["name"])
    votes = read_votes(REAL / "ferplus.csv")
    voted = pd.Series(majority(voted_shares(images, votes)), dtype=object)
    clear = voted.notna()
    assert clear.mean() > 0.9
    assert (voted == images["label"])[clear].mean() > 0.64
    with pytest.raises(DatasetError, match=r"agree with 0\.1[78]"):
        voted_shares(images, votes.assign(image=votes["image"] + 1))
