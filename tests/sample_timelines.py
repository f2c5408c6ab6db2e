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
