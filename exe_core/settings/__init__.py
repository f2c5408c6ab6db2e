"""The parts of a study's settings: what each may be, and what it is if nothing is said.

The defaults are the published design wherever it has one.
"""

from exe_core.settings.evaluation import (
    FILM_SUFFIXES,
    VALENCE,
    Factorial,
    Films,
    Guest,
    Sentiment,
    Statistics,
    Valence,
)
from exe_core.settings.faces import KEYWORDS, Crop, Design, Pull, Set, World
from exe_core.settings.learning import Run, Train, recipe_of, seeds_of_one
from exe_core.settings.part import Part

__all__ = [
    "FILM_SUFFIXES",
    "KEYWORDS",
    "VALENCE",
    "Crop",
    "Design",
    "Factorial",
    "Films",
    "Guest",
    "Part",
    "Pull",
    "Run",
    "Sentiment",
    "Set",
    "Statistics",
    "Train",
    "Valence",
    "World",
    "recipe_of",
    "seeds_of_one",
]
