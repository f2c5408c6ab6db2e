"""Labels in one order, and their names in each data set."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import reduce
from operator import and_
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
from pyarrow import compute, parquet

from exe_core.record import replacing

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven classes, in FER2013's order; any subset keeps this order."""

FIVE = ("angry", "fear", "happy", "sad", "surprise")
"""The classes of the published ensemble: disgust and neutral had too few clear photos."""

ALIASES: dict[str, dict] = {
    "fer2013": dict(enumerate(EMOTIONS)),
    "rafdb": {
        1: "surprise",
        2: "fear",
        3: "disgust",
        4: "happy",
        5: "sad",
        6: "angry",
        7: "neutral",
    },
    "names": {
        **{name: name for name in EMOTIONS},
        "anger": "angry",
        "disgusted": "disgust",
        "afraid": "fear",
        "fearful": "fear",
        "happiness": "happy",
        "sadness": "sad",
        "surprised": "surprise",
    },
}
"""How each family of data sets writes a label -> the name used here."""


class SchemaError(ValueError):
    """A table or a label is not as the schema says."""


def canonical(label: object, *, family: str = "names") -> str:
    """Translate a data set's own label.

    Parameters
    ----------
    label
        As the data set writes it: an integer code, or a name in any case.
    family
        A key of `ALIASES`.

    Raises
    ------
    SchemaError
        If the label is unknown to the family.

    Examples
    --------
    >>> canonical(4, family="rafdb"), canonical("Anger")
    ('happy', 'angry')
    """
    names = ALIASES[family]
    key = label.strip().lower() if isinstance(label, str) else label
    if isinstance(key, str) and key.isdigit() and family != "names":
        key = int(key)
    if key not in names:
        raise SchemaError(f"label {label!r} is not one of {family}'s: {', '.join(map(str, names))}")
    return names[key]


def prob_columns(labels: Sequence[str]) -> list[str]:
    """Name the probability columns of `labels`, in their order.

    >>> prob_columns(["happy", "sad"])
    ['prob_happy', 'prob_sad']
    """
    return [f"prob_{label}" for label in labels]


def labels_of(predictions: pd.DataFrame) -> list[str]:
    """List the labels that predictions have probabilities for, in the order of `EMOTIONS`."""
    present = {name.removeprefix("prob_") for name in predictions if name.startswith("prob_")}
    return [label for label in EMOTIONS if label in present]


