"""Films to shots, frames and faces: each film once, none lost because another is damaged."""

import os
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest
from film_samples import write_film
from PIL import Image

from exe_core import screening
from exe_core.faces import FaceFinder
from exe_core.record import ROOT
from exe_core.settings import Crop
from exe_core.study import parse_study
from exe_world.render import render_face

SIZE = 160


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(5)
    face = render_face(rng, "happy", size=SIZE, style="selfie")
    return [face, np.full_like(face, 90), face]


@pytest.fixture
def study(tmp_path, monkeypatch, pictures):
    """A study of a folder with two films, a text file named as a film, and something else."""
    films = tmp_path / "data" / "films"
    films.mkdir(parents=True)
    write_film(films / "Good one.mp4", pictures)
    write_film(films / "other.mkv", pictures[:2])
    (films / "text.mp4").write_text("no film")
    (films / "notes.txt").write_text("nothing")
    (films / "a folder.mp4").mkdir()
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    parsed = {
        "name": "clips",
        "kind": "real",
        "title": "Clips",
        "films": {"path": "films", "every": 10},
        "crop": {"size": 64},
        "sets": {"lab": {"kind": "fer2013", "path": "none.csv"}},
        "runs": {"lab": {"sets": ["lab"]}},
    }
    return parse_study(parsed)


@pytest.fixture(scope="module")
def finder():
    with FaceFinder() as found:
        yield found


def by_id(films):
    return films.set_index("film_id")["status"].to_dict()


def test_faceless_frames_and_what_is_no_film_are_rows(study, finder):
    listed = screening.list_films(study)
    assert by_id(listed) == {"Good one": "ok", "other": "ok", "text": "unreadable"}
    assert listed["duration_s"][0] == pytest.approx(3)
    assert "no film" in listed["error"][2]
    films, frames, faces = screening.screen(study, listed, finder=finder)
    assert by_id(films) == by_id(listed)
    good = frames[frames["film_id"] == "Good one"]
    assert good["frame"].tolist() == [0, 10, 20]
    assert good["n_faces"].tolist() == [1, 0, 1]
    assert good["time_s"].tolist() == pytest.approx([0, 1, 2])
    assert good["shot"].tolist() == [0, 1, 2]
    items = faces.loc[faces["group_id"] == "Good one", "item_id"].tolist()
    assert items == ["Good one:000000", "Good one:000020"]


def test_a_film_is_screened_once_until_it_or_the_settings_change(
    study, finder, pictures, monkeypatch
):
    listed, decoded, real = screening.list_films(study), [], screening.Samples
    first = screening.screen(study, listed, finder=finder)
    monkeypatch.setattr(
        screening, "Samples", lambda path, **k: decoded.append(path.name) or real(path, **k)
    )
    again = screening.screen(study, listed, finder=finder)
    assert decoded == []
    for one, other in zip(first, again, strict=True):
        assert one.equals(other)
    write_film(study.data_dir / "films" / "other.mkv", pictures)
    frames = screening.screen(study, listed, finder=finder).frames
    assert decoded == ["other.mkv"]
    assert (frames["film_id"] == "other").sum() == 3
    larger = study.model_copy(update={"crop": study.crop.model_copy(update={"size": 96})})
    second = screening.screen(larger, listed, finder=finder)
    sizes = [
        {Image.open(ROOT / path).size for path in tables.faces["path"]}
        for tables in (first, second)
    ]
    assert sizes == [{(64, 64)}, {(96, 96)}]


def test_a_film_cut_off_is_partial_and_the_others_are_whole(study, finder):
    path = study.data_dir / "films" / "other.mkv"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    films, frames, _ = screening.screen(study, screening.list_films(study), finder=finder)
    rows = films.set_index("film_id")
    assert rows.loc["other", "status"] in ("partial", "unreadable")
    assert rows.loc["other", "error"]
    assert rows.loc["Good one", "status"] == "ok"
    assert (frames["film_id"] == "Good one").sum() == 3


