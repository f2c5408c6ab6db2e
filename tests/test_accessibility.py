"""The smoke book by axe-core, in a real browser: nothing in it shuts a reader out."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, PHONE, opened
from test_book import kinds_of_pages, see_all_charts

GRAVE = ("serious", "critical")
OPTIONS = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


def grave_faults(page):
    """List what axe finds serious or critical: its rule, where, and what is wrong."""
    found = Axe().run(page, options=OPTIONS).response["violations"]
    return [
        f"{violation['id']}: {node['target'][-1]} {node['html'][:120]}"
        for violation in found
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_no_page_has_a_serious_fault(smoke, chromium, theme, size):
    pages = kinds_of_pages(smoke.root / "_build" / "html")
    assert len(pages) > 30
    faults = {}
    for path in pages:
        with opened(chromium, path, theme=theme, size=size) as (page, _):
            see_all_charts(page)
            faults[path.name] = grave_faults(page)
    assert {name: found for name, found in faults.items() if found} == {}


def test_a_serious_fault_is_found(tmp_path, chromium):
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>'
        '<img src="data:,"><p style="color:#ccc;background:#fff">Pale.</p></main>'
    )
    with opened(chromium, page) as (tab, _):
        found = grave_faults(tab)
    assert [line.partition(":")[0] for line in found] == ["color-contrast", "image-alt"]
