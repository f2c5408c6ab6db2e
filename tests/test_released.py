"""Released weights are read as tensors; nothing that a file says is ever run."""

import pickle
import sys
import types

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from exe_core import ddamfn, models
from exe_core.ddamfn import DDAMFN, mixed_feature_net
from exe_core.models import CheckpointError, WeightsError


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


class TestCheckpoint:
    def test_loads_into_the_network(self, tmp_path):
        network = DDAMFN(7)
        path = tmp_path / "rafdb_epoch20.pth"
        torch.save(
            {"iter": 20, "model_state_dict": network.state_dict(), "optimizer_state_dict": {}}, path
        )
        other = DDAMFN(7)
        other.load_state_dict(models.read_checkpoint(path))
        assert all(
            torch.equal(tensor, other.state_dict()[name])
            for name, tensor in network.state_dict().items()
        )

    @pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2]])
    def test_without_a_state_dict_is_refused(self, tmp_path, content):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match="no checkpoint with a state dict"):
            models.read_checkpoint(tmp_path / "x.pth")

    @pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
    def test_damaged_is_refused(self, tmp_path, content):
        (tmp_path / "x.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"x\.pth is no checkpoint"):
            models.read_checkpoint(tmp_path / "x.pth")

    def test_a_pickled_module_is_not_opened_by_it(self, tmp_path, authors):
        torch.save(authors([]), tmp_path / "x.pth")
        with pytest.raises(CheckpointError, match="convert-backbone"):
            models.read_checkpoint(tmp_path / "x.pth")


class TestPickledBackbone:
    def test_gives_the_very_weights(self, tmp_path, authors):
        backbone = mixed_feature_net()
        expected = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        torch.save(authors(list(backbone.children())), tmp_path / "MFN.pth")
        written = models.convert_backbone(tmp_path / "MFN.pth", tmp_path / "new/mfn.safetensors")
        found = load_file(written)
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        assert [path.name for path in written.parent.iterdir()] == ["mfn.safetensors"]

    def test_needs_none_of_its_classes(self, tmp_path, authors, monkeypatch):
        torch.save(authors(list(mixed_feature_net().children())), tmp_path / "MFN.pth")
        monkeypatch.delitem(sys.modules, "networks.MixedFeatureNet")
        monkeypatch.delitem(sys.modules, "networks")
        assert models.convert_backbone(tmp_path / "MFN.pth", tmp_path / "mfn").is_file()

    def test_runs_nothing_of_it(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (eval, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

        self.refused(tmp_path, Trap(), match=r"names .*eval: no part of a network")
        assert not (tmp_path / "sprung").exists()

    def test_does_not_call_the_classes_that_it_names(self, tmp_path):
        class Trap:
            def __reduce__(self):
                return (nn.Linear, (2, 2))

        self.refused(tmp_path, Trap(), match="holds no MixedFeatureNet")

    def test_another_network_is_refused(self, tmp_path, authors):
        self.refused(tmp_path, authors([nn.Conv2d(3, 4, 3)]), match="holds no MixedFeatureNet")

    def test_a_state_dict_is_refused(self, tmp_path):
        self.refused(tmp_path, {"a": torch.zeros(1)}, match="holds no MixedFeatureNet")

    @pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps([1, 2])])
    def test_what_torch_did_not_write_is_refused(self, tmp_path, content):
        (tmp_path / "MFN.pth").write_bytes(content)
        with pytest.raises(CheckpointError, match=r"MFN\.pth was not written by torch"):
            models.convert_backbone(tmp_path / "MFN.pth", tmp_path / "mfn")

    def refused(self, folder, content, *, match):
        torch.save(content, folder / "MFN.pth")
        with pytest.raises(CheckpointError, match=match):
            models.convert_backbone(folder / "MFN.pth", folder / "mfn")
        assert not (folder / "mfn").exists()


class TestBackboneWeights:
    def test_replace_the_features_of_the_network_and_nothing_else(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        backbone = mixed_feature_net()
        models.backbone_path().parent.mkdir(parents=True)
        save_file(backbone.state_dict(), models.backbone_path())
        plain, started = (
            models.build("ddamfn", n_classes=7, weights=w) for w in ("none", "msceleb")
        )
        assert all(
            torch.equal(started.features.state_dict()[name], tensor)
            for name, tensor in backbone.state_dict().items()
        )
        assert torch.equal(plain.fc.weight, started.fc.weight)

    def test_that_are_missing_or_damaged_say_what_to_do(self, tmp_path, monkeypatch):
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        with pytest.raises(WeightsError, match="exe convert-backbone"):
            models.build("ddamfn", n_classes=7, weights="msceleb")
        models.backbone_path().parent.mkdir(parents=True)
        models.backbone_path().write_bytes(b"<html>")
        with pytest.raises(WeightsError, match=r"damaged.*exe convert-backbone"):
            models.build("ddamfn", n_classes=7, weights="msceleb")

    def test_are_of_ddamfn_alone(self):
        with pytest.raises(WeightsError, match=r"tiny has no weights 'msceleb' \(those of ddamfn"):
            models.build("tiny", n_classes=2, weights="msceleb")
        with pytest.raises(WeightsError, match="ddamfn has no weights 'imagenet'"):
            models.build("ddamfn", n_classes=2, weights="imagenet")
