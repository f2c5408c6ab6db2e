"""A film's file: what it says of its picture, its clock, and which way is up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.buffer import Buffer

_NO_FILM = ("image2", "tty", "_pipe")
"""FFmpeg opens pictures, and text as animated terminal output, as films of a frame or so."""


class VideoError(ValueError):
    """A file has no frames to give."""


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


def probe(path: Path | str) -> VideoInfo:
    """Read what a file says of its film, without decoding more than a frame.

    Raises
    ------
    VideoError
        If the file is missing, empty, or no film.
    """
    with opened(Path(path)) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        first = _first_frame(container, stream)
        turn = round(first.rotation) if first is not None else 0
        size = (stream.width, stream.height)
        width, height = size[::-1] if turn % 180 else size
        return VideoInfo(
            codec=stream.codec_context.codec.canonical_name,
            width_px=width,
            height_px=height,
            rotation_deg=turn,
            fps=float(rate) if rate else float("nan"),
            duration_s=end_s(container, stream),
            n_frames=stream.frames or None,
        )


def _first_frame(
    container: av.container.InputContainer, stream: av.VideoStream
) -> av.VideoFrame | None:
    """Decode until there is a frame."""
    packets = container.demux(stream)
    while True:
        try:
            frames = next(packets).decode()
        except (StopIteration, av.error.EOFError):
            return None
        except av.error.FFmpegError:
            continue
        if frames:
            return frames[0]


@contextmanager
def opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """Open a film and choose its picture, or say why there is none."""
    if not path.is_file():
        raise VideoError(f"no film at {path}")
    if path.stat().st_size == 0:
        raise VideoError(f"{path.name} is empty (0 bytes)")
    try:
        container = av.open(str(path), metadata_errors="replace")
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


def start_s(container: av.container.InputContainer) -> float:
    """Say when playing starts, on the clock of the file."""
    return (container.start_time or 0) / av.time_base


def end_s(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Say when the picture should end, counted from where playing starts."""
    if stream.duration is not None and stream.time_base is not None:
        end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        return float(end) - start_s(container)
    return container.duration / av.time_base if container.duration else float("nan")


def frame_length_s(stream: av.VideoStream, frame: av.VideoFrame | None = None) -> float:
    """Say for how many seconds a frame is shown; without one, what is usual in the film."""
    if frame is not None and frame.duration and frame.time_base:
        return float(frame.duration * frame.time_base)
    return float(1 / stream.average_rate) if stream.average_rate else 0.0


def upright(frame: av.VideoFrame) -> np.ndarray:
    """Convert to RGB, turned and mirrored as the display matrix of the file says."""
    rgb = frame.to_ndarray(format="rgb24")
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, Buffer):
        return rgb
    # Stored (x, y) is shown at (a x + c y, b x + d y), in 16.16 fixed point.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    is_turned = abs(b) > abs(a)
    x_sign, y_sign = (c, b) if is_turned else (a, d)
    shown = rgb.swapaxes(0, 1) if is_turned else rgb
    return np.ascontiguousarray(shown[:: 1 if y_sign >= 0 else -1, :: 1 if x_sign >= 0 else -1])
