"""The book's extension: cites numbers, figures and tables, and reads without a network."""

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import sample_tables
from browser import DESKTOP, PHONE, opened

from exe_core import figures, record
from exe_core.figures.films import timeline_chart
from exe_core.figures.style import COLOURS, THEMES, estimates
from exe_core.labels import FIVE
from exe_core.record import ROOT
from exe_core.study import load_study

PAGES = {
    "index": """\
        # Abstract
        The ensemble reaches {est}`films.exe.accuracy:.2f`, {val}`films.shift:+.1%` more, on
        {val}`films.device`, and {val}`films.undefined:.2f` is not defined.
        By their intervals: {word}`films.exe.accuracy: above | below | open`,
        {word}`films.lost: above | below | open`, {word}`films.unsure: above | below | open`,
        {word}`films.empty: above | below | open`.
        See {numref}`fig-recall` and {numref}`tab-metrics`. $a^2 + b^2$ Of {n}`films.exe.accuracy`.

        ::::{when} world
        Seen in a world. {val}`films.n`
        ## A section of a world

        :::{note}
        With a note.
        :::
        ::::
        :::{when} real smoke
        Seen in a real book.
        :::
        """,
    "results": """\
        # Results
        ```{paper-figure} fig-recall
        Recall by run; the best reaches {val}`films.exe.accuracy:.0%`. [Its prose](prose)
        ```
        ```{paper-figure} fig-timeline
        A film.
        ```
        ```{paper-figure} fig-faces
        Faces, of which {numref}`fig-recall` counts 100 %.
        ```
        ```{paper-table} metrics
        :columns: run_id = Run, as trained, metric, est(value) = Score : .2f
        :where: metric in ("accuracy", "macro_f1") and label.isna()
        :across: metric
        Scores of the runs.
        ```
        ```{paper-table} metrics
        :name: tab-nothing
        :columns: run_id = Run, value = Score : .2f
        :where: value > 1
        Scores above one.
        ```
        """,
    "counter": "# Counter\nSo far {val}`films.counter`.\n",
    "prose": "# Prose\nNo result is cited here.\n",
    "frozen": "# Frozen\nOn real faces {val}`real/benchmarks.accuracy:.3f`.\n",
    "mixed": """\
        # Mixed
        On real faces {val}`real/benchmarks.accuracy:.3f`, drawn {val}`films.n`, of others
        {val}`published/claims.n`.
        """,
    "film": """\
        # Film
        Computed with each book: {val}`film/film-faces.n`; frozen: {val}`film/benchmarks.n`.
        ```{paper-figure} film/fig-film-sources
        Film faces.
        ```
        """,
    "rule": "# Rule\n```{rule}\n```\n",
    "faults": """\
        # Faults
        ```{paper-table} faults/faults
        :columns: fault = Fault, tries
        Told.
        ```
        """,
}
ALT = {
    "fig-recall": "Recall of five emotions for seven runs.",
    "fig-timeline": "Five lines over three minutes.",
    "fig-run": "Recall of five emotions, as a notebook shows it.",
}
VALUES = {
    "exe.accuracy": {"value": 0.612, "low": 0.551, "high": 0.668, "n": 1234},
    "shift": -0.0421,
    "n": 12,
    "counter": 1,
    "device": "cpu",
    "undefined": float("nan"),
    "lost": {"value": -0.2, "low": -0.3, "high": -0.1},
    "unsure": {"value": 0.1, "low": -0.1, "high": 0.3},
    "empty": {"value": None, "low": None, "high": None},
}


def write_pages(folder, pages):
    for name, text in pages.items():
        lines = [line.removeprefix(" " * 8) for line in text.splitlines()]
        (folder / "book" / f"{name}.md").write_text("\n".join(lines) + "\n")


