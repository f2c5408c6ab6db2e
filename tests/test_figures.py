"""Charts draw what the tables hold; a figure is kept whole, with all that a reader may want."""

import csv
import io
import json
from itertools import combinations
from xml.etree import ElementTree

import altair as alt
import cv2
import numpy as np
import pandas as pd
import pytest
import sample_tables as tables
import vl_convert
from PIL import Image

from exe_core import figures
from exe_core.figures import VEGA_LITE
from exe_core.figures.films import share_differences_chart, shares_chart
from exe_core.figures.photos import noise_chart, recall_by_size_chart, yield_chart
from exe_core.figures.scores import (
    claims_chart,
    confusion_chart,
    history_chart,
    recall_chart,
    reliability_chart,
    score_table_chart,
    strata_chart,
)
from exe_core.figures.style import COLOURS, STYLE, THEMES, VERDICTS, ChartError, drawable
from exe_core.study import load_study
from exe_core.tables import EMOTIONS, FIVE

CHARTS = {
    "shares": lambda: shares_chart(tables.film_summary(), films=tables.films()),
    "differences": lambda: share_differences_chart(
        tables.film_summary(), films=tables.films(), run="exe", other_run="rafdb"
    ),
    "recall": lambda: recall_chart(tables.metrics()),
    "scores": lambda: score_table_chart(tables.metrics(("films", "fer2013"))),
    "confusion": lambda: confusion_chart(tables.confusion()),
    "history": lambda: history_chart(tables.history()),
    "reliability": lambda: reliability_chart(tables.reliability()),
    "strata": lambda: strata_chart(tables.strata()),
    "yield": lambda: yield_chart(tables.face_counts()),
    "recall by size": lambda: recall_by_size_chart(tables.recall_by_size()),
    "noise": lambda: noise_chart(tables.query_truth()),
    "claims": lambda: claims_chart(tables.claims()),
}

# Severity 1.0 of Machado, Oliveira and Fernandes (2009), "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15(6); applied to linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    return load_study("demo")


def lab(colours, vision):
    """CIE L*a*b* of colours as an eye of this kind sees them."""
    rgb = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in colours]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ vision.T, 0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return cv2.cvtColor(encoded[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]


def values_of(chart, column):
    """All values of a column in the data that a chart carries."""
    data = chart.to_dict()["datasets"].values()
    return [row[column] for rows in data for row in rows if column in row]


@pytest.mark.parametrize("vision", VISION)
def test_any_two_emotions_differ_to_every_eye(vision):
    assert tuple(COLOURS) == EMOTIONS
    seen = lab(COLOURS.values(), VISION[vision])
    nearest = min(np.linalg.norm(a - b) for a, b in combinations(seen, 2))
    assert nearest > 30  # a just noticeable difference is about 2.3


@pytest.mark.parametrize("theme", [0, 1], ids=["day", "night"])
def test_no_emotion_and_no_ink_is_lost_on_paper(theme):
    inks = [THEMES[name][theme] for name in ("ink", "muted", "accent")]
    paper = THEMES["paper"][theme]
    shown = luminance([*COLOURS.values(), *VERDICTS.values()])
    assert contrast(shown, paper).min() > 1.9  # that of the yellow and cyan before was 1.6 and 1.7
    assert contrast(luminance(inks), paper).min() > 4.5  # WCAG 2.2, of text


def luminance(colours):
    values = np.array([list(bytes.fromhex(colour[1:])) for colour in colours]) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def contrast(shown, paper):
    """Give the contrast ratio of WCAG 2.2."""
    both = np.sort([shown, np.broadcast_to(luminance([paper]), shown.shape)], axis=0)
    return (both[1] + 0.05) / (both[0] + 0.05)


def test_the_simulated_eye_confuses_what_a_colour_blind_eye_does():
    pink_and_grey = ["#CC79A7", "#999999"]
    near, far = (np.subtract(*lab(pink_and_grey, VISION[v])) for v in ("deuteranopia", "usual"))
    assert np.linalg.norm(near) < 9 < 30 < np.linalg.norm(far)


@pytest.mark.parametrize("name", CHARTS)
def test_every_chart_is_drawn_in_the_one_style_at_the_width_of_a_page(name):
    spec = CHARTS[name]().to_dict()
    assert spec["config"]["font"] == STYLE["font"]
    drawn = vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE)
    assert 300 < float(ElementTree.fromstring(drawn).get("width")) < 740
    assert "Liberation Sans" in drawn


def test_recall_is_drawn_for_each_size_with_and_without_tiles():
    found = tables.recall_by_size()
    chart = recall_by_size_chart(found)
    assert sorted(values_of(chart, "recall")) == sorted(found["recall"])
    assert set(values_of(chart, "looked at")) == {"the whole picture only", "tiles too, 2 levels"}
    assert min(values_of(chart, "face width")) == pytest.approx((0.02 * 0.04) ** 0.5, abs=1e-4)
    with pytest.raises(ChartError, match="no column recall_low"):
        recall_by_size_chart(found.drop(columns="recall_low"))


