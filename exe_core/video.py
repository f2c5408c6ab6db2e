"""Frames of a film: the very ones of a plain sequential decode, each at its presentation time.

Only what the wanted frames depend on is decoded (`decoding_plan`); where that can't be told, or
does not come out as planned, everything is. Damage is not silent: what could be decoded is given,
and `Samples.coverage` says what is missing.
"""

from __future__ import annotations

import logging
import math
import os
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
            duration_s=stream_end_s(container, stream),
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


def stream_start_s(container: av.container.InputContainer) -> float:
    """Say when playing starts, on the clock of the file."""
    return (container.start_time or 0) / av.time_base


def stream_end_s(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Say when the picture should end, counted from where playing starts."""
    if stream.duration is not None and stream.time_base is not None:
        end = ((stream.start_time or 0) + stream.duration) * stream.time_base
        return float(end) - stream_start_s(container)
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


CONTAINERS = ("mov", "matroska")
"""One packet is one picture in these, with its time of presentation."""

_MAX_EMPTY_VOP = 4
"""An MPEG-4 picture of up to this size (bytes) may say only that there is none."""


class NoPlanError(ValueError):
    """A film has to be decoded from its start to its end; the message is the reason."""


class Role(NamedTuple):
    """What a packet is to the decoding of others."""

    starts: bool
    """Decoding can start here."""
    spared: bool
    """No other picture is predicted from it."""
    layer: int = 0
    """Temporal layer; pictures are spared in the highest only."""


@dataclass(frozen=True)
class Index:
    """The packets of a film's picture, in the order of the file.

    Attributes
    ----------
    pts
        (n,) presentation times in units of the stream's time base, int64.
    shown
        (n,) False for packets that an edit list hides.
    starts, spared
        (n,) as in `Role`.
    fault
        What is wrong with the file, if something was seen to be.
    """

    pts: np.ndarray
    shown: np.ndarray
    starts: np.ndarray
    spared: np.ndarray
    fault: str | None = None

    @property
    def order(self) -> np.ndarray:
        """Packets of the shown frames in the order of presentation, so by number of frame."""
        shown = np.flatnonzero(self.shown)
        return shown[np.argsort(self.pts[shown])]


@dataclass(frozen=True)
class Plan:
    """What to decode.

    Attributes
    ----------
    feed
        (n,) whether a packet goes to the decoder.
    flush
        (n,) whether the decoder is emptied after it and starts anew with the next.
    """

    feed: np.ndarray
    flush: np.ndarray

    @property
    def stretch(self) -> np.ndarray:
        """Number, for each packet, the parts that can be decoded without each other, from 0."""
        return np.cumsum(self.flush) - self.flush

    def dealt(self, n: int) -> np.ndarray:
        """Deal the stretches out to n decoders: each to the one with the fewest packets so far.

        Returns
        -------
        np.ndarray
            (n packets,) int, the decoder of each packet, from 0; of fewer stretches, fewer.
        """
        n_stretches = int(self.flush.sum())
        load = np.zeros(min(n, n_stretches))
        whose = np.zeros(n_stretches + 1, int)  # what follows the last stretch is not fed
        for stretch, n_packets in enumerate(np.bincount(self.stretch, self.feed)[:n_stretches]):
            whose[stretch] = load.argmin()
            load[whose[stretch]] += n_packets
        return whose[self.stretch]

    def only(self, packets: np.ndarray) -> Plan:
        """Give the plan for the packets that a mask (n,) chooses; it chooses whole stretches."""
        return Plan(self.feed & packets, self.flush & packets)


def read_index(container: av.container.InputContainer, stream: av.VideoStream) -> Index:
    """Read the packets of a film without decoding them.

    Raises
    ------
    NoPlanError
        If the packets do not tell which frames there are, or what they depend on.
    """
    family, codec = container.format.name.split(",")[0], stream.codec_context
    if family not in CONTAINERS:
        raise NoPlanError(f"the container {family} does not give each picture its time")
    role = _reader(codec)
    times, headers, fault = array("q"), bytearray(), None  # a film of two hours has 170,000
    packets = container.demux(stream)
    while (packet := _next(packets)) is not None:
        if not packet.size:
            continue
        if packet.has_sidedata("new_extradata"):
            raise NoPlanError("the settings of its codec change")
        if packet.pts is None:
            raise NoPlanError("not every picture has a time")
        found = role(packet)
        if packet.is_corrupt or found is None:
            fault = fault or f"packet {len(times)} is damaged"
        times.append(packet.pts)
        headers += bytes((not packet.is_discard, *(found or Role(False, False))))
    if not times:
        raise NoPlanError("it has no packets that can be read")
    shown, starts, spared, layer = np.frombuffer(headers, np.uint8).reshape(-1, 4).T
    is_spared = (spared == 1) & (layer == layer.max())
    index = Index(np.array(times), shown == 1, starts == 1, is_spared, fault)
    _check_file(index)
    return index


def _next(packets: Iterator[av.Packet]) -> av.Packet | None:
    """Give the next packet; a read error is the end of the film, as it is when decoding."""
    try:
        return next(packets, None)
    except av.error.FFmpegError:
        return None


def _check_file(index: Index) -> None:
    times = index.pts[index.shown]
    if not len(times):
        raise NoPlanError("no picture of it is shown")
    if len(np.unique(times)) < len(times):
        raise NoPlanError("several pictures have one time")
    if not index.starts[0]:
        raise NoPlanError("it begins with a picture that needs earlier ones")
    if times.min() < index.pts[0]:
        raise NoPlanError("it begins with pictures that decoders leave out")


def plan_decoding(index: Index, frames: np.ndarray) -> Plan:
    """Choose the packets that the given frames depend on.

    Parameters
    ----------
    index
        Of the film.
    frames
        (k,) numbers of the wanted frames, each below the number of shown packets.

    Returns
    -------
    Plan
        Fed in this order, the decoder gives the wanted frames, among others.
    """
    targets = np.sort(index.order[frames])
    feed, flush = np.zeros(len(index.pts), bool), np.zeros(len(index.pts), bool)
    done = -1
    for start, target in zip(_starts_of(index, targets), targets, strict=True):
        if start > done + 1 and done >= 0:
            flush[done] = True
        first = max(start, done + 1)
        feed[first : target + 1] = ~index.spared[first : target + 1]
        done = target
    feed[targets] = True
    flush[done] = True
    return Plan(feed, flush)


def _starts_of(index: Index, targets: np.ndarray) -> np.ndarray:
    """Find where decoding must start for each target, and for those after it in the file."""
    starts = np.flatnonzero(index.starts)
    places = np.searchsorted(starts, targets, side="right") - 1
    # A picture shown before its group's start may be predicted from the group before.
    while (early := (places > 0) & (index.pts[starts[places]] > index.pts[targets])).any():
        places -= early
    return np.minimum.accumulate(starts[places][::-1])[::-1]


def _reader(codec: av.VideoCodecContext) -> Callable[[av.Packet], Role | None]:
    """Choose what reads the headers of a codec; it gives None for a damaged packet."""
    name, extradata = codec.codec.canonical_name, codec.extradata or b""
    if codec.codec.intra_only:
        return lambda _: Role(starts=True, spared=True)
    if name in _NAL_ROLES:
        if extradata[:1] != b"\x01":
            raise NoPlanError(f"its {name} pictures have no lengths before them")
        return _NalReader(name, extradata)
    readers = {"mpeg4": _mpeg4_role, "vp9": _vp9_role, "av1": _av1_role}
    if name not in readers:
        raise NoPlanError(f"what depends on what in {name} is not known here")
    return readers[name]


class _NalReader:
    """Reads H.264 and HEVC packets: units, each with its length before it."""

    def __init__(self, codec: str, extradata: bytes) -> None:
        self._role = _NAL_ROLES[codec]
        self._is_parameters = _PARAMETERS[codec]
        self._header = _HEADER[codec]
        self._width = (extradata[_LENGTH_AT[codec]] & 3) + 1
        self._extradata = extradata

    def __call__(self, packet: av.Packet) -> Role | None:
        content, place, roles, own = memoryview(packet), 0, [], False
        while place < len(content):
            start = place + self._width
            place = start + int.from_bytes(content[place:start], "big")
            unit = content[start:place]
            if place > len(content) or len(unit) < self._header or unit[0] & 0x80:
                return None
            role = self._role(unit)
            if role is not None:
                roles.append(role)
            elif self._is_parameters(unit):
                own |= bytes(unit) not in self._extradata
        if not roles:
            return None
        starts = all(role.starts for role in roles)
        if own and not starts:
            raise NoPlanError("the settings of its codec change between pictures")
        return Role(starts, all(role.spared for role in roles), roles[0].layer)


def _h264_role(unit: memoryview) -> Role | None:
    """Read nal_ref_idc and nal_unit_type (ITU-T H.264, 7.3.1): only an IDR picture is a start."""
    kind, is_reference = unit[0] & 31, unit[0] >> 5 & 3
    return Role(kind == 5, not is_reference) if 1 <= kind <= 5 else None


def _hevc_role(unit: memoryview) -> Role | None:
    """Read nal_unit_type and the temporal layer (ITU-T H.265, 7.3.1.2 and table 7-1).

    Intra random access points (16 to 21) are starts for what is shown after them; even types up
    to 14 are not referred to in their own layer.
    """
    kind, layer = unit[0] >> 1 & 63, max(unit[1] & 7, 1) - 1
    return Role(16 <= kind <= 21, kind < 16 and kind % 2 == 0, layer) if kind < 32 else None


_NAL_ROLES = {"h264": _h264_role, "hevc": _hevc_role}
_HEADER = {"h264": 1, "hevc": 2}
_LENGTH_AT = {"h264": 4, "hevc": 21}
_PARAMETERS: dict[str, Callable[[memoryview], bool]] = {
    "h264": lambda unit: unit[0] & 31 in (7, 8),
    "hevc": lambda unit: unit[0] >> 1 & 63 in (32, 33, 34),
}


def _mpeg4_role(packet: av.Packet) -> Role | None:
    """Read the coding type of the one picture in a packet (ISO/IEC 14496-2, 6.2.5)."""
    _, *pictures = bytes(packet).split(b"\0\0\1\xb6")
    if not pictures or not pictures[0]:
        return None
    if len(pictures) > 1 or len(pictures[0]) <= _MAX_EMPTY_VOP:
        raise NoPlanError("its packets hold no picture, or several")
    kind = pictures[0][0] >> 6
    return Role(starts=kind == 0, spared=kind == 2)


def _vp9_role(packet: av.Packet) -> Role | None:
    """Read the start of the uncompressed header (VP9 bitstream specification, 6.2).

    Frames hand on their statistics, so none is spared.
    """
    content = memoryview(packet)
    first, last = content[0], content[-1]
    if first >> 6 != 2:
        return None
    if first & 0x30 == 0x30:
        raise NoPlanError("its VP9 profile 3 has another header")
    exists, is_inter, is_shown = first & 8, first & 4, first & 2
    if not exists and not is_shown and last >> 5 != 6:
        raise NoPlanError("its packets hold pictures that are not shown")
    return Role(starts=not exists and not is_inter, spared=False)


def _av1_role(packet: av.Packet) -> Role | None:
    """Trust the container: a temporal unit shows one frame, and sync samples are key frames."""
    return Role(starts=packet.is_keyframe, spared=False)


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
            with opened(self._path) as (container, stream):
                index = read_index(container, stream)
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
        with opened(self._path) as (container, stream):
            unit_s, start_s = float(stream.time_base or 0), stream_start_s(container)
            duration_s = stream_end_s(container, stream)
            usual_s = frame_length_s(stream)
        times_s = index.pts[index.order] * unit_s - start_s
        choose = self._chooser()
        wanted = np.array([k for k, t in enumerate(times_s.tolist()) if choose(k, t)], int)
        plan = plan_decoding(index, wanted)
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
        with opened(self._path) as (container, stream):
            stream.thread_type = "AUTO"
            unit_s, start_s = float(stream.time_base or 0), stream_start_s(container)
            duration_s = stream_end_s(container, stream)
            damage: list[str] = []
            seen, end_s = [], float("nan")
            for count, frame in enumerate(_frames(container, stream, damage)):
                number = numbers.get(frame.pts or 0, count)
                time_s = math.nan if frame.pts is None else frame.pts * unit_s - start_s
                if choose(number, time_s) and number > after:
                    yield Sample(number, time_s, upright(frame))
                seen.append(number)
                end_s = time_s + frame_length_s(stream, frame)
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
    with opened(path) as (container, stream):
        stream.thread_type, stream.codec_context.thread_count = "AUTO", n_threads
        for frame in _fed(container, stream, plan):
            if frame.pts not in due:
                continue
            if frame.pts != expected:
                raise NoPlanError(f"frame {next(iter(due.values()))} did not come in its turn")
            del due[frame.pts]
            expected = next(turns, None)
            yield upright(frame)
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
