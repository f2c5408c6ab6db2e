"""A stage is stale by the code that it calls and the settings that it reads, and nothing else."""

import shutil
import subprocess
import sys

import pytest

from exe_core import staleness
from exe_core.record import ROOT
from exe_core.study import load_study

TRAIN = "exe_core.training.train"


@pytest.fixture
def digests_after(tmp_path, monkeypatch):
    """Digest code and stages in a copy of the checkout after a change of one file."""
    for folder in ("exe_core", "exe_world", "notebooks", "configs"):
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=ignore)
    monkeypatch.setattr(staleness, "ROOT", tmp_path)

    def change(file: str = "", before: str = "", after: str = "", count: int = 0):
        if file:
            path = tmp_path / file
            text = path.read_text()
            assert before in text
            path.write_text(text.replace(before, after, count or -1))
        forget()
        study = load_study("smoke")
        return {
            "training": staleness.code_digest(TRAIN),
            "03-train": staleness.stage_digest(study, "03-train", run="rafdb"),
            "05-benchmarks": staleness.stage_digest(study, "05-benchmarks"),
            "07-claims": staleness.stage_digest(study, "07-claims"),
        }

    yield change
    forget()


def forget():
    """Have files read anew: a build reads each once."""
    for name in ("_module", "_path", "_definition", "_notebook_code"):
        getattr(staleness, name).cache_clear()


def changed(before, after):
    return {name for name in before if before[name] != after[name]}


def test_a_changed_colour_trains_nothing(digests_after):
    before = digests_after()
    text = (ROOT / "exe_core/figures/style.py").read_text()
    colour = next(word for word in text.split('"') if word.startswith("#") and len(word) == 7)
    after = digests_after("exe_core/figures/style.py", colour, "#123456")
    assert "training" not in changed(before, after)
    assert changed(before, after), "no page that draws is stale"


def test_a_changed_loss_trains_anew(digests_after):
    before = digests_after()
    after = digests_after("exe_core/training.py", "cross_entropy(", "binary_cross_entropy(")
    assert {"training", "03-train"} <= changed(before, after)
    assert "07-claims" not in changed(before, after)


def test_words_make_nothing_stale(digests_after):
    before = digests_after()
    assert not changed(
        before, digests_after("exe_core/training.py", '    """', '    """Also: ', count=1)
    )
    assert not changed(
        before, digests_after("exe_core/study.py", 'description="', 'description="Or ')
    )


def test_a_method_counts_only_if_it_is_called(digests_after):
    before = digests_after()
    after = digests_after("exe_core/study.py", "def missing(self)", "def missing(self, other=0)")
    assert not changed(before, after)


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
