"""Every photo that was returned is accounted for: used, or lost for a reason."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_pulls import SETS, make_pull
from scipy.stats import binomtest

from exe_core.curation import MAX_REASONS, novelty, whereabouts, yields
from exe_core.resampling import Statistics


@pytest.mark.parametrize(("k", "n"), [(0, 7), (1, 7), (7, 7), (33, 120)])
def test_intervals_are_scipys(k: int, n: int) -> None:
    interval = binomtest(k, n).proportion_ci(method="wilson")
    assert np.allclose(
        tuple(Statistics().share(k / n, n).columns().values())[1:], (interval.low, interval.high)
    )


def test_nothing_counted_has_no_interval() -> None:
    assert np.isnan(Statistics().share(np.nan, 0).low)


def steps_of(table: pd.DataFrame, set_name: str) -> dict[str, int]:
    rows = table[table["set_name"] == set_name]
    return dict(zip(rows["step"], rows["n"], strict=True))


def test_each_photo_is_followed_to_its_end() -> None:
    tables = make_pull()
    tables.pop("truth")
    assert steps_of(whereabouts(SETS, **tables), "pexels-v2") == {
        "returned": 12,
        "found again by another query": 2,
        "different photos": 10,
        "failed: HTTP 404": 1,
        "failed: damaged": 1,
        "downloaded": 8,
        "under two labels": 1,
        "looked at for faces": 7,
        "no face": 1,
        "unreadable": 1,
        "faces used": 5,
        "train": 3,
        "val": 1,
        "test": 1,
        "copies of another": 1,
    }


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 40),
    rule=st.sampled_from(["drop", "first", "vote"]),
)
def test_what_was_returned_less_what_was_lost_is_what_is_used(seed: int, n: int, rule: str) -> None:
    tables = make_pull(seed=seed, n=n, rule=rule)
    tables.pop("truth")
    sets = {name: one.model_copy(update={"two_labels": rule}) for name, one in SETS.items()}
    table = whereabouts(sets, **tables)
    for name in SETS:
        rows = table[table["set_name"] == name]
        steps = steps_of(table, name)
        lost = rows["n"][rows["kind"] == "lost"]
        assert (lost > 0).all()
        assert steps["returned"] - lost.sum() == steps["faces used"]
        assert steps["train"] + steps["val"] + steps["test"] == steps["faces used"]


def test_rare_reasons_are_counted_together() -> None:
    tables = make_pull()
    tables.pop("truth")
    photos = tables["photos"]
    more = [f"reason {chr(97 + k)}: {k}" for k in range(MAX_REASONS + 3)]
    added = pd.DataFrame({"photo_id": [f"pexels:9{k:02d}" for k in range(len(more))]})
    hits = added.assign(label="sad", source="pexels", design="v2", query="sad", page=3, rank=1)
    tables["hits"] = pd.concat([tables["hits"], hits], ignore_index=True)
    failed = added.assign(source="pexels", status="failed", error=more)
    tables["photos"] = pd.concat([photos, failed], ignore_index=True)
    steps = steps_of(whereabouts(SETS, **tables), "pexels-v2")
    assert steps["failed: other reasons"] == 3 + 2  # two earlier reasons have one photo, too
    assert sum(name.startswith("failed") for name in steps) == MAX_REASONS + 1


def test_yields_count_what_each_query_gave() -> None:
    tables = make_pull()
    hits, photos, images = (tables[name] for name in ("hits", "photos", "images"))
    by_query = yields(
        hits, photos, images, statistics=Statistics(), by=["source", "label", "query"]
    ).set_index("query")
    crying = by_query.loc["crying"]
    assert crying[["n_hits", "n_photos", "n_downloaded", "n_looked_at"]].tolist() == [4, 4, 4, 3]
    assert crying["n_with_face"] == 2
    assert crying["value"] == pytest.approx(2 / 3)
    assert crying["low"] < 2 / 3 < crying["high"]
    by_label = yields(hits, photos, images, statistics=Statistics(), by=["label"]).set_index(
        "label"
    )
    assert by_label["n_hits"].sum() == len(hits)
    assert by_label.loc["sad", "n_photos"] == 6, "a photo that two queries gave counts once"


def test_a_query_without_a_photo_that_was_looked_at_has_no_share() -> None:
    tables = make_pull()
    table = yields(
        tables["hits"],
        tables["photos"],
        tables["images"].iloc[:0],
        statistics=Statistics(),
        by=["query"],
    )
    assert table[["value", "low", "high"]].isna().all(axis=None)


def test_novelty_is_that_of_the_answer_that_first_gave_a_page() -> None:
    tables = make_pull()
    table = novelty(tables["requests"], tables["hits"], statistics=Statistics()).set_index(
        ["query", "page"]
    )
    assert table.loc[("sad", 1), "value"] == 1
    assert table.loc[("sad", 2), ["n_returned", "n_new"]].tolist() == [2, 1]
    assert ("mad", 2) not in table.index, "that request failed"
    of_sad = novelty(
        tables["requests"], tables["hits"], statistics=Statistics(), by=["label"]
    ).set_index(["label", "page"])
    assert of_sad.loc[("sad", 1), "n_returned"] == 2 + 4
    assert table["low"].le(table["value"]).all()
