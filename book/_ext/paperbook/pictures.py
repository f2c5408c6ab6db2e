"""Figures as nodes of a page: the picture, and the specification from which it is drawn live."""

from __future__ import annotations

import html
import re
from pathlib import Path

from docutils import nodes
from PIL import Image
from sphinx.util.osutil import relative_uri
from sphinx.writers.html5 import HTML5Translator

from paperbook.results import Results
from paperbook.shown import Shown

SIZE = re.compile(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"')


class Picture(nodes.General, nodes.Element):
    """The picture of a figure: an SVG that scripts replace by a live chart, or a JPEG."""


def figure_of(
    results: Results, name: str, *, label: str, caption: list[nodes.Node]
) -> nodes.figure:
    """Build a figure node; its files lie in the built book under its label."""
    about = results.provenance(name)
    chart = "vl.json" in about["files"]
    suffix = "svg" if chart else "jpg"
    width, height = _size(results.figure_file(name, suffix))
    picture = Picture(
        label=label, alt=about["alt"], suffix=suffix, live=chart, width=width, height=height
    )
    figure = nodes.figure("", picture, classes=["paper-figure"])
    figure += nodes.caption("", "", *caption)
    return figure


def shown_figure(results: Results, name: str, *, label: str, node: nodes.Element) -> Shown:
    """Say what can be had of a figure."""
    about = results.provenance(name)
    live = "vl.json" in about["files"]
    of_people = not live and about["kind"] == "real"  # theirs to pass on in full, not ours
    resized = [f"exe figure {name} --study {results.name} --format pdf --width 89mm"] * live
    return Shown(
        kind="figure",
        label=label,
        anchor=node["ids"][0],
        docname=results.env.docname,
        title=node[-1].astext(),
        alt=about["alt"],
        study=results.name,
        origin=results.origin(about),
        command="\n".join([results.command(about), *resized]),
        files={
            suffix: results.figure_file(name, suffix)
            for suffix in about["files"]
            if not (of_people and suffix == "png")
        },
    )


def _size(path: Path) -> tuple[int, int]:
    """Read the size of a picture in CSS pixels."""
    if path.suffix == ".svg":
        width, height = SIZE.search(path.read_text(encoding="utf-8")).groups()
        return round(float(width)), round(float(height))
    with Image.open(path) as picture:
        return picture.size


def visit_html(writer: HTML5Translator, node: Picture) -> None:
    """Write the picture, loaded when it comes near, and where its specification lies.

    A chart can be scrolled on a narrow screen, so the keyboard reaches it.
    """
    here = writer.builder.get_target_uri(writer.builder.current_docname)
    files = html.escape(relative_uri(here, f"figures/{node['label']}"))
    if node["live"]:
        opening = f'<div class="chart" tabindex="0" data-spec="{files}.js">'
        pictures = _img(node, f"{files}.svg", ' class="only-light"')
        pictures += _img(node, f"{files}.night.svg", ' class="only-dark"')
    else:
        opening, pictures = '<div class="sheet">', _img(node, f"{files}.{node['suffix']}")
    writer.body.append(f"{opening}{pictures}</div>\n")
    raise nodes.SkipNode


def _img(node: Picture, source: str, theme: str = "") -> str:
    return (
        f'<img{theme} src="{source}" alt="{html.escape(node["alt"])}" '
        f'width="{node["width"]}" height="{node["height"]}" loading="lazy">'
    )