MEANINGS = {
    "accuracy": "share of answers that are right",
    "area_share": "share of the picture that the face's box takes",
    "asked": "the request's parameters, without its key",
    "attribution": "line that gives credit where the photo is shown",
    "author": "photographer",
    "author_url": "the photographer's page",
    "bin_high": "greatest confidence of the bin",
    "bin_low": "least confidence of the bin",
    "calibration": "level of the factor calibration: as learned, or corrected",
    "claim_id": "short name of the claim",
    "colour": "level of the factor colour: in colour, or gray as in training",
    "confidence": "mean confidence in the bin",
    "correlation": "of the two images' pixels, made small",
    "criterion": "what is measured, without any label",
    "crop": "level of the factor crop: as shipped, or by the detector",
    "design": "search design: v1, v2 or given",
    "difference": "first minus second",
    "duration_s": "length, s",
    "epoch": "counted from 1",
    "error": "what went wrong, if anything did",
    "estimate": "what was measured",
    "event": "what happens",
    "every": "only every n-th frame is looked at",
    "face_id": "the face: its item and its number there, 0 for the largest",
    "film_id": "the film",
    "fps": "frames a second",
    "frame": "its number in the film, counted from 0",
    "genre": "as the film's list says; null stands for all or unknown",
    "group_id": "what is kept and resampled together: a photo, a person, a film",
    "high": "upper end of the interval",
    "http_status": "of the answer",
    "intensity": "of the expression, 1 for its prototype",
    "is_blend": "passes from one expression to another",
    "is_last": "the query ends with this page",
    "is_primary": "is the largest face of its item",
    "item_id": "the photo, frame or image",
    "kind": "kind of the row",
    "label": "emotion: as labelled, or the one that the row is about",
    "label_true": "emotion that is shown",
    "learning_rate": "of the epoch",
    "level": "of the interval, e.g. .95",
    "licence": "of the photo",
    "licence_url": "where the licence stands",
    "loss": "mean over the epoch's faces",
    "low": "lower end of the interval",
    "macro_f1": "mean over labels of the harmonic mean of precision and recall",
    "mcnemar_p": "of McNemar's test on the same faces, as if these were independent",
    "mean_prob": "mean probability of the label over the film's faces",
    "measure": "of agreement",
    "method": "how the interval was made",
    "metric": "what is measured",
    "n": "items that the row rests on",
    "n_faces": "faces found",
    "n_films": "films that the row rests on",
    "n_frames": "frames of the film",
    "n_groups": "groups that the row rests on",
    "n_identical": "images that have a pixel-identical one there",
    "n_kept": "photos of the page that were kept as hits",
    "n_near": "images that have nearly the same one there, and no identical one",
    "n_new": "photos of the page that its source and design did not have yet",
    "n_other_label": "of the identical ones, those under other labels only",
    "n_returned": "photos that the page holds",
    "n_seeds": "seeds averaged over",
    "null_mean": "mean of the measure by chance alone",
    "other_genre": "genre of the second",
    "other_item_id": "the other image",
    "other_label": "label of the other image",
    "other_n_films": "films of the second",
    "other_run_id": "second run; null for all together",
    "other_set_name": "set of the other",
    "other_split": "part of the other",
    "over": "what the interval resamples: groups or faces",
    "p_adjusted": "p-value, adjusted for the tests of its family after Holm",
    "p_value": "of the null hypothesis",
    "page": "of the search, counted from 1",
    "page_url": "the photo's page at its source",
    "path": "where the file lies",
    "photo_id": "source and number, e.g. pexels:123",
    "predicted": "emotion that is answered, the most probable one",
    "query": "words that were searched for",
    "quota_left": "requests left, as the source says",
    "rank": "place on its page, 1 the first",
    "reason": "why there is no answer, or what to know",
    "reported_at": "when the download was reported to its source, where that is asked",
    "requested_at": "when the page was asked for",
    "retrieved_at": "when the file was fetched",
    "run_id": "the run, ensemble or guest",
    "same_top": "share of films whose most frequent label stays the same",
    "score": "of the detector",
    "seconds": "time taken, s",
    "seed": "of the resampling",
    "set_name": "the set",
    "sha256": "digest of the file",
    "share_identical": "identical ones, of all images of the part",
    "share_new": "new ones, of those returned",
    "share_of_faces": "faces read as the label, of the film's faces",
    "share_of_label": "of the faces of this label",
    "skin_tone": "0 the lightest to 6 the darkest",
    "source": "where it comes from",
    "split": "part of the set: train, val or test; of images, as they come",
    "split_given": "part that the set itself puts the face into",
    "spread": "standard deviation over seeds",
    "statistic": "what the estimate is of",
    "status": "what became of it",
    "term": "the cell, or the faults that are undone",
    "text": "the claim, in words",
    "than_every": "compared with every n-th frame",
    "time_s": "time stamp in the film, s",
    "title": "of the film",
    "typical": "root mean square of the difference in one film",
    "url": "address of the file",
    "value": "the estimate",
    "verdict": "what follows for the claim",
    "width_px": "width, px",
    "height_px": "height, px",
    "x_px": "left edge, px",
    "y_px": "upper edge, px",
    "yaw_deg": "turn of the head, degrees",
    "truth.n_faces": "faces that are drawn",
    "film_summary.n_faces": "frames in which a face was found and read",
    "film_summary.n_frames": "frames that were looked at",
    "events.label": "emotion that should rise after it",
    "hits.label": "emotion that the query asks for",
    "leakage.kind": "pixel-identical, or nearly the same",
    "factorial.kind": "a cell, an effect, or the score on the own test faces",
    "faces.width_px": "width of the box, px",
    "faces.height_px": "height of the box, px",
    "claims.source": "the data that it was tried on",
    "films.error": "why it could not be read, whole or in part",
    "reliability.accuracy": "share of answers in the bin that are right",
}
"""Column, or table.column -> its meaning."""


