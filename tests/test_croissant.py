"""The Croissant file beside the frozen predictions describes them as they are."""

import json
import runpy

import pandas as pd
import pytest

from exe_core.record import ROOT

FOLDER = ROOT / "data" / "frozen" / "film"
SCRIPT = FOLDER / "croissant.py"
CROISSANT = json.loads((FOLDER / "croissant.json").read_text())


def test_it_is_of_the_tables_as_they_are():
    described = runpy.run_path(str(SCRIPT))["described"]
    assert described() == CROISSANT, f"run python {SCRIPT.relative_to(ROOT)}"


def test_it_has_what_the_format_asks_for():
    asked = {"@context", "@type", "conformsTo", "name", "description", "license", "url"}
    assert asked <= set(CROISSANT)
    files = {file["@id"]: file for file in CROISSANT["distribution"]}
    assert all({"contentUrl", "encodingFormat", "sha256"} <= set(file) for file in files.values())
    ids = [field["@id"] for records in CROISSANT["recordSet"] for field in records["field"]]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("records", CROISSANT["recordSet"], ids=lambda one: one["@id"])
def test_each_field_is_a_column_of_its_type(records):
    table = pd.read_parquet(FOLDER / f"{records['@id']}.parquet")
    fields = {field["source"]["extract"]["column"]: field for field in records["field"]}
    assert list(fields) == list(table)
    for column, field in fields.items():
        is_integer = pd.api.types.is_integer_dtype(table[column])
        is_number = pd.api.types.is_numeric_dtype(table[column])
        expected = "sc:Integer" if is_integer else "sc:Float" if is_number else "sc:Text"
        assert field["dataType"] == expected
        assert field["source"]["fileObject"]["@id"] == f"{records['@id']}.parquet"
