"""A film's file: what it says of its picture, and what is refused as none."""

import av
import cv2
import numpy as np
import pytest
from film_samples import RATE, Kind, make_film

from exe_core import video

N, WIDTH, HEIGHT = 50, 64, 48
PLAIN = Kind("plain.mp4")


def test_probe_tells_what_the_file_says(tmp_path):
    info = video.probe(make_film(tmp_path / "film.mp4", PLAIN, n=N))
    assert (info.codec, info.width_px, info.height_px, info.n_frames) == ("h264", WIDTH, HEIGHT, N)
    assert info.fps == RATE
    assert info.duration_s == pytest.approx(N / 24, abs=0.01)


def test_probe_gives_the_size_of_the_upright_picture(tmp_path):
    path = make_film(tmp_path / "film.mov", Kind("film.mov", matrix=(0, 1, -1, 0)))
    info = video.probe(path)
    with av.open(str(path)) as film:
        upright = video.upright(next(film.decode(video=0)))
    assert (info.height_px, info.width_px) == upright.shape[:2] == (WIDTH, HEIGHT)


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
        video.probe(path)


def test_film_cut_off_before_its_index_is_refused(tmp_path):
    path = make_film(tmp_path / "film.mp4", PLAIN, n=N)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(video.VideoError, match="index"):
        video.probe(path)


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
            video.probe(path)


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
    with av.open(str(path)) as film:
        frame = next(film.decode(video=0))
        assert (video.upright(frame) == turned(frame.to_ndarray(format="rgb24"))).all()