def meaning(table: str, column: str) -> str:
    """Say what a column of a table means; a `KeyError` names one that nothing is said of."""
    return MEANINGS.get(f"{table}.{column}") or MEANINGS[column]


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


FACE_TABLES: Definitions = {
    "hits": (
        "A photo that a query returned.",
        {
            "photo_id": text(),
            "label": emotion(),
            "source": text(),
            "design": text(),
            "query": text(),
            "page": integer(),
            "rank": integer(),
        },
        ["photo_id", "design", "query"],
    ),
    "photos": (
        "A photo, also one that could not be had.",
        {
            "photo_id": text(),
            "source": text(),
            "page_url": text(**OPEN),
            "url": text(**OPEN),
            "author": text(**OPEN),
            "author_url": text(**OPEN),
            "licence": text(**OPEN),
            "licence_url": text(**OPEN),
            "attribution": text(**OPEN),
            "width_px": integer(**OPEN),
            "height_px": integer(**OPEN),
            "sha256": text(**OPEN),
            "path": text(**OPEN),
            "status": text(checks=pa.Check.isin(["ok", "failed"])),
            "error": text(**OPEN),
            "retrieved_at": time(),
            "reported_at": time(),
        },
        ["photo_id"],
    ),
    "requests": (
        "A search request to a photo source.",
        {
            "requested_at": time(),
            "source": text(),
            "design": text(),
            "query": text(),
            "page": integer(),
            "asked": text(**OPEN),
            "http_status": integer(**OPEN),
            "n_returned": integer(),
            "n_kept": integer(**OPEN),
            "n_new": integer(),
            "share_new": number(0, 1, **OPEN),
            "is_last": flag(),
            "quota_left": integer(**OPEN),
            "seconds": number(0),
            "error": text(**OPEN),
        },
        [],
    ),
    "images": (
        "An image that faces were looked for in; faceless and unreadable ones are kept.",
        {
            "item_id": text(),
            "set_name": text(),
            "path": text(),
            "width_px": integer(**OPEN),
            "height_px": integer(**OPEN),
            "n_faces": integer(**OPEN),
            "status": text(checks=pa.Check.isin(["ok", "no face", "unreadable"])),
            "error": text(**OPEN),
        },
        ["set_name", "item_id"],
    ),
    "faces": (
        "A face in an image; the box is in the pixels of the upright image.",
        {
            "face_id": text(),
            "item_id": text(),
            "set_name": text(),
            "label": emotion(**OPEN),
            "group_id": text(),
            "split_given": text(**OPEN),
            "score": number(0, 1, **OPEN),
            **BOX,
            "area_share": number(0, 1),
            "is_primary": flag(),
            "path": text(),
        },
        ["face_id"],
    ),
    "splits": (
        "The side of the split that a face is on; all faces of a group are on one side.",
        {
            "face_id": text(),
            "set_name": text(),
            "group_id": text(),
            "split": text(checks=pa.Check.isin(["train", "val", "test"])),
        },
        ["face_id"],
    ),
    "truth": (
        "What an item of the synthetic world shows; no stage but the evaluation reads it.",
        {
            "item_id": text(),
            "set_name": text(),
            "label_true": emotion(**OPEN),
            "intensity": number(0, **OPEN),
            "skin_tone": number(0, 6, **OPEN),
            "yaw_deg": number(**OPEN),
            "n_faces": integer(),
            "is_blend": flag(),
        },
        ["set_name", "item_id"],
    ),
    "leakage": (
        "Two images of one picture; the other one stands earlier.",
        {
            "item_id": text(),
            "set_name": text(),
            "split": text(**OPEN),
            "label": emotion(**OPEN),
            "other_item_id": text(),
            "other_set_name": text(),
            "other_split": text(**OPEN),
            "other_label": emotion(**OPEN),
            "kind": text(checks=pa.Check.isin(["identical", "near"])),
            "correlation": number(0, 1),
        },
        ["set_name", "item_id", "other_set_name", "other_item_id"],
    ),
    "leakage_counts": (
        "Two parts of sets, and how many images of the one the other has too.",
        {
            "set_name": text(),
            "split": text(**OPEN),
            "other_set_name": text(),
            "other_split": text(**OPEN),
            "n": integer(),
            "n_identical": integer(),
            "share_identical": number(0, 1),
            "n_other_label": integer(),
            "n_near": integer(),
        },
        ["set_name", "split", "other_set_name", "other_split"],
    ),
}


