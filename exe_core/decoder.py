"""Films are opened by a child process, as a damaged file may end the process that decodes it.

Messages are JSON, and pixels as bytes: nothing that a hostile film may have made of the child is
run here. Each question is put to a new child.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from exe_core import video
from exe_core.video import Coverage, Sample, VideoError, VideoInfo

log = logging.getLogger(__name__)

TIMEOUT_S = 600.0
"""A film that gives no frame for so long is given up."""
_MAX_BYTES = 2**30
# without -P, modules would be imported from the working folder first
COMMAND = (sys.executable, "-P", "-m", "exe_core.decoder")


class Samples(video.Samples):
    """Sampled frames of a film, decoded in a child process."""

    def __iter__(self) -> Iterator[Sample]:
        for answer in _answers(self._path, self._every, self._after):
            if isinstance(answer, Sample):
                yield answer
            else:
                self.coverage = Coverage(*answer)
                if not self.coverage.is_complete:
                    log.warning("%s: %s", self._path.name, self.coverage)


def probe(path: Path) -> VideoInfo:
    """Read what a file says of its film, as `video.probe` does, in a child process.

    Raises VideoError also if the film ends the child.
    """
    (answer,) = _answers(path)
    return VideoInfo(*answer)


def sample_frames(path: Path, *, every: int, after: int = -1) -> Samples:
    """Give every n-th frame of a film, as `video.sample_frames` does.

    Raises VideoError also if the film ends the child or holds it up for longer than `TIMEOUT_S`.
    """
    return Samples(path, every, after)


def _answers(path: Path, every: int = 0, after: int = -1) -> Iterator[Any]:
    """Ask a child to probe a film, or to sample it by a step; give its answers till it is done."""
    connection, theirs = Pipe(duplex=False)
    with theirs:
        question = [str(theirs.fileno()), str(path), str(every), str(after)]
        process = subprocess.Popen([*COMMAND, *question], pass_fds=[theirs.fileno()])

    def receive() -> bytes:
        if not connection.poll(TIMEOUT_S):
            raise VideoError(f"{path.name}: no frame in {TIMEOUT_S:.0f} s")
        return connection.recv_bytes(_MAX_BYTES)

    try:
        while True:
            answer = json.loads(receive())
            if "error" in answer:
                raise VideoError(answer["error"])
            if "result" in answer:
                yield answer["result"]
                return
            rgb = np.frombuffer(bytearray(receive()), np.uint8).reshape(answer["shape"])
            yield Sample(answer["frame"], answer["time_s"], rgb)
    except VideoError:
        raise
    except (OSError, EOFError, ValueError):
        try:
            code = process.wait(timeout=2)
            reason = signal.Signals(-code).name if code < 0 else f"exit {code}"
        except subprocess.TimeoutExpired:
            reason = "unreadable answer"
        raise VideoError(f"{path.name} ended its decoder ({reason})") from None
    finally:
        connection.close()
        process.kill()
        process.wait()


def main() -> None:
    """Answer one question: a connection's number, a film, its step (0: probe), the last frame."""
    logging.disable()  # the parent logs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is stopped, and ends this
    path, (number, every, after) = sys.argv[2], map(int, (sys.argv[1], *sys.argv[3:5]))
    with Connection(number, readable=False) as connection:

        def send(**content: object) -> None:
            connection.send_bytes(json.dumps(content).encode())

        try:
            if not every:
                return send(result=video.probe(path))
            samples = video.sample_frames(path, every=every, after=after)
            for frame, time_s, rgb in samples:
                send(frame=frame, time_s=time_s, shape=rgb.shape)
                connection.send_bytes(np.ascontiguousarray(rgb).data.cast("B"))
            send(result=samples.coverage)
        except VideoError as fault:
            send(error=str(fault))
        except BrokenPipeError:  # nobody asks any more
            return


if __name__ == "__main__":
    main()
