"""Films: the very frames of a plain decode, on real files of several kinds, whole and damaged."""

import av
import numpy as np
import pytest
from film_samples import KINDS, UNEVEN_MS, Kind, make_film, opencv_decode, plain_decode

from exe_core import video

N = 50
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
    path = make_film(tmp_path / "film.h264", PLAIN, n=20)
    assert len(list(video.sample_frames(path, every=1))) == 20
    with pytest.raises(video.VideoError, match="no timestamps"):
        list(video.sample_frames(path, every_seconds=0.1))


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
    assert "is damaged" in samples.sequential_because
    assert times[-1] == pytest.approx(239 / 24, abs=0.01)
    assert "packets damaged" in caplog.text


def test_frames_after_damage_keep_their_numbers(whole, tmp_path):
    """A plain decode would count them one less for each picture that is lost."""
    content, step = bytearray(whole.read_bytes()), 10
    with av.open(str(whole)) as film:
        packets = [packet for packet in film.demux(video=0) if packet.size]
        place, size = packets[60].pos, packets[60].size
    content[place : place + size] = bytes(size)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    samples = video.sample_frames(path, every=step)
    times = {sample.frame: sample.time_s for sample in samples}
    for sample in video.sample_frames(whole, every=step):
        assert times.get(sample.frame, sample.time_s) == sample.time_s
    assert len(times) >= 240 / step - 1
    ((start, end),) = samples.coverage.gaps_s
    assert 0 < end - start < 0.2
    assert f"nothing from {start:.1f} to" in str(samples.coverage)


def test_a_stop_in_reading_goes_on_as_a_whole_decode_where_the_plan_broke(whole, monkeypatch):
    """Frames come once, whatever happens between them."""
    real, given = video._fed, []

    def broken(*arguments):
        for frame in real(*arguments):
            given.append(frame)
            if len(given) == 30:
                raise video.NoPlanError("it is a test")
            yield frame

    expected = [(sample.frame, sample.time_s) for sample in video.sample_frames(whole, every=10)]
    monkeypatch.setattr(video, "_fed", broken)
    samples = video.sample_frames(whole, every=10)
    assert [(sample.frame, sample.time_s) for sample in samples] == expected
    assert samples.sequential_because == "it is a test"


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        ({"every": 0}, "every must be 1 or more, got 0"),
        ({"every_seconds": 0}, "every_seconds must be over 0, got 0"),
        ({"every_seconds": float("nan")}, "over 0, got nan"),
        ({"every": 1, "every_seconds": 1}, "give one step"),
    ],
)
def test_one_step_is_given_and_is_positive(whole, steps, fault):
    with pytest.raises(ValueError, match=fault):
        video.sample_frames(whole, **steps)
