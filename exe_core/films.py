"""Emotions over films: shares with their coverage, diversity, and the difference between genres.

The published study judged its models by whether their output looks plausible: varied, different
between genres, changing over time and at plot events. Here and in `timelines` each of these is a
number with a test; whether any of them measures accuracy is asked in `claims`. Shares are over
faces; coverage says over how many of the frames.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import resampling, screening
from exe_core import tables as schema
from exe_core.resampling import Statistics

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


def overall(summary: pd.DataFrame, *, statistics: Statistics) -> pd.DataFrame:
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
        found = statistics.interval(
            mean_terms(own),
            means,
        )
        parts.append(pd.DataFrame(found.columns(), index=alike.index))
    return pd.concat([pd.concat(parts).reindex(bounds.index), bounds], axis=1).reset_index()


def mean_terms(values: pd.DataFrame, member: np.ndarray | None = None) -> np.ndarray:
    """Give what means over films add up, for `Statistics.interval`.

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
) -> pd.DataFrame:
    """Measure how much of the variance between films lies between genres.

    Shares are Hellinger-transformed (square root), so that rare labels count and distances are
    those between distributions (Legendre & Gallagher 2001); R2 is that of a permutational
    analysis of variance (Anderson 2001), whose value by chance alone grows with the number of
    genres: compare it with `null_mean`. Epsilon squared is R2 without that bias, 0 on average
    where genres say nothing (Kelley 1935), so it is the one with an interval: an interval of R2
    would lie above the truth as a whole, and one by bootstrap, too (`Statistics.jackknife`).

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
        found = statistics.jackknife(
            _genre_terms(points, genres), partial(_epsilon2, points.shape[1])
        )
        test = statistics.permutation_test(genres, partial(_between, points))
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
            found = statistics.group_difference(share, is_first)
            rows.append(
                {
                    "run_id": run_id,
                    "contrast": contrast,
                    "difference": found.value,
                    "low": found.low,
                    "high": found.high,
                    "p_value": found.p_value,
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


_KEYS = ["run_id", "film_id", "frame"]


def timeline(
    frames: pd.DataFrame, predictions: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Lay the predictions of each run on the sampled frames of each film.

    Parameters
    ----------
    frames
        Table "frames".
    predictions
        Table "predictions" of film faces, one a frame; `item_id` is "<film_id>:<frame>".
    labels
        The classes of the runs.

    Returns
    -------
    pd.DataFrame
        A row a run, film and sampled frame, in the order of time: run_id, film_id, frame, time_s,
        n_faces, predicted and prob_<label>, which are null where there is no face, and whatever
        else `frames` holds.

    Raises
    ------
    ValueError
        If a prediction belongs to no sampled frame.
    """
    faces = placed(frames, predictions, labels=labels)
    runs = faces[["run_id"]].drop_duplicates().sort_values("run_id")
    grid = runs.merge(frames, how="cross")
    whole = grid.merge(faces, on=_KEYS, how="left", validate="1:1")
    first = ["run_id", "film_id", "frame", "time_s", "n_faces", *faces.columns.drop(_KEYS)]
    whole = whole[[*first, *whole.columns.drop(first)]]
    return whole.sort_values(_KEYS, ignore_index=True)


