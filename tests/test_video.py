"""Films: the very frames of a plain decode, on real files of several kinds, whole and damaged."""

import re

import av
import cv2
import numpy as np
import pytest
from film_samples import KINDS, RATE, Kind, make_film, plain_decode
from hypothesis import given
from hypothesis import strategies as st

from exe_core import video

N = 50
PLAIN = Kind("plain.mp4")
KIND = {kind.name: kind for kind in KINDS}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A film of 10 s whose index stands first, so that it can be read when cut off."""
    path = tmp_path_factory.mktemp("films") / "whole.mp4"
    return make_film(path, Kind("whole.mp4", container={"movflags": "faststart"}), n=240)


def picture(suffix):
    return cv2.imencode(suffix, np.zeros((40, 40, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "no film that FFmpeg can read"),
        ("text.mp4", b"not a film\n" * 100, "no film that FFmpeg can read"),
        ("text.txt", b"not a film\n" * 100, "no moving picture"),
        ("photo.jpg", picture(".jpg"), "no moving picture"),
        ("absent.mp4", None, "No such file"),
    ],
)
def test_what_is_no_film_is_refused(tmp_path, name, content, reason):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for read in (video.probe, lambda path: list(video.Samples(path, every=9))):
        with pytest.raises(video.VideoError) as fault:
            read(tmp_path / name)
        assert name in str(fault.value)
        assert reason in str(fault.value)


def with_sound(path, *, picture_s, sound_s):
    """Write a film whose sound is of another length than its picture."""
    with av.open(str(path), "w") as film:
        picture = film.add_stream("libx264", rate=RATE)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        sound = film.add_stream("aac", rate=44100, layout="mono")
        for k in range(picture_s * RATE):
            blank = np.full((48, 64, 3), k % 256, np.uint8)
            film.mux(picture.encode(av.VideoFrame.from_ndarray(blank, format="rgb24")))
        for k in range(int(sound_s * 44100 / 1024)):
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            silence.sample_rate, silence.pts = 44100, 1024 * k
            film.mux(sound.encode(silence))
        for stream in film.streams:
            film.mux(stream.encode())
    return path


@pytest.mark.parametrize("kind", [kind.mark for kind in KINDS])
def test_frames_are_those_of_a_plain_decode_of_the_whole_film(tmp_path, kind):
    path = make_film(tmp_path / kind.name, kind, n=160)
    expected = list(plain_decode(path))
    for every in (1, 9, 50):
        samples = video.Samples(path, every=every)
        got = list(samples)
        assert [sample.frame for sample in got] == list(range(0, len(expected), every))
        for frame, time_s, rgb in got:
            assert time_s == pytest.approx(expected[frame][0], abs=1e-6)
            if kind.matrix is None:
                assert (rgb == expected[frame][1]).all()
        assert (samples.sequential_because is None) == kind.planned
        assert samples.missing is None
        assert samples.n_frames == len(expected)


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        (None, lambda rgb: rgb),
        ((0, 1, -1, 0), lambda rgb: np.rot90(rgb, -1)),
        ((0, -1, 1, 0), lambda rgb: np.rot90(rgb, 1)),
        ((-1, 0, 0, -1), lambda rgb: np.rot90(rgb, 2)),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda rgb: rgb.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda rgb: np.rot90(rgb, 2).swapaxes(0, 1)),
    ],
)
def test_the_display_matrix_says_which_way_is_up(tmp_path, matrix, turned):
    """All eight ways to hold a camera or a mirror."""
    path = make_film(tmp_path / "film.mov", Kind("film.mov", matrix=matrix), n=2)
    ((_, stored), _) = plain_decode(path)
    assert (next(iter(video.Samples(path, every=1))).rgb == turned(stored)).all()


@pytest.mark.parametrize("name", ["planned.mp4", "sequential.ts"])
@pytest.mark.parametrize(
    ("aspect", "matrix", "shape"),
    [
        ("64/45", None, (48, 91)),
        ("1/2", None, (96, 64)),
        ("2/1", (0, 1, -1, 0), (128, 48)),
        ("1/1000", None, (48, 64)),
    ],
)
def test_frames_are_in_display_proportions(tmp_path, name, aspect, matrix, shape):
    if matrix and name.endswith(".ts"):
        pytest.skip("a transport stream turns no picture")
    path = make_film(tmp_path / name, Kind(name, matrix=matrix, aspect=aspect), n=2)
    samples = video.Samples(path, every=1)
    assert [sample.rgb.shape[:2] for sample in samples] == [shape, shape]
    assert (samples.sequential_because is None) == (name == "planned.mp4")


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_is_shown_as_sdr(tmp_path, transfer):
    """White is 203 cd/m2 in PQ, and three quarters of the signal in HLG (ITU-R BT.2408)."""
    wanted = np.repeat(np.arange(16, 250, 13, dtype=np.uint8), 8)
    light = np.where(wanted <= 10, wanted / 3294.6, ((wanted / 255 + 0.055) / 1.055) ** 2.4)
    power = (203 * light / 10_000) ** 0.1593017578125
    signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    if transfer == "arib-std-b67":
        scene = 0.265 * light
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    picture = np.tile((255 * signal).round().astype(np.uint8)[None, :, None], (48, 1, 3))
    with av.open(str(tmp_path / "hdr.mkv"), "w") as film:
        options = {"crf": "1", "x264-params": f"transfer={transfer}"}
        stream = film.add_stream("libx264", rate=RATE, options=options)
        stream.height, stream.width, stream.pix_fmt = *picture.shape[:2], "yuv444p10le"
        film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        film.mux(stream.encode())
    shown = next(iter(video.Samples(tmp_path / "hdr.mkv", every=1))).rgb.astype(int)
    assert np.abs(shown - wanted[None, :, None]).mean() < 3


def test_of_several_pictures_the_default_or_the_largest_is_read(tmp_path):
    for default, shape in ((None, (96, 128)), (0, (48, 64))):
        path = tmp_path / f"{default}.mkv"
        with av.open(str(path), "w") as film:
            streams = []
            for width, height in ((64, 48), (128, 96)):
                stream = film.add_stream("libx264", rate=RATE)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.disposition = int(len(streams) == default)
                streams.append(stream)
            for stream in streams:
                blank = np.zeros((stream.height, stream.width, 3), np.uint8)
                film.mux(stream.encode(av.VideoFrame.from_ndarray(blank, format="rgb24")))
                film.mux(stream.encode())
        assert next(iter(video.Samples(path, every=1))).rgb.shape[:2] == shape


def test_without_time_stamps_times_are_counted_by_the_frame_rate(tmp_path):
    samples = video.Samples(make_film(tmp_path / "film.h264", PLAIN, n=30), every=12)
    times = {frame: time_s for frame, time_s, _ in samples}
    assert times == pytest.approx({0: 0, 12: 0.5, 24: 1})
    assert samples.missing is None


@pytest.mark.parametrize("starts_s", [(0, 0), (0, 3600), (3600, 0), (0, 3600, 7)])
def test_times_go_on_where_the_clock_of_a_broadcast_is_set_anew(tmp_path, starts_s):
    parts = [
        make_film(tmp_path / f"{start_s}.ts", Kind("a.ts", start=start_s * RATE), n=72).read_bytes()
        for start_s in starts_s
    ]
    (tmp_path / "film.ts").write_bytes(b"".join(parts))
    samples = video.Samples(tmp_path / "film.ts", every=24)
    times = [time_s for _, time_s, _ in samples]
    assert times == pytest.approx(range(3 * len(parts)), abs=0.1)
    assert samples.duration_s == pytest.approx(3 * len(parts), abs=0.1)
    assert samples.missing is None


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4"])
def test_sound_that_outlasts_the_picture_leaves_a_film_whole(tmp_path, name):
    path = with_sound(tmp_path / name, picture_s=2, sound_s=6)
    samples = video.Samples(path, every=12)
    assert len(list(samples)) == 4
    assert samples.missing is None
    assert samples.end_s == pytest.approx(2, abs=0.1)


def test_a_film_that_starts_late_is_whole(tmp_path):
    path = make_film(tmp_path / "film.mkv", Kind("film.mkv", start=5 * RATE), n=72)
    samples = video.Samples(path, every=24)
    assert [time_s for _, time_s, _ in samples] == pytest.approx([0, 1, 2])
    assert samples.missing is None
    assert samples.end_s == pytest.approx(3, abs=0.1)


def test_a_film_cut_off_gives_what_is_there_and_says_what_is_missing(whole, tmp_path, caplog):
    content = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) * 6 // 10])
    samples = video.Samples(cut, every=10)
    got = list(samples)
    expected = {sample.frame: sample for sample in video.Samples(whole, every=10)}
    assert 3 < len(got) < len(expected)
    assert all((sample.rgb == expected[sample.frame].rgb).all() for sample in got[:-1])
    assert "of 10.0 s decoded" in samples.missing
    assert samples.missing in caplog.text


def test_damage_is_counted_and_what_follows_it_keeps_its_time(whole, tmp_path):
    content = bytearray(whole.read_bytes())
    with av.open(str(whole)) as film:
        packets = [packet for packet in film.demux(video=0) if packet.size]
        place, size = packets[60].pos, packets[60].size
    content[place : place + size] = bytes(size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    samples = video.Samples(path, every=1)
    times = {round(sample.time_s * RATE) for sample in samples}
    assert set(range(190, 240)) < times
    assert 230 < len(times) == samples.n_frames
    assert samples.sequential_because == "packet 60 is damaged"
    assert re.search(r", [1-9] pictures lost", samples.missing)


def test_where_a_plan_breaks_a_whole_decode_goes_on(whole, monkeypatch):
    """Frames come once, whatever happens between them."""
    real, given = video._decoded, []

    def broken(*arguments):
        for frame in real(*arguments):
            given.append(frame)
            if len(given) == 30:
                raise video.NoPlanError("it is a test")
            yield frame

    expected = [(sample.frame, sample.time_s) for sample in video.Samples(whole, every=10)]
    monkeypatch.setattr(video, "_decoded", broken)
    samples = video.Samples(whole, every=10)
    assert [(sample.frame, sample.time_s) for sample in samples] == expected
    assert samples.sequential_because == "it is a test"


def index_of(path):
    with video.opened(path) as film:
        return video.read_index(film)


def flags(n):
    return st.lists(st.booleans(), min_size=n, max_size=n)


@st.composite
def indices(draw):
    """Packets of groups; in open ones, pictures after the start are shown before it."""
    pts, starts, spared, shown = [], [], [], []
    for group in range(draw(st.integers(1, 5))):
        length = draw(st.integers(1, 8))
        leading = draw(st.integers(0, length - 1)) if group else 0
        order = draw(st.permutations(range(length - 1)))
        times = [leading, *(t + (t >= leading) for t in order)]
        # pictures that follow the start in decoding and precede it in time come right after it
        tail = sorted(times[1:], key=lambda t: t > leading)
        pts += [100 * group + t for t in [leading, *tail]]
        starts += [True] + [False] * (length - 1)
        spared += [False, *draw(flags(length - 1))]
        shown += draw(flags(length))
    shown[0] = True
    return video.Index(np.array(pts), np.array(shown), np.array(starts), np.array(spared, bool))


@given(indices(), st.data())
def test_a_plan_feeds_what_the_wanted_frames_need_and_nothing_else(index, data):
    n = len(index.order)
    frames = np.array(sorted(data.draw(st.sets(st.integers(0, n - 1), min_size=1))))
    feed, flush = video.plan_decoding(index, frames)
    targets, needed = index.order[frames], set()
    for target in targets:
        earlier = np.flatnonzero(index.starts[: target + 1])
        start = earlier[index.pts[earlier] <= index.pts[target]][-1]
        needed |= {k for k in range(start, target) if not index.spared[k]} | {target}
    fed, flushed = np.flatnonzero(feed), np.flatnonzero(flush)
    assert set(fed) == needed
    # the decoder is emptied at the end, and starts anew at starts only
    assert flushed[-1] == fed[-1]
    after = [fed[fed > place][0] for place in flushed[:-1]]
    assert index.starts[after].all()
    assert index.starts[fed[0]]


@pytest.mark.parametrize(
    ("name", "starts", "some_are_spared"),
    [
        ("h264 closed GOP.mp4", [0, 24, 48], True),
        ("h264 open GOP.mp4", [0], True),
        ("h264 intra refresh.mp4", [0], False),
        ("vp9.webm", [0, 30], False),
        ("prores.mov", list(range(60)), True),
        # packet 29 is picture 30, an open start: picture 29 leads it
        pytest.param("hevc layers.mkv", [0, 29], True, marks=pytest.mark.slow),
    ],
)
def test_starts_are_read_from_the_pictures(tmp_path, name, starts, some_are_spared):
    index = index_of(make_film(tmp_path / name, KIND[name], n=60))
    assert np.flatnonzero(index.starts).tolist() == starts
    assert index.spared.any() == some_are_spared
    assert "layers" not in name or index.spared.mean() <= 0.5, "the highest layer only"
