"""The tables of films, and of the claims about them."""

from __future__ import annotations

import pandera.pandas as pa

from exe_core.schema.columns import INTERVAL, OPEN, Definitions, emotion, integer, number, text

FILM_TABLES: Definitions = {
    "films": (
        "A film of the study.",
        {
            "film_id": text(),
            "title": text(),
            "genre": text(**OPEN),
            "path": text(**OPEN),
            "duration_s": number(0, **OPEN),
            "fps": number(0, **OPEN),
            "n_frames": integer(**OPEN),
            "status": text(checks=pa.Check.isin(["ok", "partial", "unreadable"])),
            "error": text(**OPEN),
        },
        ["film_id"],
    ),
    "events": (
        "A plot event of a film, and the emotion that should rise after it.",
        {"film_id": text(), "time_s": number(0), "event": text(), "label": emotion()},
        ["film_id", "time_s", "label"],
    ),
    "frames": (
        "A sampled frame; frames without a face have n_faces 0.",
        {"film_id": text(), "frame": integer(), "time_s": number(), "n_faces": integer()},
        ["film_id", "frame"],
    ),
    "film_summary": (
        "A film, run and label: how often, and how probable on average.",
        {
            "film_id": text(),
            "run_id": text(),
            "label": emotion(),
            "n_frames": integer(),
            "n_faces": integer(),
            "share_of_faces": number(0, 1, **OPEN),
            "mean_prob": number(0, 1, **OPEN),
        },
        ["film_id", "run_id", "label"],
    ),
    "selection_shares": (
        "A run and label over the films of a genre, or of no genre named: over all.",
        {
            "run_id": text(),
            "genre": text(**OPEN),
            "label": emotion(),
            "value": number(0, 1, **OPEN),
            **INTERVAL,
            "n_films": integer(),
        },
        ["run_id", "genre", "label"],
    ),
    "selection_differences": (
        "A share of one run and genre less that of another.",
        {
            "run_id": text(),
            "genre": text(**OPEN),
            "other_run_id": text(),
            "other_genre": text(**OPEN),
            "label": emotion(),
            "difference": number(-1, 1, **OPEN),
            **INTERVAL,
            "n_films": integer(),
            "other_n_films": integer(),
        },
        ["run_id", "genre", "other_run_id", "other_genre", "label"],
    ),
    "film_criteria": (
        "What is said to make a model's output plausible, of one run over all films, tested.",
        {
            "run_id": text(),
            "criterion": text(),
            "value": number(**OPEN),
            **INTERVAL,
            "null_mean": number(**OPEN),
            "p_value": number(0, 1, **OPEN),
            "n_films": integer(),
        },
        ["run_id", "criterion"],
    ),
    "agreement": (
        "How far two runs, or all, agree on the same faces.",
        {
            "measure": text(),
            "run_id": text(),
            "other_run_id": text(**OPEN),
            "value": number(high=1, **OPEN),
            **INTERVAL,
            "null_mean": number(**OPEN),
            "p_value": number(0, 1, **OPEN),
            "n": integer(),
            "n_groups": integer(),
        },
        ["measure", "run_id", "other_run_id"],
    ),
    "sampling": (
        "How a run's share of a label over films differs if fewer frames are looked at.",
        {
            "run_id": text(),
            "label": emotion(),
            "every": integer(),
            "than_every": integer(),
            "difference": number(-1, 1, **OPEN),
            **INTERVAL,
            "typical": number(0, 1, **OPEN),
            "same_top": number(0, 1, **OPEN),
            "n_films": integer(),
        },
        ["run_id", "label", "every"],
    ),
    "claims": (
        "A claim put to a test.",
        {
            "claim_id": text(),
            "text": text(),
            "source": text(),
            "statistic": text(),
            "estimate": number(**OPEN),
            **INTERVAL,
            "p_value": number(0, 1, **OPEN),
            "p_adjusted": number(0, 1, **OPEN),
            "verdict": text(
                checks=pa.Check.isin(["supported", "not supported", "contradicted", "not testable"])
            ),
            "reason": text(**OPEN),
        },
        ["claim_id"],
    ),
}
