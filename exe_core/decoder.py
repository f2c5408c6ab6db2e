"""Films are opened by a child process, as a damaged file may end the process that decodes it.

Messages are JSON, and pixels as bytes: nothing that a hostile film may have made of the child is
run here. A child serves film after film until one ends it; the next film gets another.
"""

from __future__ import annotations

import atexit
import json
import logging
import signal
import subprocess
import sys
from collections.abc import Generator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from exe_core import video
from exe_core.video import Coverage, Sample, VideoError, VideoInfo

TIMEOUT_S = 600.0
"""A film that gives no frame for so long is given up."""
_MAX_BYTES = 2**30
# without -P, modules would be imported from the working folder first
COMMAND = (sys.executable, "-P", "-m", "exe_core.decoder")

_idle: list[_Worker] = []


class _Worker:
    """A child process, and the connection to it."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            number = theirs.fileno()
            self.process = subprocess.Popen([*COMMAND, str(number)], pass_fds=[number])

    def receive(self) -> bytes:
        if not self.connection.poll(TIMEOUT_S):
            raise TimeoutError
        return self.connection.recv_bytes(_MAX_BYTES)

    def close(self) -> None:
        """End it, in the middle of a film too."""
        self.connection.close()
        self.process.kill()
        self.process.wait()


class Samples(video.Samples):
    """Sampled frames of a film, decoded in a child process."""

    def _sample(self) -> Generator[Sample, None, None]:
        for answer in _answers(self._path, every=self._every, every_seconds=self._every_seconds):
            if isinstance(answer, Sample):
                yield answer
            else:
                self.coverage = Coverage(*answer)
                if not self.coverage.is_complete:
                    logging.getLogger(__name__).warning("%s: %s", self._path.name, self.coverage)


def probe(path: Path) -> VideoInfo:
    """Read what a file says of its film, as `video.probe` does, in a child process.

    Raises VideoError also if the film ends the child.
    """
    (answer,) = _answers(path)
    return VideoInfo(*answer)


def sample_frames(
    path: Path, *, every: int | None = None, every_seconds: float | None = None
) -> Samples:
    """Give every n-th frame of a film, or one every few seconds, as `video.sample_frames` does.

    Raises VideoError also if the film ends the child or holds it up for longer than `TIMEOUT_S`.
    """
    return Samples(path, every, every_seconds)


def _answers(path: Path, **step: Any) -> Generator[Any, None, None]:
    """Ask a child to probe a film, or to sample it by a step; give its answers till it is done."""
    worker = _idle.pop() if _idle else _Worker()
    if worker.process.poll() is not None:  # it was ended while it waited
        worker.close()
        worker = _Worker()
    is_done = False
    try:
        worker.connection.send_bytes(json.dumps([str(path), step]).encode())
        while not is_done:
            answer = json.loads(worker.receive())
            is_done = "shape" not in answer
            if "error" in answer:
                raise VideoError(answer["error"])
            if is_done:
                yield answer["result"]
            else:
                rgb = np.frombuffer(bytearray(worker.receive()), np.uint8)
                yield Sample(answer["frame"], answer["time_s"], rgb.reshape(answer["shape"]))
    except TimeoutError:
        raise VideoError(f"{path.name}: no frame in {TIMEOUT_S:.0f} s") from None
    except VideoError:
        raise
    except (OSError, EOFError, ValueError):
        try:
            code = worker.process.wait(timeout=2)
            reason = signal.Signals(-code).name if code < 0 else f"exit {code}"
        except subprocess.TimeoutExpired:
            reason = "unreadable answer"
        raise VideoError(f"{path.name} ended its decoder ({reason})") from None
    finally:
        if is_done:
            _idle.append(worker)
        else:
            worker.close()


@atexit.register
def close() -> None:
    """End the processes that wait for a film."""
    while _idle:
        _idle.pop().close()


def main() -> None:
    """Serve a connection, whose number is the last argument, till its other end is closed."""
    logging.disable()  # the parent logs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is stopped, and ends this
    with Connection(int(sys.argv[-1])) as connection:
        try:
            while True:
                serve(connection, *json.loads(connection.recv_bytes()))
        except (EOFError, ConnectionError):
            return


def serve(connection: Connection, path: str, step: dict[str, Any]) -> None:
    """Answer one question: probe a film, or sample it if there is a step."""

    def send(**content: object) -> None:
        connection.send_bytes(json.dumps(content).encode())

    try:
        if not step:
            return send(result=video.probe(path))
        samples = video.sample_frames(path, **step)
        for frame, time_s, rgb in samples:
            send(frame=frame, time_s=time_s, shape=rgb.shape)
            connection.send_bytes(np.ascontiguousarray(rgb).data.cast("B"))
        send(result=samples.coverage)
    except VideoError as fault:
        send(error=str(fault))


if __name__ == "__main__":
    main()
