"""Optimisers, schedules, averages and the sharpness-aware step do what their names say."""

import copy

import pytest
import torch
from torch.nn.functional import cross_entropy

from exe_core import models
from exe_core.settings import Train
from exe_core.training import average_of, optimizer_of, scheduler_of, still_batch_norm


def recipe(**changes):
    common = {"model": "tiny", "weights": "none", "trainable": "all", "size": 16, "epochs": 6}
    return Train(**common | {"learning_rate": 0.01} | changes)


def batch(n=8):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(n, 3, 16, 16, generator=generator), torch.arange(n) % 2


def states(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


class TestSchedule:
    def rates(self, *, losses=(1.0,) * 9, epochs=9, **changes):
        settings = recipe(epochs=epochs, **changes)
        optimizer = optimizer_of(models.build("tiny", n_classes=2), settings)
        scheduler = scheduler_of(optimizer, settings)
        found = []
        for loss in losses:
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            plateau = changes["scheduler"] == "plateau"
            scheduler.step(*[loss] if plateau else [])
        return found

    def test_none_stays(self):
        assert set(self.rates(scheduler="none")) == {0.01}

    def test_step_divides_by_ten_after_each_third(self):
        expected = [0.01] * 3 + [0.001] * 3 + [0.0001] * 3
        assert self.rates(scheduler="step") == pytest.approx(expected)

    def test_cosine_falls_towards_zero(self):
        rates = self.rates(scheduler="cosine")
        assert rates[0] == 0.01
        assert rates == sorted(rates, reverse=True)
        assert rates[-1] < 0.0005

    def test_plateau_falls_only_when_the_loss_does_not(self):
        falling = [1 / k for k in range(1, 10)]
        assert set(self.rates(scheduler="plateau", losses=falling)) == {0.01}
        assert self.rates(scheduler="plateau")[-1] < 0.01

    def test_exponential_falls_by_a_tenth_an_epoch(self):
        expected = [0.01 * 0.9**epoch for epoch in range(9)]
        assert self.rates(scheduler="exponential") == pytest.approx(expected)

    @pytest.mark.parametrize("scheduler", ["none", "step", "cosine", "exponential"])
    def test_warmup_rises_and_then_the_schedule_begins(self, scheduler):
        rates = self.rates(scheduler=scheduler, warmup_epochs=3)
        without = self.rates(scheduler=scheduler, epochs=6, losses=(1.0,) * 6)
        assert rates == pytest.approx([0.0025, 0.005, 0.0075, *without])


class TestSharpnessAware:
    @pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
    def test_the_step_uses_the_gradient_uphill(self, name):
        """By hand: climb by rho along the gradient, take the gradient there, step from below."""
        faces, labels = batch()
        rho, faces = 0.1, faces.double()
        network = models.build("tiny", n_classes=2).double().eval()
        by_hand = copy.deepcopy(network)

        def climb():
            optimizer.zero_grad()
            loss = cross_entropy(network(faces), labels)
            loss.backward()
            return float(loss.detach())

        optimizer = optimizer_of(network, recipe(optimizer=name, sam_rho=rho))
        climb()
        optimizer.step(climb)

        weights = list(by_hand.parameters())
        plain = optimizer_of(by_hand, recipe(optimizer=name))
        found = torch.autograd.grad(cross_entropy(by_hand(faces), labels), weights)
        norm = torch.stack([g.norm() for g in found]).norm()
        with torch.no_grad():
            before = [w.clone() for w in weights]
            for w, g in zip(weights, found, strict=True):
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
        before = states(network)
        with still_batch_norm(network):
            second = network(batch()[0])
        after = states(network)
        assert all(torch.equal(before[key], after[key]) for key in before)
        assert torch.equal(network(batch()[0]), second), "normalised by the batch's own statistics"
        assert not torch.equal(network.layer1[1].running_mean, before["layer1.1.running_mean"])


class TestAverage:
    def test_lags_behind_and_arrives(self):
        network = torch.nn.Linear(1, 1, bias=False)
        average = average_of(network, decay=0.9)
        found = []
        for value in [0.0, *[1.0] * 100]:
            torch.nn.init.constant_(network.weight, value)
            average.update_parameters(network)
            found.append(average.module.weight.item())
        assert found == sorted(found)
        assert found[0] == 0
        assert 0 < 1 - found[-1] < 1e-4

    def test_forgets_the_random_start_soon(self):
        """With a plain decay of .999, a third of the start would be left after 1000 steps."""
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
        assert all(
            torch.equal(value, network.state_dict()[key])
            for key, value in average.module.state_dict().items()
        )
