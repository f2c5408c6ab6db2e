"""Scripts, styles and files of the built book, and the explorer: nothing from another address."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import vl_convert
from docutils import nodes
from jinja2 import Template
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from exe_core.figures import VEGA_LITE
from exe_core.figures.style import STYLE
from exe_core.study import load_study
from paperbook.figures import theme_style, themed
from paperbook.panel import write
from paperbook.results import Results

HERE = Path(__file__).parent
VEGA = f"vega-{VEGA_LITE}-{vl_convert.__version__}.js"
STYLED = "chart-style.js"
BUNDLES = "_static/explorer"
KINDS = {"films": "", "published": "published", "labelled": "film"}
"""What is explored -> the study whose results it is; "" the book's."""


def configure(app: Sphinx, config: Config) -> None:
    """Serve the extension's files and MathJax; keep thebe, which calls a CDN, off the pages."""
    mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
    config.html_static_path += [str(HERE / "static"), str(mathjax / "tex-svg-full.js")]
    config.mathjax_path = "tex-svg-full.js"
    for style in ("paper.css", "charts.css"):
        app.add_css_file(style)
    app.add_js_file("page.js", loading_method="defer")
    for listener in [one for of_event in app.events.listeners.values() for one in of_event]:
        handler = listener.handler
        if handler.__module__ == "sphinx_thebe" and handler.__name__ != "st_static_path":
            app.disconnect(listener.id)


def write_static(app: Sphinx) -> None:
    """Write Vega, the colours of charts and the data of explorers as static files."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    write(static / "charts.css", theme_style().encode())
    write(static / STYLED, f"const chartStyle={themed(json.dumps(STYLE))};\n".encode())
    if not (static / VEGA).exists():
        # the bundle declares globals that break a page with other scripts: give it its own scope
        bundle = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", vl_version=VEGA_LITE)
        write(static / VEGA, f"(()=>{{{bundle}\n}})();\n".encode())
    for kind, name in KINDS.items():
        target = Path(app.outdir) / BUNDLES / kind
        shutil.rmtree(target, ignore_errors=True)
        made = load_study(name or app.config.paper_study).results / "explorer"
        if made.is_dir():
            shutil.copytree(made, target)


def add_scripts(app: Sphinx, page: str, template: str, context: dict, doctree: object) -> None:
    """Load the scripts that a page needs."""
    body = context.get("body", "")
    scripts = [VEGA, "charts.js"] * ('class="chart"' in body)
    scripts += [VEGA, STYLED, "explorer.js"] * ('data-bundle="' in body)
    scripts += ["rule.js"] * ('id="reader-rule"' in body)
    for name in scripts:
        app.add_js_file(name, loading_method="defer")
    # docutils gives the entries of a bibliography a role that items of a list may not have
    if "body" in context:
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


class Explorer(SphinxDirective):
    """``{explorer}`` of the films of the book's study, of ``published`` or ``labelled`` films."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Put the empty controls on the page, which scripts fill from the data."""
        kind = (self.arguments or ["films"])[0]
        results = Results.cited(self.env, KINDS[kind])
        about = json.loads(results.read(results.study.results / "explorer" / "provenance.json"))
        bundle = f"{'../' * self.env.docname.count('/')}{BUNDLES}/{kind}"
        made_of = nodes.paragraph("", results.origin(about), classes=["origin"])
        page = _written("explorer.html", bundle=bundle, kind=kind)
        return [nodes.raw("", page, format="html"), made_of]


class Rule(SphinxDirective):
    """``{rule}``: claims 1 to 5 judged by a rule that the reader sets, of all ways to count."""

    def run(self) -> list[nodes.Node]:
        """Put the controls on the page, with all that a script needs to judge."""
        results = Results.cited(self.env, "published")
        ways, claims = results.table("specifications"), results.table("claims")
        tried = claims["claim_id"].isin(ways["claim_id"])
        others = claims["p_value"][~tried].dropna().tolist()
        names = ("level", "confidence", "measure", "films", "window_min")
        page = _written(
            "rule.html",
            ways=ways.to_json(orient="records"),
            others=others,
            claims=claims[tried].to_dict("records"),
            choices={name: sorted(ways[name].dropna().unique()) for name in names},
        )
        return [nodes.raw("", page, format="html")]


def _written(template: str, **values: object) -> str:
    return Template((HERE / template).read_text(encoding="utf-8")).render(values)


def register(app: Sphinx) -> None:
    """Add scripts, styles, files, the explorer and the reader's rule to the book."""
    app.add_directive("explorer", Explorer)
    app.add_directive("rule", Rule)
    app.connect("config-inited", configure)
    app.connect("builder-inited", write_static)
    app.connect("html-page-context", add_scripts)
