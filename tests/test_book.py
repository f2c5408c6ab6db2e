"""The smoke book as a reader meets it: in a real browser, from disk, without a network."""

import json
import re

import pytest
from browser import opened

pytestmark = pytest.mark.slow

OUTSIDE = re.compile(r'<(?:script|link|img|iframe|source)[^>]+(?:src|href)="((?:https?:)?//[^"]+)"')
SAME = re.compile(r"(03-train|04-predict)-")  # of these pages, one notebook run for each network
BESIDE_THE_BOOK = ("index", "genindex")  # a redirect without content; a list of Sphinx's own
SMALL = (360, 740)
SIX = {"svg", "png", "pdf", "csv", "vl.json", "provenance.json"}


@pytest.fixture(scope="module")
def html(smoke):
    return smoke.root / "_build" / "html"


def all_pages(html):
    return sorted(path for path in html.rglob("*.html") if "_static" not in path.parts)


def kinds_of_pages(html):
    """Take one page of each kind."""
    kinds = {}
    for path in all_pages(html):
        if path.parent == html and path.stem in BESIDE_THE_BOOK:
            continue
        alike = SAME.match(path.name)
        kinds.setdefault(alike[1] if alike else path, path)
    return list(kinds.values())


def see_all_charts(page):
    """Go through a page; a chart is drawn live when it comes near."""
    charts = page.locator("[data-spec]")
    for k in range(charts.count()):
        charts.nth(k).scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelectorAll(':not([data-live]) > [data-spec]').length === 0", timeout=30_000
    )
    return charts.count()


def test_every_stage_and_every_chapter_is_a_page(html):
    names = {path.relative_to(html).as_posix() for path in all_pages(html)}
    for chapter in (
        "question",
        "methods",
        "results",
        "answers",
        "claims",
        "limits",
        "data",
        "reproducing",
    ):
        assert f"book/{chapter}.html" in names
    for notebook in ("00-world", "01-pull", "02-crop", "03-train-rafdb", "06-films", "07-claims"):
        assert f"book/executed/{notebook}.html" in names


def test_no_page_loads_anything_from_outside(html):
    found = {page.name: OUTSIDE.findall(page.read_text()) for page in all_pages(html)}
    assert {name: addresses for name, addresses in found.items() if addresses} == {}


def test_every_page_opens_without_a_network_and_every_chart_is_live(html, chromium):
    charts = 0
    for path in all_pages(html):
        with opened(chromium, path) as (page, faults):
            charts += see_all_charts(page)
            assert faults == [], path.name
    assert charts > 20


def test_pictures_stay_where_scripts_are_off(html, chromium):
    with opened(chromium, html / "book" / "results.html", javascript=False) as (page, faults):
        pictures = page.locator("figure.paper-figure img:visible")
        assert pictures.count() > 5
        widths = pictures.evaluate_all("all => all.map(img => img.naturalWidth)")
        assert min(widths) > 100
        assert faults == []


def test_every_figure_says_in_words_what_it_shows(html, chromium):
    for name in ("book/results.html", "book/executed/00-world.html", "book/executed/06-films.html"):
        with opened(chromium, html / name, javascript=False) as (page, _):
            texts = page.locator("figure.paper-figure img").evaluate_all(
                "all => all.map(i => i.alt)"
            )
            assert texts
            assert all(len(text) > 30 for text in texts)


def test_every_chart_has_its_six_files_of_known_origin(smoke):
    folder = smoke.root / "data" / "results" / "smoke" / "figures"
    names = {path.name.partition(".")[0] for path in folder.iterdir()}
    assert {"fig-film-shares", "fig-claims", "fig-benchmark-recall"} <= names
    for name in names:
        about = json.loads((folder / f"{name}.provenance.json").read_text())
        suffixes = {path.name.partition(".")[2] for path in folder.glob(f"{name}.*")}
        assert suffixes == set(about["files"])
        assert suffixes in (SIX, {"jpg", "png", "csv", "provenance.json"})
        assert about["commit"] is None or len(about["commit"]) >= 40
        assert about["settings"]["name"] == "smoke"


def test_pages_with_synthetic_results_say_so(html):
    for page in [*(html / "book" / "executed").glob("*.html"), html / "book" / "results.html"]:
        assert "a program drew" in page.read_text(), page.name
    for name in ("question", "claims"):
        assert "a program drew" not in (html / "book" / f"{name}.html").read_text()


def test_no_page_is_heavy(html):
    weights = {path.name: path.stat().st_size for path in all_pages(html)}
    assert {name: weight for name, weight in weights.items() if weight > 300 * 1024} == {}


def test_no_page_scrolls_sideways_on_a_small_phone(html, chromium):
    widths = {}
    for path in kinds_of_pages(html):
        with opened(chromium, path, size=SMALL) as (page, _):
            widths[path.name] = page.evaluate("document.documentElement.scrollWidth")
    assert {name: width for name, width in widths.items() if width > SMALL[0]} == {}


def test_the_search_finds_a_chapter_without_a_server(html, chromium):
    with opened(chromium, html / "search.html") as (page, faults):
        page.goto(f"{(html / 'search.html').as_uri()}?q=fig-claims")
        results = page.locator("#search-results ul.search li a")
        results.first.wait_for(timeout=30_000)
        assert "The claims" in results.all_inner_texts()
        page.goto(f"{(html / 'search.html').as_uri()}?q=qwertzuiop")
        page.get_by_text("did not match any documents").wait_for(timeout=30_000)
        assert faults == []


def test_numbers_in_the_abstract_are_those_of_the_tables(smoke, html):
    values = json.loads((smoke.root / "data/results/smoke/values/films.json").read_text())
    entry = values["films.exe.balanced_accuracy"]
    shown = f"{entry['value']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]"
    assert shown in (html / "book" / "index.html").read_text().replace("\xa0", " ")
