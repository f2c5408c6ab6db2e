"""The columns of every table: their types and ranges, and what a row is."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pandera.pandas as pa

from exe_core.schema.labels import EMOTIONS


def _text(**kwargs: Any) -> pa.Column:
    return pa.Column(str, coerce=True, **kwargs)


def _integer(**kwargs: Any) -> pa.Column:
    """Define a count or an index; nullable ones take pandas' Int64."""
    return pa.Column("Int64" if kwargs.get("nullable") else int, coerce=True, **kwargs)


def _number(low: float | None = None, high: float | None = None, **kwargs: Any) -> pa.Column:
    checks = [] if low is None else [pa.Check.ge(low)]
    checks += [] if high is None else [pa.Check.le(high)]
    return pa.Column(float, checks=checks, coerce=True, **kwargs)


def _emotion(**kwargs: Any) -> pa.Column:
    return _text(checks=pa.Check.isin(EMOTIONS), **kwargs)


def _flag() -> pa.Column:
    return pa.Column(bool, coerce=True)


def _time() -> pa.Column:
    return pa.Column(pd.DatetimeTZDtype("us", "UTC"), coerce=True, nullable=True)


_OPEN = {"nullable": True}
_INTERVAL = {"low": _number(**_OPEN), "high": _number(**_OPEN), "level": _number(0, 1, **_OPEN)}
_BOX = {
    "x_px": _integer(),
    "y_px": _integer(),
    "width_px": _integer(),
    "height_px": _integer(),
}

