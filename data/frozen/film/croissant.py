"""Describe the frozen tables of the film study as a Croissant 1.0 data set.

    python data/frozen/film/croissant.py

Run it after `exe freeze film`: it writes data/frozen/film/croissant.json from the tables' columns.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow.parquet as pq
import yaml

from exe_core.record import ROOT, digest, replacing

FOLDER = ROOT / "data" / "frozen" / "film"
ROWS = {
    "faces": "A labelled face of a film",
    "predictions": "The probabilities that a network of the film study gives to a face",
    "runs": "A network of the film study, with what calibrates it",
    "tools": "The probabilities that an installed tool gives to a face",
}
COLUMNS = {
    "item_id": "name of the face",
    "set_name": "the data set it is from",
    "label": "expression by the annotator",
    "person": "actor",
    "side_px": "shorter side of the picture in px",
    "status": "ok, or why no network read it",
    "run_id": "name of the network or tool",
    "face": "row of the face in faces.parquet, from 0",
    "variant": "kind of network, without its seed",
    "seed": "of the training",
    "n_train": "training faces",
    "temperature": "of the calibration",
}
"""What a column means; those that are not here mean what their name says."""
TERMS = (
    "citeAs column equivalentProperty extract field fileProperty fileObject fileSet format "
    "includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated "
    "replace samplingRate separator source subField transform"
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in TERMS.split()},
}
"""The context of the format, with all its terms."""


def described() -> dict[str, Any]:
    """Describe the tables as they are."""
    work = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    files, sets = [], []
    for name, row in ROWS.items():
        path = FOLDER / f"{name}.parquet"
        about = {"@id": path.name, "name": path.name, "contentUrl": path.name}
        about |= {"encodingFormat": "application/x-parquet", "sha256": digest(path)}
        files.append({"@type": "cr:FileObject", **about})
        fields = [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column.name}",
                "name": column.name,
                "description": COLUMNS.get(column.name, column.name.replace("_", " ")),
                "dataType": data_type(str(column.type)),
                "source": {
                    "fileObject": {"@id": path.name},
                    "extract": {"column": column.name},
                },
            }
            for column in pq.read_schema(path)
        ]
        record_set = {"@type": "cr:RecordSet", "@id": name, "name": name, "description": row}
        sets.append({**record_set, "field": fields})
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "expressions-ensemble-film-predictions",
        "description": "Predictions of expression for labelled film faces, without pictures.",
        "license": "https://creativecommons.org/licenses/by/4.0/",
        "creator": {"@type": "sc:Organization", "name": work["authors"][0]["name"]},
        "datePublished": str(work["date-released"]),
        "version": str(work["version"]),
        "url": "data/frozen/film",
        "citeAs": f"{work['authors'][0]['name']}: {work['title']}, version {work['version']}",
        "distribution": files,
        "recordSet": sets,
    }


def data_type(kind: str) -> str:
    """Name the type of a column in the vocabulary of schema.org."""
    if "int" in kind and "dictionary" not in kind:
        return "sc:Integer"
    return "sc:Float" if kind in ("halffloat", "float", "double") else "sc:Text"


if __name__ == "__main__":
    with replacing(FOLDER / "croissant.json") as partial:
        partial.write_text(json.dumps(described(), indent=1) + "\n", encoding="utf-8")
