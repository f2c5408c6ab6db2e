"""Rows that leave a stage without a reason are found, and those with one are told apart."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from exe_core.commands.flows import flows_of
from exe_core.commands.stage_log import Flow
from exe_core.config import Study, parse_study

SETTINGS = {
    "name": "flows",
    "kind": "world",
    "title": "What is lost",
    "labels": ["happy", "sad"],
    "sets": {
        "photos": {"kind": "photos", "source": "pexels", "design": "v1"},
        "given": {"kind": "folder", "path": "given"},
    },
    "runs": {"one": {"sets": ["photos", "given"]}},
}


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study of six photos that were asked for, four of them had, three of use."""
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    found = parse_study(SETTINGS)
    hits = [("a", "happy"), ("b", "sad"), ("c", "happy"), ("d", "happy"), ("d", "sad")]
    hits += [("e", "sad"), ("f", "angry"), ("g", "sad")]
    query = {"source": "pexels", "design": "v1", "page": 1, "rank": 1}
    keep(found, "hits", [{"photo_id": k, "label": v, "query": v, **query} for k, v in hits])
    at = datetime.now(UTC)
    asked = [{"query": v, **query, "requested_at": at, "error": None} for v in ("happy", "sad")]
    keep(found, "requests", asked)
    failed = {"e": "HTTP 404 (of e)", "g": "HTTP 404 (of g)"}
    keep(
        found,
        "photos",
        [
            {"photo_id": k, "status": "failed" if k in failed else "ok", "error": failed.get(k)}
            for k in "abcdefg"
        ],
    )
    for name in ("happy/1", "sad/2"):
        path = found.raw / "given" / f"{name}.png"
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    return found


def keep(study: Study, name: str, rows: list[dict], run: str | None = None) -> None:
    path = study.table(name, run=run)
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(rows).to_parquet(path)


def crop(study: Study, *, photos: dict[str, str], faces: str) -> None:
    """Keep the tables of a crop: status by photo, and the photos whose face has a split."""
    given = {f"given:{name}.png": "ok" for name in ("happy/1", "sad/2")}
    images = [("photos", *one) for one in photos.items()] + [
        ("given", *one) for one in given.items()
    ]
    columns = ["set_name", "item_id", "status"]
    keep(study, "images", [dict(zip(columns, row, strict=True)) for row in images])
    cut = [("photos", name) for name in faces] + [("given", name) for name in given]
    rows = [
        {"face_id": f"{s}/{k}", "set_name": s, "item_id": k, "label": "happy", "is_primary": True}
        for s, k in cut
    ]
    keep(study, "faces", rows)
    keep(study, "splits", [{"face_id": row["face_id"], "split": "train"} for row in rows])


def test_photos_that_failed_are_told_by_reason(study: Study) -> None:
    assert flows_of(study, "01-pull") == (Flow("photos", 7, 5, {"failed: HTTP 404": 2}),)


def test_a_photo_that_was_found_and_has_no_row_is_silent(study: Study) -> None:
    photos = pd.read_parquet(study.table("photos"))
    photos[photos["photo_id"] != "b"].to_parquet(study.table("photos"))
    (flow,) = flows_of(study, "01-pull")
    assert flow.n_silent == 1


def test_photos_are_followed_to_their_faces(study: Study) -> None:
    crop(study, photos={"a": "ok", "b": "no face", "c": "unreadable"}, faces="a")
    photos, given = flows_of(study, "02-crop")
    lost = {"under two labels": 1, "of a label that the study has not": 1}
    assert photos == Flow("images of photos", 5, 1, {**lost, "no face": 1, "unreadable": 1})
    assert given.n_silent == 0
    assert (given.n_in, given.n_out) == (2, 2)


@pytest.mark.parametrize(
    ("photos", "faces"),
    [({"a": "ok", "b": "ok"}, "ab"), ({"a": "ok", "b": "ok", "c": "ok"}, "ac")],
    ids=["an image without a row", "a face without a row"],
)
def test_what_a_crop_drops_silently(study: Study, photos: dict[str, str], faces: str) -> None:
    crop(study, photos=photos, faces=faces)
    assert [flow.n_silent for flow in flows_of(study, "02-crop")] == [1, 0]


@pytest.mark.parametrize(("n_learnt", "silent"), [(3, 0), (2, 1)])
def test_a_run_learns_from_every_face(study: Study, n_learnt: int, silent: int) -> None:
    crop(study, photos={"a": "ok"}, faces="a")
    card = {"n_faces": {"train": {"happy": n_learnt, "sad": 0}, "val": {"happy": 0}}}
    study.model("one").mkdir(parents=True)
    (study.model("one") / "card.json").write_text(json.dumps(card))
    (flow,) = flows_of(study, "03-train", run="one")
    assert (flow.n_in, flow.n_silent) == (3, silent)


