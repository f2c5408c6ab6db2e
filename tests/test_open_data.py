"""Data sets are listed, checked against what is published, and fetched whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pooch
import pytest
from data_server import DataServer, data_server
from PIL import ImageOps
from sample_sets import picture, save, write_fer_csv, write_fer_tree
from typer.testing import CliRunner

from exe_core import cli, open_data, readers
from exe_core.labels import EMOTIONS
from exe_core.open_data import DATA_SETS, get_open_set, listed_files, open_sets_at
from exe_core.readers import DatasetError, read_folder
from exe_core.record import ROOT

RUNS = {name: f"the predictions of {name}".encode() * 500 for name in ("ExE", "FER", "RAFDB")}
CLOSED = "http://127.0.0.1:9"
OPEN = [name for name, one in DATA_SETS.items() if one.repository]


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


@pytest.fixture
def lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for lists of made files, in place of the published ones."""
    monkeypatch.setattr(open_data, "LISTS", tmp_path / "lists")
    (tmp_path / "lists").mkdir()
    for name in OPEN:
        (tmp_path / "lists" / f"{name}.csv").write_text("file,path,sha256\n")
    return tmp_path / "lists"


@pytest.fixture
def published(site: DataServer, lists: Path) -> list[str]:
    """The paths of made predictions."""
    contents = {f"{run}.parquet": content for run, content in RUNS.items()}
    contents["movie_list.json"] = b"[]"
    rows = [(f"published/{name}", f"at/{name}", digest(x)) for name, x in contents.items()]
    pd.DataFrame(rows, columns=["file", "path", "sha256"]).to_csv(lists / "published.csv")
    at = DATA_SETS["published"].repository
    return [site.put(at, f"at/{name}", content) for name, content in contents.items()]


def checked(name: str, path: Path) -> dict[str, tuple[object, object]]:
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
        assert found["train, all"] == (28_709, 7)
        assert found["public, angry"] == (467, 1)
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
        assert checked("rafdb", tmp_path)["train, all"] == (12_271, 1)
        assert checked("rafdb", tmp_path)["test, all"] == (3_068, 0)

    def test_files_of_open_sets_are_compared_by_their_digests(self, tmp_path: Path) -> None:
        (tmp_path / "ExE.parquet").write_bytes(b"other")
        found = checked("published", tmp_path)["files, by SHA-256"]
        assert found[0] == 4
        assert found[1].startswith("0, not published/ExE.parquet, published/FER")
        (tmp_path / "votes.csv").write_bytes(b"other")
        assert not DATA_SETS["ferplus"].check(tmp_path / "votes.csv")[0].good

    @pytest.mark.parametrize("name", OPEN)
    def test_lists_of_open_sets_are_whole(self, name: str) -> None:
        files = listed_files(name)
        assert files["file"].is_unique
        assert files["sha256"].str.fullmatch("[0-9a-f]{64}").all()
        one = DATA_SETS[name]
        made = set(files["file"]) | set(open_data.label_files(files))
        place, *members = one.forms[0]
        assert {os.path.normpath(Path(place, member)) for member in members or [""]} <= made
        owner, _, commit = one.repository.rpartition("/")
        assert f"https://github.com/{owner}" == one.source
        assert len(commit) == 40

    def test_labels_of_the_listed_photos_are_those_that_were_measured(self) -> None:
        texts = open_data.label_files(listed_files("faces"))
        assert {name: digest(text.encode())[:8] for name, text in texts.items()} == {
            "photos/labels.csv": "70547968",
            "film_faces/labels.csv": "53e6aa91",
        }

    @pytest.mark.parametrize("name", ["published", "clip"])
    def test_the_real_files_are_as_published(self, name: str) -> None:
        place = DATA_SETS[name].place(Path(os.environ.get("REAL_DATA") or ROOT / "no such folder"))
        if place is None:
            pytest.skip(f"REAL_DATA names no folder with {name}")
        assert all(finding.good for finding in DATA_SETS[name].check(place))


