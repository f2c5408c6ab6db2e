"""The explorer as a reader uses it: in a browser, from disk, with the numbers of the tables."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import sample_tables
import vl_convert
from browser import PHONE, opened
from jinja2 import Template
from test_book_ext import build, make_book_folder, page, text_of

from exe_core import films as measures
from exe_core.figures import VEGA_LITE, explorer
from exe_core.figures.style import STYLE
from exe_core.labels import FIVE, prob_columns
from exe_core.record import ROOT
from exe_core.study import load_study

RUNS = ("exe", "fer2013", "rafdb")
N_FRAMES, EVERY = 30, 100
CRIME, NO_FACES = "film01", "film07"
SCRIPTED = '<img src=x onerror="document.title=1"> & "Sons"'


@pytest.fixture(scope="module")
def study(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home))
        yield load_study("demo", statistics={"n_bootstrap": 100})


@pytest.fixture(scope="module")
def tables(study):
    """Make eight films of four genres: some frames have no face, one film has none at all."""
    rng = np.random.default_rng(5)
    films = sample_tables.films(8)
    films.loc[0, "title"] = SCRIPTED
    frames = pd.DataFrame(
        [(film, k * EVERY, k * 4.0) for film in films["film_id"] for k in range(N_FRAMES)],
        columns=["film_id", "frame", "time_s"],
    )
    seen = (rng.random(len(frames)) < 0.8) & (frames["film_id"] != NO_FACES)
    frames["n_faces"] = seen.astype(int)
    items = frames["film_id"] + ":" + frames["frame"].astype(str).str.zfill(6)
    predictions = []
    for run in RUNS:
        probs = rng.dirichlet(np.full(len(FIVE), 0.4), size=seen.sum())
        table = pd.DataFrame(probs, columns=prob_columns(FIVE))
        chosen = np.array(FIVE)[probs.argmax(axis=1)]
        predictions.append(table.assign(run_id=run, item_id=items[seen].tolist(), predicted=chosen))
    predictions = pd.concat(predictions, ignore_index=True)
    summary = measures.summarise(frames, predictions, labels=FIVE)
    of_study = {"statistics": study.statistics}
    return {
        "films": films,
        "rows": measures.timeline(frames, predictions, labels=FIVE),
        "summary": summary,
        "shares": measures.selection_shares(summary, films, **of_study),
        "differences": measures.selection_differences(summary, films, **of_study),
        "events": sample_tables.events(),
    }


@pytest.fixture(scope="module")
def bundle(study, tables):
    return explorer.save(study, **tables)


@pytest.fixture(scope="module")
def site(bundle, tmp_path_factory):
    """Make the page as the book does, without the book."""
    folder, own = tmp_path_factory.mktemp("site") / "book", ROOT / "book" / "_ext" / "paperbook"
    shutil.copytree(own / "static", folder)
    shutil.copytree(bundle, folder / "bundle")
    vega = vl_convert.javascript_bundle("window.vegaEmbed=vegaEmbed;", vl_version=VEGA_LITE)
    (folder / "vega.js").write_text(f"(()=>{{{vega}\n}})();const chartStyle={json.dumps(STYLE)};\n")
    scripts = "".join(f'<script defer src="{name}.js"></script>' for name in ("vega", "explorer"))
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><link rel="stylesheet" href="paper.css">'
        + scripts
        + Template((own / "explorer.html").read_text()).render(bundle="bundle", kind="films")
    )
    return folder / "page.html"


@pytest.fixture(scope="module")
def window(site, chromium):
    with opened(chromium, site) as (tab, faults):
        yield tab, faults


@pytest.fixture
def tab(window, site):
    tab, faults = window
    tab.goto("about:blank")
    tab.goto(site.as_uri())
    ready(tab)
    yield tab
    assert faults == []


def ready(tab):
    tab.locator("form[data-live]").wait_for(timeout=20_000)
    tab.wait_for_function(
        "document.querySelectorAll('.card svg.marks').length === 3", timeout=20_000
    )


def part(tab, name):
    return tab.locator(f'[data-part="{name}"]')


def choose(tab, **chosen):
    """Use the controls, and wait for what they show."""
    for name, value in chosen.items():
        tab.locator(f'[name="{name.replace("_", "-")}"]').evaluate(
            "(control, value) => { control.value = value;"
            " control.dispatchEvent(new Event('input', { bubbles: true })); }",
            str(value),
        )
        tab.wait_for_function(
            "([name, value]) => new URLSearchParams(location.hash.slice(1)).get(name) === value",
            arg=[name.replace("_", "-"), str(value)],
        )


def shown_shares(tab):
    """Read the table of shares: label -> the cells of A, B and A - B."""
    rows = part(tab, "share-table").locator("tr").all()
    cells = [row.locator("th, td").all_inner_texts() for row in rows]
    return {label: rest for label, *rest in cells}


def numbers(cell):
    return [float(x) / 100 for x in re.findall(r"-?[\d.]+", cell.replace("−", "-"))]


def rows_by_label(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    return {row["label"]: row for row in table.to_dict("records")}


def test_the_files_are_whole_and_none_is_left_of_before(study, tables, tmp_path):
    other = study.model_copy(update={"name": "smoke"})
    folder = explorer.save(other, **tables)
    (folder / "film-99.js").write_text("of before")
    written = explorer.save(other, **tables | {"films": tables["films"].head(2)})
    files = {"index.js", "film-00.js", "film-01.js"}
    assert {path.name for path in written.iterdir()} == files | {"provenance.json"}
    about = json.loads((folder / "provenance.json").read_text())
    assert (set(about["files"]), about["study"]) == (files, "smoke")


@pytest.mark.parametrize("genre", [None, "crime"])
def test_shares_and_differences_are_those_of_the_tables(tab, tables, genre):
    choose(tab, a="rafdb", b="exe", a_genre=genre or "", b_genre=genre or "")
    shown = shown_shares(tab)
    sides = [rows_by_label(tables["shares"], run_id=run, genre=genre) for run in ("rafdb", "exe")]
    # the study has this pair the other way round
    pair = {"run_id": "exe", "other_run_id": "rafdb", "genre": genre, "other_genre": genre}
    gap = rows_by_label(tables["differences"], **pair)
    for label in FIVE:
        for cell, rows in zip(shown[label], sides, strict=False):
            expected = [rows[label][name] for name in ("value", "low", "high")]
            assert numbers(cell) == pytest.approx(expected, abs=6e-4)
        turned = [-gap[label][name] for name in ("difference", "high", "low")]
        assert numbers(shown[label][2]) == pytest.approx(turned, abs=6e-4)


def test_genres_of_one_model_are_compared_and_what_the_study_did_not_compare_is_not(tab, tables):
    choose(tab, a="exe", b="exe", a_genre="comedy", b_genre="crime")
    pair = {"run_id": "exe", "other_run_id": "exe", "genre": "comedy", "other_genre": "crime"}
    gap = rows_by_label(tables["differences"], **pair)["happy"]
    expected = [gap[name] for name in ("difference", "low", "high")]
    assert numbers(shown_shares(tab)["happy"][2]) == pytest.approx(expected, abs=6e-4)
    choose(tab, b="rafdb")
    assert shown_shares(tab)["happy"][2] == "n/a"


ASK = """async ([film, run, options]) => {
    const folder = document.forms[0].dataset.bundle;
    const content = await explorer.load(folder, film);
    const read = explorer.unpack(content, run, options.threshold);
    return {
        n: read.sure.length,
        course: explorer.course(content, read, options),
        times: explorer.times(content, options.width),
        share: explorer.shares(read),
    };
}"""


@pytest.mark.parametrize(("threshold", "width"), [(0.0, 0.0), (0.0, 13.0), (0.6, 13.0), (0.8, 4.0)])
def test_thresholds_and_smoothing_are_as_pandas_computes_them(tab, tables, study, threshold, width):
    rows = tables["rows"].query("film_id == @CRIME and run_id == 'exe'")
    unsure = ~(rows[prob_columns(FIVE)].max(axis=1) >= threshold)
    sure = rows.assign(predicted=rows["predicted"].mask(unsure), shot=rows["time_s"] // 30)
    sure[prob_columns(FIVE)] = sure[prob_columns(FIVE)].mask(unsure, axis=0)
    expected = measures.course(sure, smooth_s=width or 1e-6, statistics=study.statistics)
    got = {}
    for measure in ("probability", "share", "count"):
        options = {"threshold": threshold, "width": width, "measure": measure}
        got[measure] = tab.evaluate(ASK, ["film-01", "exe", options])
    for measure in ("probability", "share"):
        of = expected[expected["measure"] == measure]
        values = np.stack([of.loc[of["label"] == label, "value"] for label in FIVE])
        course = np.array(got[measure]["course"], dtype=float)
        assert np.allclose(course, values, atol=1.1 / explorer.GRID, equal_nan=True)
    at, seen = np.array(got["count"]["times"])[:, None], sure.dropna(subset="predicted")
    for label, so_far in zip(FIVE, got["count"]["course"], strict=True):
        times_s = seen.loc[seen["predicted"] == label, "time_s"].to_numpy()
        assert (times_s <= at).sum(axis=1).tolist() == so_far
    assert got["count"]["n"] == len(seen)
    own = seen["predicted"].value_counts(normalize=True).reindex(FIVE, fill_value=0)
    assert got["count"]["share"] == pytest.approx(own.tolist())


def test_controls_are_used_by_keyboard(tab):
    tab.locator("[name=threshold]").focus()
    tab.keyboard.press("ArrowRight")
    tab.wait_for_function("location.hash.includes('threshold=0.05')")
    tab.locator("[name=measure]").focus()
    tab.keyboard.press("f")  # the option that begins so
    tab.wait_for_function("location.hash.includes('measure=count')")


def test_a_view_is_linked_by_its_address(tab, site, chromium):
    choose(tab, a="rafdb", b_genre="drama", film=CRIME, measure="share", threshold=0.5, width=40)
    with opened(chromium, site) as (other, faults):
        address = tab.evaluate("location.href")
        other.goto(address)
        other.reload()
        ready(other)
        for name in ("share-table", "film-a", "film-table", "events", "width"):
            assert part(other, name).inner_text() == part(tab, name).inner_text()
        assert other.evaluate("location.href") == address
        assert faults == []
    tab.evaluate("location.hash = 'a=nobody&b=rafdb&film=film03&threshold=7'")
    tab.wait_for_function("location.hash.includes('film=film03&')")
    shown = [tab.locator(f"[name={name}]").input_value() for name in ("a", "b", "threshold")]
    assert shown == ["rafdb", "rafdb", "0.95"]


def test_a_phone_shows_titles_as_text_and_needs_no_sideways_scrolling(site, chromium):
    with opened(chromium, site, size=PHONE) as (tab, faults):
        ready(tab)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert SCRIPTED in tab.locator("[name=film]").inner_text()
        assert tab.locator("img").count() == 0
        assert "1:20 a reunion (happy)" in part(tab, "events").inner_text()
        choose(tab, film=NO_FACES)
        part(tab, "film-a").get_by_text("A: exe, 0 faces counted").wait_for()
        assert "n/a" in part(tab, "film-table").inner_text()
        assert faults == []


@pytest.fixture
def labelled(study, tables, site):
    """Make a page of two explorers, of which the second has films with labels and no times."""
    shares = tables["shares"].replace({"run_id": {"exe": "labels"}})
    wrong = pd.DataFrame({"run_id": ["rafdb"], "genre": [None], "label": ["error of shares"]})
    gaps = tables["differences"].query("run_id == 'exe' and genre == other_genre or genre.isna()")
    turned = {"run_id": "other_run_id", "other_run_id": "run_id", "low": "high", "high": "low"}
    gaps = gaps.replace({"run_id": {"exe": "labels"}}).rename(columns=turned)
    gaps[["difference", "low", "high"]] *= -1
    shares = pd.concat([shares, wrong.assign(value=0.25, low=0.2, high=0.31)], ignore_index=True)
    other = study.model_copy(update={"name": "real"})
    made = explorer.save(other, shares=shares, differences=gaps, reference="labels")
    shutil.copytree(made, site.with_name("labelled"), dirs_exist_ok=True)
    text = site.read_text()
    form = (
        text[text.index("<form") :].replace('"films', '"labelled').replace('"bundle', '"labelled')
    )
    site.with_name("two.html").write_text(text + form)
    return site.with_name("two.html"), shares, gaps


def test_labelled_films_stand_beside_their_labels_and_are_downloaded(labelled, chromium):
    address, shares, gaps = labelled
    with opened(chromium, address) as (tab, faults):
        form = tab.locator("form[data-bundle]").nth(1)
        before = tab.locator("form[data-bundle]").first.inner_text()
        tab.goto(f"{address.as_uri()}#of=labelled&a=rafdb&b=fer2013&a-genre=crime")
        form.locator("svg.marks").wait_for(timeout=20_000)
        assert form.locator("section").count() == 1
        rows = [row.split("\t") for row in form.locator("table tr").all_inner_texts()]
        assert rows[0] == ["", "labels", "A", "B", "A − labels", "B − labels"]
        assert [row[0] for row in rows[1:]] == [*FIVE, "error of shares"]
        keys = {"run_id": "rafdb", "genre": "crime"}
        gap = rows_by_label(gaps, **keys, other_run_id="labels")["happy"]
        of = [
            rows_by_label(shares, **{**keys, "run_id": run})["happy"] for run in ("labels", "rafdb")
        ]
        assert [numbers(rows[3][k])[0] for k in (1, 2)] == [
            pytest.approx(one["value"], abs=6e-4) for one in of
        ]
        assert numbers(rows[3][4])[0] == pytest.approx(gap["difference"], abs=6e-4)
        with tab.expect_download() as found:
            form.locator("button").click()
        table = pd.read_csv(found.value.path()).set_index(["side", "label"])
        assert table.loc[("A", "happy"), "value"] == pytest.approx(of[1]["value"], abs=1e-4)
        assert {"model", "films", "low", "high"} <= set(table)
        form.locator("[name=a-genre]").select_option("")
        tab.wait_for_function(
            "location.hash.includes('of=labelled') && location.hash.includes('a-genre=&')"
        )
        assert "25.0% [20.0%, 31.0%]" in form.inner_text()
        assert tab.locator("form[data-bundle]").first.inner_text() == before
        assert faults == []


@pytest.mark.slow
def test_books_have_the_explorers(bundle, tmp_path, chromium):
    both = {
        "explorer": "# A\n:::{explorer}\n:::\n",
        "claims": "# B\n:::{explorer} published\n:::\n",
    }
    make_book_folder(tmp_path, {"index": "# Book\n", **both})
    for name in ("demo", "published"):
        shutil.copytree(bundle, tmp_path / "data" / "results" / name / "explorer")
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "a program drew them" in text_of(tmp_path, "explorer")
    assert "explorer.js" not in page(tmp_path, "index").read_text()
    for theme in ("light", "dark"):
        with opened(chromium, page(tmp_path, "explorer"), theme=theme) as (tab, faults):
            ready(tab)
            assert faults == []
    with opened(chromium, page(tmp_path, "claims")) as (tab, faults):
        ready(tab)
        assert faults == []
    assert "a program drew them" not in text_of(tmp_path, "claims")
