"""`exe figure`: figures for a column, legible there, and what is said where there is none."""

import io
import json
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import sample_tables as tables
from exe_core.figures.resizing import PX_PER_MM, fit, overlapping, texts
from PIL import Image
from typer.testing import CliRunner

from exe_core import figures
from exe_core.cli import app
from exe_core.figures import FigureError
from exe_core.figures.films import timeline_chart
from exe_core.figures.scores import recall_chart, reliability_chart
from exe_core.study import load_study


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Figures of two studies, as a build leaves them."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(folder))
        demo, smoke = load_study("demo"), load_study("smoke")
        charts = {
            "fig-recall": recall_chart(tables.metrics()),
            "fig-timeline": timeline_chart(tables.film_course(), events=tables.events()),
        }
        for name, chart in charts.items():
            figures.save(chart, name, study=demo, data=tables.metrics(), alt="A chart.")
        figures.save(
            charts["fig-recall"], "fig-other", study=smoke, data=tables.metrics(), alt="A chart."
        )
        figures.sheet(
            np.zeros((4, 200, 300, 3), np.uint8), "fig-faces", columns=4, captions=[""] * 4,
            study=demo, alt="Faces.", data=pd.DataFrame({"face": range(4)}),
        )  # fmt: skip
    return folder


@pytest.fixture
def exe(home, tmp_path, monkeypatch):
    """Run `exe figure` in an empty folder."""
    monkeypatch.setenv("EXE_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["figure", *words])


def spec(home, name):
    path = home / "results" / "demo" / "figures" / f"{name}.vl.json"
    return json.loads(path.read_text())


def sizes_of_letters(svg):
    return {float(size) for size in re.findall(r'font-size="([\d.]+)px"', svg)}


def test_a_chart_for_a_column_has_its_width_and_the_letters_it_had(exe, tmp_path, home):
    done = exe("fig-recall", "--format", "svg", "--width", "89mm")
    assert done.exit_code == 0, done.output
    drawn = (tmp_path / "fig-recall-89mm.svg").read_text()
    width = float(ElementTree.fromstring(drawn).get("width"))
    assert width == pytest.approx(89 * 96 / 25.4, abs=1)
    before = (home / "results/demo/figures/fig-recall.svg").read_text()
    assert sizes_of_letters(drawn) == sizes_of_letters(before)
    assert min(sizes_of_letters(drawn)) * 0.75 >= 7  # pt, what journals ask for
    assert "study demo, commit" in done.output


def test_print_files_have_the_same_size_as_the_picture(exe, tmp_path):
    for kind in ("pdf", "png"):
        assert exe("fig-recall", "--format", kind, "--width", "12 cm").exit_code == 0
    pdf = (tmp_path / "fig-recall-12cm.pdf").read_bytes()
    box = re.search(rb"/MediaBox\s*\[\s*[\d.]+\s+[\d.]+\s+([\d.]+)", pdf)
    assert float(box[1]) == pytest.approx(120 / 25.4 * 72, abs=1)
    with Image.open(tmp_path / "fig-recall-12cm.png") as picture:
        assert picture.width == pytest.approx(120 / 25.4 * 300, abs=4)
        assert picture.info["dpi"][0] == pytest.approx(300, abs=1)


def test_the_data_come_as_they_were_plotted(exe, tmp_path):
    assert exe("fig-recall", "--format", "csv", "--out", "plotted.csv").exit_code == 0
    assert len(pd.read_csv(tmp_path / "plotted.csv")) == len(tables.metrics())


def test_a_sheet_is_had_as_a_picture_of_fewer_pixels(exe, tmp_path):
    (tmp_path / "to").mkdir()
    done = exe("fig-faces", "--format", "png", "--width", "89mm", "--out", "to")
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "to" / "fig-faces-89mm.png") as picture:
        assert picture.width == round(89 / 25.4 * 300)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fig-recal",), "no figure 'fig-recal'; it has fig-recall"),
        (("fig-zzzzzz",), "it has fig-faces, fig-recall, fig-timeline"),
        (("fig-other",), "fig-other is not a figure of study demo, but of smoke: say --study"),
        (("fig-recall", "--study", "nobody"), "no study 'nobody'; there is"),
        (("rafdb/fig-recall",), "not a figure of study rafdb, but of demo"),
        (("fig-recall", "--width", "wide"), "--width 'wide': write a number and mm"),
        (("fig-recall", "--width", "5mm"), "a figure is 30 to 500 mm wide"),
        (("fig-recall", "--format", "csv", "--width", "89mm"), "a CSV has no width"),
        (("fig-recall", "--out", "none/a.pdf"), "there is no folder none"),
        (("fig-faces",), "a sheet of pictures, not a chart: it can be had as png or csv"),
        (("fig-faces", "--format", "png", "--width", "500mm"), "its pixels suffice for 103 mm"),
    ],
)
def test_what_cannot_be_had_is_said(exe, tmp_path, words, said):
    done = exe(*words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_too_narrow_is_refused_with_the_width_that_is_possible(exe, home):
    done = exe("fig-recall", "--width", "31mm")
    assert done.exit_code == 1
    least = int(re.search(r"can be had from about (\d+) mm on", done.stderr)[1])
    assert 31 < least < 100
    assert fit(spec(home, "fig-recall"), least * PX_PER_MM)


@pytest.mark.parametrize("name", ["fig-recall", "fig-timeline"])
def test_no_text_stands_on_another_in_a_column(home, name):
    narrow = fit(spec(home, name), 89 * PX_PER_MM)
    assert overlapping(narrow) == 0
    assert {text.role for text in texts(narrow)} >= {"axis-label", "axis-title"}


def test_what_overlaps_is_counted():
    table = pd.DataFrame({"x": ["a name", "another"], "y": [1, 2]})
    chart = figures.style.alt.Chart(table).mark_text(fontSize=11).encode(text="x")
    assert overlapping(chart.to_dict()) == 1


def test_square_panels_stay_square(home):
    narrow = fit(reliability_chart(tables.reliability()).to_dict(), 89 * PX_PER_MM)
    assert narrow["spec"]["width"] == narrow["spec"]["height"]


def test_panels_that_cannot_share_the_width_are_refused(home):
    with pytest.raises(FigureError, match="10 mm leave too little room"):
        fit(spec(home, "fig-recall"), 10 * PX_PER_MM)


def test_a_wider_page_is_filled(home):
    wide = fit(spec(home, "fig-recall"), 250 * PX_PER_MM)
    drawn = figures.bundle.drawn(wide, "png")
    assert Image.open(io.BytesIO(drawn)).width == pytest.approx(250 / 25.4 * 300, abs=4)
