"""Data sets are listed, checked against what is published, and fetched whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pooch
import pytest
from data_server import DataServer, data_server
from PIL import ImageOps
from sample_sets import picture, save, write_fer_csv, write_fer_tree, write_ferplus, write_listed
from typer.testing import CliRunner

from exe_core import cli, open_data, readers
from exe_core.labels import EMOTIONS
from exe_core.open_data import DATA_SETS, OpenSetError, get_open_set, open_sets_at, read_legend
from exe_core.readers import DatasetError, read_folder
from exe_core.record import ROOT

RUNS = {name: f"the predictions of {name}".encode() * 500 for name in ("ExE", "FER", "RAFDB")}
FILMS = b"[]"
CLOSED = "http://127.0.0.1:9"
STILLS = {"Avinash_1.jpg": "NEUTRAL", "Dwarakish_1.jpg": "DISGUST"}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def exe(*arguments: object) -> object:
    return CliRunner().invoke(cli.app, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def nothing_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXE_DATA", "")
    monkeypatch.setenv("EXE_DATA_URL", CLOSED)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(open_data, "CACHE", tmp_path / "cache")


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[DataServer]:
    with data_server() as server:
        monkeypatch.setenv("EXE_DATA_URL", server.address)
        yield server


def with_digests(monkeypatch: pytest.MonkeyPatch, name: str, digests: dict[str, str]) -> str:
    """Let a set have the digests of made files; give its repository."""
    one = replace(DATA_SETS[name], digests=digests)
    if name in ("published", "clip"):
        one = replace(one, check=lambda path: open_data._check_files(path, digests))
    monkeypatch.setitem(DATA_SETS, name, one)
    return str(one.repository)


@pytest.fixture
def published(site: DataServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the published predictions."""
    digests = {f"{run}.parquet": digest(content) for run, content in RUNS.items()}
    at = with_digests(monkeypatch, "published", digests | {"movie_list.json": digest(FILMS)})
    movies = "streamlit-app/movie_data"
    paths = [site.put(at, f"{movies}/{run}/all_movies.parquet", RUNS[run]) for run in RUNS]
    return [*paths, site.put(at, "notebooks/movie_list.json", FILMS)]


def checked(name: str, path: Path) -> dict[str, tuple[str, str]]:
    return {one.what: (one.published, one.here) for one in DATA_SETS[name].check(path)}


