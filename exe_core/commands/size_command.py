"""`exe size`: what a study of some size would cost, by the rates that were measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exe_core.commands.terminal import fail, show_table
from exe_core.config import ROOT, load_study
from exe_core.writing import replacing

if TYPE_CHECKING:
    from exe_core.findings.workload import Workload

FROZEN = ROOT / "data" / "frozen"
RATES = FROZEN / "size" / "rates.csv"
PRICES = ROOT / "data" / "cloud_prices.csv"
PUBLISHED = (FROZEN / "published" / "runs.csv", FROZEN / "published" / "values" / "claims.json")
STUDY = "exe"
"""The study whose epochs and frames are those of the published one."""
LARGER = 1000
CORES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
STEPS = {"film": "decode, find faces", "read": "read faces", "learn": "learn from faces"}

ALT = (
    "Cost of the published study and of one a thousand times larger, against films, models and "
    "faces, with bands between two prices, and hours against cores; both axes are logarithmic."
)


def size(
    films: Annotated[
        int | None, typer.Option(min=1, help="as many as published if not given")
    ] = None,
    models: Annotated[int | None, typer.Option(min=1, help="networks that learn and read")] = None,
    faces: Annotated[
        int | None, typer.Option(min=0, help="that they learn from, all together")
    ] = None,
    cores: Annotated[int, typer.Option(min=1, help="at once")] = 2,
    price: Annotated[
        float | None, typer.Option(min=0, help="US dollars a core and hour; assumed if none")
    ] = None,
) -> None:
    """Say what a study of some size would take, in processor time, hours and money."""
    from exe_core.findings.workload import hours_on, steps  # slow to import

    rates, prices = read_rates(), read_prices()
    asked = {"films": films, "models": models, "faces": faces}
    work = published()._replace(
        **{name: value for name, value in asked.items() if value is not None}
    )
    found = steps(work, rates)
    each = next(iter(prices.values())) if price is None else price
    rows = [
        [
            STEPS[row.step],
            f"{row.n:,.0f}",
            f"{row.processor_h:,.1f}",
            f"{row.processor_h * each:,.2f}",
        ]
        for row in found.itertuples()
    ]
    show_table(["step", "of", "processor hours", "US dollars"], rows, lines=False)
    spent = found["processor_h"].sum()
    typer.echo(
        f"{work.films:,} films of {work.hours:g} h, {work.models} models, {work.faces:,} faces: "
        f"{spent:,.1f} processor hours, {hours_on(work, rates, cores=cores):,.1f} h on {cores} "
        f"cores, {spent * each:,.2f} US dollars at {each:g} an hour"
    )


def read_rates(path: Path = RATES) -> dict[str, float]:
    """Read the rates that were measured: step -> processor time, ms."""
    import pandas as pd

    if not path.exists():
        fail(f"no rates at {path}: pytest tests/test_size.py --write-size measures them")
    table = pd.read_csv(path)
    return dict(zip(table["step"], table["processor_ms"], strict=True))


def read_prices(path: Path = PRICES) -> dict[str, float]:
    """Read the prices of a core's hour, in US dollars; they are assumed."""
    import pandas as pd

    table = pd.read_csv(path)
    return dict(zip(table["kind"], table["usd_a_core_hour"], strict=True))


def published() -> Workload:
    """Give the size of the published study: its films, and the ensemble's networks and faces."""
    import pandas as pd

    from exe_core.findings.published_runs import HELD_OUT
    from exe_core.findings.workload import Workload

    runs, values = pd.read_csv(PUBLISHED[0]), json.loads(PUBLISHED[1].read_text(encoding="utf-8"))
    study = load_study(STUDY)
    return Workload(
        films=int(values["claims.n.films"]["value"]),
        models=runs["run"].nunique(),
        faces=int((runs["n_faces"] - (HELD_OUT * runs["n_faces"]).astype(int)).sum()),
        every=study.films.every,
        epochs=study.train.epochs,
    )


def keep(folder: Path) -> None:
    """Compute costs from the rates in a folder; leave table, values and figure beside them."""
    import pandas as pd

    from exe_core import figures, record
    from exe_core.findings.workload import against, steps

    rates, prices = read_rates(folder / RATES.name), read_prices()
    studies = {"as published": published(), "a thousand times larger": published().times(LARGER)}
    each = next(iter(prices.values()))
    parts = [steps(work, rates).assign(study=name) for name, work in studies.items()]
    costs = pd.concat(parts, ignore_index=True)
    costs["what"] = costs["step"].map(STEPS)
    costs["usd"] = costs["processor_h"] * each
    with replacing(folder / "costs.csv") as partial:
        costs.to_csv(partial, index=False, float_format="%.6g", lineterminator="\n")
    sizes = against(studies, rates, prices=prices, cores=CORES)
    study, inputs = load_study(STUDY), [folder / RATES.name, PRICES, *PUBLISHED]
    record.write_values(study, "size", values=_values(studies, rates, prices), folder=folder)
    figures.save(
        figures.size_chart(sizes),
        "fig-size-cost",
        study=study,
        data=sizes,
        alt=ALT,
        inputs=inputs,
        folder=folder / "figures",
    )


def _values(
    studies: Mapping[str, Workload], rates: Mapping[str, float], prices: Mapping[str, float]
) -> dict[str, object]:
    """Give the numbers that the page cites."""
    from exe_core.findings.workload import hours_on, steps

    values: dict[str, object] = {f"rate.{step}": rate for step, rate in rates.items()}
    values |= {f"price.{place}": price for place, price in enumerate(prices.values())}
    for name, work in zip(("published", "larger"), studies.values(), strict=True):
        spent = float(steps(work, rates)["processor_h"].sum())
        values |= {f"{name}.{key}": value for key, value in work._asdict().items()}
        values |= {f"{name}.processor_h": spent}
        values |= {f"{name}.usd.{k}": spent * each for k, each in enumerate(prices.values())}
        values |= {f"{name}.hours.{n}": hours_on(work, rates, cores=n) for n in CORES}
    return values
