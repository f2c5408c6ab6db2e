"""Confident learning: which labels a network that never saw them does not believe."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import TqdmWarning

from exe_core import inference, models, training
from exe_core.settings import Train


def doubted(
    faces: np.ndarray,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    recipe: Train,
    classes: Sequence[str],
    folder: Path,
    gray: bool = False,
    folds: int = 2,
    progress: bool = True,
) -> np.ndarray:
    """Find the labels that are probably wrong (Northcutt et al. 2021, Confident Learning).

    Each part of the faces is read by a network that learned from the others. A label is doubted
    if the network is surer of another class than it is, on average, where that class is the label;
    of each pair of label and class, as many are doubted as the counts of such faces estimate
    ("prune by noise rate").

    Parameters
    ----------
    faces
        (N, S, S, 3) uint8 RGB, S as in the recipe.
    labels
        (N,) index into `classes`.
    groups
        (N,); faces of one group are never on both sides.
    recipe
        Of the networks; the last epoch is taken, as there are no other faces to choose one by.
    classes
        Their names, in order.
    folder
        Gets the networks, one in a folder of its own, so that a killed run goes on.
    gray
        As the run has it.
    folds
        How many parts.
    progress
        Show bars.

    Returns
    -------
    numpy.ndarray
        bool, shape (N,).

    Raises
    ------
    exe_core.training.TrainingError
        If a class is in none of the faces that a part is learned from.
    """
    with warnings.catch_warnings():
        # it asks for a progress bar of notebooks that nothing here needs
        warnings.simplefilter("ignore", TqdmWarning)
        from cleanlab.filter import find_label_issues

    said = np.empty((len(faces), len(classes)))
    parts = StratifiedGroupKFold(folds, shuffle=True, random_state=recipe.seed)
    for fold, (_, held_out) in enumerate(parts.split(faces, labels, groups), start=1):
        splits = np.full(len(faces), "train")
        splits[held_out] = "val"
        training.train(
            faces,
            labels,
            splits,
            recipe=recipe.model_copy(update={"keep": "last"}),
            classes=classes,
            run_id=f"{folder.name}, part {fold} of {folds}",
            folder=folder / f"part-{fold}",
            gray=gray,
            progress=progress,
        )
        network = models.load(folder / f"part-{fold}", labels=classes)
        said[held_out] = inference.predict(network, faces[held_out])
    return find_label_issues(labels, said, filter_by="prune_by_noise_rate", n_jobs=1)
