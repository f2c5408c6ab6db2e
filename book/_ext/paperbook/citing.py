"""Lines to copy: how a figure or table of the book is cited and set elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

SPECIAL = re.compile(r"[\\&%$#_{}~^]")
IN_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}
IN_MARKDOWN = re.compile(r"([\\`*_\[\]<>])")


@dataclass(frozen=True)
class Work:
    """The paper as its CITATION.cff has it."""

    title: str
    authors: tuple[str, ...]
    version: str
    year: str
    address: str

    @classmethod
    def read(cls, path: Path) -> Work:
        """Read a CITATION.cff; what it does not say is left out of the lines."""
        about = yaml.safe_load(path.read_text(encoding="utf-8"))
        doi = f"https://doi.org/{about['doi']}" if "doi" in about else ""
        return cls(
            title=about["title"],
            authors=tuple(map(_author, about["authors"])),
            version=str(about.get("version", "")),
            year=str(about["date-released"])[:4],
            address=doi or about.get("url", ""),
        )


def _author(about: dict[str, str]) -> str:
    if "name" in about:
        return f"{{{latex(about['name'])}}}"
    return f"{latex(about['family-names'])}, {latex(about['given-names'])}"


def latex(text: str) -> str:
    """Escape plain text for LaTeX and BibTeX."""
    escaped = SPECIAL.sub(lambda found: IN_LATEX.get(found[0], "\\" + found[0]), text)
    return escaped.replace("\N{MINUS SIGN}", "$-$").replace("\N{NO-BREAK SPACE}", "~")


def bibtex(work: Work, *, label: str, number: str, origin: str, address: str) -> str:
    """Write the BibTeX entry of one figure or table."""
    fields = {
        "author": " and ".join(work.authors),
        "title": f"{{{latex(number)} of {latex(work.title)}}}",
        "year": work.year,
        "note": latex(f"{label}, {origin}"),
        "version": work.version,
        "url": address or work.address,
    }
    lines = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
    return "\n".join([f"@misc{{exe-{label},", *lines, "}"])


def markdown_figure(*, label: str, number: str, caption: str, alt: str, suffix: str) -> str:
    """Write a picture with its caption as Markdown."""
    return f"![{_plain(alt)}]({label}.{suffix})\n\n**{number}.** {_plain(caption)} [@exe-{label}]"


def markdown_table(*, label: str, number: str, caption: str) -> str:
    """Write a link to a table's rows as Markdown."""
    return f"[**{number}.**]({label}.csv) {_plain(caption)} [@exe-{label}]"


def latex_figure(*, label: str, caption: str, suffix: str) -> str:
    """Write a figure with its caption as LaTeX (graphicx)."""
    return "\n".join(
        [
            r"\begin{figure}",
            r"  \centering",
            rf"  \includegraphics[width=\linewidth]{{{label}.{suffix}}}",
            rf"  \caption{{{latex(caption)} From~\cite{{exe-{label}}}.}}\label{{{label}}}",
            r"\end{figure}",
        ]
    )


def latex_table(cells: pd.DataFrame, *, label: str, caption: str) -> str:
    """Write cells of text as a LaTeX table (booktabs)."""
    rows = [" & ".join(map(latex, row)) + r" \\" for row in [list(cells), *cells.to_numpy()]]
    body = [r"    \toprule", f"    {rows[0]}", r"    \midrule"]
    body += [f"    {row}" for row in rows[1:]]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex(caption)} From~\cite{{exe-{label}}}.}}\label{{{label}}}",
            rf"  \begin{{tabular}}{{{'l' * cells.shape[1]}}}",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _plain(text: str) -> str:
    return IN_MARKDOWN.sub(r"\\\1", text)
