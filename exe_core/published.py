"""The published predictions of 59 films, and the claims that were made of them, put to a test.

The files hold a row a frame with a face; the frames between are put back, so that shares have
their denominator and series their gaps. What is claimed, and how each claim is read, stands in
`data/claims.yml`; here each is estimated under its name there.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from exe_core import criteria, films, tables
from exe_core.claims import Finding, as_values, independent_estimate, judge
from exe_core.labels import FIVE, prob_columns
from exe_core.record import COMMAND, ROOT, provenance, replacing, write_json, write_values
from exe_core.resampling import Estimate, Statistics
from exe_core.study import load_study

RUNS = {"ExE": "ExE", "FER": "FER2013", "RAFDB": "RAF-DB"}
"""The published runs -> what they are called in print."""

FILES = (*(f"{run}.parquet" for run in RUNS), "movie_list.json")

EVERY = 100
"""Frames between two that were looked at."""

CATALOGUE = ROOT / "data" / "claims.yml"
FROZEN = ROOT / "data" / "frozen"
SEARCHES = FROZEN / "published" / "runs.csv"
"""The published recalls of the four searches for photos, as for `recall_gain`."""
METRICS = FROZEN / "real" / "metrics.parquet"
"""Scores of this project's network, of the study `real`, which answers claim 7."""
OWN_RUN, BENCHMARK, FILM_STILLS = "fer2013", "fer2013 without duplicates", "film_faces"
"""That network, and its sets that stand for a benchmark and for film."""

COMEDY, CRIME = "Comedy", "Crime"
NEGATIVE, COLLAPSED = ("angry", "fear", "sad"), ("surprise", "sad")
CONFIDENT = 0.5
"""The published timelines count faces of this confidence or more."""

WINDOW_S = 600.0
"""Before and after an event: these films have some twenty faces or more in ten minutes."""

HELD_OUT = 0.2
"""The published split of the searches' photos: every fifth face is tested."""

MEMBERS = 4
"""The published ensemble is described as the mean of so many models."""

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
    """A row a run: n_rows, n_doubled (rows that stand twice), n_models (null: not given)."""


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
    items = {run: set(rows["item_id"]) for run, rows in runs.items()}
    for run in RUNS:
        if items[run] != items["ExE"]:
            raise PublishedError(f"{run} and ExE are not of the same frames")
    frames = _all_frames(runs["ExE"])
    about = {
        run: {
            "n_rows": len(rows),
            "n_doubled": int(rows.duplicated().sum()),
            "n_models": rows["n_models"].max() if "n_models" in rows else pd.NA,
        }
        for run, rows in files.items()
    }
    return Published(
        tables.check(pd.concat(runs.values(), ignore_index=True), "predictions"),
        frames,
        _read_films(folder / "movie_list.json", frames),
        pd.DataFrame.from_dict(about, orient="index"),
    )


def _read_file(path: Path) -> pd.DataFrame:
    _check_there(path)
    rows = pd.read_parquet(path)
    missing = {*_COLUMNS, *prob_columns(FIVE)} - set(rows)
    if missing:
        raise PublishedError(f"{path.name} lacks the columns {', '.join(sorted(missing))}")
    return rows


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise PublishedError(f"no {path.name} in {path.parent}: see data/README.md for its source")


