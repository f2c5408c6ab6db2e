"""A photo under two labels keeps both hits, and a stated rule decides between them."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exe_core.curation import decide_labels, found_by
from exe_core.settings import Set
from exe_core.tables import FIVE

QUERIES = {"mad": "angry", "irate": "angry", "sad": "sad", "crying": "sad", "happy": "happy"}


def hits_of(*rows: tuple[str, str, int, int]) -> pd.DataFrame:
    """Photo, query, page, rank."""
    table = pd.DataFrame(rows, columns=["photo_id", "query", "page", "rank"])
    return table.assign(label=table["query"].map(QUERIES), source="pexels", design="v2")


def requests_of(*asked: tuple[str, int, int]) -> pd.DataFrame:
    """Query, page, minute."""
    table = pd.DataFrame(asked, columns=["query", "page", "minute"])
    at = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(table["minute"], unit="min")
    return table.assign(requested_at=at, source="pexels", design="v2", error=None)


def labels(hits: pd.DataFrame, rule: str, requests: pd.DataFrame | None = None) -> dict[str, str]:
    asked = requests_of() if requests is None else requests
    table = decide_labels(hits, rule, requests=asked)
    return dict(zip(table["photo_id"], table["label"], strict=True))


def test_each_rule_decides_as_it_says() -> None:
    hits = hits_of(
        ("a", "mad", 1, 5), ("a", "sad", 1, 1), ("a", "crying", 1, 9), ("b", "mad", 1, 2)
    )
    asked = requests_of(("mad", 1, 0), ("sad", 1, 1), ("crying", 1, 2))
    assert labels(hits, "drop", asked) == {"b": "angry"}
    assert labels(hits, "first", asked) == {"a": "angry", "b": "angry"}
    assert labels(hits, "vote", asked) == {"a": "sad", "b": "angry"}


def test_the_first_hit_is_the_one_whose_page_was_asked_for_first() -> None:
    hits = hits_of(("a", "mad", 1, 1), ("a", "sad", 2, 9))
    assert labels(hits, "first", requests_of(("mad", 1, 7), ("sad", 2, 3))) == {"a": "sad"}
    again = requests_of(("mad", 1, 7), ("sad", 2, 3), ("mad", 1, 1))
    assert labels(hits, "first", again) == {"a": "angry"}
    failed = again.assign(error=[None, None, "timeout"])
    assert labels(hits, "first", failed) == {"a": "sad"}


def test_of_equally_many_hits_the_higher_ones_win_and_then_the_order_of_labels() -> None:
    hits = hits_of(("x", "sad", 1, 1), ("a", "sad", 1, 2), ("a", "mad", 1, 1), ("b", "sad", 2, 1))
    assert labels(hits, "vote")["a"] == "angry"
    tied = hits_of(("a", "sad", 1, 1), ("a", "mad", 1, 1))
    assert labels(tied, "vote") == {"a": "angry"}


def test_a_rank_counts_over_the_pages_of_a_query() -> None:
    hits = hits_of(("x", "sad", 1, 1), ("a", "sad", 2, 1), ("a", "mad", 1, 2), ("y", "mad", 1, 1))
    assert labels(hits, "vote")["a"] == "angry", "second of both: the order of labels decides"
    hits = hits_of(("x", "mad", 1, 1), ("a", "mad", 2, 1), ("a", "sad", 1, 1))
    assert labels(hits, "vote")["a"] == "sad"


def test_two_photos_that_a_site_puts_in_one_place_are_told_apart_by_their_ids() -> None:
    hits = hits_of(("a", "mad", 2, 2), ("a", "sad", 1, 1), ("b", "mad", 2, 2))
    assert labels(hits, "vote") == labels(hits[::-1], "vote") == {"a": "angry", "b": "angry"}


def test_the_query_is_that_of_the_earliest_hit_under_the_label_that_was_chosen() -> None:
    hits = hits_of(("a", "mad", 1, 1), ("a", "sad", 1, 1), ("a", "crying", 1, 1))
    asked = requests_of(("mad", 1, 0), ("sad", 1, 2), ("crying", 1, 1))
    table = decide_labels(hits, "vote", requests=asked)
    assert table.to_dict("records") == [
        {"photo_id": "a", "label": "sad", "query": "crying", "n_labels": 2}
    ]


def test_an_unknown_rule_is_refused_and_nothing_gives_nothing() -> None:
    with pytest.raises(ValueError, match="no rule 'best'"):
        labels(hits_of(), "best")
    assert labels(hits_of(), "drop") == labels(hits_of(), "vote") == {}


def test_the_hits_of_a_set_are_those_of_its_source_and_design() -> None:
    hits = hits_of(("a", "mad", 1, 1), ("b", "mad", 1, 2), ("c", "mad", 1, 3))
    hits = hits.assign(source=["pexels", "pixabay", "pexels"], design=["v2", "v2", "v1"])
    chosen = Set(kind="photos", source="pexels", design="v2")
    assert found_by(hits, chosen)["photo_id"].tolist() == ["a"]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abcd"),
            st.sampled_from(list(QUERIES)),
            st.integers(1, 2),
            st.integers(1, 9),
        ),
        unique_by=lambda row: row[:2],
        max_size=16,
    ),
    seed=st.integers(0, 9),
)
def test_the_rules_agree_where_there_is_one_label_and_the_order_of_rows_does_not_matter(
    rows: list, seed: int
) -> None:
    hits = hits_of(*rows)
    asked = requests_of(
        *[(query, page, k + page) for k, query in enumerate(QUERIES) for page in (1, 2)]
    )
    found = {rule: labels(hits, rule, asked) for rule in ("drop", "first", "vote")}
    assert set(found["first"]) == set(found["vote"]) == set(hits["photo_id"])
    assert found["drop"].items() <= found["first"].items()
    assert found["drop"].items() <= found["vote"].items()
    shuffled = hits.sample(frac=1, random_state=seed)
    assert {rule: labels(shuffled, rule, asked) for rule in found} == found
    assert set(found["vote"].values()) <= set(FIVE)
