"""Stages run as pages of their own, a trial leaves the study as it is, results are frozen."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml
from conftest import small_disk
from snakemake.cli import parse_args
from typer.testing import CliRunner

from exe_core import cli, stages
from exe_core.record import ROOT, BusyError, locked, write_values
from exe_core.study import ConfigError, load_study

EXECUTE = """
import sys; from pathlib import Path; from exe_core import cli, stages
stages.NOTEBOOKS = Path(sys.argv.pop(1)); cli.app()
"""
RUNNER = CliRunner()


def notebook(*sources: str, parameters: str = "study = 'demo'") -> None:
    """Write the notebook 09-x."""
    cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *sources)]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    written = nbformat.v4.new_notebook(cells=cells, metadata=kernel)
    nbformat.write(written, stages.NOTEBOOKS / "09-x.ipynb")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The home of what is computed, with notebooks of its own."""
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(stages, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(stages, "EXECUTED", tmp_path / "executed")
    return tmp_path


def run(*words: str):
    return RUNNER.invoke(cli.app, list(words))


class TestStage:
    def test_of_other_parameters_leaves_its_page_in_the_trial(self, folder):
        source = "from exe_core.study import load_study\nload_study(study, films={'every': every})"
        notebook(source, parameters="study = 'demo'\nevery = None")
        assert run("stage", "09-x", "--study", "smoke", "-p", "every=7").exit_code == 0
        results = load_study("smoke").results
        assert (results / "trials" / "every-7" / "notebooks" / "09-x.ipynb").exists()
        assert not (results / "notebooks").exists()

    def test_runs_and_leaves_its_page_and_its_ledger(self, folder):
        written, page = folder / "table.txt", folder / "a" / "09-x.ipynb"
        source = f"import pathlib; pathlib.Path({str(written)!r}).write_text(word)"
        notebook(source, parameters="study = 'demo'\nword = ''")
        words = ["stage", "09-x", "--study", "smoke", "-p", "word=hello", "--out", str(page)]
        done = run(*words, "--writes", str(written))
        assert done.exit_code == 0, done.output
        assert written.read_text() == "hello"
        assert [path.name for path in page.parent.iterdir()] == [page.name]
        assert list(json.loads((folder / "ledgers" / "x.json").read_text())) == ["table.txt"]

    @pytest.mark.parametrize(
        ("source", "what", "cause"),
        [
            ("1 / 0", "failed in its cell", "ZeroDivisionError: division by zero"),
            ("import os; os._exit(9)", "its kernel died (study=smoke)", "for lack of memory"),
        ],
    )
    def test_a_failure_is_named_and_its_page_kept(self, folder, source, what, cause):
        notebook(source)
        done = run("stage", "09-x", "--study", "smoke", "--out", str(folder / "page.ipynb"))
        assert done.exit_code == 1
        assert f"09-x.ipynb: {what}" in done.output
        assert cause in done.output
        assert [path.name for path in folder.glob("page*")] == ["page.failed.ipynb"]

    def test_faults_are_one_message(self, folder):
        notebook(parameters="study = 'demo'\nrun = 'a'")
        for words, fault in {
            "99-x": "no notebook '99-x'; there are 09-x",
            "09-x -p runn=a": "has no parameter runn",
            "09-x -p run": "write name=value",
            "09-x --writes never": "left no never",
        }.items():
            done = run("stage", *words.split(), "--study", "smoke")
            assert done.exit_code == 1
            assert fault in done.output
            assert "Traceback" not in done.output

    def test_a_killed_stage_leaves_a_page_that_nobody_holds(self, folder):
        notebook("import time; time.sleep(600)")
        working = folder / "page.running.ipynb"
        words = ["stage", "09-x", "--study", "smoke", "--out", str(folder / "page.ipynb")]
        process = subprocess.Popen(
            [sys.executable, "-c", EXECUTE, str(stages.NOTEBOOKS), *words], start_new_session=True
        )
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and not (working.exists() and is_held(working)):
                time.sleep(0.1)
            assert "another execution of 09-x.ipynb" in run(*words).output
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert not is_held(working)


def is_held(path: Path) -> bool:
    try:
        with locked(path):
            return False
    except BusyError:
        return True


class TestTrial:
    TABLE = pd.DataFrame({"film_id": ["a"], "time_s": [1.0], "event": ["e"], "label": ["sad"]})

    def test_reads_the_study_and_writes_into_its_own_place(self, folder, caplog):
        study = load_study("smoke")
        assert load_study("smoke", films={"every": study.films.every}) == study, "nothing departs"
        study.write(self.TABLE, "events")
        kept = study.table("events").read_bytes()
        trial = load_study("smoke", films={"every": 7})
        assert (study.trial, trial.trial) == (None, "every-7")
        assert trial.read("events")["time_s"].tolist() == [1.0]
        assert not caplog.text, "a study may look at another choice of its own"
        trial.write(self.TABLE.assign(time_s=2.5), "events")
        assert "Trial `every-7` of study `smoke`" in caplog.text
        assert "events, compared with the study: time_s by up to 1.5" in caplog.text
        trial.write(self.TABLE.iloc[:0], "events")
        assert "events, compared with the study: 0 rows in place of 1" in caplog.text
        trial.write(self.TABLE.assign(time_s=2.0), "events")
        write_values(trial, "films", values={"n": 3})
        assert load_study("smoke", films={"every": 7}).read("events")["time_s"].tolist() == [2.0]
        assert load_study("smoke").read("events")["time_s"].tolist() == [1.0]
        assert study.table("events").read_bytes() == kept
        assert not (study.results / "values").exists()

    def test_goes_on_with_the_settings_it_began_with_and_its_name_is_no_path(self, folder):
        load_study("smoke", trial="mine", films={"every": 7}).write(self.TABLE, "events")
        later = load_study("smoke", trial="mine", statistics={"level": 0.9})
        assert (later.films.every, later.statistics.level, later.trial) == (7, 0.9, "mine")
        assert later.read("events").shape == (1, 4)
        for name in ("../x", "", ".hidden", "a/b"):
            with pytest.raises(ConfigError, match="letters, digits"):
                load_study("smoke", trial=name)


class TestBuild:
    def test_the_profile_names_stages_and_options_that_exist(self, monkeypatch):
        monkeypatch.setenv("EXE_GPUS", "2")
        rules = set(re.findall(r"^\s*rule (\w+):", (ROOT / "Snakefile").read_text(), re.MULTILINE))
        slurm = stages.PROFILES / "slurm"
        profile = yaml.safe_load((slurm / "config.yaml").read_text())
        assert {*profile["set-threads"], *profile["set-resources"], *profile["groups"]} <= rules
        _, options = parse_args(["--profile", str(slurm), "--", "all"])
        assert (options.executor, options.retries > 0) == ("slurm", True)
        assert str(options.set_resources["train"]["gpu"].raw) == "2"

    def test_ends_when_the_reader_of_its_output_goes_away(self, folder, tmp_path):
        """As after `make book 2>&1 | head`: nothing waits for ever, nothing keeps the lock."""
        code = (
            "import sys; from exe_core import stages; from exe_core.study import load_study;"
            "stages.sys.executable = sys.argv[1]; stages.build(load_study('smoke'))"
        )
        waits = tmp_path / "waits"
        waits.write_text("#!/bin/sh\necho a line\nsleep 600\necho another\n")
        waits.chmod(0o755)
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(waits)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=os.environ | {"EXE_HOME": str(folder), "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout.readline() == b"a line\n"
        assert "another build in" in run("build", "smoke").output
        process.stdout.close()
        process.wait(timeout=60)
        with locked(ROOT / ".snakemake" / "build.lock"):
            pass  # it is free


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("stage 09-x --study smoke", "No space left on device"),
        ("stage 09-x --study smoke", "Read-only file system"),
        ("build smoke", "Read-only file system"),
    ],
)
def test_a_disk_at_fault_is_one_message(folder, monkeypatch, command, fault):
    """No notebook gets to run."""
    notebook()
    home = folder / "home"
    home.mkdir()
    monkeypatch.setenv("EXE_HOME", str(home))
    with small_disk(home, size="256k") as mount:
        if fault.startswith("Read"):
            mount("remount", "ro")
        else:
            (home / "ballast").write_bytes(bytes(shutil.disk_usage(home).free))
        done = run(*command.split())
    assert done.exit_code == 1
    assert f"{fault}): mend that and run the same again" in done.output
    assert "Traceback" not in done.output


