"""The tables of a pull and of the crop after it, small or made from a seed."""

import numpy as np
import pandas as pd

from exe_core.datasets import decide_labels, found_by
from exe_core.settings import Set

SETS = {
    "pexels-v2": Set(kind="photos", source="pexels", design="v2"),
    "pixabay-v2": Set(kind="photos", source="pixabay", design="v2"),
}
QUERIES = {"mad": "angry", "sad": "sad", "crying": "sad", "happy": "happy", "smiling": "happy"}

_HITS = [  # photo, query, page, rank
    *[(1, "mad", 1, 1), (2, "mad", 1, 2), (3, "sad", 1, 1), (4, "sad", 1, 2), (3, "sad", 2, 1)],
    *[(5, "sad", 2, 2), (6, "crying", 1, 1), (7, "crying", 1, 2), (5, "crying", 1, 3)],
    *[(1, "crying", 1, 4), (8, "happy", 1, 1), (9, "happy", 1, 2), (10, "smiling", 1, 1)],
]
_FAILED = {4: "HTTP 404: not there", 9: "damaged: broken data stream at 123456"}
_STATUS = {6: "no face", 8: "unreadable"}


def make_pull(*, seed=None, n=0):
    """Make hits, photos, images, faces, splits and truth; from a seed, of n hits.

    Without a seed: ten photos of one source, photo 1 under two labels, 2 and 10 one picture.
    """
    hits = _hits_of("pexels", _HITS) if seed is None else _random_hits(seed, n)
    hits = hits.drop_duplicates(["photo_id", "design", "query"], ignore_index=True)
    photos = hits[["photo_id", "source"]].drop_duplicates(ignore_index=True)
    number = photos["photo_id"].str.extract(r":(\d+)")[0].astype(int)
    photos["error"] = number.map(_FAILED)
    photos["status"] = np.where(photos["error"].isna(), "ok", "failed")
    images = _images(hits, photos)
    faces = images[images["status"] == "ok"][["item_id", "set_name"]].reset_index(drop=True)
    faces["face_id"] = faces["set_name"] + "/" + faces["item_id"] + "/0"
    faces["group_id"] = faces["item_id"].replace("pexels:10", "pexels:2")
    faces["label"] = images.loc[images["status"] == "ok", "label"].to_numpy()
    faces["path"] = "data/a.png"
    sides = np.array(["train", "train", "val", "test", "train"])
    splits = faces[["face_id"]].assign(split=sides[np.arange(len(faces)) % 5])
    truth = photos[["photo_id"]].rename(columns={"photo_id": "item_id"})
    return {
        "hits": hits,
        "photos": photos,
        "images": images.drop(columns="label"),
        "faces": faces.assign(is_primary=True),
        "splits": splits,
        "truth": truth.assign(label_true=np.where(number % 4 == 1, "happy", "sad")),
    }


def _hits_of(source, rows):
    table = pd.DataFrame(rows, columns=["number", "query", "page", "rank"])
    table["photo_id"] = source + ":" + table["number"].astype(str)
    named = {"label": table["query"].map(QUERIES), "source": source, "design": "v2"}
    return table.drop(columns="number").assign(**named)


def _random_hits(seed, n):
    rng = np.random.default_rng(seed)
    rows = [
        [(int(rng.integers(1, 20)), str(rng.choice(list(QUERIES))), 1, k + 1) for k in range(n)]
        for _ in range(2)
    ]
    return pd.concat([_hits_of("pexels", rows[0]), _hits_of("pixabay", rows[1])], ignore_index=True)


def _images(hits, photos):
    ok = photos.loc[photos["status"] == "ok", "photo_id"]
    parts = []
    for name, chosen in SETS.items():
        decided = decide_labels(found_by(hits, chosen))
        decided = decided[decided["photo_id"].isin(ok)].assign(set_name=name)
        number = decided["photo_id"].str.extract(r":(\d+)")[0].astype(int)
        status = number.map(_STATUS).fillna("ok")
        n_faces = status.map({"ok": 1, "no face": 0}).astype("Int64")
        parts.append(decided.assign(status=status, n_faces=n_faces))
    images = pd.concat(parts, ignore_index=True).rename(columns={"photo_id": "item_id"})
    return images[["item_id", "set_name", "label", "status", "n_faces"]]
