"""Emotions over films: shares with their coverage, diversity, and the difference between genres.

The published study judged its models by whether their output looks plausible: varied, different
between genres, changing over time and at plot events. Here and in `timelines` each of these is a
number with a test; whether any of them measures accuracy is asked in `claims`. Shares are over
faces; coverage says over how many of the frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import resampling, schema
from exe_core.footage.timelines import timeline
from exe_core.settings import Statistics

_ROUNDING = 1e-12
"""A variance below this is that of rounding."""


def summarise(
    frames: pd.DataFrame, predictions: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Say how often each run answers what in each film.

    Parameters
    ----------
    frames, predictions, labels
        As for `timelines.timeline`.

    Returns
    -------
    pd.DataFrame
        Table "film_summary": n_frames counts all sampled frames, n_faces those with a prediction;
        share and mean probability are over faces, and NaN in a film without.
    """
    rows = timeline(frames, predictions, labels=labels)
    keys = ["film_id", "run_id"]
    tables = []
    for label in labels:
        is_it = (rows["predicted"] == label).astype(float).where(rows["predicted"].notna())
        by_film = rows[keys].assign(share=is_it, prob=rows[f"prob_{label}"]).groupby(keys)
        table = by_film.agg(
            n_frames=("share", "size"),
            n_faces=("share", "count"),
            share_of_faces=("share", "mean"),
            mean_prob=("prob", "mean"),
        )
        tables.append(table.reset_index().assign(label=label))
    return schema.check(pd.concat(tables, ignore_index=True), "film_summary")


def share_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Spread the shares of a film summary: a row a run and film, a column a label.

    Films without faces have NaN.
    """
    cells = summary.set_index(["run_id", "film_id", "label"])["share_of_faces"]
    return cells.unstack()  # noqa: PD010 - pivot_table would drop films without faces


def coverage(summary: pd.DataFrame) -> pd.DataFrame:
    """Bound the shares of all frames: faces may be missing where emotions are not.

    Parameters
    ----------
    summary
        Table "film_summary".

    Returns
    -------
    pd.DataFrame
        `summary` with coverage (share of frames with a face), share_low and share_high: the share
        of all frames if none, or every one, of the faceless frames showed the label.
    """
    n = summary["n_frames"]
    seen = (summary["share_of_faces"].fillna(0) * summary["n_faces"]) / n
    covered = summary["n_faces"] / n
    return summary.assign(coverage=covered, share_low=seen, share_high=seen + 1 - covered)


def overall(summary: pd.DataFrame, *, statistics: Statistics, seed: int) -> pd.DataFrame:
    """Average the shares of each run over films, with their bounds for the faceless frames.

    Parameters
    ----------
    summary
        Table "film_summary".

    Returns
    -------
    pd.DataFrame
        run_id, label, value (share of faces, mean over films that have any), low, high (bootstrap
        over films), share_low, share_high (means over all films, as of `coverage`), coverage.
    """
    found = []
    for (run_id, label), own in coverage(summary).groupby(["run_id", "label"], sort=False):
        share = own["share_of_faces"].dropna()
        interval = resampling.bootstrap(
            np.column_stack([share, np.ones(len(share))]),
            lambda sums: sums[:, 0] / sums[:, 1],
            n=statistics.n_bootstrap,
            level=statistics.level,
            rng=np.random.default_rng(seed),
        )
        bounds = own[["share_low", "share_high", "coverage"]].mean().to_dict()
        found.append({"run_id": run_id, "label": label, **interval._asdict(), **bounds})
    return pd.DataFrame(found)


def diversity(summary: pd.DataFrame) -> pd.DataFrame:
    """Measure how varied the answers of each run are in each film.

    Parameters
    ----------
    summary
        Table "film_summary".

    Returns
    -------
    pd.DataFrame
        run_id, film_id, n_faces, entropy (of the shares, over the log of the number of labels:
        0 one answer only, 1 all alike), top_label and top_share; NaN in a film without faces.
    """
    shares = share_table(summary).dropna()
    table = pd.DataFrame(
        {
            "n_faces": summary.groupby(["run_id", "film_id"])["n_faces"].first(),
            "entropy": pd.Series(
                stats.entropy(shares, axis=1) / np.log(shares.shape[1]), index=shares.index
            ),
            "top_label": shares.idxmax(axis=1),
            "top_share": shares.max(axis=1),
        }
    )
    return table.reset_index()


def genre_separation(
    summary: pd.DataFrame,
    films: pd.DataFrame,
    *,
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Measure how much of the variance between films lies between genres.

    Shares are Hellinger-transformed (square root), so that rare labels count and distances are
    those between distributions (Legendre & Gallagher 2001); R2 is that of a permutational
    analysis of variance (Anderson 2001), whose value by chance alone grows with the number of
    genres: compare it with `null_mean`. Epsilon squared is R2 without that bias, 0 on average
    where genres say nothing (Kelley 1935), so it is the one with an interval: an interval of R2
    would lie above the truth as a whole, and one by bootstrap, too (`resampling.jackknife`).

    Parameters
    ----------
    summary
        Table "film_summary".
    films
        Table "films"; those without a genre are left out.

    Returns
    -------
    pd.DataFrame
        run_id, r2, null_mean, p_value, epsilon2, low, high, n_films, n_genres; NaN where no genre
        has two films.
    """
    rows = []
    for run_id, shares, genres in _by_genre(summary, films):
        points = np.sqrt(shares.to_numpy())
        found = resampling.jackknife(
            _genre_terms(points, genres),
            partial(_epsilon2, points.shape[1]),
            level=statistics.level,
        )
        test = resampling.permutation_test(
            genres,
            partial(_between, points),
            n=statistics.n_permutations,
            rng=np.random.default_rng(seed),
        )
        rows.append(
            {
                "run_id": run_id,
                "r2": test.value,
                "null_mean": float(np.mean(test.null)),
                "p_value": test.p_value,
                "epsilon2": found.value,
                "low": found.low,
                "high": found.high,
                "n_films": len(points),
                "n_genres": len(np.unique(genres)),
            }
        )
    return pd.DataFrame(rows)


