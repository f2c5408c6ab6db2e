"""The eight published claims, tried on the published predictions where these can decide.

One family of tests, Holm-adjusted; a claim of several statements has a row for each (c1a, c1b ...).
Where the words of a claim leave it open what to compute, each way is a row.
"""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import pandas as pd

from exe_core import films as film_measures
from exe_core import resampling, schema
from exe_core.claims import Estimate, Finding, judge, paired_estimate
from exe_core.findings.published import Published
from exe_core.footage import timelines
from exe_core.settings import Statistics

GENRES = ("Comedy", "Crime")
NEGATIVE = ("angry", "fear", "sad")
WINDOW_S = 600.0
"""Before and after an event: these films have some twenty faces or more in ten minutes."""

CONFIDENT = 0.5
"""The published timelines count faces of this confidence or more."""

NEMO, HITCHHIKER = "finding_nemo", "hitchhikersguidetothegalaxy"


class Options(TypedDict):
    """How the tests are made."""

    statistics: Statistics
    seed: int


NOT_IN_THE_FILES = (
    Finding(
        "c6",
        "Searching by several keywords beats searching by one, on both sources.",
        "accuracy, several keywords minus one",
        reason="the files hold the ensemble only, not the runs of each search",
    ),
    Finding(
        "c7",
        "Benchmark accuracy is not ecological validity; domain match matters more than labels.",
        "correlation over models of benchmark accuracy with accuracy on film",
        reason="no frame of these films has a true label, so accuracy on film is not known",
    ),
    Finding(
        "c8",
        "The whole pipeline runs in 2-3 hours on one GPU.",
        "hours",
        reason="the files hold no times",
    ),
)


def published_claims(published: Published, *, statistics: Statistics, seed: int) -> pd.DataFrame:
    """Try the published claims on the published predictions.

    Parameters
    ----------
    published
        As given by `published.read_published`.
    statistics
        Level, bootstrap samples and permutations.
    seed
        Of each test; none depends on the others.

    Returns
    -------
    pd.DataFrame
        Table "claims", c1 to c8 in the order of the study that made them.
    """
    options: Options = {"statistics": statistics, "seed": seed}
    summary = film_measures.summarise(published.frames, published.predictions, labels=schema.FIVE)
    findings = [
        *_genres(summary, published.films, options),
        *_always_angry(summary, options),
        *_dominant(summary, options),
        *_plot_events(published, statistics.level, seed),
        *NOT_IN_THE_FILES,
    ]
    return judge(findings, source="published", level=statistics.level)


def _genres(summary: pd.DataFrame, films: pd.DataFrame, options: Options) -> list[Finding]:
    """Claim 1: comedies and crime films differ for ExE; RAF-DB is the same in all."""
    contrasts = film_measures.genre_contrast(
        summary,
        films,
        genres=GENRES,
        labels={"happy": ["happy"], "negative": NEGATIVE},
        seed=options["seed"],
        **options["statistics"].model_dump(),
    ).set_index(["run_id", "contrast"])

    def contrast(run: str, name: str) -> Estimate:
        return Estimate(*contrasts.loc[(run, name), ["difference", "low", "high", "p_value"]])

    collapsed = _counts(summary, ("surprise", "sad"))
    genre_of = films.set_index("film_id")["genre"]
    return [
        Finding(
            "c1a",
            "ExE finds more happy in comedies than in crime films.",
            "ExE, mean share of happy, comedies minus crime films",
            found=contrast("ExE", "happy"),
        ),
        Finding(
            "c1b",
            "ExE finds more negative expressions in crime films than in comedies.",
            "ExE, mean share of angry, fear and sad, comedies minus crime films",
            claimed="below",
            found=contrast("ExE", "negative"),
        ),
        Finding(
            "c1c",
            "RAF-DB collapses into surprise and sad.",
            "share of faces that are surprise or sad, RAF-DB minus ExE",
            found=paired_estimate(collapsed["RAFDB"], collapsed["ExE"], _ratio, **options),
        ),
        Finding(
            "c1d",
            "RAF-DB answers the same whatever the genre: happy in comedies as in crime films.",
            "RAF-DB, mean share of happy, comedies minus crime films",
            claimed="equal",
            found=contrast("RAFDB", "happy"),
        ),
        Finding(
            "c1e",
            "ExE separates genres more than RAF-DB does.",
            "R2 between genres of Hellinger-transformed shares, ExE minus RAF-DB",
            found=paired_estimate(
                _genre_terms(summary, "ExE", genre_of),
                _genre_terms(summary, "RAFDB", genre_of),
                _genre_r2(genre_of.nunique()),
                **options,
            ),
        ),
    ]


