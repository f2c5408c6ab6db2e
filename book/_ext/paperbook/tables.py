"""The directive that puts a table of results on a page."""

from __future__ import annotations

import re
from typing import ClassVar

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx

from paperbook.panel import Cited
from paperbook.reference import table as written
from paperbook.results import ResultError, Results, formatted, interval

NEXT = re.compile(r",(?=\s*(?:est\(\w+\)|\w+)\s*(?:[=:,]|$))")  # a heading may hold a comma
COLUMN = re.compile(
    r"(?P<call>est\()?(?P<column>\w+)(?(call)\))"
    r"\s*(=\s*(?P<heading>[^:]+?))?\s*(:\s*(?P<spec>\S+))?"
)
LONG = 30


class PaperTable(Cited):
    """Chosen rows and columns of a table of the study, with a caption and a page of its own.

    The argument is the table's name, ``metrics`` or ``real/metrics``; the content its caption.
    ``:columns:`` lists ``column = Heading : format`` with commas between; ``est(column)`` adds the
    interval from the columns low and high. ``:where:`` is a pandas query, ``:across:`` a column
    over whose values the last of the listed columns is spread.
    """

    option_spec: ClassVar = {
        "name": directives.unchanged,
        "columns": directives.unchanged_required,
        "where": directives.unchanged,
        "across": directives.unchanged,
    }

    def make(self, results: Results, name: str, prefix: str) -> tuple[nodes.Element, dict]:
        """Build a table node of the written cells; its file holds the rows."""
        self.options.setdefault("name", f"{prefix}tab-{name}")
        rows = results.table(name)
        if where := self.options.get("where"):
            rows = rows.query(where, engine="python")
        asked = [_asked(part.strip(), rows) for part in NEXT.split(self.options["columns"])]
        cells = self._cells(rows, asked)
        text = written(list(cells), cells.itertuples(index=False), caption=" ".join(self.content))
        node = self.parse_text_to_nodes("\n".join(text))[0]
        for cell in node.findall(nodes.entry):
            cell["classes"] += ["long"] * (len(cell.astext()) > LONG)
        return node, {
            "kind": "table",
            "caption": node[0],
            "origin": results.table_origin(name),
            "command": results.command({}),
            "files": {"csv": rows.to_csv(index=False, lineterminator="\n")},
        }

    def _cells(self, rows: pd.DataFrame, asked: list[re.Match[str]]) -> pd.DataFrame:
        over = self.options.get("across")
        cells = pd.DataFrame(dict(_column(rows, part) for part in asked if part["column"] != over))
        if cells.empty:
            return pd.DataFrame([["none", *[""] * (len(cells.columns) - 1)]], columns=cells.columns)
        return _spread(cells, rows, over) if over else cells


def _asked(text: str, rows: pd.DataFrame) -> re.Match[str]:
    part = COLUMN.fullmatch(text)
    if not part or part["column"] not in rows:
        raise ResultError(f"no column {text!r}; there is {', '.join(rows)}")
    return part


def _column(rows: pd.DataFrame, part: re.Match[str]) -> tuple[str, list[str]]:
    """Write a column as text: its heading and its cells."""
    heading, spec = part["heading"] or part["column"], part["spec"] or ""
    if not part["call"]:
        return heading, [formatted(value, spec) for value in rows[part["column"]]]
    estimates = rows.rename(columns={part["column"]: "value"}).to_dict("records")
    return heading, [interval(estimate, spec) for estimate in estimates]


def _spread(cells: pd.DataFrame, rows: pd.DataFrame, over: str) -> pd.DataFrame:
    """Give the last column of `cells` one column for each value of `over`."""
    if over not in rows:
        raise ResultError(f"no column {over!r} to spread; there is {', '.join(rows)}")
    keys = [*cells.columns[:-1], over]
    indexed = cells.assign(**{over: list(rows[over])}).set_index(keys)
    if indexed.index.has_duplicates:
        raise ResultError(f"several rows for one cell of {over}: narrow them by :where:")
    wide = indexed.iloc[:, 0].unstack(sort=False)  # noqa: PD010
    wide.columns = [str(value).replace("_", " ") for value in wide.columns]
    return wide.fillna("").reset_index()


def register(app: Sphinx) -> None:
    """Add tables to the book."""
    app.add_directive("paper-table", PaperTable)
