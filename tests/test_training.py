"""Training learns, repeats itself to the bit, goes on after a kill, and refuses what can't be."""

import json
import math
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from exe_core import models, tables, training
from exe_core.settings import Train
from exe_core.training import TrainingError, train
from exe_world.render import render_face

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
    "optimizer": "adam",
    "scheduler": "cosine",
    "warmup_epochs": 1,
    "ema_decay": 0.9,
    "sam_rho": 0.05,
    "mixup": 0.4,
    "cutmix": 1.0,
    "sampling": "balanced",
    "clip_norm": 1.0,
    "flip_average": True,
    "loss": "generalised-cross-entropy",
    "label_smoothing": 0.1,
    "precision": "bf16",
}


def go(folder, *, data=None, **changes):
    kwargs = {"recipe": recipe(), "classes": CLASSES, "run_id": "a", "progress": False}
    return train(*(data or faces()), folder=folder, device="cpu", **kwargs | changes)


def weights(folder):
    return (folder / models.WEIGHTS_FILE).read_bytes()


class TestLearning:
    def test_a_plain_set_is_learnt(self, tmp_path):
        go(tmp_path, data=faces(300), recipe=recipe(epochs=8, augmentation="none"))
        assert models.load(tmp_path).card["val"]["accuracy"] > 0.9

    def test_the_history_has_two_rows_an_epoch_and_marks_the_saved_one(self, tmp_path):
        history = tables.check(go(tmp_path), "history")
        assert history.groupby("epoch")["split"].agg(tuple).tolist() == [("train", "val")] * 3
        card = models.load(tmp_path).card
        saved = history[history["kept"] & (history["split"] == "val")].iloc[0]
        assert saved["epoch"] == card["epoch"]
        assert saved["macro_f1"] == history.loc[history["split"] == "val", "macro_f1"].max()
        assert saved["macro_f1"] == card["val"]["macro_f1"]

    def test_what_is_reported_is_what_the_saved_weights_reach(self, tmp_path):
        images, labels, splits = data = faces(seed=3)
        go(tmp_path, data=data, recipe=recipe(epochs=5, learning_rate=0.02))
        found = models.load(tmp_path)
        val = training.Part(
            *(models.torch.from_numpy(x[splits == "val"]) for x in (images, labels))
        )
        answers = found.network(
            found.preprocessing.normalise(found.preprocessing.to_float(val.faces))
        )
        accuracy = (answers.argmax(1) == val.labels).float().mean()
        assert float(accuracy) == pytest.approx(found.card["val"]["accuracy"])

    def test_the_card_says_how_it_was_made(self, tmp_path):
        go(tmp_path, gray=True, provenance={"commit": "abc"})
        card = json.loads((tmp_path / "card.json").read_text())
        assert card["labels"] == list(CLASSES)
        assert card["preprocessing"]["gray"] is True
        assert card["preprocessing"]["size"] == 24
        assert card["recipe"] == recipe().model_dump(mode="json")
        assert card["n_faces"]["train"] == {"angry": 22, "happy": 22, "sad": 22}
        assert card["provenance"] == {
            "commit": "abc",
            "device": "cpu",
            "seed": card["recipe"]["seed"],
        }

    def test_input_is_left_as_it_was(self, tmp_path):
        data = faces()
        before = [column.copy() for column in data]
        go(tmp_path, data=data)
        assert all(np.array_equal(x, y) for x, y in zip(data, before, strict=True))

    def test_rows_of_other_splits_change_nothing(self, tmp_path):
        images, labels, splits = data = faces()
        go(tmp_path / "without", data=data)
        extra = [np.concatenate([x, x[:5]]) for x in (255 - images, labels)]
        extra[0][: len(images)] = images
        go(tmp_path / "with", data=(*extra, np.append(splits, ["test"] * 5)))
        assert weights(tmp_path / "with") == weights(tmp_path / "without")

    def test_at_most_so_many_faces_are_taken(self, tmp_path):
        go(tmp_path, recipe=recipe(max_faces=30))
        counts = models.load(tmp_path).card["n_faces"]
        assert sum(counts["train"].values()) == 30
        assert sum(counts["val"].values()) == 24

    def test_a_gray_run_does_not_see_colours(self, tmp_path):
        images, labels, splits = faces()
        luma = models.Preprocessing(gray=True).to_float(models.torch.from_numpy(images))
        gray = (luma * 255).round().byte().permute(0, 2, 3, 1).numpy()
        go(tmp_path / "colour", gray=True)
        go(tmp_path / "gray", data=(gray, labels, splits), gray=True)
        assert weights(tmp_path / "colour") == weights(tmp_path / "gray")


