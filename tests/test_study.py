"""A study is validated whole, and says what its runs are compared with."""

import pytest

from exe_core import study as study_module
from exe_core.record import ROOT
from exe_core.study import READY, ConfigError, load_study, parse_study, studies

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
        ({"train": {"epoch": 3}}, r"train\.epoch: no such key"),
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
        ({"ensembles": {"lab": ["lab"]}}, "lab: two of one name"),
        ({"ensembles": {"m": ["lab"]}, "methods": {"m": "stack"}}, "films by its mean only"),
        ({"labels": ["sad", "happy"]}, "in this order"),
        ({"labels": ["happy", "joy"]}, "two or more of"),
        ({"world": {"keyword_noise": {"glad": {"sad": 0.1}}}}, "no query of the designs"),
        ({"world": {"keyword_noise": {"mad": {"angry": 0.1}}}}, "must be shares of"),
        ({"world": {"keyword_noise": {"mad": {"sad": 1.0}}}}, "summing to less than 1"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_allowed(changes, fault):
    with pytest.raises(ConfigError, match=fault):
        parse_study(settings(**changes))


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


def test_sentiment_keeps_the_levels_of_emotions_that_are_not_given():
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


COMPARED_SETS = {
    "lab": {"kind": "fer2013", "path": "fer", "crop": "as shipped"},
    "again": {"kind": "fer2013", "path": "fer"},
    "press": {"kind": "folder", "path": "press", "role": "test"},
}
COMPARED_RUNS = {
    "plain-1": {"sets": ["lab"], "gray": True, "train": {"seed": 1}},
    "plain-2": {"sets": ["lab"], "gray": True, "train": {"seed": 2}},
    "cropped-1": {"sets": ["again"], "gray": True, "train": {"seed": 1}},
    "cropped-2": {"sets": ["again"], "gray": True, "train": {"seed": 2}},
}
FACTORIAL = {
    "as_shipped": ["plain-1", "plain-2"],
    "recropped": ["cropped-1", "cropped-2"],
    "sets": ["press"],
}


def compared(**changes):
    whole = {
        "name": "x",
        "kind": "real",
        "title": "X",
        "sets": COMPARED_SETS,
        "runs": COMPARED_RUNS,
    }
    return parse_study(whole | changes)


class TestVariants:
    def test_runs_that_differ_in_their_seed_are_one_variant(self):
        found = compared().variants
        assert found == {"plain": ("plain-1", "plain-2"), "cropped": ("cropped-1", "cropped-2")}

    @pytest.mark.parametrize(
        "change",
        [
            {"train": {"seed": 2, "epochs": 5}},
            {"sets": ["again"]},
            {"gray": False},
            {"train": {"seed": 1}},
        ],
        ids=["recipe", "sets", "colour", "the seed again"],
    )
    def test_runs_that_differ_in_more_or_in_nothing_are_none(self, change):
        runs = COMPARED_RUNS | {"plain-2": COMPARED_RUNS["plain-2"] | change}
        assert set(compared(runs=runs).variants) == {"cropped"}

    def test_a_number_alone_makes_no_variant(self):
        runs = {name: {"sets": ["lab"]} for name in ("resnet-18", "vgg16", "v1")}
        assert compared(runs=runs).variants == {}

    def test_the_ablation_is_over_three_seeds_throughout(self):
        variants = load_study("ablation").variants
        assert next(iter(variants)) == "ours"
        assert sum(map(len, variants.values())) == len(load_study("ablation").runs)
        assert {len(runs) for runs in variants.values()} == {3}

    def test_a_variant_and_a_run_of_one_name_are_refused(self):
        runs = COMPARED_RUNS | {"plain": {"sets": ["again"]}}
        with pytest.raises(ConfigError, match="plain: two of one name"):
            compared(runs=runs)


class TestGuests:
    def test_a_ready_model_lies_among_the_models_of_the_project(self):
        assert compared(guests={"best": "fer7"}).model("best") == READY / "fer7"

    def test_a_run_of_another_study_lies_with_its_results(self):
        found = compared(guests={"rafdb": "demo/rafdb"}).model("rafdb")
        assert found == load_study("demo").model("rafdb")

    def test_a_folder_is_a_folder(self, tmp_path):
        there = compared(guests={"mine": str(tmp_path), "near": "./models/mine"})
        assert there.model("mine") == tmp_path.resolve()
        assert there.model("near") == ROOT / "models" / "mine"

    def test_what_is_not_there_is_named_with_what_to_run(self, monkeypatch, tmp_path):
        monkeypatch.setenv("EXE_HOME", str(tmp_path))
        missing = compared(
            kind="world", guests={"a": "demo/rafdb", "b": "nobody", "c": str(tmp_path)}
        ).missing()
        assert len(missing) == 2
        assert missing[0].startswith("guest a: ")
        assert missing[0].endswith("(make book STUDY=demo trains it)")
        assert missing[1].endswith("models/nobody")

    @pytest.mark.parametrize(
        ("guests", "fault"),
        [
            ({"plain-1": "fer7"}, "plain-1: two of one name"),
            ({"plain": "fer7"}, "plain: two of one name"),
            ({"g": "a/b/c"}, r"guests\.g\.model"),
            ({"g": ""}, r"guests\.g\.model"),
            ({"g": {"model": "fer7", "set": []}}, r"guests\.g\.set: no such key"),
            ({"g": {"model": "fer7", "sets": ["lob"]}}, "guest g: no set 'lob'; sets: lab, again"),
        ],
    )
    def test_what_can_not_be_a_guest_is_refused(self, guests, fault):
        with pytest.raises(ConfigError, match=fault):
            compared(guests=guests)

    @pytest.mark.parametrize(
        ("model", "fault"),
        [("dmeo/rafdb", "no study 'dmeo'"), ("demo/rafbd", "study demo has no run 'rafbd'")],
    )
    def test_a_run_that_no_study_has_is_refused_when_it_is_looked_for(self, model, fault):
        with pytest.raises(ConfigError, match=fault):
            compared(guests={"g": model}).model("g")

    def test_it_is_at_home_where_a_run_like_it_would_be(self):
        world = load_study("demo").model_dump(
            mode="json", include={"kind", "title", "sets", "runs"}
        )
        guests = {"known": {"model": "fer7", "sets": ["rafdb"]}, "other": "demo/fer2013"}
        found = parse_study(world | {"name": "x", "guests": guests})
        assert found.learned_from("known") == {"rafdb"}
        assert found.learned_from("other") == {"fer2013"}
        # the same files, and other faces: a real set is not one of the world
        assert compared(guests={"other": "demo/fer2013"}).learned_from("other") == frozenset()


def test_models_are_at_home_on_every_crop_of_the_images_they_learned_from():
    found = compared(ensembles={"all": ["plain-1", "cropped-1"]})
    for name in ("plain-1", "cropped", "all"):
        assert found.learned_from(name) == {"lab", "again"}
    with pytest.raises(ConfigError, match="no run 'nobody'"):
        found.learned_from("nobody")


class TestFactorial:
    def test_a_study_with_one_has_its_stage(self):
        assert "factorial" in compared(factorial=FACTORIAL).traits
        assert "factorial" not in compared().traits

    def test_films_are_a_set_of_a_world_that_has_some(self):
        films = FACTORIAL | {"sets": ["press", "films"]}
        assert compared(kind="world", factorial=films).factorial.sets == ("press", "films")
        for rest in ({}, {"kind": "world", "world": {"n_films": 0}}):
            with pytest.raises(ConfigError, match="factorial: no set 'films'"):
                compared(factorial=films, **rest)

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"as_shipped": ["plain-1"]}, "as many runs as_shipped as recropped"),
            ({"as_shipped": ["plain-1", "plain-3"]}, "no run 'plain-3'; runs: plain-1"),
            ({"as_shipped": ["plain-1", "cropped-2"]}, "run cropped-2 must be gray, and learn"),
            ({"sets": ["films"]}, "factorial: no set 'films'; sets: lab, again, press"),
            ({"sets": []}, r"factorial\.sets"),
        ],
    )
    def test_runs_must_be_what_their_lists_say(self, change, fault):
        with pytest.raises(ConfigError, match=fault):
            compared(factorial=FACTORIAL | change)

    def test_a_run_that_learned_colours_has_no_fault_of_colour(self):
        runs = COMPARED_RUNS | {"plain-1": COMPARED_RUNS["plain-1"] | {"gray": False}}
        with pytest.raises(ConfigError, match="run plain-1 must be gray"):
            compared(runs=runs, factorial=FACTORIAL)
