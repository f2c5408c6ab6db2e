"""The published predictions: read whole, measured by known answers, their claims judged."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import papermill
import pytest
from scipy import stats
from typer.testing import CliRunner

from exe_core import cli, films, open_data, published, tables
from exe_core.labels import FIVE, SchemaError, prob_columns
from exe_core.published import CONFIDENT, Event, Measures
from exe_core.resampling import Statistics
from exe_core.study import load_study

FPS = 24
LONG = ("finding_nemo", "hitchhikersguidetothegalaxy")
FILMS = {
    LONG[0]: "Animation",
    LONG[1]: "Comedy",
    **{f"comedy_{i}": "Comedy" for i in range(12)},
    **{f"crime_{i}": "Crime" for i in range(12)},
}

SEARCHES = pd.DataFrame(
    [
        (source, design, label, 200, recall)
        for source, gain in (("pexels", -0.2), ("pixabay", 0.2))
        for design, recall in (("v1", 0.5), ("v2", 0.5 + gain))
        for label in FIVE
    ],
    columns=["source", "design", "label", "n_faces", "recall"],
)
"""Recalls of the four searches, in which several keywords help on one source only."""

METRICS = pd.DataFrame(
    [("fer2013 without duplicates", 0.6, 0.58, 0.62, 3000), ("film_faces", 0.4, 0.35, 0.45, 5)],
    columns=["set_name", "value", "low", "high", "n_groups"],
).assign(
    metric="balanced_accuracy", label=None, n=3000, run_id="fer2013", split="test", level=0.95,
    method="bootstrap", seed=0,
)  # fmt: skip
"""A network's balanced accuracy on a benchmark and on film stills."""


def film_rows(rng, film, *, happy_in_comedies=0.0, rises=False, angry=0.0):
    """Make the rows of one film as the published files have them."""
    n_frames = 1440 if film in LONG else 120
    frame = np.flatnonzero(rng.uniform(size=n_frames) < 0.5) * 100
    logits = rng.normal(size=(len(frame), 5))
    happy = FIVE.index("happy")
    logits[:, happy] += happy_in_comedies * (FILMS[film] == "Comedy")
    minute = frame / FPS / 60
    event = {LONG[0]: 84, LONG[1]: 92}.get(film)
    if rises and event:
        logits[(minute >= event) & (minute < event + 10), happy] += 4
    logits[rng.uniform(size=len(frame)) < angry, 0] += 50
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return pd.DataFrame(probs, columns=prob_columns(FIVE)).assign(
        movie=film,
        frame_idx=frame,
        timestamp_sec=frame / FPS,
        emotion=np.array(FIVE)[probs.argmax(axis=1)],
        confidence=probs.max(axis=1),
    )


def write_files(folder, **effects):
    """Write a folder as published; `effects` are those of ExE, FER is angry in 98 of 100 faces."""
    by_run = {"ExE": effects, "FER": {"angry": 0.98}, "RAFDB": {}}
    for run, options in by_run.items():
        parts = []
        for seed, film in enumerate(FILMS):
            # the faces found are the same for all runs, so the first draw must be
            parts.append(film_rows(np.random.default_rng(seed), film, **options))
        rows = pd.concat(parts, ignore_index=True)
        if run == "ExE":
            rows["n_models"] = 8
        if run == "RAFDB":
            rows = pd.concat([rows, rows])
        rows.to_parquet(folder / f"{run}.parquet")
    listed = [
        {"file_name": film, "title": film.title(), "category": genre}
        for film, genre in FILMS.items()
    ]
    (folder / "movie_list.json").write_text(json.dumps(listed))
    return folder


