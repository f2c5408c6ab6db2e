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

QUICK = Statistics(n_bootstrap=200)
A_TO_B = {"a": 1, "b": -1}


def faces_of(n_films=6, n_actors=4, n=20, *, shares=None, seed=0):
    """Faces of each actor in each film; labels are drawn from `shares` (n_films, 5)."""
    shares = np.full((n_films, 5), 0.2) if shares is None else shares
    film, actor, frame = np.indices((n_films, n_actors, n)).reshape(3, -1)
    rng = np.random.default_rng(seed)
    code = np.concatenate([rng.choice(5, size=n_actors * n, p=p) for p in shares])
    known = {"item_id": [f"face {k:05}" for k in range(len(code))], "code": code, "frame": frame}
    known |= {"label": np.array(FIVE)[code], "side_px": np.where(frame % 2, 40, 80)}
    known |= {"film": [f"film {k}" for k in film], "person": [f"actor {k}" for k in actor]}
    same = dict.fromkeys(["sex", "age", "pose", "light", "occlusion"], "any")
    return pd.DataFrame(known).assign(set_name="imfdb", clip="1", year=1990, status="ok", **same)


def answers(codes, *, skill=1.0, seed=0):
    """Probabilities (N, 5) of a network with some skill."""
    noise = np.random.default_rng(seed).normal(size=(len(codes), 5))
    return softmax(noise + skill * np.eye(5)[codes], axis=1)


def sure(codes):
    """Probabilities of a network that is sure of its answers."""
    return 0.9 * np.eye(5)[codes] + 0.02


def freeze(folder, faces, runs, **about):
    """Write the three tables; `runs` are named <variant>-<seed>."""
    rows = pd.DataFrame(np.concatenate([*runs.values()]), columns=prob_columns(FIVE))
    rows["run_id"], rows["face"] = np.repeat([*runs], len(faces)), [*range(len(faces))] * len(runs)
    folder.mkdir(exist_ok=True)
    faces.drop(columns="code").to_parquet(folder / FACES)
    rows.to_parquet(folder / PREDICTIONS)
    even = {f"share_{label}": 0.2 for label in FIVE} | {f"bias_{label}": 0.0 for label in FIVE}
    known = {"run_id": list(runs), "variant": [run.rpartition("-")[0] for run in runs]}
    rest = {"n_train": 100, "temperature": 1.0, **even, **about}
    pd.DataFrame(known).assign(**rest).to_parquet(folder / RUNS)
    return folder


@pytest.fixture
def two(tmp_path):
    """Two variants of two seeds; a has more skill."""
    faces = faces_of()
    runs = {f"a-{k}": answers(faces["code"], skill=2.0, seed=k) for k in (1, 2)}
    runs |= {f"b-{k}": answers(faces["code"], skill=1.0, seed=k) for k in (1, 2)}
    return faces, runs, freeze(tmp_path / "film", faces, runs)


def test_a_variant_that_lacks_a_seed_is_refused_and_one_without_seeds_stands_for_each(tmp_path):
    faces = faces_of()
    runs = {f"a-{k}": answers(faces["code"], seed=k) for k in (1, 2, 3)}
    runs |= {f"b-{k}": answers(faces["code"], seed=k) for k in (1, 2)}
    runs |= {"tool-1": answers(faces["code"], seed=9)}
    film = load(freeze(tmp_path / "film", faces, runs), statistics=QUICK)
    with pytest.raises(FilmError, match="b has 2 seeds of 3"):
        film.contrast(A_TO_B)
    found = film.contrast({"a": 1, "tool": -1})
    a, tool = (film.scores([name]).set_index("metric")["value"] for name in ("a", "tool"))
    assert found.value == pytest.approx((a - tool)["balanced_accuracy"])
    assert found.spread > 0


def test_a_network_that_is_certain_has_an_answer_among_the_other_labels_too(tmp_path):
    faces = faces_of()
    certain = {"a-1": np.eye(5)[faces["code"]]}
    film = load(freeze(tmp_path / "film", faces, certain), labels=FIVE[1:], statistics=QUICK)
    assert np.allclose(film.probabilities["a-1"].sum(axis=1), 1)
    assert film.scores(["a"]).query("metric == 'accuracy'")["value"].item() == 1


