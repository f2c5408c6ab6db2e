"""What the book shows, the closed panel below each figure and table, and the list of them all."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.domains import Domain
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from paperbook.results import EXECUTED, ResultError, Results

FOLDERS = {"figure": "figures", "table": "tables"}
NAMES = {
    "svg": "SVG",
    "pdf": "PDF",
    "png": "PNG, 300 dpi",
    "jpg": "JPEG",
    "csv": "CSV",
    "vl.json": "Vega-Lite",
    "provenance.json": "provenance",
}
"""What each file is called, in the order in which they are offered."""

SPECIAL = re.compile(r"[\\&%$#_{}~^]")
IN_LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Shown:
    """A figure or table on a page, and its files.

    Parameters
    ----------
    kind
        "figure" or "table".
    label, anchor
        Its permanent name in the book, "fig-recall" or "real-fig-recall", and the same in HTML.
    docname
        The page.
    caption
        As plain text.
    origin, command
        In a line where it comes from, and what makes it again.
    files
        Suffix -> the file, or its content where the book makes it.
    """

    kind: str
    label: str
    anchor: str
    docname: str
    caption: str
    origin: str
    command: str
    files: dict[str, Path | str]

    def address(self, suffix: str) -> str:
        """Return where a file lies in the built book, from its root."""
        return f"{FOLDERS[self.kind]}/{self.label}.{suffix}"


class PaperDomain(Domain):
    """Sphinx's memory of what each page shows, kept between builds."""

    name = "paper"
    label = "figures and tables"
    initial_data: ClassVar[dict[str, Any]] = {"pages": {}, "lists": []}

    def clear_doc(self, docname: str) -> None:
        """Forget a page that is read again or gone."""
        self.data["pages"].pop(docname, None)
        self.data["lists"] = [name for name in self.data["lists"] if name != docname]

    def add(self, shown: Shown) -> None:
        """Note that a page shows this."""
        self.data["pages"].setdefault(shown.docname, []).append(shown)

    def all(self) -> list[Shown]:
        """List each figure and table once, in the order of the book, chapters before notebooks."""
        order = {page: k for k, page in enumerate(self.env.collect_relations())}
        pages = sorted(self.data["pages"], key=lambda p: (p.startswith(EXECUTED), order.get(p, 0)))
        shown: dict[str, Shown] = {}
        for page in pages:
            for one in self.data["pages"][page]:
                shown.setdefault(one.label, one)
        return list(shown.values())


class Cited(SphinxDirective):
    """What the directives for figures and tables share: a label, a caption, a panel below."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the nodes; a result that is not there is an error at this line."""
        study, _, name = self.arguments[0].rpartition("/")
        prefix = f"{study}-" if study else ""  # keeps labels of other studies apart
        try:
            node, about = self.make(Results.cited(self.env, study), name, prefix=prefix)
        except ResultError as fault:
            raise self.error(f"{self.name} {self.arguments[0]}: {fault}") from None
        self.set_source_info(node)
        label = self.options["name"]  # which `add_name` takes out
        self.add_name(node)
        return [node, *panel_of(node, env=self.env, label=label, **about)]

    def make(
        self, results: Results, name: str, *, prefix: str
    ) -> tuple[nodes.Element, dict[str, Any]]:
        """Make the node, set the option `name` if it is not given, and say what `Shown` needs."""
        raise NotImplementedError

    def caption(self) -> list[nodes.Node]:
        """Parse the content as one paragraph, in which numbers may be cited."""
        if not self.content:
            raise self.error(f"{self.name} {self.arguments[0]} has no caption: write it as content")
        children, messages = self.parse_inline(" ".join(self.content))
        return [*children, *messages]


