"""How much faster a film is read than by the published loop, and with what memory: within one run.

pytest tests/benchmarks/test_bench_films.py --benchmark-enable

FILM_SECONDS (5 by default, 300 for the figures of the paper) is the length of the film. The
published loop reads every frame once for each model, looks for faces in every 100th, and shows the
largest face to the model by itself.
"""

import os
import subprocess
import sys
import time

import av
import cv2
import numpy as np
import psutil
import pytest
import torch
from film_samples import Kind, repeated
from film_samples import make_film as make_small
from long_film import make_film
from PIL import Image
from torchvision import transforms

from exe_core import inference, screening, video
from exe_core.faces import FaceFinder, crop
from exe_core.settings import Crop

pytestmark = pytest.mark.slow

SECONDS = int(os.environ.get("FILM_SECONDS", "5"))
PIECE = 50  # the film repeats a piece of at most so many seconds: encoding takes longest
EVERY, SIZE = 100, 224


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    piece, path = min(SECONDS, PIECE), tmp_path_factory.mktemp("films") / "film.mp4"
    once = make_film(path.with_name("once.mp4"), seconds=piece)
    return repeated(once, path, times=SECONDS // piece)


@pytest.fixture(scope="module")
def finder():
    with FaceFinder() as found:
        yield found


def published(film, classifiers, finder):
    """Give the probabilities of each model for each frame that has a face."""
    shown = classifiers[0].preprocessing
    steps = [transforms.Resize((SIZE, SIZE)), transforms.ToTensor()]
    prepare = transforms.Compose([*steps, transforms.Normalize(shown.mean, shown.std)])
    found = {}
    for k, classifier in enumerate(classifiers):
        capture, number = cv2.VideoCapture(str(film)), 0
        while True:
            is_there, bgr = capture.read()
            if not is_there:
                break
            if number % EVERY == 0:
                rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
                for box in finder.find(rgb)[:1]:
                    face = Image.fromarray(crop(rgb, box, size=SIZE, margin=0.1))
                    with torch.no_grad():
                        logits = classifier.network(prepare(face).unsqueeze(0))
                    found[k, number] = logits.softmax(dim=1)[0].numpy()
            number += 1
    return found


def ours(film, classifiers, finder, store):
    """Decode and detect once, keep the crops, show them to all models in batches."""
    row = screening.find_films([film]).iloc[0].to_dict()
    how = {"settings": Crop(size=SIZE, margin=0.1), "every": EVERY}
    screened = screening.screen_film(row, store=store, finder=finder, **how)
    numbers = screened.faces["item_id"].str.rpartition(":")[2].astype(int)
    crops = [np.asarray(Image.open(screening.ROOT / path)) for path in screened.faces["path"]]
    return {
        (k, number): row
        for k, classifier in enumerate(classifiers)
        for number, row in zip(numbers, inference.predict(classifier, crops), strict=True)
    }


def timed(work, *arguments):
    """Give what a function gives, and its seconds: of the clock, and of all processors."""
    started = np.array([time.perf_counter(), processor_s()])
    found = work(*arguments)
    return found, np.array([time.perf_counter(), processor_s()]) - started


def processor_s():
    """Count the seconds of this process and of its children, one of which decodes."""
    return sum(psutil.Process().cpu_times()[:4])


def test_a_film_through_four_networks(benchmark, ratio, film, classifiers, finder, tmp_path):
    """Time the published loop once and ours twice, before and after it."""
    quick = [inference.fuse_for_inference(each) for each in classifiers]
    inference.predict(quick[0], np.zeros((2, SIZE, SIZE, 3), np.uint8))

    def all_ways():
        before = timed(ours, film, quick, finder, tmp_path / "before")
        theirs = timed(published, film, classifiers, finder)
        return before, theirs, timed(ours, film, quick, finder, tmp_path / "after")

    before, (expected, theirs), after = benchmark.pedantic(all_ways, rounds=1)
    wall, cpu = theirs / np.mean([before[1], after[1]], axis=0)
    what = f"film of {SECONDS} s through four ResNet18, fp32"
    ratio(what, wall, aim=12.0)
    ratio(f"{what}, processor time", cpu, aim=12.0)
    for found, _ in (before, after):
        assert found.keys() == expected.keys()
        assert max(np.abs(found[key] - expected[key]).max() for key in expected) < 1e-5


def whole(film):
    """Decode every frame on all cores, and convert none: what `ffmpeg -i film -f null -` does."""
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return sum(1 for _ in container.decode(stream))


def test_decoding_against_a_whole_decode(benchmark, ratio, film):
    """Time both in turn; the ratio is of the sums of two."""
    runs = []

    def both():
        n, theirs = timed(whole, film)
        samples, ours = timed(lambda: list(video.Samples(film, every=EVERY)))
        assert len(samples) == -(-n // EVERY)
        runs.append((theirs, ours))

    benchmark.pedantic(both, rounds=2)
    wall, cpu = np.divide(*np.sum(runs, axis=0))
    what = f"decoding a film of {SECONDS} s by plan, not as a whole"
    ratio(what, wall, aim=2.5)
    ratio(f"{what}, processor time", cpu, aim=2.5)


MEASURE = """
import re, sys
from pathlib import Path
from exe_core import video
for sample in video.Samples(sys.argv[1], every=100):
    pass
# getrusage counts what the process that started this one had in memory
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def peak_mib(film):
    command = [sys.executable, "-c", MEASURE, str(film)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_memory_does_not_grow_with_the_film(film, tmp_path):
    """Two hours of small pictures cost little more than their first 20 s, so a wide film does too.

    What grows is the index of packets.
    """
    short = make_small(tmp_path / "short.mp4", Kind("short.mp4"), n=480)
    long = repeated(short, tmp_path / "long.mp4", times=360)
    assert video.probe(long).duration_s == pytest.approx(7200)
    growth = peak_mib(long) - peak_mib(short)
    assert growth < 150
    assert peak_mib(film) + growth < 1536