@pytest.mark.parametrize(("n_learnt", "silent"), [(2, 0), (1, 1)])
def test_what_a_run_leaves_out_by_its_limit_hides_no_loss(
    study: Study, n_learnt: int, silent: int
) -> None:
    crop(study, photos={"a": "ok"}, faces="a")
    study.model("one").mkdir(parents=True)
    card = {"n_faces": {"train": {"happy": n_learnt, "sad": 0}, "val": {"happy": 0}}}
    (study.model("one") / "card.json").write_text(json.dumps(card))
    settings = study.model_dump()
    settings["runs"]["one"]["train"] = {"max_faces": 2}
    (flow,) = flows_of(parse_study(settings), "03-train", run="one")
    assert flow.lost == {"beyond the run's `max_faces`": 1}
    assert (flow.n_in, flow.n_silent) == (3, silent)


def test_a_face_in_two_sets_is_learnt_once(study: Study) -> None:
    crop(study, photos={"a": "ok"}, faces="a")
    for name, extra in (("faces", {"item_id": "a", "label": "sad"}), ("splits", {})):
        table = pd.read_parquet(study.table(name))
        again = table.iloc[:1].assign(face_id="again", **extra)
        pd.concat([table, again]).to_parquet(study.table(name))
    study.model("one").mkdir(parents=True)
    card = {"n_faces": {"train": {"happy": 2}}}
    (study.model("one") / "card.json").write_text(json.dumps(card))
    (flow,) = flows_of(study, "03-train", run="one")
    assert flow.lost == {"in several of the run's sets": 1, "labelled differently there": 1}
    assert flow.n_silent == 0


def test_a_held_out_face_that_is_not_answered_is_silent(study: Study) -> None:
    crop(study, photos={"a": "ok"}, faces="a")
    splits = pd.read_parquet(study.table("splits")).assign(split=["test", "val", "train"])
    splits.to_parquet(study.table("splits"))
    asked = [
        {"set_name": "photos", "item_id": "a"},
        {"set_name": "given", "item_id": "given:happy/1.png"},
    ]
    keep(study, "predictions", asked, run="one")
    assert flows_of(study, "04-predict", run="one") == (Flow("faces", 2, 2),)
    keep(study, "predictions", asked[:1], run="one")
    assert flows_of(study, "04-predict", run="one")[0].n_silent == 1


class TestFilms:
    @pytest.fixture
    def films(self, study: Study) -> Study:
        """Three films of 250 frames, every 100th looked at: one whole, one cut, one unreadable."""
        (study.raw / "films.parquet").parent.mkdir(exist_ok=True)
        told = {"a": "ok", "b": "partial", "c": "unreadable"}
        rows = [
            {"film_id": name, "path": "", "n_frames": 250, "status": status}
            for name, status in told.items()
        ]
        pd.DataFrame(rows).to_parquet(study.raw / "films.parquet")
        keep(study, "films", rows)
        frames = [("a", 0, 1), ("a", 100, 0), ("a", 200, 2), ("b", 0, 1)]
        columns = ["film_id", "frame", "n_faces"]
        keep(study, "frames", [dict(zip(columns, row, strict=True)) for row in frames])
        said = [{"item_id": name} for name in ("a:000000", "a:000200", "b:000000")]
        keep(study, "film_predictions", said, run="one")
        return study

    def test_films_and_frames_that_could_not_be_read_are_told(self, films: Study) -> None:
        assert flows_of(films, "06-films") == (
            Flow("films", 3, 1, {"partial": 1, "unreadable": 1}),
            Flow("frames", 6, 4, {"of films that are cut": 2}),
            Flow("frames with a face, one", 3, 3),
        )

    def test_a_frame_of_a_whole_film_that_is_not_there_is_silent(self, films: Study) -> None:
        frames = pd.read_parquet(films.table("frames"))
        frames[frames["frame"] != 100].to_parquet(films.table("frames"))
        assert [flow.n_silent for flow in flows_of(films, "06-films")] == [0, 1, 0]

    def test_a_face_that_a_run_does_not_answer_is_silent(self, films: Study) -> None:
        keep(films, "film_predictions", [{"item_id": "a:000000"}], run="one")
        assert [flow.n_silent for flow in flows_of(films, "06-films")] == [0, 0, 2]

    def test_a_film_that_no_row_tells_of_is_silent(self, films: Study) -> None:
        listed = pd.read_parquet(films.table("films"))
        listed[listed["film_id"] != "c"].to_parquet(films.table("films"))
        assert [flow.n_silent for flow in flows_of(films, "06-films")] == [1, 0, 0]


def test_a_stage_that_only_sums_up_has_no_flows(study: Study) -> None:
    assert flows_of(study, "05-benchmarks") == ()
    assert flows_of(study, "03-train") == ()


@pytest.mark.slow
def test_the_smoke_study_logs_every_stage_and_loses_nothing_silently(smoke) -> None:
    results = smoke.root / "data" / "results" / "smoke"
    lines = (results / "log.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines if line]
    pages = {path.stem for path in (results / "notebooks").glob("*.ipynb")}
    assert pages == {"-".join(filter(None, [line["stage"], line["run"]])) for line in told}
    assert all(flow["n_silent"] == 0 for line in told for flow in line["flows"])
    counted = {line["stage"] for line in told if line["flows"]}
    assert counted == {"01-pull", "02-crop", "03-train", "04-predict", "06-films"}
    done = smoke.run("python", "-m", "exe_core.cli", "status", "smoke")
    assert done.returncode == 0, done.output
