"""Frames of a film: those of a sequential decode, each with its time, decoded as little as needed.

Only the packets that the wanted frames depend on are decoded (`plan_decoding`). Where a file does
not say what depends on what, or a frame does not come as planned, the film is decoded from start
to end. Damage is reported: what can be decoded is given, and `Samples.coverage` says what is
missing.
"""

from __future__ import annotations

import logging
import math
import re
from array import array
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.buffer import Buffer

log = logging.getLogger(__name__)

_NO_FILM = ("image2", "tty", "_pipe")
"""FFmpeg opens pictures, and text as animated terminal output, as films of a frame or so."""
_CONTAINERS = ("mov", "matroska")
"""In these, a packet is one picture and has its time of presentation."""
_ASPECTS = (0.2, 5.0)
"""Shapes of pixels outside of this range are faults of the file, and are ignored."""
_TOLERANCE_S = 1.0
"""Containers round durations, and clocks step back a little around damage."""
_ROUNDING_S = 1e-6
"""Times are sums of fractions; a mark is not missed for the last digit."""


class VideoError(ValueError):
    """A file has no frames to give."""


class NoPlanError(ValueError):
    """A film has to be decoded from start to end; the message is the reason."""


class _DamageError(ValueError):
    """A packet can't be decoded."""


class VideoInfo(NamedTuple):
    """What a file says of its film."""

    fps: float
    """On average; films may vary it. NaN where the file does not say, as below."""
    duration_s: float
    n_frames: int | None
    """As the container counts them; None where it does not."""
    start_s: float
    """Time stamp of the start of the film."""
    pixel_aspect: float
    """Width of a pixel in its heights."""


class Film(NamedTuple):
    """An open film."""

    container: av.container.InputContainer
    stream: av.VideoStream
    info: VideoInfo

    def seconds(self, stamp: Any) -> Any:
        """Convert time stamps to seconds from the start of the film."""
        return stamp * float(self.stream.time_base or 0) - self.info.start_s


class Sample(NamedTuple):
    """A frame of a film."""

    frame: int
    """Number in order of presentation, from 0."""
    time_s: float
    """From the start of the film."""
    rgb: np.ndarray
    """(H, W, 3) uint8, upright and in display proportions."""


class Coverage(NamedTuple):
    """How much of a film could be decoded."""

    n_frames: int
    """Frames that there are: those decoded or, with a plan, those in the index."""
    n_lost: int
    """Frames of the index that did not come, or packets that can't be decoded."""
    end_s: float
    """Where the decoded film ends."""
    duration_s: float
    """Where it should end; NaN where the file does not say."""
    counted_fps: float | None = None
    """Frame rate that times are counted by, if the file has no time stamps."""

    @property
    def is_complete(self) -> bool:
        """Whether nothing is known to be missing."""
        return self.n_lost == 0 and not self.duration_s - self.end_s > _TOLERANCE_S

    def __str__(self) -> str:
        of = "" if math.isnan(self.duration_s) else f" of {self.duration_s:.1f}"
        text = f"{self.n_frames} frames, {self.end_s:.1f}{of} s decoded, {self.n_lost} frames lost"
        if self.counted_fps:
            text += f", no time stamps: times are counted at {self.counted_fps:g} frames a second"
        return text


def probe(path: Path | str) -> VideoInfo:
    """Read what a file says of its film, without decoding it.

    Raises VideoError if the file is missing, empty, or no film.
    """
    with opened(Path(path)) as film:
        return film.info


@contextmanager
def opened(path: Path) -> Iterator[Film]:
    """Open a film and choose its picture: the default stream, or the largest of several.

    Raises VideoError as `probe` does.
    """
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
        flags = av.stream.Disposition
        streams = [s for s in container.streams.video if not s.disposition & flags.attached_pic]
        if not streams or container.format.name.endswith(_NO_FILM):
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise VideoError(
                f"{path.name} has no moving picture: it is {container.format.long_name}, "
                f"with {kinds}"
            )
        streams = [stream for stream in streams if stream.codec_context is not None]
        if not streams:
            raise VideoError(
                f"{path.name}: FFmpeg has no decoder for its picture, or its index is cut off"
            )
        stream = max(
            streams, key=lambda s: (bool(s.disposition & flags.default), s.width * s.height)
        )
        yield Film(container, stream, _info(container, stream))


