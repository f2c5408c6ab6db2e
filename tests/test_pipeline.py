"""The whole smoke study, from the search for photos to the book, and what a user does to it."""

import os

import pandas as pd
import pytest

from exe_core.study import load_study
from exe_core.tables import check

pytestmark = pytest.mark.slow


def table(project, name, *, run=None):
    study = load_study("smoke")
    path = study.table(name, run=run).relative_to(study.results.parents[1])
    return check(pd.read_parquet(project.root / "data" / path), name)


def pages(project):
    paths = (project.root / "data" / "results" / "smoke" / "notebooks").glob("*.ipynb")
    return {path: path.stat().st_mtime_ns for path in paths}


def test_every_hit_every_photo_and_every_request_is_accounted_for(smoke):
    hits, photos, requests = (table(smoke, name) for name in ("hits", "photos", "requests"))
    assert set(hits["photo_id"]) == set(photos["photo_id"])
    assert (photos["status"] == "ok").all()
    assert photos["sha256"].notna().all()
    assert requests["n_returned"].sum() >= len(hits)
    asked = hits[["query", "source"]].drop_duplicates()
    assert len(asked) == 2 * 5 * (1 + 3), "sources, labels, queries of v1 and v2"
    command = ["python", "-m", "exe_core.cli", "stage", "01-pull", "--study", "smoke"]
    again = smoke.run(*command, "--out", "again.ipynb")
    assert again.returncode == 0, again.output
    found = table(smoke, "photos")
    assert found["retrieved_at"].max() == photos["retrieved_at"].max(), "nothing is asked twice"


def test_images_and_frames_without_a_face_are_kept_and_faces_have_one_side(smoke):
    images, faces, splits = (table(smoke, name) for name in ("images", "faces", "splits"))
    assert (images["status"] == "no face").any()
    assert (table(smoke, "frames")["n_faces"] == 0).any()
    assert set(faces["item_id"]) <= set(images.loc[images["n_faces"] > 0, "item_id"])
    assert set(splits["face_id"]) == set(faces["face_id"])
    sides = splits.groupby(["set_name", "group_id"])["split"].nunique()
    assert sides.max() == 1
    for run in load_study("smoke").runs:  # also of a photo that was found twice
        predictions = table(smoke, "predictions", run=run)
        learned = splits[(splits["split"] == "train") & splits["set_name"].eq(run)]["group_id"]
        tested = predictions[predictions["split"] == "test"]["group_id"]
        assert not set(learned) & set(tested)


def test_papermill_alone_runs_a_stage(smoke):
    out = smoke.root / "out.ipynb"
    command = ["papermill", "notebooks/03-train.ipynb", str(out), "-p", "study", "smoke"]
    done = smoke.run(*command, "-p", "run", "pexels-v1")
    assert done.returncode == 0, done.output[-2000:]
    assert out.exists()


def test_a_failed_stage_says_why_and_only_what_depends_on_it_is_run_again(smoke):
    """The model of a run is damaged and mended; newer files and a word of prose run no stage."""
    weights = smoke.root / "data/results/smoke/models/rafdb/model.safetensors"
    kept, before = weights.read_bytes(), pages(smoke)
    for name in ("ledgers/predict-rafdb.json", "notebooks/04-predict-rafdb.ipynb"):
        (smoke.root / "data/results/smoke" / name).unlink()
    weights.write_bytes(kept[: len(kept) // 2])
    done = smoke.build()
    assert done.returncode != 0
    assert "04-predict.ipynb: failed in its cell" in done.output
    assert "04-predict-rafdb.failed.ipynb" in done.output
    weights.write_bytes(kept)
    for name in ("exe_core/training.py", "notebooks/03-train.ipynb"):
        os.utime(smoke.root / name)
    limits = smoke.root / "book" / "limits.md"
    limits.write_text(limits.read_text() + "\nA word about zebras.\n")
    assert smoke.build().returncode == 0
    after = pages(smoke)
    assert after.keys() == before.keys()
    changed = {path.stem for path in before if after[path] != before[path]}
    dependent = {"04-predict-rafdb", "05-benchmarks", "07-claims", "08-sentiment"}
    assert "04-predict-rafdb" in changed <= dependent
    assert "zebras" in (smoke.root / "_build" / "html" / "book" / "limits.html").read_text()
