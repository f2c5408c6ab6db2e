"""Predictions depend on faces alone, ensembles learn from val alone, maps follow the weights."""

import dataclasses
from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sample_answers import COLUMNS, predictions
from sample_answers import LABELS as THREE
from scipy.special import softmax
from scipy.stats import spearmanr
from torch import nn

from exe_core import inference, models, tables
from exe_core.faces import load_faces
from exe_core.inference import (
    InferenceError,
    fuse_for_inference,
    grad_cam,
    mean_of_runs,
    predict,
    predict_faces,
    predict_images,
    restrict_to_labels,
    stack,
)
from exe_core.labels import SchemaError, prob_columns

LABELS = ("angry", "happy", "sad")


def classifier(name="tiny", *, size=32, gray=False, seed=0):
    network = models.build(name, n_classes=3, seed=seed)
    with torch.no_grad():
        network.train()(torch.rand(8, 3, size, size, generator=torch.manual_seed(seed)))
    shown = models.Preprocessing(size=size, gray=gray)
    return models.Classifier(network.eval(), LABELS, shown, {"model": name})


def images(n=7, *, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


class TestPredict:
    def test_is_the_softmax_of_the_network_in_double_precision(self):
        model, faces = classifier(), images()
        floats = torch.from_numpy(faces).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            expected = model.network(model.preprocessing.normalise(floats)).softmax(dim=1)
        model.network.train()  # as it may be left
        found = predict(model, faces)
        assert found == pytest.approx(expected.numpy(), abs=1e-6)
        assert found.dtype == np.float64
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-12

    def test_a_face_and_its_mirror_image_are_averaged_where_the_card_says_so(self):
        model, faces = classifier(), images()
        both = dataclasses.replace(model.preprocessing, flip_average=True)
        found = predict(dataclasses.replace(model, preprocessing=both), faces)
        mirrored = predict(model, np.ascontiguousarray(faces[:, :, ::-1]))
        assert found == pytest.approx((predict(model, faces) + mirrored) / 2, abs=1e-6)

    def test_a_list_of_any_sizes_is_resized(self):
        big, wide = images(1, size=80)[0], images(1, size=64)[0][:40]
        resized = [
            np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
            for image in (big, wide)
        ]
        found = predict(classifier(), [big, wide])
        assert found == pytest.approx(predict(classifier(), resized), abs=1e-6)
        assert predict(classifier(), []).shape == (0, 3)

    def test_another_kind_of_image_is_refused(self):
        for shape in (32, 32), (32, 32, 4), (0, 32, 3):
            for use in (predict, predict_images):
                with pytest.raises((ValueError, TypeError), match=r"uint8 .*\(H, W, 3\)|too small"):
                    use(classifier(), [images(1)[0], np.zeros(shape, np.uint8)])
        for image in (None, b"abc", 3, [[0]], np.zeros((8, 8, 3))):
            with pytest.raises(TypeError, match="is no image: give a path, a PIL image or"):
                predict_images(classifier(), [image])

    def test_a_gray_trained_classifier_sees_no_colours(self):
        faces, gray = images(), classifier(gray=True)
        luma = models.Preprocessing(gray=True).to_float(torch.from_numpy(faces)) * 255
        in_gray = luma.round().byte().permute(0, 2, 3, 1).numpy()
        assert np.array_equal(predict(gray, faces), predict(gray, in_gray))
        assert not np.allclose(predict(classifier(), faces), predict(gray, faces))


def test_arrays_pictures_and_paths_give_the_same(tmp_path):
    model, face = classifier(), images(1, size=40)[0]
    path = tmp_path / "a.png"
    Image.fromarray(face).save(path)
    table = predict_images(model, [face, Image.fromarray(face), path, str(path)])
    assert list(table) == ["predicted", "prob_angry", "prob_happy", "prob_sad"]
    probabilities = table[prob_columns(LABELS)].to_numpy()
    assert np.array_equal(probabilities, predict(model, [face] * 4))
    assert set(table["predicted"]) == {LABELS[probabilities[0].argmax()]}
    assert predict_images(model, []).empty


def test_restricted_probabilities_are_those_of_before_divided_by_their_sum():
    model, faces = classifier(), images(20)
    found = restrict_to_labels(model, ("sad", "angry"))
    whole = predict(model, faces)[:, [2, 0]]
    assert found.labels == ("sad", "angry")
    assert predict(found, faces) == pytest.approx(whole / whole.sum(axis=1, keepdims=True))
    assert restrict_to_labels(model, LABELS) is model
    with pytest.raises(InferenceError, match="answers angry, happy, sad, and not fear"):
        restrict_to_labels(model, ("angry", "fear"))


def test_fused_networks_predict_the_same_and_leave_the_plain_ones(caplog):
    caplog.set_level("INFO")
    names = ("tiny", "resnet18-small", "ddamfn")  # the last one can't be fused
    plain = [classifier(name, size=112, seed=3) for name in names]
    plain.append(restrict_to_labels(plain[0], ("sad", "angry")))
    faces = images(3, size=112)
    for model in plain:
        before = {key: value.clone() for key, value in model.network.state_dict().items()}
        found = predict(fuse_for_inference(model), faces)
        assert found == pytest.approx(predict(model, faces), abs=1e-6)
        after = model.network.state_dict()
        assert all(torch.equal(before[key], value) for key, value in after.items())
    assert caplog.text.count("stays unfused") == 1


@pytest.fixture
def stored(tmp_path):
    """Write five items' crops, one item with a second face; give faces and splits."""
    faces = pd.DataFrame({"item": [0, 1, 1, 2, 3, 4], "k": [0, 0, 1, 0, 0, 0]})
    names = [f"{item}/{k}" for item, k in faces.to_numpy()]
    faces["path"] = [str(tmp_path / f"{name.replace('/', '-')}.png") for name in names]
    for seed, path in enumerate(faces["path"]):
        Image.fromarray(images(1, size=40, seed=seed)[0]).save(path)
    faces["face_id"] = [f"s/{name}" for name in names]
    faces["item_id"], faces["group_id"] = (f"{x}" + faces["item"].astype(str) for x in ("s:", "g"))
    faces["label"] = [[*LABELS, None, "fear"][item] for item in faces.pop("item")]
    faces["is_primary"] = faces.pop("k") == 0
    box = {"x_px": 0, "y_px": 0, "width_px": 40, "height_px": 40, "area_share": 1.0}
    faces = faces.assign(set_name="s", score=0.9, split_given=None, **box)
    faces = tables.check(faces[list(tables.TABLES["faces"].columns)], "faces")
    return faces, faces[["face_id", "set_name", "group_id"]].assign(split="test")


def test_one_row_an_item_has_the_probabilities_of_its_primary_face(stored, monkeypatch):
    faces, splits = stored
    monkeypatch.setattr(inference, "_FACES_AT_ONCE", 2)
    found = predict_faces(classifier(), faces, run_id="r", splits=splits)
    assert found["item_id"].tolist() == [f"s:{k}" for k in range(5)]
    assert found["group_id"].tolist() == [f"g{k}" for k in range(5)]
    assert found["label"].tolist()[:3] == list(LABELS)
    assert pd.isna(found["label"].iloc[3])
    expected = predict(classifier(), load_faces(faces[faces["is_primary"]], size=32))
    assert found[prob_columns(LABELS)].to_numpy() == pytest.approx(expected, abs=1e-6)
    assert found["predicted"].tolist() == [LABELS[k] for k in expected.argmax(axis=1)]
    assert predict_faces(classifier(), faces[:0], run_id="r", splits=splits).empty
    with pytest.raises(SchemaError, match="split"):
        predict_faces(classifier(), faces, run_id="r", splits=splits.drop(index=3))


def test_the_mean_is_taken_item_by_item_of_runs_that_fit():
    one, two = predictions(seed=1), predictions(seed=2, run="b")
    found = mean_of_runs([one, two], run_id="exe")
    assert found[COLUMNS].to_numpy() == pytest.approx((one[COLUMNS] + two[COLUMNS]) / 2)
    assert set(found["run_id"]) == {"exe"}
    shuffled = two.sample(frac=1, random_state=0).reset_index(drop=True)
    assert mean_of_runs([one, shuffled], run_id="exe").equals(found)
    with pytest.raises(InferenceError, match="at least one run"):
        mean_of_runs([], run_id="exe")
    others = [two[:-1], two.rename(columns={"prob_sad": "prob_surprise"})]
    for column, value in (("split", "val"), ("group_id", "x"), ("label", "sad")):
        others.append(two.copy())
        others[-1].loc[0, column] = value
    for other in others:
        with pytest.raises(InferenceError, match="b and a differ"):
            mean_of_runs([one, other], run_id="exe")


def two_runs(n=600):
    """Draw predictions of the same faces by a good and a worse run; a third of them is val."""
    rng = np.random.default_rng(0)
    truth, runs = rng.integers(3, size=n), []
    labels, splits = [THREE[k] for k in truth], np.where(np.arange(n) % 3 == 0, "val", "test")
    for run, noise in (("a", 1.0), ("b", 3.0)):
        seen = softmax(np.eye(3)[truth] + noise * rng.normal(size=(n, 3)), axis=1)
        table = predictions(probabilities=seen, labels=labels, run=run)
        runs.append(table.assign(split=splits))
    return runs


def test_stacking_learns_from_val_faces_alone():
    runs = two_runs()
    test = runs[0]["split"] == "test"
    wrong = dict(zip(THREE, [*THREE[1:], THREE[0]], strict=True))
    expected = stack(runs, run_id="e")[COLUMNS]
    for rows, changes in ((test, False), (~test, True)):
        misled = [table.copy() for table in runs]
        for table in misled:
            table.loc[rows, "label"] = table["label"][rows].map(wrong)
        found = stack(misled, run_id="e")[COLUMNS]
        assert found.equals(expected) != changes
    assert not np.allclose(found, expected, atol=0.05)
    sad = (runs[0]["label"] == "sad") & ~test
    with pytest.raises(InferenceError, match="no val face shows sad"):
        stack([table[~sad] for table in runs], run_id="e")


def test_stacking_is_better_than_the_mean_in_any_order_of_rows():
    one, two = runs = two_runs(6000)
    found = stack(runs, run_id="both")
    right, of_mean = (
        (table["predicted"] == table["label"])[table["split"] == "test"].mean()
        for table in (found, mean_of_runs(runs, run_id="e"))
    )
    assert right > of_mean
    shuffled = two.sample(frac=1, random_state=0).reset_index(drop=True)
    pd.testing.assert_frame_equal(stack([one, shuffled], run_id="both"), found)


@pytest.fixture
def colours():
    """A network of cells of 8 px whose angry is red, happy green and sad blue."""
    layer = nn.Conv2d(3, 3, 8, stride=8, bias=False)
    layer.weight.data = torch.eye(3).view(3, 3, 1, 1).expand(3, 3, 8, 8) / 64
    fc = nn.Linear(3, 3, bias=False)
    fc.weight.data = torch.eye(3)
    parts = OrderedDict(layer1=layer, pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten(), fc=fc)
    shown = models.Preprocessing(size=64, mean=(0, 0, 0), std=(1, 1, 1))
    return models.Classifier(nn.Sequential(parts).eval(), LABELS, shown, {"model": "colours"})


def patched():
    """A black image with a red cell at (1, 2) and a blue one at (6, 5)."""
    image = np.zeros((1, 64, 64, 3), np.uint8)
    image[0, 8:16, 16:24, 0] = 255
    image[0, 48:56, 40:48, 2] = 255
    return image


def test_a_map_points_at_what_speaks_for_the_label(colours):
    for label, cell in (("angry", (1, 2)), ("sad", (6, 5))):
        found = grad_cam(colours, patched(), labels=[label])
        assert found.shape == (1, 8, 8)
        assert np.unravel_index(found[0].argmax(), (8, 8)) == cell
        assert np.count_nonzero(found[0] > 1e-6) == 1
    assert not grad_cam(colours, patched(), labels=["happy"]).any(), "nothing is green"


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [
        ("tiny", 32, 8),
        ("resnet18-small", 64, 8),
        ("ddamfn", 112, 7),
        ("timm:convnextv2_atto", 112, 7),
        ("timm:convnextv2_atto", 224, 7),
    ],
)
def test_maps_are_of_the_deepest_stage_that_is_fine_enough(name, size, side):
    found = grad_cam(classifier(name, size=size), images(1, size=size), labels=["sad"])
    assert found.shape == (1, side, side)
    with pytest.raises(ValueError, match="is fine enough at 8 px"):
        grad_cam(classifier(size=8), images(1, size=8), labels=["sad"])


def test_maps_change_with_the_weights_and_not_with_their_neighbours():
    model, faces = classifier(seed=1), images(12)
    together = grad_cam(model, faces, labels=["sad"] * 12)
    alone = grad_cam(model, faces[1:2], labels=["sad"])
    assert together[1] == pytest.approx(alone[0], abs=1e-6)
    other = grad_cam(classifier(seed=2), faces, labels=["sad"] * 12)
    pairs = zip(together, other, strict=True)
    assert abs(np.mean([spearmanr(a.ravel(), b.ravel()).statistic for a, b in pairs])) < 0.5
