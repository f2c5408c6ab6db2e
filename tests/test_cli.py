"""`exe` says in one line what is wrong, and runs a notebook of a study."""

import json

import nbformat
import pytest
from typer.testing import CliRunner

from exe_core import cli
from exe_core.record import write_json
from exe_core.study import load_study

runner = CliRunner()


def notebook(path, *sources):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[0].metadata["tags"] = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    (tmp_path / "notebooks").mkdir()
    monkeypatch.setattr(cli, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setattr(cli, "EXECUTED", tmp_path / "executed")
    return tmp_path


def test_check_names_what_a_study_lacks(monkeypatch, tmp_path):
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    result = runner.invoke(cli.app, ["check", "real"])
    assert result.exit_code == 1
    assert "fer2013.tar.xz" in result.output
    assert "data/README.md" in result.output
    assert runner.invoke(cli.app, ["check", "demo"]).exit_code == 0


def test_an_unknown_study_is_one_line():
    result = runner.invoke(cli.app, ["check", "dmeo"])
    assert result.exit_code == 1
    assert result.output.startswith("exe: no study 'dmeo'; there are ")
    assert " demo, " in result.output
    assert "Traceback" not in result.output


def test_a_stage_runs_leaves_its_page_and_its_ledger(folder):
    written = folder / "table.txt"
    notebook(
        folder / "notebooks" / "09-x.ipynb",
        "study = 'demo'\nword = ''",
        f"import pathlib; pathlib.Path({str(written)!r}).write_text(word)",
    )
    arguments = ["stage", "09-x", "--study", "smoke", "-p", "word=hello"]
    arguments += ["--out", str(folder / "page.ipynb"), "--writes", str(written)]
    result = runner.invoke(cli.app, [*arguments, "--ledger", str(folder / "ledger.json")])
    assert result.exit_code == 0, result.output
    assert written.read_text() == "hello"
    assert (folder / "page.ipynb").exists()
    first = json.loads((folder / "ledger.json").read_text())
    assert list(first) == ["table.txt"]


def test_a_failed_stage_names_notebook_cell_and_cause_and_is_kept(folder):
    notebook(folder / "notebooks" / "09-x.ipynb", "study = 'demo'", "1 / 0")
    page = folder / "page.ipynb"
    result = runner.invoke(cli.app, ["stage", "09-x", "--study", "smoke", "--out", str(page)])
    assert result.exit_code == 1
    assert "09-x.ipynb failed in its cell" in result.output
    assert "ZeroDivisionError: division by zero" in result.output
    assert not page.exists()
    assert page.with_suffix(".failed.ipynb").exists()
    assert not page.with_suffix(".running.ipynb").exists()


def test_a_stage_that_runs_is_named_so_and_leaves_no_older_failure(folder):
    page, seen = folder / "page.ipynb", folder / "seen.txt"
    page.with_suffix(".failed.ipynb").write_text("older")
    listed = f"from pathlib import Path; found = sorted(Path({str(folder)!r}).glob('page*'))"
    kept = f"Path({str(seen)!r}).write_text(' '.join(path.name for path in found))"
    notebook(folder / "notebooks" / "09-x.ipynb", "study = 'demo'", listed, kept)
    result = runner.invoke(cli.app, ["stage", "09-x", "--study", "smoke", "--out", str(page)])
    assert result.exit_code == 0, result.output
    assert seen.read_text() == "page.running.ipynb"
    assert [path.name for path in folder.glob("page*")] == ["page.ipynb"]


def test_a_stage_that_leaves_less_than_promised_has_failed(folder):
    notebook(folder / "notebooks" / "09-x.ipynb", "study = 'demo'")
    arguments = ["stage", "09-x", "--study", "smoke", "--out", str(folder / "p.ipynb")]
    result = runner.invoke(cli.app, [*arguments, "--writes", str(folder / "never")])
    assert result.exit_code == 1
    assert "left no" in result.output


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["stage", "99-x", "--study", "smoke"], "no notebook '99-x'; there are 09-x"),
        (["stage", "09-x", "--study", "smoke", "-p", "runn=a"], "has no parameter runn"),
        (["stage", "09-x", "--study", "smoke", "-p", "run"], "write name=value"),
    ],
)
def test_mistyped_arguments(folder, arguments, fault):
    notebook(folder / "notebooks" / "09-x.ipynb", "study = 'demo'\nrun = 'a'")
    result = runner.invoke(cli.app, arguments)
    assert result.exit_code == 1
    assert fault in result.output


