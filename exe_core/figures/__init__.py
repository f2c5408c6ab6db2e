"""The figures of the paper: one function a chart, and the bundle that each is kept as.

A chart function takes a table and gives an Altair chart; nothing is computed beyond its encoding.
Titles are left to the captions. Every chart fits the width of a page, has one font, and gives an
emotion the same colour wherever it appears. At most 5,000 rows go into a chart, since they are
all written into the page. `save` and `sheet` keep a figure under a permanent name.
"""

from exe_core.figures.bundle import Figure, FigureError, name_of, save, sheet
from exe_core.figures.comparisons import (
    accuracy_scatter,
    claims_chart,
    differences_chart,
    factorial_chart,
    matrix_chart,
)
from exe_core.figures.films import (
    agreement_chart,
    bounds_chart,
    criteria_chart,
    emotion_shares,
    sampling_chart,
    share_differences,
    timeline,
    visibility_chart,
)
from exe_core.figures.models import (
    choices_chart,
    class_chart,
    confusion_chart,
    heat_over,
    history_chart,
    randomisation_chart,
    recall_chart,
    reliability_chart,
    risk_coverage_chart,
    score_table_chart,
    strata_chart,
)
from exe_core.figures.photos import (
    keyword_noise_chart,
    noise_chart,
    novelty_chart,
    query_yield_chart,
    recall_by_size_chart,
    whereabouts_chart,
    yield_chart,
)
from exe_core.figures.style import COLOURS, WIDTH, ChartError

__all__ = [
    "COLOURS",
    "WIDTH",
    "ChartError",
    "Figure",
    "FigureError",
    "accuracy_scatter",
    "agreement_chart",
    "bounds_chart",
    "choices_chart",
    "claims_chart",
    "class_chart",
    "confusion_chart",
    "criteria_chart",
    "differences_chart",
    "emotion_shares",
    "factorial_chart",
    "heat_over",
    "history_chart",
    "keyword_noise_chart",
    "matrix_chart",
    "name_of",
    "noise_chart",
    "novelty_chart",
    "query_yield_chart",
    "randomisation_chart",
    "recall_by_size_chart",
    "recall_chart",
    "reliability_chart",
    "risk_coverage_chart",
    "sampling_chart",
    "save",
    "score_table_chart",
    "share_differences",
    "sheet",
    "strata_chart",
    "timeline",
    "visibility_chart",
    "whereabouts_chart",
    "yield_chart",
]
