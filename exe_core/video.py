"""Frames of a film: those of a sequential decode, each with its time, decoded as little as needed.

Only the packets that the wanted frames depend on are decoded (`plan_decoding`). Where a file does
not say what depends on what, or a frame does not come as planned, the film is decoded from start
to end. Damage is reported: what can be decoded is given, and `Samples.missing` says what is not.
"""

from __future__ import annotations

import logging
import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from av.buffer import Buffer

log = logging.getLogger(__name__)

_CONTAINERS = ("mov", "matroska")  # in these, a packet is one picture and has its time
_NO_FILM = ("image2", "tty", "_pipe")  # FFmpeg opens pictures, and text, as films of a frame or so
_TOLERANCE_S = 1.0  # containers round durations
_PQ, _HLG = 16, 18  # transfer functions of HDR films, by their number in ITU-T H.273
_WHITE = 203.0  # cd/m2, of HDR films (ITU-R BT.2408)
_RECORDINGS = ("mpegts", "mpeg")  # of broadcasts and discs: their clock may be set anew
_JUMP_S = 10.0  # between two frames of a recording, as FFmpeg takes it


class VideoError(ValueError):
    """A file has no frames to give."""


class NoPlanError(ValueError):
    """A film has to be decoded from start to end; the message is the reason."""


class VideoInfo(NamedTuple):
    """What a file says of its film; NaN or None where it does not say."""

    fps: float  # on average; films may vary it
    duration_s: float
    n_frames: int | None
    start_s: float  # time stamp of the start of the film
    pixel_aspect: float  # width of a pixel in its heights
    frame_s: float  # mean time between frames; that of 25 a second where the file does not say
    transfer: int  # from signal to light, as ITU-T H.273 numbers it


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

    frame: int  # in order of presentation, from 0
    time_s: float  # from the start of the film
    rgb: np.ndarray  # (H, W, 3) uint8, upright and in display proportions


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
    try:
        container = av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as fault:
        raise VideoError(
            f"{path.name} is no film that FFmpeg can read, or its index is cut off "
            f"({fault.strerror})"
        ) from None
    with container:
        flags = av.stream.Disposition
        streams = [
            stream
            for stream in container.streams.video
            if not stream.disposition & flags.attached_pic and stream.codec_context is not None
        ]
        if container.format.name.endswith(_NO_FILM) or not streams:
            raise VideoError(
                f"{path.name} has no moving picture that FFmpeg can decode, or its index is cut "
                f"off: it is {container.format.long_name}"
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
        # a raw stream says its rate in its first pictures, the average is a guess of FFmpeg
        frame_s=float(1 / (stream.guessed_rate or stream.average_rate or 25)),
        transfer=int(stream.codec_context.color_trc),
    )


@cache
def to_sdr(transfer: int) -> np.ndarray | None:
    """Tabulate the SDR value of each of 256 HDR values, what is brighter than white as white.

    PQ is SMPTE ST 2084, HLG is ARIB STD-B67. None for a film that is not HDR.
    """
    signal = np.arange(256) / 255
    if transfer == _PQ:
        root = signal ** (1 / 78.84375)
        light = np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)
        light = light ** (1 / 0.1593017578125) * 10_000 / _WHITE
    elif transfer == _HLG:
        bright = (np.exp((signal - 0.55991073) / 0.17883277) + 0.28466892) / 12
        light = np.where(signal <= 0.5, signal**2 / 3, bright) / 0.265
    else:
        return None
    light = light.clip(0, 1)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * shown).astype(np.uint8)


def upright(frame: av.VideoFrame, info: VideoInfo) -> np.ndarray:
    """Convert a frame to RGB, in display proportions, turned and mirrored as the file says.

    The shorter side is enlarged, so that nothing is lost. HDR is shown as SDR.
    """
    width, height, pixel_aspect = frame.width, frame.height, info.pixel_aspect
    if 0.2 <= pixel_aspect <= 5 and abs(pixel_aspect - 1) > 0.01:  # others are faults of the file
        width = round(width * max(1, pixel_aspect))
        height = round(height / min(1, pixel_aspect))
    rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
    if (table := to_sdr(info.transfer)) is not None:
        rgb = table[rgb]
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if not isinstance(matrix, Buffer):
        return rgb
    # Stored (x, y) is shown at (a x + c y, b x + d y), in 16.16 fixed point.
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    is_turned = abs(b) > abs(a)
    x_sign, y_sign = (c, b) if is_turned else (a, d)
    shown = rgb.swapaxes(0, 1) if is_turned else rgb
    return np.ascontiguousarray(shown[:: 1 if y_sign >= 0 else -1, :: 1 if x_sign >= 0 else -1])


