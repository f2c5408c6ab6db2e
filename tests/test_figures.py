"""Charts draw what the tables hold; a figure is kept whole, with its data and origin."""

import json
import re
from itertools import combinations
from xml.etree import ElementTree

import altair as alt
import cv2
import numpy as np
import pandas as pd
import pytest
import sample_tables as tables
from browser import FAULTS_OF_CHART
from PIL import Image
from typer.testing import CliRunner

from exe_core import figures
from exe_core.cli import app
from exe_core.figures import films, scores, style
from exe_core.figures.style import COLOURS, THEMES, VERDICTS, ChartError
from exe_core.labels import EMOTIONS, FIVE
from exe_core.record import ROOT
from exe_core.study import load_study

GRID = tables.estimates(run_id=("a", "b"), metric=("f1", "recall"), label=EMOTIONS)
GAPS = tables.estimates(run_id=("truth", "exe"), label=FIVE, every=(100, 50)).iloc[:15]
STEPS = pd.DataFrame(
    [("v1", "returned", "kept", 9), ("v1", "no face", "lost", 4), ("v1", "faces used", "kept", 5)],
    columns=["set_name", "step", "kind", "n"],
)
FROZEN = ROOT / "data" / "frozen"
CLAIMS = tables.claims()
CLAIMS.loc[CLAIMS["claim_id"] == "c6", "claimed"] = "below"
CONFUSION = pd.read_parquet(FROZEN / "real" / "confusion.parquet").query("set_name == 'press'")
HISTORY = {"run_id": "a", "epoch": [1, 2, 1, 2], "split": ["train", "train", "val", "val"]}
HISTORY = pd.DataFrame({**HISTORY, "loss": [2, 1, 2, 1.5], "accuracy": [0.4, 0.6, 0.4, 0.5]})
NOISE = pd.DataFrame(
    [(word, "angry", true, 30 - k) for word in ("mad", "irate") for k, true in enumerate(EMOTIONS)],
    columns=["query", "label", "label_true", "n"],
)


def recall_chart():
    recall = tables.metrics().query("metric == 'recall'")
    return style.estimates(recall, y="run_id", column="label", colour="label")


CHARTS = {
    "grid": lambda: style.estimates(GRID, y="run_id", row="label", column="metric", colour="label"),
    "wrapped": lambda: style.estimates(GRID, y="run_id", column="label", free=True, tick="n"),
    "signed": lambda: style.estimates(
        tables.estimates(run_id=("sam", "mixup"), set_name=("photos",)).assign(low=-0.1),
        y="run_id",
        signed=True,
    ),
    "gaps": lambda: style.estimates(GAPS, y="label", row="run_id", column="every", colour="label"),
    "shares": lambda: films.shares_chart(tables.film_summary(), films=tables.films()),
    "timeline": lambda: films.timeline_chart(tables.film_course()),
    "recall": recall_chart,
    "confusion": lambda: scores.confusion_chart(CONFUSION),
    "history": lambda: scores.history_chart(HISTORY),
    "claims": lambda: scores.claims_chart(CLAIMS),
    "ways": lambda: scores.specification_chart(tables.ways().query("level == 0.95")),
    "attrition": lambda: films.attrition_chart(STEPS),
    "noise": lambda: films.noise_chart(NOISE),
}

LONG = [f"networks of keyword photos, recipe {k}, minus networks of FER2013" for k in range(12)]
WORDY = ["Supercalifragilisticexpialidocious-with-a-suffix", "a_name_of_a_run_that_goes_on_and_on"]
TWELVE = [f"run-{k}" for k in range(12)]
AWKWARD = {
    "long names": lambda: style.estimates(
        tables.estimates(y=LONG, row=WORDY), y="y", row="row", title=" ".join(LONG), tick="low"
    ),
    "wordy panels": lambda: style.estimates(
        tables.estimates(y=WORDY, column=LONG[:5]), y="y", column="column", free=True
    ),
    "many panels": lambda: style.estimates(
        tables.estimates(y=TWELVE, column=TWELVE, row=EMOTIONS), y="y", row="row", column="column"
    ),
    "one row": lambda: style.estimates(GRID.head(1), y="run_id", column="label", signed=True),
    "sixty films": lambda: films.shares_chart(
        tables.film_summary(60, TWELVE), films=tables.films(60)
    ),
    "long film": lambda: films.timeline_chart(tables.film_course().eval("time_s = time_s * 60")),
    "long history": lambda: scores.history_chart(
        pd.concat([HISTORY.assign(epoch=k, loss=k) for k in range(200)])
    ),
    "long reasons": lambda: films.attrition_chart(
        pd.DataFrame({"set_name": LONG, "step": LONG, "kind": "lost", "n": 12345})
    ),
    "one claim": lambda: scores.claims_chart(CLAIMS.head(1).assign(statistic=" ".join(LONG))),
    "curve": lambda: scores.curve_chart(
        tables.estimates(x=(1, 10, 250, 99999), series=LONG[:3]),
        x="x", series="series", x_title=LONG[0], y_title=LONG[1],
    ),
}  # fmt: skip

