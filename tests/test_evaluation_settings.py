"""What a study compares its runs with: guests, seeds of one recipe, the cells of a factorial."""

import pytest

from exe_core.study import READY, ROOT, ConfigError, load_study, parse_study

SETS = {
    "lab": {"kind": "fer2013", "path": "fer", "crop": "as shipped"},
    "again": {"kind": "fer2013", "path": "fer"},
    "press": {"kind": "folder", "path": "press", "role": "test"},
}
RUNS = {
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


def study(**changes):
    whole = {"name": "x", "kind": "real", "title": "X", "sets": SETS, "runs": RUNS}
    return parse_study(whole | changes)


class TestVariants:
    def test_runs_that_differ_in_their_seed_are_one_variant(self):
        found = study().variants
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
        runs = RUNS | {"plain-2": RUNS["plain-2"] | change}
        assert set(study(runs=runs).variants) == {"cropped"}

    def test_a_number_alone_makes_no_variant(self):
        runs = {name: {"sets": ["lab"]} for name in ("resnet-18", "vgg16", "v1")}
        assert study(runs=runs).variants == {}

    def test_the_ablation_is_over_three_seeds_throughout(self):
        variants = load_study("ablation").variants
        assert next(iter(variants)) == "ours"
        assert sum(map(len, variants.values())) == len(load_study("ablation").runs)
        assert {len(runs) for runs in variants.values()} == {3}

    def test_a_variant_and_a_run_of_one_name_are_refused(self):
        runs = RUNS | {"plain": {"sets": ["again"]}}
        with pytest.raises(ConfigError, match="plain: a run and runs of several seeds of one name"):
            study(runs=runs)


class TestGuests:
    def test_a_ready_model_lies_among_the_models_of_the_project(self):
        assert study(guests={"best": "fer7"}).model("best") == READY / "fer7"

    def test_a_run_of_another_study_lies_with_its_results(self):
        found = study(guests={"rafdb": "demo/rafdb"}).model("rafdb")
        assert found == load_study("demo").model("rafdb")

    def test_a_folder_is_a_folder(self, tmp_path):
        there = study(guests={"mine": str(tmp_path), "near": "./models/mine"})
        assert there.model("mine") == tmp_path.resolve()
        assert there.model("near") == ROOT / "models" / "mine"

    def test_what_is_not_there_is_named_with_what_to_run(self, monkeypatch, tmp_path):
        monkeypatch.setenv("EXE_HOME", str(tmp_path))
        missing = study(
            kind="world", guests={"a": "demo/rafdb", "b": "nobody", "c": str(tmp_path)}
        ).missing()
        assert len(missing) == 2
        assert missing[0].startswith("guest a: ")
        assert missing[0].endswith("(make book STUDY=demo trains it)")
        assert missing[1].endswith("models/nobody")

    @pytest.mark.parametrize(
        ("guests", "fault"),
        [
            ({"plain-1": "fer7"}, "plain-1: a run and a guest of one name"),
            ({"plain": "fer7"}, "plain: a guest and runs of several seeds of one name"),
            ({"g": "a/b/c"}, r"guests\.g\.model"),
            ({"g": ""}, r"guests\.g\.model"),
            ({"g": {"model": "fer7", "set": []}}, r"guests\.g\.set: no such key \(known: model"),
            ({"g": {"model": "fer7", "sets": ["lob"]}}, "guest g: no set lob; sets: lab, again"),
        ],
    )
    def test_what_can_not_be_a_guest_is_refused(self, guests, fault):
        with pytest.raises(ConfigError, match=fault):
            study(guests=guests)

    @pytest.mark.parametrize(
        ("model", "fault"),
        [("dmeo/rafdb", "no study 'dmeo'"), ("demo/rafbd", "study demo has no run 'rafbd'")],
    )
    def test_a_run_that_no_study_has_is_refused_when_it_is_looked_for(self, model, fault):
        with pytest.raises(ConfigError, match=fault):
            study(guests={"g": model}).model("g")

    def test_it_is_at_home_where_a_run_like_it_would_be(self):
        world = load_study("demo").model_dump(
            mode="json", include={"kind", "title", "sets", "runs"}
        )
        guests = {"known": {"model": "fer7", "sets": ["rafdb"]}, "other": "demo/fer2013"}
        found = parse_study(world | {"name": "x", "guests": guests})
        assert found.learned_from("known") == {"rafdb"}
        assert found.learned_from("other") == {"fer2013"}
        # the same files, and other faces: a real set is not one of the world
        assert study(guests={"other": "demo/fer2013"}).learned_from("other") == frozenset()


def test_models_are_at_home_on_every_crop_of_the_images_they_learned_from():
    found = study(ensembles={"all": ["plain-1", "cropped-1"]})
    for name in ("plain-1", "cropped", "all"):
        assert found.learned_from(name) == {"lab", "again"}
    with pytest.raises(ConfigError, match="no run 'nobody'"):
        found.learned_from("nobody")


class TestFactorial:
    def test_a_study_with_one_has_its_stage(self):
        assert "factorial" in study(factorial=FACTORIAL).traits
        assert "factorial" not in study().traits

    def test_films_are_a_set_of_a_world_that_has_some(self):
        films = FACTORIAL | {"sets": ["press", "films"]}
        assert study(kind="world", factorial=films).factorial.sets == ("press", "films")
        for rest in ({}, {"kind": "world", "world": {"n_films": 0}}):
            with pytest.raises(ConfigError, match="factorial: no set films"):
                study(factorial=films, **rest)

    @pytest.mark.parametrize(
        ("change", "fault"),
        [
            ({"as_shipped": ["plain-1"]}, "as many runs as_shipped as recropped"),
            ({"as_shipped": ["plain-1", "plain-3"]}, "no run 'plain-3'; runs: plain-1"),
            ({"as_shipped": ["plain-1", "cropped-2"]}, "run cropped-2 must be gray, and learn"),
            ({"sets": ["films"]}, "factorial: no set films; sets: lab, again, press"),
            ({"sets": []}, r"factorial\.sets"),
            ({"correction": "none"}, r"factorial\.correction"),
        ],
    )
    def test_runs_must_be_what_their_lists_say(self, change, fault):
        with pytest.raises(ConfigError, match=fault):
            study(factorial=FACTORIAL | change)

    def test_a_run_that_learned_colours_has_no_fault_of_colour(self):
        runs = RUNS | {"plain-1": RUNS["plain-1"] | {"gray": False}}
        with pytest.raises(ConfigError, match="run plain-1 must be gray"):
            study(runs=runs, factorial=FACTORIAL)
