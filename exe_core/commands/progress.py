"""How far a study is: the state of each stage, and what it has yet to do.

Which stages there are, and which are stale, is Snakemake's judgement; whether one runs, failed or
was killed, its page says; how long it took, the log.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from exe_core.commands import stage_log
from exe_core.commands.executing import failed_page, is_held, running_page
from exe_core.commands.stage_log import Entry
from exe_core.config import ROOT, Study

JUDGED_BY = ("--max-checksum-file-size", str(10**10), "--nolock")
"""Files of any size are compared by content; looking needs no lock."""
STATES = ("failed", "stopped", "running", "stale", "waiting", "done")

_BAR = re.compile(r"(\S+)/(\S+) \[[\d:]+<([\d:?]+)")


class PlanError(RuntimeError):
    """Snakemake can't say what is to be done."""


class Bar(NamedTuple):
    """What the last progress bar of a running page says."""

    done: str
    total: str
    left_s: float | None


class Output(NamedTuple):
    """A file that a rule is to leave, and whether it is to be made (again)."""

    path: Path
    rule: str
    pending: bool


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A stage of a study, as it is now."""

    page: str
    state: str
    """One of `STATES`; "stopped" is one that was killed."""
    seconds: float | None = None
    """How long it took, or runs."""
    left_s: float | None = None
    """How long it will take yet, where its bar or stages like it tell."""
    bar: Bar | None = None
    entry: Entry | None = None
    """Its last line in the log."""


def stages(study: Study) -> list[Stage]:
    """Tell the state of every stage of a study, and of its book.

    Nothing is written. A stage that is to run again is "stale", one that never ended "waiting".

    Raises
    ------
    PlanError
        With Snakemake's reason.
    """
    log = stage_log.latest(study)
    like = _typical_s(log.values())
    outputs = _plan(study)
    pages = [output for output in outputs if output.path.suffix in (".ipynb", ".html")]
    pages.sort(key=lambda output: (output.path.suffix == ".html", output.path.stem))
    paged = {output.rule for output in pages}
    many = [output for output in outputs if output.rule not in paged]
    found = [_stage(output.path, output.pending, log, like) for output in pages]
    return [*_parts(many), *found]


def _plan(study: Study) -> list[Output]:
    """Ask Snakemake for all that a study is to leave."""
    command = [sys.executable, "-m", "snakemake", "--config", f"study={study.name}", *JUDGED_BY]
    done = subprocess.run(
        [*command, "--cores", "1", "--summary", "--", "all"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.strip()]
        raise PlanError("\n".join(reason[-6:]) or "Snakemake ended without a word")
    header, *lines = (line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    return [
        Output(ROOT / row["output_file"], row["rule"], row["plan"] != "no update") for row in rows
    ]


def _parts(outputs: Sequence[Output]) -> list[Stage]:
    """Sum up the jobs of a stage that runs in many, one a film, and has no page.

    One that is under way, or failed, is not told from one that waits.
    """
    found = []
    for rule in dict.fromkeys(output.rule for output in outputs):
        pending = [output.pending for output in outputs if output.rule == rule]
        n_done = pending.count(False)
        bar = Bar(str(n_done), str(len(pending)), None)
        found.append(Stage(page=rule, state="waiting" if any(pending) else "done", bar=bar))
    return found


def _stage(page: Path, pending: bool, log: Mapping[str, Entry], like: Mapping[str, float]) -> Stage:
    if page.suffix == ".html":
        state = "done" if not pending else "stale" if page.exists() else "waiting"
        return Stage(page="book", state=state)
    entry, running = log.get(page.stem), running_page(page)
    if running.exists() and is_held(running):
        seconds, bar = read_running(running)
        expected = like.get(_kind(page.stem, like))
        left = bar.left_s if bar else None
        if left is None and expected is not None and seconds is not None:
            left = max(0.0, expected - seconds)
        return Stage(page=page.stem, state="running", seconds=seconds, left_s=left, bar=bar)
    state = "done" if not pending else "stale" if page.exists() else "waiting"
    if pending and running.exists():
        state = "stopped"
    elif pending and failed_page(page).exists():
        state = "failed"
    return Stage(
        page=page.stem,
        state=state,
        seconds=entry.seconds if entry and state in ("done", "failed", "stale") else None,
        left_s=None if state == "done" else like.get(_kind(page.stem, like)),
        entry=entry if state in ("done", "failed", "stale") else None,
    )


def _typical_s(entries: Iterable[Entry]) -> dict[str, float]:
    """Give the median time of the stages that ended well, by notebook."""
    times: dict[str, list[float]] = {}
    for entry in entries:
        if entry.state == "done":
            times.setdefault(entry.stage, []).append(entry.seconds)
    return {stage: statistics.median(of_stage) for stage, of_stage in times.items()}


def _kind(page: str, like: Mapping[str, float]) -> str:
    """Name the notebook of a page: 03-train of 03-train-rafdb."""
    return next((stage for stage in like if page == stage or page.startswith(f"{stage}-")), page)


def read_running(page: Path) -> tuple[float | None, Bar | None]:
    """Read off a running page how many seconds it runs, and its last progress bar.

    Both are None if the page is just being saved.
    """
    try:
        notebook = json.loads(page.read_text(encoding="utf-8"))
        begun = datetime.fromisoformat(notebook["metadata"]["papermill"]["start_time"])
    except (ValueError, KeyError, TypeError, FileNotFoundError):
        return None, None
    return (datetime.now(UTC) - begun).total_seconds(), _last_bar(notebook)


def _last_bar(notebook: Mapping[str, Any]) -> Bar | None:
    """Find the bar of the cell that runs: the last state of the last one in its outputs."""
    for cell in notebook["cells"]:
        if cell["metadata"].get("papermill", {}).get("status") != "running":
            continue
        texts = [out["text"] for out in cell["outputs"] if out.get("name") == "stderr"]
        found = _BAR.findall("".join("".join(text) for text in texts))
        if found:
            done, total, left = found[-1]
            return Bar(done, total, None if "?" in left else _seconds(left))
    return None


def _seconds(clock: str) -> float:
    """Read the time of a bar: "01:02" or "1:00:02".

    >>> _seconds("01:02")
    62.0
    """
    total = 0.0
    for part in clock.split(":"):
        total = 60 * total + float(part)
    return total
