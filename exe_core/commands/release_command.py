"""`exe release`: a trained model kept with the paper, in data/models, ready to use by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from exe_core.commands.terminal import fail, show_table
from exe_core.config import READY, ConfigError, Study, load_study
from exe_core.schema import SchemaError, read
from exe_core.writing import replacing

if TYPE_CHECKING:
    import pandas as pd

    from exe_core.models import Classifier

STRENGTHS = np.linspace(0, 1, 9)
FEWEST = 50
"""Labels of which a set has fewer test faces are left out of its second row of scores."""
SHOWN = ["accuracy", "balanced_accuracy", "macro_f1", "nll", "ece"]
LABELS = {
    "given": "the sets' own",
    "majority": "the emotion that most annotators named",
    "votes": "the shares of the annotators' votes",
}
LIMITS = (
    "Labels are expressions as annotators named them, not feelings.",
    "Faces must be cropped as the card says; whole scenes, profiles, masks and children are not "
    "what it learned from.",
    "Scores differ between persons and sets by more than their intervals say: look at yours.",
    "It must not be used to judge, select or watch people.",
)


def release(
    study: Annotated[str, typer.Argument(help="a study that has been computed")],
    run: Annotated[str, typer.Argument(help="one of its runs")],
    name: Annotated[str, typer.Option(help="what the model will be called")],
    without: Annotated[
        str, typer.Option(help="a label that is left out of a further score of each set")
    ] = "",
    to: Annotated[Path, typer.Option(help="where ready models lie")] = READY,
) -> None:
    """Keep a trained model with the paper: in half precision, with a card, its scores and limits.

    Classes that were rare in training are answered too seldom where they are not rare. The logits
    are therefore moved against the logarithm of the classes' shares, as far as clearly serves the
    balanced accuracy on the validation faces.
    """
    from exe_core import models  # slow to import

    try:
        settings = load_study(study)
        classifier = models.load(settings.model(run), labels=settings.labels)
        faces, splits = (read(settings.table(each), name=each) for each in ("faces", "splits"))
        moved = balance(settings, run, classifier, faces=faces, splits=splits)
    except (ConfigError, models.ModelError, SchemaError, FileNotFoundError) as fault:
        fail(str(fault))
    learned = settings.runs[run]
    card = {
        **classifier.card,
        "run_id": name,
        "released_from": f"{study}/{run}",
        "learned_from": {"sets": list(learned.sets), "labels": LABELS[learned.labels]},
    }
    folder = to / name
    models.save(classifier.network, folder, card=card, stored="float16")
    kept = models.load(folder)
    scores = score(settings, kept, faces=faces, splits=splits, without=without)
    card |= {"prior_correction": moved, "limits": list(LIMITS), "scores": _plain(scores)}
    models.save(classifier.network, folder, card=card, stored="float16")
    size = (folder / models.WEIGHTS_FILE).stat().st_size / 2**20
    with replacing(folder / "README.md") as partial:
        partial.write_text(describe(card, size=size), encoding="utf-8")
    with replacing(folder / "scores.csv") as partial:
        scores.to_csv(partial, index=False)
    typer.echo(f"{name}: {size:.1f} MiB in {folder.name}")
    show_table(["set", "measure", "score", "faces"], _rows(card["scores"]), lines=False)


def balance(
    study: Study,
    run: str,
    classifier: Classifier,
    *,
    faces: pd.DataFrame,
    splits: pd.DataFrame,
) -> dict[str, Any]:
    """Move the biases of a network's last layer against the shares of its training labels.

    The network is changed. Of `STRENGTHS` (0: as it is, 1: as if all classes had been equally
    frequent; Menon et al. 2021, Long-tail Learning via Logit Adjustment, section 4) the weakest is
    taken whose balanced accuracy on the run's validation faces is within one standard error of the
    best: more of it costs accuracy, and gains what chance could give.

    Returns
    -------
    dict
        strength; shift of each label's logit; balanced accuracy on the validation faces before
        and after.
    """
    from sklearn.metrics import recall_score

    from exe_core import inference, models
    from exe_core.datasets import training_set

    learnt = training_set(study, run, faces=faces, splits=splits)
    classes = learnt.labels if learnt.labels.ndim == 1 else learnt.labels.argmax(axis=1)
    counts = np.bincount(classes[learnt.sides == "train"], minlength=len(study.labels))
    against = -np.log(counts / counts.sum())
    held_out = learnt.sides == "val"
    logits = np.log(inference.predict(classifier, learnt.images[held_out]))
    recalls = np.array(
        [
            recall_score(
                classes[held_out], (logits + strength * against).argmax(axis=1), average=None
            )
            for strength in STRENGTHS
        ]
    )
    reached = recalls.mean(axis=1)
    best = recalls[reached.argmax()]
    error = np.sqrt((best * (1 - best) / np.bincount(classes[held_out])).sum()) / len(best)
    chosen = int(np.argmax(reached >= reached.max() - error))
    shift = STRENGTHS[chosen] * (against - against.mean())
    models.shift_logits(classifier.network, shift)
    return {
        "strength": STRENGTHS[chosen],
        "shift": dict(zip(study.labels, shift.round(4).tolist(), strict=True)),
        "val_balanced_accuracy": {"before": reached[0], "after": reached[chosen]},
    }


def score(
    study: Study,
    classifier: Classifier,
    *,
    faces: pd.DataFrame,
    splits: pd.DataFrame,
    without: str = "",
) -> pd.DataFrame:
    """Score a model on the test faces of a study.

    Returns
    -------
    pandas.DataFrame
        Table "metrics": each set on all labels; on those with `FEWEST` faces, if these are fewer,
        where the model chooses among them only; and on these without one label. The set's name
        tells the labels.
    """
    import pandas as pd

    test = faces[faces["face_id"].isin(splits["face_id"][splits["split"] == "test"])]
    tables = []
    for name, rows in test[test["is_primary"]].groupby("set_name"):
        counts = rows["label"].value_counts()
        frequent = [label for label in study.labels if counts.get(label, 0) >= FEWEST]
        fewer = [label for label in frequent if label != without]
        subsets = [labels for labels in (tuple(frequent), tuple(fewer)) if len(labels) > 1]
        for asked in dict.fromkeys([study.labels, *subsets]):
            of_labels = rows[rows["label"].isin(asked)]
            found = _scored(study, classifier, of_labels, labels=asked, splits=splits)
            title = name if asked == study.labels else f"{name}: {', '.join(asked)}"
            tables.append(found.assign(set_name=title))
    return pd.concat(tables, ignore_index=True)


def _scored(
    study: Study,
    classifier: Classifier,
    faces: pd.DataFrame,
    *,
    labels: Sequence[str],
    splits: pd.DataFrame,
) -> pd.DataFrame:
    from exe_core import inference, metrics

    chosen = inference.restricted(classifier, labels)
    said = inference.predict_faces(chosen, faces, run_id=classifier.card["run_id"], splits=splits)
    return metrics.score(
        said,
        labels=labels,
        statistics=study.statistics,
        seed=study.seed,
    )


def describe(card: Mapping[str, Any], *, size: float) -> str:
    """Write the card of a model for people, in Markdown.

    Parameters
    ----------
    card
        With `released_from`, `learned_from`, `prior_correction`, `limits` and `scores`.
    size
        Of its weights, MiB.
    """
    shown, recipe, moved = card["preprocessing"], card["recipe"], card["prior_correction"]
    learned, seen = card["learned_from"], sum(card["n_faces"]["train"].values())
    rows = "\n".join(f"| {' | '.join(row)} |" for row in _rows(card["scores"]))
    held_out = moved["val_balanced_accuracy"]
    return f"""# {card["run_id"]}

