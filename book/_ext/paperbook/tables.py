"""The directive that puts a table of results on a page."""

from __future__ import annotations

import re
from typing import ClassVar

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx

from paperbook.panel import Cited, latex
from paperbook.reference import table as written
from paperbook.results import ResultError, Results, formatted, interval

NEXT = re.compile(r",(?=\s*(?:est\(\w+\)|\w+)\s*(?:[=:,]|$))")  # a heading may hold a comma
COLUMN = re.compile(
    r"(?P<call>est\()?(?P<column>\w+)(?(call)\))"
    r"\s*(=\s*(?P<heading>[^:]+?))?\s*(:\s*(?P<spec>\S+))?"
)
LONG = 30  # characters of a cell that wraps; rows of a table that breaks over pages
LINE, GAP = 82, 2  # characters on a line of LaTeX in \footnotesize, and between columns


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
        origin = results.table_origin(name)
        text = written(list(cells), cells.itertuples(index=False), caption=" ".join(self.content))
        node = self.parse_text_to_nodes("\n".join(text))[0]
        for cell in node.findall(nodes.entry):
            cell["classes"] += ["long"] * (len(cell.astext()) > LONG)
        tex = _latex(cells, node[0].astext(), self.options["name"], origin)
        table = cells.to_html(index=False, border=0)
        return node, {
            "kind": "table",
            "caption": node[0],
            "picture": f'<div class="own-rows" tabindex="0">{table}</div>',
            "origin": origin,
            "command": results.command({}),
            "files": {"csv": rows.to_csv(index=False, lineterminator="\n"), "tex": tex},
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
    keys = [*cells.columns[:-1], over]
    indexed = cells.assign(**{over: list(rows[over])}).set_index(keys)
    if indexed.index.has_duplicates:
        raise ResultError(f"several rows for one cell of {over}: narrow them by :where:")
    wide = indexed.iloc[:, 0].unstack(sort=False)  # noqa: PD010
    wide.columns = [str(value).replace("_", " ") for value in wide.columns]
    return wide.fillna("").reset_index()


def _latex(cells: pd.DataFrame, caption: str, label: str, origin: str) -> str:
    """Write a table for LaTeX that fits the text: columns wrap, if need be at each word."""
    texts = [[heading, *cells[heading]] for heading in cells]
    least = [GAP + max(len(word) for text in of for word in text.split(" ")) for of in texts]
    whole = [max(k, GAP + max(map(len, of[1:]))) for k, of in zip(least, texts, strict=True)]
    spare = min(1, max(0, LINE - sum(least)) / max(1, sum(whole) - sum(least)))
    sizes = [k + spare * (size - k) for k, size in zip(least, whole, strict=True)]
    column = r">{\raggedright\arraybackslash}p{\dimexpr %.3f\linewidth-2\tabcolsep}"
    columns = "".join(column % (size / max(LINE, sum(sizes))) for size in sizes)
    about = {"caption": latex(caption), "label": label, "longtable": len(cells) > LONG}
    text = cells.to_latex(index=False, escape=True, column_format=columns, **about)
    small = r"\footnotesize\setlength{\tabcolsep}{3pt}"
    text = text.replace("n{table}", rf"n{{table}}{small}").replace("\N{MINUS SIGN}", "$-$")
    return f"% {origin}\n% \\usepackage{{array, booktabs, longtable}}\n{{{small}\n{text}}}\n"


def register(app: Sphinx) -> None:
    """Add tables to the book."""
    app.add_directive("paper-table", PaperTable)
