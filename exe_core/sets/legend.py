"""Which images of muxspace/facial_expressions are the paper's press photos and film stills.

The set is a folder of images and a legend of who gave each which label. Students gave the labels,
in several spellings; some images have two.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import pandas as pd

from exe_core.schema import ALIASES
from exe_core.sets.readers import read_csv

SHA256 = "sha256:a4be0fc5afa10e44fdc717bf2fe5b3e2c916c07335aec254111c74b40ec75eb0"
"""Of data/legend.csv at the pinned commit."""
FILM_PEOPLE = ("Avinash", "Dwarakish", "HrithikRoshan", "SharmilaTagore", "facial-expressions")
"""First words of the names of the 471 stills, in the order of their persons p01 to p05. They were
found by the order of the labels; the last are four press pictures and no film stills."""
PRESS_PHOTOS = {
    "angry": 60,
    "disgust": 6,
    "fear": 8,
    "happy": 70,
    "sad": 50,
    "surprise": 70,
    "neutral": 70,
}
"""How many press photos of each label make a sample of 334. The photos that `data/frozen` was
measured on are another sample of this make-up: they were renamed and shuffled."""


def read_legend(path: Path) -> pd.DataFrame:
    """Read the legend: image (its name) and label (None if it is no emotion of this project).

    Raises
    ------
    exe_core.sets.readers.DatasetError
        If it is not there or lacks a column.
    """
    table = read_csv(path, needs=["image", "emotion"])
    label = table["emotion"].str.strip().str.lower().map(ALIASES["names"])
    return pd.DataFrame({"image": table["image"], "label": label})


def film_stills(legend: pd.DataFrame) -> pd.DataFrame:
    """Select the film stills: image, file (film_0001.jpg ..), emotion, person (p01 ..), in order.

    Of an image that stands twice, the first label counts.
    """
    person = legend["image"].str.partition("_")[0]
    chosen = legend.assign(person=person)[person.isin(FILM_PEOPLE)].drop_duplicates("image")
    chosen = chosen.sort_values("image", ignore_index=True)
    return pd.DataFrame(
        {
            "image": chosen["image"],
            "file": [f"film_{k:04d}.jpg" for k in range(1, len(chosen) + 1)],
            "emotion": chosen["label"],
            "person": [f"p{FILM_PEOPLE.index(name) + 1:02d}" for name in chosen["person"]],
        }
    )


def press_photos(legend: pd.DataFrame) -> pd.DataFrame:
    """List the press photos that a sample is drawn from: image, file, emotion, person.

    They are the photos of "Labeled Faces in the Wild", named <person>_<four digits>.jpg, that have
    one label only; in an order that the digest of the name gives, so that the first ones of each
    label are a sample.
    """
    name = legend["image"].str.extract(r"^(?P<person>\w[\w-]*)_\d{4}\.jpg$", expand=True)["person"]
    photos = legend.assign(person=name)[name.notna()].drop_duplicates(["image", "label"])
    clear = photos[~photos["image"].duplicated(keep=False) & photos["label"].notna()]
    order = [hashlib.sha256(image.encode()).hexdigest() for image in clear["image"]]
    clear = clear.iloc[pd.Series(order, dtype=str).argsort().to_numpy()]
    return pd.DataFrame(
        {
            "image": clear["image"],
            "file": clear["image"],
            "emotion": clear["label"],
            "person": clear["person"],
        }
    ).reset_index(drop=True)
