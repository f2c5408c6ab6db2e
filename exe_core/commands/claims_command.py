"""`exe claims`: the published claims, put to the test; the answers stay with the paper."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exe_core.commands.terminal import fail, show_table
from exe_core.config import ROOT, load_study
from exe_core.writing import replacing

if TYPE_CHECKING:
    import pandas as pd

    from exe_core.findings.published import Published
    from exe_core.findings.published_claims import Answers

FROZEN = ROOT / "data" / "frozen"
METRICS = FROZEN / "real" / "metrics.parquet"
STUDY = "real"
"""The study whose level, permutations and seed are used, and whose network answers claim 7."""

ALT = (
    "The eight published claims by verdict: each estimate with its interval, on the shaded range "
    "in which it would lie if the claim held."
)


def claims(
    folder: Annotated[Path, typer.Argument(help="the published files, DATA/published")],
    to: Annotated[Path, typer.Option(help="where the answers go")] = FROZEN,
) -> None:
    """Put the eight published claims to the test, and keep the answers with the paper."""
    from exe_core.findings import observations  # these are slow to import
    from exe_core.findings.published import FILES, PublishedError, read_published
    from exe_core.findings.published_runs import TABLE
    from exe_core.schema import SchemaError

    study = load_study(STUDY)
    try:
        published = read_published(folder)
    except (PublishedError, SchemaError) as fault:
        fail(str(fault))
    answers = answer(published)
    seen = observations.observe(published, statistics=study.statistics, seed=study.seed)
    own = [METRICS] if METRICS.exists() else []
    inputs = [*(folder / name for name in FILES), TABLE, *own]
    _keep(answers, seen, n_films=len(published.films), to=to, inputs=inputs)
    rows = [
        [row["claim_id"], row["text"], _estimate(row), f"{row['p_adjusted']:.3g}", row["verdict"]]
        for row in answers.claims.to_dict("records")
    ]
    show_table(["claim", "says", "estimate", "p (Holm)", "verdict"], rows, lines=True)


def answer(published: Published) -> Answers:
    """Try the published claims with what is frozen of the searches and of the study `real`."""
    import pandas as pd

    from exe_core import schema
    from exe_core.findings.published_claims import published_claims
    from exe_core.findings.published_runs import TABLE

    study = load_study(STUDY)
    return published_claims(
        published,
        runs=pd.read_csv(TABLE),
        metrics=schema.read(METRICS, name="metrics") if METRICS.exists() else None,
        statistics=study.statistics,
        seed=study.seed,
    )


def _keep(
    answers: Answers, seen: pd.DataFrame, *, n_films: int, to: Path, inputs: list[Path]
) -> None:
    """Write the tables, the values that the prose cites, the figure, and where they are from."""
    from exe_core import figures, record
    from exe_core.claims import as_values

    os.environ[record.COMMAND] = "exe claims DATA/published"
    study, target = load_study(STUDY), to / "published"
    target.mkdir(parents=True, exist_ok=True)
    tables = {"claims": answers.claims, "claims_parts": answers.parts, "observations": seen}
    for name, table in tables.items():
        _write_csv(table, target / f"{name}.csv")
    _write_csv(answers.claims, to / "claims.csv")
    about = record.provenance(study, inputs=inputs)
    for path in (target / "provenance.json", to / "claims.provenance.json"):
        record.write_json(about, path)
    parts = {
        key: value for key, value in as_values(answers.parts).items() if not key.startswith("n.")
    }
    values = as_values(answers.claims) | parts | {"n.parts": len(answers.parts), "n.films": n_films}
    record.write_values(study, "claims", values=values, folder=target)
    figures.save(
        figures.claims_chart(answers.claims),
        "fig-claims",
        study=study,
        data=answers.claims,
        alt=ALT,
        inputs=inputs,
        folder=target / "figures",
    )


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        table.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")


def _estimate(row: dict) -> str:
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
