"""What a study costs, by its size: processor time from measured rates, money at a price an hour.

Every sampled frame counts as if it had a face, so that a cost is rather too high. What a pull waits
for, and what is stored, is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

MS_PER_HOUR = 3.6e6
READERS = 2
"""Processes of the one job that reads faces: threads of the stage 06-films."""
FACTORS = ("films", "models", "faces")
"""What a workload has more or less of."""


class Workload(NamedTuple):
    """How much there is to do."""

    films: int
    models: int
    faces: int
    """Faces that the models learn from, over all models."""
    hours: float = 2.0
    """Length of a film."""
    every: int = 100
    """One frame in so many is looked at."""
    fps: float = 24.0
    epochs: int = 30

    @property
    def frames(self) -> float:
        """Count the frames that are looked at."""
        return self.films * self.hours * 3600 * self.fps / self.every

    def times(self, factor: int) -> Workload:
        """Give a study of so many times as many films and faces, with as many models."""
        return self._replace(films=factor * self.films, faces=factor * self.faces)


def steps(work: Workload, rates: Mapping[str, float]) -> pd.DataFrame:
    """Compute the processor time of each step.

    Parameters
    ----------
    work
        Of one study.
    rates
        Processor time in ms: "film" of an hour of film, decoded and searched for faces; "read" of
        a face by a model; "learn" of a face, an epoch.

    Returns
    -------
    pandas.DataFrame
        step, n (hours of film, faces read, faces learned from, over epochs), jobs (that may run
        at once) and processor_h.

    Examples
    --------
    >>> steps(Workload(2, 3, 10), {"film": 3.6e6, "read": 0, "learn": 0})["processor_h"].tolist()
    [4.0, 0.0, 0.0]
    """
    n = {
        "film": work.films * work.hours,
        "read": work.frames * work.models,
        "learn": work.faces * work.epochs,
    }
    jobs = {"film": work.films, "read": READERS, "learn": work.models}
    rows = [
        {
            "step": step,
            "n": n[step],
            "jobs": jobs[step],
            "processor_h": n[step] * rate / MS_PER_HOUR,
        }
        for step, rate in rates.items()
    ]
    return pd.DataFrame(rows)


def hours_on(work: Workload, rates: Mapping[str, float], *, cores: int) -> float:
    """Compute how long a study takes: a step after the other, each on as many cores as it has jobs.

    Parameters
    ----------
    cores
        All alike, and as fast as the one that the rates were measured on.
    """
    found = steps(work, rates)
    return float((found["processor_h"] / np.minimum(found["jobs"], cores)).sum())


def against(
    studies: Mapping[str, Workload],
    rates: Mapping[str, float],
    *,
    prices: Mapping[str, float],
    cores: Sequence[int],
) -> pd.DataFrame:
    """Vary one size at a time of each study: what it costs, and how long it takes.

    Parameters
    ----------
    studies
        Name -> its workload.
    rates
        As for `steps`.
    prices
        Of a core's hour, by name; the first is the one that the line is drawn at.
    cores
        On which the time is computed.

    Returns
    -------
    pandas.DataFrame
        study, factor (one of `FACTORS`, or "cores"), at, value (money; h for cores), low and high
        (at the lowest and highest price).
    """
    rows = []
    for name, work in studies.items():
        for factor in FACTORS:
            sizes = np.geomspace(0.1, 10, 9) * getattr(work, factor)
            for at in sizes[sizes >= 1]:
                spent = steps(work._replace(**{factor: at}), rates)["processor_h"].sum()
                low, high = (spent * bound(prices.values()) for bound in (min, max))
                value = spent * next(iter(prices.values()))
                found = {"factor": factor, "at": at, "value": value, "low": low, "high": high}
                rows.append({"study": name, **found})
        for n in cores:
            hours = hours_on(work, rates, cores=n)
            found = {"factor": "cores", "at": float(n), "value": hours, "low": hours, "high": hours}
            rows.append({"study": name, **found})
    return pd.DataFrame(rows)
