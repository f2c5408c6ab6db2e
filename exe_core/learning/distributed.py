"""One training over several processes, which together do what one would.

Every process holds all faces and draws the same batches. Of each batch it passes its share, through
batch norms that count the whole batch; the answers of all are put together, so that each computes
the loss of the whole batch, and DistributedDataParallel sums up the gradients. So the result is
that of one process but for rounding. Dropout is the exception: each share draws its own.

Outside `together` there is one process, and nothing here changes anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel


class DistributedError(RuntimeError):
    """A network can't be trained by several processes as by one."""


def is_launched() -> bool:
    """Say whether torchrun started this process."""
    return dist.is_torchelastic_launched()


@contextmanager
def together() -> Iterator[str]:
    """Join the processes that torchrun started; give the device of this one.

    Raises
    ------
    DistributedError
        If torchrun did not start this process.
    """
    if not is_launched():
        raise DistributedError(
            "not started by torchrun: torchrun --standalone --nproc-per-node 2 -m exe_core.cli ..."
        )
    on_gpu = torch.cuda.is_available()
    device = f"cuda:{os.environ['LOCAL_RANK']}" if on_gpu else "cpu"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def n_processes() -> int:
    """Count the processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Say whether this is the process that writes."""
    return n_processes() == 1 or dist.get_rank() == 0


def wait() -> None:
    """Go on when every process has come here."""
    if n_processes() > 1:
        dist.barrier()


def share(batch: torch.Tensor) -> torch.Tensor:
    """Give the rows (N, ...) that this process passes: all of them, if it is alone."""
    return batch if n_processes() == 1 else batch.tensor_split(n_processes())[dist.get_rank()]


def gather(rows: torch.Tensor, n: int) -> torch.Tensor:
    """Put the shares of all processes together: (N of this one, C) -> (n, C).

    Gradients flow back to the rows of every process, as of one loss.
    """
    if n_processes() == 1:
        return rows
    sizes = [len(part) for part in torch.arange(n).tensor_split(n_processes())]
    before = sum(sizes[: dist.get_rank()])
    after = n - before - len(rows)
    return _Sum.apply(nn.functional.pad(rows, (0, 0, before, after)))


@contextmanager
def own_chance() -> Iterator[None]:
    """Keep the draws of a pass to it and to its share; batches, drawn outside, stay equal."""
    if n_processes() == 1:
        yield
        return
    with torch.random.fork_rng():
        torch.manual_seed(int(torch.randint(2**31, ())) + dist.get_rank())
        yield


def spread(network: nn.Module) -> nn.Module:
    """Give what passes shares of batches: the network itself, if the process is alone.

    Its batch norms are changed in place; weights and their names stay.

    Raises
    ------
    DistributedError
        If it has a batch norm of another kind than BatchNorm2d with weights and momentum.
    """
    if n_processes() == 1:
        return network
    for name, layer in network.named_modules():
        if type(layer) is nn.BatchNorm2d and layer.affine and layer.momentum is not None:
            layer.__class__ = _WholeBatchNorm  # optimiser and state dict keep the same weights
        elif isinstance(layer, _BatchNorm):
            raise DistributedError(
                f"{name} is a {type(layer).__name__} whose whole batch can't be counted: train "
                "this network in one process"
            )
    return DistributedDataParallel(network)


class _Sum(torch.autograd.Function):
    """The sum over processes; that of the gradients, on the way back."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor) -> torch.Tensor:
        total = own.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return _Sum.apply(gradient)


class _WholeBatchNorm(nn.BatchNorm2d):
    """Batch norm over the shares of all processes; torch's own is for GPUs only."""

    def forward(self, shown: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return super().forward(shown)
        exact, across = shown.float(), (0, 2, 3)
        own_n = torch.full((1,), exact.numel() / exact.shape[1], device=exact.device)
        sums, n = _Sum.apply(torch.cat([exact.sum(across), own_n])).split([exact.shape[1], 1])
        n = n.detach()
        mean = sums / n
        centred = exact - mean.view(1, -1, 1, 1)
        variance = _Sum.apply(centred.square().sum(across)) / n
        if self.track_running_stats:
            self._follow(mean.detach(), variance.detach() * n / (n - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(1, -1, 1, 1) + self.bias.view(1, -1, 1, 1)).to(shown.dtype)

    def _follow(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        """Move the running statistics, as BatchNorm2d does."""
        statistics = self.running_mean, self.running_var
        for statistic, newest in zip(statistics, (mean, variance), strict=True):
            assert statistic is not None  # they are tracked
            assert self.momentum is not None
            statistic.lerp_(newest, self.momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
