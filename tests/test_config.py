"""A study is validated whole: a mistyped key never leaves a default silently in force."""

import pytest

from exe_core import study as study_module
from exe_core.settings import Train
from exe_core.study import ConfigError, load_study, parse_study, studies

SETS = {"lab": {"kind": "fer2013", "path": "fer.csv"}}
RUNS = {"lab": {"sets": ["lab"]}}


def settings(**changes):
    return {"name": "x", "kind": "world", "title": "X", "sets": SETS, "runs": RUNS} | changes


@pytest.mark.parametrize("name", studies())
def test_every_study_that_is_shipped_is_valid_and_holds_only_differences(name):
    study = load_study(name)
    assert study.name == name
    for run in study.runs:
        assert study.recipe(run).epochs >= 1


def test_the_defaults_are_the_published_recipe():
    recipe = Train()
    assert (recipe.model, recipe.size, recipe.epochs, recipe.batch_size, recipe.seed) == (
        "resnet18",
        224,
        30,
        32,
        42,
    )
    assert (recipe.optimizer, recipe.learning_rate, recipe.scheduler) == ("adam", 3e-4, "none")


def test_parameters_go_over_the_file_and_none_leaves_it_as_it_is():
    assert load_study("demo", train={"epochs": 2}).train.epochs == 2
    assert load_study("demo", train={"epochs": None}) == load_study("demo")


