"""The published predictions of 59 films, and what the tests of the published claims are made of.

The files hold a row a frame with a face; the frames between are put back, so that shares have
their denominator and series their gaps. What is claimed, and how each claim is read, stands in
`data/claims.yml`; notebook 07-published estimates each under its name there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from exe_core import criteria, films, tables
from exe_core.claims import Finding, independent_estimate, judge, verdict
from exe_core.labels import FIVE, labels_of, prob_columns
from exe_core.record import ROOT
from exe_core.resampling import Estimate, Statistics, ratio

RUNS = {"ExE": "ExE", "FER": "FER2013", "RAFDB": "RAF-DB"}  # and their names in print
FILES = (*(f"{run}.parquet" for run in RUNS), "movie_list.json")
EVERY = 100  # frames between two that were looked at

CATALOGUE = ROOT / "data" / "claims.yml"
FOLDER = ROOT / "data" / "published"  # as the study published it, with its licence
SEARCHES = FOLDER / "runs.csv"  # published recalls, as for `recall_gain`
METRICS = ROOT / "data" / "frozen" / "real" / "metrics.parquet"  # of our network: claim 7
COMEDY, CRIME = "Comedy", "Crime"
NEGATIVE, COLLAPSED = ("angry", "fear", "sad"), ("surprise", "sad")

CONFIDENT = 0.5  # the published timelines count faces of this confidence or more
WINDOW_S = 600.0  # before and after an event: some twenty faces or more
OPEN_CHOICES: dict[str, Any] = {
    "confidence": (0.0, CONFIDENT, 0.7),  # faces below it do not count
    "measure": {"share of faces": "share_of_faces", "mean probability": "mean_prob"},
    "films": ("all", "without Animation"),
    "window_min": (5, 10, 20),  # before and after an event
}
LEVELS = (0.9, 0.95, 0.99)  # of the intervals that the book offers for a rule of one's own
NEEDED = "genres need two comedies and two crime films, events the two films that have them"
HELD_OUT = 0.2  # the published split of the searches' photos: every fifth face is tested


class PublishedError(ValueError):
    """The published files are not as they must be."""


@dataclass(frozen=True)
class Published:
    """The published predictions in this project's tables."""

    predictions: pd.DataFrame  # table "predictions" of `RUNS`, with time_s and confidence
    frames: pd.DataFrame  # every 100th up to the last with a face; time between interpolated
    films: pd.DataFrame

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Table "film_summary" of all runs."""
        labels = labels_of(self.predictions)
        return films.summarise(self.frames, self.predictions, labels=labels)


def read_published(folder: Path) -> Published:
    """Read the published files.

    The folder holds ExE.parquet, FER.parquet, RAFDB.parquet and movie_list.json.

    Raises
    ------
    PublishedError
        If a file or column is missing, the runs are of different frames, the emotion given is not
        the most probable, or the list is of other films.
    SchemaError
        If a run has two different rows of one frame, or probabilities do not sum to 1.
    """
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise PublishedError(
            f"no {', '.join(missing)} in {folder}: see data/README.md for the source"
        )
    runs = {run: _read_predictions(folder / f"{run}.parquet", run) for run in RUNS}
    items = set(runs["ExE"]["item_id"])
    if differ := [run for run, rows in runs.items() if set(rows["item_id"]) != items]:
        raise PublishedError(f"{', '.join(differ)} and ExE are not of the same frames")
    frames = _all_frames(runs["ExE"])
    predictions = tables.check(pd.concat(runs.values(), ignore_index=True), "predictions")
    return Published(predictions, frames, _read_films(folder / "movie_list.json", frames))


def read_film_predictions(path: Path) -> Published:
    """Read predictions for any films, so that they can be tested as the published ones are.

    `path` is a CSV or parquet file, or a folder below which `exe film` left predictions.csv. Of
    each run and sampled frame there is a row: run_id, film_id, frame, time_s, and prob_<label> of
    each label, all empty where the frame has no face; and, if known, the genre of the film.

    Raises
    ------
    PublishedError
        If nothing is there, a column is missing, or the runs are not of the same frames.
    SchemaError
        If a row stands twice, or probabilities do not sum to 1.
    """
    paths = sorted(path.rglob("predictions.csv")) if path.is_dir() else [path]
    if not paths or not paths[0].is_file():
        raise PublishedError(f"no predictions at {path}: give a CSV or parquet file, or a folder")
    parts = [pd.read_csv(one) if one.suffix == ".csv" else pd.read_parquet(one) for one in paths]
    rows, keys = pd.concat(parts, ignore_index=True), ["film_id", "frame", "time_s"]
    _require(rows, ["run_id", *keys, *prob_columns(FIVE)], of=path)
    of_frames = rows.groupby(keys)["run_id"].nunique()
    if rows[keys].isna().any(axis=None) or (of_frames != rows["run_id"].nunique()).any():
        raise PublishedError(f"{path}: give each run a row for each film, frame and time_s")
    labels = labels_of(rows)
    rows = rows.astype({"film_id": str}).assign(seen=rows[prob_columns(labels)].notna().any(axis=1))
    predictions = _as_predictions(rows[rows["seen"]], "yours")
    frames = rows.groupby(keys, as_index=False)["seen"].max().rename(columns={"seen": "n_faces"})
    films_of = rows.reindex(columns=["film_id", "genre"]).drop_duplicates()
    genre = films_of["genre"].map(str.capitalize, na_action="ignore")
    listed = films_of.assign(title=films_of["film_id"], genre=genre)
    return Published(predictions, tables.check(frames, "frames"), _with_unknown(listed))


def _require(rows: pd.DataFrame, columns: Iterable[str], *, of: Path) -> None:
    if lacking := {*columns} - {*rows}:
        raise PublishedError(f"{of} has no column {', '.join(sorted(lacking))}")


def _as_predictions(faces: pd.DataFrame, set_name: str) -> pd.DataFrame:
    """Make table "predictions" of run_id, film_id, frame, time_s and probabilities."""
    labels = labels_of(faces)
    shown = faces[prob_columns(labels)].to_numpy(dtype=float)
    about = {"set_name": set_name, "split": "test", "group_id": faces["film_id"], "label": None}
    about |= {"item_id": list(map(tables.item_id, faces["film_id"], faces["frame"]))}
    about |= {"confidence": shown.max(axis=1, initial=0)}
    return tables.with_probabilities(faces.assign(**about), shown, labels=labels)


def _read_predictions(path: Path, run: str) -> pd.DataFrame:
    """Read a file as table "predictions", rows that stand twice once."""
    rows = pd.read_parquet(path).drop_duplicates(ignore_index=True).assign(run_id=run)
    names = {"movie": "film_id", "frame_idx": "frame", "timestamp_sec": "time_s"}
    _require(rows, ["emotion", *names, *prob_columns(FIVE)], of=path)
    found = _as_predictions(rows.rename(columns=names), "published")
    if (found.pop("emotion") != found["predicted"]).any():
        raise PublishedError(f"{path.name}: an emotion given is not the most probable one")
    return found


def _all_frames(rows: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for film_id, faces in rows.sort_values("frame").groupby("group_id"):
        frame = np.arange(0, faces["frame"].max() + 1, EVERY)
        # before the first face: at the mean rate
        time_s = np.interp(frame, [0, *faces["frame"]], [0, *faces["time_s"]])
        seen = np.isin(frame, faces["frame"]).astype(int)
        parts.append(
            pd.DataFrame({"film_id": film_id, "frame": frame, "time_s": time_s, "n_faces": seen})
        )
    return tables.check(pd.concat(parts, ignore_index=True), "frames")


def _read_films(path: Path, frames: pd.DataFrame) -> pd.DataFrame:
    listed = pd.DataFrame(json.loads(path.read_text(encoding="utf-8")))
    _require(listed, ["file_name", "title", "category"], of=path)
    if unlisted := set(frames["film_id"]) ^ set(listed["file_name"]):
        raise PublishedError(f"{path.name} and the predictions differ in {sorted(unlisted)[:5]}")
    table = listed.rename(columns={"file_name": "film_id", "category": "genre"})
    last = frames.groupby("film_id").last()
    fps = table["film_id"].map(last["frame"] / last["time_s"])
    return _with_unknown(table.assign(fps=fps))


def _with_unknown(films_of: pd.DataFrame) -> pd.DataFrame:
    """Complete a table "films" by what no list of films says."""
    unknown = {"path": None, "duration_s": np.nan, "n_frames": None, "status": "ok", "error": None}
    return tables.check(films_of.assign(**{"fps": np.nan, **unknown, **films_of}), "films")


class Event(NamedTuple):
    """A moment of a film at which the share of some expressions is claimed to rise."""

    film_id: str
    minute: float
    labels: tuple[str, ...] = ("happy",)


REUNION, END = Event("finding_nemo", 84), Event("hitchhikersguidetothegalaxy", 92)


@dataclass(frozen=True)
class Measures:
    """Estimates and tests on the published predictions, all made in one way."""

    published: Published
    statistics: Statistics
    by: str = "share_of_faces"  # or "mean_prob": what counts as the share of a label in a film

    def counting(self, confidence: float = CONFIDENT, without: str = "") -> Measures:
        """Measure the faces of such confidence only, in all films or without those of a genre."""
        kept, rows = self.published.films.query("genre != @without"), self.published.predictions
        rows = rows[(rows["confidence"] >= confidence) & rows["group_id"].isin(kept["film_id"])]
        frames = self.published.frames.query("film_id in @kept.film_id")
        return replace(self, published=Published(rows, frames, kept))

    @cached_property
    def separation(self) -> dict[str, Estimate]:
        """Run -> share of the variance between films that lies between genres, 0 by chance."""
        summary, films_of = self.published.summary, self.published.films
        return criteria.genre_separation(summary, films_of, statistics=self.statistics)

    def table(self, run: str) -> pd.DataFrame:
        """Give the share of each label in each film, a row a film; NaN where it has no face."""
        rows = self.published.summary[self.published.summary["run_id"] == run]
        return rows.set_index(["film_id", "label"])[self.by].unstack()  # noqa: PD010

    def shares(self, run: str, labels: Sequence[str]) -> pd.Series:
        """Give the share of each film's faces that a run predicts as one of the labels."""
        return self.table(run)[list(labels)].sum(axis=1, skipna=False)

    def genre_gap(self, shares: pd.Series) -> Estimate:
        """Compare comedies with crime films, each film counting the same; p by shuffled genres."""
        genre = self.published.films.set_index("film_id")["genre"].loc[shares.index]
        chosen = genre.isin([COMEDY, CRIME])
        is_comedy = (genre[chosen] == COMEDY).to_numpy()
        if min(is_comedy.sum(), (~is_comedy).sum()) < 2:
            return Estimate()
        return self.statistics.group_difference(shares[chosen].to_numpy(), is_comedy)

    def share(
        self, run: str, labels: Sequence[str], *, claimed: float, faceless: bool = False
    ) -> Estimate:
        """Estimate the share of all faces that are of the labels; p is against `claimed`.

        With `faceless` of all sampled frames, as if each without a face were of the labels.
        """
        counts = self._counts(run, labels)
        if faceless:
            n_frames = self.published.frames.groupby("film_id").size().to_numpy()
            counts = counts + (n_frames - counts[:, 1])[:, None]
        return self._against(counts, claimed)

    def more_than(self, run: str, other: str, labels: Sequence[str]) -> Estimate:
        """Compare the shares of two runs on the same faces; p by swapping them in random films."""
        first, second = (self._counts(name, labels) for name in (run, other))
        return self.statistics.difference(first, second, ratio)

    def films_led_by(self, run: str, label: str, *, claimed: float = 0.5) -> Estimate:
        """Estimate the share of films in which a label is first; p is against `claimed`."""
        leads = (self.table(run).dropna().idxmax(axis=1) == label).to_numpy(dtype=float)
        return self._against(np.column_stack([leads, np.ones(len(leads))]), claimed)

    def rise(
        self,
        events: Sequence[Event],
        run: str = "ExE",
        *,
        minus: str | None = None,
        counted: float | None = None,
        window_s: float = WINDOW_S,
    ) -> Estimate:
        """Test whether the timeline of a run is higher after events than before, on average.

        The null shifts each series against the clock, as a circle, which keeps its
        autocorrelation; the interval holds the effects that the test would not reject. All is NaN
        where the film of an event is absent.

        Parameters
        ----------
        minus
            A run whose timeline is subtracted.
        counted
            By default the probability of the labels. Else the share of faces that are of them with
            this confidence or more, as the published timelines count.
        window_s
            Length (s) of the windows before and after an event.
        """
        frames, faces = self.published.frames, self.published.predictions
        if {event.film_id for event in events} - {*frames["film_id"]}:
            return Estimate()
        timelines, statistics = [], []
        for event in events:
            of_film = frames[frames["film_id"] == event.film_id]
            own = faces[faces["group_id"] == event.film_id]
            rows = films.timeline(of_film, own, labels=labels_of(own))
            series = _series(rows[rows["run_id"] == run], event.labels, counted)
            if minus:
                series = series - _series(rows[rows["run_id"] == minus], event.labels, counted)
            timelines.append(series)
            times_s = of_film["time_s"].to_numpy()
            statistics.append(criteria.rise(times_s, 60.0 * event.minute, window_s))
        return self.statistics.shift_test(timelines, statistics)

    def _counts(self, run: str, labels: Sequence[str]) -> np.ndarray:
        """Count by film: faces of the labels, all faces."""
        rows = self.published.summary[self.published.summary["run_id"] == run]
        n_faces = rows.groupby("film_id")["n_faces"].first().to_numpy(dtype=float)
        return np.column_stack([self.shares(run, labels).fillna(0) * n_faces, n_faces])

    def _against(self, counts: np.ndarray, claimed: float) -> Estimate:
        """Estimate a share and test it against a claimed one, by flipping films about the claim."""
        as_claimed = counts[:, 1:] * [claimed, 1]
        gap = self.statistics.difference(counts, as_claimed, ratio)
        low, high = gap.low + claimed, gap.high + claimed
        return replace(gap, value=gap.value + claimed, low=low, high=high)


