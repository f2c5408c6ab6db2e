"""The charts of the sentiment chapter draw what its tables hold, and hold for any study."""

import json

import numpy as np
import pandas as pd
import pytest
import vl_convert

from exe_core.figures import VEGA_LITE
from exe_core.figures.scores import choices_chart, class_chart, heat_over, randomisation_chart
from exe_core.figures.style import WIDTH
from exe_core.tables import EMOTIONS

RUNS = ("ddamfn", "convnext-v2", "soft-vote", "stacking")


def metrics():
    rng = np.random.default_rng(0)
    rows = [
        {"run_id": run, "metric": metric, "label": label, "value": value, "n": 300}
        | {"low": value - 0.05, "high": value + 0.05}
        for run in RUNS
        for metric in ("precision", "recall", "f1")
        for label in EMOTIONS
        for value in [rng.uniform(0.3, 0.9)]
    ]
    return pd.DataFrame(rows)


def choices():
    rng = np.random.default_rng(1)
    told = [("as chosen", "+1"), ("surprise 0", "0"), ("surprise dropped", "dropped")]
    rows = [
        {"run_id": run, "scale": scale, "rule": rule, "choice": choice, "surprise": surprise}
        | {"metric": metric, "value": rng.uniform(0.5, 0.9)}
        for run in RUNS
        for scale in ("5 levels", "3 levels")
        for rule in ("sum", "top")
        for choice, surprise in told
        for metric in ("accuracy", "quadratic_kappa")
    ]
    return pd.DataFrame(rows)


def check():
    rows = [
        {"run_id": run, "step": step, "layer": layer, "value": value, "low": value - 0.1}
        | {"high": value + 0.1}
        for run, layers in (("ddamfn", ("fc", "features.8")), ("convnext-v2", ("head", "stages.3")))
        for step, layer, value in zip(
            range(3), ("other faces", *layers), (0.3, 0.5, 0.1), strict=True
        )
    ]
    return pd.DataFrame(rows)


CHARTS = {
    "classes": lambda: class_chart(metrics()),
    "choices": lambda: choices_chart(choices()),
    "randomised": lambda: randomisation_chart(check()),
}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_drawn_within_a_page(name):
    svg = vl_convert.vegalite_to_svg(CHARTS[name]().to_dict(), vl_version=VEGA_LITE)
    width = float(svg.partition('width="')[2].partition('"')[0])
    assert 300 < width <= WIDTH + 40


def test_classes_stand_in_the_one_order_of_emotions():
    text = json.dumps(class_chart(metrics()).to_dict()["facet"]["row"]["sort"])
    assert json.loads(text) == list(EMOTIONS)


def test_layers_are_listed_from_the_answer_down():
    spec = randomisation_chart(check()).to_dict()
    listed = [panel["layer"][1]["encoding"]["y"]["sort"] for panel in spec["hconcat"]]
    assert listed == [["other faces", "fc", "features.8"], ["other faces", "head", "stages.3"]]


class TestHeat:
    image = np.full((20, 30, 3), 120, np.uint8)

    def test_is_brightest_where_the_map_is_greatest(self):
        heat = np.zeros((2, 3))
        heat[1, 2] = 5
        found = heat_over(self.image, heat)
        assert found.shape == self.image.shape
        assert found.dtype == np.uint8
        bright = found.astype(int).sum(axis=2)
        row, column = np.unravel_index(bright.argmax(), bright.shape)
        assert (row >= 10, column >= 20) == (True, True)

    def test_shows_nothing_where_a_map_speaks_against(self):
        against = heat_over(self.image, -np.arange(6.0).reshape(2, 3))
        nothing = heat_over(self.image, np.zeros((2, 3)))
        assert np.array_equal(against, nothing)

    def test_leaves_the_picture_as_it_was(self):
        before = self.image.copy()
        heat_over(self.image, np.ones((7, 7)))
        assert np.array_equal(self.image, before)
