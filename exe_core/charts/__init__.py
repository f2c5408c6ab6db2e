"""One function a chart: a table in, an Altair chart out, nothing computed beyond its encoding.

Titles are left to the captions. Every chart fits the width of a page, has one font, and gives an
emotion the same colour wherever it appears. At most 5,000 rows go into a chart, since they are
all written into the page.
"""

from exe_core.charts.faces import noise_chart, yield_chart
from exe_core.charts.films import emotion_shares, share_differences, timeline
from exe_core.charts.models import (
    claims_chart,
    confusion_chart,
    history_chart,
    recall_chart,
    reliability_chart,
    score_chart,
)
from exe_core.charts.style import COLOURS, WIDTH, ChartError

__all__ = [
    "COLOURS",
    "WIDTH",
    "ChartError",
    "claims_chart",
    "confusion_chart",
    "emotion_shares",
    "history_chart",
    "noise_chart",
    "recall_chart",
    "reliability_chart",
    "score_chart",
    "share_differences",
    "timeline",
    "yield_chart",
]
