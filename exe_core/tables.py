"""Labels in one order, and every table: columns with their meanings, checked in both directions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa

from exe_core.labels import EMOTIONS, SchemaError, labels_of, prob_columns
from exe_core.record import replacing


def item_id(film_id: str, frame: int) -> str:
    """Name a film's frame as an item: "<film_id>:<frame>", the frame with six digits or more."""
    return f"{film_id}:{frame:06d}"


def film_and_frame(item_id: pd.Series) -> pd.DataFrame:
    """Split what `item_id` made into film_id and frame; a film's id may hold a colon."""
    place = item_id.str.rsplit(":", n=1, expand=True).reindex(columns=[0, 1])
    return pd.DataFrame({"film_id": place[0], "frame": place[1].astype(int)})


def _column(dtype: Any, description: str, **kwargs: Any) -> pa.Column:
    """Define a column; `description` says what it means."""
    return pa.Column(dtype, coerce=True, description=description, **kwargs)


text, flag = partial(_column, str), partial(_column, bool)
time = partial(_column, pd.DatetimeTZDtype("us", "UTC"), nullable=True)  # null if it never happened


def integer(description: str, **kwargs: Any) -> pa.Column:
    """Define a count or an index; nullable ones take pandas' Int64."""
    return _column("Int64" if kwargs.get("nullable") else int, description, **kwargs)


def number(
    description: str, low: float | None = None, high: float | None = None, **kwargs: Any
) -> pa.Column:
    """Define a real number, from `low` to `high` if they are given."""
    checks = [] if low is None else [pa.Check.ge(low)]
    checks += [] if high is None else [pa.Check.le(high)]
    return _column(float, description, checks=checks, **kwargs)


def choice(description: str, *values: str, **kwargs: Any) -> pa.Column:
    """Define a text column that holds one of `values`."""
    return text(description, checks=pa.Check.isin(values), **kwargs)


def _table(row: str, names: str, **columns: pa.Column) -> pa.DataFrameSchema:
    """Define a table: what a row is, the names of key and common columns, and all others.

    In `names`, "!" marks what identifies a row together, and "?" a column that may be null.
    """
    marked = {name.rstrip("!?"): name for name in names.split()}
    shared = {name: COMMON[name] for name in marked if name not in columns}
    key = [name for name, mark in marked.items() if "!" in mark]
    schema = pa.DataFrameSchema(shared | columns, unique=key or None, description=row)
    optional = [name for name, mark in marked.items() if "?" in mark]
    return schema.update_columns({name: {"nullable": True} for name in optional})


COMMON = {
    "photo_id": text("source and number, e.g. pexels:123"),
    "label": choice("emotion: as labelled, or the one that the row is about", *EMOTIONS),
    "source": text("where it comes from"),
    "design": text("search design: v1, v2 or given"),
    "query": text("words that were searched for"),
    "page": integer("of the search, counted from 1"),
    "width_px": integer("width, px", nullable=True),
    "height_px": integer("height, px", nullable=True),
    "path": text("where the file lies"),
    "error": text("what went wrong, if anything did", nullable=True),
    "seconds": number("duration, s", 0),
    "item_id": text("the photo, frame or image"),
    "set_name": text("the set"),
    "face_id": text("the face: its item and its number there, 0 for the largest"),
    "group_id": text("unit of splits and resampling: a photo, person or film"),
    "split": text("part of the set: train, val or test"),
    "other_set_name": text("set of the other"),
    "other_split": text("part of the other", nullable=True),
    "n": integer("items that the row rests on"),
    "film_id": text("the film"),
    "time_s": number("time stamp in the film, s", 0),
    "genre": text("of the film; null for all or unknown", nullable=True),
    "run_id": text("the run, ensemble or external model"),
    "value": number("the estimate", nullable=True),
    "low": number("lower end of the interval", nullable=True),
    "high": number("upper end of the interval", nullable=True),
    "level": number("coverage of the interval, e.g. .95", 0, 1, nullable=True),
    "n_films": integer("films that the row rests on"),
    "other_run_id": text("second run; null for all together"),
    "difference": number("first minus second", nullable=True),
    "null_mean": number("mean of the measure by chance alone", nullable=True),
    "p_value": number("p-value of the null hypothesis", 0, 1, nullable=True),
    "n_groups": integer("groups that the row rests on"),
    "p_adjusted": number("p-value after Holm's correction in its family", 0, 1, nullable=True),
    "predicted": choice("most probable emotion", *EMOTIONS),
    "metric": text("what is measured"),
}
"""Columns that mean the same in several tables."""


