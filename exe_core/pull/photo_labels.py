"""Which label a found photo gets: the hits are kept, and the label is decided by a stated rule."""

from __future__ import annotations

import pandas as pd

from exe_core.schema import EMOTIONS
from exe_core.settings import Set

RULES = ("drop", "first", "vote")


def found_by(hits: pd.DataFrame, chosen: Set) -> pd.DataFrame:
    """Give the hits of a set of photos: those of its source and design."""
    return hits[(hits["source"] == chosen.source) & (hits["design"] == chosen.design)]


def decide_labels(hits: pd.DataFrame, rule: str, *, requests: pd.DataFrame) -> pd.DataFrame:
    """Decide which label each photo of a set gets.

    Parameters
    ----------
    hits
        Those of one set, as `found_by` gives them.
    rule
        For a photo that was found under several labels: "drop" leaves it out; "first" takes the
        label of its earliest hit; "vote" the label of most hits, of equally many the one whose
        hits stand higher in their queries (sum of 1 / place), then the first in the order of
        `EMOTIONS`.
    requests
        The table, which says when each page was asked for.

    Returns
    -------
    pandas.DataFrame
        A row a photo: photo_id, label, query (of its earliest hit under this label) and n_labels,
        the number of labels that it was found under.

    Raises
    ------
    ValueError
        If there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"no rule {rule!r} for photos under two labels; there are {RULES}")
    ordered = _in_time(hits, requests)
    by_photo = ordered.groupby("photo_id")
    n_labels = by_photo["label"].nunique()
    if rule == "drop":
        chosen = by_photo["label"].first()[n_labels == 1]
    elif rule == "first":
        chosen = by_photo["label"].first()
    else:
        chosen = _most_voted(ordered)
    kept = ordered[ordered["label"] == ordered["photo_id"].map(chosen)]
    table = kept.drop_duplicates("photo_id")[["photo_id", "label", "query"]]
    table = table.assign(n_labels=table["photo_id"].map(n_labels))
    return table.sort_values("photo_id", ignore_index=True)


def _in_time(hits: pd.DataFrame, requests: pd.DataFrame) -> pd.DataFrame:
    """Sort hits by the time of their page and their place on it."""
    page = ["source", "design", "query", "page"]
    asked = requests[requests["error"].isna()].groupby(page)["requested_at"].min()
    timed = hits.merge(asked.rename("asked_at").reset_index(), on=page, how="left")
    timed["code"] = pd.Categorical(timed["label"], categories=EMOTIONS).codes
    return timed.sort_values(
        ["asked_at", "code", "query", "page", "rank", "photo_id"], ignore_index=True
    )


def _most_voted(hits: pd.DataFrame) -> pd.Series:
    """Give the label of most hits of each photo, by photo_id."""
    query = ["source", "design", "query"]
    placed = hits.sort_values([*query, "page", "rank", "photo_id"])
    placed["weight"] = 1 / (placed.groupby(query).cumcount() + 1)
    votes = placed.groupby(["photo_id", "label", "code"])["weight"].agg(["size", "sum"])
    order = ["photo_id", "size", "sum", "code"]
    best = votes.reset_index().sort_values(order, ascending=[True, False, False, True])
    return best.drop_duplicates("photo_id").set_index("photo_id")["label"]
