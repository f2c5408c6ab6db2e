"""The film study: networks scored on labelled film faces, from predictions kept without pictures.

`gather` keeps what all networks predict for the film faces as a few small tables; `load` reads them
again, and the methods of `FilmFaces` score, compare and count. So each number of the film study can
be computed anew, with other parameters, where there is no picture. The plan is book/plan.md.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from exe_core import calibration, metrics, resampling, tables
from exe_core.calibration import Calibration
from exe_core.labels import prob_columns
from exe_core.metrics import rank_correlation as rank_correlation
from exe_core.record import ROOT, replacing
from exe_core.resampling import Estimate, Statistics
from exe_core.study import Study, load_study

FROZEN = ROOT / "data" / "frozen" / "film"
FACES, PREDICTIONS, RUNS = "faces.parquet", "predictions.parquet", "runs.parquet"
TOOLS_FILE = "tools.parquet"
TOOLS = ("fer", "fer-interface", "human", "face-api", "facial-emotion-recognition", "facex", "fer7")
"""Tools whose predictions for the same faces lie in `TOOLS_FILE`; data/README.md."""
MIN_FILM = 100  # scored faces of a film whose shares are estimated
MARGIN = 0.03  # of balanced accuracy: within it two networks are equivalent

Unit = Literal["actor and film", "actor", "film"]
Method = Literal["counts", "mean probability", "corrected", "confident", "smoothed"]


class FilmError(ValueError):
    """Predictions of film faces are missing, or can't answer what is asked."""


def gather(study: Study, predictions: pd.DataFrame, folder: Path) -> Path:
    """Keep predictions for film faces, and what is known of the faces, without a picture.

    Parameters
    ----------
    study
        Whose `images`, `faces` and `attributes` describe the film faces; their sets are those of
        role test whose attributes name a film.
    predictions
        Table "predictions" of all runs on these sets and, for their calibration, on validation
        faces of the sets that they learned from.
    folder
        Gets `FACES` (a row a face with a label of the study, scored or not), `PREDICTIONS`
        (probabilities as float16) and `RUNS` (variant, seed, training faces, calibration).
    """
    attributes = study.read("attributes")
    films = set(attributes.loc[attributes["film"].notna(), "set_name"])
    films &= {name for name, entry in study.sets.items() if entry.role == "test"}
    images = study.read("images")[["item_id", "set_name", "width_px", "height_px", "status"]]
    listed = attributes[attributes["set_name"].isin(films) & attributes["label"].isin(study.labels)]
    listed = listed.merge(images, on=["item_id", "set_name"]).sort_values(["item_id", "set_name"])
    listed["side_px"] = listed[["width_px", "height_px"]].min(axis=1)
    kept = [*FACE_COLUMNS, "side_px", "status"]
    known = listed[kept].reset_index(drop=True)
    place = known[["item_id", "set_name"]].reset_index(names="face")  # sets may share images
    of_films = predictions.merge(place, on=["item_id", "set_name"])
    columns = prob_columns(study.labels)
    probabilities = of_films[columns].astype(np.float16)
    rows = probabilities.assign(run_id=of_films["run_id"], face=of_films["face"])
    rows = rows.sort_values(["run_id", "face"], ignore_index=True)[["run_id", "face", *columns]]
    rows = rows.astype({"run_id": "category", "face": np.int32})
    for name, table in {FACES: known, PREDICTIONS: rows, RUNS: _runs(study, predictions)}.items():
        with replacing(folder / name) as partial:
            table.to_parquet(partial, compression="zstd")
    return folder


FACE_COLUMNS = (
    *("item_id", "set_name", "label", "person", "film", "clip", "frame", "year"),
    *("sex", "age", "pose", "light", "occlusion"),
)


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
            row |= {"temperature": fitted.temperature}
            row |= dict(zip(_named("bias", study.labels), fitted.bias, strict=True))
            shares = at_home[prob_columns(study.labels)].mean()
            row |= dict(zip(_named("share", study.labels), shares, strict=True))
        rows.append(row)
    return pd.DataFrame(rows)