def _series(rows: pd.DataFrame, labels: Sequence[str], counted: float | None) -> np.ndarray:
    """Take a run's number for each sampled frame of a film; NaN where there is none."""
    if counted is None:
        return rows[prob_columns(labels)].sum(axis=1, skipna=False).to_numpy(dtype=float)
    most = rows[prob_columns(labels_of(rows))].max(axis=1)
    is_it = rows["predicted"].isin(labels) & (most >= counted)
    return is_it.astype(float).where(most.notna()).to_numpy()


def recall_gain(runs: pd.DataFrame, source: str, *, statistics: Statistics) -> Estimate:
    """Compare the mean recall of several keywords (v2) with that of one (v1) on a site.

    Each face counts as independent, which those of one photo are not: the interval is at its
    narrowest. The normal law stands for the binomial of each recall, with one face right and one
    wrong added, so that 0 and 1 have a variance, too (Agresti & Caffo 2000).

    `runs` holds source ("pexels", "pixabay"), design ("v1", "v2"), label, n_faces (of a label,
    before the split) and recall.
    """
    from scipy.special import ndtr, ndtri

    rows = runs[runs["source"] == source]
    tested = np.floor(HELD_OUT * rows["n_faces"])
    eased = (rows["recall"] * tested + 1) / (tested + 2)
    rows = rows.assign(variance=eased * (1 - eased) / (tested + 2))
    by_design = rows.groupby("design")[["recall", "variance"]]
    means, errors = by_design.mean(), by_design.sum().div(by_design.size() ** 2, axis=0)
    gain, error = means["recall"].diff().iloc[-1], math.sqrt(errors["variance"].sum())
    margin = ndtri((1 + statistics.level) / 2) * error
    p_value = 2 * float(ndtr(-abs(gain) / error))
    n, method = int(tested.sum()), "Agresti & Caffo 2000"
    return Estimate(gain, gain - margin, gain + margin, n, method, p_value)


