"""The tables of models: what they learned, answered and scored."""

from __future__ import annotations

import pandera.pandas as pa

from exe_core.schema.columns import INTERVAL, OPEN, Definitions, emotion, integer, number, text

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
    "risk_coverage": (
        "The risk of one run on one set if only its surest answers count.",
        {
            "run_id": text(),
            "set_name": text(),
            "coverage": number(0, 1),
            "threshold": number(0, 1),
            "risk": number(0, 1, **OPEN),
            **INTERVAL,
            "n": integer(),
        },
        ["run_id", "set_name", "coverage"],
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
