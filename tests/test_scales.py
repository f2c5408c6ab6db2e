"""Emotions become levels as the table says: nothing is lost, moved or made up on the way."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exe_core import sentiment, tables
from exe_core.labels import EMOTIONS, prob_columns
from exe_core.sentiment import SentimentError
from exe_core.settings import Sentiment

CHOSEN = {
    "angry": -2,
    "disgust": -2,
    "fear": -1,
    "happy": 2,
    "sad": -1,
    "surprise": 1,
    "neutral": 0,
}


def predictions(probabilities, labels):
    rows = pd.DataFrame(
        {
            "item_id": [f"s:{k}" for k in range(len(labels))],
            "set_name": "s",
            "split": "test",
            "group_id": [f"g{k}" for k in range(len(labels))],
            "run_id": "a",
            "label": labels,
        }
    )
    return tables.with_probabilities(rows, np.asarray(probabilities, float), labels=EMOTIONS)


def certain(*emotions):
    return np.eye(len(EMOTIONS))[[EMOTIONS.index(name) for name in emotions]]


class TestLevels:
    def test_of_certain_answers_are_those_of_the_table(self):
        table = predictions(certain(*EMOTIONS), list(EMOTIONS))
        five = sentiment.at_levels(table, CHOSEN, n_levels=5)
        assert five["label"].tolist() == [sentiment.LEVELS[5][CHOSEN[e] + 2] for e in EMOTIONS]
        assert five["predicted"].equals(five["label"].rename("predicted"))
        assert five["valence"].tolist() == [CHOSEN[e] for e in EMOTIONS]
        three = sentiment.at_levels(table, CHOSEN, n_levels=3)
        signs = {-1: "negative", 0: "neutral", 1: "positive"}
        assert three["label"].tolist() == [signs[np.sign(CHOSEN[e])] for e in EMOTIONS]

    @given(
        weights=st.lists(
            st.lists(st.floats(0.001, 1), min_size=7, max_size=7), min_size=1, max_size=5
        ),
        way=st.sampled_from(sentiment.choices(Sentiment().valence, labels=EMOTIONS)),
        n_levels=st.sampled_from([5, 3]),
    )
    @settings(max_examples=25, deadline=None)
    def test_have_the_probabilities_of_their_emotions(self, weights, way, n_levels):
        shares = np.array(weights) / np.sum(weights, axis=1, keepdims=True)
        table = predictions(shares, ["happy"] * len(shares))
        found = sentiment.at_levels(table, way, n_levels=n_levels)
        columns = prob_columns(sentiment.LEVELS[n_levels])
        assert found[columns].sum(axis=1).to_numpy() == pytest.approx(1)
        kept = [name for name in EMOTIONS if way[name] is not None]
        negative = [name for name in kept if way[name] < 0]
        expected = table[prob_columns(negative)].sum(axis=1) / table[prob_columns(kept)].sum(axis=1)
        below = found[columns[: n_levels // 2]].sum(axis=1)
        assert below.to_numpy() == pytest.approx(expected.to_numpy())
        middle = n_levels // 2
        steps = np.arange(n_levels) - middle
        assert found["valence"].to_numpy() == pytest.approx(found[columns].to_numpy() @ steps)

    def test_three_levels_are_the_sign_of_five(self):
        rng = np.random.default_rng(0)
        table = predictions(rng.dirichlet(np.ones(7), 40), list(rng.choice(EMOTIONS, 40)))
        five, three = (sentiment.at_levels(table, CHOSEN, n_levels=n) for n in (5, 3))
        low = five["prob_very negative"] + five["prob_negative"]
        assert three["prob_negative"].to_numpy() == pytest.approx(low.to_numpy())
        assert np.sign(five["valence_true"]).equals(three["valence_true"])

    def test_many_weak_negative_emotions_outweigh_one_that_is_stronger(self):
        table = predictions([[0.2, 0.2, 0.15, 0.4, 0, 0, 0.05]], ["sad"])
        by_sum, by_top = (
            sentiment.at_levels(table, CHOSEN, n_levels=3, rule=rule)["predicted"].item()
            for rule in sentiment.RULES
        )
        assert (by_sum, by_top) == ("negative", "positive")

    @pytest.mark.parametrize("rule", sentiment.RULES)
    def test_a_dropped_emotion_is_neither_asked_nor_answered(self, rule):
        way = {**CHOSEN, "surprise": None}
        table = predictions(
            [[0, 0, 0, 0.1, 0, 0.9, 0], *certain("surprise", "surprise")],
            ["happy", "surprise", "sad"],
        )
        found = sentiment.at_levels(table, way, n_levels=5, rule=rule)
        assert found["item_id"].tolist() == ["s:0", "s:2"]
        assert found["predicted"].iloc[0] == "very positive"
        probabilities = found[prob_columns(sentiment.LEVELS[5])].to_numpy()
        assert probabilities.sum(axis=1) == pytest.approx(1), "also where nothing else is probable"

    def test_faces_without_a_label_stay(self):
        found = sentiment.at_levels(predictions(certain("sad"), [None]), CHOSEN, n_levels=3)
        assert found["label"].isna().all()
        assert found["valence_true"].isna().all()

    def test_predictions_are_left_as_they_are(self):
        table = predictions(certain("sad", "happy"), ["sad", "sad"])
        before = table.copy()
        sentiment.at_levels(table, CHOSEN, n_levels=3)
        pd.testing.assert_frame_equal(table, before)

    def test_a_label_without_a_level_is_named(self):
        with pytest.raises(SentimentError, match="no level for neutral"):
            sentiment.at_levels(
                predictions(certain("sad"), ["sad"]),
                {k: v for k, v in CHOSEN.items() if k != "neutral"},
                n_levels=3,
            )

    def test_dropping_everything_is_refused(self):
        with pytest.raises(SentimentError, match=r"every one of angry.* is dropped"):
            sentiment.at_levels(
                predictions(certain("sad"), ["sad"]), dict.fromkeys(EMOTIONS), n_levels=3
            )

    def test_other_numbers_of_levels_are_refused(self):
        with pytest.raises(SentimentError, match="7 levels: allowed are 5 and 3"):
            sentiment.at_levels(predictions(certain("sad"), ["sad"]), CHOSEN, n_levels=7)


class TestChoices:
    def test_are_all_ways_and_the_chosen_one_is_first(self):
        ways = sentiment.choices(Sentiment().valence, labels=EMOTIONS)
        assert ways[0] == CHOSEN
        assert len(ways) == 2**4 * 3
        assert len({tuple(way.items()) for way in ways}) == len(ways)

    def test_are_of_the_labels_of_the_study(self):
        ways = sentiment.choices(Sentiment().valence, labels=["happy", "sad"])
        assert ways == [{"happy": 2, "sad": -1}, {"happy": 2, "sad": -2}]
