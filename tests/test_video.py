"""Films: the very frames of a plain decode, on real files of several kinds, whole and damaged."""

import av
import cv2
import numpy as np
import pytest
from film_samples import KINDS, RATE, UNEVEN_MS, Kind, make_film, opencv_decode, plain_decode

from exe_core import video

N, WIDTH, HEIGHT = 50, 64, 48
PLAIN = Kind("plain.mp4")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A film of 10 s whose index stands first, so that it can be read when cut off."""
    path = tmp_path_factory.mktemp("films") / "whole.mp4"
    return make_film(path, Kind("whole.mp4", container={"movflags": "faststart"}), n=240)


@pytest.mark.parametrize("kind", [kind.mark for kind in KINDS])
def test_frames_are_those_of_a_plain_decode_of_the_whole_film(tmp_path, kind):
    path = make_film(tmp_path / kind.name, kind, n=160)
    expected = list(plain_decode(path))
    for every in (1, 9, 50):
        samples = video.sample_frames(path, every=every)
        got = list(samples)
        assert [sample.frame for sample in got] == list(range(0, len(expected), every))
        for frame, time_s, rgb in got:
            assert time_s == pytest.approx(expected[frame][0], abs=1e-6)
            if kind.matrix is None:
                assert (rgb == expected[frame][1]).all()
        assert (samples.sequential_because is None) == kind.planned
        assert samples.coverage.is_complete
        assert samples.coverage.n_frames == len(expected)


@pytest.mark.parametrize(
    "kind",
    [
        kind.mark
        for kind in KINDS
        if kind.codec in ("libx264", "mpeg4", "libvpx-vp9")
        and kind.name not in ("h264 10 bit.mkv", "h264 interlaced.mp4", "h264 mirrored.mov")
    ],
)
def test_frames_are_those_of_another_reader(tmp_path, kind):
    """OpenCV, which the published study read films with.

    It rounds 10-bit pictures otherwise, can't convert interlaced ones and mirrors none.
    """
    path = make_film(tmp_path / kind.name, kind, n=60)
    expected = list(opencv_decode(path))
    got = list(video.sample_frames(path, every=7))
    assert [sample.frame for sample in got] == list(range(0, len(expected), 7))
    for frame, time_s, rgb in got:
        assert time_s == pytest.approx(expected[frame][0], abs=1e-3)
        assert (rgb == expected[frame][1]).all()


def test_a_mirrored_picture_is_shown_as_the_file_says(tmp_path):
    kind = next(kind for kind in KINDS if kind.name == "h264 mirrored.mov")
    path = make_film(tmp_path / kind.name, kind, n=20)
    expected = list(plain_decode(path))
    for frame, _, rgb in video.sample_frames(path, every=6):
        assert (rgb == expected[frame][1][:, ::-1]).all()


def test_time_is_that_of_the_timestamps_not_of_a_rate(tmp_path):
    path = make_film(tmp_path / "film.mkv", Kind("film.mkv", times_ms=UNEVEN_MS), n=N)
    times = [sample.time_s for sample in video.sample_frames(path, every=1)]
    assert times == pytest.approx((np.array(UNEVEN_MS[:N]) - UNEVEN_MS[0]) / 1000, abs=2e-3)


@pytest.mark.parametrize("name", ["even.mp4", "uneven.mkv", "even.ts"])
def test_a_step_in_seconds_gives_the_first_frame_after_each_mark(tmp_path, name):
    kind = Kind(name, times_ms=UNEVEN_MS if name == "uneven.mkv" else None)
    path = make_film(tmp_path / name, kind, n=120)
    times = np.array([time_s for time_s, _ in plain_decode(path)])
    marks = np.arange(0, times[-1], 0.5)
    expected = sorted({int(np.argmax(times > mark - 1e-6)) for mark in marks})
    samples = video.sample_frames(path, every_seconds=0.5)
    assert [sample.frame for sample in samples] == expected
    assert (samples.sequential_because is None) == (name != "even.ts")


def test_seconds_need_timestamps(tmp_path):
    path = tmp_path / "film.h264"
    with av.open(str(make_film(tmp_path / "film.mp4", PLAIN, n=20))) as film:
        annex_b = av.bitstream.BitStreamFilterContext("h264_mp4toannexb", film.streams.video[0])
        packets = [q for p in film.demux(video=0) for q in annex_b.filter(p)]
        path.write_bytes(b"".join(bytes(packet) for packet in packets))
    assert len(list(video.sample_frames(path, every=1))) == 20


def test_probe_tells_what_the_file_says(tmp_path):
    info = video.probe(make_film(tmp_path / "film.mp4", PLAIN, n=N))
    assert (info.codec, info.width_px, info.height_px, info.n_frames) == ("h264", WIDTH, HEIGHT, N)
    assert info.fps == RATE
    assert info.duration_s == pytest.approx(N / 24, abs=0.01)


def test_probe_gives_the_size_of_the_upright_picture(tmp_path):
    path = make_film(tmp_path / "film.mov", Kind("film.mov", matrix=(0, 1, -1, 0)))
    info = video.probe(path)
    first = next(video.sample_frames(path))
    assert (info.height_px, info.width_px) == first.rgb.shape[:2] == (WIDTH, HEIGHT)


def test_longer_step_than_the_film_gives_its_first_frame(whole):
    assert [sample.frame for sample in video.sample_frames(whole, every=1000)] == [0]


def test_a_film_can_be_left_early(whole):
    samples = video.sample_frames(whole, every=10)
    assert next(samples).frame == 0
    samples.close()
    assert list(samples) == []
    assert samples.coverage is None


def test_film_cut_off_gives_what_is_there_and_says_what_is_missing(whole, tmp_path, caplog):
    content = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) * 6 // 10])
    samples = video.sample_frames(cut, every=10)
    got = list(samples)
    expected = {sample.frame: sample for sample in video.sample_frames(whole, every=10)}
    assert 3 < len(got) < len(expected)
    assert all((sample.rgb == expected[sample.frame].rgb).all() for sample in got[:-1])
    assert not samples.coverage.is_complete
    assert samples.coverage.missing_s == pytest.approx(10 - samples.coverage.end_s)
    assert "cut.mp4" in caplog.text
    assert "of 10.0 s decoded" in caplog.text


def test_matroska_cut_off_is_noticed_too(tmp_path):
    path = make_film(tmp_path / "film.mkv", Kind("film.mkv"), n=240)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples = video.sample_frames(path, every=10)
    assert 3 < len(list(samples)) < 24
    assert not samples.coverage.is_complete


def test_damage_within_is_passed_over_and_counted(whole, tmp_path, caplog):
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    samples = video.sample_frames(path, every=1)
    times = [sample.time_s for sample in samples]
    assert samples.coverage.n_damaged > 0
    assert not samples.coverage.is_complete
    assert times[-1] == pytest.approx(239 / 24, abs=0.01)
    assert "packets damaged" in caplog.text


def picture(suffix):
    return cv2.imencode(suffix, np.zeros((40, 40, 3), np.uint8))[1].tobytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("empty.mp4", b"", "empty"),
        ("text.mp4", b"not a film\n" * 100, "no film that FFmpeg can read"),
        ("text.txt", b"not a film\n" * 100, "no moving picture"),
        ("noise.mkv", np.random.default_rng(0).bytes(5000), "no film that FFmpeg can read"),
        ("photo.jpg", picture(".jpg"), "no moving picture"),
        ("photo.mp4", picture(".png"), "no moving picture"),
    ],
)
def test_what_is_no_film_is_refused_at_once(tmp_path, name, content, reason):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(video.VideoError, match=f"{name}.*{reason}"):
        video.sample_frames(path)


def test_film_cut_off_before_its_index_is_refused(tmp_path):
    path = make_film(tmp_path / "film.mp4", PLAIN, n=N)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(video.VideoError, match="index"):
        video.sample_frames(path)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.m4a"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.sample_rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(video.VideoError, match=r"no moving picture.*audio"):
        video.probe(path)


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path, tmp_path / "absent.mp4"):
        with pytest.raises(video.VideoError, match=f"no film at {path}"):
            video.sample_frames(path)


def test_step_must_be_positive(whole):
    with pytest.raises(ValueError, match="1 or more, got 0"):
        video.sample_frames(whole, every=0)