STATISTICS = Statistics(n_bootstrap=200, n_permutations=1000, seed=0)
REUNION = Event(LONG[0], 84)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files in which nothing happens, but that FER is angry in 98 of 100 faces."""
    return write_files(tmp_path_factory.mktemp("null"))


@pytest.fixture(scope="module")
def eventful(tmp_path_factory):
    """Comedies are happier by ExE, which rises at both events."""
    return write_files(tmp_path_factory.mktemp("eventful"), happy_in_comedies=1.0, rises=True)


@pytest.fixture(scope="module")
def null(folder):
    return Measures(published.read_published(folder), STATISTICS)


@pytest.fixture(scope="module")
def rising(eventful):
    return Measures(published.read_published(eventful), STATISTICS)


@pytest.fixture
def copy(folder, tmp_path):
    """A copy of the files that a test may spoil."""
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


class TestReading:
    def test_doubled_rows_are_counted_once_and_frames_without_a_face_put_back(self, null):
        assert len(set(null.published.predictions["run_id"].value_counts())) == 1
        film = null.published.frames.query("film_id == 'crime_3'")
        assert (np.diff(film["frame"]) == 100).all()
        assert 0 < film["n_faces"].mean() < 1
        assert film["time_s"].to_numpy() == pytest.approx(film["frame"] / FPS)
        assert null.published.films["fps"].to_numpy() == pytest.approx(FPS)

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            (lambda rows: rows.iloc[5:], "not of the same frames"),
            (lambda rows: rows.assign(emotion="sad"), "not the most probable"),
            (lambda rows: rows.assign(prob_sad=rows["prob_sad"] / 2), "sum to 1"),
            (lambda rows: rows.drop(columns=["prob_sad", "movie"]), "no column movie, prob_sad"),
            (lambda rows: pd.concat([rows, rows[:1].assign(timestamp_sec=9.0)]), "uniqueness"),
        ],
    )
    def test_spoilt_predictions_are_refused(self, copy, change, fault):
        path = copy / "FER.parquet"
        change(pd.read_parquet(path)).to_parquet(path)
        with pytest.raises((published.PublishedError, SchemaError), match=fault):
            published.read_published(copy)

    def test_a_missing_file_and_a_list_of_other_films_are_refused(self, copy):
        path = copy / "movie_list.json"
        listed = json.loads(path.read_text())
        for wrong, fault in (
            (listed[1:], "finding_nemo"),
            ([{"title": "A"}], "no column category"),
        ):
            path.write_text(json.dumps(wrong))
            with pytest.raises(published.PublishedError, match=fault):
                published.read_published(copy)
        path.unlink()
        with pytest.raises(published.PublishedError, match=r"no movie_list\.json"):
            published.read_published(copy)


def of_run(measures, run="FER"):
    rows = measures.published.predictions
    return rows[rows["run_id"] == run]


class TestMeasures:
    def test_share_is_of_faces_and_a_doubled_row_counts_once(self, null):
        found = null.share("RAFDB", ["happy", "sad"], claimed=0.4)
        is_it = of_run(null, "RAFDB")["predicted"].isin(["happy", "sad"])
        assert found.value == pytest.approx(is_it.mean())
        assert found.low < found.value < found.high

    def test_claimed_share_is_what_p_is_against(self, null):
        near = null.share("FER", ["angry"], claimed=0.98)
        far = null.share("FER", ["angry"], claimed=0.9)
        assert (near.value, near.low) == pytest.approx((far.value, far.low))
        assert near.p_value > 0.01 > far.p_value

    def test_bound_counts_each_faceless_frame_as_if_it_were_of_the_label(self, null):
        frames, angry = null.published.frames, (of_run(null)["predicted"] == "angry").sum()
        found = null.share("FER", ["angry"], claimed=0.98, faceless=True)
        faceless = (frames["n_faces"] == 0).sum()
        assert found.value == pytest.approx((angry + faceless) / len(frames))

    def test_film_is_led_by_the_label_of_most_of_its_faces(self, null):
        assert null.films_led_by("FER", "angry", claimed=0.9).value == pytest.approx(1)
        rows = of_run(null, "ExE")
        leads = pd.crosstab(rows["group_id"], rows["predicted"]).idxmax(axis=1) == "sad"
        assert null.films_led_by("ExE", "sad").value == pytest.approx(leads.mean())

    def test_genres_are_apart_only_where_they_are(self, null, rising):
        found = null.genre_gap(null.shares("ExE", ["happy"]))
        assert found.low < 0 < found.high
        assert rising.genre_gap(rising.shares("ExE", ["happy"])).low > 0
        assert rising.separation["ExE"].low > 0 > rising.separation["RAFDB"].low
        assert rising.more_than("ExE", "RAFDB", ["happy"]).low > 0

    def test_event_is_found_where_it_is_and_by_the_run_that_shows_it(self, rising):
        at_event, other = rising.rise([REUNION]), rising.rise([REUNION], "RAFDB")
        assert at_event.low > 0
        assert rising.rise([REUNION, Event(LONG[1], 92)]).low > 0
        beside = rising.rise([Event(LONG[0], 30)])
        assert beside.low < 0 < beside.high
        assert other.low < 0 < other.high
        difference = rising.rise([REUNION], minus="RAFDB")
        assert difference.value == pytest.approx(at_event.value - other.value)
        assert math.isnan(rising.rise([REUNION, Event("another", 84)]).value)

    def test_counted_faces_are_of_all_faces_or_of_the_confident(self, rising):
        rows = of_run(rising, "ExE")
        rows = rows[rows["group_id"] == LONG[0]]
        after, sure = rows["time_s"] >= 84 * 60, rows["confidence"] >= CONFIDENT
        happy = (rows["predicted"] == "happy") & sure
        for measures, kept in ((rising, sure | ~sure), (rising.counting(), sure)):
            gap = happy[kept & after].mean() - happy[kept & ~after].mean()
            found = measures.rise([REUNION], counted=CONFIDENT, window_s=math.inf)
            assert found.value == pytest.approx(gap)


class TestSearches:
    """One keyword or several: known gains, an honest null, and both sources or none."""

    def test_the_source_that_loses_decides_with_a_wider_interval(self):
        least = published.smallest_gain(SEARCHES, statistics=Statistics())
        alone = published.recall_gain(SEARCHES, "pexels", statistics=Statistics())
        assert least.value == alone.value == pytest.approx(-0.2)
        assert least.p_value == pytest.approx(2 * alone.p_value)
        assert least.high - least.low > alone.high - alone.low

    def test_p_is_uniform_where_the_searches_are_equal(self):
        rng = np.random.default_rng(0)
        # sizes that differ, so that few p are tied
        tested = np.resize([97, 101, 103, 107, 109, 113, 89], len(SEARCHES))
        p = []
        for _ in range(500):
            recall = rng.binomial(tested, 0.6) / tested
            runs = SEARCHES.assign(n_faces=5 * tested, recall=recall)
            found = published.recall_gain(runs, "pexels", statistics=Statistics())
            p.append(found.p_value)
        assert stats.kstest(p, "uniform").pvalue > 0.01


def executed(folder):
    """Execute the notebook on a folder of files, as a reader does; give where its results lie."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(folder / "home"))
        words = ["stage", "07-published", "--study", "published", "-p", f"path={folder}"]
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == 0, done.output
        (results,) = (load_study("published").results / "trials").iterdir()
    return results


