"""A run trained by several processes is one that the stage finds done."""

import json
import shutil

import pytest
from sample_worlds import tiny_study
from typer.testing import CliRunner

from exe_core import cli
from exe_core.commands import train_command
from exe_core.config import parse_study


def train(*arguments):
    return CliRunner().invoke(cli.app, ["train", *arguments])


def test_one_process_says_how_several_are_started():
    done = train("smoke", "rafdb")
    assert done.exit_code == 1
    assert "torchrun --standalone --nproc-per-node 2" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("nowhere", "rafdb"), "no study 'nowhere'"), (("smoke", "nobody"), "has no run 'nobody'")],
)
def test_what_is_not_there_is_named(arguments, message):
    done = train(*arguments)
    assert done.exit_code == 1
    assert message in done.output


def test_a_run_that_drops_doubtful_faces_is_left_to_its_stage(monkeypatch):
    settings = tiny_study().model_dump()
    settings["runs"]["pexels-v1"]["doubtful"] = "dropped"
    doubtful = parse_study(settings)
    monkeypatch.setattr(train_command, "load_study", lambda _: doubtful)
    done = train("tiny", "pexels-v1")
    assert done.exit_code == 0
    assert "it is left to that" in done.output


@pytest.mark.slow
def test_the_stage_keeps_what_two_processes_trained(smoke, tmp_path):
    """The card has the digest of recipe, data and code that the stage would give it."""
    home = tmp_path / "home"
    shutil.copytree(smoke.root / "data", home)
    folder = home / "results" / "smoke" / "models" / "rafdb"
    alone = json.loads((folder / "card.json").read_text())
    shutil.rmtree(folder)
    torchrun = ["torchrun", "--standalone", "--nproc-per-node", "2", "-m", "exe_core.cli"]
    here = {"EXE_HOME": str(home), "OMP_NUM_THREADS": "1"}
    done = smoke.run(*torchrun, "train", "smoke", "rafdb", **here)
    assert done.returncode == 0, done.output[-3000:]
    both = json.loads((folder / "card.json").read_text())
    assert (alone["processes"], both["processes"]) == (1, 2)
    assert both["digest"] == alone["digest"]
    weights = (folder / "model.safetensors").read_bytes()
    stage = ["python", "-m", "exe_core.cli", "stage", "03-train", "--study", "smoke"]
    done = smoke.run(*stage, "-p", "run=rafdb", **here)
    assert done.returncode == 0, done.output[-3000:]
    assert json.loads((folder / "card.json").read_text()) == both
    assert (folder / "model.safetensors").read_bytes() == weights
