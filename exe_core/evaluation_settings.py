"""The parts of a study's settings that say what it compares its runs with, and in what cells."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, model_validator

from exe_core.settings import Part, Run, Set, Train


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
        "em", description="how the shares of the labels are estimated after temperature scaling"
    )
    least_faces: int = Field(
        20, ge=1, description="labels of which a set has fewer faces are left out of its scores"
    )

    def check(self, runs: Mapping[str, Run], sets: Mapping[str, Set]) -> None:
        """Raise a ValueError if the runs are not there or are not what their lists say."""
        if len(self.as_shipped) != len(self.recropped):
            raise ValueError("factorial: as many runs as_shipped as recropped, in the same order")
        crops = dict.fromkeys(self.as_shipped, "as shipped") | dict.fromkeys(
            self.recropped, "detector"
        )
        for name, crop in crops.items():
            if name not in runs:
                raise ValueError(f"factorial: no run {name!r}; runs: {', '.join(runs)}")
            run = runs[name]
            if not run.gray or {sets[member].crop for member in run.sets} != {crop}:
                raise ValueError(
                    f"factorial: run {name} must be gray, and learn from sets of crop {crop!r}"
                )


def recipe_of(run: Run, train: Train) -> Train:
    """Give the recipe of a run: that of its study, with the run's own differences."""
    return Train.model_validate({**train.model_dump(), **run.train})


def seeds_of_one(runs: Mapping[str, Run], train: Train) -> dict[str, tuple[str, ...]]:
    """Find the runs that differ in nothing but their seed, and are named `<variant>-<number>`.

    Returns
    -------
    dict
        variant -> two runs or more; what is alone of its kind is left out.
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in runs:
        if numbered := re.fullmatch(r"(.+)-\d+", name):
            alike[numbered[1]].append(name)
    return {
        variant: tuple(names)
        for variant, names in alike.items()
        if _differ_in_seed([runs[name] for name in names], train)
    }


def _differ_in_seed(runs: list[Run], train: Train) -> bool:
    recipes = [recipe_of(run, train).model_dump() for run in runs]
    n_seeds = len({recipe.pop("seed") for recipe in recipes})
    rest = [
        run.model_dump(exclude={"train"}) | recipe
        for run, recipe in zip(runs, recipes, strict=True)
    ]
    return 1 < len(runs) == n_seeds and all(part == rest[0] for part in rest)
