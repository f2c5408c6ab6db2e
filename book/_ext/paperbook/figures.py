"""Figures on a page: the picture, and the specification from which it is drawn live."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any, ClassVar

from docutils import nodes
from docutils.parsers.rst import directives
from PIL import Image
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

from exe_core.figures import WIDTHS
from exe_core.figures.style import THEMES
from paperbook.panel import Cited, noted
from paperbook.results import EVERYWHERE, EXECUTED, ResultError, Results

logger = logging.getLogger(__name__)
SIZE = re.compile(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"')
SAVED = re.compile(
    r'<figure class="paper-figure" data-name="(?P<name>[\w-]+)" data-study="(?P<study>[\w-]+)">'
)
DAY = {day: name for name, (day, _) in THEMES.items()}
INK = re.compile("|".join(DAY))


class Picture(nodes.General, nodes.Element):
    """The picture of a figure: an SVG that scripts replace by a live chart, or a JPEG."""


class NotebookFigure(nodes.figure):
    """A figure on the page of a notebook, which has no number: those count in the chapters."""


class PaperFigure(Cited):
    """A figure of the study: numbered, with alt text and a page of its own.

    The argument is its name, ``fig-recall`` or ``real/fig-recall``; the content its caption.
    ``:aside:`` shows the design for 89 mm on every screen, beside the text where there is room.
    """

    option_spec: ClassVar = {"name": directives.unchanged, "aside": directives.flag}

    def make(self, results: Results, name: str, prefix: str) -> tuple[nodes.Element, dict]:
        """Build a figure node around the picture."""
        label = self.options.setdefault("name", f"{prefix}{name}")
        words, messages = self.parse_inline(" ".join(self.content))
        figure, about = _figure(nodes.figure, results, name, label=label, caption=words + messages)
        if "aside" in self.options:
            figure["classes"].append("aside")
            figure[0]["media"] = "screen"
        return figure, about


def _figure(
    node_class: type[nodes.figure], results: Results, name: str, *, label: str, caption: list
) -> tuple[nodes.figure, dict[str, Any]]:
    """Build the node of a figure, and say what its page needs to know of it."""
    about = results.provenance(name)
    live = "vl.json" in about["files"]
    suffix = "svg" if live else "jpg"
    width, height = _size(results.figure_file(name, suffix))
    picture = Picture(
        label=label, alt=about["alt"], suffix=suffix, live=live, width=width, height=height
    )
    figure = node_class("", picture, nodes.caption("", "", *caption), classes=["paper-figure"])
    photos = not live and about["kind"] == "real"  # somebody's faces: not offered at full size
    offered = [suffix for suffix in about["files"] if not (photos and suffix == "png")]
    files: dict[str, Path | str] = {suffix: results.figure_file(name, suffix) for suffix in offered}
    for start in WIDTHS if live else ():  # as scripts: a page opened from disk may load no others
        spec = results.read(results.figure_file(name, f"{start}vl.json")).decode()
        files[f"{start}js"] = f'paperChart("{label}",{themed(spec)});\n'
    return figure, {
        "kind": "figure",
        "picture": f'<figure class="paper-figure">{shown_picture("", picture)}</figure>',
        "caption": figure[-1],
        "origin": results.origin(about),
        "command": results.command(about),
        "files": files,
    }


def _size(path: Path) -> tuple[int, int]:
    """Read the size of a picture in CSS pixels."""
    if path.suffix == ".svg":
        width, height = SIZE.search(path.read_text(encoding="utf-8")).groups()
        return round(float(width)), round(float(height))
    with Image.open(path) as picture:
        return picture.size


class NotebookFigures(SphinxTransform):
    """Replace what `figures.save` left in a notebook, which holds its picture, by the saved figure.

    The picture is then a file of the book, like those of the chapters.
    """

    default_priority = 500

    def apply(self, **kwargs: object) -> None:
        """Replace each such output of the page."""
        if not self.env.docname.startswith(EXECUTED):
            return
        for output in list(self.document.findall(nodes.raw)):
            if saved := SAVED.match(output.astext()):
                try:
                    output.replace_self(self._figure(saved["name"], study=saved["study"]))
                except ResultError as fault:
                    logger.warning("%s: %s", saved["name"], fault, location=output)

    def _figure(self, name: str, *, study: str) -> list[nodes.Element]:
        results = Results.cited(self.env, study)
        label = f"{study}-{name}" if study in EVERYWHERE else name  # as chapters cite it
        caption = [nodes.Text(str(results.provenance(name)["alt"]))]
        figure, about = _figure(NotebookFigure, results, name, label=label, caption=caption)
        figure["ids"] = [label]
        self.document.set_id(figure)
        return [figure, noted(figure, env=self.env, label=label, **about)]


def visit_picture(writer: HTML5Translator, node: Picture) -> None:
    """Write the picture, and where its files lie."""
    depth = 0 if writer.builder.name == "singlehtml" else writer.builder.current_docname.count("/")
    writer.body.append(shown_picture(f"{'../' * depth}figures/", node))
    raise nodes.SkipNode


def shown_picture(folder: str, node: Picture) -> str:
    """Write the picture, loaded when it comes near, and where its specification lies."""
    files = f"{folder}{html.escape(node['label'])}"
    opening = '<div class="sheet"><picture>'
    if node["live"]:  # as it was designed for 89 mm where the screen is narrow
        media = node.get("media", "screen and (max-width: 640px)")
        source = f'<source media="{media}" srcset="{files}.89mm.svg">'
        opening = f'<div class="chart" data-spec="{files}"><picture>{source}'
    return (
        f'{opening}<img src="{files}.{node["suffix"]}" alt="{html.escape(node["alt"])}" '
        f'width="{node["width"]}" height="{node["height"]}" loading="lazy"></picture></div>\n'
    )


def themed(spec: str) -> str:
    """Name ink and paper in a specification as the style of the page does.

    Drawn once as SVG, such a chart follows every change of theme, and is light in print.
    """
    return INK.sub(lambda found: f"var(--chart-{DAY[found[0]]})", spec)


def theme_style() -> str:
    """Write the style sheet that says what ink and paper are by day and by night."""
    return "".join(
        selector + " {" + "".join(f" --chart-{n}: {c[k]};" for n, c in THEMES.items()) + " }\n"
        for k, selector in enumerate((":root", 'html[data-theme="dark"]'))
    )


def register(app: Sphinx) -> None:
    """Add figures to the book."""
    app.add_directive("paper-figure", PaperFigure)
    app.add_transform(NotebookFigures)
    app.add_node(Picture, html=(visit_picture, None))
    app.add_node(NotebookFigure, html=(HTML5Translator.visit_figure, HTML5Translator.depart_figure))
