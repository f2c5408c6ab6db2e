"""Training learns, repeats itself to the bit, goes on after a kill, and refuses what can't be."""

import json
import math
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from exe_core import inference, models, tables, training
from exe_core.settings import Train
from exe_core.training import TrainingError, average_of, optimizer_of, scheduler_of, train

CLASSES = ("angry", "happy", "sad")


def faces(n=90, *, size=24, seed=0):
    """Make faces whose class is the shape in their middle: across, down, or a square; noisy."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    images = rng.integers(60, 140, (n, size, size, 3))
    third = slice(size // 3, 2 * size // 3)
    for image, label in zip(images, labels, strict=True):
        rows, columns = [(third, slice(None)), (slice(None), third), (third, third)][label]
        image[rows, columns] += 70
    splits = np.where(np.arange(n) // 3 % 4 == 0, "val", "train")
    return images.astype(np.uint8), labels, splits


def recipe(**changes):
    common = {"model": "tiny", "weights": "none", "trainable": "all", "size": 24, "epochs": 3}
    return Train(**common | {"learning_rate": 3e-3, "batch_size": 16} | changes)


BEYOND = {
    "scheduler": "cosine",
    "warmup_epochs": 1,
    "ema_decay": 0.9,
    "sam_rho": 0.05,
    "sampling": "balanced",
    "steps": 7,
    "clip_norm": 1.0,
    "flip_average": True,
    "label_smoothing": 0.1,
    "precision": "bf16",
}


def go(folder, *, data=None, **changes):
    kwargs = {"recipe": recipe(), "classes": CLASSES, "run_id": "a"}
    return train(*(data or faces()), folder=folder, **kwargs | changes)


def weights(folder):
    return (folder / models.WEIGHTS_FILE).read_bytes()


class TestLearning:
    def test_every_option_lowers_the_loss(self, tmp_path):
        settings = recipe(**BEYOND | {"epochs": 8, "steps": 15})
        history = go(tmp_path, data=faces(300), recipe=settings)
        val = history[history["split"] == "val"]
        assert val["loss"].iloc[-1] < 0.9 * val["loss"].iloc[0]
        assert val["accuracy"].max() > 0.8

    def test_what_is_reported_is_what_the_saved_weights_reach(self, tmp_path):
        images, labels, splits = data = faces(seed=3)
        averaged = recipe(learning_rate=3e-4, ema_decay=0.9, flip_average=True, max_faces=30)
        go(tmp_path, data=data, recipe=averaged)
        model, val = models.load(tmp_path), splits == "val"
        found, truth = inference.predict(model, images[val]), labels[val]
        assert log_loss(truth, found) == pytest.approx(model.card["val"]["loss"], rel=1e-4)
        accuracy = (found.argmax(axis=1) == truth).mean()
        assert accuracy == pytest.approx(model.card["val"]["accuracy"])
        n_faces = {split: sum(counts.values()) for split, counts in model.card["n_faces"].items()}
        assert n_faces == {"train": 30, "val": 24}, "of the training faces, at most `max_faces`"

    def test_the_card_says_how_it_was_made(self, tmp_path):
        history = tables.check(go(tmp_path, gray=True, provenance={"commit": "abc"}), "history")
        assert history.groupby("epoch")["split"].agg(tuple).tolist() == [("train", "val")] * 3
        card = json.loads((tmp_path / "card.json").read_text())
        assert card["labels"] == list(CLASSES)
        assert (card["preprocessing"]["gray"], card["preprocessing"]["size"]) == (True, 24)
        assert card["recipe"] == recipe().model_dump(mode="json")
        assert card["n_faces"]["train"] == {"angry": 22, "happy": 22, "sad": 22}
        assert card["provenance"] == {"commit": "abc", "device": "cpu", "seed": 42}

    def test_what_says_the_same_teaches_the_same(self, tmp_path):
        """Certain shares as classes do; neither unused rows nor colours of gray runs matter."""
        images, labels, splits = data = faces()
        before = [column.copy() for column in data]
        torch.manual_seed(99)  # nor does the caller's generator, which is left alone
        state = torch.get_rng_state()
        go(tmp_path / "one", data=data, gray=True)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(np.array_equal(x, y) for x, y in zip(data, before, strict=True))
        luma = models.Preprocessing(gray=True).to_float(torch.from_numpy(images))
        gray = (luma * 255).round().byte().permute(0, 2, 3, 1).numpy()
        more = (np.concatenate([gray, 255 - gray[:5]]), np.eye(3)[np.append(labels, labels[:5])])
        go(tmp_path / "other", data=(*more, np.append(splits, ["test"] * 5)), gray=True)
        assert weights(tmp_path / "other") == weights(tmp_path / "one")


class TestFrozenLayers:
    @pytest.mark.parametrize("copies", [0, 2])
    def test_neither_weights_nor_batch_norm_move(self, tmp_path, copies):
        settings = recipe(epochs=1, trainable="layer3+layer4+fc", frozen_copies=copies)
        go(tmp_path, recipe=settings, keep_last=True)
        before = models.build("tiny", n_classes=3, seed=settings.seed).state_dict()
        after = models.load(tmp_path).network.state_dict()
        moved = {k.split(".")[0] for k, v in before.items() if not torch.equal(v, after[k])}
        assert moved == {"layer3", "layer4", "fc"}

    def test_trainings_share_the_outputs_of_frozen_layers(self, tmp_path, monkeypatch):
        changes = {"trainable": "layer3+layer4+fc", "frozen_copies": 3}
        go(tmp_path / "alone", recipe=recipe(**changes, seed=2))
        cache = tmp_path / "cache"
        go(tmp_path / "first", recipe=recipe(**changes, seed=1, weights="none"), cache=cache)
        (kept,) = cache.iterdir()
        assert np.load(kept).shape[:2] == (90, 3)
        # another seed draws other first weights, whose outputs are others
        go(tmp_path / "other", recipe=recipe(**changes, seed=2), cache=cache)
        assert len([*cache.iterdir()]) == 2
        monkeypatch.setattr(training.augmentation, "augment", None)  # nothing is computed again
        go(tmp_path / "again", recipe=recipe(**changes, seed=2), cache=cache)
        assert weights(tmp_path / "again") == weights(tmp_path / "alone")


@pytest.mark.parametrize(
    ("f1", "loss", "last", "expected"),
    [
        ([0.2, 0.6, 0.5], [1.0] * 3, False, 2),
        ([0.6] * 3, [0.9, 0.5, 0.7], False, 2),
        ([0.2, 0.6, 0.5], [1.0] * 3, True, 3),
    ],
)
def test_the_kept_epoch(monkeypatch, tmp_path, f1, loss, last, expected):
    """By macro-F1, of equal ones by loss, or the last; the saved weights are of this epoch."""
    scores, losses, seen = iter(np.repeat(f1, 2)), iter(loss), []

    def pretend(network, images, targets, preprocessing):
        seen.append({k: v.clone() for k, v in network.state_dict().items()})
        return next(losses), *targets.argmax(dim=1).expand(2, -1).numpy()

    monkeypatch.setattr(training, "evaluate", pretend)
    monkeypatch.setattr(training, "f1_score", lambda *_, **__: next(scores))
    history = go(tmp_path, keep_last=last)
    assert history.loc[history["kept"], "epoch"].unique() == [expected]
    saved = models.load(tmp_path)
    assert saved.card["epoch"] == expected
    state = saved.network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in seen[expected - 1].items())


def test_a_single_face_left_over_does_not_stop_batch_norm(tmp_path):
    images, labels, _ = faces(12)
    splits = np.array(["train"] * 9 + ["val"] * 3)  # 8 + 1 would leave a batch of one
    assert len(go(tmp_path, data=(images, labels, splits), recipe=recipe(batch_size=8))) == 6


def one_epoch(images, labels, **changes):
    """Train a fresh network for an epoch; give it and the classes that it was shown."""
    settings = recipe(**changes)
    network, shown = models.build("tiny", n_classes=3).train(), models.Preprocessing(size=24)
    part = torch.from_numpy(images), torch.eye(3)[labels]
    optimizer = optimizer_of(network, settings)
    return network, training.train_epoch(network, *part, settings, shown, optimizer, epoch=1)[2]


def test_balanced_sampling_shows_rare_classes_as_often():
    images, labels, _ = faces(120)
    kept = (labels != 2) | (np.arange(120) < 30)
    _, seen = one_epoch(images[kept], labels[kept], sampling="balanced", steps=60)
    assert np.bincount(seen) / len(seen) == pytest.approx([1 / 3] * 3, abs=0.06)


def test_the_second_pass_of_sam_moves_no_batch_norm():
    networks = [one_epoch(*faces(8)[:2], sam_rho=rho)[0] for rho in (0.0, 0.1)]
    assert torch.equal(*(network.layer1[1].running_mean for network in networks))


def test_only_what_is_not_there_or_another_is_trained(tmp_path, monkeypatch):
    passed, epoch = [], training.train_epoch
    monkeypatch.setattr(
        training, "train_epoch", lambda *a, **k: (passed.append(1), epoch(*a, **k))[1]
    )
    first = go(tmp_path)
    assert go(tmp_path).equals(first)
    assert len(passed) == 3, "the same is not trained twice"
    names = {models.WEIGHTS_FILE, models.CARD_FILE, training.HISTORY_FILE}
    assert {path.name for path in tmp_path.iterdir()} == names, "no checkpoint is left"
    before = weights(tmp_path)
    for name in names:
        (tmp_path / name).unlink()
        go(tmp_path)
        assert (tmp_path / name).is_file()
        assert weights(tmp_path) == before
    assert len(passed) == 12
    go(tmp_path, recipe=recipe(seed=4))
    go(tmp_path, data=faces(seed=5))
    monkeypatch.setattr(training, "code_digest", lambda name: "changed")
    go(tmp_path, data=faces(seed=5))
    assert len(passed) == 21


class KilledError(Exception):
    """Stands for the end of the process."""


class TestInterrupted:
    def cut(self, folder, monkeypatch, *, after, **changes):
        epoch_of = training.train_epoch

        def until_the_kill(*args, epoch, **kwargs):
            if epoch > after:
                raise KilledError
            return epoch_of(*args, epoch=epoch, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(training, "CHECKPOINT_SHARE", math.inf)  # after every epoch
            patch.setattr(training, "train_epoch", until_the_kill)
            with pytest.raises(KilledError):
                go(folder, recipe=recipe(**changes))

    @pytest.mark.parametrize(
        ("epoch", "changes"),
        [
            (1, {"optimizer": "adam", "scheduler": "exponential", "augmentation": "heavy"}),
            (2, {"optimizer": "adamw", "scheduler": "cosine", "trainable": "layer3+layer4+fc"}),
            (1, {"trainable": "layer3+layer4+fc", "frozen_copies": 2}),
            (2, BEYOND),
        ],
        ids=["adam", "adamw", "frozen outputs", "beyond the published"],
    )
    def test_a_run_goes_on_to_the_same_bits(self, tmp_path, monkeypatch, epoch, changes):
        whole = go(tmp_path / "whole", recipe=recipe(**changes))
        self.cut(tmp_path / "cut", monkeypatch, after=epoch, **changes)
        resumed = go(tmp_path / "cut", recipe=recipe(**changes))
        assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
        assert resumed.drop(columns="seconds").equals(whole.drop(columns="seconds"))

    @pytest.mark.parametrize("content", [b"", b"not a checkpoint", "truncated", "of another"])
    def test_a_checkpoint_that_is_no_use_costs_time_only(
        self, tmp_path, monkeypatch, content, caplog
    ):
        path = tmp_path / "cut" / training.CHECKPOINT_FILE
        self.cut(tmp_path / "cut", monkeypatch, after=1, seed=1 if content == "of another" else 42)
        if content != "of another":
            path.write_bytes(path.read_bytes()[:-5000] if content == "truncated" else content)
        go(tmp_path / "cut")
        go(tmp_path / "whole")
        assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
        assert ("training starts anew" in caplog.text) == (content != "of another")


@pytest.mark.parametrize(
    ("scheduler", "rate"),
    [
        ("none", lambda epoch: 0.01),
        ("exponential", lambda epoch: 0.01 * 0.9**epoch),
        ("cosine", lambda epoch: 0.005 * (1 + math.cos(math.pi * epoch / 6))),
    ],
)
def test_the_learning_rate_rises_and_then_follows_the_schedule(scheduler, rate):
    settings = recipe(scheduler=scheduler, warmup_epochs=3, epochs=9, learning_rate=0.01)
    optimizer = optimizer_of(models.build("tiny", n_classes=2), settings)
    schedule, rates = scheduler_of(optimizer, settings), []
    for _ in range(settings.epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.0025, 0.005, 0.0075, *map(rate, range(6))])


def test_an_average_forgets_the_random_start_soon():
    """With a plain decay of .999, most of the start would be left after 100 steps."""
    network = torch.nn.Linear(1, 1, bias=False)
    average = average_of(network, decay=0.999)
    for step in range(100):
        torch.nn.init.constant_(network.weight, 1.0 if step else -100.0)
        average.update_parameters(network)
    assert average.module.weight.item() == pytest.approx(1, abs=1e-3)


IMAGES, LABELS, SPLITS = faces()


class TestRefusal:
    @pytest.mark.parametrize(
        ("data", "match"),
        [
            ((IMAGES[:, :20], LABELS, SPLITS), r"needed is uint8 \(N, 24, 24, 3\)"),
            ((IMAGES / 255, LABELS, SPLITS), "faces are float64"),
            ((IMAGES, LABELS[1:], SPLITS), "90 faces, 89 labels"),
            ((IMAGES, np.full((90, 3), 0.5), SPLITS), "each row sum to 1"),
            ((IMAGES, np.tile([1.5, -0.5, 0], (90, 1)), SPLITS), "each row sum to 1"),
            ((IMAGES, LABELS, np.where(LABELS == 1, "val", SPLITS)), "no training face of happy"),
            ((IMAGES, LABELS, np.full(90, "train")), "no face of split 'val'"),
        ],
    )
    def test_of_data(self, tmp_path, data, match):
        with pytest.raises(TrainingError, match=match):
            go(tmp_path, data=data)
        assert not list(tmp_path.iterdir())

    def test_a_loss_that_explodes_saves_nothing(self, tmp_path):
        settings = recipe(learning_rate=1e30, weight_decay=1e30, precision="bf16")
        with pytest.raises(TrainingError, match=r"epoch \d is (nan|inf): lower learning_rat"):
            go(tmp_path, recipe=settings)
        assert not (tmp_path / models.CARD_FILE).exists()


def test_each_face_is_predicted_by_a_network_that_did_not_learn_from_its_group(tmp_path):
    """Faces are a colour, one a class, with noise; an eighth is labelled wrong."""
    rng, truth = np.random.default_rng(0), np.arange(180) % 3
    images = rng.integers(0, 120, (180, 16, 16, 3))
    images[np.arange(180), ..., truth] += 100
    wrong, unused = np.arange(180) % 8 == 0, np.arange(180) % 20 == 1
    given = np.where(unused, -1, np.where(wrong, (truth + 1) % 3, truth))
    found = training.cross_fit(
        images.astype(np.uint8),
        given,
        np.arange(180) // 2,
        n_folds=2,
        folder=tmp_path / "run",
        recipe=recipe(size=16, augmentation="none", epochs=8),
        classes=CLASSES,
    )
    assert np.isnan(found[unused]).all()
    assert (found.argmax(axis=1) == truth)[~unused].mean() > 0.95
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["part-1", "part-2"]
    learnt = [models.load(tmp_path / "run" / f"part-{k}").card["n_faces"] for k in (1, 2)]
    assert learnt[0]["train"] == learnt[1]["val"]


def test_a_training_is_a_run_in_mlflow(tmp_path, monkeypatch):
    """By a stand-in, as MLflow is not in the lock: it takes the arguments that MLflow takes."""
    logged = []
    stand_in = SimpleNamespace(
        set_experiment=lambda experiment_name: logged.append(experiment_name),
        start_run=lambda run_name: nullcontext(logged.append(run_name)),
        log_params=lambda params: logged.append(params),
        log_metrics=lambda metrics, step: logged.append((step, metrics)),
    )
    monkeypatch.setitem(sys.modules, "mlflow", stand_in)
    history = go(tmp_path)
    training.log_to_mlflow(history, recipe(), experiment="demo")
    experiment, run, params, *steps = logged
    assert (experiment, run, params["model"], params["epochs"]) == ("demo", "a", "tiny", 3)
    assert [(step, *scores) for step, scores in steps[-2:]] == [
        (3, f"{split}_loss", f"{split}_accuracy", f"{split}_macro_f1") for split in ("train", "val")
    ]
    assert steps[-1][1]["val_loss"] == history["loss"].iloc[-1]
