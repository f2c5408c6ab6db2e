"""Calibration keeps answers or mends their shares; shifted label shares are found again."""

import numpy as np
import pytest
from sample_answers import COLUMNS, LABELS, predictions, world

from exe_core import calibration
from exe_core.calibration import Calibration

LEARNT = (0.2, 0.5, 0.3)
TARGET = (0.6, 0.1, 0.3)


def distorted(table, *, temperature=0.6, bias=(1.0, 0.0, -1.0)):
    """Make a calibrated run too sure of itself, and too fond of the first label."""
    return calibration.apply_calibration(table, Calibration(temperature, bias))


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(true):
    honest = world(20_000, shares=[0.5, 0.3, 0.2], learnt=[0.5, 0.3, 0.2])
    sharpened = distorted(honest, temperature=1 / true, bias=(0, 0, 0))
    assert calibration.fit_calibration(sharpened).temperature == pytest.approx(true, rel=0.05)


class TestTemperature:
    @pytest.mark.parametrize("temperature", [0.2, 1, 20])
    def test_never_changes_an_answer(self, temperature):
        before = predictions(200)
        after = distorted(before, temperature=temperature, bias=(0, 0, 0))
        assert after["predicted"].equals(before["predicted"])
        assert np.abs(after[COLUMNS].sum(axis=1) - 1).max() < 1e-12

    def test_a_certain_and_wrong_answer_does_not_break_it(self):
        labels = ["angry", "happy", "sad", "sad"]
        certain = predictions(probabilities=np.eye(3)[[0, 1, 2, 0]], labels=labels)
        assert calibration.fit_calibration(certain).temperature > 1


class TestBias:
    def test_undoes_what_was_put_in_and_gives_each_label_its_share_on_average(self):
        table = distorted(world(20_000, shares=LEARNT, learnt=LEARNT))
        fitted = calibration.fit_calibration(table)
        assert fitted.temperature == pytest.approx(1 / 0.6, rel=0.05)
        # the inverse of x / 0.6 + bias is 0.6 x - 0.6 bias, where any constant may be added
        assert np.diff(fitted.bias) == pytest.approx([0.6, 0.6], abs=0.1)
        found = calibration.apply_calibration(table, fitted)[COLUMNS].mean().to_numpy()
        shares = table["label"].value_counts(normalize=True)[LABELS].to_numpy()
        assert found == pytest.approx(shares, abs=1e-3)
        assert table["prob_angry"].mean() > shares[0] + 0.1

    def test_of_a_label_without_a_face_is_finite(self):
        found = calibration.fit_calibration(predictions(labels=["angry", "happy"] * 6))
        assert np.isfinite(found.bias).all()
        assert np.argmin(found.bias) == 2


@pytest.mark.parametrize("shares", [TARGET, LEARNT])
def test_label_shares_of_a_biased_run_are_found_shifted_or_not(shares):
    validation, shown = (
        distorted(world(5_000, shares=each, learnt=LEARNT, seed=seed))
        for seed, each in ((1, LEARNT), (2, shares))
    )
    fitted = calibration.fit_calibration(validation)
    source, faces = (
        calibration.apply_calibration(table, fitted)[COLUMNS].to_numpy()
        for table in (validation, shown)
    )
    found = calibration.correct_label_shift(faces, source.mean(axis=0))
    assert found.sum(axis=1) == pytest.approx(1)
    assert found.mean(axis=0) == pytest.approx(shares, abs=0.04)
    truth = shown["label"].map(LABELS.index).to_numpy()
    before = shown["predicted"] == shown["label"]
    assert (found.argmax(axis=1) == truth).mean() > before.mean() + 0.02
