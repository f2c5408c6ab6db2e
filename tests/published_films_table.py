"""Remake the tables of how the published predictions look as films: run it on DATA/published.

    python tests/published_films_table.py DATA/published

What needs no truth: criteria of each of the three published runs, their agreement on the same
faces, and what fewer frames would have given. The claims themselves are `exe claims`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from exe_core import criteria, films, record
from exe_core import tables as schema
from exe_core.labels import FIVE
from exe_core.published import FILES, Published, read_published
from exe_core.record import ROOT
from exe_core.resampling import Statistics
from exe_core.study import Study, load_study

TARGET = ROOT / "data" / "frozen" / "published_films"
STATISTICS = Statistics(n_permutations=199)
"""Fewer permutations than usual: each is of 142,000 faces, and no p is near a border."""


def computed(published: Published, study: Study) -> dict[str, pd.DataFrame]:
    """Compute each table from the published predictions."""
    statistics = study.statistics
    rows = films.timeline(published.frames, published.predictions, labels=study.labels)
    summary = films.summarise(published.frames, published.predictions, labels=study.labels)
    return {
        "agreement": criteria.agreement(
            published.predictions, labels=study.labels, statistics=statistics
        ),
        "sampling": films.sampling_sensitivity(rows, labels=study.labels, statistics=statistics),
        "shares": films.mean_shares(summary, statistics=statistics),
        "criteria": criteria.describe_criteria(
            rows,
            summary,
            films=published.films.assign(genre=published.films["genre"].str.lower()),
            events=schema.empty("events"),
            window_s=study.films.event_window_s,
            statistics=statistics,
        ),
    }


def main(folder: Path) -> None:
    usual = load_study("real")
    study = usual.model_copy(update={"labels": FIVE, "statistics": STATISTICS})
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, table in computed(read_published(folder), study).items():
        path = TARGET / f"{name}.csv"
        table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    about = record.provenance(study, inputs=[folder / name for name in FILES])
    how = {"command": "python tests/published_films_table.py DATA/published"}
    record.write_json({**about, **how}, TARGET / "provenance.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
