"""`exe film`: read films with a ready model, a model of one's own, or an ensemble of several."""

from __future__ import annotations

import fcntl
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from exe_core.commands.terminal import fail, show_table
from exe_core.web.storage import StorageError, storage_told
from exe_core.writing import replacing

if TYPE_CHECKING:
    import pandas as pd

    from exe_core.footage.screening import Step
    from exe_core.models import Classifier

STORED_PX = 224
"""Crops are kept at least this large, so that a further model need not decode the film again."""


def film(
    files: Annotated[list[Path], typer.Argument(help="films, or folders of films")],
    out: Annotated[Path, typer.Option(help="folder for the results")],
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="a ready model by name (fer7 if none is given), or a model's folder; "
            "several are also averaged"
        ),
    ] = None,
    every: Annotated[int | None, typer.Option(min=1, help="every n-th frame; 100 if none")] = None,
    every_seconds: Annotated[
        float | None, typer.Option(help="instead: the first frame in every so many seconds")
    ] = None,
) -> None:
    """Read the largest face of sampled frames; leave tables, figures and a page for each film.

    Stopped, the same command goes on with the film that it was at.
    """
    if every_seconds is not None and (every is not None or not 0 < every_seconds < math.inf):
        fail("give one step, over 0: --every (frames) or --every-seconds")
    from exe_core.footage.screening import (  # these are slow to import
        ScreeningError,
        Step,
        find_films,
    )

    logging.basicConfig(format="%(message)s")
    classifiers = _load(model or ["fer7"])
    try:
        films = find_films(files)
    except ScreeningError as fault:
        fail(str(fault))
    step = Step(None, every_seconds) if every_seconds else Step(every or 100)
    try:
        with storage_told(out), _alone(out):
            told = _report(films, classifiers, step=step, out=out.resolve())
    except StorageError as fault:
        fail(str(fault))
    lost = [row for row in told if row["status"] == "unreadable"]
    if lost:
        fail(f"{len(lost)} of {len(told)} films could not be read: see {out / 'films.csv'}")


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder of the results, or refuse if another process does."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fail(f"another exe film is writing into {out}: wait for it, or give another --out")
        yield


def _load(names: list[str]) -> dict[str, Classifier]:
    """Load models by name or folder, and see that they answer the same labels."""
    from exe_core.models import ModelError, load

    loaded: dict[str, Classifier] = {}
    for name in names:
        folder = Path(name)
        try:
            classifier = load(folder if folder.is_dir() else name)
        except ModelError as fault:
            fail(str(fault))
        first = next(iter(loaded.values()), classifier)
        if classifier.labels != first.labels:
            fail(
                f"{name} answers {', '.join(classifier.labels)}; {names[0]} answers "
                f"{', '.join(first.labels)}: an ensemble needs the same labels in the same order"
            )
        key = folder.resolve().name if folder.is_dir() else name
        loaded[key if key not in loaded else f"{key}-{len(loaded) + 1}"] = classifier
    return loaded


def _report(
    films: pd.DataFrame, classifiers: dict[str, Classifier], *, step: Step, out: Path
) -> list[dict[str, Any]]:
    """Report on each film; say what became of it, in films.csv and on the screen."""
    import pandas as pd

    from exe_core.commands.film_report import report_film
    from exe_core.detection import FaceFinder
    from exe_core.footage.screening import progress_bar
    from exe_core.settings import Crop

    sizes = (classifier.preprocessing.size for classifier in classifiers.values())
    settings = Crop(size=max(STORED_PX, *sizes))
    told = []
    finding = {"min_score": settings.min_score, "retry_border": settings.retry_border}
    with FaceFinder(**finding) as finder, progress_bar(films) as bar:
        for row in films.to_dict("records"):
            told.append(
                report_film(
                    row,
                    classifiers=classifiers,
                    finder=finder,
                    settings=settings,
                    step=step,
                    out=out,
                    bar=bar,
                )
            )
            with replacing(out / "films.csv") as partial:
                pd.DataFrame(told).drop(columns="path").to_csv(partial, index=False)
    lines = [
        [str(row["title"]), str(row["n_sampled"]), str(row["n_faces"]), _status(row)]
        for row in told
    ]
    show_table(["film", "frames", "faces", "status"], lines, lines=False)
    typer.echo(f"pages, tables and figures: {out}")
    return told


def _status(row: dict[str, Any]) -> str:
    return str(row["status"]) + (f": {row['error']}" if row["status"] != "ok" else "")