class TestSoftLabels:
    def test_sure_ones_teach_what_classes_teach(self, tmp_path):
        images, labels, splits = faces()
        go(tmp_path / "classes")
        go(tmp_path / "shares", data=(images, np.eye(3)[labels], splits))
        assert weights(tmp_path / "classes") == weights(tmp_path / "shares")

    def test_unsure_ones_teach_doubt(self, tmp_path):
        images, labels, splits = faces(300)
        unsure = 0.4 + 0.6 * np.eye(3)[labels]
        unsure /= unsure.sum(axis=1, keepdims=True)  # .56, .22, .22
        go(tmp_path, data=(images, unsure, splits), recipe=recipe(epochs=8, augmentation="none"))
        found = models.load(tmp_path)
        shown = models.torch.from_numpy(images[splits == "val"])
        with models.torch.inference_mode():
            logits = models.logits_of(found.network, shown, shown=found.preprocessing)
        sure = logits.softmax(dim=1).amax(dim=1)
        assert float(sure.mean()) == pytest.approx(0.56, abs=0.1)
        assert found.card["val"]["accuracy"] > 0.9
        assert found.card["val"]["loss"] > 0.9, "in nats, of the shares: their entropy at least"


class TestFlipAverage:
    def test_what_is_reported_is_the_mean_of_a_face_and_its_mirror_image(self, tmp_path):
        images, labels, splits = data = faces(seed=3)
        go(tmp_path, data=data, recipe=recipe(epochs=4, flip_average=True))
        found = models.load(tmp_path)
        assert found.preprocessing.flip_average
        val = models.torch.from_numpy(images[splits == "val"])
        both = [
            found.network(found.preprocessing.normalise(found.preprocessing.to_float(x))).softmax(1)
            for x in (val, val.flip(dims=(2,)))
        ]
        right = sum(both)[range(len(val)), labels[splits == "val"]] / 2
        assert -right.log().mean().item() == pytest.approx(found.card["val"]["loss"], rel=1e-5)


class TestRepeating:
    @pytest.mark.parametrize(
        "changes", [{}, {"augmentation": "heavy", "precision": "bf16"}, BEYOND]
    )
    def test_the_same_seed_gives_the_same_bits(self, tmp_path, changes):
        for name in "ab":
            go(tmp_path / name, recipe=recipe(**changes))
        assert weights(tmp_path / "a") == weights(tmp_path / "b")

    def test_another_seed_gives_others(self, tmp_path):
        go(tmp_path / "a")
        go(tmp_path / "b", recipe=recipe(seed=1))
        assert weights(tmp_path / "a") != weights(tmp_path / "b")

    def test_the_global_generator_does_not_matter_and_is_left_alone(self, tmp_path):
        go(tmp_path / "a")
        models.torch.manual_seed(99)
        state = models.torch.get_rng_state()
        go(tmp_path / "b")
        assert models.torch.equal(models.torch.get_rng_state(), state)
        assert weights(tmp_path / "a") == weights(tmp_path / "b")


