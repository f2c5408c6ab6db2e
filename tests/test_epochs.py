"""An epoch changes what it may change, and the kept weights are those of the epoch named."""

import dataclasses

import pytest
import torch

from exe_core import models
from exe_core.settings import Train
from exe_core.training import Part, Run, TrainingError, freeze


def recipe(**changes):
    common = {"model": "tiny", "weights": "none", "trainable": "all", "size": 16, "epochs": 6}
    return Train(**common | {"learning_rate": 0.01} | changes)


def part(n=40, *, seed=0):
    """Make faces of two classes, told by their brightness."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    faces = torch.randint(0, 100, (n, 16, 16, 3), generator=generator)
    return Part((faces + 80 * labels.view(-1, 1, 1, 1)).byte(), labels)


def run(**changes):
    return Run(recipe(**changes), models.Preprocessing(size=16), n_classes=2, device="cpu")


def parts():
    return {"train": part(), "val": part(20, seed=1)}


def states(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


class TestFrozenLayers:
    def test_neither_weights_nor_batch_norm_move(self):
        found = run(trainable="layer3+layer4+fc")
        before = states(found.network)
        found.step(1, parts())
        after = states(found.network)
        moved = {key.split(".")[0] for key in before if not torch.equal(before[key], after[key])}
        assert moved == {"layer3", "layer4", "fc"}

    def test_all_move_when_all_are_trained(self):
        found = run()
        before = states(found.network)
        found.step(1, parts())
        after = states(found.network)
        assert not any(torch.equal(before[key], after[key]) for key in before)

    def test_the_published_fault_lets_batch_norm_drift(self):
        found = run(trainable="layer3+layer4+fc", batch_norm="drifting")
        before = states(found.network)
        found.step(1, parts())
        moved = {
            key
            for key, value in states(found.network).items()
            if not torch.equal(value, before[key])
        }
        frozen = {key for key in moved if key.startswith(("layer1", "layer2"))}
        assert {key.split(".")[-1] for key in frozen} == {
            "running_mean",
            "running_var",
            "num_batches_tracked",
        }

    def test_the_published_choice_is_nearly_all_of_resnet18(self):
        network = models.build("resnet18", n_classes=5)
        freeze(network, "layer3+layer4+fc")
        learning = sum(w.numel() for w in network.parameters() if w.requires_grad)
        assert learning / sum(w.numel() for w in network.parameters()) == pytest.approx(
            0.94, abs=0.005
        )

    def test_a_layer_that_is_not_there_is_named(self):
        with pytest.raises(TrainingError, match="no layer5; it has layer1"):
            freeze(models.build("tiny", n_classes=2), "layer5+fc")


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_every_optimiser_lowers_the_loss(name):
    found = run(optimizer=name)
    for epoch in range(1, 5):
        found.step(epoch, parts())
    losses = [row["loss"] for row in found.history if row["split"] == "train"]
    assert losses[-1] < 0.8 * losses[0]


class TestKeeping:
    def kept(self, monkeypatch, *, f1, loss=None, **changes):
        found = run(**changes)
        reached = iter(zip(f1, loss or [1.0] * len(f1), strict=True))
        seen = {}

        def pretend(self, part):
            seen["f1"], value = next(reached)
            return value, part.labels, part.labels

        monkeypatch.setattr(Run, "_evaluate", pretend)
        monkeypatch.setattr(
            "exe_core.training._agreement",
            lambda *_: {"accuracy": 1.0, "macro_f1": seen.get("f1", 0)},
        )
        weights = {}
        for epoch in range(1, len(f1) + 1):
            found.step(epoch, parts())
            weights[epoch] = states(found.network)
        for key, value in found.kept.items():
            assert torch.equal(value, weights[found.kept_epoch][key])
        return found.kept_epoch

    def test_best_is_the_highest_macro_f1(self, monkeypatch):
        assert self.kept(monkeypatch, f1=[0.2, 0.6, 0.5]) == 2

    def test_of_equal_ones_the_lowest_loss(self, monkeypatch):
        assert self.kept(monkeypatch, f1=[0.6, 0.6, 0.6], loss=[0.9, 0.5, 0.7]) == 2

    def test_last_is_the_last(self, monkeypatch):
        assert self.kept(monkeypatch, f1=[0.2, 0.6, 0.5], keep="last") == 3


def test_an_odd_face_left_over_does_not_stop_batch_norm():
    found = run(batch_size=8)
    one_pixel_left = Part(part(9).faces, part(9).labels)  # 8 + 1 would leave a batch of one
    found.step(1, {"train": one_pixel_left, "val": part(4)})
    assert found.epoch == 1


def test_class_weights_are_one_where_classes_are_equal_and_high_for_rare_ones():
    labels = torch.tensor([0, 0, 0, 1])
    assert Part(labels, torch.tensor([0, 1])).class_weights(2).tolist() == [1, 1]
    assert Part(labels, labels).class_weights(2).tolist() == pytest.approx([2 / 3, 2])


def test_balanced_sampling_shows_rare_classes_as_often():
    labels = torch.cat([torch.zeros(900), torch.ones(90), torch.full((10,), 2)]).long()
    found = Run(recipe(sampling="balanced"), models.Preprocessing(), n_classes=3, device="cpu")
    order = found._order(Part(labels, labels), torch.Generator().manual_seed(0))
    assert len(order) == 1000
    assert all(270 < n < 400 for n in torch.bincount(labels[order]).tolist())


def test_the_most_probable_class_counts_where_labels_are_soft():
    soft = Part(torch.zeros(3), torch.tensor([[0.6, 0.4], [0.1, 0.9], [0.3, 0.7]]))
    assert soft.counts(2) == [1, 2]
    assert soft.class_weights(2).tolist() == pytest.approx([1.5, 0.75])


def test_an_extra_loss_sees_each_training_pass(monkeypatch):
    seen = []

    def extra(network):
        seen.append(network.training)
        return 1000 * network.fc.weight.square().sum()

    plain = models.REGISTRY["tiny"]
    monkeypatch.setitem(models.REGISTRY, "tiny", dataclasses.replace(plain, extra_loss=extra))
    found = run(batch_size=20, diversity_weight=1.0)
    before = found.network.fc.weight.norm().item()
    for epoch in range(1, 4):
        found.step(epoch, parts())
    assert seen == [True] * 6
    assert found.network.fc.weight.norm().item() < 0.7 * before
    assert found.history[0]["loss"] > 100 > found.history[1]["loss"]


def test_the_recipe_weighs_the_extra_loss(monkeypatch):
    plain = models.REGISTRY["tiny"]

    def extra(network):
        return 0 * network.fc.weight.sum() + 50

    monkeypatch.setitem(models.REGISTRY, "tiny", dataclasses.replace(plain, extra_loss=extra))
    losses = {}
    for weight in (0.0, 0.1, 2.0):
        found = run(diversity_weight=weight, learning_rate=1e-6)
        found.step(1, parts())
        losses[weight] = found.history[0]["loss"]
    assert losses[0.1] - losses[0.0] == pytest.approx(5, abs=1e-3)
    assert losses[2.0] - losses[0.0] == pytest.approx(100, abs=1e-3)


class TestAveragedWeights:
    def test_are_measured_and_kept_in_place_of_the_newest(self):
        found = run(ema_decay=0.9, keep="last")
        for epoch in range(1, 4):
            found.step(epoch, parts())
        newest = found.network.state_dict()
        assert not torch.equal(found.kept["fc.weight"], newest["fc.weight"])
        found.network.load_state_dict(found.kept)
        loss, *_ = run_of(found)._evaluate(parts()["val"])
        assert loss == pytest.approx(found.score(3)["loss"], abs=1e-6)


def run_of(found):
    """Give a run without an average that has the weights of another."""
    plain = run()
    plain.network.load_state_dict(found.network.state_dict())
    return plain


def test_a_compiled_network_learns_the_same(monkeypatch):
    """As far as that can be seen without a compiler: torch's own eager backend stands in."""
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compile_(network, backend="eager"))
    plain, compiled = run(), run(compiled=True)
    for found in (plain, compiled):
        found.step(1, parts())
    assert compiled.history[0]["loss"] == pytest.approx(plain.history[0]["loss"])
    assert plain.kept.keys() == compiled.kept.keys()


def test_bf16_learns_too_and_is_measured_in_fp32():
    found = run(precision="bf16")
    for epoch in range(1, 5):
        found.step(epoch, parts())
    assert found.score(4)["accuracy"] > 0.9
    assert all(value.dtype != torch.bfloat16 for value in found.network.state_dict().values())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_loss_that_is_not_finite_is_a_clear_error(precision):
    with pytest.raises(TrainingError, match=r"loss of epoch 1 is (nan|inf): lower learning_rate"):
        run(learning_rate=1e30, optimizer="sgd", batch_size=4, precision=precision).step(1, parts())
