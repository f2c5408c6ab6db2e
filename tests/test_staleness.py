"""A stage is stale by the code that it calls and the settings that it reads, and nothing else."""

import re
import shutil
import subprocess
import sys

import pytest

from exe_core import staleness
from exe_core.record import ROOT
from exe_core.study import load_study

TRAIN = "exe_core.training.train"


def digests():
    """Digest code and stages, from files read anew: a build reads each once."""
    for cached in (staleness._module, staleness._path):
        cached.cache_clear()
    study = load_study("smoke")
    stages = {name: staleness.stage_digest(study, name) for name in ("05-benchmarks", "07-claims")}
    stages["03-train"] = staleness.stage_digest(study, "03-train", run="rafdb")
    return stages | {"training": staleness.code_digest(TRAIN)}


COLOUR = re.search(r'"#\w{6}"', (ROOT / "exe_core/figures/style.py").read_text())[0]


@pytest.mark.parametrize(
    ("file", "before", "after", "stale"),
    [
        ("figures/style.py", COLOUR, '"#123456"', {"05-benchmarks", "07-claims"}),
        ("training.py", "cross_entropy(", "binary_cross_entropy(", {"training", "03-train"}),
        ("training.py", '    """', '    """Also: ', set()),
        ("study.py", 'description="', 'description="Or ', set()),
        ("study.py", "def missing(self)", "def missing(self, other=0)", set()),
        ("training.py", "\ndef train(", "\ndef unused():\n    pass\n\n\ndef train(", set()),
        ("claims.py", "def judge(", "def judge(other, ", {"07-claims"}),
    ],
    ids=["colour", "loss", "docstring", "description", "no method", "no function", "claims"],
)
def test_what_a_change_makes_stale(tmp_path, monkeypatch, file, before, after, stale):
    """A changed colour redraws pages and trains nothing; what a stage does not call is nothing."""
    first = digests()
    for folder in ("exe_core", "exe_world", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    path = tmp_path / "exe_core" / file
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))
    with monkeypatch.context() as patch:
        patch.setattr(staleness, "ROOT", tmp_path)
        second = digests()
    assert {name for name in first if first[name] != second[name]} == stale
    assert digests() == first


def test_only_settings_that_the_code_reads_count():
    study = load_study("smoke")

    def digest(notebook, run=None, **parts):
        return staleness.stage_digest(load_study("smoke", **parts), notebook, run=run)

    base = staleness.stage_digest(study, "03-train", run="rafdb")
    assert digest("03-train", "rafdb", films={"every": 7}) == base
    assert digest("03-train", "rafdb", train={"epochs": 3}) != base
    assert digest("03-train", "fer2013", train={"epochs": 3}) != digest("03-train", "fer2013")
    claims = staleness.stage_digest(study, "07-claims")
    assert digest("07-claims", statistics={"level": 0.9}) != claims
    assert digest("07-claims", crop={"size": 50}) == claims


def test_digests_do_not_hang_on_the_process():
    code = f"from exe_core.staleness import code_digest; print(code_digest('{TRAIN}'))"
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        ).stdout
        for seed in ("1", "2")
    }
    assert digests == {staleness.code_digest(TRAIN) + "\n"}
