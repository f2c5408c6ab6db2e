"""Labels in one order, their names in each data set, and the columns of every table.

A table is checked when it is written and when it is read, so a stage can trust what it is given.
"""

from exe_core.schema.checks import check, empty, read, write
from exe_core.schema.labels import (
    ALIASES,
    EMOTIONS,
    FIVE,
    SchemaError,
    canonical,
    labels_of,
    prob_columns,
)
from exe_core.schema.tables import TABLES

__all__ = [
    "ALIASES",
    "EMOTIONS",
    "FIVE",
    "TABLES",
    "SchemaError",
    "canonical",
    "check",
    "empty",
    "labels_of",
    "prob_columns",
    "read",
    "write",
]
