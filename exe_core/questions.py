"""The questions of the study on the synthetic world, each put to a test."""

from __future__ import annotations

import numpy as np
import pandas as pd

from exe_core import criteria, metrics, resampling
from exe_core.claims import Finding, judge
from exe_core.resampling import Estimate
from exe_core.study import Study

BIASED = "sad"
"""The label that the published ensemble is said to answer too often."""

SKIN_TONES = {"bins": [-np.inf, 2, 4, np.inf], "labels": ["light", "middle", "dark"]}
YAWS = {"bins": [-np.inf, 15, 30, np.inf], "labels": ["under 15°", "15° to 30°", "over 30°"]}
"""How `pandas.cut` makes strata of the tone of skin, 0 light to 6 dark, and of the head's turn."""


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


def by_trait(known: pd.DataFrame, truth: pd.DataFrame) -> pd.DataFrame:
    """Put the faces of a film set into strata of skin tone and of pose.

    Parameters
    ----------
    known
        Table "predictions".
    truth
        Table "truth".

    Returns
    -------
    pd.DataFrame
        Each row of `known` once a trait, `trait` named and its stratum as `set_name`; faces whose
        trait is unknown are left out.
    """
    shown = truth.drop_duplicates("item_id").set_index("item_id")
    traits = {
        "skin tone": pd.cut(shown["skin_tone"], **SKIN_TONES),
        "head turned": pd.cut(shown["yaw_deg"].abs(), **YAWS),
    }
    tables = [
        known.assign(trait=trait, set_name=known["item_id"].map(strata.astype(object)))
        for trait, strata in traits.items()
    ]
    return pd.concat(tables, ignore_index=True).dropna(subset="set_name")


def true_course(truth: pd.DataFrame, frames: pd.DataFrame) -> pd.DataFrame:
    """Lay the truth of a film on its sampled frames.

    Parameters
    ----------
    truth
        Table "truth".
    frames
        film_id, frame and time_s.

    Returns
    -------
    pd.DataFrame
        time_s and label_true, null where the film shows no face; of an unknown film, no row.
    """
    item_id = frames["film_id"] + ":" + frames["frame"].astype(str).str.zfill(6)
    of_films = truth[truth["set_name"] == "films"][["item_id", "label_true"]]
    shown = frames[["time_s"]].assign(item_id=item_id).merge(of_films, on="item_id")
    return shown[["time_s", "label_true"]]


def true_answers(truth: pd.DataFrame) -> pd.DataFrame:
    """Give the truth of films as a run that reads every frame rightly.

    Parameters
    ----------
    truth
        Table "truth".

    Returns
    -------
    pd.DataFrame
        run_id ("truth"), film_id, frame and predicted, null where the film shows no face.
    """
    of_films = truth[truth["set_name"] == "films"]
    place = of_films["item_id"].str.extract(r"^(?P<film_id>.+):(?P<frame>\d+)$")
    return pd.DataFrame(
        {
            "run_id": "truth",
            "film_id": place["film_id"],
            "frame": place["frame"].astype(int),
            "predicted": of_films["label_true"],
        }
    )


def answer_questions(
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
    measured = criteria.measure_criterion(study, known, frames=frames, films=films, events=events)
    findings = [
        *film_accuracy(study, known),
        *gray_parity(study, known, None if in_colour is None else with_truth(in_colour, truth)),
        *criteria.findings(study, measured),
        *keywords(study, known, faces=faces, truth=truth),
        *sad_bias(study, known, None if corrected is None else with_truth(corrected, truth)),
    ]
    return judge(findings, source=f"synthetic world ({study.name})", statistics=study.statistics)


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
            _noise(study, faces, truth, source, several=sets.get("v2"), one=sets.get("v1")),
        ]
    return findings


def _noise(
    study: Study,
    faces: pd.DataFrame,
    truth: pd.DataFrame,
    source: str,
    *,
    several: str | None,
    one: str | None,
) -> Finding:
    """Compare the share of wrong labels between the two designs of a source."""
    shown = truth.drop_duplicates("item_id").set_index("item_id")["label_true"]
    labelled = faces[faces["is_primary"] & faces["set_name"].isin([several, one])]
    labelled = labelled.assign(shown=labelled["item_id"].map(shown)).dropna(subset="shown")
    terms = np.column_stack([labelled["label"] != labelled["shown"], np.ones(len(labelled))])
    sides = [
        resampling.sum_by_group(
            terms * (labelled["set_name"] == name).to_numpy()[:, None], labelled["item_id"]
        )
        for name in (several, one)
    ]
    both = labelled["set_name"].nunique() == 2
    return Finding(
        f"q5-noise-{source}",
        f"Photos of {source} found by several keywords have fewer wrong labels.",
        "share of wrong labels, several keywords minus one",
        claimed="below",
        found=_paired(study, sides[0], sides[1], _share) if both else Estimate(),
        reason=None if both else "faces of both designs, with their truth, are needed",
    )


def sad_bias(study: Study, known: pd.DataFrame, corrected: pd.DataFrame | None) -> list[Finding]:
    """Q6: does the ensemble answer sad too often, and does label-shift correction help?"""
    ensemble = next(iter(study.ensembles), None)
    rows = known[(known["run_id"] == ensemble) & known["label"].isin(study.labels)]
    bias, change, reason = Estimate(), Estimate(), "no ensemble, or no truth"
    if len(rows):
        before, true = _counts(rows, "predicted"), _counts(rows, "label")
        bias, reason = _paired(study, before, true, _share), "no corrected predictions were given"
    if len(rows) and corrected is not None:
        after = _counts(corrected.set_index("item_id").loc[rows["item_id"]], "predicted")
        sides = [np.hstack([side, true]) for side in (before, after)]
        change = _paired(study, sides[0], sides[1], _share_error)
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
            reason=None if len(rows) and corrected is not None else reason,
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
    """Compare a share (columns 0, 1) with the true one (columns 2, 3)."""
    return np.abs(_share(sums[:, :2]) - _share(sums[:, 2:]))


def _paired(
    study: Study, first: np.ndarray, second: np.ndarray, statistic: resampling.Statistic
) -> Estimate:
    return study.statistics.difference(first, second, statistic)


def _difference(
    study: Study,
    known: pd.DataFrame,
    first: str | None,
    second: str | None,
    *,
    claim_id: str,
    text: str,
) -> Finding:
    """Compare the balanced accuracy of two runs on the same film faces."""
    statistic = f"balanced accuracy on film faces, {first} minus {second}"
    own, other = (known[known["run_id"] == run_id] for run_id in (first, second))
    if own.empty or other.empty:
        return Finding(claim_id, text, statistic, reason="predictions of both are needed")
    table = metrics.compare(own, other, labels=study.labels, statistics=study.statistics)
    row = table.set_index("metric").loc["balanced_accuracy"]
    found = Estimate(
        row["difference"], row["low"], row["high"], row["n_groups"], p_value=row["p_value"]
    )
    least = 2.0 ** (1 - row["n_groups"])  # all films one way, or all the other
    few = least > 1 - study.statistics.level
    reason = f"with {row['n_groups']} films p can't fall below {least:.3g}" if few else None
    return Finding(claim_id, text, statistic, found=found, reason=reason)
