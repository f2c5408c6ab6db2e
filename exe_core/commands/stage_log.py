"""The log of a study: a line of JSON for each stage that ended, in `log.jsonl` of its results.

A line says when the stage began, how long it took and what memory, what went in and came out of it,
and why it failed if it did. The last line of a page is the one that holds.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from exe_core.config import Study


class Flow(NamedTuple):
    """How many rows of one kind went into a stage, and what became of them."""

    what: str
    n_in: int
    n_out: int
    lost: Mapping[str, int] = MappingProxyType({})
    """Reason -> rows that the tables keep with it."""

    @property
    def n_silent(self) -> int:
        """Count rows that went in and neither came out nor left a reason."""
        return self.n_in - self.n_out - sum(self.lost.values())


class Entry(NamedTuple):
    """A line of the log: a stage that ended."""

    stage: str
    """The notebook."""
    run: str | None
    state: str
    """"done" or "failed"."""
    started_at: datetime
    seconds: float
    mib: float
    """Peak of the memory of its processes."""
    flows: tuple[Flow, ...] = ()
    error: str | None = None

    @property
    def page(self) -> str:
        """Name the page of the stage."""
        return self.stage if self.run is None else f"{self.stage}-{self.run}"


def log_path(study: Study) -> Path:
    """Say where the log of a study lies."""
    return study.results / "log.jsonl"


def append(study: Study, entry: Entry) -> None:
    """Add a line, whole, though other stages add theirs at the same time."""
    flows = [
        flow._asdict() | {"lost": dict(flow.lost), "n_silent": flow.n_silent}
        for flow in entry.flows
    ]
    told = entry._asdict() | {"started_at": entry.started_at.isoformat(), "flows": flows}
    path = log_path(study)
    path.parent.mkdir(parents=True, exist_ok=True)
    # A line begins with its break, so that one that was cut spoils none after it.
    line = f"\n{json.dumps(told, ensure_ascii=False)}".encode()
    with path.open("ab", buffering=0) as log:
        fcntl.flock(log, fcntl.LOCK_EX)  # folders that machines share do not append at once
        if log.write(line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.name)
        os.fsync(log.fileno())


def entries(study: Study) -> Iterator[Entry]:
    """Read the log; a line that a kill cut short is left out."""
    path = log_path(study)
    for line in path.read_bytes().split(b"\n") if path.exists() else ():
        try:
            yield _entry(json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue


def _entry(told: Mapping[str, Any]) -> Entry:
    flows = tuple(Flow(*(flow[name] for name in Flow._fields)) for flow in told["flows"])
    kept = {name: told[name] for name in Entry._fields}
    at = datetime.fromisoformat(told["started_at"]).astimezone(UTC)
    return Entry(**kept | {"started_at": at, "flows": flows})


def latest(study: Study) -> dict[str, Entry]:
    """Give the last line of each page, by its name."""
    return {entry.page: entry for entry in entries(study)}
