"""Recipes over seeds, and faults undone: known gains, intervals that cover, leaks marked."""

import numpy as np
import pandas as pd
import pytest
from test_metrics import LABELS, OPTIONS, make

from exe_core import calibration, comparisons, metrics
from exe_core.comparisons import ALL_UNDONE, CELLS, FACTORS
from exe_core.labels import prob_columns
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


def test_runs_that_saw_other_items_are_refused():
    rows = predictions()
    with pytest.raises(ValueError, match="ours-2 has not seen the same items as ours-1"):
        comparisons.score_variants(
            rows.drop(rows.index[rows["run_id"] == "ours-2"][0]), SEEDS, **OPTIONS
        )


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


NOTHING = dict.fromkeys(FACTORS, 0.0)


def predict(label, right, group, *, sure=0.8):
    """Predictions that give the label, or else the next one, the probability `sure`."""
    names = np.array(LABELS)
    place = np.array([LABELS.index(name) for name in label])
    answered = np.where(right, place, (place + 1) % 3)
    probs = np.where(np.eye(3)[answered] > 0, sure, (1 - sure) / 2)
    table = pd.DataFrame(probs, columns=prob_columns(LABELS))
    return table.assign(
        item_id=[f"face:{k:04d}" for k in range(len(label))],
        set_name="film_faces",
        split="test",
        group_id=[f"p{k}" for k in group],
        run_id="r",
        label=label,
        predicted=names[answered],
    )


def cells(gains, *, n=600, groups=40, replicates=3, seed=0):
    """All cells, right about the same faces first, as networks are."""
    rng = np.random.default_rng(seed)
    label, group = np.array(LABELS)[np.arange(n) % 3], rng.integers(groups, size=n)
    of_group, tables = 0.1 * rng.normal(size=groups)[group], []
    for replicate in range(replicates):
        luck = rng.uniform(size=n)
        for cell in CELLS:
            undone = {
                name: level == FACTORS[name][1] for name, level in zip(FACTORS, cell, strict=True)
            }
            rate = 0.4 + sum(gains[name] for name in FACTORS if undone[name])
            flips = rng.uniform(size=n) < 0.1
            found = predict(label, (luck < rate + of_group) ^ flips, group)
            tables.append(
                found.assign(replicate=replicate, **dict(zip(FACTORS, cell, strict=True)))
            )
    return pd.concat(tables, ignore_index=True)


def effects(table, *, metric="accuracy", over="groups", **options):
    found = comparisons.factorial_effects(table, **OPTIONS | options)
    kept = (found["metric"] == metric) & (found["over"] == over) & (found["kind"] == "effect")
    return found[kept].set_index("term")


def covers(row, truth):
    return row["low"] <= truth <= row["high"]


def test_additive_gains_are_recovered_and_nothing_else_is_found():
    gains = {"crop": 0.2, "colour": 0.1, "calibration": 0.0}
    found = effects(cells(gains, n=1500))
    for name, gain in gains.items():
        assert covers(found.loc[name], 0.8 * gain)  # a tenth of the answers are turned over
    assert found.loc["crop", "low"] > 0
    assert found.loc["colour", "low"] > 0
    for pair in ("crop x colour", "crop x calibration", "colour x calibration"):
        assert covers(found.loc[pair], 0)
    assert covers(found.loc[ALL_UNDONE], 0.8 * 0.3)


def test_cells_are_the_mean_of_their_replicates_and_effects_are_their_differences():
    table = cells({"crop": 0.1, "colour": 0.2, "calibration": -0.1})
    found = comparisons.factorial_effects(table, **OPTIONS).query("over == 'groups'")
    for metric in comparisons.MEASURES:
        of_metric = found[found["metric"] == metric].set_index("term")["value"]
        for cell in CELLS:
            rows = table[(table[list(FACTORS)] == list(cell)).all(axis=1)]
            by_replicate = [
                metrics.score(part, **OPTIONS).set_index("metric")["value"][metric]
                for _, part in rows.groupby("replicate")
            ]
            assert of_metric[", ".join(cell)] == pytest.approx(np.mean(by_replicate))
        of_cell = {cell: of_metric[", ".join(cell)] for cell in CELLS}
        after, before = (
            np.mean([value for cell, value in of_cell.items() if cell[0] == level])
            for level in reversed(FACTORS["crop"])
        )
        assert of_metric["crop"] == pytest.approx(after - before)
        assert of_metric[ALL_UNDONE] == pytest.approx(of_cell[CELLS[-1]] - of_cell[CELLS[0]])