def test_a_build_names_what_its_study_lacks(monkeypatch, tmp_path):
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    done = run("build", "real")
    assert done.exit_code == 1
    assert "fer2013.tar.xz" in done.output
    assert "data/README.md" in done.output
    unknown = run("build", "dmeo")
    assert (unknown.exit_code, unknown.output.count("\n")) == (1, 1)
    assert unknown.output.startswith("exe: no study 'dmeo'; there are ")


def test_the_pages_are_those_of_one_study_one_for_all_runs(folder):
    (folder / "executed").mkdir()
    (folder / "executed" / "03-train-old.ipynb").write_text("old")
    paths, code = [], nbformat.v4.new_code_cell
    for name in ("rafdb", "fer2013"):
        about = nbformat.v4.new_markdown_cell("# Train: one run\n\nWhat?")
        outputs = [nbformat.v4.new_output("stream", text=f"score of {name}")]
        cells = [about, code("import exe_core"), code("score", outputs=outputs)]
        train = nbformat.v4.new_notebook(cells=cells)
        train.metadata["papermill"] = {"parameters": {"run": name}}
        paths.append(folder / f"03-train-{name}.ipynb")
        nbformat.write(train, paths[-1])
    done = run("assemble", "smoke", *map(str, paths))
    assert done.exit_code == 0, done.output
    (page,) = (folder / "executed").iterdir()
    assert page.name == "03-train.ipynb"
    cells = nbformat.read(page, as_version=4).cells
    assert [cell.source for cell in cells] == [
        "# Train: each run\n\nWhat?",
        *("## rafdb", "import exe_core", "score"),
        *("## fer2013", "score"),
    ]
    assert cells[-1].outputs[0].text == "score of fer2013"
    assert cells[-1].metadata.tags == ["remove-input"]


