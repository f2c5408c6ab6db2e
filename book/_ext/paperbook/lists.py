"""The directive that lists all figures and tables of the book."""

from __future__ import annotations

from docutils import nodes
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

from paperbook.panel import file_links
from paperbook.shown import Shown


class Listing(nodes.General, nodes.Element):
    """A list to be filled when all pages have been read."""


class ListOf(SphinxDirective):
    """``{list-of} figures`` or ``{list-of} tables``: all of them, in the order of the book."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Leave a place for the list."""
        kind = self.arguments[0].removesuffix("s")
        if kind not in ("figure", "table"):
            raise self.error(f"list-of {self.arguments[0]}: there is figures, and tables")
        self.env.get_domain("paper").data["lists"][self.env.docname] = True
        return [Listing(kind=kind)]


class FillLists(SphinxPostTransform):
    """Write the lists, before Sphinx resolves the references in them."""

    default_priority = 5

    def run(self, **kwargs: object) -> None:
        """Fill each list of the page."""
        domain = self.env.get_domain("paper")
        order = {docname: place for place, docname in enumerate(self.env.toc_fignumbers)}
        for listing in list(self.document.findall(Listing)):
            kind = listing["kind"]
            rows = [shown for shown in domain.homes().values() if shown.kind == kind]
            numbers = self.env.toc_fignumbers
            rows.sort(key=lambda s: (order[s.docname], numbers[s.docname][s.kind][s.anchor]))
            listing.replace_self(self._items(rows))

    def _items(self, rows: list[Shown]) -> nodes.Element:
        if not rows:
            return nodes.paragraph("", "There is none.")
        items = (nodes.list_item("", *self._entry(shown)) for shown in rows)
        return nodes.bullet_list("", *items, classes=["paper-list"])

    def _entry(self, shown: Shown) -> list[nodes.Node]:
        """Say number and caption, and below them name, page and files."""
        builder, here = self.app.builder, self.env.docname
        page = builder.get_relative_uri(here, shown.docname)
        number = self.env.get_domain("paper").number(shown)
        title = self.env.titles[shown.docname].astext()
        return [
            nodes.paragraph(
                "",
                "",
                _link(number, f"{page}#{shown.anchor}"),
                nodes.Text(" "),
                *self._caption(shown),
            ),
            nodes.paragraph(
                "",
                "",
                nodes.literal(shown.label, shown.label),
                nodes.Text(" in "),
                _link(title, page),
                nodes.Text(" "),
                *file_links(shown, builder.get_target_uri(here)),
                classes=["where"],
            ),
        ]

    def _caption(self, shown: Shown) -> list[nodes.Node]:
        """Copy the caption from its page, with the references that are yet to be resolved."""
        page = self.env.get_doctree(shown.docname)
        found = next(
            node for node in page.findall(nodes.Element) if shown.anchor in node.get("ids", ())
        )
        caption = found[found.first_child_matching_class((nodes.caption, nodes.title))]
        return [child.deepcopy() for child in caption]


def _link(text: str, address: str) -> nodes.reference:
    return nodes.reference("", text, internal=True, refuri=address)
