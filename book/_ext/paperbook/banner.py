"""The note on each page that shows results of a synthetic world."""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

from exe_core.study import load_study
from paperbook.shown import EXECUTED

SYNTHETIC = (
    "The faces, photos and films behind the results on this page are synthetic: a program drew "
    "them. They support statements about the method, and none about real faces or people."
)
MIXED = (
    "Results of {studies} are of real photographs or films; all others on this page come from "
    "faces, photos and films that a program drew, and support statements about the method, none "
    "about real faces or people."
)


def say_if_synthetic(app: Sphinx, doctree: nodes.document) -> None:
    """Put the note under the title of a page that cites a world's results or shows its notebook."""
    kinds = dict(app.env.temp_data.get("paper_studies", {}))
    if app.env.docname.startswith(EXECUTED):
        kinds[app.config.paper_study] = load_study(app.config.paper_study).kind
    if "world" not in kinds.values():
        return
    real = [f"“{study}”" for study, kind in kinds.items() if kind == "real"]
    text = MIXED.format(studies=" and ".join(real)) if real else SYNTHETIC
    note = nodes.admonition(
        "",
        nodes.title("", "Synthetic"),
        nodes.paragraph("", text),
        classes=["note", "synthetic"],
    )
    title = next(doctree.findall(nodes.title), None)
    if title is None:
        doctree.insert(0, note)
    else:
        title.parent.insert(title.parent.index(title) + 1, note)
