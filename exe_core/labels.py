"""The emotions: one order, and their names in each data set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The seven classes, in FER2013's order; any subset keeps this order."""

FIVE = ("angry", "fear", "happy", "sad", "surprise")
"""The classes of the published ensemble: disgust and neutral had too few clear photos."""

ALIASES: dict[str, dict] = {
    "fer2013": dict(enumerate(EMOTIONS)),
    "rafdb": dict(
        enumerate(("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"), start=1)
    ),
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
    """Translate a label as a data set writes it: a code, or a name in any case.

    `family` is a key of `ALIASES`; a label that it does not know raises a `SchemaError`.

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


def labels_of(predictions: Iterable[str]) -> list[str]:
    """List the labels that predictions have probabilities for, in the order of `EMOTIONS`."""
    present = {name.removeprefix("prob_") for name in predictions if name.startswith("prob_")}
    return [label for label in EMOTIONS if label in present]