class TestGet:
    def test_a_set_is_fetched_once_at_its_pinned_commit(
        self, site: DataServer, published: list[str], tmp_path: Path
    ) -> None:
        assert all(finding.good for finding in get_open_set("published"))
        folder = tmp_path / "cache" / "published"
        assert (folder / "ExE.parquet").read_bytes() == RUNS["ExE"]
        assert len(list(folder.iterdir())) == 4
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
        ("fault", "reason"), [("cut", "no answer .*Error"), (500, "HTTP 500"), (404, "HTTP 404")]
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
            DatasetError, match=f"FER.parquet can't be fetched from 127.*{reason}"
        ) as caught:
            get_open_set("published", tmp_path)
        assert "\n" not in str(caught.value)
        here = {path.name for path in (tmp_path / "published").iterdir()}
        assert "FER.parquet" not in here
        site.faults.clear()
        before = site.asked.copy()
        assert all(finding.good for finding in get_open_set("published", tmp_path))
        again = {path for path in published if site.asked[path] > before[path]}
        assert len(again) == 4 - len(here)

    def test_another_file_than_the_published_one_is_named_and_not_kept(
        self, site: DataServer, published: list[str], tmp_path: Path
    ) -> None:
        site.files[published[0]] = b"<html>moved</html>"
        with pytest.raises(DatasetError, match=r"ExE\.parquet is not the published file: .*expec"):
            get_open_set("published", tmp_path)
        assert not (tmp_path / "published" / "ExE.parquet").exists()

    def test_without_a_network_or_a_place_one_line_says_so(
        self, published: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "published").write_text("a file in the way")
        with pytest.raises(DatasetError, match="published can't be kept in"):
            get_open_set("published", tmp_path)
        monkeypatch.setenv("EXE_DATA_URL", CLOSED)
        with pytest.raises(DatasetError, match=r"no answer .ConnectionError.; what is here is k"):
            get_open_set("published", tmp_path / "other")

    def test_open_sets_are_found_by_the_paths_that_a_study_reads(self) -> None:
        paths = ["fer2013.tar.xz", "film_faces", "published", "video", "rafdb"]
        assert sorted(open_sets_at(paths)) == ["clip", "faces", "published"]
        assert open_sets_at(["fer2013.csv"]) == []

    def test_photos_become_the_folders_that_studies_read(
        self, site: DataServer, lists: Path, tmp_path: Path
    ) -> None:
        rows = []
        for k, label in enumerate(EMOTIONS):
            path = save(picture(k), tmp_path / "made" / f"{k}.jpg")
            at = site.put(DATA_SETS["faces"].repository, f"images/a b {k}.jpg", path.read_bytes())
            place = f"{'photos' if k % 2 else 'film_faces'}/{k}.jpg"
            name = at.partition("/images/")[2]
            rows.append((place, f"images/{name}", digest(path.read_bytes()), label, f"p{k}"))
        columns = ["file", "path", "sha256", "emotion", "person"]
        pd.DataFrame(rows, columns=columns).to_csv(lists / "faces.csv", index=False)
        site.files = {at.replace(" ", "%20"): content for at, content in site.files.items()}
        assert all(finding.good for finding in get_open_set("faces", tmp_path))
        photos = read_folder(tmp_path / "photos")
        assert photos["label"].tolist() == [EMOTIONS[1], EMOTIONS[3], EMOTIONS[5]]
        assert photos["person"].tolist() == ["p1", "p3", "p5"]
        assert DATA_SETS["faces"].place(tmp_path) == tmp_path
        (tmp_path / "photos" / "labels.csv").write_text("file,emotion,person\n")
        assert not all(finding.good for finding in DATA_SETS["faces"].check(tmp_path))


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
        self, site: DataServer, lists: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        content = b"moving pictures"
        text = f"file,path,sha256\nvideo/face_noface.mov,a.mov,{digest(content)}\n"
        (lists / "clip.csv").write_text(text)
        site.put(DATA_SETS["clip"].repository, "a.mov", content)
        result = exe("data", "get", "clip", "--to", tmp_path / "mine")
        assert result.exit_code == 0, result.output
        assert (tmp_path / "mine" / "video" / "face_noface.mov").is_file()
        assert f"DATA={tmp_path / 'mine'}" in result.output
        for name in set(OPEN) - {"clip"}:
            monkeypatch.setitem(DATA_SETS, name, replace(DATA_SETS[name], repository=None))
        result = exe("build", "real")
        assert result.exit_code == 1
        assert (open_data.CACHE / "video" / "face_noface.mov").is_file()
        assert f"fer2013: {open_data.CACHE / 'fer2013.tar.xz'}" in result.output
        assert "films:" not in result.output  # it is there now

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (
                ["data", "get", "rafdb"],
                "exe: rafdb is not open (to named researchers",
            ),
            (["data", "get", "fer"], "exe: no set 'fer'; there are fer2013, ferplus"),
            (["data", "check", "fer", "."], "exe: no set 'fer'"),
            (["data", "check", "rafdb", "nowhere"], "exe: nothing at nowhere; rafdb comes from ht"),
            (["data", "check", "rafdb", "."], "exe: train_labels.csv is not in folder"),
            (["data", "check", "rafdb", "Makefile"], "exe: "),
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
