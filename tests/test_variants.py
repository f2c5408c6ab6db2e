"""Seeds of one recipe: their mean is the score, and both seeds and groups widen its interval."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from test_metrics import LABELS, OPTIONS, make

from exe_core import comparisons, metrics
from exe_core.resampling import Statistics
from exe_core.study import parse_study

SEEDS = {"ours": ("ours-1", "ours-2", "ours-3"), "worse": ("worse-1", "worse-2", "worse-3")}
SKILL = {"ours": 2.0, "worse": 1.0}


def predictions(**more):
    """Three seeds of two recipes, on the same items."""
    return pd.concat(
        [
            make(run_id=run, skill=SKILL[name], seed=10 * k + len(name), **more)
            for name, runs in SEEDS.items()
            for k, run in enumerate(runs)
        ],
        ignore_index=True,
    )


def mean(sums):
    return sums[:, :1] / sums[:, 1:]


def interval(seeds, *, level=0.95, n=300, rng=0):
    statistics = Statistics(level=level, n_bootstrap=n, seed=rng)
    return comparisons.mean_over_seeds(seeds, mean, statistics=statistics)


def overall(table, metric):
    return table[
        (table["metric"] == metric) & table.get("label", pd.Series(index=table.index)).isna()
    ]


def test_the_score_of_a_variant_is_the_mean_over_its_seeds():
    rows = predictions()
    single = metrics.score(rows, **OPTIONS).set_index(["run_id", "metric"])
    found = comparisons.score_variants(rows, SEEDS, **OPTIONS)
    for name, runs in SEEDS.items():
        for metric in metrics.SCORES:
            expected = [single.loc[(run, metric), "value"] for run in runs]
            row = overall(found[found["run_id"] == name], metric).iloc[0]
            assert row["value"] == pytest.approx(np.mean(expected))
            assert row["spread"] == pytest.approx(np.std(expected, ddof=1))
            assert row["low"] < row["value"] < row["high"]
    assert (found["n_seeds"] == 3).all()


def test_one_seed_alone_has_the_interval_of_its_groups():
    rows = predictions()
    single = metrics.score(rows[rows["run_id"] == "ours-1"], **OPTIONS)
    found = comparisons.score_variants(rows, {"ours": ("ours-1",)}, **OPTIONS)
    for column in ("value", "low", "high"):
        assert np.array_equal(found[column], single[column], equal_nan=True)
    assert found["spread"].isna().all()


def test_equal_seeds_add_nothing_to_the_interval():
    sums = np.column_stack([np.random.default_rng(1).uniform(size=30), np.ones(30)])
    one, three = interval([sums]), interval([sums] * 3)
    for name in ("value", "low", "high"):
        assert getattr(three, name) == pytest.approx(getattr(one, name), abs=1e-12)
    assert three.spread == pytest.approx(0, abs=1e-12)


def test_without_spread_over_groups_the_interval_is_that_of_t():
    values = np.array([0.5, 0.6, 0.8])
    found = interval([np.column_stack([np.full(20, value), np.ones(20)]) for value in values])
    low, high = stats.t.interval(0.95, df=2, loc=values.mean(), scale=stats.sem(values))
    assert found.low[0] == pytest.approx(low)
    assert found.high[0] == pytest.approx(high)


@pytest.mark.parametrize(("of_groups", "of_seeds"), [(0.3, 0.0), (0.1, 0.1), (0.02, 0.1)])
def test_intervals_cover_the_truth_as_often_as_they_say(of_groups, of_seeds):
    """Effects of groups and of seeds, crossed, and noise; the truth is 0."""
    rng = np.random.default_rng(5)
    hits, trials = 0, 200
    for trial in range(trials):
        group, seed = of_groups * rng.normal(size=25), of_seeds * rng.normal(size=3)
        noise = 0.1 * rng.normal(size=(3, 25))
        seeds = [np.column_stack([group + seed[s] + noise[s], np.ones(25)]) for s in range(3)]
        found = interval(seeds, n=200, rng=trial)
        hits += found.low[0] <= 0 <= found.high[0]
    assert hits / trials > 0.91


def test_differences_are_paired_by_seed_and_by_group():
    """Faces and seeds vary much, the difference does not: its interval is narrow."""
    rows = predictions()
    better = rows[rows["run_id"].isin(SEEDS["ours"])]
    copy = better.assign(run_id=better["run_id"].str.replace("ours", "copy"))
    one = copy["item_id"] == "item:0000"
    copy.loc[one, "predicted"] = [
        next(label for label in LABELS if label != truth) for truth in copy.loc[one, "label"]
    ]
    pairs = {"ours": SEEDS["ours"], "copy": ("copy-1", "copy-2", "copy-3")}
    found = comparisons.compare_variants(
        pd.concat([better, copy]), pairs, reference="ours", **OPTIONS
    )
    row = overall(found, "accuracy").iloc[0]
    apart = comparisons.score_variants(better, {"ours": SEEDS["ours"]}, **OPTIONS)
    width = overall(apart, "accuracy").eval("high - low").iloc[0]
    assert -2 / 120 < row["difference"] <= 0
    assert row["high"] - row["low"] < width / 3


def test_a_worse_recipe_is_found_and_the_reference_is_not_compared_with_itself():
    found = comparisons.compare_variants(predictions(n=400), SEEDS, reference="ours", **OPTIONS)
    row = overall(found, "balanced_accuracy").iloc[0]
    assert row["run_id"] == "worse"
    assert row["other_run_id"] == "ours"
    assert row["high"] < 0
    assert set(found["run_id"]) == {"worse"}
    assert row["n_seeds"] == 3
    assert row["spread"] > 0


def test_no_interval_of_a_score_reaches_where_no_score_can_be():
    two = pd.concat([make(run_id="a-1", skill=6.0), make(run_id="a-2", skill=1.0)])
    found = comparisons.score_variants(two, {"a": ("a-1", "a-2")}, **OPTIONS).set_index("metric")
    assert found.loc["accuracy", "high"] == 1
    assert found.loc["accuracy", "low"] >= 0
    assert found.loc["nll", "high"] > 1
    assert found.loc["nll", "low"] == 0


def test_runs_that_saw_other_items_are_refused():
    rows = predictions()
    with pytest.raises(ValueError, match="ours-2 has not seen the same items as ours-1"):
        comparisons.score_variants(
            rows.drop(rows.index[rows["run_id"] == "ours-2"][0]), SEEDS, **OPTIONS
        )


def test_seeds_must_pair_up():
    fewer = SEEDS | {"worse": ("worse-1",)}
    with pytest.raises(ValueError, match="worse has 1 runs, ours 3"):
        comparisons.compare_variants(predictions(), fewer, reference="ours", **OPTIONS)
    with pytest.raises(ValueError, match="no variant 'mine'; there are ours, worse"):
        comparisons.compare_variants(predictions(), SEEDS, reference="mine", **OPTIONS)
    with pytest.raises(ValueError, match="got 0 seeds"):
        interval([])


def test_no_variant_gives_empty_tables():
    assert comparisons.score_variants(predictions(), {}, **OPTIONS).empty
    one = {"ours": SEEDS["ours"]}
    assert comparisons.compare_variants(predictions(), one, reference="ours", **OPTIONS).empty


@pytest.fixture
def study():
    return parse_study(
        {
            "name": "x",
            "kind": "real",
            "title": "X",
            "labels": list(LABELS),
            "sets": {
                "lab": {"kind": "fer2013", "path": "fer", "crop": "as shipped"},
                "again": {"kind": "fer2013", "path": "fer"},
                "press": {"kind": "folder", "path": "press", "role": "test"},
            },
            "runs": {
                "plain": {"sets": ["lab"]},
                "ours-1": {"sets": ["lab"], "train": {"seed": 1}},
                "ours-2": {"sets": ["lab"], "train": {"seed": 2}},
            },
            "ensembles": {"both": ["plain", "ours-1"]},
            "guests": {"known": {"model": "fer7", "sets": ["lab"]}, "stranger": "other"},
        }
    )


def test_a_matrix_has_a_row_a_variant_and_marks_what_a_model_learned_from(study):
    runs = ["plain", "ours-1", "ours-2", "both", "known", "stranger"]
    rows = pd.concat(
        [
            make(run_id=run, seed=k).assign(set_name=name)
            for k, run in enumerate(runs)
            for name in ("lab", "lab without duplicates", "again", "press")
        ]
    )
    scores = metrics.score(rows, **OPTIONS)
    found = comparisons.train_test_matrix(
        study, scores, comparisons.score_variants(rows, study.variants, **OPTIONS)
    )
    order = ["both", "plain", "ours", "known", "stranger"]
    assert list(dict.fromkeys(found["run_id"])) == order
    own = found.pivot_table("own", "run_id", "set_name", aggfunc="all")
    assert own.loc[["both", "plain", "ours", "known"]].all()[["lab", "again"]].all()
    assert own["lab without duplicates"].drop("stranger").all()
    assert not own["press"].any()
    assert not own.loc["stranger"].any()
