"""Two processes train what one does: the same losses, the same network, written once."""

import os
import subprocess
import sys
from pathlib import Path

import distributed_trials as trials
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from exe_core.learning import distributed, epochs
from exe_core.training import CHECKPOINT_FILE

RESUMED = "all at once"
LOSS, WEIGHT = 1e-5, 1e-5
"""Greatest differences between one process and two, after all epochs."""


def torchrun(*arguments, n=2):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    here = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(trials.__file__).parents[1])}
    return subprocess.run(
        [*command, f"--nproc-per-node={n}", *arguments],
        env=os.environ | here,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """What two processes left; one of their networks had been begun by one that was stopped."""
    folder = tmp_path_factory.mktemp("two")
    step = epochs.Run.step

    def stop(run, epoch, parts):
        if epoch == trials.EPOCHS:
            raise KeyboardInterrupt
        step(run, epoch, parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(epochs.Run, "step", stop)
        with pytest.raises(KeyboardInterrupt):
            trials.run(RESUMED, folder)
    begun = torch.load(folder / RESUMED / CHECKPOINT_FILE, weights_only=True)["plain"]["history"]
    done = torchrun(trials.__file__, str(folder))
    assert done.returncode == 0, done.stdout[-3000:]
    return folder, begun


@pytest.mark.slow
@pytest.mark.parametrize("name", trials.RECIPES)
def test_two_processes_train_what_one_does(two, tmp_path, name):
    folder = two[0] / name
    alone, both = trials.run(name, tmp_path), pd.read_parquet(folder / "history.parquet")
    for column in ("loss", "accuracy", "macro_f1"):
        assert (both[column] - alone[column]).abs().max() < LOSS, column
    one, other = (load_file(at / "model.safetensors") for at in (tmp_path / name, folder))
    assert one.keys() == other.keys()
    for key, weights in one.items():
        assert (other[key] - weights).abs().max() < WEIGHT, key
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["card.json", "history.parquet", "model.safetensors"]


@pytest.mark.slow
def test_two_processes_go_on_from_where_one_stopped(two):
    folder, begun = two
    both = pd.read_parquet(folder / RESUMED / "history.parquet")
    assert begun
    assert both["seconds"].tolist()[: len(begun)] == [row["seconds"] for row in begun]


class TestAlone:
    def test_nothing_changes(self):
        rows, network = torch.arange(6.0).view(3, 2), nn.BatchNorm2d(2)
        assert distributed.n_processes() == 1
        assert distributed.is_first()
        assert distributed.share(rows) is rows
        assert distributed.gather(rows, 3) is rows
        assert distributed.spread(network) is network
        assert type(network) is nn.BatchNorm2d

    def test_without_torchrun_says_how_to_start(self):
        said = pytest.raises(distributed.DistributedError, match="torchrun --standalone")
        with said, distributed.together():
            pass
