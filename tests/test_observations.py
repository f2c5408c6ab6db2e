"""What the published files are, beside what one would expect of them."""

import pytest
from published_files import FILMS, write_files

from exe_core import published
from exe_core.resampling import Statistics


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    found = published.read_published(write_files(tmp_path_factory.mktemp("files")))
    return found, published.observe_films(found, statistics=Statistics(n_permutations=100, seed=0))


def row(table, looked_at):
    rows = table[table["looked_at"].str.contains(looked_at, regex=False)]
    assert len(rows) == 1
    return rows.iloc[0]


def test_more_models_than_described_are_seen(seen):
    assert row(seen[1], "models that made")[["expected", "found"]].tolist() == ["4", "8"]


def test_doubled_rows_and_missing_frames_are_counted(seen):
    published_files, table = seen
    n = len(published_files.predictions) // 3
    assert f"RAF-DB {n:,} of {2 * n:,}" in row(table, "stand twice")["found"]
    assert row(table, "every 100th frame")["found"].startswith(f"{n:,} rows (5")


def test_films_and_answers_are_described(seen):
    table = seen[1]
    assert row(table, "two genres")["found"] == "13 comedies, 12 crime films"
    assert table.set_index("looked_at").loc["films", "found"] == str(len(FILMS))
    assert row(table, "answers of FER2013")["found"].startswith("angry 9")
    assert "by chance" in row(table, "lies between genres")["expected"]
