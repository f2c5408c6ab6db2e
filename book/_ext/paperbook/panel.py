"""The closed panel below each figure and table: its files, its origin, and lines to copy."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.osutil import relative_uri
from sphinx.writers.html5 import HTML5Translator

from paperbook import citing
from paperbook.shown import Shown

TITLE = "Cite and reuse"
NAMES = {
    "svg": "SVG",
    "pdf": "PDF",
    "png": "PNG, 300 dpi",
    "jpg": "JPEG",
    "csv": "CSV",
    "tex": "LaTeX",
    "vl.json": "Vega-Lite",
    "provenance.json": "provenance",
}
"""What each file is called, in the order in which they are offered."""


class Reuse(nodes.General, nodes.Element):
    """A panel; it knows the page and anchor of what stands above it."""


def visit_html(writer: HTML5Translator, node: Reuse) -> None:
    """Open the panel's element, which browsers open and close by mouse and keyboard."""
    summary = f'<summary>{TITLE}<span class="visually-hidden"> {node["number"]}</span></summary>'
    writer.body.append(f'<details class="reuse">{summary}<div>')


def depart_html(writer: HTML5Translator, node: Reuse) -> None:
    """Close it."""
    writer.body.append("</div></details>\n")


class FillPanels(SphinxPostTransform):
    """Write the panels once numbers are known and references in captions are resolved."""

    default_priority = 200

    def run(self, **kwargs: object) -> None:
        """Fill each panel of the page; where pages are not HTML there are none."""
        domain = self.env.get_domain("paper")
        for panel in list(self.document.findall(Reuse)):
            if self.app.builder.format != "html":
                panel.parent.remove(panel)
                continue
            shown = domain.on_page(panel["docname"], panel["anchor"])
            panel["number"] = domain.number(shown)
            caption = _caption(panel) or shown.title
            here = self.app.builder.get_target_uri(self.env.docname)
            panel += nodes.paragraph("", "", *file_links(shown, here), classes=["files"])
            panel += nodes.paragraph("", shown.origin, classes=["origin"])
            for title, text in self._lines(shown, panel["number"], caption).items():
                panel += nodes.paragraph("", title, classes=["heading"])
                panel += nodes.literal_block(text, text, language="text")

    def _lines(self, shown: Shown, number: str, caption: str) -> dict[str, str]:
        """Write the lines to copy under their headings."""
        work = citing.Work.read(Path(self.env.srcdir) / "CITATION.cff")
        page = self.app.builder.get_target_uri(shown.docname)
        base = self.config.html_baseurl
        address = f"{base.rstrip('/')}/{page}#{shown.anchor}" if base else ""
        named = {"label": shown.label, "number": number}
        lines = {"Make it again": shown.command} if shown.command else {}
        lines["BibTeX"] = citing.bibtex(work, **named, origin=shown.origin, address=address)
        if shown.kind == "table":
            lines["Markdown"] = citing.markdown_table(**named, caption=caption)
            lines["LaTeX (booktabs)"] = f"\\input{{{shown.label}.tex}}"
            return lines
        on_screen, in_print = (
            next(suffix for suffix in wanted if suffix in shown.files)
            for wanted in (("svg", "png", "jpg"), ("pdf", "png", "jpg"))
        )
        lines["Markdown"] = citing.markdown_figure(
            **named, caption=caption, alt=shown.alt, suffix=on_screen
        )
        lines["LaTeX"] = citing.latex_figure(label=shown.label, caption=caption, suffix=in_print)
        return lines


def _caption(panel: Reuse) -> str:
    """Read the caption of what stands before the panel, as it is printed."""
    place = panel.parent.index(panel)
    above = panel.parent[place - 1]
    found = next(above.findall(lambda node: isinstance(node, nodes.caption | nodes.title)), None)
    return found.astext() if found is not None else ""


def file_links(shown: Shown, here: str) -> list[nodes.Node]:
    """Link the files of a figure or table from the page at the address `here`."""
    links: list[nodes.Node] = []
    for suffix, name in NAMES.items():
        if suffix in shown.files:
            target = relative_uri(here, shown.address(suffix))
            links += [nodes.reference("", name, refuri=target, internal=True), nodes.Text(" ")]
    return links
