"""A host that gives nothing, time after time, is left alone, but for a try now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

MOST_IN_A_ROW = 10
PAUSE_S = 60.0


@dataclass
class _Failing:
    times: int = 0
    next_try: float = 0.0


class Breaker:
    """Counts, by host, the requests in a row that gave nothing; threads may share one.

    Without it each photo of a dead host takes all its tries, with the waits between them.

    Parameters
    ----------
    most
        After so many a host is left alone.
    pause_s
        Seconds between tries of a host that is left alone.
    clock
        Gives the time, s.
    """

    def __init__(
        self,
        *,
        most: int = MOST_IN_A_ROW,
        pause_s: float = PAUSE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._pause_s, self._clock = most, pause_s, clock
        self._lock = threading.Lock()
        self._hosts: dict[str, _Failing] = {}

    def reason_against(self, host: str) -> str | None:
        """Say why a host is not asked now; None if it is, also as the one try of a while."""
        with self._lock:
            failing, now = self._hosts.get(host, _Failing()), self._clock()
            if failing.times < self._most:
                return None
            if now >= failing.next_try:
                failing.next_try = now + self._pause_s
                return None
            return (
                f"{host} gave nothing {failing.times} times in a row and is left alone, but for "
                f"a try each {self._pause_s:g} s: pull again when it is back"
            )

    def failed(self, host: str) -> None:
        """Count a request that gave nothing."""
        with self._lock:
            failing = self._hosts.setdefault(host, _Failing())
            failing.times += 1
            failing.next_try = self._clock() + self._pause_s

    def answered(self, host: str) -> None:
        """Forget what was counted: the host is there."""
        with self._lock:
            self._hosts.pop(host, None)
