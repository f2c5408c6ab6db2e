"""Directives that put a figure, or text for one kind of study, on a page."""

from __future__ import annotations

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.util.docutils import SphinxDirective

from exe_core.study import load_study, studies
from paperbook.panel import Reuse
from paperbook.pictures import figure_of, shown_figure
from paperbook.results import ResultError, Results
from paperbook.shown import Shown

TRAITS = ("world", "real", "photos", "films", "published", "claims", "sentiment")


class Cited(SphinxDirective):
    """What the directives for figures and tables share: a label, a caption, a panel below."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the nodes; a result that is not there is an error at this line."""
        study, _, name = self.arguments[0].rpartition("/")
        prefix = f"{study}-" if study else ""  # keeps labels of other studies apart
        try:
            node = self.made(Results.cited(self.env, study), name, prefix=prefix)
        except ResultError as fault:
            raise self.error(f"{self.name} {self.arguments[0]}: {fault}") from None
        self.set_source_info(node)
        label = self.options["name"]
        self.add_name(node)
        shown = self.shown(node, label=label)
        self.env.get_domain("paper").add(shown)
        return [node, Reuse(docname=shown.docname, anchor=shown.anchor)]

    def made(self, results: Results, name: str, *, prefix: str) -> nodes.Element:
        """Make the node of this figure or table, and set the option `name` if it is not given."""
        raise NotImplementedError

    def shown(self, node: nodes.Element, *, label: str) -> Shown:
        """Say what can be had of it."""
        raise NotImplementedError

    def caption(self) -> list[nodes.Node]:
        """Parse the content as one paragraph, in which numbers may be cited."""
        if not self.content:
            raise self.error(f"{self.name} {self.arguments[0]} has no caption: write it as content")
        children, messages = self.parse_inline(" ".join(self.content))
        return [*children, *messages]


class PaperFigure(Cited):
    """A figure of the study: numbered, with alt text and a panel to cite and reuse it.

    The argument is its name, ``fig-recall`` or ``real/fig-recall``; the content its caption.
    """

    option_spec: ClassVar = {"name": directives.unchanged}

    def made(self, results: Results, name: str, *, prefix: str) -> nodes.figure:
        """Build a figure node around the picture."""
        self.options.setdefault("name", f"{prefix}{name}")
        self.results, self.figure = results, name
        return figure_of(results, name, label=self.options["name"], caption=self.caption())

    def shown(self, node: nodes.Element, *, label: str) -> Shown:
        """Say what can be had of the figure."""
        return shown_figure(self.results, self.figure, label=label, node=node)


class When(SphinxDirective):
    """Text for some books only: ``{when} world``, names of studies, or other `Study.traits`."""

    required_arguments = 1
    optional_arguments = 9
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Parse the content where the book's study is one of those named."""
        unknown = sorted({*self.arguments} - {*TRAITS, *studies()})
        if unknown:
            raise self.error(
                f"when: {', '.join(unknown)} is none of {', '.join(TRAITS)}, nor a study: "
                + ", ".join(studies())
            )
        study = load_study(self.config.paper_study)
        if study.traits.isdisjoint(self.arguments):
            return []
        return self.parse_content_to_nodes(allow_section_headings=True)
