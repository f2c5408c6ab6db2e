"""What others wrote is shown as text and read as data: nothing of it is run, linked or followed."""

import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import sample_tables
import yaml
from browser import opened
from film_samples import write_film
from test_book import see_all_charts
from test_book_ext import build, make_book_folder, page
from typer.testing import CliRunner

from exe_core import cli, figures, film_report, readers, record, screening, study
from exe_core.figures.films import shares_chart
from exe_core.readers import DatasetError
from exe_core.study import ConfigError, load_study

NASTY = (
    '<img src="x" onerror="window.ran = 1"><script>window.ran = 1</script>'
    "</title></style><b id=injected>b</b> [a](javascript:ran=1) `{{7*7}}` & \"'"
)
"""What would be a script, an element, a link or a template where it is not shown as text."""

GRAY = [np.full((90, 160, 3), 90, np.uint8)]
UNTOUCHED = """() => ({
  ran: window.ran === undefined,
  injected: document.querySelectorAll('#injected, [onerror], img[src="x"]').length,
  links: [...document.querySelectorAll('a')].filter((a) => a.href.startsWith('javascript')).length,
})"""


def is_untouched(tab):
    tab.wait_for_timeout(200)
    return tab.evaluate(UNTOUCHED) == {"ran": True, "injected": 0, "links": 0}


def nasty_films():
    films = sample_tables.films(4)
    return films.assign(title=[f"{NASTY} {k}" for k in range(4)], genre=NASTY)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path / "home"))
    return tmp_path


def shares(name="fig-shares"):
    """Save a figure whose data, and whose words for those who can't see it, are hostile."""
    films = nasty_films()
    chart = shares_chart(sample_tables.film_summary(4), films=films)
    return figures.save(chart, name, study=load_study("demo"), alt=NASTY)


def test_the_check_of_a_page_finds_what_ran(chromium, tmp_path):
    (tmp_path / "page.html").write_text(f"<!doctype html><body>{NASTY}</body>")
    with opened(chromium, tmp_path / "page.html") as (tab, _):
        assert not is_untouched(tab)


def test_what_notebooks_show_is_text(chromium, home):
    """A table and a figure as a notebook shows them, and the drawing itself, opened as a page."""
    figure = shares()
    shown = figure._repr_html_() + nasty_films().to_html()
    drawing = figure.path("svg").read_text()
    body = f'<!doctype html><meta charset="utf-8"><body>{shown}{drawing}</body>'
    (home / "page.html").write_text(body)
    with opened(chromium, home / "page.html") as (tab, faults):
        assert is_untouched(tab)
        assert not faults
        assert tab.locator("img").get_attribute("alt") == NASTY
        assert NASTY in tab.locator("table").text_content()
    with opened(chromium, figure.path("svg")) as (tab, _):
        assert is_untouched(tab)


def test_the_page_of_a_film_shows_the_name_of_its_file(chromium, home):
    name = "<img src=x onerror=\"ran=1\"> & 'Sons'; rm -rf.mp4"
    write_film(home / name, GRAY * 3)
    film = screening.find_films([home]).iloc[0].to_dict()
    nothing = {"predicted": None, "prob_happy": float("nan"), "prob_sad": float("nan")}
    rows = pd.DataFrame([{"run_id": NASTY, "frame": 0, "time_s": 0.0, "n_faces": 0, **nothing}])
    origin = {"title": film["title"], "models": {NASTY: NASTY}, "commit": None}
    about = {"title": film["title"], "film": film, "rows": rows, "run": NASTY, "trust": None}
    text = film_report.render("film_page.html", origin=origin, **about)
    (home / "page.html").write_text(text)
    with opened(chromium, home / "page.html") as (tab, faults):
        assert is_untouched(tab)
        assert tab.locator("h1").inner_text() == name.removesuffix(".mp4")
        assert not faults


