"""Film faces are scored, compared and counted from frozen predictions, with answers known here."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn import metrics as sk

from exe_core import film_faces, tables
from exe_core.film_faces import FACES, PREDICTIONS, RUNS, FilmError, load
from exe_core.labels import FIVE, prob_columns
from exe_core.record import write_json
from exe_core.resampling import Statistics, holm
from exe_core.study import load_study

CODES = np.arange(len(FIVE))
QUICK = Statistics(n_bootstrap=200)


def faces_of(n_films=6, n_actors=4, n=20, *, shares=None, seed=0):
    """Faces of each actor in each film; labels are drawn from `shares` (n_films, 5)."""
    rng = np.random.default_rng(seed)
    rows = []
    for film in range(n_films):
        p = np.full(5, 0.2) if shares is None else shares[film]
        for actor in range(n_actors):
            labels = rng.choice(5, size=n, p=p)
            rows += [(f"film {film}", f"actor {actor}", k, label) for k, label in enumerate(labels)]
    table = pd.DataFrame(rows, columns=["film", "person", "frame", "code"])
    return table.assign(
        item_id=[f"face {k:05}" for k in range(len(table))],
        set_name="imfdb",
        label=np.array(FIVE)[table["code"]],
        clip="1",
        year=1990,
        side_px=np.where(table.index % 2, 40, 80),
        status="ok",
        **dict.fromkeys(["sex", "age", "pose", "light", "occlusion"], "any"),
    )


def answers(codes, *, skill=1.0, seed=0):
    """Probabilities (N, 5) of a network with some skill."""
    rng = np.random.default_rng(seed)
    return softmax(rng.normal(size=(len(codes), 5)) + skill * np.eye(5)[codes], axis=1)


def sure(codes):
    """Probabilities of a network that is sure of its answers."""
    return 0.9 * np.eye(5)[codes] + 0.02


def freeze(folder, faces, runs, **about):
    """Write the three tables: `runs` are named <variant>-<seed>."""
    parts = [
        pd.DataFrame(p.astype(np.float16), columns=prob_columns(FIVE)).assign(
            run_id=run, face=np.arange(len(p), dtype=np.int32)
        )
        for run, p in runs.items()
    ]
    folder.mkdir(exist_ok=True)
    faces.drop(columns="code").to_parquet(folder / FACES)
    pd.concat(parts, ignore_index=True).to_parquet(folder / PREDICTIONS)
    known = pd.DataFrame({"run_id": list(runs)})
    known["variant"] = known["run_id"].str.rpartition("-")[0]
    even = {f"share_{label}": 0.2 for label in FIVE} | {f"bias_{label}": 0.0 for label in FIVE}
    known.assign(**{"n_train": 100, "temperature": 1.0, **even, **about}).to_parquet(folder / RUNS)
    return folder


@pytest.fixture
def two(tmp_path):
    """Two variants of two seeds, the first with more skill."""
    faces = faces_of()
    runs = {
        f"{name}-{k}": answers(faces["code"], skill=skill, seed=k)
        for name, skill in (("good", 2.0), ("poor", 1.0))
        for k in (1, 2)
    }
    return faces, runs, freeze(tmp_path / "film", faces, runs)


def test_scores_are_those_of_scikit_learn_averaged_over_seeds(two):
    faces, _, folder = two
    film = load(folder, statistics=QUICK)
    found = film.scores(["good"]).set_index(["metric", "label"])["value"]
    expected = []
    for run in ("good-1", "good-2"):
        p, truth = film.probabilities[run], faces["code"]
        predicted = p.argmax(axis=1)
        recalls = sk.recall_score(truth, predicted, average=None)
        expected.append(
            [
                sk.accuracy_score(truth, predicted),
                sk.balanced_accuracy_score(truth, predicted),
                sk.f1_score(truth, predicted, average="macro"),
                sk.log_loss(truth, p),
                *recalls,
            ]
        )
    names = [(name, np.nan) for name in ("accuracy", "balanced_accuracy", "macro_f1", "nll")]
    values = [found[name] for name in [*names, *(("recall", label) for label in FIVE)]]
    assert values == pytest.approx(np.mean(expected, axis=0))


class TestContrast:
    def test_has_its_sign_its_size_and_the_p_of_its_interval(self, two):
        film = load(two[-1], statistics=QUICK)
        scores = film.scores(["good", "poor"]).query("metric == 'balanced_accuracy'")
        good, poor = scores["value"]
        found = film.contrast({"good": 1, "poor": -1})
        other = film.contrast({"poor": 1, "good": -1})
        assert found.value == pytest.approx(good - poor)
        assert other.value == pytest.approx(-found.value)
        assert 0 < found.low < found.value < found.high
        assert found.p_value < 0.05
        assert film.contrast({"good": 1, "poor": -0.99 * good / poor}).p_value > 0.05
        table = film.contrasts({"a": {"good": 1, "poor": -1}, "b": {"good": 1, "poor": -0.5}})
        assert table["p_adjusted"].tolist() == holm(table["p_value"]).tolist()

    def test_is_paired_by_face(self, tmp_path):
        """Two networks that differ in few faces differ by less than either is uncertain."""
        faces = faces_of()
        one = answers(faces["code"])
        other = one.copy()
        other[::50] = other[::50, ::-1]
        film = load(freeze(tmp_path, faces, {"a-1": one, "b-1": other}), statistics=QUICK)
        found = film.contrast({"a": 1, "b": -1})
        scores = film.scores(["a"]).query("metric == 'balanced_accuracy'").iloc[0]
        assert found.high - found.low < (scores["high"] - scores["low"]) / 2

    def test_of_what_is_not_there_is_refused(self, two):
        with pytest.raises(FilmError, match="no 'better'; there are good, poor"):
            load(two[-1]).contrast({"better": 1, "good": -1})


class TestLoad:
    def test_scores_the_faces_that_are_asked_for(self, two):
        faces, runs, folder = two
        film = load(folder, labels=["happy", "sad"], min_side=64)
        asked = faces["label"].isin(["happy", "sad"]) & (faces["side_px"] >= 64)
        assert film.faces["item_id"].tolist() == faces.loc[asked, "item_id"].tolist()
        p = runs["good-1"][asked][:, [FIVE.index("happy"), FIVE.index("sad")]]
        assert film.probabilities["good-1"] == pytest.approx(
            p / p.sum(axis=1, keepdims=True), abs=2e-3
        )

    def test_resamples_the_unit_that_is_asked_for(self, two):
        units = {"actor and film": 4, "actor": 4, "film": 6}
        found = {unit: load(two[-1], unit=unit).contrast({"good": 1, "poor": -1}) for unit in units}
        assert {unit: one.n for unit, one in found.items()} == units
        assert len({one.low for one in found.values()}) == 3
        with pytest.raises(FilmError, match="unit"):
            load(two[-1], unit="day").contrast({"good": 1, "poor": -1})

    @pytest.mark.parametrize(
        ("options", "fault"),
        [
            ({"labels": ["happy"]}, "two or more of angry, fear, happy, sad, surprise"),
            ({"labels": ["happy", "glad"]}, "two or more of"),
            ({"min_side": 999}, "999 px or more"),
        ],
    )
    def test_refuses_what_leaves_nothing_to_score(self, two, options, fault):
        with pytest.raises(FilmError, match=fault):
            load(two[-1], **options)

    def test_refuses_files_that_are_missing_damaged_or_do_not_fit(self, two):
        folder = two[-1]
        rows = pd.read_parquet(folder / PREDICTIONS)
        rows.iloc[:-1].to_parquet(folder / PREDICTIONS)
        with pytest.raises(FilmError, match="poor-2 lacks predictions"):
            load(folder)
        (folder / FACES).write_bytes((folder / FACES).read_bytes()[:200])
        with pytest.raises(FilmError, match=f"{FACES} can't be read"):
            load(folder)
        (folder / PREDICTIONS).unlink()
        with pytest.raises(FilmError, match="no predictions of film faces"):
            load(folder)


class TestShares:
    @pytest.fixture
    def film(self, tmp_path):
        """Three films of 200 faces, one of 20; a perfect network, and one that swaps two labels."""
        uneven = np.random.default_rng(1).dirichlet(np.full(5, 4.0), size=3)
        whole = faces_of(3, 2, 100, shares=uneven)
        few = faces_of(1, 1, 20, seed=1).assign(film="short", item_id=lambda t: "s" + t["item_id"])
        faces = pd.concat([whole, few], ignore_index=True)
        swapped = np.array([0, 1, 3, 2, 4])[faces["code"]]
        runs = {"perfect-1": sure(faces["code"]), "swapped-1": sure(swapped)}
        return load(freeze(tmp_path, faces, runs), statistics=QUICK)

    def test_of_a_perfect_network_have_no_error(self, film):
        shares = film.shares("perfect")
        assert set(shares["film"]) == {"film 0", "film 1", "film 2"}
        assert set(shares["n"]) == {200}
        assert shares["predicted"].tolist() == shares["labelled"].tolist()
        errors = film.share_errors(shares)
        assert errors.query("measure in ('bias', 'error')")["value"].abs().max() < 1e-12

    def test_of_swapped_labels_have_the_bias_of_the_swap(self, film):
        labelled = film.shares("perfect").pivot_table(
            index="film", columns="label", values="labelled"
        )
        gap = labelled["sad"] - labelled["happy"]
        errors = film.share_errors(film.shares("swapped"))
        bias = errors[errors["measure"] == "bias"].set_index("label")["value"]
        assert bias["happy"] == pytest.approx(gap.mean()) == -bias["sad"]
        assert bias[["angry", "fear", "surprise"]].abs().max() < 1e-12
        error = errors.loc[errors["measure"] == "error", "value"].item()
        assert error == pytest.approx(gap.abs().mean())

    def test_samples_err_less_the_larger_they_are_and_not_at_all_if_whole(self, film):
        found = film.sampling_errors(None, sizes=(10, 50, 200), draws=50)["value"]
        assert found[0] > found[1] > found[2] == pytest.approx(0)

    def test_correction_moves_shares_towards_the_truth(self, tmp_path):
        """A calibrated network that learned from even shares, shown films of uneven ones."""
        uneven = np.array([[0.6, 0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.1, 0.6]])
        faces = faces_of(2, 2, 1000, shares=uneven)
        seen = np.random.default_rng(0).normal(size=(len(faces), 5)) + np.eye(5)[faces["code"]]
        film = load(freeze(tmp_path, faces, {"even-1": softmax(seen, axis=1)}), statistics=QUICK)
        error = {
            method: film.share_errors(film.shares("even", method=method)).set_index("measure")
            for method in ("mean probability", "corrected")
        }
        corrected, before = (error[name].loc["error", "value"] for name in [*error][::-1])
        assert corrected < before / 3
        with pytest.raises(FilmError, match="even-1 was not shown validation faces"):
            load(
                freeze(tmp_path, faces, {"even-1": sure(faces["code"])}, temperature=np.nan)
            ).corrected("even-1")

    def test_smoothing_follows_the_frames_of_an_actor_in_a_clip(self, tmp_path):
        """Every ninth answer for one actor is another label; the other actor's never is."""
        faces = faces_of(1, 2, 180)
        flicker = (faces["person"] == "actor 0") & (faces["frame"] % 9 == 4)
        codes = np.where(flicker, 1, np.where(faces["person"] == "actor 0", 2, 3))
        order = np.random.default_rng(0).permutation(len(faces))
        shuffled = faces.iloc[order].reset_index(drop=True)
        film = load(freeze(tmp_path, shuffled, {"a-1": sure(codes[order])}), statistics=QUICK)
        found = film.shares("a", method="smoothed").set_index("label")["predicted"]
        assert found.loc[list(FIVE)].tolist() == [0, 0, 0.5, 0.5, 0]
        assert film.shares("a").set_index("label")["predicted"]["fear"] > 0


