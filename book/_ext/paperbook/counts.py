"""How many: the number of items that a value rests on, and the faces of a set by their label."""

from __future__ import annotations

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from paperbook.reference import table
from paperbook.results import ResultError, Results, formatted
from paperbook.roles import Value


class Count(Value):
    """``{n}`real/benchmarks.votes.press.accuracy` ``: the items that a value was computed from."""

    def written(self, entry: dict[str, object], spec: str) -> str:
        """Write the number of items."""
        if "n" not in entry:
            raise ResultError(f"has no n, only {', '.join(entry)}")
        return formatted(entry["n"], spec or ",")


class FacesByLabel(SphinxDirective):
    """``{faces-by-label} real``: the test faces of each set of a study, by their label."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Count them in the table "confusion", in which every face stands once a run."""
        study = self.arguments[0] if self.arguments else ""
        try:
            confusion = Results.cited(self.env, study).table("confusion")
        except ResultError as fault:
            raise self.error(f"faces-by-label: {fault}") from None
        by_run = confusion.groupby(["set_name", "label", "run_id"])["n"].sum()
        counts = by_run.groupby(["set_name", "label"]).max().unstack(fill_value=0)
        order = confusion["label"].drop_duplicates()
        rows = [
            [f"`{name}`", *(f"{n:,}" for n in row[order]), f"{row.sum():,}"]
            for name, row in counts.iterrows()
        ]
        lines = table(["set", *order, "all"], rows)
        return self.parse_text_to_nodes("\n".join(lines))
