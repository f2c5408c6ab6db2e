"""The appendix says of the code what the code says of itself."""

import json
import re
import shutil
import sys

import nbformat
import pytest
from test_book_ext import build, lay_out, text_of

from exe_core import tables as schema
from exe_core.cli import app
from exe_core.study import ROOT, Study

sys.path.insert(0, str(ROOT / "book" / "_ext"))  # as Sphinx does

from paperbook import docstrings, reference

LISTED = re.search(r"\{reference\} api (.+)", (ROOT / "book" / "api.md").read_text())[1].split()
MODULE = '''\
"""A module.

Of two paragraphs, with a<b.
"""


def area(width: float, *, height: float = 1.0) -> float:
    """Compute the area.

    >>> area(2.0)
    2.0

    Parameters
    ----------
    width
        In m, see `height`.

    Returns
    -------
    float
        In m2.
    """
    return width * height


class Box:
    """A box."""

    @property
    def side(self) -> float:
        """Give its side."""
        return 1.0

    def grown(self, by: float) -> "Box":
        """Give a larger one."""
        return self

    def _hidden(self):
        return None


def _helper():
    return None
'''
PAGES = {
    "index": """\
        # Counts
        There are {n}`real/benchmarks.votes.press.accuracy`.
        ```{faces-by-label} real
        ```
        """,
    "settings": """\
        # Settings
        ```{reference} settings
        ```
        """,
    "rebuild": """\
        # Rebuild
        ```{rebuild} 02-audit 06-films real/05-benchmarks faults
        ```
        """,
}


def test_every_setting_says_what_it_means():
    whole = Study.model_json_schema()
    for name, part in {"Study": whole, **whole["$defs"]}.items():
        assert part["description"], name
        silent = [
            key
            for key, field in part["properties"].items()
            if not {"description", "$ref"} & {*field}
        ]
        assert not silent, f"{name}: Field(description=...) for {', '.join(silent)}"


def test_settings_are_listed_with_default_bounds_and_choices():
    text, sources = reference.written_settings()
    assert "| `epochs` | integer, ≥ 1 | `30` | passes over the training faces |" in text
    assert '| `optimizer` | text, `adam`, `adamw`, `sgd`, `rmsprop` | `"adam"` |' in text
    assert "| `runs` | name → [Run](#settings-run) | required |" in text
    assert "| `max_faces` | integer or nothing, ≥ 1 | `null` |" in text
    assert {path.name for path in sources} >= {"config.py", "learning.py"}


def test_tables_are_listed_with_key_type_and_range():
    text, _ = reference.written_tables()
    assert all(f"## `{name}`" in text for name in schema.TABLES)
    assert "| `score` | number, ≥ 0, ≤ 1, null | of the detector |" in text
    assert "| `split` | text, `train`, `val`, `test` |" in text
    assert "| `retrieved_at` | time, UTC, null |" in text


def test_every_command_is_listed_and_no_machine_is_named():
    text, sources = reference.written_commands()
    for command in app.registered_commands:
        name = command.name or command.callback.__name__.replace("_", "-")
        assert f"## `exe {name}`" in text
    assert str(ROOT) not in text
    assert "--help" not in text
    assert r"configs/\<name>.yml" in text
    assert ROOT / "exe_core" / "cli.py" in sources


def test_a_module_is_described_by_its_docstrings(tmp_path, monkeypatch):
    monkeypatch.setattr(docstrings, "ROOT", tmp_path)
    path = tmp_path / "exe_core" / "boxes.py"
    path.parent.mkdir()
    path.write_text(MODULE)
    text = docstrings.api(path)
    assert "## exe_core.boxes" in text
    assert r"Of two paragraphs, with a\<b." in text
    assert "{py:function} area(width: float, *, height: float=1.0) -> float" in text
    assert "```python\n>>> area(2.0)\n2.0\n```" in text
    assert "**Parameters**\n\n`width`\n: In m, see `height`." in text
    assert "{py:property} Box.side" in text
    assert "{py:method} Box.grown(by: float) -> 'Box'" in text
    assert "hidden" not in text
    assert "_helper" not in text


def test_what_is_public_must_say_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(docstrings, "ROOT", tmp_path)
    (tmp_path / "bare.py").write_text('"""A module."""\n\n\ndef bare():\n    return None\n')
    with pytest.raises(ValueError, match=r"bare\.bare has no docstring"):
        docstrings.api(tmp_path / "bare.py")


@pytest.mark.parametrize("module", LISTED)
def test_every_module_of_the_page_is_there_and_shows_something(module):
    text, (path,) = reference.written_api([module])
    assert path.is_file()
    assert "{py:function}" in text


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Build a book of the directives, beside frozen results and one executed notebook."""
    folder = tmp_path_factory.mktemp("root")
    lay_out(folder, PAGES)
    for name in ("real", "faults"):
        shutil.copytree(ROOT / "data" / "frozen" / name, folder / "data" / "frozen" / name)
    executed = nbformat.v4.new_notebook()
    executed.metadata["papermill"] = {"parameters": {"study": "demo", "every": 50}}
    target = folder / "data" / "results" / "demo" / "notebooks" / "06-films.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(executed, target)
    return folder, build(folder)


def test_the_directives_build_without_a_warning(book):
    _, done = book
    assert done.returncode == 0, done.stdout + done.stderr


def test_faces_are_counted_from_the_tables(book):
    folder, _ = book
    text = text_of(folder, "index")
    values = json.loads((ROOT / "data/frozen/real/values/benchmarks.json").read_text())
    n = values["benchmarks.votes.press.accuracy"]["n"]
    assert f"There are {n:,}." in text
    assert re.search(rf"press [\d, ]*{n:,}", text)


def test_what_rebuilds_a_page_is_as_it_was_run(book):
    folder, _ = book
    text = text_of(folder, "rebuild")
    assert "make book STUDY=demo" in text
    assert "papermill notebooks/06-films.ipynb out.ipynb -p study demo -p every 50" in text
    assert "make book STUDY=real DATA=<folder>" in text
    assert "notebooks/05-benchmarks.ipynb out.ipynb -p study real" in text
    assert json.loads((ROOT / "data/frozen/faults/provenance.json").read_text())["command"] in text
    assert "02-audit" not in text  # the study has no such stage


def test_what_cannot_be_rebuilt_is_an_error_that_says_why(tmp_path):
    wrong = "# Page\n```{rebuild} nothing\n```\n```{reference} all\n```\n"
    lay_out(tmp_path, {"index": "# Index\n", "wrong": wrong})
    done = build(tmp_path)
    assert done.returncode != 0
    assert "nothing is no notebook, and not in data/frozen" in done.stdout + done.stderr
    assert "all is none of settings, tables, commands, api" in done.stdout + done.stderr
