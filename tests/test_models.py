"""Networks by name, and models on disk: what is saved is what is loaded, or a clear refusal."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from exe_core import models
from exe_core.models import ModelError, Preprocessing

LABELS = ["angry", "happy", "sad"]


def images(n=2, *, size=32, seed=0):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


def shown(name, n=2, *, seed=0):
    """Make images of a size that the network takes, and that is quickly passed."""
    return images(n, size=min(models.find(name).preprocessing.size, 112), seed=seed)


def trained(name="tiny", *, seed=1):
    """Build a network whose batch norm has seen something."""
    network = models.build(name, n_classes=len(LABELS), seed=seed)
    network.train()(shown(name, 4, seed=seed))
    return network.eval()


def card(name="tiny", **changes):
    return {"model": name, "labels": LABELS, "preprocessing": Preprocessing(size=32), **changes}


@pytest.fixture
def folder(tmp_path):
    models.save(trained(), tmp_path / "run", card=card())
    return tmp_path / "run"


@pytest.mark.parametrize("name", models.REGISTRY)
class TestEveryName:
    def test_gives_a_finite_number_for_each_class(self, name):
        found = trained(name)(shown(name))
        assert found.shape == (2, 3)
        assert found.isfinite().all()

    def test_comes_back_from_disk_with_equal_outputs(self, name, tmp_path):
        network = trained(name)
        models.save(network, tmp_path, card=card(name))
        with torch.inference_mode():
            expected = network.to(memory_format=torch.channels_last)(shown(name))
            assert torch.equal(models.load(tmp_path).network(shown(name)), expected)

    def test_is_the_same_network_for_the_same_seed(self, name):
        one, same, other = (models.build(name, n_classes=2, seed=s).state_dict() for s in (1, 1, 2))
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert not torch.equal(one["fc.weight"], other["fc.weight"])


def test_building_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    models.build("tiny", n_classes=2)
    assert torch.equal(torch.get_rng_state(), state)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelError, match="no model 'resnet-18'; models are resnet18"):
        models.build("resnet-18", n_classes=2)


class TestPreprocessing:
    def test_pixels_become_channels_between_0_and_1(self):
        pixels = torch.tensor([[[[0, 51, 255]]]], dtype=torch.uint8)
        found = Preprocessing().to_float(pixels)
        assert found.shape == (1, 3, 1, 1)
        assert found.flatten().tolist() == pytest.approx([0, 0.2, 1])

    def test_gray_is_that_of_a_gray_file(self):
        pixels = torch.randint(0, 256, (1, 40, 40, 3), dtype=torch.uint8)
        expected = np.asarray(Image.fromarray(pixels[0].numpy()).convert("L"))
        found = (Preprocessing(gray=True).to_float(pixels)[0] * 255).round()
        assert all(np.array_equal(channel, expected) for channel in found)

    def test_gray_pixels_stay_as_they_are(self):
        pixels = torch.randint(0, 256, (1, 9, 9, 1), dtype=torch.uint8).expand(-1, -1, -1, 3)
        gray, colour = Preprocessing(gray=True), Preprocessing()
        assert torch.equal(gray.to_float(pixels), colour.to_float(pixels))

    def test_normalised_channels_have_mean_0_and_deviation_1(self):
        shown = Preprocessing(mean=(0.5, 0.4, 0.3), std=(0.2, 0.1, 0.5))
        mean, std = (torch.tensor(x).view(1, 3, 1, 1) for x in (shown.mean, shown.std))
        assert shown.normalise(mean).flatten().tolist() == [0, 0, 0]
        assert shown.normalise(mean + std).flatten().tolist() == pytest.approx([1, 1, 1])


class TestCard:
    def test_keeps_labels_preprocessing_and_what_else_was_given(self, tmp_path):
        shown = Preprocessing(size=48, mean=(0.5, 0.5, 0.5), gray=True)
        models.save(trained(), tmp_path, card=card(preprocessing=shown, note="by hand"))
        found = models.load(tmp_path, labels=LABELS)
        assert found.labels == tuple(LABELS)
        assert found.preprocessing == shown
        assert found.card["note"] == "by hand"

    def test_other_labels_are_refused(self, folder):
        with pytest.raises(ModelError, match="angry, happy, sad; needed are angry, sad"):
            models.load(folder, labels=["angry", "sad"])

    def test_another_order_of_labels_is_refused(self, folder):
        with pytest.raises(ModelError, match="needed are happy, angry, sad, in this order"):
            models.load(folder, labels=["happy", "angry", "sad"])

    def test_an_incomplete_card_is_not_written(self, tmp_path):
        with pytest.raises(ModelError, match="needs labels, preprocessing"):
            models.save(trained(), tmp_path, card={"model": "tiny"})

    def test_a_model_of_an_unknown_network_is_refused(self, folder):
        path = folder / models.CARD_FILE
        path.write_text(path.read_text().replace('"tiny"', '"vgg99"'))
        with pytest.raises(ModelError, match="no model 'vgg99'"):
            models.load(folder)

    @pytest.mark.parametrize("content", ["", "{", "[1, 2]", "\x00\x01"])
    def test_a_damaged_card_is_refused(self, folder, content):
        (folder / models.CARD_FILE).write_text(content)
        with pytest.raises(ModelError, match="train"):
            models.load(folder)

    def test_a_card_without_a_key_names_the_key(self, folder):
        path = folder / models.CARD_FILE
        content = json.loads(path.read_text())
        del content["labels"]
        path.write_text(json.dumps(content))
        with pytest.raises(ModelError, match="lacks labels"):
            models.load(folder)

    def test_a_wrong_preprocessing_is_refused(self, folder):
        path = folder / models.CARD_FILE
        content = json.loads(path.read_text()) | {"preprocessing": {"size": 32}}
        path.write_text(json.dumps(content))
        with pytest.raises(ModelError, match="preprocessing must hold"):
            models.load(folder)

    def test_no_model_at_all_says_so(self, tmp_path):
        with pytest.raises(ModelError, match="no model in nowhere"):
            models.load(tmp_path / "nowhere")


class TestDamagedWeights:
    def test_truncated(self, folder):
        path = folder / models.WEIGHTS_FILE
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ModelError, match="train the model again"):
            models.load(folder)

    def test_missing(self, folder):
        (folder / models.WEIGHTS_FILE).unlink()
        with pytest.raises(ModelError, match="missing"):
            models.load(folder)

    def test_of_another_model(self, folder, tmp_path):
        models.save(trained(seed=9), tmp_path / "other", card=card())
        (tmp_path / "other" / models.WEIGHTS_FILE).replace(folder / models.WEIGHTS_FILE)
        with pytest.raises(ModelError, match="not its card's"):
            models.load(folder)

    def test_that_do_not_fit_the_network(self, folder):
        path = folder / models.WEIGHTS_FILE
        kept = load_file(path)
        del kept["fc.bias"]
        save_file(kept, path)
        changed = json.loads((folder / models.CARD_FILE).read_text())
        changed["weights_sha256"] = models.record.digest(path)
        (folder / models.CARD_FILE).write_text(json.dumps(changed))
        with pytest.raises(ModelError, match=r"(?s)do not fit.*fc\.bias"):
            models.load(folder)

    def test_a_pickle_is_never_opened(self, folder):
        path = folder / models.WEIGHTS_FILE
        torch.save(trained(), path)
        changed = json.loads((folder / models.CARD_FILE).read_text())
        changed["weights_sha256"] = models.record.digest(path)
        (folder / models.CARD_FILE).write_text(json.dumps(changed))
        with pytest.raises(ModelError, match="do not fit"):
            models.load(folder)