def _info(container: av.container.InputContainer, stream: av.VideoStream) -> VideoInfo:
    start_s = (container.start_time or 0) / av.time_base
    # Matroska keeps the end of each stream in a tag; that of the container is of all streams
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if stream.duration is not None:
        end_s = ((stream.start_time or 0) + stream.duration) * float(stream.time_base or 0)
    elif tag:
        end_s = 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3])
    else:
        is_end = container.format.name.startswith("matroska")
        end_s = (container.duration or math.nan) / av.time_base + (0 if is_end else start_s)
    return VideoInfo(
        fps=float(stream.average_rate or stream.guessed_rate or math.nan),
        duration_s=end_s - start_s,
        n_frames=stream.frames or None,
        start_s=start_s,
        pixel_aspect=float(stream.sample_aspect_ratio or 1),
    )


def upright(frame: av.VideoFrame, *, pixel_aspect: float = 1.0) -> np.ndarray:
    """Convert a frame to RGB, in display proportions, turned and mirrored as the file says.

    `pixel_aspect` is the width of a pixel in its heights. The shorter side is enlarged, so that
    nothing is lost.
    """
    width, height = frame.width, frame.height
    if _ASPECTS[0] <= pixel_aspect <= _ASPECTS[1] and abs(pixel_aspect - 1) > 0.01:
        width = round(width * max(1, pixel_aspect))
        height = round(height / min(1, pixel_aspect))
    rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, Buffer):
        return rgb
    # Stored (x, y) is shown at (a x + c y, b x + d y), in 16.16 fixed point.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    is_turned = abs(b) > abs(a)
    x_sign, y_sign = (c, b) if is_turned else (a, d)
    shown = rgb.swapaxes(0, 1) if is_turned else rgb
    return np.ascontiguousarray(shown[:: 1 if y_sign >= 0 else -1, :: 1 if x_sign >= 0 else -1])


