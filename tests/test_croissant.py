"""The Croissant file beside the frozen predictions describes them as they are."""

import json
import runpy

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
    types = {
        one["@id"]: one["dataType"] for rows in CROISSANT["recordSet"] for one in rows["field"]
    }
    assert types["faces/frame"] == "sc:Integer"
    assert types["predictions/prob_sad"] == "sc:Float"
    assert types["faces/label"] == "sc:Text"
