"""Remake the tables of how the published predictions look as films: run it on DATA/published.

    python data/frozen/published_films/remake.py DATA/published

What the files hold, and how far the three published runs agree on the same faces. The claims
themselves are made by `exe claims`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from exe_core import criteria, record
from exe_core.labels import FIVE
from exe_core.published import CONFIDENT, EVERY, FILES, RUNS, Published, read_published
from exe_core.record import ROOT
from exe_core.resampling import Statistics
from exe_core.study import load_study

TARGET = ROOT / "data" / "frozen" / "published_films"


def observations(folder: Path, published: Published) -> pd.DataFrame:
    """List what the published files hold beside what one expects: looked_at, expected, found."""
    frames, rows = published.frames, published.predictions
    files = {run: pd.read_parquet(folder / f"{run}.parquet") for run in RUNS}
    title, run = published.films.set_index("film_id")["title"], rows["run_id"]
    n_faces, seen = frames["n_faces"].sum(), frames.groupby("film_id")["n_faces"].mean()
    confident = (rows["confidence"] >= CONFIDENT).groupby(run).mean()
    doubled = {run: f"{own.duplicated().sum():,} of {len(own):,}" for run, own in files.items()}
    shares = rows.groupby("run_id")["predicted"].value_counts(normalize=True)
    answers = shares.index.get_level_values("predicted") + " " + shares.map("{:.0%}".format)
    angry = (rows["predicted"] == "angry")[run == "FER"].groupby(rows["group_id"]).mean()

    def listed(by_run: Mapping[str, str]) -> str:
        return ", ".join(f"{name} {by_run[run]}" for run, name in RUNS.items())

    observations = [
        ("models that made a row of ExE", "4", f"{files['ExE']['n_models'].max()}"),
        ("rows that stand twice", "0", listed(doubled)),
        (
            f"every {EVERY}th frame up to a film's last face",
            f"a row each: {len(frames):,}",
            f"{n_faces:,} rows ({n_faces / len(frames):.0%}): frames without a face have none",
        ),
        ("films", "about 60", f"{len(title)}"),
        (
            "sampled frames with a face, by film",
            "",
            f"{seen.median():.0%} in the middle film; {seen.min():.0%} in {title[seen.idxmin()]}",
        ),
        (
            f"faces of confidence {CONFIDENT} or more, which the timelines count",
            "the same faces for each model",
            listed(confident.map("{:.0%}".format)),
        ),
        *((f"answers of {RUNS[name]}", "", ", ".join(answers[name])) for name in RUNS),
        (
            "the film with the largest share of angry faces by FER2013",
            "98 %",
            f"{angry.max():.0%}, {title[angry.idxmax()]}",
        ),
    ]
    return pd.DataFrame(observations, columns=["looked_at", "expected", "found"])


def main(folder: Path) -> None:
    """Write both tables from the folder of the published predictions."""
    few = Statistics(n_permutations=199)  # each is of 142,000 faces, and no p is near a border
    study = load_study("real").model_copy(update={"labels": FIVE, "statistics": few})
    TARGET.mkdir(parents=True, exist_ok=True)
    published = read_published(folder)
    agreed = criteria.agreement(published.predictions, labels=FIVE, statistics=few)
    whole = {"agreement": agreed, "observations": observations(folder, published)}
    for name, table in whole.items():
        path = TARGET / f"{name}.csv"
        table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    about = record.provenance(study, inputs=[folder / name for name in FILES])
    how = {"command": "python data/frozen/published_films/remake.py DATA/published"}
    record.write_json({**about, **how}, TARGET / "provenance.json")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
