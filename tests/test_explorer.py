"""The explorer as a reader uses it: in a browser, from disk, with the numbers of the tables."""

import base64
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
import sample_tables
from browser import PHONE, opened
from hypothesis import given
from hypothesis import strategies as st
from test_book_ext import build, make_book_folder, page, text_of

from exe_core import films as film_measures
from exe_core.figures import explorer
from exe_core.films import course as film_course
from exe_core.films import (
    selection_differences,
    selection_shares,
    smoothing_s,
    timeline,
)
from exe_core.labels import FIVE, prob_columns
from exe_core.record import ROOT
from exe_core.study import load_study

RUNS = ("exe", "fer2013", "rafdb")
N_FRAMES, EVERY = 30, 100
CRIME = "film01"
NO_FACES = "film07"
SCRIPTED = '<img src=x onerror="document.title=1"> & "Sons"'


def make_tables(seed=5):
    """Make eight films of four genres: some frames have no face, one film has none at all."""
    rng = np.random.default_rng(seed)
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
        chosen = [FIVE[k] for k in probs.argmax(axis=1)]
        predictions.append(
            table.assign(run_id=run, item_id=items[seen].to_list(), predicted=chosen)
        )
    truth = pd.DataFrame({"item_id": items, "label_true": np.where(seen, "happy", None)})
    predictions = pd.concat(predictions, ignore_index=True)
    return {
        "films": films,
        "rows": timeline(frames, predictions, labels=FIVE),
        "summary": film_measures.summarise(frames, predictions, labels=FIVE),
        "truth": truth,
        "events": sample_tables.events(),
    }


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def study(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXE_HOME", str(home))
        yield load_study("demo", statistics={"n_bootstrap": 100})


@pytest.fixture(scope="module")
def tables(study):
    made = make_tables()
    statistics = study.statistics
    made["shares"] = selection_shares(made["summary"], made["films"], statistics=statistics)
    made["differences"] = selection_differences(
        made["summary"], made["films"], statistics=statistics
    )
    by_film = made["rows"].groupby("film_id")
    made["smoothing_s"] = {name: smoothing_s(own) for name, own in by_film}
    return made


@pytest.fixture(scope="module")
def bundle(study, tables):
    return saved(study, tables)


def saved(study, tables):
    rest = {name: table for name, table in tables.items() if name not in ("films", "rows")}
    return explorer.save(study, tables["films"], tables["rows"], **rest)


@pytest.fixture(scope="module")
def site(bundle, tmp_path_factory):
    return lay_out_page(tmp_path_factory.mktemp("site") / "book", bundle)


def lay_out_page(folder, bundle):
    """Lay the page out as the book does, without the book."""
    own = ROOT / "book" / "_ext" / "paperbook"
    shutil.copytree(own / "static", folder)
    shutil.copytree(bundle, folder / "bundle")
    names = ("explorer-data", "explorer-charts", "explorer")
    scripts = "".join(f'<script defer src="{name}.js"></script>' for name in names)
    (folder / "page.html").write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" '
        'content="width=device-width"><link rel="stylesheet" href="explorer.css">'
        + scripts
        + (own / "explorer.html").read_text().replace("{bundle}", "bundle")
    )
    return folder / "page.html"


@pytest.fixture(scope="module")
def window(site, chromium):
    with opened(chromium, site) as (tab, faults):
        yield tab, faults


@pytest.fixture
def tab(window, site):
    tab, faults = window
    tab.mouse.move(0, 0)
    tab.goto("about:blank")
    tab.goto(site.as_uri())
    ready(tab)
    yield tab
    assert faults == []


def ready(tab):
    tab.locator("#film-explorer[data-live]").wait_for(timeout=20_000)
    tab.wait_for_function("document.querySelectorAll('[data-part=film-shares] tr').length")


def part(tab, name):
    return tab.locator(f'[data-part="{name}"]')


def shown_shares(tab):
    """Read the table of shares: label -> the cells of A, B and A - B."""
    rows = part(tab, "share-table").locator("tr").all()
    cells = [row.locator("th, td").all_inner_texts() for row in rows]
    return {label: rest for label, *rest in cells}


def same(cell, row, *, of):
    """Tell whether a cell writes an estimate of a table, to the decimal that it shows."""
    expected = [row[of]] if pd.isna(row["low"]) else [row[of], row["low"], row["high"]]
    shown = [float(x) for x in re.findall(r"-?[\d.]+", cell.replace("−", "-"))]
    assert len(shown) == len(expected), cell
    return shown == pytest.approx([100 * value for value in expected], abs=0.056)


def rows_by_label(table, **wanted):
    for column, value in wanted.items():
        table = table[table[column].isna() if value is None else table[column] == value]
    return {row["label"]: row for row in table.to_dict("records")}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(0, 20))
