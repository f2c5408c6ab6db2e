"""Films are opened by a process beside this one, as a file may take down what decodes it.

It is asked in lines of JSON and answers in lines of JSON and pixels, so that nothing which a film
may have made of it is run here. One process serves film after film, until one is its end; the next
gets another.
"""

from __future__ import annotations

import atexit
import json
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Generator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from exe_core import video
from exe_core.video import Coverage, Sample, VideoError, VideoInfo

log = logging.getLogger(__name__)

LONGEST_S = 600.0
"""A film that gives no frame for so long is given up."""
END_S = 2.0
LONGEST_LINE = 2**24
# without -P, the folder one stands in would come first among those that are imported from
COMMAND = (sys.executable, "-P", "-m", "exe_core.decoder")

_idle: list[_Worker] = []


class _Worker:
    """The process, and the socket to it."""

    def __init__(self) -> None:
        self.socket, theirs = socket.socketpair()
        self.answers = self.socket.makefile("rb")
        with theirs:
            number = theirs.fileno()
            self.process = subprocess.Popen([*COMMAND, str(number)], pass_fds=[number])

    def close(self) -> None:
        """End it, in the middle of a film too."""
        self.answers.close()
        self.socket.close()
        self.process.kill()
        self.process.wait()

    def end(self) -> str:
        """Wait for its end, and say which it took."""
        try:
            code = self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            return "no answer of ours"
        return signal.Signals(-code).name if code < 0 else f"exit {code}"


def probe(path: Path) -> VideoInfo:
    """Read what a file says of its film, as `film_file.probe` does.

    Raises
    ------
    VideoError
        If the file is missing, empty, or no film, or ends what opens it.
    """
    (told,) = _answers(path, "probe")
    return VideoInfo(**told)


class Samples(Iterator[Sample]):
    """Sampled frames of a film, as `video.Samples`, decoded beside this process.

    Attributes
    ----------
    coverage
        Set once the iterator is exhausted, None before.
    """

    def __init__(self, path: Path, step: dict[str, Any]) -> None:
        self.coverage: Coverage | None = None
        self._path = path
        self._samples = self._sample(step)

    def __next__(self) -> Sample:
        return next(self._samples)

    def close(self) -> None:
        """End before the film does."""
        self._samples.close()

    def _sample(self, step: dict[str, Any]) -> Generator[Sample, None, None]:
        for told in _answers(self._path, "sample", **step):
            if "rgb" in told:
                yield Sample(**told)
                continue
            gaps = tuple((start, end) for start, end in told.pop("gaps_s"))
            self.coverage = Coverage(**told, gaps_s=gaps)
            if not self.coverage.is_complete:
                log.warning("%s: %s", self._path.name, self.coverage)


def sample_frames(
    path: Path, *, every: int | None = None, every_seconds: float | None = None
) -> Samples:
    """Give every n-th frame of a film, or one every few seconds, as `video.sample_frames` does.

    Raises
    ------
    VideoError
        While iterating, if it is no film, no frame can be decoded, or the film ends what decodes
        it or holds it up.
    ValueError
        If the step is none, or there are two.
    """
    every = video.check_step(every, every_seconds)
    return Samples(path, {"every": every, "every_seconds": every_seconds})


def _answers(path: Path, work: str, **how: Any) -> Generator[dict[str, Any], None, None]:
    """Ask a process, and give what it answers till it has done."""
    worker = _waiting() or _Worker()
    has_done = False
    try:
        worker.socket.settimeout(LONGEST_S)
        _send(worker.socket, {"work": work, "path": str(path), **how})
        while not has_done:
            told = json.loads(worker.answers.readline(LONGEST_LINE))
            has_done = told == "done" or "error" in told
            if "error" in told:
                raise VideoError(told["error"])
            if "shape" in told:
                told["rgb"] = np.empty(told.pop("shape"), np.uint8)
                if worker.answers.readinto(told["rgb"].data.cast("B")) < told["rgb"].nbytes:
                    raise EOFError
            if not has_done:
                yield told
    except TimeoutError:
        raise VideoError(f"{path.name}: nothing came of it in {LONGEST_S:.0f} s") from None
    except (EOFError, ConnectionError, json.JSONDecodeError, UnicodeDecodeError):
        raise VideoError(f"{path.name} ended what decodes it ({worker.end()})") from None
    finally:
        if has_done:
            _idle.append(worker)
        else:
            worker.close()


def _waiting() -> _Worker | None:
    """Take a process that waits for a film; one may have been ended meanwhile."""
    while _idle:
        worker = _idle.pop()
        if worker.process.poll() is None:
            return worker
        worker.close()
    return None


@atexit.register
def close() -> None:
    """End the processes that wait for a film."""
    while _idle:
        _idle.pop().close()


def main() -> None:
    """Serve a socket, whose number is the last argument, till its other end is closed."""
    logging.disable()  # who asked says what is to be said
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked is stopped, and ends this
    with socket.socket(fileno=int(sys.argv[-1])) as asking, asking.makefile("rb") as questions:
        try:
            for question in questions:
                _serve(asking, json.loads(question))
        except ConnectionError:
            return


def _serve(asking: socket.socket, asked: dict[str, Any]) -> None:
    work, path = asked.pop("work"), Path(asked.pop("path"))
    told: Any = "done"
    try:
        if work == "probe":
            _send(asking, asdict(video.probe(path)))
        else:
            samples = video.sample_frames(path, **asked)
            for sample in samples:
                shown = {"frame": sample.frame, "time_s": sample.time_s, "shape": sample.rgb.shape}
                _send(asking, shown, np.ascontiguousarray(sample.rgb).data.cast("B"))
            assert samples.coverage is not None  # the film was read to its end
            _send(asking, asdict(samples.coverage))
    except VideoError as fault:
        told = {"error": str(fault)}
    _send(asking, told)


def _send(to: socket.socket, content: Any, pixels: memoryview | None = None) -> None:
    to.sendall(json.dumps(content).encode() + b"\n")
    if pixels is not None:
        to.sendall(pixels)


if __name__ == "__main__":
    main()
