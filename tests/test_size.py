"""A study of 1,000 films and 20 models is planned, and asked about, on a small machine.

pytest tests/test_size.py --write-size makes data/frozen/size: plans, queries, rates and costs.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pandas as pd
import pytest
import size_trials
import torch
from conftest import copy_project
from size_trials import FRAMES_A_FILM, PLANNED, QUERIES

from exe_core import costs
from exe_core.commands import size_command
from exe_core.config import ROOT, Study, load_study
from exe_core.record import provenance, write_json

STUDY = "demo"
"""Its labels and statistics are those of the queries."""
LARGE = {"n_films": 1000, "n_models": 20}
MEASURED = ("Snakefile", "exe_core/films.py", "exe_core/schema/checks.py", "tests/size_trials.py")


@pytest.fixture(scope="module")
def tables(request: pytest.FixtureRequest):
    """Gather what is measured; write it if that was asked for and nothing is missing."""
    found: dict[str, list] = {"plans": [], "queries": [], "rates": []}
    yield found
    if request.config.getoption("--write-size"):
        assert all(found.values()), "run all of the slow tests of this file"
        _write(found, size_command.FROZEN / "size")


def _write(found: dict[str, list], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    machine = {
        "machine": f"{platform.machine()}, {costs.device_name(torch.device('cpu'))}",
        "python": platform.python_version(),
    }
    for name, rows in found.items():
        table = pd.DataFrame(rows).assign(machine=machine["machine"])
        table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    size_command.keep(folder)
    about = provenance(load_study(STUDY), inputs=[ROOT / name for name in MEASURED], seed=0)
    how = {"command": "pytest tests/test_size.py --write-size"}
    write_json({**about, **machine, **how}, folder / "provenance.json")


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    return load_study(STUDY)


@pytest.mark.slow
@pytest.mark.parametrize(("n_films", "n_models"), PLANNED)
def test_a_plan(n_films: int, n_models: int, tmp_path: Path, tables: dict[str, list]) -> None:
    root = copy_project(tmp_path / "project").root
    found = size_trials.plan(root, tmp_path / "data", n_films=n_films, n_models=n_models)
    tables["plans"].append(found._asdict())
    assert found.jobs > n_films + 2 * n_models
    assert found.peak_mib < 2048


@pytest.mark.slow
def test_questions_to_the_film_tables(study: Study, tables: dict[str, list]) -> None:
    rows = size_trials.write_answers(study, **LARGE)
    assert rows > 20_000_000
    found = [size_trials.ask(name, study, **LARGE) for name in QUERIES]
    tables["queries"] += [row._asdict() for row in found]
    assert [row.rows for row in found[:2]] == [1000 * 20 * 5, 20 * 5]
    assert found[3].rows == FRAMES_A_FILM


@pytest.mark.slow
def test_rates(tmp_path: Path, tables: dict[str, list], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, str(ROOT / "tests" / "benchmarks")])
    before = torch.get_num_threads()
    found = size_trials.rates(tmp_path)
    torch.set_num_threads(before)
    tables["rates"] += [{"step": step, "processor_ms": rate} for step, rate in found.items()]
    assert min(found.values()) > 0


def test_few_films_give_the_answers_that_many_would(study: Study) -> None:
    rows = size_trials.write_answers(study, n_films=2, n_models=2)
    summary = size_trials.shares_of_films(study)
    assert len(summary) == 2 * 2 * len(study.labels)
    assert summary.drop_duplicates(["film_id", "run_id"])["n_faces"].sum() == rows
    assert set(size_trials.shares_over_films(study)["run_id"]) == {"run00", "run01"}
    assert len(size_trials.differences_of_models(study)) == len(study.labels)
    course = size_trials.course_of_one_film(study)
    assert len(course) == FRAMES_A_FILM
    assert set(course["run_id"]) == {"run00"}
