"""Figures that an executed notebook shows become figures of the book, each with its panel."""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from paperbook.panel import Reuse
from paperbook.pictures import figure_of, shown_figure
from paperbook.results import ResultError, Results
from paperbook.shown import EXECUTED

logger = logging.getLogger(__name__)
SAVED = re.compile(r'<figure class="paper-figure" data-name="(?P<name>[a-z0-9-]+)">')


class NotebookFigures(SphinxTransform):
    """Replace the output of `figures.save`, which holds its picture, by the figure that was saved.

    The picture is then a file of the book, named and numbered like those of the chapters.
    """

    default_priority = 500

    def apply(self, **kwargs: object) -> None:
        """Replace each such output of the page."""
        if not self.env.docname.startswith(EXECUTED):
            return
        for output in list(self.document.findall(nodes.raw)):
            if saved := SAVED.match(output.astext()):
                try:
                    output.replace_self(self._figure(saved["name"]))
                except ResultError as fault:
                    logger.warning("%s: %s", saved["name"], fault, location=output)

    def _figure(self, name: str) -> list[nodes.Element]:
        results = Results.cited(self.env)
        alt = str(results.provenance(name)["alt"])
        figure = figure_of(results, name, label=name, caption=[nodes.Text(alt)])
        figure["ids"] = [name]
        self.document.set_id(figure)
        shown = shown_figure(results, name, label=name, node=figure)
        self.env.get_domain("paper").add(shown)
        return [figure, Reuse(docname=shown.docname, anchor=name)]
