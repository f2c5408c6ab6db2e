"""Scripts and styles of the book, all of them its own: no page needs an outside address."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import vl_convert
from exe_core.figures.bundle import VEGA_LITE
from sphinx.application import Sphinx
from sphinx.config import Config

from paperbook import night

STATIC = Path(__file__).parent / "static"
VEGA = f"vega-{VEGA_LITE}-{vl_convert.__version__}.js"
MATHJAX = "mathjax/tex-svg-full.js"
CHARTS = "charts.css"
THEBE = ("init_thebe_core", "update_thebe_context")


def configure(app: Sphinx, config: Config) -> None:
    """Serve the extension's own files, and MathJax from its package."""
    config.html_static_path.append(str(STATIC))
    config.mathjax_path = MATHJAX
    app.add_css_file("paper.css")
    app.add_css_file(CHARTS)
    app.add_js_file("print.js", loading_method="defer")


def write(app: Sphinx) -> None:
    """Write the Vega bundle, MathJax and the colours of charts among the static files."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    vega, mathjax = static / VEGA, static / MATHJAX
    if not vega.exists():
        vega.parent.mkdir(parents=True, exist_ok=True)
        # the bundle declares globals that break a page with other scripts: give it its own scope
        bundle = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", vl_version=VEGA_LITE)
        vega.write_text(f"(()=>{{{bundle}\n}})();\n", encoding="utf-8")
    if not mathjax.exists():
        package = Path(find_spec("sphinx-mathjax-offline").origin).parent
        mathjax.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / "static" / MATHJAX, mathjax)
    _write(static / CHARTS, night.style().encode())


def without_thebe(app: Sphinx, config: Config) -> None:
    """Keep Jupyter Book's thebe off the pages: it would call a CDN and name a stranger's binder."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            handler = listener.handler
            if handler.__module__ == "sphinx_thebe" and handler.__name__ in THEBE:
                app.disconnect(listener.id)


def add_charts(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object
) -> None:
    """Load the chart scripts on the pages that hold a chart, the panels' on those with one.

    Each page names its study, for who prints the book.
    """
    study = f'\n<meta name="study" content="{app.config.paper_study}" />'
    context["metatags"] = context.get("metatags", "") + study
    body = context.get("body", "")
    if 'class="reuse"' in body:
        app.add_js_file("panel.js", loading_method="defer")
    if 'class="chart"' in body:
        app.add_js_file(VEGA, loading_method="defer")
        app.add_js_file("charts.js", loading_method="defer")


def as_list_items(
    app: Sphinx, pagename: str, templatename: str, context: dict, doctree: object
) -> None:
    """Make the entries of a bibliography items of their list, whose role docutils denies them."""
    if "body" in context:
        context["body"] = context["body"].replace('role="doc-biblioentry"', 'role="listitem"')


def write_bundles(app: Sphinx, fault: Exception | None) -> None:
    """Write the files of every figure and table, once each, under their permanent names.

    The specification of a chart is written as a script, too: a page opened from disk may load
    scripts and nothing else. Its picture is written once more for dark pages.
    """
    if fault or app.builder.format != "html":
        return
    for shown in app.env.get_domain("paper").homes().values():
        for suffix, source in shown.files.items():
            content = source.encode() if isinstance(source, str) else source.read_bytes()
            _write(Path(app.outdir) / shown.address(suffix), content)
            if suffix == "vl.json":
                script = f'paperChart("{shown.label}",{night.themed(content.decode())});\n'
                _write(Path(app.outdir) / shown.address("js"), script.encode())
                picture = night.at_night(shown.files["svg"].read_text(encoding="utf-8"))
                _write(Path(app.outdir) / shown.address("night.svg"), picture.encode())


def _write(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
