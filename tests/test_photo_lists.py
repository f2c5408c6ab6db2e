"""Photos that are at hand take the way of all others: labels as given, a row each, copied once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from photo_server import Clock, Site, photo_bytes, status
from sample_sets import picture, save

from exe_core import tables
from exe_core.datasets import items
from exe_core.pull import pull, read_list
from exe_core.readers import DatasetError
from exe_core.study import Study, parse_study


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as site:
        yield site


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def make_study(local: str, **settings: object) -> Study:
    chosen = {"sources": ["local"], "local": local, "allow_private_addresses": True, "retries": 0}
    return parse_study(
        {
            "name": "own",
            "kind": "real",
            "title": "Photos at hand",
            "labels": ["happy", "sad"],
            "pull": {**chosen, **settings},
            "sets": {"own": {"kind": "photos", "source": "local", "design": "given"}},
            "runs": {"own": {"sets": ["own"]}},
        }
    )


def write(path: Path, *rows: str, header: str = "label,url") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def run(study: Study) -> None:
    pull(study, keys={}, progress=False, sleep=Clock())


def read(study: Study, name: str) -> pd.DataFrame:
    return tables.read(study.table(name), name=name)


def test_a_folder_of_images_is_copied_once(data: Path) -> None:
    for seed, name in enumerate(("joy", "sad")):
        for number in range(3):
            emotion = {"joy": "happy"}.get(name, name)
            save(picture(10 * seed + number), data / "own" / emotion / f"{number}.png")
    (data / "own" / "sad" / "broken.jpg").write_text("no image")
    study = make_study("own", per_page={"local": 2})
    run(study)
    photos = read(study, "photos").set_index("url")
    assert len(photos) == 7
    assert photos.error["sad/broken.jpg"] == "not an image"
    assert photos.photo_id.str.fullmatch(r"local:[0-9a-f]{16}").all()
    copied = photos.loc["happy/0.png"]
    assert (data / "own/happy/0.png").read_bytes() == (
        study.raw / "photos" / f"{copied.photo_id.replace(':', '/')}.jpg"
    ).read_bytes()
    requests = read(study, "requests")
    assert requests[["query", "page", "n_returned"]].to_numpy().tolist() == [
        ["happy", 1, 2],
        ["happy", 2, 1],
        ["sad", 1, 2],
        ["sad", 2, 2],
    ]
    found = items(study, "own")
    assert found.label.tolist().count("happy") == 3
    assert found.label.tolist().count("sad") == 3

    save(picture(77), data / "own" / "happy" / "3.png")
    run(study)
    photos = read(study, "photos")
    assert len(photos) == 8
    assert photos.retrieved_at.max() > copied.retrieved_at


def test_a_table_of_addresses_is_downloaded_with_what_it_says(data: Path, site: Site) -> None:
    header = "label,url,id,photographer,page_url,licence,licence_url,query"
    write(
        data / "own.csv",
        f"Happiness,{site.address}/photos/1.jpg,a-1,Ada Alder,https://x.org/1,CC0 1.0,https://c.org,joy",
        f"sad,{site.address}/photos/2.jpg,,,,,,",
        f"sad,{site.address}/photos/1.jpg,a-1,,,,,",
        f"angry,{site.address}/photos/3.jpg,,,,,,",
        header=header,
    )
    study = make_study("own.csv")
    run(study)
    photos = read(study, "photos").set_index("url")
    first = photos.loc[f"{site.address}/photos/1.jpg"]
    assert first[["photo_id", "author", "page_url"]].tolist() == [
        "local:a-1",
        "Ada Alder",
        "https://x.org/1",
    ]
    assert first[["licence", "licence_url", "attribution"]].tolist() == [
        "CC0 1.0",
        "https://c.org",
        "Photo by Ada Alder",
    ]
    assert len(photos) == 2, "angry is no label of the study"
    assert (study.raw / "photos" / "local" / "a-1.jpg").read_bytes() == photo_bytes(1)
    hits = read(study, "hits")
    assert hits.groupby("photo_id").label.agg(set)["local:a-1"] == {"happy", "sad"}
    assert set(hits["query"]) == {"joy", "sad"}
    assert set(hits.design) == {"given"}
    assert site.count("/photos/1.jpg") == 1


def test_a_dead_address_is_a_row_and_tried_again(data: Path, site: Site) -> None:
    write(
        data / "own.csv", f"sad,{site.address}/photos/1.jpg", f"happy,{site.address}/photos/2.jpg"
    )
    site.faults["/photos/1.jpg"] = [status(404)]
    study = make_study("own.csv")
    run(study)
    assert read(study, "photos").error.dropna().str.contains("HTTP 404").tolist() == [True]
    run(study)
    assert set(read(study, "photos").status) == {"ok"}
    assert site.count("/photos/2.jpg") == 1


def test_addresses_of_this_machine_are_refused_unless_the_study_allows_them(
    data: Path, site: Site
) -> None:
    write(data / "own.csv", f"sad,{site.address}/photos/1.jpg")
    study = make_study("own.csv", allow_private_addresses=False)
    run(study)
    assert read(study, "photos").error.str.contains("refused").tolist() == [True]
    assert site.asked == []


@pytest.mark.parametrize(
    ("rows", "header", "fault"),
    [
        (["sad,file:///etc/passwd"], "label,url", r"own.csv, row 1: url 'file:///etc/passwd' does"),
        (["sad,https://x.org/1", "sad,"], "label,url", "row 2: url '' does not begin"),
        (["glum,https://x.org/1"], "label,url", "row 1: label 'glum' is not one of"),
        (["sad,https://x.org/1,../../x"], "label,url,id", r"row 1: id '\.\./\.\./x' is not of"),
        (["https://x.org/1"], "url", "no column label; it has url"),
        (
            ["sad,https://x.org/1,tears", "happy,https://x.org/2,tears"],
            "label,url,query",
            "query 'tears' stands with more than one label",
        ),
    ],
)
def test_what_is_wrong_with_a_list_is_said(
    tmp_path: Path, rows: list[str], header: str, fault: str
) -> None:
    with pytest.raises(DatasetError, match=fault):
        read_list(write(tmp_path / "own.csv", *rows, header=header))


def test_a_list_that_is_not_there_is_said(data: Path) -> None:
    with pytest.raises(DatasetError, match=r"own\.csv is not in folder data"):
        run(make_study("own.csv"))
