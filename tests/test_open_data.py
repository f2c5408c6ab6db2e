"""Data sets are listed, checked against what is published, and fetched whole or not at all."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from photo_server import Always, Site, cut, status
from sample_sets import picture, save, write_fer_csv, write_ferplus
from typer.testing import CliRunner

from exe_core import cli, open_data
from exe_core.labels import EMOTIONS
from exe_core.open_data import DATA_SETS, get_open_set, listed_files
from exe_core.readers import DatasetError, read_folder
from exe_core.record import ROOT

RUNS = {name: f"the predictions of {name}".encode() * 500 for name in ("ExE", "FER", "RAFDB")}
CLOSED = "http://127.0.0.1:9"
OPEN = [name for name, one in DATA_SETS.items() if one.repository]


def digest(content):
    return hashlib.sha256(content).hexdigest()


def exe(*arguments):
    return CliRunner().invoke(cli.app, [str(one) for one in arguments])


@pytest.fixture(autouse=True)
def nothing_given(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_DATA", "")
    monkeypatch.setenv("EXE_DATA_URL", CLOSED)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(open_data.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(open_data, "CACHE", tmp_path / "cache")


class Repositories(Site):
    def __init__(self):
        super().__init__()
        self.files = {}

    def put(self, repository, path, content):
        self.files[f"/{repository}/{path}"] = content
        return f"/{repository}/{path}"

    def content(self, url, handler):
        body = self.files.get(unquote(url.path))
        return (404, b"not here") if body is None else (200, body)


@pytest.fixture
def site(monkeypatch):
    with Repositories() as site:
        monkeypatch.setenv("EXE_DATA_URL", site.address)
        yield site


@pytest.fixture
def lists(tmp_path, monkeypatch):
    """A folder for lists of made files, in place of the published ones."""
    monkeypatch.setattr(open_data, "LISTS", tmp_path / "lists")
    (tmp_path / "lists").mkdir()
    for name in OPEN:
        (tmp_path / "lists" / f"{name}.csv").write_text("file,path,sha256\n")
    return tmp_path / "lists"


@pytest.fixture
def published(site, lists):
    """The paths of made predictions."""
    contents = {f"{run}.parquet": content for run, content in RUNS.items()}
    contents["movie_list.json"] = b"[]"
    rows = [(f"published/{name}", f"at/{name}", digest(x)) for name, x in contents.items()]
    pd.DataFrame(rows, columns=["file", "path", "sha256"]).to_csv(lists / "published.csv")
    at = DATA_SETS["published"].repository
    return [site.put(at, f"at/{name}", content) for name, content in contents.items()]


def checked(name, path):
    return {one.what: (one.published, one.here) for one in DATA_SETS[name].check(path)}


class TestCheck:
    def test_a_set_is_here_in_any_of_its_forms_and_only_whole(self, tmp_path):
        assert DATA_SETS["fer2013"].place(tmp_path) is None
        (tmp_path / "icml_face_data.csv").touch()
        assert DATA_SETS["fer2013"].place(tmp_path) == tmp_path / "icml_face_data.csv"
        (tmp_path / "photos").mkdir()
        assert DATA_SETS["faces"].place(tmp_path) is None

    def test_the_images_of_a_set_are_counted(self, tmp_path):
        write_fer_csv(tmp_path / "fer2013.csv")
        found = checked("fer2013", tmp_path / "fer2013.csv")
        assert found["images"] == (35_887, 10)
        assert found["public, angry"] == (467, 1)
        counts = {"train": dict.fromkeys(EMOTIONS, 1), "public": {"angry": 1, "disgust": 1}}
        made = replace(DATA_SETS["fer2013"], counts=counts | {"private": {"fear": 1}}, md5={})
        assert all(one.good for one in made.check(tmp_path / "fer2013.csv"))

    def test_votes_may_have_image_numbers(self, tmp_path):
        rows = pd.DataFrame({"label": ["happy", "sad"], "split_given": "train"})
        path = write_ferplus(tmp_path / "ferplus.csv", rows, published=False)
        assert checked("ferplus", path) == {"rows with the number of another image each": (2, 2)}
        path.write_text(path.read_text().replace("\n1,", "\n0,"))
        assert not DATA_SETS["ferplus"].check(path)[0].good
        path = write_ferplus(tmp_path / "fer2013new.csv", rows)
        assert checked("ferplus", path)["files, by SHA-256"] == (1, "0, not fer2013new.csv")

    def test_files_of_open_sets_are_compared_by_their_digests(self, tmp_path):
        (tmp_path / "ExE.parquet").write_bytes(b"other")
        found = checked("published", tmp_path)["files, by SHA-256"]
        assert found[0] == 4
        assert found[1].startswith("0, not published/ExE.parquet, published/FER")

    @pytest.mark.parametrize("name", OPEN)
    def test_lists_of_open_sets_are_whole(self, name):
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


class TestGet:
    def test_a_set_is_fetched_once_at_its_pinned_commit(self, site, published, tmp_path):
        assert all(finding.good for finding in get_open_set("published"))
        folder = tmp_path / "cache" / "published"
        assert (folder / "ExE.parquet").read_bytes() == RUNS["ExE"]
        assert len(list(folder.iterdir())) == 4
        assert "2cf7449b55fdd8b8796e517996c3f2b3102c8162" in published[0]
        get_open_set("published")
        assert sorted(site.asked) == sorted(published)
        (folder / "ExE.parquet").write_bytes(b"spoiled")
        assert all(finding.good for finding in get_open_set("published"))
        assert sorted(site.asked) == sorted([*published, published[0]])

    def test_after_a_lasting_fault_the_next_try_goes_on(self, site, published, tmp_path):
        for fault, reason in ((cut, "RemoteProtocolError"), (status(404), "HTTP 404")):
            site.faults[published[1]] = Always(fault)
            with pytest.raises(DatasetError, match=f"published can't be fetched .*{reason}"):
                get_open_set("published", tmp_path)
            here = {path.name for path in (tmp_path / "published").iterdir()}
            assert "FER.parquet" not in here
        site.faults.clear()
        site.asked.clear()
        assert all(finding.good for finding in get_open_set("published", tmp_path))
        assert len(site.asked) == 4 - len(here)

    def test_another_file_no_place_and_no_network_are_said_in_one_line(
        self, site, published, tmp_path, monkeypatch
    ):
        site.files[published[0]] = b"<html>moved</html>"
        with pytest.raises(DatasetError, match=r"ExE\.parquet is not the published file: its SHA"):
            get_open_set("published", tmp_path)
        assert not (tmp_path / "published" / "ExE.parquet").exists()
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(DatasetError, match="published can't be kept in"):
            get_open_set("published", tmp_path / "file")
        monkeypatch.setenv("EXE_DATA_URL", CLOSED)
        with pytest.raises(DatasetError, match=r"ConnectError: .*; what is here is k"):
            get_open_set("published", tmp_path / "other")

    def test_photos_become_the_folders_that_studies_read(self, site, lists, tmp_path):
        rows = []
        for k, label in enumerate(EMOTIONS):
            path = save(picture(k), tmp_path / "made" / f"{k}.jpg")
            site.put(DATA_SETS["faces"].repository, f"images/a b {k}.jpg", path.read_bytes())
            place = f"{'photos' if k % 2 else 'film_faces'}/{k}.jpg"
            rows.append((place, f"images/a b {k}.jpg", digest(path.read_bytes()), label, f"p{k}"))
        columns = ["file", "path", "sha256", "emotion", "person"]
        pd.DataFrame(rows, columns=columns).to_csv(lists / "faces.csv", index=False)
        assert all(finding.good for finding in get_open_set("faces", tmp_path))
        photos = read_folder(tmp_path / "photos", unpacked=tmp_path)
        assert photos["label"].tolist() == [EMOTIONS[1], EMOTIONS[3], EMOTIONS[5]]
        assert photos["person"].tolist() == ["p1", "p3", "p5"]
        assert DATA_SETS["faces"].place(tmp_path) == tmp_path
        (tmp_path / "photos" / "labels.csv").write_text("file,emotion,person\n")
        assert not all(finding.good for finding in DATA_SETS["faces"].check(tmp_path))


class TestCommands:
    def test_the_list_names_every_set_its_source_and_its_place(self, tmp_path, monkeypatch):
        monkeypatch.setenv("EXE_DATA", str(tmp_path))
        (tmp_path / "ferplus.csv").touch()
        result = exe("data", "list")
        assert result.exit_code == 0
        for name, one in DATA_SETS.items():
            assert f"{name}: {one.source}" in result.output
        assert f"here: {tmp_path / 'ferplus.csv'}" in result.output
        text = (ROOT / "data" / "README.md").read_text()
        assert all(f"`{name}`" in text for name in DATA_SETS)

    def test_get_fetches_into_a_folder(self, published, tmp_path):
        result = exe("data", "get", "published", "--to", tmp_path / "mine")
        assert result.exit_code == 0, result.output
        assert (tmp_path / "mine" / "published" / "ExE.parquet").is_file()
        assert f"DATA={tmp_path / 'mine'}" in result.output

    @pytest.mark.parametrize(
        ("arguments", "fault"),
        [
            (["data", "get", "rafdb"], "exe: rafdb is not open (to named researchers"),
            (["data", "get", "fer"], "exe: no set 'fer'; there are fer2013, ferplus"),
            (["data", "check", "rafdb", "nowhere"], "exe: nothing at nowhere; rafdb comes from ht"),
            (["data", "check", "rafdb", "."], "exe: train_labels.csv is not in folder"),
            (["build", "real"], "exe: study real reads real data: say where it lies, DATA="),
        ],
    )
    def test_a_fault_is_one_line(self, arguments, fault):
        result = exe(*arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert result.stderr.startswith(fault)

    def test_check_ends_with_status_1_if_something_is_not_as_published(self, tmp_path):
        write_fer_csv(tmp_path / "fer2013.csv")
        result = exe("data", "check", "fer2013", tmp_path / "fer2013.csv")
        assert result.exit_code == 1
        line = next(line for line in result.output.splitlines() if "train, angry" in line)
        assert [word.strip() for word in line.strip("│").split("│")][1:] == ["3,995", "1", "NO"]