@pytest.mark.slow
def test_the_book_shows_it_as_text(chromium, home):
    """Cells of tables, charts that are drawn live, words for those who can't see, notebooks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home / "data"))
        figure = shares()
    told = home / "data" / "frozen" / "told"
    told.mkdir(parents=True)
    pd.DataFrame({"who": [NASTY], "n": [1]}).to_csv(told / "told.csv", index=False)
    record.write_json({"command": NASTY, "commit": None}, told / "provenance.json")
    make_book_folder(
        home,
        {
            "index": "# Book\n",
            "told": "# Told\n```{paper-figure} fig-shares\nShares.\n```\n"
            "```{paper-table} told/told\n:columns: who = Who, n\nTold.\n```\n",
        },
    )
    outputs = [
        nbformat.v4.new_output("display_data", {"text/html": html})
        for html in (figure._repr_html_(), nasty_films().to_html())
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# A stage"),
        nbformat.v4.new_code_cell("shown", outputs=outputs, execution_count=1),
    ]
    path = home / "book" / "executed" / "06-films.ipynb"
    path.parent.mkdir()
    about = {"language_info": {"name": "python", "pygments_lexer": "ipython3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=about), path)
    with (home / "_toc.yml").open("a") as toc:
        toc.write("- file: book/executed/06-films\n")
    done = build(home)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for name in ("told", "executed/06-films"):
        with opened(chromium, page(home, name)) as (tab, faults):
            see_all_charts(tab)
            assert is_untouched(tab), name
            assert not faults, name
            assert "<script>window.ran = 1</script>" in tab.locator("article").text_content()


def test_a_film_names_no_folder_but_its_own(tmp_path):
    """Nor a file that stands beside its folder."""
    names = [".lock.mp4", "films.csv.mp4", "index.html.mkv", "a.mp4"]
    names += ["b.mp4", "b.mkv", "other/b.mp4"]
    (tmp_path / "other").mkdir()
    for name in names:
        write_film(tmp_path / name, GRAY)
    asked = [tmp_path, tmp_path / "a.mp4", tmp_path / ".lock.mp4"]  # hidden ones by name only
    ids = screening.find_films(asked)["film_id"].tolist()
    assert len(set(ids)) == len(ids) == len(names)
    assert {"lock", "films.csv.mp4", "index.html.mkv", "a"} < set(ids)
    for name in ids:
        assert (tmp_path / "out" / name).resolve().parent == tmp_path / "out"


@pytest.mark.slow
def test_every_command_of_a_build_quotes_its_paths(tmp_path):
    home = tmp_path / "a & b's"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--config", "study=smoke", "-n", "-p"],
        cwd=record.ROOT,
        env=os.environ | {"EXE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=True,
    )
    shown = re.findall(r"^Shell command: (.*--out.*)", done.stdout + done.stderr, re.MULTILINE)
    commands = [shlex.split(line) for line in shown]
    assert len(commands) > 5
    for words in commands:
        assert Path(words[words.index("--out") + 1]).is_relative_to(home)


@pytest.mark.parametrize(
    "text",
    ["!!python/object/apply:os.system ['touch ran']", "title: !!python/name:os.system"],
)
def test_a_study_runs_nothing(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "ROOT", tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "bad.yml").write_text(text)
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        load_study("bad")
    words = ["stage", "03-train", "--study", "smoke", "-p", f"run={text.removeprefix('title: ')}"]
    assert isinstance(CliRunner().invoke(cli.app, words).exception, yaml.YAMLError)
    assert not (tmp_path / "ran").exists()


def test_a_bomb_is_left_before_it_fills_the_disk(folders, monkeypatch):
    monkeypatch.setattr(readers, "LARGEST_UNPACKED", 1_000_000)
    monkeypatch.setattr(readers, "MOST_FILES", 50)
    for name, sizes in (("large", [10**8]), ("many", [1] * 60)):
        archive = folders / f"{name}.tar.xz"
        with tarfile.open(archive, "w:xz", preset=1) as bomb:
            for k, size in enumerate(sizes):
                member = tarfile.TarInfo(f"fer2013/train/happy/{k}.jpg")
                member.size = size
                bomb.addfile(member, Zeros(size))
        unpacked = folders / name
        with pytest.raises(DatasetError, match="would be more than"):
            readers.read_fer2013(archive, unpacked=unpacked)
        written = [path.stat().st_size for path in folders.rglob("*.jpg")]
        assert sum(written) <= 1_000_000
        assert len(written) <= 51


class Zeros:
    """A file of zeros that takes no room."""

    def __init__(self, left):
        self.left = left

    def read(self, size):
        given = min(size, self.left)
        self.left -= given
        return bytes(given)
