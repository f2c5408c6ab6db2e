"""What the command line says: an error in one line, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

import typer
from rich.console import Console
from rich.table import Table


def fail(message: str) -> NoReturn:
    """End with one clear message and exit status 1."""
    typer.echo(f"exe: {message}", err=True)
    raise typer.Exit(1)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, lines: bool) -> None:
    """Show a table as wide as the terminal; long texts are folded, none is cut.

    Parameters
    ----------
    lines
        Rule off the rows, for those of several lines.
    """
    table = Table(show_lines=lines)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table, markup=False)
