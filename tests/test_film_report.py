"""What models see in a film: every sampled frame in the tables, once, and the mean of several."""

import numpy as np
import pandas as pd
import pytest
import torch
from film_samples import write_film

from exe_core import film_report, models
from exe_core import tables as schema
from exe_core.faces import FaceFinder
from exe_core.screening import Step, find_films
from exe_core.settings import Crop
from exe_world.render import render_face

LABELS = ("happy", "sad", "neutral")


def classifier(seed):
    network = models.build("tiny", n_classes=3, seed=seed)
    with torch.no_grad():
        network.fc.weight.mul_(20)
    return models.Classifier(
        network.eval(), LABELS, models.Preprocessing(size=32), {"model": "tiny"}
    )


@pytest.fixture(scope="module")
def classifiers():
    return {"one": classifier(1), "other": classifier(2)}


@pytest.fixture(scope="module")
def finder():
    with FaceFinder() as found:
        yield found


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """A film of a face, then nobody, and a film of nobody."""
    folder = tmp_path_factory.mktemp("films")
    face = render_face(np.random.default_rng(5), "happy", size=160, style="selfie")
    wall = np.full_like(face, 90)
    write_film(folder / "some one.mp4", [face, wall])
    write_film(folder / "nobody.mp4", [wall])
    return find_films([folder]).set_index("film_id", drop=False)


@pytest.fixture(scope="module")
def reported(films, classifiers, finder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    place = {"finder": finder, "settings": Crop(size=64), "step": Step(every=5), "out": out}
    told = [
        film_report.report_film(film, classifiers=classifiers, **place)
        for film in films.to_dict("records")
    ]
    return out, place, {row["film_id"]: row for row in told}


def test_every_sampled_frame_is_a_row_of_each_run(reported):
    out, _, told = reported
    rows = pd.read_parquet(out / "some one" / "predictions.parquet")
    assert list(rows)[:6] == ["run_id", "film_id", "frame", "time_s", "n_faces", "predicted"]
    assert schema.labels_of(rows) == list(LABELS)
    assert rows["run_id"].unique().tolist() == ["ensemble", "one", "other"]
    mean = rows[rows["run_id"] == "ensemble"]
    assert mean["frame"].tolist() == [0, 5, 10, 15]
    assert mean["time_s"].tolist() == pytest.approx([0, 0.5, 1, 1.5])
    assert mean["predicted"].notna().tolist() == [True, True, False, False]
    assert told["some one"]["n_sampled"] == 4
    assert told["some one"]["n_faces"] == 2
    csv = pd.read_csv(out / "some one" / "predictions.csv")
    assert csv["frame"].tolist() == rows["frame"].tolist()


def test_the_ensemble_is_the_mean(reported):
    out, _, _ = reported
    rows = pd.read_parquet(out / "some one" / "predictions.parquet").dropna(subset="predicted")
    probs = rows.set_index(["run_id", "frame"])[schema.prob_columns(LABELS)]
    mean = (probs.loc["one"] + probs.loc["other"]) / 2
    assert np.allclose(probs.loc["ensemble"], mean)


def test_shares_are_bounded_for_the_frames_without_a_face(reported):
    out, _, _ = reported
    summary = pd.read_csv(out / "some one" / "summary.csv")
    assert summary.groupby("run_id")["share_of_faces"].sum().tolist() == pytest.approx([1, 1, 1])
    assert (summary["coverage"] == 0.5).all()
    assert (summary["share_high"] - summary["share_low"] == 0.5).all()


def test_a_film_of_nobody_has_its_tables_and_its_page(reported):
    out, _, told = reported
    rows = pd.read_parquet(out / "nobody" / "predictions.parquet")
    assert len(rows) == 3 * 2
    assert rows["predicted"].isna().all()
    assert "No face was found" in (out / "nobody" / "report.html").read_text()
    assert told["nobody"]["status"] == "ok"


def test_each_film_has_its_figures_and_its_page(reported):
    out, _, _ = reported
    names = {path.name for path in (out / "some one").iterdir()}
    assert {"timeline.svg", "timeline.png", "shares.svg", "shares.png", "report.html"} <= names


def test_the_course_of_the_film_is_a_table_and_its_smoothing_is_said(reported):
    out, _, _ = reported
    course = pd.read_csv(out / "some one" / "course.csv")
    assert set(course["measure"]) == {"probability", "share"}
    assert course["time_s"].nunique() == 4
    assert course["value"].notna().any()
    assert "Gaussian kernel" in (out / "some one" / "report.html").read_text()


def test_the_cut_between_two_pictures_is_seen(reported):
    out, _, _ = reported
    rows = pd.read_parquet(out / "some one" / "predictions.parquet")
    assert rows[rows["run_id"] == "one"]["shot"].tolist() == [0, 0, 1, 1]


def test_a_film_is_reported_on_once_until_the_models_change(reported, films, classifiers):
    out, place, _ = reported
    page = out / "some one" / "report.html"
    film, before = films.loc["some one"].to_dict(), page.stat().st_mtime_ns
    film_report.report_film(film, classifiers=classifiers, **place)
    assert page.stat().st_mtime_ns == before
    film_report.report_film(film, classifiers={"one": classifiers["one"]}, **place)
    assert page.stat().st_mtime_ns > before
    rows = pd.read_parquet(out / "some one" / "predictions.parquet")
    assert rows["run_id"].unique().tolist() == ["one"]
