"""What is measured on the published predictions, each measure with its interval and its null.

A film is the unit: films are resampled, their genres shuffled, their sides swapped; frames of one
film are not independent. Shares are of faces, since a frame without one has no row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd

from exe_core import films as film_measures
from exe_core import resampling, schema
from exe_core.claims import Estimate, group_estimate, paired_estimate
from exe_core.findings.published import Published
from exe_core.footage import timelines
from exe_core.settings import Statistics

COMEDY, CRIME = "Comedy", "Crime"
NEGATIVE = ("angry", "fear", "sad")
CONFIDENT = 0.5
"""The published timelines count faces of this confidence or more."""

WINDOW_S = 600.0
"""Before and after an event: these films have some twenty faces or more in ten minutes."""


class Event(NamedTuple):
    """A moment of a film at which the share of some expressions is said to rise."""

    film_id: str
    minute: float
    labels: tuple[str, ...] = ("happy",)


Series = Callable[[pd.DataFrame, tuple[str, ...]], np.ndarray]
"""The timeline of a film by all runs, labels -> a number a sampled frame, NaN where none is."""


def probability(run: str) -> Series:
    """Take the probability that a run gives to the labels."""

    def series(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
        own = rows.loc[rows["run_id"] == run, schema.prob_columns(labels)]
        return own.sum(axis=1, skipna=False).to_numpy(dtype=float)

    return series


def counted(run: str, *, of: str = "faces") -> Series:
    """Count as the published timelines do: a face of the labels, of confidence .5 or more.

    Parameters
    ----------
    of
        "faces": all faces of the film; "counted": those of confidence .5 or more.
    """

    def series(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
        own = rows[rows["run_id"] == run]
        most = own[schema.prob_columns(schema.FIVE)].max(axis=1).to_numpy()
        is_it = (own["predicted"].isin(labels) & (most >= CONFIDENT)).to_numpy(dtype=float)
        return np.where(np.isnan(most) if of == "faces" else ~(most >= CONFIDENT), np.nan, is_it)

    return series


def minus(first: Series, second: Series) -> Series:
    """Subtract one series from another, frame by frame."""
    return lambda rows, labels: first(rows, labels) - second(rows, labels)


@dataclass(frozen=True)
class Measures:
    """Estimates and tests on the published predictions, all made in one way.

    Parameters
    ----------
    published
        As given by `published.read_published`.
    statistics
        Level, bootstrap samples and permutations.
    seed
        Of each test; none depends on the others.
    """

    published: Published
    statistics: Statistics
    seed: int

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Table "film_summary" of all runs."""
        return film_measures.summarise(
            self.published.frames, self.published.predictions, labels=schema.FIVE
        )

    @cached_property
    def confident(self) -> Measures:
        """The same of the faces that the published timelines count."""
        rows = self.published.predictions
        kept = rows[rows["confidence"] >= CONFIDENT]
        return replace(self, published=replace(self.published, predictions=kept))

    def shares(self, run: str, labels: Sequence[str]) -> pd.Series:
        """Give the share of each film's faces that a run says are of the labels."""
        table = film_measures.share_table(self.summary).loc[run]
        return table[list(labels)].sum(axis=1, skipna=False)

    def genre_gap(self, shares: pd.Series) -> Estimate:
        """Compare comedies with crime films, each film counting alike; p by shuffled genres."""
        genre = self.published.films.set_index("film_id")["genre"].loc[shares.index]
        chosen = genre.isin([COMEDY, CRIME]).to_numpy()
        return group_estimate(
            shares[chosen].to_numpy(),
            (genre[chosen] == COMEDY).to_numpy(),
            statistics=self.statistics,
            seed=self.seed,
        )

    def share(self, run: str, labels: Sequence[str], *, claimed: float) -> Estimate:
        """Estimate the share of all faces that are of the labels; p is against `claimed`."""
        return self._against(self.counts(run, labels), claimed)

    def most_of_frames(self, run: str, labels: Sequence[str], *, claimed: float) -> Estimate:
        """Bound the share of all sampled frames: as if every faceless one were of the labels."""
        counts = self.counts(run, labels)
        rows = self.summary[self.summary["run_id"] == run]
        n_frames = rows.groupby("film_id")["n_frames"].first()
        faceless = n_frames.to_numpy() - counts[:, 1]
        return self._against(counts + faceless[:, None], claimed)

    def more_than(self, run: str, other: str, labels: Sequence[str]) -> Estimate:
        """Compare the shares of two runs on the same faces; p by swapping them in random films."""
        return self._paired(self.counts(run, labels), self.counts(other, labels))

    def films_led_by(
        self, run: str, label: str, *, claimed: float, by: str = "share_of_faces"
    ) -> Estimate:
        """Estimate the share of films in which a label is first; p is against `claimed`."""
        rows = self.summary[self.summary["run_id"] == run].set_index(["film_id", "label"])[by]
        leads = (rows.unstack().dropna().idxmax(axis=1) == label).to_numpy(dtype=float)  # noqa: PD010
        return self._against(np.column_stack([leads, np.ones(len(leads))]), claimed)

    @cached_property
    def separation(self) -> dict[str, Estimate]:
        """Epsilon squared of each run: the share of variance between genres, 0 by chance."""
        found = film_measures.genre_separation(
            self.summary,
            self.published.films,
            statistics=self.statistics,
            seed=self.seed,
        )
        columns = ["epsilon2", "low", "high", "p_value"]
        return {row["run_id"]: Estimate(*row[columns]) for _, row in found.iterrows()}

    def rise(
        self, events: Sequence[Event], series: Series, *, window_s: float = WINDOW_S
    ) -> Estimate:
        """Test whether a series is higher after events than before, on average over the events.

        The null shifts each series against the clock, as a circle, which keeps its
        autocorrelation; the interval holds the effects that the test would not reject.
        """
        found, statistics = [], []
        for event in events:
            frames = self.published.frames
            frames = frames[frames["film_id"] == event.film_id]
            faces = self.published.predictions
            rows = timelines.timeline(
                frames, faces[faces["group_id"] == event.film_id], labels=schema.FIVE
            )
            found.append(series(rows, event.labels))
            at_s = 60.0 * event.minute
            statistics.append(timelines.rise(frames["time_s"].to_numpy(), at_s, window_s))
        test = resampling.circular_shift_test(
            found,
            statistics,
            n=self.statistics.n_permutations,
            rng=np.random.default_rng(self.seed),
        )
        low, high = timelines.null_interval(test, level=self.statistics.level)
        return Estimate(test.value, low, high, test.p_value)

    def counts(self, run: str, labels: Sequence[str]) -> np.ndarray:
        """Count by film: faces of the labels, all faces."""
        rows = self.summary[self.summary["run_id"] == run]
        n_faces = rows.groupby("film_id")["n_faces"].first().to_numpy(dtype=float)
        return np.column_stack([self.shares(run, labels).fillna(0).to_numpy() * n_faces, n_faces])

    def _paired(self, first: np.ndarray, second: np.ndarray) -> Estimate:
        return paired_estimate(first, second, _ratio, statistics=self.statistics, seed=self.seed)

    def _against(self, counts: np.ndarray, claimed: float) -> Estimate:
        """Estimate a share and test it against a claimed one, by flipping films about the claim."""
        totals = counts[:, 1]
        gap = self._paired(counts, np.column_stack([claimed * totals, totals]))
        return Estimate(gap.value + claimed, gap.low + claimed, gap.high + claimed, gap.p_value)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]