class TestFinished:
    def count(self, monkeypatch):
        passed, step = [], training.Run.step
        monkeypatch.setattr(training.Run, "step", lambda *a: (passed.append(1), step(*a)))
        return passed

    def test_the_same_is_not_trained_twice_and_gives_its_history(self, tmp_path, monkeypatch):
        first = go(tmp_path)
        passed = self.count(monkeypatch)
        again = go(tmp_path)
        assert not passed
        assert again.equals(first)

    @pytest.mark.parametrize(
        "changes", [{"recipe": recipe(epochs=4)}, {"data": faces(seed=5)}, {"gray": True}]
    )
    def test_another_recipe_or_data_is_trained(self, tmp_path, monkeypatch, changes):
        go(tmp_path)
        passed = self.count(monkeypatch)
        go(tmp_path, **changes)
        assert len(passed) == changes.get("recipe", recipe()).epochs

    @pytest.mark.parametrize("name", [models.WEIGHTS_FILE, models.CARD_FILE, training.HISTORY_FILE])
    def test_a_lost_file_is_made_again(self, tmp_path, name):
        go(tmp_path)
        before = weights(tmp_path)
        (tmp_path / name).unlink()
        go(tmp_path)
        assert (tmp_path / name).is_file()
        assert weights(tmp_path) == before

    def test_no_checkpoint_is_left(self, tmp_path):
        go(tmp_path)
        names = {models.WEIGHTS_FILE, models.CARD_FILE, training.HISTORY_FILE}
        assert {path.name for path in tmp_path.iterdir()} == names


class KilledError(Exception):
    """Stands for the end of the process."""


class TestInterrupted:
    def stop_after(self, epoch, monkeypatch):
        write = training.Run.checkpoint
        monkeypatch.setattr(training, "_CHECKPOINT_SHARE", math.inf)  # after every epoch

        def write_and_die(self, path, *, digest):
            write(self, path, digest=digest)
            if self.epoch == epoch:
                raise KilledError

        monkeypatch.setattr(training.Run, "checkpoint", write_and_die)

    @pytest.mark.parametrize("epoch", [1, 2, 3])
    @pytest.mark.parametrize(
        "changes",
        [
            {"optimizer": "sgd", "scheduler": "plateau", "augmentation": "heavy"},
            {"optimizer": "rmsprop", "scheduler": "step", "keep": "last"},
            {"optimizer": "adamw", "scheduler": "cosine", "trainable": "layer3+layer4+fc"},
            BEYOND,
        ],
        ids=["sgd", "rmsprop", "adamw", "beyond the published"],
    )
    def test_a_run_goes_on_to_the_same_bits(self, tmp_path, monkeypatch, epoch, changes):
        whole = go(tmp_path / "whole", recipe=recipe(**changes))
        with monkeypatch.context() as patch:
            self.stop_after(epoch, patch)
            with pytest.raises(KilledError):
                go(tmp_path / "cut", recipe=recipe(**changes))
        resumed = go(tmp_path / "cut", recipe=recipe(**changes))
        assert weights(tmp_path / "cut") == weights(tmp_path / "whole")
        assert resumed.drop(columns="seconds").equals(whole.drop(columns="seconds"))

    @pytest.mark.parametrize("changes", [{}, BEYOND], ids=["published", "beyond the published"])
    def test_a_process_killed_at_any_moment_goes_on_to_the_same_bits(self, tmp_path, changes):
        changes = {**changes, "epochs": 15}
        script = (
            "import torch; torch.set_num_threads(1)\n"
            "from pathlib import Path\n"
            "from test_training import faces, go, recipe\n"
            f"go(Path({str(tmp_path / 'cut')!r}), recipe=recipe(**{changes!r}))\n"
        )
        checkpoint = tmp_path / "cut" / training.CHECKPOINT_FILE
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(["tests", "."])}
        process = subprocess.Popen([sys.executable, "-c", script], env=environment)
        deadline = time.monotonic() + 300  # loading torch takes long on a busy machine
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert checkpoint.exists()
        threads = models.torch.get_num_threads()
        models.torch.set_num_threads(1)
        for name in ("cut", "whole"):
            go(tmp_path / name, recipe=recipe(**changes))
        models.torch.set_num_threads(threads)
        assert weights(tmp_path / "cut") == weights(tmp_path / "whole")

    def test_a_checkpoint_of_another_recipe_is_not_used(self, tmp_path, monkeypatch):
        with monkeypatch.context() as patch:
            self.stop_after(2, patch)
            with pytest.raises(KilledError):
                go(tmp_path / "cut", recipe=recipe(seed=1))
        go(tmp_path / "cut")
        go(tmp_path / "whole")
        assert weights(tmp_path / "cut") == weights(tmp_path / "whole")

    @pytest.mark.parametrize("content", [b"", b"not a checkpoint", "truncated"])
    def test_a_damaged_checkpoint_costs_time_only(self, tmp_path, monkeypatch, content, caplog):
        path = tmp_path / training.CHECKPOINT_FILE
        with monkeypatch.context() as patch:
            self.stop_after(1, patch)
            with pytest.raises(KilledError):
                go(tmp_path)
        path.write_bytes(path.read_bytes()[:-5000] if content == "truncated" else content)
        assert len(go(tmp_path)) == 6
        assert "training starts anew" in caplog.text


