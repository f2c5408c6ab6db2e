"""The book as one document: pages in their order, links that hold, nothing that needs a screen."""

import re

import pytest

from exe_core.commands.one_document import DocumentError, document
from exe_core.config import ROOT

NAV = """
    <nav class="bd-links"><a class="reference internal" href="#">A book</a>
    <p class="caption"><span>Part one</span></p>
    <a class="reference internal" href="first.html">First &amp; foremost</a>
    <a class="reference internal" href="executed/run.html">A run</a></nav>
    """
INDEX = f"""
    <html><head><title>A book</title><meta name="study" content="smoke">
    <link rel="stylesheet" href="../_static/theme.css?digest=1">
    <script src="../_static/mathjax/tex.js?v=1"></script><script src="../_static/menu.js"></script>
    </head><body>{NAV}<article class="bd-article"><h1 id="here">A book
    <a class="headerlink" href="#here">#</a></h1>
    <a href="first.html#fig-x">Figure 1</a> <a href="#here">here</a>
    <a href="https://example.org/data/">the data</a>
    <a href="https://doi.org/10.1/x">doi:10.1/x</a></article></body></html>
    """
FIRST = """
    <article><figure id="fig-x"><img class="only-light" src="../figures/x.svg" loading="lazy">
    <img class="only-dark" src="../figures/x.night.svg"></figure>
    <details class="reuse"><summary>Cite</summary><p id="panel">BibTeX</p></details>
    <p><a href="../figures/x.csv">its rows</a> of <a href="executed/run.html">the run</a></p>
    </article>
    """
RUN = """
    <article><div class="explorer" id="x"><noscript><p>It is drawn by a script.</p></noscript>
    <button>Go</button></div><span class="math">a</span></article>
    """


@pytest.fixture
def html(tmp_path):
    folder = tmp_path / "html"
    (folder / "book" / "executed").mkdir(parents=True)
    for name, text in (("index", INDEX), ("first", FIRST), ("executed/run", RUN)):
        (folder / "book" / f"{name}.html").write_text(text)
    return folder


@pytest.fixture
def written(html):
    return document(html, ROOT / "CITATION.cff").written({"page-1": 7})


def test_pages_stand_in_the_order_of_the_book_and_in_the_contents(written):
    assert re.findall(r'<section class="page" id="([\w-]+)">', written) == [
        "page-0",
        "page-1",
        "page-2",
    ]
    assert '<li class="part">Part one</li><li><a href="#page-1">First &amp; foremost' in written
    assert "First &amp; foremost</a><span>7</span>" in written
    assert "A run</a><span></span>" in written


def test_every_link_leads_to_its_place_within_or_says_where_it_leads(written):
    for link in ("#page-1--fig-x", "#page-0--here", "#page-2"):
        assert f'href="{link}"' in written
    named = set(re.findall(r'id="([^"]+)"', written))
    assert set(re.findall(r'href="#([^"]+)"', written)) <= named
    assert ">the data (example.org/data)</a>" in written
    assert ">doi:10.1/x</a>" in written
    assert "<p>its rows of <a" in written


def test_what_only_a_screen_can_use_is_left_out(written, html):
    for absent in ("BibTeX", "night.svg", "headerlink", "lazy", "<button", "noscript", "menu.js"):
        assert absent not in written
    assert "<p>It is drawn by a script.</p>" in written
    assert f'src="{(html / "book/../figures/x.svg").as_uri()}"' in written


def test_mathematics_is_set_only_where_there_is_any(written, html):
    assert "mathjax/tex.js" in written
    (html / "book" / "executed" / "run.html").write_text(RUN.replace("math", "plain"))
    assert "mathjax" not in document(html, ROOT / "CITATION.cff").written({})


def test_the_title_page_says_whose_it_is_and_of_which_study(written):
    title = written.partition("<header")[2].partition("</header>")[0]
    for said in ("The authors of Expressions Ensemble", "Version 0.1.0, 2026", "study “smoke”"):
        assert said in title


def test_where_no_book_was_built_it_says_so(tmp_path):
    with pytest.raises(DocumentError, match="make book first"):
        document(tmp_path, ROOT / "CITATION.cff")
