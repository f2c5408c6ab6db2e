"""The prose as it is written: no typed result, no misspelling, sources and links that are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pybtex.database import parse_file

from exe_core.record import ROOT

BOOK = ROOT / "book"
PAGES = (
    *("index", "question", "film", "film-labels", "film-shares", "film-limits", "claims"),
    *("explorer", "sentiment", "real-faces", "instruments", "methods", "limits", "reproducibility"),
)
NAMES = (
    r"FER2013|FERV39k|RAF-DB|F1|ConvNeXt-V2|ResNet18|[QR]\d\b|\bv[12]\b|9[05] %|48 px|112 px|"
    r"[Cc]laims? \d( (to|and) \d)?|\bc7a\b|^and 7|"
    r"\b(side of|includes|excludes) 0|below \.05|2-3 hours"
)
ALLOWED = {  # what others published, and rules that were fixed before
    "index": r"^\d\. |CC BY 4\.0|98 % angry|0 is right, 1 entirely",
    "film": r"within \.03",
    "film-labels": r"500 to 4,000 faces",
    "film-shares": (
        r"with 100 scored faces|0 means right, 1 entirely wrong|confidence \.5 or more|"
        r"only 30 faces|with 30 faces|with 100\."
    ),
    "film-limits": r"of 200 faces",
    "claims": (
        r"98% angry|about 60 %|no wider than \.3|~92 minutes|about minute 84|After minute 75|"
        r"confidence \.5 or more|against \.98 with a tolerance of \.02|tolerance of \.1|"
        r"within \.4 and \.6|[Cc]laims? 1 to 5|3 and 4"
    ),
    "sentiment": (
        r"of (112|224) pixels|[Ss]urprise may be \+1, 0|disgust −2 or −1|3,068 test faces"
    ),
    "instruments": r"significant at \.05",
    "limits": r"Article \d+",
    "reproducibility": r"98% angry|to 5 rest",
}
FENCED = re.compile(r"^```\w*\n.*?^```$", flags=re.MULTILINE | re.DOTALL)
MARKUP = re.compile(
    r"^:[\w-]+:.*$|^\([\w-]+\)=$"  # an option of a directive, a label
    r"|^[:`]{3,}\{.*$"  # its first line
    r"|^#+ .*$"
    r"|\{[\w:-]+\}`[^`]*`|`[^`]*`"  # a role, code
    r"|\]\([^)]*\)|<[^>]*>",
    flags=re.MULTILINE,
)
CITED = re.compile(r"\{cite(?::\w)?\}`([^`]+)`|\[@(\w+)\]")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def typed_numbers(text, *, allowed="$^"):
    """List the lines of a page that hold a digit which nothing computed."""
    prose = MARKUP.sub("", FENCED.sub("", text))
    prose = re.sub(f"{NAMES}|{allowed}", "", prose, flags=re.MULTILINE)
    return [line for line in prose.splitlines() if re.search(r"\d", line)]


@pytest.mark.parametrize("name", PAGES)
def test_no_number_of_a_result_is_typed(name):
    text = (BOOK / f"{name}.md").read_text()
    assert typed_numbers(text, allowed=ALLOWED.get(name, "$^")) == []


def test_a_typed_number_is_found_and_a_computed_one_is_not():
    page = "# In 3 parts\n{val}`a.b:.2f` of FER2013 {cite}`li2017`.\n:columns: n = N : .2f\n"
    assert typed_numbers(page + "It reaches .73.\n") == ["It reaches .73."]


def test_no_common_misspelling():
    listed = ["git", "-C", str(ROOT), "grep", "-lI", "", "--", ".", ":!data/frozen"]
    files = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\n")
    command = [sys.executable, "-m", "codespell_lib", *filter(None, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_source_is_cited_and_every_citation_has_its_source():
    pages = [*BOOK.glob("*.md"), *(ROOT / "notebooks").glob("*.ipynb"), ROOT / "data" / "README.md"]
    cited = {
        key.strip()
        for page in pages
        for found in CITED.finditer(page.read_text())
        for key in (found[1] or found[2]).split(",")
    }
    assert cited == set(parse_file(BOOK / "references.bib").entries)


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "data/README.md",
        *(f"data/models/{name}/README.md" for name in ("exe5", "fer5", "fer7", "keyword5")),
    ],
)
def test_links_of_a_page_outside_the_book_lead_to_files(page):
    own = [link for link in LINK.findall((ROOT / page).read_text()) if "://" not in link]
    for link in own:
        path, _, anchor = link.partition("#")
        target = (ROOT / page).parent / path if path else ROOT / page
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def headings(path: Path):
    """Give the anchors of a page's headings, as forges make them."""
    lines = re.findall(r"^#+ (.+)$", path.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}
