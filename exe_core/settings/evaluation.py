"""Settings of what models are asked: on films, as guests, in cells, as sentiment, how surely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, field_validator, model_validator

from exe_core.schema import EMOTIONS
from exe_core.settings.faces import Set
from exe_core.settings.learning import Run
from exe_core.settings.part import Part

FILM_SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")
"""What the file of a film ends in."""

VALENCE: dict[str, tuple[int | None, ...]] = {
    "angry": (-2, -1),
    "disgust": (-2, -1),
    "fear": (-1, -2),
    "happy": (2,),
    "sad": (-1, -2),
    "surprise": (1, 0, None),
    "neutral": (0,),
}
"""Emotion -> its levels of sentiment, from -2 to 2, that can be defended; the first is used."""


class Guest(Part):
    """A model that the study did not train and shows its test faces to; its name is enough."""

    model: str = Field(
        pattern=r"^((~|\.{1,2})?/.+|[\w.-]+(/[\w.-]+)?)$",
        description="of data/models by its name; <study>/<run>, a run of another study; or a "
        "folder, from / or ./ on",
    )
    sets: tuple[str, ...] = Field(
        default=(),
        description="sets of this study that it learned from other faces of; known of a run",
    )

    @model_validator(mode="before")
    @classmethod
    def _name_is_enough(cls, given: object) -> object:
        return {"model": given} if isinstance(given, str) else given

    @property
    def is_folder(self) -> bool:
        """Tell a folder from the name of a model."""
        return self.model.startswith(("/", "./", "../", "~/"))


class Factorial(Part):
    """What undoing each fault of the published pipeline is worth: crop x colour x calibration.

    The runs learned from gray faces. Those of the same place in both lists differ in the crop of
    the faces that they learned from, and in nothing else.
    """

    as_shipped: tuple[str, ...] = Field(
        min_length=1, description="runs that learned from faces as they are shipped, one a seed"
    )
    recropped: tuple[str, ...] = Field(
        min_length=1, description="runs that learned from them as the detector crops them"
    )
    sets: tuple[str, ...] = Field(
        min_length=1, description="sets whose test faces are read; `films`, those of the world"
    )
    correction: Literal["em", "bbse"] = Field(
        "em",
        description="how the shares of the labels are estimated, after calibration by class",
    )
    least_faces: int = Field(
        20, ge=1, description="labels of which a set has fewer faces are left out of its scores"
    )

    def check(self, runs: Mapping[str, Run], sets: Mapping[str, Set]) -> None:
        """Raise a ValueError if the runs are not there or are not what their lists say."""
        if len(self.as_shipped) != len(self.recropped):
            raise ValueError("factorial: as many runs as_shipped as recropped, in the same order")
        listed = [(name, "as shipped") for name in self.as_shipped]
        listed += [(name, "detector") for name in self.recropped]
        for name, crop in listed:
            if name not in runs:
                raise ValueError(f"factorial: no run {name!r}; runs: {', '.join(runs)}")
            run = runs[name]
            if not run.gray or {sets[member].crop for member in run.sets} != {crop}:
                raise ValueError(
                    f"factorial: run {name} must be gray, and learn from sets of crop {crop!r}"
                )


class Films(Part):
    """Which frames of a film are looked at."""

    path: str | None = Field(None, description="below the data folder of the study")
    every: int = Field(100, ge=1, description="every n-th frame")
    apart: bool = Field(
        False, description="each film is decoded by a job of its own: for many, or a cluster"
    )
    event_window_s: float = Field(20.0, gt=0, description="compared before and after a plot event")


Valence = Literal[-2, -1, 0, 1, 2]


class Sentiment(Part):
    """How pleasant each emotion is taken to be, on a scale of five levels; three are their sign.

    An emotion for which more than one level can be defended lists them all: the first is the
    study's choice, the others show what hangs on it. None drops the emotion.
    """

    set_name: str = Field("rafdb", description="the set on whose test faces it is judged")
    valence: dict[str, tuple[Valence | None, ...]] = Field(
        {},
        validate_default=True,
        description="emotion -> its levels, the study's choice first; others keep theirs",
    )
    faces: int = Field(
        1, ge=1, description="faces of each class, rightly and wrongly read, that are explained"
    )

    @field_validator("valence")
    @classmethod
    def _other_emotions_keep_theirs(cls, given: dict[str, tuple]) -> dict[str, tuple]:
        unknown = [name for name in given if name not in EMOTIONS]
        if unknown or not all(given.values()):
            raise ValueError(f"{given}: one level or more for each of {', '.join(EMOTIONS)}")
        return VALENCE | given


class Statistics(Part):
    """How intervals and p-values are made."""

    level: float = Field(0.95, gt=0.5, lt=1, description="of intervals")
    n_bootstrap: int = Field(1000, ge=50, description="resamples of an interval")
    n_permutations: int = Field(2000, ge=50, description="of a test")
