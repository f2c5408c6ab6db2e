"""What failed in a study and why, and what its stages dropped: by the log and the pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import typer

from exe_core.commands import stage_log
from exe_core.commands.executing import failed_page, is_held
from exe_core.commands.stage_log import Entry, Flow
from exe_core.commands.terminal import show_table
from exe_core.config import Study

DROPPED = 3
"""Exit status where a stage failed or was killed, or rows were dropped without a reason."""


class Report(NamedTuple):
    """What is to be known of the stages that ran."""

    faults: dict[str, str]
    """Page -> why its stage failed, or that it was killed."""
    losses: list[tuple[str, Flow]]
    """Page and flow of which something was lost."""

    @property
    def n_silent(self) -> int:
        """Count rows that were dropped without a reason."""
        return sum(max(0, flow.n_silent) for _, flow in self.losses)


def report(study: Study) -> Report:
    """Gather what failed, and what was lost, in the last run of each stage of a study."""
    known = [entry for entry in stage_log.latest(study).values() if _is_of(study, entry)]
    told = {entry.page: entry.error or "" for entry in known if entry.state == "failed"}
    losses = [(entry.page, flow) for entry in known for flow in entry.flows if _loses(flow)]
    return Report(dict(_faults(study, told)), losses)


def _is_of(study: Study, entry: Entry) -> bool:
    """Say whether a study still has the run that a line of its log is about."""
    return entry.run is None or entry.run in study.runs or entry.run in study.guests


def _loses(flow: Flow) -> bool:
    return flow.n_silent > 0 or any(flow.lost.values())


def _faults(study: Study, told: dict[str, str]) -> Iterator[tuple[str, str]]:
    pages = study.results / "notebooks"
    for name, error in sorted(told.items()):
        if failed_page(pages / f"{name}.ipynb").exists():
            yield name, error
    for path in sorted(pages.glob("*.running.ipynb")):
        if not is_held(path):
            yield path.name.partition(".")[0], "killed, or its machine stopped"


def show(found: Report) -> None:
    """Show what failed, what was lost for which reason, and what for none."""
    if found.losses:
        rows = [
            [page, flow.what, str(flow.n_in), str(flow.n_out), _why(flow), str(flow.n_silent)]
            for page, flow in found.losses
        ]
        columns = ["stage", "of", "in", "out", "lost for a reason", "for none"]
        show_table(columns, rows, lines=False)
    for page, why in found.faults.items():
        typer.echo(f"{page}: {why}", err=True)
    if found.n_silent:
        typer.echo(
            f"exe: {found.n_silent} rows were dropped without a reason: see the stages above",
            err=True,
        )


def _why(flow: Flow) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in flow.lost.items())
