"""Timelines made up for tests: what a run predicts in a film, frame by frame."""

import numpy as np
import pandas as pd
from scipy import stats

LABELS = ("happy", "sad")
STEP_S = 4.0


def rows_of(happy, *, film_id="film", run_id="run"):
    """Lay out a timeline of a film from its happy probabilities; NaN is no face."""
    happy = np.asarray(happy, dtype=float)
    n = len(happy)
    return pd.DataFrame(
        {
            "run_id": run_id,
            "film_id": film_id,
            "frame": np.arange(n) * 100,
            "time_s": np.arange(n) * STEP_S,
            "n_faces": np.isfinite(happy).astype(int),
            "prob_happy": happy,
            "prob_sad": 1 - happy,
        }
    )


def event_at(step, *, film_id="film", label="happy"):
    return pd.DataFrame(
        [{"film_id": film_id, "time_s": step * STEP_S, "event": "reunion", "label": label}]
    )


def smooth_noise(rng, n=151):
    """Make a series in which neighbours are alike and the ends meet."""
    noise = np.convolve(np.tile(rng.normal(size=n), 2), np.ones(8) / 8, mode="valid")[:n]
    return stats.norm.cdf(noise)


def predicted_in_spells(rng, labels, film_id, copied=0.0):
    """Predict in spells of four faces by two runs, the second in part as the first."""
    spells = rng.integers(0, 3, (12, 2))[np.repeat(np.arange(12), 4)]
    shifted = np.roll(spells[:, 1], rng.integers(4))
    second = np.where(rng.random(len(spells)) < copied, spells[:, 0], shifted)
    items = [f"{film_id}:{k:06d}" for k in range(len(spells))]
    tables = [
        pd.DataFrame({"item_id": items, "run_id": run, "predicted": np.array(labels)[codes]})
        for run, codes in (("one", spells[:, 0]), ("other", second))
    ]
    return pd.concat(tables).assign(group_id=film_id)
