"""Losses, optimisers, schedules, averages and the sharpness-aware step do what their names say."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from exe_core import models
from exe_core.settings import Train
from exe_core.training import (
    average_of,
    loss_of,
    optimizer_of,
    running_statistics_kept,
    scheduler_of,
)

LOGITS = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.double)
CLASSES = torch.tensor([0, 1, 2, 3, 0, 0])
TARGETS = one_hot(CLASSES, 4).double()
WEIGHT = torch.tensor([0.5, 2.0, 1.0, 3.0], dtype=torch.double)
ROBUST = {"kind": "generalised-cross-entropy"}


def recipe(**changes):
    common = {"model": "tiny", "weights": "none", "trainable": "all", "size": 16, "epochs": 9}
    return Train(**common | {"learning_rate": 0.01} | changes)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_cross_entropy_of_one_hot_labels_is_that_of_classes(smoothing, weight):
    expected = cross_entropy(LOGITS, CLASSES, label_smoothing=smoothing, weight=weight)
    found = loss_of(LOGITS, TARGETS, label_smoothing=smoothing, weight=weight)
    assert float(found) == pytest.approx(float(expected))


class TestGeneralisedCrossEntropy:
    def test_is_the_published_formula_and_bounded(self):
        right = LOGITS.softmax(dim=1)[range(6), CLASSES]
        expected = ((1 - right**0.7) / 0.7).mean()
        assert float(loss_of(LOGITS, TARGETS, **ROBUST)) == pytest.approx(float(expected))
        assert float(loss_of(40 * TARGETS, TARGETS, **ROBUST)) == pytest.approx(0, abs=1e-9)
        assert float(loss_of(-1e4 * TARGETS, TARGETS, **ROBUST)) == pytest.approx(1 / 0.7)

    def test_smoothing_of_uniform_labels_and_equal_weights_change_nothing(self):
        even = torch.full((6, 4), 0.25, dtype=torch.double)
        plain, smooth = (loss_of(LOGITS, even, label_smoothing=s, **ROBUST) for s in (0, 0.3))
        assert float(plain) == pytest.approx(float(smooth))
        same = torch.full((4,), 5.0, dtype=torch.double)
        found = loss_of(LOGITS, TARGETS, weight=same, **ROBUST)
        assert float(found) == pytest.approx(float(loss_of(LOGITS, TARGETS, **ROBUST)))

    def test_a_wrong_label_pulls_less_than_in_cross_entropy(self):
        logits = torch.tensor([[6.0, 0.0]], requires_grad=True)
        wrong = torch.tensor([[0.0, 1.0]])
        plain, robust = (
            float(torch.autograd.grad(loss_of(logits, wrong, kind), logits)[0].abs().sum())
            for kind in ("cross-entropy", "generalised-cross-entropy")
        )
        assert robust < 0.05 * plain


class TestSchedule:
    def rates(self, **changes):
        settings = recipe(**changes)
        optimizer = optimizer_of(models.build("tiny", n_classes=2), settings)
        scheduler = scheduler_of(optimizer, settings)
        rates = []
        for _ in range(settings.epochs):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return rates

    def test_known_rates(self):
        assert set(self.rates(scheduler="none")) == {0.01}
        assert self.rates(scheduler="exponential") == pytest.approx(
            [0.01 * 0.9**epoch for epoch in range(9)]
        )
        cosine = self.rates(scheduler="cosine")
        assert cosine[0] == 0.01
        assert cosine == sorted(cosine, reverse=True)
        assert cosine[-1] < 0.0005

    @pytest.mark.parametrize("scheduler", ["none", "cosine", "exponential"])
    def test_warmup_rises_and_then_the_schedule_begins(self, scheduler):
        rates = self.rates(scheduler=scheduler, warmup_epochs=3)
        without = self.rates(scheduler=scheduler, epochs=6)
        assert rates == pytest.approx([0.0025, 0.005, 0.0075, *without])


class TestSharpnessAware:
    @pytest.mark.parametrize("name", ["adam", "adamw"])
    def test_the_step_uses_the_gradient_uphill(self, name):
        """By hand: climb by rho along the gradient, take the gradient there, step from below."""
        faces = torch.rand(8, 3, 16, 16, generator=torch.Generator().manual_seed(0)).double()
        labels = torch.arange(8) % 2
        rho = 0.1
        network = models.build("tiny", n_classes=2).double().eval()
        by_hand = copy.deepcopy(network)

        def forward_backward():
            optimizer.zero_grad()
            loss = cross_entropy(network(faces), labels)
            loss.backward()
            return float(loss.detach())

        optimizer = optimizer_of(network, recipe(optimizer=name, sam_rho=rho))
        forward_backward()
        optimizer.step(forward_backward)

        weights = list(by_hand.parameters())
        plain = optimizer_of(by_hand, recipe(optimizer=name))
        gradients = torch.autograd.grad(cross_entropy(by_hand(faces), labels), weights)
        norm = torch.stack([g.norm() for g in gradients]).norm()
        with torch.no_grad():
            before = [w.clone() for w in weights]
            for w, g in zip(weights, gradients, strict=True):
                w += rho * g / norm
        uphill = torch.autograd.grad(cross_entropy(by_hand(faces), labels), weights)
        with torch.no_grad():
            for w, b, g in zip(weights, before, uphill, strict=True):
                w.copy_(b)
                w.grad = g
        plain.step()
        for w, expected in zip(network.parameters(), weights, strict=True):
            assert torch.allclose(w, expected)

    def test_batch_norm_learns_nothing_from_the_second_pass(self):
        network = models.build("tiny", n_classes=2).train()
        faces = torch.rand(8, 3, 16, 16)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        with running_statistics_kept(network):
            second = network(faces)
        after = network.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert torch.equal(network(faces), second), "normalised by the batch's statistics"
        assert not torch.equal(network.layer1[1].running_mean, before["layer1.1.running_mean"])


class TestAverage:
    def test_lags_behind_and_arrives(self):
        network = torch.nn.Linear(1, 1, bias=False)
        average = average_of(network, decay=0.9)
        seen = []
        for value in [0.0, *[1.0] * 100]:
            torch.nn.init.constant_(network.weight, value)
            average.update_parameters(network)
            seen.append(average.module.weight.item())
        assert seen == sorted(seen)
        assert seen[0] == 0
        assert 0 < 1 - seen[-1] < 1e-4

    def test_forgets_the_random_start_soon(self):
        """With a plain decay of .999, most of the start would be left after 100 steps."""
        network = torch.nn.Linear(1, 1, bias=False)
        average = average_of(network, decay=0.999)
        for step in range(100):
            torch.nn.init.constant_(network.weight, 1.0 if step else -100.0)
            average.update_parameters(network)
        assert average.module.weight.item() == pytest.approx(1, abs=1e-3)

    def test_of_weights_that_stay_is_these_weights(self):
        network = models.build("tiny", n_classes=2)
        average = average_of(network, decay=0.99)
        for _ in range(3):
            average.update_parameters(network)
        state = average.module.state_dict()
        assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())