def test_shares_are_undefined_where_no_face_counts(tmp_path):
    faces = faces_of(n_films=2, n=40)
    film = load(freeze(tmp_path / "film", faces, {"a-1": sure(faces["code"])}), statistics=QUICK)
    none = film.shares("a", lambda run: 0 * film.probabilities[run])
    errors = film.share_errors(none)
    assert errors.loc[errors["measure"] != "rank correlation", "value"].isna().all()
    few = film.where(film.faces["film"] == "film 0").where(np.arange(160) < 99)
    with pytest.raises(FilmError, match="no film has 100 of these faces"):
        few.shares("a")


def test_scores_are_those_of_scikit_learn_averaged_over_seeds(two):
    faces, _, folder = two
    film = load(folder, statistics=QUICK)
    found = film.scores(["a"]).set_index(["metric", "label"])["value"]
    expected, truth = [], faces["code"]
    for p in film.runs("a"):
        y = p.argmax(axis=1)
        recalls, f1 = sk.recall_score(truth, y, average=None), sk.f1_score
        means = [sk.accuracy_score(truth, y), recalls.mean(), f1(truth, y, average="macro")]
        expected.append([*means, sk.log_loss(truth, p), *recalls])
    names = [(name, np.nan) for name in ("accuracy", "balanced_accuracy", "macro_f1", "nll")]
    values = [found[name] for name in [*names, *(("recall", label) for label in FIVE)]]
    assert values == pytest.approx(np.mean(expected, axis=0))


class TestContrast:
    def test_has_its_sign_its_size_and_the_p_of_its_interval(self, two):
        film = load(two[-1], statistics=QUICK)
        scores = film.scores(["a", "b"]).query("metric == 'balanced_accuracy'")["value"].tolist()
        found, other = film.contrast(A_TO_B), film.contrast({"b": 1, "a": -1})
        assert found.value == pytest.approx(scores[0] - scores[1]) == -other.value
        assert 0 < found.low < found.value < found.high
        assert found.p_value < 0.05
        assert film.contrast({"a": 1, "b": -scores[0] / scores[1]}).p_value > 0.9
        table = film.contrasts({"1": A_TO_B, "2": {"a": 1, "b": -0.5}, "3": {"a": 1, "c": -1}})
        assert table["p_adjusted"].tolist()[:2] == holm(table["p_value"][:2]).tolist()
        assert table["value"].isna().tolist() == [False, False, True]
        assert film_faces.not_estimated(table).endswith("networks: 3.")

    def test_is_paired_by_face(self, tmp_path):
        """Networks that differ in few faces differ by less than either is uncertain."""
        faces = faces_of()
        one = answers(faces["code"])
        other = one.copy()
        other[::50] = other[::50, ::-1]
        film = load(freeze(tmp_path, faces, {"a-1": one, "b-1": other}), statistics=QUICK)
        scores = film.scores(["a"]).query("metric == 'balanced_accuracy'").iloc[0]
        found = film.contrast(A_TO_B)
        assert found.high - found.low < (scores["high"] - scores["low"]) / 2