def test_a_run_may_differ_from_the_recipe_of_the_study():
    study = parse_study(settings(runs={"lab": {"sets": ["lab"], "train": {"epochs": 3}}}))
    assert study.recipe("lab").epochs == 3
    assert study.train.epochs == 30


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"trian": {}}, "trian: no such key"),
        ({"train": {"epoch": 3}}, r"train\.epoch: no such key \(known: model, weights"),
        ({"train": {"epochs": "many"}}, r"train\.epochs: .*given: many"),
        ({"train": {"optimizer": "adm"}}, r"train\.optimizer: .*'adam'"),
        ({"sets": {"lab": {"kind": "fer2013"}}}, "needs `path`"),
        ({"sets": {"lab": {"kind": "photos", "source": "pexels"}}}, "needs `source` and `design`"),
        ({"sets": {"lab": {"kind": "photos", "source": "local", "design": "v1"}}}, "design given"),
        ({"sets": {"lab": {"kind": "photos", "source": "flickr"}}}, "no source 'flickr'; sources"),
        ({"pull": {"sources": ["flickr"]}}, "sources are pexels, pixabay, unsplash, openverse"),
        ({"pull": {"sources": ["local"]}}, r"`pull\.local` must say which"),
        ({"pull": {"per_page": {"pexels": 81}}}, "pexels: 81 is not from 1 to 80"),
        ({"pull": {"max_pages": {"pexels": 0}}}, "pexels: 0 is not"),
        ({"pull": {"filters": {"openverse": {"licence": "by"}}}}, "no filter 'licence'; it has l"),
        ({"runs": {"lab": {"sets": ["lob"]}}}, "no set 'lob'; sets: lab"),
        ({"runs": {"lab": {"sets": ["lab"], "colour": 1}}}, r"runs\.lab\.colour: no such key"),
        ({"runs": {"lab": {"sets": ["lab"], "train": {"epoch": 1}}}}, "epoch"),
        ({"ensembles": {"mean": ["lob"]}}, "no run"),
        ({"ensembles": {"lab": ["lab"]}}, "a run and an ensemble of one name"),
        ({"ensembles": {"m": ["lab"]}, "methods": {"m": "stack"}}, "films by its mean only"),
        ({"labels": ["sad", "happy"]}, "in the order"),
        ({"labels": ["happy", "joy"]}, "two or more of"),
        ({"world": {"keyword_noise": {"glad": {"sad": 0.1}}}}, "no query of the designs"),
        ({"world": {"keyword_noise": {"mad": {"angry": 0.1}}}}, "other than"),
        ({"world": {"keyword_noise": {"mad": {"sad": 1.0}}}}, "summing to less than 1"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(changes, fault):
    with pytest.raises(ConfigError, match=fault):
        parse_study(settings(**changes))


def test_a_limit_for_one_source_leaves_those_of_the_others():
    study = parse_study(settings(pull={"per_page": {"pexels": 10}}))
    assert study.pull.per_page["pexels"] == 10
    assert study.pull.per_page["pixabay"] == 200


def test_a_test_set_is_never_trained_on():
    sets = {"lab": SETS["lab"] | {"role": "test"}}
    with pytest.raises(ConfigError, match="never trained on"):
        parse_study(settings(sets=sets))


def test_unknown_study_and_unknown_run():
    with pytest.raises(ConfigError, match=r"no study 'dmeo'; there are .*demo"):
        load_study("dmeo")
    with pytest.raises(ConfigError, match="has no run 'pexel'; its runs are pexels-v1"):
        load_study("demo").recipe("pexel")


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
    study = parse_study(settings(kind="real"))
    monkeypatch.delenv("EXE_DATA", raising=False)
    with pytest.raises(ConfigError, match="DATA=<folder>"):
        study.missing()
    monkeypatch.setenv("EXE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ConfigError, match="not a folder"):
        parse_study(settings(kind="real")).missing()
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    assert parse_study(settings(kind="real")).missing() == [f"lab: {tmp_path.resolve()}/fer.csv"]
    (tmp_path / "fer.csv").touch()
    assert parse_study(settings(kind="real")).missing() == []


def test_a_missing_key_of_a_photo_site_is_named_not_shown(monkeypatch, tmp_path):
    sets = {"p": {"kind": "photos", "source": "pexels", "design": "v1"}}
    study = parse_study(settings(kind="real", sets=sets, runs={"p": {"sets": ["p"]}}))
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    monkeypatch.delenv("PEXELS_API_KEY", raising=False)
    assert study.missing() == ["pexels: its API key in the variable PEXELS_API_KEY"]
    monkeypatch.setenv("PEXELS_API_KEY", "secret")
    assert study.missing() == []


def test_openverse_needs_no_key_and_a_list_its_file(monkeypatch, tmp_path):
    sets = {
        "open": {"kind": "photos", "source": "openverse", "design": "v1"},
        "own": {"kind": "photos", "source": "local", "design": "given"},
    }
    pull = {"sources": ["openverse", "local"], "local": "own.csv"}
    study = settings(kind="real", sets=sets, runs={"p": {"sets": ["open"]}}, pull=pull)
    monkeypatch.setenv("EXE_DATA", str(tmp_path))
    monkeypatch.delenv("OPENVERSE_TOKEN", raising=False)
    assert parse_study(study).missing() == [f"local: {tmp_path.resolve()}/own.csv"]
    (tmp_path / "own.csv").touch()
    assert parse_study(study).missing() == []


def test_paths_stay_below_the_home_that_is_given(monkeypatch, tmp_path):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    study = load_study("demo")
    for table in ("hits", "faces", "metrics"):
        assert study.table(table).is_relative_to(tmp_path)
    assert study.table("history", run="pexels-v1").name == "pexels-v1.parquet"


def test_an_ensemble_is_a_mean_unless_its_method_is_said():
    given = {"ensembles": {"e": ["lab"]}, "world": {"n_films": 0}}
    assert parse_study(settings(**given)).methods == {}
    assert parse_study(settings(**given, methods={"e": "stack"})).methods == {"e": "stack"}
    with pytest.raises(ConfigError, match="methods: no ensemble f"):
        parse_study(settings(**given, methods={"f": "stack"}))


def test_sentiment_keeps_the_levels_of_emotions_that_are_not_told():
    study = parse_study(settings(sentiment={"set_name": "lab", "valence": {"surprise": [0, None]}}))
    assert study.sentiment.valence["surprise"] == (0, None)
    assert study.sentiment.valence["happy"] == (2,)
    assert "sentiment" in study.traits
    assert "sentiment" not in parse_study(settings()).traits


def test_sentiment_is_judged_on_a_set_of_the_study():
    with pytest.raises(ConfigError, match="sentiment: no set 'rafdb'; sets: lab"):
        parse_study(settings(sentiment={}))


def test_sets_that_are_audited_are_those_of_the_study():
    assert "audit" in parse_study(settings(audit=["lab"])).traits
    with pytest.raises(ConfigError, match="audit: no set 'rafdb'; sets: lab"):
        parse_study(settings(audit=["rafdb"]))


def test_votes_are_of_fer2013_alone():
    with pytest.raises(ConfigError, match="votes are those of FER"):
        parse_study(settings(sets={"lab": {"kind": "folder", "path": "x", "votes": ["v.csv"]}}))


@pytest.mark.parametrize("wrong", [{"joy": [1]}, {"sad": []}, {"sad": [-3]}])
def test_levels_of_sentiment_are_of_known_emotions_from_minus_2_to_2(wrong):
    with pytest.raises(ConfigError, match=r"sentiment\.valence"):
        parse_study(settings(sentiment={"valence": wrong}))


def test_a_world_without_films_has_neither_films_nor_claims():
    assert {"films", "claims"} <= parse_study(settings(kind="world")).traits
    bare = parse_study(settings(kind="world", world={"n_films": 0}))
    assert not {"films", "claims"} & bare.traits
