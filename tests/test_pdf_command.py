"""`exe pdf`: a PDF with numbered contents from a real browser; without one, a clear error."""

import re
import shutil

import pytest
from browser import NAMES
from test_one_document import INDEX, RUN
from typer.testing import CliRunner

from exe_core.cli import app
from exe_core.commands.one_document import STYLE
from exe_core.commands.pdf_command import page_numbers
from exe_core.config import ROOT

LONG = "<article>" + "<p>A line.</p>" * 200 + '<p id="fig-x"></p></article>'
PRINTED = b"""1 0 obj
<</Type /Page
/Parent 4 0 R>>
endobj
4 0 obj
<</Type /Pages
/Kids [1 0 R 7 0 R]>>
endobj
7 0 obj
<</Type /Page
/Parent 4 0 R>>
endobj
9 0 obj
<</page-0 [1 0 R /XYZ 6 826 0]
/page-1--fig-x [1 0 R /XYZ 6 782 0]
/page-1 [7 0 R /XYZ 6 826 0]>>
endobj
"""


def exe(*words):
    return CliRunner().invoke(app, ["pdf", *map(str, words)])


@pytest.fixture
def html(tmp_path):
    folder = tmp_path / "html"
    (folder / "book" / "executed").mkdir(parents=True)
    for name, text in (("index", INDEX), ("first", LONG), ("executed/run", RUN)):
        (folder / "book" / f"{name}.html").write_text(text)
    (folder / "_static").mkdir()
    shutil.copy(
        ROOT / "book" / "_ext" / "paperbook" / "static" / "one-document.css", folder / STYLE
    )
    return folder


def test_places_are_read_from_a_pdf():
    assert page_numbers(PRINTED) == {"page-0": 1, "page-1": 2}


def test_without_a_browser_it_says_what_to_install(html, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    done = exe("--html", html, "--out", tmp_path / "book.pdf")
    assert done.exit_code == 1
    assert "no browser to print with (chromium" in done.output
    assert "apt-get install chromium" in done.output


def test_a_browser_that_fails_is_told(html, monkeypatch, tmp_path):
    (tmp_path / "chromium").write_text("#!/bin/sh\necho no display >&2\nexit 3\n")
    (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = exe("--html", html, "--out", tmp_path / "book.pdf")
    assert done.exit_code == 1
    assert "chromium did not print: no display" in done.output
    assert not (tmp_path / "book.pdf").exists()


def test_without_a_book_it_says_what_to_do(tmp_path, monkeypatch):
    (tmp_path / "chromium").write_text("")
    (tmp_path / "chromium").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    done = exe("--html", tmp_path / "none", "--out", tmp_path / "book.pdf")
    assert done.exit_code == 1
    assert "make book first" in done.output


@pytest.mark.skipif(not any(map(shutil.which, NAMES)), reason="no Chromium to print with")
def test_the_book_is_printed_with_numbered_contents(html, tmp_path):
    out = tmp_path / "made" / "book.pdf"
    done = exe("--html", html, "--out", out)
    assert done.exit_code == 0, done.output
    n_pages = int(re.search(r"(\d+) pages", done.output)[1])
    assert n_pages >= 2 + 3 + 2  # title, contents, and three pages of which one is long
    begins = page_numbers(out.read_bytes())
    assert set(begins) == {"page-0", "page-1", "page-2"}
    assert begins["page-0"] == 3
    assert begins["page-2"] > begins["page-1"] + 1
