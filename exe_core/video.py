"""Frames of a film: the very ones of a plain sequential decode, each at its presentation time.

Every frame is decoded, only the wanted ones are converted to RGB. Damage is not silent: what
could be decoded is given, and `Samples.coverage` says what is missing.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

log = logging.getLogger(__name__)

_NO_FILM = ("image2", "tty", "_pipe")
"""FFmpeg opens pictures, and text as animated terminal output, as films of a frame or so."""

_TOLERANCE_S = 1.0
"""Containers round durations, and some count the sound that outlasts the picture."""


class VideoError(ValueError):
    """A file has no frames to give."""


class Sample(NamedTuple):
    """A frame of a film."""

    frame: int
    """Number in order of presentation, from 0."""
    time_s: float
    """From the start of the film; NaN where the file has no timestamp."""
    rgb: np.ndarray
    """(H, W, 3) uint8, upright."""


@dataclass(frozen=True)
class VideoInfo:
    """What a file says of its film."""

    codec: str
    width_px: int
    height_px: int
    rotation_deg: int
    """Counter-clockwise turn that makes the stored picture upright; width and height are after."""
    fps: float
    """On average; films may vary it."""
    duration_s: float
    n_frames: int | None
    """As the container counts them; None where it does not."""


@dataclass(frozen=True)
class Coverage:
    """How much of a film could be decoded."""

    n_frames: int
    """Frames decoded."""
    n_damaged: int
    """Packets that no frame could be made of."""
    end_s: float
    """Where the decoded film ends; NaN without timestamps."""
    duration_s: float
    """Where it should end; NaN where the file does not say."""

    @property
    def missing_s(self) -> float:
        """Seconds between where the film ends and where it should."""
        return max(0.0, self.duration_s - self.end_s)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return not self.n_damaged and not self.missing_s > _TOLERANCE_S

    def __str__(self) -> str:
        return (
            f"{self.n_frames} frames, {self.end_s:.1f} of {self.duration_s:.1f} s decoded, "
            f"{self.n_damaged} packets damaged"
        )


class Samples(Iterator[Sample]):
    """Iterator over sampled frames; `coverage` is set once it is exhausted, None before."""

    def __init__(self, path: Path, every: int) -> None:
        self.coverage: Coverage | None = None
        self._path = path
        self._samples = self._sample(every)

    def __next__(self) -> Sample:
        return next(self._samples)

    def close(self) -> None:
        """Close the file before the end is reached."""
        self._samples.close()

    def _sample(self, every: int) -> Generator[Sample, None, None]:
        with _opened(self._path) as (container, stream):
            stream.thread_type = "AUTO"
            start_s, duration_s = _start(container), _end(container, stream)
            damage: list[str] = []
            n_frames, end_s = 0, float("nan")
            for frame in _frames(container, stream, damage):
                time_s = float("nan") if frame.time is None else frame.time - start_s
                if n_frames % every == 0:
                    yield Sample(n_frames, time_s, _upright(frame))
                n_frames += 1
                end_s = time_s + _length(frame, stream)
            self.coverage = Coverage(n_frames, len(damage), end_s, duration_s)
        if not n_frames:
            raise VideoError(f"{self._path.name}: no frame can be decoded ({_first(damage)})")
        if not self.coverage.is_complete:
            log.warning("%s: %s (%s)", self._path.name, self.coverage, _first(damage))


def sample_frames(path: Path | str, *, every: int = 100) -> Samples:
    """Give every n-th frame of a film, starting with frame 0.

    Parameters
    ----------
    path
        Any file that FFmpeg reads.
    every
        Step in frames, 1 or more.

    Returns
    -------
    Samples
        Iterates over ``(frame, time_s, rgb)``, one frame in memory at a time. A truncated or
        damaged film gives what can be decoded, logs a warning at the end, and says in
        ``.coverage`` what is missing. A frame lost to damage is not counted, as in any
        sequential decode.

    Raises
    ------
    VideoError
        If the file is missing, empty, or no film; while iterating, if no frame can be decoded.
    """
    if every < 1:
        raise ValueError(f"every must be 1 or more, got {every}")
    probe(path)
    return Samples(Path(path), every)


def probe(path: Path | str) -> VideoInfo:
    """Read what a file says of its film, without decoding more than a frame.

    Raises
    ------
    VideoError
        If the file is missing, empty, or no film.
    """
    with _opened(Path(path)) as (container, stream):
        end_s = _end(container, stream)
        rate = stream.average_rate or stream.guessed_rate
        with closing(_frames(container, stream, [])) as frames:
            first = next(frames, None)
        turn = round(first.rotation) if first is not None else 0
        size = (stream.width, stream.height)
        width, height = size[::-1] if turn % 180 else size
        return VideoInfo(
            codec=stream.codec_context.name,
            width_px=width,
            height_px=height,
            rotation_deg=turn,
            fps=float(rate) if rate else float("nan"),
            duration_s=end_s,
            n_frames=stream.frames or None,
        )


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a film and choose its picture, or say why there is none."""
    if not path.is_file():
        raise VideoError(f"no film at {path}")
    if path.stat().st_size == 0:
        raise VideoError(f"{path.name} is empty (0 bytes)")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as fault:
        raise VideoError(
            f"{path.name} is no film that FFmpeg can read, or its index is cut off "
            f"({fault.strerror})"
        ) from None
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams or container.format.name.endswith(_NO_FILM):
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise VideoError(
                f"{path.name} has no moving picture: it is {container.format.long_name}, "
                f"with {kinds}"
            )
        if streams[0].codec_context is None:
            raise VideoError(
                f"{path.name}: FFmpeg has no decoder for its picture, or its index is cut off"
            )
        yield container, streams[0]


def _frames(
    container: av.container.InputContainer, stream: av.VideoStream, damage: list[str]
) -> Generator[av.VideoFrame, None, None]:
    """Decode a stream, adding to `damage` what can't be."""
    packets = container.demux(stream)
    ended = False
    while not ended:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as fault:
            damage.append(str(fault.strerror))
            packet = None
        ended = packet is None
        try:
            yield from stream.codec_context.decode(packet)
        except av.error.EOFError:  # flushed already, by the last packet
            return
        except av.error.FFmpegError as fault:
            damage.append(str(fault.strerror))


def _first(damage: list[str]) -> str:
    return damage[0] if damage else "no error reported"


def _start(container: av.container.InputContainer) -> float:
    """Say when playing starts, on the clock of the file."""
    return (container.start_time or 0) / av.time_base


def _end(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Say when the picture should end, counted from where playing starts."""
    if stream.duration is not None and stream.time_base is not None:
        end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        return float(end) - _start(container)
    return container.duration / av.time_base if container.duration else float("nan")


def _length(frame: av.VideoFrame, stream: av.VideoStream) -> float:
    if frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return float(1 / stream.average_rate) if stream.average_rate else 0.0


def _upright(frame: av.VideoFrame) -> np.ndarray:
    rgb = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(rgb, round(frame.rotation / 90)))