def genre_contrast(
    summary: pd.DataFrame,
    films: pd.DataFrame,
    *,
    genres: tuple[str, str],
    labels: Mapping[str, Sequence[str]],
    statistics: Statistics,
    seed: int,
) -> pd.DataFrame:
    """Compare the mean share of labels between the films of two genres.

    Parameters
    ----------
    genres
        First minus second, e.g. ("Comedy", "Crime").
    labels
        Name of a contrast -> the labels whose shares it sums.

    Returns
    -------
    pd.DataFrame
        run_id, contrast, difference, low, high (bootstrap over the films of each genre), p_value
        (permutation over films), n_films.
    """
    rows = []
    for run_id, shares, genre_of in _by_genre(summary, films):
        chosen = np.isin(genre_of, genres)
        is_first = genre_of[chosen] == genres[0]
        if len(np.unique(is_first)) < 2:
            raise ValueError(f"{run_id} has no films of both genres {genres}; see the table films")
        for contrast, members in labels.items():
            share = shares.loc[chosen, list(members)].sum(axis=1).to_numpy()
            found, p_value = resampling.group_difference(
                share, is_first, rng=np.random.default_rng(seed), **statistics.model_dump()
            )
            rows.append(
                {
                    "run_id": run_id,
                    "contrast": contrast,
                    "difference": found.value,
                    "low": found.low,
                    "high": found.high,
                    "p_value": p_value,
                    "n_films": len(share),
                }
            )
    return pd.DataFrame(rows)


def _by_genre(
    summary: pd.DataFrame, films: pd.DataFrame
) -> Iterator[tuple[str, pd.DataFrame, np.ndarray]]:
    """Give each run's shares of the films that have faces and a genre, and the genres."""
    genres = films.set_index("film_id")["genre"].dropna()
    for run_id, shares in share_table(summary).dropna().groupby("run_id"):
        own = shares.droplevel("run_id")
        own = own[own.index.isin(genres.index)]
        yield run_id, own, genres.loc[own.index].to_numpy(dtype=str)


def _between(points: np.ndarray, labels: np.ndarray) -> float:
    """Compute the share of the squared distances to the mean that lies between labels."""
    centred = points - points.mean(axis=0)
    member = labels[:, None] == np.unique(labels)[None, :]
    sums = member.T.astype(float) @ centred
    between = (sums**2 / member.sum(axis=0)[:, None]).sum()
    total = (centred**2).sum()
    says_something = total > _ROUNDING and member.sum(axis=0).max() > 1
    return float(between / total) if says_something else float("nan")


def _genre_terms(points: np.ndarray, genres: np.ndarray) -> np.ndarray:
    """Lay out by film what epsilon squared adds up: in its genre's columns 1, square, points."""
    member = (genres[:, None] == np.unique(genres)[None, :]).astype(float)
    terms = np.column_stack([np.ones(len(points)), (points**2).sum(axis=1), points])
    return (member[:, :, None] * terms[:, None, :]).reshape(len(points), -1)


def _epsilon2(n_labels: int, sums: np.ndarray) -> np.ndarray:
    """Compute the share of variance between genres, each variance by its degrees of freedom."""
    by_genre = sums.reshape(len(sums), -1, n_labels + 2)
    n, squares, points = by_genre[..., 0], by_genre[..., 1], by_genre[..., 2:]
    n_films, n_genres = n.sum(axis=1), (n > 0.5).sum(axis=1)
    of_genres = (points**2).sum(axis=2) / np.where(n > 0.5, n, np.inf)
    within = squares.sum(axis=1) - of_genres.sum(axis=1)
    total = squares.sum(axis=1) - (points.sum(axis=1) ** 2).sum(axis=1) / n_films
    defined = (total > _ROUNDING) & (n_films > n_genres)
    ratio = np.divide(within, total, where=defined, out=np.full(len(sums), np.nan))
    return 1 - ratio * (n_films - 1) / np.where(defined, n_films - n_genres, 1)
