"""The book's own Sphinx extension: numbers, figures and tables of a study, cited by name.

Roles ``{val}`stage.key:.2f` `` and ``{est}`stage.key:.2f` ``; directives ``{paper-figure}``,
``{paper-table}``, ``{list-of}`` and ``{when}``. They read the results of the study that the
environment variable `EXE_STUDY` names. A missing key, figure or table is an error, and every file
read is noted as a dependency, so a changed number rebuilds its page. Below each figure and table,
in chapters and notebooks, is a panel to cite and reuse it.
"""

from __future__ import annotations

import os
from pathlib import Path

from sphinx.application import Sphinx

from exe_core.record import digest
from paperbook import assets, banner, explorer, panel, pictures, shown
from paperbook.counts import Count, FacesByLabel
from paperbook.directives import PaperFigure, When
from paperbook.lists import FillLists, ListOf
from paperbook.notebooks import NotebookFigures
from paperbook.rebuild import Rebuild
from paperbook.reference import Reference
from paperbook.roles import Estimate, Value
from paperbook.tables import PaperTable


def setup(app: Sphinx) -> dict[str, object]:
    """Register the extension with Sphinx."""
    app.add_config_value("paper_study", os.environ.get("EXE_STUDY", "demo"), "env", str)
    app.add_role("val", Value())
    app.add_role("est", Estimate())
    app.add_role("n", Count())
    app.add_directive("paper-figure", PaperFigure)
    app.add_directive("paper-table", PaperTable)
    app.add_directive("list-of", ListOf)
    app.add_directive("when", When)
    app.add_directive("rebuild", Rebuild)
    app.add_directive("reference", Reference)
    app.add_directive("faces-by-label", FacesByLabel)
    explorer.register(app)
    app.add_domain(shown.ShownDomain)
    app.add_node(pictures.Picture, html=(pictures.visit_html, None))
    app.add_node(panel.Reuse, html=(panel.visit_html, panel.depart_html))
    app.add_transform(NotebookFigures)
    app.add_post_transform(FillLists)
    app.add_post_transform(panel.FillPanels)
    app.connect("env-before-read-docs", shown.take_back_labels)
    app.connect("env-get-updated", shown.settle, priority=900)  # after Sphinx counted
    app.connect("doctree-read", banner.say_if_synthetic)
    app.connect("config-inited", assets.configure)
    app.connect("config-inited", assets.without_thebe)
    app.connect("builder-inited", assets.write)
    app.connect("html-page-context", assets.add_charts)
    app.connect("html-page-context", assets.as_list_items)
    app.connect("build-finished", assets.write_bundles)
    # Pages read by an older version of this code are read anew.
    code = digest(*sorted(Path(__file__).parent.glob("*.py")))
    return {
        "version": "1",
        "env_version": int(code[:8], 16),
        "parallel_read_safe": True,
        "parallel_write_safe": True,
    }
