"""The columns of every table: their types and ranges, and what a row is."""

from __future__ import annotations

import pandera.pandas as pa

from exe_core.schema.face_tables import FACE_TABLES
from exe_core.schema.film_tables import FILM_TABLES
from exe_core.schema.model_tables import MODEL_TABLES

TABLES = {
    name: pa.DataFrameSchema(columns, unique=key or None, name=name, description=row)
    for name, (row, columns, key) in (FACE_TABLES | MODEL_TABLES | FILM_TABLES).items()
}
"""Table name -> its schema; the description says what a row is. Further columns are allowed."""
