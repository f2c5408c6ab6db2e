"""Files changed at random are read or refused with a reason; none ends the process or hangs."""

import multiprocessing
import shutil
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import film_samples
import numpy as np
import pandas as pd
import pytest
import sample_sets
from PIL import Image

from exe_core import models, study, video
from exe_core.curation import read_labelled
from exe_core.faces import ImageError, read_image, read_reduced
from exe_core.models import ModelError
from exe_core.readers import DatasetError, read_fer2013, read_votes
from exe_core.study import ConfigError, load_study
from exe_core.video import VideoError

LABELLED = pd.DataFrame({"face_id": [f"a/a:{k}/0" for k in range(20)]})
LIMIT_S = 30.0
FEW = 12


def mutated(data, rng):
    """Change a file in one or two ways, as a disk, a network or a hand does."""
    for _ in range(int(rng.integers(1, 3))):
        if not data:
            break
        first, last = np.sort(rng.integers(0, len(data), size=2))
        places = rng.integers(0, len(data), size=int(rng.integers(1, 16)))
        lines = data.split(b"\n")
        one, other = rng.integers(0, len(lines), size=2)
        lines[one], lines[other] = lines[other], lines[one]
        ways = [
            replaced(data, places, rng.integers(0, 256, len(places))),
            replaced(data, places % 64 % len(data), rng.integers(0, 256, len(places))),
            replaced(data, places, rng.integers(32, 127, len(places))),
            b"\n".join(lines),
            data[:first],
            data[:first] + data[last:],
            data[:last] + data[first:],
            data[:first] + bytes(int(last - first)) + data[last:],
            data[:first] + b"\xff\xff\xff\xff" + data[first + 4 :],
            data[:first] + b"\x7f\xff\xff\xff" + data[first + 4 :],
        ]
        data = ways[rng.integers(len(ways))]
    return data


def replaced(data, places, values):
    changed = np.frombuffer(data, np.uint8).copy()
    changed[places] = values
    return changed.tobytes()


def make_image(suffix, folder):
    smooth = np.add.outer(np.arange(120), np.arange(90))[..., None] * [1, 2, 3] % 226
    noise = np.random.default_rng(0).integers(0, 30, smooth.shape)
    paths = [folder / f"{mode}.{suffix}" for mode in ("RGB", "L")]
    for path in paths:
        Image.fromarray((smooth + noise).astype(np.uint8)).convert(path.stem).save(path)
    return paths


def read_any_image(path):
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)
    assert read_reduced(path, least=64)[1] == pixels.shape[1::-1]


def make_film(name, folder):
    (kind,) = (kind for kind in film_samples.KINDS if kind.name == name)
    return [film_samples.make_film(folder / name, kind, n=72)]


def read_film(path):
    samples = video.Samples(path, every=10)
    assert all(sample.rgb.dtype == np.uint8 for sample in samples)
    assert samples.n_frames


def make_studies(folder):
    (folder / "configs").mkdir()
    names = ("smoke", "rafdb", "open", "film")
    source = study.ROOT / "configs"
    return [Path(shutil.copy(source / f"{name}.yml", folder / "configs")) for name in names]


def read_study(path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study, "ROOT", path.parent.parent)
        load_study(path.stem)


def read_fer(path):
    with TemporaryDirectory() as folder:
        read_fer2013(path, unpacked=Path(folder) / "unpacked")


def write_votes(path):
    labels = [label for _, label, _ in sample_sets.fer_images()]
    sample_sets.write_ferplus(path, pd.DataFrame({"label": labels, "split_given": "train"}))


def write_labelled(path):
    LABELLED.assign(label_true="sad").to_csv(path, index=False)


def make_model(folder):
    shown = models.Preprocessing(size=32)
    card = {"model": "tiny", "labels": ["happy", "sad"], "preprocessing": shown}
    models.save(models.build("tiny", n_classes=2, seed=0), folder, card=card)
    return sorted(path for path in folder.iterdir() if path.is_file())


def one(name, write, folder):
    write(folder / name)
    return [folder / name]


class Kind(NamedTuple):
    """A kind of file: how sound ones are made and read, what may be raised, and how many tries."""

    make: Callable
    read: Callable
    error: type[Exception]
    tries: int = 200


PACKED = sample_sets.archived(sample_sets.write_fer_tree, "fer2013")
IMAGES = {f"image, {s}": partial(make_image, s) for s in ("jpg", "png", "webp", "gif", "tiff")}
FILMS = ("h264 defaults.mp4", "h264 open GOP.mkv", "h264 stream.ts", "vp9.webm", "mpeg-4.avi")
KINDS = {
    **{name: Kind(make, read_any_image, ImageError, 400) for name, make in IMAGES.items()},
    **{name: Kind(partial(make_film, name), read_film, VideoError, 100) for name in FILMS},
    "study": Kind(make_studies, read_study, ConfigError, 400),
    "FER2013, csv": Kind(partial(one, "f.csv", sample_sets.write_fer_csv), read_fer, DatasetError),
    "FER2013, tar.xz": Kind(partial(one, "f.tar.xz", PACKED), read_fer, DatasetError),
    "FER+": Kind(partial(one, "votes.csv", write_votes), read_votes, DatasetError),
    "labels by hand": Kind(
        partial(one, "l.csv", write_labelled),
        lambda path: read_labelled(path, LABELLED),
        DatasetError,
    ),
    "model": Kind(make_model, lambda path: models.load(path.parent), ModelError),
}


@cache
def processes():
    """Start processes from one that has imported what takes long, and has done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cv2", "pytest", "exe_core.models", "exe_core.video"])
    return context


def first_fault(name, seeds):
    """Read changed files in a process that may die; describe the first fault, if any."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = processes().Process(target=try_all, args=(name, seeds, there))
    process.start()
    there.close()
    try:
        for seed in ("the sound files", *seeds):
            if not here.poll(LIMIT_S if isinstance(seed, int) else 120):
                return f"{seed}: hangs"
            if fault := here.recv():
                return f"{seed}: {fault}"
    except EOFError:
        process.join()
        return f"{seed}: the process died ({process.exitcode})"
    finally:
        process.kill()
        process.join()
    return None


def try_all(name, seeds, connection):
    kind = KINDS[name]
    with TemporaryDirectory() as sound, TemporaryDirectory() as changed:
        names = [path.relative_to(sound) for path in kind.make(Path(sound))]
        for path in names:
            kind.read(sound / path)
        connection.send("")
        for seed in seeds:
            rng = np.random.default_rng(seed)
            path = Path(changed) / str(seed) / names[rng.integers(len(names))]
            shutil.copytree(sound, Path(changed) / str(seed))
            path.write_bytes(mutated(path.read_bytes(), rng))
            connection.send(outcome(kind, path))
            shutil.rmtree(Path(changed) / str(seed))


def outcome(kind, path):
    try:
        kind.read(path)
    except kind.error as fault:
        return "" if str(fault) else "an error without a reason"
    except Exception as fault:  # noqa: BLE001 - whatever else is raised is what is looked for
        return f"{type(fault).__name__}: {fault}"
    return ""


@pytest.mark.parametrize("name", KINDS)
def test_some_tries(name):
    assert first_fault(name, range(FEW)) is None


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_every_try(name):
    assert first_fault(name, range(KINDS[name].tries)) is None
