"""`exe pdf`: the built book as one PDF, printed by Chromium."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from exe_core.commands.terminal import fail
from exe_core.config import ROOT
from exe_core.writing import replacing

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BUILT = ROOT / "_build" / "html"
PAGE = re.compile(rb"^(\d+) 0 obj\s<</Type /Page\s", flags=re.MULTILINE)
PLACE = re.compile(rb"/(page-\d+) \[(\d+) 0 R")
TYPESETTING_MS = 30_000
"""How long scripts may set mathematics, by the clock of the page."""


def pdf(
    out: Annotated[Path, typer.Option(help="the file to write")] = ROOT / "_build" / "book.pdf",
    html: Annotated[Path, typer.Option(help="the built book")] = BUILT,
) -> None:
    """Print the built book as one PDF, with its contents; needs Chromium or Chrome."""
    from exe_core.commands.one_document import DocumentError, document  # slow to import

    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        fail(f"no browser to print with ({', '.join(BROWSERS)}): apt-get install chromium")
    try:
        book = document(html, ROOT / "CITATION.cff")
    except DocumentError as fault:
        fail(str(fault))
    with tempfile.TemporaryDirectory() as scratch:
        source, printed = Path(scratch) / "book.html", Path(scratch) / "book.pdf"
        numbers: dict[str, int] = {}
        for _ in range(2):  # the first print tells the numbers that the contents then show
            source.write_text(book.written(numbers), encoding="utf-8")
            _print(browser, source, printed)
            numbers = page_numbers(printed.read_bytes())
        with replacing(out) as partial:
            shutil.copyfile(printed, partial)
    n_pages = len(PAGE.findall(out.read_bytes()))
    typer.echo(f"{out}: {n_pages} pages, {out.stat().st_size / 2**20:.1f} MiB")


def page_numbers(content: bytes) -> dict[str, int]:
    """Read from a PDF, as Chromium writes it, on which page each page of the book begins.

    Pages stand in it in their order, and the places that links lead to by their names.
    """
    order = {number: k for k, number in enumerate(PAGE.findall(content), start=1)}
    return {name.decode(): order[number] for name, number in PLACE.findall(content)}


def _print(browser: str, source: Path, target: Path) -> None:
    command = [browser, "--headless", "--disable-gpu", "--no-pdf-header-footer"]
    command += ["--generate-pdf-document-outline", f"--virtual-time-budget={TYPESETTING_MS}"]
    command += [f"--user-data-dir={source.parent / 'profile'}", f"--print-to-pdf={target}"]
    if os.geteuid() == 0:
        command += ["--no-sandbox"]  # as root Chromium starts with none
    target.unlink(missing_ok=True)
    done = subprocess.run(
        [*command, source.as_uri()], capture_output=True, text=True, errors="replace", check=False
    )
    if not target.is_file():
        said = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        fail(f"{Path(browser).name} did not print: {said[-1]}")
