"""The published predictions of 59 films, read and checked.

The files hold a row a frame with a face; the frames between are put back, so that shares have
their denominator and series their gaps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from string import ascii_lowercase
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import criteria, films
from exe_core import tables as schema
from exe_core.claims import Finding, independent_estimate, judge
from exe_core.resampling import Estimate, Statistics
from exe_core.study import ROOT

RUNS = ("ExE", "FER", "RAFDB")
NAMES = {"ExE": "ExE", "FER": "FER2013", "RAFDB": "RAF-DB"}
"""How the runs are called in print."""

FILES = (*(f"{run}.parquet" for run in RUNS), "movie_list.json")

EVERY = 100
"""Frames between two that were looked at."""

_COLUMNS = ("movie", "frame_idx", "timestamp_sec", "emotion", "confidence")


class PublishedError(ValueError):
    """The published files are not as they must be."""


@dataclass(frozen=True)
class Published:
    """The published predictions in this project's tables, and what the files are like."""

    predictions: pd.DataFrame
    """Table "predictions" of `RUNS`, with time_s and confidence."""
    frames: pd.DataFrame
    """Table "frames": every 100th up to the last with a face; time between faces interpolated."""
    films: pd.DataFrame
    """Table "films"."""
    files: pd.DataFrame
    """A row a file: run_id, n_rows, n_doubled (rows that stand twice), n_models (null: unsaid)."""


def read_published(folder: Path) -> Published:
    """Read the published files.

    Parameters
    ----------
    folder
        Holds ExE.parquet, FER.parquet, RAFDB.parquet and movie_list.json.

    Raises
    ------
    PublishedError
        If a file or column is missing, the runs are of different frames, the probabilities do not
        sum to 1, or the emotion given is not the most probable.
    """
    files = {run: _read_file(folder / f"{run}.parquet") for run in RUNS}
    runs = {run: _as_predictions(rows, run) for run, rows in files.items()}
    places = {run: set(rows["item_id"]) for run, rows in runs.items()}
    for run in RUNS[1:]:
        if places[run] != places[RUNS[0]]:
            raise PublishedError(f"{run} and {RUNS[0]} are not of the same frames")
    frames = _all_frames(runs[RUNS[0]])
    films = _read_films(folder / "movie_list.json", frames)
    predictions = schema.check(pd.concat(runs.values(), ignore_index=True), "predictions")
    return Published(predictions, frames, films, _describe(files))


def _describe(files: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "run_id": run,
                "n_rows": len(rows),
                "n_doubled": int(rows.duplicated().sum()),
                "n_models": rows["n_models"].max() if "n_models" in rows else pd.NA,
            }
            for run, rows in files.items()
        ]
    )


def _read_file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise PublishedError(f"no {path.name} in {path.parent}: see data/README.md for its source")
    rows = pd.read_parquet(path)
    missing = {*_COLUMNS, *schema.prob_columns(schema.FIVE)} - set(rows)
    if missing:
        raise PublishedError(f"{path.name} lacks the columns {', '.join(sorted(missing))}")
    return rows


def _as_predictions(rows: pd.DataFrame, run: str) -> pd.DataFrame:
    """Make the table "predictions" of a file's rows, each counted once."""
    unique = rows.drop_duplicates(ignore_index=True)
    if unique.duplicated(["movie", "frame_idx"]).any():
        raise PublishedError(f"{run}.parquet has two different rows of one frame")
    probs = unique[schema.prob_columns(schema.FIVE)]
    most = probs.columns[probs.to_numpy().argmax(axis=1)].str.removeprefix("prob_")
    if (most != unique["emotion"]).any():
        raise PublishedError(f"{run}.parquet: an emotion given is not the most probable one")
    return probs.assign(
        item_id=schema.item_ids(unique["movie"], unique["frame_idx"]),
        set_name="published",
        split="test",
        group_id=unique["movie"],
        run_id=run,
        label=None,
        predicted=unique["emotion"],
        frame=unique["frame_idx"],
        time_s=unique["timestamp_sec"],
        confidence=unique["confidence"],
    )


