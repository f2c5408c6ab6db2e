"""Faults of the pipeline, undone: what is built into answers is what comes out of them."""

import numpy as np
import pandas as pd
import pytest

from exe_core import calibration, comparisons, metrics
from exe_core.comparisons import ALL_UNDONE, CELLS, FACTORS
from exe_core.labels import prob_columns
from exe_core.resampling import Statistics
from exe_core.study import parse_study

LABELS = ("happy", "sad", "neutral")
OPTIONS = {"labels": LABELS, "statistics": Statistics(n_bootstrap=200, seed=0)}
NOTHING = dict.fromkeys(FACTORS, 0.0)


def said(label, right, group, *, sure=0.8):
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


def cells(gains, *, both=0.0, n=600, groups=40, replicates=3, seed=0):
    """All cells, right about the same faces first, as networks are; `both` is crop x colour."""
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
            rate += both * (undone["crop"] and undone["colour"])
            flips = rng.uniform(size=n) < 0.1
            found = said(label, (luck < rate + of_group) ^ flips, group)
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


def test_what_two_gain_only_together_is_an_interaction_and_half_of_it_a_main_effect():
    found = effects(cells(NOTHING, both=0.3, n=1500))
    assert covers(found.loc["crop x colour"], 0.8 * 0.3)
    assert found.loc["crop x colour", "low"] > 0.1
    assert covers(found.loc["crop"], 0.8 * 0.15)
    assert covers(found.loc["crop x calibration"], 0)


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


def test_a_fault_that_changes_no_answer_has_an_effect_of_exactly_0():
    one = cells({"crop": 0.2, "colour": 0.0, "calibration": 0.0}).query("colour == 'as learned'")
    both = pd.concat([one, one.assign(colour="in colour")])
    row = effects(both).loc["colour"]
    assert (row["value"], row["low"], row["high"]) == pytest.approx((0, 0, 0), abs=1e-12)


def test_other_faces_of_the_same_few_persons_move_the_score_less_than_other_persons():
    table = cells(NOTHING, n=400, groups=5, replicates=1)
    found = comparisons.factorial_effects(table, **OPTIONS).query(
        "metric == 'accuracy' and kind == 'cell'"
    )
    width = (found["high"] - found["low"]).groupby(found["over"]).mean()
    assert width["faces"] < width["groups"]


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


STUDY = {
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
    study = parse_study(STUDY)
    rng = np.random.default_rng(0)
    label = np.array(["happy"] * 60 + ["sad"] * 40 + ["neutral"] * 5)
    group = np.arange(105) % 6
    learned = np.array(LABELS)[np.arange(300) % 3]
    shown = {
        colour: pd.concat(
            [
                said(label, rng.uniform(size=105) < rate, group).assign(run_id=run)
                for run in study.runs
            ]
        )
        for colour, rate in (("in colour", 0.5), ("as learned", 0.7))
    }
    known = pd.concat(
        [
            said(learned, rng.uniform(size=300) < rate, np.arange(300)).assign(
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
    kept = by_hand["label"] != "neutral"
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
    plain = known.query("set_name == 'plain' and split == 'test' and label != 'neutral'")
    right = (plain["predicted"] == plain["label"]).mean()
    assert home.loc["accuracy", "value"] == pytest.approx(right)
    assert set(home["kind"]) == {"home"}


def test_a_study_without_a_factorial_has_no_cells():
    plain = parse_study({key: part for key, part in STUDY.items() if key != "factorial"})
    with pytest.raises(ValueError, match="study x has no `factorial`"):
        comparisons.factorial_cells(plain, {}, known=pd.DataFrame())