def test_what_is_gathered_is_what_is_loaded(folders):
    """Of a study's tables and networks: labels, probabilities, variants and calibrations."""
    study, faces = load_study("film"), faces_of(2, 2, 10).drop(index=3)
    about = ["item_id", "set_name", "label", "person", "film", "clip", "frame", "year"]
    blank = tables.empty("attributes").columns.difference(about)
    study.write(faces[about].assign(**dict.fromkeys(blank)), "attributes")
    lost = faces["frame"] == 9
    seen = faces[["item_id", "set_name"]].assign(width_px=faces["side_px"], height_px=99, error=None)
    status = np.where(lost, "no face", "ok")
    study.write(seen.assign(status=status, n_faces=1, path=None), "images")
    card = {"n_faces": {"train": dict.fromkeys(FIVE, 7)}}
    parts = []
    for k, run in enumerate(("keyword-1", "keyword-2", "keyword-1@gray48")):
        write_json(card, study.new_model(run) / "card.json")
        rows = faces.loc[~lost, ["item_id", "set_name", "label"]].assign(split="test")
        val = rows.assign(item_id="val " + rows["item_id"], set_name="keyword", split="val")
        both = pd.concat([rows, val] if "@" not in run else [rows]).assign(run_id=run, group_id="g")
        codes = [FIVE.index(label) for label in both["label"]]
        parts.append(tables.with_probabilities(both, answers(codes, seed=k), labels=FIVE))
    folder = film_faces.gather(study, pd.concat(parts), study.results / "film")
    film = film_faces.of_study(study)
    assert {path.name for path in folder.iterdir()} == {FACES, PREDICTIONS, RUNS}
    assert len(pd.read_parquet(folder / FACES)) == len(faces)
    assert film.faces["item_id"].tolist() == faces.loc[~lost, "item_id"].tolist()
    given = parts[1][parts[1]["split"] == "test"][prob_columns(FIVE)].to_numpy()
    assert film.probabilities["keyword-2"] == pytest.approx(given, abs=1e-3)
    assert film.variants["keyword"] == ("keyword-1", "keyword-2")
    assert set(film.about["n_train"].dropna()) == {35}
    assert film.corrected("keyword-2").sum(axis=1) == pytest.approx(1)
    with pytest.raises(FilmError, match="was not shown validation faces"):
        film.corrected("keyword-1@gray48")