def smallest_gain(runs: pd.DataFrame, *, statistics: Statistics) -> Estimate:
    """Take the source that gains least: several keywords are better on both only if it gains.

    Interval and p-value allow for the choice among the sources (Bonferroni).
    """
    sources = list(runs["source"].unique())
    level = 1 - (1 - statistics.level) / len(sources)
    stricter = statistics.model_copy(update={"level": level})
    gains = [recall_gain(runs, source, statistics=stricter) for source in sources]
    least = min(gains, key=lambda gain: gain.value)
    return replace(least, p_value=min(1.0, len(sources) * least.p_value))


def benchmark_and_film(metrics: pd.DataFrame, *, statistics: Statistics) -> Estimate:
    """Compare what a network of this project scores on a benchmark and on labelled film stills.

    `metrics` is the table "metrics" of the study `real`, whose level the interval keeps; NaN where
    it has no stills.
    """
    scores = metrics.query(
        "run_id == 'fer2013' and split == 'test' and metric == 'balanced_accuracy'"
    ).set_index("set_name")
    sets = ["fer2013 without duplicates", "film_faces"]
    if not set(sets) <= set(scores.index):
        return Estimate()
    sides = (
        Estimate(row["value"], row["low"], row["high"], int(row["n_groups"]))
        for _, row in scores.loc[sets].iterrows()
    )
    of_metrics = statistics.model_copy(update={"level": float(scores["level"].iloc[0])})
    return independent_estimate(*sides, statistics=of_metrics)