class Samples(Iterator[Sample]):
    """Sampled frames of a film, one in memory at a time; see `sample_frames`.

    `coverage` is None until the iterator is exhausted. `sequential_because` is the reason why the
    film was decoded from start to end; None while a plan holds.
    """

    def __init__(self, path: Path, every: int | None, every_seconds: float | None) -> None:
        if every is not None and every_seconds is not None:
            raise ValueError("give one step: every (frames) or every_seconds")
        if every is not None and every < 1:
            raise ValueError(f"every must be 1 or more, got {every}")
        if every_seconds is not None and not 0 < every_seconds < math.inf:
            raise ValueError(f"every_seconds must be over 0, got {every_seconds}")
        self.coverage: Coverage | None = None
        self.sequential_because: str | None = None
        self._path, self._every_seconds = path, every_seconds
        self._every = 100 if every is every_seconds is None else every
        self._samples = self._sample()

    def __next__(self) -> Sample:
        return next(self._samples)

    def close(self) -> None:
        """Close the file before the end is reached."""
        self._samples.close()

    def _sample(self) -> Generator[Sample, None, None]:
        index, last = None, -1
        try:
            with opened(self._path) as film:
                index = read_index(film)
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
        is_wanted = self._chooser()
        with opened(self._path) as film:
            times_s = film.seconds(index.pts[index.order]).tolist()
            frames = np.array([k for k, time_s in enumerate(times_s) if is_wanted(k, time_s)], int)
            stamps = index.pts[index.order[frames]].tolist()
            due, wanted = deque(stamps), dict(zip(stamps, frames.tolist(), strict=True))
            for frame in _decoded(film, *plan_decoding(index, frames)):
                if frame.pts in wanted:
                    number = wanted[frame.pts]
                    if not due or frame.pts != due.popleft():
                        raise NoPlanError(f"frame {number} did not come in its turn")
                    rgb = upright(frame, pixel_aspect=film.info.pixel_aspect)
                    yield Sample(number, times_s[number], rgb)
        if due:
            raise NoPlanError(f"frame {wanted[due[0]]} did not come")
        end_s = times_s[-1] + _frame_s(film)
        self.coverage = Coverage(len(times_s), 0, end_s, film.info.duration_s)

    def _sequential(self, index: Index | None, *, after: int) -> Generator[Sample, None, None]:
        """Decode everything and give the wanted frames after one; an index numbers them."""
        is_wanted, seen, damage = self._chooser(), array("q"), list[str]()
        numbers = {} if index is None else {int(p): k for k, p in enumerate(index.pts[index.order])}
        with opened(self._path) as film:
            # a raw stream says its rate in its first pictures, the average is a guess of FFmpeg
            fps = float(film.stream.guessed_rate or film.stream.average_rate or 25)
            time_s, length_s, shift_s, n_untimed = -math.inf, 0.0, 0.0, 0
            for count, frame in enumerate(_frames(film, damage)):
                next_s = max(time_s + length_s, 0.0)
                if frame.pts is None:
                    time_s, length_s, n_untimed = next_s, 1 / fps, n_untimed + 1
                else:
                    stamp_s = film.seconds(frame.pts)
                    if stamp_s + shift_s < time_s - _TOLERANCE_S:  # a broadcast's clock restarts
                        shift_s = next_s - stamp_s
                    time_s = stamp_s + shift_s
                    length_s = float((frame.duration or 0) * (frame.time_base or 0))
                    length_s = length_s or _frame_s(film)
                number = numbers.get(frame.pts or 0, count)
                if is_wanted(number, time_s) and number > after:
                    rgb = upright(frame, pixel_aspect=film.info.pixel_aspect)
                    yield Sample(number, time_s, rgb)
                seen.append(number)
        if not seen:
            fault = damage[0] if damage else "no error reported"
            raise VideoError(f"{self._path.name}: no frame can be decoded ({fault})")
        self.coverage = Coverage(
            n_frames=len(seen),
            n_lost=max(len(damage), len(numbers) - len(set(seen))),
            end_s=time_s + length_s,
            duration_s=film.info.duration_s,
            counted_fps=fps if n_untimed == len(seen) else None,
        )

    def _chooser(self) -> Callable[[int, float], bool]:
        """Make the test of whether a frame is wanted; it is asked for all frames in turn."""
        every, step_s, due_s = self._every, self._every_seconds, -math.inf
        if step_s is None:
            return lambda number, _: number % (every or 1) == 0

        def is_due(_: int, time_s: float) -> bool:
            nonlocal due_s
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
        Iterates over ``(frame, time_s, rgb)``. A truncated or damaged film gives what can be
        decoded, logs a warning at the end, and says in ``.coverage`` what is missing. Frames are
        numbered by the file's index of its pictures, so those lost to damage leave a hole; where
        there is no index they are not counted. Damage in a part that no wanted frame depends on
        is seen only if it spoils the index.

    Raises
    ------
    VideoError
        While iterating, if the file is missing, empty, no film, or no frame can be decoded.
    ValueError
        If the step is not positive, or there are two.

    Examples
    --------
    >>> for frame, time_s, rgb in sample_frames("film.mp4", every_seconds=2):  # doctest: +SKIP
    ...     print(frame, time_s, rgb.shape)
    """
    return Samples(Path(path), every, every_seconds)


def _frame_s(film: Film) -> float:
    return 0.0 if math.isnan(film.info.fps) else 1 / film.info.fps


def _frames(film: Film, damage: list[str]) -> Iterator[av.VideoFrame]:
    """Decode everything, adding to `damage` what can't be; a read error is the end."""
    film.stream.thread_type = "AUTO"
    packets = film.container.demux(film.stream)
    packet: av.Packet | None = av.Packet()
    while packet is not None:
        try:
            packet = next(packets, None)  # None empties the decoder
        except av.error.FFmpegError as fault:
            packet = None
            damage.append(str(fault.strerror))
        try:
            yield from film.stream.codec_context.decode(packet)
        except av.error.EOFError:  # emptied already, by the last packet
            return
        except av.error.FFmpegError as fault:
            damage.append(str(fault.strerror))


