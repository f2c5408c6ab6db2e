"""What the book shows: every figure and table, its page, its number and its files."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from sphinx.application import Sphinx
from sphinx.domains import Domain
from sphinx.environment import BuildEnvironment

EXECUTED = "book/executed/"
FOLDERS = {"figure": "figures", "table": "tables"}


@dataclass(frozen=True)
class Shown:
    """A figure or table on a page, and what can be had of it.

    Parameters
    ----------
    kind
        "figure" or "table".
    label
        Its permanent name in the book, "fig-recall" or "real-fig-recall".
    anchor
        The label as HTML has it.
    docname
        The page.
    title
        Its caption, or for a notebook's figure its alt text.
    alt
        What a reader who cannot see it is told; of a figure only.
    study, origin, command
        Whose it is, in a line where it comes from, and what makes it again.
    files
        Suffix -> the file, or for what is made while the book is built its content.
    """

    kind: str
    label: str
    anchor: str
    docname: str
    title: str
    alt: str
    study: str
    origin: str
    command: str
    files: dict[str, Path | str]

    def address(self, suffix: str) -> str:
        """Say where a file lies in the built book, from its root."""
        return f"{FOLDERS[self.kind]}/{self.label}.{suffix}"


class ShownDomain(Domain):
    """Sphinx's memory of what is shown, page by page, kept between builds."""

    name = "paper"
    label = "figures and tables"
    initial_data: ClassVar[dict[str, Any]] = {"pages": {}, "lists": {}, "lent": [], "numbers": {}}
    data_version = 1

    def clear_doc(self, docname: str) -> None:
        """Forget a page that is read anew or gone."""
        self.data["pages"].pop(docname, None)
        self.data["lists"].pop(docname, None)

    def merge_domaindata(self, docnames: Iterable[str], otherdata: dict[str, Any]) -> None:
        """Take over pages that another process read."""
        for docname in docnames:
            for part in ("pages", "lists"):
                if docname in otherdata[part]:
                    self.data[part][docname] = otherdata[part][docname]

    def add(self, shown: Shown) -> None:
        """Note that a page shows this."""
        self.data["pages"].setdefault(shown.docname, {})[shown.anchor] = shown

    def on_page(self, docname: str, anchor: str) -> Shown:
        """Give what stands at this anchor of a page."""
        return self.data["pages"][docname][anchor]

    def homes(self) -> dict[str, Shown]:
        """Give the place of each figure and table by its anchor: a chapter before a notebook."""
        pages = sorted(self.data["pages"].items(), key=lambda item: item[0].startswith(EXECUTED))
        found: dict[str, Shown] = {}
        for _, shown in pages:
            found = {**shown, **found}
        return found

    def number(self, shown: Shown) -> str:
        """Say "Figure 3", or its name where figures have no numbers."""
        numbers = self.env.toc_fignumbers.get(shown.docname, {}).get(shown.kind, {})
        if shown.anchor not in numbers:
            return shown.label
        return self.env.config.numfig_format[shown.kind] % ".".join(map(str, numbers[shown.anchor]))


def take_back_labels(app: Sphinx, env: BuildEnvironment, docnames: list[str]) -> None:
    """Free the labels that notebooks were lent, so that a chapter may take one over."""
    domain, standard = env.get_domain("paper"), env.get_domain("std")
    for label in domain.data["lent"]:
        standard.anonlabels.pop(label, None)
        standard.labels.pop(label, None)


def settle(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Count what is shown: what a chapter and a notebook both show has the chapter's number.

    A notebook's figure that no chapter shows is lent a label here, since it is known only now.
    Gives the pages to write again: those whose numbers changed, and the lists.
    """
    domain, standard = env.get_domain("paper"), env.get_domain("std")
    homes = domain.homes()
    _renumber(env.toc_fignumbers, homes)
    lent = [home for home in homes.values() if home.docname.startswith(EXECUTED)]
    for home in lent:
        standard.anonlabels[home.label] = (home.docname, home.anchor)
        standard.labels[home.label] = (home.docname, home.anchor, home.title)
    domain.data["lent"] = [home.label for home in lent]
    before, domain.data["numbers"] = domain.data["numbers"], copy.deepcopy(env.toc_fignumbers)
    changed = {page for page, found in env.toc_fignumbers.items() if before.get(page) != found}
    return sorted({*changed, *domain.data["lists"]})


def _renumber(
    numbers: dict[str, dict[str, dict[str, tuple[int, ...]]]], homes: dict[str, Shown]
) -> None:
    """Count each once, in the order of the book, within the chapter that numfig counts in."""
    counted: dict[tuple[Any, ...], int] = {}
    again = []
    for docname, kinds in numbers.items():
        for kind, found in kinds.items():
            for anchor, number in found.items():
                home = homes.get(anchor)
                if home and home.docname != docname:
                    again.append((found, kind, anchor))
                    continue
                within = (kind, *number[:-1])
                counted[within] = counted.get(within, 0) + 1
                found[anchor] = (*number[:-1], counted[within])
    for found, kind, anchor in again:
        found[anchor] = numbers[homes[anchor].docname][kind][anchor]