def test_packing_moves_no_face_over_a_threshold(probabilities, twentieths):
    packed = base64.b64decode(explorer.packed(np.array([probabilities])))
    kept = np.frombuffer(packed, "<u2") / explorer.GRID
    threshold = twentieths / 20
    assert np.allclose(kept, probabilities, atol=1 / explorer.GRID)
    assert ((kept >= threshold) == (np.array(probabilities) >= threshold)).all()


def test_the_files_are_whole_and_none_is_left_of_before(study, tables, bundle):
    (bundle / "film-99.js").write_text("of before")
    written = saved(study, tables | {"films": tables["films"].head(2)})
    assert {path.stem for path in written.glob("*.js")} == {"index", "film-00", "film-01"}
    saved(study, tables)
    about = json.loads((bundle / "provenance.json").read_text())
    there = {path.name for path in bundle.iterdir()} - {"provenance.json"}
    assert set(about["files"]) == there > {"index.js", "film-00.js"}
    assert about["study"] == "demo"


def test_shares_and_differences_are_those_of_the_tables(tab, tables):
    tab.select_option("[name=a] >> nth=0", "rafdb")
    tab.select_option("[name=b] >> nth=0", "exe")
    for genre in (None, "crime"):
        for side in "ab":
            tab.select_option(f"[name={side}-genre]", genre or "")
        shown = shown_shares(tab)
        first = rows_by_label(tables["shares"], run_id="rafdb", genre=genre)
        second = rows_by_label(tables["shares"], run_id="exe", genre=genre)
        gap = rows_by_label(  # the study has this pair the other way round
            tables["differences"],
            run_id="exe",
            other_run_id="rafdb",
            genre=genre,
            other_genre=genre,
        )
        for label in FIVE:
            turned = {
                "difference": -gap[label]["difference"],
                "low": -gap[label]["high"],
                "high": -gap[label]["low"],
            }
            a, b, difference = shown[label]
            assert same(a, first[label], of="value")
            assert same(b, second[label], of="value")
            assert same(difference, turned, of="difference")


def test_genres_of_one_model_are_compared_with_an_interval(tab, tables):
    for side, genre in (("a", "comedy"), ("b", "crime")):
        tab.select_option(f"[name={side}] >> nth=0", "exe")
        tab.select_option(f"[name={side}-genre]", genre)
    gap = rows_by_label(
        tables["differences"], run_id="exe", genre="comedy", other_run_id="exe", other_genre="crime"
    )
    shown = shown_shares(tab)
    for label in FIVE:
        assert same(shown[label][2], gap[label], of="difference")
        assert "[" in shown[label][2]
    tab.select_option("[name=b] >> nth=0", "rafdb")
    assert "no interval of this difference" in part(tab, "share-note").inner_text()
    assert "[" not in shown_shares(tab)["happy"][2]
    listed = part(tab, "share-films").locator("th").all_inner_texts()
    both = tables["films"]["genre"].isin(["comedy", "crime"])
    assert listed == tables["films"].loc[both, "title"].tolist()


def asked(tab, film, run, **options):
    """Ask the page's own functions for a course and shares of a film."""
    return tab.evaluate(
        """async ([film, run, options]) => {
            const folder = document.getElementById("film-explorer").dataset.bundle;
            const content = await explorer.load(folder, film);
            const read = explorer.unpack(content, run);
            return {
                course: explorer.course(content, read, options),
                times: explorer.times(content, options.width),
                ...explorer.shares(read, options.threshold),
            };
        }""",
        [film, run, options],
    )


def table_of(values, column):
    """Turn a table of label, time and values into lists by label, as the page has them."""
    return np.stack([values.loc[values["label"] == label, column] for label in FIVE])


def sure_rows(rows, threshold):
    """Take the faces out that are read less surely."""
    unsure = ~(rows[prob_columns(FIVE)].max(axis=1) >= threshold)
    sure = rows.assign(predicted=rows["predicted"].mask(unsure))
    sure[prob_columns(FIVE)] = sure[prob_columns(FIVE)].mask(unsure, axis=0)
    return sure


def test_thresholds_and_smoothing_are_as_pandas_computes_them(tab, tables, study):
    rows = tables["rows"].query("film_id == @CRIME and run_id == 'exe'")
    for threshold, width in ((0.0, 0.0), (0.0, 13.0), (0.6, 13.0), (0.8, 4.0)):
        options = {"threshold": threshold, "width": width}
        sure = sure_rows(rows, threshold)
        expected = film_course(sure, smooth_s=width or 1e-6, statistics=study.statistics)
        for measure in ("probability", "share"):
            got = asked(tab, "film-01", "exe", measure=measure, **options)
            values = table_of(expected[expected["measure"] == measure], "value")
            course = np.array(got["course"], dtype=float)
            assert np.allclose(course, values, atol=2e-4, equal_nan=True)
        counts = asked(tab, "film-01", "exe", measure="count", **options)
        at, seen = np.array(counts["times"])[:, None], sure.dropna(subset="predicted")
        for label, so_far in zip(FIVE, counts["course"], strict=True):
            times_s = seen.loc[seen["predicted"] == label, "time_s"].to_numpy()
            assert (times_s <= at).sum(axis=1).tolist() == so_far
        assert counts["n"] == sure["predicted"].notna().sum()
        own = sure["predicted"].value_counts(normalize=True).reindex(FIVE, fill_value=0)
        assert counts["share"] == pytest.approx(own.tolist())


