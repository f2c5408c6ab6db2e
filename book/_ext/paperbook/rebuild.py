"""The directive that ends a page of results: what makes them anew, as it was run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from exe_core.study import ROOT, load_study
from paperbook.results import make_book


class Rebuild(SphinxDirective):
    """``{rebuild} 06-films real/05-benchmarks faults``: stages, frozen stages, frozen tables.

    A stage stands with the parameters that its executed notebook was given; of stages, those that
    the book's study does not have are left out. What is frozen names its study or its command.
    """

    required_arguments = 1
    optional_arguments = 20

    def run(self) -> list[nodes.Node]:
        """Write the commands as one block."""
        try:
            lines = [line for asked in self.arguments for line in self._lines(asked)]
        except (ValueError, OSError) as fault:
            raise self.error(f"rebuild: {fault}") from None
        if not lines:
            return []
        code = "\n".join(dict.fromkeys(lines))
        block = nodes.literal_block(code, code, language="bash", classes=["rebuild"])
        return [nodes.rubric("", "Rebuild this"), block]

    def _lines(self, asked: str) -> list[str]:
        name, _, notebook = asked.rpartition("/")
        is_stage = (ROOT / "notebooks" / f"{notebook}.ipynb").is_file()
        if name and not is_stage:
            raise ValueError(f"no notebook {notebook!r}")
        if name:
            study = load_study(name)
            return [make_book(study), _stage(notebook, {"study": study.name})]
        return self._own(notebook) if is_stage else [self._command(notebook)]

    def _own(self, notebook: str) -> list[str]:
        """Say how a stage of the book's study was run, if it was."""
        study = load_study(self.config.paper_study)
        executed = study.results / "notebooks" / f"{notebook}.ipynb"
        if not executed.is_file():
            return []
        self.env.note_dependency(str(executed))
        metadata = json.loads(executed.read_text(encoding="utf-8"))["metadata"]
        given = {"study": study.name, **metadata["papermill"]["parameters"]}  # files sort them
        return [make_book(study), _stage(notebook, given)]

    def _command(self, frozen: str) -> str:
        path = Path(self.env.srcdir) / "data" / "frozen" / frozen / "provenance.json"
        if not path.is_file():
            raise ValueError(f"{frozen} is no notebook, and not in data/frozen")
        self.env.note_dependency(str(path))
        about = json.loads(path.read_text(encoding="utf-8"))
        if "command" not in about:
            raise ValueError(f"{path.parent.name}/{path.name} does not say its command")
        return about["command"]


def _stage(notebook: str, parameters: dict[str, Any]) -> str:
    given = " ".join(
        f"-p {name} {json.dumps(value).strip(chr(34))}" for name, value in parameters.items()
    )
    return f".venv/bin/papermill notebooks/{notebook}.ipynb out.ipynb {given}"
