"""The directive of the explorer: the study's films, chosen and compared on the page itself."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from exe_core.study import load_study
from paperbook.results import Results

PAGE = Path(__file__).with_name("explorer.html")
SCRIPTS = ("bundle", "course", "view", "marks", "shares", "film", "page")
BUNDLES = "_static/explorer"
NO_FILMS = "This study has no films, so there is nothing to explore."
KINDS = {"films": ("explorer", "06-films"), "published": ("explorer-published", "07-claims")}
"""What is explored, a trait of studies -> the folder, and the stage that writes it."""


def register(app: Sphinx) -> None:
    """Add the directive and what it needs to the book."""
    app.add_directive("explorer", Explorer)
    app.connect("builder-inited", write)
    app.connect("html-page-context", add_scripts)


class Explorer(SphinxDirective):
    """``{explorer}`` of the films of the book's study, ``{explorer} published`` of published ones.

    Of a study without films, a sentence that says so.
    """

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Put the empty controls on the page, which scripts fill from the bundle."""
        kind = (self.arguments or ["films"])[0]
        if kind not in KINDS:
            raise self.error(f"explorer: {kind!r} is none of {', '.join(KINDS)}")
        study, (name, stage) = load_study(self.config.paper_study), KINDS[kind]
        if kind not in study.traits:
            return [nodes.paragraph("", NO_FILMS)]
        origin = Results.cited(self.env).folder / name / "provenance.json"
        for path in (PAGE, origin):
            self.env.note_dependency(str(path))
        if not origin.is_file():
            raise self.error(f"{study.name} has no files of the explorer: run {stage} first")
        about = json.loads(origin.read_text(encoding="utf-8"))
        made_of = f"study {study.name} · commit {(about['commit'] or 'unknown')[:8]} · seed "
        bundle = f"{'../' * self.env.docname.count('/')}{BUNDLES}/{name}"
        controls = PAGE.read_text(encoding="utf-8").replace("{bundle}", bundle)
        return [
            nodes.raw("", controls, format="html"),
            nodes.paragraph("", f"{made_of}{about['seed']}", classes=["origin"]),
        ]


def write(app: Sphinx) -> None:
    """Copy the bundles among the static files, where the scripts of the page find them."""
    results = load_study(app.config.paper_study).results
    for name, _ in KINDS.values():
        if app.builder.format == "html" and (results / name).is_dir():
            target = Path(app.outdir) / BUNDLES / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(results / name, target)


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object
) -> None:
    """Load the scripts and the style of the explorer on its page alone."""
    if 'id="film-explorer"' in context.get("body", ""):
        app.add_css_file("explorer/explorer.css")
        for name in SCRIPTS:
            app.add_js_file(f"explorer/{name}.js", loading_method="defer")