def _always_angry(summary: pd.DataFrame, options: Options) -> list[Finding]:
    """Claim 2: FER2013 predicts angry for about 98 % of all frames."""
    claim = 0.98
    angry, n_faces = _counts(summary, ("angry",))["FER"].T
    n_frames = summary[summary["run_id"] == "FER"].groupby("film_id")["n_frames"].first()
    at_most = angry + n_frames.to_numpy() - n_faces
    text = "FER2013 predicts angry for about 98 % of all frames."
    return [
        Finding(
            "c2a",
            text,
            "share of faces that are angry",
            "equal",
            claim,
            0.02,
            found=_against(angry, n_faces, claim, options),
        ),
        Finding(
            "c2b",
            text,
            "the same of all sampled frames, had every faceless one been angry",
            "equal",
            claim,
            0.02,
            found=_against(at_most, n_frames.to_numpy(), claim, options),
        ),
    ]


def _dominant(summary: pd.DataFrame, options: Options) -> list[Finding]:
    """Claims 3 and 4: which expression is the most frequent in how many films."""
    claims = (
        ("c3a", "RAFDB", "surprise", 0.5, "share_of_faces", "in roughly half of the films"),
        ("c3b", "RAFDB", "surprise", 0.5, "mean_prob", "in roughly half of the films"),
        ("c4a", "ExE", "sad", 0.5, "share_of_faces", "in about half of the films"),
        ("c4b", "ExE", "sad", 0.5, "mean_prob", "in about half of the films"),
        ("c4c", "ExE", "sad", 0.6, "share_of_faces", "in 60 % of the films (another text)"),
    )
    findings = []
    for claim_id, run, label, claim, column, extent in claims:
        rows = summary[summary["run_id"] == run]
        first = rows.loc[rows.groupby("film_id")[column].idxmax(), "label"]
        is_top = (first == label).to_numpy(dtype=float)
        by = {"share_of_faces": "by number of faces", "mean_prob": "by mean probability"}[column]
        findings.append(
            Finding(
                claim_id,
                f"{run} makes {label} the dominant expression {extent}.",
                f"share of films whose first expression is {label}, {by}",
                "equal",
                claim,
                0.05,
                found=_against(is_top, np.ones(len(is_top)), claim, options),
            )
        )
    return [
        *findings,
        Finding(
            "c4d",
            "ExE has a sad bias.",
            "share of sad predicted minus share of sad true",
            reason="no frame of these films has a true label",
        ),
    ]


def _plot_events(published: Published, level: float, seed: int) -> list[Finding]:
    """Claim 5: ExE's timelines show plot events, those of RAF-DB do not."""
    reunion = "Finding Nemo: happy rises at the reunion, minute 84."
    lost = "Finding Nemo: negative expressions rise when Nemo is lost, minute 14."
    end = "Hitchhiker's Guide: happy rises at minute 92."
    neither = " ExE shows it, RAF-DB does not."
    claims = (
        ("c5a", reunion, NEMO, 84, ("happy",), "mean"),
        ("c5b", reunion, NEMO, 84, ("happy",), "count"),
        ("c5c", lost, NEMO, 14, NEGATIVE, "mean"),
        ("c5d", end, HITCHHIKER, 92, ("happy",), "mean"),
        ("c5e", end, HITCHHIKER, 92, ("happy",), "count"),
        ("c5f", reunion + neither, NEMO, 84, ("happy",), "ExE minus RAF-DB"),
        ("c5g", end + neither, HITCHHIKER, 92, ("happy",), "ExE minus RAF-DB"),
    )
    window = f"{WINDOW_S / 60:.0f} minutes after minus before"
    ways = {
        "mean": f"ExE, mean probability, {window}",
        "count": f"ExE, share of faces counted (confidence {CONFIDENT} or more), all of the film "
        "after minus before",
        "ExE minus RAF-DB": f"mean probability, ExE minus RAF-DB, {window}",
    }
    return [
        Finding(
            claim_id,
            text,
            ways[way],
            found=_shift(published, film_id, 60.0 * minute, labels, way, level=level, seed=seed),
        )
        for claim_id, text, film_id, minute, labels, way in claims
    ]


