"""Films of many kinds, made with FFmpeg's libraries through PyAV, and what a plain decode gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import pytest

RATE = 24
UNEVEN_MS = tuple(np.cumsum(np.random.default_rng(0).integers(20, 90, 400)).tolist())


@dataclass(frozen=True)
class Kind:
    """How a film is encoded and wrapped."""

    name: str
    codec: str = "libx264"
    options: dict = field(default_factory=dict)
    size: tuple[int, int] = (64, 48)
    pixels: str = "yuv420p"
    times_ms: tuple[int, ...] | None = None
    start: int = 0
    matrix: tuple[int, int, int, int] | None = None
    container: dict = field(default_factory=dict)
    aspect: str = "1"  # width of a pixel in its heights
    planned: bool = True  # whether a plan is expected to hold

    @property
    def title(self):
        return self.name.rpartition(".")[0]

    @property
    def mark(self):
        """Its parameter of a test: the encoders that take seconds to start are slow."""
        slow = [pytest.mark.slow] if self.codec in ("libsvtav1", "libx265") else []
        return pytest.param(self, id=self.name, marks=slow)


QUICK = {"preset": "ultrafast"}
B_PYRAMID = {"preset": "fast", "bf": "5", "b-pyramid": "normal", "g": "60", "refs": "4"}
LAGGING = {"deadline": "good", "cpu-used": "5", "lag-in-frames": "25", "g": "60", "crf": "30"}
SVT = {"preset": "12", "g": "32"}
X265 = "log-level=none:pools=1:frame-threads=1"
KINDS = [
    Kind("h264 defaults.mp4", options={"preset": "medium"}),
    Kind("h264 closed GOP.mp4", options={"bf": "3", "g": "24", "flags": "+cgop"}),
    Kind("h264 open GOP.mp4", options={"x264-params": "open-gop=1:keyint=20:bframes=3"}),
    Kind("h264 open GOP.mkv", options={"x264-params": "open-gop=1:keyint=20:bframes=3"}),
    Kind("h264 B-pyramid.mp4", options=B_PYRAMID),
    Kind("h264 16 B-frames.mkv", options={"bf": "16", "b-adapt": "0", "g": "80"}),
    Kind("h264 no scene cuts.mp4", options={"sc_threshold": "0", "g": "250", "bf": "3"}),
    Kind("h264 intra refresh.mp4", options={"intra-refresh": "1", "g": "20", "bf": "0"}),
    Kind("h264 intra only.mov", options={"g": "1"}),
    Kind("h264 long reference.mp4", options={"refs": "16", "bf": "2", "g": "50"}),
    Kind("h264 weighted, slices.mp4", options={"slices": "4", "weightp": "2", "g": "30"}),
    Kind("h264 10 bit.mkv", options={"bf": "3", "g": "30"}, pixels="yuv420p10le"),
    Kind("h264 4-4-4.mp4", options={"g": "30"}, pixels="yuv444p"),
    Kind("h264 odd size.mp4", options={"g": "30"}, size=(65, 49), pixels="yuv444p"),
    Kind("h264 cropped size.mp4", options={"g": "30"}, size=(70, 50)),
    Kind("h264 interlaced.mp4", options={"flags": "+ildct+ilme", "g": "30"}, planned=False),
    Kind("h264 variable rate.mkv", options={"bf": "3", "g": "25"}, times_ms=UNEVEN_MS),
    Kind("h264 edit list.mp4", options={"bf": "3", "g": "25"}, start=-7),
    Kind("h264 negative start.mkv", options={"bf": "3", "g": "25"}, start=-30),
    Kind("h264 late start.mp4", options={"bf": "3", "g": "25"}, start=50),
    Kind("h264 turned.mov", options={"g": "30"}, matrix=(0, 1, -1, 0)),
    Kind("h264 turned back.mp4", options={"g": "30"}, matrix=(0, -1, 1, 0)),
    Kind("h264 upside down.mov", options={"g": "30"}, matrix=(-1, 0, 0, -1)),
    Kind("h264 mirrored.mov", options={"g": "30"}, matrix=(-1, 0, 0, 1)),
    Kind("h264 fragmented.mp4", options={"g": "24"}, container={"movflags": "frag_keyframe"}),
    Kind("h264 stream.ts", options={"bf": "2", "g": "24"}, planned=False),
    Kind("hevc open GOP.mp4", "libx265", {"x265-params": f"keyint=24:bframes=4:{X265}"}),
    Kind("hevc closed GOP.mkv", "libx265", {"x265-params": f"open-gop=0:keyint=24:{X265}"}),
    Kind("hevc layers.mkv", "libx265", {"x265-params": f"temporal-layers=3:keyint=30:{X265}"}),
    Kind("hevc 10 bit.mp4", "libx265", {"x265-params": X265}, pixels="yuv420p10le"),
    Kind("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "30"}),
    Kind("vp9 looking ahead.mkv", "libvpx-vp9", LAGGING),
    Kind("vp8.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8", "g": "30"}, planned=False),
    Kind("av1.mkv", "libsvtav1", SVT | {"svtav1-params": "lp=1"}),
    Kind("av1 open GOP.mp4", "libsvtav1", SVT | {"svtav1-params": "lp=1:irefresh-type=1"}),
    Kind("mpeg-4 with B-frames.mp4", "mpeg4", {"g": "25", "bf": "2"}, planned=False),
    Kind("mpeg-4.mkv", "mpeg4", {"g": "25"}, planned=False),
    Kind("mpeg-4.avi", "mpeg4", {"g": "25"}, planned=False),
    Kind("mpeg-2.mkv", "mpeg2video", {"g": "15", "bf": "2"}, planned=False),
    Kind("prores.mov", "prores_ks", pixels="yuv422p10le"),
]


def pictures(n, size, *, cuts=(70, 71, 130)):
    """Draw moving gradients and noise, with cuts."""
    width, height = size
    y, x = np.mgrid[:height, :width]
    noise = np.random.default_rng(0).integers(0, 40, (2 * height, 2 * width, 1))
    for i in range(n):
        shot = sum(i >= cut for cut in cuts)
        moved = noise[i % height : i % height + height, 2 * i % width : 2 * i % width + width]
        picture = np.stack([3 * x + 5 * i, 4 * y + 3 * i + 90 * shot, x + y + 9 * i], axis=-1)
        yield ((picture + moved) % 256).astype(np.uint8)


def make_film(path, kind, *, n=200):
    """Encode a film of a kind.

    A test that needs an encoder which this FFmpeg lacks is skipped.
    """
    try:
        av.Codec(kind.codec, "w")
    except av.codec.codec.UnknownCodecError:
        pytest.skip(f"FFmpeg is built without the encoder {kind.codec}")
    with av.open(str(path), "w", container_options=kind.container) as film:
        options = (QUICK if kind.codec in ("libx264", "libx265") else {}) | kind.options
        stream = film.add_stream(kind.codec, rate=RATE, options=options)
        stream.width, stream.height = kind.size
        stream.pix_fmt = kind.pixels
        clock = Fraction(1, 1000) if kind.times_ms else Fraction(1, RATE)
        stream.codec_context.time_base = clock
        stream.codec_context.sample_aspect_ratio = Fraction(kind.aspect)
        if kind.matrix:
            a, b, c, d = (65536 * value for value in kind.matrix)
            stream.set_display_matrix((a, b, 0, c, d, 0, 0, 0, 1 << 30))
        for i, picture in enumerate(pictures(n, kind.size)):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.time_base = clock
            frame.pts = kind.times_ms[i] if kind.times_ms else i + kind.start
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
    return path


def write_film(path, pictures, *, hold=10, rate=10):
    """Write each picture for `hold` frames."""
    height, width = pictures[0].shape[:2]
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for picture in pictures:
            for _ in range(hold):
                film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    return path


def repeated(film, path, *, times):
    """Write the packets of a film again and again, so that it is longer and was encoded once."""
    with av.open(str(film)) as piece, av.open(str(path), "w") as longer:
        stream = longer.add_stream_from_template(piece.streams.video[0])
        length = piece.streams.video[0].duration
        for turn in range(times):
            piece.seek(0)
            for packet in piece.demux(video=0):
                if packet.size:
                    packet.pts, packet.dts = (t + turn * length for t in (packet.pts, packet.dts))
                    packet.stream = stream
                    longer.mux(packet)
    return path


def plain_decode(path):
    """Give the time and the stored picture of each frame, by the shortest loop there is."""
    with av.open(str(path)) as film:
        stream = film.streams.video[0]
        start = Fraction(film.start_time or 0, av.time_base)
        for frame in film.decode(stream):
            time_s = None if frame.pts is None else float(frame.pts * stream.time_base - start)
            yield time_s, frame.to_ndarray(format="rgb24")
