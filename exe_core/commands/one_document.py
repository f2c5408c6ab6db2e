"""The built book as one document for print: its pages in order, and each link between them kept.

Pages are taken as they were built, so numbers, citations and references are those of the book.
What only a screen can use is left out: panels, folded code, and the variants for dark pages.
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import yaml
from bs4 import BeautifulSoup, Tag

FIRST = Path("book") / "index.html"
STYLE = Path("_static") / "one-document.css"
ON_SCREEN = "a.headerlink, details, .only-dark, button, script, style"
NAMING = ("id", "for", "aria-labelledby", "aria-describedby")


class DocumentError(ValueError):
    """There is no built book to print."""


@dataclass(frozen=True)
class Page:
    """A page of the book: its file, its name in the document, its title and the part it opens."""

    path: Path
    name: str
    title: str
    part: str


@dataclass(frozen=True)
class Document:
    """The book in one: what stands in the head, on the title page, and on its pages."""

    head: str
    title: str
    pages: tuple[Page, ...]
    body: str

    def written(self, numbers: Mapping[str, int]) -> str:
        """Write it as HTML.

        Parameters
        ----------
        numbers
            By the name of a page, its number in print, for the contents; empty if not yet known.
        """
        lines = []
        for page in self.pages:
            if page.part:
                lines.append(f'<li class="part">{html.escape(page.part)}</li>')
            entry = f'<a href="#{page.name}">{html.escape(page.title)}</a>'
            lines.append(f"<li>{entry}<span>{numbers.get(page.name, '')}</span></li>")
        contents = f'<nav class="pages"><h1>Contents</h1><ol>{"".join(lines)}</ol></nav>'
        return (
            f'<!doctype html><html lang="en" data-theme="light">{self.head}'
            f'<body class="one-document">{self.title}{contents}{self.body}</body></html>'
        )


def document(folder: Path, about: Path) -> Document:
    """Read the book that was built into `folder`.

    Parameters
    ----------
    folder
        The root of the built pages, `_build/html`.
    about
        CITATION.cff: the words of the title page.

    Raises
    ------
    DocumentError
        If there is no book.
    """
    start = folder / FIRST
    if not start.is_file():
        raise DocumentError(f"there is no book in {folder}: make book first")
    soup = _read(start)
    pages = _pages(soup, start)
    names = {page.path: page.name for page in pages}
    articles = [_article(page, names) for page in pages]
    maths = soup.select("script[src*=mathjax]") if any('class="math' in a for a in articles) else []
    return Document(
        head=_head(soup, start, maths),
        title=_title_page(soup, about),
        pages=tuple(pages),
        body="".join(articles),
    )


def _read(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


def _pages(soup: BeautifulSoup, start: Path) -> list[Page]:
    """List the pages as the sidebar does; the first of a part has its heading."""
    pages: list[Page] = []
    part = ""
    for entry in soup.select("nav.bd-links .caption, nav.bd-links a.reference.internal"):
        words = entry.get_text(" ", strip=True)
        if entry.name != "a":
            part = words
            continue
        address = str(entry["href"])
        path = start if address == "#" else (start.parent / address).resolve()
        title = words if address != "#" else "Abstract"
        pages.append(Page(path=path, name=f"page-{len(pages)}", title=title, part=part))
        part = ""
    return pages


def _article(page: Page, names: Mapping[Path, str]) -> str:
    """Take what a page says, with names and addresses that hold within the whole."""
    article = _read(page.path).select_one("article")
    if article is None:
        raise DocumentError(f"{page.path} is no page of a book: build it anew")
    for instead in article.select("noscript"):
        (instead.parent or article).replace_with(*list(instead.children))
    for element in article.select(ON_SCREEN):
        element.decompose()
    for element in article.find_all(True):
        for key in NAMING:
            if element.has_attr(key):
                element[key] = f"{page.name}--{element[key]}"
    for link in article.select("a[href]"):
        _relink(link, page, names)
    for picture in article.select("img[src]"):
        picture["src"] = _address(str(picture["src"]), page.path)
        del picture["loading"]
    return f'<section class="page" id="{page.name}">{article.decode_contents()}</section>'


def _relink(link: Tag, page: Page, names: Mapping[Path, str]) -> None:
    """Lead a link to its place in the document, or say in print where it leads."""
    parts = urlsplit(str(link["href"]))
    if parts.scheme:
        address = f"{parts.netloc}{parts.path}".rstrip("/")
        told = link.get_text().rstrip("/")
        if parts.netloc and not told.endswith(address.removeprefix("doi.org/")):
            link.append(f" ({address})")
        return
    target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
    if target not in names:
        link.unwrap()  # a file beside the book
        return
    link["href"] = "#" + "--".join(filter(None, [names[target], unquote(parts.fragment)]))


def _address(source: str, page: Path) -> str:
    return source if source.startswith("data:") else (page.parent / unquote(source)).as_uri()


def _head(soup: BeautifulSoup, start: Path, maths: list[Tag]) -> str:
    """Give the styles of the book's pages, and after them that of the document."""
    sheets = [str(link["href"]).partition("?")[0] for link in soup.select("link[rel=stylesheet]")]
    paths = [*((start.parent / sheet).resolve() for sheet in sheets), _root(start) / STYLE]
    links = [f'<link rel="stylesheet" href="{path.as_uri()}">' for path in paths]
    scripts = [
        f'<script src="{_address(str(s["src"]).partition("?")[0], start)}"></script>' for s in maths
    ]
    title = html.escape(soup.title.get_text() if soup.title else "")
    loaded = "".join(links + scripts)
    return f'<head><meta charset="utf-8"><title>{title}</title>{loaded}</head>'


def _root(start: Path) -> Path:
    return start.parents[len(FIRST.parts) - 1]


def _title_page(soup: BeautifulSoup, about: Path) -> str:
    """Say whose work this is, of which version, and which study it shows."""
    work = yaml.safe_load(about.read_text(encoding="utf-8"))
    people = [
        one.get("name") or f"{one['given-names']} {one['family-names']}" for one in work["authors"]
    ]
    study = soup.select_one("meta[name=study]")
    lines = [
        ", ".join(people),
        f"Version {work['version']}, {work['date-released']}",
        f"The book of the study “{study['content']}”" if study else "",
        "Text and figures under CC BY 4.0, code under MIT",
    ]
    told = "".join(f"<p>{html.escape(line)}</p>" for line in lines if line)
    abstract = html.escape(work["abstract"].strip())
    return (
        f'<header class="title"><h1>{html.escape(work["title"])}</h1>'
        f'<p class="abstract">{abstract}</p>{told}</header>'
    )
