"""A set's labels before ten annotators: how often they agree, and how divided these are.

Votes are read as one more classifier, whose probabilities are their shares, so that all that is
measured of classifiers is measured of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from exe_core import ensemble, resampling, schema
from exe_core.sets.ferplus import join_votes, majority, soft_labels, vote_entropy
from exe_core.settings import Statistics

VOTERS = "majority of votes"


def as_predictions(
    items: pd.DataFrame, votes: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Let the annotators answer: the shares of their votes are the probabilities.

    Parameters
    ----------
    items
        item_id, set_name, group_id, label and split_given of the images of one set, as
        `exe_core.datasets.all_items` gives them.
    votes
        As `exe_core.sets.ferplus.read_votes` gives them.
    labels
        Those of the study; votes for others do not count.

    Returns
    -------
    pandas.DataFrame
        Table "predictions" of the run `VOTERS`; the split is the given one. Images without a
        majority are left out.

    Raises
    ------
    exe_core.sets.readers.DatasetError
        If votes and images do not fit.
    """
    joined = join_votes(items, votes).set_index("item_id")
    shares = soft_labels(joined, labels=labels)
    clear = pd.notna(majority(shares, labels=labels))
    known = items.set_index("item_id").loc[joined.index[clear]].reset_index()
    table = known[["item_id", "set_name", "group_id", "label"]]
    table = table.assign(split=known["split_given"], run_id=VOTERS)
    return ensemble.with_probabilities(table, shares[clear], labels=labels)


def relabelled(predictions: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Judge predictions by the annotators' majority in place of the set's own labels.

    Parameters
    ----------
    predictions
        Table "predictions".
    answers
        As `as_predictions` gives them; what they do not answer is left out.

    Returns
    -------
    pandas.DataFrame
        Table "predictions", sets named "<set> by votes".
    """
    told = answers[["item_id", "set_name", "predicted"]].rename(columns={"predicted": "voted"})
    judged = predictions.merge(told, on=["item_id", "set_name"], validate="m:1")
    return judged.assign(label=judged["voted"], set_name=judged["set_name"] + " by votes").drop(
        columns="voted"
    )


def entropy_by_label(answers: pd.DataFrame, *, statistics: Statistics, seed: int) -> pd.DataFrame:
    """Estimate how divided the annotators are on images of each label.

    Parameters
    ----------
    answers
        As `as_predictions` gives them.
    statistics, seed
        Of the bootstrap over groups of images that are the same picture.

    Returns
    -------
    pandas.DataFrame
        Table "metrics", a row a label: the mean entropy of an image's votes, bits.
    """
    labels = schema.labels_of(answers)
    entropy = vote_entropy(answers[schema.prob_columns(labels)].to_numpy())
    own = (answers["label"].to_numpy()[:, None] == np.array(labels)).astype(float)
    sums = resampling.sum_by_group(np.hstack([own, own * entropy[:, None]]), answers["group_id"])
    found = resampling.bootstrap(
        sums,
        lambda totals: _ratio(totals[:, len(labels) :], totals[:, : len(labels)]),
        n=statistics.n_bootstrap,
        level=statistics.level,
        rng=np.random.default_rng(seed),
    )
    table = pd.DataFrame(found._asdict()).assign(
        run_id=VOTERS,
        set_name=answers["set_name"].iloc[0],
        split="all",
        metric="vote_entropy",
        label=labels,
        n=own.sum(axis=0).astype(int),
        n_groups=[answers["group_id"][kind].nunique() for kind in own.T.astype(bool)],
        level=statistics.level,
        method=resampling.METHOD,
        seed=seed,
    )
    return schema.check(table, "metrics")


def _ratio(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
