"""Files changed at random are read or refused with a reason; none ends the process or hangs."""

import fuzz_trials
import pytest
from fuzz_trials import KINDS

FEW = 12


@pytest.mark.parametrize("kind", KINDS)
def test_some_tries(kind):
    counts, told = fuzz_trials.count(kind, tries=FEW)
    assert not told
    assert counts.read + counts.clean_errors == FEW


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_try(kind):
    _, told = fuzz_trials.count(kind, tries=KINDS[kind].tries)
    assert not told


def test_a_sound_file_is_read(tmp_path):
    for name, kind in KINDS.items():
        folder = tmp_path / name
        folder.mkdir()
        for path in kind.make(folder):
            kind.read(path)


def test_crashes_and_hangs_are_counted(monkeypatch):
    monkeypatch.setattr(fuzz_trials, "LIMIT_S", 3.0)
    counts, told = fuzz_trials.count("test of the trials", tries=8)
    assert (counts.tries, counts.read, counts.crashes, counts.hangs) == (8, 5, 2, 1)
    assert any("the process died (-11)" in text for text in told)
    assert any("ZeroDivisionError" in text for text in told)