def _as_predictions(rows: pd.DataFrame, run: str) -> pd.DataFrame:
    """Make the table "predictions" of a file's rows, each counted once."""
    unique = rows.drop_duplicates(ignore_index=True)
    if unique.duplicated(["movie", "frame_idx"]).any():
        raise PublishedError(f"{run}.parquet has two different rows of one frame")
    probs = unique[prob_columns(FIVE)]
    most = probs.columns[probs.to_numpy().argmax(axis=1)].str.removeprefix("prob_")
    if (most != unique["emotion"]).any():
        raise PublishedError(f"{run}.parquet: an emotion given is not the most probable one")
    return probs.assign(
        item_id=tables.item_ids(unique["movie"], unique["frame_idx"]),
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
    parts = []
    for film_id, faces in rows.sort_values("frame").groupby("group_id"):
        frame = np.arange(0, faces["frame"].max() + 1, EVERY)
        if not faces["frame"].isin(frame).all():
            raise PublishedError(f"{film_id}: a frame number is not a multiple of {EVERY}")
        # before the first face: at the mean rate
        time_s = np.interp(frame, [0, *faces["frame"]], [0, *faces["time_s"]])
        seen = np.isin(frame, faces["frame"]).astype(int)
        parts.append(
            pd.DataFrame({"film_id": film_id, "frame": frame, "time_s": time_s, "n_faces": seen})
        )
    return tables.check(pd.concat(parts, ignore_index=True), "frames")


def _read_films(path: Path, frames: pd.DataFrame) -> pd.DataFrame:
    _check_there(path)
    listed = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    missing = {"file_name", "title", "category"} - set(listed)
    if missing:
        raise PublishedError(f"{path.name} lacks the keys {', '.join(sorted(missing))}")
    unlisted = set(frames["film_id"]) ^ set(listed["file_name"])
    if unlisted:
        raise PublishedError(f"{path.name} and the predictions differ in {sorted(unlisted)[:5]}")
    table = listed.rename(columns={"file_name": "film_id", "category": "genre"})
    last = frames.groupby("film_id").last()
    unknown = {"path": None, "duration_s": np.nan, "n_frames": None, "status": "ok", "error": None}
    fps = table["film_id"].map(last["frame"] / last["time_s"])
    return tables.check(table.assign(**unknown, fps=fps), "films")


class Event(NamedTuple):
    """A moment of a film at which the share of some expressions is claimed to rise."""

    film_id: str
    minute: float
    labels: tuple[str, ...] = ("happy",)


REUNION, END = Event("finding_nemo", 84), Event("hitchhikersguidetothegalaxy", 92)

Series = Callable[[pd.DataFrame, tuple[str, ...]], np.ndarray]
"""The timeline of a film by all runs, labels -> a number a sampled frame, NaN where none is."""


def probability(run: str) -> Series:
    """Take the probability that a run gives to the labels."""

    def series(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
        of_run = rows.loc[rows["run_id"] == run, prob_columns(labels)]
        return of_run.sum(axis=1, skipna=False).to_numpy(dtype=float)

    return series


def counted(run: str, *, confident_only: bool = False) -> Series:
    """Count as the published timelines do: a face of the labels, of confidence .5 or more.

    It is counted among all faces of the film, or among those of confidence .5 or more.
    """

    def series(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
        of_run = rows[rows["run_id"] == run]
        most = of_run[prob_columns(FIVE)].max(axis=1).to_numpy()
        is_it = (of_run["predicted"].isin(labels) & (most >= CONFIDENT)).to_numpy(dtype=float)
        return np.where(~(most >= CONFIDENT) if confident_only else np.isnan(most), np.nan, is_it)

    return series


def minus(first: Series, second: Series) -> Series:
    """Subtract one series from another, frame by frame."""
    return lambda rows, labels: first(rows, labels) - second(rows, labels)


@dataclass(frozen=True)
class Measures:
    """Estimates and tests on the published predictions, all made in one way."""

    published: Published
    statistics: Statistics

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Table "film_summary" of all runs."""
        return films.summarise(self.published.frames, self.published.predictions, labels=FIVE)

    @cached_property
    def confident(self) -> Measures:
        """The same of the faces that the published timelines count."""
        rows = self.published.predictions
        kept = rows[rows["confidence"] >= CONFIDENT]
        return replace(self, published=replace(self.published, predictions=kept))

    def shares(self, run: str, labels: Sequence[str]) -> pd.Series:
        """Give the share of each film's faces that a run reads as one of the labels."""
        table = films.share_table(self.summary).loc[run]
        return table[list(labels)].sum(axis=1, skipna=False)

    def genre_gap(self, shares: pd.Series) -> Estimate:
        """Compare comedies with crime films, each film counting the same; p by shuffled genres."""
        genre = self.published.films.set_index("film_id")["genre"].loc[shares.index]
        chosen = genre.isin([COMEDY, CRIME]).to_numpy()
        is_comedy = (genre[chosen] == COMEDY).to_numpy()
        return self.statistics.group_difference(shares[chosen].to_numpy(), is_comedy)

    def share(self, run: str, labels: Sequence[str], *, claimed: float) -> Estimate:
        """Estimate the share of all faces that are of the labels; p is against `claimed`."""
        return self._against(self._counts(run, labels), claimed)

    def most_of_frames(self, run: str, labels: Sequence[str], *, claimed: float) -> Estimate:
        """Bound the share of all sampled frames: as if every faceless one were of the labels."""
        counts = self._counts(run, labels)
        rows = self.summary[self.summary["run_id"] == run]
        faceless = rows.groupby("film_id")["n_frames"].first().to_numpy() - counts[:, 1]
        return self._against(counts + faceless[:, None], claimed)

    def more_than(self, run: str, other: str, labels: Sequence[str]) -> Estimate:
        """Compare the shares of two runs on the same faces; p by swapping them in random films."""
        first, second = (self._counts(name, labels) for name in (run, other))
        return self.statistics.difference(first, second, _ratio)

    def films_led_by(
        self, run: str, label: str, *, claimed: float = 0.5, by: str = "share_of_faces"
    ) -> Estimate:
        """Estimate the share of films in which a label is first; p is against `claimed`."""
        rows = self.summary[self.summary["run_id"] == run].set_index(["film_id", "label"])[by]
        leads = (rows.unstack().dropna().idxmax(axis=1) == label).to_numpy(dtype=float)  # noqa: PD010
        return self._against(np.column_stack([leads, np.ones(len(leads))]), claimed)

    @cached_property
    def separation(self) -> dict[str, Estimate]:
        """Variance of the shares between genres, by run, as of `criteria.genre_separation`."""
        return criteria.genre_separation(
            self.summary, self.published.films, statistics=self.statistics
        )

    def epsilon2(self, run: str) -> Estimate:
        """Share of the variance between films that lies between genres, 0 by chance."""
        return self.separation[run]

    def rise(self, events: Sequence[Event], series: Series, window_s: float = WINDOW_S) -> Estimate:
        """Test whether a series is higher after events than before, on average over the events.

        The null shifts each series against the clock, as a circle, which keeps its
        autocorrelation; the interval holds the effects that the test would not reject.
        """
        frames, faces = self.published.frames, self.published.predictions
        found, statistics = [], []
        for event in events:
            of_film = frames[frames["film_id"] == event.film_id]
            rows = films.timeline(of_film, faces[faces["group_id"] == event.film_id], labels=FIVE)
            found.append(series(rows, event.labels))
            times_s = of_film["time_s"].to_numpy()
            statistics.append(criteria.rise(times_s, 60.0 * event.minute, window_s))
        return self.statistics.shift_test(found, statistics)

    def _counts(self, run: str, labels: Sequence[str]) -> np.ndarray:
        """Count by film: faces of the labels, all faces."""
        rows = self.summary[self.summary["run_id"] == run]
        n_faces = rows.groupby("film_id")["n_faces"].first().to_numpy(dtype=float)
        return np.column_stack([self.shares(run, labels).fillna(0).to_numpy() * n_faces, n_faces])

    def _against(self, counts: np.ndarray, claimed: float) -> Estimate:
        """Estimate a share and test it against a claimed one, by flipping films about the claim."""
        totals = counts[:, 1]
        as_claimed = np.column_stack([claimed * totals, totals])
        gap = self.statistics.difference(counts, as_claimed, _ratio)
        low, high = gap.low + claimed, gap.high + claimed
        return replace(gap, value=gap.value + claimed, low=low, high=high)


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


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
        v2 minus v1; NaN if a design is missing.
    """
    from scipy.special import ndtr, ndtri

    absent = {"source", "design", "label", "n_faces", "recall"} - set(runs)
    if absent:
        raise ValueError(f"runs lack the columns {', '.join(sorted(absent))}")
    means, variances, n = [], [], 0
    for design in ("v2", "v1"):
        rows = runs[(runs["source"] == source) & (runs["design"] == design)]
        if rows.empty:
            return Estimate()
        recall, tested = rows["recall"].to_numpy(), np.floor(HELD_OUT * rows["n_faces"].to_numpy())
        # one face right and one wrong are added, so that 0 and 1 have a variance, too
        eased = (recall * tested + 1) / (tested + 2)
        variances.append(float((eased * (1 - eased) / (tested + 2)).sum()) / len(rows) ** 2)
        means.append(float(recall.mean()))
        n += int(tested.sum())
    gain, error = means[0] - means[1], math.sqrt(sum(variances))
    margin = ndtri((1 + statistics.level) / 2) * error
    p_value = 2 * float(ndtr(-abs(gain) / error))
    return Estimate(gain, gain - margin, gain + margin, n, "Agresti & Caffo 2000", p_value)


def smallest_gain(runs: pd.DataFrame, *, statistics: Statistics) -> Estimate:
    """Take the source that gains least: several keywords are better on both only if it gains.

    Interval and p-value allow for the choice among the sources (Bonferroni); NaN if a source lacks
    a design.
    """
    sources = list(runs["source"].unique())
    level = 1 - (1 - statistics.level) / len(sources)
    stricter = statistics.model_copy(update={"level": level})
    gains = [recall_gain(runs, source, statistics=stricter) for source in sources]
    if any(math.isnan(gain.value) for gain in gains):
        return Estimate()
    least = min(gains, key=lambda gain: gain.value)
    return replace(least, p_value=min(1.0, len(sources) * least.p_value))


def benchmark_and_film(metrics: pd.DataFrame | None, *, statistics: Statistics) -> Estimate:
    """Compare what a network of this project scores on a benchmark and on film stills.

    Films without true labels cannot say what a benchmark promises for film; labelled stills can.

    Parameters
    ----------
    metrics
        Table "metrics" of the study of real faces; NaN without it, or without its stills.
    """
    if metrics is None:
        return Estimate()
    of_run = metrics[(metrics["run_id"] == OWN_RUN) & (metrics["split"] == "test")]
    scores = of_run[of_run["metric"] == "balanced_accuracy"].set_index("set_name")
    if not {BENCHMARK, FILM_STILLS} <= set(scores.index):
        return Estimate()
    sides = (
        Estimate(row["value"], row["low"], row["high"], int(row["n_groups"]))
        for _, row in scores.loc[[BENCHMARK, FILM_STILLS]].iterrows()
    )
    return independent_estimate(*sides, statistics=statistics)


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
    """Try the published claims, and their parts, as `data/claims.yml` words them.

    Claims 3 and 4: the expression of most faces of a film is the one that dominates it. Minute 75
    of Finding Nemo (c5d) was chosen after seeing the series, so its p-value promises too much.

    Parameters
    ----------
    runs
        The published searches, as for `recall_gain`.
    metrics
        Table "metrics" of the study of real faces, if it was run.
    statistics
        How intervals and p-values are made; no test depends on the others.
    """
    m = Measures(published, statistics)
    happy, negative = m.shares("ExE", ["happy"]), m.shares("ExE", NEGATIVE)
    exe, rafdb = probability("ExE"), probability("RAFDB")
    of_faces, of_confident = counted("ExE"), counted("ExE", confident_only=True)
    found = {
        "c1": m.genre_gap(happy - negative),
        "c1a": m.genre_gap(happy),
        "c1b": m.genre_gap(negative),
        "c1c": m.share("RAFDB", COLLAPSED, claimed=0.5),
        "c1d": m.more_than("RAFDB", "ExE", COLLAPSED),
        "c1e": m.genre_gap(m.shares("RAFDB", COLLAPSED)),
        "c1f": m.genre_gap(m.shares("RAFDB", ["happy"])),
        "c1g": m.epsilon2("ExE"),
        "c1h": m.epsilon2("RAFDB"),
        "c2": m.share("FER", ["angry"], claimed=0.98),
        "c2a": m.most_of_frames("FER", ["angry"], claimed=0.98),
        "c2b": m.confident.share("FER", ["angry"], claimed=0.98),
        "c3": m.films_led_by("RAFDB", "surprise"),
        "c3a": m.films_led_by("RAFDB", "surprise", by="mean_prob"),
        "c3b": m.confident.films_led_by("RAFDB", "surprise"),
        "c4": m.films_led_by("ExE", "sad"),
        "c4a": m.films_led_by("ExE", "sad", by="mean_prob"),
        "c4b": m.confident.films_led_by("ExE", "sad"),
        "c4c": m.films_led_by("ExE", "sad", claimed=0.6),
        "c4d": m.more_than("ExE", "RAFDB", ["sad"]),
        "c5": m.rise([REUNION, END], exe),
        "c5a": m.rise([REUNION], exe),
        "c5b": m.rise([REUNION], of_faces, math.inf),
        "c5c": m.rise([REUNION], of_confident, math.inf),
        "c5d": m.rise([REUNION._replace(minute=75)], of_faces, math.inf),
        "c5e": m.rise([REUNION._replace(minute=14, labels=NEGATIVE)], exe),
        "c5f": m.rise([END], exe),
        "c5g": m.rise([END], of_faces, math.inf),
        "c5h": m.rise([END], of_confident, math.inf),
        "c5i": m.rise([REUNION], minus(exe, rafdb)),
        "c5j": m.rise([END], minus(exe, rafdb)),
        "c5k": m.rise([REUNION, END], rafdb),
        "c6": smallest_gain(runs, statistics=statistics),
        "c6a": recall_gain(runs, "pexels", statistics=statistics),
        "c6b": recall_gain(runs, "pixabay", statistics=statistics),
        "c7": benchmark_and_film(metrics, statistics=statistics),
    }
    genres = published.films["genre"].value_counts()
    counts = {"comedies": genres[COMEDY], "crime_films": genres[CRIME], "persons": found["c7"].n}
    wordings = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    findings = [
        _finding(claim_id, wording, found.get(claim_id, Estimate()), counts)
        for claim_id, wording in wordings.items()
    ]
    claims = [finding for finding in findings if finding.claim_id[-1].isdigit()]
    parts = [finding for finding in findings if not finding.claim_id[-1].isdigit()]
    return Answers(
        *(judge(family, source="published", statistics=statistics) for family in (claims, parts))
    )


def _finding(
    claim_id: str, wording: dict[str, Any], found: Estimate, counts: dict[str, int]
) -> Finding:
    untested = wording.pop("untested", {})
    about = wording | (untested if math.isnan(float(found.value)) else {})
    reason = about.pop("reason", "").format(**counts) or None
    return Finding(claim_id, **about, found=found, reason=reason)


def observe_films(published: Published, *, statistics: Statistics) -> pd.DataFrame:
    """List what the published files are, beside what one would expect: looked_at, expected, found.

    `statistics` is of the genres: how much variance lies between them by chance.
    """
    files, frames, rows = published.files, published.frames, published.predictions
    title, genres = published.films.set_index("film_id")["title"], published.films["genre"]
    n_faces, by_film = frames["n_faces"].sum(), frames.groupby("film_id")
    last, seen = by_film["time_s"].last() / 60, by_film["n_faces"].agg(["sum", "size"])
    covered = seen["sum"] / seen["size"]
    shortest, sparsest = last.idxmin(), covered.idxmin()
    confident = (rows["confidence"] >= CONFIDENT).groupby(rows["run_id"]).mean()
    shares = pd.crosstab(rows["run_id"], rows["predicted"], normalize="index")
    shares = shares.reindex(columns=FIVE, fill_value=0.0)
    angry = (rows["predicted"] == "angry")[rows["run_id"] == "FER"].groupby(rows["group_id"]).mean()
    # R2, of epsilon squared: 1 - R2 is 1 - epsilon squared by its degrees of freedom
    between = Measures(published, statistics).separation
    free = {run: (found.n - genres.nunique()) / (found.n - 1) for run, found in between.items()}
    r2 = {run: 1 - (1 - found.value) * free[run] for run, found in between.items()}
    by_chance = np.mean([1 - (1 - found.null.mean()) * free[run] for run, found in between.items()])
    in_order = {run: shares.loc[run].sort_values(ascending=False) for run in RUNS}
    observations = [
        *(
            (f"models that made a row of {RUNS[run]}, by its column n_models", f"{MEMBERS}", f"{n}")
            for run, n in files["n_models"].dropna().astype(int).items()
        ),
        (
            "rows that stand twice",
            "0",
            _listed({r: f"{row.n_doubled:,} of {row.n_rows:,}" for r, row in files.iterrows()}),
        ),
        (
            f"every {EVERY}th frame up to a film's last face",
            f"a row each: {len(frames):,}",
            f"{n_faces:,} rows ({n_faces / len(frames):.0%}): frames without a face have none",
        ),
        ("films", "about 60", f"{len(published.films)}"),
        (
            "films of the two genres that are compared",
            "",
            f"{(genres == COMEDY).sum()} comedies, {(genres == CRIME).sum()} crime films",
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
        (
            f"faces of confidence {CONFIDENT} or more, which the timelines count",
            "the same faces for each model",
            _listed({run: f"{confident[run]:.0%}" for run in RUNS}),
        ),
        *(
            (
                f"answers of {RUNS[run]}",
                "",
                ", ".join(f"{label} {share:.0%}" for label, share in in_order[run].items()),
            )
            for run in RUNS
        ),
        (
            "the film with the largest share of angry faces by FER2013",
            "98 %",
            f"{angry.max():.0%}, {title[angry.idxmax()]}",
        ),
        (
            "share of the variance between films that lies between genres (R2)",
            f"{by_chance:.2f} by chance",
            _listed({run: f"{r2[run]:.2f}" for run in RUNS}),
        ),
    ]
    return pd.DataFrame(observations, columns=["looked_at", "expected", "found"])


def _listed(by_run: dict[str, str]) -> str:
    return ", ".join(f"{RUNS[run]} {text}" for run, text in by_run.items())


def freeze_claims(folder: Path, to: Path = FROZEN) -> Answers:
    """Try the published claims and keep the answers with the paper: `exe claims`.

    Level, permutations and seed are those of the study `real`, whose network answers claim 7.

    Parameters
    ----------
    folder
        The published files.
    to
        Gets claims.csv, and in published/ the tables, the values that the prose cites, the figure,
        and where they are from.
    """
    from exe_core import figures
    from exe_core.figures.scores import claims_chart

    os.environ[COMMAND] = "exe claims DATA/published"
    study, target = load_study("real"), to / "published"
    published = read_published(folder)
    answers = published_claims(
        published,
        runs=pd.read_csv(SEARCHES),
        metrics=tables.read(METRICS, name="metrics") if METRICS.exists() else None,
        statistics=study.statistics,
    )
    kept = {
        target / "claims.csv": answers.claims,
        to / "claims.csv": answers.claims,
        target / "claims_parts.csv": answers.parts,
        target / "observations.csv": observe_films(published, statistics=study.statistics),
    }
    target.mkdir(parents=True, exist_ok=True)
    for path, table in kept.items():
        with replacing(path) as partial:
            table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    own = [METRICS] if METRICS.exists() else []
    inputs = [*(folder / name for name in FILES), SEARCHES, CATALOGUE, *own]
    for path in (target / "provenance.json", to / "claims.provenance.json"):
        write_json(provenance(study, inputs=inputs), path)
    of_parts = as_values(answers.parts)
    parts = {key: value for key, value in of_parts.items() if not key.startswith("n.")}
    n = {"n.parts": len(answers.parts), "n.films": len(published.films)}
    write_values(study, "claims", values=as_values(answers.claims) | parts | n, folder=target)
    figures.save(
        claims_chart(answers.claims),
        "fig-claims",
        study=study,
        alt="The eight published claims by verdict: each estimate with its interval, on the shaded "
        "range in which it would lie if the claim held.",
        inputs=inputs,
        folder=target / "figures",
    )
    return answers
