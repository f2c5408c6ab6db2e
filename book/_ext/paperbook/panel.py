"""What the book shows: each figure and table has a page of its own, and one lists them all."""

from __future__ import annotations

import html
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from docutils import nodes
from docutils.utils import new_document
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import docname_join, texescape
from sphinx.util.docutils import SphinxDirective

from paperbook.results import EXECUTED, ResultError, Results

NAMES = {  # what each file is called, in the order in which they are offered
    "svg": "SVG",
    "pdf": "PDF",
    "89mm.svg": "SVG, 89 mm",
    "89mm.pdf": "PDF, 89 mm",
    "png": "PNG, 300 dpi",
    "jpg": "JPEG",
    "csv": "CSV",
    "tex": "LaTeX",
    "vl.json": "Vega-Lite",
    "89mm.vl.json": "Vega-Lite, 89 mm",
    "provenance.json": "provenance",
}
MOST_ROWS = 50  # that the page of a figure or table shows; its CSV file holds all


@dataclass(frozen=True)
class Shown:
    """A figure or table of the book, and its files."""

    kind: str  # "figure" or "table"
    label: str  # its permanent name in the book: "fig-recall", "real-fig-recall"
    anchor: str  # the same in HTML
    docname: str  # the page
    caption: nodes.TextElement
    origin: str  # in a line where it comes from
    command: str  # what makes it again
    files: dict[str, Path | str]  # suffix -> the file, or its content where the book makes it
    picture: str = ""  # of a figure, as it stands on its page

    def address(self, suffix: str) -> str:
        """Return where a file lies in the built book, from its root."""
        return f"{self.kind}s/{self.label}.{suffix}"


def all_shown(env: BuildEnvironment) -> list[Shown]:
    """List each figure and table once, in the order of the book, chapters before notebooks."""
    shown: dict[str, Shown] = {}
    for page in sorted(env.collect_relations(), key=lambda page: page.startswith(EXECUTED)):
        for link in env.get_doctree(page).findall(nodes.paragraph):
            if "shown" in link:
                shown.setdefault(link["shown"].label, link["shown"])
    return list(shown.values())


class Cited(SphinxDirective):
    """What the directives for figures and tables share: a label, a caption, a link below.

    Their `make` builds the node, sets the option `name` and says what `Shown` needs.
    """

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Make the nodes; a result that is not there is an error at this line."""
        if not self.content:
            raise self.error(f"{self.name} {self.arguments[0]} has no caption: write it as content")
        study, _, name = self.arguments[0].rpartition("/")
        prefix = f"{study}-" if study else ""  # keeps labels of other studies apart
        try:
            node, about = self.make(Results.cited(self.env, study), name, prefix)
        except ResultError as fault:
            raise self.error(f"{self.name} {self.arguments[0]}: {fault}") from None
        self.set_source_info(node)
        label = self.options["name"]  # which `add_name` takes out
        self.add_name(node)
        return [node, noted(node, env=self.env, label=label, **about)]


def noted(node: nodes.Element, *, env: BuildEnvironment, **about: Any) -> nodes.Node:
    """Link the page of a figure's or table's own, with what that page needs to know."""
    shown = Shown(docname=env.docname, anchor=node["ids"][0], **about)
    address = "../" * env.docname.count("/") + shown.address("html")
    link = nodes.reference("", f"Data, files and citation: {shown.label}", refuri=address)
    return nodes.paragraph("", "", link, classes=["reuse"], shown=shown)


def own_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """Write a page for each figure and table, and one that lists them all."""
    work = yaml.safe_load((Path(app.srcdir) / "CITATION.cff").read_text(encoding="utf-8"))
    base = app.config.html_baseurl.rstrip("/")
    listed: dict[str, list[str]] = {"figure": [], "table": []}
    for shown in all_shown(app.env):
        page, title = shown.address("html"), app.env.titles[shown.docname].astext()
        where = f'<a href="../{shown.docname}.html#{shown.anchor}">{html.escape(title)}</a>'
        offered = [end for end in NAMES if end in shown.files]
        links = " ".join(f'<a href="{shown.label}.{end}">{NAMES[end]}</a>' for end in offered)
        csv = shown.files["csv"]
        rows = pd.read_csv(io.StringIO(csv) if isinstance(csv, str) else csv)
        address = f"{base}/{page}" if base else f"{shown.label}.html"
        copied = {
            "Make it again": shown.command or "no command is known",
            "BibTeX": bibtex(shown, work, address=address if base else ""),
            "Embed": f'<iframe src="{address}" width="700" height="500"></iframe>',
        }
        caption, origin = resolved(shown, app), html.escape(shown.origin)
        cells = rows[:MOST_ROWS].to_html(index=False, border=0, na_rep="")
        body = (
            f"<h1>{shown.label}</h1>\n<p>{caption}</p>{shown.picture}"
            f'<p class="files">{links}</p>\n<p>In {where}. Made from {origin}.</p>'
            f"\n<h2>Data: {min(MOST_ROWS, len(rows))} of {len(rows)} rows</h2>"
            f'\n<div class="own-rows" tabindex="0">{cells}</div>'
        )
        code = '\n<h2>{}</h2>\n<div class="highlight"><pre>{}</pre></div>'
        body += "".join(code.format(name, html.escape(text)) for name, text in copied.items())
        yield page.removesuffix(".html"), {"title": shown.label, "body": body}, "page.html"
        link = f'<a href="../{page}">{shown.label}</a>'
        listed[shown.kind].append(f"<li>{link} in {where}: {caption}</li>")
    body = "".join(f"<h2>{kind.title()}s</h2><ul>{''.join(of)}</ul>" for kind, of in listed.items())
    title = "All figures and tables"
    yield "figures/index", {"title": title, "body": f"<h1>{title}</h1>{body}"}, "page.html"


def resolved(shown: Shown, app: Sphinx) -> str:
    """Write a caption for a page of its own, with links that start there."""
    part, page = new_document(""), shown.address("html").removesuffix(".html")
    part += nodes.inline("", "", *shown.caption.deepcopy().children)
    for reference in part.findall(addnodes.pending_xref):
        name = docname_join(shown.docname, reference["reftarget"])  # if it is a page's
        reference["reftarget"] = f"/{name}" if name in app.env.all_docs else reference["reftarget"]
        reference["refdoc"] = page
    app.env.resolve_references(part, page, app.builder)
    return app.builder.render_partial(part[0])["fragment"]


def write_files(app: Sphinx, fault: Exception | None) -> None:
    """Write the files of every figure and table, once each, under their permanent names."""
    if fault or app.builder.format != "html":
        return
    for shown in all_shown(app.env):
        for suffix, source in shown.files.items():
            content = source.encode() if isinstance(source, str) else source.read_bytes()
            write(Path(app.outdir) / shown.address(suffix), content)


def write(path: Path, content: bytes) -> None:
    """Write a file, unless it is the same."""
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def bibtex(shown: Shown, work: dict[str, Any], *, address: str) -> str:
    """Write the BibTeX entry of one figure or table; what CITATION.cff lacks is left out."""
    authors = [f"{{{latex(one['name'])}}}" for one in work["authors"]]
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
    """Escape plain text for LaTeX."""
    return texescape.escape(text).replace(r"\sphinxhyphen{}", "-")


def register(app: Sphinx) -> None:
    """Add the pages of figures and tables to the book."""
    texescape.init()
    app.connect("html-collect-pages", own_pages)
    app.connect("build-finished", write_files)
