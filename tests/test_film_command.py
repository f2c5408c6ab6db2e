"""`exe film`: on a folder, with models of one's own; what is wrong is said in a line."""

import fcntl
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from film_samples import write_film
from typer.testing import CliRunner

from exe_core import models
from exe_core.cli import app
from exe_world.render import render_face

runner = CliRunner()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two films, a file that is none, and models of three and of two classes."""
    folder = tmp_path_factory.mktemp("exe-film")
    (folder / "films").mkdir()
    face = render_face(np.random.default_rng(5), "happy", size=160, style="selfie")
    for name in ("first.mp4", "second.mkv"):
        write_film(folder / "films" / name, [face, np.full_like(face, 90)])
    (folder / "films" / "text.mp4").write_text("no film")
    for name, labels in (("a", ["happy", "sad"]), ("b", ["happy", "sad"]), ("c", ["fear", "sad"])):
        card = {"model": "tiny", "labels": labels, "preprocessing": models.Preprocessing(size=32)}
        network = models.build("tiny", n_classes=2, seed=ord(name))
        models.save(network, folder / "models" / name, card=card)
    return folder


def call(folder, *arguments):
    return runner.invoke(
        app, ["film", *map(str, arguments)], env={"EXE_HOME": str(folder / "home")}
    )


def test_a_folder_of_films_with_an_ensemble(folder):
    out, own = folder / "out", folder / "models"
    result = call(
        folder,
        folder / "films",
        "--model",
        own / "a",
        "--model",
        own / "b",
        "--every",
        5,
        "--out",
        out,
    )
    assert result.exit_code == 1
    assert "1 of 3 films could not be read" in result.output
    films = pd.read_csv(out / "films.csv").set_index("film_id")
    assert films["status"].to_dict() == {"first": "ok", "second": "ok", "text": "unreadable"}
    assert films.loc["first", ["n_sampled", "n_faces"]].tolist() == [4, 2]
    for name in ("first", "second"):
        rows = pd.read_parquet(out / name / "predictions.parquet")
        assert rows["run_id"].unique().tolist() == ["ensemble", "a", "b"]
        assert (out / name / "report.html").is_file()


def test_one_film_by_seconds(folder):
    result = call(
        folder,
        folder / "films" / "first.mp4",
        "--model",
        folder / "models" / "a",
        "--every-seconds",
        0.4,
        "--out",
        folder / "seconds",
    )
    assert result.exit_code == 0, result.output
    rows = pd.read_csv(folder / "seconds" / "first" / "predictions.csv")
    assert rows["time_s"].tolist() == pytest.approx([0, 0.4, 0.8, 1.2, 1.6])


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["films", "--model", "models/a", "--model", "models/c"], "needs the same labels"),
        (["films", "--model", "absent"], "no ready model 'absent'"),
        (["films/none.mp4", "--model", "models/a"], "no film or folder at"),
        (["models", "--model", "models/a"], "no film in"),
        (["films", "--model", "models/a", "--every", "5", "--every-seconds", "2"], "one step"),
        (["films", "--model", "models/a", "--every-seconds", "0"], "over 0"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, monkeypatch, arguments, fault):
    monkeypatch.chdir(folder)
    result = call(folder, *arguments, "--out", "wrong")
    assert result.exit_code == 1
    assert result.output.startswith("exe: ")
    assert fault in result.output


def test_two_at_once_in_one_folder_are_refused(folder):
    out = folder / "locked"
    out.mkdir()
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = call(folder, folder / "films", "--model", folder / "models" / "a", "--out", out)
    assert result.exit_code == 1
    assert "another exe film is writing" in result.output


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_with_the_film_it_was_at(folder):
    out = folder / "killed"
    command = [sys.executable, "-m", "exe_core.cli", "film", str(folder / "films"), "--every", "1"]
    command += ["--model", str(folder / "models" / "a"), "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as run:
        while not list(out.glob(".screened/first/[!.]*/films.parquet")) and run.poll() is None:
            time.sleep(0.02)
        os.kill(run.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in out.glob(".screened/*/[!.]*/films.parquet")}
    assert kept
    subprocess.run(command, check=False, capture_output=True)
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())
    assert sorted(path.parent.name for path in out.glob("*/report.html")) == ["first", "second"]
