"""Every notebook but those that need others' data was executed by a build of the smoke study, and
each leaves numbers that make sense.
"""

import json

import nbformat
import pytest

from exe_core.record import ROOT
from exe_core.stages import FILM_ANALYSES
from exe_core.study import load_study

NEED_DATA = {"11-film-predictions", "16-confirm", "17-your-predictions"}
NOTEBOOKS = sorted({path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} - NEED_DATA)
SMOKE = load_study("smoke")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def values(smoke):
    """What the stages wrote for the prose to cite: "crop.fer2013.yield" -> an entry."""
    found = {}
    for path in (smoke.root / "data" / "results").glob("*/values/*.json"):
        found |= json.loads(path.read_text())
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_was_executed_without_an_error_or_a_warning(smoke, name):
    study = "film" if name in FILM_ANALYSES else "smoke"
    pages = list((smoke.root / f"data/results/{study}/notebooks").glob(f"{name}*.ipynb"))
    assert pages
    for page in pages:
        assert ".failed" not in page.suffixes
        cells = nbformat.read(page, as_version=4).cells
        for output in [output for cell in cells for output in cell.get("outputs", [])]:
            assert output.output_type != "error"
            assert "Warning" not in output.get("text", ""), output.get("text")


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [
        ("world.films", SMOKE.world.n_films, SMOKE.world.n_films),
        ("world.share_with_face", 0.6, 1),
        ("pull.failed", 0, 0),
        ("pull.queries", 20, 20),
        ("crop.unreadable", 0, 0),
        ("crop.fer2013.yield", 1, 1),
        ("crop.pexels-v2.yield", 0.8, 1),
        *((f"train-{run}.best_epoch", 1, SMOKE.recipe(run).epochs) for run in SMOKE.runs),
        ("films.chance", 0.2, 0.2),
        ("sentiment.n_faces", *2 * (5 * SMOKE.world.benchmark_test_faces,)),
        ("sentiment.n_choices", 24, 24),  # two levels of three emotions, three of surprise
        ("film-faces.chance", 0.2, 0.2),
        ("film-faces.n.actors", 50, 74),
        ("film-shares.n.films", 10, 140),
    ],
)
def test_a_number_is_in_its_range(values, key, low, high):
    assert low <= values[key]["value"] <= high


@pytest.mark.parametrize(
    "key",
    [
        "curate.noise",
        "benchmarks.rafdb.rafdb.balanced_accuracy",
        "sentiment.exe.3 levels.quadratic_kappa",
        "your-model.balanced_accuracy",
        "film-faces.contrast.r1.1",
        "film-labels.keyword.balanced_accuracy",
        "film-shares.keyword photos.counts.error",
        "film-limits.keyword.balanced_accuracy",
    ],
)
def test_an_estimate_lies_in_its_interval(values, key):
    assert values[key]["low"] <= values[key]["value"] <= values[key]["high"]


def test_numbers_fit_each_other(values):
    found = {key: entry.get("value") for key, entry in values.items()}
    assert found["curate.used"] < found["curate.returned"]
    assert found["curate.labelled_by"] == "the truth of the world"
    noise = values["curate.noise"]
    assert noise["low"] <= found["curate.known"] <= noise["high"]
    verdicts = ("supported", "not_supported", "contradicted", "not_testable")
    assert sum(found[f"claims.n.{name}"] for name in verdicts) == found["claims.n.all"] > 5
    assert found["your-model.model"] == "fer7"
