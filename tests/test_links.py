"""Every link inside the smoke book leads to a page that is there, and to a place on it."""

from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

pytestmark = pytest.mark.slow


class Page(HTMLParser):
    """What a page offers to be linked to, and what it links to."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self.ids |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.add(given["href"])


def broken_links(html):
    """List "page: link" of the links that lead nowhere."""
    paths = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    pages = {path.resolve(): Page(path) for path in paths}
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            lost = target in pages and anchor and anchor not in pages[target].ids
            if not target.exists() or lost:
                broken.append(f"{path.relative_to(html.resolve())}: {link}")
    return broken


def test_every_link_inside_the_book_leads_somewhere(smoke):
    assert broken_links(smoke.root / "_build" / "html") == []


@pytest.mark.parametrize("link", ["absent.html", "there.html#absent", "#absent"])
def test_a_broken_link_is_found(tmp_path, link):
    (tmp_path / "there.html").write_text('<p id="here">')
    (tmp_path / "index.html").write_text(f'<a href="there.html#here"></a><a href="{link}"></a>')
    assert broken_links(tmp_path) == [f"index.html: {link}"]