def test_shares_are_drawn_as_they_are_for_every_film_and_run():
    summary = tables.film_summary(4)
    chart = shares_chart(summary, films=tables.films())
    assert sorted(values_of(chart, "share_of_faces")) == sorted(summary["share_of_faces"].round(5))


def test_films_of_one_genre_can_be_drawn_alone():
    comedies = tables.films().query("genre == 'comedy'")
    summary = tables.film_summary().merge(comedies[["film_id"]], on="film_id")
    chart = shares_chart(summary, films=comedies)
    assert set(values_of(chart, "genre")) == {"comedy"}


def test_an_undefined_share_stays_undefined():
    summary = tables.film_summary(2)
    summary.loc[0, "share_of_faces"] = None
    drawn = values_of(shares_chart(summary, films=tables.films()), "share_of_faces")
    assert drawn.count(None) == 1


def test_differences_are_of_the_first_run_minus_the_second():
    summary = tables.film_summary(1, ("exe", "rafdb"))
    chart = share_differences_chart(summary, films=tables.films(), run="exe", other_run="rafdb")
    first, second = (summary.query("run_id == @run") for run in ("exe", "rafdb"))
    expected = first["share_of_faces"].to_numpy() - second["share_of_faces"].to_numpy()
    assert np.allclose(sorted(values_of(chart, "difference")), sorted(expected), atol=1e-5)


def test_inputs_are_left_as_they_were():
    summary, films = tables.film_summary(), tables.films()
    before = summary.copy(), films.copy()
    shares_chart(summary, films=films)
    pd.testing.assert_frame_equal(summary, before[0])
    pd.testing.assert_frame_equal(films, before[1])


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: recall_chart(tables.metrics().drop(columns="low")), "no column low"),
        (lambda: recall_chart(tables.metrics().query("metric == 'ece'")), "there is ece"),
        (lambda: confusion_chart(tables.confusion().iloc[:0]), "no rows to draw"),
        (lambda: drawable(pd.DataFrame({"x": range(5001)}), ["x"]), "5001 rows.*aggregate to 5000"),
        (
            lambda: shares_chart(tables.film_summary(), films=tables.films(2)),
            "films without a title: film02",
        ),
        (
            lambda: share_differences_chart(
                tables.film_summary(), films=tables.films(), run="exe", other_run="nobody"
            ),
            "no run nobody",
        ),
    ],
)
def test_what_cannot_be_charted_is_refused(draw, said):
    with pytest.raises(ChartError, match=said):
        draw()


@pytest.fixture
def saved(study):
    return figures.save(
        recall_chart(tables.metrics()),
        "fig-recall",
        study=study,
        data=tables.metrics(),
        alt='Recall of "five" emotions.',
    )


def test_a_bundle_has_its_six_files_and_nothing_besides(saved, study):
    assert {path.name for path in (study.results / "figures").iterdir()} == {
        f"fig-recall.{suffix}" for suffix in ("svg", "png", "pdf", "csv", "vl.json")
    } | {"fig-recall.provenance.json"}


def test_pictures_are_what_their_names_say(saved):
    drawn = ElementTree.parse(saved.path("svg")).getroot()
    assert drawn.tag.endswith("svg")
    with Image.open(saved.path("png")) as picture:
        assert picture.format == "PNG"
        assert picture.width == pytest.approx(float(drawn.get("width")) * 300 / 96, abs=2)
    assert saved.path("pdf").read_bytes().startswith(b"%PDF-")


def test_the_data_of_a_figure_are_kept_whole(saved):
    kept = pd.read_csv(saved.path("csv"))
    assert np.array_equal(kept["value"], tables.metrics()["value"])


def test_the_specification_is_the_chart(saved):
    spec = json.loads(saved.path("vl.json").read_text())
    assert spec["description"] == saved.alt
    assert alt.Chart.from_dict(spec).to_dict()["$schema"].endswith(f"{alt.SCHEMA_VERSION}.json")


def test_provenance_says_where_a_figure_comes_from(study, tmp_path):
    table = tmp_path / "table.parquet"
    tables.claims().to_parquet(table)
    saved = figures.save(
        claims_chart(tables.claims()),
        "fig-claims",
        study=study,
        data=tables.claims(),
        alt="Claims.",
        inputs=[table],
    )
    about = json.loads(saved.path("provenance.json").read_text())
    assert about["alt"] == "Claims."
    assert {"commit", "settings", "seed", "device", "study", "kind"} <= set(about)
    assert {"altair", "vl-convert-python"} <= set(about["drawn_with"])
    assert list(about["inputs"]) == ["table.parquet"]
    assert all(saved.path(suffix).stat().st_size for suffix in about["files"])


def test_the_same_figure_is_drawn_the_same_twice(saved, study):
    before = saved.path("svg").read_bytes()
    again = figures.save(
        recall_chart(tables.metrics()),
        "fig-recall",
        study=study,
        data=tables.metrics(),
        alt=saved.alt,
    )
    assert again.path("svg").read_bytes() == before