class Samples(Iterable[Sample]):
    """Every n-th frame of a film, starting with the first; one is in memory at a time.

    A truncated or damaged film gives what can be decoded; pictures that are lost are not counted
    in the numbers of frames. Damage in a part that no wanted frame depends on is seen only if it
    spoils the index. Frames up to number `after` are left out.

    Attributes
    ----------
    n_frames, end_s, duration_s
        Frames that were decoded or, with a plan, that are in the index; where they end, and where
        the film ends (s from the start). Known after the last frame.
    missing
        What is not whole, in words; None if nothing is known to be missing.
    sequential_because
        Why the film was decoded from start to end; None while a plan holds.

    Raises VideoError, while iterating, if the file is missing, no film, or no frame can be decoded.
    """

    def __init__(self, path: Path | str, *, every: int, after: int = -1) -> None:
        self.n_frames, self.end_s, self.duration_s = 0, math.nan, math.nan
        self.missing: str | None = None
        self.sequential_because: str | None = None
        self._path, self._every, self._after = Path(path), every, after

    def __iter__(self) -> Iterator[Sample]:
        last = self._after
        try:
            with opened(self._path) as film:
                index = read_index(film)
            for sample in self._planned(index):
                yield sample
                last = sample.frame
        except NoPlanError as reason:
            self.sequential_because = str(reason)
            log.info("%s is decoded as a whole: %s", self._path.name, reason)
            yield from self._sequential(after=last)

    def _end(self, n_frames: int, end_s: float, duration_s: float, *, n_lost: int = 0) -> None:
        self.n_frames, self.end_s = n_frames, end_s
        self.duration_s = duration_s if end_s < duration_s + _TOLERANCE_S else end_s
        if n_lost or duration_s - end_s > _TOLERANCE_S:
            of = "" if math.isnan(duration_s) else f" of {duration_s:.1f}"
            decoded = f"{n_frames} frames, {end_s:.1f}{of} s decoded"
            self.missing = f"{decoded}, {n_lost} pictures lost"
            log.warning("%s: %s", self._path.name, self.missing)

    def _planned(self, index: Index) -> Iterator[Sample]:
        """Decode what the wanted frames need; raise as soon as something is not as planned."""
        with opened(self._path) as film:
            times_s = film.seconds(index.pts[index.order]).tolist()
            frames = np.arange(0, len(times_s), self._every)
            frames = frames[frames > self._after]
            stamps = index.pts[index.order[frames]].tolist()
            due, wanted = deque(stamps), dict(zip(stamps, frames.tolist(), strict=True))
            for frame in _decoded(film, *plan_decoding(index, frames)) if len(frames) else ():
                if frame.pts in wanted:
                    number = wanted[frame.pts]
                    if not due or frame.pts != due.popleft():
                        raise NoPlanError(f"frame {number} did not come in its turn")
                    yield Sample(number, times_s[number], upright(frame, film.info))
        if due:
            raise NoPlanError(f"frame {wanted[due[0]]} did not come")
        self._end(len(times_s), times_s[-1] + film.info.frame_s, film.info.duration_s)

    def _sequential(self, *, after: int) -> Iterator[Sample]:
        """Decode everything and give the wanted frames after one."""
        damage, number = list[str](), -1
        with opened(self._path) as film:
            time_s, ahead_s, frame_s = -film.info.frame_s, 0.0, film.info.frame_s
            may_jump = film.container.format.name in _RECORDINGS
            for number, frame in enumerate(_frames(film, damage)):
                stamp_s = math.nan if frame.pts is None else film.seconds(frame.pts) - ahead_s
                if may_jump and abs(stamp_s - time_s) > _JUMP_S:
                    ahead_s, stamp_s = ahead_s + stamp_s - time_s - frame_s, time_s + frame_s
                # without a stamp, and while a clock that was set back is behind, time is counted
                time_s = stamp_s if stamp_s > time_s else time_s + frame_s
                if number % self._every == 0 and number > after:
                    yield Sample(number, time_s, upright(frame, film.info))
        if number < 0:
            fault = damage[0] if damage else "no error reported"
            raise VideoError(f"{self._path.name}: no frame can be decoded ({fault})")
        duration_s = math.nan if ahead_s else film.info.duration_s
        self._end(number + 1, time_s + frame_s, duration_s, n_lost=len(damage))


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