def _shift(
    published: Published,
    film_id: str,
    at_s: float,
    labels: tuple[str, ...],
    way: str,
    *,
    level: float,
    seed: int,
) -> Estimate:
    """Test one event of one film against all circular shifts of its frames."""
    frames = published.frames[published.frames["film_id"] == film_id]
    faces = published.predictions[published.predictions["group_id"] == film_id]
    rows = timelines.timeline(frames, faces, labels=schema.FIVE)
    of_run = {
        run: own[schema.prob_columns(labels)].sum(axis=1, skipna=False).to_numpy()
        for run, own in rows.groupby("run_id")
    }
    series = of_run["ExE"]
    if way == "count":
        series = np.where(np.isnan(series), np.nan, series >= CONFIDENT)
    elif way == "ExE minus RAF-DB":
        series = series - of_run["RAFDB"]
    window_s = np.inf if way == "count" else WINDOW_S
    test = resampling.circular_shift_test(
        [series],
        [timelines.rise(frames["time_s"].to_numpy(), at_s, window_s)],
        n=1,
        rng=np.random.default_rng(seed),
    )
    low, high = timelines.null_interval(test, level=level)
    return Estimate(test.value, low, high, test.p_value)


def _counts(summary: pd.DataFrame, labels: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Count for each run, by film: faces of these labels, all faces."""
    chosen = summary[summary["label"].isin(labels)]
    chosen = chosen.assign(count=chosen["share_of_faces"] * chosen["n_faces"])
    by_film = chosen.groupby(["run_id", "film_id"]).agg(
        count=("count", "sum"), n_faces=("n_faces", "first")
    )
    return {run: rows.to_numpy(dtype=float) for run, rows in by_film.groupby("run_id")}


def _ratio(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0] / sums[:, 1]


def _genre_terms(summary: pd.DataFrame, run: str, genre_of: pd.Series) -> np.ndarray:
    """Lay out by film what the R2 adds up: for each genre, its films and their root shares."""
    points = np.sqrt(film_measures.share_table(summary).loc[run])
    member = pd.get_dummies(genre_of.loc[points.index], dtype=float).to_numpy()
    terms = np.column_stack([np.ones(len(points)), points.to_numpy()])
    return (member[:, :, None] * terms[:, None, :]).reshape(len(points), -1)


def _genre_r2(n_genres: int) -> resampling.Statistic:
    def r2(sums: np.ndarray) -> np.ndarray:
        cells = sums.reshape(len(sums), n_genres, -1)
        n, points = cells[..., 0], cells[..., 1:]
        by_genre = (points**2).sum(axis=2) / np.where(n > 0, n, np.inf)
        of_all = (points.sum(axis=1) ** 2).sum(axis=1) / n.sum(axis=1)
        # root shares have length 1, so their squares add up to the number of films
        return (by_genre.sum(axis=1) - of_all) / (n.sum(axis=1) - of_all)

    return r2


def _against(counts: np.ndarray, totals: np.ndarray, claim: float, options: Options) -> Estimate:
    """Estimate a share and test it against a claimed one, by flipping films about the claim."""
    gap = paired_estimate(
        np.column_stack([counts, totals]),
        np.column_stack([claim * totals, totals]),
        _ratio,
        **options,
    )
    return Estimate(gap.value + claim, gap.low + claim, gap.high + claim, gap.p_value)
