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
import os, signal, time
from pathlib import Path
from exe_core import decoder

met = {
    "crash": lambda connection: os.kill(os.getpid(), signal.SIGSEGV),
    "leave": lambda connection: os._exit(7),
    "hang": lambda connection: time.sleep(60),
    "nonsense": lambda connection: connection.send_bytes(b"\\x80 nonsense") or time.sleep(60),
}

def weakly(connection, path, step):
    if step and Path(path).stem in met:
        met[Path(path).stem](connection)
    serve(connection, path, step)

serve, decoder.serve = decoder.serve, weakly
decoder.main()
"""
"""A decoder that some films are the end of, by their name."""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    kind = next(kind for kind in film_samples.KINDS if kind.name == "h264 defaults.mp4")
    return film_samples.make_film(tmp_path_factory.mktemp("films") / kind.name, kind, n=48)


@pytest.fixture
def weak(film, tmp_path, monkeypatch):
    """Films of which all but one end the decoder."""
    monkeypatch.setattr(decoder, "COMMAND", (sys.executable, "-c", WEAK))
    monkeypatch.setattr(decoder, "TIMEOUT_S", 20.0)
    decoder.close()
    for name in ("crash", "hang", "leave", "nonsense", "sound"):
        (tmp_path / f"{name}.mp4").write_bytes(film.read_bytes())
    yield tmp_path
    decoder.close()


def test_frames_are_those_of_a_decoder_in_this_process(film):
    ours, plain = decoder.sample_frames(film, every=10), video.sample_frames(film, every=10)
    for one, other in zip(ours, plain, strict=True):
        assert (one.frame, one.time_s) == (other.frame, other.time_s)
        assert np.array_equal(one.rgb, other.rgb)
        assert one.rgb.flags.writeable
    assert ours.coverage == plain.coverage
    assert decoder.probe(film) == video.probe(film)


def test_a_film_that_is_cut_off_is_told_as_such(film, tmp_path, caplog):
    cut = tmp_path / "cut.mkv"
    kind = next(kind for kind in film_samples.KINDS if kind.name == "h264 open GOP.mkv")
    whole = film_samples.make_film(tmp_path / kind.name, kind, n=48).read_bytes()
    cut.write_bytes(whole[: len(whole) // 3])
    ours, plain = decoder.sample_frames(cut, every=5), video.sample_frames(cut, every=5)
    assert len(list(ours)) == len(list(plain))
    assert str(ours.coverage) == str(plain.coverage)
    assert not ours.coverage.is_complete
    assert "cut.mkv: " in caplog.text


def test_what_is_no_film_says_why(tmp_path):
    (tmp_path / "a.mp4").write_text("no film")
    for ask in (decoder.probe, lambda path: next(decoder.sample_frames(path))):
        with pytest.raises(VideoError, match=r"a\.mp4 is no film that FFmpeg can read"):
            ask(tmp_path / "a.mp4")


def test_one_process_serves_film_after_film_and_none_is_left(film):
    decoder.close()
    decoder.probe(film)
    (worker,) = decoder._idle
    list(decoder.sample_frames(film, every=20))
    assert decoder._idle == [worker]
    decoder.close()
    assert worker.process.returncode is not None


def test_a_process_that_ended_while_it_waited_is_no_fault_of_the_next_film(film):
    decoder.close()
    decoder.probe(film)
    (worker,) = decoder._idle
    worker.process.kill()
    worker.process.wait()
    assert len(list(decoder.sample_frames(film, every=20))) == 3
    assert worker not in decoder._idle


def test_a_film_that_is_left_in_the_middle_does_not_answer_for_the_next(film):
    samples = decoder.sample_frames(film, every=1)
    next(samples)
    samples.close()
    assert [sample.frame for sample in decoder.sample_frames(film, every=40)] == [0, 40]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("crash", r"crash\.mp4 ended its decoder \(SIGSEGV\)"),
        ("leave", r"leave\.mp4 ended its decoder \(exit 7\)"),
        ("nonsense", r"nonsense\.mp4 ended its decoder \(unreadable answer\)"),
        ("hang", r"hang\.mp4: no frame in 1 s"),
    ],
)
def test_a_film_that_ends_its_decoder_says_how(weak, monkeypatch, name, reason):
    if name == "hang":
        decoder.probe(weak / "hang.mp4")  # the process is up
        monkeypatch.setattr(decoder, "TIMEOUT_S", 1.0)
    with pytest.raises(VideoError, match=reason):
        list(decoder.sample_frames(weak / f"{name}.mp4"))


def test_it_costs_itself_only(weak):
    (weak / "hang.mp4").unlink()
    films = screening.find_films([weak])
    place = {"store": weak / "store", "settings": Crop(size=48), "step": screening.Step(every=20)}
    with FaceFinder() as finder:
        rows = [
            screening.screen_film(film, finder=finder, **place) for film in films.to_dict("records")
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
    probe = (
        "import os, signal, sys; from pathlib import Path\n"
        "from exe_core import decoder; decoder.probe(Path(sys.argv[1]))\n"
        "print(decoder._idle[0].process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", probe, str(film)], capture_output=True, text=True)
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
