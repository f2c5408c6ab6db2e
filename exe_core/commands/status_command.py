"""`exe status`: how far a study is, while it runs or after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer

from exe_core.commands import final_report
from exe_core.commands.final_report import DROPPED
from exe_core.commands.progress import STATES, PlanError, Stage, stages
from exe_core.commands.stage_log import Flow
from exe_core.commands.terminal import fail, show_table
from exe_core.config import ConfigError, load_study

RUNNING, UNFINISHED = 4, 5
"""Exit statuses where a stage runs, and where none does but some have yet to."""
SHOWN_FLOWS = 3
"""Flows of a stage that the table has room for."""


def status(study: Annotated[str, typer.Argument(help="the study, configs/<study>.yml")]) -> None:
    """Show how far a study is: its stages, their times, and what was lost.

    Nothing is written or computed. The exit status is 0 if all is done, 1 if there is no such study
    or its data are not there, 3 if a stage failed or was killed or rows were dropped without a
    reason, 4 if a stage runs, 5 if none runs and some have yet to.
    """
    try:
        settings = load_study(study)
        found = stages(settings)
    except (ConfigError, PlanError) as fault:
        fail(str(fault))
    show_table(["stage", "state", "took", "memory", "items", "left"], map(_row, found), lines=False)
    typer.echo(_sum(found))
    reported = final_report.report(settings)
    for page, why in reported.faults.items():
        typer.echo(f"{page}: {why}")
    if reported.n_silent:
        typer.echo(f"{reported.n_silent} rows were dropped without a reason; exe build says where")
    raise typer.Exit(_exit_status({stage.state for stage in found}, reported.n_silent))


def _row(stage: Stage) -> list[str]:
    entry = stage.entry
    items = f"{stage.bar.done} of {stage.bar.total}" if stage.bar else ""
    return [
        stage.page,
        stage.state,
        _time(stage.seconds),
        f"{entry.mib:.0f} MiB" if entry else "",
        _flows(entry.flows) if entry and not stage.bar else items,
        _time(stage.left_s),
    ]


def _flows(flows: Sequence[Flow]) -> str:
    told = [f"{flow.what} {flow.n_out} of {flow.n_in}" for flow in flows[:SHOWN_FLOWS]]
    return "; ".join(told + ["…"] * (len(flows) > SHOWN_FLOWS))


def _time(seconds: float | None) -> str:
    """Write a time as one says it: 41 s, 12 min, 3.5 h."""
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _sum(found: Sequence[Stage]) -> str:
    """Say in a line how many stages are in which state, and how much is left, if that is known."""
    counts = Counter(stage.state for stage in found)
    told = ", ".join(f"{counts[state]} {state}" for state in reversed(STATES) if counts[state])
    left = [stage.left_s for stage in found if stage.state != "done" and stage.page != "book"]
    if not left:
        return told
    known = [seconds for seconds in left if seconds is not None]
    if not known:
        return f"{told}; how long is not known yet"
    about = "about" if len(known) == len(left) else "more than"
    return f"{told}; {about} {_time(sum(known))} of work left"


def _exit_status(states: set[str], n_silent: int) -> int:
    if states & {"failed", "stopped"} or n_silent:
        return DROPPED
    if "running" in states:
        return RUNNING
    return UNFINISHED if states & {"stale", "waiting"} else 0
