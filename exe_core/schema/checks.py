"""Tables, checked when they are written and when they are read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from operator import and_
from pathlib import Path

import pandas as pd
import pandera.pandas as pa
import pyarrow
from pyarrow import compute, parquet

from exe_core.schema.labels import SchemaError, labels_of, prob_columns
from exe_core.schema.tables import TABLES
from exe_core.writing import replacing

ROWS_READ_AT_ONCE = 20_000
"""Rows that a file keeps together: one film's are found without reading those of all others."""


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
        raise SchemaError(_told(faults, name)) from None
    if name == "predictions":
        _check_probabilities(checked)
    return checked


def _told(faults: pa.errors.SchemaErrors, name: str) -> str:
    cases = faults.failure_cases[["column", "check", "failure_case"]].drop_duplicates()
    lines = [" · ".join(map(str, case)) for case in cases.head(5).itertuples(index=False)]
    return f"table {name!r} is not as its schema says:\n" + "\n".join(lines)


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
        checked.to_parquet(partial, index=False, row_group_size=ROWS_READ_AT_ONCE)
    return path


def read(
    path: Path,
    *,
    name: str,
    columns: Sequence[str] | None = None,
    where: Mapping[str, Collection[object]] | None = None,
) -> pd.DataFrame:
    """Read a table, or what is asked for of it, and check it.

    Parameters
    ----------
    path, name
        The file, and the table that it holds.
    columns
        Those that are read; all by default.
    where
        Column -> values: rows with other values are left out, and parts of the file that hold
        none of them are not read.

    Raises
    ------
    FileNotFoundError
        Naming the table that is not there.
    SchemaError
        If the file holds another table.
    """
    if not path.exists():
        raise FileNotFoundError(f"no table {name!r} at {path}: run the stage that writes it first")
    stored = parquet.read_schema(path)
    absent = {*(columns or ()), *(where or ())} - set(stored.names)
    if absent:
        raise SchemaError(f"table {name!r} has no column {', '.join(sorted(absent))}")
    kept = [
        compute.field(column).isin(pyarrow.array(list(values), stored.field(column).type))
        for column, values in (where or {}).items()
    ]
    filters = reduce(and_, kept) if kept else None
    table = pd.read_parquet(path, columns=columns and list(columns), filters=filters)
    return check(table, name) if columns is None else _check_part(table, name)


def _check_part(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Check the columns of a table that were read; its key, if they hold all of it."""
    whole = TABLES[name]
    part = whole.select_columns([column for column in whole.columns if column in table])
    part.unique = whole.unique if set(whole.unique or ()) <= set(table) else None
    try:
        return part.validate(table, lazy=True)
    except pa.errors.SchemaErrors as faults:
        raise SchemaError(_told(faults, name)) from None