def _all_frames(rows: pd.DataFrame) -> pd.DataFrame:
    tables = []
    for film_id, faces in rows.sort_values("frame").groupby("group_id"):
        frame = np.arange(0, faces["frame"].max() + 1, EVERY)
        if not faces["frame"].isin(frame).all():
            raise PublishedError(f"{film_id}: a frame number is not a multiple of {EVERY}")
        # before the first face: at the mean rate
        time_s = np.interp(frame, [0, *faces["frame"]], [0, *faces["time_s"]])
        seen = np.isin(frame, faces["frame"]).astype(int)
        tables.append(
            pd.DataFrame({"film_id": film_id, "frame": frame, "time_s": time_s, "n_faces": seen})
        )
    return schema.check(pd.concat(tables, ignore_index=True), "frames")


def _read_films(path: Path, frames: pd.DataFrame) -> pd.DataFrame:
    if not path.is_file():
        raise PublishedError(f"no {path.name} in {path.parent}: see data/README.md for its source")
    listed = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    missing = {"file_name", "title", "category"} - set(listed)
    if missing:
        raise PublishedError(f"{path.name} lacks the keys {', '.join(sorted(missing))}")
    unlisted = set(frames["film_id"]) ^ set(listed["file_name"])
    if unlisted:
        raise PublishedError(f"{path.name} and the predictions differ in {sorted(unlisted)[:5]}")
    films = listed.rename(columns={"file_name": "film_id", "category": "genre"})
    last = frames.groupby("film_id").last()
    films = films.assign(
        path=None,
        duration_s=np.nan,
        n_frames=None,
        status="ok",
        error=None,
        fps=films["film_id"].map(last["frame"] / last["time_s"]),
    )
    return schema.check(films, "films")


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
        How intervals and p-values are made; no test depends on the others.
    """

    published: Published
    statistics: Statistics

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Table "film_summary" of all runs."""
        return films.summarise(
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
        table = films.share_table(self.summary).loc[run]
        return table[list(labels)].sum(axis=1, skipna=False)

    def genre_gap(self, shares: pd.Series) -> Estimate:
        """Compare comedies with crime films, each film counting alike; p by shuffled genres."""
        genre = self.published.films.set_index("film_id")["genre"].loc[shares.index]
        chosen = genre.isin([COMEDY, CRIME]).to_numpy()
        return self.statistics.group_difference(
            shares[chosen].to_numpy(),
            (genre[chosen] == COMEDY).to_numpy(),
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
        found = criteria.genre_separation(
            self.summary, self.published.films, statistics=self.statistics
        )
        return {
            row["run_id"]: Estimate(
                row["value"],
                row["low"],
                row["high"],
                row["n_films"],
                "jackknife over films",
                row["p_value"],
            )
            for row in found.to_dict("records")
        }

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
            rows = films.timeline(
                frames, faces[faces["group_id"] == event.film_id], labels=schema.FIVE
            )
            found.append(series(rows, event.labels))
            at_s = 60.0 * event.minute
            statistics.append(criteria.rise(frames["time_s"].to_numpy(), at_s, window_s))
        return self.statistics.shift_test(found, statistics)

    def counts(self, run: str, labels: Sequence[str]) -> np.ndarray:
        """Count by film: faces of the labels, all faces."""
        rows = self.summary[self.summary["run_id"] == run]
        n_faces = rows.groupby("film_id")["n_faces"].first().to_numpy(dtype=float)
        return np.column_stack([self.shares(run, labels).fillna(0).to_numpy() * n_faces, n_faces])

    def _paired(self, first: np.ndarray, second: np.ndarray) -> Estimate:
        return self.statistics.difference(first, second, _ratio)

    def _against(self, counts: np.ndarray, claimed: float) -> Estimate:
        """Estimate a share and test it against a claimed one, by flipping films about the claim."""
        totals = counts[:, 1]
        gap = self._paired(counts, np.column_stack([claimed * totals, totals]))
        return replace(
            gap, value=gap.value + claimed, low=gap.low + claimed, high=gap.high + claimed
        )


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


WINDOWED = f"mean probability, {WINDOW_S / 60:.0f} minutes after minus before"
OF_FACES = f"share of faces that are happy at confidence {CONFIDENT} or more, after minus before"
OF_COUNTED = f"share of happy among faces of confidence {CONFIDENT} or more, after minus before"
MORE = "ExE shows it, RAF-DB does not."
NEMO, HITCHHIKER = "finding_nemo", "hitchhikersguidetothegalaxy"
COLLAPSED = ("surprise", "sad")
ALIKE = 0.05
"""Shares this near each other are alike."""

ABOUT = 0.1
"""A share of films this near a half is about a half."""


def claim_parts(measures: Measures, *, runs: pd.DataFrame) -> list[Finding]:
    """Try the parts of all claims.

    Parameters
    ----------
    runs
        As for `published_runs.recall_gain`.
    """
    return [
        *genre_parts(measures),
        *angry_parts(measures),
        *leading_parts(measures),
        *event_parts(measures),
        *keyword_parts(runs, statistics=measures.statistics),
        Finding(
            "c7a",
            "Domain match matters more than label quality.",
            "balanced accuracy on film, trained on stock photos minus trained on a benchmark",
            source="none",
            reason="needs photos by keyword and a benchmark of like size, and films with true "
            "labels, all real; the world has them, drawn",
        ),
    ]


def genre_parts(measures: Measures) -> list[Finding]:
    """Claim 1: each half of the contrast, and what is said of RAF-DB."""
    gap, shares = measures.genre_gap, measures.shares
    by_genre = "comedies minus crime films"
    return [
        Finding(
            "c1a",
            "ExE finds more happy in comedies than in crime films.",
            f"ExE, share of happy, {by_genre}",
            found=gap(shares("ExE", ["happy"])),
        ),
        Finding(
            "c1b",
            "ExE finds more negative expressions in crime films than in comedies.",
            f"ExE, share of angry, fear and sad, {by_genre}",
            claimed="below",
            found=gap(shares("ExE", NEGATIVE)),
        ),
        Finding(
            "c1c",
            "RAF-DB calls most faces surprise or sad.",
            "RAF-DB, share of faces that are surprise or sad",
            reference=0.5,
            found=measures.share("RAFDB", COLLAPSED, claimed=0.5),
        ),
        Finding(
            "c1d",
            "RAF-DB calls more faces surprise or sad than ExE does.",
            "share of faces that are surprise or sad, RAF-DB minus ExE",
            found=measures.more_than("RAFDB", "ExE", COLLAPSED),
        ),
        Finding(
            "c1e",
            "RAF-DB calls as many faces surprise or sad in comedies as in crime films.",
            f"RAF-DB, share of surprise and sad, {by_genre}",
            claimed="equal",
            tolerance=ALIKE,
            found=gap(shares("RAFDB", COLLAPSED)),
        ),
        Finding(
            "c1f",
            "RAF-DB calls as many faces happy in comedies as in crime films.",
            f"RAF-DB, share of happy, {by_genre}",
            claimed="equal",
            tolerance=ALIKE,
            found=gap(shares("RAFDB", ["happy"])),
        ),
        Finding(
            "c1g",
            "ExE's answers differ between genres.",
            "ExE, variance of the shares between all genres (epsilon squared)",
            found=measures.separation["ExE"],
        ),
        Finding(
            "c1h",
            "RAF-DB's answers are the same whatever the genre.",
            "RAF-DB, variance of the shares between all genres (epsilon squared)",
            claimed="equal",
            tolerance=ALIKE,
            found=measures.separation["RAFDB"],
        ),
    ]


def angry_parts(measures: Measures) -> list[Finding]:
    """Claim 2: the most that all frames could hold, and the faces that the timelines count."""
    claim = 0.98
    text = "FER2013 predicts angry for about 98 %"
    return [
        Finding(
            "c2a",
            f"{text} of all frames, had each frame without a face been angry.",
            "FER2013, most that the share of angry in all sampled frames can be",
            "equal",
            claim,
            0.02,
            found=measures.most_of_frames("FER", ["angry"], claimed=claim),
        ),
        Finding(
            "c2b",
            f"{text} of the faces that the timelines count.",
            f"FER2013, share of angry among faces of confidence {CONFIDENT} or more",
            "equal",
            claim,
            0.02,
            found=measures.confident.share("FER", ["angry"], claimed=claim),
        ),
    ]


def leading_parts(measures: Measures) -> list[Finding]:
    """Claims 3 and 4: other ways to say which expression dominates, and the sad bias."""
    findings = []
    for claim, run, label in (("c3", "RAFDB", "surprise"), ("c4", "ExE", "sad")):
        ways = (
            ("a", measures, "mean_prob", "the highest mean probability"),
            ("b", measures.confident, "share_of_faces", "the most counted faces"),
        )
        findings += [
            Finding(
                f"{claim}{letter}",
                f"{NAMES[run]} makes {label} the dominant expression in about half of the films.",
                f"{NAMES[run]}, share of films in which {label} has {how}",
                "equal",
                0.5,
                ABOUT,
                found=tried.films_led_by(run, label, claimed=0.5, by=by),
            )
            for letter, tried, by, how in ways
        ]
    return [
        *findings,
        Finding(
            "c4c",
            "ExE makes sad the dominant expression in 60 % of the films (another text).",
            "ExE, share of films in which sad has the most faces",
            "equal",
            0.6,
            ABOUT,
            found=measures.films_led_by("ExE", "sad", claimed=0.6),
        ),
        Finding(
            "c4d",
            "ExE has a sad bias: it says sad more often than the benchmark models do.",
            "share of faces that are sad, ExE minus RAF-DB",
            found=measures.more_than("ExE", "RAFDB", ["sad"]),
        ),
        Finding(
            "c4e",
            "ExE has a sad bias: it says sad more often than films show it.",
            "share of sad predicted minus share of sad true",
            source="none",
            reason="no frame of these films has a true label",
        ),
    ]


def event_parts(measures: Measures) -> list[Finding]:
    """Claim 5: each event alone, as measured here and as the published timelines count it.

    Minute 75 of Finding Nemo was chosen after seeing the series, so its p-value promises too much.
    """
    reunion, end = Event(NEMO, 84), Event(HITCHHIKER, 92)
    at_reunion = "Finding Nemo: happy rises at the reunion, minute 84."
    at_end = "Hitchhiker's Guide: happy rises at minute 92."
    exe, rafdb = probability("ExE"), probability("RAFDB")
    of_faces, of_counted = counted("ExE"), counted("ExE", of="counted")
    ways = [
        (at_reunion, reunion, exe, "ExE, " + WINDOWED, WINDOW_S),
        (at_reunion, reunion, of_faces, "ExE, " + OF_FACES, math.inf),
        (at_reunion, reunion, of_counted, "ExE, " + OF_COUNTED, math.inf),
        (at_reunion.replace("84", "75"), Event(NEMO, 75), of_faces, "ExE, " + OF_FACES, math.inf),
        (
            "Finding Nemo: negative expressions rise when Nemo is lost, minute 14.",
            Event(NEMO, 14, NEGATIVE),
            exe,
            "ExE, " + WINDOWED,
            WINDOW_S,
        ),
        (at_end, end, exe, "ExE, " + WINDOWED, WINDOW_S),
        (at_end, end, of_faces, "ExE, " + OF_FACES, math.inf),
        (at_end, end, of_counted, "ExE, " + OF_COUNTED, math.inf),
        (
            f"{at_reunion} {MORE}",
            reunion,
            minus(exe, rafdb),
            "ExE minus RAF-DB, " + WINDOWED,
            WINDOW_S,
        ),
        (f"{at_end} {MORE}", end, minus(exe, rafdb), "ExE minus RAF-DB, " + WINDOWED, WINDOW_S),
    ]
    findings = [
        Finding(f"c5{letter}", text, how, found=measures.rise([event], series, window_s=window_s))
        for letter, (text, event, series, how, window_s) in zip(ascii_lowercase, ways, strict=False)
    ]
    alike = Finding(
        f"c5{ascii_lowercase[len(ways)]}",
        "RAF-DB shows neither event.",
        "RAF-DB, happy, " + WINDOWED + ", mean of both events",
        claimed="equal",
        tolerance=ALIKE,
        found=measures.rise([reunion, end], rafdb),
    )
    return [*findings, alike]


def keyword_parts(runs: pd.DataFrame, *, statistics: Statistics) -> list[Finding]:
    """Claim 6: each source alone."""
    return [
        Finding(
            f"c6{letter}",
            f"Searching by several keywords beats searching by one, on {source}.",
            f"mean recall, several keywords minus one, {source}",
            found=recall_gain(runs, source, statistics=statistics),
            source=RUNS_SOURCE,
        )
        for letter, source in zip(ascii_lowercase, sorted(runs["source"].unique()), strict=False)
    ]


REUNION = Event("finding_nemo", 84)
END = Event("hitchhikersguidetothegalaxy", 92)

OWN_RUN, BENCHMARK, FILM_STILLS = "fer2013", "fer2013 without duplicates", "film_faces"
"""The network of the study `real`, and its sets that stand for a benchmark and for film."""

CLAIMS_SOURCE = "published"
OWN_SOURCE = "own network of the study real, on FER2013 and labelled film stills"

EVENT_STATISTIC = f"{WINDOW_S / 60:.0f} minutes after minus before, mean probability"


class Answers(NamedTuple):
    """Verdicts on the published claims."""

    claims: pd.DataFrame
    """Table "claims": c1 to c8, in the order of the study that made them."""
    parts: pd.DataFrame
    """Table "claims" of what else they say: c1a, c1b, ..."""


def published_claims(
    published: Published,
    *,
    runs: pd.DataFrame,
    metrics: pd.DataFrame | None,
    statistics: Statistics,
) -> Answers:
    """Try the published claims.

    Parameters
    ----------
    published
        As given by `published.read_published`.
    runs
        As for `published_runs.recall_gain`.
    metrics
        Table "metrics" of the study of real faces, if it was run.
    statistics
        How intervals and p-values are made; no test depends on the others.
    """
    measures = Measures(published, statistics)
    findings = [
        genres(measures),
        always_angry(measures),
        led_by(measures, "c3", "RAFDB", "surprise", "roughly half of the films"),
        led_by(measures, "c4", "ExE", "sad", "about half of the films"),
        plot_events(measures),
        keywords(runs, statistics=statistics),
        benchmark_and_film(metrics, statistics=statistics),
        Finding(
            "c8",
            "The whole pipeline runs in 2-3 hours on one GPU.",
            "hours of the whole pipeline",
            source="none",
            reason="nothing that was published holds a time, and the full design has not been run "
            "on a GPU here",
        ),
    ]
    parts = claim_parts(measures, runs=runs)
    return Answers(
        judge(findings, source=CLAIMS_SOURCE, statistics=statistics),
        judge(parts, source=CLAIMS_SOURCE, statistics=statistics),
    )


def genres(measures: Measures) -> Finding:
    """Claim 1: one number says both halves, the share of happy less that of negative faces.

    What it says of RAF-DB is a part: were ExE's genres alike, the contrast would be empty.
    """
    films = measures.published.films["genre"].value_counts()
    balance = measures.shares("ExE", ["happy"]) - measures.shares("ExE", NEGATIVE)
    return Finding(
        "c1",
        "For ExE comedies show more happy and crime films more negative expressions, while RAF-DB "
        "collapses into surprise and sad regardless of genre.",
        "ExE, share of happy minus share of angry, fear and sad, comedies minus crime films",
        found=measures.genre_gap(balance),
        reason=f"{films[COMEDY]} comedies and {films[CRIME]} crime films; of RAF-DB, see the parts",
    )


def always_angry(measures: Measures) -> Finding:
    """Claim 2: of frames with a face, since the others were not predicted."""
    return Finding(
        "c2",
        "FER2013 predicts angry for about 98 % of all frames.",
        "FER2013, share of frames with a face that are angry",
        claimed="equal",
        reference=0.98,
        tolerance=0.02,
        found=measures.share("FER", ["angry"], claimed=0.98),
        reason="of the model whose predictions were published; no other can be known",
    )


def led_by(measures: Measures, claim_id: str, run: str, label: str, extent: str) -> Finding:
    """Claims 3 and 4: the expression of most faces of a film is the one that dominates it."""
    return Finding(
        claim_id,
        f"{NAMES[run]} makes {label} the dominant expression in {extent}.",
        f"{NAMES[run]}, share of films in which {label} has the most faces",
        claimed="equal",
        reference=0.5,
        tolerance=ABOUT,
        found=measures.films_led_by(run, label, claimed=0.5),
    )


def plot_events(measures: Measures) -> Finding:
    """Claim 5: the two rises of happy that it names, together; each alone is a part."""
    return Finding(
        "c5",
        "ExE's timelines show plot events: happy rises at the reunion in Finding Nemo and at "
        "minute 92 of Hitchhiker's Guide; RAF-DB shows neither.",
        f"ExE, happy, {EVENT_STATISTIC}, mean of both events",
        found=measures.rise([REUNION, END], probability("ExE")),
        reason="two events of two films; of RAF-DB and of other ways to count, see the parts",
    )


def keywords(runs: pd.DataFrame, *, statistics: Statistics) -> Finding:
    """Claim 6: better on both sources means better on the one that gains least."""
    return Finding(
        "c6",
        "Searching by several keywords beats searching by one, on both sources.",
        "mean recall, several keywords minus one, of the source that gains least",
        found=smallest_gain(runs, statistics=statistics),
        source=RUNS_SOURCE,
        reason="each network was tested on held-out faces of its own search, so the faces differ, "
        "too; their numbers are those of a fifth of each search",
    )


def benchmark_and_film(metrics: pd.DataFrame | None, *, statistics: Statistics) -> Finding:
    """Claim 7, its first half: what a benchmark promises is not what film gives.

    Films without true labels cannot say; a network of this project and labelled stills can. The
    second half, on what matters more, needs both kinds of training and is a part.
    """
    found = Estimate()
    if metrics is not None:
        rows = metrics[(metrics["metric"] == "balanced_accuracy") & (metrics["split"] == "test")]
        scores = rows[rows["run_id"] == OWN_RUN].set_index("set_name")
        if {BENCHMARK, FILM_STILLS} <= set(scores.index):
            own, film = (
                Estimate(*scores.loc[name, ["value", "low", "high", "n_groups"]])
                for name in (BENCHMARK, FILM_STILLS)
            )
            found = independent_estimate(own, film, statistics=statistics)
    return Finding(
        "c7",
        "Benchmark accuracy is not ecological validity; domain match matters more than label "
        "quality.",
        "balanced accuracy, FER2013 minus film stills",
        found=found,
        source=OWN_SOURCE if found.n else "none",
        reason=f"of its first half, by one network; the stills show {found.n:.0f} persons, and who "
        "labelled them is not known well; of the second half, see the parts"
        if not math.isnan(found.value)
        else "the published films have no true labels, and no own network was tried on stills",
    )


TABLE = ROOT / "data" / "frozen" / "published" / "runs.csv"
RUNS_SOURCE = "published, recalls of the four searches"

HELD_OUT = 0.2
"""The published split: every fifth face."""

COLUMNS = ("source", "design", "label", "n_faces", "recall")


def recall_gain(runs: pd.DataFrame, source: str, *, statistics: Statistics) -> Estimate:
    """Compare the mean recall of several keywords with that of one.

    Each face counts as independent, which those of one photo are not: the interval is at its
    narrowest. The null hypothesis is that the two mean recalls are one; the normal law stands
    for the binomial of each recall, eased for small numbers (Agresti & Caffo 2000).

    Parameters
    ----------
    runs
        source, design (v1 one keyword, v2 several), label, n_faces (a label of all that were
        found) and recall.
    source
        "pexels" or "pixabay".

    Returns
    -------
    Estimate
        v2 minus v1; undefined if a design is missing.
    """
    absent = [name for name in COLUMNS if name not in runs]
    if absent:
        raise ValueError(f"runs lack the columns {', '.join(absent)}")
    sides = []
    for design in ("v2", "v1"):
        rows = runs[(runs["source"] == source) & (runs["design"] == design)]
        if rows.empty:
            return Estimate()
        recall = rows["recall"].to_numpy()
        # one face right and one wrong are added, so that 0 and 1 have a variance, too
        n = np.floor(HELD_OUT * rows["n_faces"].to_numpy())
        eased = (recall * n + 1) / (n + 2)
        variance = float((eased * (1 - eased) / (n + 2)).sum()) / len(rows) ** 2
        sides.append((float(recall.mean()), variance))
    gain = sides[0][0] - sides[1][0]
    error = math.sqrt(sides[0][1] + sides[1][1])
    margin = stats.norm.ppf((1 + statistics.level) / 2) * error
    p_value = 2 * float(stats.norm.sf(abs(gain) / error))
    n = int(HELD_OUT * runs.loc[runs["source"] == source, "n_faces"].sum())
    return Estimate(gain, gain - margin, gain + margin, n, "Agresti & Caffo 2000", p_value)


def smallest_gain(runs: pd.DataFrame, *, statistics: Statistics) -> Estimate:
    """Take the source that gains least: several keywords are better on both only if it gains.

    Interval and p-value allow for the choice among the sources (Bonferroni).

    Parameters
    ----------
    runs, statistics
        As for `recall_gain`.

    Returns
    -------
    Estimate
        Undefined if a source lacks a design.
    """
    sources = list(runs["source"].unique())
    level = 1 - (1 - statistics.level) / len(sources)
    stricter = statistics.model_copy(update={"level": level})
    gains = [recall_gain(runs, source, statistics=stricter) for source in sources]
    if any(math.isnan(gain.value) for gain in gains):
        return Estimate()
    least = min(gains, key=lambda gain: gain.value)
    return replace(least, p_value=min(1.0, len(sources) * least.p_value))


MEMBERS = 4
"""The published ensemble is described as the mean of so many models."""


def observe_films(published: Published, *, statistics: Statistics) -> pd.DataFrame:
    """List what the published files are, beside what one would expect.

    Parameters
    ----------
    published
        As given by `published.read_published`.
    statistics
        Permutations of genres, which say how much variance chance puts between them.

    Returns
    -------
    pd.DataFrame
        looked_at, expected and found, as text.
    """
    rows = [
        *_files(published),
        *_films(published),
        *_answers(published),
        *_genres(published, statistics),
    ]
    return pd.DataFrame(rows, columns=["looked_at", "expected", "found"])


def _files(published: Published) -> list[tuple[str, str, str]]:
    files = published.files.set_index("run_id")
    n_faces = int(published.frames["n_faces"].sum())
    models = files["n_models"].dropna().astype(int)
    doubled = files["n_doubled"]
    return [
        *(
            (
                f"models that made a row of {NAMES[run]}, by its column n_models",
                f"{MEMBERS}",
                f"{n}",
            )
            for run, n in models.items()
        ),
        (
            "rows that stand twice",
            "0",
            ", ".join(
                f"{NAMES[run]} {n:,} of {files.loc[run, 'n_rows']:,}" for run, n in doubled.items()
            ),
        ),
        (
            f"every {EVERY}th frame up to a film's last face",
            f"a row each: {len(published.frames):,}",
            f"{n_faces:,} rows ({n_faces / len(published.frames):.0%}): frames without a face "
            "have none",
        ),
    ]


def _films(published: Published) -> list[tuple[str, str, str]]:
    genres = published.films["genre"].value_counts()
    seen = published.frames.groupby("film_id")["n_faces"].agg(["sum", "size"])
    last = published.frames.groupby("film_id")["time_s"].last() / 60
    covered = seen["sum"] / seen["size"]
    shortest, sparsest = last.idxmin(), covered.idxmin()
    title = published.films.set_index("film_id")["title"]
    return [
        ("films", "about 60", f"{len(published.films)}"),
        (
            "films of the two genres that are compared",
            "",
            f"{genres[COMEDY]} comedies, {genres[CRIME]} crime films",
        ),
        (
            "minute of a film's last face",
            "near its end",
            f"{last.median():.0f} in the middle film; {last[shortest]:.0f} in {title[shortest]}",
        ),
        (
            "sampled frames with a face, by film",
            "",
            f"{covered.median():.0%} in the middle film; {covered[sparsest]:.0%} in "
            f"{title[sparsest]}, {seen.loc[sparsest, 'sum']} faces",
        ),
    ]


def _answers(published: Published) -> list[tuple[str, str, str]]:
    rows = published.predictions
    confident = (rows["confidence"] >= CONFIDENT).groupby(rows["run_id"]).mean()
    shares = pd.crosstab(rows["run_id"], rows["predicted"], normalize="index")
    shares = shares.reindex(columns=schema.FIVE, fill_value=0.0)
    fer = rows[rows["run_id"] == "FER"]
    angry = (fer["predicted"] == "angry").groupby(fer["group_id"]).mean()
    title = published.films.set_index("film_id")["title"]
    return [
        (
            f"faces of confidence {CONFIDENT} or more, which the timelines count",
            "the same faces for each model",
            ", ".join(f"{NAMES[run]} {confident[run]:.0%}" for run in RUNS),
        ),
        *(
            (
                f"answers of {NAMES[run]}",
                "",
                ", ".join(
                    f"{label} {share:.0%}"
                    for label, share in shares.loc[run].sort_values(ascending=False).items()
                ),
            )
            for run in RUNS
        ),
        (
            "the film with the largest share of angry faces by FER2013",
            "98 %",
            f"{angry.max():.0%}, {title[angry.idxmax()]}",
        ),
    ]


def _genres(published: Published, statistics: Statistics) -> list[tuple[str, str, str]]:
    summary = films.summarise(published.frames, published.predictions, labels=schema.FIVE)
    found = criteria.genre_separation(summary, published.films, statistics=statistics)
    found = found.set_index("run_id")
    free = (found["n_films"] - published.films["genre"].nunique()) / (found["n_films"] - 1)
    r2, null = (1 - (1 - found[name]) * free for name in ("value", "null_mean"))
    return [
        (
            "share of the variance between films that lies between genres (R2)",
            f"{null.mean():.2f} by chance",
            ", ".join(f"{NAMES[run]} {r2[run]:.2f}" for run in RUNS),
        )
    ]