def make_book_folder(folder, pages):
    """Make a small book beside the real configuration and extension."""
    (folder / "book").mkdir(parents=True)
    for name in ("_config.yml", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    shutil.copy(ROOT / "book" / "references.bib", folder / "book")
    shutil.copytree(
        ROOT / "book" / "_ext",
        folder / "book" / "_ext",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    write_pages(folder, pages)
    toc = ["format: jb-book", "root: book/index", "chapters:"]
    toc += [f"- file: book/{name}" for name in pages if name != "index"]
    (folder / "_toc.yml").write_text("\n".join(toc) + "\n")


def build(folder, study="demo"):
    environment = {**os.environ, "EXE_STUDY": study, "EXE_HOME": str(folder / "data")}
    program = Path(sys.executable).with_name("jupyter-book")
    command = [program, "build", ".", "-W", "--keep-going"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def page(folder, name):
    return folder / "_build" / "html" / "book" / f"{name}.html"


def text_of(folder, name):
    article = page(folder, name).read_text().partition("<article")[2].partition("</article>")[0]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", "", article)))


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Build a small book of a few figures, numbers and an executed notebook."""
    folder = tmp_path_factory.mktemp("root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(folder / "data"))
        study = load_study("demo")
        of_label = sample_tables.metrics().query("metric == 'recall'")
        recall = estimates(of_label, y="run_id", column="label", colour="label", title="recall")
        timeline = timeline_chart(sample_tables.film_course())
        saved = [
            figures.save(chart, name, study=study, alt=ALT[name])
            for name, chart in zip(ALT, (recall, timeline, recall), strict=True)
        ]
        noise = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 3), dtype=np.uint8)
        rows = pd.DataFrame({"face": range(4)})
        figures.sheet(
            noise, "fig-faces", columns=2, captions=["a", "b", "c", ""], study=study,
            alt="Four pictures.", data=rows,
        )  # fmt: skip
        record.write_values(study, "films", values=VALUES)
        study.write(sample_tables.metrics(), "metrics")
        film = load_study("film")
        patch.setenv(record.COMMAND, "exe stage 12-film-faces --study film")
        of_film = figures.save(recall, "fig-film-sources", study=film, alt="Film faces by source.")
        record.write_values(film, "film-faces", values={"n": 10})
        published = load_study("published")
        record.write_values(published, "claims", values={"n": 8})
        sample_tables.claims().to_csv(published.results / "claims.csv")
        sample_tables.ways().to_csv(published.results / "specifications.csv")
    frozen = folder / "data" / "frozen"
    values = frozen / "real" / "values" / "benchmarks.json"
    record.write_json({"benchmarks.accuracy": {"value": 0.4567}}, values)
    for stage, n in (("film-faces", 11), ("benchmarks", 12)):
        older = frozen / "film" / "values" / f"{stage}.json"
        record.write_json({f"{stage}.n": {"value": n}}, older)
    (frozen / "faults").mkdir()
    (frozen / "faults" / "faults.csv").write_text("fault,tries\nreset mid-body,41\n")
    made = {"command": "pytest --write-faults", "commit": None}
    record.write_json(made, frozen / "faults" / "provenance.json")
    make_book_folder(folder, PAGES)
    add_notebook(folder, "06-films", [saved[0], saved[2]], study="demo")
    add_notebook(folder, "12-film-faces", [of_film], study="film")
    done = build(folder)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def add_notebook(folder, name, saved, *, study):
    """Add a notebook as papermill leaves it: run elsewhere, its outputs kept."""
    outputs = [
        nbformat.v4.new_output(
            "display_data", {"text/html": figure._repr_html_(), "text/plain": repr(figure)}
        )
        for figure in saved
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# A stage"),
        nbformat.v4.new_code_cell("figure", outputs=outputs, execution_count=1),
    ]
    path = folder / "book" / "executed" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    about = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    about["papermill"] = {"parameters": {"study": study}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), path)
    with (folder / "_toc.yml").open("a") as toc:
        toc.write(f"- file: book/executed/{name}\n")


def test_numbers_stand_in_the_prose(book):
    text = text_of(book, "index")
    assert (
        "reaches 0.61 [0.55, 0.67], \N{MINUS SIGN}4.2% more, on cpu, and n/a is not defined" in text
    )
    assert "best reaches 61%" in text_of(book, "results")
    assert "By their intervals: above, below, open, n/a." in text_of(book, "index")


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_number_says_by_keyboard_what_it_is_and_is_silent_in_print(book, chromium, size):
    with opened(chromium, page(book, "index"), size=size) as (tab, faults):
        number = tab.locator(".paper-value").first
        number.focus()
        shown = "getComputedStyle(document.activeElement, '::after')"
        assert tab.evaluate(f"{shown}.content").strip('"').split(r"\a ") == [
            "exe, accuracy: 0.612",
            "Interval: 0.551 to 0.668, by the method in the chapter Methods",
            "Row: demo/films.exe.accuracy, n 1234",
            "Make it again: make book STUDY=demo",
        ]
        assert tab.evaluate(f"parseFloat({shown}.width)") < size[0]
        edges = {}
        for height in (
            size[1],
            int(number.bounding_box()["y"]) + 60,
        ):  # above, then below the middle
            tab.set_viewport_size({"width": size[0], "height": height})
            tab.locator(".paper-value").nth(1).focus()
            number.focus()
            edges[height] = tab.evaluate(f"[{shown}.top, {shown}.bottom].indexOf('16px')")
        assert list(edges.values()) == [1, 0]
        tab.keyboard.press("Escape")
        assert tab.evaluate(f"{shown}.content") == "none"
        tab.locator(".paper-value").nth(1).click()
        assert "shift" in tab.evaluate(f"{shown}.content")
        tab.emulate_media(media="print")
        assert tab.evaluate(f"{shown}.content") == "none"
        assert faults == []


CHART = ("svg", "pdf", "89mm.svg", "89mm.pdf", "png", "csv")
CHART += ("vl.json", "89mm.vl.json", "provenance.json")


def own_page(book, name):
    return book / "_build" / "html" / ("tables" if "tab-" in name else "figures") / f"{name}.html"


def test_text_for_one_kind_of_study_only(book):
    assert "Seen in a world. 12" in text_of(book, "index")
    assert "A section of a world" in text_of(book, "index")
    assert "Seen in a real book" not in text_of(book, "index")


def test_figures_are_numbered_in_chapters_and_named_in_notebooks(book):
    assert "See Figure 1 and Table 1. " in text_of(book, "index")
    assert f'alt="{ALT["fig-recall"]}"' in page(book, "results").read_text()
    assert "Figure" not in text_of(book, "executed/06-films")
    listed = text_of(book, "../figures/index")
    assert "fig-recall in Results: Recall by run; the best reaches 61%. Its prose" in listed
    assert 'href="../book/prose.html"' in own_page(book, "fig-recall").read_text()
    assert "fig-run in A stage: Recall of five emotions, as a notebook shows it." in listed
    entries = [*ALT, "fig-faces", "tab-metrics", "tab-nothing", "faults-tab-faults"]
    places = [listed.index(f"{name} in ") for name in ("fig-recall", "fig-faces", "fig-run")]
    assert places == sorted(places)
    assert [len(re.findall(rf"(?<!-){name} in ", listed)) for name in entries] == [1] * len(entries)


@pytest.mark.parametrize(
    ("name", "suffixes"),
    [
        ("fig-recall", CHART),
        ("film-fig-film-sources", CHART),
        ("fig-faces", ("png", "jpg", "csv", "provenance.json")),
        ("tab-metrics", ("csv", "tex")),
    ],
)
def test_the_page_of_a_figure_or_table_offers_its_files_and_rows(book, name, suffixes):
    path = own_page(book, name)
    files = re.findall(rf'href="({name}\.[^"]+)"', path.read_text())
    assert files == [f"{name}.{suffix}" for suffix in suffixes]
    assert all((path.parent / file).stat().st_size > 0 for file in files)
    first = pd.read_csv(path.with_name(f"{name}.csv")).iloc[0, 0]
    assert f"<td>{first}</td>" in path.read_text()
    html = book / "_build" / "html"
    assert len(list(html.rglob("fig-recall*.svg"))) == 2
    assert not list(html.rglob("_downloads/*/fig-*"))


def test_a_table_shows_estimates_and_offers_its_rows(book):
    row = sample_tables.metrics().query("run_id == 'exe' and metric == 'accuracy'").iloc[0]
    cell = f"{row.value:.2f} [{row.low:.2f}, {row.high:.2f}]"
    shown = text_of(book, "results")
    assert cell in shown
    assert "Run, as trained accuracy macro f1" in shown
    assert "Run Score none" in shown
    tables = book / "_build" / "html" / "tables"
    kept = pd.read_csv(tables / "tab-metrics.csv")
    assert set(kept["metric"]) == {"accuracy", "macro_f1"}
    assert row.value in set(kept["value"])
    written = (tables / "tab-metrics.tex").read_text()
    assert re.search(
        rf"^exe & {re.escape(cell)} & .*\\\\$", written.replace("\xa0", " "), re.MULTILINE
    )
    assert r"\caption{Scores of the runs.}" in written
    widths = [float(width) for width in re.findall(r"dimexpr ([\d.]+)", written)]
    assert len(widths) == 3
    assert sum(widths) <= 1


def test_the_page_of_a_figure_says_where_it_is_from_and_how_it_is_made_and_cited(book):
    shown = text_of(book, "../figures/fig-faces")
    assert re.search(r"In Results. Made from study demo, commit \w+\+?, seed 42, cpu", shown)
    assert "@misc{exe-fig-faces, author = {{The authors of Expressions Ensemble" in shown
    assert "re-examined: figure fig-faces}}, year = {2026}" in shown
    assert "Make it again make book STUDY=demo BibTeX" in shown
    shown = text_of(book, "../tables/faults-tab-faults")
    assert "pytest --write-faults BibTeX @misc{exe-faults-tab-faults" in shown


def test_the_film_study_is_of_every_book_computed_anew_where_it_can_be(book):
    shown = text_of(book, "film")
    assert "Computed with each book: 10; frozen: 12." in shown
    own = text_of(book, "../figures/film-fig-film-sources")
    assert re.search(r"study film, commit \w+\+?, seed 42", own)
    assert "Make it again exe stage 12-film-faces --study film BibTeX" in own
    for name in ("film", "executed/12-film-faces"):
        assert 'id="film-fig-film-sources"' in page(book, name).read_text()
        assert "a program drew them" not in text_of(book, name)
    assert text_of(book, "../figures/index").count("film-fig-film-sources in Film") == 1


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_reader_judges_by_a_rule_of_ones_own(book, chromium, size):
    ways = sample_tables.ways()
    with opened(chromium, page(book, "rule"), size=size) as (tab, faults):
        rows = tab.locator("#reader-rule tbody tr")

        def verdicts():
            return [cells.split("\t")[3:] for cells in rows.all_inner_texts()]

        assert all(judged == plan for judged, plan in verdicts())
        tab.locator("[name=films]").select_option("without Animation")
        tab.locator("[name=measure]").select_option("mean probability")
        assert verdicts()[3] == ["not supported", "supported"]
        said = tab.locator("[name=departs]")
        assert said.inner_text() == "1 of 5 verdicts differ from ours."
        chosen = ways.query(
            "claim_id == 'c4' and films == 'without Animation' and measure == 'mean probability' "
            "and confidence == 0 and level == 0.95"
        )
        estimate = "{value:.2f} [{low:.2f}, {high:.2f}]".format(**chosen.iloc[0])
        assert rows.nth(3).locator("td").first.inner_text() == estimate
        tab.locator("[name=tolerance]").fill("2")
        assert verdicts()[3] == ["supported", "supported"]
        tab.locator("[type=reset]").focus()
        tab.keyboard.press("Enter")
        tab.wait_for_function("document.forms['reader-rule'].elements.times.value === '1 ×'")
        assert all(judged == plan for judged, plan in verdicts())
        assert tab.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert faults == []


def pasted(tab):
    """Paste what was copied into a field of the page, and leave the focus where it was."""
    tab.evaluate("before = document.activeElement")
    tab.evaluate("document.body.append(field = document.createElement('textarea'))")
    tab.evaluate("field.focus()")
    tab.keyboard.press("Control+V")
    text = tab.evaluate("field.value")
    tab.evaluate("field.remove(); before.focus()")
    return text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_of_a_figure_is_used_by_keyboard_and_copies_without_a_network(
    book, chromium, theme
):
    with opened(chromium, page(book, "results"), theme=theme) as (tab, faults):
        tab.locator("#fig-recall + p.reuse a").focus()
        tab.keyboard.press("Enter")
        lines = tab.locator("article div.highlight pre")
        tab.locator("article button.copybtn").last.wait_for(state="attached")
        tab.locator(".own-rows").focus()
        for k in range(lines.count()):
            tab.keyboard.press("Tab")
            tab.keyboard.press("Enter")
            assert tab.evaluate("document.activeElement.className").startswith("copybtn")
            assert pasted(tab) == lines.nth(k).inner_text().strip()
        assert faults == []


def test_pages_with_synthetic_results_say_so_and_others_do_not(book):
    said = "a program drew them"
    for name in ("index", "results"):
        assert said in text_of(book, name)
    assert said in text_of(book, "executed/06-films")
    assert said not in text_of(book, "prose")
    assert said not in text_of(book, "frozen")
    assert "On real faces 0.457" in text_of(book, "frozen")
    assert said not in text_of(book, "faults")
    assert "reset mid-body" in text_of(book, "faults")
    assert said not in text_of(book, "mixed")


@pytest.mark.parametrize(
    ("name", "n"), [("index", 0), ("results", 2), ("executed/06-films", 2), ("prose", 0)]
)
def test_pages_live_without_a_network_and_load_what_they_need(book, chromium, name, n):
    with opened(chromium, page(book, name), size=PHONE) as (tab, faults):
        charts = tab.locator("figure.paper-figure:has([data-spec])")
        assert charts.count() == n
        for k in range(n):
            charts.nth(k).scroll_into_view_if_needed()
            charts.nth(k).locator("svg.marks").wait_for(timeout=20_000)
            described = charts.nth(k).locator(".vega-embed").get_attribute("aria-label")
            assert described in ALT.values()
            assert 300 < charts.nth(k).locator("svg.marks").bounding_box()["width"] <= 336
        if name == "index":
            tab.locator("mjx-container svg").first.wait_for(timeout=20_000)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        tab.set_viewport_size({"width": 1440, "height": 900})
        for chart in charts.all():  # is drawn anew, as it was designed for a wide screen
            chart.locator("svg.marks[width^='6']").wait_for(timeout=20_000)
        assert faults == []
    source = page(book, name).read_text()
    assert ("vega-" in source) == bool(n)
    assert "data:image/svg+xml;base64," not in source
    assert "unpkg.com" not in source


def looks(chart):
    """Read the colours of a live chart: its paper, its text, and those of its emotions."""
    return chart.evaluate(
        """(chart) => {
            const fill = (mark) => getComputedStyle(mark).fill;
            const marks = [...chart.querySelectorAll(".mark-symbol path")].map(fill);
            return [
                getComputedStyle(chart).backgroundColor,
                fill(chart.querySelector(".role-axis-label text")),
                [...new Set(marks)].sort(),
            ];
        }"""
    )


def test_a_live_chart_follows_the_theme_and_is_light_on_paper(book, chromium):
    with opened(chromium, page(book, "results"), theme="dark") as (tab, faults):
        chart = tab.locator("#fig-recall[data-live] .chart")
        chart.wait_for(timeout=20_000)
        paper, ink, emotions = looks(chart)
        assert (paper, ink) == ("rgb(0, 0, 0)", rgb(THEMES["ink"][1]))
        assert emotions == sorted(rgb(COLOURS[label]) for label in FIVE)
        by_day = ["rgba(0, 0, 0, 0)", rgb(THEMES["ink"][0]), emotions]
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert looks(chart) == by_day
        tab.evaluate("dispatchEvent(new Event('afterprint'))")
        assert looks(chart) == [paper, ink, emotions]
        tab.evaluate("document.documentElement.dataset.theme = 'light'")
        assert looks(chart) == by_day
        assert faults == []


def rgb(colour):
    return "rgb({}, {}, {})".format(*bytes.fromhex(colour[1:]))


def test_a_changed_number_rebuilds_the_pages_that_cite_it(book):
    values = book / "data" / "results" / "demo" / "values" / "films.json"
    changed = json.loads(values.read_text())
    changed["films.counter"]["value"] = 4321
    untouched = page(book, "prose").stat().st_mtime_ns
    record.write_json(changed, values)
    assert build(book).returncode == 0
    assert "So far 4321." in text_of(book, "counter")
    assert page(book, "prose").stat().st_mtime_ns == untouched


def test_the_same_pages_make_the_book_of_another_study(tmp_path):
    both = "# Both\n:::{when} world\nA world.\n:::\n:::{when} real\nReal, {val}`films.n`.\n:::\n"
    make_book_folder(tmp_path, {"index": both, "prose": PAGES["prose"]})
    assert build(tmp_path, "demo").returncode == 0
    assert "A world." in text_of(tmp_path, "index")
    values = tmp_path / "data" / "results" / "real" / "values" / "films.json"
    record.write_json({"films.n": {"value": 7}}, values)
    assert build(tmp_path, "real").returncode == 0
    assert "Real, 7." in text_of(tmp_path, "index")
    assert "A world." not in text_of(tmp_path, "index")
    assert "a program drew them" not in text_of(tmp_path, "index")


WRONG = {
    "{val}`films.nothing:.2f`": "no value 'films.nothing' in demo; films has",
    "{val}`nowhere.n`": "demo has no nowhere.json: run what makes it first",
    "{val}`films.device:.2f`": "cannot write 'cpu' as '.2f'",
    "{est}`films.n:.2f`": "has no interval, only",
    "{word}`films.n: up | down | open`": "an interval chooses among three words",
    "{word}`films.exe.accuracy: up | down`": "films.exe.accuracy: an interval chooses among",
    "{n}`films.n`": "has no n, only value",
    "{val}`nostudy/films.n`": "'nostudy' is no study",
    "```{paper-figure} fig-none\nCaption.\n```": "has no fig-none.provenance.json",
    "```{paper-figure} fig-recall\n```": "has no caption",
    "```{paper-table} metrics\n:columns: nocolumn\nCaption.\n```": "no column 'nocolumn'",
    "```{when} wordl\nText.\n```": "wordl is none of world, real",
}


def test_a_wrong_citation_fails_the_build_and_says_why(book, tmp_path):
    page_of_faults = "# Wrong\n" + "\n\n".join(WRONG) + "\n"
    make_book_folder(tmp_path, {"index": page_of_faults, "prose": PAGES["prose"]})
    shutil.copytree(book / "data", tmp_path / "data")
    done = build(tmp_path)
    assert done.returncode != 0
    missing = [said for said in WRONG.values() if said not in done.stderr]
    assert missing == [], done.stderr