TABLES = {
    "hits": _table(
        "A photo that a query returned.",
        "photo_id! design! query! source page label",
        rank=integer("position on its page, from 1"),
    ),
    "photos": _table(
        "A photo, also one whose download failed.",
        "photo_id! source width_px height_px path? error",
        page_url=text("the photo's page at its source", nullable=True),
        url=text("address of the file", nullable=True),
        author=text("photographer", nullable=True),
        author_url=text("the photographer's page", nullable=True),
        licence=text("of the photo", nullable=True),
        licence_url=text("where the licence stands", nullable=True),
        attribution=text("line that gives credit where the photo is shown", nullable=True),
        sha256=text("digest of the file", nullable=True),
        status=choice("ok, or why not", "ok", "failed"),
        retrieved_at=time("when the file was fetched"),
        phash=text("perceptual hash, by which copies are found", nullable=True),
    ),
    "requests": _table(
        "A search request to a photo source.",
        "source design query page seconds error",
        requested_at=time("when the page was asked for"),
        asked=text("the request's parameters, without its key", nullable=True),
        http_status=integer("of the answer", nullable=True),
        n_returned=integer("photos that the page holds"),
        n_kept=integer("photos of the page that were kept as hits", nullable=True),
        n_new=integer("photos that are new to this source and design"),
        share_new=number("new ones, of those returned", 0, 1, nullable=True),
        is_last=flag("the query ends with this page"),
        quota_left=integer("requests left, as the source says", nullable=True),
    ),
    "images": _table(
        "An image of a set; those without a face, unreadable or of another label are kept.",
        "item_id! set_name! width_px height_px error path",
        n_faces=integer("faces detected", nullable=True),
        status=choice("ok, or why not", "ok", "no face", "unreadable", "other label"),
    ),
    "faces": _table(
        "A face in an image; the box is in the pixels of the upright image.",
        "face_id! item_id set_name group_id label? path",
        split_given=text("part that the set itself puts the face into", nullable=True),
        score=number("of the detector", 0, 1, nullable=True),
        x_px=integer("left edge, px"),
        y_px=integer("upper edge, px"),
        width_px=integer("width of the box, px"),
        height_px=integer("height of the box, px"),
        area_share=number("share of the picture that the face's box takes", 0, 1),
        is_primary=flag("is the largest face of its item"),
    ),
    "attributes": _table(
        "What a set says of an image, whether it is used or not; null where the set does not know.",
        "item_id! set_name! label? source?",
        no_label=text("why it has no label", nullable=True),
        person=text("who is shown", nullable=True),
        film=text("the film, as the set names it", nullable=True),
        clip=text("part of the film that the frame is from", nullable=True),
        frame=integer("its number in the clip", nullable=True),
        year=integer("of the film", nullable=True),
        keyword=text("that a photo was found by", nullable=True),
        sex=text("male or female", nullable=True),
        age=text("child, young, middle or old", nullable=True),
        pose=text("frontal, left, right, up or down", nullable=True),
        light=text("bad, medium or high", nullable=True),
        occlusion=text("none, glasses, beard, ornaments, hair, hand or others", nullable=True),
        makeup=text("partial or over", nullable=True),
    ),
    "splits": _table(
        "The side of the split that a face is on; a group is on one side only.",
        "face_id! set_name group_id",
        split=choice("part of the set: train, val or test", "train", "val", "test"),
    ),
    "truth": _table(
        "What an item of the synthetic world shows; no stage but the evaluation reads it.",
        "item_id! set_name!",
        label_true=choice("emotion that is shown", *EMOTIONS, nullable=True),
        n_faces=integer("faces that are drawn"),
        is_blend=flag("passes from one expression to another"),
    ),
    "leakage": _table(
        "Two images of one picture; the other one stands earlier.",
        "other_item_id! item_id! set_name! other_set_name! split? other_split label?",
        other_item_id=text("the other image"),
        other_label=choice("label of the other image", *EMOTIONS, nullable=True),
        kind=choice("pixel-identical, or nearly the same", "identical", "near"),
        correlation=number("of the two images' pixels, made small", 0, 1),
    ),
    "leakage_counts": _table(
        "Two parts of sets, and how many images of the one the other has too.",
        "set_name! split?! other_set_name! other_split! n",
        n_identical=integer("images with an identical one in the other part"),
        share_identical=number("identical ones, of all images of the part", 0, 1),
        n_other_label=integer("of the identical ones, those under other labels only"),
        n_near=integer("images with a near-duplicate, but no identical one, there"),
    ),
    "films": _table(
        "A film of the study.",
        "film_id! genre path? error",
        title=text("of the film"),
        duration_s=number("length, s", 0, nullable=True),
        fps=number("frames a second", 0, nullable=True),
        n_frames=integer("frames of the film", nullable=True),
        status=choice("ok, or why not", "ok", "partial", "unreadable"),
    ),
    "events": _table(
        "A plot event of a film, and the emotion that should rise after it.",
        "label! film_id! time_s!",
        event=text("what happens"),
        label=choice("emotion that should rise after it", *EMOTIONS),
    ),
    "frames": _table(
        "A sampled frame; frames without a face have n_faces 0.",
        "frame! film_id!",
        frame=integer("its number in the film, counted from 0"),
        time_s=number("time stamp in the film, s"),
        n_faces=integer("faces detected"),
    ),
    "film_summary": _table(
        "A film, run and label: how often, and how probable on average.",
        "film_id! run_id! label!",
        n_frames=integer("frames that were looked at"),
        n_faces=integer("frames with a face that was classified"),
        share_of_faces=number("share of the faces predicted as the label", 0, 1, nullable=True),
        mean_prob=number("mean probability of the label", 0, 1, nullable=True),
        coverage=number("share of the film's frames with a face", 0, 1),
        share_low=number("share of all frames if no faceless one showed the label", 0, 1),
        share_high=number("share of all frames if every faceless one showed it", 0),
    ),
    "selection_shares": _table(
        "A run and label over the films of a genre, or of no genre named: over all.",
        "run_id! genre! label! value low high level n_films",
    ),
    "selection_differences": _table(
        "A share of one run and genre less that of another.",
        "other_genre! run_id! genre! other_run_id! label! difference low high level n_films",
        other_genre=text("genre of the second", nullable=True),
    ),
    "film_criteria": _table(
        "A criterion of plausible output, for one run over all films, with its test.",
        "criterion! run_id! value low high level null_mean p_value n_films",
        criterion=text("criterion that needs no labels"),
    ),
    "agreement": _table(
        "How far two runs agree on the same faces.",
        "run_id! other_run_id! value low high level null_mean p_value n n_groups",
    ),
    "claims": _table(
        "A claim put to a test.",
        "claim_id! low high level p_value p_adjusted",
        claim_id=text("short name of the claim"),
        text=text("the claim, in words"),
        source=text("data that the claim was tested on"),
        statistic=text("what the estimate is of"),
        estimate=number("what was measured", nullable=True),
        verdict=choice(
            "verdict on the claim", "supported", "not supported", "contradicted", "not testable"
        ),
        reason=text("why there is no verdict, or a caveat", nullable=True),
    ),
    "history": _table(
        "An epoch of a run, on one split.",
        "epoch! run_id! split! seconds",
        epoch=integer("counted from 1"),
        loss=number("mean over the epoch's faces", 0),
        accuracy=number("share of correct predictions", 0, 1),
        macro_f1=number("macro-averaged F1", 0, 1, nullable=True),
        learning_rate=number("of the epoch", 0),
    ),
    "predictions": _table(
        "What a run says of a face; prob_<label> columns follow.",
        "item_id! set_name! run_id! group_id predicted label? split",
    ),
    "metrics": _table(
        "An estimate of one run on one set, with its interval.",
        "label! run_id! set_name! metric! split! value low high level n n_groups",
        label=text("emotion: as labelled, or the one that the row is about", nullable=True),
        method=text("how the interval was made", nullable=True),
        seed=integer("of the resampling", nullable=True),
    ),
    "comparisons": _table(
        "A paired difference between two runs on one set, first minus second.",
        "run_id! other_run_id! set_name! metric! difference low high level p_value p_adjusted"
        " n n_groups",
    ),
    "confusion": _table(
        "How often one run answers `predicted` where the label is `label`.",
        "run_id! set_name! label! predicted! n",
        share_of_label=number("of the faces of this label", 0, 1, nullable=True),
    ),
}

