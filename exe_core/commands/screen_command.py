"""`exe screen`: one film of a study, decoded and searched for faces by a process of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from exe_core.commands.terminal import fail
from exe_core.config import ConfigError, load_study
from exe_core.record import digest_of, write_json


def screen(
    name: Annotated[str, typer.Argument(help="the study, configs/<name>.yml")],
    film: Annotated[int, typer.Argument(min=1, help="its place in the list of the films")],
    ledger: Annotated[
        Path | None, typer.Option(help="where the digest of what was found is kept")
    ] = None,
) -> None:
    """Decode one film and find its faces, which 06-films then finds done: a job of a cluster."""
    from exe_core.detection import FaceFinder  # these are slow to import
    from exe_core.footage import screening

    try:
        study = load_study(name)
        films = screening.list_films(study, only=film - 1)
    except (ConfigError, screening.ScreeningError, FileNotFoundError) as fault:
        fail(str(fault))
    except IndexError:
        fail(f"study {name} has no film {film}: they are counted from 1")
    found_by = {"min_score": study.crop.min_score, "retry_border": study.crop.retry_border}
    with FaceFinder(**found_by) as finder:
        listed, frames, faces = screening.screen(study, films, finder=finder, progress=False)
    [(film_id, status)] = listed[["film_id", "status"]].itertuples(index=False)
    if ledger:
        found = [table.to_dict("list") for table in (listed, frames, faces)]
        write_json({film_id: digest_of(found)}, ledger)
    n_shown = (frames["n_faces"] > 0).sum()
    typer.echo(f"{film_id}: {status}, {len(frames)} frames, {n_shown} of them with a face")
