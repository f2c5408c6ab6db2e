"""Open sets come whole and verified from a server on this machine, or one line says why not."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
import pooch
import pytest
from data_server import DataServer, data_server
from sample_sets import picture, write_ferplus

from exe_core import open_data
from exe_core.open_data import HOLDINGS, OpenSetError, check_files, get_open_set, open_sets_at
from exe_core.readers import DatasetError, read_folder
from exe_core.tables import EMOTIONS

RUNS = {name: f"the predictions of {name}".encode() * 500 for name in ("ExE", "FER", "RAFDB")}
FILMS = b"[]"
PEOPLE = {"Avinash_1.jpg": "NEUTRAL", "Dwarakish_1.jpg": "DISGUST"}


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def jpeg(seed: int) -> bytes:
    stream = io.BytesIO()
    picture(seed).save(stream, "JPEG")
    return stream.getvalue()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[DataServer]:
    monkeypatch.setattr(pooch.core.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(open_data, "CACHE", tmp_path / "cache")
    with data_server() as server:
        monkeypatch.setenv("EXE_DATA_URL", server.address)
        yield server


def known(monkeypatch: pytest.MonkeyPatch, name: str, digests: dict[str, str]) -> str:
    """Let a set have these digests, as those of the real files can't be had of made ones."""
    check = partial(check_files, known=digests) if name == "published" else lambda path: []
    holding = replace(HOLDINGS[name], digests=digests, check=check)
    monkeypatch.setitem(HOLDINGS, name, holding)
    return str(holding.repository)


