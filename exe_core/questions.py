"""The questions of the study on the synthetic world, each put to a test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from exe_core import criteria, metrics, resampling, tables
from exe_core.claims import Finding, judge
from exe_core.resampling import Estimate
from exe_core.study import Study

BIASED = "sad"
"""The label that the published ensemble is said to answer too often."""

SKIN_TONES = {"bins": [-np.inf, 2, 4, np.inf], "labels": ["light", "middle", "dark"]}
"""Strata of skin tone, 0 light to 6 dark, as `pandas.cut` makes them."""

TURNS = {"bins": [-np.inf, 15, 30, np.inf], "labels": ["under 15°", "15° to 30°", "over 30°"]}
"""Strata of how far a head is turned, to either side (degrees)."""

SIZES = ("smallest", "smaller", "larger", "largest")
"""Quarters of the faces by the share of the picture that they take."""


def with_truth(predictions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Replace the label of each prediction by what the item shows.

    Frames between two expressions are mixtures that no one label describes: their label is null.
    """
    shown = truth.drop_duplicates("item_id").set_index("item_id")
    label = shown["label_true"].mask(shown["is_blend"])
    return predictions.assign(label=predictions["item_id"].map(label))


def by_trait(known: pd.DataFrame, truth: pd.DataFrame, faces: pd.DataFrame) -> pd.DataFrame:
    """Stratify film faces by skin tone, turn of the head, and size.

    Parameters
    ----------
    known, truth, faces
        Tables "predictions", "truth" and "faces" of the films.

    Returns
    -------
    pd.DataFrame
        Each row of `known` once a trait, with `trait` and its stratum as `set_name`; faces whose
        trait is unknown are left out.
    """
    shown = truth.drop_duplicates("item_id").set_index("item_id")
    largest = faces[faces["is_primary"]].set_index("item_id")["area_share"]
    quarter = pd.cut(largest.rank(method="first", pct=True), np.linspace(0, 1, 5), labels=SIZES)
    traits = {
        "skin tone": pd.cut(shown["skin_tone"], **SKIN_TONES),
        "head turned": pd.cut(shown["yaw_deg"].abs(), **TURNS),
        "size of the face": quarter,
    }
    parts = [
        known.assign(trait=trait, set_name=known["item_id"].map(strata.astype(object)))
        for trait, strata in traits.items()
    ]
    return pd.concat(parts, ignore_index=True).dropna(subset="set_name")


def true_answers(truth: pd.DataFrame) -> pd.DataFrame:
    """Lay out the truth of films as a run that is always right.

    Returns
    -------
    pd.DataFrame
        run_id ("truth"), film_id, frame and predicted, null where the film shows no face.
    """
    of_films = truth[truth["set_name"] == "films"]
    place = tables.film_and_frame(of_films["item_id"])
    return place.assign(run_id="truth", predicted=of_films["label_true"])


