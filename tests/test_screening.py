"""Films to shots, frames and faces: each film once, none lost because another is damaged."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from film_samples import Kind, make_film, write_film
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from exe_core import cli, screening
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


def test_a_file_that_is_no_film_is_a_row_with_its_reason(study):
    films = screening.list_films(study).set_index("film_id")
    assert list(films.index) == ["Good one", "other", "text"]
    assert films.loc["Good one", "status"] == "ok"
    assert films.loc["Good one", "duration_s"] == pytest.approx(3)
    assert films.loc["text", "status"] == "unreadable"
    assert films.loc["text", "error"]


def test_frames_without_a_face_are_kept(study, finder):
    films, frames, faces = screening.screen(
        study, screening.list_films(study), finder=finder, progress=False
    )
    good = frames[frames["film_id"] == "Good one"]
    assert good["frame"].tolist() == [0, 10, 20]
    assert good["n_faces"].tolist() == [1, 0, 1]
    assert good["time_s"].tolist() == pytest.approx([0, 1, 2])
    assert good["shot"].tolist() == [0, 1, 2]
    assert faces[faces["group_id"] == "Good one"]["item_id"].tolist() == [
        "Good one:000000",
        "Good one:000020",
    ]
    assert films.set_index("film_id")["status"].to_dict() == {
        "Good one": "ok",
        "other": "ok",
        "text": "unreadable",
    }


def test_all_faces_of_a_frame_are_kept_where_that_is_asked_for(study, finder, pictures):
    both = np.hstack([pictures[0], pictures[0][:, ::-1]])
    write_film(study.data_dir / "films" / "two.mp4", [both])
    listed = screening.list_films(study).query("film_id == 'two'")
    largest, each = (
        study.model_copy(
            update={"crop": study.crop.model_copy(update={"primary_only": only, "tiles": 1})}
        )
        for only in (True, False)
    )
    _, frames, faces = screening.screen(each, listed, finder=finder, progress=False)
    assert frames["n_faces"].tolist() == [2]
    assert faces["is_primary"].tolist() == [True, False]
    assert faces["face_id"].tolist() == ["films/two:000000/0", "films/two:000000/1"]
    assert len({Image.open(ROOT / path).tobytes() for path in faces["path"]}) == 2
    one = screening.screen(largest, listed, finder=finder, progress=False).faces
    assert one["face_id"].tolist() == faces["face_id"].tolist()[:1]


def test_a_film_is_screened_once_until_it_changes(study, finder, pictures, monkeypatch):
    listed = screening.list_films(study)
    first = screening.screen(study, listed, finder=finder, progress=False)
    decoded = []
    real = screening.sample_frames
    monkeypatch.setattr(
        screening, "sample_frames", lambda path, **k: decoded.append(path.name) or real(path, **k)
    )
    again = screening.screen(study, listed, finder=finder, progress=False)
    assert decoded == []
    for one, other in zip(first, again, strict=True):
        assert one.equals(other)
    write_film(study.data_dir / "films" / "other.mkv", pictures)
    _, frames, _ = screening.screen(study, listed, finder=finder, progress=False)
    assert "other.mkv" in decoded
    assert (frames["film_id"] == "other").sum() == 3


def test_a_film_cut_off_is_partial_and_the_others_are_whole(study, finder):
    path = study.data_dir / "films" / "other.mkv"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    films, frames, _ = screening.screen(
        study, screening.list_films(study), finder=finder, progress=False
    )
    rows = films.set_index("film_id")
    assert rows.loc["other", "status"] in ("partial", "unreadable")
    assert rows.loc["other", "error"]
    assert rows.loc["Good one", "status"] == "ok"
    assert (frames["film_id"] == "Good one").sum() == 3


def test_a_screening_that_is_stopped_leaves_nothing_half(study, finder, monkeypatch):
    listed = screening.list_films(study)
    calls = []

    def stopped(image, found, item, **how):
        calls.append(found)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(image, found, item, **how)

    real = screening.save_crops
    monkeypatch.setattr(screening, "save_crops", stopped)
    with pytest.raises(KeyboardInterrupt):
        screening.screen(study, listed, finder=finder, progress=False)
    assert not list(study.processed.rglob("*.parquet"))
    _, frames, faces = screening.screen(study, listed, finder=finder, progress=False)
    assert frames["film_id"].value_counts().to_dict() == {"Good one": 3, "other": 2}
    assert all((screening.ROOT / path).is_file() for path in faces["path"])


def test_other_settings_leave_the_earlier_crops_alone(study, finder):
    listed = screening.list_films(study)
    first = screening.screen(study, listed, finder=finder, progress=False).faces
    larger = study.model_copy(update={"crop": study.crop.model_copy(update={"size": 96})})
    second = screening.screen(larger, listed, finder=finder, progress=False).faces
    sizes = [
        {Image.open(screening.ROOT / path).size for path in faces["path"]}
        for faces in (first, second)
    ]
    assert sizes == [{(64, 64)}, {(96, 96)}]


def test_a_step_in_seconds(study, finder):
    (film,) = (
        row for row in screening.list_films(study).to_dict("records") if row["film_id"] == "other"
    )
    step = screening.Step(every_seconds=0.5)
    place = {"store": study.processed, "finder": finder, "settings": study.crop}
    found = screening.screen_film(film, step=step, **place)
    assert found.frames["time_s"].tolist() == pytest.approx([0, 0.5, 1, 1.5])
    assert found.frames["frame"].tolist() == [0, 5, 10, 15]


def test_films_of_one_name_are_told_apart(tmp_path, pictures):
    for name in ("a.mp4", "a.mkv", "b.mp4", "other/a.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_film(tmp_path / name, pictures[:1], hold=2)
    films = screening.find_films([tmp_path, tmp_path / "b.mp4"])
    assert films["film_id"].is_unique
    assert "b" in set(films["film_id"])
    assert len(films) == 4
    with pytest.raises(screening.ScreeningError, match="no film or folder at"):
        screening.find_films([tmp_path / "absent.mp4"])


def test_links_that_lead_out_of_a_folder_of_films_are_refused(tmp_path, pictures):
    (tmp_path / "given").mkdir()
    write_film(tmp_path / "private.mp4", pictures[:1], hold=2)
    link = tmp_path / "given" / "a.mp4"
    link.symlink_to(tmp_path / "private.mp4")
    with pytest.raises(screening.ScreeningError, match=r"lead out of it, such as .*a\.mp4"):
        screening.find_films([tmp_path / "given"])
    assert screening.find_films([link])["status"].tolist() == ["ok"], "one names it oneself"


def test_no_film_at_all_is_an_error(study):
    shutil.rmtree(study.data_dir / "films")
    (study.data_dir / "films").mkdir()
    with pytest.raises(screening.ScreeningError, match=r"give files ending in \.mp4"):
        screening.list_films(study)


def test_each_container_of_films_is_found_in_a_folder(tmp_path, pictures):
    for suffix in ("mp4", "m4v", "MTS", "ts", "mpg", "flv", "3gp"):
        write_film(tmp_path / f"{suffix}.{suffix}", pictures[:1], hold=2)
    films = screening.find_films([tmp_path])
    assert films["film_id"].tolist() == sorted(films["film_id"])
    assert films["status"].tolist() == ["ok"] * 7


def test_a_film_without_time_stamps_is_read_and_this_is_said(tmp_path, finder):
    path = make_film(tmp_path / "raw.h264", Kind("raw.h264"), n=48)
    film = screening.find_films([path]).iloc[0].to_dict()
    place = {"store": tmp_path / "store", "finder": finder, "settings": Crop(size=64)}
    done = screening.screen_film(film, step=screening.Step(every=24), **place)
    assert done.frames["time_s"].tolist() == pytest.approx([0, 1])
    assert done.films["status"].tolist() == ["ok"]
    assert done.films["duration_s"].tolist() == pytest.approx([2])
    assert "no time stamps" in done.films["error"][0]


@pytest.mark.skipif(os.name != "posix", reason="names of files are bytes on POSIX only")
def test_a_name_that_is_not_utf8_loses_no_film(tmp_path, finder, pictures):
    write_film(tmp_path / "a.mp4", pictures[:1])
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4")
    shutil.copy(tmp_path / "a.mp4", odd)
    films = screening.find_films([tmp_path])
    assert sorted(films["title"]) == ["a", "caf\ufffd"]
    place = {"store": tmp_path / "store", "finder": finder, "settings": Crop(size=64)}
    for film in films.to_dict("records"):
        done = screening.screen_film(film, step=screening.Step(every=5), **place)
        assert done.films["status"].tolist() == ["ok"]
        assert all((ROOT / path).is_file() for path in done.faces["path"])


def call(film, ledger):
    return CliRunner().invoke(cli.app, ["screen", "clips", str(film), "--ledger", str(ledger)])


def test_films_screened_by_a_job_each_are_those_screened_by_one(study, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "load_study", lambda _: study)
    ledgers = [tmp_path / f"{place}.json" for place in (1, 2, 3)]
    for place, ledger in enumerate(ledgers, 1):
        done = call(place, ledger)
        assert done.exit_code == 0, done.output
    contents = [ledger.read_text() for ledger in ledgers]
    assert [list(json.loads(text)) for text in contents] == [["Good one"], ["other"], ["text"]]
    one_each = sorted(study.processed.rglob("*.png"))
    monkeypatch.setattr(screening, "sample_frames", None)  # nothing is decoded again
    with FaceFinder() as finder:
        films = screening.list_films(study)
        screening.screen(study, films, finder=finder, progress=False)
    assert sorted(study.processed.rglob("*.png")) == one_each
    assert "Good one: ok, 3 frames, 2 with a face" in call(1, ledgers[0]).output
    assert ledgers[0].read_text() == contents[0]


def test_the_ledger_changes_with_the_film(study, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "load_study", lambda _: study)
    call(1, tmp_path / "first.json")
    write_film(study.data_dir / "films" / "Good one.mp4", [np.full((160, 160, 3), 90, np.uint8)])
    call(1, tmp_path / "other.json")
    assert (tmp_path / "other.json").read_text() != (tmp_path / "first.json").read_text()


@pytest.mark.parametrize(
    ("film", "message"), [(4, "no film 4: they are counted from 1"), (0, "equal to 1")]
)
def test_a_film_that_is_not_there(study, tmp_path, monkeypatch, film, message):
    monkeypatch.setattr(cli, "load_study", lambda _: study)
    done = call(film, tmp_path / "ledger.json")
    assert done.exit_code
    assert message in done.output
    assert not (tmp_path / "ledger.json").exists()


def painted(seed, *, size=(90, 160)):
    """Paint a few coloured patches, each of many shades as things are."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (3, 4, 3))
    patchwork = np.kron(patches, np.ones((size[0] // 3, size[1] // 4, 1), int))
    shades = cv2.resize(rng.normal(0, 60, (15, 20)), size[::-1])[..., None]
    return np.clip(patchwork + shades, 0, 255).astype(np.uint8)


def numbered(pictures):
    return screening.number_shots(screening.shot_signature(one) for one in pictures)


def test_a_cut_begins_a_shot_also_back_to_an_earlier_place():
    first, second = painted(1), painted(2)
    assert numbered([first, first, second, first]) == [0, 0, 1, 2]


@pytest.mark.parametrize("change", ["moved", "darker", "noisy"])
def test_what_changes_within_a_shot_is_no_cut(change):
    rng, first = np.random.default_rng(0), painted(1).astype(int)
    later = {
        "moved": np.roll(first, 8, axis=1),
        "darker": first * 9 // 10,
        "noisy": first + rng.integers(-8, 9, first.shape),
    }[change]
    assert numbered([first.astype(np.uint8), np.clip(later, 0, 255).astype(np.uint8)]) == [0, 0]


def test_the_same_colours_elsewhere_are_another_painted():
    first = np.zeros((90, 160, 3), np.uint8)
    first[:, :80] = (200, 30, 30)
    assert numbered([first, first[:, ::-1]]) == [0, 1]


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 99), st.integers(0, 99))
def test_distance_is_symmetric_and_within_its_range(first, second):
    one, other = (screening.shot_signature(painted(seed)) for seed in (first, second))
    assert 0 <= screening.shot_distance(one, other) <= 1
    assert screening.shot_distance(one, other) == screening.shot_distance(other, one)
    assert screening.shot_distance(one, one) == pytest.approx(0, abs=1e-3)


def test_no_frames_no_shots():
    assert numbered([]) == []
