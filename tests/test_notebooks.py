"""Every notebook was executed on the smoke study, and each leaves numbers that make sense."""

import json

import nbformat
import papermill
import pytest

from exe_core.record import ROOT
from exe_core.study import load_study

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))

FIRST_CELL, LAST_CELL = "as shipped, in colour, none", "detector, as learned, corrected"

pytestmark = pytest.mark.slow


def values(project, stage):
    path = project.root / "data" / "results" / "smoke" / "values" / f"{stage}.json"
    entries = json.loads(path.read_text())
    return {key.removeprefix(f"{stage}."): entry for key, entry in entries.items()}


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_was_executed_without_an_error_or_a_warning(smoke, name):
    folder = smoke.root / "data" / "results" / "smoke" / "notebooks"
    pages = list(folder.glob(f"{name}*.ipynb"))
    assert pages
    for page in pages:
        for cell in nbformat.read(page, as_version=4).cells:
            for output in cell.get("outputs", []):
                assert output.output_type != "error"
                assert "Warning" not in output.get("text", ""), output.get("text")


def test_no_failed_notebook_is_left(smoke):
    assert not list((smoke.root / "data").rglob("*.failed.ipynb"))


def test_world(smoke):
    found = values(smoke, "world")
    assert found["films"]["value"] == load_study("smoke").world.n_films
    assert 0.6 < found["share_with_face"]["value"] < 1


def test_pull(smoke):
    found = values(smoke, "pull")
    assert found["failed"]["value"] == 0
    assert found["queries"]["value"] == 20


def test_crop(smoke):
    found = values(smoke, "crop")
    assert found["unreadable"]["value"] == 0
    assert found["fer2013.yield"]["value"] == 1
    assert 0.8 < found["pexels-v2.yield"]["value"] < 1


def test_curate(smoke):
    found = values(smoke, "curate")
    assert found["used"]["value"] < found["returned"]["value"]
    assert found["labelled_by"]["value"] == "the truth of the world"
    noise = found["noise"]
    assert noise["low"] <= noise["value"] <= noise["high"]
    assert noise["low"] <= found["known"]["value"] <= noise["high"]


@pytest.mark.parametrize("run", load_study("smoke").runs)
def test_train(smoke, run):
    found = values(smoke, f"train-{run}")
    assert 1 <= found["best_epoch"]["value"] <= load_study("smoke").recipe(run).epochs


def test_benchmarks(smoke):
    found = values(smoke, "benchmarks")
    own = found["rafdb.rafdb.balanced_accuracy"]
    assert own["low"] <= own["value"] <= own["high"]


def test_films(smoke):
    found = values(smoke, "films")
    assert 0 <= found["exe.balanced_accuracy"]["value"] <= 1
    assert found["chance"]["value"] == pytest.approx(0.2)


def test_claims(smoke):
    found = values(smoke, "claims")
    verdicts = ("supported", "not_supported", "contradicted", "not_testable")
    assert sum(found[f"n.{name}"]["value"] for name in verdicts) == found["n.all"]["value"] > 5


def test_factorial(smoke):
    found = values(smoke, "factorial")
    first, last = (found[f"films.{cell}.accuracy"]["value"] for cell in (FIRST_CELL, LAST_CELL))
    together = found["films.all three.accuracy"]
    assert together["value"] == pytest.approx(last - first)
    assert together["low"] <= together["value"] <= together["high"]
    assert 0 <= found["films.own test faces.balanced_accuracy"]["value"] <= 1


def test_sentiment(smoke):
    found = values(smoke, "sentiment")
    assert found["n_faces"]["value"] == 5 * load_study("smoke").world.benchmark_test_faces
    kappa = found["exe.3 levels.quadratic_kappa"]
    assert kappa["low"] <= kappa["value"] <= kappa["high"]
    assert found["n_choices"]["value"] == 2**3 * 3, (
        "of angry, fear and sad two levels, surprise three"
    )


def test_your_model(smoke):
    found = values(smoke, "your-model")
    assert found["model"]["value"] == "fer7"
    score = found["balanced_accuracy"]
    assert score["low"] <= score["value"] <= score["high"]


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_parameters_are_explained(name):
    for entry in papermill.inspect_notebook(str(ROOT / "notebooks" / f"{name}.ipynb")).values():
        assert entry["help"]
