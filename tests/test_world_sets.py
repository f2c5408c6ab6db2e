"""Benchmark sets of the world are FER2013 and RAF-DB as these are published, with their truth."""

import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest
from sample_worlds import tiny_study

from exe_core.labels import ALIASES
from exe_world.sets import make_benchmarks


@pytest.fixture(autouse=True)
def _home(home, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(home))


@pytest.fixture(scope="module")
def study(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home))
        made = tiny_study(labels=("disgust", "neutral"))
        make_benchmarks(made, progress=False)
    return made


def test_fer2013_is_the_published_csv(study):
    table = pd.read_csv(study.data_dir / "benchmarks" / "fer2013.csv")
    assert list(table) == ["emotion", "pixels", "Usage"]
    parts = {"Training": 8, "PublicTest": 2, "PrivateTest": 2}
    assert table["Usage"].value_counts().to_dict() == parts
    pixels = np.array([row.split() for row in table["pixels"]], int)
    assert pixels.shape == (12, 48 * 48)
    assert 0 <= pixels.min() < pixels.max() <= 255
    assert (pixels.std(axis=1) > 10).all()
    shown = table["emotion"].map(ALIASES["fer2013"])
    assert shown[table["Usage"] == "Training"].value_counts().to_dict() == dict.fromkeys(
        ("disgust", "neutral"), 4
    )
    truth = study.read("truth")
    assert truth["set_name"].value_counts().to_dict() == {"fer2013": 12, "rafdb": 12}
    labels = truth[truth["set_name"] == "fer2013"].set_index("item_id")["label_true"]
    assert labels.to_dict() == {f"fer2013:{line:06d}": label for line, label in shown.items()}


def test_rafdb_is_the_published_folder(study):
    folder = study.data_dir / "benchmarks" / "rafdb"
    lines = (folder / "EmoLabel" / "list_patition_label.txt").read_text().splitlines()
    assert len(lines) == 12
    for line in lines:
        name, code = line.split()
        assert ALIASES["rafdb"][int(code)] in study.labels
        image = cv2.imread(str(folder / "Image" / "aligned" / name.replace(".", "_aligned.")))
        assert image.shape == (100, 100, 3)
    assert sum(line.startswith("train_") for line in lines) == 8
    assert lines[0].split()[0] == "train_00001.jpg"


def test_files_are_the_same_for_any_number_of_processes_and_differ_by_the_seed(study):
    def digests():
        files = (path for path in (study.data_dir / "benchmarks").rglob("*") if path.is_file())
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    before = digests()
    make_benchmarks(study, progress=False, jobs=1)
    assert digests() == before
    make_benchmarks(tiny_study(labels=("disgust", "neutral"), seed=1), progress=False)
    changed = digests()
    assert changed.keys() == before.keys()
    assert changed["fer2013.csv"] != before["fer2013.csv"]
    assert changed["train_00001_aligned.jpg"] != before["train_00001_aligned.jpg"]
