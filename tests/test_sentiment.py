"""Emotions become levels as the table says; scores of levels are scikit-learn's."""

import numpy as np
import pytest
import sample_answers
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_recall_fscore_support

from exe_core import metrics, sentiment
from exe_core.labels import EMOTIONS, prob_columns
from exe_core.resampling import Statistics

CHOSEN = dict(zip(EMOTIONS, (-2, -2, -1, 2, -1, 1, 0), strict=True))


def predictions(probabilities, labels):
    found = np.asarray(probabilities, float)
    return sample_answers.predictions(probabilities=found, labels=labels, names=EMOTIONS)


def certain(*emotions):
    return np.eye(len(EMOTIONS))[[EMOTIONS.index(name) for name in emotions]]


class TestLevels:
    def test_of_certain_answers_are_those_of_the_table(self):
        table = predictions(certain(*EMOTIONS), list(EMOTIONS))
        five = sentiment.at_levels(table, CHOSEN, n_levels=5)
        assert five["label"].tolist() == [sentiment.LEVELS[5][CHOSEN[e] + 2] for e in EMOTIONS]
        assert five["predicted"].equals(five["label"].rename("predicted"))
        three = sentiment.at_levels(table, CHOSEN, n_levels=3)
        signs = {-1: "negative", 0: "neutral", 1: "positive"}
        assert three["label"].tolist() == [signs[np.sign(CHOSEN[e])] for e in EMOTIONS]

    @pytest.mark.parametrize("way", sentiment.choices(EMOTIONS)[::5])
    @pytest.mark.parametrize("n_levels", [5, 3])
    def test_have_the_probabilities_of_their_emotions(self, way, n_levels):
        shares = np.random.default_rng(0).dirichlet([0.5] * 7, size=20)
        table = predictions(shares, ["happy"] * len(shares))
        found = sentiment.at_levels(table, way, n_levels=n_levels)
        columns = prob_columns(sentiment.LEVELS[n_levels])
        assert found[columns].sum(axis=1).to_numpy() == pytest.approx(1)
        kept = [name for name in EMOTIONS if way[name] is not None]
        negative = [name for name in kept if way[name] < 0]
        expected = table[prob_columns(negative)].sum(axis=1) / table[prob_columns(kept)].sum(axis=1)
        below = found[columns[: n_levels // 2]].sum(axis=1)
        assert below.to_numpy() == pytest.approx(expected.to_numpy())

    def test_many_weak_emotions_outweigh_a_stronger_one_and_faces_without_a_label_stay(self):
        table = predictions([[0.2, 0.2, 0.15, 0.4, 0, 0, 0.05]], [None])
        found = sentiment.at_levels(table, CHOSEN, n_levels=3)
        assert found["predicted"].item() == "negative"
        assert found["label"].isna().all()

    def test_a_dropped_emotion_is_neither_asked_nor_answered(self):
        way = {**CHOSEN, "surprise": None}
        table = predictions(
            [[0, 0, 0, 0.1, 0, 0.9, 0], *certain("surprise", "surprise")],
            ["happy", "surprise", "sad"],
        )
        found = sentiment.at_levels(table, way, n_levels=5)
        assert found["item_id"].tolist() == ["s:0", "s:2"]
        assert found["predicted"].iloc[0] == "very positive"
        probabilities = found[prob_columns(sentiment.LEVELS[5])].to_numpy()
        assert probabilities.sum(axis=1) == pytest.approx(1), "also where nothing else is probable"


def test_choices_are_all_ways_and_the_chosen_one_is_first():
    ways = sentiment.choices(EMOTIONS)
    assert ways[0] == CHOSEN
    assert len({tuple(way.items()) for way in ways}) == len(ways) == 2**4 * 3


def run(*, n=300, skill=2.0, seed=0):
    """Draw answers of a run to faces of seven classes."""
    truth = np.random.default_rng(7).integers(7, size=n)
    noise = np.random.default_rng(seed).gumbel(size=(n, 7))
    odds = np.exp(skill * np.eye(7)[truth] + noise)
    return predictions(odds / odds.sum(axis=1, keepdims=True), [EMOTIONS[k] for k in truth])


def test_scales_are_named_and_their_scores_are_those_of_scikit_learn():
    found = {scale: (names, rows) for scale, names, rows in sentiment.scales(run(), CHOSEN)}
    assert list(found) == ["7 classes", "5 levels", "3 levels"]
    for scale, (names, rows) in found.items():
        assert set(rows["set_name"]) == {f"s, {scale}"}
        quick = Statistics(n_bootstrap=200, seed=1)
        scores = metrics.score(rows, labels=names, statistics=quick, ordered=scale != "7 classes")
        scores = scores.set_index(["metric", "label"])["value"]
        true, guess = rows["label"], rows["predicted"]
        assert scores["accuracy"].item() == pytest.approx(accuracy_score(true, guess))
        expected = precision_recall_fscore_support(true, guess, labels=list(names))
        for metric, values in zip(("precision", "recall", "f1"), expected, strict=False):
            assert scores[metric][list(names)].tolist() == pytest.approx(values), metric
        if scale != "7 classes":
            kappa = cohen_kappa_score(true, guess, labels=names, weights="quadratic")
            assert scores["quadratic_kappa"].item() == pytest.approx(kappa)
