"""Roles that put a computed number into the prose."""

from __future__ import annotations

from docutils import nodes
from sphinx.util.docutils import SphinxRole

from paperbook.results import ResultError, Results, formatted, interval


class Value(SphinxRole):
    """``{val}`stage.key:.2f` ``: a value; ``{val}`real/stage.key` `` one of another study."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Write the value, or report why it cannot be."""
        cited, _, spec = self.text.partition(":")
        study, _, key = cited.rpartition("/")
        try:
            text = self.written(Results.cited(self.env, study).entry(key), spec)
        except ResultError as fault:
            message = self.inliner.reporter.error(f"{cited}: {fault}", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]
        return [nodes.inline(self.rawtext, text, classes=["paper-value"])], []

    def written(self, entry: dict[str, object], spec: str) -> str:
        """Write the value alone."""
        return formatted(entry["value"], spec)


class Estimate(Value):
    """``{est}`stage.key:.2f` ``: a value with its interval."""

    def written(self, entry: dict[str, object], spec: str) -> str:
        """Write the value and its interval."""
        return interval(entry, spec)
