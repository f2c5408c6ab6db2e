"""Predictions depend on the faces alone; ensembles keep items together and learn from val alone."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sample_answers import COLUMNS, predictions
from sample_answers import LABELS as THREE
from scipy.special import softmax

from exe_core import inference, models, tables
from exe_core.faces import load_faces
from exe_core.inference import (
    InferenceError,
    fuse_for_inference,
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
    network.train()(torch.rand(8, 3, size, size, generator=torch.Generator().manual_seed(seed)))
    shown = models.Preprocessing(size=size, gray=gray)
    return models.Classifier(network.eval(), LABELS, shown, {})


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

    @pytest.mark.parametrize("shape", [(32, 32), (32, 32, 4), (0, 32, 3)])
    def test_another_kind_of_image_is_refused(self, shape):
        for use in (predict, predict_images):
            with pytest.raises((InferenceError, TypeError), match=r"uint8 .*\(H, W, 3\)"):
                use(classifier(), [images(1)[0], np.zeros(shape, np.uint8)])

    @pytest.mark.parametrize("image", [None, b"abc", 3, [[0]], np.zeros((8, 8, 3))])
    def test_what_is_no_image_is_a_clear_error(self, image):
        with pytest.raises(TypeError, match="is no image: give a path, a PIL image or"):
            predict_images(classifier(), [image])

    def test_a_gray_trained_classifier_sees_colours_only_if_forced_to(self):
        faces = images()
        luma = models.Preprocessing(gray=True).to_float(torch.from_numpy(faces)) * 255
        in_gray = luma.round().byte().permute(0, 2, 3, 1).numpy()
        gray, colour = classifier(gray=True), classifier(gray=False)
        assert np.array_equal(predict(gray, faces), predict(gray, in_gray))
        shown = dataclasses.replace(gray.preprocessing, gray=False)
        forced = predict(dataclasses.replace(gray, preprocessing=shown), faces)
        assert np.array_equal(forced, predict(colour, faces))
        assert not np.allclose(forced, predict(gray, faces))


class TestPredictImages:
    def test_arrays_pictures_and_paths_give_the_same(self, tmp_path):
        model, face = classifier(), images(1, size=40)[0]
        path = tmp_path / "a.png"
        Image.fromarray(face).save(path)
        table = predict_images(model, [face, Image.fromarray(face), path, str(path)])
        assert list(table) == ["predicted", "prob_angry", "prob_happy", "prob_sad"]
        probabilities = table[prob_columns(LABELS)].to_numpy()
        assert np.array_equal(probabilities, predict(model, [face] * 4))
        assert set(table["predicted"]) == {LABELS[probabilities[0].argmax()]}
        assert predict_images(model, []).empty


class TestRestrictToLabels:
    def test_probabilities_are_those_of_before_divided_by_their_sum(self):
        model, faces = classifier(), images(20)
        found = restrict_to_labels(model, ("sad", "angry"))
        whole = predict(model, faces)[:, [2, 0]]
        assert found.labels == ("sad", "angry")
        assert predict(found, faces) == pytest.approx(whole / whole.sum(axis=1, keepdims=True))
        fused = predict(fuse_for_inference(found), faces)
        assert fused == pytest.approx(predict(found, faces), abs=1e-6)
        assert restrict_to_labels(model, LABELS) is model

    def test_a_label_that_it_lacks_is_refused(self):
        with pytest.raises(InferenceError, match="answers angry, happy, sad, and not fear"):
            restrict_to_labels(classifier(), ("angry", "fear"))


class TestFuseForInference:
    @pytest.mark.parametrize("name", ["tiny", "resnet18-small"])
    def test_predicts_the_same_and_leaves_the_network(self, name):
        plain, faces = classifier(name, size=64, seed=3), images(5, size=64)
        before = {key: value.clone() for key, value in plain.network.state_dict().items()}
        found = predict(fuse_for_inference(plain), faces)
        assert found == pytest.approx(predict(plain, faces), abs=1e-6)
        after = plain.network.state_dict()
        assert all(torch.equal(before[key], value) for key, value in after.items())

    def test_what_can_not_be_fused_still_predicts(self, caplog):
        class Branching(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = torch.nn.Linear(3, 3)

            def forward(self, faces):
                pooled = faces.mean(dim=(2, 3))
                return self.fc(pooled) if pooled.sum() > 0 else self.fc(-pooled)

        plain = models.Classifier(Branching().eval(), LABELS, models.Preprocessing(size=32), {})
        with caplog.at_level("INFO"):
            found = predict(fuse_for_inference(plain), images())
        assert "stays unfused" in caplog.text
        assert found == pytest.approx(predict(plain, images()), abs=1e-6)


@pytest.fixture
def stored(tmp_path):
    """Write five items' crops, one item with a second face; give faces and splits."""
    rows = []
    for item, k in [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (4, 0)]:
        path = tmp_path / f"{item}-{k}.png"
        Image.fromarray(images(1, size=40, seed=10 * item + k)[0]).save(path)
        box = {"x_px": 0, "y_px": 0, "width_px": 40, "height_px": 40, "area_share": 1.0}
        rows.append(
            {"face_id": f"s/{item}/{k}", "item_id": f"s:{item}", "set_name": "s", "score": 0.9}
            | {"label": [*LABELS, None, "fear"][item], "group_id": f"g{item}", "split_given": None}
            | {"is_primary": k == 0, "path": str(path), **box}
        )
    faces = tables.check(pd.DataFrame(rows), "faces")
    return faces, faces[["face_id", "set_name", "group_id"]].assign(split="test")


