"""Ensembles keep items together, and learn from the labels of validation faces alone."""

import numpy as np
import pandas as pd
import pytest
from sample_answers import COLUMNS, LABELS, predictions
from scipy.special import softmax

from exe_core import inference, tables
from exe_core.inference import EnsembleError


class TestMean:
    def test_of_equal_models_is_the_model(self):
        one = predictions()
        found = inference.mean_of_runs(
            [one, one.assign(run_id="b"), one.assign(run_id="c")], run_id="exe"
        )
        pd.testing.assert_frame_equal(found.drop(columns="run_id"), one.drop(columns="run_id"))
        assert set(found["run_id"]) == {"exe"}

    def test_is_the_mean(self):
        one, two = predictions(seed=1), predictions(seed=2, run="b")
        found = inference.mean_of_runs([one, two], run_id="exe")
        assert found[COLUMNS].to_numpy() == pytest.approx((one[COLUMNS] + two[COLUMNS]) / 2)
        expected = [LABELS[k] for k in found[COLUMNS].to_numpy().argmax(axis=1)]
        assert found["predicted"].tolist() == expected

    def test_does_not_depend_on_the_order_of_rows(self):
        one, two = predictions(seed=1), predictions(seed=2, run="b")
        expected = inference.mean_of_runs([one, two], run_id="exe")
        shuffled = two.sample(frac=1, random_state=0).reset_index(drop=True)
        assert inference.mean_of_runs([one, shuffled], run_id="exe").equals(expected)

    def test_keeps_null_labels(self):
        one = predictions(labels=[None] * 12)
        assert (
            inference.mean_of_runs([one, one.assign(run_id="b")], run_id="exe")["label"]
            .isna()
            .all()
        )

    def test_of_nothing_is_refused(self):
        with pytest.raises(EnsembleError, match="at least one run"):
            inference.mean_of_runs([], run_id="exe")

    def test_other_items_are_named(self):
        with pytest.raises(EnsembleError, match=r"b and a are of different items \(1 .* s/s:11"):
            inference.mean_of_runs([predictions(), predictions(run="b")[:-1]], run_id="exe")

    def test_other_labels_are_named(self):
        two = predictions(run="b").rename(columns={"prob_sad": "prob_surprise"})
        with pytest.raises(EnsembleError, match=r"b and a answer different labels.*surprise"):
            inference.mean_of_runs([predictions(), two], run_id="exe")

    @pytest.mark.parametrize(
        ("column", "value"), [("split", "val"), ("group_id", "x"), ("label", "sad")]
    )
    def test_a_disagreement_about_an_item_is_named(self, column, value):
        two = predictions(run="b")
        two.loc[0, column] = value
        with pytest.raises(EnsembleError, match=f"disagree in the column '{column}'"):
            inference.mean_of_runs([predictions(), two], run_id="exe")


