"""MLflow shows what was trained if one asks for it, and is not missed if one does not."""

import sys

import pandas as pd
import pytest

from exe_core import training

CARD = {
    "run_id": "pexels-v1",
    "digest": "ab" * 32,
    "data_sha256": "cd" * 32,
    "model": "tiny",
    "recipe": {"epochs": 2, "learning_rate": 0.003, "clip_norm": None},
}
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 1, 2, 2],
        "split": ["train", "val"] * 2,
        "loss": [1.5, 1.4, 1.1, 1.2],
        "accuracy": [0.4, 0.5, 0.6, 0.55],
        "macro_f1": [0.3, 0.4, 0.5, 0.45],
    }
)


def log_run(**changes):
    return training.log_run(HISTORY, card=CARD | changes, experiment="demo")


def test_without_an_address_nothing_happens(monkeypatch):
    monkeypatch.delenv(training.ADDRESS, raising=False)
    monkeypatch.setitem(sys.modules, "mlflow", None)  # importing it would fail
    assert log_run() is None


def test_an_address_without_mlflow_says_what_to_install(monkeypatch, caplog):
    monkeypatch.setenv(training.ADDRESS, "http://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "mlflow", None)
    assert log_run() is None
    assert "pip install '.[tracking]'" in caplog.text


class TestStore:
    @pytest.fixture
    def client(self, monkeypatch, tmp_path):
        mlflow = pytest.importorskip("mlflow", reason="the extra `tracking` is not installed")
        monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        monkeypatch.setenv(training.ADDRESS, (tmp_path / "runs").as_uri())
        return mlflow.MlflowClient()

    def test_shows_the_recipe_and_each_epoch(self, client):
        run = client.get_run(log_run())
        assert run.info.run_name == "pexels-v1"
        assert run.info.status == "FINISHED"
        assert run.data.params["learning_rate"] == "0.003"
        assert run.data.metrics["val_accuracy"] == 0.55
        losses = client.get_metric_history(run.info.run_id, "train_loss")
        assert [(m.step, m.value) for m in losses] == [(1, 1.5), (2, 1.1)]

    def test_the_same_model_is_shown_once(self, client):
        assert log_run() == log_run()
        assert log_run(digest="ef" * 32) != log_run()
