"""One film of a study by a process of its own: what 06-films then finds is what it would find."""

import json

import numpy as np
import pytest
from film_samples import write_film
from typer.testing import CliRunner

from exe_core import cli, screening
from exe_core.faces import FaceFinder
from exe_core.study import parse_study
from exe_world.render import render_face

SETTINGS = {
    "name": "clips",
    "kind": "real",
    "title": "Clips",
    "films": {"path": "films", "every": 10, "apart": True},
    "crop": {"size": 64},
    "sets": {"lab": {"kind": "fer2013", "path": "none.csv"}},
    "runs": {"lab": {"sets": ["lab"]}},
}


@pytest.fixture
def study(folders, monkeypatch):
    """A study of a folder with two films and a file that is none."""
    films = folders / "films"
    films.mkdir()
    face = render_face(np.random.default_rng(5), "happy", size=160, style="selfie")
    write_film(films / "a.mp4", [face, face])
    write_film(films / "b.mp4", [face])
    (films / "c.mp4").write_text("no film")
    known = parse_study(SETTINGS)
    monkeypatch.setattr(cli, "load_study", lambda _: known)
    return known


def screen(film, ledger):
    return CliRunner().invoke(cli.app, ["screen", "clips", str(film), "--ledger", str(ledger)])


def test_films_screened_apart_are_those_screened_together(study, tmp_path, monkeypatch):
    ledgers = [tmp_path / f"{place}.json" for place in (1, 2, 3)]
    for place, ledger in enumerate(ledgers, 1):
        done = screen(place, ledger)
        assert done.exit_code == 0, done.output
    assert "a: ok, 2 frames, 2 of them with a face" in screen(1, ledgers[0]).output
    assert [list(json.loads(ledger.read_text())) for ledger in ledgers] == [["a"], ["b"], ["c"]]
    apart = sorted(study.processed.rglob("*.png"))
    monkeypatch.setattr(screening, "sample_frames", None)  # nothing is decoded again
    with FaceFinder() as finder:
        films = screening.list_films(study)
        together = screening.screen(study, films, finder=finder, progress=False)
    assert together.films["status"].tolist() == ["ok", "ok", "unreadable"]
    assert len(together.frames) == 3
    assert sorted(study.processed.rglob("*.png")) == apart


def test_a_ledger_tells_what_was_found(study, tmp_path):
    screen(1, tmp_path / "first.json")
    screen(1, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "first.json").read_text()
    write_film(study.data_dir / "films" / "a.mp4", [np.full((160, 160, 3), 90, np.uint8)] * 2)
    screen(1, tmp_path / "other.json")
    assert (tmp_path / "other.json").read_text() != (tmp_path / "first.json").read_text()


@pytest.mark.parametrize(
    ("film", "message"), [(4, "no film 4: they are counted from 1"), (0, "equal to 1")]
)
def test_a_film_that_is_not_there(study, tmp_path, film, message):
    done = screen(film, tmp_path / "ledger.json")
    assert done.exit_code
    assert message in done.output
    assert not (tmp_path / "ledger.json").exists()