def two_runs(n=600, *, seed=0, sharp=(1.0, 3.0)):
    """Draw the answers of two runs to the same faces, one better than the other; a third is val."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(3, size=n)
    tables = []
    for run, noise in zip("ab", sharp, strict=True):
        seen = np.eye(3)[truth] + noise * rng.normal(size=(n, 3))
        table = predictions(
            probabilities=softmax(seen, axis=1), labels=[LABELS[k] for k in truth], run=run
        )
        tables.append(table.assign(split=np.where(np.arange(n) % 3 == 0, "val", "test")))
    return tables


def accuracy(table):
    test = table[table["split"] == "test"]
    return (test["predicted"] == test["label"]).mean()


@pytest.mark.parametrize("combine", [inference.weighted_mean, inference.stack])
class TestLearntOnVal:
    def test_the_labels_of_test_faces_change_nothing(self, combine):
        tables = two_runs()
        test = tables[0]["split"] == "test"
        rng = np.random.default_rng(1)
        shuffled = [table.copy() for table in tables]
        mixed = rng.permutation(tables[0]["label"][test])
        for table in shuffled:
            table.loc[test, "label"] = mixed
        columns = [*COLUMNS, "predicted"]
        expected = combine(tables, run_id="e")[columns]
        pd.testing.assert_frame_equal(combine(shuffled, run_id="e")[columns], expected)

    def test_the_labels_of_val_faces_change_a_lot(self, combine):
        tables = two_runs()
        val = tables[0]["split"] == "val"
        wrong = dict(zip(LABELS, [*LABELS[1:], LABELS[0]], strict=True))
        misled = [table.copy() for table in tables]
        for table in misled:
            table.loc[val, "label"] = table["label"][val].map(wrong)
        assert not np.allclose(
            combine(misled, run_id="e")[COLUMNS], combine(tables, run_id="e")[COLUMNS], atol=0.05
        )

    def test_is_no_worse_than_the_mean_of_a_good_and_a_bad_run(self, combine):
        tables = two_runs(6000)
        assert accuracy(combine(tables, run_id="e")) > accuracy(
            inference.mean_of_runs(tables, run_id="e")
        )

    def test_keeps_items_and_names_itself(self, combine):
        tables = two_runs()
        found = combine(tables, run_id="both")
        assert found["item_id"].equals(tables[0]["item_id"])
        assert set(found["run_id"]) == {"both"}

    def test_does_not_depend_on_the_order_of_rows(self, combine):
        one, two = two_runs()
        shuffled = two.sample(frac=1, random_state=0).reset_index(drop=True)
        expected = combine([one, two], run_id="e")
        pd.testing.assert_frame_equal(combine([one, shuffled], run_id="e"), expected)

    def test_without_val_faces_is_refused(self, combine):
        tables = [table.assign(split="test") for table in two_runs()]
        with pytest.raises(EnsembleError, match="no row of split 'val' is labelled"):
            combine(tables, run_id="e")


class TestWeighted:
    def test_of_equal_runs_is_the_run(self):
        one = two_runs()[0]
        found = inference.weighted_mean([one, one.assign(run_id="b")], run_id="e")
        assert found[COLUMNS].to_numpy() == pytest.approx(one[COLUMNS].to_numpy())

    def test_leaves_a_run_that_guesses_nearly_alone(self):
        honest = two_runs(6000)[0]
        guesses = two_runs(6000, sharp=(1, 50))[1]
        found = inference.weighted_mean([honest, guesses.assign(label=honest["label"])], run_id="e")
        assert np.abs(found[COLUMNS] - honest[COLUMNS]).to_numpy().max() < 0.1


class TestStack:
    def test_refuses_rows_of_another_split(self):
        with pytest.raises(EnsembleError, match="on rows of split 'val' only, not of test"):
            inference.fit_stack(two_runs())

    def test_is_fitted_on_as_many_features_as_runs_have_probabilities(self):
        val = [table[table["split"] == "val"] for table in two_runs()]
        assert inference.fit_stack(val).n_features_in_ == 6

    def test_mends_a_run_whose_answers_are_swapped(self):
        one, two = two_runs(3000)
        renamed = dict(zip(COLUMNS, [*COLUMNS[1:], COLUMNS[0]], strict=True))
        swapped = tables.with_probabilities(
            one, one[COLUMNS].rename(columns=renamed)[COLUMNS].to_numpy(), labels=LABELS
        )
        assert accuracy(swapped) < 0.4 < accuracy(one)
        mended = inference.stack([swapped, two], run_id="e")
        assert accuracy(mended) > accuracy(one) - 0.05

    def test_a_label_without_a_val_face_is_named(self):
        tables = two_runs()
        sad = (tables[0]["label"] == "sad") & (tables[0]["split"] == "val")
        kept = [table[~sad] for table in tables]
        with pytest.raises(EnsembleError, match="no val face shows sad"):
            inference.stack(kept, run_id="e")

    def test_unlabelled_val_faces_do_not_count(self):
        tables = two_runs()
        unknown = [table.copy() for table in tables]
        dropped = [
            table.drop(index=[k for k in range(90) if k % 3 == 0]).reset_index(drop=True)
            for table in tables
        ]
        for table in unknown:
            table.loc[[k for k in range(90) if k % 3 == 0], "label"] = None
        expected = inference.stack(dropped, run_id="e").set_index("item_id")
        found = inference.stack(unknown, run_id="e").set_index("item_id").loc[expected.index]
        assert found[COLUMNS].to_numpy() == pytest.approx(expected[COLUMNS].to_numpy(), abs=1e-6)
