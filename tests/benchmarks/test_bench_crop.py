"""Faces of large photos against the published loop, and recall by face size.

OMP_NUM_THREADS=1 pytest tests/benchmarks/test_bench_crop.py --benchmark-enable

The published loop decodes every photo whole, shows all of it to the detector, and cuts out and
resizes the largest face. RECALL=data/frozen/detection keeps the table of recall by face size there,
with SCENES scenes for each size of face.
"""

import os
import platform
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_scenes import enlarged, scene
from scipy.stats import binomtest

from exe_core import record
from exe_core.faces import FaceFinder, find_faces
from exe_core.settings import Crop
from exe_core.study import load_study

pytestmark = pytest.mark.slow

N_PHOTOS, N_SCENES = 6, int(os.environ.get("SCENES", "2"))
KEPT = os.environ.get("RECALL")
PHOTO, TIMES = (1000, 1500), 4  # 24 megapixels
SCENE = (960, 1280)
EDGES = (0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.16, 0.22, 0.30, 0.40)


@pytest.fixture(scope="module")
def finder():
    with FaceFinder() as found:
        yield found


@pytest.fixture(scope="module")
def large_photos(request, tmp_path_factory):
    """World scenes of 24 megapixels, with a camera's detail; faces of 15 to 33 % of the width.

    Drawing takes longest: without --benchmark-enable there is only one.
    """
    folder = tmp_path_factory.mktemp("large")
    for k in range(N_PHOTOS if request.config.getoption("benchmark_enable") else 1):
        rng = np.random.default_rng([24, k])
        drawn = scene(rng, PHOTO, share=rng.uniform(0.15, 0.33)).picture
        picture = enlarged(rng, drawn, times=TIMES)
        Image.fromarray(picture).save(folder / f"{k}.jpg", quality=90)
    paths = sorted(folder.iterdir())
    items = {"item_id": [path.name for path in paths], "path": list(map(str, paths))}
    items |= {"set_name": "photos", "label": "happy"}
    return pd.DataFrame(items).assign(group_id=lambda rows: rows["item_id"])


def published(items, finder, folder, *, size):
    """The published loop, photo by photo."""
    for path in map(Path, items["path"]):
        picture = cv2.imread(str(path))
        found = finder.find(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        for face in found[:1]:
            rows = slice(face.y, face.y + face.height)
            cut = picture[rows, face.x : face.x + face.width]
            cv2.imwrite(str(folder / path.name), cv2.resize(cut, (size, size)))


@pytest.mark.parametrize("size", [128, 224])
def test_large_photos(benchmark, ratio, large_photos, finder, tmp_path, size):
    times = []

    def both():
        started = time.perf_counter()
        published(large_photos, finder, tmp_path, size=size)
        between = time.perf_counter()
        find_faces(large_photos, finder=finder, crops=tmp_path, settings=Crop(size=size))
        times.append((between - started) / (time.perf_counter() - between))

    benchmark.pedantic(both, rounds=3, iterations=1, warmup_rounds=1)
    ratio(f"faces of 24-megapixel photos, crops of {size} px", np.median(times[-3:]), aim=4)


def is_found(face, box):
    """Whether a found box is of the face: around its middle, and of its size within a factor 2."""
    x, y, width, height = box
    across, down = x + width / 2 - face.x, y + height / 2 - face.y
    inside = 0 <= across <= face.width and 0 <= down <= face.height
    return inside and 0.5 < face.width / max(width, height) < 2


def rate(flags, name):
    """A share of scenes with its Wilson interval."""
    low, high = binomtest(sum(flags), len(flags)).proportion_ci(method="wilson")
    return {name: np.mean(flags), f"{name}_low": low, f"{name}_high": high}


def recall_table(finder):
    """Recall and false finds by face size; the row without a size has no person."""
    rows = []
    for place, (low, high) in enumerate([*pairwise(EDGES), (None, None)]):
        hits, false, seconds = [], [], []
        for k in range(N_SCENES if low else 2 * N_SCENES):
            rng = np.random.default_rng([place, k])
            share = np.exp(rng.uniform(np.log(low), np.log(high))) if low else None
            drawn = scene(rng, SCENE, share=share)
            started = time.process_time()
            found = finder.find(drawn.picture)
            seconds.append(time.process_time() - started)
            hits.append(any(drawn.face and is_found(face, drawn.face) for face in found))
            false.append(len(found) > hits[-1])
        rows.append(
            {
                **{"face_share_low": low, "face_share_high": high, "n_scenes": len(hits)},
                **(rate(hits, "recall") if low else {}),
                **rate(false, "false_find"),
                "cpu_ms": 1000 * np.median(seconds),
            }
        )
    return pd.DataFrame(rows).round(4)


def test_recall_by_face_size(benchmark, finder, tmp_path):
    found = benchmark.pedantic(lambda: recall_table(finder), rounds=1, iterations=1)
    folder = Path(KEPT) if KEPT else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    found.to_csv(folder / "recall.csv", index=False)
    command = (
        f"RECALL={KEPT} SCENES={N_SCENES} pytest tests/benchmarks/test_bench_crop.py -k recall"
    )
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    made = {"command": command, "machine": machine, "scene_px": SCENE}
    record.write_json(made | record.provenance(load_study("demo")), folder / "provenance.json")
    assert found.loc[found["face_share_low"] >= 0.22, "recall"].min() >= 0.9