class Role(NamedTuple):
    """Whether decoding can start at a packet, and whether no other picture is predicted from it.

    The latter is of use in the highest temporal layer only.
    """

    starts: bool
    spared: bool
    layer: int = 0


class Index(NamedTuple):
    """The packets of a film's picture, in the order of the file; arrays of one length."""

    pts: np.ndarray
    """Presentation times in units of the stream's time base, int64."""
    shown: np.ndarray
    """False for packets that an edit list hides."""
    starts: np.ndarray
    """As in `Role`, like the next."""
    spared: np.ndarray
    fault: str | None = None
    """What is wrong with the file, if something was seen to be."""

    @property
    def order(self) -> np.ndarray:
        """Packets of the shown frames in the order of presentation, so by number of frame."""
        shown = np.flatnonzero(self.shown)
        return shown[np.argsort(self.pts[shown])]


def read_index(film: Film) -> Index:
    """Read the packets of a film without decoding them.

    Raises NoPlanError if they do not tell which frames there are, or what they depend on.
    """
    family = film.container.format.name.split(",")[0]
    if family not in _CONTAINERS:
        raise NoPlanError(f"the container {family} does not give each picture its time")
    role_of = _role_reader(film.stream.codec_context)
    times, headers, fault = array("q"), bytearray(), None  # a film of two hours has 170,000
    with suppress(av.error.FFmpegError):  # a read error is the end
        for packet in film.container.demux(film.stream):
            if not packet.size:
                continue
            if packet.has_sidedata("new_extradata"):
                raise NoPlanError("the settings of its codec change")
            if packet.pts is None:
                raise NoPlanError("not every picture has a time")
            role = role_of(packet)
            if packet.is_corrupt or role is None:
                fault = fault or f"packet {len(times)} is damaged"
            times.append(packet.pts)
            headers += bytes((not packet.is_discard, *(role or Role(False, False))))
    if not times:
        raise NoPlanError("it has no packets that can be read")
    shown, starts, spared, layer = np.frombuffer(headers, np.uint8).reshape(-1, 4).T
    is_spared = (spared == 1) & (layer == layer.max())
    index = Index(np.array(times), shown == 1, starts == 1, is_spared, fault)
    shown_at = index.pts[index.shown]
    if not len(shown_at):
        raise NoPlanError("no picture of it is shown")
    if len(np.unique(shown_at)) < len(shown_at):
        raise NoPlanError("several pictures have one time")
    if not index.starts[0]:
        raise NoPlanError("it begins with a picture that needs earlier ones")
    if shown_at.min() < index.pts[0]:
        raise NoPlanError("it begins with pictures that decoders leave out")
    return index


