"""What benchmarks share: the published ensemble, and the table of what they found.

Each ratio is of two ways of one work in one run.
"""

import os
import platform
from pathlib import Path

import pandas as pd
import pytest
import torch

from exe_core import models, record
from exe_core.labels import FIVE

FOUND = pytest.StashKey[list]()
COMMAND = "pytest tests/benchmarks --benchmark-enable --write-ratios data/frozen/speed/ratios.csv"


def pytest_addoption(parser):
    parser.addoption(
        "--write-ratios",
        metavar="FILE",
        help="add the ratios that the benchmarks measure to this CSV, with their origin beside it",
    )


@pytest.fixture
def ratio(request, benchmark):
    """Note how many times as fast as the other way ours was: ratio(what, times, aim=least)."""

    def note(what, times, *, aim):
        benchmark.extra_info["times as fast"] = round(float(times), 2)
        request.config.stash.setdefault(FOUND, []).append(
            {"what": what, "times_as_fast": round(float(times), 2), "aim": aim}
        )

    return note


def pytest_terminal_summary(terminalreporter, config):
    found = config.stash.get(FOUND, [])
    for row in found:
        terminalreporter.write_line(
            f"{row['what']}: {row['times_as_fast']} times as fast (aim {row['aim']})"
        )
    target = config.getoption("--write-ratios", default=None)
    if target and found:
        write(pd.DataFrame(found), Path(target))


def write(found, path):
    """Replace the rows of what was measured anew; keep the others."""
    here = f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    found = found.assign(machine=here, commit=str(record.commit())[:10])
    before = pd.read_csv(path) if path.exists() else None
    found = pd.concat([before, found]).drop_duplicates("what", keep="last")
    found.sort_values("what").to_csv(path, index=False)
    about = {"command": COMMAND, "commit": record.commit(), "python": platform.python_version()}
    record.write_json(about, path.with_name("provenance.json"))


@pytest.fixture(scope="module")
def classifiers():
    """Four ResNet18 for faces of 224 px, whose batch norms have seen data, as was published."""
    size, made = 224, []
    for seed in range(4):
        network = models.build("resnet18", n_classes=len(FIVE), seed=seed)
        network.train()(torch.rand(8, 3, size, size))
        shown = models.Preprocessing(size=size)
        made.append(models.Classifier(network.eval(), FIVE, shown, {}))
    return made