def set_slider(tab, name, value):
    tab.locator(f"[name={name}]").evaluate(
        "(slider, value) => { slider.value = value;"
        " slider.dispatchEvent(new Event('input', { bubbles: true })); }",
        str(value),
    )


def test_the_keyboard_alone_can_go_through_a_film(tab, tables):
    tab.locator("[name=threshold]").focus()
    tab.keyboard.press("ArrowRight")
    assert tab.evaluate("location.hash") == "#threshold=0.05"
    tab.locator("[name=measure]").focus()
    tab.keyboard.press("f")  # the option that begins so
    assert tab.locator("[name=measure]").input_value() == "count"
    part(tab, "share-films").locator("button").nth(1).focus()
    tab.keyboard.press("Enter")
    assert tab.locator("[name=film]").input_value() == CRIME
    assert tab.evaluate("document.activeElement.name") == "film"


def test_a_view_is_linked_by_its_address(tab, site, chromium):
    tab.select_option("[name=a] >> nth=0", "rafdb")
    tab.select_option("[name=b-genre]", "drama")
    tab.select_option("[name=film]", CRIME)
    tab.select_option("[name=measure]", "share")
    set_slider(tab, "threshold", 0.5)
    set_slider(tab, "width", 40)
    tab.wait_for_function(
        "document.querySelector('[data-part=title-a]').innerText.includes('rafdb')"
    )
    with opened(chromium, site) as (other, faults):
        address = tab.evaluate("location.href")
        other.goto(address)
        other.reload()
        ready(other)
        for name in ("share-table", "share-note", "film-shares", "title-a", "events", "width"):
            assert part(other, name).inner_text() == part(tab, name).inner_text()
        drawn = "[...document.querySelectorAll('svg')].map((chart) => chart.outerHTML)"
        assert other.evaluate(drawn) == tab.evaluate(drawn)
        assert other.evaluate("location.href") == address
        assert faults == []


def test_a_phone_shows_titles_as_text_and_needs_no_sideways_scrolling(site, chromium):
    with opened(chromium, site, size=PHONE) as (tab, faults):
        ready(tab)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
        assert SCRIPTED in part(tab, "share-films").inner_text()
        assert tab.locator("img").count() == 0
        set_slider(tab, "threshold", 0.7)
        assert "1:20 a reunion (happy)" in part(tab, "events").inner_text()
        tab.select_option("[name=film]", NO_FACES)
        part(tab, "title-a").get_by_text("exe, 0 faces counted").wait_for()
        assert "n/a" in part(tab, "film-shares").inner_text()
        assert faults == []


def test_going_back_to_a_link_shows_it_and_unknown_names_are_told(tab):
    tab.evaluate("location.hash = 'a=nobody&b=rafdb&film=film03&threshold=7'")
    part(tab, "status").get_by_text("This study has no nobody, 7").wait_for()
    assert tab.locator("[name=a] >> nth=0").input_value() == "exe"
    assert tab.locator("[name=b] >> nth=0").input_value() == "rafdb"
    assert tab.locator("[name=film]").input_value() == "film03"


@pytest.mark.slow
def test_books_have_the_explorer_and_without_films_say_so(home, bundle, tmp_path, chromium):
    both = {
        "explorer": "# A\n:::{explorer}\n:::\n",
        "claims": "# B\n:::{explorer} published\n:::\n",
    }
    make_book_folder(tmp_path, {"index": "# Book\n", **both})
    for place in ("demo/explorer", "real/explorer", "real/explorer-published"):
        shutil.copytree(bundle, tmp_path / "data" / "results" / place)
    done = build(tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "a program drew them" in text_of(tmp_path, "explorer")
    for theme in ("light", "dark"):
        with opened(chromium, page(tmp_path, "explorer"), theme=theme) as (tab, faults):
            ready(tab)
            assert tab.locator("svg path.course").count() == 2 * len(FIVE)
            assert faults == []
    assert "explorer.js" not in page(tmp_path, "index").read_text()
    assert build(tmp_path, "real").returncode == 0
    with opened(chromium, page(tmp_path, "claims")) as (tab, faults):
        ready(tab)
        assert faults == []
    shutil.rmtree(tmp_path / "data")
    assert "demo has no files of the explorer" in build(tmp_path).stderr
    assert build(tmp_path, "sentiment").returncode == 0
    assert "This study has no films" in text_of(tmp_path, "explorer")
