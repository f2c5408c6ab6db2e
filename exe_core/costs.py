"""What a network costs: its parameters, its arithmetic, and the time that a face takes."""

from __future__ import annotations

import statistics
import time
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from exe_core.models import Classifier


class Cost(NamedTuple):
    """The cost of one network.

    Attributes
    ----------
    parameters
        Weights that training may change.
    macs
        Multiply-accumulate operations a face, in convolutions and products of matrices.
    ms_per_face
        Of the passes alone, in batches, the median: on a processor its own time, summed over
        threads, as others may use it too; elsewhere wall time.
    device
        Where that time was measured.
    """

    parameters: int
    macs: int
    ms_per_face: float
    device: str


def cost(classifier: Classifier, *, batch_size: int = 16, seconds: float = 1.0) -> Cost:
    """Count and time a network on the device that it is on.

    Parameters
    ----------
    classifier
        From `exe_core.models.load`.
    batch_size
        Faces a pass.
    seconds
        How long passes are timed, at least.
    """
    network, size = classifier.network.eval(), classifier.preprocessing.size
    device = next(network.parameters()).device
    faces = torch.zeros(batch_size, 3, size, size, device=device)
    faces = faces.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network(faces[:1])
        times = [_pass(network, faces)]  # the first one warms up
        while sum(times[1:]) < seconds:
            times.append(_pass(network, faces))
    return Cost(
        parameters=sum(weights.numel() for weights in network.parameters()),
        macs=counter.get_total_flops() // 2,
        ms_per_face=1000 * statistics.median(times[1:]) / batch_size,
        device=device_name(device),
    )


def _pass(network: nn.Module, faces: torch.Tensor) -> float:
    """Give the seconds of one pass, its last operation included."""
    clock = time.process_time if faces.device.type == "cpu" else time.perf_counter
    start = clock()
    network(faces)
    if faces.device.type != "cpu":
        torch.accelerator.synchronize(faces.device)
    return clock() - start


def device_name(device: torch.device) -> str:
    """Name a device in words: its model, or what instructions and threads a processor uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type != "cpu":
        return device.type
    threads = torch.get_num_threads()
    return f"CPU ({torch.backends.cpu.get_cpu_capability()}), {threads} thread" + "s" * (
        threads > 1
    )
