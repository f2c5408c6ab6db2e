"""The questions of the study on the synthetic world, each put to a test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from exe_core import criteria, metrics
from exe_core.claims import Finding, judge
from exe_core.resampling import Estimate, ratio, sum_by_group
from exe_core.study import Study

BIASED = "sad"  # the label that the published ensemble is said to answer too often


def with_truth(predictions: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Replace each label by what the item shows; null between two expressions, as a mixture."""
    shown = truth.drop_duplicates("item_id").set_index("item_id")
    label = shown["label_true"].mask(shown["is_blend"])
    return predictions.assign(label=predictions["item_id"].map(label))


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
    """Answer the questions on a study of the world: table "claims".

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
        Predictions of the ensemble after correction of the label shift, if the study has one.
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
            f"q1-{baseline}",
            f"Training on photos found by keyword reads film faces better than {baseline}.",
        )
        for baseline, run in study.runs.items()
        if all(study.sets[name].kind != "photos" for name in run.sets)
    ]
    findings += [
        _compared(
            study,
            known,
            (name, f"{name} in colour"),
            f"q2-gray-{name}",
            f"{name}, trained on gray faces, reads film faces better in gray than in colour.",
        )
        for name, run in study.runs.items()
        if run.gray
    ]
    findings += criteria.findings(measured, statistics=study.statistics)
    for source in study.pull.sources:
        findings += _keywords(study, source, known, faces, truth)
    if corrected is not None:
        findings += _bias(study, known[known["run_id"] == ensemble], corrected)
    source = f"synthetic world ({study.name})"
    return judge(findings, source=source, statistics=study.statistics)


def _compared(
    study: Study,
    known: pd.DataFrame,
    runs: tuple[str | None, str | None],
    claim_id: str,
    text: str,
) -> Finding:
    """Q1, Q2: the balanced accuracy of one run on film faces less that of another."""
    statistic = "balanced accuracy on film faces, {} minus {}".format(*runs)
    first, second = (known[known["run_id"] == run] for run in runs)
    if first.empty or second.empty:
        return Finding(claim_id, text, statistic, reason="predictions of both are needed")
    table = metrics.compare(first, second, labels=study.labels, statistics=study.statistics)
    row = table.set_index("metric").loc["balanced_accuracy"]
    n = int(row["n_groups"])
    found = Estimate(row["difference"], row["low"], row["high"], n, p_value=row["p_value"])
    least = 2.0 ** (1 - n)  # all films one way, or all the other
    few = least > 1 - study.statistics.level
    reason = f"with {n} films p can't fall below {least:.3g}" if few else None
    return Finding(claim_id, text, statistic, found=found, reason=reason)


def _keywords(
    study: Study, source: str, known: pd.DataFrame, faces: pd.DataFrame, truth: pd.DataFrame
) -> list[Finding]:
    """Q5: are several keywords better than one, and are their labels cleaner?"""
    sets = {part.design: name for name, part in study.sets.items() if part.source == source}
    if not {"v1", "v2"} <= sets.keys():
        return []
    run_of = {run.sets[0]: name for name, run in study.runs.items() if len(run.sets) == 1}
    accuracy = _compared(
        study,
        known,
        (run_of.get(sets["v2"]), run_of.get(sets["v1"])),
        f"q5-accuracy-{source}",
        f"Photos of {source} found by several keywords train better than by one.",
    )
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    labelled = faces[faces["is_primary"] & faces["set_name"].isin([sets["v1"], sets["v2"]])]
    labelled = labelled.assign(shown=labelled["item_id"].map(shown)).dropna(subset="shown")
    of_design = np.column_stack([labelled["set_name"] == sets[one] for one in ("v2", "v1")])
    wrong = (labelled["label"] != labelled["shown"]).to_numpy()[:, None]
    several, one = (
        sum_by_group(np.hstack([wrong & member, member]), labelled["item_id"])
        for member in np.hsplit(of_design.astype(int), 2)
    )
    cleaner = Finding(
        f"q5-noise-{source}",
        f"Photos of {source} found by several keywords have fewer wrong labels.",
        "share of wrong labels, several keywords minus one",
        claimed="below",
        found=study.statistics.difference(several, one, ratio),
    )
    return [accuracy, cleaner]


def _bias(study: Study, known: pd.DataFrame, corrected: pd.DataFrame) -> list[Finding]:
    """Q6: does the ensemble answer sad too often, and does label-shift correction help?"""
    rows = known[known["label"].isin(study.labels)]
    moved = corrected.set_index("item_id")["predicted"].loc[rows["item_id"]]
    before, true, after = (
        sum_by_group(np.column_stack([one == BIASED, np.ones(len(rows))]), rows["group_id"])
        for one in (rows["predicted"], rows["label"], moved)
    )
    first, second = np.hstack([before, true]), np.hstack([after, true])
    return [
        Finding(
            "q6-bias",
            f"The ensemble answers {BIASED} more often than films show it.",
            f"share of {BIASED} predicted minus share of {BIASED} true",
            found=study.statistics.difference(before, true, ratio),
        ),
        Finding(
            "q6-corrected",
            f"Correcting the label shift brings the share of {BIASED} nearer the truth.",
            f"absolute error of the share of {BIASED}, before minus after correction",
            found=study.statistics.difference(first, second, _share_error),
        ),
    ]


def _share_error(sums: np.ndarray) -> np.ndarray:
    """Absolute error of a share (columns 0, 1) against the true one (columns 2, 3)."""
    return np.abs(ratio(sums[:, :2]) - ratio(sums[:, 2:]))
