import hashlib

import cv2
import numpy as np
import pandas as pd
import pytest
from sample_worlds import tiny_study

from exe_core.tables import ALIASES, read
from exe_world.sets import list_faces, make_benchmarks


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


def digests(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_fer2013_is_the_published_csv(study):
    table = pd.read_csv(study.data_dir / "benchmarks" / "fer2013.csv")
    assert list(table) == ["emotion", "pixels", "Usage"]
    assert table["Usage"].value_counts().to_dict() == {
        "Training": 8,
        "PublicTest": 2,
        "PrivateTest": 2,
    }
    pixels = np.array([row.split() for row in table["pixels"]], int)
    assert pixels.shape == (12, 48 * 48)
    assert 0 <= pixels.min() < pixels.max() <= 255
    assert (pixels.std(axis=1) > 10).all()
    counts = table[table["Usage"] == "Training"]["emotion"].map(ALIASES["fer2013"]).value_counts()
    assert counts.to_dict() == {"disgust": 4, "neutral": 4}


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


def test_truth_is_what_the_files_say(study):
    truth = read(study.table("truth"), name="truth")
    assert truth["set_name"].value_counts().to_dict() == {"fer2013": 12, "rafdb": 12}
    table = pd.read_csv(study.data_dir / "benchmarks" / "fer2013.csv")
    labels = truth[truth["set_name"] == "fer2013"].set_index("item_id")["label_true"]
    said = table["emotion"].map(ALIASES["fer2013"])
    assert labels.to_dict() == {f"fer2013:{line:06d}": label for line, label in said.items()}


def test_no_face_is_drawn_twice(study):
    for name in ("fer2013", "rafdb"):
        people = [face.cast()[1] for face in list_faces(study, name)]
        assert len({person.seed * person.skin_tone for person in people}) == len(people)


def test_what_is_made_is_left_and_what_changed_is_made_anew(study):
    folder = study.data_dir / "benchmarks"
    before, moment = digests(folder), (folder / "fer2013.csv").stat().st_mtime_ns
    make_benchmarks(study, progress=False)
    assert (folder / "fer2013.csv").stat().st_mtime_ns == moment
    for marker in folder.glob(".*.sha256"):
        marker.unlink()
    make_benchmarks(study, progress=False, jobs=1)
    assert digests(folder) == before
    other = tiny_study(labels=("disgust", "neutral"), seed=1)
    make_benchmarks(other, progress=False)
    changed = digests(folder)
    assert changed["fer2013.csv"] != before["fer2013.csv"]
    assert changed["train_00001_aligned.jpg"] != before["train_00001_aligned.jpg"]
