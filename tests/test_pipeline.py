"""The whole smoke study, from the search for photos to the book, and what a user does to it."""

import json
import os

import nbformat
import pandas as pd
import pytest

from exe_core.record import ROOT
from exe_core.study import load_study
from exe_core.tables import check

SMOKE = load_study("smoke")
NEED_DATA = {"11-film-predictions", "16-confirm", "17-your-predictions"}
NOTEBOOKS = sorted({path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} - NEED_DATA)
RANGES = {
    "world.films": (SMOKE.world.n_films, SMOKE.world.n_films),
    "world.share_with_face": (0.6, 1),
    "pull.failed": (0, 0),
    "pull.queries": (20, 20),
    "crop.unreadable": (0, 0),
    "crop.fer2013.yield": (1, 1),
    "crop.pexels-v2.yield": (0.8, 1),
    "films.chance": (0.2, 0.2),
    "sentiment.n_choices": (24, 24),  # two levels of three emotions, three of surprise
    "film-faces.n.actors": (50, 74),
    "claims.n.films": (59, 59),
    "film-shares.n.films": (10, 140),
    **{f"train-{run}.best_epoch": (1, SMOKE.recipe(run).epochs) for run in SMOKE.runs},
}
ESTIMATES = (
    *("curate.noise", "benchmarks.rafdb.rafdb.balanced_accuracy"),
    *("sentiment.exe.3 levels.quadratic_kappa", "your-model.balanced_accuracy"),
    *("film-faces.contrast.r1.1", "film-labels.keyword.balanced_accuracy"),
    *("film-shares.keyword photos.counts.error", "film-limits.keyword.balanced_accuracy"),
    *("film-shares.sample.labels themselves.30", "film-limits.missed.all.all"),
)

pytestmark = pytest.mark.slow


def table(project, name, *, run=None):
    path = SMOKE.table(name, run=run).relative_to(SMOKE.results.parents[1])
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
    for run in SMOKE.runs:  # also of a photo that was found twice
        predictions = table(smoke, "predictions", run=run)
        learned = splits[(splits["split"] == "train") & splits["set_name"].eq(run)]["group_id"]
        tested = predictions[predictions["split"] == "test"]["group_id"]
        assert not set(learned) & set(tested)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_was_executed_without_an_error_or_a_warning(smoke, name):
    pages = list((smoke.root / "data" / "results").glob(f"*/notebooks/{name}*.ipynb"))
    assert pages
    for page in pages:
        assert ".failed" not in page.suffixes
        cells = nbformat.read(page, as_version=4).cells
        for output in [output for cell in cells for output in cell.get("outputs", [])]:
            assert output.output_type != "error"
            assert "Warning" not in output.get("text", ""), output.get("text")


def test_the_numbers_that_the_prose_cites_make_sense(smoke):
    values = {}
    for path in (smoke.root / "data" / "results").glob("*/values/*.json"):
        values |= json.loads(path.read_text())
    found = {key: entry.get("value") for key, entry in values.items()}
    for key, (low, high) in RANGES.items():
        assert low <= found[key] <= high, key
    for key in ESTIMATES:
        assert values[key]["low"] <= found[key] <= values[key]["high"], key
    noise = values["curate.noise"]
    assert noise["low"] <= found["curate.known"] <= noise["high"]
    assert found["curate.used"] < found["curate.returned"]
    verdicts = ("supported", "not_supported", "contradicted", "not_testable")
    assert sum(found[f"claims.n.{name}"] for name in verdicts) == found["claims.n.all"] > 5
    assert found["your-model.model"] == "fer7"


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
    assert "Select jobs" not in done.output
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
