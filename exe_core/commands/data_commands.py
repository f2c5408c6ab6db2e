"""`exe data`: list the data sets of the paper, get the open ones, check what one was given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from exe_core.commands.terminal import fail, show_table

if TYPE_CHECKING:
    from exe_core.sets.holdings import Finding, Holding

app = typer.Typer(help="The data sets of the paper: list, get, check.")


@app.callback(invoke_without_command=True)
def list_sets(context: typer.Context) -> None:
    """List the data sets of the paper: what each is for, who has it, and whether it is here."""
    if context.invoked_subcommand is None:
        from exe_core.sets.holdings import HOLDINGS  # these are slow to import
        from exe_core.sets.open_sets import CACHE

        given = os.environ.get("EXE_DATA")
        folders = [Path(given), CACHE] if given else [CACHE]
        places = {name: _place(holding, folders) for name, holding in HOLDINGS.items()}
        rows = [
            [name, one.purpose, one.size, one.licence, _here(one, places[name])]
            for name, one in HOLDINGS.items()
        ]
        show_table(["set", "for", "size", "licence", "here"], rows, lines=True)
        for name, holding in HOLDINGS.items():
            typer.echo("\n".join(_details(holding, places[name])))


def _place(holding: Holding, folders: list[Path]) -> Path | None:
    return next((place for folder in folders if (place := holding.place(folder))), None)


def _here(holding: Holding, place: Path | None) -> str:
    if place:
        return "yes"
    return f"no: exe data get {holding.name}" if holding.repository else "no: ask for it"


def _details(holding: Holding, place: Path | None) -> list[str]:
    lines = [f"{holding.name}: {holding.source}"]
    if holding.repository:
        lines.append(f"  commit {holding.repository.rpartition('/')[2]}")
    lines += [f"  {file} {digest}" for file, digest in holding.digests.items()]
    return lines + [f"  here: {place}"] * (place is not None)


@app.command("get")
def get_set(
    name: Annotated[str, typer.Argument(help="published, faces, ferplus or clip")],
    to: Annotated[Path | None, typer.Option(help="the data folder; .cache/data if none")] = None,
) -> None:
    """Fetch an open set from its public repository, at a pinned commit, and check it."""
    from exe_core.sets.open_sets import CACHE, OpenSetError, get
    from exe_core.sets.readers import DatasetError

    folder = (to or CACHE).resolve()
    try:
        findings = get(name, folder)
    except (OpenSetError, DatasetError) as fault:
        fail(str(fault))
    _report(findings)
    typer.echo(f"{name} is in {folder}; studies read it with DATA={folder}")


@app.command("check")
def check_set(
    name: Annotated[str, typer.Argument(help="a set that `exe data` lists")],
    path: Annotated[Path, typer.Argument(help="the file or folder that you were given")],
) -> None:
    """Say whether a set is whole and as published: counts, digests, altered copies."""
    from exe_core.sets.holdings import find
    from exe_core.sets.readers import DatasetError

    try:
        holding = find(name)
        if not path.exists():
            fail(f"nothing at {path}; {name} is had from {holding.source}")
        _report(holding.check(path))
    except DatasetError as fault:
        fail(str(fault))


def _report(findings: list[Finding]) -> None:
    """Show what was looked at; end with status 1 if something is not as published."""
    rows = [[*finding[:3], "yes" if finding.good else "NO"] for finding in findings]
    show_table(["looked at", "published", "found", "the same"], rows, lines=False)
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