def _named(prefix: str, labels: Sequence[str]) -> list[str]:
    return [f"{prefix}_{label}" for label in labels]


def of_study(study: Study) -> FilmFaces:
    """Read the predictions of the film study: those made here if there are any, else the frozen."""
    made = load_study(study.name).results / "film"
    chosen = study.scoring
    return load(
        made if (made / PREDICTIONS).is_file() else FROZEN,
        labels=chosen.labels or None,
        min_side=chosen.min_side,
        unit=chosen.unit,
        statistics=study.statistics,
    )


def load(
    folder: Path = FROZEN,
    *,
    labels: Sequence[str] | None = None,
    min_side: int = 32,
    unit: Unit = "actor and film",
    statistics: Statistics | None = None,
) -> FilmFaces:
    """Read what `gather` kept.

    Parameters
    ----------
    labels
        Faces of others are left out, and probabilities of others divided among these; all of the
        study if None.
    min_side
        Shorter side of the picture that a scored face has at least, px.
    unit
        What intervals resample.

    Raises
    ------
    FilmError
        If the folder has no predictions, a file is damaged, a label is unknown, or no face is left.

    Examples
    --------
    >>> load(labels=["happy", "sad"]).scores(["keyword"])  # doctest: +SKIP
    """
    if not (folder / PREDICTIONS).is_file():
        raise FilmError(f"no predictions of film faces in {folder.name}: freeze study film first")
    rows, faces, about = (_read(folder / name) for name in (PREDICTIONS, FACES, RUNS))
    known = tuple(name.removeprefix("prob_") for name in rows.columns if name[:5] == "prob_")
    chosen = known if labels is None else tuple(name for name in known if name in labels)
    if len(chosen) < 2 or set(labels or ()) - set(known):
        raise FilmError(f"labels {labels}: two or more of {', '.join(known)}")
    parts = [rows]
    if (tools := FROZEN / TOOLS_FILE).is_file():
        place = faces[["item_id"]].reset_index(names="face")
        parts.append(pd.read_parquet(tools).merge(place, on="item_id"))
    probabilities = {}
    listed = [group for table in parts for group in table.groupby("run_id", observed=True)]
    for run, table in listed:
        values = np.full((len(faces), len(chosen)), np.nan)
        values[table["face"]] = table[prob_columns(chosen)].to_numpy(float)
        # of a face whose labels are all below what float16 holds, none is likelier
        values[values.sum(axis=1) == 0] = 1.0
        probabilities[str(run)] = values / values.sum(axis=1, keepdims=True)
    # miscellaneous films are one for each actor, and have no shares of a film
    person = faces["person"].fillna("")  # stills of SFEW name none
    films = {"is_film": faces["film"].notna(), "film": faces["film"].fillna("various, " + person)}
    faces = faces.assign(person=person, **films)
    scored = (
        faces["label"].isin(chosen) & (faces["status"] == "ok") & (faces["side_px"] >= min_side)
    )
    if not scored.any():
        raise FilmError(f"no face of {', '.join(chosen)} is {min_side} px or more on each side")
    for run in [run for run, p in probabilities.items() if np.isnan(p[scored]).any()]:
        if run not in TOOLS:
            raise FilmError(f"{run} lacks predictions of {folder.name}: gather them again")
        del probabilities[run]  # it was not shown all of these pictures
    about = about.set_index("run_id")
    whole = FilmFaces(chosen, faces, probabilities, about, unit, statistics or Statistics())
    return whole.where(scored)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as fault:  # of pyarrow, a damaged file is a ValueError
        raise FilmError(f"{path.name} can't be read: {fault}") from None