def of_one_run(m: Measures, run: str) -> dict[str, Estimate]:
    """Try the claims and parts that are of one run alone: of ExE, in the published text."""
    happy, negative = m.shares(run, ["happy"]), m.shares(run, NEGATIVE)
    return {
        "c1": m.genre_gap(happy - negative),
        "c1a": m.genre_gap(happy),
        "c1b": m.genre_gap(negative),
        "c1g": m.separation.get(run, Estimate()),
        "c4": m.films_led_by(run, "sad"),
        "c4a": replace(m, by="mean_prob").films_led_by(run, "sad"),
        "c4b": m.counting().films_led_by(run, "sad"),
        "c5": m.rise([REUNION, END], run),
    }


def claims_of_runs(given: Published, *, statistics: Statistics) -> pd.DataFrame:
    """Try on each run of other predictions what the published study claims of its ensemble.

    Gives table "claims", whose rows are one family of tests.
    """
    m, findings = Measures(given, statistics), []
    catalogue = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    for run in dict.fromkeys(given.predictions["run_id"]):
        for name, estimate in of_one_run(m, run).items():
            what = catalogue[name]["statistic"].replace("ExE", run)
            reason = NEEDED if math.isnan(estimate.low) else None
            more = {"text": what, "statistic": what, "reason": reason}
            findings.append(_finding(f"{name}-{run}", catalogue[name], estimate, **more))
    return judge(findings, source="predictions given", statistics=statistics)