def test_a_figure_shows_itself_in_a_notebook(saved):
    shown = saved._repr_html_()
    assert 'class="paper-figure"' in shown
    assert "data:image/svg+xml;base64," in shown
    assert 'alt="Recall of &quot;five&quot; emotions."' in shown
    assert 'data-name="fig-recall"' in shown
    assert str(saved.folder) not in repr(saved)


def test_the_command_of_a_stage_is_kept_with_its_figures(study, monkeypatch):
    monkeypatch.setenv("EXE_COMMAND", "exe stage 07-claims --study demo")
    table = tables.claims()
    saved = figures.save(claims_chart(table), "fig-claims", study=study, data=table, alt="Claims.")
    about = json.loads(saved.path("provenance.json").read_text())
    assert about["command"] == "exe stage 07-claims --study demo"


@pytest.mark.parametrize("name", ["recall", "fig-", "fig-Recall", "fig-a/b", "fig-a b"])
def test_other_names_are_refused(name, study):
    with pytest.raises(figures.FigureError, match="no name of a figure"):
        figures.save(alt.Chart().mark_point(), name, study=study, data=pd.DataFrame(), alt="A.")


def test_a_figure_without_alt_text_is_refused(study):
    with pytest.raises(figures.FigureError, match="no alt text"):
        figures.save(alt.Chart().mark_point(), "fig-a", study=study, data=pd.DataFrame(), alt=" ")


def test_a_chart_that_cannot_be_drawn_leaves_no_files(study):
    broken = alt.Chart(pd.DataFrame({"x": [1]})).mark_point().encode(x="nowhere:Q", y="x:nothing")
    with pytest.raises(Exception, match="nothing"):
        figures.save(broken, "fig-a", study=study, data=pd.DataFrame(), alt="A.")
    assert not (study.results / "figures").exists()


def test_a_sheet_shows_every_picture_in_its_place(study):
    pictures = [np.full((40, 40, 3), 40 * k, np.uint8) for k in range(5)]
    data = pd.DataFrame({"face_id": list("abcde"), "label": FIVE})
    sheet = figures.sheet(
        pictures, "fig-faces", columns=3, captions=FIVE, study=study, alt="Faces.", data=data
    )
    page = np.asarray(Image.open(sheet.path("png")))
    assert page.shape[1] == 3 * 40 + 2 * 6
    assert page[20, 20, 0] == 0
    assert page[20, 2 * 46 + 20, 0] == 80
    rows = list(csv.DictReader(io.StringIO(sheet.path("csv").read_text())))
    assert [row["label"] for row in rows] == list(FIVE)
    assert "data:image/jpeg;base64," in sheet._repr_html_()
    assert 'class="chart"' not in sheet._repr_html_()


def test_small_pictures_of_a_sheet_are_scaled_to_the_large(study):
    pictures = [np.full((96, 96, 3), 200, np.uint8), np.full((48, 48, 3), 90, np.uint8)]
    data = pd.DataFrame({"face_id": ["a", "b"]})
    sheet = figures.sheet(
        pictures, "fig-faces", columns=2, captions=["", ""], study=study, alt="Faces.", data=data
    )
    page = np.asarray(Image.open(sheet.path("png")))
    assert page[90, 96 + 6 + 90, 0] == 90


def test_a_wide_sheet_weighs_little_on_the_page_and_is_whole_in_print(study):
    noise = np.random.default_rng(0).integers(0, 255, (6, 480, 640, 3), dtype=np.uint8)
    sheet = figures.sheet(
        noise, "fig-photos", columns=3, captions=[""] * 6, study=study, alt="Photos.",
        data=pd.DataFrame({"photo_id": range(6)}),
    )  # fmt: skip
    assert Image.open(sheet.path("jpg")).width == 1280
    assert Image.open(sheet.path("png")).width == 3 * 640 + 2 * 6


@pytest.mark.parametrize(("n", "captions"), [(0, []), (2, ["one"])])
def test_a_sheet_needs_a_caption_and_a_row_for_each_picture(n, captions, study):
    with pytest.raises(figures.FigureError, match=f"{n} pictures, {len(captions)} captions"):
        figures.sheet(
            [np.zeros((8, 8, 3), np.uint8)] * n,
            "fig-faces",
            columns=2,
            captions=captions,
            study=study,
            alt="Faces.",
            data=pd.DataFrame({"x": range(n)}),
        )


def test_the_sets_are_lines_where_there_is_one_run():
    rows = [("one run", name, 0.5) for name in ("first set", "second set")]
    metrics = pd.DataFrame(rows, columns=["run_id", "set_name", "value"]).assign(
        metric="recall", label="happy", low=0.4, high=0.6, n=10
    )
    spec = recall_chart(metrics).to_dict()
    assert "row" not in spec["facet"]
    assert "set_name" in json.dumps(spec["spec"])
    two_runs = pd.concat([metrics, metrics.assign(run_id="another")])
    assert "row" in recall_chart(two_runs).to_dict()["facet"]
