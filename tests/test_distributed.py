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

from exe_core import models
from exe_core.learning import distributed, epochs
from exe_core.learning.optimisation import still_batch_norm
from exe_core.training import CHECKPOINT_FILE

RESUMED = "all at once"
ROUNDING = 1e-5
"""Greatest difference between one process and two, after all epochs; in tensors, as a share of
the greatest value."""


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
        assert (both[column] - alone[column]).abs().max() < ROUNDING, column
    one, other = (load_file(at / "model.safetensors") for at in (tmp_path / name, folder))
    assert one.keys() == other.keys()
    for key, weights in one.items():
        assert (other[key] - weights).abs().max() <= ROUNDING * weights.abs().max(), key
    written = sorted(path.name for path in folder.iterdir())
    assert written == ["card.json", "history.parquet", "model.safetensors"]


@pytest.mark.slow
def test_two_processes_go_on_from_where_one_stopped(two):
    folder, begun = two
    both = pd.read_parquet(folder / RESUMED / "history.parquet")
    assert begun
    assert both["seconds"].tolist()[: len(begun)] == [row["seconds"] for row in begun]


class TestBatchNorm:
    """Alone among processes that send nothing, the batch norm of shares is torch's own."""

    @pytest.fixture
    def pair(self, monkeypatch):
        monkeypatch.setattr(distributed, "n_processes", lambda: 2)
        monkeypatch.setattr(distributed, "DistributedDataParallel", lambda network: network)
        monkeypatch.setattr(torch.distributed, "all_reduce", lambda _: None)
        torch.manual_seed(0)
        usual, whole = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        nn.init.uniform_(usual.weight)
        whole.load_state_dict(usual.state_dict())
        return usual, distributed.spread(whole)

    def test_answers_gradients_and_statistics_are_those_of_torch(self, pair):
        shown = 5 + 3 * torch.randn(4, 3, 6, 5)
        gradients = []
        for layer in pair:
            batch = shown.clone().requires_grad_()
            layer(batch).pow(3).mean().backward()
            gradients.append([batch.grad, layer.weight.grad, layer.bias.grad])
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(other, one)
        for key, value in pair[0].state_dict().items():
            torch.testing.assert_close(pair[1].state_dict()[key], value)
        torch.testing.assert_close(pair[1].eval()(shown), pair[0].eval()(shown))

    def test_no_statistics_move_where_they_are_kept_still(self, pair):
        with still_batch_norm(pair[1]):
            pair[1](torch.randn(4, 3, 6, 5))
        assert pair[1].num_batches_tracked == 0
        assert pair[1].running_mean.abs().max() == 0

    @pytest.mark.parametrize("layer", [nn.BatchNorm1d(3), nn.BatchNorm2d(3, affine=False)])
    def test_other_kinds_are_refused(self, pair, layer):
        with pytest.raises(distributed.DistributedError, match="train this network in one"):
            distributed.spread(nn.Sequential(layer))


@pytest.mark.parametrize("changes", [{"compiled": True}, {"model": "ddamfn", "size": 112}])
def test_what_would_differ_from_one_process_is_refused(monkeypatch, changes):
    monkeypatch.setattr(distributed, "n_processes", lambda: 2)
    recipe = trials.recipe("all layers").model_copy(update=changes)
    with pytest.raises(distributed.DistributedError, match="trained in one process"):
        epochs.Run(recipe, models.Preprocessing(size=recipe.size), n_classes=3, device="cpu")


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