# Severity 1.0 of Machado, Oliveira and Fernandes (2009), "A physiologically-based model for
# simulation of color vision deficiency", IEEE TVCG 15(6); applied to linear RGB.
VISION = {
    "usual": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colours):
    values = np.array([list(bytes.fromhex(colour[1:])) for colour in colours]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


@pytest.mark.parametrize("vision", VISION)
def test_any_two_emotions_differ_to_every_eye(vision):
    assert tuple(COLOURS) == EMOTIONS
    seen = np.clip(linear(COLOURS.values()) @ np.transpose(VISION[vision]), 0, 1)
    encoded = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = cv2.cvtColor(encoded[None].astype(np.float32), cv2.COLOR_RGB2LAB)[0]
    nearest = min(np.linalg.norm(a - b) for a, b in combinations(lab, 2))
    assert nearest > 30  # a just noticeable difference is about 2.3


def contrast(colours, paper):
    """Compute the contrast ratios of WCAG 2.2."""
    luminance = linear([paper, *colours]) @ [0.2126, 0.7152, 0.0722]
    pairs = np.sort(np.stack(np.broadcast_arrays(luminance[0], luminance[1:])), axis=0)
    return (pairs[1] + 0.05) / (pairs[0] + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["day", "night"])
def test_no_emotion_and_no_ink_is_lost_on_paper(theme):
    inks = [THEMES[name][theme] for name in ("ink", "muted", "accent")]
    paper = THEMES["paper"][theme]
    assert contrast([*COLOURS.values(), *VERDICTS.values()], paper).min() > 1.9
    assert contrast(inks, paper).min() > 4.5  # WCAG 2.2, of text


def svg_of(name, width=style.WIDE):
    return figures.drawn((CHARTS | AWKWARD)[name]().at(width).to_dict(), "svg").decode()


def rows_of(name):
    return figures.plotted(CHARTS[name]().at().to_dict())


def faults_of(tab, svg, width):
    """List what is wrong with a chart that was designed for so many px."""
    tab.set_content(f'<body style="margin:0">{svg}')
    return tab.locator("body").evaluate(FAULTS_OF_CHART, width)


def test_no_chart_is_too_wide_and_none_of_its_text_overprinted_cut_or_tiny(chromium):
    tab, found = chromium.new_page(), {}
    for suffix, width in figures.WIDTHS.items():
        for name in [*CHARTS, *AWKWARD]:
            svg = svg_of(name, width)
            assert "Liberation Sans" in svg
            found[name, width] = faults_of(tab, svg, width) + ["NaN"] * ("NaN" in svg)
        for path in FROZEN.glob("*/figures/*.provenance.json"):
            name = path.name.replace("provenance.json", f"{suffix}svg")
            svg = path.with_name(name).read_text()
            found[f"{path.parts[-3]}/{name}", width] = faults_of(tab, svg, width)
    tab.close()
    assert {of: faults for of, faults in found.items() if faults} == {}


@pytest.mark.parametrize(
    ("name", "column", "expected"),
    [
        ("shares", "share_of_faces", lambda: tables.film_summary()["share_of_faces"]),
        ("recall", "value", lambda: tables.metrics().query("metric == 'recall'")["value"]),
        ("confusion", "share_of_label", lambda: CONFUSION["share_of_label"]),
        ("noise", "n", lambda: NOISE["n"]),
        ("attrition", "n", lambda: pd.Series([5, 4])),
        ("gaps", "value", lambda: GAPS["value"]),
    ],
)
def test_a_chart_draws_the_rows_of_its_table_which_are_its_data(name, column, expected):
    assert sorted(rows_of(name)[column]) == pytest.approx(sorted(expected().round(5)))


def test_claims_stand_by_their_verdict_on_what_they_predict():
    svg, rows = svg_of("claims"), rows_of("claims")
    rows = rows.set_index(rows["claim"].str[:2])
    assert all(f">{name}<" in svg for name in VERDICTS)
    about, tolerance = CLAIMS.set_index("claim_id").loc["c3", ["reference", "tolerance"]]
    assert rows.loc["c3", ["from", "to"]].tolist() == [about - tolerance, about + tolerance]
    assert rows.loc["c1", "from"] == 0
    assert rows.loc["c1", "to"] > rows["high"].max()
    assert rows.loc["c6", "from"] < rows["low"].min()
    untested = CLAIMS.query("verdict == 'not testable'")
    assert "NaN" not in figures.drawn(scores.claims_chart(untested).at().to_dict(), "svg").decode()


@pytest.mark.parametrize("n", [0, 5001])
def test_a_chart_of_nothing_or_of_too_much_is_refused(n):
    with pytest.raises(ChartError, match=f"{n} rows to draw: aggregate"):
        style.drawable(pd.DataFrame({"x": range(n)}), ["x"])


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("EXE_HOME", str(tmp_path))
    return load_study("demo")


@pytest.fixture
def saved(study, monkeypatch):
    monkeypatch.setenv("EXE_COMMAND", "exe stage 05-benchmarks --study demo")
    study.write(tables.metrics(), "metrics")
    return figures.save(recall_chart(), "fig-recall", study=study, alt='Recall of "five" emotions.')


def test_a_bundle_is_whole_with_pictures_data_specification_and_origin(saved):
    suffixes = {"svg", "png", "pdf", "csv", "vl.json", "provenance.json"}
    suffixes |= {"89mm.svg", "89mm.pdf", "89mm.vl.json"}
    assert {path.name for path in saved.folder.iterdir()} == {f"fig-recall.{s}" for s in suffixes}
    width = float(ElementTree.parse(saved.path("svg")).getroot().get("width"))
    with Image.open(saved.path("png")) as picture:
        assert picture.format == "PNG"
        assert picture.width == pytest.approx(width * 300 / 96, abs=2)
    pdf = saved.path("pdf").read_bytes()
    box = re.search(rb"/MediaBox\s*\[\s*[\d.]+\s+[\d.]+\s+([\d.]+)", pdf)
    assert float(box[1]) == pytest.approx(width * 0.75, abs=1)
    recall = tables.metrics().query("metric == 'recall'")
    assert set(pd.read_csv(saved.path("csv"))["value"]) == set(recall["value"].round(5))
    spec = json.loads(saved.path("vl.json").read_text())
    assert spec["description"] == saved.alt
    assert alt.Chart.from_dict(spec).to_dict()["$schema"].endswith(f"{alt.SCHEMA_VERSION}.json")
    about = json.loads(saved.path("provenance.json").read_text())
    assert set(about["files"]) == suffixes
    assert {"commit", "settings", "seed", "device", "study", "kind"} <= set(about)
    assert {"altair", "vl-convert-python"} <= set(about["drawn_with"])
    assert list(about["inputs"]) == ["metrics.parquet"]
    assert about["command"] == "exe stage 05-benchmarks --study demo"
    shown = saved._repr_html_()
    assert "data:image/svg+xml;base64," in shown
    assert 'alt="Recall of &quot;five&quot; emotions."' in shown
    assert str(saved.folder) not in repr(saved)


@pytest.mark.parametrize("name", ["recall", "fig-", "fig-Recall", "fig-a/b", "fig-a b"])
def test_a_figure_without_a_name_of_its_form_or_without_alt_text_is_refused(name, study):
    with pytest.raises(figures.FigureError, match="no name of a figure"):
        figures.save(CHARTS["history"](), name, study=study, alt="A.")
    with pytest.raises(figures.FigureError, match="no alt text"):
        figures.save(CHARTS["history"](), "fig-a", study=study, alt=" ")


def test_a_chart_that_cannot_be_drawn_leaves_no_files(study):
    broken = alt.Chart(pd.DataFrame({"x": [1]})).mark_point().encode(x="nowhere:Q", y="x:nothing")
    with pytest.raises(Exception, match="nothing"):
        figures.save(style.Chart(lambda width: broken), "fig-a", study=study, alt="A.")
    assert not (study.results / "figures").exists()


@pytest.fixture
def sheet(study):
    pictures = [np.full((40, 40, 3), 40 * k, np.uint8) for k in range(5)]
    data = pd.DataFrame({"face_id": list("abcde"), "label": FIVE})
    return figures.sheet(
        pictures, "fig-faces", columns=3, captions=FIVE, study=study, alt="Faces.", data=data
    )


def test_a_sheet_shows_every_picture_in_its_place(sheet):
    page = np.asarray(Image.open(sheet.path("png")))
    assert page.shape[1] == 3 * 40 + 2 * 6
    assert page[20, 20, 0] == 0
    assert page[20, 2 * 46 + 20, 0] == 80
    assert pd.read_csv(sheet.path("csv"))["label"].tolist() == list(FIVE)
    assert "data:image/jpeg;base64," in sheet._repr_html_()


@pytest.fixture
def exe(saved, sheet, tmp_path, monkeypatch):
    """Run `exe figure` in an empty folder, beside a chart and a sheet."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return lambda *words: CliRunner().invoke(app, ["figure", *words])


def test_the_command_copies_a_figure_and_says_where_it_is_from(exe, saved, tmp_path):
    done = exe("fig-recall", "--format", "svg")
    assert "fig-recall.svg: fig-recall of study demo, commit" in done.output
    assert (tmp_path / "here/fig-recall.svg").read_bytes() == saved.path("svg").read_bytes()
    assert exe("film/fig-film-sources", "--out", "film.pdf").exit_code == 0
    assert (tmp_path / "here/film.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("fig-recal",), "no figure 'fig-recal'; it has fig-recall"),
        (("nothing",), "it has fig-faces, fig-recall"),
        (("nobody/fig-recall",), "no figures of a study 'nobody' yet"),
        (("fig-recall", "--out", "none/a.pdf"), "there is no folder none"),
        (("fig-faces",), "fig-faces is not there as pdf: take"),
    ],
)
def test_the_command_says_what_there_is_instead(exe, tmp_path, words, said):
    done = exe(*words)
    assert done.exit_code == 1
    assert said in done.stderr
    assert list((tmp_path / "here").iterdir()) == []