def family(results, name):
    return tables.check(pd.read_csv(results / f"{name}.csv"), "claims").set_index("claim_id")


@pytest.fixture(scope="module")
def results(folder):
    return executed(folder)


@pytest.fixture(scope="module")
def judged(results):
    return [family(results, name) for name in ("claims", "claims_parts")]


@pytest.fixture(scope="module")
def found(eventful):
    results = executed(eventful)
    return pd.concat([family(results, name) for name in ("claims", "claims_parts")])


@pytest.mark.slow
class TestClaims:
    def test_claims_and_parts_stand_in_order_and_are_a_family_each(self, judged):
        claims, parts = judged
        assert list(claims.index) == [f"c{k}" for k in range(1, 9)]
        assert set(parts["family"]) < set(claims.index)
        for claim, letters in parts.index.to_series().str[2:].groupby(parts["family"]):
            assert "".join(letters) == "abcdefghijkl"[: len(letters)], claim
        for table in judged:
            p, least = table["p_value"].dropna(), table["p_value"].idxmin()
            most = pytest.approx(min(1, len(p) * p[least]), rel=1e-5)
            assert table.loc[least, "p_adjusted"] == most

    def test_where_nothing_happens_nothing_is_found_and_untestable_claims_give_a_reason(
        self, judged
    ):
        claims, parts = judged
        assert claims.loc["c1", "verdict"] == claims.loc["c5", "verdict"] == "not supported"
        looked_for = parts[parts["family"].isin(["c1", "c5"]) & (parts["claimed"] != "equal")]
        two_of_five = looked_for.pop("verdict")
        assert two_of_five.pop("c1c") == "contradicted"
        assert (two_of_five == "not supported").all()
        beyond = pd.concat(judged).query("verdict == 'not testable'")
        assert set(beyond.index) == {"c8", "c4e", "c7a"}
        assert (beyond["reason"].str.len() > 20).all()
        assert set(beyond["source"]) == {"none"}

    def test_what_is_there_is_found(self, found):
        for claim_id in ("c1", "c5", "c1a", "c1b", "c1g", "c5a", "c5f", "c5i", "c5j"):
            assert found.loc[claim_id, "verdict"] == "supported", claim_id

    def test_each_way_to_count_is_a_row_and_the_planned_ones_give_the_verdicts(
        self, results, judged
    ):
        ways, (claims, _) = pd.read_csv(results / "specifications.csv"), judged
        assert ways["level"].value_counts().to_dict() == dict.fromkeys(published.LEVELS, 60)
        planned = ways[ways["planned"]].set_index("claim_id")
        assert list(planned.index) == ["c1", "c2", "c3", "c4", "c5"]
        assert planned["value"].to_numpy() == pytest.approx(claims["estimate"][planned.index])
        curve = ways.query("level == 0.95")["claim_id"].value_counts()
        assert curve.to_dict() == {"c1": 6, "c2": 12, "c3": 12, "c4": 12, "c5": 18}

    def test_a_reader_finds_numbers_to_cite_figures_and_where_they_are_from(self, results, folder):
        values = json.loads((results / "values" / "claims.json").read_text())
        assert values["claims.n.all"]["value"] == 8
        assert values["claims.c5.ways"]["value"] == 18
        assert {"value", "low", "high"} == set(values["claims.c1a"])
        for path in (
            results / "provenance.json",
            results / "figures" / "fig-claims.provenance.json",
        ):
            about = json.loads(path.read_text())
            assert about["command"].startswith("exe stage 07-published --study published")
            assert set(published.FILES) < {Path(name).name for name in about["inputs"]}
            assert {"data/published/runs.csv", "data/claims.yml"} <= set(about["inputs"])
        observations = pd.read_csv(results / "observations.csv", index_col="looked_at")
        assert observations.loc["films", "found"] == str(len(FILMS))
        assert len(pd.read_csv(results / "agreement.csv")) == 3
        assert len(list((results / "explorer").glob("film-*.js"))) == len(FILMS)
        assert "MIT License" in (results / "explorer" / "LICENSE").read_text()


