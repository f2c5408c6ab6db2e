"""The page of a film: opens offline, says what is missing, and shows any title as text."""

import numpy as np
import pandas as pd
import pytest
from browser import opened
from PIL import Image

from exe_core import film_report

TITLE = '<img src=x onerror=alert(1)> & "Sons"'
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="40" height="20"><rect width="9"/></svg>'
ORIGIN = {"title": TITLE, "models": {"fer7": "abc"}, "commit": "1"}


@pytest.fixture
def content(tmp_path):
    """A film of four frames, three with a face."""
    Image.fromarray(np.full((64, 64, 3), 90, np.uint8)).save(tmp_path / "face.png")
    film = {"title": TITLE, "duration_s": 90.0, "status": "ok", "error": None}
    rows = pd.DataFrame(
        {
            "run_id": "<b>mine</b>",
            "film_id": "a",
            "frame": [0, 100, 200, 300],
            "time_s": [0.0, 4.0, 8.0, 3725.0],
            "n_faces": [1, 0, 2, 1],
            "predicted": ["happy", None, "happy", "sad"],
            "prob_happy": [0.6, np.nan, 0.9, 0.2],
            "prob_sad": [0.4, np.nan, 0.1, 0.8],
        }
    )
    faces = pd.DataFrame(
        {"item_id": ["a:000000", "a:000200", "a:000300"], "path": str(tmp_path / "face.png")}
    )
    summary = pd.DataFrame(
        {
            "run_id": "<b>mine</b>",
            "label": ["happy", "sad"],
            "share_of_faces": [2 / 3, 1 / 3],
            "share_low": [0.5, 0.25],
            "share_high": [0.75, 0.5],
            "mean_prob": [0.567, 0.433],
        }
    )
    over_time = {
        "smooth_s": 15.0,
        "level": 0.95,
        "n_shots": 3,
        "confident": 0.5,
        "times_s": (8.0,),
        "p_value": 0.02,
    }
    tables = {"film": film, "rows": rows, "faces": faces, "summary": summary}
    return {**tables, "svgs": {"timeline": SVG, "shares": SVG}, "over_time": over_time}


def made(content, **changes):
    parts = content | changes
    place = [parts.pop(name) for name in ("film", "rows", "faces")]
    return film_report.render_page(*place, **parts, origin=ORIGIN)


def test_the_page_opens_offline_and_shows_the_title_as_text(chromium, content, tmp_path):
    film_report.write_page(made(content), tmp_path, origin=ORIGIN)
    with opened(chromium, tmp_path / film_report.PAGE) as (page, faults):
        assert page.title() == TITLE
        assert page.locator("h1").inner_text() == TITLE
        assert page.locator("h1 *").count() == page.locator("script").count() == 0
        assert page.locator(".figure svg").count() == 2
        pictures = page.locator(".faces img")
        sizes = pictures.evaluate_all("all => all.map(one => one.naturalWidth)")
        assert sizes == [64, 64]
        captions = page.locator("figcaption").all_inner_texts()
        assert captions == ["happy, 0.90, at 0:00:08", "sad, 0.80, at 1:02:05"]
        assert "3 of them have a face" in page.locator("main").inner_text()
        assert not faults


def test_a_script_in_a_figure_does_not_run(chromium, content, tmp_path):
    script = SVG.replace("<rect", "<script>document.title = 'run'</script><rect")
    svgs = {"timeline": script, "shares": SVG}
    film_report.write_page(made(content, svgs=svgs), tmp_path, origin=ORIGIN)
    with opened(chromium, tmp_path / film_report.PAGE) as (page, _):
        assert page.title() == TITLE


def test_a_film_that_is_not_whole_is_said_to_be_so(content):
    film = content["film"] | {"status": "partial", "error": "nothing from 3 to <5> s"}
    assert "The film is not whole: nothing from 3 to &lt;5&gt; s." in made(content, film=film)


def test_the_smoothing_and_the_changes_are_said(content):
    text = made(content)
    assert "Gaussian kernel with a standard deviation of 15 s" in text
    assert "95% bootstrap intervals at each time, over the 3 shots" in text
    assert "changes for good at 0:00:08 (the first split" in text
    assert "p = 0.020" in text
    none, few = ({"times_s": (), "p_value": p} for p in (0.4, float("nan")))
    assert "No time is found" in made(content, over_time=content["over_time"] | none)
    assert "too few faces" in made(content, over_time=content["over_time"] | few)


def test_a_film_without_faces(content):
    rows = content["rows"].assign(n_faces=0, predicted=None, prob_happy=np.nan, prob_sad=np.nan)
    text = made(content, rows=rows, summary=None, svgs={}, over_time={})
    assert "No face was found" in text
    assert "<svg" not in text


def test_a_page_is_known_by_what_it_was_made_of(tmp_path):
    assert not film_report.page_is_of(tmp_path, ORIGIN)
    film_report.write_page("page", tmp_path, origin=ORIGIN)
    assert film_report.page_is_of(tmp_path, ORIGIN | {"commit": "2"})
    assert not film_report.page_is_of(tmp_path, ORIGIN | {"models": {"fer7": "def"}})
    (tmp_path / film_report.ORIGIN).write_text("{")
    assert not film_report.page_is_of(tmp_path, ORIGIN)