def _role_reader(codec: av.VideoCodecContext) -> Callable[[av.Packet], Role | None]:
    """Choose what reads the headers of a codec's packets; it gives None for a damaged one.

    H.264 (ITU-T H.264, 7.3.1): only an IDR picture (5) is a start, nal_ref_idc 0 is spared. HEVC
    (ITU-T H.265, 7.3.1.2 and table 7-1): intra random access points (16 to 21) are starts for what
    is shown after them; even types up to 14 are not referred to in their temporal layer.
    """
    name, extradata = codec.codec.canonical_name, codec.extradata or b""
    if codec.codec.intra_only:
        return lambda _: Role(starts=True, spared=True)
    if name in ("vp9", "av1"):
        # Frames hand on their statistics, so none is spared. What the container calls a key
        # picture is checked when it is decoded.
        return lambda packet: Role(packet.is_keyframe, spared=False)
    if name not in ("h264", "hevc"):
        raise NoPlanError(f"what depends on what in {name} is not known here")
    if extradata[:1] != b"\x01":
        raise NoPlanError(f"its {name} pictures have no lengths before them")
    is_hevc = name == "hevc"
    width = (extradata[21 if is_hevc else 4] & 3) + 1
    parameters = (32, 33, 34) if is_hevc else (7, 8)

    def read(packet: av.Packet) -> Role | None:
        """Read the units of a packet, each with its length before it."""
        content, place, roles, is_changed = memoryview(packet), 0, [], False
        while place < len(content):
            start = place + width
            place = start + int.from_bytes(content[place:start], "big")
            unit = content[start:place]
            if place > len(content) or len(unit) < 1 + is_hevc or unit[0] & 0x80:
                return None
            kind = unit[0] >> 1 & 63 if is_hevc else unit[0] & 31
            if is_hevc and kind < 32:
                spared, layer = kind < 16 and kind % 2 == 0, max(unit[1] & 7, 1) - 1
                roles.append(Role(16 <= kind <= 21, spared, layer))
            elif not is_hevc and 1 <= kind <= 5:
                roles.append(Role(kind == 5, not unit[0] >> 5 & 3))
            elif kind in parameters:
                is_changed |= bytes(unit) not in extradata
        if not roles:
            return None
        starts = all(role.starts for role in roles)
        if is_changed and not starts:
            raise NoPlanError("the settings of its codec change between pictures")
        return Role(starts, all(role.spared for role in roles), roles[0].layer)

    return read


def plan_decoding(index: Index, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the packets, of n, that the given frames depend on.

    Parameters
    ----------
    index
        The packets of the film.
    frames
        (k,) numbers of the wanted frames, each below the number of shown packets.

    Returns
    -------
    feed, flush
        (n,) whether a packet goes to the decoder, and whether the decoder is emptied after it and
        starts anew with the next. The decoder then gives the wanted frames, among others.
    """
    targets = np.sort(index.order[frames])
    starts = np.flatnonzero(index.starts)
    places = np.searchsorted(starts, targets, side="right") - 1
    # A picture shown before its group's start may be predicted from the group before.
    while (early := (places > 0) & (index.pts[starts[places]] > index.pts[targets])).any():
        places -= early
    # A start serves its target, and those after it in the file.
    firsts = np.minimum.accumulate(starts[places][::-1])[::-1]
    feed, flush = np.zeros(len(index.pts), bool), np.zeros(len(index.pts), bool)
    done = -1
    for start, target in zip(firsts, targets, strict=True):
        if start > done + 1 and done >= 0:
            flush[done] = True
        first = max(start, done + 1)
        feed[first : target + 1] = ~index.spared[first : target + 1]
        done = target
    feed[targets] = True
    flush[done] = True
    return feed, flush


def _decoded(film: Film, feed: np.ndarray, flush: np.ndarray) -> Iterator[av.VideoFrame]:
    """Decode the packets of a plan, and check that they are what the plan took them for."""
    film.stream.thread_type = "AUTO"
    decoder, end = film.stream.codec_context, int(np.flatnonzero(flush)[-1])
    packets = (packet for packet in film.container.demux(film.stream) if packet.size)
    first = None
    try:
        for place, packet in enumerate(packets):
            if not feed[place]:
                continue
            first = packet.pts if first is None else first
            frames = decoder.decode(packet)
            if flush[place]:
                frames += decoder.decode(None)
            for frame in frames:
                if frame.is_corrupt:
                    raise _DamageError("a picture is damaged")
                if frame.interlaced_frame:  # one frame may then be two packets
                    raise NoPlanError("it is interlaced")
                if frame.pts == first and not frame.key_frame:
                    raise NoPlanError("decoding should start at a picture that is no key picture")
                yield frame
            if place == end:
                return
            if flush[place]:
                decoder.flush_buffers()
                first = None
    except av.error.FFmpegError as fault:
        raise _DamageError(fault.strerror) from None
