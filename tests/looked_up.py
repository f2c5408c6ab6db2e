"""Names that are looked up as a test says, and not by asking anybody."""

from __future__ import annotations

import socket

import pytest


def answers_of(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Have names looked up as said, one answer after the other; give the list of those asked."""
    asked, script = [], list(answers)

    def look_up(host, port, *_, **__):
        asked.append(host)
        found = script.pop(0) if len(script) > 1 else script[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr("exe_core.fetching.socket.getaddrinfo", look_up)
    return asked
