"""Films: the very frames of a plain decode, on real files of several kinds, whole and damaged."""

from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from exe_core import video

N, WIDTH, HEIGHT = 50, 64, 48
TIMES_MS = np.cumsum(np.random.default_rng(0).integers(20, 90, N)).tolist()

KINDS = {
    "h264 with B-frames.mp4": {"codec": "libx264", "options": {"bf": "3", "g": "12"}},
    "h264 open GOP.mp4": {"codec": "libx264", "options": {"x264-params": "open-gop=1:keyint=10"}},
    "variable rate.mkv": {"codec": "libx264", "times_ms": TIMES_MS},
    "mpeg-4.avi": {"codec": "mpeg4"},
    "mpeg-4 with B-frames.mp4": {"codec": "mpeg4", "options": {"bf": "2"}},
    "late start.ts": {"codec": "libx264", "options": {"bf": "2"}},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "turned.mov": {"codec": "libx264", "rotation": 90},
    "turned back.mp4": {"codec": "libx264", "rotation": -90},
}


def write_film(
    path, *, codec="libx264", n=N, options=None, times_ms=None, rotation=None, faststart=False
):
    """Encode moving gradients."""
    layout = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", container_options=layout) as container:
        stream = container.add_stream(codec, rate=24, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        clock = Fraction(1, 1000) if times_ms else Fraction(1, 24)
        stream.codec_context.time_base = clock
        if rotation:
            stream.set_display_rotation(rotation)
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        for i in range(n):
            picture = np.stack([3 * x + 5 * i, 4 * y + 3 * i, x + y + 9 * i], axis=-1) % 256
            frame = av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")
            frame.time_base, frame.pts = clock, times_ms[i] if times_ms else i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(params=KINDS)
def film(request, tmp_path):
    return write_film(tmp_path / request.param, **KINDS[request.param])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A film of 10 s whose index stands first, so that it can be read when cut off."""
    path = tmp_path_factory.mktemp("films") / "whole.mp4"
    return write_film(path, n=240, faststart=True)


def cv2_frames(path):
    """Every frame and its time as OpenCV decodes it, in RGB and upright."""
    capture = cv2.VideoCapture(str(path))
    while True:
        found, bgr = capture.read()
        if not found:
            return
        yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, bgr[..., ::-1]


def test_frames_are_those_of_another_sequential_decoder(film):
    expected = list(cv2_frames(film))
    got = list(video.sample_frames(film, every=7))
    assert [sample.frame for sample in got] == list(range(0, N, 7))
    for frame, time_s, rgb in got:
        assert time_s == pytest.approx(expected[frame][0], abs=1e-3)
        assert (rgb == expected[frame][1]).all()


def test_every_frame_once_and_in_order(film):
    samples = video.sample_frames(film, every=1)
    assert [sample.frame for sample in samples] == list(range(N))
    assert samples.coverage.n_frames == N
    assert samples.coverage.is_complete


def test_time_is_that_of_the_timestamps_not_of_a_rate(tmp_path):
    path = write_film(tmp_path / "film.mkv", times_ms=TIMES_MS)
    times = [sample.time_s for sample in video.sample_frames(path, every=1)]
    assert times == pytest.approx((np.array(TIMES_MS) - TIMES_MS[0]) / 1000, abs=2e-3)


def test_probe_tells_what_the_file_says(tmp_path):
    info = video.probe(write_film(tmp_path / "film.mp4"))
    assert (info.codec, info.width_px, info.height_px, info.n_frames) == ("h264", WIDTH, HEIGHT, N)
    assert info.fps == 24
    assert info.duration_s == pytest.approx(N / 24, abs=0.01)


def test_probe_gives_the_size_of_the_upright_picture(tmp_path):
    path = write_film(tmp_path / "film.mov", rotation=90)
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
    path = write_film(tmp_path / "film.mkv", n=240)
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
    path = write_film(tmp_path / "film.mp4")
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
