"""Remake the table of how films of each kind are sampled: python tests/equality_table.py

It makes a film of each kind, takes every 50th frame from it, and compares these, pixel by pixel
and by their times, with those of a decode of the whole film.
"""

from __future__ import annotations

import platform
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import av
import numpy as np
import pandas as pd
from film_samples import KINDS, make_film
from tqdm import tqdm

from exe_core import record, video
from exe_core.record import ROOT

TARGET = ROOT / "data" / "frozen" / "decoding"
N, EVERY, SCALE = 300, 50, 4


def cpu_s(work):
    """Give what a function gives, and the processor time that it took."""
    start = time.process_time()
    return work(), time.process_time() - start


def whole(path):
    with av.open(str(path)) as film:
        codec = film.streams.video[0].codec_context.codec.canonical_name
        return codec, sum(1 for _ in film.decode(video=0))


def reference(path):
    """Give time and picture of every 50th frame, decoding from start to end."""
    with video.opened(path) as film:
        for number, frame in enumerate(film.container.decode(film.stream)):
            if number % EVERY == 0:
                yield number, film.seconds(frame.pts), video.upright(frame)


def row(path, kind):
    (codec, n_frames), whole_s = cpu_s(lambda: whole(path))
    samples = video.Samples(path, every=EVERY)
    found, ours_s = cpu_s(lambda: list(samples))
    pairs = zip(found, reference(path), strict=True)
    equal = sum(
        one.frame == frame and abs(one.time_s - time_s) < 1e-6 and np.array_equal(one.rgb, picture)
        for one, (frame, time_s, picture) in pairs
    )
    return {
        "film": kind.title,
        "container": path.suffix.removeprefix("."),
        "codec": codec,
        "n_frames": n_frames,
        "n_sampled": len(found),
        "n_equal": equal,
        "way": "whole" if samples.sequential_because else "plan",
        "because": samples.sequential_because,
        "time_of_whole": round(ours_s / whole_s, 2),
    }


def main():
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in tqdm(KINDS):
            width, height = kind.size
            larger = (SCALE * width + width % 2, SCALE * height + height % 2)
            path = Path(folder) / kind.name
            rows.append(row(make_film(path, replace(kind, size=larger), n=N), kind))
    TARGET.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_csv(TARGET / "equality.csv", index=False)
    libraries = {name: ".".join(map(str, found)) for name, found in av.library_versions.items()}
    about = {
        "command": "python tests/equality_table.py",
        "columns": {
            "n_sampled": f"every {EVERY}th frame",
            "n_equal": "of these, equal to those of a whole decode: number, time, each pixel",
            "way": "plan, or whole where no plan holds",
            "because": "why there is no plan",
            "time_of_whole": "processor time of sampling over that of decoding every frame; "
            "in films as small as these what each takes at least weighs: see tests/benchmarks",
        },
        "commit": record.commit(),
        "packages": {"av": version("av"), **libraries},
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    record.write_json(about, TARGET / "provenance.json")


if __name__ == "__main__":
    main()
