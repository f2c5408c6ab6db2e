"""Files that were changed at random, read by what reads such files, in a process that may die."""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import film_samples
import numpy as np
import pandas as pd
import sample_sets
from PIL import Image

from exe_core import models, study, video
from exe_core.curation import TO_LABEL, LabellingError, read_labelled
from exe_core.faces import ImageError, read_image, read_reduced
from exe_core.models import ModelError
from exe_core.pull import read_list
from exe_core.readers import DatasetError, read_fer2013, read_votes
from exe_core.study import ConfigError, load_study
from exe_core.video import VideoError

LIMIT_S = 30.0
"""A try that takes longer hangs."""
_RSS_PER_MIB = 2**20 if sys.platform == "darwin" else 2**10


def flipped(data: bytearray, rng: np.random.Generator) -> bytes:
    """Change a few bytes to any others."""
    for place in rng.integers(0, len(data), size=int(rng.integers(1, 16))):
        data[place] = int(rng.integers(0, 256))
    return bytes(data)


def flipped_early(data: bytearray, rng: np.random.Generator) -> bytes:
    """Change bytes where the head of a file is."""
    head, rest = data[:64], data[64:]
    return flipped(head, rng) + bytes(rest)


def cut(data: bytearray, rng: np.random.Generator) -> bytes:
    """End too early."""
    return bytes(data[: rng.integers(0, len(data))])


def without_a_piece(data: bytearray, rng: np.random.Generator) -> bytes:
    """Lack some of the middle."""
    first, last = np.sort(rng.integers(0, len(data), size=2))
    return bytes(data[:first] + data[last:])


def with_a_piece_twice(data: bytearray, rng: np.random.Generator) -> bytes:
    """Repeat some of the middle."""
    first, last = np.sort(rng.integers(0, len(data), size=2))
    return bytes(data[:last] + data[first:])


def zeroed(data: bytearray, rng: np.random.Generator) -> bytes:
    """Be zero for a while, as after a disk that filled."""
    first, last = np.sort(rng.integers(0, len(data), size=2))
    return bytes(data[:first]) + bytes(int(last - first)) + bytes(data[last:])


def with_a_large_number(data: bytearray, rng: np.random.Generator) -> bytes:
    """Hold a number of four bytes that is as large as can be: a length, a size, a count."""
    place = int(rng.integers(0, max(1, len(data) - 4)))
    data[place : place + 4] = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x80"])
    return bytes(data)


def retyped(data: bytearray, rng: np.random.Generator) -> bytes:
    """Have a few letters replaced by others, as by hand."""
    for place in rng.integers(0, len(data), size=int(rng.integers(1, 6))):
        data[place] = int(rng.integers(32, 127))
    return bytes(data)


def with_lines_moved(data: bytearray, rng: np.random.Generator) -> bytes:
    """Have two lines changed for each other, or one lost."""
    lines = bytes(data).split(b"\n")
    first, second = rng.integers(0, len(lines), size=2)
    lines[first], lines[second] = lines[second], lines[first]
    return b"\n".join(lines[: first or None] if rng.random() < 0.2 else lines)