def placed(
    frames: pd.DataFrame, predictions: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Say of which film and frame each prediction is.

    Parameters
    ----------
    frames, predictions, labels
        As for `timeline`.

    Returns
    -------
    pd.DataFrame
        run_id, predicted, prob_<label>, film_id and frame, in the order of `predictions`.

    Raises
    ------
    ValueError
        If a prediction belongs to no sampled frame.
    """
    place = predictions["item_id"].str.rsplit(":", n=1, expand=True).reindex(columns=[0, 1])
    faces = predictions[["run_id", "predicted", *schema.prob_columns(labels)]].assign(
        film_id=place[0].astype(frames["film_id"].dtype), frame=place[1].astype(int)
    )
    known = pd.MultiIndex.from_frame(frames[["film_id", "frame"]])
    stray = ~pd.MultiIndex.from_frame(faces[["film_id", "frame"]]).isin(known)
    if stray.any():
        raise ValueError(
            f"{stray.sum()} predictions belong to no sampled frame, first "
            f"{predictions['item_id'][stray].iloc[0]!r}: frames and predictions are of two runs"
        )
    return faces


def rise(times_s: np.ndarray, at_s: float, window_s: float) -> resampling.Statistic:
    """Make the statistic of an event: the mean in a window after it less that in one before.

    Parameters
    ----------
    times_s
        (t,) time of each step of the series.
    at_s
        When the event is.
    window_s
        Length of each window; infinite for all of the film.

    Returns
    -------
    resampling.Statistic
        Takes series (s, t), NaN where nothing was seen; gives (s,), NaN where either window has
        nothing.
    """
    after = (times_s >= at_s) & (times_s < at_s + window_s)
    before = (times_s < at_s) & (times_s >= at_s - window_s)
    return lambda series: _mean(series[:, after]) - _mean(series[:, before])


def _mean(values: np.ndarray) -> np.ndarray:
    """Average what is defined in each row."""
    with np.errstate(invalid="ignore"):
        return np.nansum(values, axis=1) / np.count_nonzero(~np.isnan(values), axis=1)


def event_rises(
    rows: pd.DataFrame, events: pd.DataFrame, *, window_s: float, statistics: Statistics
) -> pd.DataFrame:
    """Test at each event whether its label's mean probability differs after it from before.

    Parameters
    ----------
    rows
        As given by `timeline`.
    events
        Table "events"; those of other films and of labels that the runs do not know are left out.
    window_s
        Seconds before and after.

    Returns
    -------
    pd.DataFrame
        run_id, film_id, time_s, event, label, difference (after minus before), low, high, p_value
        (all circular shifts of the film's frames); NaN where a window has no face.
    """
    found = []
    for run_id, event, series, statistic in _each_event(rows, events, window_s):
        test = statistics.shift_test([series], [statistic])
        found.append(
            {
                "run_id": run_id,
                **event,
                "difference": test.value,
                "low": test.low,
                "high": test.high,
                "p_value": test.p_value,
            }
        )
    return pd.DataFrame(found)


def event_rises_combined(
    rows: pd.DataFrame,
    events: pd.DataFrame,
    *,
    window_s: float,
    statistics: Statistics,
) -> pd.DataFrame:
    """Test for each run whether the labels of events rise at them, over all events.

    Parameters
    ----------
    rows, events, window_s
        As for `events`; an event with no face in a window is left out.

    Returns
    -------
    pd.DataFrame
        run_id, difference (mean over events), low, high (bootstrap over films), p_value
        (circular shifts, those of a film by the same steps), n_films, n_events.
    """
    tried: dict[str, list[tuple]] = {}
    for run_id, event, series, statistic in _each_event(rows, events, window_s):
        difference = statistic(series[None])[0]
        if not np.isnan(difference):
            entry = (event["film_id"], difference, series, statistic)
            tried.setdefault(run_id, []).append(entry)
    found = []
    for run_id, entries in tried.items():
        film_ids, differences, of_events, of_each = zip(*entries, strict=True)
        rng = statistics.rng()
        test = statistics.shift_test(of_events, of_each, groups=film_ids, rng=rng)
        terms = np.column_stack([differences, np.ones(len(differences))])
        by_film = resampling.sum_by_group(terms, film_ids)
        interval = statistics.interval(
            by_film,
            lambda sums: sums[:, 0] / sums[:, 1],
            rng=rng,
        )
        found.append(
            {
                "run_id": run_id,
                "difference": interval.value,
                "low": interval.low,
                "high": interval.high,
                "p_value": test.p_value,
                "n_films": len(by_film),
                "n_events": len(entries),
            }
        )
    return pd.DataFrame(found)


def _each_event(
    rows: pd.DataFrame, events: pd.DataFrame, window_s: float
) -> Iterator[tuple[str, dict, np.ndarray, resampling.Statistic]]:
    """Give run, event, the series of its label in its film, and the statistic."""
    known = events[events["label"].isin(schema.labels_of(rows))]
    for (run_id, film_id), film in rows.groupby(["run_id", "film_id"]):
        for event in known[known["film_id"] == film_id].to_dict("records"):
            series = film[f"prob_{event['label']}"].to_numpy(dtype=float)
            times_s = film["time_s"].to_numpy(dtype=float)
            yield run_id, event, series, rise(times_s, event["time_s"], window_s)


MOST_SMOOTH_S = 60.0
LEAST_SMOOTH = 12
"""The kernel's width (s), and how many of them a film has at least: short films have narrower."""

CONFIDENT = 0.5
"""The published timelines count faces of this confidence or more."""

MAX_TIMES = 200
"""A course is computed at the sampled times or, of a long film, at so many."""

_REACH = 3.0  # kernel widths

MEASURES = ("probability", "share")


def smoothing_s(rows: pd.DataFrame) -> float:
    """Choose the width of the kernel for a film (s): a minute, less in films under 12 minutes."""
    length_s = float(rows["time_s"].max() - rows["time_s"].min())
    return min(MOST_SMOOTH_S, length_s / LEAST_SMOOTH) if length_s > 0 else MOST_SMOOTH_S


def course(
    rows: pd.DataFrame,
    *,
    smooth_s: float,
    statistics: Statistics,
) -> pd.DataFrame:
    """Smooth what a run says of a film over time, with block-bootstrap bands.

    Parameters
    ----------
    rows
        Of one run and film, as given by `timelines.timeline`; blocks are those of `shots.blocks`.
    smooth_s
        Standard deviation of the Gaussian kernel, which ends at three of them (s).
    statistics
        How the bands are made, at each time.

    Returns
    -------
    pd.DataFrame
        measure ("probability": mean of the label's; "share": of faces read as it), label, time_s,
        value, low, high, n_blocks (Kish's effective number of blocks under the kernel). NaN where
        no face is under the kernel; bounds are NaN, too, where fewer than about three blocks are.

    Raises
    ------
    ValueError
        If the rows are of several runs or films.
    """
    if rows[["run_id", "film_id"]].drop_duplicates().shape[0] > 1:
        raise ValueError("a course is of one run and one film: choose the rows of one")
    labels = schema.labels_of(rows)
    seen = rows.dropna(subset=schema.prob_columns(labels))
    times_s = _times(rows["time_s"].to_numpy())
    # relative to the width, so that films of a single frame need no exception
    far = np.abs(times_s[:, None] - seen["time_s"].to_numpy()[None, :]) / smooth_s
    kernel = np.where(far <= _REACH, np.exp(-0.5 * far**2), 0.0)
    is_label = seen["predicted"].to_numpy()[:, None] == np.array(labels, dtype=object)
    values = np.hstack([seen[schema.prob_columns(labels)].to_numpy(float), is_label, _ones(seen)])
    sums = _by_block(kernel, values, screening.shot_blocks(seen).to_numpy())
    n_blocks = _effective(sums[..., -1])
    shape = (len(times_s), len(MEASURES) * len(labels))
    found = statistics.interval(
        sums.reshape(len(sums), shape[0] * (shape[1] + 1)),
        lambda drawn: _ratios(drawn, shape),
        n_effective=np.repeat(n_blocks, shape[1]),
    )
    index = pd.MultiIndex.from_product(
        [times_s, MEASURES, labels], names=["time_s", "measure", "label"]
    )
    table = pd.DataFrame(found.columns(), index=index).reset_index()
    table = table.assign(n_blocks=np.repeat(n_blocks, shape[1]))
    return table[["measure", "label", "time_s", "value", "low", "high", "n_blocks"]]


def cumulative(rows: pd.DataFrame, *, confident: float = CONFIDENT) -> pd.DataFrame:
    """Count the faces of each label up to each time, as the published timelines do.

    Parameters
    ----------
    rows
        As for `course`.
    confident
        Faces whose most probable label has less are not counted.

    Returns
    -------
    pd.DataFrame
        label, time_s, n (faces so far).
    """
    labels = schema.labels_of(rows)
    sure = rows[rows[schema.prob_columns(labels)].max(axis=1) >= confident]
    times_s = _times(rows["time_s"].to_numpy())
    tables = [
        pd.DataFrame(
            {
                "label": label,
                "time_s": times_s,
                "n": np.searchsorted(
                    np.sort(sure.loc[sure["predicted"] == label, "time_s"]), times_s, side="right"
                ),
            }
        )
        for label in labels
    ]
    return pd.concat(tables, ignore_index=True)


def _times(times_s: np.ndarray) -> np.ndarray:
    """Give the sampled times or, of a long film, as many as a chart can show."""
    times_s = np.unique(times_s)
    if len(times_s) <= MAX_TIMES:
        return times_s
    return np.linspace(times_s[0], times_s[-1], MAX_TIMES)


def _ones(seen: pd.DataFrame) -> np.ndarray:
    return np.ones((len(seen), 1))


def _by_block(kernel: np.ndarray, values: np.ndarray, block: np.ndarray) -> np.ndarray:
    """Add up kernel times values by block: (blocks, times, values)."""
    parts = [np.flatnonzero(block == name) for name in np.unique(block)]
    sums = [kernel[:, own] @ values[own] for own in parts]
    return np.stack(sums) if sums else np.zeros((0, len(kernel), values.shape[1]))


def _effective(weights: np.ndarray) -> np.ndarray:
    """Compute Kish's effective number of blocks at each time; weights are (blocks, times)."""
    with np.errstate(invalid="ignore"):
        return weights.sum(axis=0) ** 2 / (weights**2).sum(axis=0)


def _ratios(sums: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    by_time = sums.reshape(len(sums), shape[0], shape[1] + 1)
    with np.errstate(invalid="ignore"):
        return (by_time[..., :-1] / by_time[..., -1:]).reshape(len(sums), -1)


SIZES = ("smallest", "smaller", "larger", "largest")
"""Quarters of the faces by the share of the picture that they take."""

TURNS = {
    "bins": [-np.inf, 10, 20, 30, np.inf],
    "labels": ["under 10°", "10° to 20°", "20° to 30°", "over 30°"],
}
"""How `pandas.cut` makes strata of how far a head is turned, to either side (degrees)."""


def face_traits(faces: pd.DataFrame, truth: pd.DataFrame) -> dict[str, pd.Series]:
    """Put faces into strata of their size and, where the truth is known, of their pose.

    Parameters
    ----------
    faces
        Table "faces".
    truth
        Table "truth"; may be empty.

    Returns
    -------
    dict
        Trait -> the stratum of each item.
    """
    largest = faces[faces["is_primary"]].set_index("item_id")["area_share"]
    place = largest.rank(method="first", pct=True)
    quarter = pd.cut(place, np.linspace(0, 1, len(SIZES) + 1), labels=list(SIZES))
    found = {"quarter of faces by size": quarter}
    shown = truth.drop_duplicates("item_id").set_index("item_id")["yaw_deg"].abs()
    if len(shown):
        found["head turned"] = pd.cut(shown, **TURNS)
    return found


def confidence_by_trait(
    predictions: pd.DataFrame,
    strata: Mapping[str, pd.Series],
    *,
    statistics: Statistics,
) -> pd.DataFrame:
    """Measure how sure runs are of faces, and how often right, by how they are to be seen.

    Parameters
    ----------
    predictions
        Table "predictions"; the label is the truth, or null where it is not known.
    strata
        As given by `traits`.

    Returns
    -------
    pd.DataFrame
        run_id, trait, stratum, measure ("confidence": mean probability of the answer; "accuracy":
        over faces with a label), value, low, high (bootstrap over groups), n; no row for a stratum
        without faces.
    """
    probs = predictions[schema.prob_columns(schema.labels_of(predictions))].max(axis=1)
    right = (predictions["predicted"] == predictions["label"]).where(predictions["label"].notna())
    values = {"confidence": probs, "accuracy": right.astype(float)}
    found = []
    for trait, of_items in strata.items():
        stratum = predictions["item_id"].map(of_items.astype(object))
        for measure, value in values.items():
            rows = predictions[["run_id", "group_id"]].assign(stratum=stratum, value=value)
            for (run_id, name), own in rows.dropna().groupby(["run_id", "stratum"], sort=False):
                about = {"run_id": run_id, "trait": trait, "stratum": name, "measure": measure}
                found.append(about | _mean_of(own, statistics=statistics))
    table = pd.DataFrame(found)
    order = [name for of_items in strata.values() for name in of_items.cat.categories]
    return table.sort_values("stratum", key=lambda column: column.map(order.index), kind="stable")


def found_by_label(
    frames: pd.DataFrame, truth: pd.DataFrame, *, statistics: Statistics
) -> pd.DataFrame:
    """Measure how often a face is found where one is shown, by what it shows.

    Were these shares equal, faces would be missing at random with regard to the emotion.

    Parameters
    ----------
    frames
        Table "frames".
    truth
        Table "truth" of these films.

    Returns
    -------
    pd.DataFrame
        label, value (share of frames with a face of that emotion in which one was found), low,
        high (bootstrap over films), n.
    """
    item_id = frames["film_id"] + ":" + frames["frame"].astype(str).str.zfill(6)
    shown = frames.assign(item_id=item_id).merge(
        truth[["item_id", "label_true"]].dropna(), on="item_id", how="inner"
    )
    rows = shown.assign(group_id=shown["film_id"], value=(shown["n_faces"] > 0).astype(float))
    found = [
        {"label": label, **_mean_of(own, statistics=statistics)}
        for label, own in rows.groupby("label_true")
    ]
    return pd.DataFrame(found).sort_values("label", key=lambda names: names.map(_RANK))


_RANK = {label: k for k, label in enumerate(schema.EMOTIONS)}


def _mean_of(rows: pd.DataFrame, *, statistics: Statistics) -> dict[str, object]:
    """Average `value` with an interval over groups."""
    terms = np.column_stack([rows["value"], np.ones(len(rows))])
    found = statistics.interval(
        resampling.sum_by_group(terms, rows["group_id"]),
        lambda sums: sums[:, 0] / sums[:, 1],
    )
    return {"value": found.value, "low": found.low, "high": found.high, "n": len(rows)}


STEPS = (10, 25, 50, 100, 200, 400)


def sampling_sensitivity(
    rows: pd.DataFrame,
    *,
    labels: Sequence[str],
    steps: Sequence[int] = STEPS,
    statistics: Statistics,
) -> pd.DataFrame:
    """Compare the shares of every so-manieth frame with those of all that were looked at.

    Parameters
    ----------
    rows
        run_id, film_id, frame and predicted (null without a face) of films of which every n-th
        frame was looked at.
    labels
        Of the shares.
    steps
        Those that are multiples of n are tried.

    Returns
    -------
    pd.DataFrame
        Table "sampling": difference in share, sparser minus densest, mean over films, with its
        bootstrap interval over films; typical, its root mean square in a film over all frames that
        the sparser sampling may start with; same_top, the share of films whose most frequent
        label is the same.
    """
    seen = rows.dropna(subset="predicted")
    densest = _step(rows)
    found = []
    for every in (step for step in steps if step > densest and step % densest == 0):
        for run_id, of_run in seen.groupby("run_id", sort=False):
            counts = _counts_by_start(of_run, labels, every=every)
            whole, parts = _ratio(counts.sum(axis=0)), _ratio(counts)
            both = ~np.isnan(parts[0]).any(axis=1)  # films with a face in what is left
            same = parts[0, both].argmax(axis=1) == whole[both].argmax(axis=1)
            interval = _over_films((parts[0] - whole)[both], labels, statistics)
            found.append(
                interval.assign(
                    run_id=run_id,
                    every=every,
                    than_every=densest,
                    level=statistics.level,
                    typical=np.sqrt(np.nanmean((parts - whole) ** 2, axis=(0, 1))),
                    same_top=same.mean() if len(same) else np.nan,
                    n_films=int(both.sum()),
                )
            )
    if not found:
        return schema.empty("sampling")
    return schema.check(pd.concat(found, ignore_index=True), "sampling")


def each_face(faces: pd.DataFrame) -> pd.DataFrame:
    """Make an item of each face, so that all are read and not the largest alone.

    Parameters
    ----------
    faces
        Table "faces" with all faces of each frame.

    Returns
    -------
    pd.DataFrame
        The same; items are "<film_id>:<frame>:<k>", where k is 0 of the largest face.
    """
    k = faces["face_id"].str.split("/").str[-1]
    return faces.assign(item_id=faces["item_id"] + ":" + k, is_primary=True)


def largest_or_all(
    predictions: pd.DataFrame,
    *,
    labels: Sequence[str],
    statistics: Statistics,
) -> pd.DataFrame:
    """Compare the shares of the largest faces with those of all.

    Parameters
    ----------
    predictions
        Table "predictions" of the items that `each_face` makes.

    Returns
    -------
    pd.DataFrame
        run_id, label, largest, every_face (mean shares over films), difference (all minus
        largest), low, high (bootstrap over films), n_faces, n_largest.
    """
    found = []
    for run_id, of_run in predictions.groupby("run_id", sort=False):
        place = of_run["item_id"].str.split(":").str[-1].astype(int)
        rows = of_run.assign(film_id=of_run["group_id"], frame=place.clip(upper=1))
        counts = _counts_by_start(rows, labels, every=2)  # the largest, and the others
        largest, every_face = _ratio(counts[0]), _ratio(counts.sum(axis=0))
        interval = _over_films(every_face - largest, labels, statistics)
        found.append(
            interval.assign(
                run_id=run_id,
                largest=largest.mean(axis=0),
                every_face=every_face.mean(axis=0),
                n_faces=len(rows),
                n_largest=int((place == 0).sum()),
            )
        )
    return pd.concat(found, ignore_index=True)


def _step(rows: pd.DataFrame) -> int:
    """Find every how many frames were looked at."""
    return int(np.gcd.reduce(rows["frame"].to_numpy())) or 1


def _counts_by_start(rows: pd.DataFrame, labels: Sequence[str], *, every: int) -> np.ndarray:
    """Count the labels by the frame that sampling starts with, and by film."""
    start, at = np.unique(rows["frame"].to_numpy() % every, return_inverse=True)
    films, film = np.unique(rows["film_id"].to_numpy(str), return_inverse=True)
    counts = np.zeros((len(start), len(films), len(labels)))
    np.add.at(counts, (at, film, pd.Index(labels).get_indexer(rows["predicted"])), 1)
    return counts if start[0] == 0 else np.insert(counts, 0, 0, axis=0)


def _ratio(counts: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=-1, keepdims=True)


def _over_films(
    differences: np.ndarray, labels: Sequence[str], statistics: Statistics
) -> pd.DataFrame:
    """Average over films (films, labels): a row a label, difference, low and high."""
    terms = np.column_stack([differences, np.ones(len(differences))])
    with np.errstate(invalid="ignore"):
        found = statistics.interval(
            terms,
            lambda sums: sums[:, :-1] / sums[:, -1:],
        )
    values = {"difference": found.value, "low": found.low, "high": found.high}
    return pd.DataFrame({"label": list(labels), **values})


Draw = Callable[..., resampling.Estimate]
"""Resamples (films, k) terms for a statistic of their sums, within strata if they are given."""


def selection_shares(
    summary: pd.DataFrame, films: pd.DataFrame, *, statistics: Statistics
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
            found = _resampled(mean_terms(wide), means, statistics=statistics)
            table = pd.DataFrame(found.columns(), index=wide.columns).reset_index()
            tables.append(table.assign(genre=genre, level=statistics.level, n_films=len(wide)))
    return schema.check(_joined(tables), "selection_shares")


def selection_differences(
    summary: pd.DataFrame, films: pd.DataFrame, *, statistics: Statistics
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
    draw = partial(_resampled, statistics=statistics)
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
    strata: np.ndarray | None = None,
) -> resampling.Estimate:
    return statistics.interval(
        terms,
        statistic,
        strata=strata,
    )


def _genres(films: pd.DataFrame) -> list[str | None]:
    return [None, *sorted(films["genre"].dropna().unique())]


def _wide(summary: pd.DataFrame, films: pd.DataFrame, genre: str | None) -> pd.DataFrame:
    """Lay out the shares of the films of a genre that have a face: columns are run and label."""
    chosen = films if genre is None else films[films["genre"] == genre]
    own = summary[summary["film_id"].isin(chosen["film_id"]) & (summary["n_faces"] > 0)]
    return own.pivot_table("share_of_faces", "film_id", ["run_id", "label"], sort=False)


def _table(found: resampling.Estimate, columns: pd.MultiIndex) -> pd.DataFrame:
    renamed = {"difference": found.value, "low": found.low, "high": found.high}
    return pd.DataFrame(renamed, index=columns).reset_index()


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else tables[0]
