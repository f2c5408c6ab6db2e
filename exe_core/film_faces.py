"""The film study: networks scored on labelled film faces, from predictions kept without pictures.

`gather` keeps what all networks predict for the film faces as a few small tables; `load` reads them
again, and the methods of `FilmFaces` score, compare and count. So each number of the film study can
be computed anew, with other parameters, where there is no picture. The plan is book/plan.md.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from exe_core import calibration, metrics, resampling, tables
from exe_core.calibration import Calibration
from exe_core.labels import prob_columns
from exe_core.metrics import rank_correlation
from exe_core.record import ROOT, replacing
from exe_core.resampling import Estimate, Statistics
from exe_core.study import Study, load_study

FROZEN = ROOT / "data" / "frozen" / "film"
FACES, PREDICTIONS, RUNS = "faces.parquet", "predictions.parquet", "runs.parquet"
TOOLS_FILE = "tools.parquet"
FACE_COLUMNS = (
    *("item_id", "set_name", "label", "person", "film", "clip", "frame", "year"),
    *("sex", "age", "pose", "light", "occlusion"),
)
TOOLS = ("fer", "fer-interface", "human", "face-api", "facial-emotion-recognition", "facex", "fer7")
"""Tools whose predictions for the same faces lie in `TOOLS_FILE`; data/README.md."""
MIN_FILM = 100  # scored faces of a film whose shares are estimated
MARGIN = 0.03  # of balanced accuracy: within it two networks are equivalent

Unit = Literal["actor and film", "actor", "film"]


class FilmError(ValueError):
    """Predictions of film faces are missing, or can't answer what is asked."""


def gather(study: Study, predictions: pd.DataFrame, folder: Path) -> Path:
    """Keep predictions for film faces, and what is known of the faces, without a picture.

    Takes a study, whose `images`, `faces` and `attributes` describe the film faces (their sets are
    those of role test whose attributes name a film), and the table "predictions" of all runs on
    these sets and, for their calibration, on validation faces of the sets that they learned from.
    `folder` gets `FACES` (a row a face with a label of the study, scored or not), `PREDICTIONS`
    (probabilities as float16) and `RUNS` (variant, seed, training faces, calibration).
    """
    attributes = study.read("attributes")
    films = set(attributes.loc[attributes["film"].notna(), "set_name"])
    films &= {name for name, entry in study.sets.items() if entry.role == "test"}
    images = study.read("images")[["item_id", "set_name", "width_px", "height_px", "status"]]
    listed = attributes[attributes["set_name"].isin(films) & attributes["label"].isin(study.labels)]
    listed = listed.merge(images, on=["item_id", "set_name"]).sort_values(["item_id", "set_name"])
    listed["side_px"] = listed[["width_px", "height_px"]].min(axis=1)
    known = listed[[*FACE_COLUMNS, "side_px", "status"]].reset_index(drop=True)
    place = known[["item_id", "set_name"]].reset_index(names="face")  # sets may share images
    columns = prob_columns(study.labels)
    rows = predictions.merge(place, on=["item_id", "set_name"])[["run_id", "face", *columns]]
    rows = rows.sort_values(["run_id", "face"], ignore_index=True)
    types = {"run_id": "category", "face": np.int32, **dict.fromkeys(columns, np.float16)}
    rows = rows.astype(types)
    # the bytes of float16 apart, and differences of places, take a fifth less
    packed = dict.fromkeys(columns, "BYTE_STREAM_SPLIT") | {"face": "DELTA_BINARY_PACKED"}
    for name, table in {FACES: known, PREDICTIONS: rows, RUNS: _runs(study, predictions)}.items():
        how = {"use_dictionary": ["run_id"], "column_encoding": packed} if table is rows else {}
        with replacing(folder / name) as partial:
            table.to_parquet(partial, compression="zstd", **how)
    return folder


