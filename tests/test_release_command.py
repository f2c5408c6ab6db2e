"""`exe release`: a trained model becomes one that is ready, balanced, scored, described."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from exe_core import cli, config, datasets, inference, models, training
from exe_core.config import Study
from exe_core.schema import write
from exe_core.sets.splitting import split

LABELS = ("happy", "sad", "neutral")
SETTINGS = """
kind: real
title: Colours
labels: [happy, sad, neutral]
statistics: {n_bootstrap: 100}
train: {model: tiny, weights: none, trainable: all, size: 16, augmentation: none,
        learning_rate: 0.003, batch_size: 16, epochs: 6}
sets:
  lab: {kind: folder, path: lab, crop: as shipped}
  wild: {kind: folder, path: wild, crop: as shipped, role: test}
  film: {kind: folder, path: film, crop: as shipped, role: test}
runs:
  one: {sets: [lab]}
"""


def write_coloured(folder: Path, counts: dict[str, int], *, seed: int) -> None:
    """Write faces that are a colour, one a label, so noisy that the colour can be mistaken."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    lines = ["file,emotion"]
    for label, n in counts.items():
        for k in range(n):
            pixels = rng.integers(0, 200, (16, 16, 3))
            pixels[..., LABELS.index(label)] += int(rng.integers(0, 50))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{label}{k}.png")
            lines.append(f"{label}{k}.png,{label}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory):
    """A study, trained, whose label happy is rare in training and frequent in the wild."""
    root = tmp_path_factory.mktemp("released")
    (root / "data").mkdir()
    (root / "configs").mkdir()
    (root / "configs" / "colours.yml").write_text(SETTINGS)
    write_coloured(root / "data" / "lab", {"happy": 15, "sad": 90, "neutral": 90}, seed=0)
    write_coloured(root / "data" / "wild", {"happy": 60, "sad": 60, "neutral": 55}, seed=1)
    write_coloured(root / "data" / "film", {"happy": 50, "sad": 50, "neutral": 2}, seed=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(root / "home"))
        patch.setenv("EXE_DATA", str(root / "data"))
        patch.setattr(config, "ROOT", root)
        loaded = config.load_study("colours")
        _, faces = datasets.faces_of(loaded, progress=False)
        splits = split(faces, val_share=0.3, seed=1)
        write(faces, loaded.table("faces"), name="faces")
        write(splits, loaded.table("splits"), name="splits")
        learnt = datasets.training_set(loaded, "one", faces=faces, splits=splits)
        training.train(
            learnt.images,
            learnt.labels,
            learnt.sides,
            recipe=loaded.recipe("one"),
            classes=LABELS,
            run_id="one",
            folder=loaded.model("one"),
            progress=False,
        )
        yield loaded


def released(to: Path, *more: str):
    return CliRunner().invoke(
        cli.app, ["release", "colours", "one", "--name", "colours3", "--to", str(to), *more]
    )


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("ready")
    result = released(to, "--without", "sad")
    assert result.exit_code == 0, result.output
    return to / "colours3"


def test_what_is_released_is_the_run_with_its_logits_moved(study: Study, folder: Path) -> None:
    ours, ready = models.load(study.model("one")), models.load(folder)
    moved = ready.card["prior_correction"]
    shift = np.array([moved["shift"][label] for label in LABELS])
    assert shift[0] >= shift[1:].max(), "the rare label is answered more often"
    faces = np.random.default_rng(3).integers(0, 256, (8, 16, 16, 3)).astype(np.uint8)
    expected = np.log(inference.predict(ours, faces)) + shift
    expected = np.exp(expected) / np.exp(expected).sum(axis=1, keepdims=True)
    assert inference.predict(ready, faces) == pytest.approx(expected, abs=5e-3)
    assert moved["val_balanced_accuracy"]["after"] >= moved["val_balanced_accuracy"]["before"]


def test_the_card_tells_scores_on_all_labels_and_on_the_frequent_ones(folder: Path) -> None:
    card = json.loads((folder / "card.json").read_text())
    assert (card["run_id"], card["released_from"], card["stored"]) == (
        "colours3",
        "colours/one",
        "float16",
    )
    scores = pd.DataFrame(card["scores"])
    balanced = scores[scores["metric"] == "balanced_accuracy"].set_index("set_name")
    assert balanced["n"].drop("lab").to_dict() == {
        "film": 102,
        "film: happy, sad": 100,
        "wild": 175,
        "wild: happy, neutral": 115,
    }
    assert (balanced["low"] <= balanced["value"]).all()
    words = (folder / "README.md").read_text()
    assert "colours3" in words
    assert "not feelings" in words
    assert "faces of\nlab; labels: the sets' own" in words
    assert f"{balanced.loc['wild', 'value']:.3f}" in words


def test_scores_are_those_of_what_was_stored(study: Study, folder: Path) -> None:
    ready = models.load(folder)
    faces = pd.read_parquet(study.table("faces")).query("set_name == 'wild'")
    said = inference.predict_images(
        ready, datasets.load_faces(faces, size=ready.preprocessing.size)
    )
    accuracy = (said["predicted"].to_numpy() == faces["label"].to_numpy()).mean()
    scores = pd.DataFrame(ready.card["scores"])
    told = scores.query("set_name == 'wild' and metric == 'accuracy'")["value"].item()
    assert told == pytest.approx(accuracy)


def test_a_run_that_was_not_trained_is_an_error(study: Study, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli.app, ["release", "colours", "two", "--name", "x", "--to", str(tmp_path)]
    )
    assert result.exit_code == 1
    assert "two" in result.output
    assert not (tmp_path / "x").exists()
