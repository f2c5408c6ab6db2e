"""Scripts, styles and files of the built book, and the explorer: nothing from another address."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import vl_convert
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

from exe_core.figures import VEGA_LITE
from exe_core.study import load_study
from paperbook.figures import theme_style, themed
from paperbook.results import Results

HERE = Path(__file__).parent
VEGA = f"vega-{VEGA_LITE}-{vl_convert.__version__}.js"
MATHJAX = "mathjax/tex-svg-full.js"
THEBE = ("init_thebe_core", "update_thebe_context")
BUNDLES = "_static/explorer"
KINDS = {"films": "", "published": "published"}
"""What is explored -> whose results: the films of the book's study, or the published ones."""


def configure(app: Sphinx, config: Config) -> None:
    """Serve the extension's files and MathJax from its package; keep thebe off the pages.

    Jupyter Book's thebe would call a CDN.
    """
    config.html_static_path.append(str(HERE / "static"))
    config.mathjax_path = MATHJAX
    for style in ("paper.css", "charts.css"):
        app.add_css_file(style)
    app.add_js_file("print.js", loading_method="defer")
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            handler = listener.handler
            if handler.__module__ == "sphinx_thebe" and handler.__name__ in THEBE:
                app.disconnect(listener.id)


def write_static(app: Sphinx) -> None:
    """Write Vega, MathJax, the colours of charts and the data of explorers as static files."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    _write(static / "charts.css", theme_style().encode())
    if not (static / VEGA).exists():
        # the bundle declares globals that break a page with other scripts: give it its own scope
        bundle = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", vl_version=VEGA_LITE)
        _write(static / VEGA, f"(()=>{{{bundle}\n}})();\n".encode())
    if not (static / MATHJAX).exists():
        package = Path(find_spec("sphinx-mathjax-offline").origin).parent
        _write(static / MATHJAX, (package / "static" / MATHJAX).read_bytes())
    for kind, name in KINDS.items():
        target = Path(app.outdir) / BUNDLES / kind
        shutil.rmtree(target, ignore_errors=True)
        kept = Path(app.srcdir) / "data" / "frozen" / name
        made = kept if name else load_study(app.config.paper_study).results
        if (made / "explorer").is_dir():
            shutil.copytree(made / "explorer", target)


def add_scripts(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object
) -> None:
    """Load the scripts that a page needs."""
    body = context.get("body", "")
    scripts = ["panel.js"] * ('class="highlight"' in body)
    scripts += [VEGA, "charts.js"] * ('class="chart"' in body)
    if 'id="film-explorer"' in body:
        app.add_css_file("explorer.css")
        scripts += [VEGA, "explorer.js"]
    if 'id="reader-rule"' in body:
        app.add_css_file("explorer.css")
        scripts.append("rule.js")
    for name in scripts:
        app.add_js_file(name, loading_method="defer")
    # docutils gives the entries of a bibliography a role that items of a list may not have
    if "body" in context:
        context["body"] = body.replace('role="doc-biblioentry"', 'role="listitem"')


def write_bundles(app: Sphinx, fault: Exception | None) -> None:
    """Write the files of every figure and table, once each, under their permanent names.

    The specification of a chart is written as a script, too: a page opened from disk may load
    scripts and nothing else.
    """
    if fault or app.builder.format != "html":
        return
    for shown in app.env.get_domain("paper").all():
        for suffix, source in shown.files.items():
            content = source.encode() if isinstance(source, str) else source.read_bytes()
            _write(Path(app.outdir) / shown.address(suffix), content)
            if suffix == "vl.json":
                script = f'paperChart("{shown.label}",{themed(content.decode())});\n'
                _write(Path(app.outdir) / shown.address("js"), script.encode())


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


class Explorer(SphinxDirective):
    """``{explorer}`` of the films of the book's study, ``{explorer} published`` of published ones.

    Of a study without films, a sentence that says so.
    """

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Put the empty controls on the page, which scripts fill from the data."""
        kind = (self.arguments or ["films"])[0]
        results = Results.cited(self.env, KINDS[kind])
        origin, page = results.folder / "explorer" / "provenance.json", HERE / "explorer.html"
        for path in (page, origin):
            self.env.note_dependency(str(path))
        if not origin.is_file():
            words = "This study has no films, so there is nothing to explore."
            return [nodes.paragraph("", words)]
        about = json.loads(origin.read_text(encoding="utf-8"))
        bundle = f"{'../' * self.env.docname.count('/')}{BUNDLES}/{kind}"
        controls = page.read_text(encoding="utf-8").replace("{bundle}", bundle)
        made_of = nodes.paragraph("", results.origin(about), classes=["origin"])
        return [nodes.raw("", controls, format="html"), made_of]


class Rule(SphinxDirective):
    """``{rule}``: claims 1 to 5 judged by a rule that the reader sets, of all ways to count."""

    def run(self) -> list[nodes.Node]:
        """Put the controls on the page, with all that a script needs to judge."""
        results = Results.cited(self.env, "published")
        ways, claims = results.table("specifications"), results.table("claims")
        tried = claims["claim_id"].isin(ways["claim_id"])
        others = claims["p_value"][~tried].dropna().tolist()
        about = f'{{"ways": {ways.to_json(orient="records")}, "others": {json.dumps(others)}}}'
        page = f'<form class="explorer" id="reader-rule" data-rule=\'{about}\'><div class="pair">'
        for name in ("level", "confidence", "measure", "films", "window_min"):
            title = name.replace("_", " ").capitalize()
            page += f'<label><span>{title}</span><select name="{name}">'
            page += '<option value="">as planned</option>'
            for one in sorted(ways[name].dropna().unique()):
                value = one if isinstance(one, str) else f"{one:g}"
                page += f'<option value="{value}">{value}</option>'
            page += "</select></label>"
        page += (
            '<label><span>Tolerance</span><input type="range" name="tolerance" min="0" max="4" '
            'step="0.25" value="1"><output name="times"></output></label></div>'
            '<div class="scroll" tabindex="0">'
            "<table><thead><tr><th>Claim</th><th>Estimate</th><th>p (Holm)</th><th>Verdict</th>"
            "<th>Plan</th></tr></thead><tbody>"
        )
        for row in claims[tried].itertuples():
            page += f'<tr data-claim="{row.claim_id}"><th scope="row">{row.claim_id[1:]}</th>'
            page += f"<td></td><td></td><td></td><td>{row.verdict}</td></tr>"
        page += '</tbody></table></div><p><output name="departs"></output></p>'
        page += '<button type="reset">Back to the plan</button></form>'
        return [nodes.raw("", page, format="html")]


def register(app: Sphinx) -> None:
    """Add scripts, styles, files, the explorer and the reader's rule to the book."""
    app.add_directive("explorer", Explorer)
    app.add_directive("rule", Rule)
    app.connect("config-inited", configure)
    app.connect("builder-inited", write_static)
    app.connect("html-page-context", add_scripts)
    app.connect("build-finished", write_bundles)
