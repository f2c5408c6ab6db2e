"""The catalogue says what is here, and whether what one was given is whole and as published."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pytest
from PIL import ImageOps
from sample_sets import picture, save, write_fer_csv, write_fer_tree, write_ferplus, write_listed

from exe_core import readers
from exe_core.open_data import HOLDINGS, find
from exe_core.readers import DatasetError
from exe_core.study import ROOT
from exe_core.tables import EMOTIONS


def found(name: str, path: Path) -> dict[str, tuple[str, str, bool]]:
    return {what: rest for what, *rest in map(tuple, HOLDINGS[name].check(path))}


def test_every_set_says_what_it_is_and_where_it_is_from() -> None:
    for name, holding in HOLDINGS.items():
        assert name == holding.name
        assert all([holding.purpose, holding.size, holding.licence, holding.source, holding.forms])
        if holding.repository:
            owner, repository, commit = holding.repository.split("/")
            assert holding.source == f"https://github.com/{owner}/{repository}"
            assert len(commit) == 40
    with pytest.raises(DatasetError, match="no set 'raf'; there are fer2013"):
        find("raf")


def test_the_published_numbers_are_those_of_the_literature() -> None:
    totals = {side: sum(numbers) for side, numbers in readers.FER2013_COUNTS.items()}
    assert totals == {"train": 28_709, "public": 3_589, "private": 3_589}


def test_a_set_is_here_in_any_of_its_forms_and_only_whole(tmp_path: Path) -> None:
    assert HOLDINGS["fer2013"].place(tmp_path) is None
    (tmp_path / "icml_face_data.csv").touch()
    assert HOLDINGS["fer2013"].place(tmp_path) == tmp_path / "icml_face_data.csv"
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "labels.csv").touch()
    assert HOLDINGS["faces"].place(tmp_path) is None
    assert HOLDINGS["faces"].top_level == {"photos", "film_faces"}
    assert HOLDINGS["published"].top_level == {"published"}


def test_fer2013_is_counted_by_part_and_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_fer_csv(tmp_path / "fer2013.csv")
    said = found("fer2013", tmp_path / "fer2013.csv")
    assert said["train, all"] == ["28,709", "7", False]
    assert said["public, angry"] == ["467", "1", False]
    assert said["digest of fer2013.csv"][2] is False
    assert said["pixels and names"] == ["original", "original", True]
    counts = {"train": (1,) * 7, "public": (1, 1, *[0] * 5), "private": (0, 0, 1, *[0] * 4)}
    monkeypatch.setattr(readers, "PUBLISHED", counts)
    assert all(
        good
        for what, (*_, good) in found("fer2013", tmp_path / "fer2013.csv").items()
        if not what.startswith("digest")
    )


def test_an_altered_copy_of_fer2013_is_told(tmp_path: Path) -> None:
    write_fer_tree(tmp_path / "fer2013", change=ImageOps.equalize)
    _, seen, good = found("fer2013", tmp_path / "fer2013")["pixels and names"]
    assert "equalised histograms" in seen
    assert not good


def test_parts_that_fer2013_does_not_have_are_told(tmp_path: Path) -> None:
    save(picture(1), tmp_path / "fer2013" / "train" / "happy" / "im1.png")
    save(picture(2), tmp_path / "fer2013" / "test" / "happy" / "im2.png")
    assert found("fer2013", tmp_path / "fer2013")["other parts"] == ["none", "test", False]


def test_rafdb_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(picture(1), tmp_path / "Image" / "aligned" / "train_1_aligned.jpg")
    save(picture(2), tmp_path / "Image" / "aligned" / "test_1_aligned.jpg")
    (tmp_path / "EmoLabel").mkdir()
    listed = tmp_path / "EmoLabel" / "list_patition_label.txt"
    listed.write_text("train_1.jpg 4\ntest_1.jpg 7\n")
    said = found("rafdb", tmp_path)
    assert said["train, all"] == ["12,271", "1", False]
    assert said["test, all"] == ["3,068", "1", False]
    monkeypatch.setattr(readers, "PUBLISHED", {"train": {"happy": 1}, "test": {"neutral": 1}})
    assert all(good for *_, good in found("rafdb", tmp_path).values())


def test_ferplus_of_too_few_votes_is_told(tmp_path: Path) -> None:
    items = pd.DataFrame({"label": list(EMOTIONS), "split_given": ["train"] * 7})
    path = write_ferplus(tmp_path / "ferplus.csv", items, published=False)
    assert found("ferplus", path)["rows of ten votes"][2]
    path.write_text(path.read_text().replace(",9,", ",3,"))
    assert found("ferplus", path)["rows of ten votes"] == ["99.9 % or more", "0.00%", False]
    path.write_text(path.read_text().replace("\n1,", "\n0,"))
    assert found("ferplus", path)["images named twice"] == ["0", "1", False]


def test_faces_are_counted_and_their_labels_compared(tmp_path: Path) -> None:
    for folder in ("photos", "film_faces"):
        write_listed(tmp_path / folder, [("a.png", "happy", "p01")])
    assert found("faces", tmp_path)["film_faces, images"] == ["471", "1", False]
    assert not found("faces", tmp_path)["digest of film_faces/labels.csv"][2]


def test_files_are_compared_by_digest(tmp_path: Path) -> None:
    (tmp_path / "ExE.parquet").write_bytes(b"other")
    said = found("published", tmp_path)
    assert said["digest of ExE.parquet"] == ["sha256:8ce57e7de65d", "sha256:d9298a10d1b0", False]
    assert said["digest of movie_list.json"][1:] == ["not there", False]


def test_films_are_counted(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    assert found("films", tmp_path)["films"] == ["one or more", "0", False]
    (tmp_path / "a.MP4").touch()
    assert found("films", tmp_path)["films"] == ["one or more", "1", True]


def test_the_readme_of_the_data_names_every_set() -> None:
    text = (ROOT / "data" / "README.md").read_text()
    assert all(f"`{name}`" in text for name in HOLDINGS)


@pytest.mark.parametrize("name", ["published", "faces", "clip"])
def test_the_real_files_are_as_published(name: str) -> None:
    place = HOLDINGS[name].place(Path(os.environ.get("EXE_DATA") or ROOT / "no such folder"))
    if place is None:
        pytest.skip(f"EXE_DATA names no folder with {name}")
    assert all(finding.good for finding in HOLDINGS[name].check(place))
