"""What hangs on which faces were looked at: every how many frames, and which of several faces."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from exe_core import resampling, schema
from exe_core.settings import Statistics

STEPS = (10, 25, 50, 100, 200, 400)


def sensitivity(
    rows: pd.DataFrame,
    *,
    labels: Sequence[str],
    steps: Sequence[int] = STEPS,
    statistics: Statistics,
    seed: int,
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
            interval = _over_films((parts[0] - whole)[both], labels, statistics, seed)
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
    seed: int,
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
        interval = _over_films(every_face - largest, labels, statistics, seed)
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
    differences: np.ndarray, labels: Sequence[str], statistics: Statistics, seed: int
) -> pd.DataFrame:
    """Average over films (films, labels): a row a label, difference, low and high."""
    terms = np.column_stack([differences, np.ones(len(differences))])
    with np.errstate(invalid="ignore"):
        found = resampling.bootstrap(
            terms,
            lambda sums: sums[:, :-1] / sums[:, -1:],
            n=statistics.n_bootstrap,
            level=statistics.level,
            rng=np.random.default_rng(seed),
        )
    values = {"difference": found.value, "low": found.low, "high": found.high}
    return pd.DataFrame({"label": list(labels), **values})
