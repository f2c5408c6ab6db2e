"""The eight claims of the published study: one test each, one verdict, Holm over the eight.

Each sentence is put to the test that its main verb asks for, on what was published where that can
decide, else on this project's own runs. What else a claim says is tried in `published_parts`, as
a family of tests of its own: a part never changes the verdict of its claim.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd

from exe_core.claims import Estimate, Finding, independent_estimate, judge
from exe_core.findings import published_parts
from exe_core.findings.published import NAMES, Published
from exe_core.findings.published_measures import (
    COMEDY,
    CRIME,
    NEGATIVE,
    WINDOW_S,
    Event,
    Measures,
    probability,
)
from exe_core.findings.published_runs import SOURCE as RUNS_SOURCE
from exe_core.findings.published_runs import smallest_gain
from exe_core.settings import Statistics

REUNION = Event("finding_nemo", 84)
END = Event("hitchhikersguidetothegalaxy", 92)

OWN_RUN, BENCHMARK, FILM_STILLS = "fer2013", "fer2013 without duplicates", "film_faces"
"""The network of the study `real`, and its sets that stand for a benchmark and for film."""

SOURCE = "published"
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
    seed: int,
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
        Level, bootstrap samples and permutations.
    seed
        Of each test; none depends on the others.
    """
    measures = Measures(published, statistics, seed)
    level = statistics.level
    findings = [
        genres(measures),
        always_angry(measures),
        led_by(measures, "c3", "RAFDB", "surprise", "roughly half of the films"),
        led_by(measures, "c4", "ExE", "sad", "about half of the films"),
        plot_events(measures),
        keywords(runs, level=level),
        benchmark_and_film(metrics, level=level),
        Finding(
            "c8",
            "The whole pipeline runs in 2-3 hours on one GPU.",
            "hours of the whole pipeline",
            source="none",
            reason="nothing that was published holds a time, and the full design has not been run "
            "on a GPU here",
        ),
    ]
    parts = published_parts.parts(measures, runs=runs)
    return Answers(
        judge(findings, source=SOURCE, level=level), judge(parts, source=SOURCE, level=level)
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
        tolerance=published_parts.ABOUT,
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


def keywords(runs: pd.DataFrame, *, level: float) -> Finding:
    """Claim 6: better on both sources means better on the one that gains least."""
    return Finding(
        "c6",
        "Searching by several keywords beats searching by one, on both sources.",
        "mean recall, several keywords minus one, of the source that gains least",
        found=smallest_gain(runs, level=level),
        source=RUNS_SOURCE,
        reason="each network was tested on held-out faces of its own search, so the faces differ, "
        "too; their numbers are those of a fifth of each search",
    )


def benchmark_and_film(metrics: pd.DataFrame | None, *, level: float) -> Finding:
    """Claim 7, its first half: what a benchmark promises is not what film gives.

    Films without true labels cannot say; a network of this project and labelled stills can. The
    second half, on what matters more, needs both kinds of training and is a part.
    """
    found, n_groups = Estimate(), 0
    if metrics is not None:
        rows = metrics[(metrics["metric"] == "balanced_accuracy") & (metrics["split"] == "test")]
        scores = rows[rows["run_id"] == OWN_RUN].set_index("set_name")
        if {BENCHMARK, FILM_STILLS} <= set(scores.index):
            own, film = (
                scores.loc[name, ["value", "low", "high", "n_groups"]].astype(float)
                for name in (BENCHMARK, FILM_STILLS)
            )
            n_groups = int(min(own["n_groups"], film["n_groups"]))
            found = independent_estimate(
                Estimate(*own[:3]), Estimate(*film[:3]), level=level, n_groups=n_groups
            )
    return Finding(
        "c7",
        "Benchmark accuracy is not ecological validity; domain match matters more than label "
        "quality.",
        "balanced accuracy, FER2013 minus film stills",
        found=found,
        source=OWN_SOURCE if n_groups else "none",
        reason=f"of its first half, by one network; the stills show {n_groups} persons, and who "
        "labelled them is not known well; of the second half, see the parts"
        if not math.isnan(found.value)
        else "the published films have no true labels, and no own network was tried on stills",
    )