FILM_TABLES: Definitions = {
    "films": (
        "A film of the study.",
        {
            "film_id": text(),
            "title": text(),
            "genre": text(**OPEN),
            "path": text(**OPEN),
            "duration_s": number(0, **OPEN),
            "fps": number(0, **OPEN),
            "n_frames": integer(**OPEN),
            "status": text(checks=pa.Check.isin(["ok", "partial", "unreadable"])),
            "error": text(**OPEN),
        },
        ["film_id"],
    ),
    "events": (
        "A plot event of a film, and the emotion that should rise after it.",
        {"film_id": text(), "time_s": number(0), "event": text(), "label": emotion()},
        ["film_id", "time_s", "label"],
    ),
    "frames": (
        "A sampled frame; frames without a face have n_faces 0.",
        {"film_id": text(), "frame": integer(), "time_s": number(), "n_faces": integer()},
        ["film_id", "frame"],
    ),
    "film_summary": (
        "A film, run and label: how often, and how probable on average.",
        {
            "film_id": text(),
            "run_id": text(),
            "label": emotion(),
            "n_frames": integer(),
            "n_faces": integer(),
            "share_of_faces": number(0, 1, **OPEN),
            "mean_prob": number(0, 1, **OPEN),
        },
        ["film_id", "run_id", "label"],
    ),
    "selection_shares": (
        "A run and label over the films of a genre, or of no genre named: over all.",
        {
            "run_id": text(),
            "genre": text(**OPEN),
            "label": emotion(),
            "value": number(0, 1, **OPEN),
            **INTERVAL,
            "n_films": integer(),
        },
        ["run_id", "genre", "label"],
    ),
    "selection_differences": (
        "A share of one run and genre less that of another.",
        {
            "run_id": text(),
            "genre": text(**OPEN),
            "other_run_id": text(),
            "other_genre": text(**OPEN),
            "label": emotion(),
            "difference": number(-1, 1, **OPEN),
            **INTERVAL,
            "n_films": integer(),
            "other_n_films": integer(),
        },
        ["run_id", "genre", "other_run_id", "other_genre", "label"],
    ),
    "film_criteria": (
        "What is said to make a model's output plausible, of one run over all films, tested.",
        {
            "run_id": text(),
            "criterion": text(),
            "value": number(**OPEN),
            **INTERVAL,
            "null_mean": number(**OPEN),
            "p_value": number(0, 1, **OPEN),
            "n_films": integer(),
        },
        ["run_id", "criterion"],
    ),
    "agreement": (
        "How far two runs, or all, agree on the same faces.",
        {
            "measure": text(),
            "run_id": text(),
            "other_run_id": text(**OPEN),
            "value": number(high=1, **OPEN),
            **INTERVAL,
            "null_mean": number(**OPEN),
            "p_value": number(0, 1, **OPEN),
            "n": integer(),
            "n_groups": integer(),
        },
        ["measure", "run_id", "other_run_id"],
    ),
    "sampling": (
        "How a run's share of a label over films differs if fewer frames are looked at.",
        {
            "run_id": text(),
            "label": emotion(),
            "every": integer(),
            "than_every": integer(),
            "difference": number(-1, 1, **OPEN),
            **INTERVAL,
            "typical": number(0, 1, **OPEN),
            "same_top": number(0, 1, **OPEN),
            "n_films": integer(),
        },
        ["run_id", "label", "every"],
    ),
    "claims": (
        "A claim put to a test.",
        {
            "claim_id": text(),
            "text": text(),
            "source": text(),
            "statistic": text(),
            "estimate": number(**OPEN),
            **INTERVAL,
            "p_value": number(0, 1, **OPEN),
            "p_adjusted": number(0, 1, **OPEN),
            "verdict": text(
                checks=pa.Check.isin(["supported", "not supported", "contradicted", "not testable"])
            ),
            "reason": text(**OPEN),
        },
        ["claim_id"],
    ),
}


