"""How weights follow gradients: the optimiser, its learning rate, and their moving average."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import lr_scheduler
from torch.optim.swa_utils import AveragedModel

from exe_core.settings import Train

_EXPONENTIAL = 0.9  # an epoch, as DDAMFN was trained


def optimizer_of(network: nn.Module, recipe: Train) -> torch.optim.Optimizer:
    """Make the optimiser of the weights that learn.

    With `sam_rho`, its `step` needs a closure that passes the batch again.
    """
    kinds: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
        "adam": (torch.optim.Adam, {"fused": True}),
        "adamw": (torch.optim.AdamW, {"fused": True}),
        "sgd": (torch.optim.SGD, {"fused": True, "momentum": 0.9}),
        "rmsprop": (torch.optim.RMSprop, {}),
    }
    kind, options = kinds[recipe.optimizer]
    options |= {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
    learning = [weights for weights in network.parameters() if weights.requires_grad]
    if recipe.sam_rho == 0:
        return kind(learning, **options)
    from pytorch_optimizer import SAM  # here: importing it takes seconds

    return SAM(learning, kind, rho=recipe.sam_rho, **options)


def scheduler_of(
    optimizer: torch.optim.Optimizer, recipe: Train
) -> lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau:
    """Make what sets the learning rate from epoch to epoch."""
    rising, falling = recipe.warmup_epochs, recipe.epochs - recipe.warmup_epochs
    after: lr_scheduler.LRScheduler
    match recipe.scheduler:
        case "plateau":
            return lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=2)
        case "none":
            after = lr_scheduler.ConstantLR(optimizer, factor=1.0)
        case "step":
            after = lr_scheduler.StepLR(optimizer, max(1, falling // 3), gamma=0.1)
        case "cosine":
            after = lr_scheduler.CosineAnnealingLR(optimizer, T_max=falling)
        case "exponential":
            after = lr_scheduler.ExponentialLR(optimizer, gamma=_EXPONENTIAL)
    if not rising:
        return after
    warmup = lr_scheduler.LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
    return lr_scheduler.SequentialLR(optimizer, [warmup, after], milestones=[rising])


def average_of(network: nn.Module, *, decay: float) -> AveragedModel:
    """Make a moving average of weights and batch-norm statistics.

    Its first steps weigh the newest weights more, 1 - (1 + n) / (10 + n) at step n, so that the
    random start is soon forgotten: as tf.train.ExponentialMovingAverage does with `num_updates`.
    """

    def follow(
        averages: Sequence[torch.Tensor], newest: Sequence[torch.Tensor], n: torch.Tensor | int
    ) -> None:
        if averages[0].is_floating_point():
            share = max(1 - decay, 9 / (10 + float(n)))
            torch._foreach_lerp_(list(averages), list(newest), share)
        else:  # how many batches a batch norm has seen
            torch._foreach_copy_(list(averages), list(newest))

    return AveragedModel(network, multi_avg_fn=follow, use_buffers=True)


@contextmanager
def still_batch_norm(network: nn.Module) -> Iterator[None]:
    """Keep the running statistics as they are, while batches are normalised by their own.

    The second pass of sharpness-aware minimisation is made with weights that are not kept.
    """
    tracking = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.training]
    for module in tracking:
        module.track_running_stats = False
    try:
        yield
    finally:
        for module in tracking:
            module.track_running_stats = True
