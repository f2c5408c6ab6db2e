"""Emotions over films: shares with their coverage, diversity, and the difference between genres.

The published study judged its models by whether their output looks plausible: varied, different
between genres, changing over time and at plot events. Here and in `timelines` each of these is a
number with a test; whether any of them measures accuracy is asked in `claims`. Shares are over
faces; coverage says over how many of the frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import resampling, schema
from exe_core.footage.timelines import placed
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

    Raises
    ------
    ValueError
        If a prediction belongs to no sampled frame, or a run reads a frame twice.
    """
    faces = placed(frames, predictions, labels=labels)
    twice = faces.duplicated(["run_id", "film_id", "frame"])
    if twice.any():
        raise ValueError(
            f"{twice.sum()} predictions are of a frame that the run read already, first "
            f"{predictions['item_id'][twice].iloc[0]!r}: give those of one face a frame"
        )
    return _summary(frames, [faces], labels)


def summarise_tables(
    frames: pd.DataFrame, tables: Sequence[Path], *, labels: Sequence[str]
) -> pd.DataFrame:
    """Say how often each run answers what in each film, a run in memory at a time.

    Parameters
    ----------
    frames, labels
        As for `summarise`.
    tables
        Files with a table "predictions" each, of the largest face of a frame; group_id is the
        film.

    Returns
    -------
    pd.DataFrame
        As of `summarise`; that items are sampled frames is not looked at again.
    """
    columns = ["run_id", "group_id", "predicted", *schema.prob_columns(labels)]
    read = (schema.read(path, name="predictions", columns=columns) for path in tables)
    return _summary(
        frames, (table.rename(columns={"group_id": "film_id"}) for table in read), labels
    )


def _summary(
    frames: pd.DataFrame, parts: Iterable[pd.DataFrame], labels: Sequence[str]
) -> pd.DataFrame:
    """Sum up faces, given in parts that share no run."""
    keys, probs = ["film_id", "run_id"], schema.prob_columns(labels)
    counts, means = [], []
    for faces in parts:
        counts.append(faces.groupby(keys)["predicted"].value_counts().unstack(fill_value=0))  # noqa: PD010 - of a series
        means.append(faces.groupby(keys)[probs].mean())
    n_frames = frames.groupby("film_id").size().rename("n_frames")
    answers, mean_prob = pd.concat(counts).fillna(0), pd.concat(means)
    runs = sorted(answers.index.unique("run_id"))
    grid = pd.MultiIndex.from_product([n_frames.index, runs], names=keys)
    answers, mean_prob = answers.reindex(grid, fill_value=0), mean_prob.reindex(grid)
    n_faces = answers.sum(axis=1).astype(int)
    told = pd.DataFrame({"n_faces": n_faces}).join(n_frames).reset_index()
    tables = []
    for label in labels:
        said = answers[label] if label in answers else 0 * n_faces
        share = (said / n_faces.where(n_faces > 0)).to_numpy()
        prob = mean_prob[f"prob_{label}"].to_numpy()
        tables.append(told.assign(share_of_faces=share, mean_prob=prob, label=label))
    columns = list(schema.TABLES["film_summary"].columns)
    return schema.check(pd.concat(tables, ignore_index=True)[columns], "film_summary")


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
    keys = ["run_id", "label"]
    told = coverage(summary)
    bounds = told.groupby(keys, sort=False)[["share_low", "share_high", "coverage"]].mean()
    share = told.set_index(["film_id", *keys])["share_of_faces"]
    wide = share.unstack(keys, sort=False)  # noqa: PD010 - pivot_table sorts films
    films_of = pd.Series([column.tobytes() for column in wide.notna().to_numpy().T], wide.columns)
    parts = []
    for _, alike in films_of.groupby(films_of, sort=False):
        own = wide[alike.index].dropna()
        found = resampling.bootstrap(
            mean_terms(own),
            means,
            n=statistics.n_bootstrap,
            level=statistics.level,
            rng=np.random.default_rng(seed),
        )
        parts.append(pd.DataFrame(found._asdict(), index=alike.index))
    return pd.concat([pd.concat(parts).reindex(bounds.index), bounds], axis=1).reset_index()


def mean_terms(values: pd.DataFrame, member: np.ndarray | None = None) -> np.ndarray:
    """Give what means over films add up, for `resampling.bootstrap`.

    Parameters
    ----------
    values
        A row a film.
    member
        Which films count; all by default.

    Returns
    -------
    np.ndarray
        The values, 0 of a film that does not count, and a last column of 1 where one does.
    """
    ones = np.ones(len(values)) if member is None else member
    return np.column_stack([values.fillna(0), ones]).astype(float)


def means(sums: np.ndarray) -> np.ndarray:
    """Divide sums of `mean_terms` by how many films there are; NaN where there is none."""
    with np.errstate(invalid="ignore"):
        return sums[:, :-1] / sums[:, -1:]


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