ESTIMATES = {"metrics.parquet", "benchmarks.json", "provenance.json"}
CHART = {"fig-sentiment-x.vl.json", "fig-sentiment-x.provenance.json"}
SHEET = {"fig-crop-faces.jpg", "fig-crop-faces.provenance.json"}


@pytest.mark.parametrize(
    ("study", "cited", "kept"),
    [
        ("real", "real/fig-sentiment-x smoke/fig-crop-faces", ESTIMATES | CHART),
        ("real", "fig-sentiment-x smoke/fig-sentiment-x", ESTIMATES),
        ("real", "real/fig-crop-faces", ESTIMATES),
        ("smoke", "smoke/fig-crop-faces", ESTIMATES | SHEET),
        ("film", "film/fig-sentiment-x", {"faces.parquet", "tools.parquet", "provenance.json"}),
        ("confirm", "", {"confirmation.csv", "tools.parquet", "provenance.json"}),
    ],
)
def test_freeze_keeps_what_the_book_cites_and_no_build_computes(
    folder, monkeypatch, study, cited, kept
):
    """No picture of a real face is kept, and of others' files none is lost."""
    monkeypatch.setattr(stages, "ROOT", folder)
    assert run("freeze", study).exit_code == 1, "there are no results"
    alone = {"film": "film/faces.parquet", "confirm": "confirmation.csv"}.get(study)
    names = ["metrics.parquet", "values/benchmarks.json", "values/study.json"]
    names += [f"figures/{name}" for name in (*CHART, *SHEET)] + ([alone] if alone else [])
    target = folder / "data" / "frozen" / study
    written = [load_study(study).results / name for name in names]
    written += [target / "tools.parquet"] if alone else []
    for path in written:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (folder / "book").mkdir()
    (folder / "book" / "page.md").write_text(cited)
    assert run("freeze", study).exit_code == 0
    assert {path.name for path in target.rglob("*") if path.is_file()} == kept


def test_what_each_build_computes_is_not_frozen(folder):
    write_values(load_study("published"), "claims", values={"n.all": 8})
    assert "each build computes them" in run("freeze", "published").output
    assert not (ROOT / "data" / "frozen" / "published").exists()
