"""The whole smoke study, from the search for photos to the book, and what a user does to it."""

import json
import os

import pandas as pd
import pytest

from exe_core.study import load_study
from exe_core.tables import TABLES, check

pytestmark = pytest.mark.slow


def table(project, name, *, run=None):
    study = load_study("smoke")
    path = study.table(name, run=run).relative_to(study.results.parents[1])
    read = pd.read_parquet(project.root / "data" / path)
    return check(read, name) if name in TABLES else read


def digests(project):
    ledgers = (project.root / "data" / "results" / "smoke" / "ledgers").glob("*.json")
    return {path.stem: json.loads(path.read_text()) for path in ledgers}


def pages(project):
    return (project.root / "data" / "results" / "smoke" / "notebooks").glob("*.ipynb")


def test_every_hit_every_photo_and_every_request_is_accounted_for(smoke):
    hits, photos, requests = (table(smoke, name) for name in ("hits", "photos", "requests"))
    assert set(hits["photo_id"]) == set(photos["photo_id"])
    assert (photos["status"] == "ok").all()
    assert photos["sha256"].notna().all()
    assert requests["n_returned"].sum() >= len(hits)
    asked = {query for query, _ in hits.groupby(["query", "source"])}
    assert len(asked) == 2 * 5 * (1 + 3), "sources, labels, queries of v1 and v2"


def test_images_without_a_face_are_kept_and_faces_have_one_side(smoke):
    images, faces, splits = (table(smoke, name) for name in ("images", "faces", "splits"))
    assert (images["status"] == "no face").any()
    assert set(faces["item_id"]) <= set(images.loc[images["n_faces"] > 0, "item_id"])
    assert set(splits["face_id"]) == set(faces["face_id"])
    sides = splits.groupby(["set_name", "group_id"])["split"].nunique()
    assert sides.max() == 1


def test_a_photo_found_twice_never_helps_to_test_the_run_that_learned_it(smoke):
    splits = table(smoke, "splits")
    for run in load_study("smoke").runs:
        predictions = table(smoke, "predictions", run=run)
        learned = splits[(splits["split"] == "train") & splits["set_name"].eq(run)]["group_id"]
        tested = predictions[predictions["split"] == "test"]["group_id"]
        assert not set(learned) & set(tested)


def test_the_ensemble_is_the_mean_of_its_members(smoke):
    study = load_study("smoke")
    columns = [f"prob_{label}" for label in study.labels]
    members = [
        table(smoke, "film_predictions", run=run).set_index("item_id")[columns]
        for run in study.ensembles["exe"]
    ]
    mean = table(smoke, "film_predictions", run="exe").set_index("item_id")[columns]
    pd.testing.assert_frame_equal(mean, sum(members) / len(members), check_exact=False, atol=1e-9)


def test_frames_without_a_face_stay_in_the_denominator(smoke):
    frames, summary = table(smoke, "frames"), table(smoke, "film_summary")
    assert (frames["n_faces"] == 0).any()
    per_film = summary.groupby("film_id")["n_frames"].first()
    assert per_film.equals(frames.groupby("film_id").size().rename("n_frames"))
    assert (summary["n_faces"] < summary["n_frames"]).any()


def test_the_truth_of_the_world_is_read_by_no_stage_before_the_evaluation(smoke):
    faces, truth = table(smoke, "faces"), table(smoke, "truth")
    shown = faces.merge(truth, on="item_id", suffixes=("", "_truth"))
    photos = shown[shown["set_name_truth"] == "photos"]
    assert (photos["label"] != photos["label_true"]).any(), "keywords are noisy"


def test_claims_have_an_estimate_with_its_interval_or_a_reason(smoke):
    claims = table(smoke, "claims")
    tested = claims["verdict"] != "not testable"
    assert tested.any()
    assert (
        claims.loc[tested, ["estimate", "low", "high", "p_value", "p_adjusted"]]
        .notna()
        .all(axis=None)
    )
    assert claims.loc[~tested, "reason"].notna().all()


def test_a_second_run_does_nothing_even_if_files_are_newer(smoke):
    before = {path: path.stat().st_mtime_ns for path in pages(smoke)}
    os.utime(smoke.root / "exe_core/training.py")
    os.utime(smoke.root / "notebooks/03-train.ipynb")
    assert smoke.build().returncode == 0
    assert {path: path.stat().st_mtime_ns for path in pages(smoke)} == before


def test_a_word_of_prose_rebuilds_the_book_and_runs_no_stage(smoke):
    before = {path: path.stat().st_mtime_ns for path in pages(smoke)}
    limits = smoke.root / "book" / "limits.md"
    limits.write_text(limits.read_text() + "\nA word about zebras.\n")
    assert smoke.build().returncode == 0
    assert {path: path.stat().st_mtime_ns for path in pages(smoke)} == before
    assert "zebras" in (smoke.root / "_build" / "html" / "book" / "limits.html").read_text()


def test_pulling_again_asks_for_nothing_twice(smoke):
    photos = table(smoke, "photos")
    done = smoke.run(
        "python",
        "-m",
        "exe_core.cli",
        "stage",
        "01-pull",
        "--study",
        "smoke",
        "--out",
        "again.ipynb",
    )
    assert done.returncode == 0, done.output
    again = table(smoke, "photos")
    assert (
        again.set_index("photo_id")["sha256"]
        .sort_index()
        .equals(photos.set_index("photo_id")["sha256"].sort_index())
    )
    assert again["retrieved_at"].max() == photos["retrieved_at"].max()


def test_papermill_alone_runs_a_stage(smoke):
    out = smoke.root / "out.ipynb"
    command = ["papermill", "notebooks/03-train.ipynb", str(out), "-p", "study", "smoke"]
    done = smoke.run(*command, "-p", "run", "pexels-v1")
    assert done.returncode == 0, done.output[-2000:]
    assert out.exists()
    explained = smoke.run("papermill", "--help-notebook", "notebooks/03-train.ipynb")
    assert "one of the study's runs" in explained.output


def test_a_failed_stage_says_why_and_the_next_run_resumes_there(smoke):
    """The model of one run is damaged; only what depends on it is run again."""
    weights = smoke.root / "data/results/smoke/models/rafdb/model.safetensors"
    kept = weights.read_bytes()
    for name in ("ledgers/predict-rafdb.json", "notebooks/04-predict-rafdb.ipynb"):
        (smoke.root / "data/results/smoke" / name).unlink()
    weights.write_bytes(kept[: len(kept) // 2])
    done = smoke.build()
    assert done.returncode != 0
    assert "04-predict.ipynb failed in its cell" in done.output
    assert "04-predict-rafdb.failed.ipynb" in done.output
    weights.write_bytes(kept)
    before = digests(smoke)
    assert smoke.build().returncode == 0
    after = digests(smoke)
    assert after["predict-rafdb"]
    assert {k: v for k, v in after.items() if k in before} == before
