"""Networks by name, and models on disk: what is saved is what is loaded, or a clear refusal."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from exe_core import inference, models
from exe_core.labels import EMOTIONS, prob_columns
from exe_core.models import ModelError, Preprocessing
from exe_core.study import ROOT

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


class TestHalfPrecision:
    """The weights of a ready model are stored in half the space."""

    def test_takes_half_the_space_and_answers_nearly_the_same(self, tmp_path):
        network = trained("resnet18-small")
        for stored in ("float32", "float16"):
            models.save(network, tmp_path / stored, card=card("resnet18-small"), stored=stored)
        sizes = [
            (tmp_path / x / models.WEIGHTS_FILE).stat().st_size for x in ("float16", "float32")
        ]
        assert sizes[0] < 0.51 * sizes[1]
        found = models.load(tmp_path / "float16")
        assert found.card["stored"] == "float16"
        assert {w.dtype for w in found.network.parameters()} == {torch.float32}
        with torch.inference_mode():
            one, other = (net(images()).softmax(1) for net in (network, found.network))
        assert torch.allclose(one, other, atol=5e-3)
        assert not torch.equal(one, other)

    def test_a_weight_that_does_not_fit_is_refused(self, tmp_path):
        network = trained()
        torch.nn.init.constant_(network.fc.bias, 1e6)
        with pytest.raises(ModelError, match=r"fc\.bias holds what torch\.float16 can't"):
            models.save(network, tmp_path, card=card(), stored="float16")
        assert not (tmp_path / models.CARD_FILE).exists()


class TestReadyModels:
    @pytest.fixture
    def shelf(self, tmp_path, monkeypatch):
        monkeypatch.setattr(models, "READY", tmp_path)
        models.save(trained(), tmp_path / "fer7", card=card())
        return tmp_path

    def test_is_loaded_by_its_name(self, shelf):
        by_name, by_folder = models.load("fer7"), models.load(shelf / "fer7")
        assert by_name.card == by_folder.card
        with torch.inference_mode():
            assert torch.equal(by_name.network(images()), by_folder.network(images()))

    @pytest.mark.parametrize("name", ["fer8", "../fer7", "", "fer7/"])
    def test_another_name_lists_those_there_are(self, shelf, name):
        with pytest.raises(ModelError, match=r"there are: fer7.*by its folder"):
            models.load(name)


class TestFlipAverage:
    def test_the_answer_is_the_mean_of_the_two_probabilities(self):
        network = trained()
        faces = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
        plain, flipping = Preprocessing(size=32), Preprocessing(size=32, flip_average=True)
        with torch.inference_mode():
            found = models.logits_of(network, faces, shown=flipping).softmax(1)
            one, other = (
                models.logits_of(network, x, shown=plain).softmax(1)
                for x in (faces, faces.flip(dims=(2,)))
            )
            again = models.logits_of(network, faces.flip(dims=(2,)), shown=flipping).softmax(1)
        assert torch.allclose(found, (one + other) / 2, atol=1e-6)
        assert torch.allclose(found, again, atol=1e-6), "a mirror changes nothing any more"
        assert not torch.allclose(one, other, atol=1e-4)

    def test_answers_are_float32_whatever_the_weights_are(self):
        network = trained().bfloat16()
        faces = torch.zeros(2, 32, 32, 3, dtype=torch.uint8)
        found = models.logits_of(network, faces, shown=Preprocessing(size=32, flip_average=True))
        assert found.dtype == torch.float32


class TestNames:
    def test_the_width_of_a_network_is_part_of_its_name(self):
        assert models.build("resnet18-fer:8", n_classes=2).fc.in_features == 64
        assert models.find("resnet18-fer:8").preprocessing.size == 48

    @pytest.mark.parametrize("name", ["resnet18-fer:", "resnet18-fer:0", "tiny:3", "timm:", ":"])
    def test_others_of_the_kind_are_refused(self, name):
        with pytest.raises(ModelError, match="no model"):
            models.find(name)

    def test_a_backbone_of_timm_comes_with_its_preprocessing(self):
        found = models.find("timm:test_resnet")
        assert found.preprocessing.size == 160
        assert found.preprocessing.mean == (0.5, 0.5, 0.5), "not that of ImageNet"
        assert found.builder(4)(images(2)).shape == (2, 4)

    def test_a_backbone_that_timm_does_not_have_names_those_near(self):
        with pytest.raises(
            ModelError, match=r"timm has no model 'convnextv2_tiney'.*convnextv2_tiny"
        ):
            models.find("timm:convnextv2_tiney")

    def test_a_backbone_of_timm_comes_back_from_disk(self, tmp_path):
        network = models.build("timm:test_resnet", n_classes=3).eval()
        models.save(network, tmp_path, card=card("timm:test_resnet"))
        with torch.inference_mode():
            expected = network.to(memory_format=torch.channels_last)(images())
            assert torch.equal(models.load(tmp_path).network(images()), expected)


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

    def test_a_pickle_that_would_run_code_runs_none(self, folder, tmp_path):
        path, trace = folder / models.WEIGHTS_FILE, tmp_path / "trace"
        path.write_bytes(pickle.dumps(Malicious(trace)))
        changed = json.loads((folder / models.CARD_FILE).read_text())
        changed["weights_sha256"] = models.record.digest(path)
        (folder / models.CARD_FILE).write_text(json.dumps(changed))
        with pytest.raises(ModelError, match="do not fit"):
            models.load(folder)
        assert not trace.exists()


class Malicious:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return self.trace.touch, ()


def test_logits_are_shifted_for_good():
    network = models.build("tiny", n_classes=3).eval()
    faces = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        before = network(faces)
        models.shift_logits(network, [0.5, 0.0, -1.0])
        assert torch.allclose(network(faces), before + torch.tensor([0.5, 0.0, -1.0]), atol=1e-6)
    with pytest.raises(ModelError, match="does not end in a linear layer of 4 biases"):
        models.shift_logits(network, [0.0] * 4)


class TestFer7:
    """The ready model of the paper."""

    def test_is_at_hand_small_and_answers_every_emotion(self):
        ready = models.load("fer7")
        assert ready.labels == EMOTIONS
        weights = ROOT / "data" / "models" / "fer7" / models.WEIGHTS_FILE
        assert weights.stat().st_size < 25e6
        faces = [np.full((90, 70, 3), 128, np.uint8), np.zeros((20, 30, 3), np.uint8)]
        table = inference.predict_images(ready, faces)
        assert list(table.columns) == ["predicted", *prob_columns(EMOTIONS)]
        assert table[prob_columns(EMOTIONS)].sum(axis=1).to_numpy() == pytest.approx(1)

    def test_tells_what_it_learned_and_how_good_it_is(self):
        card = models.load("fer7").card
        assert card["learned_from"] == {
            "sets": ["fer2013"],
            "labels": "the shares of the annotators' votes",
        }
        scores = {(row["set_name"], row["metric"]): row for row in card["scores"]}
        stills = scores["film_faces: happy, sad, neutral", "balanced_accuracy"]
        assert stills["low"] < stills["value"] < stills["high"]
        assert stills["n_groups"] <= 5, "persons in the stills"
        assert card["limits"]
