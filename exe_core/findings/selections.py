"""Shares of emotions over selections of films, and the differences between two of them.

A selection is a run on the films of a genre, or on all. Two are compared that differ in one of the
two, so that a difference has one cause. They are many, and their intervals are not adjusted for
that: they serve to look around, not to decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.films import mean_terms, means
from exe_core.settings import Statistics

Draw = Callable[..., resampling.Interval]
"""Resamples (films, k) terms for a statistic of their sums, within strata if they are given."""


def shares(
    summary: pd.DataFrame, films: pd.DataFrame, *, statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Average the shares of each selection over its films, with intervals.

    Parameters
    ----------
    summary, films
        Tables "film_summary" and "films".

    Returns
    -------
    pd.DataFrame
        Table "selection_shares": means over the films that have a face, as of `films.overall`;
        selections without a face are left out.
    """
    tables = [schema.empty("selection_shares")]
    for genre in _genres(films):
        wide = _wide(summary, films, genre)
        if len(wide):
            found = _resampled(mean_terms(wide), means, statistics=statistics, seed=seed)
            table = pd.DataFrame(found._asdict(), index=wide.columns).reset_index()
            tables.append(table.assign(genre=genre, level=statistics.level, n_films=len(wide)))
    return schema.check(_joined(tables), "selection_shares")


def differences(
    summary: pd.DataFrame, films: pd.DataFrame, *, statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Compare the shares of selections that differ in their run, or in their genre.

    Parameters
    ----------
    summary, films
        As for `shares`.

    Returns
    -------
    pd.DataFrame
        Table "selection_differences", each pair once. Runs are compared film by film, and films of
        different genres drawn apart; a film that is in both selections is drawn for both.
    """
    genres, genre_of = _genres(films), films.set_index("film_id")["genre"]
    wide = {genre: _wide(summary, films, genre) for genre in genres}
    seen = [genre for genre in genres if len(wide[genre])]
    draw = partial(_resampled, statistics=statistics, seed=seed)
    tables = [schema.empty("selection_differences")]
    for genre in seen:
        found = _between_runs(wide[genre], draw)
        n = len(wide[genre])
        tables.append(found.assign(genre=genre, other_genre=genre, n_films=n, other_n_films=n))
    for first, second in combinations(seen, 2):
        found = _between_genres(wide[first], wide[second], genre_of, draw)
        tables.append(found.assign(genre=first, other_genre=second))
    return schema.check(_joined(tables).assign(level=statistics.level), "selection_differences")


def _between_runs(wide: pd.DataFrame, draw: Draw) -> pd.DataFrame:
    """Compare each two runs on the same films."""
    of = wide.columns.get_level_values("run_id")
    pairs = list(combinations(dict.fromkeys(of), 2))
    if not pairs:
        return schema.empty("selection_differences")
    first, second = (
        np.concatenate([np.flatnonzero(of == run) for run in side])
        for side in zip(*pairs, strict=True)
    )
    found = draw(mean_terms(wide), lambda sums: means(sums)[:, first] - means(sums)[:, second])
    table = _table(found, wide.columns[first])
    return table.assign(other_run_id=of[second])


def _between_genres(
    first: pd.DataFrame, second: pd.DataFrame, genre_of: pd.Series, draw: Draw
) -> pd.DataFrame:
    """Compare each run on films of one genre with itself on those of another."""
    index = first.index.union(second.index)
    terms = [
        mean_terms(side.reindex(index, columns=first.columns), index.isin(side.index))
        for side in (first, second)
    ]
    found = draw(
        np.hstack(terms),
        lambda sums: np.subtract(*map(means, np.hsplit(sums, 2))),
        strata=genre_of.reindex(index).fillna("").to_numpy(dtype=str),
    )
    table = _table(found, first.columns)
    return table.assign(other_run_id=table["run_id"], n_films=len(first), other_n_films=len(second))


def _resampled(
    terms: np.ndarray,
    statistic: resampling.Statistic,
    *,
    statistics: Statistics,
    seed: int,
    strata: np.ndarray | None = None,
) -> resampling.Interval:
    return resampling.bootstrap(
        terms,
        statistic,
        n=statistics.n_bootstrap,
        level=statistics.level,
        rng=np.random.default_rng(seed),
        strata=strata,
    )


def _genres(films: pd.DataFrame) -> list[str | None]:
    return [None, *sorted(films["genre"].dropna().unique())]


def _wide(summary: pd.DataFrame, films: pd.DataFrame, genre: str | None) -> pd.DataFrame:
    """Lay out the shares of the films of a genre that have a face: columns are run and label."""
    chosen = films if genre is None else films[films["genre"] == genre]
    own = summary[summary["film_id"].isin(chosen["film_id"]) & (summary["n_faces"] > 0)]
    return own.pivot_table("share_of_faces", "film_id", ["run_id", "label"], sort=False)


def _table(found: resampling.Interval, columns: pd.MultiIndex) -> pd.DataFrame:
    renamed = {"difference": found.value, "low": found.low, "high": found.high}
    return pd.DataFrame(renamed, index=columns).reset_index()


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]