class TestRefusal:
    def refuses(self, folder, match, *, data=None, **changes):
        with pytest.raises(TrainingError, match=match):
            go(folder, data=data, **changes)
        assert not folder.exists() or not list(folder.iterdir())

    def test_faces_of_another_size(self, tmp_path):
        self.refuses(tmp_path, r"needed is uint8 \(N, 32, 32, 3\)", recipe=recipe(size=32))

    def test_faces_of_another_type(self, tmp_path):
        images, labels, splits = faces()
        self.refuses(tmp_path, "faces are float64", data=(images / 255, labels, splits))

    def test_columns_of_different_length(self, tmp_path):
        images, labels, splits = faces()
        self.refuses(tmp_path, "90 faces, 89 labels", data=(images, labels[1:], splits))

    def test_a_label_that_is_no_class(self, tmp_path):
        images, labels, splits = faces()
        self.refuses(tmp_path, "labels must be 0 to 2", data=(images, labels + 1, splits))

    @pytest.mark.parametrize(
        "shares",
        [np.full((90, 3), 0.5), np.full((90, 3), np.nan), np.tile([1.5, -0.5, 0], (90, 1))],
    )
    def test_shares_that_are_none(self, tmp_path, shares):
        images, _, splits = faces()
        self.refuses(tmp_path, "each row summing to 1", data=(images, shares, splits))

    def test_shares_of_other_classes(self, tmp_path):
        images, _, splits = faces()
        data = (images, np.full((90, 4), 0.25), splits)
        self.refuses(tmp_path, r"shares of these \(N, 3\); they are float64 \(90, 4\)", data=data)

    def test_a_class_without_a_training_face(self, tmp_path):
        images, labels, splits = faces()
        emptied = np.where(labels == 1, "val", splits)
        self.refuses(tmp_path, "no training face of happy", data=(images, labels, emptied))

    def test_no_validation_face(self, tmp_path):
        images, labels, splits = faces()
        everything = np.full_like(splits, "train", dtype="<U5")
        self.refuses(tmp_path, "no face of split 'val'", data=(images, labels, everything))

    def test_an_unknown_network(self, tmp_path):
        with pytest.raises(models.ModelError, match="no model 'resnet'"):
            go(tmp_path, recipe=recipe(model="resnet"))

    def test_a_loss_that_explodes_saves_nothing(self, tmp_path):
        self.refuses(
            tmp_path, "lower learning_rate", recipe=recipe(learning_rate=1e30, optimizer="sgd")
        )


def test_weights_are_float32_and_whole(tmp_path):
    go(tmp_path)
    found = load_file(tmp_path / models.WEIGHTS_FILE)
    assert found["fc.weight"].shape == (3, 64)
    assert {str(value.dtype) for value in found.values()} == {"float32", "int64"}


@pytest.mark.slow
def test_the_tiny_network_learns_the_worlds_faces(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(800) % 5
    images = [
        render_face(rng, tables.FIVE[k], size=48, style="lab", intensity=1.2, pose_scale=0)
        for k in labels
    ]
    splits = np.where(np.arange(800) < 640, "train", "val")
    settings = recipe(size=48, epochs=30, learning_rate=5e-3, scheduler="cosine")
    go(tmp_path, data=(np.stack(images), labels, splits), recipe=settings, classes=tables.FIVE)
    assert models.load(tmp_path).card["val"]["accuracy"] > 0.9