class TestCheck:
    def test_a_set_is_here_in_any_of_its_forms_and_only_whole(self, tmp_path: Path) -> None:
        assert DATA_SETS["fer2013"].place(tmp_path) is None
        (tmp_path / "icml_face_data.csv").touch()
        assert DATA_SETS["fer2013"].place(tmp_path) == tmp_path / "icml_face_data.csv"
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos" / "labels.csv").touch()
        assert DATA_SETS["faces"].place(tmp_path) is None

    def test_fer2013_is_counted_by_part_and_label(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        totals = {part: sum(numbers) for part, numbers in readers.FER2013_COUNTS.items()}
        assert totals == {"train": 28_709, "public": 3_589, "private": 3_589}
        write_fer_csv(tmp_path / "fer2013.csv")
        found = checked("fer2013", tmp_path / "fer2013.csv")
        assert found["train, all"] == ("28,709", "7")
        assert found["public, angry"] == ("467", "1")
        assert found["pixels and names"] == ("original", "original")
        counts = {"train": (1,) * 7, "public": (1, 1, *[0] * 5), "private": (0, 0, 1, *[0] * 4)}
        monkeypatch.setattr(readers, "FER2013_COUNTS", counts)
        wrong = [
            one.what for one in DATA_SETS["fer2013"].check(tmp_path / "fer2013.csv") if not one.good
        ]
        assert wrong == ["md5 of fer2013.csv"]

    def test_an_altered_copy_and_other_parts_are_found(self, tmp_path: Path) -> None:
        write_fer_tree(tmp_path / "fer2013", change=ImageOps.equalize)
        assert "equalised" in checked("fer2013", tmp_path / "fer2013")["pixels and names"][1]
        save(picture(2), tmp_path / "fer2013" / "test" / "happy" / "im2.png")
        assert checked("fer2013", tmp_path / "fer2013")["other parts"] == ("none", "test")

    def test_rafdb_is_counted(self, tmp_path: Path) -> None:
        save(picture(1), tmp_path / "Image" / "aligned" / "train_1_aligned.jpg")
        (tmp_path / "EmoLabel").mkdir()
        (tmp_path / "EmoLabel" / "list_patition_label.txt").write_text("train_1.jpg 4\n")
        assert checked("rafdb", tmp_path)["train, all"] == ("12,271", "1")
        assert checked("rafdb", tmp_path)["test, all"] == ("3,068", "0")

    def test_rows_and_votes_of_ferplus_are_counted(self, tmp_path: Path) -> None:
        items = pd.DataFrame({"label": list(EMOTIONS), "split_given": ["train"] * 7})
        path = write_ferplus(tmp_path / "ferplus.csv", items, published=False)
        assert checked("ferplus", path)["rows of ten votes"] == (">= 99.9%", ">= 99.9%")
        path.write_text(path.read_text().replace(",9,", ",3,").replace("\n1,", "\n0,"))
        assert checked("ferplus", path)["rows of ten votes"] == (">= 99.9%", "0.0%")
        assert checked("ferplus", path)["images named twice"] == ("0", "1")

    def test_faces_films_and_files_are_compared(self, tmp_path: Path) -> None:
        for folder in ("photos", "film_faces"):
            write_listed(tmp_path / folder, [("a.png", "happy", "p01")])
        assert checked("faces", tmp_path)["film_faces, images"] == ("471", "1")
        (tmp_path / "ExE.parquet").write_bytes(b"other")
        found = checked("published", tmp_path)
        assert found["SHA-256 of ExE.parquet"] == ("8ce57e7de65d", "d9298a10d1b0")
        assert found["SHA-256 of movie_list.json"][1] == "not there"
        assert checked("films", tmp_path)["films"] == ("one or more", "none")
        (tmp_path / "a.MP4").touch()
        assert checked("films", tmp_path)["films"] == ("one or more", "one or more")

    @pytest.mark.parametrize("name", ["published", "faces", "clip"])
    def test_the_real_files_are_as_published(self, name: str) -> None:
        place = DATA_SETS[name].place(Path(os.environ.get("REAL_DATA") or ROOT / "no such folder"))
        if place is None:
            pytest.skip(f"REAL_DATA names no folder with {name}")
        assert all(finding.good for finding in DATA_SETS[name].check(place))


class TestGet:
    def test_a_set_is_fetched_once_at_its_pinned_commit(
        self, site: DataServer, published: list[str], tmp_path: Path
    ) -> None:
        get_open_set("published")
        folder = tmp_path / "cache" / "published"
        assert (folder / "ExE.parquet").read_bytes() == RUNS["ExE"]
        assert {path.name for path in folder.iterdir()} == set(DATA_SETS["published"].digests)
        assert "2cf7449b55fdd8b8796e517996c3f2b3102c8162" in published[0]
        get_open_set("published")
        assert site.asked == dict.fromkeys(published, 1)
        (folder / "ExE.parquet").write_bytes(b"spoiled")
        assert all(finding.good for finding in get_open_set("published"))
        assert site.asked == dict.fromkeys(published, 1) | {published[0]: 2}

    @pytest.mark.parametrize("fault", [["cut"], [500, 503], [429]])
    def test_a_fault_that_passes_is_survived(
        self, site: DataServer, published: list[str], tmp_path: Path, fault: list
    ) -> None:
        site.faults[published[1]] = fault
        get_open_set("published", tmp_path / "other")
        assert (tmp_path / "other" / "published" / "FER.parquet").read_bytes() == RUNS["FER"]

    @pytest.mark.parametrize(
        ("fault", "reason"), [("cut", "no answer .*Error"), (500, "HTTP 500"), (429, "HTTP 429")]
    )
    def test_after_a_lasting_fault_the_next_try_goes_on(
        self,
        site: DataServer,
        published: list[str],
        tmp_path: Path,
        fault: int | str,
        reason: str,
    ) -> None:
        site.faults[published[1]] = [fault] * 9
        with pytest.raises(
            OpenSetError, match=f"FER.parquet can't be fetched from 127.*{reason}"
        ) as caught:
            get_open_set("published", tmp_path)
        assert "\n" not in str(caught.value)
        here = {path.name for path in (tmp_path / "published").iterdir()}
        assert here <= set(DATA_SETS["published"].digests) - {"FER.parquet"}
        site.faults.clear()
        before = site.asked.copy()
        get_open_set("published", tmp_path)
        again = {path for path in published if site.asked[path] > before[path]}
        assert len(again) == 4 - len(here)

    def test_another_file_and_a_missing_one_are_named(
        self, site: DataServer, published: list[str], tmp_path: Path
    ) -> None:
        site.files[published[0]] = b"<html>moved</html>"
        with pytest.raises(OpenSetError, match=r"ExE\.parquet is not the published file: .*expec"):
            get_open_set("published", tmp_path)
        assert not (tmp_path / "published" / "ExE.parquet").exists()
        site.files[published[0]] = RUNS["ExE"]
        del site.files[published[3]]
        with pytest.raises(OpenSetError, match=r"has no notebooks/movie_list\.json"):
            get_open_set("published", tmp_path / "other", retries=0)

    def test_without_a_network_or_a_place_one_line_says_so(
        self, published: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "published").write_text("a file in the way")
        with pytest.raises(OpenSetError, match="published can't be kept in"):
            get_open_set("published", tmp_path)
        monkeypatch.setenv("EXE_DATA_URL", CLOSED)
        with pytest.raises(OpenSetError, match=r"no answer .ConnectionError.; what is here is k"):
            get_open_set("published", tmp_path / "other", retries=0)

    @pytest.mark.parametrize(("name", "where"), [("fer2013", "kaggle"), ("rafdb", "whdeng")])
    def test_a_set_that_is_not_open_says_where_to_ask(self, name: str, where: str) -> None:
        with pytest.raises(OpenSetError, match=f"not open .*: ask at .*{where}"):
            get_open_set(name)

    def test_open_sets_are_found_by_the_paths_that_a_study_reads(self) -> None:
        paths = ["fer2013.tar.xz", "film_faces", "published", "video", "rafdb"]
        assert sorted(open_sets_at(paths)) == ["clip", "faces", "published"]
        assert open_sets_at(["fer2013.csv"]) == []


class TestFaces:
    @pytest.fixture
    def faces(self, site: DataServer, monkeypatch: pytest.MonkeyPatch) -> str:
        """The repository of faces: two stills, and eight press photos of each label."""
        monkeypatch.setattr(open_data, "PRESS_PHOTOS", dict.fromkeys(EMOTIONS, 2))
        press = {f"{label.title()}_Lee_{k:04d}.jpg": label for label in EMOTIONS for k in range(8)}
        lines = [f"a,{image},{label}" for image, label in (STILLS | press).items()]
        text = "\n".join(["user.id,image,emotion", *lines]).encode()
        at = with_digests(monkeypatch, "faces", {"legend.csv": digest(text)})
        labels = "file,emotion,person\nfilm_0001.jpg,neutral,p01\nfilm_0002.jpg,disgust,p02\n"
        monkeypatch.setattr(open_data, "FILM_LABELS", digest(labels.encode()))
        site.put(at, "data/legend.csv", text)
        for seed, image in enumerate(STILLS | press):
            stream = io.BytesIO()
            picture(seed).save(stream, "JPEG")
            site.put(at, f"images/{image}", stream.getvalue())
        return at

    def test_they_become_the_folders_that_studies_read(
        self, site: DataServer, faces: str, tmp_path: Path
    ) -> None:
        """Press photos that are listed but not there are replaced by the next ones."""
        gone = [path for path in site.files if "Happy_Lee" in path][:6]
        for path in gone:
            del site.files[path]
        get_open_set("faces", tmp_path, retries=0)
        stills, photos = read_folder(tmp_path / "film_faces"), read_folder(tmp_path / "photos")
        assert stills["label"].tolist() == ["neutral", "disgust"]
        assert photos["label"].value_counts().to_dict() == dict.fromkeys(EMOTIONS, 2)
        assert set(photos["person"]) == {f"{label.title()}_Lee" for label in EMOTIONS}
        assert not {Path(path).name for path in gone} & set(photos["name"])
        assert DATA_SETS["faces"].place(tmp_path) == tmp_path

    def test_a_still_that_is_missing_or_no_image_is_named(
        self, site: DataServer, faces: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        still = f"/{faces}/images/Dwarakish_1.jpg"
        content = site.files.pop(still)
        with pytest.raises(OpenSetError, match=r"lacks 1 film stills, such as film_0002\.jpg"):
            get_open_set("faces", tmp_path, retries=0)
        site.files[still] = b"<html>"
        with pytest.raises(OpenSetError, match=r"images/Dwarakish_1\.jpg of .* is no image"):
            get_open_set("faces", tmp_path)
        assert DATA_SETS["faces"].place(tmp_path) is None
        site.files[still] = content
        get_open_set("faces", tmp_path)
        assert len(read_folder(tmp_path / "film_faces")) == 2
        monkeypatch.setattr(open_data, "FILM_LABELS", digest(b"others"))
        with pytest.raises(OpenSetError, match="does not give the 471 film stills"):
            get_open_set("faces", tmp_path / "again")

    def test_the_legend_gives_stills_in_order_and_photos_of_one_clear_label(
        self, tmp_path: Path
    ) -> None:
        rows = """user.id,image,emotion
628,facial-expressions_2868588k.jpg,angry
302,Ann_Lee_0001.jpg,happiness
302,Ann_Lee_0002.jpg,neutral
dw,Ann_Lee_0002.jpg,happiness
dw,Ann_Lee_0003.jpg,contempt
dw,Bo_Al-Din_0001.jpg,SADNESS
dw,Bo_Al-Din_0001.jpg,sadness
jh,SharmilaTagore_2.jpg,HAPPINESS
jh,Avinash_30.jpg,SURPRISE
jh,Avinash_4.jpg, NEUTRAL
jh,Avinash_30.jpg,SADNESS
jh,Dileep_1.jpg,ANGER
"""
        (tmp_path / "legend.csv").write_text(rows)
        stills, photos = read_legend(tmp_path / "legend.csv")
        assert stills[["image", "file", "emotion", "person"]].to_numpy().tolist() == [
            ["Avinash_30.jpg", "film_0001.jpg", "surprise", "p01"],  # the first of two labels
            ["Avinash_4.jpg", "film_0002.jpg", "neutral", "p01"],
            ["SharmilaTagore_2.jpg", "film_0003.jpg", "happy", "p04"],
            ["facial-expressions_2868588k.jpg", "film_0004.jpg", "angry", "p05"],
        ]
        chosen = photos[["image", "emotion", "person"]].sort_values("image")
        assert chosen.to_numpy().tolist() == [
            ["Ann_Lee_0001.jpg", "happy", "Ann_Lee"],
            ["Bo_Al-Din_0001.jpg", "sad", "Bo_Al-Din"],
        ]
        header, *body = rows.splitlines()
        (tmp_path / "legend.csv").write_text("\n".join([header, *body[::-1]]))
        pd.testing.assert_frame_equal(read_legend(tmp_path / "legend.csv")[1], photos)
        (tmp_path / "legend.csv").write_text("image,label\na.jpg,happy\n")
        with pytest.raises(DatasetError, match="no column emotion"):
            read_legend(tmp_path / "legend.csv")


class TestCommands:
    @pytest.mark.parametrize("arguments", [["data"], ["data", "list"]])
    def test_the_list_names_every_set_its_source_and_its_place(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
    ) -> None:
        monkeypatch.setenv("EXE_DATA", str(tmp_path))
        (tmp_path / "ferplus.csv").touch()
        result = exe(*arguments)
        assert result.exit_code == 0
        for name, one in DATA_SETS.items():
            assert f"{name}: {one.source}" in result.output
        assert f"here: {tmp_path / 'ferplus.csv'}" in result.output
        text = (ROOT / "data" / "README.md").read_text()
        assert all(f"`{name}`" in text for name in DATA_SETS)

    def test_get_fetches_into_a_folder_and_a_real_study_takes_what_is_open(
        self, site: DataServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = b"moving pictures"
        at = with_digests(monkeypatch, "clip", {"face_noface.mov": digest(content)})
        site.put(at, "feat/tests/data/face_noface.mov", content)
        result = exe("data", "get", "clip", "--to", tmp_path / "mine")
        assert result.exit_code == 0, result.output
        assert (tmp_path / "mine" / "video" / "face_noface.mov").is_file()
        assert f"DATA={tmp_path / 'mine'}" in result.output
        for name in ("faces", "published", "ferplus"):
            monkeypatch.setitem(DATA_SETS, name, replace(DATA_SETS[name], repository=None))
        result = exe("build", "real")
        assert result.exit_code == 1
        assert (open_data.CACHE / "video" / "face_noface.mov").is_file()
        assert f"fer2013: {open_data.CACHE / 'fer2013.tar.xz'}" in result.output
        assert "films:" not in result.output  # it is there now

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (["data", "get", "rafdb"], "exe: rafdb is not open"),
            (["data", "get", "fer"], "exe: no set 'fer'; there are fer2013, ferplus"),
            (["data", "check", "fer", "."], "exe: no set 'fer'"),
            (["data", "check", "rafdb", "nowhere"], "exe: nothing at nowhere; rafdb comes from ht"),
            (["data", "check", "rafdb", "."], "exe: train_labels.csv is not in folder"),
            (["data", "check", "films", "Makefile"], "exe: "),
            (["build", "real"], "exe: study real was given no DATA=<folder>, and of what is open"),
        ],
    )
    def test_a_fault_is_one_line(self, arguments: list[str], fault: str) -> None:
        result = exe(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith(fault)
        assert result.stderr.count("\n") == 1

    def test_a_study_that_reads_nothing_open_asks_for_data(self) -> None:
        result = exe("build", "rafdb")
        assert result.exit_code == 1
        assert "say where it lies, DATA=<folder>" in result.stderr

    def test_check_ends_with_status_1_if_something_is_not_as_published(
        self, tmp_path: Path
    ) -> None:
        write_fer_csv(tmp_path / "fer2013.csv")
        result = exe("data", "check", "fer2013", tmp_path / "fer2013.csv")
        assert result.exit_code == 1
        line = next(line for line in result.output.splitlines() if "train, all" in line)
        assert [word.strip() for word in line.strip("│").split("│")][1:] == ["28,709", "7", "NO"]