class TestPredictFaces:
    def test_gives_one_row_an_item_with_the_probabilities_of_its_primary_face(
        self, stored, monkeypatch
    ):
        faces, splits = stored
        monkeypatch.setattr(inference, "_FACES_AT_ONCE", 2)
        found = predict_faces(classifier(), faces, run_id="r", splits=splits)
        assert tables.check(found, "predictions").equals(found)
        assert found["item_id"].tolist() == [f"s:{k}" for k in range(5)]
        assert found["group_id"].tolist() == [f"g{k}" for k in range(5)]
        assert set(found["run_id"]) == {"r"}
        assert found["label"].tolist()[:3] == list(LABELS)
        assert pd.isna(found["label"].iloc[3])
        loaded = load_faces(faces[faces["is_primary"]], size=32)
        expected = predict(classifier(), loaded)
        assert found[prob_columns(LABELS)].to_numpy() == pytest.approx(expected, abs=1e-6)
        assert found["predicted"].tolist() == [LABELS[k] for k in expected.argmax(axis=1)]

    def test_a_face_without_a_split_is_refused_and_no_faces_give_no_rows(self, stored):
        faces, splits = stored
        with pytest.raises(SchemaError, match="split"):
            predict_faces(classifier(), faces, run_id="r", splits=splits.drop(index=3))
        assert predict_faces(classifier(), faces[:0], run_id="r", splits=splits).empty


class TestMean:
    def test_is_the_mean_item_by_item(self):
        one, two = predictions(seed=1), predictions(seed=2, run="b")
        found = mean_of_runs([one, two], run_id="exe")
        assert found[COLUMNS].to_numpy() == pytest.approx((one[COLUMNS] + two[COLUMNS]) / 2)
        best = [THREE[k] for k in found[COLUMNS].to_numpy().argmax(axis=1)]
        assert found["predicted"].tolist() == best
        assert set(found["run_id"]) == {"exe"}
        shuffled = two.sample(frac=1, random_state=0).reset_index(drop=True)
        assert mean_of_runs([one, shuffled], run_id="exe").equals(found)

    def test_runs_of_other_items_labels_or_splits_are_refused(self):
        one, two = predictions(), predictions(run="b")
        with pytest.raises(InferenceError, match="at least one run"):
            mean_of_runs([], run_id="exe")
        others = [two[:-1], two.rename(columns={"prob_sad": "prob_surprise"})]
        for column, value in (("split", "val"), ("group_id", "x"), ("label", "sad")):
            others.append(two.copy())
            others[-1].loc[0, column] = value
        for other in others:
            with pytest.raises(InferenceError, match="b and a differ"):
                mean_of_runs([one, other], run_id="exe")


def two_runs(n=600, *, seed=0, sharp=(1.0, 3.0)):
    """Draw predictions of the same faces by a good and a worse run; a third of them is val."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    runs = []
    for run, noise in zip("ab", sharp, strict=True):
        seen = np.eye(3)[truth] + noise * rng.normal(size=(n, 3))
        labels = [THREE[k] for k in truth]
        table = predictions(probabilities=softmax(seen, axis=1), labels=labels, run=run)
        runs.append(table.assign(split=np.where(np.arange(n) % 3 == 0, "val", "test")))
    return runs


def accuracy(table):
    test = table[table["split"] == "test"]
    return (test["predicted"] == test["label"]).mean()


class TestStack:
    def test_labels_of_test_faces_change_nothing_and_those_of_val_faces_a_lot(self):
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

    def test_is_better_than_the_mean_in_any_order_of_rows(self):
        one, two = runs = two_runs(6000)
        found = stack(runs, run_id="both")
        assert accuracy(found) > accuracy(mean_of_runs(runs, run_id="e"))
        shuffled = two.sample(frac=1, random_state=0).reset_index(drop=True)
        pd.testing.assert_frame_equal(stack([one, shuffled], run_id="both"), found)

    def test_a_label_without_a_val_face_is_named(self):
        runs = two_runs()
        sad = (runs[0]["label"] == "sad") & (runs[0]["split"] == "val")
        with pytest.raises(InferenceError, match="no val face shows sad"):
            stack([table[~sad] for table in runs], run_id="e")
