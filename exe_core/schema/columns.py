"""Columns as tables have them: text, numbers in a range, labels, times."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa

from exe_core.schema.labels import EMOTIONS

Definitions = dict[str, tuple[str, dict[str, pa.Column], list[str]]]
"""Table -> what a row is, its columns, those that tell rows apart."""


def text(**kwargs: Any) -> pa.Column:
    """Define a text."""
    return pa.Column(str, coerce=True, **kwargs)


def integer(**kwargs: Any) -> pa.Column:
    """Define a count or an index; nullable ones take pandas' Int64."""
    return pa.Column("Int64" if kwargs.get("nullable") else int, coerce=True, **kwargs)


def number(low: float | None = None, high: float | None = None, **kwargs: Any) -> pa.Column:
    """Define a number, from `low` to `high` if they are given."""
    checks = [] if low is None else [pa.Check.ge(low)]
    checks += [] if high is None else [pa.Check.le(high)]
    return pa.Column(float, checks=checks, coerce=True, **kwargs)


def emotion(**kwargs: Any) -> pa.Column:
    """Define a label, one of `EMOTIONS`."""
    return text(checks=pa.Check.isin(EMOTIONS), **kwargs)


def flag() -> pa.Column:
    """Define a yes or no."""
    return pa.Column(bool, coerce=True)


def time() -> pa.Column:
    """Define a time, UTC; none where it did not come to pass."""
    return pa.Column(pd.DatetimeTZDtype("us", "UTC"), coerce=True, nullable=True)


OPEN = {"nullable": True}
INTERVAL = {"low": number(**OPEN), "high": number(**OPEN), "level": number(0, 1, **OPEN)}
BOX = {
    "x_px": integer(),
    "y_px": integer(),
    "width_px": integer(),
    "height_px": integer(),
}
