"""DDAMFN has the published names and shapes, gives the published answers, and keeps heads apart."""

import csv
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from exe_core.ddamfn import DDAMFN

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "ddamfn-expected.json").read_text())


def published_state():
    """List the names and shapes of the published state dict; a[0-2]b stands for a0b, a1b, a2b."""
    with (GOLDEN / "ddamfn-state.csv").open() as stream:
        for row in csv.DictReader(stream):
            shape = tuple(int(n) for n in row["shape"].split("x") if n)
            before, last, after = re.fullmatch(r"(.*?)(?:\[0-(\d+)\](.*))?", row["name"]).groups()
            many = [f"{before}{k}{after}" for k in range(int(last) + 1)] if last else [before]
            yield from ((name, shape) for name in many)


def drawn(name, shape, rng):
    """Draw the weights that the published answers were given for."""
    if name.endswith("num_batches_tracked"):
        return np.zeros(shape, dtype=np.int64)
    z = rng.standard_normal(shape)
    if name.endswith("running_var"):
        z = 1 + 0.1 * np.abs(z)
    elif name.endswith("running_mean"):
        z = 0.1 * z
    elif len(shape) >= 2:
        z = z * math.sqrt(2 / math.prod(shape[1:]))
    elif "prelu" in name:
        z = 0.25 + 0.05 * z
    else:
        z = 1 + 0.1 * z if name.endswith("weight") else 0.1 * z
    return z.astype(np.float32)


def test_names_shapes_and_answers_are_the_published_ones():
    """The weights are drawn, and the network with them is chaotic: to a ten-thousandth where
    sums are rounded as on the processor of the published answers, else to a few hundredths."""
    network = DDAMFN(7).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert shapes == dict(published_state())
    assert sum(p.numel() for p in network.parameters()) == EXPECTED["parameters"]
    rng = np.random.default_rng(20261122)
    network.load_state_dict(
        {name: torch.from_numpy(drawn(name, shape, rng)) for name, shape in sorted(shapes.items())}
    )
    faces = torch.from_numpy(rng.standard_normal((2, 3, 112, 112)).astype(np.float32))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # as the published answers were computed by: more round differently
    with torch.inference_mode():
        logits, features = network(faces), network.features(faces)
    torch.set_num_threads(threads)
    exact = torch.backends.cpu.get_cpu_capability() == "AVX512"
    near = 1e-4 if exact else 0.03
    assert float(features.mean()) == pytest.approx(EXPECTED["features_mean"], rel=near)
    assert float(features.std()) == pytest.approx(EXPECTED["features_std"], rel=near)
    heads = [float(head.mean()) for head in network.attention]
    assert heads == pytest.approx(EXPECTED["head_means"], rel=near)
    assert 1 / float(network.extra_loss()) == pytest.approx(EXPECTED["heads_mse"], rel=near)
    if exact:
        assert logits.numpy() == pytest.approx(np.array(EXPECTED["logits"]), rel=near)


def test_faces_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"takes faces \(N, 3, 112, 112\), not"):
        DDAMFN(2)(torch.zeros(1, 3, 224, 224))


def test_every_weight_that_is_used_learns():
    network = DDAMFN(3)
    logits = network(torch.randn(2, 3, 112, 112, generator=torch.manual_seed(1)))
    (logits.square().sum() + network.extra_loss()).backward()
    idle = {name for name, p in network.named_parameters() if p.grad is None}
    assert all(re.search(r"conv_dw\.(bn|prelu)\.|CoordAtt\.Linear\.|^bn\.", name) for name in idle)
    assert all(p.grad.isfinite().all() for p in network.parameters() if p.grad is not None)


def test_without_trained_weights_blocks_begin_as_the_identity():
    network = DDAMFN(3)
    adding = [block for block in network.modules() if getattr(block, "adds", False)]
    assert len(adding) == 31
    maps = torch.randn(2, 64, 8, 8)
    assert torch.equal(adding[0](maps), maps)