@pytest.mark.parametrize("name", ["Good one.mp4", "sequential.ts"])
def test_a_screening_that_is_stopped_leaves_nothing_half_and_goes_on(
    study, finder, pictures, monkeypatch, name
):
    write_film(study.data_dir / "films" / "sequential.ts", pictures)
    films = screening.list_films(study)
    listed = films[films["path"].str.endswith(name)]
    whole = screening.screen(study, listed, finder=finder)
    for path in study.processed.glob("screened/*"):
        shutil.rmtree(path)
    looked_at, real = [], screening.shot_signature

    def stopped(rgb):
        looked_at.append(rgb)
        if len(looked_at) == 3:
            raise KeyboardInterrupt
        return real(rgb)

    monkeypatch.setattr(screening, "shot_signature", stopped)
    with pytest.raises(KeyboardInterrupt):
        screening.screen(study, listed, finder=finder)
    assert not list(study.processed.rglob("*.parquet"))
    (journal,) = study.processed.rglob("journal.jsonl")
    journal.write_bytes(journal.read_bytes() + b'{"frame": 20, "ti')  # as a kill may leave it
    again = screening.screen(study, listed, finder=finder)
    assert len(looked_at) == 4, "the frames before are not looked at again"
    for one, other in zip(again, whole, strict=True):
        pd.testing.assert_frame_equal(one, other)
    assert all((ROOT / path).is_file() for path in again.faces["path"])


def test_places_without_films_are_refused(tmp_path):
    for place, reason in (
        (tmp_path / "absent.mp4", "no film or folder at"),
        (tmp_path, r"give files ending in \.mp4"),
    ):
        with pytest.raises(screening.ScreeningError, match=reason):
            screening.find_films([place])


def test_odd_names_lose_no_film_and_what_is_left_out_is_listed(tmp_path, pictures, finder):
    film = write_film(tmp_path / "a.mp4", pictures[:1], hold=2)
    (tmp_path / "two\nlines.mp4").write_bytes(film.read_bytes())
    (tmp_path / "b.MTS").write_bytes(film.read_bytes())
    os.link(film, os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "absent.mp4")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "folder.mp4" / "notes.txt").write_text("nothing")
    films = screening.find_films([tmp_path]).set_index("film_id")
    assert films["status"].to_dict() == {
        "a": "ok",
        "b": "ok",
        "caf\ufffd": "ok",
        "absent": "unreadable",
        "two\nlines": "ok",
    }
    (latin,) = films.loc[["caf\ufffd"]].reset_index().to_dict("records")
    how = {"store": tmp_path / ".store", "settings": Crop(size=32), "every": 9}
    assert len(screening.screen_film(latin, finder=finder, **how).frames) == 1
    others = screening.other_files([tmp_path])
    assert others == [str(tmp_path / "folder.mp4" / "notes.txt"), str(tmp_path / "loop")]


def painted(seed):
    """Paint a few coloured patches, each of many shades as things are."""
    rng = np.random.default_rng(seed)
    patchwork = np.kron(rng.integers(0, 256, (3, 4, 3)), np.ones((30, 40, 1), int))
    shades = cv2.resize(rng.normal(0, 60, (15, 20)), (160, 90))[..., None]
    return np.clip(patchwork + shades, 0, 255).astype(int)


FIRST = painted(1)
NOISE = np.random.default_rng(0).integers(-8, 9, FIRST.shape)
HALF = np.zeros((90, 160, 3), int)
HALF[:, :80] = (200, 30, 30)


@pytest.mark.parametrize(
    ("pictures", "shots"),
    [
        ([], []),
        ([FIRST, FIRST, painted(2), FIRST], [0, 0, 1, 2]),
        ([FIRST, np.roll(FIRST, 8, axis=1)], [0, 0]),
        ([FIRST, FIRST * 9 // 10], [0, 0]),
        ([FIRST, np.clip(FIRST + NOISE, 0, 255)], [0, 0]),
        ([HALF, HALF[:, ::-1]], [0, 1]),
    ],
    ids=["none", "back", "moved", "darker", "noisy", "colours elsewhere"],
)
def test_a_cut_begins_a_shot(pictures, shots):
    signatures = [screening.shot_signature(one.astype(np.uint8)) for one in pictures]
    assert screening.number_shots(signatures) == shots
