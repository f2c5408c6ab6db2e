"""`exe film`: every sampled frame in the tables, a page that shows any title as text, resumed."""

import json
import os
import signal
import subprocess
import sys
import time
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
import torch
from browser import opened
from film_samples import write_film
from typer.testing import CliRunner

from exe_core import film_faces, film_report, models, screening
from exe_core.cli import app
from exe_core.figures.films import shares_chart
from exe_core.labels import labels_of
from exe_core.record import locked
from exe_world.render import render_face

LABELS = ["happy", "sad", "neutral"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Films of a face, then nobody, and of nobody; a file that is none; models a and b."""
    folder = tmp_path_factory.mktemp("exe-film")
    (folder / "films").mkdir()
    face = render_face(np.random.default_rng(5), "happy", size=160, style="selfie")
    wall = np.full_like(face, 90)
    write_film(folder / "films" / "some one.mp4", [face, wall])
    write_film(folder / "films" / "nobody.mkv", [wall])
    (folder / "films" / "text.mp4").write_text("no film")
    (folder / "films" / "notes.txt").write_text("nothing")
    two = np.hstack([face, wall[:, :40], face])
    write_film(folder / "two.mp4", [two, np.roll(two, 8, axis=1)], hold=5)
    for name in "ab":
        card = {"model": "tiny", "labels": LABELS, "preprocessing": models.Preprocessing(size=32)}
        network = models.build("tiny", n_classes=3, seed=ord(name))
        with torch.no_grad():
            network.fc.weight.mul_(20)
        models.save(network, folder / "models" / name, card=card)
    return folder


def call(folder, films, model, *arguments, out):
    words = [
        folder / films,
        "--model",
        folder / "models" / model,
        *arguments,
        "--out",
        folder / out,
    ]
    return CliRunner().invoke(
        app, ["film", *map(str, words)], env={"EXE_HOME": str(folder / "home")}
    )


@pytest.fixture(scope="module")
def out(folder):
    result = call(folder, "films", "a", "--every", 5, out="out")
    assert result.exit_code == 1
    assert "1 of 3 films could not be read" in result.output
    return folder / "out"


def test_every_sampled_frame_is_a_row_and_shares_are_bounded_for_those_without_a_face(out):
    films = pd.read_csv(out / "films.csv").set_index("film_id")
    assert films["status"].to_dict() == {"nobody": "ok", "some one": "ok", "text": "unreadable"}
    assert films.loc["some one", ["n_sampled", "n_faces"]].tolist() == [4, 2]
    rows = pd.read_csv(out / "some one" / "predictions.csv")
    assert list(rows)[:6] == ["run_id", "film_id", "frame", "time_s", "n_faces", "predicted"]
    assert labels_of(rows) == LABELS
    assert rows["run_id"].unique().tolist() == ["a"]
    assert rows["frame"].tolist() == [0, 5, 10, 15]
    assert rows["time_s"].tolist() == pytest.approx([0, 0.5, 1, 1.5])
    assert rows["predicted"].notna().tolist() == [True, True, False, False]
    assert rows["shot"].tolist() == [0, 0, 1, 1]
    names = {path.name for path in (out / "some one").iterdir()}
    assert {"timeline.svg", "timeline.png", "shares.svg", "shares.png", "report.html"} <= names
    summary = pd.read_csv(out / "some one" / "summary.csv")
    assert summary["share_of_faces"].sum() == pytest.approx(1)
    assert (summary["coverage"] == 0.5).all()
    assert (summary["share_high"] - summary["share_low"] == 0.5).all()
    assert (summary["n_shots"] == 1).all()
    assert summary["low"].isna().all(), "one shot says nothing of another"
    course = pd.read_csv(out / "some one" / "course.csv")
    assert set(course["measure"]) == {"probability", "share"}
    assert course["time_s"].nunique() == 4


def test_a_film_of_nobody_has_its_tables_and_its_page(out):
    rows = pd.read_csv(out / "nobody" / "predictions.csv")
    assert len(rows) == 2
    assert rows["predicted"].isna().all()
    page = (out / "nobody" / "report.html").read_text()
    assert "No face was found" in page
    assert "<svg" not in page


def test_the_index_compares_the_films_and_names_what_was_left_out(chromium, out):
    with opened(chromium, out / "index.html") as (page, faults):
        text = page.locator("main").inner_text()
        assert "text.mp4 is no film" in text
        assert "notes.txt" in text
        assert "nan" not in text
        links = page.locator("td a").evaluate_all("all => all.map(one => one.getAttribute('href'))")
        assert links == ["nobody/report.html", "some%20one/report.html"]
        assert all((out / unquote(link)).is_file() for link in links)
        assert not faults


def test_films_of_one_title_have_bars_of_their_own(out):
    summary = pd.read_csv(out / "some one" / "summary.csv")
    two = pd.concat([summary.assign(film_id=name) for name in ("a-x", "b-x")])
    films = pd.DataFrame({"film_id": ["a-x", "b-x"], "title": "x", "genre": None})
    (rows,) = shares_chart(two, films=films).at().to_dict()["datasets"].values()
    assert {row["film"] for row in rows} == {"a-x", "b-x"}


def test_a_film_is_reported_on_until_it_is_whole_and_when_the_model_changes(folder, out):
    page, origin = (out / "nobody" / name for name in ("report.html", "provenance.json"))
    before = page.stat().st_mtime_ns
    for damage, model, is_written in (
        (lambda: None, "a", False),
        (page.unlink, "a", True),
        (lambda: origin.write_text("{"), "a", True),
        (lambda: None, "b", True),
    ):
        damage()
        call(folder, "films/nobody.mkv", model, "--every", 5, out="out")
        assert (page.stat().st_mtime_ns > before) == is_written
        assert json.loads(origin.read_text())["model"] == model
        before = page.stat().st_mtime_ns
    assert set(pd.read_csv(out / "nobody" / "predictions.csv")["run_id"]) == {"b"}


@pytest.mark.parametrize(
    ("films", "model", "place", "fault"),
    [
        ("films", "absent", "wrong", "absent"),
        ("models", "a", "wrong", "no film in"),
        ("two.mp4", "a", "two.mp4", "is a file"),
    ],
)
def test_what_is_wrong_is_an_error_in_a_line(folder, films, model, place, fault):
    result = call(folder, films, model, out=place)
    assert result.exit_code == 1
    assert result.output.startswith("exe: ")
    assert fault in result.output


def test_two_at_once_in_one_folder_are_refused(folder):
    with locked(folder / "locked" / ".lock"):
        result = call(folder, "films", "a", out="locked")
    assert result.exit_code == 1
    assert "another exe film into" in result.output


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_with_the_film_it_was_at(folder):
    out = folder / "killed"
    command = [sys.executable, "-m", "exe_core.cli", "film", str(folder / "films"), "--every", "1"]
    command += ["--model", str(folder / "models" / "a"), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        while not list(out.glob(".screened/nobody/[!.]*/films.parquet")) and run.poll() is None:
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in out.glob(".screened/*/[!.]*/films.parquet")}
    assert kept
    subprocess.run(command, check=False, capture_output=True)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert sorted(path.parent.name for path in out.glob("*/report.html")) == ["nobody", "some one"]


def test_the_page_opens_offline_says_first_how_far_to_trust_it_and_shows_the_film(chromium, out):
    with opened(chromium, out / "some one" / "report.html") as (page, faults):
        assert page.title() == page.locator("h1").inner_text() == "some one"
        assert page.locator("h2").first.inner_text() == "How far to trust a"
        assert page.locator(".figure svg").count() == 2
        captions = page.locator("figcaption").all_inner_texts()
        assert [one[:7] for one in captions] == ["0:00:00", "0:00:00", "0:00:01", "0:00:02"]
        assert captions[-1] == "0:00:02, no face"
        sizes = page.locator(".faces img").evaluate_all("all => all.map(one => one.naturalWidth)")
        assert sizes == [screening.STILL_WIDTH] * 4
        assert "2 of them have a face" in page.locator("main").inner_text()
        assert not faults


def test_trust_is_that_of_the_film_study_by_emotion():
    unscored = models.Classifier(None, ("angry", "disgust"), None, {"limits": ["some"]})
    fer5 = film_report.trust("fer5", models.load("fer5"))
    own = film_report.trust("mine", unscored)
    study = film_faces.load()
    assert fer5["is_own"]
    assert fer5["variant"] == "fer2013"
    label = study.faces["label"].to_numpy()
    for row in fer5["labels"]:
        of_label = label == row["label"]
        hits = [
            (p[of_label].argmax(axis=1) == study.labels.index(row["label"])).mean()
            for p in study.runs("fer2013")
        ]
        value, low, high = row["recall"]
        assert value == pytest.approx(np.mean(hits))
        assert low <= value <= high
    assert not own["is_own"]
    assert own["unscored"] == ["disgust"]


def test_all_faces_are_read_if_asked_for_and_two_people_stay_two(folder):
    result = call(folder, "two.mp4", "a", "--every", "1", "--all-faces", out="all")
    assert result.exit_code == 0, result.output
    faces = pd.read_csv(folder / "all" / "two" / "faces.csv")
    assert faces.groupby("frame").size().tolist() == [2] * 10
    assert faces.groupby("person")["x_px"].agg(np.ptp).max() < 60
    persons = pd.read_csv(folder / "all" / "two" / "persons.csv")
    assert persons["person"].tolist() == ["0-1", "0-2"]
    assert persons["n_faces"].tolist() == [10, 10]
    rows = pd.read_csv(folder / "all" / "two" / "predictions.csv")
    assert len(rows) == 10, "shares are those of the largest face"


def test_the_width_of_the_kernel_is_an_option(folder):
    assert call(folder, "two.mp4", "a", "--smooth", "0.5", "--every", "2", out="s").exit_code == 0
    origin = json.loads((folder / "s" / "two" / "provenance.json").read_text())
    assert origin["smooth_s"] == 0.5


def test_the_page_says_what_is_not_whole():
    film = {"title": "a", "duration_s": 90.0, "status": "partial", "error": "nothing after <5> s"}
    rows = pd.DataFrame({"run_id": ["a"], "frame": [0], "time_s": [0.0], "n_faces": [0]})
    page = film_report.render("film_page.html", film=film, rows=rows, title="a", trust=None)
    assert "The film is not whole: nothing after &lt;5&gt; s." in page
