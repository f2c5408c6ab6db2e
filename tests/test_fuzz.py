"""Files changed at random are read or refused with a reason; none ends the process or hangs.

pytest tests/test_fuzz.py --write-fuzz makes data/frozen/fuzz of all tries; few are quick.
"""

import fuzz_trials
import pandas as pd
import pytest
from fuzz_trials import KINDS

from exe_core.record import provenance, write_json
from exe_core.study import ROOT, load_study

FEW = 12
TABLE = ROOT / "data" / "frozen" / "fuzz"
READERS = (
    "exe_core/config.py",
    "exe_core/faces/images.py",
    "exe_core/footage/decoding_plan.py",
    "exe_core/footage/film_file.py",
    "exe_core/models.py",
    "exe_core/pull/curation.py",
    "exe_core/pull/photo_lists.py",
    "exe_core/sets/fer2013.py",
    "exe_core/sets/ferplus.py",
    "exe_core/sets/readers.py",
    "exe_core/video.py",
    "tests/fuzz_trials.py",
)


@pytest.fixture(scope="module")
def table(request):
    """Gather the counts of all tries; write them if that was asked for and none is missing."""
    rows = []
    yield rows
    if request.config.getoption("--write-fuzz"):
        assert {row["kind"] for row in rows} == set(KINDS), "run all of test_every_try"
        TABLE.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(rows).to_csv(TABLE / "fuzz.csv", index=False, lineterminator="\n")
        about = provenance(load_study("smoke"), inputs=[ROOT / name for name in READERS], seed=0)
        how = {"command": "pytest tests/test_fuzz.py --write-fuzz"}
        write_json({**about, **how}, TABLE / "provenance.json")


@pytest.mark.parametrize("kind", KINDS)
def test_some_tries(kind):
    counts, told = fuzz_trials.count(kind, tries=FEW)
    assert not told
    assert counts.read + counts.clean_errors == FEW


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_try(kind, table):
    counts, told = fuzz_trials.count(kind, tries=KINDS[kind].tries)
    table.append(counts.row())
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
