"""A study is validated whole, and says what its runs are compared with."""

import pytest

from exe_core import study as study_module
from exe_core.record import READY, ROOT
from exe_core.study import ConfigError, load_study, parse_study, studies

SETS = {
    "lab": {"kind": "fer2013", "path": "fer.csv", "crop": "as shipped"},
    "again": {"kind": "fer2013", "path": "fer.csv"},
    "press": {"kind": "folder", "path": "press", "role": "test"},
}
RUNS = {
    "plain-1": {"sets": ["lab"], "gray": True, "train": {"seed": 1}},
    "plain-2": {"sets": ["lab"], "gray": True, "train": {"seed": 2}},
    "cropped-1": {"sets": ["again"], "gray": True, "train": {"seed": 1}},
    "cropped-2": {"sets": ["again"], "gray": True, "train": {"seed": 2}},
}


def made(**changes):
    settings = {"name": "x", "kind": "real", "title": "X", "sets": SETS, "runs": RUNS}
    return parse_study(settings | changes)


def noise(**of_queries):
    return {"world": {"keyword_noise": of_queries}}


def one_set(**entry):
    return {"sets": {"lab": entry}, "runs": {"lab": {"sets": ["lab"]}}}


def one_run(**changes):
    return {"runs": RUNS | {"plain-1": RUNS["plain-1"] | changes}}


@pytest.mark.parametrize("name", studies())
def test_every_study_that_is_shipped_is_valid(name):
    study = load_study(name)
    assert study.name == name
    assert all(study.recipe(run).epochs >= 1 for run in study.runs)


def test_parameters_go_over_the_file_and_none_leaves_it_as_it_is():
    assert load_study("demo", train={"epochs": None}) == load_study("demo")
    fast = load_study("real", train={"epochs": 2})
    assert {fast.recipe(run).epochs for run in fast.runs} == {2}, "a run's own give way, too"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"trian": {}}, "trian: no such key"),
        ({"train": {"epochs": "many"}}, r"train\.epochs: .*given: many"),
        ({"train": {"optimizer": "adm"}}, r"train\.optimizer: .*'adam'"),
        (one_run(train={"epoch": 1}), "epoch"),
        (one_run(colour=1), r"runs\.plain-1\.colour: no such key"),
        (one_run(sets=["lob"]), "no set 'lob'; sets: lab"),
        (one_run(sets=["press"]), "press is a test set and is never trained on"),
        (one_run(labels="votes"), "labels votes, but lab has no votes"),
        (one_set(kind="fer2013"), "needs `path`"),
        (one_set(kind="folder", path="x", votes=["v.csv"]), "votes are of sets of kind fer2013"),
        (one_set(kind="photos", source="pexels"), "needs `source` and `design`"),
        (one_set(kind="photos", source="flickr"), "no source 'flickr'; sources"),
        ({"pull": {"per_page": {"pexels": 81}}}, "pexels: 81 is not from 1 to 80"),
        ({"pull": {"filters": {"openverse": {"licence": "by"}}}}, "no filter 'licence'; it has l"),
        ({"ensembles": {"mean": ["lob"]}}, "no run"),
        ({"ensembles": {"plain-1": ["plain-1"]}}, "plain-1: two of one name"),
        ({"guests": {"plain": "fer7"}}, "plain: two of one name"),
        (
            {"kind": "world", "ensembles": {"m": ["plain-1"]}, "methods": {"m": "stack"}},
            "by its mean only",
        ),
        ({"labels": ["sad", "happy"]}, "in this order"),
        ({"labels": ["happy", "joy"]}, "two or more of"),
        (noise(glad={"sad": 0.1}), "no query of the designs"),
        (noise(mad={"angry": 0.1}), "needed are shares of other emotions"),
        (noise(mad={"sad": 1.0}), "below 1 in all"),
        ({"sentiment": {}}, "sentiment: no set 'rafdb'; sets: lab"),
        ({"audit": ["rafdb"]}, "audit: no set 'rafdb'; sets: lab"),
        ({"runs": {}}, "sets and runs .*: one is given without the other"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(changes, fault):
    with pytest.raises(ConfigError, match=fault):
        made(**changes)


def test_unknown_names_are_refused_with_those_that_there_are():
    demo = load_study("demo")
    for ask, name, fault in (
        (load_study, "dmeo", r"no study 'dmeo'; there are .*demo"),
        (demo.recipe, "pexel", "has no run 'pexel'; its runs are pexels-v1"),
        (demo.learned_from, "pexel", "has no run 'pexel'; its runs are pexels-v1"),
        (demo.table, "sampling", "no table 'sampling'; tables are hits"),
    ):
        with pytest.raises(ConfigError, match=fault):
            ask(name)


@pytest.mark.parametrize(
    ("text", "fault"), [("kind: [", "is not YAML"), ("- a", "list, not keys and values")]
)
def test_a_file_that_is_no_settings(tmp_path, monkeypatch, text, fault):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "bad.yml").write_text(text)
    monkeypatch.setattr(study_module, "ROOT", tmp_path)
    with pytest.raises(ConfigError, match=fault):
        load_study("bad")