def test_benchmark_and_film_are_compared_for_the_same_network_if_there_are_stills(null):
    judge = {"films_of": null.published.films, "statistics": Statistics(level=0.9)}
    scores = {"all": METRICS, "of another": METRICS.assign(run_id="b"), "one": METRICS[:1]}
    of = {"statistics": judge["statistics"]}
    found = {name: published.benchmark_and_film(one, **of) for name, one in scores.items()}
    row, other = (
        published.judge_claims({"c7": found[name]}, **judge)[0].set_index("claim_id").loc["c7"]
        for name in ("all", "one")
    )
    assert row["estimate"] == pytest.approx(0.6 - 0.4)
    assert row["p_value"] == published.benchmark_and_film(METRICS, statistics=Statistics()).p_value
    assert 0 < row["low"] < row["high"]
    assert "5 persons" in row["reason"]
    assert "study real" in row["source"]
    assert math.isnan(found["of another"].value)
    assert other["source"] == "none"
    assert "no true labels" in other["reason"]


def as_documented(folder):
    """The published files as one table of the form that `exe film` leaves, ExE as "mine"."""
    given = published.read_published(folder)
    named = given.predictions.replace({"run_id": {"ExE": "mine"}})
    rows = films.timeline(given.frames, named, labels=FIVE)
    genre = given.films.set_index("film_id")["genre"].str.lower()
    return rows.drop(columns=["n_faces", "predicted"]).assign(genre=rows["film_id"].map(genre))


