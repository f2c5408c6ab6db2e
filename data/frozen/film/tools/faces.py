"""Face pictures in, probabilities out: what every tool's script shares."""
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

LABELS = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"]


def pictures(folder):
    """Yield (name, BGR picture) for each picture in the folder, in order of name.

    IMFDB's `<actor>/<film>/images/<image>` is named `<actor>/<film>/<image>`.
    """
    folder = Path(folder)
    paths = sorted(p for p in folder.rglob("*") if p.suffix in {".jpg", ".png", ".webp"})
    for path in paths:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            raise ValueError(f"cannot read {path}")
        yield path.relative_to(folder).as_posix().replace("/images/", "/"), picture


def predict_all(folder, out, classes, predict):
    """Write `predict(picture)` for every picture: columns name, prob_<label>.

    `classes` are our labels in the tool's order.
    """
    names, rows, started = [], [], time.time()
    for name, picture in pictures(folder):
        names.append(name)
        rows.append(np.asarray(predict(picture), dtype="float64"))
        if len(names) % 1000 == 0:
            print(len(names), f"{time.time() - started:.0f} s", file=sys.stderr, flush=True)
    table = pd.DataFrame(np.array(rows), columns=list(classes))[LABELS].add_prefix("prob_")
    sums = table.sum(axis=1)
    if not (np.isfinite(sums).all() and np.allclose(sums, 1, atol=1e-2)):
        raise ValueError(f"{out}: probabilities sum to {sums.min()}..{sums.max()}")
    table = table.div(sums, axis=0).astype("float32")
    table.insert(0, "name", names)
    table.to_parquet(out, index=False, compression="zstd")
    seconds = time.time() - started
    print(f"{out}: {len(names)} faces, {1000 * seconds / len(names):.1f} ms a face")