@dataclass(frozen=True)
class FilmFaces:
    """Film faces with their labels, and what each run predicts for them."""

    labels: tuple[str, ...]
    faces: pd.DataFrame
    """A row a face: item_id, label, person, film, and the rest of `FACE_COLUMNS`."""
    probabilities: Mapping[str, np.ndarray] = field(repr=False)  # run -> (N, C), rows sum to 1
    about: pd.DataFrame = field(repr=False)  # by run: variant, seed, calibration
    unit: Unit = "actor and film"
    statistics: Statistics = field(default_factory=Statistics)
    _known: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def where(self, mask: pd.Series | np.ndarray) -> FilmFaces:
        """Keep the faces of a mask (N,)."""
        kept = np.asarray(mask)
        probabilities = {run: values[kept] for run, values in self.probabilities.items()}
        return replace(
            self, faces=self.faces[kept].reset_index(drop=True), probabilities=probabilities
        )

    def with_runs(self, variant: str, made: Sequence[np.ndarray]) -> FilmFaces:
        """Add a variant, such as a mean of others: probabilities (N, C) of each of its runs."""
        names = [f"{variant}-{k}" for k in range(1, len(made) + 1)]
        about = pd.DataFrame({"variant": variant}, index=names)
        probabilities = {**self.probabilities, **dict(zip(names, made, strict=True))}
        return replace(self, probabilities=probabilities, about=pd.concat([self.about, about]))

    def by_set(self) -> dict[str, FilmFaces]:
        """Divide by set; where no actor is known, intervals resample films alone."""
        found = {}
        for name in self.faces["set_name"].unique():
            part = self.where(self.faces["set_name"] == name)
            found[name] = part if part.faces["person"].any() else replace(part, unit="film")
        return found

    @functools.cached_property
    def variants(self) -> dict[str, tuple[str, ...]]:
        """Variant -> its runs, one a seed, in the order of the seeds."""
        listed: dict[str, list[str]] = {}
        for run in self.probabilities:
            variant = self.about["variant"].get(run, run)
            listed.setdefault(str(variant), []).append(run)
        return {name: tuple(sorted(runs)) for name, runs in listed.items()}

    @functools.cached_property
    def n_seeds(self) -> int:
        """The most seeds of a variant; one with a single run stands for each of them."""
        return max(map(len, self.variants.values()))

    def predictions(self, run: str) -> pd.DataFrame:
        """Give the table "predictions" of a run."""
        if run not in self.probabilities:
            raise FilmError(f"no run {run!r}; runs are {', '.join(self.probabilities)}")
        rows = self.faces[["item_id", "set_name", "label"]].assign(
            group_id=self.faces["person"] + "/" + self.faces["film"], run_id=run, split="test"
        )
        return tables.with_probabilities(rows, self.probabilities[run], labels=self.labels)

    def runs(self, variant: str) -> list[np.ndarray]:
        """Give the probabilities (N, C) of each run of a variant."""
        return [self.probabilities[run] for run in dict.fromkeys(self._runs(variant))]

    def _runs(self, variant: str) -> tuple[str, ...]:
        if variant not in self.variants:
            raise FilmError(f"no {variant!r}; there are {', '.join(self.variants)}")
        runs = self.variants[variant]
        if len(runs) not in (1, self.n_seeds):
            raise FilmError(f"{variant} has {len(runs)} seeds of {self.n_seeds}: train the others")
        return runs * (self.n_seeds // len(runs))

    @functools.cached_property
    def _cells(self) -> pd.DataFrame:
        """The pairs of actor and film, in the order of `_sums`."""
        key = (self.faces["person"] + "/" + self.faces["film"]).to_numpy().astype(str)
        names, first = np.unique(key, return_index=True)
        return self.faces.loc[first, ["person", "film"]].assign(key=names)

    @functools.cached_property
    def _is_large(self) -> pd.Series:
        """Whether each face is of a film with `MIN_FILM` scored faces or more."""
        size = self.faces.groupby("film")["item_id"].transform("size")
        return self.faces["is_film"] & (size >= MIN_FILM)

    @functools.cached_property
    def _in_time(self) -> pd.Series:
        """The actor, film and clip of each face, in the order of frames."""
        ordered = self.faces.sort_values(["person", "film", "clip", "frame", "item_id"])
        return ordered[["person", "film", "clip"]].fillna("").agg("/".join, axis=1)

    @functools.cached_property
    def _crossed(self) -> list[np.ndarray]:
        """What intervals resample, of each cell."""
        used = {"actor and film": ["person", "film"], "actor": ["person"], "film": ["film"]}
        if self.unit not in used:
            raise FilmError(f"unit {self.unit!r}: one of {', '.join(used)}")
        return [self._cells[column].to_numpy() for column in used[self.unit]]

    def _sums(self, run: str) -> np.ndarray:
        """Sums of `metrics.item_terms` over each pair of actor and film."""
        if run not in self._known:
            rows = self.predictions(run)
            terms = metrics.item_terms(rows, self.labels)
            self._known[run] = resampling.sum_by_group(terms, rows["group_id"])
        return self._known[run]

    def scores(self, variants: Sequence[str]) -> pd.DataFrame:
        """Score variants: mean over seeds, with intervals that cover groups and seeds.

        Returns table "metrics" with `n_seeds` and `spread`, the standard deviation over seeds.
        """
        scored = []
        for variant in variants:
            found = self._estimate(
                [variant], lambda sums: metrics.scores_of(sums, len(self.labels))
            )
            scored.append(
                pd.DataFrame({**found.columns(), "spread": found.spread}).assign(
                    run_id=variant,
                    metric=[*metrics.SCORES, *np.repeat(metrics.BY_LABEL, len(self.labels))],
                    label=[*[None] * len(metrics.SCORES), *self.labels * len(metrics.BY_LABEL)],
                    n_seeds=len(self.variants[variant]),
                    n_groups=found.n,
                )
            )
        whole = metrics.within_range(pd.concat(scored, ignore_index=True)).assign(
            set_name="film",
            split="test",
            n=len(self.faces),
            level=self.statistics.level,
            method=f"{resampling.METHOD_OVER_SEEDS}, over {self.unit}",
            seed=self.statistics.seed,
        )
        return tables.check(whole, "metrics")

    def _estimate(self, variants: Sequence[str], statistic: resampling.Statistic) -> Estimate:
        """Average over seeds a statistic of the sums of variants, side by side.

        What has one run only stands for each of its seeds, and adds no spread.
        """
        by_seed = list(dict.fromkeys(zip(*map(self._runs, variants), strict=True)))
        return self.statistics.mean_over_seeds(
            [np.hstack([self._sums(run) for run in runs]) for runs in by_seed],
            statistic,
            crossed=self._crossed,
        )

    def contrast(
        self, weights: Mapping[str, float], *, metric: str = "balanced_accuracy"
    ) -> Estimate:
        """Estimate a weighted sum of the scores of variants, paired by face and seed.

        The p-value is that of a t test whose standard error gives the interval.

        Parameters
        ----------
        weights
            Variant -> weight, such as 1 and -1 for a difference.
        metric
            One of `metrics.SCORES`.
        """
        place, n_labels = metrics.SCORES.index(metric), len(self.labels)
        factors = np.array(list(weights.values()))

        def difference(sums: np.ndarray) -> np.ndarray:
            sides = np.hsplit(sums, len(factors))
            return (
                np.stack([metrics.scores_of(one, n_labels)[:, place] for one in sides]).T @ factors
            )

        found = self._estimate(list(weights), difference)
        reach = stats.t.ppf((1 + self.statistics.level) / 2, found.n - 1)
        error = (found.high - found.low) / 2 / reach
        p = 2 * stats.t.sf(np.abs(found.value) / error, found.n - 1)
        return replace(found, p_value=float(p))

    def contrasts(self, family: Mapping[str, Mapping[str, float]], **options: str) -> pd.DataFrame:
        """Estimate a family of contrasts, adjusted together after Holm.

        A contrast of variants that are not there is undefined.

        Returns a row a contrast: name, value, low, high, p_value, p_adjusted, n_groups, and
        `equivalent`: whether the interval at twice the error rate lies within `MARGIN`.
        """
        looser = replace(
            self,
            statistics=self.statistics.model_copy(update={"level": 2 * self.statistics.level - 1}),
        )
        rows = []
        for name, weights in family.items():
            if not set(weights) <= set(self.variants):
                rows.append({"contrast": name, **Estimate().columns(), "equivalent": False})
                continue
            found, near = (film.contrast(weights, **options) for film in (self, looser))
            row = {"contrast": name, **found.columns(), "p_value": found.p_value}
            within = near.low > -MARGIN and near.high < MARGIN
            rows.append({**row, "n_groups": found.n, "equivalent": within})
        columns = ["contrast", "value", "low", "high", "p_value", "n_groups", "equivalent"]
        table = pd.DataFrame(rows, columns=columns)
        return table.assign(p_adjusted=resampling.holm(table["p_value"]))

    def corrected(self, run: str, *, by_film: bool = False) -> np.ndarray:
        """Calibrate a run by its validation faces and correct label shift by EM: (N, C).

        The shares of labels are estimated from all faces, or from those of each film, without their
        labels.
        """
        fitted = self.about.loc[run]
        names = list(self.labels)
        bias = tuple(fitted[_named("bias", names)].astype(float))
        if np.isnan(fitted["temperature"]):
            raise FilmError(f"{run} was not shown validation faces: it can't be calibrated")
        rows = calibration.apply_calibration(
            self.predictions(run), Calibration(float(fitted["temperature"]), bias)
        )
        home = fitted[_named("share", names)].to_numpy(float)
        values, out = rows[prob_columns(names)].to_numpy(), np.empty((len(rows), len(names)))
        groups = self.faces["film"].to_numpy() if by_film else np.zeros(len(rows))
        for group in pd.unique(groups):
            here = groups == group
            out[here] = calibration.correct_label_shift(values[here], home / home.sum())
        return out

    def shares(self, variant: str, *, method: Method = "counts") -> pd.DataFrame:
        """Estimate the shares of labels of each film with `MIN_FILM` faces, beside the labelled.

        Parameters
        ----------
        method
            "counts": shares of the most probable labels. "mean probability": of probabilities.
            "corrected": of probabilities after calibration, and label shift of the film.
            "confident": counts of faces whose probability is .5 or more. "smoothed": counts after
            the mean over five consecutive faces of an actor in a clip.

        Returns
        -------
        pd.DataFrame
            film, label, predicted (mean over seeds), labelled, n.
        """
        films = self._is_large
        if not films.any():
            raise FilmError(
                f"no film has {MIN_FILM} of these faces, so it has no shares to estimate"
            )
        truth = pd.get_dummies(self.faces["label"]).reindex(columns=self.labels, fill_value=False)
        parts = []
        for run in dict.fromkeys(self._runs(variant)):
            values, weight = self._counted(run, method)
            by_film = (values * weight[:, None])[films], self.faces["film"][films]
            sums = (
                pd.DataFrame(by_film[0], columns=self.labels).groupby(by_film[1].to_numpy()).sum()
            )
            parts.append(sums.div(sums.sum(axis=1).replace(0, np.nan), axis=0))
        predicted = sum(parts) / len(parts)
        labelled = truth[films].groupby(self.faces["film"][films]).mean()
        table = predicted.melt(ignore_index=False, var_name="label", value_name="predicted")
        table["labelled"] = labelled.melt()["value"].to_numpy()  # of the same films and labels
        table = table.rename_axis("film").reset_index()
        return table.assign(n=table["film"].map(self.faces["film"].value_counts()))

    def criteria(self) -> pd.DataFrame:
        """Measure criteria without labels of each recipe, beside its accuracy: mean over seeds.

        Returns a row a variant: diversity (entropy of a film's predicted shares, 0 to 1, mean over
        films), structure (how much more often consecutive faces of an actor in a clip get one label
        than two faces of a film at random), agreement (share of faces on which it gives the label
        of most other variants), balanced_accuracy and share_error. Tools, ceilings and
        formats that a network did not learn from are left out.
        """
        own = [
            name for name in self.variants if self.about["n_train"].get(self.variants[name][0], 0)
        ]
        own = [name for name in own if "@" not in name]
        answers = {
            name: np.stack([p.argmax(axis=1) for p in self.runs(name)], axis=1) for name in own
        }
        counts = {
            name: np.eye(len(self.labels))[codes].sum(axis=1) / codes.shape[1]
            for name, codes in answers.items()
        }
        order, clip = self._in_time.index.to_numpy(), self._in_time.to_numpy()
        follows = clip[1:] == clip[:-1]
        rows = []
        for name in own:
            shares = self.shares(name)
            wide = shares.pivot_table(
                index="film", columns="label", values="predicted", dropna=False
            )
            others = sum(counts[other] for other in own if other != name).argmax(axis=1)
            ordered = answers[name][order]
            same = (ordered[1:] == ordered[:-1])[follows].mean()
            errors = self.share_errors(shares).set_index("measure")["value"]
            scores = [
                metrics.scores_of(self._sums(run).sum(axis=0, keepdims=True), len(self.labels))
                for run in self.variants[name]
            ]
            rows.append(
                {
                    "variant": name,
                    "diversity": stats.entropy(wide, axis=1).mean() / np.log(len(self.labels)),
                    "structure": same - (wide**2).sum(axis=1).mean(),
                    "agreement": (answers[name] == others[:, None]).mean(),
                    "balanced_accuracy": np.mean(scores, axis=0)[0, 1],
                    "share_error": errors["error"],
                }
            )
        return pd.DataFrame(rows)

    def _counted(self, run: str, method: Method) -> tuple[np.ndarray, np.ndarray]:
        """What each face adds to the shares (N, C), and whether it counts (N,)."""
        values, all_faces = self.probabilities[run], np.ones(len(self.faces))
        if method == "mean probability":
            return values, all_faces
        if method == "corrected":
            return self.corrected(run, by_film=True), all_faces
        if method == "smoothed":
            values = self._smoothed(values)
        kept = values.max(axis=1) >= 0.5 if method == "confident" else all_faces
        return np.eye(values.shape[1])[values.argmax(axis=1)], np.asarray(kept, float)

    def _smoothed(self, values: np.ndarray, window: int = 5) -> np.ndarray:
        rolled = (
            pd.DataFrame(values, index=self.faces.index)
            .loc[self._in_time.index]
            .groupby(self._in_time.to_numpy())
            .rolling(window, center=True, min_periods=1)
            .mean()
            .droplevel(0)
        )
        return rolled.loc[self.faces.index].to_numpy()

    def share_errors(self, shares: pd.DataFrame) -> pd.DataFrame:
        """Summarise `shares`: bias by label, and the error of a film, mean over films.

        Returns rows of measure ("bias" of a label, "error", "rank correlation" of a label), label,
        value, low, high, n (films). The error is half the sum of absolute differences, 0 to 1.
        """
        both = ["predicted", "labelled"]
        wide = shares.pivot_table(index="film", columns="label", values=both, dropna=False)
        wide = wide.reindex(columns=list(self.labels), level=1)
        gaps = (wide["predicted"] - wide["labelled"]).to_numpy()
        measured = np.column_stack([gaps, np.abs(gaps).sum(axis=1) / 2, np.ones(len(gaps))])
        found = self.statistics.interval(measured, lambda sums: sums[:, :-1] / sums[:, -1:])
        names = [("bias", label) for label in self.labels] + [("error", None)]
        table = pd.DataFrame(found.columns()).assign(
            measure=[name for name, _ in names], label=[label for _, label in names], n=found.n
        )
        ranks = []
        for label in self.labels:
            sides = wide["predicted"][label], wide["labelled"][label]
            r = rank_correlation(*sides, statistics=self.statistics)
            ranks.append({"measure": "rank correlation", "label": label, **r.columns(), "n": r.n})
        return pd.concat([table, pd.DataFrame(ranks)], ignore_index=True)

    def sampling_errors(
        self, variant: str | None, *, sizes: Sequence[int], draws: int = 200
    ) -> pd.DataFrame:
        """Error of a film's shares if only a few of its faces are read, mean over films and draws.

        Without a variant the faces' labels are counted: the error of sampling alone.

        Returns size, value, low, high, n (films).
        """
        rng = self.statistics.rng()
        films = self._is_large
        names, code = np.unique(self.faces["film"][films], return_inverse=True)
        truth = np.eye(len(self.labels))[
            pd.Categorical(self.faces["label"][films], self.labels).codes
        ]
        if variant is None:
            answers = [truth]
        else:
            runs = dict.fromkeys(self._runs(variant))
            answers = [self._counted(run, "counts")[0][films.to_numpy()] for run in runs]
        rows = []
        for size in sizes:
            errors = np.zeros(len(names))
            for k in range(len(names)):
                index = np.flatnonzero(code == k)
                goal = truth[index].mean(axis=0)
                picked = np.stack([rng.permutation(index)[:size] for _ in range(draws)])
                for answer in answers:
                    shares = answer[picked].mean(axis=1)
                    errors[k] += np.abs(shares - goal).sum(axis=1).mean() / 2 / len(answers)
            found = self.statistics.interval(
                np.column_stack([errors, np.ones(len(errors))]), lambda x: x[:, 0] / x[:, 1]
            )
            rows.append({"size": size, **found.columns(), "n": found.n})
        return pd.DataFrame(rows)


PRIMARY = {"keyword": 1.0, "fer2013": -1.0}
"""The plan's primary contrast: weights of the variants."""


def confirmation(film: FilmFaces) -> pd.DataFrame:
    """Estimate the primary contrast on each set, as study confirm does for new film faces.

    Returns a row a set: set_name, n_faces, n_labels, n_actors (0 if unknown), n_films, unit (what
    intervals resample), balanced accuracy of both sides and their difference (keyword, fer2013,
    difference, each with _low and _high), p_value, and what the plan calls it (`verdict`).
    """
    rows = []
    for name, part in film.by_set().items():
        faces = part.faces
        actors = faces.loc[faces["person"] != "", "person"].nunique()
        row = {"set_name": name, "n_faces": len(faces), "n_labels": faces["label"].nunique()}
        row |= {"n_actors": actors, "n_films": faces["film"].nunique(), "unit": part.unit}
        found = part.contrasts({"": PRIMARY}).iloc[0]
        scores = part.scores(list(PRIMARY)).query("metric == 'balanced_accuracy'")
        estimates = scores.set_index("run_id").to_dict("index") | {"difference": found.to_dict()}
        for side, estimate in estimates.items():
            row |= {side: estimate["value"]}
            row |= {f"{side}_{end}": estimate[end] for end in ("low", "high")}
        rows.append({**row, "p_value": found["p_value"], "verdict": verdict(found)})
    return pd.DataFrame(rows)


def missed(study: Study) -> pd.DataFrame:
    """Estimate the share of labelled film faces that the detector misses, for whom and when.

    Returns attribute ("all" for all faces), group, value, low, high, n. Groups of fewer than 100
    faces are left out.
    """
    made = load_study(study.name).results / "film" / FACES
    faces = pd.read_parquet(made if made.is_file() else FROZEN / FACES)
    faces = faces[faces["side_px"] >= study.scoring.min_side]
    film = faces["film"].fillna("various, " + faces["person"])
    decade = (faces["year"] // 10 * 10).map("{:.0f}s".format, na_action="ignore")
    attributes = {"all": pd.Series("all", index=faces.index), "decade": decade}
    attributes |= {name: faces[name] for name in ("pose", "light", "occlusion", "sex", "age")}
    rows = []
    for attribute, values in attributes.items():
        for group, part in faces.groupby(values):
            if len(part) < 100:
                continue
            with np.errstate(invalid="ignore"):  # a sample may hold no face of a group
                found = study.statistics.interval(
                    np.column_stack([part["status"] != "ok", np.ones(len(part))]),
                    lambda sums: sums[:, 0] / sums[:, 1],
                    crossed=[part["person"], film[part.index]],
                )
            rows.append({"attribute": attribute, "group": group, **found.columns(), "n": len(part)})
    return pd.DataFrame(rows)


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
