"""What the published files reveal about themselves: looked at, expected, found.

None of these is a test. They say what the answers to the claims rest on, and a reader of the
published study would want to know them.
"""

from __future__ import annotations

import pandas as pd

from exe_core import films as film_measures
from exe_core import schema
from exe_core.findings.published import EVERY, NAMES, RUNS, Published
from exe_core.findings.published_measures import COMEDY, CONFIDENT, CRIME
from exe_core.settings import Statistics

MEMBERS = 4
"""The published ensemble is described as the mean of so many models."""


def observe(published: Published, *, statistics: Statistics, seed: int) -> pd.DataFrame:
    """List what the published files are, beside what one would expect.

    Parameters
    ----------
    published
        As given by `published.read_published`.
    statistics, seed
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
        *_genres(published, statistics, seed),
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


def _genres(published: Published, statistics: Statistics, seed: int) -> list[tuple[str, str, str]]:
    summary = film_measures.summarise(published.frames, published.predictions, labels=schema.FIVE)
    found = film_measures.genre_separation(
        summary,
        published.films,
        statistics=statistics,
        seed=seed,
    ).set_index("run_id")
    return [
        (
            "share of the variance between films that lies between genres (R2)",
            f"{found['null_mean'].mean():.2f} by chance",
            ", ".join(f"{NAMES[run]} {found.loc[run, 'r2']:.2f}" for run in RUNS),
        )
    ]