def panel_of(node: nodes.Element, *, env: BuildEnvironment, **about: Any) -> list[nodes.Node]:
    """Note that the page shows a figure or table, and build the panel below it."""
    shown = Shown(docname=env.docname, anchor=node["ids"][0], **about)
    env.get_domain("paper").add(shown)
    work = _work(Path(env.srcdir) / "CITATION.cff")
    base = env.config.html_baseurl.rstrip("/")
    address = f"{base}/{shown.docname}.html#{shown.anchor}" if base else ""
    copied = {"Make it again": shown.command} if shown.command else {}
    copied["BibTeX"] = bibtex(shown, work, address=address)
    of = f'<span class="visually-hidden"> {html.escape(shown.label)}</span>'
    opening = f'<details class="reuse"><summary>Cite and reuse{of}</summary><div>'
    panel: list[nodes.Node] = [
        nodes.raw("", opening, format="html"),
        nodes.paragraph("", "", *file_links(shown, env.docname), classes=["files"]),
        nodes.paragraph("", shown.origin, classes=["origin"]),
    ]
    for title, text in copied.items():
        panel.append(nodes.paragraph("", title, classes=["heading"]))
        panel.append(nodes.literal_block(text, text, language="text"))
    return [*panel, nodes.raw("", "</div></details>", format="html")]


def file_links(shown: Shown, here: str) -> list[nodes.Node]:
    """Link the files of a figure or table from the page `here`."""
    links: list[nodes.Node] = []
    for suffix, name in NAMES.items():
        if suffix in shown.files:
            target = "../" * here.count("/") + shown.address(suffix)
            links += [nodes.reference("", name, refuri=target, internal=True), nodes.Text(" ")]
    return links


@cache
def _work(path: Path) -> dict[str, Any]:
    """Read the paper's CITATION.cff."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def bibtex(shown: Shown, work: dict[str, Any], *, address: str) -> str:
    """Write the BibTeX entry of one figure or table; what CITATION.cff lacks is left out."""
    authors = [
        f"{{{latex(one['name'])}}}"
        if "name" in one
        else latex(f"{one['family-names']}, {one['given-names']}")
        for one in work["authors"]
    ]
    doi = f"https://doi.org/{work['doi']}" if "doi" in work else ""
    fields = {
        "author": " and ".join(authors),
        "title": f"{{{latex(work['title'])}: {shown.kind} {latex(shown.label)}}}",
        "year": str(work["date-released"])[:4],
        "note": latex(shown.origin),
        "version": str(work.get("version", "")),
        "url": address or doi or work.get("url", ""),
    }
    entries = [f"  {name} = {{{text}}}," for name, text in fields.items() if text]
    return "\n".join([f"@misc{{exe-{shown.label},", *entries, "}"])


def latex(text: str) -> str:
    """Escape plain text for LaTeX and BibTeX."""
    escaped = SPECIAL.sub(lambda found: IN_LATEX.get(found[0], "\\" + found[0]), text)
    return escaped.replace("\N{MINUS SIGN}", "$-$").replace("\N{NO-BREAK SPACE}", "~")


class Listing(nodes.General, nodes.Element):
    """A list to be filled when all pages have been read."""


class ListOf(SphinxDirective):
    """``{list-of} figures`` or ``{list-of} tables``: all of them, in the order of the book."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Leave a place for the list."""
        kind = self.arguments[0].removesuffix("s")
        if kind not in FOLDERS:
            raise self.error(f"list-of {self.arguments[0]}: there is figures, and tables")
        self.env.get_domain("paper").data["lists"].append(self.env.docname)
        return [Listing(kind=kind)]


def fill_lists(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Write the lists of a page: captions, and below them name, page and files."""
    domain = app.env.get_domain("paper")
    for listing in list(doctree.findall(Listing)):
        items = nodes.bullet_list("", classes=["paper-list"])
        for shown in domain.all():
            if shown.kind == listing["kind"]:
                page = app.builder.get_relative_uri(docname, shown.docname)
                title = app.env.titles[shown.docname].astext()
                where = nodes.paragraph("", "", classes=["where"])
                where += [_link(shown.label, f"{page}#{shown.anchor}"), nodes.Text(" in ")]
                where += [_link(title, page), nodes.Text(" "), *file_links(shown, docname)]
                items += nodes.list_item("", nodes.paragraph("", shown.caption), where)
        listing.replace_self(items if len(items) else nodes.paragraph("", "There is none."))


def _link(text: str, address: str) -> nodes.reference:
    return nodes.reference("", text, internal=True, refuri=address)


def pages_with_lists(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Name the pages that are written whenever another page may have changed."""
    return env.get_domain("paper").data["lists"]


def register(app: Sphinx) -> None:
    """Add the panels and lists to the book."""
    app.add_domain(PaperDomain)
    app.add_directive("list-of", ListOf)
    app.connect("env-updated", pages_with_lists)
    app.connect("doctree-resolved", fill_lists)
