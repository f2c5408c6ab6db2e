"""The smoke book as a reader meets it: in a real browser, from disk, without a network."""

import json
import re
import subprocess
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pandas as pd
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, FAULTS_OF_CHART, PHONE, opened

from exe_core.study import ROOT

BESIDE_THE_BOOK = ("index", "genindex")  # a redirect without content; a list of Sphinx's own
SAME = re.compile(r"(03-train|04-predict|(?:\w+-)?(?:fig|tab))-")  # of these, one page is enough
OUTSIDE = re.compile(r'<(?:script|link|img|iframe|source)[^>]+(?:src|href)="((?:https?:)?//[^"]+)"')
GRAVE = ("serious", "critical")
AXE = {"resultTypes": ["violations"], "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
FILES = {"svg", "png", "pdf", "csv", "vl.json", "provenance.json"}
FILES |= {"89mm.svg", "89mm.pdf", "89mm.vl.json"}


@pytest.fixture(scope="module")
def html(smoke):
    return smoke.root / "_build" / "html"


def pages_of(html):
    return sorted(path for path in html.rglob("*.html") if "_static" not in path.parts)


def kinds_of_pages(html):
    """Take one page of each kind."""
    kinds = {}
    for path in pages_of(html):
        if path.parent != html or path.stem not in BESIDE_THE_BOOK:
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


@pytest.mark.slow
@pytest.mark.parametrize("size", [DESKTOP, PHONE, (360, 740)])
def test_live_charts_fit_the_screen_and_their_texts_are_apart(html, chromium, size):
    found = {}
    with opened(chromium, html / "figures" / "index.html", size=size) as (tab, faults):
        for path in sorted((html / "figures").glob("*fig-*.html")):
            tab.goto(path.as_uri())
            if see_all_charts(tab):
                chart = tab.locator(".chart")
                found[path.stem] = chart.evaluate(FAULTS_OF_CHART, size[0])
                found[path.stem] += ["scrolls"] * chart.evaluate(
                    "e => e.scrollWidth > e.clientWidth"
                )
        assert faults == []
    assert len(found) > 15
    assert {name: texts for name, texts in found.items() if texts} == {}


def grave_faults(page):
    """List what axe finds serious or critical: its rule, where, and what is wrong."""
    found = Axe().run(page, options=AXE).response["violations"]
    return [
        f"{violation['id']}: {node['target'][-1]} {node['html'][:120]}"
        for violation in found
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("theme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_every_kind_of_page_works_offline_and_shuts_no_reader_out(html, chromium, theme, size):
    pages = kinds_of_pages(html)
    assert len(pages) > 30
    charts, found = 0, {}
    for path in pages:
        with opened(chromium, path, theme=theme, size=size) as (page, faults):
            charts += see_all_charts(page)
            found[path.name] = [*faults]  # before axe asks for the style sheets, which it may not
            found[path.name] += grave_faults(page)
            if page.evaluate("document.documentElement.scrollWidth") > size[0]:
                found[path.name].append("scrolls sideways")
    assert {name: faults for name, faults in found.items() if faults} == {}
    assert charts > 20


@pytest.mark.slow
def test_pages_are_light_load_nothing_from_outside_and_say_what_is_drawn(html):
    for path in pages_of(html):
        source = path.read_text()
        assert OUTSIDE.findall(source) == [], path.name
        assert len(source) < 400 * 1024, path.name
        of_real_faces = "-film-" in path.name or path.stem == "07-published"  # in every book
        if "executed" in path.parts:
            assert ("a program drew" in source) is not of_real_faces, path.name
        if path.stem in ("index", "question", "film", "claims"):
            assert "a program drew" not in source


@pytest.mark.slow
def test_pictures_with_words_stay_where_scripts_are_off(html, chromium):
    for name in ("book/instruments.html", "book/executed/00-world.html"):
        with opened(chromium, html / name, javascript=False) as (page, faults):
            pictures = page.locator("figure.paper-figure img:visible")
            shown = pictures.evaluate_all("all => all.map(img => [img.naturalWidth, img.alt])")
            assert len(shown) >= 2
            assert all(width > 100 and len(words) > 30 for width, words in shown)
            assert faults == []


@pytest.mark.slow
def test_every_chart_has_its_files_of_known_origin(smoke):
    folder = smoke.root / "data" / "results" / "smoke" / "figures"
    names = {path.name.partition(".")[0] for path in folder.iterdir()}
    assert {"fig-film-shares", "fig-claims", "fig-benchmark-recall"} <= names
    for name in names:
        about = json.loads((folder / f"{name}.provenance.json").read_text())
        suffixes = {path.name.partition(".")[2] for path in folder.glob(f"{name}.*")}
        assert suffixes == set(about["files"])
        assert suffixes in (FILES, {"jpg", "png", "csv", "provenance.json"})
        assert about["settings"]["name"] == "smoke"


@pytest.mark.slow
def test_the_search_finds_a_chapter_without_a_server(html, chromium):
    with opened(chromium, html / "search.html") as (page, faults):
        page.goto(f"{(html / 'search.html').as_uri()}?q=fig-claims")
        results = page.locator("#search-results ul.search li a")
        results.first.wait_for(timeout=30_000)
        assert "The published claims" in results.all_inner_texts()
        assert faults == []


@pytest.mark.slow
def test_the_book_is_printed_as_one_pdf(smoke):
    recipe = (ROOT / "Makefile").read_text().partition("\npdf:")[2].partition("\n\n")[0]
    lines = recipe.partition("\n")[2].replace("\t@", "").replace("$(STUDY)", "smoke")
    command = ["bash", "-ec", lines.replace("$(CURDIR)", str(smoke.root))]
    done = subprocess.run(
        command, cwd=smoke.root, env=smoke.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    pdf = (smoke.root / "_build" / "book.pdf").read_bytes()
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 60


class Page(HTMLParser):
    """The anchors and the links of a page."""

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
    pages = {path.resolve(): Page(path) for path in pages_of(html)}
    broken = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = "" if "=" in parts.fragment else unquote(parts.fragment)  # = a view
            lost = target in pages and anchor and anchor not in pages[target].ids
            if not target.exists() or lost:
                broken.append(f"{path.relative_to(html.resolve())}: {link}")
    return broken


@pytest.mark.slow
def test_the_readme_gives_the_answer_that_the_book_computes(smoke):
    folder = smoke.root / "data" / "results" / "film" / "values"
    values, shares = (
        json.loads((folder / f"film-{page}.json").read_text()) for page in ("faces", "shares")
    )
    answer = (ROOT / "README.md").read_text().partition("**Answer.**")[2].partition("\n\n")[0]
    for name in ("keyword", "fer2013", "keyword-long", "fer2013-long", "votes-long"):
        score = values[f"film-faces.{name}.balanced_accuracy"]["value"]
        assert f"{score:.3f}" in answer
    for name in ("keyword photos, longer.counts.error", "constant.mean of other films"):
        assert f"{shares[f'film-shares.{name}']['value']:.2f}" in answer
    verdicts = [values[f"film-faces.{name}"]["value"] for name in ("verdict", "verdict_long")]
    assert verdicts == ["undecided"] * answer.count("undecided")
    against_votes = values["film-faces.contrast.long.2"]
    assert against_votes["high"] < 0
    assert f"{-against_votes['value']:.3f} more than keyword photos" in answer
    shown, computed = (
        pd.read_csv(folder / "figures" / "fig-film-sources.csv")
        for folder in (ROOT / "data/frozen/film", smoke.root / "data/results/film")
    )
    pd.testing.assert_frame_equal(shown, computed, atol=1e-4)


@pytest.mark.slow
def test_every_link_inside_the_book_leads_somewhere(html):
    assert broken_links(html) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "there.html").write_text('<p id="here">')
    links = ["there.html#here", "#absent", "absent.html", "there.html#absent"]
    (tmp_path / "index.html").write_text("".join(f'<a href="{link}"></a>' for link in links))
    assert broken_links(tmp_path) == [f"index.html: {link}" for link in links[1:]]


def test_a_serious_fault_is_found(tmp_path, chromium):
    page = tmp_path / "page.html"
    page.write_text(
        '<!doctype html><html lang="en"><title>A page</title><main><h1>A page</h1>'
        '<img src="data:,"><p style="color:#ccc;background:#fff">Pale.</p></main>'
    )
    with opened(chromium, page) as (tab, _):
        found = grave_faults(tab)
    assert [line.partition(":")[0] for line in found] == ["color-contrast", "image-alt"]
