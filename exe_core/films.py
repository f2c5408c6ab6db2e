"""Emotions over films: shares with their denominators, courses over time, fewer frames.

Shares are of faces. Frames without a face stay in every table, so that coverage and bounds say what
the shares leave open. How the output of models is judged without labels is in `criteria`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from exe_core import tables
from exe_core.labels import labels_of, prob_columns
from exe_core.resampling import Statistics

_KEYS = ["run_id", "film_id", "frame"]


def timeline(
    frames: pd.DataFrame, predictions: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Join the predictions of each run to all sampled frames of each film.

    Takes table "frames", and table "predictions" of film faces, one a frame; `item_id` is
    "<film_id>:<frame>". Gives a row a run, film and sampled frame, in the order of time: run_id,
    film_id, frame, time_s, n_faces, predicted and prob_<label>, which are null where there is no
    face, and the other columns of `frames`. A `ValueError` says that a prediction belongs to no
    sampled frame, or that a run reads a frame twice.
    """
    faces = _faces(frames, predictions, labels)
    runs = faces[["run_id"]].drop_duplicates().sort_values("run_id")
    whole = runs.merge(frames, how="cross").merge(faces, on=_KEYS, how="left", validate="1:1")
    first = ["run_id", "film_id", "frame", "time_s", "n_faces", *faces.columns.drop(_KEYS)]
    whole = whole[[*first, *whole.columns.drop(first)]]
    return whole.sort_values(_KEYS, ignore_index=True)