_Role = tuple[bool, bool, int]
"""Whether decoding can start at a packet, whether no other picture of its temporal layer is
predicted from it, and the layer."""


class Index(NamedTuple):
    """The packets of a film's picture, in the order of the file; arrays of one length."""

    pts: np.ndarray  # presentation times in units of the stream's time base, int64
    shown: np.ndarray  # False for packets that an edit list hides
    starts: np.ndarray  # whether decoding can start there
    spared: np.ndarray  # whether no other picture is predicted from it

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
    rows: list[tuple[int, ...]] = []  # a film of two hours has 170,000
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
                raise NoPlanError(f"packet {len(rows)} is damaged")
            rows.append((packet.pts, not packet.is_discard, *role))
    if not any(is_shown for _, is_shown, *_ in rows):
        raise NoPlanError("it has no picture that can be read and is shown")
    pts, shown, starts, spared, layer = np.array(rows).T
    spared = (spared == 1) & (layer == layer.max())
    index = Index(pts, shown == 1, starts == 1, spared)
    shown_at = index.pts[index.shown]
    if len(np.unique(shown_at)) < len(shown_at):
        raise NoPlanError("several pictures have one time")
    if not index.starts[0]:
        raise NoPlanError("it begins with a picture that needs earlier ones")
    if shown_at.min() < index.pts[0]:
        raise NoPlanError("it begins with pictures that decoders leave out")
    return index


def _role_reader(codec: av.VideoCodecContext) -> Callable[[av.Packet], _Role | None]:
    """Choose what reads the headers of a codec's packets; it gives None for a damaged one.

    H.264 (ITU-T H.264, 7.3.1): only an IDR picture (5) is a start, nal_ref_idc 0 is spared. HEVC
    (ITU-T H.265, 7.3.1.2 and table 7-1): intra random access points (16 to 21) are starts for what
    is shown after them; even types up to 14 are not referred to in their temporal layer.
    """
    name, extradata = codec.codec.canonical_name, codec.extradata or b""
    if codec.codec.intra_only:
        return lambda _: (True, True, 0)
    if name in ("vp9", "av1"):
        # Frames hand on their statistics, so none is spared. What the container calls a key
        # picture is checked when it is decoded.
        return lambda packet: (packet.is_keyframe, False, 0)
    if name not in ("h264", "hevc"):
        raise NoPlanError(f"what depends on what in {name} is not known here")
    if extradata[:1] != b"\x01":
        raise NoPlanError(f"its {name} pictures have no lengths before them")
    is_hevc = name == "hevc"
    width = (extradata[21 if is_hevc else 4] & 3) + 1
    parameters = (32, 33, 34) if is_hevc else (7, 8)

    def read(packet: av.Packet) -> _Role | None:
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
                roles.append((16 <= kind <= 21, spared, layer))
            elif not is_hevc and 1 <= kind <= 5:
                roles.append((kind == 5, not unit[0] >> 5 & 3, 0))
            elif kind in parameters:
                is_changed |= bytes(unit) not in extradata
        if not roles:
            return None
        starts = all(starts for starts, *_ in roles)
        if is_changed and not starts:
            raise NoPlanError("the settings of its codec change between pictures")
        return starts, all(spared for _, spared, _ in roles), roles[0][2]

    return read


def plan_decoding(index: Index, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Choose the packets, of n, that frames (k,) depend on, given by their numbers.

    Gives (n,) whether a packet goes to the decoder, and (n,) whether the decoder is emptied after
    it and starts anew with the next. The decoder then gives the wanted frames, among others.
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
                    raise NoPlanError("a picture is damaged")
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
        raise NoPlanError(str(fault.strerror)) from None
