"""Scores of levels are scikit-learn's and scipy's; a choice of levels shows what hangs on it."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_recall_fscore_support

from exe_core import sentiment, tables
from exe_core.labels import EMOTIONS
from exe_core.resampling import Statistics
from exe_core.settings import Sentiment
from exe_core.tables import TABLES

WAYS = sentiment.choices(Sentiment().valence, labels=EMOTIONS)
SCALES = ["7 classes", "5 levels", "3 levels"]
QUICK = Statistics(n_bootstrap=200, n_permutations=200, seed=1)


def run(name="a", *, n=300, skill=2.0, seed=0):
    """Draw answers of a run to faces of seven classes; the faces are those of every other run."""
    truth = np.random.default_rng(7).integers(7, size=n)
    noise = np.random.default_rng(seed).gumbel(size=(n, 7))
    odds = np.exp(skill * np.eye(7)[truth] + noise)
    rows = pd.DataFrame(
        {
            "item_id": [f"s:{k}" for k in range(n)],
            "set_name": "faces",
            "split": "test",
            "group_id": [f"g{k // 2}" for k in range(n)],
            "run_id": name,
            "label": [EMOTIONS[k] for k in truth],
        }
    )
    shares = odds / odds.sum(axis=1, keepdims=True)
    return tables.with_probabilities(rows, shares, labels=EMOTIONS)


@pytest.fixture(scope="module")
def scores():
    return sentiment.score_scales(run(), WAYS[0], statistics=QUICK)


@pytest.fixture(scope="module")
def table():
    return sentiment.scale_sensitivity(run(), WAYS)


def one(scores, metric, scale, label=None):
    rows = scores[(scores["metric"] == metric) & (scores["scale"] == scale)]
    return rows[rows["label"].isna() if label is None else rows["label"] == label].iloc[0]


class TestScore:
    @pytest.mark.parametrize("n", [5, 3])
    def test_of_levels_equal_those_of_scikit_learn_and_scipy(self, scores, n):
        levels = sentiment.at_levels(run(), WAYS[0], n_levels=n)
        true, said = levels["label"], levels["predicted"]
        kappa = cohen_kappa_score(true, said, labels=sentiment.LEVELS[n], weights="quadratic")
        assert one(scores, "accuracy", f"{n} levels").value == pytest.approx(
            accuracy_score(true, said)
        )
        assert one(scores, "quadratic_kappa", f"{n} levels").value == pytest.approx(kappa)
        x, y = levels["valence"], levels["valence_true"]
        r = stats.pearsonr(x, y).statistic
        assert one(scores, "valence_correlation", f"{n} levels").value == pytest.approx(r)
        lin = 2 * r * x.std() * y.std() / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
        assert one(scores, "valence_concordance", f"{n} levels").value == pytest.approx(
            lin, rel=0.01
        )
        names = list(sentiment.LEVELS[n])
        expected = precision_recall_fscore_support(true, said, labels=names)
        for metric, values in zip(("precision", "recall", "f1"), expected, strict=False):
            found = [one(scores, metric, f"{n} levels", name).value for name in names]
            assert found == pytest.approx(values), metric

    def test_holds_every_scale_with_intervals_around_its_estimates(self, scores):
        assert set(scores["set_name"]) == {"faces, 7 classes", "faces, 5 levels", "faces, 3 levels"}
        assert (scores["low"] <= scores["value"] + 1e-12).all()
        assert (scores["value"] <= scores["high"] + 1e-12).all()
        assert set(TABLES["metrics"].columns) < set(scores)

    def test_fewer_levels_are_easier(self, scores):
        values = [one(scores, "accuracy", scale).value for scale in SCALES]
        assert values == sorted(values)

    def test_a_perfect_reader_has_a_kappa_of_one_and_a_random_one_of_none(self):
        perfect = sentiment.score_scales(run(skill=60), WAYS[0], statistics=QUICK)
        assert one(perfect, "quadratic_kappa", "5 levels").value == pytest.approx(1)
        assert one(perfect, "valence_concordance", "5 levels").value == pytest.approx(1)
        guess = one(
            sentiment.score_scales(run(skill=0), WAYS[0], statistics=QUICK),
            "quadratic_kappa",
            "5 levels",
        )
        assert guess.low < 0 < guess.high

    def test_of_answers_without_spread_is_undefined(self):
        same = tables.with_probabilities(
            run().drop(columns="predicted"),
            np.tile(np.eye(7)[3], (300, 1)),
            labels=EMOTIONS,
        )
        found = sentiment.score_scales(same, WAYS[0], statistics=QUICK)
        assert np.isnan(one(found, "valence_correlation", "5 levels").value)
        assert one(found, "valence_concordance", "5 levels").value == pytest.approx(0)


class TestCompare:
    def test_a_better_run_is_better_at_every_scale(self):
        found = sentiment.compare_scales(
            run("good", skill=3), run("bad", skill=1, seed=3), WAYS[0], statistics=QUICK
        )
        accuracy = found[found["metric"] == "accuracy"]
        assert accuracy["scale"].tolist() == SCALES
        assert (accuracy["low"] > 0).all()
        assert (accuracy["p_value"] < 0.01).all()

    def test_a_run_does_not_differ_from_itself(self):
        found = sentiment.compare_scales(run("a"), run("b"), WAYS[0], statistics=QUICK)
        assert (found["difference"] == 0).all()
        assert (found["p_value"] == 1).all()


class TestSensitivity:
    def test_holds_every_way_once_a_rule(self, table):
        counts = table[table["metric"] == "accuracy"].groupby(["scale", "rule"]).size()
        assert counts["5 levels"].tolist() == [48, 48]
        assert counts["3 levels"].tolist() == [3, 3], "only surprise changes a sign"

    def test_its_first_way_scores_as_the_study_does(self, table, scores):
        for scale in SCALES[1:]:
            for metric in ("accuracy", "balanced_accuracy", "quadratic_kappa"):
                rows = table[(table["scale"] == scale) & (table["metric"] == metric)]
                own = rows[(rows["rule"] == "sum") & (rows["choice"] == "as chosen")]
                assert own["value"].item() == pytest.approx(one(scores, metric, scale).value)

    def test_dropping_surprise_leaves_its_faces_out(self, table):
        n = table.groupby("surprise")["n"].unique()
        assert n["+1"].tolist() == n["0"].tolist() == [300]
        assert n["dropped"].tolist() == [300 - (run()["label"] == "surprise").sum()]