def test_real_data_must_be_given_and_be_there(monkeypatch, tmp_path):
    study = one_set(kind="fer2013", path="fer.csv")
    monkeypatch.delenv("EXE_DATA", raising=False)
    with pytest.raises(ConfigError, match="DATA=<folder>"):
        made(**study).missing()
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="not a folder"):
        made(**study).missing()
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    assert made(**study).missing() == [f"lab: {tmp_path.resolve()}/fer.csv"]
    (tmp_path / "fer.csv").touch()
    assert made(**study).missing() == []


def test_a_missing_key_of_a_photo_site_is_named_not_shown(monkeypatch, tmp_path):
    sources = ["pexels", "openverse"]
    sets = {name: {"kind": "photos", "source": name, "design": "v1"} for name in sources}
    study = made(sets=sets, runs={"p": {"sets": sources}}, pull={"sources": sources})
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    for variable in ("PEXELS_API_KEY", "OPENVERSE_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    assert study.missing() == ["pexels: its API key in the variable PEXELS_API_KEY"]
    monkeypatch.setenv("PEXELS_API_KEY", "secret")
    assert study.missing() == []


def test_a_study_has_the_stages_of_what_it_has():
    optional = {"films", "claims", "sentiment", "audit", "confirmation"}
    for study, has in (
        (made(), set()),
        (made(kind="world"), {"films", "claims"}),
        (made(kind="world", world={"n_films": 0}), set()),
        (made(sentiment={"set_name": "lab"}, audit=["lab"]), {"sentiment", "audit"}),
        (load_study("confirm"), {"confirmation"}),
    ):
        assert optional & study.traits == has


@pytest.mark.parametrize(
    "change",
    [{"train": {"seed": 2, "epochs": 5}}, {"sets": ["again"]}, {"gray": False}, RUNS["plain-1"]],
    ids=["recipe", "sets", "colour", "the seed again"],
)
def test_runs_that_differ_in_their_seed_only_are_one_variant(change):
    cropped = {"cropped": ("cropped-1", "cropped-2")}
    assert made().variants == cropped | {"plain": ("plain-1", "plain-2")}
    assert made(runs=RUNS | {"plain-2": RUNS["plain-2"] | change}).variants == cropped
    alone = {name: {"sets": ["lab"]} for name in ("resnet-18", "vgg16", "v1")}
    assert made(runs=alone).variants == {}


def test_a_guest_is_a_ready_model_or_a_folder(tmp_path):
    guests = {"best": "fer7", "mine": str(tmp_path), "near": "./mine", "far": "x/y"}
    study = made(kind="world", guests=guests)
    places = [READY / "fer7", tmp_path, ROOT / "mine", ROOT / "x" / "y"]
    assert [study.model(name) for name in guests] == places
    assert study.missing() == [f"guest near: {places[2]}", f"guest far: {places[3]}"]


def test_models_know_the_images_they_learned_from_in_every_crop():
    """Members of an ensemble predict the validation faces of all that it learned from."""
    found = made(ensembles={"all": ["plain-1", "cropped-1"]}, guests={"far": "fer7"})
    for name in ("plain-1", "all"):
        assert found.learned_from(name) == {"lab", "again"}
    assert found.learned_from("far") == found.calibrated_on("far") == frozenset()
    demo = load_study("demo")
    both = demo.calibrated_on("pexels-v1")
    assert {"pexels-v1", "pixabay-v2"} <= both == demo.calibrated_on("pixabay-v2")
    assert demo.calibrated_on("fer2013") == {"fer2013"}
