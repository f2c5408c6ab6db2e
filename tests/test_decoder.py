"""A film that ends what decodes it costs itself only, and frames are those of the decoder."""

import subprocess
import sys
import time

import film_samples
import numpy as np
import psutil
import pytest

from exe_core import decoder, screening, video
from exe_core.faces import FaceFinder
from exe_core.settings import Crop
from exe_core.video import VideoError

WEAK = """
import os, signal, sys, time
from pathlib import Path
from exe_core import decoder, video

met = {
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "leave": lambda: os._exit(7),
    "hang": lambda: time.sleep(60),
    "nonsense": lambda: os.write(int(sys.argv[1]), b"\\0\\0\\0\\1\\x80") and time.sleep(60),
}

def weakly(path, **how):
    met.get(Path(path).stem, lambda: None)()
    return sample_frames(path, **how)

sample_frames, video.sample_frames = video.sample_frames, weakly
decoder.main()
"""
"""A decoder that some films are the end of, by their name."""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    kind = next(kind for kind in film_samples.KINDS if kind.name == "h264 open GOP.mkv")
    return film_samples.make_film(tmp_path_factory.mktemp("films") / kind.name, kind, n=48)


@pytest.fixture
def weak(film, tmp_path, monkeypatch):
    """Films of which all but one end the decoder."""
    monkeypatch.setattr(decoder, "COMMAND", (sys.executable, "-c", WEAK))
    for name in ("crash", "hang", "leave", "nonsense", "sound"):
        (tmp_path / f"{name}.mp4").write_bytes(film.read_bytes())
    return tmp_path


@pytest.mark.parametrize("part", [1, 1 / 3])
def test_frames_are_those_of_a_decoder_in_this_process(film, tmp_path, part):
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(film.read_bytes()[: int(part * film.stat().st_size)])
    ours, plain = decoder.sample_frames(cut, every=5), video.sample_frames(cut, every=5)
    for one, other in zip(ours, plain, strict=True):
        assert (one.frame, one.time_s) == (other.frame, other.time_s)
        assert np.array_equal(one.rgb, other.rgb)
        assert one.rgb.flags.writeable
    assert ours.coverage == plain.coverage
    assert ours.coverage.is_complete == (part == 1)
    assert decoder.probe(cut) == video.probe(cut)


def test_what_is_no_film_says_why(tmp_path):
    (tmp_path / "a.mp4").write_text("no film")
    for ask in (decoder.probe, lambda path: list(decoder.sample_frames(path, every=1))):
        with pytest.raises(VideoError, match=r"a\.mp4 is no film that FFmpeg can read"):
            ask(tmp_path / "a.mp4")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash", r"crash\.mp4 ended its decoder \(SIGSEGV\)"),
        ("leave", r"leave\.mp4 ended its decoder \(exit 7\)"),
        ("nonsense", r"nonsense\.mp4 ended its decoder \(unreadable answer\)"),
        ("hang", r"hang\.mp4: no frame in 3 s"),
    ],
)
def test_a_film_that_ends_its_decoder_says_how(weak, monkeypatch, name, reason):
    monkeypatch.setattr(decoder, "TIMEOUT_S", 3.0 if name == "hang" else 20.0)
    with pytest.raises(VideoError, match=reason):
        list(decoder.sample_frames(weak / f"{name}.mp4", every=20))
    assert not [one for one in psutil.Process().children() if "decoder" in str(one.cmdline())]


def test_it_costs_itself_only(weak):
    (weak / "hang.mp4").unlink()
    films = screening.find_films([weak])
    with FaceFinder() as finder:
        how = {"store": weak / "store", "settings": Crop(size=48), "every": 20}
        rows = [
            screening.screen_film(film, finder=finder, **how) for film in films.to_dict("records")
        ]
    found = {row.films["film_id"][0]: row for row in rows}
    assert {name: row.films["status"][0] for name, row in found.items()} == {
        "crash": "unreadable",
        "leave": "unreadable",
        "nonsense": "unreadable",
        "sound": "ok",
    }
    assert "SIGSEGV" in found["crash"].films["error"][0]
    assert len(found["sound"].frames) == 3


def test_a_decoder_ends_with_who_asked_it(film):
    ask = (
        "import os, psutil, signal, sys; from pathlib import Path\n"
        "from exe_core import decoder\n"
        "given = iter(decoder.sample_frames(Path(sys.argv[1]), every=1)); next(given)\n"
        "(child,) = psutil.Process().children(); print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", ask, str(film)], capture_output=True, text=True)
    ends = time.monotonic() + 30
    while is_alive(int(done.stdout)) and time.monotonic() < ends:
        time.sleep(0.02)
    assert not is_alive(int(done.stdout))


def is_alive(number):
    """Say whether a process runs; one that ended may wait to be heard of."""
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
