"""Votes as one more classifier: known shares, agreement and entropy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from exe_core import datasets, metrics, tables
from exe_core.readers import VOTES, DatasetError
from exe_core.resampling import Statistics
from exe_core.tables import EMOTIONS

QUICK = Statistics(n_bootstrap=100, seed=1)


def images(labels: list[str]) -> pd.DataFrame:
    n = len(labels)
    return pd.DataFrame(
        {
            "item_id": [f"fer2013:{k:06d}" for k in range(n)],
            "set_name": "fer",
            "group_id": [f"g{k}" for k in range(n)],
            "label": labels,
            "split_given": ["train"] * (n - 4) + ["public"] * 4,
        }
    )


def counted(rows: list[dict[str, int]], sides: pd.Series) -> pd.DataFrame:
    """Votes by emotion, line by line."""
    table = pd.DataFrame([{f"votes_{name}": n for name, n in row.items()} for row in rows])
    table = table.reindex(columns=VOTES).fillna(0).astype(int)
    return table.assign(line=pd.array(range(len(rows)), "Int64"), image=pd.NA, split_given=sides)


@pytest.fixture
def items() -> pd.DataFrame:
    return images(["happy"] * 6 + ["sad"] * 6)


@pytest.fixture
def answers(items: pd.DataFrame) -> pd.DataFrame:
    """Of six happy images five are happy to all; of six sad ones three to all, one is tied."""
    rows = [{"happy": 10}] * 5 + [{"happy": 2, "neutral": 8}]
    rows += [{"sad": 10}] * 3 + [{"sad": 5, "neutral": 5}, {"sad": 6, "neutral": 2, "fear": 2}]
    rows += [{"happy": 10}]
    return datasets.votes_as_predictions(
        items, counted(rows, items["split_given"]), labels=EMOTIONS
    )


def test_the_shares_of_votes_are_probabilities_and_ties_are_left_out(answers, items) -> None:
    assert len(answers) == len(items) - 1
    mixed = answers.set_index("item_id").loc["fer2013:000005"]
    assert (mixed["prob_neutral"], mixed["prob_happy"], mixed["predicted"]) == (0.8, 0.2, "neutral")
    found = metrics.score(answers, labels=EMOTIONS, statistics=QUICK)
    accuracy = found[found["metric"] == "accuracy"].set_index("split")["value"]
    assert accuracy["train"] == pytest.approx(7 / 8)
    assert accuracy["public"] == pytest.approx(2 / 3)


def test_entropy_is_that_of_the_votes(answers) -> None:
    found = datasets.entropy_by_label(answers, statistics=QUICK).set_index("label")
    of = {share: -share * np.log2(share) for share in (0.2, 0.8, 0.6)}
    assert found.loc["happy", "value"] == pytest.approx((of[0.2] + of[0.8]) / 6)
    assert found.loc["sad", "value"] == pytest.approx((of[0.6] + 2 * of[0.2]) / 5)
    assert found.loc["sad", "low"] <= found.loc["sad", "value"] <= found.loc["sad", "high"]
    assert np.isnan(found.loc["fear", "value"]), "no image is labelled so"
    assert found["n"].to_dict()["happy"] == 6


def test_predictions_are_judged_by_the_majority(answers, items) -> None:
    said = items.assign(split="test", run_id="a", predicted="happy")
    for label in EMOTIONS:
        said[f"prob_{label}"] = float(label == "happy")
    elsewhere = said.assign(set_name="press")
    found = datasets.relabelled(pd.concat([said, elsewhere], ignore_index=True), answers)
    assert set(found["set_name"]) == {"fer by votes"}
    assert len(found) == len(answers)
    assert (found["label"] == "happy").sum() == 6, "five of the happy ones, and one of the sad"
    assert set(found) == set(tables.check(found, "predictions"))


def test_votes_of_another_set_are_refused(items) -> None:
    wrong = counted([{"fear": 10}] * 12, items["split_given"])
    with pytest.raises(DatasetError, match=r"agrees with 0\.00 of the labels"):
        datasets.votes_as_predictions(items, wrong, labels=EMOTIONS)
