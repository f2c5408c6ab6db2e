"""Which packets of a film must be decoded to have some of its frames, exactly as in a whole decode.

The packets are read once, without decoding, and their headers say which ones decoding can start
at (nothing that follows looks back beyond them) and which ones no other picture is predicted from.
For a wanted frame one needs those from the last start before it, less what nothing depends on.
The flags of containers are not trusted for this: they also mark pictures of open groups and of
rolling intra refresh. Where the headers do not settle it there is no plan, and a reason.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import av
import numpy as np

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
    _check(index)
    return index


def _next(packets: Iterator[av.Packet]) -> av.Packet | None:
    """Give the next packet; a read error is the end of the film, as it is when decoding."""
    try:
        return next(packets, None)
    except av.error.FFmpegError:
        return None


def _check(index: Index) -> None:
    times = index.pts[index.shown]
    if not len(times):
        raise NoPlanError("no picture of it is shown")
    if len(np.unique(times)) < len(times):
        raise NoPlanError("several pictures have one time")
    if not index.starts[0]:
        raise NoPlanError("it begins with a picture that needs earlier ones")
    if times.min() < index.pts[0]:
        raise NoPlanError("it begins with pictures that decoders leave out")


def plan(index: Index, frames: np.ndarray) -> Plan:
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
