"""`exe train`: one run of a study by several processes, which torchrun starts."""

from __future__ import annotations

from typing import Annotated

import typer

from exe_core.commands.terminal import fail
from exe_core.config import ConfigError, load_study
from exe_core.record import provenance


def train(
    name: Annotated[str, typer.Argument(help="the study, configs/<name>.yml")],
    run: Annotated[str, typer.Argument(help="one of its runs")],
) -> None:
    """Train a run by several processes, started by torchrun; 03-train then finds it done.

    A run that can't be trained so is left to 03-train, which trains it in one process.

    torchrun --standalone --nproc-per-node 2 -m exe_core.cli train demo pexels-v1
    """
    try:
        study = load_study(name)
        recipe, learned = study.recipe(run), study.runs[run]
    except ConfigError as fault:
        fail(str(fault))
    if learned.doubtful == "dropped":
        typer.echo(f"run {run} drops doubtful faces, which 03-train finds: it is left to that")
        return
    from exe_core import training  # these are slow to import
    from exe_core.datasets import training_set
    from exe_core.learning import distributed
    from exe_core.schema import read

    try:
        with distributed.together() as device:
            faces, splits = (read(study.table(table), name=table) for table in ("faces", "splits"))
            images, labels, sides, _ = training_set(study, run, faces=faces, splits=splits)
            training.train(
                images,
                labels,
                sides,
                recipe=recipe,
                classes=study.labels,
                run_id=run,
                folder=study.model(run),
                gray=learned.gray,
                provenance=provenance(study),
                device=device,
            )
    except distributed.DistributedError as fault:
        if not distributed.is_launched():
            fail(str(fault))
        typer.echo(f"{fault}: it is left to 03-train")
    except training.TrainingError as fault:
        fail(str(fault))