MUTATIONS = (
    retyped,
    with_lines_moved,
    flipped,
    flipped_early,
    cut,
    without_a_piece,
    with_a_piece_twice,
    zeroed,
    with_a_large_number,
)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a file in one or two ways."""
    for _ in range(int(rng.integers(1, 3))):
        if data:
            data = MUTATIONS[rng.integers(len(MUTATIONS))](bytearray(data), rng)
    return data


@dataclass(frozen=True)
class Kind:
    """A kind of file: how sound ones are made, how one is read, and how that may fail.

    Attributes
    ----------
    make
        Writes sound files into a folder, and gives those of which one is changed.
    read
        Reads the changed file, in a folder where the other files are sound.
    error
        What may be raised for it.
    tries
        How many the table counts.
    """

    make: Callable[[Path], list[Path]]
    read: Callable[[Path], object]
    error: type[Exception]
    tries: int


def _images(suffix: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        smooth = np.add.outer(np.arange(120), np.arange(90))[..., None] * [1, 2, 3] % 226
        noise = np.random.default_rng(0).integers(0, 30, smooth.shape)
        paths = [folder / f"{mode}.{suffix}" for mode in ("RGB", "L")]
        for path in paths:
            Image.fromarray((smooth + noise).astype(np.uint8)).convert(path.stem).save(path)
        return paths

    return make


def _read_image(path: Path) -> None:
    pixels = read_image(path)
    assert pixels.dtype == np.uint8
    assert pixels.shape[2:] == (3,)
    assert read_reduced(path, least=64).size == pixels.shape[1::-1]


def _films(*names: str) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        kinds = [kind for kind in film_samples.KINDS if kind.name in names]
        return [film_samples.make_film(folder / kind.name, kind, n=72) for kind in kinds]

    return make


def _read_film(path: Path) -> None:
    samples = video.sample_frames(path, every=10)
    assert all(sample.rgb.dtype == np.uint8 for sample in samples)
    assert samples.coverage is not None


def _studies(folder: Path) -> list[Path]:
    (folder / "configs").mkdir()
    names = ("smoke", "rafdb", "open", "labels")
    own = study.ROOT / "configs"
    return [Path(shutil.copy(own / f"{name}.yml", folder / "configs")) for name in names]


def _read_study(path: Path) -> None:
    usual, study.ROOT = study.ROOT, path.parent.parent
    try:
        load_study(path.stem)
    finally:
        study.ROOT = usual


def _written(name: str, write: Callable[[Path], object]) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        write(folder / name)
        return [folder / name]

    return make


def _read_fer(path: Path) -> None:
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the copy is altered: it is
        read_fer2013(path, unpacked=Path(folder) / "unpacked")


def _write_votes(path: Path) -> None:
    labels = [label for _, label, _ in sample_sets.fer_images()]
    table = pd.DataFrame({"label": labels, "split_given": "train"})
    sample_sets.write_ferplus(path, table)


def _write_labelled(path: Path) -> None:
    rows = [
        dict.fromkeys(TO_LABEL, "")
        | {"face_id": f"a/a:{k}/0", "label": "happy", "label_true": "sad", "n_faces": "1"}
        for k in range(20)
    ]
    pd.DataFrame(rows).to_csv(path, index=False)


def _write_list(path: Path) -> None:
    lines = [f"happy,https://example.org/{k}.jpg,A. Person" for k in range(20)]
    path.write_text("\n".join(["label,url,author", *lines]))


def _model(folder: Path) -> list[Path]:
    network = models.build("tiny", n_classes=2, seed=0)
    shown = models.Preprocessing(size=32)
    card = {"model": "tiny", "labels": ["happy", "sad"], "preprocessing": shown}
    models.save(network, folder, card=card)
    return sorted(path for path in folder.iterdir() if path.is_file())


KINDS = {
    **{
        f"image, {suffix}": Kind(_images(suffix), _read_image, ImageError, 400)
        for suffix in ("jpg", "png", "webp", "gif", "tiff")
    },
    "film, mp4": Kind(_films("h264 defaults.mp4"), _read_film, VideoError, 100),
    "film, mkv": Kind(_films("h264 open GOP.mkv"), _read_film, VideoError, 100),
    "study, yml": Kind(_studies, _read_study, ConfigError, 400),
    "FER2013, csv": Kind(
        _written("fer2013.csv", sample_sets.write_fer_csv), _read_fer, DatasetError, 200
    ),
    "FER2013, tar.xz": Kind(
        _written("fer2013.tar.xz", sample_sets.write_fer_archive), _read_fer, DatasetError, 200
    ),
    "FER+, csv": Kind(_written("votes.csv", _write_votes), read_votes, DatasetError, 200),
    "labels by hand, csv": Kind(
        _written("labelled.csv", _write_labelled), read_labelled, LabellingError, 200
    ),
    "list of photos, csv": Kind(_written("list.csv", _write_list), read_list, DatasetError, 200),
    "model, weights and card": Kind(_model, lambda path: models.load(path.parent), ModelError, 200),
}


_FAULTS = {
    2: lambda: os.kill(os.getpid(), signal.SIGSEGV),
    4: lambda: 1 / 0,
    6: lambda: time.sleep(99),
}
OF_TRIALS = {
    "test of the trials": Kind(
        _written("a", lambda path: path.write_bytes(b"a" * 99)),
        lambda path: _FAULTS.get(int(path.parent.name), str)(),
        ValueError,
        8,
    )
}
"""What crashes, raises and hangs by itself: it shows that the trials notice."""


@dataclass
class Counts:
    """What came of the tries of one kind."""

    kind: str
    tries: int = 0
    read: int = 0
    clean_errors: int = 0
    crashes: int = 0
    hangs: int = 0
    slowest_s: float = 0.0
    grown_mib: float = 0.0


def count(name: str, *, tries: int) -> tuple[Counts, list[str]]:
    """Try a kind so often; give the counts, and of each crash and hang its seed and what it was."""
    counts, told = Counts(name), []
    while counts.tries < tries:
        for seed, outcome, seconds, grown in _tried(name, range(counts.tries, tries)):
            counts.tries += 1
            counts.slowest_s = max(counts.slowest_s, seconds)
            counts.grown_mib = max(counts.grown_mib, grown)
            if outcome in ("read", "clean_errors"):
                setattr(counts, outcome, getattr(counts, outcome) + 1)
                continue
            told.append(f"{name}, seed {seed}: {outcome}")
            if outcome == "hang":
                counts.hangs += 1
            else:
                counts.crashes += 1
    return counts, told


def _tried(name: str, seeds: range) -> Iterator[tuple[int, str, float, float]]:
    """Try in another process, till that ends: after the last seed, or by what it read."""
    here, there = multiprocessing.Pipe(duplex=False)
    spawned = _processes().Process(target=_try, args=(name, seeds, there))
    spawned.start()
    there.close()
    place = -1  # of what the process gets ready before the first try
    try:
        while place < len(seeds):
            if not here.poll(LIMIT_S * (4 if place < 0 else 1)):
                yield seeds[max(place, 0)], "hang", LIMIT_S, 0.0
                return
            outcome, seconds, grown = here.recv()
            if place >= 0:
                yield seeds[place], outcome, seconds, grown
            place += 1
    except EOFError:
        if place < len(seeds):
            spawned.join()
            yield seeds[max(place, 0)], f"the process died ({spawned.exitcode})", 0.0, 0.0
    finally:
        spawned.kill()
        spawned.join()


@cache
def _processes() -> multiprocessing.context.ForkServerContext:
    """Start processes from one that has imported what takes long, and has done nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cv2", "pytest", "exe_core.models", "exe_core.video"])
    return context


def _try(name: str, seeds: range, said: Connection) -> None:
    kind = (KINDS | OF_TRIALS)[name]
    with TemporaryDirectory() as sound, TemporaryDirectory() as changed:
        files = kind.make(Path(sound))
        kind_reads = [path.relative_to(sound) for path in files]
        said.send(("ready", 0.0, 0.0))
        at_first = _peak_mib()
        for seed in seeds:
            rng = np.random.default_rng(seed)
            copy = Path(changed) / str(seed)
            shutil.copytree(sound, copy)
            path = copy / kind_reads[rng.integers(len(files))]
            path.write_bytes(mutated(path.read_bytes(), rng))
            started = time.monotonic()
            outcome = _outcome(kind, path)
            said.send((outcome, time.monotonic() - started, _peak_mib() - at_first))
            shutil.rmtree(copy)


def _outcome(kind: Kind, path: Path) -> str:
    try:
        kind.read(path)
    except kind.error as fault:
        return "clean_errors" if str(fault) else "an error that says nothing"
    except Exception as fault:  # noqa: BLE001 - whatever else is raised is what is looked for
        return f"{type(fault).__name__}: {fault}"
    return "read"


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_PER_MIB