def answer_questions(
    study: Study,
    film_predictions: pd.DataFrame,
    *,
    measured: pd.DataFrame,
    faces: pd.DataFrame,
    truth: pd.DataFrame,
    in_colour: pd.DataFrame | None = None,
    corrected: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Answer the questions on a study of the world.

    Parameters
    ----------
    film_predictions
        Table "predictions" of the film faces by all runs and ensembles.
    measured
        Criteria and accuracy of each run, as of `criteria.with_accuracy`.
    faces, truth
        Tables of those names.
    in_colour
        Predictions of the runs that were trained on gray faces, given the film faces in colour.
    corrected
        Predictions of the ensemble after correction of the label shift.

    Returns
    -------
    pd.DataFrame
        Table "claims"; what a missing input would decide is not testable.
    """
    known = with_truth(film_predictions, truth)
    if in_colour is not None:
        shown = with_truth(in_colour, truth)
        shown = shown.assign(run_id=shown["run_id"] + " in colour")
        known = pd.concat([known, shown], ignore_index=True)
    ensemble = next(iter(study.ensembles), None)
    findings = [
        _compared(
            study,
            known,
            (ensemble, baseline),
            claim_id=f"q1-{baseline}",
            text=f"Training on photos found by keyword reads film faces better than {baseline}.",
        )
        for baseline, run in study.runs.items()
        if all(study.sets[name].kind != "photos" for name in run.sets)
    ]
    findings += [
        _compared(
            study,
            known,
            (name, f"{name} in colour"),
            claim_id=f"q2-gray-{name}",
            text=f"{name}, trained on gray faces, reads film faces better in gray than in colour.",
        )
        for name, run in study.runs.items()
        if run.gray
    ]
    findings += criteria.findings(measured, statistics=study.statistics)
    for source in study.pull.sources:
        findings += _keywords(study, source, known, faces, truth)
    findings += _bias(study, known[known["run_id"] == ensemble], corrected)
    source = f"synthetic world ({study.name})"
    return judge(findings, source=source, statistics=study.statistics)


def _compared(
    study: Study, known: pd.DataFrame, runs: tuple[str | None, str | None], **about: str
) -> Finding:
    """Q1, Q2: the balanced accuracy of one run on film faces less that of another."""
    about["statistic"] = "balanced accuracy on film faces, {} minus {}".format(*runs)
    first, second = (known[known["run_id"] == run] for run in runs)
    if first.empty or second.empty:
        return Finding(**about, reason="predictions of both are needed")
    table = metrics.compare(first, second, labels=study.labels, statistics=study.statistics)
    row = table.set_index("metric").loc["balanced_accuracy"]
    n = int(row["n_groups"])
    found = Estimate(row["difference"], row["low"], row["high"], n, p_value=row["p_value"])
    least = 2.0 ** (1 - n)  # all films one way, or all the other
    few = least > 1 - study.statistics.level
    reason = f"with {n} films p can't fall below {least:.3g}" if few else None
    return Finding(**about, found=found, reason=reason)


def _keywords(
    study: Study, source: str, known: pd.DataFrame, faces: pd.DataFrame, truth: pd.DataFrame
) -> list[Finding]:
    """Q5: are several keywords better than one, and are their labels cleaner?"""
    sets = {part.design: name for name, part in study.sets.items() if part.source == source}
    designs = (sets.get("v2"), sets.get("v1"))
    run_of = {run.sets: run_id for run_id, run in study.runs.items()}
    accuracy = _compared(
        study,
        known,
        (run_of.get(designs[:1]), run_of.get(designs[1:])),
        claim_id=f"q5-accuracy-{source}",
        text=f"Photos of {source} found by several keywords train better than by one.",
    )
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    labelled = faces[faces["is_primary"] & faces["set_name"].isin(designs)]
    labelled = labelled.assign(shown=labelled["item_id"].map(shown)).dropna(subset="shown")
    wrong = (labelled["label"] != labelled["shown"]).to_numpy(float)
    sides = []
    for name in designs:
        member = (labelled["set_name"] == name).to_numpy(float)
        terms = np.column_stack([wrong * member, member])
        sides.append(resampling.sum_by_group(terms, labelled["item_id"]))
    both = labelled["set_name"].nunique() == 2
    noise = Finding(
        f"q5-noise-{source}",
        f"Photos of {source} found by several keywords have fewer wrong labels.",
        "share of wrong labels, several keywords minus one",
        claimed="below",
        found=study.statistics.difference(*sides, _share) if both else Estimate(),
        reason=None if both else "faces of both designs, with their truth, are needed",
    )
    return [accuracy, noise]


def _bias(study: Study, known: pd.DataFrame, corrected: pd.DataFrame | None) -> list[Finding]:
    """Q6: does the ensemble answer sad too often, and does label-shift correction help?"""
    rows = known[known["label"].isin(study.labels)]
    bias, change, reason = Estimate(), Estimate(), "no ensemble, or no truth"
    if len(rows):
        before, true = (_counts(rows, column) for column in ("predicted", "label"))
        bias, reason = study.statistics.difference(before, true, _share), None
    if len(rows) and corrected is not None:
        after = _counts(corrected.set_index("item_id").loc[rows["item_id"]], "predicted")
        sides = (np.hstack([side, true]) for side in (before, after))
        change = study.statistics.difference(*sides, _share_error)
    elif len(rows):
        reason = "no corrected predictions were given"
    return [
        Finding(
            "q6-bias",
            f"The ensemble answers {BIASED} more often than films show it.",
            f"share of {BIASED} predicted minus share of {BIASED} true",
            found=bias,
            reason=None if len(rows) else reason,
        ),
        Finding(
            "q6-corrected",
            f"Correcting the label shift brings the share of {BIASED} nearer the truth.",
            f"absolute error of the share of {BIASED}, before minus after correction",
            found=change,
            reason=reason,
        ),
    ]


def _counts(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Count the biased label and all rows, by film."""
    is_it = (rows[column] == BIASED).to_numpy(dtype=float)
    return resampling.sum_by_group(np.column_stack([is_it, np.ones(len(rows))]), rows["group_id"])


def _share(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[:, 0] / sums[:, 1]


def _share_error(sums: np.ndarray) -> np.ndarray:
    """Absolute error of a share (columns 0, 1) against the true one (columns 2, 3)."""
    return np.abs(_share(sums[:, :2]) - _share(sums[:, 2:]))