A classifier of faces as {", ".join(card["labels"])}; {size:.1f} MiB, half precision.

```python
from exe_core import inference, models

model = models.load("{card["run_id"]}")
table = inference.predict_images(model, faces)  # crops, RGB uint8, of any size
```

**Shown** square crops of single faces, resized to {shown["size"]} px, {_colours(shown)}.

**Learned** by the recipe of run `{card["released_from"]}` (network {card["model"]}, from weights
"{recipe["weights"]}", {recipe["epochs"]} epochs) from {seen:,} faces of
{", ".join(learned["sets"])}; labels: {learned["labels"]}. Its logits were then moved against the
shares of the labels in training, with strength {moved["strength"]:.2f} of 1; balanced accuracy on
validation faces was {held_out["before"]:.3f} before and is {held_out["after"]:.3f} now.

**Scores** on test faces that it never learned from, with intervals over groups (persons, pictures):

| set | measure | score | faces |
|---|---|---|---|
{rows}

**Limits.** {" ".join(card["limits"])}
"""


def _colours(shown: Mapping[str, Any]) -> str:
    colours = "in gray" if shown["gray"] else "in colour"
    averaged = "; the answer is the mean of those to a face and to its mirror image"
    return colours + (averaged if shown["flip_average"] else "")


def _plain(scores: pd.DataFrame) -> list[dict[str, Any]]:
    overall = scores[scores["label"].isna() & scores["metric"].isin(SHOWN)]
    columns = ["set_name", "metric", "value", "low", "high", "n", "n_groups"]
    return overall[columns].to_dict("records")


def _rows(scores: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    return [
        [
            row["set_name"],
            row["metric"].replace("_", " "),
            f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}]",
            f"{row['n']:,}",
        ]
        for row in scores
        if row["metric"] in ("accuracy", "balanced_accuracy")
    ]
