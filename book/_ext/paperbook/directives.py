"""Directives that put a figure, or text for one kind of study, on a page."""

from __future__ import annotations

from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective

from exe_core.config import load_study, studies
from exe_core.figures.bundle import embedded_spec
from paperbook.results import ResultError, Results

TRAITS = ("world", "real", "photos", "films", "claims", "sentiment")
NAMES = {"vl.json": "Vega-Lite", "provenance.json": "provenance"}


class Cited(SphinxDirective):
    """What the directives for figures and tables share."""

    required_arguments = 1
    has_content = True
    label_prefix = ""
    """Keeps the labels of another study's figures apart from those of the book's own."""

    def run(self) -> list[nodes.Node]:
        """Make the nodes; a result that is not there is an error at this line."""
        study, _, name = self.arguments[0].rpartition("/")
        self.label_prefix = f"{study}-" if study else ""
        try:
            node = self.made(Results.cited(self.env, study), name)
        except ResultError as fault:
            raise self.error(f"{self.name} {self.arguments[0]}: {fault}") from None
        self.set_source_info(node)
        self.add_name(node)
        return [node]

    def made(self, results: Results, name: str) -> nodes.Element:
        """Make the node of this figure or table."""
        raise NotImplementedError

    def caption(self) -> list[nodes.Node]:
        """Parse the content as one paragraph, in which numbers may be cited."""
        if not self.content:
            raise self.error(f"{self.name} {self.arguments[0]} has no caption: write it as content")
        children, messages = self.parse_inline(" ".join(self.content))
        return [*children, *messages]


class PaperFigure(Cited):
    """A figure of the study: numbered, with alt text, downloads and provenance.

    The argument is its name, ``fig-recall`` or ``real/fig-recall``; the content its caption.
    """

    option_spec: ClassVar = {"name": directives.unchanged}

    def made(self, results: Results, name: str) -> nodes.figure:
        """Build a figure node around the picture and, for a chart, its specification."""
        about = results.provenance(name)
        self.options.setdefault("name", f"{self.label_prefix}{name}")
        is_chart = "vl.json" in about["files"]
        picture = results.figure_file(name, "svg" if is_chart else "jpg")
        shown = nodes.container(classes=["chart"] if is_chart else ["sheet"])
        shown += nodes.image(uri=results.uri(picture), alt=about["alt"])
        if is_chart:
            spec = embedded_spec(results.figure_file(name, "vl.json"))
            shown += nodes.raw("", spec, format="html")
        figure = nodes.figure("", shown, classes=["paper-figure"])
        figure += nodes.caption("", "", *self.caption())
        figure += nodes.legend("", self._reuse(results, name, about))
        return figure

    def _reuse(self, results: Results, name: str, about: dict) -> nodes.paragraph:
        line = nodes.paragraph(classes=["reuse"])
        for suffix in about["files"]:
            line += addnodes.download_reference(
                "",
                "",
                nodes.inline("", NAMES.get(suffix, suffix.upper())),
                reftarget=results.uri(results.figure_file(name, suffix)),
                refdoc=self.env.docname,
                refdomain="",
                reftype="download",
            )
            line += nodes.Text(" ")
        commit = (about["commit"] or "unknown")[:8]
        line += nodes.inline(
            "",
            f"study {about['study']} · commit {commit} · seed {about['seed']} · {about['device']}",
            classes=["origin"],
        )
        return line


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