MODEL_TABLES: Definitions = {
    "history": (
        "An epoch of a run, on one split.",
        {
            "run_id": text(),
            "epoch": integer(),
            "split": text(checks=pa.Check.isin(["train", "val"])),
            "loss": number(0),
            "accuracy": number(0, 1),
            "macro_f1": number(0, 1, **OPEN),
            "learning_rate": number(0),
            "seconds": number(0),
        },
        ["run_id", "epoch", "split"],
    ),
    "predictions": (
        "What a run says of a face; prob_<label> columns follow.",
        {
            "item_id": text(),
            "set_name": text(),
            "split": text(),
            "group_id": text(),
            "run_id": text(),
            "label": emotion(**OPEN),
            "predicted": emotion(),
        },
        ["run_id", "set_name", "item_id"],
    ),
    "metrics": (
        "An estimate of one run on one set, with its interval.",
        {
            "run_id": text(),
            "set_name": text(),
            "split": text(),
            "metric": text(),
            "label": text(**OPEN),
            "value": number(**OPEN),
            **INTERVAL,
            "method": text(**OPEN),
            "n": integer(),
            "n_groups": integer(),
            "seed": integer(**OPEN),
        },
        ["run_id", "set_name", "split", "metric", "label"],
    ),
    "comparisons": (
        "A paired difference between two runs on one set, first minus second.",
        {
            "run_id": text(),
            "other_run_id": text(),
            "set_name": text(),
            "metric": text(),
            "difference": number(**OPEN),
            **INTERVAL,
            "p_value": number(0, 1, **OPEN),
            "p_adjusted": number(0, 1, **OPEN),
            "mcnemar_p": number(0, 1, **OPEN),
            "n": integer(),
            "n_groups": integer(),
        },
        ["run_id", "other_run_id", "set_name", "metric"],
    ),
    "factorial": (
        "A cell of the factorial of faults, an effect of undoing some, or the score at home.",
        {
            "set_name": text(),
            "kind": text(checks=pa.Check.isin(["cell", "effect", "home"])),
            "term": text(),
            **{name: text(**OPEN) for name in ("crop", "colour", "calibration")},
            "metric": text(),
            "value": number(**OPEN),
            **INTERVAL,
            "over": text(checks=pa.Check.isin(["groups", "faces"])),
            "spread": number(**OPEN),
            "n": integer(),
            "n_groups": integer(),
            "n_seeds": integer(),
        },
        ["set_name", "kind", "term", "metric", "over"],
    ),
    "reliability": (
        "A confidence bin of one run on one set.",
        {
            "run_id": text(),
            "set_name": text(),
            "bin_low": number(0, 1),
            "bin_high": number(0, 1),
            "confidence": number(0, 1, **OPEN),
            "accuracy": number(0, 1, **OPEN),
            "n": integer(),
        },
        ["run_id", "set_name", "bin_low"],
    ),
    "confusion": (
        "How often one run answers `predicted` where the label is `label`.",
        {
            "run_id": text(),
            "set_name": text(),
            "label": emotion(),
            "predicted": emotion(),
            "n": integer(),
            "share_of_label": number(0, 1, **OPEN),
        },
        ["run_id", "set_name", "label", "predicted"],
    ),
}


TABLES = {
    name: pa.DataFrameSchema(columns, unique=key or None, name=name, description=row)
    for name, (row, columns, key) in (FACE_TABLES | MODEL_TABLES | FILM_TABLES).items()
}
"""Table name -> its schema; the description says what a row is. Further columns are allowed."""


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


def with_probabilities(
    rows: pd.DataFrame, probabilities: np.ndarray, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Complete rows to a table "predictions".

    Parameters
    ----------
    rows
        All columns but `predicted` and `prob_<label>`, which are replaced if they are there.
    probabilities
        (N, C), of `labels` in their order; the first of the highest is what is predicted.
    """
    predicted = np.array(labels, dtype=object)[probabilities.argmax(axis=1)]
    shown = pd.DataFrame(probabilities, columns=prob_columns(labels), index=rows.index)
    return check(rows.assign(predicted=predicted, **shown), "predictions")


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