def _faces(frames: pd.DataFrame, predictions: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Predictions with their film and frame, each of a sampled frame and once a run."""
    place = tables.film_and_frame(predictions["item_id"])
    columns = ["run_id", "predicted", *prob_columns(labels)]
    faces = predictions[columns].assign(
        film_id=place["film_id"].astype(frames["film_id"].dtype), frame=place["frame"]
    )
    sampled = pd.MultiIndex.from_frame(frames[["film_id", "frame"]])
    stray = ~pd.MultiIndex.from_frame(faces[["film_id", "frame"]]).isin(sampled)
    for wrong, fault in (
        (stray, "of no sampled frame: frames and predictions are of two runs"),
        (faces.duplicated(_KEYS), "of a frame that the run read already: give one face a frame"),
    ):
        if wrong.any():
            first = predictions["item_id"][wrong].iloc[0]
            raise ValueError(f"{wrong.sum()} predictions, first {first!r}, are {fault}")
    return faces


def summarise(
    frames: pd.DataFrame, predictions: pd.DataFrame, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Count predicted labels per film and run; takes what `timeline` does.

    Gives table "film_summary": n_frames counts all sampled frames, n_faces those with a prediction;
    share_of_faces and mean_prob are over faces, NaN if n_faces = 0. Faces need not be missing at
    random, so there are bounds, too: share_low and share_high are the share of all frames if none,
    or all, of the faceless frames showed the label; coverage is n_faces / n_frames.
    """
    keys = ["film_id", "run_id"]
    faces = _faces(frames, predictions, labels)
    n_frames = frames.groupby("film_id").size().rename("n_frames")
    runs = sorted(faces["run_id"].unique())
    grid = pd.MultiIndex.from_product([n_frames.index, runs], names=keys)
    counts = faces.groupby(keys)["predicted"].value_counts().unstack(fill_value=0)  # noqa: PD010
    counts = counts.reindex(index=grid, columns=list(labels), fill_value=0)
    n_faces = counts.sum(axis=1).rename("n_faces")
    probs = faces.groupby(keys)[prob_columns(labels)].mean().reindex(grid)
    about = n_faces.reset_index().merge(n_frames, on="film_id")
    parts = [
        about.assign(
            label=label,
            share_of_faces=(counts[label] / n_faces.where(n_faces > 0)).to_numpy(),
            mean_prob=probs[f"prob_{label}"].to_numpy(),
        )
        for label in labels
    ]
    summary = pd.concat(parts, ignore_index=True)
    covered = summary["n_faces"] / summary["n_frames"]
    low = summary["share_of_faces"].fillna(0) * summary["n_faces"] / summary["n_frames"]
    summary = summary.assign(coverage=covered, share_low=low, share_high=low + 1 - covered)
    return tables.check(summary[list(tables.TABLES["film_summary"].columns)], "film_summary")


def share_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Pivot the shares of a film summary: a row a run and film, a column a label.

    Films without faces have NaN.
    """
    cells = summary.set_index(["run_id", "film_id", "label"])["share_of_faces"]
    return cells.unstack()  # noqa: PD010 - pivot_table would drop films without faces


def _sums_and_counts(values: pd.DataFrame | np.ndarray) -> np.ndarray:
    """Terms whose sums give means over rows (films): values, 0 if undefined, and 1 if defined."""
    values = np.asarray(values, dtype=float)
    return np.column_stack([np.nan_to_num(values), ~np.isnan(values).any(axis=1)])


def _means(sums: np.ndarray) -> np.ndarray:
    """Means from sums of `_sums_and_counts`; NaN if n = 0."""
    with np.errstate(invalid="ignore"):
        return sums[:, :-1] / sums[:, -1:]


def selection_shares(
    summary: pd.DataFrame, films: pd.DataFrame, *, statistics: Statistics
) -> pd.DataFrame:
    """Average the shares of each run over all films, and over those of each genre.

    Takes tables "film_summary" and "films"; gives table "selection_shares": mean share of faces
    over the films that have any, with its interval. Genres without a face are left out.
    """
    shares, parts = share_table(summary).dropna(), [tables.empty("selection_shares")]
    for genre, chosen in _selections(films).items():
        of_films = shares[shares.index.isin(chosen, level="film_id")]
        for run_id, of_run in of_films.groupby("run_id"):
            found = statistics.interval(_sums_and_counts(of_run), _means)
            about = {"run_id": run_id, "genre": genre, "label": shares.columns}
            about |= {"level": statistics.level, "n_films": len(of_run)}
            parts.append(pd.DataFrame({**about, **found.columns()}))
    return tables.check(pd.concat(parts[1:] or parts, ignore_index=True), "selection_shares")


def _selections(films: pd.DataFrame) -> dict[str | None, pd.Series]:
    """Film ids of each genre, and of all films under None."""
    genres = films.dropna(subset="genre").groupby("genre")["film_id"]
    return {None: films["film_id"], **dict(list(genres))}


def selection_differences(
    summary: pd.DataFrame, films: pd.DataFrame, *, statistics: Statistics
) -> pd.DataFrame:
    """Compare the mean shares of two runs on the same films, and of a run on two genres.

    Takes what `selection_shares` does; gives table "selection_differences", each pair once. Two
    runs are compared film by film; films of two genres are resampled apart, and a film that is in
    both selections counts in both.
    """
    shares = share_table(summary).dropna()
    genre_of = films.set_index("film_id")["genre"].fillna("")
    genres = _selections(films)
    by_run = {run: own.droplevel("run_id") for run, own in shares.groupby("run_id")}
    runs = [run for run in dict.fromkeys(summary["run_id"]) if run in by_run]
    sides = {
        (genre, run): by_run[run][by_run[run].index.isin(chosen)]
        for genre, chosen in genres.items()
        for run in runs
    }
    pairs = [((g, a), (g, b)) for g in genres for a, b in combinations(runs, 2)]
    pairs += [((g, run), (h, run)) for g, h in combinations(genres, 2) for run in runs]
    parts = [tables.empty("selection_differences")]
    for first, second in pairs:
        one, other = sides[first], sides[second]
        if one.empty or other.empty:
            continue
        index = one.index.union(other.index)
        found = statistics.interval(
            np.hstack([_sums_and_counts(side.reindex(index)) for side in (one, other)]),
            lambda sums: np.subtract(*map(_means, np.hsplit(sums, 2))),
            strata=None if first[0] == second[0] else genre_of[index].to_numpy(str),
        )
        parts.append(
            pd.DataFrame(
                {
                    "run_id": first[1],
                    "genre": first[0],
                    "other_run_id": second[1],
                    "other_genre": second[0],
                    "label": one.columns,
                    "difference": found.value,
                    "low": found.low,
                    "high": found.high,
                    "level": statistics.level,
                    "n_films": len(one),
                }
            )
        )
    return tables.check(pd.concat(parts[1:] or parts, ignore_index=True), "selection_differences")


MAX_TIMES = 200  # a course is computed at the sampled times or, of a long film, at so many
_REACH = 3.0  # the kernel ends at so many of its widths


def smoothing_s(rows: pd.DataFrame) -> float:
    """Kernel width for a film (s): a minute, or a twelfth of a film of less than 12 minutes."""
    length_s = float(rows["time_s"].max() - rows["time_s"].min())
    return min(60.0, length_s / 12) if length_s > 0 else 60.0


def course(rows: pd.DataFrame, *, smooth_s: float, statistics: Statistics) -> pd.DataFrame:
    """Smooth the output of a run over the time of a film, with block-bootstrap bands.

    Takes rows of one run and film, as `timeline` gives them, and the standard deviation of the
    Gaussian kernel (s). Frames of one shot are alike, so whole shots are resampled.

    Gives measure ("probability": mean of the label's; "share": of faces read as it), label, time_s,
    value, low, high, n_blocks (effective number of shots under the kernel: Kish 1965, Survey
    Sampling). NaN where no face is under the kernel; low and high are NaN, too, where fewer than
    about three shots are.
    """
    if rows[["run_id", "film_id"]].drop_duplicates().shape[0] > 1:
        raise ValueError("a course is of one run and one film: choose the rows of one")
    labels = labels_of(rows)
    seen = rows.dropna(subset=prob_columns(labels))
    times_s = np.unique(rows["time_s"].to_numpy())
    if len(times_s) > MAX_TIMES:
        times_s = np.linspace(times_s[0], times_s[-1], MAX_TIMES)
    far = np.abs(times_s[:, None] - seen["time_s"].to_numpy()[None, :]) / smooth_s
    kernel = np.where(far <= _REACH, np.exp(-0.5 * far**2), 0.0)
    is_label = seen["predicted"].to_numpy()[:, None] == np.array(labels, dtype=object)
    probs = seen[prob_columns(labels)].to_numpy(float)
    values = np.hstack([probs, is_label, np.ones((len(seen), 1))])
    shot = seen["shot"].to_numpy()
    sums = np.zeros((len(np.unique(shot)), len(times_s), values.shape[1]))
    for k, name in enumerate(np.unique(shot)):
        sums[k] = kernel[:, shot == name] @ values[shot == name]
    with np.errstate(invalid="ignore"):
        n_blocks = sums[..., -1].sum(axis=0) ** 2 / (sums[..., -1] ** 2).sum(axis=0)

    def ratios(drawn: np.ndarray) -> np.ndarray:
        by_time = drawn.reshape(len(drawn), *sums.shape[1:])
        with np.errstate(invalid="ignore"):
            return (by_time[..., :-1] / by_time[..., -1:]).reshape(len(drawn), -1)

    found = statistics.interval(
        sums.reshape(len(sums), len(times_s) * values.shape[1]),
        ratios,
        n_effective=np.repeat(n_blocks, 2 * len(labels)),
    )
    index = pd.MultiIndex.from_product(
        [times_s, ("probability", "share"), labels], names=["time_s", "measure", "label"]
    )
    table = pd.DataFrame(found.columns(), index=index).reset_index()
    table = table.assign(n_blocks=np.repeat(n_blocks, 2 * len(labels)))
    return table[["measure", "label", "time_s", "value", "low", "high", "n_blocks"]]
