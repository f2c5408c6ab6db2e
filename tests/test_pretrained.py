"""ImageNet weights replace all but the last layer, or the message says what to do."""

from urllib.error import URLError

import pytest
import timm
import torch
import torchvision

from exe_core import models
from exe_core.models import WeightsError


class TestWeights:
    def test_imagenet_replaces_all_but_the_last_layer(self, monkeypatch):
        donor = models.build("resnet18", n_classes=1000, seed=7).state_dict()
        source = type("Source", (), {"get_state_dict": lambda self, **_: donor})
        monkeypatch.setattr(torchvision.models, "get_weight", lambda name: source())
        network = models.build("resnet18", n_classes=3, weights="imagenet")
        assert torch.equal(network.layer4[0].conv1.weight, donor["layer4.0.conv1.weight"])
        assert network.fc.out_features == 3

    def test_an_unreachable_host_says_what_to_do(self, monkeypatch, tmp_path):
        def refuse(*args, **kwargs):
            raise URLError("no route to host")

        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setattr("torch.hub.urlopen", refuse)
        with pytest.raises(WeightsError, match=r"weights: none.*resnet18-f37072fd.pth"):
            models.build("resnet18", n_classes=2, weights="imagenet")

    def test_a_damaged_file_in_the_cache_says_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        cached = tmp_path / "hub/checkpoints/resnet18-f37072fd.pth"
        cached.parent.mkdir(parents=True)
        cached.write_bytes(b"<html>not found</html>")
        with pytest.raises(WeightsError, match="weights: none"):
            models.build("resnet18", n_classes=2, weights="imagenet")

    def test_a_network_without_them_says_which_have(self):
        with pytest.raises(WeightsError, match=r"tiny has no weights 'imagenet'.*resnet18"):
            models.build("tiny", n_classes=2, weights="imagenet")

    def test_others_are_refused(self):
        with pytest.raises(WeightsError, match="'imagenet', 'msceleb' and 'none'"):
            models.build("tiny", n_classes=2, weights="vggface")


class TestTimm:
    NAME = "test_resnet"  # timm's own, for tests: 0.4 million weights

    def test_imagenet_replaces_all_but_the_last_layer(self, monkeypatch):
        create = timm.create_model

        def pretend(name, *, pretrained=False, **kwargs):
            network = create(name, **kwargs)
            if pretrained:
                torch.nn.init.constant_(next(network.parameters()), 0.25)
            return network

        monkeypatch.setattr(timm, "create_model", pretend)
        network = models.build(f"timm:{self.NAME}", n_classes=3, weights="imagenet")
        assert (next(network.parameters()) == 0.25).all()
        assert network.get_classifier().out_features == 3

    def test_an_unreachable_host_says_what_to_do(self, monkeypatch, tmp_path):
        monkeypatch.setattr("timm.models._hub.hf_hub_download", refuse)
        with pytest.raises(WeightsError, match=r"(?s)no route to host.*weights: none.*HF_HOME"):
            models.build(f"timm:{self.NAME}", n_classes=3, weights="imagenet")


def refuse(*args, **kwargs):
    raise URLError("no route to host")