_LIKE = {
    "film_faces": ("faces", "A face in a sampled frame of a film."),
    "film_predictions": ("predictions", "What a run says of a film face."),
    "film_metrics": ("metrics", "An estimate of one run on the film faces."),
    "label_quality": ("metrics", "Agreement of annotators' votes with the labels of a set."),
    "sentiment_metrics": ("metrics", "An estimate of one run on one scale of sentiment."),
    "sentiment_comparisons": ("comparisons", "Two runs on one scale of sentiment."),
}
"""Table -> the one whose columns it has, and what a row is."""

for _name, (_like, _row) in _LIKE.items():
    _schema = TABLES[_like]
    TABLES[_name] = pa.DataFrameSchema(_schema.columns, unique=_schema.unique, description=_row)


def check(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return `table` with the types of its schema.

    A `SchemaError` lists the faults found: a missing column, a value out of range, a key given
    twice.
    """
    if name not in TABLES:
        raise SchemaError(f"no table {name!r}; tables are {', '.join(TABLES)}")
    try:
        checked = TABLES[name].validate(table, lazy=True)
    except pa.errors.SchemaErrors as faults:
        cases = faults.failure_cases[["column", "check", "failure_case"]].drop_duplicates()
        lines = [" · ".join(map(str, case)) for case in cases.head(5).itertuples(index=False)]
        what = f"table {name!r} is not as its schema says:"
        raise SchemaError("\n".join([what, *lines])) from None
    if name in ("predictions", "film_predictions"):
        columns = prob_columns(labels_of(checked))
        if len(columns) < 2:
            raise SchemaError("predictions need a prob_<label> column for two labels or more")
        shares = checked[columns]
        good = shares.sum(axis=1, skipna=False).between(1 - 1e-3, 1 + 1e-3)
        if not (good & shares.ge(0).all(axis=1)).all():
            raise SchemaError("predictions have probabilities that do not sum to 1")
    return checked


def with_probabilities(
    rows: pd.DataFrame, probabilities: np.ndarray, *, labels: Sequence[str]
) -> pd.DataFrame:
    """Complete rows to a table "predictions".

    Takes all columns but `predicted` and `prob_<label>`, which are replaced if they are there, and
    probabilities (N, C) of `labels` in their order; the first of the highest is what is predicted.
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
        checked.to_parquet(partial, index=False)
    return path


def read(path: Path, *, name: str) -> pd.DataFrame:
    """Read a table and check it.

    A `FileNotFoundError` names a table that is not there; a `SchemaError` is raised if the file
    holds another one.
    """
    if not path.exists():
        raise FileNotFoundError(f"no table {name!r} at {path}: run the stage that writes it first")
    return check(pd.read_parquet(path), name)
