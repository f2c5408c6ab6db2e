"""A real browser without a network: what it asks for from outside, or complains of, is a fault."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
)
LOCAL = ("file:", "data:", "blob:", "about:")
DESKTOP, PHONE = (1280, 900), (390, 844)
FAULTS_OF_CHART = """(chart, width) => {
    const frame = chart.querySelector("svg").getBoundingClientRect();
    const shows = (text) => text.textContent.trim() && getComputedStyle(text).opacity !== "0";
    const texts = [...chart.querySelectorAll("svg text")].filter(shows);
    const boxes = texts.map((text) => text.getBoundingClientRect());
    const faults = frame.right > width ? [`${frame.width} px wide`] : [];
    texts.forEach((text, k) => {
        const [box, words] = [boxes[k], text.textContent];
        if (parseFloat(getComputedStyle(text).fontSize) < 8) faults.push(`tiny: ${words}`);
        const [left, right] = [frame.left - box.left, box.right - frame.right];
        const [top, bottom] = [frame.top - box.top, box.bottom - frame.bottom];
        if (Math.max(left, right, top, bottom) > 1) faults.push(`cut: ${words}`);
        boxes.slice(k + 1).forEach((other, n) => {
            const wide = Math.min(box.right, other.right) - Math.max(box.left, other.left);
            const high = Math.min(box.bottom, other.bottom) - Math.max(box.top, other.top);
            if (wide > 2 && high > 4) faults.push(`${words} over ${texts[k + 1 + n].textContent}`);
        });
    });
    return faults;
}"""  # 8 px are 6 pt in print


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Start the machine's own Chromium, headless."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser ({', '.join(NAMES)}): apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    path: Path,
    *,
    javascript: bool = True,
    size: tuple[int, int] = DESKTOP,
    theme: str = "light",
) -> Iterator[tuple[Page, list[str]]]:
    """Open a page from disk, offline; also gives the list of faults, which grows as they come."""
    faults: list[str] = []
    context = browser.new_context(
        offline=True,
        java_script_enabled=javascript,
        color_scheme=theme,
        viewport={"width": size[0], "height": size[1]},
    )
    page = context.new_page()
    page.on(
        "request",
        lambda request: request.url.startswith(LOCAL) or faults.append(f"asks for {request.url}"),
    )
    page.on(
        "requestfailed",
        lambda request: "NOT_FOUND" in request.failure and faults.append(f"lacks {request.url}"),
    )
    page.on("pageerror", lambda fault: faults.append(f"script: {fault}"))
    page.on(
        "console",
        lambda message: message.type == "error" and faults.append(f"console: {message.text}"),
    )
    page.goto(path.as_uri(), wait_until="load")
    yield page, faults
    context.close()
