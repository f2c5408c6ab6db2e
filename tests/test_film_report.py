"""`exe film`: every sampled frame in the tables, a page that shows any title as text, resumed."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from browser import opened
from film_samples import write_film
from PIL import Image
from typer.testing import CliRunner

from exe_core import film_report, models
from exe_core.cli import app
from exe_core.labels import labels_of, prob_columns
from exe_core.record import locked
from exe_world.render import render_face

LABELS = ["happy", "sad", "neutral"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Films of a face, then nobody, and of nobody; a file that is none; models a, b and c."""
    folder = tmp_path_factory.mktemp("exe-film")
    (folder / "films").mkdir()
    face = render_face(np.random.default_rng(5), "happy", size=160, style="selfie")
    wall = np.full_like(face, 90)
    write_film(folder / "films" / "some one.mp4", [face, wall])
    write_film(folder / "films" / "nobody.mkv", [wall])
    (folder / "films" / "text.mp4").write_text("no film")
    for name, labels in (("a", LABELS), ("b", LABELS), ("c", ["fear", "sad", "neutral"])):
        card = {"model": "tiny", "labels": labels, "preprocessing": models.Preprocessing(size=32)}
        network = models.build("tiny", n_classes=3, seed=ord(name))
        with torch.no_grad():
            network.fc.weight.mul_(20)
        models.save(network, folder / "models" / name, card=card)
    return folder


def call(folder, films, names, *arguments, out):
    words = [folder / films]
    for name in names:
        words += ["--model", folder / "models" / name]
    words += [*arguments, "--out", folder / out]
    return CliRunner().invoke(
        app, ["film", *map(str, words)], env={"EXE_HOME": str(folder / "home")}
    )


@pytest.fixture(scope="module")
def out(folder):
    result = call(folder, "films", "ab", "--every", 5, out="out")
    assert result.exit_code == 1
    assert "1 of 3 films could not be read" in result.output
    return folder / "out"


def test_every_sampled_frame_is_a_row_of_each_run(out):
    films = pd.read_csv(out / "films.csv").set_index("film_id")
    assert films["status"].to_dict() == {"nobody": "ok", "some one": "ok", "text": "unreadable"}
    assert films.loc["some one", ["n_sampled", "n_faces"]].tolist() == [4, 2]
    rows = pd.read_csv(out / "some one" / "predictions.csv")
    assert list(rows)[:6] == ["run_id", "film_id", "frame", "time_s", "n_faces", "predicted"]
    assert labels_of(rows) == LABELS
    assert rows["run_id"].unique().tolist() == ["a", "b", "ensemble"]
    mean = rows[rows["run_id"] == "ensemble"]
    assert mean["frame"].tolist() == [0, 5, 10, 15]
    assert mean["time_s"].tolist() == pytest.approx([0, 0.5, 1, 1.5])
    assert mean["predicted"].notna().tolist() == [True, True, False, False]
    assert rows[rows["run_id"] == "a"]["shot"].tolist() == [0, 0, 1, 1]
    probs = rows.dropna(subset="predicted").set_index(["run_id", "frame"])[prob_columns(LABELS)]
    assert np.allclose(probs.loc["ensemble"], (probs.loc["a"] + probs.loc["b"]) / 2)


def test_shares_are_bounded_for_the_frames_without_a_face(out):
    names = {path.name for path in (out / "some one").iterdir()}
    assert {"timeline.svg", "timeline.png", "shares.svg", "shares.png", "report.html"} <= names
    summary = pd.read_csv(out / "some one" / "summary.csv")
    assert summary["run_id"].unique().tolist() == ["a", "b", "ensemble"]
    assert summary.groupby("run_id")["share_of_faces"].sum().tolist() == pytest.approx([1, 1, 1])
    assert (summary["coverage"] == 0.5).all()
    assert (summary["share_high"] - summary["share_low"] == 0.5).all()
    course = pd.read_csv(out / "some one" / "course.csv")
    assert set(course["measure"]) == {"probability", "share"}
    assert course["time_s"].nunique() == 4


def test_a_film_of_nobody_has_its_tables_and_its_page(out):
    rows = pd.read_csv(out / "nobody" / "predictions.csv")
    assert len(rows) == 3 * 2
    assert rows["predicted"].isna().all()
    page = (out / "nobody" / "report.html").read_text()
    assert "No face was found" in page
    assert "<svg" not in page


def test_a_film_is_reported_on_until_it_is_whole_and_when_the_models_change(folder, out):
    page, origin = (out / "nobody" / name for name in ("report.html", "provenance.json"))
    before = page.stat().st_mtime_ns
    for damage, names, is_written in (
        (lambda: None, "ab", False),
        (page.unlink, "ab", True),
        (lambda: origin.write_text("{"), "ab", True),
        (lambda: None, "a", True),
    ):
        damage()
        call(folder, "films/nobody.mkv", names, "--every", 5, out="out")
        assert (page.stat().st_mtime_ns > before) == is_written
        assert '"commit"' in origin.read_text()
        before = page.stat().st_mtime_ns
    rows = pd.read_csv(out / "nobody" / "predictions.csv")
    assert rows["run_id"].unique().tolist() == ["a"]


