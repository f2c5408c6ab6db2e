"""What a classifier says does not depend on how it is asked; only on the faces."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from exe_core import datasets, inference, models, tables
from exe_core.inference import (
    InferenceError,
    fuse_for_inference,
    predict,
    predict_faces,
    predict_images,
    restrict_to_labels,
)
from exe_core.labels import labels_of, prob_columns

LABELS = ("angry", "happy", "sad")


def classifier(*, size=32, gray=False, seed=0):
    network = models.build("tiny", n_classes=3, seed=seed)
    network.train()(torch.rand(8, 3, size, size, generator=torch.Generator().manual_seed(seed)))
    shown = models.Preprocessing(size=size, gray=gray)
    return models.Classifier(network.eval(), LABELS, shown, {})


def images(n=7, *, size=32, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, 3)).astype(np.uint8)


class TestPredict:
    def test_rows_are_probabilities_in_double_precision(self):
        found = predict(classifier(), images(20))
        assert found.shape == (20, 3)
        assert found.dtype == np.float64
        assert (found >= 0).all()
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-12

    def test_equals_softmax_of_the_network(self):
        model, faces = classifier(), images()
        floats = torch.from_numpy(faces).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            expected = model.network(model.preprocessing.normalise(floats)).softmax(dim=1)
        assert predict(model, faces) == pytest.approx(expected.numpy(), abs=1e-6)

    @pytest.mark.parametrize("batch_size", [1, 3, 7, 50])
    def test_the_size_of_batches_does_not_matter(self, batch_size):
        expected = predict(classifier(), images())
        assert predict(classifier(), images(), batch_size=batch_size) == pytest.approx(
            expected, abs=1e-6
        )

    def test_a_network_left_in_training_mode_is_not_disturbed(self):
        model = classifier()
        expected = predict(model, images())
        model.network.train()
        before = {key: value.clone() for key, value in model.network.state_dict().items()}
        assert np.array_equal(predict(model, images()), expected)
        after = model.network.state_dict()
        assert all(torch.equal(before[key], after[key]) for key in before)

    def test_a_face_and_its_mirror_image_are_averaged_where_the_card_says_so(self):
        model, faces = classifier(), images()
        both = dataclasses.replace(model.preprocessing, flip_average=True)
        found = predict(dataclasses.replace(model, preprocessing=both), faces)
        mirrored = predict(model, np.ascontiguousarray(faces[:, :, ::-1]))
        assert found == pytest.approx((predict(model, faces) + mirrored) / 2, abs=1e-6)

    def test_a_list_of_any_sizes_is_resized(self):
        big, wide = images(1, size=80)[0], images(1, size=64)[0][:40]
        found = predict(classifier(), [big, wide])
        resized = [
            np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BILINEAR))
            for image in (big, wide)
        ]
        assert found == pytest.approx(predict(classifier(), resized), abs=1e-6)

    def test_nothing_in_nothing_out(self):
        assert predict(classifier(), []).shape == (0, 3)

    def test_images_are_left_as_they_were(self):
        faces = images()
        before = faces.copy()
        faces.flags.writeable = False
        predict(classifier(gray=True), faces)
        assert np.array_equal(faces, before)

    @pytest.mark.parametrize(
        "bad",
        [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 4), np.uint8), np.zeros((32, 32, 3))],
        ids=["gray", "alpha", "float"],
    )
    def test_another_kind_of_image_is_refused(self, bad):
        with pytest.raises(InferenceError, match=r"image 1 is .* needed is uint8 \(H, W, 3\)"):
            predict(classifier(), [images(1)[0], bad])


class TestGray:
    def test_a_gray_trained_classifier_does_not_see_colours(self):
        faces = images()
        luma = models.Preprocessing(gray=True).to_float(torch.from_numpy(faces)) * 255
        in_gray = luma.round().byte().permute(0, 2, 3, 1).numpy()
        model = classifier(gray=True)
        assert np.array_equal(predict(model, faces), predict(model, in_gray))

    def test_colour_can_be_forced_upon_it(self):
        gray, colour = classifier(gray=True), classifier(gray=False)
        forced = predict(gray, images(), gray=False)
        assert np.array_equal(forced, predict(colour, images()))
        assert not np.allclose(forced, predict(gray, images()))


class TestRestricted:
    def test_probabilities_are_those_of_before_divided_by_their_sum(self):
        model, faces = classifier(), images(20)
        found = restrict_to_labels(model, ("sad", "angry"))
        whole = predict(model, faces)[:, [2, 0]]
        assert found.labels == ("sad", "angry")
        assert predict(found, faces) == pytest.approx(whole / whole.sum(axis=1, keepdims=True))
        assert model.labels == LABELS

    def test_a_face_of_another_label_still_has_an_answer(self):
        """The network is so sure of the label that is not asked for that nothing is left."""
        model = classifier()
        with torch.no_grad():
            model.network.get_submodule(last_layer(model)).bias[1] += 1e4
        assert (predict(model, images())[:, [0, 2]] == 0).all()
        found = predict(restrict_to_labels(model, ("angry", "sad")), images())
        assert np.isfinite(found).all()
        assert np.abs(found.sum(axis=1) - 1).max() < 1e-12

    def test_asked_for_all_its_labels_a_classifier_is_itself(self):
        model = classifier()
        assert restrict_to_labels(model, LABELS) is model

    def test_a_label_that_it_lacks_is_refused(self):
        with pytest.raises(InferenceError, match="answers angry, happy, sad, and not fear"):
            restrict_to_labels(classifier(), ("angry", "fear"))

    def test_it_can_be_hastened(self):
        model, faces = restrict_to_labels(classifier(), ("angry", "sad")), images()
        assert predict(fuse_for_inference(model), faces) == pytest.approx(
            predict(model, faces), abs=1e-6
        )


def last_layer(model):
    layers = [name for name, part in model.network.named_modules() if hasattr(part, "out_features")]
    return layers[-1]


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
    def test_gives_one_row_an_item_with_what_is_known_of_it(self, stored):
        faces, splits = stored
        found = predict_faces(classifier(), faces, run_id="r", splits=splits)
        assert tables.check(found, "predictions").equals(found)
        assert found["item_id"].tolist() == [f"s:{k}" for k in range(5)]
        assert found["group_id"].tolist() == [f"g{k}" for k in range(5)]
        assert set(found["run_id"]) == {"r"}
        assert set(found["split"]) == {"test"}
        assert found["label"].tolist()[:3] == list(LABELS)
        assert pd.isna(found["label"].iloc[3])
        assert labels_of(found) == list(LABELS)

    def test_probabilities_are_those_of_the_loaded_primary_faces(self, stored):
        faces, splits = stored
        found = predict_faces(classifier(), faces, run_id="r", splits=splits)
        loaded = datasets.load_faces(faces[faces["is_primary"]], size=32)
        expected = predict(classifier(), loaded)
        columns = prob_columns(LABELS)
        assert np.array_equal(found[columns].to_numpy(), expected)
        assert found["predicted"].tolist() == [LABELS[k] for k in expected.argmax(axis=1)]

    def test_reading_in_parts_changes_nothing(self, stored, monkeypatch):
        faces, splits = stored
        whole = predict_faces(classifier(), faces, run_id="r", splits=splits)
        monkeypatch.setattr(inference, "_FACES_AT_ONCE", 2)
        parts = predict_faces(classifier(), faces, run_id="r", splits=splits)
        pd.testing.assert_frame_equal(parts, whole, atol=1e-6)

    def test_a_face_without_a_split_is_refused(self, stored):
        faces, splits = stored
        with pytest.raises(InferenceError, match="1 faces have no split, s/2/0 first"):
            predict_faces(classifier(), faces, run_id="r", splits=splits.drop(index=3))

    def test_no_faces_give_no_rows(self, stored):
        faces, splits = stored
        assert predict_faces(classifier(), faces[:0], run_id="r", splits=splits).empty


class TestPredictImages:
    def test_a_row_an_image_with_its_likeliest_class(self):
        model = classifier()
        faces = [images(1, size=80)[0], images(1, size=20)[0][:15], images(1)[0]]
        table = predict_images(model, faces)
        assert list(table) == ["predicted", "prob_angry", "prob_happy", "prob_sad"]
        probs = table[prob_columns(LABELS)].to_numpy()
        assert np.array_equal(probs, predict(model, faces))
        assert list(table["predicted"]) == [LABELS[k] for k in probs.argmax(axis=1)]

    def test_no_images_give_no_rows(self):
        assert len(predict_images(classifier(), [])) == 0

    @pytest.mark.parametrize(
        "image", [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((0, 8, 3), np.uint8)]
    )
    def test_what_is_no_picture_is_refused(self, image):
        with pytest.raises(InferenceError, match="image 1 is"):
            predict_images(classifier(), [images(1)[0], image])


class TestHastened:
    @pytest.mark.parametrize("name", ["tiny", "resnet18", "resnet18-small"])
    def test_says_the_same(self, name):
        network = models.build(name, n_classes=3, seed=3)
        network.train()(torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
        plain = models.Classifier(network.eval(), LABELS, models.Preprocessing(size=64), {})
        before = {key: value.clone() for key, value in network.state_dict().items()}
        faces = images(5, size=64)
        assert predict(fuse_for_inference(plain), faces) == pytest.approx(
            predict(plain, faces), abs=1e-6
        )
        half = predict(fuse_for_inference(plain, precision="bf16"), faces)
        assert half == pytest.approx(predict(plain, faces), abs=0.02)
        assert np.abs(half.sum(axis=1) - 1).max() < 1e-12
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())

    def test_what_can_not_be_fused_still_answers(self, caplog):
        class Branching(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = torch.nn.Linear(3, 3)

            def forward(self, faces):
                pooled = faces.mean(dim=(2, 3))
                return self.fc(pooled) if pooled.sum() > 0 else self.fc(-pooled)

        plain = models.Classifier(Branching().eval(), LABELS, models.Preprocessing(size=32), {})
        with caplog.at_level("INFO"):
            quick = fuse_for_inference(plain)
        assert "stays unfused" in caplog.text
        assert predict(quick, images()) == pytest.approx(predict(plain, images()), abs=1e-6)