def test_a_person_with_one_face_takes_no_interval_away_but_many_of_them_do():
    table = cells(NOTHING, n=120, groups=4)
    table.loc[table["item_id"] == "face:0007", "group_id"] = "p-alone"
    assert comparisons.factorial_effects(table, **OPTIONS)["low"].notna().all()
    found = comparisons.factorial_effects(cells(NOTHING, n=60, groups=60), **OPTIONS)
    assert found.query("over == 'faces'")["low"].isna().all()
    assert found.query("over == 'groups'")["low"].notna().all()


def test_a_cell_that_lacks_a_face_is_refused():
    with pytest.raises(
        ValueError, match="detector, as learned, corrected, replicate 2 has not seen"
    ):
        comparisons.factorial_effects(cells(NOTHING).iloc[:-1], **OPTIONS)


FACTORIAL_STUDY = {
    "name": "x",
    "kind": "real",
    "title": "X",
    "labels": list(LABELS),
    "sets": {
        "plain": {"kind": "fer2013", "path": "fer", "crop": "as shipped"},
        "cropped": {"kind": "fer2013", "path": "fer"},
        "film_faces": {"kind": "folder", "path": "films", "role": "test"},
    },
    "runs": {
        "plain-1": {"sets": ["plain"], "gray": True},
        "plain-2": {"sets": ["plain"], "gray": True, "train": {"seed": 1}},
        "cropped-1": {"sets": ["cropped"], "gray": True},
        "cropped-2": {"sets": ["cropped"], "gray": True, "train": {"seed": 1}},
    },
    "factorial": {
        "as_shipped": ["plain-1", "plain-2"],
        "recropped": ["cropped-1", "cropped-2"],
        "sets": ["film_faces"],
    },
}


def test_every_run_fills_its_cells_and_rare_labels_are_left_out():
    study = parse_study(FACTORIAL_STUDY)
    rng = np.random.default_rng(0)
    label = np.array(["happy"] * 60 + ["sad"] * 40 + ["angry"] * 5)
    group = np.arange(105) % 6
    learned = np.array(LABELS)[np.arange(300) % 3]
    shown = {
        colour: pd.concat(
            [
                predict(label, rng.uniform(size=105) < rate, group).assign(run_id=run)
                for run in study.runs
            ]
        )
        for colour, rate in (("in colour", 0.5), ("as learned", 0.7))
    }
    known = pd.concat(
        [
            predict(learned, rng.uniform(size=300) < rate, np.arange(300)).assign(
                run_id=run, split=split, set_name=study.runs[run].sets[0]
            )
            for run in study.runs
            for split, rate in (("val", 0.8), ("test", 0.6))
        ]
    )
    found = comparisons.factorial_cells(study, shown, known=known)
    corrected = found.query("calibration == 'corrected' and crop == 'detector' and replicate == 0")
    validation = known.query("run_id == 'cropped-1' and split == 'val'")
    rows = shown["as learned"].query("run_id == 'cropped-1'")
    by_hand = calibration.adapt_to_shift(rows, validation)
    kept = by_hand["label"] != "angry"
    as_learned = corrected[corrected["colour"] == "as learned"]
    assert as_learned["prob_sad"].to_numpy() == pytest.approx(by_hand.loc[kept, "prob_sad"])
    counts = found.groupby([*FACTORS, "replicate"]).size()
    assert len(counts) == 16
    assert set(counts) == {100}
    assert set(found["label"]) == {"happy", "sad"}
    raw = found.query("crop == 'detector' and calibration == 'none' and replicate == 1")
    assert set(raw["run_id"]) == {"cropped-2"}
    for colour, table in shown.items():
        expected = table[(table["run_id"] == "cropped-2") & table["label"].isin(["happy", "sad"])]
        of_colour = raw[raw["colour"] == colour]
        assert of_colour["prob_sad"].tolist() == expected["prob_sad"].tolist()
    estimated = comparisons.factorial_effects(found, **OPTIONS)
    assert (estimated["n_seeds"] == 2).all()
    home = comparisons.score_at_home(study, known, found, **OPTIONS).set_index("metric")
    plain = known.query("set_name == 'plain' and split == 'test' and label != 'angry'")
    right = (plain["predicted"] == plain["label"]).mean()
    assert home.loc["accuracy", "value"] == pytest.approx(right)
    assert set(home["kind"]) == {"home"}
