"""Frames of a film: the very ones of a plain sequential decode, each at its presentation time.

Only what the wanted frames depend on is decoded (`decoding_plan`); where that can't be told, or
does not come out as planned, everything is. Damage is not silent: what could be decoded is given,
and `Samples.coverage` says what is missing.
"""

from __future__ import annotations

import logging
import math
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np

from exe_core.footage import decoding_plan, film_file
from exe_core.footage.decoding_plan import Index, NoPlanError, Plan
from exe_core.footage.film_file import VideoError, probe

log = logging.getLogger(__name__)

_MAX_DECODERS = 4
_AHEAD = 4
"""Pictures that each decoder may have ready: 25 MB each of a film in 4K."""

_TOLERANCE_S = 1.0
"""Containers round durations, and some count the sound that outlasts the picture."""


_ROUNDING_S = 1e-6
"""Times are sums of fractions; a mark is not missed for the last digit."""


class _DamageError(ValueError):
    """A packet can't be decoded."""


class Sample(NamedTuple):
    """A frame of a film."""

    frame: int
    """Number in order of presentation, from 0."""
    time_s: float
    """From the start of the film; NaN where the file has no timestamp."""
    rgb: np.ndarray
    """(H, W, 3) uint8, upright."""


@dataclass(frozen=True)
class Coverage:
    """How much of a film could be decoded."""

    n_frames: int
    """Frames that there are: those decoded, or, in a film decoded by plan, those indexed."""
    n_damaged: int
    """Packets that no frame could be made of."""
    end_s: float
    """Where the decoded film ends; NaN without timestamps."""
    duration_s: float
    """Where it should end; NaN where the file does not say."""
    gaps_s: tuple[tuple[float, float], ...] = ()
    """From when to when frames are missing in between, where the file tells."""

    @property
    def missing_s(self) -> float:
        """Seconds between where the film ends and where it should."""
        return max(0.0, self.duration_s - self.end_s)

    @property
    def is_complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return not (self.n_damaged or self.gaps_s or self.missing_s > _TOLERANCE_S)

    def __str__(self) -> str:
        gaps = ", ".join(f"{start:.1f} to {end:.1f} s" for start, end in self.gaps_s)
        return (
            f"{self.n_frames} frames, {self.end_s:.1f} of {self.duration_s:.1f} s decoded, "
            f"{self.n_damaged} packets damaged" + (f", nothing from {gaps}" if gaps else "")
        )