def test_one_film_by_seconds(folder):
    result = call(folder, "films/some one.mp4", "a", "--every-seconds", 0.4, out="seconds")
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(folder / "seconds" / "some one" / "predictions.csv")
    assert rows["time_s"].tolist() == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])


@pytest.mark.parametrize(
    ("films", "names", "step", "fault"),
    [
        ("films", "ac", [], "needs the same labels"),
        ("films", "aa", [], "two models have one name"),
        ("films", ["absent"], [], "absent"),
        ("models", "a", [], "no film in"),
        ("films", "a", ["--every", 5, "--every-seconds", 2], "one step"),
        ("films", "a", ["--every-seconds", 0], "over 0"),
    ],
)
def test_what_is_wrong_is_an_error_in_a_line(folder, films, names, step, fault):
    result = call(folder, films, names, *step, out="wrong")
    assert result.exit_code == 1
    assert result.output.startswith("exe: ")
    assert fault in result.output


def test_two_at_once_in_one_folder_are_refused(folder):
    with locked(folder / "locked" / ".lock"):
        result = call(folder, "films", "a", out="locked")
    assert result.exit_code == 1
    assert "another exe film is writing" in result.output


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


TITLE = '<img src=x onerror=alert(1)> & "Sons"'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="9"/></svg>'
ORIGIN = {"title": TITLE, "models": {"fer7": "abc"}, "commit": "1"}


@pytest.fixture
def content(tmp_path):
    """A film of four frames, three with a face."""
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "face.png")
    film = {"title": TITLE, "duration_s": 90.0, "status": "ok", "error": None}
    rows = pd.DataFrame(
        {
            "run_id": "<b>mine</b>",
            "film_id": "a",
            "frame": [0, 100, 200, 300],
            "time_s": [0.0, 4.0, 8.0, 3725.0],
            "n_faces": [1, 0, 2, 1],
            "predicted": ["happy", None, "happy", "sad"],
            "prob_happy": [0.6, np.nan, 0.9, 0.2],
            "prob_sad": [0.4, np.nan, 0.1, 0.8],
        }
    )
    faces = pd.DataFrame(
        {"item_id": ["a:000000", "a:000200", "a:000300"], "path": str(tmp_path / "face.png")}
    )
    shares = ["share_of_faces", "share_low", "share_high", "mean_prob"]
    summary = pd.DataFrame([[0.67, 0.5, 0.75, 0.57], [0.33, 0.25, 0.5, 0.43]], columns=shares)
    summary = summary.assign(run_id="<b>mine</b>", label=["happy", "sad"])
    over_time = {"smooth_s": 15, "level": 0.95, "n_shots": 9}
    tables = {"film": film, "rows": rows, "faces": faces, "summary": summary}
    return {**tables, "svgs": {"timeline": SVG, "shares": SVG}, "over_time": over_time}


def made(content, **changes):
    parts = content | changes
    place = [parts.pop(name) for name in ("film", "rows", "faces")]
    text = film_report.render_page(*place, **parts, origin=ORIGIN)
    return " ".join(text.split())


def test_the_page_opens_offline_and_shows_the_title_as_text(chromium, content, tmp_path):
    script = SVG.replace("<rect", "<script>document.title = 'run'</script><rect")
    text = made(content, svgs={"timeline": script, "shares": SVG})
    (tmp_path / "page.html").write_text(text)
    with opened(chromium, tmp_path / "page.html") as (page, _):
        assert page.title() == TITLE
        assert page.locator("h1").inner_text() == TITLE
        assert page.locator("h1 *").count() == 0
        assert page.locator(".figure svg").count() == 2
        pictures = page.locator(".faces img")
        sizes = pictures.evaluate_all("all => all.map(one => one.naturalWidth)")
        assert sizes == [64, 64]
        captions = page.locator("figcaption").all_inner_texts()
        assert captions == ["happy, 0.90, at 0:00:08", "sad, 0.80, at 1:02:05"]
        assert "3 of them have a face" in page.locator("main").inner_text()


def test_the_page_says_what_is_not_whole(content):
    film = content["film"] | {"status": "partial", "error": "nothing from 3 to <5> s"}
    assert "The film is not whole: nothing from 3 to &lt;5&gt; s." in made(content, film=film)
    film = content["film"] | {"error": "no time stamps"}
    assert '<p class="warning">no time stamps.</p>' in made(content, film=film)