def _runs(study: Study, predictions: pd.DataFrame) -> pd.DataFrame:
    """Describe each run: its variant and seed, and a calibration by validation faces, if any."""
    from exe_core.models import read_card  # here: nothing else in this module needs torch

    variant_of = {run: name for name, runs in study.variants.items() for run in runs}
    rows = []
    for run, table in predictions.groupby("run_id"):
        name, _, shown = str(run).partition("@")
        variant = variant_of.get(name, name) + (f"@{shown}" if shown else "")
        row: dict[str, object] = {"run_id": run, "variant": variant}
        validation = table[table["split"] == "val"]
        if name in study.runs:
            row["seed"] = study.recipe(name).seed
            card = read_card(study.model(name))
            row["n_train"] = sum(card["n_faces"]["train"].values())
        if len(validation):
            fitted = calibration.fit_calibration(validation)
            at_home = calibration.apply_calibration(validation, fitted)
            row["temperature"] = fitted.temperature
            shares = at_home[prob_columns(study.labels)].mean()
            for name, values in (("bias", fitted.bias), ("share", shares)):
                row |= dict(zip(_named(name, study.labels), values, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _named(prefix: str, labels: Sequence[str]) -> list[str]:
    return [f"{prefix}_{label}" for label in labels]


def of_study(study: Study) -> FilmFaces:
    """Read the predictions of the film study: those made here if there are any, else the frozen."""
    made = load_study(study.name).results / "film"
    folder = made if (made / PREDICTIONS).is_file() else FROZEN
    return load(folder, **study.scoring.model_dump(), statistics=study.statistics)


def load(
    folder: Path = FROZEN,
    *,
    labels: Sequence[str] = (),
    min_side: int = 32,
    unit: Unit = "actor and film",
    statistics: Statistics | None = None,
    variants: Sequence[str] = (),
) -> FilmFaces:
    """Read what `gather` kept.

    Faces of other labels than `labels` are left out, and probabilities of others divided among
    these; all of the study if there are none. `min_side` is the shorter side of the picture that a
    scored face has at least, px; `unit`, what intervals resample. Only the runs of `variants` are
    read, if there are any. A `FilmError` is raised if the folder has no predictions, a file is
    damaged, a label is unknown, or no face is left.

    Examples
    --------
    >>> load(labels=["happy", "sad"]).scores(["keyword"])  # doctest: +SKIP
    """
    if not (folder / PREDICTIONS).is_file():
        raise FilmError(f"no predictions of film faces in {folder.name}: freeze study film first")
    faces, about = (_read(folder / name) for name in (FACES, RUNS))
    runs = {*variants, *about.loc[about["variant"].isin(variants), "run_id"]}
    rows = _read(folder / PREDICTIONS, runs)
    known = [name.removeprefix("prob_") for name in rows.columns if name[:5] == "prob_"]
    chosen = tuple(name for name in known if name in (labels or known))
    if len(chosen) < 2 or set(labels) - set(known):
        raise FilmError(f"labels {labels}: two or more of {', '.join(known)}")
    by_run = list(rows.groupby("run_id", observed=True))
    if (tools := FROZEN / TOOLS_FILE).is_file():
        place = faces[["item_id"]].reset_index(names="face")
        by_run += _read(tools, runs).merge(place, on="item_id").groupby("run_id", observed=True)
    # miscellaneous films are one for each actor, and have no shares of a film
    person = faces["person"].fillna("")  # stills of SFEW name none
    films = {"is_film": faces["film"].notna(), "film": faces["film"].fillna("various, " + person)}
    faces = faces.assign(person=person, **films)
    is_large = faces["side_px"] >= min_side
    scored = faces["label"].isin(chosen) & (faces["status"] == "ok") & is_large
    if not scored.any():
        raise FilmError(f"no face of {', '.join(chosen)} is {min_side} px or more on each side")
    probabilities = {}
    for run, table in by_run:
        values = np.full((len(faces), len(chosen)), np.nan)
        values[table["face"]] = table[prob_columns(chosen)].to_numpy(float)
        if not np.isnan(values[scored]).any():
            # of a face whose labels are all below what float16 holds, none is likelier
            values[values.sum(axis=1) == 0] = 1.0
            probabilities[str(run)] = values / values.sum(axis=1, keepdims=True)
        elif run not in TOOLS:  # a tool may not have been shown all of these pictures
            raise FilmError(f"{run} lacks predictions of {folder.name}: gather them again")
    about, listed = about.set_index("run_id"), faces[is_large]
    whole = FilmFaces(chosen, faces, listed, probabilities, about, unit, statistics or Statistics())
    return whole.where(scored)


def _read(path: Path, runs: Collection[str] = ()) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, filters=[("run_id", "in", runs)] if runs else None)
    except (OSError, ValueError) as fault:  # of pyarrow, a damaged file is a ValueError
        raise FilmError(f"{path.name} can't be read: {fault}") from None


@dataclass(frozen=True)
class FilmFaces:
    """Film faces with their labels, and what each run predicts for them."""

    labels: tuple[str, ...]
    faces: pd.DataFrame
    """A row a scored face: item_id, label, person, film, and the rest of `FACE_COLUMNS`."""
    listed: pd.DataFrame = field(repr=False)
    """The same of all faces with a label of the study, found by the detector (status ok) or not."""
    probabilities: Mapping[str, np.ndarray] = field(repr=False)  # run -> (N, C), rows sum to 1
    about: pd.DataFrame = field(repr=False)  # by run: variant, seed, n_train, calibration
    unit: Unit = "actor and film"
    statistics: Statistics = field(default_factory=Statistics)
    _known: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def where(self, mask: pd.Series | np.ndarray) -> FilmFaces:
        """Keep the faces of a mask (N,)."""
        kept = np.asarray(mask)
        probabilities = {run: values[kept] for run, values in self.probabilities.items()}
        faces = self.faces[kept].reset_index(drop=True)
        return replace(self, faces=faces, probabilities=probabilities)

    def with_runs(self, variant: str, made: Sequence[np.ndarray]) -> FilmFaces:
        """Add a variant, such as a mean of others: probabilities (N, C) of each of its runs."""
        names = [f"{variant}-{k}" for k in range(1, len(made) + 1)]
        about = pd.DataFrame({"variant": variant}, index=names)
        probabilities = {**self.probabilities, **dict(zip(names, made, strict=True))}
        return replace(self, probabilities=probabilities, about=pd.concat([self.about, about]))

    @functools.cached_property
    def variants(self) -> dict[str, tuple[str, ...]]:
        """Variant -> its runs, one a seed, in the order of the seeds."""
        listed: dict[str, list[str]] = {}
        for run in self.probabilities:
            variant = self.about["variant"].get(run, run)
            listed.setdefault(str(variant), []).append(run)
        return {name: tuple(sorted(runs)) for name, runs in listed.items()}

    def predictions(self, run: str) -> pd.DataFrame:
        """Give the table "predictions" of a run."""
        rows = self.faces[["item_id", "set_name", "label"]].assign(
            group_id=self.faces["person"] + "/" + self.faces["film"], run_id=run, split="test"
        )
        return tables.with_probabilities(rows, self.probabilities[run], labels=self.labels)

    def runs(self, variant: str) -> list[np.ndarray]:
        """Give the probabilities (N, C) of each run of a variant."""
        return [self.probabilities[run] for run in dict.fromkeys(self._runs(variant))]

    def _runs(self, variant: str) -> tuple[str, ...]:
        """Give a run of the variant for each seed; one that has a single run stands for all."""
        if variant not in self.variants:
            raise FilmError(f"no {variant!r}; there are {', '.join(self.variants)}")
        runs, n_seeds = self.variants[variant], max(map(len, self.variants.values()))
        if len(runs) not in (1, n_seeds):
            raise FilmError(f"{variant} has {len(runs)} seeds of {n_seeds}: train the others")
        return runs * (n_seeds // len(runs))

    @functools.cached_property
    def _crossed(self) -> list[np.ndarray]:
        """What intervals resample, of each pair of actor and film, in the order of `_sums`."""
        key = (self.faces["person"] + "/" + self.faces["film"]).to_numpy(str)
        cells = self.faces.loc[np.unique(key, return_index=True)[1]]
        used = {"actor and film": ["person", "film"], "actor": ["person"], "film": ["film"]}
        return [cells[column].to_numpy() for column in used[self.unit]]

    def _sums(self, run: str) -> np.ndarray:
        """Sums of `metrics.item_terms` over each pair of actor and film."""
        if run not in self._known:
            rows = self.predictions(run)
            terms = metrics.item_terms(rows, self.labels)
            self._known[run] = resampling.sum_by_group(terms, rows["group_id"])
        return self._known[run]

    def _estimate(self, variants: Sequence[str], statistic: resampling.Statistic) -> Estimate:
        """Average over seeds a statistic of the sums of variants, side by side.

        What has one run only stands for each of its seeds, and adds no spread.
        """
        by_seed = dict.fromkeys(zip(*map(self._runs, variants), strict=True))
        seeds = [np.hstack([self._sums(run) for run in runs]) for runs in by_seed]
        return self.statistics.mean_over_seeds(seeds, statistic, crossed=self._crossed)

    def scores(self, variants: Sequence[str]) -> pd.DataFrame:
        """Score variants: mean over seeds, with intervals that cover groups and seeds.

        Returns table "metrics" with `n_seeds` and `spread`, the standard deviation over seeds.
        """
        scored, n_labels = [], len(self.labels)
        for variant in variants:
            found = self._estimate([variant], lambda sums: metrics.scores_of(sums, n_labels))
            about = {"run_id": variant, "n_seeds": len(self.variants[variant]), "n_groups": found.n}
            scored.append(metrics.by_name(found, self.labels).assign(spread=found.spread, **about))
        whole = pd.concat(scored, ignore_index=True)
        # few seeds reach far beyond where a score can be
        top = whole["metric"].map({"nll": np.inf, "brier": 2.0}).fillna(1.0)
        whole["low"], whole["high"] = whole["low"].clip(lower=0), whole["high"].clip(upper=top)
        method = f"{resampling.METHOD_OVER_SEEDS}, over {self.unit}"
        how = {"level": self.statistics.level, "method": method, "seed": self.statistics.seed}
        whole = whole.assign(set_name="film", split="test", n=len(self.faces), **how)
        return tables.check(whole, "metrics")

    def contrast(
        self, weights: Mapping[str, float], *, metric: str = "balanced_accuracy"
    ) -> Estimate:
        """Estimate a weighted sum of the scores of variants, paired by face and seed.

        Takes variant -> weight, such as 1 and -1 for a difference, and one of `metrics.SCORES`. The
        p-value is that of a t test whose standard error gives the interval.
        """
        place, factors = metrics.SCORES.index(metric), np.array(list(weights.values()))

        def difference(sums: np.ndarray) -> np.ndarray:
            sides = np.hsplit(sums, len(factors))
            scores = [metrics.scores_of(side, len(self.labels))[:, place] for side in sides]
            return np.stack(scores).T @ factors

        found = self._estimate(list(weights), difference)
        reach = stdtrit(found.n - 1, (1 + self.statistics.level) / 2)
        error = (found.high - found.low) / 2 / reach
        p = 2 * stdtr(found.n - 1, -np.abs(found.value) / error)
        return replace(found, p_value=float(p))

    def contrasts(
        self, family: Mapping[str, Mapping[str, float]], *, metric: str = "balanced_accuracy"
    ) -> pd.DataFrame:
        """Estimate a family of contrasts, adjusted after Holm.

        A contrast of variants that are not there is undefined.

        Returns a row a contrast: name, value, low, high, p_value, p_adjusted, n_groups, and
        `equivalent`: whether the interval at twice the error rate lies within `MARGIN`.
        """
        level = 2 * self.statistics.level - 1
        looser = replace(self, statistics=self.statistics.model_copy(update={"level": level}))
        rows = []
        for name, weights in family.items():
            found, within = Estimate(), False
            if set(weights) <= set(self.variants):
                found, near = (film.contrast(weights, metric=metric) for film in (self, looser))
                within = bool(near.low > -MARGIN and near.high < MARGIN)
            row = {"contrast": name, **found.columns(), "p_value": found.p_value}
            rows.append({**row, "n_groups": found.n, "equivalent": within})
        table = pd.DataFrame(rows)
        return table.assign(p_adjusted=resampling.holm(table["p_value"]))

    def corrected(self, run: str, *, by_film: bool = False) -> np.ndarray:
        """Calibrate a run by its validation faces and correct label shift by EM: (N, C).

        The shares of labels are estimated from all faces, or from those of each film, without their
        labels.
        """
        fitted = self.about.loc[run]
        if np.isnan(fitted["temperature"]):
            raise FilmError(f"{run} was not shown validation faces: it can't be calibrated")
        bias, home = (fitted[_named(of, self.labels)].astype(float) for of in ("bias", "share"))
        calibrated = calibration.apply_calibration(
            self.predictions(run), Calibration(float(fitted["temperature"]), tuple(bias))
        )
        values = calibrated[prob_columns(self.labels)].to_numpy()
        source, out = (home / home.sum()).to_numpy(), np.empty_like(values)
        groups = self.faces["film"].to_numpy() if by_film else np.zeros(len(values))
        for group in pd.unique(groups):
            here = groups == group
            out[here] = calibration.correct_label_shift(values[here], source)
        return out

    def one_hot(self, probabilities: np.ndarray) -> np.ndarray:
        """Give 1 to the most probable label of each face, 0 to the others: (N, C)."""
        return np.eye(len(self.labels))[probabilities.argmax(axis=1)]

    def shares(
        self, variant: str, count: Callable[[str], np.ndarray] | None = None
    ) -> pd.DataFrame:
        """Estimate the shares of labels of each film with `MIN_FILM` faces, beside the labelled.

        The seeds of the variant are averaged. `count` takes a run and gives what each face adds to
        the share of each label (N, C); by default 1 for the most probable one. A face that adds
        nothing is not counted. Returns film, label, predicted, labelled, n.
        """
        size = self.faces.groupby("film")["item_id"].transform("size")
        films = self.faces["film"].where(self.faces["is_film"] & (size >= MIN_FILM))
        if films.isna().all():
            raise FilmError(f"no film has {MIN_FILM} of these faces: it has no shares to estimate")

        def by_film(counted: np.ndarray) -> pd.DataFrame:
            sums = pd.DataFrame(counted, columns=list(self.labels)).groupby(films).sum()
            return sums.div(sums.sum(axis=1).replace(0, np.nan), axis=0)

        runs = list(dict.fromkeys(self._runs(variant)))
        count = count or (lambda run: self.one_hot(self.probabilities[run]))
        predicted = sum(by_film(count(run)) for run in runs) / len(runs)
        truth = pd.Index(self.labels).get_indexer(self.faces["label"])
        labelled = by_film(np.eye(len(self.labels))[truth])
        table = predicted.melt(ignore_index=False, var_name="label", value_name="predicted")
        table["labelled"] = labelled.melt()["value"].to_numpy()  # of the same films and labels
        return table.reset_index().assign(n=lambda rows: rows["film"].map(films.value_counts()))

    def share_errors(self, shares: pd.DataFrame) -> pd.DataFrame:
        """Summarise `shares`: bias by label, and the error of a film, mean over films.

        Returns rows of measure ("bias" of a label, "error", "rank correlation" of a label), label,
        value, low, high, n (films). The error is half the sum of absolute differences, 0 to 1.
        """
        both = ["predicted", "labelled"]
        wide = shares.pivot_table(index="film", columns="label", values=both, dropna=False)
        wide = wide.reindex(columns=list(self.labels), level=1)
        gaps = (wide["predicted"] - wide["labelled"]).to_numpy()
        measured = np.column_stack([gaps, film_errors(shares), np.ones(len(gaps))])
        found = self.statistics.interval(measured, lambda sums: sums[:, :-1] / sums[:, -1:])
        measure = [*["bias"] * len(self.labels), "error"]
        about = {"measure": measure, "label": [*self.labels, None], "n": found.n}
        ranks = []
        for label in self.labels:
            sides = wide["predicted"][label], wide["labelled"][label]
            r = rank_correlation(*sides, statistics=self.statistics)
            ranks.append({"measure": "rank correlation", "label": label, **r.columns(), "n": r.n})
        table = pd.DataFrame({**about, **found.columns()})
        return pd.concat([table, pd.DataFrame(ranks)], ignore_index=True)


def film_errors(shares: pd.DataFrame) -> pd.Series:
    """Return the error of each film's shares: half the sum of absolute differences, 0 to 1.

    Takes film, label, predicted and labelled, as of `shares`; NaN where no face counts.
    """
    gaps = (shares["predicted"] - shares["labelled"]).abs()
    return gaps.groupby(shares["film"]).sum(min_count=1) / 2


PRIMARY = {"keyword": 1.0, "fer2013": -1.0}
"""The plan's primary contrast: weights of the variants."""


def verdict(contrast: Mapping[str, Any]) -> str:
    """Say what a row of `contrasts` shows: better, worse, equivalent or undecided."""
    if contrast["low"] > 0:
        return "better"
    if contrast["high"] < 0:
        return "worse"
    return "equivalent" if contrast["equivalent"] else "undecided"


def not_estimated(contrasts: pd.DataFrame) -> str:
    """Say which rows of `contrasts` are undefined, as networks of theirs are not there."""
    names = contrasts.loc[contrasts["value"].isna(), "contrast"]
    if names.empty:
        return "All planned contrasts are estimated."
    return f"Not estimated, as there are no predictions of their networks: {'; '.join(names)}."


def actors_needed(contrast: Mapping[str, Any]) -> float:
    """Estimate how many actors and films would decide a difference of the size observed."""
    reach = (contrast["high"] - contrast["low"]) / 2
    return contrast["n_groups"] * (reach / abs(contrast["value"])) ** 2