class Samples(Iterator[Sample]):
    """Iterator over sampled frames.

    Attributes
    ----------
    coverage
        Set once the iterator is exhausted, None before.
    sequential_because
        Why the film was decoded from start to end; None while a plan holds.
    """

    def __init__(self, path: Path, every: int | None, every_seconds: float | None) -> None:
        self.coverage: Coverage | None = None
        self.sequential_because: str | None = None
        self._path = path
        self._every, self._every_seconds = every, every_seconds
        self._samples = self._sample()

    def __next__(self) -> Sample:
        return next(self._samples)

    def close(self) -> None:
        """Close the file before the end is reached."""
        self._samples.close()

    def _sample(self) -> Generator[Sample, None, None]:
        index, last = None, -1
        try:
            with film_file.opened(self._path) as (container, stream):
                index = decoding_plan.read_index(container, stream)
            if index.fault:
                raise _DamageError(index.fault)
            for sample in self._planned(index):
                yield sample
                last = sample.frame
        except _DamageError as fault:
            self.sequential_because = str(fault)
        except NoPlanError as reason:
            self.sequential_because, index = str(reason), None
        if self.sequential_because:
            log.info("%s is decoded as a whole: %s", self._path.name, self.sequential_because)
            yield from self._sequential(index, after=last)
        assert self.coverage is not None  # both ways end by setting it
        if not self.coverage.is_complete:
            log.warning("%s: %s", self._path.name, self.coverage)

    def _planned(self, index: Index) -> Generator[Sample, None, None]:
        """Decode what the wanted frames need; raise as soon as something is not as planned."""
        with film_file.opened(self._path) as (container, stream):
            unit_s, start_s = float(stream.time_base or 0), film_file.start_s(container)
            duration_s = film_file.end_s(container, stream)
            usual_s = film_file.frame_length_s(stream)
        times_s = index.pts[index.order] * unit_s - start_s
        choose = self._chooser()
        wanted = np.array([k for k, t in enumerate(times_s.tolist()) if choose(k, t)], int)
        plan = decoding_plan.plan(index, wanted)
        cores = _cores()
        packets_of = plan.dealt(min(cores, _MAX_DECODERS))
        whose = packets_of[index.order[wanted]]
        n_decoders = 1 + int(whose.max())
        with ExitStack() as stack:
            decoders = []
            for k in range(n_decoders):
                mine = wanted[whose == k]
                due = dict(zip(index.pts[index.order[mine]].tolist(), mine.tolist(), strict=True))
                share, n_threads = plan.only(packets_of == k), max(1, cores // n_decoders)
                pictures = _pictures(self._path, share, due, n_threads=n_threads)
                decoders.append(stack.enter_context(closing(_ahead(pictures))))
            for k, number in zip(whose.tolist(), wanted.tolist(), strict=True):
                yield Sample(number, float(times_s[number]), next(decoders[k]))
        self.coverage = Coverage(len(times_s), 0, float(times_s[-1]) + usual_s, duration_s)

    def _sequential(self, index: Index | None, *, after: int) -> Generator[Sample, None, None]:
        """Decode everything, give the wanted frames after one; an index tells what is missing."""
        choose = self._chooser()
        numbers = {} if index is None else {int(p): k for k, p in enumerate(index.pts[index.order])}
        with film_file.opened(self._path) as (container, stream):
            stream.thread_type = "AUTO"
            unit_s, start_s = float(stream.time_base or 0), film_file.start_s(container)
            duration_s = film_file.end_s(container, stream)
            damage: list[str] = []
            seen, end_s = [], float("nan")
            for count, frame in enumerate(_frames(container, stream, damage)):
                number = numbers.get(frame.pts or 0, count)
                time_s = math.nan if frame.pts is None else frame.pts * unit_s - start_s
                if choose(number, time_s) and number > after:
                    yield Sample(number, time_s, film_file.upright(frame))
                seen.append(number)
                end_s = time_s + film_file.frame_length_s(stream, frame)
            if not seen:
                raise VideoError(f"{self._path.name}: no frame can be decoded ({_first(damage)})")
            gaps = _gaps(index, seen, clock=(unit_s, start_s))
        self.coverage = Coverage(len(seen), len(damage), end_s, duration_s, gaps)

    def _chooser(self) -> Callable[[int, float], bool]:
        """Make what says of each frame in turn, by number and time, whether it is wanted."""
        every, step_s, due_s = self._every, self._every_seconds, -math.inf
        if step_s is None:
            return lambda number, time_s: number % (every or 1) == 0

        def is_due(number: int, time_s: float) -> bool:
            nonlocal due_s
            if math.isnan(time_s):
                raise VideoError(f"{self._path.name} has no timestamps: sample by frames (every)")
            if time_s + _ROUNDING_S < due_s:
                return False
            due_s = (math.floor((time_s + _ROUNDING_S) / step_s) + 1) * step_s
            return True

        return is_due


def sample_frames(
    path: Path | str, *, every: int | None = None, every_seconds: float | None = None
) -> Samples:
    """Give every n-th frame of a film, or one every few seconds, starting with the first.

    Parameters
    ----------
    path
        Any file that FFmpeg reads.
    every
        Step in frames, 1 or more; 100 if neither step is given.
    every_seconds
        Step in seconds instead: the first frame at or after each multiple of it.

    Returns
    -------
    Samples
        Iterates over ``(frame, time_s, rgb)``, one frame in memory at a time. A truncated or
        damaged film gives what can be decoded, logs a warning at the end, and says in
        ``.coverage`` what is missing. Frames are numbered by the file's index of its pictures, so
        those lost to damage leave a hole; where there is no index they are not counted. Damage
        in a part that no wanted frame depends on is seen only if it spoils the index.

    Raises
    ------
    VideoError
        If the file is missing, empty, or no film; while iterating, if no frame can be decoded.
    ValueError
        If the step is none, or there are two.
    """
    every = check_step(every, every_seconds)
    probe(path)
    return Samples(Path(path), every, every_seconds)


def check_step(every: int | None, every_seconds: float | None) -> int | None:
    """Give the step in frames, the usual one if no step is given, or None if it is in seconds.

    Raises
    ------
    ValueError
        If the step is none, or there are two.
    """
    if every is not None and every_seconds is not None:
        raise ValueError("give one step: every (frames) or every_seconds")
    if every_seconds is None:
        every = 100 if every is None else every
        if every < 1:
            raise ValueError(f"every must be 1 or more, got {every}")
    elif not 0 < every_seconds < math.inf:
        raise ValueError(f"every_seconds must be over 0, got {every_seconds}")
    return every


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


def _ahead(pictures: Generator[np.ndarray, None, None]) -> Generator[np.ndarray, None, None]:
    """Run a decoder in a thread of its own, a few pictures ahead of what is asked for."""
    with ThreadPoolExecutor(1) as thread, closing(pictures):
        waiting = deque(thread.submit(next, pictures, None) for _ in range(_AHEAD))
        try:
            while (picture := waiting.popleft().result()) is not None:
                waiting.append(thread.submit(next, pictures, None))
                yield picture
        finally:
            thread.shutdown(cancel_futures=True)


def _pictures(
    path: Path, plan: Plan, due: dict[int, int], *, n_threads: int
) -> Generator[np.ndarray, None, None]:
    """Decode by plan and give the pictures that are due (time in the file -> number of frame)."""
    turns = iter(tuple(due))
    expected = next(turns, None)
    with film_file.opened(path) as (container, stream):
        stream.thread_type, stream.codec_context.thread_count = "AUTO", n_threads
        for frame in _fed(container, stream, plan):
            if frame.pts not in due:
                continue
            if frame.pts != expected:
                raise NoPlanError(f"frame {next(iter(due.values()))} did not come in its turn")
            del due[frame.pts]
            expected = next(turns, None)
            yield film_file.upright(frame)
    if due:
        raise NoPlanError(f"frame {next(iter(due.values()))} did not come")


def _fed(
    container: av.container.InputContainer, stream: av.VideoStream, plan: Plan
) -> Generator[av.VideoFrame, None, None]:
    """Decode the packets of a plan."""
    decoder, end = stream.codec_context, int(np.flatnonzero(plan.flush)[-1])
    packets = (packet for packet in container.demux(stream) if packet.size)
    first = None
    try:
        for place, packet in enumerate(packets):
            if not plan.feed[place]:
                continue
            first = packet.pts if first is None else first
            frames = decoder.decode(packet)
            if plan.flush[place]:
                frames += decoder.decode(None)
            for frame in frames:
                _check(frame, is_first=frame.pts == first)
                yield frame
            if place == end:
                return
            if plan.flush[place]:
                decoder.flush_buffers()
                first = None
    except av.error.FFmpegError as fault:
        raise _DamageError(fault.strerror) from None


def _cores() -> int:
    """Count the cores that this process may use: on a shared machine, not all of them."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check(frame: av.VideoFrame, *, is_first: bool) -> None:
    if frame.is_corrupt:
        raise _DamageError("a picture is damaged")
    if frame.interlaced_frame:  # one frame may then be two packets
        raise NoPlanError("it is interlaced")
    if is_first and not frame.key_frame:
        raise NoPlanError("a picture that decoding should start at is no key picture")


def _gaps(
    index: Index | None, seen: list[int], *, clock: tuple[float, float]
) -> tuple[tuple[float, float], ...]:
    """List from when to when frames of the index are missing, before the last one seen."""
    if index is None:
        return ()
    unit_s, start_s = clock
    times_s = index.pts[index.order] * unit_s - start_s
    found = np.unique(seen)
    before = np.flatnonzero(np.diff(found) > 1)
    return tuple(
        (float(times_s[found[k] + 1]), float(times_s[found[k + 1]])) for k in before.tolist()
    )


def _first(damage: list[str]) -> str:
    return damage[0] if damage else "no error reported"
