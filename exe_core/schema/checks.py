"""Tables, checked when they are written and when they are read."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pandera.pandas as pa

from exe_core.schema.labels import SchemaError, labels_of, prob_columns
from exe_core.schema.tables import TABLES
from exe_core.writing import replacing


def check(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return `table` with the types of its schema.

    Raises
    ------
    SchemaError
        With every fault found: a missing column, a value out of range, a key given twice.
    """
    if name not in TABLES:
        raise SchemaError(f"no table {name!r}; tables are {', '.join(TABLES)}")
    try:
        checked = TABLES[name].validate(table, lazy=True)
    except pa.errors.SchemaErrors as faults:
        cases = faults.failure_cases[["column", "check", "failure_case"]].drop_duplicates()
        lines = [" · ".join(map(str, case)) for case in cases.head(5).itertuples(index=False)]
        raise SchemaError(
            f"table {name!r} is not as its schema says:\n" + "\n".join(lines)
        ) from None
    if name == "predictions":
        _check_probabilities(checked)
    return checked


def _check_probabilities(predictions: pd.DataFrame) -> None:
    columns = prob_columns(labels_of(predictions))
    if len(columns) < 2:
        raise SchemaError("predictions need a prob_<label> column for two labels or more")
    totals = predictions[columns].sum(axis=1, skipna=False)
    bad = ~totals.between(1 - 1e-3, 1 + 1e-3) | (predictions[columns] < 0).any(axis=1)
    if bad.any():
        raise SchemaError(
            f"{bad.sum()} rows of predictions have probabilities that do not sum to 1"
        )


def empty(name: str) -> pd.DataFrame:
    """Make a table of no rows with the columns and types of its schema."""
    return check(pd.DataFrame({column: [] for column in TABLES[name].columns}), name)


def write(table: pd.DataFrame, path: Path, *, name: str) -> Path:
    """Check a table and write it as parquet, whole or not at all."""
    checked = check(table, name)
    with replacing(path) as partial:
        checked.to_parquet(partial, index=False)
    return path


def read(path: Path, *, name: str) -> pd.DataFrame:
    """Read a table and check it.

    Raises
    ------
    FileNotFoundError
        Naming the table that is not there.
    SchemaError
        If the file holds another table.
    """
    if not path.exists():
        raise FileNotFoundError(f"no table {name!r} at {path}: run the stage that writes it first")
    return check(pd.read_parquet(path), name)
