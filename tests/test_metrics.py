"""Metrics: equal to scikit-learn where they overlap, undefined where there is nothing to say."""

import numpy as np
import pandas as pd
import pytest
import sample_answers
from scipy import stats as scipy_stats
from scipy.special import softmax
from sklearn import metrics as sklearn_metrics

from exe_core import metrics
from exe_core.labels import prob_columns
from exe_core.resampling import Statistics

LABELS = ("angry", "happy", "sad")
STATISTICS = {"statistics": Statistics(n_bootstrap=200, n_permutations=199, seed=0)}
OPTIONS = {"labels": LABELS, **STATISTICS}


def make(n=120, *, run_id="a", skill=1.0, seed=0, groups=30):
    """Make predictions that lean to the label by `skill`."""
    rng = np.random.default_rng(seed)
    label = np.random.default_rng(99).integers(3, size=n)
    found = softmax(rng.normal(size=(n, 3)) + skill * np.eye(3)[label], axis=1)
    labels = np.array(LABELS)[label]
    table = sample_answers.predictions(run=run_id, probabilities=found, labels=labels)
    return table.assign(group_id=[f"g{i % groups}" for i in range(n)])


def score(predictions):
    return metrics.score(predictions, **OPTIONS)


def value(table, metric, label=None):
    same = table["label"].isna() if label is None else table["label"] == label
    return table[(table["metric"] == metric) & same].iloc[0]


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_scikit_learn(seed):
    rows = make(seed=seed)
    table = score(rows)
    truth, guess = rows["label"], rows["predicted"]
    probs = rows[prob_columns(LABELS)].to_numpy()
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(truth, guess),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(truth, guess),
        "macro_f1": sklearn_metrics.f1_score(truth, guess, average="macro"),
        "nll": sklearn_metrics.log_loss(truth, probs, labels=LABELS),
        "brier": sklearn_metrics.brier_score_loss(truth, probs, labels=LABELS, scale_by_half=False),
    }
    for name, number in expected.items():
        assert value(table, name)["value"] == pytest.approx(number), name
    by_label = sklearn_metrics.precision_recall_fscore_support(truth, guess, labels=LABELS)
    for metric, numbers in zip(("precision", "recall", "f1"), by_label, strict=False):
        for label, number in zip(LABELS, numbers, strict=True):
            assert value(table, metric, label)["value"] == pytest.approx(number)


def test_f1_counts_a_label_that_is_only_predicted_and_calibration_is_that_by_hand():
    rows = make()
    rows = rows[rows["label"] != "sad"]
    expected = sklearn_metrics.f1_score(rows["label"], rows["predicted"], average="macro")
    assert value(score(rows), "macro_f1")["value"] == pytest.approx(expected)
    # ten sure answers, six right
    rows = make(10).assign(label="happy", predicted=["happy"] * 6 + ["sad"] * 4)
    rows[prob_columns(LABELS)] = np.eye(3)[[1] * 6 + [2] * 4]
    assert value(score(rows), "ece")["value"] == pytest.approx(0.4)


def test_groups_not_rows_decide_the_width():
    """Ten copies of every item in one group each add rows, not knowledge."""
    rows = make(60, groups=60)
    copies = pd.concat([rows.assign(item_id=rows["item_id"] + f"/{k}") for k in range(10)])
    once, tenfold = value(score(rows), "accuracy"), value(score(copies), "accuracy")
    assert tenfold["low"] == pytest.approx(once["low"])


def test_what_the_model_cannot_answer_is_left_out_and_counted():
    rows = make(120)
    rows.loc[:9, "label"] = "disgust"
    rows.loc[10:14, "label"] = None
    table = score(rows)
    assert (table["n"] == 105).all()
    assert (table["n_excluded"] == 15).all()
    assert value(table, "accuracy")["value"] == value(score(rows[15:]), "accuracy")["value"]


def test_nothing_labelled_is_undefined_and_an_answer_outside_the_labels_is_refused():
    table = score(make().assign(label=None))
    assert table["value"].isna().all()
    assert (table["n"] == 0).all()
    rows = make()
    rows.loc[3, "predicted"] = "fear"
    with pytest.raises(ValueError, match="other than angry, happy, sad"):
        score(rows)


def test_runs_and_sets_are_scored_apart_and_in_any_order():
    both = pd.concat([make(), make(run_id="b", skill=3), make().assign(set_name="film")])
    table = score(both)
    shuffled = score(both.sample(frac=1, random_state=1))
    pd.testing.assert_frame_equal(table, shuffled)
    assert len(table) == 3 * (len(metrics.SCORES) + len(metrics.BY_LABEL) * len(LABELS))


def test_confusion_has_every_pair_and_the_counts_of_scikit_learn():
    rows = make()
    table = metrics.confusion(rows, labels=LABELS)
    expected = sklearn_metrics.confusion_matrix(rows["label"], rows["predicted"], labels=LABELS)
    assert table["n"].tolist() == expected.ravel().tolist()
    assert table.groupby("label")["share_of_label"].sum().tolist() == pytest.approx([1, 1, 1])


def test_difference_is_that_of_the_scores_on_common_items_whatever_their_order():
    first, other = make(skill=2), make(run_id="b", seed=1)
    part = other[20:].sample(frac=1, random_state=0)
    table = metrics.compare(first, part, **OPTIONS).set_index("metric")
    assert (table["n"] == 100).all()
    for name in metrics.SCORES:
        sides = [value(score(side), name)["value"] for side in (first[20:], other[20:])]
        assert table.loc[name, "difference"] == pytest.approx(sides[0] - sides[1])


def test_ranks_that_agree_have_a_wide_interval_where_models_are_few_and_none_below_four():
    few = metrics.rank_correlation(
        pd.Series([1, 2, 3, 4, 5, 6.0]), pd.Series([1, 3, 5, 7, 8, 9.0]), **STATISTICS
    )
    assert few.value == pytest.approx(1)
    assert few.low < 0.8
    assert few.high < 1
    accuracy = np.random.default_rng(0).uniform(size=30)
    noisy = accuracy + np.random.default_rng(1).normal(0, 0.1, size=30)
    many = metrics.rank_correlation(pd.Series(noisy), pd.Series(accuracy), **STATISTICS)
    assert many.value == pytest.approx(scipy_stats.spearmanr(noisy, accuracy).statistic)
    assert many.low > 0.3
    assert many.p_value < 0.01
    none = metrics.rank_correlation(
        pd.Series([1, 2, 3, 4.0]), pd.Series([1, 2, 3, np.nan]), **STATISTICS
    )
    assert (none.n, np.isnan(none.value)) == (3, True)


def test_truth_replaces_labels_and_mixtures_have_none():
    rows = make(3).assign(label="happy")
    shown = {"item_id": ["s:0", "s:1"], "label_true": ["sad", "angry"]}
    truth = pd.DataFrame({**shown, "is_blend": [False, True]})
    known = metrics.with_truth(rows, truth)
    assert known["label"].fillna("none").tolist() == ["sad", "none", "none"]
