"""A view of trainings in MLflow, for those who keep one; tables and cards stay the record."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import pandas as pd

log = logging.getLogger(__name__)

ADDRESS = "MLFLOW_TRACKING_URI"
_SHOWN = ("loss", "accuracy", "macro_f1")
_AT_ONCE = 1000  # as many metrics as MLflow takes in one call


def log_run(history: pd.DataFrame, *, card: Mapping[str, Any], experiment: str) -> str | None:
    """Show a trained model in MLflow, if `MLFLOW_TRACKING_URI` is set; once for the same model.

    Parameters
    ----------
    history
        Table "history" of the run.
    card
        Its card: run_id, digest, recipe, model; see `exe_core.models.read_card`.
    experiment
        Name of the experiment, made if it is not there; the study's.

    Returns
    -------
    str or None
        MLflow's id of the run; None if no address is set or mlflow is not installed.
    """
    if not os.environ.get(ADDRESS):
        return None
    try:
        from mlflow import MlflowClient  # here: an optional extra
    except ImportError:
        log.warning("%s is set, but mlflow is not there: pip install '.[tracking]'", ADDRESS)
        return None
    client = MlflowClient()
    found = client.get_experiment_by_name(experiment)
    place = found.experiment_id if found else client.create_experiment(experiment)
    same = client.search_runs([place], filter_string=f"tags.digest = '{card['digest']}'")
    if same:
        return same[0].info.run_id
    tags = {"digest": card["digest"], "model": card["model"], "data_sha256": card["data_sha256"]}
    run = client.create_run(place, run_name=card["run_id"], tags=tags).info.run_id
    _log(client, run, history=history, recipe=card["recipe"])
    client.set_terminated(run)
    return run


def _log(client: Any, run: str, *, history: pd.DataFrame, recipe: Mapping[str, Any]) -> None:
    from mlflow.entities import Metric, Param

    client.log_batch(run, params=[Param(name, str(value)) for name, value in recipe.items()])
    now = int(1000 * time.time())
    metrics = [
        Metric(f"{row.split}_{name}", getattr(row, name), now, row.epoch)
        for row in history.itertuples()
        for name in _SHOWN
    ]
    for start in range(0, len(metrics), _AT_ONCE):
        client.log_batch(run, metrics=metrics[start : start + _AT_ONCE])
