"""Whoever took a photo is named, with a licence; what they call themselves stays text."""

from __future__ import annotations

from html.parser import HTMLParser

import pandas as pd
import pytest

from exe_core.curation import CREDITS, MAX_ON_PAGE, credits_of, credits_page

NASTY = '<script>alert("x")</script><img src=x onerror="alert(1)">'


def photo(number: int, **more: object) -> dict[str, object]:
    return {
        "photo_id": f"openverse:{number}",
        "source": "openverse",
        "author": "Ada Alder",
        "author_url": "https://example.org/ada",
        "page_url": f"https://example.org/photo/{number}",
        "licence": "CC BY 4.0",
        "licence_url": "https://creativecommons.org/licenses/by/4.0/",
        "attribution": "Photo by Ada Alder",
        "status": "ok",
        **more,
    }


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [str(value) for name, value in attrs if name in ("href", "src")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(*photos: dict[str, object], **more: object) -> Page:
    table = pd.DataFrame(photos)
    return Page(credits_page(credits_of(table, table["photo_id"]), **more))


def test_only_photos_that_are_used_are_credited() -> None:
    photos = pd.DataFrame([photo(1), photo(2), photo(3)])
    table = credits_of(photos, ["openverse:3", "openverse:1", "openverse:9"])
    assert table["photo_id"].tolist() == ["openverse:1", "openverse:3"]
    assert list(table.columns) == CREDITS


def test_a_photo_is_named_with_its_photographer_page_licence_and_attribution() -> None:
    page = page_of(photo(1))
    assert page.links == [
        "https://example.org/ada",
        "https://example.org/photo/1",
        "https://creativecommons.org/licenses/by/4.0/",
    ]
    assert "openverse: 1 photos by 1 photographers" in page.text
    assert "Ada Alder: 1 · CC BY 4.0 · Photo by Ada Alder" in page.text


def test_photos_of_one_photographer_share_a_line_and_sources_a_part() -> None:
    other = photo(3, photo_id="pexels:3", source="pexels", licence="Pexels License")
    page = page_of(photo(1), photo(2), other)
    assert page.tags.count("li") == 2
    assert page.tags.count("details") == 2
    assert "Ada Alder: 1, 2" in page.text


@pytest.mark.parametrize("column", ["author", "licence", "attribution", "source", "photo_id"])
def test_markup_in_what_a_site_says_is_shown_as_text(column: str) -> None:
    said = f"openverse:{NASTY}" if column == "photo_id" else NASTY
    page = page_of(photo(1, **{column: said}))
    assert not {"script", "img"} & set(page.tags)
    assert not page.handlers
    assert NASTY in page.text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        " javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "//example.org/a",
        "https://[",
        'https://example.org/" onclick="alert(1)',
    ],
)
def test_only_web_addresses_become_links_and_none_leaves_its_quotes(url: str) -> None:
    page = page_of(photo(1, author_url=url))
    assert not page.handlers
    assert all(link.startswith("https://") for link in page.links)


def test_what_is_not_known_is_said() -> None:
    unknown = dict.fromkeys(["author", "author_url", "licence", "licence_url", "attribution"])
    page = page_of(photo(1, **unknown, page_url=None))
    assert "not named: 1 · licence not known" in page.text
    assert page.links == []


def test_a_thousand_photos_stay_a_page() -> None:
    photos = [photo(k, author=f"Ada {k}", attribution=f"Photo by Ada {k}") for k in range(1000)]
    table = pd.DataFrame(photos)
    text = credits_page(credits_of(table, table["photo_id"]), rest="credits.csv")
    assert "And 500 more: the whole list is credits.csv" in text
    assert "1000 photos by 1000 photographers" in text
    assert Page(text).tags.count("li") == MAX_ON_PAGE
    assert len(text.encode()) < 200_000
    assert credits_page(credits_of(table, [])) == "<p>No photo is used.</p>"