@pytest.fixture
def published(site: DataServer, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the published predictions."""
    digests = {f"{run}.parquet": digest(content) for run, content in RUNS.items()}
    at = known(monkeypatch, "published", digests | {"movie_list.json": digest(FILMS)})
    movies = "streamlit-app/movie_data"
    paths = [site.put(at, f"{movies}/{run}/all_movies.parquet", RUNS[run]) for run in RUNS]
    return [*paths, site.put(at, "notebooks/movie_list.json", FILMS)]


def test_a_set_is_fetched_once_at_its_pinned_commit(
    site: DataServer, published: list[str], tmp_path: Path
) -> None:
    get_open_set("published")
    folder = tmp_path / "cache" / "published"
    assert (folder / "ExE.parquet").read_bytes() == RUNS["ExE"]
    assert {path.name for path in folder.iterdir()} == set(HOLDINGS["published"].digests)
    assert "2cf7449b55fdd8b8796e517996c3f2b3102c8162" in published[0]
    get_open_set("published")
    assert site.asked == dict.fromkeys(published, 1)


@pytest.mark.parametrize("fault", [["cut"], [500, 503], [429]])
def test_a_fault_that_passes_is_survived(
    site: DataServer, published: list[str], tmp_path: Path, fault: list
) -> None:
    site.faults[published[1]] = fault
    get_open_set("published", tmp_path / "other")
    assert (tmp_path / "other" / "published" / "FER.parquet").read_bytes() == RUNS["FER"]


@pytest.mark.parametrize(
    ("fault", "reason"), [("cut", "no answer .*Error"), (500, "HTTP 500"), (429, "HTTP 429")]
)
def test_after_a_lasting_fault_the_next_try_goes_on(
    site: DataServer, published: list[str], tmp_path: Path, fault: int | str, reason: str
) -> None:
    site.faults[published[1]] = [fault] * 9
    with pytest.raises(
        OpenSetError, match=f"FER.parquet can't be fetched from 127.*{reason}"
    ) as told:
        get_open_set("published", tmp_path)
    assert "\n" not in str(told.value)
    folder = tmp_path / "published"
    assert not (folder / "FER.parquet").exists()
    assert not [path for path in folder.iterdir() if path.name not in HOLDINGS["published"].digests]
    here = {path.name for path in folder.iterdir()}
    site.faults.clear()
    before = site.asked.copy()
    get_open_set("published", tmp_path)
    again = {path for path in published if site.asked[path] > before[path]}
    assert len(again) == 4 - len(here)


def test_another_file_than_the_published_one_is_refused(
    site: DataServer, published: list[str], tmp_path: Path
) -> None:
    site.files[published[0]] = b"<html>moved</html>"
    with pytest.raises(
        OpenSetError, match=r"ExE\.parquet is not the published file: .*expected"
    ) as told:
        get_open_set("published", tmp_path)
    assert digest(RUNS["ExE"]).removeprefix("sha256:") in str(told.value)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "published" / "ExE.parquet").exists()


def test_a_file_that_was_spoiled_here_is_fetched_again_and_no_other(
    site: DataServer, published: list[str], tmp_path: Path
) -> None:
    get_open_set("published", tmp_path)
    (tmp_path / "published" / "ExE.parquet").write_bytes(b"spoiled")
    assert all(finding.good for finding in get_open_set("published", tmp_path))
    assert (tmp_path / "published" / "ExE.parquet").read_bytes() == RUNS["ExE"]
    assert site.asked == dict.fromkeys(published, 1) | {published[0]: 2}


def test_a_file_that_the_repository_lacks_is_named(
    site: DataServer, published: list[str], tmp_path: Path
) -> None:
    del site.files[published[3]]
    with pytest.raises(OpenSetError, match=r"has no notebooks/movie_list\.json"):
        get_open_set("published", tmp_path, retries=0)


def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(
        OpenSetError, match=r"no answer .ConnectionError.; what is here is kept"
    ) as told:
        get_open_set("published", tmp_path, base="http://127.0.0.1:9", retries=0)
    assert "\n" not in str(told.value)


def test_a_folder_that_can_not_be_written_is_told(published: list[str], tmp_path: Path) -> None:
    (tmp_path / "published").write_text("a file in the way")
    with pytest.raises(OpenSetError, match="published can't be kept in"):
        get_open_set("published", tmp_path)


@pytest.mark.parametrize(("name", "where"), [("fer2013", "kaggle"), ("rafdb", "whdeng")])
def test_a_set_that_is_not_open_says_where_to_ask(name: str, where: str) -> None:
    with pytest.raises(OpenSetError, match=f"not open .*: ask at .*{where}"):
        get_open_set(name)
    with pytest.raises(DatasetError, match="no set 'fer'; there are fer2013, ferplus"):
        get_open_set("fer")


def test_ferplus_is_counted_as_its_digest_is_not_known(site: DataServer, tmp_path: Path) -> None:
    items = pd.DataFrame({"label": ["happy", "sad"], "split_given": ["train", "public"]})
    path = write_ferplus(tmp_path / "made.csv", items)
    site.put(str(HOLDINGS["ferplus"].repository), "fer2013new.csv", path.read_bytes())
    found = {finding.what: finding for finding in get_open_set("ferplus", tmp_path)}
    assert found["train, rows"][1:] == ("28,709", "1", False)
    assert found["rows of ten votes"].good


@pytest.fixture
def faces(site: DataServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """The repository of faces: two stills, and eight press photos of each label."""
    wanted = dict.fromkeys(EMOTIONS, 2)
    monkeypatch.setattr(open_data, "PRESS_PHOTOS", wanted)
    press = {f"{label.title()}_Lee_{k:04d}.jpg": label for label in EMOTIONS for k in range(8)}
    lines = [f"a,{image},{label}" for image, label in (PEOPLE | press).items()]
    text = "\n".join(["user.id,image,emotion", *lines]).encode()
    at = known(monkeypatch, "faces", {"legend.csv": digest(text)})
    labels = "file,emotion,person\nfilm_0001.jpg,neutral,p01\nfilm_0002.jpg,disgust,p02\n"
    for module in (open_data, open_data):
        monkeypatch.setattr(module, "FILM_LABELS", digest(labels.encode()))
    site.put(at, "data/legend.csv", text)
    for seed, image in enumerate(PEOPLE | press):
        site.put(at, f"images/{image}", jpeg(seed))
    return at


def test_faces_become_the_folders_that_studies_read(faces: str, tmp_path: Path) -> None:
    get_open_set("faces", tmp_path)
    stills, photos = read_folder(tmp_path / "film_faces"), read_folder(tmp_path / "photos")
    assert stills["label"].tolist() == ["neutral", "disgust"]
    assert photos["label"].value_counts().to_dict() == dict.fromkeys(EMOTIONS, 2)
    assert set(photos["person"]) == {f"{label.title()}_Lee" for label in EMOTIONS}
    assert HOLDINGS["faces"].place(tmp_path) == tmp_path


def test_press_photos_that_are_listed_but_not_there_are_replaced(
    site: DataServer, faces: str, tmp_path: Path
) -> None:
    gone = [path for path in site.files if "Happy_Lee" in path][:6]
    for path in gone:
        del site.files[path]
    get_open_set("faces", tmp_path, retries=0)
    photos = read_folder(tmp_path / "photos")
    assert (photos["label"] == "happy").sum() == 2
    assert not {Path(path).name for path in gone} & set(photos["name"])


def test_a_still_that_is_not_there_or_no_image_is_told(
    site: DataServer, faces: str, tmp_path: Path
) -> None:
    still = f"/{faces}/images/Dwarakish_1.jpg"
    content = site.files.pop(still)
    with pytest.raises(OpenSetError, match=r"lacks 1 film stills, such as film_0002\.jpg"):
        get_open_set("faces", tmp_path, retries=0)
    site.files[still] = b"<html>"
    with pytest.raises(OpenSetError, match=r"images/Dwarakish_1\.jpg of .* came as no image"):
        get_open_set("faces", tmp_path)
    assert HOLDINGS["faces"].place(tmp_path) is None
    site.files[still] = content
    get_open_set("faces", tmp_path)
    assert len(read_folder(tmp_path / "film_faces")) == 2


def test_a_legend_of_other_stills_is_refused(
    faces: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(open_data, "FILM_LABELS", digest(b"others"))
    with pytest.raises(OpenSetError, match="does not give the 471 film stills"):
        get_open_set("faces", tmp_path)


def test_open_sets_are_found_by_the_paths_that_a_study_reads() -> None:
    paths = ["fer2013.tar.xz", "film_faces", "published", "video", "rafdb"]
    assert open_sets_at(paths) == ["published", "clip", "faces"]
    assert open_sets_at(["fer2013.csv"]) == []
