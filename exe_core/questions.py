"""The questions of the study that a synthetic world can answer: its films' truth is known.

Each function takes tables and gives findings; `answer` puts them together and judges them as one
family. They say how methods behave in that world, nothing about real faces.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from exe_core import criteria, metrics, resampling
from exe_core.claims import Finding, judge, paired_estimate
from exe_core.config import Statistics, Study

BIASED = "sad"
"""The label that the published ensemble is said to answer too often."""


def with_truth(predictions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Put the truth in the place of the label.

    Parameters
    ----------
    predictions
        Table "predictions".
    truth
        Table "truth".

    Returns
    -------
    pd.DataFrame
        `predictions` with the label that each item shows; null where it is between two
        expressions, as it is then a mixture that no one label describes.
    """
    shown = truth.drop_duplicates("item_id").set_index("item_id")
    label = shown["label_true"].mask(shown["is_blend"])
    return predictions.assign(label=predictions["item_id"].map(label))


def answer(
    study: Study,
    film_predictions: pd.DataFrame,
    *,
    frames: pd.DataFrame,
    films: pd.DataFrame,
    events: pd.DataFrame,
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
    frames, films, events, faces, truth
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
    measured = criteria.measure(study, known, frames=frames, films=films, events=events)
    findings = [
        *film_accuracy(study, known),
        *gray_parity(study, known, None if in_colour is None else with_truth(in_colour, truth)),
        *criteria.findings(study, measured),
        *keywords(study, known, faces=faces, truth=truth),
        *sad_bias(study, known, None if corrected is None else with_truth(corrected, truth)),
    ]
    return judge(findings, source=f"synthetic world ({study.name})", level=study.statistics.level)


def film_accuracy(study: Study, known: pd.DataFrame) -> list[Finding]:
    """Q1: does the ensemble of photo-trained runs read film faces better than each baseline?"""
    ensemble = next(iter(study.ensembles), None)
    return [
        _difference(
            study,
            known,
            ensemble,
            baseline,
            claim_id=f"q1-{baseline}",
            text=f"Training on photos found by keyword reads film faces better than {baseline}.",
        )
        for baseline, run in study.runs.items()
        if all(study.sets[name].kind != "photos" for name in run.sets)
    ]


def gray_parity(study: Study, known: pd.DataFrame, in_colour: pd.DataFrame | None) -> list[Finding]:
    """Q2, first part: what does it cost a gray-trained run to be given colour?"""
    runs = [name for name, run in study.runs.items() if run.gray]
    both = known
    if in_colour is not None:
        renamed = in_colour.assign(run_id=in_colour["run_id"] + " in colour")
        both = pd.concat([known, renamed], ignore_index=True)
    return [
        _difference(
            study,
            both,
            name,
            f"{name} in colour",
            claim_id=f"q2-gray-{name}",
            text=f"{name}, trained on gray faces, reads film faces better in gray than in colour.",
        )
        for name in runs
    ]


def keywords(
    study: Study, known: pd.DataFrame, *, faces: pd.DataFrame, truth: pd.DataFrame
) -> list[Finding]:
    """Q5: are several keywords better than one, and are their labels cleaner?"""
    findings = []
    for source in study.pull.sources:
        sets = {part.design: name for name, part in study.sets.items() if part.source == source}
        runs = {
            design: run_id
            for design, name in sets.items()
            for run_id, run in study.runs.items()
            if run.sets == (name,)
        }
        findings += [
            _difference(
                study,
                known,
                runs.get("v2"),
                runs.get("v1"),
                claim_id=f"q5-accuracy-{source}",
                text=f"Photos of {source} found by several keywords train better than by one.",
            ),
            Finding(
                claim_id=f"q5-noise-{source}",
                text=f"Photos of {source} found by several keywords have fewer wrong labels.",
                statistic="share of wrong labels, several keywords minus one",
                claimed="below",
                **_noise(study, faces, truth, sets.get("v2"), sets.get("v1")),
            ),
        ]
    return findings


def _noise(
    study: Study, faces: pd.DataFrame, truth: pd.DataFrame, several: str | None, one: str | None
) -> dict[str, object]:
    labelled = faces[faces["is_primary"] & faces["set_name"].isin([several, one])]
    shown = labelled["item_id"].map(
        truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    )
    labelled = labelled.assign(wrong=labelled["label"] != shown)[shown.notna()]
    if labelled["set_name"].nunique() < 2:
        return {"reason": "faces of both designs, with their truth, are needed"}
    sides = [
        resampling.sum_by_group(
            np.column_stack([labelled["wrong"], np.ones(len(labelled))])
            * (labelled["set_name"] == name).to_numpy()[:, None],
            labelled["item_id"],
        )
        for name in (several, one)
    ]
    return paired_estimate(*sides, _share, **_options(study))


def sad_bias(study: Study, known: pd.DataFrame, corrected: pd.DataFrame | None) -> list[Finding]:
    """Q6: does the ensemble answer sad too often, and does label-shift correction help?"""
    ensemble = next(iter(study.ensembles), None)
    rows = known[(known["run_id"] == ensemble) & known["label"].isin(study.labels)]
    bias = {
        "claim_id": "q6-bias",
        "text": f"The ensemble answers {BIASED} more often than films show it.",
        "statistic": f"share of {BIASED} predicted minus share of {BIASED} true",
    }
    change = {
        "claim_id": "q6-corrected",
        "text": f"Correcting the label shift brings the share of {BIASED} nearer the truth.",
        "statistic": f"absolute error of the share of {BIASED}, before minus after correction",
    }
    if rows.empty:
        return [Finding(**part, reason="no ensemble, or no truth") for part in (bias, change)]
    before, true = _counts(rows, "predicted"), _counts(rows, "label")
    findings = [Finding(**bias, **paired_estimate(before, true, _share, **_options(study)))]
    if corrected is None:
        return [*findings, Finding(**change, reason="corrected predictions were not given")]
    after = corrected.set_index("item_id").loc[rows["item_id"]].reset_index()
    sides = [np.hstack([side, true]) for side in (before, _counts(after, "predicted"))]

    def error(sums: np.ndarray) -> np.ndarray:
        return np.abs(_share(sums[:, :2]) - _share(sums[:, 2:]))

    return [*findings, Finding(**change, **paired_estimate(*sides, error, **_options(study)))]


def _counts(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Count the biased label and all rows, by film."""
    is_it = (rows[column] == BIASED).to_numpy(dtype=float)
    return resampling.sum_by_group(np.column_stack([is_it, np.ones(len(rows))]), rows["group_id"])


def _share(sums: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return sums[:, 0] / sums[:, 1]


def _options(study: Study) -> dict[str, Statistics | int]:
    return {"statistics": study.statistics, "seed": study.seed}


def _difference(
    study: Study,
    known: pd.DataFrame,
    first: str | None,
    second: str | None,
    **claim: str,
) -> Finding:
    """Compare the balanced accuracy of two runs on the same film faces."""
    statistic = f"balanced accuracy on film faces, {first} minus {second}"
    sides = [known[known["run_id"] == run_id] for run_id in (first, second)]
    if any(side.empty for side in sides):
        return Finding(**claim, statistic=statistic, reason="predictions of both are needed")
    table = metrics.compare(
        *sides,
        labels=study.labels,
        seed=study.seed,
        **study.statistics.model_dump(),
    )
    row = table.set_index("metric").loc["balanced_accuracy"]
    return Finding(
        **claim,
        statistic=statistic,
        estimate=row["difference"],
        low=row["low"],
        high=row["high"],
        p_value=row["p_value"],
    )