class TestLoad:
    def test_scores_the_faces_that_are_asked_for(self, two):
        faces, runs, folder = two
        film = load(folder, labels=["happy", "sad"], min_side=64)
        asked = faces["label"].isin(["happy", "sad"]) & (faces["side_px"] >= 64)
        assert film.faces["item_id"].tolist() == faces.loc[asked, "item_id"].tolist()
        p = runs["a-1"][asked][:, [FIVE.index("happy"), FIVE.index("sad")]]
        renormed = p / p.sum(axis=1, keepdims=True)
        assert film.probabilities["a-1"] == pytest.approx(renormed, abs=2e-3)

    def test_resamples_the_unit_that_is_asked_for(self, two):
        units = {"actor and film": 4, "actor": 4, "film": 6}
        found = {unit: load(two[-1], unit=unit).contrast(A_TO_B) for unit in units}
        assert {unit: one.n for unit, one in found.items()} == units
        assert len({float(one.low) for one in found.values()}) == 3

    def test_refuses_what_leaves_nothing_and_files_that_are_missing_damaged_or_do_not_fit(
        self, two
    ):
        folder = two[-1]
        for options in ({"labels": ["happy"]}, {"labels": ["sad", "glad"]}, {"min_side": 999}):
            with pytest.raises(FilmError, match=r"two or more of angry, fear|999 px or more"):
                load(folder, **options)
        pd.read_parquet(folder / PREDICTIONS).iloc[:-1].to_parquet(folder / PREDICTIONS)
        with pytest.raises(FilmError, match="b-2 lacks predictions"):
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
        """Three films of 200 faces; a perfect network, and one that swaps happy and sad."""
        faces = faces_of(3, 2, 100, shares=np.random.default_rng(1).dirichlet([4.0] * 5, size=3))
        swapped = np.array([0, 1, 3, 2, 4])[faces["code"]]
        runs = {"perfect-1": sure(faces["code"]), "swapped-1": sure(swapped)}
        return load(freeze(tmp_path, faces, runs), statistics=QUICK)

    def test_of_a_perfect_network_have_no_error_and_of_a_swap_its_bias(self, film):
        shares = film.shares("perfect")
        assert shares["predicted"].tolist() == shares["labelled"].tolist()
        none = film.share_errors(shares).query("measure in ('bias', 'error')")
        assert none["value"].abs().max() < 1e-12
        truth = shares.pivot_table(index="film", columns="label", values="labelled")
        gap = truth["sad"] - truth["happy"]
        found = film.share_errors(film.shares("swapped")).set_index(["measure", "label"])["value"]
        assert found["bias", "happy"] == pytest.approx(gap.mean())
        assert found["bias", "sad"] == pytest.approx(-gap.mean())
        assert found["bias", "fear"] == pytest.approx(0)
        assert found["error"].item() == pytest.approx(gap.abs().mean())

    def test_correction_moves_shares_to_the_truth(self, tmp_path):
        """A calibrated network that learned from even shares, shown films of uneven ones."""
        faces = faces_of(2, 2, 1000, shares=[[0.6, *[0.1] * 4], [*[0.1] * 4, 0.6]])
        seen = np.random.default_rng(0).normal(size=(len(faces), 5)) + np.eye(5)[faces["code"]]
        film = load(freeze(tmp_path, faces, {"a-1": softmax(seen, axis=1)}), statistics=QUICK)
        counts = film.probabilities.get, lambda run: film.corrected(run, by_film=True)
        before, after = (
            film.share_errors(film.shares("a", count)).set_index("measure").value["error"]
            for count in counts
        )
        assert after < before / 3


def test_what_is_gathered_is_what_is_loaded(folders):
    study, faces = load_study("film"), faces_of(2, 2, 10)
    about = ["item_id", "set_name", "label", "person", "film", "clip", "frame", "year"]
    blank = dict.fromkeys(tables.empty("attributes").columns.difference(about))
    study.write(faces[about].assign(**blank), "attributes")
    status = np.where(faces["frame"] == 9, "no face", "ok")
    size = {"width_px": faces["side_px"], "height_px": 99, "n_faces": 1}
    images = faces[["item_id", "set_name"]].assign(**size, status=status, error=None, path="x")
    study.write(images, "images")
    needed = dict.fromkeys(["model", "labels", "preprocessing", "weights_sha256"])
    card = needed | {"n_faces": {"train": dict.fromkeys(FIVE, 7)}}
    shown, parts = faces.loc[status == "ok", ["item_id", "set_name", "label", "code"]], []
    for k, run in enumerate(("keyword-1", "keyword-2", "keyword-1@gray48")):
        write_json(card, study.new_model(run) / "card.json")
        test = shown.drop(columns="code").assign(run_id=run, group_id="g", split="test")
        val = test.assign(item_id="val " + test["item_id"], split="val")
        for rows in [test, val] if "@" not in run else [test]:
            p = answers(shown["code"], seed=k)
            parts.append(tables.with_probabilities(rows, p, labels=FIVE))
    folder = film_faces.gather(study, pd.concat(parts, ignore_index=True), study.results / "film")
    film = film_faces.of_study(study)
    assert len(pd.read_parquet(folder / FACES)) == len(film.listed) == len(faces)
    assert film.faces["item_id"].tolist() == shown["item_id"].tolist()
    given = parts[2][prob_columns(FIVE)].to_numpy()
    assert film.probabilities["keyword-2"] == pytest.approx(given, abs=1e-3)
    assert film.variants["keyword"] == ("keyword-1", "keyword-2")
    assert set(film.about["n_train"]) == {35}
    assert film.corrected("keyword-2").sum(axis=1) == pytest.approx(1)
    with pytest.raises(FilmError, match="was not shown validation faces"):
        film.corrected("keyword-1@gray48")