def test_the_pages_are_those_of_one_study(folder):
    (folder / "executed").mkdir()
    (folder / "executed" / "03-train-old.ipynb").write_text("old")
    train = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Train\n\nWhat?")])
    train.metadata["papermill"] = {"parameters": {"run": "rafdb"}}
    nbformat.write(train, folder / "03-train-rafdb.ipynb")
    result = runner.invoke(cli.app, ["assemble", "smoke", str(folder / "03-train-rafdb.ipynb")])
    assert result.exit_code == 0, result.output
    (page,) = (folder / "executed").iterdir()
    assert nbformat.read(page, as_version=4).cells[0].source == "# Train: rafdb\n\nWhat?"


def test_a_backbone_that_can_not_be_converted_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (tmp_path / "MFN.pth").write_bytes(b"<html>")
    done = runner.invoke(cli.app, ["convert-backbone", str(tmp_path / "MFN.pth")])
    assert done.exit_code == 1
    assert "MFN.pth was not written by torch.save" in done.output


class TestFreeze:
    @pytest.fixture
    def frozen(self, folder, monkeypatch):
        """Freeze a study that has a value, a chart and a picture of faces; give the folder."""
        monkeypatch.setattr(cli, "ROOT", folder)

        def freeze(name, *cited, exit_code=0):
            cites = "\n".join(f":::{{paper-figure}} {figure}" for figure in cited)
            (folder / "book").mkdir(exist_ok=True)
            (folder / "book" / "page.md").write_text(cites)
            results = load_study(name).results
            for stage in ("benchmarks", "sentiment", "study"):
                write_json({f"{stage}.n": {"value": 1}}, results / "values" / f"{stage}.json")
            for figure, suffix in (("fig-sentiment-x", "vl.json"), ("fig-crop-faces", "jpg")):
                write_json({}, results / "figures" / f"{figure}.provenance.json")
                (results / "figures" / f"{figure}.{suffix}").write_text("x")
            result = runner.invoke(cli.app, ["freeze", name])
            assert result.exit_code == exit_code, result.output
            target = folder / "data" / "frozen" / name
            return {path.name for path in target.rglob("*") if path.is_file()}

        return freeze

    def test_keeps_values_and_where_they_are_from(self, frozen):
        kept = frozen("real", "real/fig-sentiment-x")
        assert {"benchmarks.json", "sentiment.json", "provenance.json"} <= kept
        assert "study.json" not in kept

    def test_keeps_the_figures_that_a_page_cites_of_this_study(self, frozen):
        chart = {"fig-sentiment-x.vl.json", "fig-sentiment-x.provenance.json"}
        assert chart <= frozen("real", "real/fig-sentiment-x", "smoke/fig-crop-faces")
        assert not chart & frozen("real", "fig-sentiment-x", "smoke/fig-sentiment-x")

    def test_keeps_pictures_of_drawn_faces_only(self, frozen):
        assert "fig-crop-faces.jpg" in frozen("smoke", "smoke/fig-crop-faces")
        assert "fig-crop-faces.jpg" not in frozen("real", "real/fig-crop-faces", exit_code=1)

    def test_of_a_study_without_results_says_what_to_do(self, folder):
        result = runner.invoke(cli.app, ["freeze", "smoke"])
        assert result.exit_code == 1
        assert "make book STUDY=smoke first" in result.output