def judge_claims(
    found: Mapping[str, Estimate], *, films_of: pd.DataFrame, statistics: Statistics
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Judge the published claims and their parts (c1, c1a, ...), as `data/claims.yml` words them.

    Takes estimates by these names, and the table "films" that they are of. Gives tables "claims" of
    the claims and of the parts; each is a family of tests.
    """
    genres = films_of["genre"].value_counts()
    counts = {"comedies": genres.get(COMEDY, 0), "crime_films": genres.get(CRIME, 0)}
    findings: dict[bool, list[Finding]] = {True: [], False: []}  # by whether it is a claim
    for claim_id, about in yaml.safe_load(CATALOGUE.read_text(encoding="utf-8")).items():
        estimate, untested = found.get(claim_id, Estimate()), about.pop("untested", {})
        if math.isnan(float(estimate.value)):
            about |= untested
        reason = about.pop("reason", "").format(**counts, persons=estimate.n) or None
        finding = Finding(claim_id, **about, found=estimate, reason=reason)
        findings[claim_id[-1].isdigit()].append(finding)
    claims, parts = (
        judge(family, source="published", statistics=statistics) for family in findings.values()
    )
    return claims, parts


def specifications(published: Published, *, statistics: Statistics) -> pd.DataFrame:
    """Try claims 1 to 5 by every combination of `OPEN_CHOICES`, which their sentences leave open.

    Gives a row a claim, combination and level, of `statistics` or `LEVELS`: claim_id, the choices
    (null where a claim has none), value, low, high, p_value, reference, tolerance, level, the
    verdict without correction for their number, and whether it is `planned`: the combination and
    level that give the verdict of the claim.
    """
    catalogue = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    confidences, measures, selections, windows_min = OPEN_CHOICES.values()
    whole, rows = Measures(published, statistics), []
    kept = {
        (confidence, chosen): whole.counting(confidence, chosen.removeprefix("without ")).published
        for confidence, chosen in product(confidences, selections)
    }
    for level, confidence, measure, chosen in product(
        sorted({*LEVELS, statistics.level}), confidences, measures, selections
    ):
        at = statistics.model_copy(update={"level": level})
        m = Measures(kept[confidence, chosen], at, measures[measure])
        found: dict[tuple[str, int | None], Estimate] = {
            ("c2", None): m.share("FER", ["angry"], claimed=0.98),
            ("c3", None): m.films_led_by("RAFDB", "surprise"),
            ("c4", None): m.films_led_by("ExE", "sad"),
        }
        if chosen == "all":
            found["c1", None] = m.genre_gap(m.shares("ExE", ["happy"]) - m.shares("ExE", NEGATIVE))
            for minutes in windows_min:
                counted = 0.0 if measure == "share of faces" else None
                rise = m.rise([REUNION, END], counted=counted, window_s=60.0 * minutes)
                found["c5", minutes] = rise
        for (name, minutes), estimate in found.items():
            finding = _finding(name, catalogue[name], estimate)
            about = {"claim_id": name, "confidence": confidence, "measure": measure}
            about["films"] = None if name in ("c1", "c5") else chosen
            usual = "mean probability" if name == "c5" else "share of faces"
            is_planned = (level, confidence, measure) == (statistics.level, 0.0, usual)
            is_planned &= chosen == "all" and minutes in (None, WINDOW_S / 60)
            about |= {"window_min": minutes, **estimate.columns(), "p_value": estimate.p_value}
            about |= {"reference": finding.reference, "tolerance": finding.tolerance}
            about |= {"level": level, "planned": is_planned}
            about["verdict"] = verdict(finding, float(estimate.p_value), statistics=at)
            rows.append(about)
    return pd.DataFrame(rows).sort_values(["level", "claim_id", "value"], ignore_index=True)


def _finding(claim_id: str, about: dict[str, Any], found: Estimate, **more: Any) -> Finding:
    """Join an estimate to what `data/claims.yml` says of it."""
    rule = {key: about[key] for key in ("claimed", "reference", "tolerance") if key in about}
    what: dict[str, Any] = {"text": about["text"], "statistic": about["statistic"], **more}
    return Finding(claim_id, found=found, **rule, **what)