@pytest.mark.slow
def test_predictions_of_ones_own_get_the_same_answers(eventful, found, tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    as_documented(eventful).to_csv(tmp_path / "mine.csv", index=False)
    page = tmp_path / "page.ipynb"
    papermill.execute_notebook(
        str(cli.ROOT / "notebooks" / "17-your-predictions.ipynb"),
        str(page),
        parameters={"predictions": str(tmp_path / "mine.csv")},
        cwd=cli.ROOT,
    )
    study = load_study("published", trial="your-predictions")
    mine = study.read("claims").set_index("claim_id")
    for name in ("c1", "c1a", "c1b", "c1g", "c4", "c4a", "c4b", "c5"):
        theirs = pytest.approx(found.loc[name, "estimate"], rel=1e-5)
        assert mine.loc[f"{name}-mine", "estimate"] == theirs
    kept = {path.name for path in (study.results / "figures").glob("*.svg")}
    assert kept >= {"fig-your-shares.svg", "fig-your-criteria.svg", "fig-your-claims.svg"}
    for other in ("FER", "RAFDB"):
        assert f"c5-{other}" in mine.index


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rows: rows.drop(columns="prob_sad"), "no column prob_sad"),
        (lambda rows: rows.iloc[1:], "give each run a row for each film, frame and time_s"),
        (lambda rows: rows.assign(prob_sad=rows["prob_sad"] / 2), "do not sum to 1"),
        (lambda rows: pd.concat([rows, rows]), "unique"),
        (lambda rows: rows.assign(genre=rows["frame"].astype(str)), "unique"),
    ],
)
def test_spoilt_predictions_of_ones_own_are_refused(folder, tmp_path, change, fault):
    rows = as_documented(folder)
    change(rows[rows["film_id"].isin(["comedy_1", LONG[0]])]).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises((published.PublishedError, SchemaError), match=fault):
        published.read_film_predictions(tmp_path / "mine.parquet")


def test_films_without_genres_or_events_are_read_and_their_claims_not_testable(folder, tmp_path):
    rows = as_documented(folder).drop(columns="genre")
    rows[rows["film_id"].isin(["comedy_1", "crime_1"])].to_csv(tmp_path / "predictions.csv")
    given = published.read_film_predictions(tmp_path)
    claims = published.claims_of_runs(given, statistics=STATISTICS).set_index("claim_id")
    beyond = claims.index[claims["verdict"] == "not testable"]
    assert {name for name in beyond if name.endswith("mine")} == {
        f"c{part}-mine" for part in ("1", "1a", "1b", "1g", "5")
    }
    assert claims.loc["c4-mine", "estimate"] in (0, 0.5, 1)


def test_the_committed_files_are_the_published_ones_and_give_the_counts_of_their_films():
    assert all(one.good for one in open_data.find("published").check(published.FOLDER))
    m = Measures(published.read_published(published.FOLDER), STATISTICS)
    assert m.films_led_by("RAFDB", "surprise").value == pytest.approx(32 / 59)
    assert m.films_led_by("ExE", "sad").value == pytest.approx(31 / 59)