_DEFINITIONS: dict[str, tuple[str, dict[str, pa.Column], list[str]]] = {
    "hits": (
        "A photo that a query returned.",
        {
            "photo_id": _text(),
            "label": _emotion(),
            "source": _text(),
            "design": _text(),
            "query": _text(),
            "page": _integer(),
            "rank": _integer(),
        },
        ["photo_id", "design", "query"],
    ),
    "photos": (
        "A photo, also one that could not be had.",
        {
            "photo_id": _text(),
            "source": _text(),
            "page_url": _text(**_OPEN),
            "url": _text(**_OPEN),
            "author": _text(**_OPEN),
            "author_url": _text(**_OPEN),
            "licence": _text(**_OPEN),
            "licence_url": _text(**_OPEN),
            "attribution": _text(**_OPEN),
            "width_px": _integer(**_OPEN),
            "height_px": _integer(**_OPEN),
            "sha256": _text(**_OPEN),
            "path": _text(**_OPEN),
            "status": _text(checks=pa.Check.isin(["ok", "failed"])),
            "error": _text(**_OPEN),
            "retrieved_at": _time(),
            "reported_at": _time(),
        },
        ["photo_id"],
    ),
    "requests": (
        "A search request to a photo source.",
        {
            "requested_at": _time(),
            "source": _text(),
            "design": _text(),
            "query": _text(),
            "page": _integer(),
            "asked": _text(**_OPEN),
            "http_status": _integer(**_OPEN),
            "n_returned": _integer(),
            "n_kept": _integer(**_OPEN),
            "n_new": _integer(),
            "share_new": _number(0, 1, **_OPEN),
            "is_last": _flag(),
            "quota_left": _integer(**_OPEN),
            "seconds": _number(0),
            "error": _text(**_OPEN),
        },
        [],
    ),
    "images": (
        "An image that faces were looked for in; faceless and unreadable ones are kept.",
        {
            "item_id": _text(),
            "set_name": _text(),
            "path": _text(),
            "width_px": _integer(**_OPEN),
            "height_px": _integer(**_OPEN),
            "n_faces": _integer(**_OPEN),
            "status": _text(checks=pa.Check.isin(["ok", "no face", "unreadable"])),
            "error": _text(**_OPEN),
        },
        ["set_name", "item_id"],
    ),
    "faces": (
        "A face in an image; the box is in the pixels of the upright image.",
        {
            "face_id": _text(),
            "item_id": _text(),
            "set_name": _text(),
            "label": _emotion(**_OPEN),
            "group_id": _text(),
            "split_given": _text(**_OPEN),
            "score": _number(0, 1, **_OPEN),
            **_BOX,
            "area_share": _number(0, 1),
            "is_primary": _flag(),
            "path": _text(),
        },
        ["face_id"],
    ),
    "splits": (
        "The side of the split that a face is on; all faces of a group are on one side.",
        {
            "face_id": _text(),
            "set_name": _text(),
            "group_id": _text(),
            "split": _text(checks=pa.Check.isin(["train", "val", "test"])),
        },
        ["face_id"],
    ),
    "truth": (
        "What an item of the synthetic world shows; no stage but the evaluation reads it.",
        {
            "item_id": _text(),
            "set_name": _text(),
            "label_true": _emotion(**_OPEN),
            "intensity": _number(0, **_OPEN),
            "skin_tone": _number(0, 6, **_OPEN),
            "yaw_deg": _number(**_OPEN),
            "n_faces": _integer(),
            "is_blend": _flag(),
        },
        ["set_name", "item_id"],
    ),
    "history": (
        "An epoch of a run, on one split.",
        {
            "run_id": _text(),
            "epoch": _integer(),
            "split": _text(checks=pa.Check.isin(["train", "val"])),
            "loss": _number(0),
            "accuracy": _number(0, 1),
            "macro_f1": _number(0, 1, **_OPEN),
            "learning_rate": _number(0),
            "seconds": _number(0),
        },
        ["run_id", "epoch", "split"],
    ),
    "predictions": (
        "What a run says of a face; prob_<label> columns follow.",
        {
            "item_id": _text(),
            "set_name": _text(),
            "split": _text(),
            "group_id": _text(),
            "run_id": _text(),
            "label": _emotion(**_OPEN),
            "predicted": _emotion(),
        },
        ["run_id", "set_name", "item_id"],
    ),
    "metrics": (
        "An estimate of one run on one set, with its interval.",
        {
            "run_id": _text(),
            "set_name": _text(),
            "split": _text(),
            "metric": _text(),
            "label": _text(**_OPEN),
            "value": _number(**_OPEN),
            **_INTERVAL,
            "method": _text(**_OPEN),
            "n": _integer(),
            "n_groups": _integer(),
            "seed": _integer(**_OPEN),
        },
        ["run_id", "set_name", "split", "metric", "label"],
    ),
    "comparisons": (
        "A paired difference between two runs on one set, first minus second.",
        {
            "run_id": _text(),
            "other_run_id": _text(),
            "set_name": _text(),
            "metric": _text(),
            "difference": _number(**_OPEN),
            **_INTERVAL,
            "p_value": _number(0, 1, **_OPEN),
            "p_adjusted": _number(0, 1, **_OPEN),
            "mcnemar_p": _number(0, 1, **_OPEN),
            "n": _integer(),
            "n_groups": _integer(),
        },
        ["run_id", "other_run_id", "set_name", "metric"],
    ),
    "factorial": (
        "A cell of the factorial of faults, an effect of undoing some, or the score at home.",
        {
            "set_name": _text(),
            "kind": _text(checks=pa.Check.isin(["cell", "effect", "home"])),
            "term": _text(),
            **{name: _text(**_OPEN) for name in ("crop", "colour", "calibration")},
            "metric": _text(),
            "value": _number(**_OPEN),
            **_INTERVAL,
            "over": _text(checks=pa.Check.isin(["groups", "faces"])),
            "spread": _number(**_OPEN),
            "n": _integer(),
            "n_groups": _integer(),
            "n_seeds": _integer(),
        },
        ["set_name", "kind", "term", "metric", "over"],
    ),
    "reliability": (
        "A confidence bin of one run on one set.",
        {
            "run_id": _text(),
            "set_name": _text(),
            "bin_low": _number(0, 1),
            "bin_high": _number(0, 1),
            "confidence": _number(0, 1, **_OPEN),
            "accuracy": _number(0, 1, **_OPEN),
            "n": _integer(),
        },
        ["run_id", "set_name", "bin_low"],
    ),
    "risk_coverage": (
        "The risk of one run on one set if only its surest answers count.",
        {
            "run_id": _text(),
            "set_name": _text(),
            "coverage": _number(0, 1),
            "threshold": _number(0, 1),
            "risk": _number(0, 1, **_OPEN),
            **_INTERVAL,
            "n": _integer(),
        },
        ["run_id", "set_name", "coverage"],
    ),
    "leakage": (
        "Two images of one picture; the other one stands earlier.",
        {
            "item_id": _text(),
            "set_name": _text(),
            "split": _text(**_OPEN),
            "label": _emotion(**_OPEN),
            "other_item_id": _text(),
            "other_set_name": _text(),
            "other_split": _text(**_OPEN),
            "other_label": _emotion(**_OPEN),
            "kind": _text(checks=pa.Check.isin(["identical", "near"])),
            "correlation": _number(0, 1),
        },
        ["set_name", "item_id", "other_set_name", "other_item_id"],
    ),
    "confusion": (
        "How often one run answers `predicted` where the label is `label`.",
        {
            "run_id": _text(),
            "set_name": _text(),
            "label": _emotion(),
            "predicted": _emotion(),
            "n": _integer(),
            "share_of_label": _number(0, 1, **_OPEN),
        },
        ["run_id", "set_name", "label", "predicted"],
    ),
    "films": (
        "A film of the study.",
        {
            "film_id": _text(),
            "title": _text(),
            "genre": _text(**_OPEN),
            "path": _text(**_OPEN),
            "duration_s": _number(0, **_OPEN),
            "fps": _number(0, **_OPEN),
            "n_frames": _integer(**_OPEN),
            "status": _text(checks=pa.Check.isin(["ok", "partial", "unreadable"])),
            "error": _text(**_OPEN),
        },
        ["film_id"],
    ),
    "events": (
        "A plot event of a film, and the emotion that should rise after it.",
        {"film_id": _text(), "time_s": _number(0), "event": _text(), "label": _emotion()},
        ["film_id", "time_s", "label"],
    ),
    "frames": (
        "A sampled frame; frames without a face have n_faces 0.",
        {"film_id": _text(), "frame": _integer(), "time_s": _number(), "n_faces": _integer()},
        ["film_id", "frame"],
    ),
    "film_summary": (
        "A film, run and label: how often, and how probable on average.",
        {
            "film_id": _text(),
            "run_id": _text(),
            "label": _emotion(),
            "n_frames": _integer(),
            "n_faces": _integer(),
            "share_of_faces": _number(0, 1, **_OPEN),
            "mean_prob": _number(0, 1, **_OPEN),
        },
        ["film_id", "run_id", "label"],
    ),
    "film_criteria": (
        "What is said to make a model's output plausible, of one run over all films, tested.",
        {
            "run_id": _text(),
            "criterion": _text(),
            "value": _number(**_OPEN),
            **_INTERVAL,
            "null_mean": _number(**_OPEN),
            "p_value": _number(0, 1, **_OPEN),
            "n_films": _integer(),
        },
        ["run_id", "criterion"],
    ),
    "agreement": (
        "How far two runs, or all, agree on the same faces.",
        {
            "measure": _text(),
            "run_id": _text(),
            "other_run_id": _text(**_OPEN),
            "value": _number(high=1, **_OPEN),
            **_INTERVAL,
            "null_mean": _number(**_OPEN),
            "p_value": _number(0, 1, **_OPEN),
            "n": _integer(),
            "n_groups": _integer(),
        },
        ["measure", "run_id", "other_run_id"],
    ),
    "sampling": (
        "How a run's share of a label over films differs if fewer frames are looked at.",
        {
            "run_id": _text(),
            "label": _emotion(),
            "every": _integer(),
            "than_every": _integer(),
            "difference": _number(-1, 1, **_OPEN),
            **_INTERVAL,
            "typical": _number(0, 1, **_OPEN),
            "same_top": _number(0, 1, **_OPEN),
            "n_films": _integer(),
        },
        ["run_id", "label", "every"],
    ),
    "claims": (
        "A claim put to a test.",
        {
            "claim_id": _text(),
            "text": _text(),
            "source": _text(),
            "statistic": _text(),
            "estimate": _number(**_OPEN),
            **_INTERVAL,
            "p_value": _number(0, 1, **_OPEN),
            "p_adjusted": _number(0, 1, **_OPEN),
            "verdict": _text(
                checks=pa.Check.isin(["supported", "not supported", "contradicted", "not testable"])
            ),
            "reason": _text(**_OPEN),
        },
        ["claim_id"],
    ),
}

TABLES = {
    name: pa.DataFrameSchema(columns, unique=key or None, name=name, description=row)
    for name, (row, columns, key) in _DEFINITIONS.items()
}
"""Table name -> its schema; the description says what a row is. Further columns are allowed."""
